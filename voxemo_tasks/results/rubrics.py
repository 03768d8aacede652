"""What a panel said under a rubric that gives no labels: a report per task and dimension."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..adjudicate import Consensus, consensus
from ..metrics.clusters import cluster_sums
from ..metrics.covariates import rank_association
from ..metrics.intervals import Interval
from ..metrics.judge_panel import self_preference
from ..metrics.resampling import ratio_interval
from ..records import Json
from ..specs import JudgeAnswer, JudgeSpec
from .blocks import REPLICATES, interval_of
from .judge_model import Measured, OwnFamily
from .judgeable import JudgedReply

Said = dict[str, dict[str, JudgeAnswer | None]]
"""Judge → item id → answer; ``None`` where the judgement failed."""

BEST = {"yes_no": 1, "last_number": 5}
"""Highest score of an emulation; its score is reported as a share of it."""

LEAST, MOST = 1.0, 5.0
"""The scale of a rubric that rates."""

FAVOURED = {"entailment": "entails", "rationale_update": "updated"}
"""The answer that speaks for the reply, of rubrics whose answers are no scores."""

MEAN = "mean of the panel's scores"
SHARE = "share of the replies on which the panel could be used"
LENGTH = "Spearman's rank correlation of the panel's score and the reply's length in characters"
PREFERENCE = (
    "mean score by judges of the judged model's family less that by the others, on replies that all "
    "of them could judge"
)


@dataclass(frozen=True, slots=True)
class Kin:
    """Which judges of a panel are of the judged model's family.

    Attributes:
        own: Judge → whether it is.
        judged: That family; ``None`` where it is not known.
    """

    own: Mapping[str, bool]
    judged: str | None = None


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was said of one reply.

    Attributes:
        said: By the panel.
        by: Judge → answer.
        speaker: Of the utterance.
        length: Of the reply, in characters.
    """

    said: Consensus
    by: Mapping[str, JudgeAnswer | None]
    speaker: Any
    length: int


def summaries(
    spec: JudgeSpec, replies: Sequence[JudgedReply], said: Said, kin: Kin, *, seed: int
) -> dict[str, list[Json]]:
    """Task → a report per dimension (one, for a rubric without), as ``RubricReport`` has it.

    Args:
        spec: The rubric.
        replies: That were judged.
        said: What the judges that count said.
        kin: Which of them are of the judged model's family.
        seed: Of the intervals; they redraw speakers where all are known.
    """
    by_task: dict[str, dict[str | None, list[_Heard]]] = {}
    for reply in replies:
        for item in reply.items(spec):
            item_id = item.id(spec)
            answers = {judge: given.get(item_id) for judge, given in said.items()}
            heard = consensus(spec.panel_rule, answers)
            place = by_task.setdefault(reply.task, {}).setdefault(item.dimension, [])
            speaker = reply.document.get("speaker")
            place.append(_Heard(heard, answers, speaker, len(reply.text.strip())))
    return {
        task: [_report(spec, dimension, heard, kin, seed) for dimension, heard in several.items()]
        for task, several in by_task.items()
    }


def _report(
    spec: JudgeSpec, dimension: str | None, heard: Sequence[_Heard], kin: Kin, seed: int
) -> Json:
    failed = sum(one.said.answer is None for one in heard)
    usable = [one for one in heard if one.said.answer is not None]
    scored = [one for one in usable if not isinstance(one.said.answer, str)]
    answers = Counter(str(one.said.answer) for one in usable)
    best = BEST.get(spec.reads, 1)
    scores = [float(one.said.answer or 0) / best for one in scored]
    reasons = []
    if spec.task == "emulation":
        reasons.append("an emulation of another suite's judge is no score of ours")
    if failed > spec.max_failed_share * len(heard):
        reasons.append(
            f"the judges failed on {failed} of {len(heard)} replies (limit of {spec.ref}: "
            f"{spec.max_failed_share:.0%})"
        )
    listed = sorted(set(answers) | (set() if spec.dimensions else set(spec.options)))
    out: Json = {
        "dimension": dimension,
        "replies": len(heard),
        "failed": failed,
        "headline": not reasons,
        "reasons": reasons,
        "answers": dict(sorted(answers.items())),
        "shares": {
            answer: mean_of([float(str(o.said.answer) == answer) for o in usable],
                            [o.speaker for o in usable], seed, SHARE, high=1.0).model_dump()
            for answer in listed
        },
        "mean": mean_of(
            scores,
            [o.speaker for o in scored],
            seed,
            MEAN,
            low=0.0 if spec.task == "emulation" else LEAST,
            high=1.0 if spec.task == "emulation" else MOST,
        ).model_dump(),
        "length": _length(scores, scored, seed).model_dump(),
        "own_family": own_family(
            kin, [{j: _worth(spec, a, best) for j, a in one.by.items()} for one in heard],
            [one.speaker for one in heard], seed,
        ).model_dump(),
    }  # fmt: skip
    if spec.task == "emulation":
        out["emulation"] = f"what another suite's judge would have scored, as a share of {best}"
    return out


def _worth(spec: JudgeSpec, answer: JudgeAnswer | None, best: int) -> float | None:
    """A judgement as a number: its score, or whether it speaks for the reply."""
    if answer is None:
        return None
    if not isinstance(answer, str):
        return answer / best
    favoured = FAVOURED.get(spec.task)
    return None if favoured is None else float(answer == favoured)


def clusters_of(speakers: Sequence[Any]) -> list[str] | None:
    """Speakers, where every one is known."""
    return [str(s) for s in speakers] if speakers and None not in speakers else None


def mean_of(
    values: Sequence[float],
    speakers: Sequence[Any],
    seed: int,
    method: str,
    *,
    low: float | None = 0.0,
    high: float | None = None,
) -> Measured:
    """A mean with its interval over speakers, or over replies where one is not known."""
    if not values:
        return Measured(value=None, n=0, method=method, reason="no judgement gives one")
    who = clusters_of(speakers)
    sums = cluster_sums(np.column_stack([np.asarray(values, float), np.ones(len(values))]), who)
    interval = ratio_interval(
        sums[:, 0], sums[:, 1], replicates=REPLICATES, seed=seed, low=low, high=high
    )
    return measured(float(np.mean(values)), interval, len(values), who, seed, method)


def measured(
    value: float | None,
    interval: Interval,
    n: int,
    who: object,
    seed: int,
    method: str,
    reason: str | None = None,
) -> Measured:
    """A number of ``metrics`` with its method."""
    return Measured(
        value=value,
        n=n,
        interval=interval_of(interval, "speaker" if who else None, seed),
        method=method,
        reason=reason if value is None else None,
    )


def _length(scores: Sequence[float], scored: Sequence[_Heard], seed: int) -> Measured:
    if not scores:
        return Measured(value=None, n=0, method=LENGTH, reason="the panel gave no score")
    who = clusters_of([one.speaker for one in scored])
    found = rank_association(
        scores,
        [float(one.length) for one in scored],
        clusters=who,
        replicates=REPLICATES,
        seed=seed,
    )
    why = "all scores, or all lengths, are the same"
    return measured(found.value, found.interval, found.n, who, seed, LENGTH, why)


def own_family(
    kin: Kin, worth: Sequence[Mapping[str, float | None]], speakers: Sequence[Any], seed: int
) -> OwnFamily:
    """Judges of the judged model's family against the others.

    On the same replies, so that how good these are cancels out: what remains is how much kinder a
    judge is to its own kind than others are to it, and how much kinder it is to everybody. Only
    replies of another family's model tell these apart.

    Args:
        kin: Who is of the family.
        worth: Per reply, judge → what its judgement comes to; ``None`` where it failed or is no
            number.
        speakers: Of each reply.
        seed: Of the interval.
    """
    own = [judge for judge, is_own in kin.own.items() if is_own]
    others = [judge for judge, is_own in kin.own.items() if not is_own]
    why = None
    if kin.judged is None:
        why = "the judged model's family is not known"
    elif not own:
        why = f"no judge of the panel is of the judged model's family ({kin.judged})"
    elif not others:
        why = f"every judge of the panel is of the judged model's family ({kin.judged})"
    rows = [
        (one, speakers[i], i)
        for i, one in enumerate(worth)
        if all(one.get(j) is not None for j in kin.own)
    ]
    if why is None and not rows:
        why = "no reply has a usable judgement, as a number, of every judge"
    if why is not None:
        nothing = Measured(value=None, n=0, method=PREFERENCE, reason=why)
        return OwnFamily(judges=own, others=others, own=None, rest=None, preference=nothing)
    given = [(float(one[j] or 0), j in own, who, i) for one, who, i in rows for j in kin.own]
    known = clusters_of([who for _, who, _ in rows])
    # Judgements of one reply belong together, whoever speaks in it.
    names = [f"s{who}" if known else f"r{i}" for _, _, who, i in given]
    found = self_preference(
        [score for score, *_ in given],
        [0.0] * len(given),
        [is_own for _, is_own, *_ in given],
        clusters=names,
        replicates=REPLICATES,
        seed=seed,
    )
    return OwnFamily(
        judges=own,
        others=others,
        own=found.own,
        rest=found.others,
        preference=measured(found.value, found.interval, len(rows), known, seed, PREFERENCE),
    )
