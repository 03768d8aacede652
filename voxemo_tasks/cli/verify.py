"""``voxemo verify``: a results JSON against the replies that it was computed from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import __version__
from ..results import read_results
from ..results.preregistration import hold, read_locked
from ..results.verifying import Difference, Verification, verify_results

SHOWN = 40
"""Differences that are printed; the rest is counted."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "verify",
        description="Scores the run folder of a results JSON again, with the verbalizer, seed and "
        "divisions that the file names, and compares value by value. Exit status 1 where any "
        "differs.",
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", type=Path, help="results JSON")
    parser.add_argument("--run", type=Path, help="the run folder, where it was moved")
    parser.add_argument(
        "--prereg", type=Path, metavar="FILE", help="also hold the file to this locked plan again"
    )
    parser.add_argument(
        "--transcript-baseline",
        type=Path,
        metavar="RUN",
        help="the run folder of the transcript-only system, where it was moved",
    )
    parser.set_defaults(func=verify)


def verify(args: argparse.Namespace) -> int:
    if args.run is not None and len(args.results) > 1:
        from ..errors import OptionError

        raise OptionError("--run is the folder of one results JSON; give one RESULTS")
    holds = True
    for path in args.results:
        found = verify_results(path, args.run, args.transcript_baseline)
        for line in report(path, found):
            print(line)
        holds &= found.holds
        if args.prereg is not None:
            line, as_recorded = against_plan(path, args.prereg)
            print(f"  {line}")
            holds &= as_recorded
    return 0 if holds else 1


def against_plan(path: Path, plan: Path) -> tuple[str, bool]:
    """Whether the departures on record are those from the plan, and a line that says so."""
    locked, digest = read_locked(plan)
    results = read_results(path)
    again = hold(locked, digest, results).preregistration
    stored = results.preregistration
    if again == stored and again is not None:
        return f"pre-registration: {len(again.departures)} departure(s), as on record", True
    if stored is None:
        return "pre-registration: none on record", False
    if again is None or stored.file_sha256 != digest:
        return f"pre-registration: another plan (SHA-256 {stored.file_sha256}) is on record", False
    return (
        f"pre-registration: {len(stored.departures)} departure(s) on record, "
        f"{len(again.departures)} found again, and they are not the same",
        False,
    )


def report(path: Path, found: Verification) -> list[str]:
    """What was found, in lines: first whether it holds, then why not, then what else to know."""
    lines = []
    if found.impossible is not None:
        lines.append(f"{path}: CANNOT BE VERIFIED: a registered file is not what it was")
        lines.append(f"  {found.impossible}")
    elif found.holds:
        lines.append(f"{path}: verified, {found.compared} values as {found.folder} gives them")
    else:
        digests = [d for d in found.differences if d.kind == "digest"]
        values = [d for d in found.differences if d.kind != "digest"]
        lines.append(
            f"{path}: NOT VERIFIED: {len(values)} of {found.compared} values and {len(digests)} "
            f"digests differ from what {found.folder} gives"
        )
        for title, several in (("values", values), ("digests of files", digests)):
            if several:
                lines.append(f"  {title} (path: stored, computed again)")
                lines += [f"    {_line(one)}" for one in several[:SHOWN]]
                if len(several) > SHOWN:
                    lines.append(f"    … and {len(several) - SHOWN} more")
    if not found.same_version:
        lines.append(
            f"  version: written by voxemo-tasks {found.version}, computed again by {__version__}"
        )
    lines += [f"  registered file: {one}" for one in found.files]
    if found.not_in_file:
        names = ", ".join(found.not_in_file[:5]) + (" …" if len(found.not_in_file) > 5 else "")
        lines.append(
            f"  not in the file, so not compared: {len(found.not_in_file)} field(s): {names}"
        )
    if found.later_sessions:
        lines.append(
            f"  left out: {len(found.later_sessions)} session(s) written later "
            f"({', '.join(found.later_sessions[:3])})"
        )
    return lines


def _line(one: Difference) -> str:
    if one.kind == "absent":
        return f"{one.path}: not in the file, {_shown(one.again)}"
    if one.kind == "added":
        return f"{one.path}: {_shown(one.stored)}, nothing"
    return f"{one.path}: {_shown(one.stored)}, {_shown(one.again)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"
