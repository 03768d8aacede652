"""What a run asked, by task: the utterances, the questions under each condition, and how replies are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..records import Json
from ..store import Asked, RunData
from ..tally import require_fitting
from .collecting import Collector
from .probes.asked import CLEAN, by_condition
from .reading import Reading, choose_verbalizer


def asked_by_task(run: RunData, sessions: Iterable[str] | None = None) -> dict[str, list[Asked]]:
    """Task → its questions, oldest session first; of these sessions where they asked any."""
    chosen = set(sessions or ())
    by_task: dict[str, list[Asked]] = {}
    for row in sorted(run.asked, key=lambda r: r.session):
        by_task.setdefault(row.task, []).append(row)
    return {
        task: [row for row in rows if row.session in chosen] or rows
        for task, rows in by_task.items()
    }


@dataclass(frozen=True, slots=True)
class AskedTask:
    """A task as a run asked it.

    Attributes:
        run: The run folder, for errors.
        task: Its name.
        conditions: Condition → what was asked under it; all ``clean`` in an ordinary run.
        digest: Of the newest documents.
        header: Their header.
        documents: The utterances that the task selects.
        reading: How its replies are read.
        reader: Identity of the verbalizer, for the results.
    """

    run: str
    task: str
    conditions: Mapping[str, Sequence[Asked]]
    digest: str
    header: Json
    documents: list[Json]
    reading: Reading
    reader: Json

    def collector(
        self, condition: str = CLEAN, *, keep: bool = False, keyed: bool = False
    ) -> Collector:
        """What takes in its replies; ``keep`` them for rereading, with their keys for judges."""
        where, rows = f"{self.run}: {self.task}", self.conditions.get(condition, ())
        return Collector(
            where, rows, self.digest, self.documents, self.reading, keep=keep, keyed=keyed
        )


def read_task(
    run: RunData, task: str, rows: Sequence[Asked], verbalizer: str | None = None
) -> AskedTask:
    """A task with its documents and its verbalizer, or another one.

    Raises:
        StoreError: Where its documents are missing or damaged.
        DataRoomError: Where the run's own verbalizer has other bytes now.
        OptionError: For a verbalizer that reads something else than was asked for.
    """
    digest = rows[-1].documents
    header, documents = run.documents(digest)
    spec, reader = choose_verbalizer(header, verbalizer)
    labels = tuple((header["label_set"] or {}).get("labels", ()))
    require_fitting(spec, ratings=not labels)
    reading = Reading.of(header, labels, spec)
    by = by_condition(header, [row for row in rows if row.documents == digest])
    return AskedTask(str(run.folder), task, by, digest, header, documents, reading, reader)
