"""``voxemo score``: numbers from stored replies, with no engine and no corpus."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..results import score_run, table_of, write_results
from ..results.import_plan import parse_labels
from ..results.model import Results, Sensitivity
from ..results.samples import import_samples
from ..results.sensitivity import rank_stability
from ..results.wanted import SEED
from ..store.reading import RUN_FILE
from .prereg import add_flags, held
from .stimuli import check_stimuli


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("score")
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        type=Path,
        help="run folder(s), a folder that holds one, or sample logs of lm-eval",
    )
    parser.add_argument(
        "--labels", default="", help="the menu (a,b,c), for a sample log of a task of another suite"
    )
    parser.add_argument("--verbalizer", help="read the replies with this one instead")
    parser.add_argument(
        "--by",
        help="divide by these facts of the utterances, joined by commas (default: culture, language, "
        "gender, as far as they are known and differ)",
    )
    parser.add_argument(
        "--out", type=Path, help="results JSON (default: results.json in the run folder)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the bootstrap (default {SEED})")
    parser.add_argument(
        "--no-sensitivity",
        action="store_true",
        help="do not read the replies in every other way (faster)",
    )
    parser.add_argument(
        "--transcript-baseline",
        type=Path,
        metavar="RUN",
        help="run folder (or sample log) of a system that was given the words and no sound: its rates "
        "on the same utterances, and the difference (default: the run's own control transcript_only)",
    )
    parser.add_argument(
        "--annotator-delay",
        type=float,
        metavar="SECONDS",
        help="take time-continuous ratings for so much earlier speech (default: the card's delay)",
    )
    parser.add_argument(
        "--check-stimuli",
        action="store_true",
        help="first measure the changed clips of counterfactual tasks that were not measured yet (those "
        "of a run under plain lm-eval); their corpus must be prepared here",
    )
    add_flags(parser)
    parser.set_defaults(func=score)


def score(args: argparse.Namespace) -> int:
    if args.out is not None and len(args.runs) > 1:
        raise OptionError("--out takes the results of one run; give one RUN, or leave --out away")
    scored: dict[str, Results] = {}
    words = None
    if args.transcript_baseline is not None:
        words = as_run(args.transcript_baseline, args.labels)
    for given in args.runs:
        folder = as_run(given, args.labels)
        if args.check_stimuli:
            print(
                "\n".join(check_stimuli(folder)) or "no task asked for claims; nothing to measure"
            )
        results = score_run(
            folder,
            verbalizer=args.verbalizer,
            by=None if args.by is None else [key.strip() for key in args.by.split(",")],
            seed=args.seed,
            multiverse=not args.no_sensitivity,
            transcript_baseline=words,
            annotator_delay_s=args.annotator_delay,
        )
        results = held(results, args.prereg, args.departures, "no results were written")
        scored[str(folder)] = results
        name = "results.json" if args.verbalizer is None else f"results.{args.verbalizer}.json"
        path = write_results(results, args.out or folder / name)
        print(f"{table_of(results)}\n\nresults: {path}")
    for line in ranks(scored):
        print(line)
    return 0


def as_run(given: Path, labels: str) -> Path:
    """A run folder; for a sample log the one made of it beside it (``….run``).

    A folder that is none but holds exactly one (``--output_path`` of ``voxemo run``) stands for it.

    Raises:
        OptionError: For a folder that holds several.
    """
    if given.is_dir():
        return _only_run(given)
    if given.suffix != ".jsonl":
        return given
    menu = parse_labels(labels) if labels else ()
    marks = [given.read_bytes(), repr(menu).encode()]
    name = f"{given.stem}.{hashlib.sha256(b''.join(marks)).hexdigest()[:8]}.run"
    folder = given.with_name(name)
    if not (folder / "run.json").exists():
        import_samples(given, folder, labels=menu)
    return folder


def _only_run(given: Path) -> Path:
    if (given / RUN_FILE).exists():
        return given
    inside = sorted(path.parent for path in given.glob(f"*/{RUN_FILE}"))
    if len(inside) > 1:
        listed = "\n".join(f"  {folder}" for folder in inside)
        raise OptionError(
            f"{given} holds {len(inside)} run folders; name those to score:\n{listed}"
        )
    return inside[0] if inside else given


def ranks(scored: Mapping[str, Results]) -> list[str]:
    """A line for each task that several runs asked of the same utterances."""
    by_task: dict[tuple[str, str], dict[str, Sensitivity]] = {}
    for name, results in scored.items():
        for task, result in results.tasks.items():
            if result.sensitivity is not None:
                key = (task, result.documents_sha256)
                by_task.setdefault(key, {})[name] = result.sensitivity
    lines = []
    for (task, _), several in sorted(by_task.items()):
        stable = rank_stability(several)
        if stable is not None:
            lines.append(
                f"{task}: order of {len(stable.models)} runs over {stable.n_readings} readings: "
                f"Kendall's tau median {stable.tau_median:.2f}, lowest {stable.tau_min:.2f}; the "
                f"same best run in {100 * stable.same_winner:.0f} %"
            )
    return lines
