"""Scoring a run folder: stored replies → verdicts → counts → rates. No engine, no corpus.

The result depends on the run folder, the verbalizer and the seed of the bootstrap alone, so that
the same folder gives the same numbers wherever and whenever it is scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__, registry
from ..errors import DataRoomError, StoreError
from ..metrics.confusion import Confusion, Policy
from ..metrics.hard import HARD_METRICS, bounds, chance, f1s, majority, precisions, recalls
from ..metrics.intervals import bootstrap_interval
from ..records import OURS, Json, Response, Verdict
from ..render import Menu, menu_from
from ..specs import AnyVerbalizer, VerbalizerSpec
from ..store import Asked, RunData, read_run, reply_key
from ..tally import (
    FAILURE_LIMIT,
    count_statuses,
    plurality,
    read_reply,
    require_fitting,
    too_many_failures,
)
from ..verbalize import FinishReason
from . import judged
from . import model as m
from .sensitivity import StoredReply, sensitivity

SEED = 20260501
REPLICATES = 1000
SYNTHETIC = "synthetic, not a result"
NO_ANSWER = "no answer"

METHODS = {
    "strict": "rate of pooled counts; a non-answer is wrong and nobody's false positive",
    "answered": "rate of pooled counts over answered utterances only",
}


def score_run(
    folder: Path,
    *,
    verbalizer: str | None = None,
    sessions: Iterable[str] | None = None,
    seed: int = SEED,
    multiverse: bool = True,
) -> m.Results:
    """Score a run folder.

    Args:
        folder: The run folder.
        verbalizer: Read the replies with this one; default: the one each task was run with.
        sessions: Tasks that these writers asked about are scored on what they asked; other tasks,
            and by default all, on everything that was asked. Where the options of a task changed
            between sessions, the newest version of it is scored.
        seed: Of the bootstrap.
        multiverse: Read the replies in every other way too, and report what that changes.

    Raises:
        StoreError: Where the folder is no run folder, or nothing was asked in it.
        DataRoomError: Where a verbalizer's registered bytes are not those the run was made with.
    """
    run = read_run(folder)
    wanted = set(sessions or ())
    by_task: dict[str, list[Asked]] = {}
    for row in sorted(run.asked, key=lambda r: r.session):
        by_task.setdefault(row.task, []).append(row)
    for task, rows in by_task.items():
        by_task[task] = [row for row in rows if row.session in wanted] or rows
    if not by_task:
        raise StoreError(
            f"{folder}: nothing was asked in this run yet, so there is nothing to score"
        )
    tasks = {
        task: score_task(run, task, rows, verbalizer=verbalizer, seed=seed, multiverse=multiverse)
        for task, rows in sorted(by_task.items())
    }
    run.close()
    synthetic = bool(run.run.get("synthetic_model")) or any(t.notice for t in tasks.values())
    return m.Results(
        schema="voxemo-results/1",
        voxemo_tasks=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notice=SYNTHETIC if synthetic else None,
        run=str(folder.absolute()),
        model=run.run["fingerprint"],
        fingerprint_sha256=run.run["fingerprint_digest"],
        damaged_lines=run.damaged,
        sessions=[_session(name, s, run.written.get(name, 0)) for name, s in run.sessions.items()],
        tasks=tasks,
    )


@dataclass
class _Tally:
    """What is counted on the way through the utterances of a task."""

    verdicts: list[Verdict] = field(default_factory=list)
    reply_verdicts: list[Verdict] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)
    answers: list[str | None] = field(default_factory=list)
    speakers: list[str | None] = field(default_factory=list)
    replies: list[list[StoredReply]] = field(default_factory=list)
    missing: int = 0
    missing_replies: int = 0
    partly_heard: int = 0
    supplied_s: float = 0.0
    heard_s: float = 0.0

    def hear(self, response: Response) -> None:
        if response.seconds_supplied is None or response.seconds_heard is None:
            return
        self.supplied_s += response.seconds_supplied
        self.heard_s += response.seconds_heard
        self.partly_heard += response.seconds_heard < response.seconds_supplied


def score_task(
    run: RunData,
    task: str,
    rows: Sequence[Asked],
    *,
    verbalizer: str | None,
    seed: int,
    multiverse: bool = True,
) -> m.TaskResult:
    """Score one task of a run; see :func:`score_run`."""
    digest = rows[-1].documents
    header, documents = run.documents(digest)
    spec, reader = choose_verbalizer(header, verbalizer)
    labels = list((header["label_set"] or {}).get("labels", ()))
    require_fitting(spec, ratings=not labels)
    reading = Reading.of(header, labels, spec)
    questions: dict[str, dict[str, Asked]] = {}
    for row in rows:
        if row.documents == digest:
            questions.setdefault(row.utterance_id, {})[row.prompt] = row
    described = {document["utterance_id"]: document for document in documents}
    tally = _Tally()
    for uid, prompts in questions.items():
        if uid not in described:
            raise StoreError(f"{run.folder}: {task} asked about {uid!r}, which its documents lack")
        _count_utterance(run, described[uid], prompts.values(), reading, tally)
    result = _result(
        run, task, header, reader, digest, labels, len(documents), len(questions), tally, seed
    )
    result = judged.attach(
        result,
        run.folder,
        labels,
        tally.gold,
        tally.speakers,
        tally.replies,
        lambda reply: read_reply(reply.text, reply.finish_reason, reply.menu, spec),
        seed,
    )
    if not multiverse or not labels:
        return result
    varied = sensitivity(labels, tally.gold, tally.replies, spec)
    return result.model_copy(update={"sensitivity": varied})


def _count_utterance(
    run: RunData,
    document: Json,
    questions: Iterable[Asked],
    reading: Reading,
    tally: _Tally,
) -> None:
    verdicts = []
    stored: list[StoredReply] = []
    for question in questions:
        for sample in range(question.samples):
            response = run.reply(reply_key(question.request, sample))
            if response is None:
                tally.missing_replies += 1
                continue
            tally.hear(response)
            verdicts.append(reading.of_response(response, question))
            menu = reading.menu(question.prompt, question.utterance_id)
            if response.error is None and menu is not None:
                reason: FinishReason = "length" if response.finish_reason == "length" else "stop"
                stored.append(StoredReply(response.text, reason, menu, response.key))
    if not verdicts:
        tally.missing += 1
        return
    verdict = plurality(verdicts)
    tally.reply_verdicts += verdicts
    tally.verdicts.append(verdict)
    if verdict.status not in OURS:
        tally.gold.append(document.get("label"))
        tally.answers.append(verdict.answer)
        tally.replies.append(stored)
        tally.speakers.append(document.get("speaker"))


@dataclass(frozen=True, slots=True)
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
        """The menu that a question offered to an utterance."""
        if not self.labels:
            return None
        member = self.members.get(prompt)
        if member is None:
            return Menu.plain(self.labels)
        return menu_from(member, self.labels, utterance_id, self.seed)

    def of_response(self, response: Response, question: Asked) -> Verdict:
        """The verdict on a stored reply; a failed one is ``engine_error``."""
        if response.error is not None:
            return Verdict("engine_error", rule=response.error)
        menu = self.menu(question.prompt, question.utterance_id)
        return read_reply(
            response.text, response.finish_reason, menu, self.spec, self.dimensions, self.scale
        )


def choose_verbalizer(header: Json, override: str | None) -> tuple[AnyVerbalizer, Json]:
    """The verbalizer to read with, and its identity for the results.

    Raises:
        DataRoomError: Where the run's own verbalizer has other bytes now.
    """
    run_with = header["verbalizer"]
    spec, digest = registry.verbalizer(override or run_with["id"])
    if spec.ref == run_with["id"] and digest != run_with["sha256"]:
        raise DataRoomError(
            f"verbalizer {spec.ref} has SHA-256 {digest} here, the run was made with "
            f"{run_with['sha256']}: a registered file was changed; restore it"
        )
    identity: Json = {"id": spec.ref, "sha256": digest, "run_with": run_with}
    if isinstance(spec, VerbalizerSpec) and spec.reviewed:
        identity["reviewed"] = dict(spec.reviewed)
    return spec, identity


def _result(
    run: RunData,
    task: str,
    header: Json,
    reader: Json,
    digest: str,
    labels: Sequence[str],
    selected: int,
    asked: int,
    tally: _Tally,
    seed: int,
) -> m.TaskResult:
    # Ratings have no confusion: only their coverage is a rate of counts.
    names = list(HARD_METRICS) if labels else []
    confusion = Confusion.from_pairs(labels, tally.gold, tally.answers) if labels else None
    clusters, cluster = by_speaker(labels, tally) if labels else ([], None)
    failed = sum(v.status in OURS for v in tally.verdicts)
    synthetic = bool(header["corpus"].get("synthetic")) or bool(run.run.get("synthetic_model"))
    reasons = []
    if synthetic:
        reasons.append(SYNTHETIC)
    if tally.missing_replies:
        reasons.append(
            f"{tally.missing_replies} replies are not stored ({tally.missing} utterances have none): "
            "the run is incomplete"
        )
    if too_many_failures(failed, len(tally.verdicts)):
        reasons.append(
            f"engine or judge failed on {failed} of {len(tally.verdicts)} utterances (limit "
            f"{FAILURE_LIMIT:.0%})"
        )
    if asked < selected:
        reasons.append(f"{asked} of {selected} selected utterances were asked about")
    return m.TaskResult(
        task=task,
        notice=SYNTHETIC if synthetic else None,
        headline=not reasons,
        reasons=reasons,
        corpus=header["corpus"],
        label_set=header["label_set"],
        dimensions=header.get("dimensions", []),
        scale=header.get("scale"),
        protocol=header["protocol"],
        fold=header["fold"],
        role=header["role"],
        tier=header["tier"],
        prompts=header["prompts"],
        ensemble=header.get("ensemble"),
        members=header.get("members", []),
        decoding=header["decoding"],
        verbalizer=reader,
        options=header["options"],
        documents_sha256=digest,
        counts=m.Counts(
            selected=selected,
            excluded=header["excluded"],
            asked=asked,
            scored=len(tally.gold),
            failed=failed,
            missing=tally.missing,
            missing_replies=tally.missing_replies,
            replies=len(tally.reply_verdicts),
            statuses=dict(count_statuses(tally.verdicts)),
            reply_statuses=dict(count_statuses(tally.reply_verdicts)),
            cut=sum(v.cut for v in tally.reply_verdicts),
            partly_heard=tally.partly_heard,
        ),
        audio=m.Heard(supplied_s=round(tally.supplied_s, 3), heard_s=round(tally.heard_s, 3)),
        hard={name: _rate(name, confusion, clusters, cluster, seed) for name in names if confusion},
        per_label=_per_label(labels, confusion),
        confusion=None
        if confusion is None
        else m.ConfusionTable(
            rows=list(labels), columns=[*labels, NO_ANSWER], counts=confusion.counts.tolist()
        ),
        baselines={}
        if confusion is None
        else {"chance": chance(confusion), "majority": majority(confusion)},
    )


def _per_label(labels: Sequence[str], confusion: Confusion | None) -> list[m.PerLabel]:
    if confusion is None:
        return []
    rates = zip(labels, recalls(confusion), precisions(confusion), f1s(confusion), strict=True)
    return [
        m.PerLabel(label=label, n=int(confusion.counts[i].sum()), recall=r, precision=p, f1=f)
        for i, (label, r, p, f) in enumerate(rates)
    ]


def by_speaker(labels: Sequence[str], tally: _Tally) -> tuple[list[Confusion], str | None]:
    """One confusion per speaker where every scored utterance has one, else one for all."""
    if not tally.gold or any(s is None for s in tally.speakers):
        return [Confusion.from_pairs(labels, tally.gold, tally.answers)], None
    pairs: dict[str, tuple[list[str], list[str | None]]] = {}
    for speaker, gold, answer in zip(tally.speakers, tally.gold, tally.answers, strict=True):
        golds, answers = pairs.setdefault(str(speaker), ([], []))
        golds.append(gold)
        answers.append(answer)
    return [Confusion.from_pairs(labels, *pairs[s]) for s in sorted(pairs)], "speaker"


def _rate(
    name: str, confusion: Confusion, clusters: list[Confusion], cluster: str | None, seed: int
) -> m.Rate:
    worst, best = bounds(confusion, name)
    strict = _number(name, confusion, clusters, cluster, "strict", seed)
    answered = _number(name, confusion, clusters, cluster, "answered", seed)
    return m.Rate(strict=strict, answered=answered, worst=worst, best=best)


def _number(
    name: str,
    confusion: Confusion,
    clusters: list[Confusion],
    cluster: str | None,
    policy: Policy,
    seed: int,
) -> m.Number:
    interval = bootstrap_interval(clusters, name, policy=policy, replicates=REPLICATES, seed=seed)
    return m.Number(
        value=HARD_METRICS[name](confusion, policy),
        n=confusion.n("strict" if name == "coverage" else policy),
        interval=m.Interval(
            low=interval.low,
            high=interval.high,
            level=interval.level,
            method=interval.method,
            n_clusters=interval.n_clusters,
            cluster=cluster,
            replicates=interval.replicates,
            seed=seed,
            reason=interval.reason,
        ),
        method=METHODS[policy],
    )


def _session(name: str, session: Json, written: int) -> m.Session:
    return m.Session(
        id=name,
        started=session.get("started"),
        finished=session.get("finished"),
        wall_s=session.get("wall_s"),
        replies_written=written,
        replies_reused=session.get("replies_reused", 0),
        engine=session.get("engine") or {},
    )
