"""Readers: a local copy of a corpus → utterances. One per layout family, none per corpus.

A reader gets the card and the root, and yields ``Utterance`` records without audio facts, and a
``Problem`` for each file that looks like audio and does not follow the layout. It fills in what the
layout itself tells (``raw_label``, speaker, votes …); canonical labels, the card's language and
culture, and the audio facts are added by ``prepare``. It opens no audio file and guesses nothing.

A new family is a module here and a line in ``READERS``; a new corpus of a known family is a card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import UnknownNameError
from ...records import Utterance
from ...specs import CorpusCard
from . import (
    emo_evaluation,
    filename_grammar,
    filename_votes,
    hub,
    json_annotation,
    jsonl_metadata,
    manifest_file,
    per_rater,
    segments,
    table,
)
from .base import Problem, options

Reader = Callable[[CorpusCard, Path], Iterator[Utterance | Problem]]

READERS: dict[str, Reader] = {
    "emo_evaluation": emo_evaluation.read,
    "filename_votes": filename_votes.read,
    "json_annotation": json_annotation.read,
    "per_rater": per_rater.read,
    "segments": segments.read,
    "table": table.read,
    "filename_grammar": filename_grammar.read,
    "jsonl_metadata": jsonl_metadata.read,
    "manifest": manifest_file.read,
    "hub": hub.read,
}
OPTIONS = {
    "emo_evaluation": emo_evaluation.Options,
    "filename_votes": filename_votes.Options,
    "json_annotation": json_annotation.Options,
    "per_rater": per_rater.Options,
    "segments": segments.Options,
    "table": table.Options,
    "filename_grammar": filename_grammar.Options,
    "jsonl_metadata": jsonl_metadata.Options,
    "manifest": manifest_file.Options,
    "hub": hub.Options,
}
"""What `reader.options` of a card may hold, by family."""

__all__ = ["OPTIONS", "READERS", "Problem", "Reader", "audio_root", "options", "reader"]


def reader(family: str) -> Reader:
    """The reader of a layout family.

    Raises:
        UnknownNameError: For a family that is not registered.
    """
    if family not in READERS:
        raise UnknownNameError("reader family", family, READERS)
    return READERS[family]


def audio_root(card: CorpusCard, root: Path) -> Path:
    """The root that a reader is to be given, and that its paths are relative to.

    It is the local copy itself, but for a dataset that embeds its audio: that is written to files
    first (``hub``).

    Raises:
        CorpusError: For a local copy that cannot be read.
        StoreError: Where the audio cannot be written.
    """
    return hub.audio_root(card, root) if card.reader.family == "hub" else root
