"""Corpora with a table of utterances: CSV, TSV or the like, one row each, one file or several.

The card says which column is what. A field is a template over the row's columns; ``set`` of a file
adds columns of its own, so that the folder of a split can stand in ``path``::

    files:
      - names: [train_sent_emo.csv]
        set: {folder: train_splits, part: train}
        splits: {official: train}
    path: '{folder}/dia{Dialogue_ID}_utt{Utterance_ID}'
    utterance_id: 'dia{Dialogue_ID}_utt{Utterance_ID}-{part}'
    fields: {raw_label: '{Emotion}', speaker: '{Speaker}', transcript: '{Utterance}'}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, model_validator

from ...records import Split, Utterance
from ...specs import CorpusCard, Spec
from .annotations import (
    ENCODINGS,
    FIELDS,
    Roles,
    Tree,
    columns_of,
    fill,
    filled,
    splits_of,
    table,
)
from .base import Problem, options, wrong_layout
from .votes import People, Votes, read_people, read_votes


class TableFile(Spec):
    """A table of utterances."""

    names: list[str] = Field(min_length=1, description="Endings of its path, best first.")
    set: dict[str, str] = Field(default_factory=dict, description="Columns of this file's rows.")
    splits: Roles = Field(default_factory=dict, description="Protocol → role of this file's rows.")
    required: bool = Field(default=True, description="Whether there is no corpus without it.")


class Membership(Spec):
    """Lists of utterances, one table per role, wherever the release has them."""

    folder: str = Field(description="Name of the folder of the tables.")
    key: str = Field(description="Template that gives the utterance's id.")
    roles: dict[str, Roles] = Field(description="File name without extension → protocol → role.")


class SplitColumn(Spec):
    """A column that says the split."""

    column: str
    roles: dict[str, Roles] = Field(description="Value → protocol → role; others are problems.")


class Options(Spec):
    """``reader.options`` of this family."""

    files: list[TableFile] = Field(min_length=1)
    delimiter: str = ","
    encodings: list[str] = Field(default=ENCODINGS, min_length=1, description="Tried in order.")
    path: str = Field(description="Template of a clip's path without extension, or of its end.")
    folder: str = Field(default="", description="Where the release has clips, if path leaves it.")
    extensions: list[str] = Field(min_length=1, description="Best first, without the dot.")
    utterance_id: str = Field(description="Template.")
    fields: dict[str, str] = Field(description="Field of an utterance → template.")
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Field → what the release writes → what it means; all else stays.",
    )
    split: SplitColumn | None = None
    membership: Membership | None = None
    ignore: list[str] = Field(
        default_factory=list,
        description="Shell patterns of audio that the release has beside the corpus.",
    )
    votes: Votes | None = None
    people: People | None = None

    @model_validator(mode="after")
    def _fields_are_known(self) -> Options:
        for field in sorted({*self.fields, *self.values} - FIELDS):
            raise ValueError(f"{field!r} is no field; fields: {', '.join(sorted(FIELDS))}")
        return self

    def columns(self, file: TableFile) -> set[str]:
        """The columns that a file must have."""
        templates = [self.path, self.utterance_id, *self.fields.values()]
        split = {self.split.column} if self.split else set()
        return columns_of(templates) - file.set.keys() | split


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from the rows of tables.

    Yields:
        An utterance for each row that can be read, whether its clip is there or not; a problem for
        each that cannot, for each clip on no row, and for each optional file that is not there.

    Raises:
        CorpusError: For a root without a required table; a table that cannot be read as a whole.
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    tree = Tree(card, root, wanted.extensions, _suffixes(wanted), wanted.ignore)
    files = [(file, tree.text(file.names)) for file in wanted.files]
    missing = [f.names[0] for f, path in files if path is None and f.required]
    if missing or all(path is None for _, path in files):
        names = missing or [f.names[0] for f, _ in files]
        raise wrong_layout(card, root, f"the file(s) {', '.join(names)}")
    book = read_votes(card, tree, wanted.votes)
    people = read_people(tree, wanted.people)
    members, problems = _members(tree, wanted)
    yield from problems
    for file, path in files:
        if path is None:
            yield Problem(file.names[0], "is not there: its utterances are not taken")
            continue
        for row in table(path, root, wanted.columns(file), wanted.delimiter, wanted.encodings):
            found = row if isinstance(row, Problem) else _utterance(tree, wanted, file, *row)
            if isinstance(found, Utterance):
                more = members.get(found.utterance_id, ())
                found = people.give(book.give(_with_splits(found, more)))
            yield found
    yield from people.problems
    yield from book.leftovers()
    yield from tree.leftovers(", ".join(f.names[0] for f, _ in files))


def _suffixes(wanted: Options) -> set[str]:
    names = [name for file in wanted.files for name in file.names]
    for other in (wanted.votes, wanted.people):
        names += other.files if other else []
    return {PurePosixPath(name).suffix[1:] for name in names} | (
        {"csv"} if wanted.membership else set()
    )


def _utterance(
    tree: Tree, wanted: Options, file: TableFile, where: str, row: dict[str, str]
) -> Utterance | Problem:
    row |= file.set
    utterance_id = fill(wanted.utterance_id, row)
    if not utterance_id:
        return Problem(where, "its id is empty")
    roles = dict(file.splits)
    if wanted.split:
        value = row[wanted.split.column]
        if value not in wanted.split.roles:
            known = ", ".join(wanted.split.roles)
            return Problem(where, f"the split {value!r} is unknown; known: {known}")
        roles |= wanted.split.roles[value]
    try:
        fields: dict[str, Any] = filled(wanted.fields, row, wanted.values)
    except ValueError as error:
        return Problem(where, str(error))
    path = tree.audio(fill(wanted.path, row), wanted.folder)
    if isinstance(path, Problem):
        return path
    return Utterance(utterance_id, path, splits=splits_of(roles), **fields)


def _with_splits(utterance: Utterance, splits: tuple[Split, ...]) -> Utterance:
    return replace(utterance, splits=(*utterance.splits, *splits)) if splits else utterance


def _members(tree: Tree, wanted: Options) -> tuple[dict[str, tuple[Split, ...]], list[Problem]]:
    """Utterance id → splits, from the tables of the membership's folder."""
    members: dict[str, tuple[Split, ...]] = {}
    problems: list[Problem] = []
    if wanted.membership is None:
        return members, problems
    columns = columns_of([wanted.membership.key])
    for text in tree.texts:
        path = PurePosixPath(text)
        if path.parent.name != wanted.membership.folder or path.suffix.lower() != ".csv":
            continue
        if path.stem not in wanted.membership.roles:
            known = ", ".join(wanted.membership.roles)
            problems.append(Problem(text, f"is a list of no known split; known: {known}"))
            continue
        splits = splits_of(wanted.membership.roles[path.stem])
        for row in table(tree.root / text, tree.root, columns, wanted.delimiter, wanted.encodings):
            if isinstance(row, Problem):
                problems.append(row)
                continue
            key = fill(wanted.membership.key, row[1])
            if members.setdefault(key, splits) != splits:
                members[key] = ()
                problems.append(Problem(row[0], f"{key!r} is in two splits; it is taken in none"))
    return members, problems
