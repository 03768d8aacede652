"""A task's result before its blocks: what was asked, what became of it, and its hard rates.

What stands against a headline is found here as far as the counts show it; the validity gate adds to it.
"""

from __future__ import annotations

from ..metrics.confusion import Confusion
from ..metrics.hard import HARD_METRICS, chance, majority
from ..records import OURS, Json
from ..store import RunData
from ..tally import FAILURE_LIMIT, too_many_failures
from . import model as m
from .asking import AskedTask
from .blocks import per_label, rate, with_crossed
from .counting import Tally

SYNTHETIC = "synthetic, not a result"
NO_ANSWER = "no answer"


def counted_result(
    run: RunData, one: AskedTask, asked: int, tally: Tally, seed: int
) -> m.TaskResult:
    """The result of a task with its counts and hard rates, and without any other block."""
    labels, header, selected = tally.labels, one.header, len(one.documents)
    # Ratings have no confusion: only their coverage is a rate of counts.
    confusion = tally.confusion() if labels else None
    clusters, cluster = tally.confusions() if labels else ([], None)
    synthetic = bool(header["corpus"].get("synthetic")) or bool(run.run.get("synthetic_model"))
    reasons = []
    if synthetic:
        reasons.append(SYNTHETIC)
    if tally.missing_replies:
        reasons.append(
            f"{tally.missing_replies} replies are not stored ({tally.missing} utterances have none): "
            "the run is incomplete"
        )
    replies = tally.reply_status_counts()
    failed = sum(replies[status] for status in OURS)
    if too_many_failures(failed, len(tally.outcome)):  # utterances hide those of an ensemble
        reasons.append(
            f"engine or judge failed on {failed} of {len(tally.outcome)} replies ({tally.failed} of "
            f"{len(tally.statuses)} utterances have none left; limit {FAILURE_LIMIT:.0%})"
        )
    if not tally.scored:
        reasons.append("no utterance was scored")
    elif confusion is not None and not confusion.counts.any():
        reasons.append("no scored utterance has a gold label, so there is no hard rate")
    if header["options"].get("transform"):
        reasons.append(f"every clip was heard through {header['options']['transform']}")
    if asked < selected:
        reasons.append(f"{asked} of {selected} selected utterances were asked about")
    return m.TaskResult(
        task=one.task,
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
        verbalizer=one.reader,
        options=header["options"],
        documents_sha256=one.digest,
        counts=m.Counts(
            selected=selected,
            excluded=header["excluded"],
            asked=asked,
            scored=len(tally.scored),
            failed=tally.failed,
            missing=tally.missing,
            missing_replies=tally.missing_replies,
            replies=len(tally.outcome),
            statuses=tally.status_counts(),
            reply_statuses=replies,
            cut=tally.cut,
            partly_heard=tally.partly_heard,
        ),
        audio=m.Heard(supplied_s=round(tally.supplied_s, 3), heard_s=round(tally.heard_s, 3)),
        hard={} if confusion is None else _hard(header, tally, confusion, clusters, cluster, seed),
        per_label=[] if confusion is None else per_label(labels, confusion),
        confusion=None
        if confusion is None
        else m.ConfusionTable(
            rows=list(labels), columns=[*labels, NO_ANSWER], counts=confusion.counts.tolist()
        ),
        baselines={}
        if confusion is None
        else {"chance": chance(confusion), "majority": majority(confusion)},
    )


def _hard(
    header: Json,
    tally: Tally,
    confusion: Confusion,
    clusters: list[Confusion],
    cluster: str | None,
    seed: int,
) -> dict[str, m.Rate]:
    rates = {name: rate(name, confusion, clusters, cluster, seed) for name in HARD_METRICS}
    crossed = header["corpus"].get("crossed") == "speaker_sentence"
    return with_crossed(rates, tally) if crossed else rates
