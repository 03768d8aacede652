"""Corpora whose labels live in file and folder names.

The card's ``reader.options.pattern`` is a regular expression with named groups over the path below
the root, without its extension, in NFC. It must match the end of the path, from the start of a
name: parent folders above what it names do not matter. Groups called like fields of ``Utterance``
fill these; others may only be compared (``agree``). Groups may nest::

    (?P<utterance_id>(?P<speaker>S(?P<gender>[MF])[0-9]+)_F[0-9]+_(?P<raw_label>[AHNS])[0-9]+)

Without a group ``utterance_id`` the file name without extension is the id.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pydantic import Field, field_validator, model_validator

from ...records import Utterance
from ...specs import CorpusCard, Spec
from .base import Problem, audio_files_below, options, require_root, wrong_layout

FIELDS: frozenset[str] = frozenset(
    [
        "utterance_id",
        "raw_label",
        "speaker",
        "gender",
        "age",
        "language",
        "culture",
        "transcript",
        "sentence",
        "dialogue",
        "setting",
        "relationship",
        "formality",
        "channel_type",
        "text_label",
        "synthesis",
    ]
)
"""Fields of an utterance that a name can fill."""


class Options(Spec):
    """``reader.options`` of this family."""

    pattern: str = Field(description="Regular expression with named groups; see the module.")
    extensions: list[str] = Field(min_length=1, description="Lower case, without the dot.")
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Group → what it captured → what that means; other captures are problems.",
    )
    agree: dict[str, str] = Field(
        default_factory=dict,
        description="Group → group that must have the same value, where the first one matched.",
    )
    ignore: list[str] = Field(
        default_factory=list,
        description="Shell patterns of paths that the release has beside the corpus.",
    )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _names_are_known(self) -> Options:
        groups = set(re.compile(self.pattern).groupindex)
        compared = {*self.agree, *self.agree.values()}
        for name in sorted({*self.values, *compared} - groups):
            raise ValueError(f"the pattern has no group {name!r}; it has {sorted(groups)}")
        for name in sorted(groups - FIELDS - compared):
            raise ValueError(f"the group {name!r} is no field; fields: {', '.join(sorted(FIELDS))}")
        if "raw_label" not in groups:
            raise ValueError("the pattern needs a group 'raw_label'")
        return self


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from names.

    Yields:
        An utterance for each file that follows the grammar, a problem for each that looks like
        audio and does not.

    Raises:
        CorpusError: For a root that is not a folder, or holds no file that follows the grammar.
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    require_root(card, root)
    pattern = re.compile(rf"(?:^|/)(?:{wanted.pattern})$")
    found = 0
    others: Counter[str] = Counter()
    for path in audio_files_below(root, wanted.extensions):
        if isinstance(path, Problem):
            yield path
            continue
        if any(fnmatchcase(path, ignored) for ignored in wanted.ignore):
            continue
        suffix = PurePosixPath(path).suffix
        others[suffix.lower()] += 1
        if suffix.lower()[1:] not in wanted.extensions:
            expected = ", ".join(f".{e}" for e in wanted.extensions)
            yield Problem(path, f"is a {suffix} file; the corpus consists of {expected} files")
            continue
        utterance = _utterance(path, pattern, wanted)
        found += isinstance(utterance, Utterance)
        yield utterance
    if not found:
        seen = ", ".join(f"{n} {suffix} file(s)" for suffix, n in sorted(others.items()))
        raise wrong_layout(
            card,
            root,
            f"files anywhere below whose path ends in {wanted.pattern} with the extension "
            + " or ".join(wanted.extensions),
            f"{seen} below it do not follow the grammar." if seen else "",
        )


def _utterance(path: str, pattern: re.Pattern[str], wanted: Options) -> Utterance | Problem:
    name = unicodedata.normalize("NFC", str(PurePosixPath(path).with_suffix("")))
    match = pattern.search(name)
    if match is None:
        return Problem(path, "its name does not follow the corpus's grammar")
    values: dict[str, str] = {}
    for group, captured in match.groupdict().items():
        if captured is None:
            continue
        meaning = wanted.values.get(group)
        if meaning is not None and captured not in meaning:
            return Problem(
                path, f"{group} {captured!r} is unknown; known: {', '.join(sorted(meaning))}"
            )
        values[group] = captured if meaning is None else meaning[captured]
    for group, other in wanted.agree.items():
        if group in values and values[group] != values.get(other):
            return Problem(
                path,
                f"the {group} says {match[group]!r} and the {other} says {match[other]!r}; which "
                "is right cannot be told",
            )
    filled = {group: value for group, value in values.items() if group in FIELDS}
    filled.setdefault("utterance_id", PurePosixPath(name).name)
    return Utterance(path=path, **filled)  # type: ignore[arg-type]  # FIELDS are text
