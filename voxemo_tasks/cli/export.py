"""``voxemo export``: results JSON as Every Eval Ever, hub results, CSV or a LaTeX table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..home import write_atomically
from ..metrics.confusion import Policy
from ..results import exporting, read_results
from ..results.exporting.eee import RELATIONSHIPS
from ..results.exporting.latex import STYLES

ONE = ("eee", "hf")
"""Formats that hold one run."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("export")
    parser.add_argument("results", nargs="+", metavar="RESULTS", type=Path, help="results JSON")
    parser.add_argument(
        "--to", required=True, choices=exporting.FORMATS, help="eee: Every Eval Ever; hf: the hub"
    )
    parser.add_argument("--out", type=Path, help="file to write (default: print)")
    parser.add_argument(
        "--metric",
        help="names joined by commas: uar, wa, macro_f1 …, soft.jsd, calibration.gap, valence.ccc "
        "(default: uar for latex and hf, else all)",
    )
    parser.add_argument(
        "--policy",
        choices=("strict", "answered"),
        help="of hard rates (default: strict for latex and hf, else both)",
    )
    parser.add_argument(
        "--interval", choices=STYLES, default="brackets", help="latex: in the cells"
    )
    parser.add_argument("--names", help="latex: names of the rows, joined by commas")
    parser.add_argument(
        "--run", action="append", type=Path, metavar="RUN", help="latex: run folder of each RESULTS"
    )
    parser.add_argument("--organization", default="unknown", help="eee: who evaluated")
    parser.add_argument(
        "--relationship", choices=RELATIONSHIPS, default="other", help="eee: of evaluator to model"
    )
    parser.add_argument(
        "--dataset", action="append", metavar="CORPUS=OWNER/NAME", help="hf: its dataset on the hub"
    )
    parser.add_argument("--source", metavar="URL", help="hf: where the results are published")
    parser.set_defaults(func=export)


def export(args: argparse.Namespace) -> int:
    text = exported(args)
    if args.out is None:
        sys.stdout.write(text)
    else:
        write_atomically(args.out, text.encode())
        print(f"{args.to}: {args.out}")
    return 0


def exported(args: argparse.Namespace) -> str:
    """The text of the export.

    Raises:
        OptionError: For several results where the format holds one, or a flag that does not fit.
    """
    if args.to in ONE and len(args.results) > 1:
        raise OptionError(
            f"--to {args.to} holds one run; export the {len(args.results)} results one by one"
        )
    several = [read_results(path) for path in args.results]
    metrics = listed(args.metric)
    if args.to == "csv":
        return exporting.to_csv(several, metrics, args.policy)
    if args.to == "eee":
        return exporting.to_eee(
            several[0],
            metrics,
            policy=args.policy,
            organization=args.organization,
            relationship=args.relationship,
        )
    policy: Policy = args.policy or "strict"
    if args.to == "hf":
        datasets = dict(_dataset(text) for text in args.dataset or ())
        return exporting.to_hub(several[0], datasets, metrics, policy=policy, source=args.source)
    if args.run is not None and len(args.run) != len(several):
        raise OptionError(f"--run is given {len(args.run)} times for {len(several)} results")
    folders = args.run or [
        _folder(path, results.run) for path, results in zip(args.results, several, strict=True)
    ]
    return exporting.to_latex(
        several, folders, metrics, policy=policy, style=args.interval, names=listed(args.names)
    )


def listed(text: str | None) -> list[str] | None:
    """Names joined by commas.

    Example:
        >>> listed("uar, wa"), listed(None)
        (['uar', 'wa'], None)
    """
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _dataset(text: str) -> tuple[str, str]:
    corpus, equals, name = text.partition("=")
    if not equals or name.count("/") != 1 or not all(name.split("/")):
        raise OptionError(f"--dataset {text!r} must be CORPUS=OWNER/NAME, e.g. mini=me/mini")
    return corpus, name


def _folder(path: Path, named: str) -> Path | None:
    for place in (Path(named), path.absolute().parent):
        if (place / "run.json").is_file():
            return place
    return None
