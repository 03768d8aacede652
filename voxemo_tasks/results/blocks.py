"""Numbers of a scorecard from the columns of a task: hard rates and what surrounds them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import stdev

import numpy as np
from scipy.special import ndtri, stdtrit

from ..errors import OptionError
from ..metrics.association import contingency, cramers_v, cramers_v_interval
from ..metrics.confusion import Confusion, Policy
from ..metrics.crossed import CrossedInterval, crossed_interval
from ..metrics.dimensional import (
    DIMENSIONAL_METRICS,
    dimension_interval,
    dimension_sums,
    dimension_value,
)
from ..metrics.gaps import MINIMUM, GroupGaps, rate_gaps, share_gaps
from ..metrics.hard import HARD_METRICS, bounds, f1s, precisions, recalls
from ..metrics.intervals import Interval, bootstrap_interval
from ..metrics.prompt_sensitivity import (
    disagreement,
    entropy_split,
    prompt_sensi_score,
    prompt_spread,
)
from ..metrics.random_effects import RandomEffects
from ..metrics.reliability import ReliabilityMeasure, reliability, reliability_interval
from ..records import STATUSES, Json
from . import model as m
from .counting import Tally

REPLICATES = 1000
HEADLINE = ("uar", "wa")
"""Rates whose interval is also given with the choice of prompt and of reading."""
GROUPED_BY = ("culture", "language", "gender", "synthesis")
"""What a scorecard is divided by where the user does not say, as far as it is known."""

METHODS = {
    "strict": "rate of pooled counts; a non-answer is wrong and nobody's false positive",
    "answered": "rate of pooled counts over answered utterances only",
}
REFUSED = STATUSES.index("abstained")

ALL_ALIKE = "all that was redrawn has the same value, so that its spread says nothing of others"


def interval_of(interval: Interval, cluster: str | None, seed: int) -> m.Interval:
    """An interval as the results have it; one of redrawn utterances has no cluster.

    Where all that is redrawn agrees, both limits are the estimate: not certainty, and said to be none.
    """
    if interval.method.startswith("iid"):
        cluster = None
    reason = interval.reason
    if reason is None and interval.low is not None and interval.low == interval.high:
        reason = ALL_ALIKE
    return m.Interval(
        low=interval.low,
        high=interval.high,
        level=interval.level,
        method=interval.method,
        n_clusters=interval.n_clusters,
        cluster=cluster,
        replicates=interval.replicates,
        seed=seed,
        reason=reason,
    )


def effects_of(found: RandomEffects) -> m.RandomEffects:
    """Random effects as the results have them: standard deviations, not variances."""
    return m.RandomEffects(
        k=found.k,
        mean=found.mean,
        low=found.low,
        high=found.high,
        tau=_root(found.tau2),
        tau_low=_root(found.tau2_low),
        tau_high=_root(found.tau2_high),
        prediction_low=found.prediction_low,
        prediction_high=found.prediction_high,
        level=found.level,
        reason=found.reason,
    )


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)


SPEAKER_SENTENCE = "speaker x sentence"


def with_crossed(rates: Mapping[str, m.Rate], tally: Tally) -> dict[str, m.Rate]:
    """Hard rates with an interval for other speakers and other sentences beside their own."""
    rows = [i for i in tally.scored if tally.documents[i].get("label") is not None]
    facts = [tally.documents[i] for i in rows]
    gold = [str(fact["label"]) for fact in facts]
    said = [tally.answers[i] for i in rows]
    speakers = [fact.get("speaker") for fact in facts]
    sentences = [fact.get("sentence") for fact in facts]
    unknown = sum(None in pair for pair in zip(speakers, sentences, strict=True))
    out = {}
    for name, one in rates.items():
        sides = {}
        for policy, number_ in (("strict", one.strict), ("answered", one.answered)):
            level = number_.interval.level
            if unknown:
                why = f"speaker or sentence is not known of {unknown} utterances"
                found = CrossedInterval(
                    Interval(None, None, level, "none", 0, 0, why), *(None,) * 4, False, 0, 0, 0
                )
            else:
                found = crossed_interval(
                    *(tally.labels, gold, said, [str(s) for s in speakers]),
                    *([str(s) for s in sentences], name),
                    policy=policy,  # type: ignore[arg-type]  # one of its two literals
                    level=level,
                )
            interval = interval_of(found.interval, SPEAKER_SENTENCE, number_.interval.seed)
            sides[policy] = number_.model_copy(
                update={
                    "crossed": m.CrossedInterval(
                        interval=interval,
                        n_speakers=found.n_speakers,
                        n_sentences=found.n_sentences,
                        n_both=found.n_both,
                        raised=found.raised,
                    )
                }
            )
        out[name] = one.model_copy(update=sides)
    return out


def rate(
    name: str, confusion: Confusion, clusters: list[Confusion], cluster: str | None, seed: int
) -> m.Rate:
    """A hard rate under both policies, with its bounds."""
    worst, best = bounds(confusion, name)
    strict = number(name, confusion, clusters, cluster, "strict", seed)
    answered = number(name, confusion, clusters, cluster, "answered", seed)
    return m.Rate(strict=strict, answered=answered, worst=worst, best=best)


def number(
    name: str,
    confusion: Confusion,
    clusters: list[Confusion],
    cluster: str | None,
    policy: Policy,
    seed: int,
) -> m.Number:
    """A hard rate under one policy, with its interval over the clusters whose counts are given."""
    interval = bootstrap_interval(clusters, name, policy=policy, replicates=REPLICATES, seed=seed)
    return m.Number(
        value=HARD_METRICS[name](confusion, policy),
        n=confusion.n("strict" if name == "coverage" else policy),
        interval=interval_of(interval, cluster, seed),
        method=METHODS[policy],
    )


def standard_error(value: float, interval: m.Interval) -> float:
    """Standard error behind an interval of a rate.

    Student's t limits lie as many standard errors from the value as its quantile says, on the side
    that was not clipped to [0, 1]; percentiles are taken for normal ones.

    Raises:
        OptionError: For an interval without limits.
    """
    if interval.low is None or interval.high is None:
        raise OptionError(f"no limits ({interval.reason}), so no standard error")
    tail = (1 + interval.level) / 2
    if interval.method == "cluster_bootstrap_t":
        reach = max(interval.high - value, value - interval.low)
        return reach / float(stdtrit(interval.n_clusters - 1, tail))
    return (interval.high - interval.low) / (2 * float(ndtri(tail)))


def per_label(labels: Sequence[str], confusion: Confusion) -> list[m.PerLabel]:
    """Each label's own rates, strict."""
    rates = zip(labels, recalls(confusion), precisions(confusion), f1s(confusion), strict=True)
    return [
        m.PerLabel(label=label, n=int(confusion.counts[i].sum()), recall=r, precision=p, f1=f)
        for i, (label, r, p, f) in enumerate(rates)
    ]


def with_choices(
    hard: m.Rate, sensitivity: m.Sensitivity | None, spread: m.PromptSpread | None
) -> m.WithChoices | None:
    """An interval that also holds the choice of prompt and of reading.

    The three are taken as independent: the variance is that of the sampling interval (its half
    width over 1.96), plus that over readings, plus that over prompts.
    """
    number = hard.strict
    low, high = number.interval.low, number.interval.high
    if number.value is None or low is None or high is None:
        return None
    sampling = (high - low) / (2 * 1.959963984540054)
    readings = [v for v in (sensitivity.values if sensitivity else []) if v is not None]
    over_readings = stdev(readings) if len(readings) > 1 else None
    over_prompts = spread.standard_deviation if spread else None
    total = (sampling**2 + (over_readings or 0) ** 2 + (over_prompts or 0) ** 2) ** 0.5
    reach = 1.959963984540054 * total
    return m.WithChoices(
        low=max(0.0, number.value - reach),
        high=min(1.0, number.value + reach),
        level=0.95,
        sd_sampling=sampling,
        sd_readings=over_readings,
        sd_prompts=over_prompts,
    )


# --- prompts --------------------------------------------------------------------------------


def prompt_block(tally: Tally, seed: int) -> m.PromptSensitivity | None:
    """What the prompts change; ``None`` for a single prompt."""
    if len(tally.prompts) < 2 or not tally.scored:
        return None
    _, counts = tally.generations
    width = counts.shape[2]
    gold = [tally.documents[i].get("label") for i in tally.scored]
    known = [i for i, label in enumerate(gold) if label is not None]
    outcomes = np.where(counts.sum(axis=2) > 0, _commonest(counts), -1)
    names = list(tally.prompts)
    spreads: dict[str, m.PromptSpread] = {}
    for metric in ("uar", "wa") if known else ():
        confusions = {}
        for j, name in enumerate(names):
            rows = [i for i in known if outcomes[i, j] >= 0]
            said = [tally.labels[o] if o < width - 1 else None for o in outcomes[rows, j]]
            if rows:
                golds = [str(gold[i]) for i in rows]
                confusions[name] = Confusion.from_pairs(tally.labels, golds, said)
        if len(confusions) < 2:
            continue
        found = prompt_spread(confusions, metric)
        spreads[metric] = m.PromptSpread(
            values=found.rates,
            spread=found.spread,
            standard_deviation=found.sd,
            mean=found.mean,
            worst=found.worst,
        )
    clusters = tally.clusters()
    cluster = tally.unit
    differ = disagreement(outcomes, clusters=clusters, replicates=REPLICATES, seed=seed)
    score = None
    if known:
        codes = np.array([tally.labels.index(str(gold[i])) for i in known])
        some = None if clusters is None else [clusters[i] for i in known]
        score = prompt_sensi_score(
            outcomes[known], codes, clusters=some, replicates=REPLICATES, seed=seed
        )
    entropy = None
    if counts.sum(axis=2).max(initial=0) > 1:
        split = entropy_split(counts, correction="miller_madow")
        entropy = m.EntropySplit(
            total=split.total, within=split.within, between=split.between, n=split.n
        )
    return m.PromptSensitivity(
        prompts=names,
        rates=spreads,
        disagreement=m.Value(
            value=differ.value, n=differ.n, interval=interval_of(differ.interval, cluster, seed)
        ),
        prompt_sensi_score=None
        if score is None
        else m.Value(
            value=score.value, n=score.n, interval=interval_of(score.interval, cluster, seed)
        ),
        entropy_bits=entropy,
    )


def _commonest(counts: np.ndarray) -> np.ndarray:
    """Per utterance and prompt the outcome of most samples; a tie of labels is a non-answer."""
    labels = counts[:, :, :-1]
    most = labels.max(axis=2)
    single = (labels == most[:, :, None]).sum(axis=2) == 1
    none = counts.shape[2] - 1
    return np.asarray(np.where((most > 0) & single, labels.argmax(axis=2), none))


# --- groups ---------------------------------------------------------------------------------


def group_keys(tally: Tally, asked: Sequence[str] | None) -> list[str]:
    """What to divide by: what was asked for, else what is known and differs."""
    if asked is not None:
        return list(asked)
    return [key for key in GROUPED_BY if len(set(tally.column(key)) - {None}) > 1]


def groups_block(tally: Tally, keys: Sequence[str], seed: int) -> dict[str, m.Groups]:
    """Rates of every group, and the gaps between them."""
    out = {}
    for key in keys:
        rows: dict[str, list[int]] = {}
        unknown = 0
        for i in tally.scored:
            value = tally.documents[i].get(key)
            if value is None:
                unknown += 1
            else:
                rows.setdefault(str(value), []).append(i)
        if not rows:
            out[key] = m.Groups(
                unknown=unknown, rates={}, reason=f"{key} is not known of any utterance"
            )
            continue
        rates: dict[str, m.Gaps] = {}
        unit = tally.unit or tally.cluster
        known = {
            group: all(tally.cluster_of(i) is not None for i in some)
            for group, some in rows.items()
        }
        if tally.labels:
            confusions = {group: tally.by_cluster(some) for group, some in sorted(rows.items())}
            for metric in ("uar", "wa", "coverage"):
                rates[metric] = gaps_of(
                    rate_gaps(confusions, metric, replicates=REPLICATES, seed=seed),
                    known,
                    seed,
                    unit,
                )
        refused = {group: _refusals(tally, some) for group, some in sorted(rows.items())}
        found = share_gaps(refused, replicates=REPLICATES, seed=seed)
        rates["refusal"] = gaps_of(found, known, seed, unit)
        out[key] = m.Groups(unknown=unknown, rates=rates)
    return out


def _refusals(tally: Tally, rows: Sequence[int]) -> np.ndarray:
    """Refusals and utterances per cluster; all in one row where a cluster is not known."""
    clusters = [tally.cluster_of(i) for i in rows]
    known = None not in clusters
    counts: dict[str, list[int]] = {}
    for i, cluster in zip(rows, clusters, strict=True):
        cell = counts.setdefault(str(cluster) if known else "", [0, 0])
        cell[0] += tally.statuses[i] == REFUSED
        cell[1] += 1
    return np.array([counts[s] for s in sorted(counts)], dtype=np.int64)


def gaps_of(found: GroupGaps, known: Mapping[str, bool], seed: int, unit: str) -> m.Gaps:
    """Gaps as the results have them; ``known``: the groups of which all clusters are known."""
    every = unit if all(known.values()) else None
    return m.Gaps(
        groups=[
            m.GroupRate(
                group=one.group,
                n=one.n,
                n_clusters=one.n_clusters,
                value=one.value,
                interval=interval_of(one.interval, unit if known[one.group] else None, seed),
                too_few=one.too_few,
                difference_from_rest=one.difference,
                difference_interval=None
                if one.difference_interval is None
                else interval_of(one.difference_interval, every, seed),
            )
            for one in found.groups
        ],
        worst=found.worst,
        best=found.best,
        gap=found.gap,
        gap_interval=interval_of(found.gap_interval, every, seed),
        minimum=MINIMUM,
    )


# --- association ----------------------------------------------------------------------------


def association_block(tally: Tally, seed: int) -> dict[str, m.Association]:
    """Cramér's V of the answers with each gold column; empty without a second one."""
    seconds = tally.column("label2")
    if not any(value is not None for value in seconds):
        return {}
    said = [tally.answers[i] for i in tally.scored]
    clusters = tally.clusters()
    out = {}
    for name, gold in (("gold", tally.column("label")), ("gold2", seconds)):
        rows = [i for i, value in enumerate(gold) if value is not None]
        some = None if clusters is None else [clusters[i] for i in rows]
        values: dict[str, m.Value] = {}
        for policy, handling in (("strict", "outcome"), ("answered", "drop")):
            for corrected in (False, True):
                table = contingency(
                    [said[i] for i in rows],
                    [gold[i] for i in rows],
                    clusters=some,
                    non_answers=handling,  # type: ignore[arg-type]  # one of its two literals
                )
                interval = cramers_v_interval(table, corrected=corrected, seed=seed)
                key = f"{'cramers_v_corrected' if corrected else 'cramers_v'}.{policy}"
                values[key] = m.Value(
                    value=cramers_v(table, corrected=corrected),
                    n=round(float(table.sum())),
                    interval=interval_of(interval, tally.unit, seed),
                )
        equal = sum(said[i] == gold[i] for i in rows)
        out[name] = m.Association(
            n=len(rows),
            cramers_v={p: values[f"cramers_v.{p}"] for p in ("strict", "answered")},
            cramers_v_corrected={
                p: values[f"cramers_v_corrected.{p}"] for p in ("strict", "answered")
            },
            agreement=equal / len(rows) if rows else None,
            agreement_answered=_answered_agreement(
                [said[i] for i in rows], [gold[i] for i in rows]
            ),
        )
    return out


def _answered_agreement(said: Sequence[str | None], gold: Sequence[str]) -> float | None:
    pairs = [(a, b) for a, b in zip(said, gold, strict=True) if a is not None]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else None


# --- dimensions -----------------------------------------------------------------------------


def dimensional_block(
    tally: Tally, dimensions: Sequence[str], scale: tuple[float, float] | None, seed: int
) -> dict[str, m.Dimensional]:
    """Agreement of ratings, by dimension; of several replies the mean."""
    if scale is None:
        return {}
    out = {}
    for name in dimensions:
        rows = [i for i in tally.scored if tally.documents[i].get(name) is not None]
        gold = [float(tally.documents[i][name]) for i in rows]
        inside = [i for i, g in enumerate(gold) if scale[0] <= g <= scale[1]]
        if not inside:
            continue
        ratings = mean_ratings(tally, name)
        predicted = [ratings[rows[i]] for i in inside]
        names = [tally.cluster_of(rows[i]) for i in inside]
        clusters = None if None in names else [str(name) for name in names]
        sums = dimension_sums([gold[i] for i in inside], predicted, scale=scale, clusters=clusters)
        metrics = {}
        for metric in DIMENSIONAL_METRICS:
            interval = dimension_interval(sums, metric, replicates=REPLICATES, seed=seed)
            n = sums.n if metric in ("coverage", "ccc_mean_filled") else sums.n_answered
            metrics[metric] = m.Value(
                value=dimension_value(sums, metric),
                n=n,
                interval=interval_of(
                    interval, (tally.unit or tally.cluster) if clusters else None, seed
                ),
            )
        out[name] = m.Dimensional(
            n=sums.n,
            n_answered=sums.n_answered,
            gold_off_scale=len(gold) - len(inside),
            metrics=metrics,
            ceiling=_ceiling(
                [tally.documents[rows[i]] for i in inside], name, metrics["ccc"].value, seed
            ),
        )
    return out


def mean_ratings(tally: Tally, dimension: str) -> list[float | None]:
    """The rating that each utterance was given, of several replies the mean."""
    utterance = tally.of_reply[tally.values_of]
    column = tally.values[:, tally.dimensions.index(dimension)]
    given, n = ~np.isnan(column), len(tally.documents)
    many = np.bincount(utterance[given], minlength=n)
    mean = np.bincount(utterance[given], column[given], n) / np.maximum(many, 1)
    return [float(value) if k else None for value, k in zip(mean, many, strict=True)]


ONLY_MEANS = "only mean ratings are known, not each rater's own"


def _ceiling(documents: Sequence[Json], dimension: str, ccc: float | None, seed: int) -> m.Ceiling:
    rated = []
    for document in documents:
        raters = (document.get("rater_ratings") or {}).values()
        given = [float(rating[dimension]) for rating in raters if dimension in rating]
        if given:
            rated.append((given, document.get("speaker")))
    ratings = [given for given, _ in rated]
    speakers = [speaker for _, speaker in rated]
    known = bool(speakers) and None not in speakers
    names = [str(speaker) for speaker in speakers] if known else None
    found = reliability(ratings)

    def value(what: ReliabilityMeasure) -> m.Value:
        interval = reliability_interval(ratings, what, names, replicates=REPLICATES, seed=seed)
        return m.Value(
            value=getattr(found, what),
            n=found.n_utterances,
            interval=interval_of(interval, "speaker" if known else None, seed),
        )

    return m.Ceiling(
        ccc=value("ccc_true_score"),
        ccc_one_annotator=value("ccc_one_annotator"),
        ccc_limit=found.ccc_limit,
        icc1=value("icc1"),
        icc1_mean=found.icc1_mean,
        n_ratings=found.n_ratings,
        of_ceiling=found.of_ceiling(ccc),
        reason=found.reason if ratings else ONLY_MEANS,
    )
