"""Corpora of long recordings, each beside a YAML list of its segments.

::

    - prompt: angry_n0001
      text: Das ist ein Satz.
      style: angry
      start: 0.0
      end: 2.85

A recording has the name of its list. The lists are the corpus's own files, and are read here with
``yaml.safe_load``; ``rooms`` alone opens the YAML of the project.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from ...audio import shown
from ...errors import CorpusError
from ...records import Utterance
from ...specs import CorpusCard, Spec
from .annotations import ENCODINGS, Tree, encoding_of
from .base import Problem, options, wrong_layout


class Options(Spec):
    """``reader.options`` of this family."""

    lists: str = Field(description="Shell pattern of the lists' names, e.g. 'pavoque-*.yaml'.")
    extensions: list[str] = Field(min_length=1, description="Of the recordings, best first.")
    utterance_id: str = Field(description="Template over a segment's keys.")
    raw_label: str = Field(description="Key of the label.")
    transcript: str | None = None
    start: str = "start"
    end: str = "end"
    set: dict[str, str] = Field(
        default_factory=dict, description="Field → value, the same for every segment."
    )


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from lists of segments.

    Yields:
        An utterance for each segment, whether its recording is there or not; a problem for each
        entry that cannot be read, and for each recording without a list.

    Raises:
        CorpusError: For a root without lists; a list that is no YAML list.
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    tree = Tree(card, root, wanted.extensions, {PurePosixPath(wanted.lists).suffix[1:]})
    lists = [p for p in tree.texts if fnmatchcase(PurePosixPath(p).name, wanted.lists)]
    if not lists:
        raise wrong_layout(card, root, f"lists of segments called {wanted.lists}")
    for path in lists:
        recording = tree.audio(PurePosixPath(path).stem, _folder(path))
        if isinstance(recording, Problem):
            yield recording
            continue
        for number, entry in enumerate(_entries(root / path), start=1):
            yield _utterance(wanted, recording, f"{path}: entry {number}", entry)
    yield from tree.leftovers(wanted.lists)


def _folder(path: str) -> str:
    parent = str(PurePosixPath(path).parent)
    return "" if parent == "." else parent


def _entries(path: Path) -> list[Any]:
    import yaml

    try:
        with path.open(encoding=encoding_of(path, ENCODINGS)) as text:
            content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise CorpusError(f"{shown(path)}: is not YAML ({error})") from error
    if not isinstance(content, list):
        raise CorpusError(f"{shown(path)}: is not a list of segments")
    return content


def _utterance(wanted: Options, path: str, where: str, entry: Any) -> Utterance | Problem:
    if not isinstance(entry, Mapping):
        return Problem(where, "is not an object")
    texts = {key: str(value) for key, value in entry.items() if isinstance(key, str)}
    try:
        utterance_id = wanted.utterance_id.format_map(texts)
        raw_label = texts[wanted.raw_label]
        start, end = entry[wanted.start], entry[wanted.end]
    except KeyError as error:
        return Problem(where, f"has no {error.args[0]}")
    if not all(_seconds(value) for value in (start, end)) or not 0 <= start < end:
        return Problem(where, f"start {start!r} and end {end!r} are not a segment")
    return Utterance(
        utterance_id,
        path,
        start_s=float(start),
        end_s=float(end),
        raw_label=raw_label,
        transcript=texts.get(wanted.transcript or ""),
        **wanted.set,  # type: ignore[arg-type]  # text fields
    )


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
