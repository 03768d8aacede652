"""Minimal pairs: utterances with the same words that differ in one dimension.

A file of pairs (CSV, TSV or JSON Lines) says which utterances of a prepared corpus belong together::

    pair,dimension,variant,utterance
    p01,irony,literal,clip_0001
    p01,irony,ironic,clip_0002

or, in JSON Lines, a pair a line::

    {"pair": "p01", "dimension": "irony", "utterances": {"literal": "clip_0001", "ironic": "clip_0002"}}

``variant`` names what the member of the pair has of the dimension; without it the members are
numbered. Dimensions are free words; those of the suite's own stimuli are in ``DIMENSIONS``. What a
pair's utterances share is up to who made them. That they are two or more, and there, is required; how
many pairs share their words, their speaker and their language is counted when the task is built, and
stands in the results beside what the pairs show.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..records import Json, digest_of

DIMENSIONS = (*("back_channel", "honorific", "irony", "code_switch", "laughter", "directness"),)
SHARED = {"words": "transcript", "speaker": "speaker", "language": "language"}
"""What members of a pair may have in common → column of a manifest."""
COLUMNS = ("pair", "dimension", "variant", "utterance")


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of a file.

    Attributes:
        of: Utterance id → its places: pair, dimension, variant, size of the pair.
        digest: Of their content.
        name: The file's name.
    """

    of: Mapping[str, tuple[Json, ...]]
    digest: str
    name: str

    def require(self, known: Sequence[str]) -> None:
        """Raise for pairs of utterances that are not there.

        Raises:
            OptionError: With some of them.
        """
        missing = sorted(set(self.of) - set(known))
        if missing:
            raise OptionError(
                f"pairs={self.name}: {len(missing)} of {len(self.of)} utterances are not in the corpus, "
                f"e.g. {', '.join(missing[:3])}"
            )

    def shared(self, facts: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, dict[str, int]]]:
        """What the members of a pair have in common besides what was meant to differ.

        Args:
            facts: ``utterance_id`` and the columns of ``SHARED``, in the same order.

        Returns:
            Dimension → ``words``, ``speaker``, ``language`` → ``same``, ``other``, ``unknown`` →
            pairs. Words are compared without capitals, punctuation and spaces.
        """
        place = {uid: row for row, uid in enumerate(facts["utterance_id"])}
        members: dict[tuple[str, str], list[int]] = {}
        for uid, several in self.of.items():
            for one in several:
                members.setdefault((one["dimension"], one["pair"]), []).append(place[uid])
        out: dict[str, dict[str, dict[str, int]]] = {}
        for (dimension, _), rows in sorted(members.items()):
            cells = out.setdefault(
                dimension, {name: {"same": 0, "other": 0, "unknown": 0} for name in SHARED}
            )
            for name, column in SHARED.items():
                values = [_plain(facts[column][row]) for row in rows]
                alike = (
                    "unknown" if None in values else "same" if len(set(values)) == 1 else "other"
                )
                cells[name][alike] += 1
        return out


def read_pairs(path: str) -> Pairs:
    """Read a file of pairs; read once as long as it does not change.

    Raises:
        OptionError: For a file that cannot be read, with the line of what is wrong.
    """
    file = Path(path).expanduser()
    try:
        return _read(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise OptionError(f"pairs={path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"pairs={path} is not UTF-8 ({error})") from error


def _plain(value: Any) -> str | None:
    if value is None:
        return None
    return "".join(c for c in str(value).casefold() if c.isalnum()) or None


@lru_cache(maxsize=8)
def _read(file: Path, changed: int) -> Pairs:
    pairs: dict[tuple[str, str], dict[str, str]] = {}
    for number, row in _rows(file):
        where = f"pairs={file}, line {number}"
        pair, dimension = (_text(row, key, where) for key in ("pair", "dimension"))
        members = pairs.setdefault((pair, dimension), {})
        for variant, utterance in _members(row, len(members), where):
            if variant in members or utterance in members.values():
                raise OptionError(
                    f"{where}: pair {pair!r} has the variant {variant!r} or the utterance "
                    f"{utterance!r} already"
                )
            members[variant] = utterance
    of: dict[str, list[Json]] = {}
    for (pair, dimension), members in pairs.items():
        if len(members) < 2:
            raise OptionError(f"pairs={file}: pair {pair!r} has one member; a pair has two or more")
        for variant, utterance in members.items():
            place = {"pair": pair, "dimension": dimension, "variant": variant}
            of.setdefault(utterance, []).append({**place, "size": len(members)})
    if not of:
        raise OptionError(f"pairs={file}: holds no pair")
    content = [[*key, members] for key, members in sorted(pairs.items())]
    return Pairs({u: tuple(p) for u, p in of.items()}, digest_of(content), file.name)


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = file.read_text(encoding="utf-8-sig")
    if file.suffix.lower() in (".csv", ".tsv"):
        mark = "\t" if file.suffix.lower() == ".tsv" else ","
        for number, row in enumerate(csv.DictReader(text.splitlines(), delimiter=mark), start=2):
            yield number, row
        return
    if file.suffix.lower() not in (".jsonl", ".ndjson"):
        raise OptionError(f"pairs={file}: the name must end in .csv, .tsv or .jsonl")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise OptionError(f"pairs={file}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise OptionError(f"pairs={file}, line {number}: expected an object, got {line[:80]}")
        yield number, row


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise OptionError(
            f"{where}: {key} is missing; columns: {', '.join(COLUMNS)} (variant may be left out)"
        )
    return value.strip()


def _members(row: Mapping[str, Any], so_far: int, where: str) -> Iterator[tuple[str, str]]:
    several = row.get("utterances")
    if several is None:
        variant = row.get("variant")
        yield (str(variant).strip() if variant else str(so_far + 1)), _text(row, "utterance", where)
        return
    if isinstance(several, list):
        several = {str(n): one for n, one in enumerate(several, start=1)}
    if not isinstance(several, dict) or not all(isinstance(u, str) for u in several.values()):
        raise OptionError(
            f"{where}: utterances must be an object from variant to utterance id, or a list of ids"
        )
    yield from several.items()
