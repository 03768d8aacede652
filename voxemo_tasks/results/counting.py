"""From the stored replies of a task to columns: who answered what to whom.

Everything that a scorecard counts stands in these columns, so that a reply costs a few integers and
not an object, and every number is computed from arrays.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataRoomError, StoreError
from ..labels import LabelSet
from ..metrics.confusion import Confusion
from ..records import OURS, STATUSES, Json, Response, Verdict
from ..registry import verbalizer as registered
from ..render import Menu, menu_from
from ..specs import AnyVerbalizer, VerbalizerSpec
from ..store import Asked, RunData, reply_key
from ..tally import plurality, read_reply
from ..verbalize import FinishReason
from .sensitivity import StoredReply

Ints = NDArray[np.int64]

OURS_CODES = frozenset(STATUSES.index(status) for status in OURS)
ANSWERED = STATUSES.index("answered")


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

    def of_response(self, response: Response, menu: Menu | None) -> Verdict:
        """The verdict on a stored reply; a failed one is ``engine_error``."""
        if response.error is not None:
            return Verdict("engine_error", rule=response.error)
        return read_reply(
            response.text, response.finish_reason, menu, self.spec, self.dimensions, self.scale
        )


@dataclass
class Tally:
    """The utterances and replies of a task, in columns.

    A reply's *outcome* is the index of the label it answers, or C + the index of its status.

    Attributes:
        labels: The label set.
        prompts: The questions, in order of appearance.
        documents: What is known of each utterance that has a reply.
        statuses: Index of each utterance's status.
        answers: The label that each utterance was given, or ``None``.
        of_reply: Utterance of each reply.
        prompt: Question of each reply.
        sample: Sample of each reply.
        outcome: Outcome of each reply.
        shares: Reply → shares of the labels, where it gives them.
        values: Reply → ratings, where it gives them.
        outside: Reply → probability outside the menu, where it says so.
        replies: Per scored utterance its stored replies, where they are kept for rereading.
    """

    labels: tuple[str, ...]
    prompts: dict[str, int] = field(default_factory=dict)
    documents: list[Json] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answers: list[str | None] = field(default_factory=list)
    of_reply: array[int] = field(default_factory=lambda: array("i"))
    prompt: array[int] = field(default_factory=lambda: array("i"))
    sample: array[int] = field(default_factory=lambda: array("i"))
    outcome: array[int] = field(default_factory=lambda: array("i"))
    shares: dict[int, Mapping[str, float]] = field(default_factory=dict)
    values: dict[int, Mapping[str, float]] = field(default_factory=dict)
    outside: dict[int, float] = field(default_factory=dict)
    replies: list[list[StoredReply]] = field(default_factory=list)
    cut: int = 0
    missing: int = 0
    missing_replies: int = 0
    partly_heard: int = 0
    supplied_s: float = 0.0
    heard_s: float = 0.0

    # --- counting ---------------------------------------------------------------------------

    def count(
        self,
        run: RunData,
        document: Json,
        questions: Iterable[Asked],
        reading: Reading,
        *,
        keep: bool,
    ) -> None:
        """Take in the replies to an utterance."""
        verdicts: list[Verdict] = []
        stored: list[StoredReply] = []
        utterance = len(self.documents)
        for question in questions:
            menu = reading.menu(question.prompt, question.utterance_id)
            number = self.prompts.setdefault(question.prompt, len(self.prompts))
            for sample in range(question.samples):
                response = run.reply(reply_key(question.request, sample))
                if response is None:
                    self.missing_replies += 1
                    continue
                self._hear(response)
                verdict = reading.of_response(response, menu)
                verdicts.append(verdict)
                self._add(utterance, number, sample, verdict)
                if keep and response.error is None and menu is not None:
                    cut = response.finish_reason == "length"
                    reason: FinishReason = "length" if cut else "stop"
                    stored.append(StoredReply(response.text, reason, menu))
        if not verdicts:
            self.missing += 1
            return
        verdict = plurality(verdicts)
        self.documents.append(document)
        self.statuses.append(STATUSES.index(verdict.status))
        self.answers.append(verdict.answer)
        if keep and verdict.status not in OURS:
            self.replies.append(stored)

    def _add(self, utterance: int, prompt: int, sample: int, verdict: Verdict) -> None:
        reply = len(self.outcome)
        self.of_reply.append(utterance)
        self.prompt.append(prompt)
        self.sample.append(sample)
        answer = verdict.answer
        if answer is not None and self.labels:
            self.outcome.append(self.labels.index(answer))
        else:
            self.outcome.append(len(self.labels) + STATUSES.index(verdict.status))
        self.cut += verdict.cut
        if verdict.distribution is not None:
            self.shares[reply] = verdict.distribution
        if verdict.values is not None:
            self.values[reply] = verdict.values
        if verdict.detail is not None and "outside" in verdict.detail:
            self.outside[reply] = float(verdict.detail["outside"])

    def _hear(self, response: Response) -> None:
        if response.seconds_supplied is None or response.seconds_heard is None:
            return
        self.supplied_s += response.seconds_supplied
        self.heard_s += response.seconds_heard
        self.partly_heard += response.seconds_heard < response.seconds_supplied

    # --- reading off ------------------------------------------------------------------------

    @property
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
        counts = Counter(ANSWERED if o < n else o - n for o in self.outcome)
        return {status: counts[i] for i, status in enumerate(STATUSES)}

    def column(self, name: str) -> list[Any]:
        """A fact of the scored utterances; ``None`` where it is not known."""
        return [self.documents[i].get(name) for i in self.scored]

    def clusters(self) -> list[str] | None:
        """The speaker of each scored utterance; ``None`` where one is not known."""
        speakers = self.column("speaker")
        return None if not speakers or None in speakers else [str(s) for s in speakers]

    def generations(self) -> tuple[Ints, Ints]:
        """Replies per scored utterance and label, the last column non-answers, ours left out.

        Returns:
            Shape ``(N, C + 1)``; and the same by prompt, ``(N, P, C + 1)``.
        """
        place = np.full(len(self.documents), -1, dtype=np.int64)
        scored = self.scored
        place[scored] = np.arange(len(scored))
        n, p, c = len(scored), max(1, len(self.prompts)), len(self.labels)
        outcome = np.frombuffer(self.outcome, dtype=np.int32).astype(np.int64)
        at = place[np.frombuffer(self.of_reply, dtype=np.int32)]
        prompt = np.frombuffer(self.prompt, dtype=np.int32).astype(np.int64)
        ours = np.isin(outcome - c, sorted(OURS_CODES))
        kept = (at >= 0) & ~ours
        column = np.minimum(outcome, c)
        flat = (at * p + prompt) * (c + 1) + column
        counts = np.bincount(flat[kept], minlength=n * p * (c + 1)).reshape(n, p, c + 1)
        return counts.sum(axis=1), counts

    def confusion(self) -> Confusion:
        """Pooled counts of gold against answer."""
        return Confusion.from_pairs(self.labels, *self._pairs(self.scored))

    def confusions(self) -> tuple[list[Confusion], str | None]:
        """One confusion per speaker where every scored utterance has one, else one for all."""
        speakers = self.clusters()
        if speakers is None:
            return [self.confusion()], None
        return self.by_cluster(self.scored), "speaker"

    def by_cluster(self, rows: Sequence[int]) -> list[Confusion]:
        """One confusion per speaker over some utterances, by name; all one where any has none."""
        groups: dict[str, list[int]] = {}
        for row in rows:
            speaker = self.documents[row].get("speaker")
            groups.setdefault("" if speaker is None else f"s{speaker}", []).append(row)
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


def tally_of(
    run: RunData,
    task: str,
    rows: Sequence[Asked],
    digest: str,
    documents: Iterable[Json],
    reading: Reading,
    *,
    keep: bool,
) -> tuple[Tally, int]:
    """The columns of a task, and how many utterances were asked about.

    Raises:
        StoreError: Where an utterance was asked about that the documents lack.
    """
    questions: dict[str, dict[str, Asked]] = {}
    for row in rows:
        if row.documents == digest:
            questions.setdefault(row.utterance_id, {})[row.prompt] = row
    described = {document["utterance_id"]: document for document in documents}
    tally = Tally(reading.labels)
    for uid, prompts in questions.items():
        if uid not in described:
            raise StoreError(f"{run.folder}: {task} asked about {uid!r}, which its documents lack")
        tally.count(run, described[uid], prompts.values(), reading, keep=keep)
    return tally, len(questions)
