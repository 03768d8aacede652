"""Reading a run folder: shards merged, damage counted, nothing guessed.

::

    RUN/run.json                    which model this run is of
    RUN/sessions/<writer>.json      one a process: when, with what, on what
    RUN/documents/<digest>.jsonl.gz what was asked about (utterances, gold, options of one task)
    RUN/asked/<writer>.jsonl        task × utterance × prompt → request key, number of samples
    RUN/replies/<writer>.jsonl      request key : sample → reply
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import StoreError
from ..records import Json, Response

RUN_FILE = "run.json"
RUN_SCHEMA = "voxemo-run/1"

log = logging.getLogger(__name__)


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


def read_lines(path: Path) -> Iterator[tuple[int, Json | None]]:
    """Rows of a shard with their byte offset; ``None`` for a line that is torn or damaged.

    A process that was killed while writing leaves at most one incomplete line at the end.
    """
    offset = 0
    with path.open("rb") as stream:
        for line in stream:
            row: Json | None = None
            if line.endswith(b"\n"):
                try:
                    parsed = json.loads(line)
                    row = parsed if isinstance(parsed, dict) else None
                except ValueError:
                    row = None
            yield offset, row
            offset += len(line)


@dataclass
class RunData:
    """A run folder, indexed. Replies stay on disk until they are asked for.

    Attributes:
        folder: The run folder.
        run: Content of ``run.json``.
        sessions: Writer id → its session record.
        asked: Every question, in shard order, repeated questions included.
        written: Writer id → rows in its shard of replies, whatever its session record says.
        damaged: Lines that were torn or unreadable (asked again on the next run).
    """

    folder: Path
    run: Json
    sessions: dict[str, Json]
    asked: list[Asked]
    written: dict[str, int]
    damaged: int
    _index: dict[str, tuple[int, int]] = field(repr=False)
    _shards: list[Path] = field(repr=False)
    _streams: dict[int, BinaryIO] = field(repr=False, default_factory=dict)

    def has(self, key: str) -> bool:
        """Whether there is an answered (not failed) reply under this key."""
        entry = self._index.get(key)
        return entry is not None and entry[0] >= 0

    def reply(self, key: str) -> Response | None:
        """The stored reply, a failed one where there is nothing better, or ``None``."""
        entry = self._index.get(key)
        if entry is None:
            return None
        shard, offset = entry
        number = shard if shard >= 0 else -shard - 1
        if number not in self._streams:
            self._streams[number] = self._shards[number].open("rb")
        stream = self._streams[number]
        stream.seek(offset)
        return Response.from_json(json.loads(stream.readline()))

    def close(self) -> None:
        """Close the shards; they open again on demand."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()

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
    if not rows or rows[0].get("schema") != "voxemo-documents/1":
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
        for offset, row in read_lines(shard):
            if row is None or "key" not in row:
                damaged += 1
                continue
            written[shard.stem] = written.get(shard.stem, 0) + 1
            failed = row.get("error") is not None or row.get("finish_reason") == "error"
            known = index.get(row["key"])
            if known is not None and known[0] >= 0:
                continue
            index[row["key"]] = (-number - 1, offset) if failed else (number, offset)
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
    index, damaged, written = index_replies(shards)
    asked: list[Asked] = []
    for shard in files("asked/*.jsonl"):
        for _, row in read_lines(shard):
            if row is None:
                damaged += 1
                continue
            asked.append(_asked(row, shard.stem))
    sessions: dict[str, Json] = {}
    for path in files("sessions/*.json"):
        try:
            sessions[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            damaged += 1
    if damaged:
        log.warning("%s: %d torn or damaged line(s) left out", folder, damaged)
    return RunData(folder, run, sessions, asked, written, damaged, index, shards)


def _asked(row: dict[str, Any], session: str) -> Asked:
    return Asked(
        task=str(row["task"]),
        documents=str(row["documents"]),
        utterance_id=str(row["utterance_id"]),
        prompt=str(row["prompt"]),
        request=str(row["request"]),
        samples=int(row["samples"]),
        session=session,
    )
