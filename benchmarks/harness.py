"""What the harness costs: `voxemo run`'s way of asking against the bare engine on the same requests.

    python benchmarks/harness.py [--clips 16] [--seconds 5] [--batch 8] [--turns 3]

Replies a second of ``generate_until`` (audio files decoded, requests folded, grouped, looked up,
stored) over those of the model's own ``generate`` on inputs whose audio is decoded already; one
prompt, greedy, so that nothing can be shared. In turns, best of each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from lm_eval.api.instance import Instance

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "backends"))
from checkpoints import build

from voxemo_tasks.backends.hf import HfAudioLM
from voxemo_tasks.backends.requests import Job
from voxemo_tasks.records import AudioRef, Decoding, Request, digest_of

QUESTION = "What emotion does the speaker express? Choose one of: angry, happy, neutral, sad."


def instances(folder: Path, clips: int, seconds: float, tokens: int) -> list[Instance]:
    drawn = np.random.default_rng(1)
    out = []
    for number in range(clips):
        path = folder / f"{number}.wav"
        soundfile.write(path, drawn.normal(0, 0.1, int(16_000 * seconds)), 16_000)
        ref = AudioRef(str(path), digest_of(path.name), duration_s=seconds)
        content = [{"type": "audio", "index": 0}, {"type": "text", "text": QUESTION}]
        message = {"role": "user", "content": content}
        request = Request("q@1", "0" * 64, (message,), (ref,), Decoding(max_new_tokens=tokens))
        out.append(Instance("generate_until", {}, request.to_arguments({}), 0, ("t", number, 1)))
    return out


def bare(model: HfAudioLM, asked: list[Instance], audio: list[np.ndarray]) -> tuple[float, float]:
    """Seconds, and seconds of processor time, of the model's own generate, batch after batch."""
    jobs = []
    for one, clip in zip(asked, audio, strict=True):
        request, _ = Request.from_arguments(one.args)
        job = Job(request, "k", [0])
        job.audio = [clip]
        jobs.append(job)
    started, used = time.perf_counter(), time.process_time()
    for at in range(0, len(jobs), model.batch):
        some = jobs[at : at + model.batch]
        model._forward(some, [0] * len(some), some[0].request.decoding)
    return time.perf_counter() - started, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--size", choices=["tiny", "medium"], default="medium")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = instances(folder, args.clips, args.seconds, args.tokens)
        audio = [soundfile.read(folder / f"{n}.wav", dtype="float32")[0] for n in range(args.clips)]
        checkpoint = build("qwen2_audio", folder / "model", size=args.size)
        ours, theirs = [], []
        for turn in range(args.turns):
            model = HfAudioLM(
                str(checkpoint),
                store=f"{folder}/run{turn}",
                batch_size=args.batch,
                dtype="float32",
                canaries="off",
            )
            bare(model, asked[: args.batch], audio[: args.batch])  # warm up
            theirs.append(bare(model, asked, audio))
            started, used = time.perf_counter(), time.process_time()
            model.generate_until(asked, True)
            ours.append((time.perf_counter() - started, time.process_time() - used))
    a, b = (args.clips / min(seconds for seconds, _ in x) for x in (ours, theirs))
    cpu = min(used for _, used in theirs) / min(used for _, used in ours)
    print(
        f"{args.size}, {args.clips} clips of {args.seconds:g} s, batch {args.batch}: through the "
        f"harness {a:.2f} replies/s, bare generate {b:.2f}: efficiency {a / b:.3f} "
        f"(by processor time {cpu:.3f})"
    )


if __name__ == "__main__":
    main()
