"""``voxemo demo``: the whole way on what the package carries: tiny model, mini corpus."""

from __future__ import annotations

import argparse
from typing import Any

from ..corpora import prepare

TASK = "voxemo_mini_direct"


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "demo",
        description="Evaluate the built-in tiny speech LLM on the built-in synthetic mini corpus: "
        "no download, no GPU. What it prints is synthetic, not a result.",
    )
    parser.add_argument("--output_path", default="voxemo-demo", help="default: ./voxemo-demo")
    parser.add_argument("--limit", help="only the first N utterances")
    parser.set_defaults(func=demo)


def demo(args: argparse.Namespace) -> int:
    from .run import run

    prepare("mini", None, progress=False)
    argv = ["--model", "hf-audiolm", "--model_args", "pretrained=voxemo-tiny"]
    argv += ["--tasks", TASK, "--batch_size", "16", "--output_path", args.output_path]
    argv += ["--log_samples"]
    if args.limit:
        argv += ["--limit", str(args.limit)]
    print(f"voxemo run {' '.join(argv)}\n", flush=True)
    return run(argv)
