"""EmoBox's folds for a local copy: which utterance plays which role in each of its fold files.

EmoBox (github.com/emo-box/EmoBox, MIT) describes a corpus in a folder of its own::

    <id>/fold_<N>/<id>_{train,valid,test}_fold_<N>.jsonl

one JSON object a line: ``key`` (``<id>-…``), ``wav`` (``downloads/<id>/…``), in PAVOQUE also
``start_time`` and ``end_time`` in seconds. Other files of these folders are passed over and named.
Where a role has no file (``valid`` of most corpora) nothing plays it; none is drawn here.

Conventions
-----------
place      a path without ``downloads/<id>/`` and extension, in NFC
matching   line and utterance are the same if, first, their places are equal; else if they end
           alike in the most folders, and at last in the bare file name; else by the line's key,
           with or without ``<id>-``, against the utterance's id. Each counts only where it names
           one line of all and one utterance of all. Of several segments in a file the key decides
           first, then the times, to ``SLACK_S``.
unmatched  a line without an utterance, or an utterance without a line: counted and named, no error
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..audio import shown
from ..errors import CorpusError
from ..records import Json, Split

PROTOCOL = "emobox"
SLACK_S = 0.02
"""Two tables of the same segments round their times differently, by less than this."""

LENGTH_SLACK_S = 0.1
"""Two tools count the samples of a compressed clip differently, by less than this."""

_FILE = re.compile(r"(?P<id>.+)_(?P<role>train|valid|test)_fold_(?P<fold>[1-9][0-9]*)\.jsonl")
_FOLDER = re.compile(r"fold_(?P<fold>[1-9][0-9]*)")
_LISTED = 10
_SHIFTS = [(a, b) for a in (0.0, SLACK_S) for b in (0.0, SLACK_S)]
"""Of the grids that times are rounded to: so no edge of a cell parts two times that are close."""


@dataclass(frozen=True, slots=True)
class Line:
    """What EmoBox says of one utterance; the roles come from all fold files together.

    Attributes:
        key: EmoBox's key.
        wav: Path below ``downloads/<id>/``.
        start_s: Start of the segment in seconds; ``None`` with ``end_s`` for a whole file.
        roles: ``(fold, role)`` in every fold that has it.
        length_s: How long EmoBox found it.
    """

    key: str
    wav: str
    start_s: float | None
    end_s: float | None
    roles: tuple[tuple[int, str], ...]
    length_s: float | None = None

    def splits(self) -> tuple[Split, ...]:
        return tuple(Split(PROTOCOL, fold, role) for fold, role in self.roles)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Folds:
    """EmoBox's folds of one corpus, as they lie on the disk.

    Attributes:
        folder: The corpus's folder.
        lines: One per utterance, in the order in which the files name them.
        passed_over: JSON Lines files in the fold folders whose name is not that of a fold file.
    """

    folder: Path
    lines: tuple[Line, ...]
    passed_over: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matching:
    """How EmoBox's lines and the utterances of a local copy met.

    Attributes:
        folder: EmoBox's folder of the corpus.
        matched: Utterances that have a line.
        lines: Keys and paths of the lines without an utterance.
        utterances: Ids and paths of the utterances without a line.
        passed_over: As in ``Folds``.
        lengths: Utterances that met a line of another length: another cut of the corpus, or the
            wrong line.
    """

    folder: Path
    matched: int
    lines: tuple[str, ...]
    utterances: tuple[str, ...]
    passed_over: tuple[str, ...]
    lengths: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """Counts, and the first ten of each side."""
        return {
            "folder": shown(self.folder),
            "matched": self.matched,
            "n_lines_without_utterance": len(self.lines),
            "lines_without_utterance": list(self.lines[:_LISTED]),
            "n_utterances_without_line": len(self.utterances),
            "utterances_without_line": list(self.utterances[:_LISTED]),
            "passed_over": list(self.passed_over),
            "n_length_differs": len(self.lengths),
            "length_differs": list(self.lengths[:_LISTED]),
        }


def read_folds(corpus_id: str, root: Path) -> Folds:
    """The fold files of one corpus.

    Args:
        corpus_id: The corpus; its folder has the same name.
        root: The folder that holds EmoBox's corpus folders (``data`` of its repository).

    Raises:
        CorpusError: For a root or folder that is not there (with what is), no fold file, or a line
            that cannot be read (with file and number).
    """
    folder = root / corpus_id
    if not folder.is_dir():
        raise _no_folder(corpus_id, root)
    roles: dict[tuple[str, str, float | None, float | None], list[tuple[int, str]]] = {}
    lengths: dict[tuple[str, str, float | None, float | None], float | None] = {}
    passed_over: list[str] = []
    numbers: set[int] = set()
    for file, fold, role in _fold_files(corpus_id, folder, passed_over):
        numbers.add(fold)
        for line, length_s in _lines(file):
            roles.setdefault(line, []).append((fold, role))
            lengths.setdefault(line, length_s)
    if not numbers:
        raise CorpusError(
            f"{shown(folder)}: has no fold; looked for fold_<N>/{corpus_id}_"
            f"{{train,valid,test}}_fold_<N>.jsonl; found: {_names(folder)}"
        )
    if not roles:
        raise CorpusError(f"{shown(folder)}: its fold files are all empty; fetch EmoBox again")
    lines = tuple(
        Line(*line, tuple(sorted(set(found))), lengths[line]) for line, found in roles.items()
    )
    return Folds(folder, lines, tuple(passed_over))


def _no_folder(corpus_id: str, root: Path) -> CorpusError:
    if not root.is_dir():
        return CorpusError(
            f"{shown(root)}: there is no such folder; --emobox-root is the folder that holds "
            "EmoBox's corpus folders (`data` of its repository)"
        )
    if any(_FOLDER.fullmatch(entry.name) for entry in root.iterdir()):
        hint = f"This is a corpus's own folder: try --emobox-root {shown(root.parent)}"
    elif (root / "data" / corpus_id).is_dir():
        hint = f"It lies one level down: try --emobox-root {shown(root / 'data')}"
    else:
        hint = "Not every corpus is in EmoBox; leave --emobox-root out for those."
    return CorpusError(f"{shown(root)}: has no folder {corpus_id}; found: {_names(root)}\n  {hint}")


def _names(folder: Path) -> str:
    names = sorted(shown(entry.name) for entry in folder.iterdir())
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) or "nothing") + more


def _fold_files(
    corpus_id: str, folder: Path, passed_over: list[str]
) -> Iterator[tuple[Path, int, str]]:
    folders = ((_FOLDER.fullmatch(path.name), path) for path in folder.iterdir())
    for found, path in sorted((int(m["fold"]), path) for m, path in folders if m is not None):
        for file in sorted(path.glob("*.jsonl")):
            name = _FILE.fullmatch(file.name)
            if name is None or name["id"] != corpus_id or int(name["fold"]) != found:
                passed_over.append(shown(f"{path.name}/{file.name}"))
            else:
                yield file, found, name["role"]


_Read = tuple[tuple[str, str, float | None, float | None], float | None]


def _lines(file: Path) -> Iterator[_Read]:
    number = 0
    try:
        with file.open(encoding="utf-8-sig") as stream:
            for number, text in enumerate(stream, start=1):
                if text.strip():
                    yield _line(text, f"{shown(file)}:{number}")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{shown(file)}: is not UTF-8, after line {number}") from error
    except OSError as error:
        raise CorpusError(f"{shown(file)}: cannot be read ({error.strerror or error})") from error


def _line(text: str, where: str) -> _Read:
    try:
        row: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{where}: is not JSON ({error.msg}, column {error.colno})") from error
    if not isinstance(row, dict):
        raise CorpusError(f"{where}: is not an object ({{…}})")
    key, wav = row.get("key"), row.get("wav")
    if not isinstance(key, str) or not isinstance(wav, str) or not key or not wav:
        raise CorpusError(f"{where}: has no key or no wav; is it a fold file of EmoBox?")
    times = [row.get("start_time"), row.get("end_time"), row.get("length")]
    for time in times:
        if time is not None and (isinstance(time, bool) or not isinstance(time, int | float)):
            raise CorpusError(f"{where}: the time {time!r} is not a number of seconds")
    parts = wav.split("/")
    below = "/".join(parts[2:]) if parts[0] == "downloads" and len(parts) > 2 else wav
    return (key, below, times[0], times[1]), times[2]


def match(
    folds: Folds,
    corpus_id: str,
    ids: Sequence[str],
    paths: Sequence[str],
    segments: Sequence[tuple[float | None, float | None]],
    durations: Sequence[float | None] = (),
) -> tuple[list[tuple[Split, ...]], Matching]:
    """EmoBox's roles for the utterances of a local copy.

    Args:
        folds: What EmoBox says.
        corpus_id: Prefix of its keys.
        ids: Utterance ids.
        paths: Their paths below the corpus root.
        segments: Their start and end in seconds.
        durations: Their lengths in seconds, to compare with EmoBox's; may be left out.

    Returns:
        The splits of each utterance under protocol ``emobox``, empty where it has no line; and who
        met whom.

    Raises:
        CorpusError: Where not one line meets an utterance.
    """
    lines = folds.lines
    of_row: dict[int, int] = {}
    of_line: set[int] = set()

    def join(theirs: Iterable[Hashable], ours: Iterable[Hashable]) -> None:
        """Pair what has the same name, where that names one of all on either side."""
        left, right = _unique(theirs), _unique(ours)
        for name, line in left.items():
            row = right.get(name)
            if row is not None and row not in of_row and line not in of_line:
                of_row[row] = line
                of_line.add(line)

    their_places = [_place(line.wav) for line in lines]
    our_places = [_place(path) for path in paths]
    their_keys = [line.key.removeprefix(f"{corpus_id}-") for line in lines]
    if any(line.start_s is not None for line in lines):
        join(their_keys, ids)
        join([line.key for line in lines], ids)
        for depth in range(_depth(their_places, our_places), 0, -1):
            for shifts in _SHIFTS:
                join(
                    (
                        _timed(place, depth, (line.start_s, line.end_s), shifts)
                        for place, line in zip(their_places, lines, strict=True)
                    ),
                    (
                        _timed(place, depth, times, shifts)
                        for place, times in zip(our_places, segments, strict=True)
                    ),
                )
    else:
        whole = [start is None and end is None for start, end in segments]
        join(their_places, (p if w else None for p, w in zip(our_places, whole, strict=True)))
        for depth in range(_depth(their_places, our_places), 0, -1):
            join(
                (_tail(place, depth) for place in their_places),
                (
                    _tail(place, depth) if w else None
                    for place, w in zip(our_places, whole, strict=True)
                ),
            )
        join(their_keys, ids)
        join([line.key for line in lines], ids)
    if not of_row:
        raise CorpusError(
            f"{shown(folds.folder)}: none of its {len(lines)} lines is one of the {len(ids)} "
            f"utterances; EmoBox has e.g. {lines[0].wav}, the corpus root {shown(paths[0])}"
        )
    splits = [lines[of_row[i]].splits() if i in of_row else () for i in range(len(ids))]
    matching = Matching(
        folder=folds.folder,
        matched=len(of_row),
        lines=tuple(f"{x.key}: {x.wav}" for i, x in enumerate(lines) if i not in of_line),
        utterances=tuple(
            f"{ids[i]}: {shown(paths[i])}" for i in range(len(ids)) if i not in of_row
        ),
        passed_over=folds.passed_over,
        lengths=tuple(
            f"{ids[row]}: {durations[row]:.3f} s here, {lines[line].length_s:.3f} s in EmoBox"
            for row, line in sorted(of_row.items())
            if durations and _differ(durations[row], lines[line].length_s)
        ),
    )
    return splits, matching


def _differ(ours: float | None, theirs: float | None) -> bool:
    return ours is not None and theirs is not None and abs(ours - theirs) > LENGTH_SLACK_S


def _unique(names: Iterable[Hashable]) -> dict[Hashable, int]:
    """Name → position, of the names that stand once; ``None`` is no name."""
    at: dict[Hashable, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        if name is not None:
            at[name].append(i)
    return {name: found[0] for name, found in at.items() if len(found) == 1}


def _place(path: str) -> str:
    return unicodedata.normalize("NFC", str(PurePosixPath(path).with_suffix("")))


def _depth(*places: Sequence[str]) -> int:
    return min(max((p.count("/") + 1 for p in side), default=1) for side in places)


def _tail(place: str, depth: int) -> str | None:
    """The last ``depth`` names of a place; ``None`` where it has fewer."""
    parts = place.split("/")
    return "/".join(parts[-depth:]) if len(parts) >= depth else None


def _timed(
    place: str, depth: int, times: tuple[float | None, float | None], shifts: tuple[float, float]
) -> Hashable:
    tail = _tail(place, depth)
    if tail is None or times[1] is None:
        return None
    cells = (int(((t or 0.0) + s) // (2 * SLACK_S)) for t, s in zip(times, shifts, strict=True))
    return (tail, *cells)
