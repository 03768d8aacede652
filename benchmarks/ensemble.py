"""An ensemble of prompts and samples: one encoding a clip against one a reply.

    python benchmarks/ensemble.py [--clips 4] [--prompts 5] [--samples 5] [--size medium]

The same replies of one model, asked plainly (as lm-eval's ``repeats`` and prompt order would send
them: prompt by prompt, every sample a request of its own) and with the clip's prefix shared. Random
weights of the real Qwen2-Audio classes (``medium``: about 72 M parameters); ratios of one run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "backends"))
from checkpoints import build

from voxemo_tasks.backends.hf import HfAudioLM
from voxemo_tasks.backends.requests import Job
from voxemo_tasks.records import AudioRef, Decoding, Request

QUESTIONS = (
    "What emotion does the speaker express? Choose one of: angry, happy, neutral, sad.",
    "Transcribe the clip, then name the emotion: angry, happy, neutral or sad.",
    "Describe pitch, loudness and pace, then choose one of: angry, happy, neutral, sad.",
    "Transcribe the clip, describe the voice, then choose one of: angry, happy, neutral, sad.",
    "Transcribe, describe, give your reasons; at last choose one of: angry, happy, neutral, sad.",
)


def jobs_of(clips: int, prompts: int, samples: int, seconds: float, tokens: int) -> list[Job]:
    """Jobs clip by clip."""
    noise = np.random.default_rng(1).normal(0, 0.1, (clips, int(16_000 * seconds)))
    decoding = Decoding(max_new_tokens=tokens, temperature=1.0, seed=1)
    jobs = []
    for clip in range(clips):
        ref = AudioRef(f"{clip}.wav", f"{clip:064d}", duration_s=seconds)
        for prompt in range(prompts):
            content: list[Any] = [{"type": "audio", "index": 0}]
            content.append({"type": "text", "text": QUESTIONS[prompt % len(QUESTIONS)]})
            message = {"role": "user", "content": content}
            request = Request(f"p{prompt}@1", "0" * 64, (message,), (ref,), decoding)
            job = Job(request, f"{clip}.{prompt}", list(range(samples)))
            job.audio = [noise[clip].astype(np.float32)]
            jobs.append(job)
    return jobs


def plainly(model: HfAudioLM, jobs: list[Job], prompts: int) -> list[list[str]]:
    """Prompt by prompt over all clips, every sample a row with its own audio."""
    replies: dict[int, list[str]] = {}
    order = [i for p in range(prompts) for i in range(p, len(jobs), prompts)]
    rows = [(i, seed) for i in order for seed in jobs[i].seeds()]
    for start in range(0, len(rows), model.batch):
        part = rows[start : start + model.batch]
        made = model._forward(
            [jobs[i] for i, _ in part], [s for _, s in part], jobs[0].request.decoding
        )
        for (i, _), reply in zip(part, made, strict=True):
            replies.setdefault(i, []).append(reply.text)
    return [replies[i] for i in range(len(jobs))]


def peak() -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


def timed(call: Any) -> tuple[float, Any]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=5)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--batch", type=int, nargs="+", default=[25])
    parser.add_argument("--size", choices=["tiny", "medium"], default="medium")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = build("qwen2_audio", Path(folder) / "model", size=args.size)
        for batch in args.batch:
            model = HfAudioLM(
                str(checkpoint), store=f"{folder}/run{batch}", batch_size=batch, dtype="float32"
            )
            shape = (args.clips, args.prompts, args.samples, args.seconds, args.tokens)
            model.generate(jobs_of(1, 2, 1, 1.0, 2))  # warm up, and the check of the prefix
            facts = model.engine_facts()["shared_prefix"]
            model._sharing.sharer.work = type(model._sharing.sharer.work)()  # type: ignore[union-attr]
            # In turns, so that a busy machine is busy for both.
            plain_s = shared_s = 0.0
            same = total = 0
            for clip in range(args.clips):
                of_clip = jobs_of(*shape)[clip * args.prompts : (clip + 1) * args.prompts]
                took, plain = timed(partial(plainly, model, of_clip, args.prompts))
                plain_s += took
                took, shared = timed(partial(model.generate, of_clip))
                shared_s += took
                texts = [[r.text for r in replies] for replies in shared]
                same += sum(
                    a == b
                    for x, y in zip(plain, texts, strict=True)
                    for a, b in zip(x, y, strict=True)
                )
                total += args.prompts * args.samples
            work = model.engine_facts()["shared_prefix"]["work"]
            print(
                f"batch {batch}: {total} replies, plain {total / plain_s:.2f}/s, shared "
                f"{total / shared_s:.2f}/s: x {plain_s / shared_s:.1f}; equal replies "
                f"{same}/{total}; decoder positions over the fewest possible x "
                f"{work['over_floor']:.2f}, encodings {work['encoded']} for {args.clips} clips; "
                f"check {facts['largest_difference']:.1e}"
            )
            if work["encoded"] != args.clips:
                raise SystemExit("a clip was not encoded exactly once")


if __name__ == "__main__":
    main()
