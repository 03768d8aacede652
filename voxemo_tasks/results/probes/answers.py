"""Answers under conditions, side by side: by utterance id, so that only like is compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...metrics.clusters import cluster_sums
from ...metrics.intervals import Interval
from ...metrics.paired import PairedCounts, difference, difference_interval, pair
from ...metrics.resampling import ratio_interval
from ...records import OURS, STATUSES, Json
from ..basics import Value
from ..blocks import REPLICATES, interval_of
from ..counting import Tally

FACTS = ("culture", "language")
"""What drops and gains are divided by, where it is known and differs."""

Floats = NDArray[np.float64]


@dataclass
class Answers:
    """What was answered under one condition.

    Attributes:
        tally: Its columns.
        answer: Utterance id → label, or ``None`` for a non-answer; our own failures are left out.
        document: Utterance id → what is known of it.
        failed: Utterances lost to our own failures.
        missing: Utterances that were asked about and have no stored reply.
    """

    tally: Tally
    answer: dict[str, str | None] = field(default_factory=dict)
    document: dict[str, Json] = field(default_factory=dict)
    failed: int = 0
    missing: int = 0

    @classmethod
    def of(cls, tally: Tally) -> Answers:
        out = cls(tally, missing=tally.missing)
        for document, status, answer in zip(
            tally.documents, tally.statuses, tally.answers, strict=True
        ):
            if STATUSES[status] in OURS:
                out.failed += 1
                continue
            uid = document["utterance_id"]
            out.answer[uid] = answer
            out.document[uid] = document
        return out

    @cached_property
    def shares(self) -> dict[str, Floats]:
        """Utterance id → distribution over the labels and, last, non-answers."""
        found = self.tally.mean_shares
        if found is None:
            counts, _ = self.tally.generations
            total = counts.sum(axis=1, keepdims=True)
            found = counts / np.maximum(total, 1)
        ids = [self.tally.documents[i]["utterance_id"] for i in self.tally.scored]
        return dict(zip(ids, np.asarray(found, dtype=np.float64), strict=True))


def speakers(documents: Iterable[Json]) -> list[str] | None:
    """The speaker of each; ``None`` where one is not known."""
    found = [document.get("speaker") for document in documents]
    return None if not found or None in found else [str(s) for s in found]


def joint(
    labels: Sequence[str], first: Answers, second: Answers, only: Iterable[str] | None = None
) -> PairedCounts:
    """Both answers of the utterances that have both and a gold label."""
    ids = [u for u in first.answer if u in second.answer] if only is None else list(only)
    ids = [
        u
        for u in ids
        if u in first.answer and u in second.answer and first.document[u].get("label") is not None
    ]
    who = speakers(first.document[u] for u in ids)
    return pair(
        labels,
        {u: str(first.document[u]["label"]) for u in ids},
        {u: first.answer[u] for u in ids},
        {u: second.answer[u] for u in ids},
        None if who is None else dict(zip(ids, who, strict=True)),
    )


def difference_of(counts: PairedCounts, metric: str, seed: int) -> Value:
    """Rate of the first less rate of the second, with its paired interval."""
    if not counts.n:
        return Value(value=None, n=0, interval=None)
    interval = difference_interval(counts, metric, replicates=REPLICATES, seed=seed)
    cluster = "speaker" if counts.n_clusters > 1 else None
    return Value(
        value=difference(counts, metric),
        n=counts.n,
        interval=interval_of(interval, cluster, seed),
    )


def share_of(
    hits: Sequence[float], documents: Sequence[Json], seed: int, low: float | None = 0.0
) -> Value:
    """Mean of values in [0, 1] (or from ``low``), with its interval over speakers."""
    if not len(hits):
        return Value(value=None, n=0, interval=None)
    who = speakers(documents)
    sums = cluster_sums(np.column_stack([np.asarray(hits, dtype=float), np.ones(len(hits))]), who)
    interval = ratio_interval(
        sums[:, 0], sums[:, 1], replicates=REPLICATES, seed=seed, low=low, high=1.0
    )
    return Value(
        value=float(np.mean(np.asarray(hits, dtype=float))),
        n=len(hits),
        interval=interval_of(interval, "speaker" if who else None, seed),
    )


def value_of(value: float | None, interval: Interval, n: int, who: object, seed: int) -> Value:
    """A number of ``metrics`` as the results have it."""
    return Value(value=value, n=n, interval=interval_of(interval, "speaker" if who else None, seed))


def groups_of(documents: Mapping[str, Json]) -> dict[str, dict[str, list[str]]]:
    """Fact → group → utterance ids, for the facts that are known and differ."""
    out: dict[str, dict[str, list[str]]] = {}
    for fact in FACTS:
        found: dict[str, list[str]] = {}
        for uid, document in documents.items():
            if document.get(fact) is not None:
                found.setdefault(str(document[fact]), []).append(uid)
        if len(found) > 1:
            out[fact] = dict(sorted(found.items()))
    return out
