"""Rules only, rules and judge, judge only: the same replies read three ways, side by side.

The newest complete pass of ``voxemo judge`` that read a task's labels is looked up in the run
folder. *Rules and judge* takes the panel's word for the residue alone: replies on which the
verbalizer gave one of the statuses that the rubric names. *Judge only* takes it for every reply, on
utterances all of whose replies were judged and hold no instruction-like text. A panel that says
nothing is our failure: the reply is left out and counted, and above the rubric's limit there is no
headline. What a judge changes is the difference of a rate on the utterances that both readings
have, with an interval from redrawing speakers with both readings' answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import registry
from ..adjudicate import consensus, leave_one_out, suspicious, verdict_of
from ..errors import DataRoomError
from ..metrics.agreement import krippendorff_alpha, rating_table
from ..metrics.confusion import Confusion
from ..metrics.hard import HARD_METRICS
from ..metrics.intervals import Interval, bootstrap_interval
from ..metrics.judge_panel import canary_rate
from ..metrics.misclassification import correct_rate
from ..metrics.paired import difference, difference_interval, pair
from ..records import OURS, Json, Verdict
from ..specs import JudgeSpec
from ..store import Judgement, read_judgements
from ..tally import plurality
from . import model as m
from .audit_store import Calibration, calibration_of, code_of
from .blocks import REPLICATES, interval_of
from .judgeable import label_item
from .rubrics import Kin, own_family
from .sensitivity import StoredReply

JUDGINGS = "judgings"
"""Folder of a run in which a judge has been at work."""
METRICS = ("uar", "wa", "macro_f1", "coverage")
METHOD = "rate of pooled counts; a non-answer is wrong and nobody's false positive"

Read = Callable[[StoredReply], Verdict]
Answers = Mapping[str, str | int | None]


def attach(
    result: m.TaskResult,
    folder: Path,
    labels: Sequence[str],
    gold: Sequence[str],
    speakers: Sequence[str | None],
    replies: Sequence[Sequence[StoredReply]],
    read: Read,
    seed: int,
) -> m.TaskResult:
    """A task's result with what judges said of it.

    Args:
        result: Without.
        folder: The run folder.
        labels: The label set; empty where ratings were asked for.
        gold: Gold label of each scored utterance.
        speakers: Its speaker.
        replies: Its replies; our own failures left out.
        read: The verbalizer's reading of one.
        seed: Of the bootstrap.
    """
    rows, passes = read_judgements(folder)
    mine = [p for p in passes if p.get("finished") and result.task in p.get("tasks", ())]
    if not mine:
        return result
    newest: dict[str, Json] = {p["rubric"]["id"]: p for p in mine}
    found = [
        m.RubricReport(rubric=record["rubric"], transcripts=record.get("transcripts"), **summary)
        for record in newest.values()
        for summary in record.get("summaries", {}).get(result.task, ())
    ]
    update: dict[str, Any] = {"rubrics": found}
    label_passes = [p for p in mine if p["rubric"]["task"] == "adjudicate_label"]
    if labels and gold and label_passes:
        panel = Panel.of(label_passes[-1], rows)
        task = _Task(list(labels), list(gold), list(speakers), replies, read, seed)
        calibration = calibration_of(folder, result.task, labels)
        update["judged"] = _judged(panel, task, calibration)
    return result.model_copy(update=update)


@dataclass(frozen=True, slots=True)
class _Task:
    labels: list[str]
    gold: list[str]
    speakers: list[str | None]
    replies: Sequence[Sequence[StoredReply]]
    read: Read
    seed: int


@dataclass(frozen=True, slots=True)
class Panel:
    """A pass: who judged by what, and what they said.

    Attributes:
        record: Of the pass.
        spec: The rubric.
        judges: Digest → name, of the judges that count.
        said: Item → judge's digest → judgement.
        sampled: Keys of the replies that were drawn; ``None`` where none were.
    """

    record: Json
    spec: JudgeSpec
    judges: dict[str, str]
    said: dict[str, dict[str, Judgement]]
    sampled: frozenset[str] | None

    @classmethod
    def of(cls, record: Json, rows: Mapping[str, Judgement]) -> Panel:
        spec = _rubric(record["rubric"])
        judges = {j["digest"]: j["name"] for j in record["judges"] if j["used"]}
        said: dict[str, dict[str, Judgement]] = {}
        for row in rows.values():
            if (
                row.purpose == "main"
                and row.judge in judges
                and row.rubric_sha256 == record["rubric"]["sha256"]
                and row.seed == record["seed"]
            ):
                said.setdefault(row.item, {})[row.judge] = row
        # A reply that merely says the same as a drawn one is not part of the sample.
        sampled = record.get("sampled")
        return cls(record, spec, judges, said, None if sampled is None else frozenset(sampled))

    @classmethod
    def newest(cls, folder: Path, task: str) -> Panel | None:
        """The newest complete pass that read a task's labels."""
        rows, passes = read_judgements(folder)
        mine = [
            p
            for p in passes
            if p.get("finished")
            and task in p.get("tasks", ())
            and p["rubric"]["task"] == "adjudicate_label"
        ]
        return cls.of(mine[-1], rows) if mine else None

    def hear(self, reply: StoredReply, ruled: Verdict) -> Verdict | None:
        """The panel's verdict; ``None`` on a reply that no judge was, or may be, asked about."""
        answers = None if suspicious(reply.text) is not None else self.answers(reply)
        return None if answers is None else self.verdict(reply, ruled, answers)

    def answers(self, reply: StoredReply) -> dict[str, str | int | None] | None:
        """Judge's name → its answer on a reply; ``None`` where no judge was asked."""
        rows = self._rows(reply)
        if not rows or (self.sampled is not None and reply.key not in self.sampled):
            return None
        return {
            name: rows[digest].answer if digest in rows else None
            for digest, name in self.judges.items()
        }

    def _rows(self, reply: StoredReply) -> dict[str, Judgement]:
        return self.said.get(label_item(reply.text, reply.menu).id(self.spec), {})

    def verdict(
        self, reply: StoredReply, ruled: Verdict, answers: Answers, without: str | None = None
    ) -> Verdict:
        """The panel's verdict on a reply, or that of the panel without one of its judges."""
        rule = self.spec.panel_rule
        said = (
            consensus(rule, answers) if without is None else leave_one_out(rule, answers)[without]
        )
        quotes = [row.quote for row in self._rows(reply).values() if row.answer == said.answer]
        return verdict_of(said, self.spec.ref, reply.text, quotes[0] if quotes else "", ruled)


def _rubric(identity: Json) -> JudgeSpec:
    spec, digest = registry.judge(identity["id"])
    if digest != identity["sha256"]:
        raise DataRoomError(
            f"rubric {spec.ref} has SHA-256 {digest} here, the judges were asked with "
            f"{identity['sha256']}: a registered file was changed; restore it"
        )
    return spec


@dataclass
class _Read:
    """An utterance read three ways; ``None`` where a reading leaves it out."""

    rules: list[Verdict] = field(default_factory=list)
    both: list[Verdict] = field(default_factory=list)
    judge: list[Verdict] | None = field(default_factory=list)
    without: dict[str, list[Verdict]] = field(default_factory=dict)


def _judged(panel: Panel, task: _Task, calibration: Calibration) -> m.Judged:
    counts: Counter[str] = Counter()
    given: list[tuple[int, Answers]] = []
    utterances = [
        _read_utterance(panel, at, several, task, counts, given)
        for at, several in enumerate(task.replies)
    ]
    rules = [plurality(u.rules) if u.rules else None for u in utterances]
    both = [plurality(u.both) if u.both else None for u in utterances]
    only = [plurality(u.judge) if u.judge else None for u in utterances]
    residue_only = panel.record["rows"] == "residue"
    reasons = _reasons(panel, counts)
    without: dict[str, float | None] = {}
    if len(panel.judges) > 1:
        for name in panel.judges.values():
            left = [plurality(u.without[name]) if u.without.get(name) else None for u in utterances]
            without[name] = _rates(task, left, intervals=False).rates["uar"].value
    effects = {"rules_and_judge": _effects(task, rules, both)}
    if not residue_only:
        effects["judge"] = _effects(task, rules, only)
    return m.Judged(
        rubric=panel.record["rubric"],
        seed=panel.record["seed"],
        rows=panel.record["rows"],
        headline=not reasons,
        reasons=reasons,
        judges=[_verified(j) for j in panel.record["judges"]],
        replies={
            k: counts[k] for k in ("all", "residue", "judged", "failed", "flagged", "changed")
        },
        agreement=_agreement(panel, task, [answers for _, answers in given]),
        rules=_rates(task, rules),
        rules_and_judge=_rates(task, both),
        judge=None if residue_only else _rates(task, only),
        effects=effects,
        without=without,
        own_family=_own_family(panel, task, given),
        corrected={
            "rules": _corrected(task, calibration, [u.rules for u in utterances], rules),
            "rules_and_judge": _corrected(task, calibration, [u.both for u in utterances], both),
        }
        if calibration.reason is None
        else {},
        corrected_reason=calibration.reason,
    )


def _own_family(panel: Panel, task: _Task, given: Sequence[tuple[int, Answers]]) -> m.OwnFamily:
    used = [j for j in panel.record["judges"] if j["used"]]
    kin = Kin({j["name"]: bool(j["own_family"]) for j in used}, panel.record.get("judged_family"))
    worth = [
        {j: None if a is None else float(a == task.gold[at]) for j, a in answers.items()}
        for at, answers in given
    ]
    return own_family(kin, worth, [task.speakers[at] for at, _ in given], task.seed)


CORRECTED = (
    "rate of the table of gold and reading after each row's readings are multiplied by the inverse of "
    "the reader's confusion against people"
)


def _corrected(
    task: _Task,
    calibration: Calibration,
    readings: Sequence[Sequence[Verdict]],
    verdicts: Sequence[Verdict | None],
) -> list[m.Corrected]:
    """Rates of one way of reading, its error against people undone; of utterances with one reply."""
    size = len(task.labels) + 1
    errors = np.zeros((size, size), dtype=np.int64)
    for several, read in zip(task.replies, readings, strict=True):
        for reply, verdict in zip(several, read, strict=True):
            truth = calibration.people.get(reply.key)
            if truth is not None and verdict.status not in OURS:
                errors[truth, code_of(verdict.answer, task.labels)] += 1
    clusters, by_speaker = _clusters(task, verdicts)
    several_replies = any(len(replies) > 1 for replies in task.replies)
    out = []
    for metric in METRICS:
        found = correct_rate(clusters, errors, metric, replicates=REPLICATES, seed=task.seed)
        why = found.reason
        if several_replies:
            why = (
                "utterances have several replies; people read single ones, and the error of a "
                "plurality is another"
            )
        interval = interval_of(found.interval, "speaker" if by_speaker else None, task.seed)
        number = m.Measured(
            value=None if several_replies else found.value,
            n=found.n,
            interval=None if several_replies else interval,
            method=CORRECTED,
            reason=why,
        )
        out.append(
            m.Corrected(
                metric=metric, read=found.read, corrected=number, n_calibration=found.n_calibration
            )
        )
    return out


def _read_utterance(
    panel: Panel,
    at: int,
    replies: Sequence[StoredReply],
    task: _Task,
    counts: Counter[str],
    given: list[tuple[int, Answers]],
) -> _Read:
    out = _Read()
    several = len(panel.judges) > 1
    for reply in replies:
        ruled = task.read(reply)
        in_residue = ruled.status in panel.spec.residue
        flagged = suspicious(reply.text) is not None
        answers = None if flagged else panel.answers(reply)
        counts["all"] += 1
        counts["residue"] += in_residue
        counts["flagged"] += flagged
        verdict = None if answers is None else panel.verdict(reply, ruled, answers)
        if answers is not None and verdict is not None:
            given.append((at, answers))
            counts["judged"] += 1
            counts["failed"] += verdict.status in OURS
        elif in_residue and not flagged and reply.text.strip():
            counts["not judged"] += 1
        out.rules.append(ruled)
        heard = verdict if verdict is not None and in_residue else ruled
        counts["changed"] += heard is verdict and (heard.status, heard.labels) != (
            ruled.status,
            ruled.labels,
        )
        out.both.append(heard)
        for name in panel.judges.values() if several else ():
            said = ruled
            if answers is not None and in_residue:
                said = panel.verdict(reply, ruled, answers, without=name)
            out.without.setdefault(name, []).append(said)
        alone = ruled if not reply.text.strip() else verdict
        if alone is None:
            out.judge = None
        elif out.judge is not None:
            out.judge.append(alone)
    return out


def _reasons(panel: Panel, counts: Counter[str]) -> list[str]:
    reasons = list(panel.record.get("flags", ()))
    limit = panel.spec.max_failed_share
    if counts["failed"] > limit * counts["judged"]:
        reasons.append(
            f"the judges failed on {counts['failed']} of {counts['judged']} replies (limit of "
            f"{panel.spec.ref}: {limit:.0%})"
        )
    if counts["not judged"]:
        reasons.append(f"{counts['not judged']} replies of the residue were not judged")
    return reasons


def _kept(task: _Task, verdicts: Sequence[Verdict | None]) -> list[int]:
    return [i for i, v in enumerate(verdicts) if v is not None and v.status not in OURS]


def _answer(verdict: Verdict | None) -> str | None:
    return None if verdict is None else verdict.answer


def _rates(
    task: _Task, verdicts: Sequence[Verdict | None], *, intervals: bool = True
) -> m.JudgedRates:
    clusters, by_speaker = _clusters(task, verdicts)
    pooled = sum(clusters, Confusion.empty(task.labels))
    rates = {}
    for name in METRICS:
        interval = (
            bootstrap_interval(clusters, name, replicates=REPLICATES, seed=task.seed)
            if intervals and clusters
            else Interval(
                None, None, 0.95, "none", len(clusters), 0, "not asked for, or no utterance"
            )
        )
        rates[name] = m.Number(
            value=HARD_METRICS[name](pooled, "strict"),
            n=pooled.n("strict"),
            interval=interval_of(interval, "speaker" if by_speaker else None, task.seed),
            method=METHOD,
        )
    failed = sum(v is not None and v.status in OURS for v in verdicts)
    return m.JudgedRates(n=len(_kept(task, verdicts)), failed=failed, rates=rates)


def _clusters(task: _Task, verdicts: Sequence[Verdict | None]) -> tuple[list[Confusion], bool]:
    """One confusion per speaker where all are known, else one; and whether they are."""
    kept = _kept(task, verdicts)
    groups: dict[str, tuple[list[str], list[str | None]]] = {}
    by_speaker = all(task.speakers[i] is not None for i in kept)
    for i in kept:
        golds, said = groups.setdefault(str(task.speakers[i]) if by_speaker else "", ([], []))
        golds.append(task.gold[i])
        said.append(_answer(verdicts[i]))
    return [Confusion.from_pairs(task.labels, *groups[n]) for n in sorted(groups)], by_speaker


def _effects(
    task: _Task, rules: Sequence[Verdict | None], other: Sequence[Verdict | None]
) -> list[m.JudgedEffect]:
    shared = sorted(set(_kept(task, rules)) & set(_kept(task, other)))
    gold = {str(i): task.gold[i] for i in shared}
    known = bool(shared) and all(task.speakers[i] is not None for i in shared)
    counts = pair(
        task.labels,
        gold,
        {str(i): _answer(other[i]) for i in shared},
        {str(i): _answer(rules[i]) for i in shared},
        {str(i): str(task.speakers[i]) for i in shared} if known else None,
    )
    return [
        m.JudgedEffect(
            metric=name,
            value=difference(counts, name),
            n=len(shared),
            interval=interval_of(
                difference_interval(counts, name, replicates=REPLICATES, seed=task.seed),
                "speaker" if known else None,
                task.seed,
            ),
        )
        for name in METRICS
    ]


def _agreement(panel: Panel, task: _Task, given: Sequence[Answers]) -> dict[str, Any] | None:
    if len(panel.judges) < 2:
        return None
    rows = [[None if a is None else str(a) for a in answers.values()] for answers in given]
    table = rating_table(rows, [*task.labels, *panel.spec.options])
    if not rows:
        table = np.empty((0, len(panel.judges)))
    alpha = krippendorff_alpha(table, "nominal", replicates=REPLICATES, seed=task.seed)
    return {
        "coefficient": alpha.coefficient,
        "value": alpha.value,
        "low": alpha.interval.low,
        "high": alpha.interval.high,
        "raw": alpha.raw,
        "n": alpha.n_units,
        "reason": alpha.reason,
    }


def _verified(judge: Json) -> m.Verified:
    canaries = judge.get("canaries")
    if canaries is not None:
        rate = canary_rate(
            [True] * canaries["fooled"] + [False] * (canaries["n"] - canaries["fooled"])
        )
        canaries = {**canaries, "low": rate.low, "high": rate.high}
    return m.Verified(
        name=judge["name"],
        digest=judge["digest"],
        family=judge["family"],
        own_family=judge["own_family"],
        used=judge["used"],
        dropped=judge["dropped"],
        canaries=canaries,
        swapped=judge.get("swapped"),
        language=judge.get("language"),
        failed=judge.get("failed", 0),
        items=judge.get("items", 0),
    )
