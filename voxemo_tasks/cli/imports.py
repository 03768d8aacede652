"""``voxemo import predictions``: anybody's predictions as a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..results.import_plan import FIELDS, parse_labels, parse_map
from ..results.importing import TASK, import_predictions


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("import")
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    one = kinds.add_parser(
        "predictions",
        help="a CSV, TSV, JSON lines, JSON or Parquet table: an utterance a row",
        description="Write a table of predictions as a run, which `voxemo score` then reads.",
    )
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument(
        "--map",
        required=True,
        metavar="FIELD=COLUMN,…",
        help=f"which column holds what; fields: {', '.join(FIELDS)}, p.LABEL (probabilities)",
    )
    one.add_argument("--labels", default="", help="the menu in order: a,b,c or a JSON list")
    one.add_argument("--scale", help="LOW,HIGH of the ratings, where dimensions are rated")
    one.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder to make")
    one.add_argument("--model", help="what the model is called (default: the file's name)")
    one.add_argument("--task", default=TASK, help=f"name of the task (default: {TASK})")
    one.add_argument("--verbalizer", help="reads the replies (default: by what is mapped)")
    one.add_argument(
        "--traces",
        type=Path,
        metavar="TABLE",
        help="time-continuous ratings (CSV: recording, dimension, annotator, time_s, value); rows are "
        "then windows, with dialogue=, start= and end= mapped, and need no gold rating",
    )
    one.add_argument(
        "--annotator-delay", type=float, metavar="SECONDS", help="lag of the annotators of --traces"
    )
    one.set_defaults(func=predictions)


def predictions(args: argparse.Namespace) -> int:
    found = import_predictions(
        args.file,
        parse_map(args.map),
        args.out,
        labels=parse_labels(args.labels) if args.labels else (),
        scale=_scale(args.scale),
        model=args.model,
        task=args.task,
        verbalizer=args.verbalizer,
        traces=args.traces,
        annotator_delay_s=args.annotator_delay,
    )
    print(f"{found.utterances} utterances, {found.replies} replies: {found.folder}")
    if found.without_gold:
        print(f"{found.without_gold} utterances without a gold label were left out (and counted)")
    for raw, label in sorted(found.read_as.items()):
        print(f"gold {raw!r} is read as {label!r}")
    print(f"next: voxemo score {found.folder}")
    return 0


def _scale(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise OptionError(f"--scale={text!r} must be LOW,HIGH, e.g. --scale 1,7")
    return low, high
