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
from . import filename_grammar, jsonl_metadata
from .base import Problem, options

Reader = Callable[[CorpusCard, Path], Iterator[Utterance | Problem]]

READERS: dict[str, Reader] = {
    "filename_grammar": filename_grammar.read,
    "jsonl_metadata": jsonl_metadata.read,
}
OPTIONS = {
    "filename_grammar": filename_grammar.Options,
    "jsonl_metadata": jsonl_metadata.Options,
}
"""What `reader.options` of a card may hold, by family."""

__all__ = ["OPTIONS", "READERS", "Problem", "Reader", "options", "reader"]


def reader(family: str) -> Reader:
    """The reader of a layout family.

    Raises:
        UnknownNameError: For a family that is not registered.
    """
    if family not in READERS:
        raise UnknownNameError("reader family", family, READERS)
    return READERS[family]
