"""Writing a run folder: each process its own files, each row on disk as soon as it exists.

No file has two writers and nothing is locked, so that a run folder may lie on NFS or Lustre and be
written by many processes at once. A ``kill -9`` loses at most the row being written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import StoreError
from ..home import write_atomically
from ..records import Json, Response, digest_of
from .reading import RUN_FILE, RUN_SCHEMA, Asked, Rows, index_replies, read_run_file

log = logging.getLogger(__name__)

FLUSH_EVERY_S = 5.0
"""How often rows are forced to the disk itself. A killed process loses nothing that was written;
this bounds what a crash of the machine can lose."""


def now() -> str:
    """The time as runs record it: UTC, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def writer_id() -> str:
    """Name of a process's own files; sorts by start."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    host = "".join(c if c.isalnum() else "-" for c in socket.gethostname())[:32]
    return f"{stamp}-{host}-{os.getpid()}-{secrets.token_hex(3)}"


def _line(row: Json) -> bytes:
    """One row, the text exactly as it is (a digest's normalisation has no place here)."""
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # lone surrogates: escaped, so that the file stays UTF-8
        return json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class Shard:
    """An append-only file with one writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._synced = time.monotonic()
        self._size = 0

    def append(self, rows: Iterable[Json]) -> list[int]:
        """Append rows, in one write; returns the byte offset of each."""
        lines = [_line(row) for row in rows]
        data = b"".join(lines)
        if not data:
            return []
        offsets = []
        for line in lines:
            offsets.append(self._size)
            self._size += len(line)
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                self._file = os.open(self.path, flags, 0o666)
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            if time.monotonic() - self._synced > FLUSH_EVERY_S:
                self.sync()
        except OSError as error:
            raise StoreError(
                f"cannot write {self.path}: {error.strerror or error}. Everything before this row "
                "is stored; free some space or mend the permissions and start the same command "
                "again: only what is missing will be asked"
            ) from error
        return offsets

    def sync(self) -> None:
        if self._file is not None:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = None


class Writer(ABC):
    """What a process writes into; leaving its context closes it."""

    @abstractmethod
    def close(self) -> None:
        """Close the files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class RunStore(Writer):
    """A run folder open for writing by this process.

    Attributes:
        folder: The run folder.
        fingerprint: What model and engine this run is of.
        session: Id of this process's files.
        reused: Replies that were found stored.
        written: Replies that were written.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any], *, synthetic: bool) -> None:
        """Open a run folder, or make it.

        Args:
            folder: Made where it does not exist.
            fingerprint: JSON-safe identity of model and engine.
            synthetic: Whether results of this model are not results (the built-in tiny model).

        Raises:
            StoreError: Where the folder cannot be written or holds the run of another model.
        """
        self.folder = folder.absolute()
        self.fingerprint = dict(fingerprint)
        self.synthetic = synthetic
        self.session = writer_id()
        self.reused = 0
        self.written = 0
        self._tasks: dict[str, str] = {}
        self._started = time.monotonic()
        self._make()
        self._shards = sorted((self.folder / "replies").glob("*.jsonl"))
        self._index, damaged, _ = index_replies(self._shards)
        if damaged:
            log.warning("%s: %d torn line(s); they will be asked again", self.folder, damaged)
        self._replies = Shard(self.folder / "replies" / f"{self.session}.jsonl")
        self._asked = Shard(self.folder / "asked" / f"{self.session}.jsonl")
        self._seen: set[bytes] = set()
        self._own = len(self._shards)  # number of this process's own shard
        self._shards.append(self._replies.path)
        self._rows = Rows(self._shards)
        self._session: Json = {"schema": "voxemo-session/1", "started": now(), "finished": None}
        self.note({})

    def _make(self) -> None:
        run_file = self.folder / RUN_FILE
        if not run_file.exists():
            run = {
                "schema": RUN_SCHEMA,
                "created": now(),
                "fingerprint": self.fingerprint,
                "fingerprint_digest": digest_of(self.fingerprint),
                "synthetic_model": self.synthetic,
            }
            data = json.dumps(run, indent=2, ensure_ascii=False).encode() + b"\n"
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"cannot make the run folder {self.folder}: {error.strerror or error}"
                ) from error
            # Of two processes at once the first writes it, and the check below is against its model.
            write_atomically(run_file, data, new=True)
        stored = read_run_file(self.folder)
        if stored.get("fingerprint_digest") != digest_of(self.fingerprint):
            theirs, ours = stored.get("fingerprint", {}), self.fingerprint
            differing = [k for k in sorted({*theirs, *ours}) if theirs.get(k) != ours.get(k)]
            shown = ", ".join(
                f"{k}: {theirs.get(k)!r} there, {ours.get(k)!r} now" for k in differing
            )
            raise StoreError(
                f"{self.folder} holds the run of another model or engine ({shown}); one run folder "
                "is of one model: choose another folder (--output_path, or store= in --model_args)"
            )

    def note(self, facts: Mapping[str, Any]) -> None:
        """Put facts into this session's record (engine, effective decoding, versions …)."""
        self._session |= dict(facts)
        self._session |= {
            "tasks": dict(self._tasks),
            "replies_written": self.written,
            "replies_reused": self.reused,
            "wall_s": round(time.monotonic() - self._started, 3),
        }
        data = json.dumps(self._session, indent=2, ensure_ascii=False).encode() + b"\n"
        write_atomically(self.folder / "sessions" / f"{self.session}.json", data)

    def attach_documents(self, source: Path, digest: str) -> None:
        """Copy a documents file into the run, unread.

        Raises:
            StoreError: Where the source cannot be read or the copy cannot be written.
        """
        target = self.folder / "documents" / f"{digest}.jsonl.gz"
        if target.exists():
            return
        try:
            data = source.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read {source}: {error.strerror or error}") from error
        write_atomically(target, data)

    def ask(self, row: Asked) -> None:
        """Record a question; the same one is written once a session."""
        mark = bytes.fromhex(digest_of(row.to_json())[:32])
        if mark not in self._seen:
            self._seen.add(mark)
            self._tasks[row.task] = row.documents
            self._asked.append([row.to_json()])

    def has(self, key: str) -> bool:
        """Whether a good reply is stored under a key, by an earlier process or this one."""
        entry = self._index.get(key)
        return entry is not None and entry[0] >= 0

    def find(self, key: str) -> Response | None:
        """The reply under a key, of an earlier process or this one; failed rows do not count."""
        entry = self._index.get(key)
        if entry is None or entry[0] < 0:
            return None
        shard, offset = entry
        row = self._rows.at(shard, offset)
        self.reused += 1
        return Response.from_json(row)

    def find_all(self, keys: Iterable[str]) -> dict[str, Response]:
        """The replies that there are, by key: as :meth:`find`, each shard read once and forwards."""
        places = {key: entry for key in keys if (entry := self._index.get(key)) and entry[0] >= 0}
        found = {
            key: Response.from_json(self._rows.at(*entry))
            for key, entry in sorted(places.items(), key=itemgetter(1))
        }
        self.reused += len(found)
        return found

    def write(self, *responses: Response) -> None:
        """Append replies, in one write."""
        offsets = self._replies.append(response.to_json() for response in responses)
        for response, offset in zip(responses, offsets, strict=True):
            if response.error is None and not self.has(response.key):
                self._index[response.key] = (self._own, offset)
        self.written += len(responses)

    def finish(self) -> None:
        """Record that everything that was asked in this session has its row."""
        self._replies.sync()
        self._asked.sync()
        self.note({"finished": now()})

    def close(self) -> None:
        """Close the session's files; may be called twice."""
        self._rows.close()
        self._replies.close()
        self._asked.close()
