"""A full-size Qwen2-Audio on a GPU, random weights: the plain and the shared path, batch by batch.

    python benchmarks/device.py --on h200                      the 7 B configuration in bfloat16
    python benchmarks/device.py --size medium --device cpu --dtype float32 --on cpu --batch 1 8 25

Prints replies a second and peak memory of both paths at each batch size, their ratio, and beside it
what the roofline of the named device would allow (``--efficiency 1``: its peak figures). The weights
are made on the device and saved once below ``--folder`` (17 GB for the full size), since a real run
loads them from a disk too. Which path answered, and whether both gave the same replies, is printed:
in bfloat16 near-ties may fall either way.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from itertools import chain
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "backends"))
from checkpoints import build
from ensemble import QUESTIONS, jobs_of, peak, plainly, timed

from voxemo_tasks.backends.estimating import (
    ENCODER_POSITIONS_A_SECOND,
    Size,
    Work,
    cost_of,
    count_tensors,
    device_of,
    kv_values,
)
from voxemo_tasks.backends.hf import HfAudioLM

WINDOW_S = 30.0
"""Whisper's encoder reads a padded window however short the clip."""


def random_weights(folder: Path, device: str, dtype: torch.dtype) -> None:
    """Weights for a checkpoint that has a configuration only, made where they are fast to make."""
    from transformers import AutoConfig, GenerationConfig, Qwen2AudioForConditionalGeneration

    config = AutoConfig.from_pretrained(folder)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(0)
        with torch.device(device):
            model = Qwen2AudioForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)
    ends = config.text_config.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends)
    model.save_pretrained(folder)
    del model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def size_of(model: HfAudioLM) -> Size:
    """Parameters of the loaded model."""
    shapes = {name: list(value.shape) for name, value in model._model.named_parameters()}
    total, encoder = count_tensors(shapes)
    return Size(total, encoder, kv_values(model._model.config.to_dict()), "the loaded weights")


def work_of(
    clips: int, prompts: int, samples: int, tokens: int, audio_tokens: int, text: int
) -> Work:
    """The work of ``clips`` clips; ``text`` tokens in all prompts of a clip, ``audio_tokens`` each."""
    replies = clips * prompts * samples
    positions = WINDOW_S * ENCODER_POSITIONS_A_SECOND
    return Work(
        clips=clips,
        requests=clips * prompts,
        replies=replies,
        encoder_clips=clips * positions,
        encoder_replies=replies * positions,
        audio_clips=clips * audio_tokens,
        audio_replies=replies * audio_tokens,
        text_requests=clips * text,
        text_replies=clips * text * samples,
        generated=replies * tokens,
        generated_limit=replies * tokens,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", choices=["tiny", "medium", "full"], default="full")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--on", default="h200", help="preset of `voxemo plan` for the roofline")
    parser.add_argument("--efficiency", type=float, default=1.0)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=5)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="keep the checkpoint here, and use it again")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("no GPU here; try --size medium --device cpu --dtype float32 --on cpu")
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = (args.folder or Path(scratch)) / f"qwen2-audio-{args.size}"
        if not (checkpoint / "config.json").is_file():
            build("qwen2_audio", checkpoint, size=args.size)
        if not list(checkpoint.glob("*.safetensors")):
            random_weights(checkpoint, args.device, getattr(torch, args.dtype))
        model = HfAudioLM(
            str(checkpoint),
            store=f"{scratch}/run",
            batch_size=max(args.batch),
            dtype=args.dtype,
            device=args.device,
        )
        measure(model, args)


def measure(model: HfAudioLM, args: argparse.Namespace) -> None:
    size, device = size_of(model), device_of(args.on)
    width = 4 if args.dtype == "float32" else 2
    where = torch.cuda.get_device_name() if args.device.startswith("cuda") else "CPU"
    print(
        f"{where}, torch {torch.__version__}, {args.dtype}; {size.parameters / 1e9:.2f} B parameters, "
        f"{size.encoder / 1e9:.2f} B of them the encoder's; {args.prompts} prompts x {args.samples} "
        f"samples of {args.clips} clips of {args.seconds:g} s, {args.tokens} new tokens"
    )
    model.generate(jobs_of(1, 2, 1, args.seconds, 2))  # warm up, and the check of the prefix
    facts = model.engine_facts()["shared_prefix"]
    print(f"shared prefix: {facts}")
    jobs = jobs_of(args.clips, args.prompts, args.samples, args.seconds, args.tokens)
    tokenizer = model._processor.tokenizer
    text = sum(
        len(tokenizer(QUESTIONS[p % len(QUESTIONS)])["input_ids"]) for p in range(args.prompts)
    )
    work = work_of(
        args.clips, args.prompts, args.samples, args.tokens, int(args.seconds * 25), text
    )
    print(
        "batch  plain/s  shared/s  ratio  plain GiB  shared GiB  equal   roofline plain/s  shared/s"
    )
    for batch in args.batch:
        model.batch = batch
        model.generate(jobs[: args.prompts])  # the kernels of this batch size
        seconds, shown, replies = {}, {}, {}
        for way in ("plain", "shared"):
            try:
                call = plain_call if way == "plain" else shared_call
                seconds[way], replies[way] = timed(
                    lambda call=call: call(model, jobs, args.prompts)
                )
                shown[way] = f"{work.replies / seconds[way]:.2f}"
            except torch.OutOfMemoryError:
                shown[way], replies[way] = "no memory", None
                gc.collect()
                torch.cuda.empty_cache()
            shown[f"{way} memory"] = f"{peak():.1f}"
        of_plain, of_shared = (list(chain.from_iterable(replies[w] or [])) for w in replies)
        equal = "-"
        if of_plain and of_shared:
            same = sum(a == b for a, b in zip(of_plain, of_shared, strict=True))
            equal = f"{same}/{len(of_plain)}"
        floors = [
            work.replies
            / cost_of(
                work,
                size,
                device,
                batch=batch,
                bytes_a_value=width,
                shared=shared,
                efficiency=args.efficiency,
            ).seconds
            for shared in (False, True)
        ]
        ratio = f"x {seconds['plain'] / seconds['shared']:.1f}" if len(seconds) == 2 else "none"
        print(
            f"{batch:5d}  {shown['plain']:>7}  {shown['shared']:>8}  {ratio:>5}  "
            f"{shown['plain memory']:>9}  {shown['shared memory']:>10}  {equal}  "
            f"{floors[0]:>16.1f}  {floors[1]:>8.1f}"
        )


def plain_call(model: HfAudioLM, jobs: list, prompts: int) -> list[list[str]]:
    """Clip by clip, so that both ways have the same jobs at hand."""
    return [
        texts
        for start in range(0, len(jobs), prompts)
        for texts in plainly(model, jobs[start : start + prompts], prompts)
    ]


def shared_call(model: HfAudioLM, jobs: list, prompts: int) -> list[list[str]]:
    return [
        [reply.text for reply in replies]
        for start in range(0, len(jobs), prompts)
        for replies in model.generate(jobs[start : start + prompts])
    ]


if __name__ == "__main__":
    main()
