"""From the stored replies of a task to columns: who answered what to whom.

Everything that a scorecard counts stands in these columns, so that a reply costs a few integers and
not an object, and every number is computed from arrays.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataRoomError, StoreError
from ..labels import LabelSet
from ..metrics.confusion import Confusion
from ..records import OURS, STATUSES, Json, Verdict
from ..registry import verbalizer as registered
from ..render import Menu, menu_from
from ..specs import AnyVerbalizer, VerbalizerSpec
from ..store import Asked, RunData, is_failed
from ..tally import read_reply, require_fitting
from ..verbalize import FinishReason
from .probes.asked import CLEAN, by_condition
from .sensitivity import StoredReply

Ints = NDArray[np.int64]

Floats = NDArray[np.float64]

SPEAKER = "speaker"
DIALOGUE = "dialogue"
OURS_CODES = frozenset(STATUSES.index(status) for status in OURS)
ANSWERED = STATUSES.index("answered")
MULTIPLE = STATUSES.index("multiple")
ENGINE_ERROR = STATUSES.index("engine_error")

SHORT = 300
REMEMBERED = 50_000
"""Verdicts on replies of so many characters at most are remembered, so many for each menu."""


@dataclass(slots=True)
class Reading:
    """How the replies of a task are read: everything from the header of its documents.

    Attributes:
        labels: The label set; empty where ratings were asked for.
        spec: The verbalizer.
        members: Question id → how it offered the labels; empty for runs before there were any.
        seed: Of orders that differ by utterance.
        dimensions: Those that were asked about.
        scale: Their scale.
    """

    labels: tuple[str, ...]
    spec: AnyVerbalizer
    members: dict[str, Json]
    seed: int
    dimensions: tuple[str, ...]
    scale: tuple[float, float] | None
    cluster: str = SPEAKER
    _menus: dict[tuple[Any, ...], Menu] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, header: Json, labels: Sequence[str], spec: AnyVerbalizer) -> Reading:
        scale = header.get("scale")
        return cls(
            labels=tuple(labels),
            spec=spec,
            members={member["id"]: member for member in header.get("members", ())},
            seed=int(header["options"].get("order_seed", 0)),
            dimensions=tuple(header.get("dimensions", ())),
            scale=None if scale is None else (float(scale[0]), float(scale[1])),
            cluster=header["corpus"].get("cluster", SPEAKER),
        )

    def menu(self, prompt: str, utterance_id: str) -> Menu | None:
        """The menu that a question offered to an utterance; equal ones are one object."""
        if not self.labels:
            return None
        member = self.members.get(prompt)
        fixed = member is None or member["label_order"] == "registered"
        known = self._menus.get((prompt,)) if fixed else None
        if known is not None:
            return known
        if member is None:
            menu = Menu.plain(self.labels)
        else:
            menu = menu_from(member, self.labels, utterance_id, self.seed)
        return self._menus.setdefault((prompt,) if fixed else (prompt, menu.order), menu)

    def of_text(self, text: str, finish_reason: str, menu: Menu | None) -> Verdict:
        """The verdict on a stored reply."""
        return read_reply(text, finish_reason, menu, self.spec, self.dimensions, self.scale)


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


def choose_verbalizer(header: Json, override: str | None) -> tuple[AnyVerbalizer, Json]:
    """The verbalizer to read with, and its identity for the results.

    Raises:
        DataRoomError: Where the run's own verbalizer has other bytes now.
    """
    run_with = header["verbalizer"]
    spec, digest = registered(override or run_with["id"])
    if spec.ref == run_with["id"] and digest != run_with["sha256"]:
        raise DataRoomError(
            f"verbalizer {spec.ref} has SHA-256 {digest} here, the run was made with "
            f"{run_with['sha256']}: a registered file was changed; restore it"
        )
    identity: Json = {"id": spec.ref, "sha256": digest, "run_with": run_with}
    if isinstance(spec, VerbalizerSpec) and spec.reviewed:
        identity["reviewed"] = dict(spec.reviewed)
    return spec, identity


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
