"""Scoring a run folder: stored replies → verdicts → counts → rates. No engine, no corpus.

The result depends on the run folder, the verbalizer and the seed of the bootstrap alone, so that
the same folder gives the same numbers wherever and whenever it is scored.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import OptionError, StoreError
from ..metrics.confusion import Confusion
from ..metrics.gaps import rate_gaps
from ..metrics.hard import HARD_METRICS, chance, majority
from ..metrics.random_effects import random_effects
from ..records import OURS, Json, Verdict
from ..specs import AnyVerbalizer, VerbalizerSpec
from ..store import RunData, read_run, writers_of
from ..tally import FAILURE_LIMIT, read_reply, too_many_failures
from . import judged
from . import model as m
from .asking import AskedTask, asked_by_task, read_task
from .attempts import Attempts
from .baseline import CONTROL, Words, baseline_block, choose, control_of, read_baseline
from .blocks import (
    GROUPED_BY,
    REPLICATES,
    association_block,
    dimensional_block,
    effects_of,
    gaps_of,
    group_keys,
    groups_block,
    per_label,
    prompt_block,
    rate,
    standard_error,
    with_choices,
    with_crossed,
)
from .calibrated import MOST_SMOOTHED, calibration_block, hard_votes
from .collecting import collect
from .continuous import continuous_block
from .counting import Tally
from .probes.answers import Answers
from .probes.block import Takers, probes_block, read_stimuli
from .probes.conditions import why_no_headline
from .probes.model import Probes
from .sensitivity import StoredReply, sensitivity
from .soft import Gold, given_shares, gold_of, soft_block
from .updates import rationale_update

SEED = 20260501
SYNTHETIC = "synthetic, not a result"
NO_ANSWER = "no answer"
SWITCHED_OFF = "switched off"
JUDGINGS = "judgings"
"""Folder of a run in which a judge has been at work."""
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
        delay_s: Lag of the annotators of time-continuous ratings; default: the card's.
    """

    verbalizer: str | None = None
    by: tuple[str, ...] | None = None
    seed: int = SEED
    multiverse: bool = True
    delay_s: float | None = None


def score_run(
    folder: Path,
    *,
    verbalizer: str | None = None,
    by: Sequence[str] | None = None,
    sessions: Iterable[str] | None = None,
    seed: int = SEED,
    multiverse: bool = True,
    without: Collection[str] = (),
    transcript_baseline: Path | None = None,
    baseline_without: Collection[str] = (),
    annotator_delay_s: float | None = None,
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
        without: Writers to leave out, as if they had never written into the folder.
        transcript_baseline: Run folder of a system that was given the words alone; without, the run's
            own control is taken where it was asked.
        baseline_without: Writers of that folder to leave out.
        annotator_delay_s: Lag of the annotators of time-continuous ratings; default: the card's.

    Raises:
        StoreError: Where a folder is no run folder, or nothing was asked in it.
        OptionError: Where the baseline shares no utterance with any task, or has other gold labels.
        DataRoomError: Where a verbalizer's registered bytes are not those the run was made with.
        OptionError: For a fact to divide by that no utterance has.
    """
    run = read_run(folder, without=without)
    by_task = asked_by_task(run, sessions)
    if not by_task:
        raise StoreError(
            f"{folder}: nothing was asked in this run yet, so there is nothing to score"
        )
    wanted = Wanted(
        verbalizer, None if by is None else tuple(by), seed, multiverse, annotator_delay_s
    )
    if annotator_delay_s is not None and not math.isfinite(annotator_delay_s):
        raise OptionError(f"--annotator-delay is {annotator_delay_s}; it is a number of seconds")
    words = None
    if transcript_baseline is not None:
        words = read_baseline(transcript_baseline, baseline_without)
    asked = {task: read_task(run, task, by_task[task], verbalizer) for task in sorted(by_task)}
    require_known(by or (), asked)
    is_judged = (folder / JUDGINGS).is_dir()
    collectors = {
        task: one.collector(
            keep=(multiverse or is_judged) and bool(one.reading.labels), keyed=is_judged
        )
        for task, one in asked.items()
    }
    probing = {task: Takers.of(one) for task, one in asked.items()}
    collect(run, [*collectors.values(), *(t for one in probing.values() for t in one.all())])
    scored = {
        task: _score_task(
            run,
            one,
            len(collectors[task].asked),
            collectors[task].tally(),
            probing[task],
            wanted,
            words,
        )
        for task, one in asked.items()
    }
    tasks = {task: result for task, (result, _) in scored.items()}
    if words is not None and not any(t.transcript_baseline for t in tasks.values()):
        raise OptionError(
            f"--transcript-baseline: no task of {transcript_baseline} "
            f"({', '.join(w.task for w in words)}) has the labels of a task here and a scored "
            "utterance of it; utterances are matched by their id"
        )
    tried = Attempts(str(folder))
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
        pooled=tried.block(
            "pooled",
            lambda: _pooled(scored, seed),
            why="no two tasks have the same menu",
        )
        or [],
        over_corpora=tried.block(
            "over_corpora",
            lambda: _over_corpora(tasks),
            why="no tier has three tasks with a headline whose rate has an interval",
        )
        or [],
        absent=tried.absent,
        scoring=m.Scoring(
            verbalizer=verbalizer,
            by=None if by is None else list(by),
            sessions=sorted(set(sessions or ())),
            seed=seed,
            multiverse=multiverse,
            annotator_delay_s=annotator_delay_s,
            transcript_baseline=None
            if transcript_baseline is None
            else m.BaselineRun(
                run=str(transcript_baseline.absolute()),
                sessions=sorted(
                    name
                    for name in writers_of(transcript_baseline)
                    if name not in set(baseline_without)
                ),
            ),
        ),
    )


def require_known(by: Sequence[str], asked: Mapping[str, AskedTask]) -> None:
    """Refuse to divide by what no utterance of a run has.

    Raises:
        OptionError: With the facts that there are.
    """
    known = set(GROUPED_BY)
    for one in asked.values():
        for document in one.documents:
            known.update(k for k, value in document.items() if not isinstance(value, list | dict))
    known.discard("utterance_id")
    for key in by:
        if key not in known:
            raise OptionError(
                f"--by: {key!r} is known of no utterance of this run; allowed: {', '.join(sorted(known))}"
            )


def _score_task(
    run: RunData,
    one: AskedTask,
    asked: int,
    tally: Tally,
    takers: Takers,
    wanted: Wanted,
    words: Sequence[Words] | None,
) -> tuple[m.TaskResult, Tally]:
    labels, header, spec, reading = one.reading.labels, one.header, one.reading.spec, one.reading
    keep = wanted.multiverse and bool(labels)
    result = _result(run, one, asked, tally, wanted.seed)
    tried = Attempts(one.task)
    if labels:
        varied = tried.block(
            "sensitivity",
            lambda: _varied(tally, spec) if keep else None,
            why=_why_not_varied(keep, spec),
        )
        result = result.model_copy(update=_labelled(header, tally, varied, result, wanted, tried))
        # Not an attempt: a rubric whose bytes were changed is for the user to put right.
        result = _of_judges(result, run, tally, one, wanted.seed)
        if result.judged is None:
            tried.absent["judged"] = "no judge was asked for labels"
        result = _probed(result, run, one, tally, takers, wanted.seed, tried)
        # Nor is this: a baseline of other utterances or other gold labels is the user's to mend.
        result = _beside_words(result, run, one, tally, takers, words, wanted.seed, tried)
    else:
        result = result.model_copy(update=_rated(header, tally, reading.scale, wanted, tried))
        result = gated(result, None, f"{RATINGS}; the gate compares rates of labels")
    return result.model_copy(update={"absent": tried.absent}), tally


def _of_judges(
    result: m.TaskResult, run: RunData, tally: Tally, one: AskedTask, seed: int
) -> m.TaskResult:
    """The result with what judges said, where any was asked."""
    if not (run.folder / JUDGINGS).is_dir():
        return result
    gold, speakers = tally.column("label"), tally.column("speaker")
    known = [i for i, label in enumerate(gold) if label is not None] if tally.replies else []

    def read(reply: StoredReply) -> Verdict:
        return read_reply(reply.text, reply.finish_reason, reply.menu, one.reading.spec)

    replies = [tally.replies[i] for i in known]
    return judged.attach(
        result,
        run.folder,
        tally.labels,
        [gold[i] for i in known],
        [speakers[i] for i in known],
        replies,
        read,
        seed,
    )


def _probed(
    result: m.TaskResult,
    run: RunData,
    one: AskedTask,
    tally: Tally,
    takers: Takers,
    seed: int,
    tried: Attempts,
) -> m.TaskResult:
    """The result with its probes; a score that failed the validity gate is no headline."""
    # Not part of the attempt: a damaged file is for the user to put right.
    stimuli = read_stimuli(run.folder, one.digest)
    probes = tried.block(
        "probes",
        lambda: probes_block(one, takers, tally, stimuli, seed),
        why="nothing but the clip as it is was asked about, and neither pairs nor the emotion of the "
        "words (label2) are known",
    )
    if probes is not None:
        probes = _with_judges(probes, run, one.task, seed)
        return gated(result.model_copy(update={"probes": probes}), probes.validity, NOT_ASKED)
    if not one.header.get("conditions"):
        return gated(result, None, NOT_ASKED)
    # Conditions were asked: that they came to nothing is a failure of the examination, not its lack.
    return gated(result, None, tried.absent["probes"], broken=True)


def _with_judges(probes: Probes, run: RunData, task: str, seed: int) -> Probes:
    """Probes with what judges said of the reasons; not an attempt, as with every word of a judge."""
    found = probes.counterfactual
    if found is None or not (run.folder / JUDGINGS).is_dir():
        return probes
    update = rationale_update(run.folder, task, seed)
    return probes.model_copy(
        update={"counterfactual": found.model_copy(update={"rationale_update": update})}
    )


NOT_ASKED = (
    "no control was asked; ask under the conditions transcript_only and shuffled (voxemo probe "
    "controls)"
)


def gated(
    result: m.TaskResult, gate: m.Validity | None, why: str, *, broken: bool = False
) -> m.TaskResult:
    """A result with the verdict of the validity gate.

    Args:
        result: Without.
        gate: What was found.
        why: There is no gate.
        broken: Whether it should be there: a score whose examination broke off has no headline.

    Returns:
        ``headline_eligible`` only where the gate is passed and nothing else stands against it.
    """
    reasons = [*result.reasons, *why_no_headline(gate)]
    if broken:
        reasons.append(f"the validity gate could not be examined: {why}")
    status = "not examined" if gate is None else gate.status
    return result.model_copy(
        update={
            "validity": status,
            "validity_reason": why if gate is None else gate.reason,
            "reasons": reasons,
            "headline": not reasons,
            "headline_eligible": not reasons and status == "passed",
        }
    )


def _beside_words(
    result: m.TaskResult,
    run: RunData,
    one: AskedTask,
    tally: Tally,
    takers: Takers,
    given: Sequence[Words] | None,
    seed: int,
    tried: Attempts,
) -> m.TaskResult:
    """The result with what the words alone reach, of another run or of the run's own control."""
    own = Answers.of(tally)
    if given is not None:
        words = choose(one.task, tally.labels, own, given)
        why = "no task of the transcript baseline has these labels and any of these utterances"
    else:
        control = takers.collectors.get(CONTROL)
        words = None if control is None else control_of(run, one, control.tally())
        why = f"no transcript baseline was given, and the control {CONTROL} was not asked"
    block = None if words is None else baseline_block(tally.labels, own, words, seed)
    if block is None:
        tried.absent["transcript_baseline"] = (
            why if words is None else "no utterance with a gold label was scored on both sides"
        )
    return result.model_copy(update={"transcript_baseline": block})


def _varied(tally: Tally, spec: AnyVerbalizer) -> m.Sensitivity | None:
    gold = tally.column("label")
    known = [i for i, label in enumerate(gold) if label is not None]
    return sensitivity(
        tally.labels, [gold[i] for i in known], [tally.replies[i] for i in known], spec
    )


def _why_not_varied(keep: bool, spec: AnyVerbalizer) -> str:
    if not keep:
        return SWITCHED_OFF
    if not isinstance(spec, VerbalizerSpec):
        return f"{spec.ref} reads without word lists; there are no other readings to try"
    return "no utterance with a gold label and a reply"


RATINGS = "the task asks for ratings, not labels"
LABELS = "the task asks for labels, not ratings"


def _rated(
    header: Json,
    tally: Tally,
    scale: tuple[float, float] | None,
    wanted: Wanted,
    tried: Attempts,
) -> Json:
    """The blocks of a task that asked for ratings."""
    for name in ("hard", "sensitivity", "with_choices", "prompt_sensitivity", "soft"):
        tried.absent[name] = RATINGS
    for name in ("calibration", "association", "probes", "transcript_baseline"):
        tried.absent[name] = RATINGS
    keys = group_keys(tally, wanted.by)
    return {
        "dimensional": tried.block(
            "dimensional",
            lambda: dimensional_block(tally, tally.dimensions, scale, wanted.seed),
            why="no scored utterance has a gold rating on the scale",
        )
        or {},
        "continuous": tried.block(
            "continuous",
            lambda: continuous_block(tally, header, scale, wanted.delay_s, wanted.seed),
            why="no scored utterance is a window of a recording with time-continuous ratings",
        )
        or {},
        "groups": tried.block(
            "groups", lambda: groups_block(tally, keys, wanted.seed), why=NO_GROUPS
        )
        or {},
    }


NO_GROUPS = "culture, language and gender are not known or do not differ"


def _labelled(
    header: Json,
    tally: Tally,
    varied: m.Sensitivity | None,
    result: m.TaskResult,
    wanted: Wanted,
    tried: Attempts,
) -> Json:
    """The blocks of a task that asked for labels."""
    keys, seed, n = group_keys(tally, wanted.by), wanted.seed, len(tally.scored)
    tried.absent["dimensional"] = tried.absent["continuous"] = LABELS
    prompts = tried.block(
        "prompt_sensitivity",
        lambda: prompt_block(tally, seed),
        why="one prompt" if n else "no utterance was scored",
    )
    gold = tried.block("soft", lambda: gold_of(tally, header), why=_why_no_gold(tally))
    soft = None
    if gold is not None:
        soft = tried.block("soft", lambda: soft_block(gold, seed), why="no votes")
    found = tried.block(
        "calibration",
        lambda: _calibrated(header, tally, gold, keys, seed),
        why="no confidence: one reply an utterance without shares, or no gold label",
    )
    if found is not None and found.overall.smooth_error is None:
        tried.absent["calibration.smooth_error"] = (
            f"{found.n} utterances; it is computed for at least two and at most {MOST_SMOOTHED}"
        )
    return {
        "sensitivity": varied,
        "with_choices": tried.block(
            "with_choices",
            lambda: _choices(result, varied, prompts),
            why="neither prompts nor readings were varied, or the rate has no interval",
        )
        or {},
        "prompt_sensitivity": prompts,
        "groups": tried.block("groups", lambda: groups_block(tally, keys, seed), why=NO_GROUPS)
        or {},
        "soft": soft,
        "calibration": found,
        "association": tried.block(
            "association",
            lambda: association_block(tally, seed),
            why="no second gold column (label2)",
        )
        or {},
    }


def _why_no_gold(tally: Tally) -> str:
    if any(tally.column("votes")):
        return "no scored utterance has both votes within the label set and a reply"
    return "no scored utterance has votes"


def _choices(
    result: m.TaskResult, varied: m.Sensitivity | None, prompts: m.PromptSensitivity | None
) -> dict[str, m.WithChoices]:
    choices = {}
    for name in HEADLINE:
        spread = None if prompts is None else prompts.rates.get(name)
        readings = varied if varied is not None and varied.metric == name else None
        if spread is None and readings is None:
            continue
        both = with_choices(result.hard[name], readings, spread)
        if both is not None:
            choices[name] = both
    return choices


def _calibrated(
    header: Json, tally: Tally, gold: Gold | None, keys: Sequence[str], seed: int
) -> m.Calibration | None:
    given = given_shares(header, tally)
    if gold is not None:
        target, places, votes = "votes", gold.places, gold.votes.counts
    else:
        target, (places, votes) = "label", hard_votes(tally)
    if not places:
        return None
    shares = None if given is None else given[places]
    return calibration_block(tally, np.asarray(votes), places, shares, keys, target, seed)


def _result(run: RunData, one: AskedTask, asked: int, tally: Tally, seed: int) -> m.TaskResult:
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


def _pooled(scored: Mapping[str, tuple[m.TaskResult, Tally]], seed: int) -> list[m.Pooled]:
    """Counts of a tier's tasks with the same menu, added up; speakers of two tasks are two clusters.

    Tiers stay apart: they ask about the same utterances, which would count twice and as independent.
    """
    same: dict[tuple[str, tuple[str, ...]], dict[str, Tally]] = {}
    for task, (result, tally) in scored.items():
        if tally.labels and tally.scored:
            same.setdefault((result.tier, tally.labels), {})[task] = tally
    out = []
    for (_, labels), several in same.items():
        if len(several) < 2:
            continue
        clusters: list[Confusion] = []
        unknown = [task for task, tally in several.items() if tally.clusters() is None]
        known = not unknown
        for tally in several.values():
            clusters += tally.by_cluster(tally.scored)
        counts = np.sum([c.counts for c in clusters], axis=0)
        whole = Confusion(labels, counts)
        notes = [
            f"{task} has no headline: {'; '.join(scored[task][0].reasons)}"
            for task in several
            if not scored[task][0].headline
        ]
        if unknown:
            notes.append(
                "the intervals take utterances for independent, since the speaker of some is not known "
                f"in {', '.join(unknown)}; with several utterances a speaker they are too narrow"
            )
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
                        {task: tally.clusters() is not None for task, tally in several.items()},
                        seed,
                    )
                    for metric in HEADLINE
                },
                notes=notes,
            )
        )
    return out


def _over_corpora(tasks: Mapping[str, m.TaskResult]) -> list[m.OverCorpora]:
    """Strict rates over corpora, by tier: mean, spread between corpora, where a new one would be.

    A task without a headline is left out: its rate is not one of the corpus.
    """
    by_tier: dict[str, list[m.TaskResult]] = {}
    left: dict[str, list[str]] = {}
    for result in tasks.values():
        if result.hard and not result.headline:
            left.setdefault(result.tier, []).append(
                f"{result.task} is left out, it has no headline: {'; '.join(result.reasons)}"
            )
        elif result.hard:
            by_tier.setdefault(result.tier, []).append(result)
    out = []
    for tier, several in by_tier.items():
        for metric in HEADLINE:
            values, errors, names = [], [], []
            notes = list(left.get(tier, ()))
            for result in several:
                number = result.hard[metric].strict
                low, high = number.interval.low, number.interval.high
                if number.value is None or low is None or high is None or high <= low:
                    reason = number.interval.reason or "no width"
                    notes.append(f"{result.task} is left out, its rate has no interval: {reason}")
                    continue
                values.append(number.value)
                errors.append(standard_error(number.value, number.interval))
                names.append(result.task)
            if len(values) < 3:
                continue
            found = random_effects(np.array(values), np.array(errors))
            out.append(
                m.OverCorpora(
                    tier=tier,
                    metric=metric,
                    tasks=names,
                    effects=effects_of(found),
                    notes=notes,
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
