"""Reading a run folder: shards merged, damage counted, nothing guessed.

::

    RUN/run.json                    which model this run is of
    RUN/sessions/<writer>.json      one a process: when, with what, on what
    RUN/documents/<digest>.jsonl.gz what was asked about (utterances, gold, options of one task)
    RUN/asked/<writer>.jsonl        task × utterance × prompt → request key, number of samples
    RUN/replies/<writer>.jsonl      request key : sample → reply
    RUN/judgements/<writer>.jsonl   what LLM judges said of replies, by content
    RUN/judgings/<writer>.json      one a pass of `voxemo judge`: judges, rubric, canaries, counts
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..errors import StoreError
from ..home import DOCUMENTS
from ..records import Json, Response

RUN_FILE = "run.json"
RUN_SCHEMA = "voxemo-run/1"

OPEN_SHARDS = 64
"""Files of replies that are open at once for looking up."""

log = logging.getLogger(__name__)

_decode = json.JSONDecoder().raw_decode
"""``json.loads`` without its look at encoding and white space, a third of its time for a row."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question that was put: which reply keys belong to which utterance of which task."""

    task: str
    documents: str
    utterance_id: str
    prompt: str
    request: str
    samples: int
    session: str

    def to_json(self) -> Json:
        return {
            "task": self.task,
            "documents": self.documents,
            "utterance_id": self.utterance_id,
            "prompt": self.prompt,
            "request": self.request,
            "samples": self.samples,
        }


def parsed(line: bytes) -> Json | None:
    """The row of a line; ``None`` where it is torn or damaged.

    A process that was killed while writing leaves at most one incomplete line at the end.
    """
    if not line.endswith(b"\n"):
        return None
    try:
        text = line.decode()
        row, end = _decode(text)
        if end + 1 != len(text):
            row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def keyed_rows(shard: Path) -> Iterator[tuple[int, Json | None]]:
    """Byte offset and row of every line of a shard; ``None`` for one that is damaged or has no key."""
    offset = 0
    with shard.open("rb") as stream:
        for line in stream:
            row = parsed(line)
            yield offset, None if row is None or "key" not in row else row
            offset += len(line)


def is_failed(row: Json) -> bool:
    """Whether a row records that there is no reply."""
    return row.get("error") is not None or row.get("finish_reason") == "error"


class Rows:
    """Rows of shards by their place, each shard opened once and left open.

    Where there are more shards than :data:`OPEN_SHARDS`, the one that was longest out of use is
    closed for the next: a process may not have many thousand files open.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        self._shards = shards
        self._open: dict[int, BinaryIO] = {}  # in the order of their last use

    def at(self, shard: int, offset: int) -> Json:
        """The row of a shard that begins at a byte.

        Raises:
            StoreError: Where the shard has gone, or was changed since it was indexed.
        """
        path = self._shards[shard]
        try:
            stream = self._open.pop(shard, None) or path.open("rb")
            self._open[shard] = stream
            if len(self._open) > OPEN_SHARDS:
                self._open.pop(next(iter(self._open))).close()
            stream.seek(offset)
            row = parsed(stream.readline())
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
        if row is None:
            raise StoreError(
                f"{path} was changed by another hand while it was in use: there is no row at byte "
                f"{offset}. Start the same command again"
            )
        return row

    def close(self) -> None:
        """Close the shards; they open again on demand."""
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    def __del__(self) -> None:
        self.close()


@dataclass
class RunData:
    """A run folder, read. Replies stay on disk until they are asked for.

    Attributes:
        folder: The run folder.
        run: Content of ``run.json``.
        sessions: Writer id → its session record.
        asked: Every question, in shard order, repeated questions included.
    """

    folder: Path
    run: Json
    sessions: dict[str, Json]
    asked: list[Asked]
    _shards: list[Path] = field(repr=False)
    _damaged_beside: int = field(repr=False)
    _index: dict[str, tuple[int, int]] | None = field(repr=False, default=None)
    _damaged: int | None = field(repr=False, default=None)
    _written: dict[str, int] = field(repr=False, default_factory=dict)
    _rows: Rows = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rows = Rows(self._shards)

    @property
    def damaged(self) -> int:
        """Lines that were torn or unreadable (asked again on the next run)."""
        if self._damaged is None:
            self._find("")
        return self._damaged_beside + (self._damaged or 0)

    @property
    def written(self) -> dict[str, int]:
        """Writer id → rows in its shard of replies, whatever its session record says."""
        if self._damaged is None:
            self._find("")
        return self._written

    def replies(self) -> Iterator[Json]:
        """Every good row of the replies, shard by shard, each file read once from its start.

        The same key may come more than once: the first row that is not failed is the reply.
        """
        damaged, written = 0, {}
        for shard in self._shards:
            good = 0
            for _, row in keyed_rows(shard):
                if row is None:
                    damaged += 1
                    continue
                good += 1
                yield row
            if good:
                written[shard.stem] = good
        self._counted(damaged, written)

    def _counted(self, damaged: int, written: dict[str, int]) -> None:
        if damaged and self._damaged is None:
            log.warning("%s: %d torn or damaged line(s) left out", self.folder, damaged)
        self._damaged, self._written = damaged, written

    def _find(self, key: str) -> tuple[int, int] | None:
        if self._index is None:
            self._index, damaged, written = index_replies(self._shards)
            self._counted(damaged, written)
        return self._index.get(key)

    def has(self, key: str) -> bool:
        """Whether there is an answered (not failed) reply under this key."""
        entry = self._find(key)
        return entry is not None and entry[0] >= 0

    def reply(self, key: str) -> Response | None:
        """The stored reply, a failed one where there is nothing better, or ``None``."""
        entry = self._find(key)
        if entry is None:
            return None
        shard, offset = entry
        return Response.from_json(self._rows.at(shard if shard >= 0 else -shard - 1, offset))

    def close(self) -> None:
        """Close the shards; they open again on demand."""
        self._rows.close()

    def documents(self, digest: str) -> tuple[Json, list[Json]]:
        """Header and utterances of a task's documents.

        Raises:
            StoreError: Where the file is missing or damaged.
        """
        return read_documents(self.folder / "documents" / f"{digest}.jsonl.gz")


def read_documents(path: Path) -> tuple[Json, list[Json]]:
    """Header line and rows of a documents file.

    Raises:
        StoreError: Where it is missing, damaged, or not a documents file.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            rows = [json.loads(line) for line in stream]
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is missing: the run folder does not hold what it was asked about; copy the "
            "whole folder, with documents/"
        ) from error
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"{path} is damaged ({error}); run again to write it anew") from error
    if not rows or rows[0].get("schema") != DOCUMENTS:
        raise StoreError(f"{path} is not a documents file of this version")
    return rows[0], rows[1:]


def index_replies(
    shards: list[Path],
) -> tuple[dict[str, tuple[int, int]], int, dict[str, int]]:
    """Where each reply is.

    The first good row of a key wins: a second one (two processes at once) changes nothing. A failed
    row is kept as ``-shard - 1`` until a good one is seen.

    Returns:
        Key → (shard, byte offset); number of damaged lines; rows by writer.
    """
    index: dict[str, tuple[int, int]] = {}
    damaged = 0
    written: dict[str, int] = {}
    for number, shard in enumerate(shards):
        for at, row in keyed_rows(shard):
            if row is None:
                damaged += 1
                continue
            written[shard.stem] = written.get(shard.stem, 0) + 1
            known = index.get(row["key"])
            if known is None or known[0] < 0:
                index[row["key"]] = (-number - 1 if is_failed(row) else number, at)
    return index, damaged, written


def read_run_file(folder: Path) -> Json:
    """``run.json`` of a run folder.

    Raises:
        StoreError: Where the folder is not a run folder, or one of another version.
    """
    path = folder / RUN_FILE
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        inside = sorted(p.parent for p in folder.glob(f"*/{RUN_FILE}")) if folder.is_dir() else []
        hint = f"; did you mean {' or '.join(map(str, inside[:3]))}?" if inside else ""
        raise StoreError(f"{folder} is not a run folder: it has no {RUN_FILE}{hint}") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error})") from error
    if run.get("schema") != RUN_SCHEMA:
        raise StoreError(f"{path}: schema {run.get('schema')!r}, this version reads {RUN_SCHEMA!r}")
    return dict(run)


def writers_of(folder: Path) -> list[str]:
    """Names of the writers that have a record in a run folder."""
    return sorted(path.stem for path in (folder / "sessions").glob("*.json"))


def read_run(folder: Path, *, without: Collection[str] = ()) -> RunData:
    """Read a run folder, also one that is being written.

    Args:
        folder: The run folder.
        without: Writers to leave out, as if they had never written into it.

    Raises:
        StoreError: Where it is not a run folder.
    """
    run = read_run_file(folder)

    def files(pattern: str) -> list[Path]:
        return [path for path in sorted(folder.glob(pattern)) if path.stem not in without]

    shards = files("replies/*.jsonl")
    damaged = 0
    asked: list[Asked] = []
    texts: dict[str, str] = {}  # a task, a prompt, an utterance stands in many rows: kept once
    for shard in files("asked/*.jsonl"):
        with shard.open("rb") as stream:
            for line in stream:
                question = _asked(parsed(line) or {}, shard.stem, texts)
                if question is None:
                    damaged += 1
                else:
                    asked.append(question)
    sessions: dict[str, Json] = {}
    for path in files("sessions/*.json"):
        try:
            sessions[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            damaged += 1
    if damaged:
        log.warning("%s: %d torn or damaged line(s) or record(s) left out", folder, damaged)
    return RunData(folder, run, sessions, asked, shards, damaged)


def _asked(row: Json, session: str, texts: dict[str, str]) -> Asked | None:
    try:
        named = [str(row[key]) for key in ("task", "documents", "utterance_id", "prompt")]
        request, samples = str(row["request"]), int(row["samples"])
    except (KeyError, TypeError, ValueError):
        return None
    task, documents, utterance, prompt = (texts.setdefault(text, text) for text in named)
    return Asked(task, documents, utterance, prompt, request, samples, session)
