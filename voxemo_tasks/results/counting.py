"""The replies of a task in columns: who answered what to whom.

Everything that a scorecard counts stands in these columns, so that a reply costs a few integers and
not an object, and every number is computed from arrays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import LabelSet
from ..metrics.confusion import Confusion
from ..records import OURS, STATUSES, Json
from .sensitivity import StoredReply

Ints = NDArray[np.int64]

Floats = NDArray[np.float64]

SPEAKER = "speaker"
DIALOGUE = "dialogue"
OURS_CODES = frozenset(STATUSES.index(status) for status in OURS)
ANSWERED = STATUSES.index("answered")


@dataclass
class Tally:
    """The utterances and replies of a task, in columns.

    A reply's *outcome* is the index of the label it answers, or C + the index of its status.

    Attributes:
        labels: The label set.
        dimensions: Those that were asked about.
        prompts: The questions, in order of appearance.
        documents: What is known of each utterance that has a reply.
        statuses: Index of each utterance's status.
        answers: The label that each utterance was given, or ``None``.
        of_reply: Utterance of each reply.
        prompt: Question of each reply.
        sample: Sample of each reply.
        outcome: Outcome of each reply.
        shares_of: Replies that give shares of the labels.
        shares: Of these, shape ``(n, C + 1)``; the last is the probability outside the menu, where
            the reply says so (its shares are then those of the menu alone), else 0.
        values_of: Replies that give ratings.
        values: Of these, shape ``(n, D)``; NaN for a dimension without a rating.
        replies: Per scored utterance its stored replies, where they are kept for rereading.
        cut: Replies that ran into the token limit.
        missing: Utterances without any stored reply.
        missing_replies: Replies that were asked for and are not stored.
        partly_heard: Replies to clips longer than the model can hear.
        supplied_s: Audio that was supplied, in seconds.
        heard_s: Audio that was heard.
        cluster: What the corpus's card says that intervals redraw.
    """

    labels: tuple[str, ...]
    dimensions: tuple[str, ...]
    prompts: dict[str, int]
    documents: list[Json]
    statuses: list[int]
    answers: list[str | None]
    of_reply: Ints
    prompt: Ints
    sample: Ints
    outcome: Ints
    shares_of: Ints
    shares: Floats
    values_of: Ints
    values: Floats
    replies: list[list[StoredReply]]
    cut: int
    missing: int
    missing_replies: int
    partly_heard: int
    supplied_s: float
    heard_s: float
    cluster: str = SPEAKER

    # --- reading off ------------------------------------------------------------------------

    @cached_property
    def scored(self) -> list[int]:
        """Utterances that were not lost to our own failures."""
        return [i for i, status in enumerate(self.statuses) if status not in OURS_CODES]

    @property
    def failed(self) -> int:
        return sum(status in OURS_CODES for status in self.statuses)

    def status_counts(self) -> dict[str, int]:
        """Status → utterances, zeros included."""
        counts = Counter(self.statuses)
        return {status: counts[i] for i, status in enumerate(STATUSES)}

    def reply_status_counts(self) -> dict[str, int]:
        """Status → replies, zeros included."""
        n = len(self.labels)
        codes = np.where(self.outcome < n, ANSWERED, self.outcome - n)
        counts = np.bincount(codes, minlength=len(STATUSES)).tolist()
        return dict(zip(STATUSES, counts, strict=True))

    def column(self, name: str) -> list[Any]:
        """A fact of the scored utterances; ``None`` where it is not known."""
        return [self.documents[i].get(name) for i in self.scored]

    @cached_property
    def unit(self) -> str | None:
        """What intervals redraw: the first of the card's cluster, speaker and dialogue that is known of
        every scored utterance; ``None`` where none is, and utterances are taken for independent."""
        for name in dict.fromkeys((self.cluster, SPEAKER, DIALOGUE)):
            if self.scored and None not in self.column(name):
                return name
        return None

    def cluster_of(self, row: int) -> str | None:
        """The cluster of an utterance; ``None`` where it is not known."""
        name = self.documents[row].get(self.unit or self.cluster)
        return None if name is None else str(name)

    def clusters(self) -> list[str] | None:
        """The cluster of each scored utterance; ``None`` where utterances have none."""
        return None if self.unit is None else [str(name) for name in self.column(self.unit)]

    @cached_property
    def place(self) -> Ints:
        """Place of each utterance among the scored ones; -1 for one that is not."""
        place = np.full(len(self.documents), -1, dtype=np.int64)
        place[self.scored] = np.arange(len(self.scored))
        return place

    @cached_property
    def ours(self) -> NDArray[np.bool_]:
        """Replies that failed on our side."""
        return np.isin(self.outcome - len(self.labels), sorted(OURS_CODES))

    @cached_property
    def generations(self) -> tuple[Ints, Ints]:
        """Replies per scored utterance and label, the last column non-answers, ours left out.

        Returns:
            Shape ``(N, C + 1)``; and the same by prompt, ``(N, P, C + 1)``.
        """
        n, p, c = len(self.scored), max(1, len(self.prompts)), len(self.labels)
        at = self.place[self.of_reply]
        kept = (at >= 0) & ~self.ours
        column = np.minimum(self.outcome, c)
        flat = (at * p + self.prompt) * (c + 1) + column
        counts = np.bincount(flat[kept], minlength=n * p * (c + 1)).reshape(n, p, c + 1)
        return counts.sum(axis=1), counts

    @cached_property
    def mean_shares(self) -> Floats | None:
        """Shares ``(N, C + 1)`` of the scored utterances, mean over their replies; the last is outside.

        A reply without shares (``I think sad``) is a share of 1 on its answer or on no answer; one
        that failed on our side is none.
        ``None`` where no reply gave any.
        """
        if not len(self.shares):
            return None
        c = len(self.labels)
        rows = np.zeros((len(self.outcome), c + 1))
        rows[np.arange(len(rows)), np.minimum(self.outcome, c)] = 1
        inside, outside = self.shares[:, :c], self.shares[:, c:]
        whole = inside.sum(axis=1, keepdims=True)
        # A likelihood's shares are divided by their sum; what lies outside the menu comes back in.
        inside = np.where(np.abs(whole - 1) < 1e-9, inside * (1 - outside), inside)
        rows[self.shares_of, :c] = inside
        rows[self.shares_of, c] = np.maximum(0.0, 1 - inside.sum(axis=1))
        at = self.place[self.of_reply]
        kept = (at >= 0) & ~self.ours
        n = len(self.scored)
        total = np.stack([np.bincount(at[kept], column[kept], n) for column in rows.T], axis=1)
        count = np.bincount(at[kept], minlength=n)
        mean: Floats = total / np.maximum(count, 1)[:, None]
        return mean

    def confusion(self) -> Confusion:
        """Pooled counts of gold against answer."""
        return Confusion.from_pairs(self.labels, *self._pairs(self.scored))

    def confusions(self) -> tuple[list[Confusion], str | None]:
        """One confusion per cluster where every scored utterance has one, else one for all."""
        if self.unit is None:
            return [self.confusion()], None
        return self.by_cluster(self.scored), self.unit

    def by_cluster(self, rows: Sequence[int]) -> list[Confusion]:
        """One confusion per cluster over some utterances, by name; all one where any has none."""
        groups: dict[str, list[int]] = {}
        for row in rows:
            name = self.cluster_of(row)
            groups.setdefault("" if name is None else f"s{name}", []).append(row)
        if "" in groups:
            return [Confusion.from_pairs(self.labels, *self._pairs(rows))]
        return [Confusion.from_pairs(self.labels, *self._pairs(groups[s])) for s in sorted(groups)]

    def _pairs(self, rows: Sequence[int]) -> tuple[list[str], list[str | None]]:
        """Gold and answer of utterances with a gold label."""
        kept = [i for i in rows if self.documents[i].get("label") is not None]
        return [str(self.documents[i]["label"]) for i in kept], [self.answers[i] for i in kept]

    def votes(self, label_set: LabelSet) -> tuple[list[int], Ints]:
        """Votes within the label set: places among the scored utterances, and counts ``(n, C)``."""
        places, rows = [], []
        for place, i in enumerate(self.scored):
            kept, _ = label_set.of_votes(self.documents[i].get("votes") or {})
            if kept:
                places.append(place)
                rows.append([kept.get(label, 0) for label in self.labels])
        shape = (len(rows), len(self.labels))
        return places, np.array(rows, dtype=np.int64).reshape(shape)
