"""Takes in the stored replies of a task, in any order, and lays out the columns of a scorecard.

A run's replies are read once and dealt out to all who take them: :class:`Collector` reads each as the
task does and keeps numbers, :class:`Texts` keeps them as they are.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..records import STATUSES, Json
from ..render import Menu
from ..store import Asked, RunData, is_failed
from ..verbalize import FinishReason
from .counting import ANSWERED, OURS_CODES, Ints, Tally
from .reading import Reading
from .sensitivity import StoredReply

MULTIPLE = STATUSES.index("multiple")
ENGINE_ERROR = STATUSES.index("engine_error")

SHORT = 300
REMEMBERED = 50_000
"""Verdicts on replies of so many characters at most are remembered, so many for each menu."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What of a verdict is kept; one for all equal replies."""

    outcome: int
    cut: bool
    shares: tuple[float, ...] | None
    values: tuple[float, ...] | None
    stored: StoredReply | None


class _Reader:
    """Replies to one menu; what was read once is remembered."""

    def __init__(self, reading: Reading, menu: Menu | None, keep: bool) -> None:
        self._reading = reading
        self._menu = menu
        self._keep = keep
        self._index = {label: i for i, label in enumerate(reading.labels)}
        self._known: dict[tuple[str, str], _Read] = {}

    def __call__(self, text: str, finish_reason: str) -> _Read:
        known = self._known.get((text, finish_reason))
        if known is not None:
            return known
        made = self._make(text, finish_reason)
        if len(text) <= SHORT and len(self._known) < REMEMBERED:
            self._known[text, finish_reason] = made
        return made

    def _make(self, text: str, finish_reason: str) -> _Read:
        reading = self._reading
        verdict = reading.of_text(text, finish_reason, self._menu)
        answer = verdict.answer
        if answer is not None and reading.labels:
            outcome = self._index[answer]
        else:
            outcome = len(reading.labels) + STATUSES.index(verdict.status)
        shares = values = None
        if verdict.distribution is not None:
            outside = float((verdict.detail or {}).get("outside", 0.0))
            some = (float(verdict.distribution.get(label, 0.0)) for label in reading.labels)
            shares = (*some, outside)
        if verdict.values is not None:
            values = tuple(verdict.values.get(name, math.nan) for name in reading.dimensions)
        stored = None
        if self._keep and self._menu is not None:
            cut: FinishReason = "length" if finish_reason == "length" else "stop"
            stored = StoredReply(text, cut, self._menu)
        return _Read(outcome, verdict.cut, shares, values, stored)


MISSING, FAILED, STORED = range(3)


class Collector:
    """Takes in the replies of a task in any order; a place is kept for each that was asked for."""

    def __init__(
        self,
        where: str,
        rows: Sequence[Asked],
        digest: str,
        documents: Iterable[Json],
        reading: Reading,
        *,
        keep: bool = False,
        keyed: bool = False,
    ) -> None:
        """Lay out the columns.

        Args:
            where: Run folder and task, for errors.
            rows: What was asked; of other documents than these, it is left out.
            digest: Of the documents.
            documents: The utterances.
            reading: How replies are read.
            keep: Keep the replies for rereading.
            keyed: Keep their keys too, which costs an object a reply.

        Raises:
            StoreError: Where an utterance was asked about that the documents lack.
        """
        self._reading = reading
        self._keep, self._keyed = keep, keyed
        asked: dict[str, dict[str, Asked]] = {}
        for row in rows:
            if row.documents == digest:
                asked.setdefault(row.utterance_id, {})[row.prompt] = row
        described = {document["utterance_id"]: document for document in documents}
        for uid in asked:
            if uid not in described:
                raise StoreError(f"{where} asked about {uid!r}, which its documents lack")
        self.asked = list(asked)
        self._documents = [described[uid] for uid in asked]
        self._prompts: dict[str, int] = {}
        self.requests: list[str] = []
        utterances, prompts, samples = array("q"), array("q"), array("q")
        self._readers: list[_Reader] = []
        readers: dict[int, _Reader] = {}
        for number, (uid, questions) in enumerate(asked.items()):
            for prompt, row in questions.items():
                menu = reading.menu(prompt, uid)
                reader = readers.get(id(menu))  # equal menus are one object, which `reading` holds
                if reader is None:
                    reader = readers[id(menu)] = _Reader(reading, menu, keep)
                self._readers.append(reader)
                self.requests.append(row.request)
                utterances.append(number)
                prompts.append(self._prompts.setdefault(prompt, len(self._prompts)))
                samples.append(row.samples)
        self._samples = np.frombuffer(samples, dtype=np.int64)
        self._utterance = np.repeat(np.frombuffer(utterances, dtype=np.int64), self._samples)
        self._prompt = np.repeat(np.frombuffer(prompts, dtype=np.int64), self._samples)
        starts = np.cumsum(self._samples) - self._samples
        n = len(self._utterance)
        self._sample = np.arange(n) - np.repeat(starts, self._samples)
        self._start: list[int] = starts.tolist()
        self._several: list[int] = self._samples.tolist()
        # Written reply by reply, which plain bytes and arrays do faster than numpy.
        self._state = bytearray(n)
        self._cut = bytearray(n)
        self._outcome = array("i", bytes(4 * n))
        self._supplied = array("d", bytes(8 * n))
        self._heard = array("d", bytes(8 * n))
        self._shares_of, self._shares = array("q"), array("d")
        self._values_of, self._values = array("q"), array("d")
        self._stored: dict[int, StoredReply] = {}

    def take(self, question: int, sample: int, row: Json) -> None:
        """Take in a stored reply to a question; the first that is not failed counts."""
        if not 0 <= sample < self._several[question]:
            return
        at = self._start[question] + sample
        if self._state[at] == STORED:
            return
        if is_failed(row):
            self._state[at] = FAILED
            self._outcome[at] = len(self._reading.labels) + ENGINE_ERROR
        else:
            self._state[at] = STORED
            read = self._readers[question](row["text"], row["finish_reason"])
            self._outcome[at] = read.outcome
            self._cut[at] = read.cut
            if read.shares is not None:
                self._shares_of.append(at)
                self._shares.extend(read.shares)
            if read.values is not None:
                self._values_of.append(at)
                self._values.extend(read.values)
            if read.stored is not None:
                keyed = self._keyed
                self._stored[at] = replace(read.stored, key=row["key"]) if keyed else read.stored
        supplied, heard = row.get("seconds_supplied"), row.get("seconds_heard")
        if supplied is not None and heard is not None:
            self._supplied[at] = supplied
            self._heard[at] = heard

    def tally(self) -> Tally:
        """The columns of what was taken in."""
        reading, c = self._reading, len(self._reading.labels)
        state = np.frombuffer(self._state, dtype=np.uint8)
        there = state != MISSING
        has = np.bincount(self._utterance[there], minlength=len(self.asked)) > 0
        number = np.cumsum(has) - 1
        of_reply = number[self._utterance[there]]
        outcome = np.frombuffer(self._outcome, dtype=np.int32)[there].astype(np.int64)
        supplied = np.frombuffer(self._supplied, dtype=np.float64)
        heard = np.frombuffer(self._heard, dtype=np.float64)
        reply = np.cumsum(there) - 1
        answers, statuses = _pluralities(of_reply, outcome, int(has.sum()), c)
        scored = [i for i, status in enumerate(statuses) if status not in OURS_CODES]
        return Tally(
            labels=reading.labels,
            dimensions=reading.dimensions,
            prompts=self._prompts,
            documents=[d for d, ok in zip(self._documents, has.tolist(), strict=True) if ok],
            statuses=statuses,
            answers=[None if a < 0 else reading.labels[a] for a in answers],
            of_reply=of_reply,
            prompt=self._prompt[there],
            sample=self._sample[there],
            outcome=outcome,
            shares_of=reply[np.frombuffer(self._shares_of, dtype=np.int64)],
            shares=np.frombuffer(self._shares, dtype=np.float64).reshape(-1, c + 1),
            values_of=reply[np.frombuffer(self._values_of, dtype=np.int64)],
            values=np.frombuffer(self._values, dtype=np.float64).reshape(
                len(self._values_of), len(reading.dimensions)
            ),
            replies=self._kept(number, has, scored),
            cut=sum(self._cut),
            missing=int((~has).sum()),
            missing_replies=int((~there).sum()),
            partly_heard=int((heard < supplied).sum()),
            supplied_s=float(supplied.sum()),
            heard_s=float(heard.sum()),
            cluster=reading.cluster,
        )

    def _kept(
        self, number: Ints, has: NDArray[np.bool_], scored: list[int]
    ) -> list[list[StoredReply]]:
        if not self._keep:
            return []
        by_utterance: list[list[StoredReply]] = [[] for _ in range(int(has.sum()))]
        for at in sorted(self._stored):
            by_utterance[number[self._utterance[at]]].append(self._stored[at])
        return [by_utterance[i] for i in scored]


class Texts:
    """Takes in replies as they are, for what reads them in another way than the task does."""

    def __init__(self, rows: Iterable[Asked]) -> None:
        self.rows = list(rows)
        self.requests = [row.request for row in self.rows]
        self._found: dict[tuple[int, int], tuple[str, str]] = {}

    def take(self, question: int, sample: int, row: Json) -> None:
        """Take in a stored reply to a question; the first that is not failed counts."""
        if 0 <= sample < self.rows[question].samples and not is_failed(row):
            self._found.setdefault((question, sample), (row["text"], row["finish_reason"]))

    def stored(self) -> Iterator[tuple[Asked, str, str]]:
        """Question, text and finish reason of each reply that is not failed, as it was asked."""
        for (question, _), (text, finish_reason) in sorted(self._found.items()):
            yield self.rows[question], text, finish_reason

    def numbered(self) -> Iterator[tuple[Asked, int, str]]:
        """Question, number of the sample and text of each reply that is not failed."""
        for (question, sample), (text, _) in sorted(self._found.items()):
            yield self.rows[question], sample, text


def _pluralities(of_reply: Ints, outcome: Ints, n: int, c: int) -> tuple[list[int], list[int]]:
    """Label (or -1) and status of each utterance, as ``tally.plurality`` decides for one."""
    width = c + len(STATUSES)
    counts = np.bincount(of_reply * width + outcome, minlength=n * width).reshape(n, width)
    votes, others = counts[:, :c], counts[:, c:].copy()
    others[:, sorted(OURS_CODES)] = 0
    first = np.full(n, -1, dtype=np.int64)
    first[of_reply[::-1]] = outcome[::-1] - c
    most = votes.max(axis=1, initial=0)
    single = (votes == most[:, None]).sum(axis=1) == 1
    answered = (most > 0) & single
    answer = np.where(answered, votes.argmax(axis=1) if c else -1, -1)
    status = np.where(others.any(axis=1), others.argmax(axis=1), first)
    status = np.where(others[:, ANSWERED] > 0, ANSWERED, status)  # ratings, which are no labels
    status = np.where(most > 0, np.where(single, ANSWERED, MULTIPLE), status)
    return answer.tolist(), status.tolist()


def collect(run: RunData, collectors: Iterable[Collector | Texts]) -> None:
    """Read the replies of a run once and deal them out."""
    places: dict[str, list[tuple[Collector | Texts, int]]] = {}
    for collector in collectors:
        for question, request in enumerate(collector.requests):
            places.setdefault(request, []).append((collector, question))
    for row in run.replies():
        request, _, sample = row["key"].rpartition(":")
        found = places.get(request)
        if found is None or not sample.isdecimal():
            continue
        number = int(sample)
        for collector, question in found:
            collector.take(question, number, row)
