"""``voxemo models``: families of speech LLMs that a backend knows."""

from __future__ import annotations

import argparse
from typing import Any

from .. import registry
from ..results.table import align


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("models")
    commands = parser.add_subparsers(dest="what", metavar="COMMAND", required=True)
    commands.add_parser("ls", help="a line per family").set_defaults(func=list_all)


def list_all(args: argparse.Namespace) -> int:
    rows = [["family", "pretrained", "engines", "hears", "verified on"]]
    for card in registry.models():
        names = ", ".join(
            [*card.alias_of_asset, *card.pretrained, *(card.api.models if card.api else ())]
        )
        engines = ", ".join(f"{engine} {versions}" for engine, versions in card.engines.items())
        limit = "not known" if card.api else "no limit"
        hears = limit if card.max_audio_s is None else f"{card.max_audio_s:.0f} s"
        rows.append([card.id, names, engines, hears, card.verified_on])
    print(align(rows))
    return 0
