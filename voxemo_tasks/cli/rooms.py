"""``voxemo prompts``, ``voxemo verbalizers``, ``voxemo judges``: the pre-registered texts."""

from __future__ import annotations

import argparse
from typing import Any

from .. import registry
from ..results.table import align
from ..rooms import lock, read_sums, room_path
from .show_prompt import add_parser as add_show


def add_parser(subparsers: Any, room: str) -> None:
    parser = subparsers.add_parser(room)
    commands = parser.add_subparsers(dest="what", metavar="COMMAND", required=True)
    commands.add_parser("ls", help="a line per file").set_defaults(func=list_room, room=room)
    lint = commands.add_parser("lint", help="check schema, placeholders, digests, examples")
    lint.set_defaults(func=lint_room, room=room)
    locker = commands.add_parser("lock", help="register new files; never changes old ones")
    locker.set_defaults(func=lock_room, room=room)
    if room == "prompts":
        add_show(commands)


def _specs(room: str) -> list[Any]:
    if room == "prompts":
        return [*registry.prompts(), *registry.ensembles(), *registry.wordings()]
    if room == "verbalizers":
        return list(registry.verbalizers())
    return list(registry.judges())


def list_room(args: argparse.Namespace) -> int:
    rows = [["id", "language", "title"]]
    for spec in _specs(args.room):
        rows.append([spec.ref, getattr(spec, "language", "-"), spec.title])
    print(align(rows))
    return 0


def lint_room(args: argparse.Namespace) -> int:
    registry.clear()
    specs = _specs(args.room)
    if args.room == "verbalizers":
        from ..errors import DataRoomError
        from ..verbalize import failing_examples

        for spec in specs:
            failing = failing_examples(spec)
            if failing:
                raise DataRoomError(f"verbalizer {spec.ref}: examples fail: {failing}")
    if args.room == "judges":
        from ..adjudicate import failing_examples as failing_judgements
        from ..errors import DataRoomError

        for spec in specs:
            wrong = failing_judgements(spec, registry.judge(spec.ref)[1])
            if wrong:
                raise DataRoomError(f"rubric {spec.ref}: examples fail: {wrong}")
    print(f"{args.room}: {len(specs)} file(s), all good")
    return 0


def lock_room(args: argparse.Namespace) -> int:
    folder = room_path(args.room)
    added, _ = lock(folder)
    registry.clear()
    _specs(args.room)
    for name in added:
        print(f"registered {name}")
    print(f"{args.room}: {len(read_sums(folder))} file(s) registered, {len(added)} new")
    return 0
