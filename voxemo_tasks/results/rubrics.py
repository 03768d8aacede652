"""What a panel said under a rubric that gives no labels: a summary per task and dimension."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..adjudicate import Consensus, consensus
from ..metrics.resampling import statistic_interval
from ..records import Json
from ..specs import JudgeAnswer, JudgeSpec
from .judgeable import JudgedReply

Said = dict[str, dict[str, JudgeAnswer | None]]
"""Judge → item id → answer; ``None`` where the judgement failed."""

BEST = {"yes_no": 1, "last_number": 5}
"""Highest score of an emulation; its score is reported as a share of it."""


def summaries(
    spec: JudgeSpec, replies: Sequence[JudgedReply], said: Said, *, seed: int
) -> dict[str, list[Json]]:
    """Task → a summary per dimension (one, for a rubric without).

    A summary holds the panel's answers counted, the mean of its scores with an interval (speakers
    are redrawn where all are known), and how many replies the panel could not be used for. The mean
    of an emulation is a share of its best score.

    Args:
        spec: The rubric.
        replies: That were judged.
        said: What the judges that count said.
        seed: Of the interval.
    """
    by_task: dict[str, dict[str | None, list[tuple[Consensus, Any]]]] = {}
    for reply in replies:
        for item in reply.items(spec):
            item_id = item.id(spec)
            answers = {judge: given.get(item_id) for judge, given in said.items()}
            heard = consensus(spec.panel_rule, answers)
            place = by_task.setdefault(reply.task, {}).setdefault(item.dimension, [])
            place.append((heard, reply.document.get("speaker")))
    return {
        task: [_summary(spec, dimension, heard, seed) for dimension, heard in dimensions.items()]
        for task, dimensions in by_task.items()
    }


def _summary(
    spec: JudgeSpec, dimension: str | None, heard: Sequence[tuple[Consensus, Any]], seed: int
) -> Json:
    scored = [
        (float(one.answer), speaker)
        for one, speaker in heard
        if one.answer is not None and not isinstance(one.answer, str)
    ]
    failed = sum(one.answer is None for one, _ in heard)
    answers = Counter(str(one.answer) for one, _ in heard if one.answer is not None)
    best = BEST.get(spec.reads, 1)
    out: Json = {
        "dimension": dimension,
        "replies": len(heard),
        "failed": failed,
        "headline": spec.task != "emulation" and failed <= spec.max_failed_share * len(heard),
        "answers": dict(sorted(answers.items())),
        "scored": len(scored),
        "mean": None,
        "low": None,
        "high": None,
    }
    if spec.task == "emulation":
        out["emulation"] = f"what another suite's judge would have scored, as a share of {best}"
    if scored:
        known = all(speaker is not None for _, speaker in scored)
        sums: dict[Any, list[float]] = {}
        for i, (score, speaker) in enumerate(scored):
            total = sums.setdefault(speaker if known else i, [0.0, 0.0])
            total[0] += score / best
            total[1] += 1
        table = np.array(list(sums.values()))
        interval = statistic_interval(table, lambda s: s[:, 0] / s[:, 1], seed=seed)
        out |= {
            "mean": float(table[:, 0].sum() / table[:, 1].sum()),
            "low": interval.low,
            "high": interval.high,
            "cluster": "speaker" if known else None,
        }
    return out
