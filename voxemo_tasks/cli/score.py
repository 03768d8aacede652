"""``voxemo score``: numbers from stored replies, with no engine and no corpus."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..results import score_run, table_of, write_results
from ..results.score import SEED


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("score", help="score run folders from their stored replies")
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="run folder(s)")
    parser.add_argument("--verbalizer", help="read the replies with this one instead")
    parser.add_argument(
        "--out", type=Path, help="results JSON (default: results.json in the run folder)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the bootstrap (default {SEED})")
    parser.set_defaults(func=score)


def score(args: argparse.Namespace) -> int:
    if args.out is not None and len(args.runs) > 1:
        from ..errors import OptionError

        raise OptionError("--out takes the results of one run; give one RUN, or leave --out away")
    for folder in args.runs:
        results = score_run(folder, verbalizer=args.verbalizer, seed=args.seed)
        name = "results.json" if args.verbalizer is None else f"results.{args.verbalizer}.json"
        path = write_results(results, args.out or folder / name)
        print(f"{table_of(results)}\n\nresults: {path}")
    return 0
