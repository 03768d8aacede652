"""Corpora annotated as IEMOCAP is: text files with a header line per turn, then a line per rater.

::

    [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
    C-E2:	Neutral;	()
    C-E3:	Neutral; Frustration;	(tired)
    C-F1:	Neutral state;	()
    A-E3:	val 3; act 2; dom  2;	()

The numbers of the header are the means of valence, activation and dominance, those of the lines
``A-…`` each rater's own. Only the raters that
the card names vote (self-reports, C-F and C-M, do not by default); a rater may choose several
classes. The speaker is the letter of the turn, not the one of the dialogue, which says who wore the
motion-capture markers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, field_validator

from ...records import Split, Utterance
from ...specs import CorpusCard, Spec
from .annotations import ENCODINGS, FIELDS, Tree, leave_one_out, lines, number
from .base import Problem, options, wrong_layout
from .votes import Book

_HEADER = re.compile(
    r"\[\s*[0-9.]+\s*-\s*[0-9.]+\s*\]\t(?P<turn>\S+)\t(?P<label>\S+)\t"
    r"\[(?P<valence>[^,]*),(?P<arousal>[^,]*),(?P<dominance>[^,\]]*)\]\s*"
)
_RATED = {"val": "valence", "act": "arousal", "dom": "dominance"}
_LEGEND = "% [START_TIME"


class Options(Spec):
    """``reader.options`` of this family."""

    folder: str = Field(default="EmoEvaluation", description="Of the annotation files.")
    turn: str = Field(description="Regular expression over a turn's name; groups fill fields.")
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Group → what it captured → what it means."
    )
    speaker: str = Field(
        description="Template over the groups of `turn`, e.g. 'Ses{session}{sex}'."
    )
    path: str = Field(default="{turn}", description="Template of a clip's path, or of its end.")
    audio_folder: str = Field(default="", description="Template: where the release has clips.")
    raters: str = Field(default="C-E[0-9]+", description="Regular expression of who votes.")
    rating_raters: str = Field(
        default="A-E[0-9]+", description="Regular expression of whose ratings on dimensions count."
    )
    protocol: str | None = Field(default=None, description="Leave-one-session-out, by this name.")
    sessions: list[str] = Field(default_factory=list, description="Fold k tests the k-th.")
    extensions: list[str] = Field(min_length=1, description="Best first, without the dot.")
    ignore: list[str] = Field(default_factory=list, description="Shell patterns of other audio.")
    encodings: list[str] = Field(default=ENCODINGS, min_length=1)

    @field_validator("turn", "raters", "rating_raters")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        return pattern


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from evaluation files.

    Yields:
        An utterance for each turn, whether its clip is there or not; a problem for each line that
        cannot be read, and for clips without a turn.

    Raises:
        CorpusError: For a root without such files; a file that cannot be read as a whole.
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    tree = Tree(card, root, wanted.extensions, {"txt"}, wanted.ignore)
    files = [p for p in tree.texts if PurePosixPath(p).parent.name == wanted.folder]
    book = Book(card)
    n = 0
    for file in files:
        for found in _file(tree, wanted, book, file):
            n += isinstance(found, Utterance)
            yield found
    if not n:
        raise wrong_layout(card, root, f"text files with turns in folders called {wanted.folder}")
    yield from book.leftovers()
    yield from tree.leftovers(f"{wanted.folder}/*.txt")


def _file(tree: Tree, wanted: Options, book: Book, file: str) -> Iterator[Utterance | Problem]:
    raters = re.compile(wanted.raters)
    turn: Utterance | Problem | None = None
    for number_, line in lines(tree.root / file, wanted.encodings):
        where = f"{file}:{number_}"
        if line.startswith("[") and not line.startswith(_LEGEND):
            if turn is not None:
                yield book.give(turn) if isinstance(turn, Utterance) else turn
            turn = _turn(tree, wanted, where, line)
            continue
        rater, _, answer = line.partition(":")
        if isinstance(turn, Utterance) and re.fullmatch(wanted.rating_raters, rater.strip()):
            try:
                book.rate(turn.utterance_id, rater.strip(), _ratings(answer))
            except ValueError as error:
                yield Problem(where, f"a rating is not a number ({error})")
            continue
        if not isinstance(turn, Utterance) or raters.fullmatch(rater.strip()) is None:
            continue
        chosen = answer.strip().split("\t")[0].split(";")
        words = tuple(word.strip() for word in chosen if word.strip())
        book.answer(turn.utterance_id, where, rater.strip(), words)
    if turn is not None:
        yield book.give(turn) if isinstance(turn, Utterance) else turn


def _ratings(answer: str) -> dict[str, float]:
    """``val 3; act 2; dom  2;``: a rater's numbers; one that was left empty is not there."""
    given = {}
    for part in answer.strip().split("\t")[0].split(";"):
        name, _, value = part.strip().partition(" ")
        rating = number(value.strip()) if name in _RATED else None
        if rating is not None:
            given[_RATED[name]] = rating
    return given


def _turn(tree: Tree, wanted: Options, where: str, line: str) -> Utterance | Problem:
    header = _HEADER.fullmatch(line)
    if header is None:
        return Problem(where, "is not '[start - end]<tab>turn<tab>label<tab>[V, A, D]'")
    name = header["turn"]
    match = re.fullmatch(wanted.turn, name)
    if match is None:
        return Problem(where, f"the turn {name!r} does not follow the corpus's grammar")
    groups = {"turn": name, **match.groupdict()}
    fields: dict[str, Any] = {
        group: wanted.values.get(group, {}).get(value, value)
        for group, value in match.groupdict().items()
        if group in FIELDS and value is not None
    }
    try:
        for dimension in ("valence", "arousal", "dominance"):
            fields[dimension] = number(header[dimension].strip())
    except ValueError as error:
        return Problem(where, f"a rating is not a number ({error})")
    splits: tuple[Split, ...] = ()
    if wanted.protocol is not None:
        session = groups.get("session") or ""
        if session not in wanted.sessions:
            return Problem(where, f"the session {session!r} is none of {wanted.sessions}")
        splits = leave_one_out(wanted.protocol, wanted.sessions, session)
    path = tree.audio(wanted.path.format_map(groups), wanted.audio_folder.format_map(groups))
    if isinstance(path, Problem):
        return path
    return Utterance(
        name,
        path,
        raw_label=header["label"],
        speaker=wanted.speaker.format_map(groups),
        splits=splits,
        **fields,
    )
