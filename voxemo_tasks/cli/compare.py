"""``voxemo compare``: two runs or more on the same utterances."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..metrics.hard import HARD_METRICS
from ..results.comparing import MARGIN, compare_runs
from ..results.comparison_model import Comparison, Difference, OverTasks
from ..results.table import align, percent
from ..results.wanted import SEED
from ..results.writing import write_results


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "compare",
        description="Paired differences of rates, with intervals and tests that know the speakers. "
        "Runs that did not ask about the same utterances are refused.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="run folders, at least 2")
    parser.add_argument(
        "--metric",
        default="uar",
        help=f"one or more, joined by commas; the first is the primary one ({', '.join(HARD_METRICS)}; "
        "default uar)",
    )
    parser.add_argument(
        "--policy",
        choices=("strict", "answered"),
        default="strict",
        help="how non-answers count (default: strict, they are wrong)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        help=f"largest difference that does not matter, as a fraction (default {MARGIN})",
    )
    parser.add_argument(
        "--primary",
        metavar="TASK,…",
        help="tasks of the primary family of tests, decided beforehand (default: all)",
    )
    parser.add_argument("--out", type=Path, help="also write everything as JSON to this file")
    parser.add_argument(
        "--seed", type=int, default=SEED, help=f"of bootstrap and flips (default {SEED})"
    )
    parser.add_argument(
        "--no-sensitivity",
        action="store_true",
        help="do not read the replies in every other way (faster; no rank stability)",
    )
    parser.set_defaults(func=compare)


def compare(args: argparse.Namespace) -> int:
    found = compare_runs(
        args.runs,
        metrics=_listed(args.metric),
        policy=args.policy,
        margin=args.margin,
        primary=None if args.primary is None else _listed(args.primary),
        seed=args.seed,
        multiverse=not args.no_sensitivity,
    )
    print(text_of(found))
    if args.out is not None:
        print(f"\ncomparison: {write_results(found, args.out)}")
    return 0


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def text_of(found: Comparison) -> str:
    """The comparison for people: a row per task, pair and metric, then what surrounds them."""
    top = (
        f"{found.policy} rates in percent, first less second with {percent(1 - found.alpha)} % "
        "interval; p: cluster sign-flip test, then adjusted over its family; McNemar (mid-p) takes "
        "utterances for independent"
    )
    if found.notice:
        top = f"*** {found.notice.upper()} ***  {top}"
    lines = [top, "", _table(found), "", *_notes(found)]
    lines += [_over(one) for one in found.over_tasks]
    for rank in found.ranks:
        if rank.stability is None:
            lines.append(f"{rank.task}: no rank stability: {rank.reason}")
            continue
        s = rank.stability
        lines.append(
            f"{rank.task}: order of {len(s.models)} runs by UAR over {s.n_readings} readings: "
            f"Kendall's tau median {s.tau_median:.2f}, lowest {s.tau_min:.2f}; the same best run in "
            f"{percent(s.same_winner)} %"
        )
    lines += [
        f"not compared: {r.task}, {r.first} and {r.second}: {r.reason}" for r in found.refused
    ]
    return "\n".join(lines)


def _table(found: Comparison) -> str:
    head = ["task", "first", "second", "metric", "n", "speakers", "first %", "second %"]
    head += ["difference", "p", "p adj.", "McNemar", "detectable", f"within ±{_margin(found)}"]
    return align([head, *(_row(one) for one in found.differences)])


def _margin(found: Comparison) -> str:
    return "-" if found.margin is None else f"{100 * found.margin:g}"


def _row(one: Difference) -> list[str]:
    low, high = one.interval.low, one.interval.high
    reach = "" if low is None else f" [{percent(low)}, {percent(high)}]"
    alike = one.equivalence
    mark = "*" if one.family == "primary" else ""
    return [
        one.task,
        one.first,
        one.second,
        f"{one.metric}{mark}",
        str(one.utterances.compared),
        "-" if one.interval.cluster is None else str(one.n_clusters),
        percent(one.value_first),
        percent(one.value_second),
        f"{percent(one.difference)}{reach}",
        _p(one.sign_flip.p_value),
        _p(one.p_adjusted),
        _p(one.mcnemar.p_mid),
        percent(one.detectable),
        "-" if alike is None else f"{'yes' if alike.equivalent else 'no'} (p {_p(alike.p_value)})",
    ]


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<.001" if value < 0.001 else f"{value:.3f}"


def _notes(found: Comparison) -> Sequence[str]:
    notes = [
        f"* primary family: {found.metrics[0]} on {', '.join(found.primary)}, adjusted by Holm; all "
        "else by Benjamini and Hochberg"
    ]
    for one in found.differences:
        if one.metric != found.metrics[0]:
            continue
        where = f"{one.task}, {one.first} and {one.second}"
        u = one.utterances
        if u.compared < u.asked:
            notes.append(
                f"{where}: {u.compared} of {u.asked} utterances compared; lost on our side: "
                f"{u.lost_first} of the first, {u.lost_second} of the second; without gold label: "
                f"{u.without_gold}"
            )
        if one.sign_flip.p_value is not None and one.sign_flip.least > found.alpha:
            notes.append(
                f"{where}: {one.sign_flip.n_differ} speakers (or utterances) differ; the least p "
                f"that the test can give is {one.sign_flip.least:.3f}"
            )
        if one.verbalizers[0] != one.verbalizers[1]:
            notes.append(f"{where}: read by {one.verbalizers[0]} and {one.verbalizers[1]}")
        if one.interval.reason:
            what = "no interval" if one.interval.low is None else "limits are equal"
            notes.append(f"{where}: {what}: {one.interval.reason}")
    return notes


def _over(one: OverTasks) -> str:
    e = one.effects
    start = f"{one.first} less {one.second}, {one.metric} over {one.tier} tasks"
    if e is None:
        return f"{start}: no summary: {one.reason}"
    text = f"{start} ({e.k}): mean {percent(e.mean)} [{percent(e.low)}, {percent(e.high)}]"
    text += f", sd between {percent(e.tau)}"
    if e.prediction_low is not None:
        text += f", a new corpus [{percent(e.prediction_low)}, {percent(e.prediction_high)}]"
    if one.left_out:
        text += f"; left out: {', '.join(one.left_out)}"
    return text
