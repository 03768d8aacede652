"""Judgements in a run folder: what LLM judges said of its replies.

Like replies, they are rows of single-writer shards, written as they come and found by content: the
judge's fingerprint, the rubric's digest, and the text that the judge was shown. A pass that is
killed and started again asks only for what is missing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from ..home import write_atomically
from ..records import Json
from .reading import keyed_rows, read_run_file
from .writing import Shard, Writer, now, writer_id

SCHEMA = "voxemo-judging/1"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one judge said of one item.

    Attributes:
        key: Digest of everything that determines it.
        item: Digest of what was judged.
        judge: Digest of the judge's fingerprint.
        rubric: ``id@version``.
        rubric_sha256: Digest of the rubric's file.
        purpose: ``main``, ``swapped`` (options the other way round), ``canary``, ``language`` (a
            rubric in the reply's own language).
        seed: Of the pass.
        shown: Fields of the material that the judge was shown with something in them.
        answer: ``None`` where the judgement failed.
        quote: Words that the answer rests on.
        attempts: How often the judge was asked.
        problem: Why what the judge wrote could not be used.
        error: Why the judge wrote nothing: such a row is asked again by the next pass.
        text: What it wrote last.
    """

    key: str
    item: str
    judge: str
    rubric: str
    rubric_sha256: str
    purpose: str
    seed: int
    answer: str | int | None
    shown: tuple[str, ...] = ()
    quote: str = ""
    attempts: int = 1
    problem: str | None = None
    error: str | None = None
    text: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        return cls(**known | {"shown": tuple(data.get("shown", ()))})


def read_judgements(folder: Path) -> tuple[dict[str, Judgement], list[Json]]:
    """Judgements of a run folder, and the records of its passes.

    Returns:
        Key → judgement (one without an error, where there is any), and the passes, oldest first.
    """
    found: dict[str, Judgement] = {}
    damaged = 0
    for shard in sorted((folder / "judgements").glob("*.jsonl")):
        for _, row in keyed_rows(shard):
            if row is None:
                damaged += 1
                continue
            known = found.get(row["key"])
            if known is None or known.error is not None:
                found[row["key"]] = Judgement.from_json(row)
    passes: list[Json] = []
    for path in sorted((folder / "judgings").glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            damaged += 1
            continue
        if record.get("schema") == SCHEMA:
            passes.append(record)
    if damaged:
        log.warning("%s: %d torn or damaged judgement(s) left out", folder, damaged)
    return found, passes


class JudgementStore(Writer):
    """The judgements of a run folder, open for writing by this process.

    Attributes:
        folder: The run folder.
        session: Id of this process's files.
        reused: Judgements that were found stored.
        written: Judgements that were written.
    """

    def __init__(self, folder: Path) -> None:
        """Open the judgements of a run folder.

        Raises:
            StoreError: Where it is no run folder.
        """
        read_run_file(folder)
        self.folder = folder.absolute()
        self.session = writer_id()
        self.reused = 0
        self.written = 0
        self._known, _ = read_judgements(self.folder)
        self._shard = Shard(self.folder / "judgements" / f"{self.session}.jsonl")
        self._record: Json = {"schema": SCHEMA, "started": now(), "finished": None}

    def find(self, key: str) -> Judgement | None:
        """A stored judgement; one whose judge wrote nothing does not count."""
        known = self._known.get(key)
        if known is None or known.error is not None:
            return None
        self.reused += 1
        return known

    def write(self, *judgements: Judgement) -> None:
        """Append judgements, in one write."""
        self._shard.append(asdict(judgement) for judgement in judgements)
        for judgement in judgements:
            self._known[judgement.key] = judgement
        self.written += len(judgements)

    def note(self, facts: Mapping[str, Any]) -> None:
        """Put facts into the record of this pass."""
        self._record |= dict(facts)
        self._record |= {"written": self.written, "reused": self.reused}
        data = json.dumps(self._record, indent=2, ensure_ascii=False).encode() + b"\n"
        write_atomically(self.folder / "judgings" / f"{self.session}.json", data)

    def finish(self) -> None:
        """Record that the pass is complete; only complete passes are scored."""
        self._shard.sync()
        self.note({"finished": now()})

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._shard.close()
