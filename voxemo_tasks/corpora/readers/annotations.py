"""What the readers of annotation files share: the files of a tree, tables, templates, splits.

Everything here reads what stands there or says what is wrong with it: a file that cannot be read
as a whole is a ``CorpusError``, a row that cannot is a ``Problem``.

Conventions
-----------
file names  of annotation files are endings of paths (``metadata/samples.csv``), in order of
            preference; the folders above do not matter
templates   ``dia{Dialogue_ID}`` takes the column Dialogue_ID, ``{file_name:stem}`` the column's
            file name without folders and extension
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ...audio import shown
from ...errors import CorpusError
from ...records import Split
from ...specs import CorpusCard
from .base import Problem, audio_files_below, looks_like_audio, require_root, wrong_layout
from .filename_grammar import FIELDS as TEXT_FIELDS

Role = Literal["train", "valid", "test"]
Roles = dict[str, Role]
"""Protocol → role in its only fold."""
Row = Mapping[str, str]

ENCODINGS = ["utf-8-sig"]
NUMBERS = ("valence", "arousal", "dominance")
FIELDS = TEXT_FIELDS | {*NUMBERS}
"""Fields of an utterance that a column can fill."""

_TEMPLATE = re.compile(r"\{([^{}]*?)(:stem)?\}")
_BLOCK = 1 << 20
_POINTER = b"version https://git-lfs"


class Tree:
    """The files below a root, walked once: audio by name, annotation files by ending.

    Attributes:
        problems: What the walk could not use.
        texts: Annotation files, as POSIX paths relative to the root.
    """

    def __init__(
        self,
        card: CorpusCard,
        root: Path,
        extensions: Sequence[str],
        texts: Collection[str] = (),
        ignore: Iterable[str] = (),
    ) -> None:
        """Walk.

        Args:
            card: For errors.
            root: The folder.
            extensions: Of the corpus's audio, lower case without the dot; where a clip is there in
                several, the first of these is taken.
            texts: Extensions of annotation files.
            ignore: Shell patterns of audio paths that the release has beside the corpus.

        Raises:
            CorpusError: For a root that is not a folder.
        """
        require_root(card, root)
        self.card = card
        self.root = root
        self.problems: list[Problem] = []
        self.texts: list[str] = []
        self._rank = {extension: i for i, extension in enumerate(extensions)}
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._used: set[str] = set()
        ignored = tuple(ignore)
        for path in audio_files_below(root, {*extensions, *texts}):
            if isinstance(path, Problem):
                self.problems.append(path)
                continue
            extension = PurePosixPath(path).suffix.lower()[1:]
            if extension in texts and extension not in self._rank:
                self.texts.append(path)
            elif any(fnmatchcase(path, pattern) for pattern in ignored):
                continue
            elif extension in self._rank:
                self._by_stem[PurePosixPath(_bare(path)).name].append(path)
            elif looks_like_audio(path, ()):
                expected = ", ".join(f".{e}" for e in extensions)
                reason = f"is a .{extension} file; the corpus consists of {expected} files"
                self.problems.append(Problem(path, reason))

    def text(self, names: Sequence[str]) -> Path | None:
        """The annotation file whose path ends in one of some names, the first that is there.

        Raises:
            CorpusError: Where several files end in it.
        """
        for name in names:
            found = [p for p in self.texts if _ends(p.casefold(), name.casefold())]
            direct = [p for p in found if p.casefold() == name.casefold()]
            if len(found := direct or found) > 1:
                several = ", ".join(shown(p) for p in found[:5])
                raise CorpusError(
                    f"{shown(self.root)}: {name} is there {len(found)} times ({several}); --root "
                    "is the folder of one copy"
                )
            if found:
                return self.root / found[0]
        return None

    def required(self, names: Sequence[str]) -> Path:
        """As ``text``, where there is no corpus without it.

        Raises:
            CorpusError: Where there is none.
        """
        found = self.text(names)
        if found is None:
            raise wrong_layout(self.card, self.root, f"the file {' or '.join(names)}")
        return found

    def audio(self, ending: str, folder: str = "") -> str | Problem:
        """The clip whose path without extension ends in ``ending``.

        Args:
            ending: From the start of a name; folders only where they matter.
            folder: Where the release has it, for the path of a clip that is missing.

        Returns:
            Its path, also of a clip that is not there (which ``prepare`` then finds missing); a
            problem where several files could be it.
        """
        ending = unicodedata.normalize("NFC", ending)
        found = [p for p in self._by_stem.get(ending.rpartition("/")[2], ()) if _ends(p, ending)]
        if not found:
            first = next(iter(self._rank))
            return f"{folder}/{ending}.{first}" if folder else f"{ending}.{first}"
        self._used.update(found)
        best = min(map(self._ranked, found))
        found = [p for p in found if self._ranked(p) == best]
        if len(found) > 1:
            several = ", ".join(shown(p) for p in found[:3])
            return Problem(shown(found[0]), f"is there {len(found)} times: {several}")
        return found[0]

    def has(self, path: str) -> bool:
        """Whether a path that ``audio`` gave is a clip that is there."""
        return path in self._used

    def _ranked(self, path: str) -> int:
        return self._rank[PurePosixPath(path).suffix.lower()[1:]]

    def leftovers(self, where: str) -> Iterator[Problem]:
        """What the walk could not use, and clips that no annotation has asked for."""
        yield from self.problems
        for paths in self._by_stem.values():
            for path in paths:
                if path not in self._used:
                    yield Problem(path, f"stands on no row of {where}")


def _bare(path: str) -> str:
    """Without extension, composed."""
    return unicodedata.normalize("NFC", str(PurePosixPath(path).with_suffix("")))


def _ends(path: str, ending: str) -> bool:
    """Whether a path, or the path without extension, ends in whole names of ``ending``."""
    return any(p == ending or p.endswith(f"/{ending}") for p in (path, _bare(path)))


# --- text -----------------------------------------------------------------------------------------


def encoding_of(path: Path, encodings: Sequence[str]) -> str:
    """The first of some encodings that a file can be read in.

    Raises:
        CorpusError: Where it can be read in none, or not at all.
    """
    failed = ""
    for name in encodings:
        decoder = codecs.getincrementaldecoder(name)()
        done = 0
        try:
            with path.open("rb") as data:
                for block in iter(lambda: data.read(_BLOCK), b""):
                    if not done and block.startswith(_POINTER):
                        raise CorpusError(
                            f"{shown(path)}: is a Git LFS pointer, not the file; run `git lfs pull`"
                        )
                    decoder.decode(block)
                    done += len(block)
                decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            spelled = "UTF-8" if name.startswith("utf-8") else name
            failed = failed or f"is not {spelled} ({error.reason}, near byte {done + error.start})"
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
        return name
    also = f", nor {', '.join(encodings[1:])}" if len(encodings) > 1 else ""
    raise CorpusError(f"{shown(path)}: {failed}{also}; save it as the release has it, or as UTF-8")


def _unreadable(path: Path, error: OSError) -> CorpusError:
    return CorpusError(f"{shown(path)}: cannot be read ({error.strerror or error})")


def lines(path: Path, encodings: Sequence[str] = ENCODINGS) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without their ends.

    Raises:
        CorpusError: For a file that cannot be read.
    """
    try:
        with path.open(encoding=encoding_of(path, encodings)) as text:
            for number, line in enumerate(text, start=1):
                yield number, line.rstrip("\n")
    except OSError as error:
        raise _unreadable(path, error) from error


def table(
    path: Path,
    root: Path,
    columns: Collection[str] = (),
    delimiter: str = ",",
    encodings: Sequence[str] = ENCODINGS,
) -> Iterator[tuple[str, dict[str, str]] | Problem]:
    """Rows of a table, with ``file:line`` each; values without spaces around them.

    Yields:
        A problem for a row with more or fewer fields than the header.

    Raises:
        CorpusError: For a file that cannot be read, has no row, or lacks a column.
    """
    place = path.relative_to(root).as_posix()
    n = 0
    try:
        with path.open(encoding=encoding_of(path, encodings), newline="") as text:
            rows = csv.reader(text, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(rows, [])]
            _require_columns(path, header, columns)
            for row in rows:
                if not any(field.strip() for field in row):
                    continue
                n += 1
                where = f"{place}:{rows.line_num}"
                if len(row) != len(header):
                    yield Problem(where, f"has {len(row)} fields; the header has {len(header)}")
                else:
                    yield where, {k: v.strip() for k, v in zip(header, row, strict=True)}
    except csv.Error as error:
        raise CorpusError(f"{shown(path)}: is not a table ({error})") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not n:
        raise CorpusError(f"{shown(path)}: has no row; fetch the corpus again")


def _require_columns(path: Path, header: list[str], columns: Collection[str]) -> None:
    found = ", ".join(repr(name) for name in header) or "nothing"
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise CorpusError(f"{shown(path)}: has the column {twice[0]!r} twice")
    if missing := sorted(set(columns) - set(header)):
        raise CorpusError(
            f"{shown(path)}: has no column {', '.join(map(repr, missing))}; it has {found}"
        )


def json_of(path: Path, kind: type[Any]) -> Any:
    """The content of a JSON file whose top is a list or an object.

    Raises:
        CorpusError: For a file that is no such thing.
    """
    try:
        with path.open(encoding=encoding_of(path, ENCODINGS)) as text:
            content = json.load(text)
    except json.JSONDecodeError as error:
        raise CorpusError(
            f"{shown(path)}: is not JSON ({error.msg}, line {error.lineno})"
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, kind):
        wanted = "an object ({…})" if kind is dict else "a list ([…])"
        raise CorpusError(f"{shown(path)}: is not {wanted}")
    return content


# --- rows into fields -----------------------------------------------------------------------------


def columns_of(templates: Iterable[str]) -> set[str]:
    """The columns that templates take."""
    return {match[1] for template in templates for match in _TEMPLATE.finditer(template)}


def fill(template: str, row: Row) -> str:
    """A template with a row's values.

    Example:
        >>> fill("{set}/dia{D}_{f:stem}", {"set": "train", "D": "3", "f": "wavs/a.webm"})
        'train/dia3_a'
    """
    return _TEMPLATE.sub(lambda m: stem_of(row[m[1]]) if m[2] else row[m[1]], template).strip()


@lru_cache(maxsize=1024)  # a clip's raters stand below each other
def stem_of(name: str) -> str:
    """A file's name without folders and extension, where it has an audio one.

    Example:
        >>> stem_of("wavs/006-040.1-2_13.wav"), stem_of("006-040.1-2_13")
        ('006-040.1-2_13', '006-040.1-2_13')
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return path.stem if looks_like_audio(name, ()) else path.name


def number(text: str) -> float | None:
    """A rating; nothing and NaN are "not known".

    Raises:
        ValueError: For what is not a finite number.
    """
    if not text or text.casefold() == "nan":
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not finite")
    return value


def filled(
    templates: Mapping[str, str], row: Row, values: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Fields of an utterance from a row; empty ones are left out.

    Raises:
        ValueError: For a rating that is not a number, naming the field.
    """
    fields: dict[str, Any] = {}
    for field, template in templates.items():
        text = fill(template, row)
        text = values.get(field, {}).get(text, text)
        if not text:
            continue
        if field in NUMBERS:
            try:
                fields[field] = number(text)
            except ValueError as error:
                raise ValueError(f"the {field} {text!r} is not a number") from error
        else:
            fields[field] = text
    return fields


def splits_of(roles: Mapping[str, Role]) -> tuple[Split, ...]:
    """Roles in the only fold of each protocol."""
    return tuple(Split(protocol, 1, role) for protocol, role in roles.items())


def leave_one_out(protocol: str, groups: Sequence[str], group: str) -> tuple[Split, ...]:
    """Roles under leave-one-group-out: fold k tests the k-th group and trains on the others.

    Example:
        >>> [s.role for s in leave_one_out("sessions", ["1", "2", "3"], "2")]
        ['train', 'test', 'train']
    """
    return tuple(
        Split(protocol, fold, "test" if held_out == group else "train")
        for fold, held_out in enumerate(groups, start=1)
    )
