"""Scoring a run folder: stored replies → verdicts → counts → rates. No engine, no corpus.

The result depends on the run folder, the verbalizer and the seed of the bootstrap alone, so that
the same folder gives the same numbers wherever and whenever it is scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import StoreError
from ..metrics.confusion import Confusion
from ..metrics.gaps import rate_gaps
from ..metrics.hard import HARD_METRICS, chance, majority
from ..metrics.random_effects import random_effects
from ..records import Json
from ..store import Asked, RunData, read_run
from ..tally import FAILURE_LIMIT, require_fitting, too_many_failures
from . import model as m
from .blocks import (
    REPLICATES,
    association_block,
    dimensional_block,
    gaps_of,
    group_keys,
    groups_block,
    per_label,
    prompt_block,
    rate,
    with_choices,
)
from .calibrated import calibration_block, hard_votes, root
from .counting import Reading, Tally, choose_verbalizer, tally_of
from .probes.answers import CLEAN, by_condition
from .probes.block import probes_block
from .probes.conditions import why_no_headline
from .sensitivity import sensitivity
from .soft import gold_of, shares_of, soft_block, source_of

SEED = 20260501
SYNTHETIC = "synthetic, not a result"
NO_ANSWER = "no answer"
HEADLINE = ("uar", "wa")
"""Rates whose interval is also given with the choice of prompt and of reading."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a scorecard is to hold.

    Attributes:
        verbalizer: Read the replies with this one; default: the one each task was run with.
        by: What to divide by; default: what is known and differs.
        seed: Of the bootstrap.
        multiverse: Read the replies in every other way too, and report what that changes.
    """

    verbalizer: str | None = None
    by: tuple[str, ...] | None = None
    seed: int = SEED
    multiverse: bool = True


def score_run(
    folder: Path,
    *,
    verbalizer: str | None = None,
    by: Sequence[str] | None = None,
    sessions: Iterable[str] | None = None,
    seed: int = SEED,
    multiverse: bool = True,
) -> m.Results:
    """Score a run folder.

    Args:
        folder: The run folder.
        verbalizer: Read the replies with this one; default: the one each task was run with.
        by: Facts of the utterances to divide by (culture, language, gender …).
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
    chosen = set(sessions or ())
    by_task: dict[str, list[Asked]] = {}
    for row in sorted(run.asked, key=lambda r: r.session):
        by_task.setdefault(row.task, []).append(row)
    for task, rows in by_task.items():
        by_task[task] = [row for row in rows if row.session in chosen] or rows
    if not by_task:
        raise StoreError(
            f"{folder}: nothing was asked in this run yet, so there is nothing to score"
        )
    wanted = Wanted(verbalizer, None if by is None else tuple(by), seed, multiverse)
    scored = {task: _score_task(run, task, rows, wanted) for task, rows in sorted(by_task.items())}
    run.close()
    tasks = {task: result for task, (result, _) in scored.items()}
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
        pooled=_pooled({task: tally for task, (_, tally) in scored.items()}, seed),
        over_corpora=_over_corpora(tasks),
    )


def _score_task(
    run: RunData, task: str, rows: Sequence[Asked], wanted: Wanted
) -> tuple[m.TaskResult, Tally]:
    digest = rows[-1].documents
    header, documents = run.documents(digest)
    spec, reader = choose_verbalizer(header, wanted.verbalizer)
    labels = tuple((header["label_set"] or {}).get("labels", ()))
    require_fitting(spec, ratings=not labels)
    reading = Reading.of(header, labels, spec)
    keep = wanted.multiverse and bool(labels)
    by = by_condition(header, [row for row in rows if row.documents == digest])
    tally, asked = tally_of(run, task, by.get(CLEAN, []), digest, documents, reading, keep=keep)
    result = _result(run, task, header, reader, digest, len(documents), asked, tally, wanted.seed)
    if labels:
        varied = None
        if keep:
            gold = tally.column("label")
            known = [i for i, label in enumerate(gold) if label is not None]
            varied = sensitivity(
                labels, [gold[i] for i in known], [tally.replies[i] for i in known], spec
            )
        result = result.model_copy(update=_labelled(header, tally, varied, result, wanted))
        probes = probes_block(run, task, by, digest, header, documents, reading, tally, wanted.seed)
        if probes is not None:
            reasons = [*result.reasons, *why_no_headline(probes.validity)]
            gate = "not examined" if probes.validity is None else probes.validity.status
            result = result.model_copy(
                update={
                    "probes": probes,
                    "validity": gate,
                    "reasons": reasons,
                    "headline": not reasons,
                }
            )
    else:
        result = result.model_copy(
            update={
                "dimensional": dimensional_block(
                    tally, reading.dimensions, reading.scale, wanted.seed
                ),
                "groups": groups_block(tally, group_keys(tally, wanted.by), wanted.seed),
            }
        )
    return result, tally


def _labelled(
    header: Json,
    tally: Tally,
    varied: m.Sensitivity | None,
    result: m.TaskResult,
    wanted: Wanted,
) -> Json:
    """The blocks of a task that asked for labels."""
    keys = group_keys(tally, wanted.by)
    prompts = prompt_block(tally, wanted.seed)
    choices = {}
    for name in HEADLINE:
        spread = None if prompts is None else prompts.rates.get(name)
        readings = varied if varied is not None and varied.metric == name else None
        if spread is None and readings is None:
            continue
        both = with_choices(result.hard[name], readings, spread)
        if both is not None:
            choices[name] = both
    gold = gold_of(tally, header)
    source = source_of(header, tally)
    given = shares_of(tally) if source in ("likelihood", "verbalised", "replayed") else None
    if gold is not None:
        target, places, votes = "votes", gold.places, gold.votes.counts
    else:
        target, (places, votes) = "label", hard_votes(tally)
    shares = None if given is None else given[places]
    calibration = None
    if places:
        calibration = calibration_block(
            tally, np.asarray(votes), places, shares, keys, target, wanted.seed
        )
    return {
        "sensitivity": varied,
        "with_choices": choices,
        "prompt_sensitivity": prompts,
        "groups": groups_block(tally, keys, wanted.seed),
        "soft": None if gold is None else soft_block(gold, wanted.seed),
        "calibration": calibration,
        "association": association_block(tally, wanted.seed),
    }


def _result(
    run: RunData,
    task: str,
    header: Json,
    reader: Json,
    digest: str,
    selected: int,
    asked: int,
    tally: Tally,
    seed: int,
) -> m.TaskResult:
    labels = tally.labels
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
    if too_many_failures(tally.failed, len(tally.statuses)):
        reasons.append(
            f"engine or judge failed on {tally.failed} of {len(tally.statuses)} utterances (limit "
            f"{FAILURE_LIMIT:.0%})"
        )
    if header["options"].get("transform"):
        reasons.append(f"every clip was heard through {header['options']['transform']}")
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
            scored=len(tally.scored),
            failed=tally.failed,
            missing=tally.missing,
            missing_replies=tally.missing_replies,
            replies=len(tally.outcome),
            statuses=tally.status_counts(),
            reply_statuses=tally.reply_status_counts(),
            cut=tally.cut,
            partly_heard=tally.partly_heard,
        ),
        audio=m.Heard(supplied_s=round(tally.supplied_s, 3), heard_s=round(tally.heard_s, 3)),
        hard={}
        if confusion is None
        else {name: rate(name, confusion, clusters, cluster, seed) for name in HARD_METRICS},
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


def _pooled(tallies: Mapping[str, Tally], seed: int) -> list[m.Pooled]:
    """Counts of tasks with the same menu, added up; speakers of two tasks are two clusters."""
    same: dict[tuple[str, ...], dict[str, Tally]] = {}
    for task, tally in tallies.items():
        if tally.labels and tally.scored:
            same.setdefault(tally.labels, {})[task] = tally
    out = []
    for labels, several in same.items():
        if len(several) < 2:
            continue
        clusters: list[Confusion] = []
        known = True
        for tally in several.values():
            some, cluster = tally.confusions()
            clusters += some
            known = known and cluster is not None
        counts = np.sum([c.counts for c in clusters], axis=0)
        whole = Confusion(labels, counts)
        some = clusters if known else [whole]
        out.append(
            m.Pooled(
                tasks=list(several),
                labels=list(labels),
                n=int(counts.sum()),
                hard={
                    name: rate(name, whole, some, "speaker" if known else None, seed)
                    for name in HARD_METRICS
                },
                gaps={
                    metric: gaps_of(
                        rate_gaps(
                            {task: tally.confusions()[0] for task, tally in several.items()},
                            metric,
                            replicates=REPLICATES,
                            seed=seed,
                        ),
                        seed,
                    )
                    for metric in HEADLINE
                },
            )
        )
    return out


def _over_corpora(tasks: Mapping[str, m.TaskResult]) -> list[m.OverCorpora]:
    """Strict rates over corpora, by tier: mean, spread between corpora, where a new one would be."""
    by_tier: dict[str, list[m.TaskResult]] = {}
    for result in tasks.values():
        if result.hard:
            by_tier.setdefault(result.tier, []).append(result)
    out = []
    for tier, several in by_tier.items():
        for metric in HEADLINE:
            values, errors, names = [], [], []
            for result in several:
                number = result.hard[metric].strict
                low, high = number.interval.low, number.interval.high
                if number.value is None or low is None or high is None or high <= low:
                    continue
                values.append(number.value)
                errors.append((high - low) / (2 * 1.959963984540054))
                names.append(result.task)
            if len(values) < 3:
                continue
            found = random_effects(np.array(values), np.array(errors))
            out.append(
                m.OverCorpora(
                    tier=tier,
                    metric=metric,
                    tasks=names,
                    effects=m.RandomEffects(
                        k=found.k,
                        mean=found.mean,
                        low=found.low,
                        high=found.high,
                        tau=root(found.tau2),
                        tau_low=root(found.tau2_low),
                        tau_high=root(found.tau2_high),
                        prediction_low=found.prediction_low,
                        prediction_high=found.prediction_high,
                        level=found.level,
                        reason=found.reason,
                    ),
                )
            )
    return out


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
