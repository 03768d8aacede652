"""Corpora that come with a JSON Lines file: one object per utterance, keys as in ``Utterance``.

The paths in it are relative to the folder of that file, which is the root.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from ...audio import shown
from ...errors import CorpusError
from ...records import Utterance
from ...specs import CorpusCard, Spec
from .base import Problem, audio_files_below, options, require_root, wrong_layout

_ADDED_LATER = frozenset({"label", "duration_s", "sampling_rate_hz", "sha256", "error"})
KEYS = frozenset(f.name for f in fields(Utterance)) - _ADDED_LATER
"""Keys of a line; ``utterance_id`` and ``path`` are required, null is "not known"."""


class _Split(Spec):
    protocol: str
    fold: int = Field(ge=1)
    role: str = Field(pattern="^(train|valid|test)$")


_TYPES: dict[str, TypeAdapter[Any]] = {
    **dict.fromkeys(KEYS, TypeAdapter(str | None)),
    **dict.fromkeys(("utterance_id", "path"), TypeAdapter(str)),
    **dict.fromkeys(
        ("start_s", "end_s", "valence", "arousal", "dominance"), TypeAdapter(float | None)
    ),
    "channel": TypeAdapter(int | None),
    "votes": TypeAdapter(dict[str, int] | None),
    "rater_votes": TypeAdapter(dict[str, str | list[str]] | None),
    "rater_ratings": TypeAdapter(dict[str, dict[str, float]] | None),
    "traces": TypeAdapter(dict[str, dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] | None),
    "splits": TypeAdapter(list[_Split] | None),
}


class Options(Spec):
    """``reader.options`` of this family."""

    file: str = Field(default="metadata.jsonl", description="Its name, in the root.")
    extra: list[str] = Field(
        default_factory=list, description="Keys of the file that are no fields, and left out."
    )


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from the lines of the metadata file.

    Yields:
        An utterance for each line, whether its file exists or not; a problem for each file that
        looks like audio and stands on no line.

    Raises:
        CorpusError: For a root without the file; a line that is not an object, has an unknown key,
            lacks a required one or holds a value of the wrong type (with its number).
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    require_root(card, root)
    file = root / wanted.file
    if not file.is_file():
        below = sorted(root.glob(f"*/{wanted.file}"))
        hint = f"It lies one level down: try --root {shown(below[0].parent)}" if below else ""
        raise wrong_layout(card, root, f"the file {wanted.file} in the root itself", hint)
    named: set[str] = set()
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    utterance = _utterance(line, f"{shown(file)}:{number}", set(wanted.extra))
                    named.add(utterance.path)
                    yield utterance
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{shown(file)}: is not UTF-8 ({error.reason}, byte {error.start} of a block)"
        ) from error
    except OSError as error:
        raise CorpusError(f"{shown(file)}: cannot be read ({error.strerror or error})") from error
    if not named:
        raise CorpusError(f"{shown(file)}: has no line; fetch the corpus again")
    for path in audio_files_below(root):
        if isinstance(path, Problem):
            yield path
        elif path not in named:
            yield Problem(path, f"stands on no line of {wanted.file}")


def _utterance(line: str, where: str, extra: set[str]) -> Utterance:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{where}: is not JSON ({error.msg}, column {error.colno})") from error
    if not isinstance(row, dict):
        raise CorpusError(f"{where}: is not an object ({{…}})")
    row = {key: value for key, value in row.items() if key not in extra}
    if unknown := sorted(row.keys() - KEYS):
        raise CorpusError(
            f"{where}: unknown key(s) {', '.join(unknown)}; known: {', '.join(sorted(KEYS))}"
        )
    for key in ("utterance_id", "path"):
        if not row.get(key):
            raise CorpusError(f"{where}: has no {key}")
    for key, value in row.items():
        try:
            checked = _TYPES[key].validate_python(value, strict=True)
        except ValidationError as error:
            raise CorpusError(f"{where}, key {key}: {error.errors()[0]['msg']}") from error
        if key != "splits":
            row[key] = checked
    return Utterance.from_json(row)
