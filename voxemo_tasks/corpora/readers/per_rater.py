"""Corpora that are released as MSP-Podcast is: a consensus per clip, and a row per rater.

The consensus is a table (``FileName, EmoClass, EmoAct, EmoVal, EmoDom, SpkrID, Gender,
Split_Set``; the last five may be missing) or the same as JSON by file name. The raters' answers are
a table with a row per rater (in one column, or in ``WorkerID, EmoClass_Major, EmoClass_Second``),
or JSON: file → rater → answers. Both may instead stand in one text file (``text``)::

    MSP-PODCAST_0001_0008.wav; N; A:2.3; V:4.0; D:3.3;
    WORKER00000008; Neutral; Neutral,Concerned; A:2; V:4; D:3;

Each rater has one primary class and any number of secondary ones. Votes count the primary classes;
with ``selections: all`` every class that a rater chose counts once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ...audio import shown
from ...errors import CorpusError
from ...records import Utterance
from ...specs import CorpusCard, Spec
from .annotations import (
    ENCODINGS,
    FIELDS,
    Roles,
    Tree,
    filled,
    json_of,
    leave_one_out,
    lines,
    number,
    splits_of,
    stem_of,
    table,
)
from .base import Problem, looks_like_audio, options, wrong_layout
from .votes import Book

Columns = dict[str, str]
Row = tuple[str, str, Columns] | Problem
"""Where, name and columns of a clip."""

_LABELS = ("EmoClass", "EmoClass_Major")
_RATERS = ("WorkerID", "Workers", "Name")
_COLUMN = {
    "arousal": "EmoAct",
    "valence": "EmoVal",
    "dominance": "EmoDom",
    "speaker": "SpkrID",
    "gender": "Gender",
}
_RATING = re.compile(r"([A-Z]):\s*(.*)")
_DIMENSIONS = {"arousal": "EmoAct", "valence": "EmoVal", "dominance": "EmoDom"}
_RATED = {"A": "EmoAct", "V": "EmoVal", "D": "EmoDom"}


class Groups(Spec):
    """Folds that each leave out one group of clips."""

    protocol: str
    group: str = Field(description="Group of the pattern.")
    values: list[str] = Field(min_length=2, description="Fold k tests the k-th.")


class Options(Spec):
    """``reader.options`` of this family."""

    consensus: list[str] = Field(
        default=[
            *("labels_consensus.csv", "labels_consensus.json"),
            *("labels_concensus.csv", "labels_concensus.json"),
        ],
        description="Endings of its path, best first.",
    )
    detailed: list[str] = Field(
        default=["labels_detailed.csv", "labels_detailed.json"],
        description="Endings of its path, best first.",
    )
    text: list[str] = Field(default_factory=list, description="One file for both, instead.")
    encodings: list[str] = Field(default=ENCODINGS, min_length=1)
    extensions: list[str] = Field(min_length=1, description="Best first, without the dot.")
    folder: str = Field(default="", description="Where the release has its clips.")
    prefixes: dict[str, str] = Field(
        default_factory=dict, description="Start of a name in the labels → in the clips."
    )
    pattern: str | None = Field(
        default=None, description="Regular expression over a clip's name; groups fill fields."
    )
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Field → what the release writes → what it means ('' is not known).",
    )
    answers: dict[str, str] = Field(
        default_factory=dict, description="Regular expression of an answer → raw label of it."
    )
    selections: Literal["primary", "all"] = "primary"
    splits: dict[str, Roles] = Field(
        default_factory=dict, description="Split_Set → protocol → role; others are problems."
    )
    groups: Groups | None = None
    ignore: list[str] = Field(default_factory=list, description="Shell patterns of other audio.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        return pattern


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances with the answers of each rater.

    Yields:
        An utterance for each clip of the consensus, whether it is there or not; a problem for each
        row that cannot be read, for votes of unknown clips, and for clips without a consensus.

    Raises:
        CorpusError: For a root without a consensus; a file that cannot be read as a whole.
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    tree = Tree(card, root, wanted.extensions, {"csv", "json", "txt"}, wanted.ignore)
    book = Book(card)
    source = tree.text([*wanted.consensus, *wanted.text])
    if source is None:
        names = " or ".join([*wanted.consensus, *wanted.text])
        raise wrong_layout(card, root, f"the file {names}")
    reader = _Reader(wanted, tree, book)
    if source.suffix == ".txt":
        rows: Iterable[Row] = list(reader.text(source))  # each clip's raters come after it
    else:
        reader.detailed()
        rows = reader.consensus(source)
    for row in rows:
        found = row if isinstance(row, Problem) else reader.utterance(*row)
        yield book.give(found) if isinstance(found, Utterance) else found
    yield from book.leftovers()
    yield from tree.leftovers(source.name)


class _Reader:
    def __init__(self, wanted: Options, tree: Tree, book: Book) -> None:
        self.wanted = wanted
        self.tree = tree
        self.book = book
        self._answers = [(re.compile(rule), raw) for rule, raw in wanted.answers.items()]
        self._pattern = re.compile(wanted.pattern) if wanted.pattern else None

    def key(self, name: str) -> str:
        """A clip's id from its name in the labels."""
        stem = stem_of(name)
        for start, other in self.wanted.prefixes.items():
            if stem.startswith(start):
                return other + stem.removeprefix(start)
        return stem

    # --- consensus --------------------------------------------------------------------------------

    def consensus(self, path: Path) -> Iterator[Row]:
        """Where, name and columns of each clip."""
        if path.suffix == ".csv":
            for row in table(path, self.tree.root, {"FileName"}, ",", self.wanted.encodings):
                yield row if isinstance(row, Problem) else (row[0], row[1]["FileName"], row[1])
            return
        for name, row in json_of(path, dict).items():
            where = f"{path.name}: {shown(name)}"
            if isinstance(row, list) and len(row) == 1:
                row = row[0]
            if isinstance(row, dict):
                yield where, name, {k: _text(v) for k, v in row.items()}
            else:
                yield Problem(where, "is not one object")

    def utterance(self, where: str, name: str, row: Columns) -> Utterance | Problem:
        """One clip."""
        label = next((column for column in _LABELS if column in row), None)
        if label is None or not name:
            return Problem(where, f"has no {'class' if name else 'file name'}")
        roles: Roles = {}
        if (split := row.get("Split_Set")) and self.wanted.splits:
            if split not in self.wanted.splits:
                known = ", ".join(self.wanted.splits)
                return Problem(where, f"the split {split!r} is unknown; known: {known}")
            roles = self.wanted.splits[split]
        columns = {f: f"{{{c}}}" for f, c in _COLUMN.items() if c in row}
        try:
            fields = filled({"raw_label": f"{{{label}}}", **columns}, row, self.wanted.values)
        except ValueError as error:
            return Problem(where, str(error))
        key = self.key(name)
        splits = splits_of(roles)
        if self._pattern:
            match = self._pattern.fullmatch(key)
            if match is None:
                return Problem(where, f"{key!r} does not follow the corpus's grammar")
            for field, value in match.groupdict().items():
                if field in FIELDS and value is not None:
                    fields[field] = self.wanted.values.get(field, {}).get(value, value)
            if groups := self.wanted.groups:
                if (group := match[groups.group]) not in groups.values:
                    return Problem(where, f"{groups.group} {group!r} is none of {groups.values}")
                splits += leave_one_out(groups.protocol, groups.values, group)
        path = self.tree.audio(key, self.wanted.folder)
        if isinstance(path, Problem):
            return path
        return Utterance(key, path, splits=splits, **fields)

    # --- raters -----------------------------------------------------------------------------------

    def detailed(self) -> None:
        """Note the answers of every rater."""
        path = self.tree.text(self.wanted.detailed)
        if path is None:
            self.book.problems.append(
                Problem(self.wanted.detailed[0], "is not there: no clip has votes")
            )
        elif path.suffix == ".csv":
            self._detailed_table(path)
        else:
            for name, raters in json_of(path, dict).items():
                self._detailed_json(f"{path.name}: {shown(name)}", self.key(name), raters)

    def _detailed_table(self, path: Path) -> None:
        for row in table(path, self.tree.root, {"FileName"}, ",", self.wanted.encodings):
            if isinstance(row, Problem):
                self.book.problems.append(row)
                continue
            where, columns = row
            key = self.key(columns["FileName"])
            if "EmoDetail" in columns:
                self._line(key, where, columns["EmoDetail"])
            elif "EmoClass_Major" in columns:
                self._object(key, where, "", columns)
            else:
                found = ", ".join(columns)
                raise CorpusError(
                    f"{shown(path)}: has no column EmoDetail or EmoClass_Major; it has {found}"
                )

    def _detailed_json(self, where: str, key: str, raters: Any) -> None:
        if isinstance(raters, dict) and isinstance(raters.get("Workers"), list):
            raters = raters["Workers"]
        if isinstance(raters, dict):
            pairs = list(raters.items())
        elif isinstance(raters, list):
            pairs = [("", one) for one in raters]
        else:
            pairs = [("", None)]
        for rater, answer in pairs:
            if isinstance(answer, dict):
                self._object(key, where, rater, {k: _text(v) for k, v in answer.items()})
            else:
                self.book.refuse(key, where, "its answers are no objects")

    def _object(self, key: str, where: str, rater: str, columns: Mapping[str, str]) -> None:
        rater = rater or next((columns[c] for c in _RATERS if c in columns), "")
        primary = columns.get("EmoClass_Major", "")
        self._rate(key, where, rater, columns)
        self._answer(key, where, rater, primary, columns.get("EmoClass_Second", ""))

    def _line(self, key: str, where: str, line: str) -> None:
        parts = [part.strip() for part in line.split(";")]
        if len(parts) < 2:
            self.book.refuse(key, where, f"{line!r} is no rater's line")
            return
        second = parts[2] if len(parts) > 2 and not _RATING.fullmatch(parts[2]) else ""
        marked = [m for part in parts[2:] if (m := _RATING.fullmatch(part))]
        self._rate(key, where, parts[0], {_RATED[m[1]]: m[2] for m in marked if m[1] in _RATED})
        self._answer(key, where, parts[0], parts[1], second)

    def _rate(self, key: str, where: str, rater: str, columns: Mapping[str, str]) -> None:
        """A rater's ratings, from columns called as in the consensus."""
        ratings = {}
        for dimension, column in _DIMENSIONS.items():
            try:
                rating = number(columns.get(column, "").strip())
            except ValueError:
                self.book.refuse(key, where, f"the {column} {columns[column]!r} is no number")
                return
            if rating is not None:
                ratings[dimension] = rating
        self.book.rate(key, rater, ratings)

    def _answer(self, key: str, where: str, rater: str, primary: str, secondary: str) -> None:
        chosen = [primary]
        if self.wanted.selections == "all":
            chosen += secondary.split(",")
        words = tuple(self._word(word.strip()) for word in chosen if word.strip())
        self.book.answer(key, where, rater, words)

    def _word(self, word: str) -> str:
        return next((raw for rule, raw in self._answers if rule.fullmatch(word)), word)

    # --- both in one text file --------------------------------------------------------------------

    def text(self, path: Path) -> Iterator[Row]:
        """Where, name and columns of each clip; notes the answers on the way."""
        place = path.relative_to(self.tree.root).as_posix()
        name = ""
        n = 0
        for at, line in lines(path, self.wanted.encodings):
            where = f"{place}:{at}"
            parts = [part.strip() for part in line.split(";")]
            if not any(parts):
                name = ""
            elif looks_like_audio(parts[0], ()):
                name = parts[0]
                n += 1
                ratings = [m for part in parts[2:] if (m := _RATING.fullmatch(part))]
                rated = {_RATED[m[1]]: m[2].strip() for m in ratings if m[1] in _RATED}
                label = parts[1] if len(parts) > 1 else ""
                yield where, name, {"EmoClass": label, **rated}
            elif name:
                self._line(self.key(name), where, line)
            else:
                yield Problem(where, "is a rater's line below no clip")
        if not n:
            raise CorpusError(f"{shown(path)}: names no clip; fetch the corpus again")


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
