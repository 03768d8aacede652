"""What the order of requests is worth in vLLM, and what this harness costs beside bare vLLM.

    python benchmarks/vllm_order.py [--clips 8] [--prompts 5] [--samples 5] [--seconds 10]

Every clip is asked every prompt, each with some samples, of a Qwen2-Audio of 72 M random weights.

Order: audio first with all requests of a clip together (what the backend sends), audio first with
the prompts outermost (what lm-eval hands over), and text first; each with a key-value cache that
holds everything and with one that holds few clips. Caches are emptied before each measurement.

Harness: replies a second of ``generate_until`` (files decoded, prompts rendered, rows stored) over
those of one bare ``LLM.generate`` of the same requests with decoded clips. The two take turns.

Prints ratios measured in this one run. Runs wherever vLLM does; on a CPU see
``scripts/vllm_cpu_env.sh``.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "backends"))

QUESTIONS = [
    "What emotion does the speaker express? Choose one of: angry, happy, neutral, sad.",
    "Which of these words fits the voice best: angry, happy, neutral, sad? One word.",
    "Listen to the recording. How does the speaker feel: angry, happy, neutral or sad?",
    "Angry, happy, neutral, sad: name the one that you hear.",
    "Is the person angry, happy, neutral or sad? Answer with one word.",
    "Say in one word how the voice sounds: angry, happy, neutral, sad.",
    "The speaker feels one of: angry, happy, neutral, sad. Which?",
    "Choose the emotion of this recording from: angry, happy, neutral, sad.",
]


def name_as_on_the_hub(checkpoint: Path) -> Path:
    """Transformers 5.19 saves Qwen2-Audio with a "model." too many, which vLLM cannot read."""
    from safetensors.torch import load_file, save_file

    file = checkpoint / "model.safetensors"
    weights = {name.replace(".model.model.", ".model."): w for name, w in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})
    return checkpoint


def write_clips(folder: Path, count: int, seconds: float) -> list[Any]:
    """Noises of equal length, as references."""
    from voxemo_tasks.records import AudioRef

    refs = []
    for number in range(count):
        path = folder / f"{number}.wav"
        samples = np.random.default_rng(number).normal(0, 0.1, int(16_000 * seconds))
        soundfile.write(path, samples.astype(np.float32), 16_000)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        refs.append(AudioRef(str(path), digest, duration_s=seconds))
    return refs


def queue_of(refs: Sequence[Any], args: argparse.Namespace) -> list[Any]:
    """Instances as lm-eval queues them: prompts outermost, each K times."""
    from lm_eval.api.instance import Instance

    from voxemo_tasks.records import Decoding, Request

    decoding = Decoding(max_new_tokens=args.new_tokens, temperature=1.0, seed=1)
    queue = []
    for number, text in enumerate(QUESTIONS[: args.prompts]):
        parts = [{"type": "audio", "index": 0}, {"type": "text", "text": text}]
        message = {"role": "user", "content": parts}
        for ref in refs:
            request = Request(f"q{number}@1", "0" * 64, (message,), (ref,), decoding)
            instance = Instance(
                request_type="generate_until",
                doc={},
                arguments=request.to_arguments({}),
                idx=number,
                metadata=("task", 0, args.samples),
            )
            queue += [instance] * args.samples
    return queue


def asks_of(model: Any, queue: Sequence[Any], clips: dict[str, Any]) -> list[Any]:
    """The same requests as the backend makes them, in the order of the queue, clips decoded."""
    from voxemo_tasks.backends.requests import Job, fold
    from voxemo_tasks.backends.vllm import clip_ids
    from voxemo_tasks.backends.vllm_engine import Ask
    from voxemo_tasks.store import request_key

    asks = []
    for folded in fold(queue).values():
        request = folded.request
        key = request_key(model.fingerprint(), request)
        job = Job(request, key, list(range(folded.samples)), [clips[request.audio[0].path]])
        prompt, ids = model._prompt(job, job.audio), clip_ids(job, 16_000)
        asks += [
            Ask(prompt, tuple(job.audio), ids, model._sampling(request.decoding, seed))
            for seed in job.seeds()
        ]
    return asks


def text_first(ask: Any) -> Any:
    """The same question with the audio behind the text."""
    sound = "Audio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
    start, end = ask.prompt.split(sound)
    question, close = end.split("<|im_end|>", 1)
    return dataclasses.replace(ask, prompt=f"{start}{question}\n{sound}<|im_end|>{close}")


def empty_caches(model: Any) -> None:
    llm = model._engine._llm
    llm.reset_prefix_cache()
    llm.reset_mm_cache()
    llm.llm_engine.reset_encoder_cache()


@dataclass
class Cost:
    """Of one piece of work: wall-clock and CPU seconds, and the share of cached prompt tokens."""

    wall_s: float
    cpu_s: float
    cached: float


def timed(model: Any, work: Callable[[], Any]) -> Cost:
    """What some work costs from empty caches."""
    empty_caches(model)
    before = model._engine.facts()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = model._engine.facts()
    names = ("prompt_tokens_cached", "prompt_tokens")
    cached, prompt = (after[name] - before[name] for name in names)
    return Cost(wall, cpu, cached / prompt if prompt else 0.0)


def in_turns(model: Any, works: dict[str, Callable[[], Any]], turns: int) -> dict[str, Cost]:
    """The least cost of each of some works, which take turns: other programs only ever add."""
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            costs[name].append(timed(model, work))
    return {
        name: Cost(min(c.wall_s for c in some), min(c.cpu_s for c in some), some[0].cached)
        for name, some in costs.items()
    }


def orders(model: Any, asks: Sequence[Any], blocks: str, turns: int) -> None:
    grouped = sorted(asks, key=lambda ask: ask.clip_ids)
    rows = {
        "audio first, grouped": grouped,
        "audio first, prompts outermost": list(asks),
        "text first, grouped": [text_first(ask) for ask in grouped],
        "text first, prompts outermost": [text_first(ask) for ask in asks],
    }
    works = {name: lambda some=some: model._engine.answer(some) for name, some in rows.items()}
    costs = in_turns(model, works, turns)
    base = costs["audio first, grouped"]
    for name, cost in costs.items():
        print(
            f"{blocks}: {name}: {len(asks) / cost.wall_s:.1f} replies/s, {cost.cached:.0%} of the "
            f"prompt tokens cached: x {cost.wall_s / base.wall_s:.2f} the time of grouped, "
            f"x {cost.cpu_s / base.cpu_s:.2f} its CPU time",
            flush=True,
        )


def harness(model: Any, queue: list[Any], asks: Sequence[Any], turns: int) -> None:
    """Our ``generate_until`` against one bare ``LLM.generate``, and single samples against n=K."""
    engine = model._engine
    grouped = sorted(asks, key=lambda ask: ask.clip_ids)
    prompts = [engine._prompt(ask) for ask in grouped]
    sampling = [engine._sampling(ask) for ask in grouped]
    samples = len(queue) // len({id(instance) for instance in queue})
    several = sampling[0].clone()
    several.n = samples
    generate = engine._llm.generate
    inside = [0.0]

    def ours() -> None:
        def counted(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return generate(*args, **options)
            finally:
                inside[0] += time.perf_counter() - started

        fresh = copy.copy(model)
        with tempfile.TemporaryDirectory() as folder:
            fresh._store, fresh._place = None, (folder, None)
            fresh._canaries = 0  # asked once a run, however long it is: they are timed apart
            engine._llm.generate = counted
            started = time.perf_counter()
            fresh.generate_until(queue, True)
            shares.append(inside[0] / (time.perf_counter() - started))
            inside[0] = 0.0
            engine._llm.generate = generate

    from voxemo_tasks.backends import canaries
    from voxemo_tasks.records import Decoding

    once = timed(model, lambda: canaries.ask(model, Decoding(8), len(canaries.ASKED)))
    shares: list[float] = []
    works = {
        "ours": ours,
        "bare": lambda: generate(prompts, [s.clone() for s in sampling], use_tqdm=False),
        "n=K": lambda: generate(prompts[::samples], several, use_tqdm=False),
    }
    works["bare"]()  # warm
    costs = in_turns(model, works, turns)
    our, bare, several_cost = (costs[name] for name in ("ours", "bare", "n=K"))
    print(
        f"harness: generate_until {len(queue) / our.wall_s:.1f} replies/s, bare LLM.generate "
        f"{len(queue) / bare.wall_s:.1f}: efficiency {bare.wall_s / our.wall_s:.3f} (by CPU time "
        f"{bare.cpu_s / our.cpu_s:.3f}); {max(shares):.1%} of generate_until is inside LLM.generate; "
        f"canaries, once a run: {once.wall_s:.1f} s"
    )
    print(
        f"seeds: K single requests take x {bare.wall_s / several_cost.wall_s:.2f} the time (x "
        f"{bare.cpu_s / several_cost.cpu_s:.2f} the CPU time) of n=K, which cannot be continued",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=5, choices=range(1, len(QUESTIONS) + 1))
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--new-tokens", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--few-blocks", type=int, default=28, help="blocks of the small cache")
    args = parser.parse_args()

    import checkpoints

    from voxemo_tasks.audio import decode
    from voxemo_tasks.backends.vllm import VllmAudioLM

    options = {"dtype": "float32", "max_model_len": 1100, "max_num_seqs": 8, "enforce_eager": True}
    alive = []  # vLLM engines of one process share globals
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        checkpoint = name_as_on_the_hub(
            checkpoints.build("qwen2_audio", place / "model", size="medium")
        )
        refs = write_clips(place, args.clips, args.seconds)
        clips = {ref.path: decode(ref, 16_000) for ref in refs}
        queue = queue_of(refs, args)
        print(
            f"{args.clips} clips of {args.seconds:g} s x {args.prompts} prompts x {args.samples} "
            f"samples = {len(queue)} replies of at most {args.new_tokens} tokens",
            flush=True,
        )
        for few in (False, True):
            more = {"engine_options": {"num_gpu_blocks_override": args.few_blocks}} if few else {}
            model = VllmAudioLM(str(checkpoint), store=f"{folder}/run{few}", **options, **more)
            alive.append(model)
            asks = asks_of(model, queue, clips)
            timed(model, lambda m=model, a=asks: m._engine.answer(a[:16]))  # warm
            facts = model._engine.facts()
            size = f"{facts['kv_cache_blocks']} blocks of {facts['kv_block_tokens']}"
            if not few:
                harness(model, queue, asks, args.turns)
            orders(model, asks, size, args.turns)


if __name__ == "__main__":
    main()
