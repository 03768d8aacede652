"""``voxemo prompts``, ``voxemo verbalizers``, ``voxemo judges``: the pre-registered texts."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .. import registry
from ..corpora import prepared
from ..errors import UnknownNameError
from ..records import AudioRef, Json
from ..render import decoding_of, render
from ..results.table import align
from ..rooms import ROOMS, lock, read_sums, room_path


def add_parsers(subparsers: Any) -> None:
    for room in ROOMS:
        parser = subparsers.add_parser(room, help=f"the {room} room: ls, lint, lock")
        commands = parser.add_subparsers(dest="what", metavar="COMMAND", required=True)
        commands.add_parser("ls", help="a line per file").set_defaults(func=list_room, room=room)
        lint = commands.add_parser("lint", help="check schema, placeholders, digests, examples")
        lint.set_defaults(func=lint_room, room=room)
        locker = commands.add_parser("lock", help="register new files; never changes old ones")
        locker.set_defaults(func=lock_room, room=room)
        if room == "prompts":
            show = commands.add_parser("show", help="exactly what a model gets")
            show.add_argument("id", help="prompt id, or id@version")
            show.add_argument("--corpus", required=True, help="whose menu and utterance")
            show.add_argument("--label_set", help="default: the card's own")
            show.add_argument("--utterance", help="utterance id (default: the menu only)")
            show.set_defaults(func=show_prompt)


def _specs(room: str) -> list[Any]:
    if room == "prompts":
        return list(registry.prompts())
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


def show_prompt(args: argparse.Namespace) -> int:
    prompt, digest = registry.prompt(args.id)
    card, _ = registry.corpus(args.corpus)
    labels = card.label_set(args.label_set).labels
    audio = AudioRef(path="(the utterance's audio)", sha256="")
    if args.utterance:
        manifest = prepared(args.corpus).manifest()
        ids = manifest.column("utterance_id")
        if args.utterance not in ids:
            raise UnknownNameError(f"utterance of {args.corpus}", args.utterance, ids)
        audio = manifest.audio_ref(ids.index(args.utterance))
    request = render(prompt, digest, labels, audio, decoding_of(prompt))
    shown: Json = {
        "prompt": prompt.ref,
        "sha256": digest,
        "messages": list(request.messages),
        "audio": [ref.to_json() for ref in request.audio] if args.utterance else [],
        "decoding": request.decoding.to_json(),
    }
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0
