"""Votes and speakers that a corpus keeps in tables of their own, beside whatever names its clips.

A table of votes has either one row per clip with a column of counts per class (``counts``), or one
row per clip and rater (``label``, ``rater``). Rows are joined to utterances by a key, which is the
utterance's id. A clip whose votes cannot all be read gets none, and a problem for each reason: half
of its votes would be another distribution.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import Field, model_validator

from ...records import Utterance
from ...specs import CorpusCard, Spec
from .annotations import ENCODINGS, Tree, columns_of, fill, table
from .base import Problem

_PEOPLE_FIELDS = frozenset({"gender", "age", "culture", "language"})


class Votes(Spec):
    """Where votes lie."""

    files: list[str] = Field(min_length=1, description="Endings of its path, best first.")
    key: str = Field(description="Template that gives the utterance's id.")
    where: dict[str, str] = Field(
        default_factory=dict,
        description="Column → regular expression that its whole value matches in rows that count.",
    )
    counts: dict[str, str] = Field(
        default_factory=dict, description="Column of counts → raw label that it counts."
    )
    label: str | None = Field(default=None, description="Template of one rater's answer.")
    rater: str | None = Field(default=None, description="Template of the rater's id.")
    several: str | None = Field(
        default=None, description="What separates the classes that one rater chose."
    )
    delimiter: str = ","
    encodings: list[str] = Field(default=ENCODINGS, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Votes:
        if bool(self.counts) == (self.label is not None):
            raise ValueError("needs either counts (columns) or label (a row per rater)")
        if (self.label is None) != (self.rater is None):
            raise ValueError("label and rater belong together")
        return self


class Book:
    """The votes of a corpus's clips.

    Args:
        card: Its labels say which raw labels there are.
    """

    def __init__(self, card: CorpusCard) -> None:
        self.problems: list[Problem] = []
        self._labels = card.labels
        self._counts: dict[str, dict[str, int]] = {}
        self._answers: dict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
        self._chosen: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._ratings: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
        self._where: dict[str, str] = {}
        self._broken: set[str] = set()
        self._given: set[str] = set()

    def count(self, key: str, where: str, counts: dict[str, int]) -> None:
        """Note how often each raw label was chosen for a clip."""
        if key in self._where:
            self.refuse(key, where, f"{key} has votes on {self._where[key]} too")
            return
        self._where[key] = where
        if self._known(key, where, counts):
            self._counts[key] = counts

    def answer(self, key: str, where: str, rater: str, chosen: tuple[str, ...]) -> None:
        """Note what one rater chose; each class once, all answers of a rater together."""
        self._where.setdefault(key, where)
        if not chosen or not rater:
            self.refuse(key, where, f"no {'answer' if rater else 'rater'} stands there")
        elif self._known(key, where, chosen):
            chosen = tuple(dict.fromkeys(chosen))
            # A million answers are a few hundred raters and choices.
            chosen = self._chosen.setdefault(chosen, chosen)
            self._answers[key].append((sys.intern(rater), chosen))

    def rate(self, key: str, rater: str, ratings: dict[str, float]) -> None:
        """Note a rater's ratings on dimensions; of a rater who rated twice the later ones."""
        if rater and ratings:
            self._ratings[key].setdefault(sys.intern(rater), {}).update(ratings)

    def refuse(self, key: str, where: str, reason: str) -> None:
        """Note that a clip's votes cannot be read."""
        self._where.setdefault(key, where)
        self._broken.add(key)
        self.problems.append(Problem(where, f"{reason}; {key} is taken without votes"))

    def _known(self, key: str, where: str, labels: Any) -> bool:
        unknown = sorted(set(labels) - self._labels.keys())
        if unknown:
            self.refuse(key, where, f"the vote {unknown[0]!r} is not a label of the card")
        return not unknown

    def give(self, utterance: Utterance) -> Utterance:
        """The utterance with its votes, where it has any."""
        key = utterance.utterance_id
        self._given.add(key)
        if key in self._ratings:
            utterance = replace(utterance, rater_ratings=self._ratings.pop(key))
        votes = Counter(self._counts.get(key, {}))
        raters: dict[str, tuple[str, ...]] = {}
        for rater, chosen in self._answers.get(key, ()):
            votes.update(chosen)
            raters[rater] = tuple(dict.fromkeys((*raters.get(rater, ()), *chosen)))
        votes = +votes
        if key in self._broken or not votes:
            return utterance
        return replace(utterance, votes=dict(votes), rater_votes=raters or None)

    def leftovers(self) -> Iterator[Problem]:
        """Problems, and votes for clips that are not in the corpus."""
        yield from self.problems
        for key, where in self._where.items():
            if key not in self._given:
                yield Problem(where, f"has votes for {key!r}, which is no clip of the corpus")


def read_votes(card: CorpusCard, tree: Tree, wanted: Votes | None) -> Book:
    """The votes of a corpus; where their file is not there, none and a problem.

    Raises:
        CorpusError: For a file that cannot be read or lacks a column.
    """
    book = Book(card)
    if wanted is None:
        return book
    path = tree.text(wanted.files)
    if path is None:
        book.problems.append(Problem(wanted.files[0], "is not there: no clip has votes"))
        return book
    rules = {column: re.compile(rule) for column, rule in wanted.where.items()}
    templates = [wanted.key, *filter(None, (wanted.label, wanted.rater))]
    columns = columns_of(templates) | rules.keys() | wanted.counts.keys()
    for row in table(path, tree.root, columns, wanted.delimiter, wanted.encodings):
        if isinstance(row, Problem):
            book.problems.append(row)
            continue
        where, values = row
        if any(rule.fullmatch(values[column]) is None for column, rule in rules.items()):
            continue
        key = fill(wanted.key, values)
        if wanted.label is None or wanted.rater is None:
            try:
                counts = {raw: _count(values[c]) for c, raw in wanted.counts.items()}
            except ValueError as error:
                book.refuse(key, where, str(error))
            else:
                book.count(key, where, counts)
            continue
        answer = fill(wanted.label, values)
        chosen = [answer] if wanted.several is None else answer.split(wanted.several)
        labels = tuple(word.strip() for word in chosen if word.strip())
        book.answer(key, where, fill(wanted.rater, values), labels)
    return book


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number of votes")
    return int(text)


class People(Spec):
    """A table of speakers."""

    files: list[str] = Field(min_length=1, description="Endings of its path, best first.")
    key: str = Field(description="Template that gives the speaker.")
    fields: dict[str, str] = Field(description="Field → template.")
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Field → what the release writes → what it means; all else stays.",
    )
    delimiter: str = ","
    encodings: list[str] = Field(default=ENCODINGS, min_length=1)

    @model_validator(mode="after")
    def _fields_are_known(self) -> People:
        for field in sorted(self.fields.keys() - _PEOPLE_FIELDS):
            raise ValueError(f"{field!r} is not of a person; {', '.join(sorted(_PEOPLE_FIELDS))}")
        return self


class Directory:
    """What is known of a corpus's speakers."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._people: dict[str, dict[str, str]] | None = None
        self._unknown: set[str] = set()

    def give(self, utterance: Utterance) -> Utterance:
        """The utterance with what is known of its speaker; what it says itself stays."""
        speaker = utterance.speaker
        if self._people is None or speaker is None:
            return utterance
        if speaker not in self._people:
            if speaker not in self._unknown:
                self._unknown.add(speaker)
                self.problems.append(
                    Problem(utterance.path, f"its speaker {speaker!r} is not in the list of them")
                )
            return utterance
        known = self._people[speaker]
        new = {f: v for f, v in known.items() if getattr(utterance, f) is None}
        return replace(utterance, **new)  # type: ignore[arg-type]  # the fields are text


def read_people(tree: Tree, wanted: People | None) -> Directory:
    """The speakers of a corpus; where their file is not there, none and a problem.

    Raises:
        CorpusError: For a file that cannot be read or lacks a column.
    """
    directory = Directory()
    if wanted is None:
        return directory
    path = tree.text(wanted.files)
    if path is None:
        reason = f"is not there: {', '.join(wanted.fields)} of the speakers are not known"
        directory.problems.append(Problem(wanted.files[0], reason))
        return directory
    people: dict[str, dict[str, str]] = {}
    columns = columns_of([wanted.key, *wanted.fields.values()])
    for row in table(path, tree.root, columns, wanted.delimiter, wanted.encodings):
        if isinstance(row, Problem):
            directory.problems.append(row)
            continue
        where, values = row
        fields = {f: fill(template, values) for f, template in wanted.fields.items()}
        known = {f: wanted.values.get(f, {}).get(v, v) for f, v in fields.items() if v}
        speaker = fill(wanted.key, values)
        if people.setdefault(speaker, known) != known:
            people[speaker] = {}
            reason = f"{speaker!r} stands twice and differs; nothing is taken of either"
            directory.problems.append(Problem(where, reason))
    directory._people = people
    return directory
