"""Corpora whose labels live in file names, and whose votes and speakers lie in tables beside them.

The names are read as ``filename_grammar`` reads them; the tables are optional (a mirror often has
the audio alone), and a missing one is listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...records import Utterance
from ...specs import CorpusCard
from . import filename_grammar
from .annotations import Tree
from .base import Problem, options
from .votes import People, Votes, read_people, read_votes


class Options(filename_grammar.Options):
    """``reader.options`` of this family: those of ``filename_grammar`` and two tables."""

    votes: Votes | None = None
    people: People | None = None


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from names, with votes and what is known of the speakers.

    Yields:
        What ``filename_grammar`` yields; a problem for a table that is not there, and for each row
        of one that cannot be read or names an unknown clip.

    Raises:
        CorpusError: As ``filename_grammar``; for a table that cannot be read as a whole.
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    tree = Tree(card, root, wanted.extensions, {"csv"}, wanted.ignore)
    book = read_votes(card, tree, wanted.votes)
    people = read_people(tree, wanted.people)
    names = {k: v for k, v in card.reader.options.items() if k not in ("votes", "people")}
    plain = card.model_copy(update={"reader": card.reader.model_copy(update={"options": names})})
    for found in filename_grammar.read(plain, root):
        yield found if isinstance(found, Problem) else people.give(book.give(found))
    yield from people.problems
    yield from book.leftovers()
