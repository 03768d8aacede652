"""``voxemo verbalize``: read replies from anywhere, and see why one was read as it was."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from .. import registry
from ..errors import OptionError
from ..records import Json
from ..specs import AnyVerbalizer
from ..verbalize import FinishReason, compiled_words, verbalize

DEFAULT = "closed_set"


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("verbalize")
    commands = parser.add_subparsers(dest="what", metavar="COMMAND", required=True)
    run = commands.add_parser(
        "run",
        help="JSONL in, JSONL out",
        description='Reads {"reply": text, "menu": [labels]} a line from standard input and writes '
        "the same object with status, labels (menu forms), off_menu, span and rule.",
    )
    run.add_argument("--verbalizer", default=DEFAULT, help=f"default: {DEFAULT}")
    run.set_defaults(func=_run)
    explain = commands.add_parser("explain", help="the trace of one reply")
    explain.add_argument("text", metavar="TEXT")
    menu = explain.add_mutually_exclusive_group(required=True)
    menu.add_argument("--menu", help="labels, separated by commas")
    menu.add_argument("--corpus", help="take the menu of this corpus")
    explain.add_argument("--verbalizer", default=DEFAULT, help=f"default: {DEFAULT}")
    explain.set_defaults(func=_explain)


def read(lines: Iterable[bytes], spec: AnyVerbalizer) -> Iterator[Json]:
    """Each input object with its verdict.

    Raises:
        OptionError: With the line, for one that is no such object.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"standard input, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise OptionError(f"{where}: not JSON ({error})") from error
        reply, menu = (row.get("reply"), row.get("menu")) if isinstance(row, dict) else (None, [])
        good_menu = isinstance(menu, list) and all(isinstance(m, str) for m in menu)
        if not isinstance(reply, str) or not good_menu or not menu:
            raise OptionError(
                f'{where}: expected {{"reply": text, "menu": [labels]}}, got {line[:200]!r}'
            )
        reason: FinishReason = "length" if row.get("finish_reason") == "length" else "stop"
        scale = row.get("scale")
        if scale is not None:
            numbers = isinstance(scale, list) and all(type(x) in (int, float) for x in scale)
            if not numbers or len(scale) != 2:
                raise OptionError(f"{where}: scale is [lowest, highest], got {scale!r}")
            scale = (float(scale[0]), float(scale[1]))
        verdict = verbalize(reply, menu, spec, finish_reason=reason, scale=scale).to_json()
        verdict.pop("cut")
        yield row | verdict


def _run(args: argparse.Namespace) -> int:
    spec, _ = registry.verbalizer(args.verbalizer)
    for row in read(sys.stdin.buffer, spec):
        text = json.dumps(row, ensure_ascii=False)
        try:
            sys.stdout.write(text + "\n")
        except UnicodeEncodeError:  # lone surrogates, or a terminal that is not UTF-8
            sys.stdout.write(json.dumps(row) + "\n")
    return 0


def _explain(args: argparse.Namespace) -> int:
    spec, digest = registry.lexical(args.verbalizer)
    if args.corpus:
        menu = list(registry.corpus(args.corpus)[0].label_set().labels)
    else:
        menu = [label.strip() for label in args.menu.split(",") if label.strip()]
    if not menu:
        raise OptionError("--menu names no label")
    trace = compiled_words(spec, menu).trace(args.text)
    verdict = trace.verdict
    print(f"verbalizer  {spec.ref} ({digest[:12]})")
    print(f"menu        {', '.join(menu)}")
    print(f"normalised  {trace.normalised}")
    print(f"read        {trace.region}: {trace.text}")
    for mention in trace.mentions:
        word = trace.normalised[mention.hit.start : mention.hit.end]
        fate = f"dropped: {mention.dropped}" if mention.dropped else mention.level.name.lower()
        print(f"  {word!r} ({mention.sense.concept}): {fate}")
    for phrase in trace.abstentions:
        print(f"  abstains: {phrase}")
    print(f"verdict     {verdict.status} {', '.join(verdict.labels)}".rstrip())
    if verdict.off_menu:
        print(f"off menu    {', '.join(verdict.off_menu)}")
    if verdict.span is not None:
        print(f"evidence    {args.text[slice(*verdict.span)]!r} at {verdict.span}")
    print(f"rule        {verdict.rule}")
    return 0
