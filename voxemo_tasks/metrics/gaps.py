r"""Gaps between groups: how far a rate differs from culture to culture, and which group is worst.

Conventions
-----------
group       utterances that share a culture, a language, a gender: a name and one confusion per
            speaker; no speaker is in two groups
rest        the pooled counts of all other groups
gap         largest less smallest value over the groups that count
too few     a group with fewer utterances than the minimum, or without a value: listed with what is
            known of it, never named worst or best, not in the gap and not in anyone's rest

Intervals
---------
A group's own interval is that of ``bootstrap_interval``. Differences and the gap come from joint
replicates in which each group redraws its own speakers; a group of G < 30 speakers has its
deviations stretched by :math:`\sqrt{G / (G-1)} \, t_{G-1} / z`, which is what the interval of a
single rate does. A group of one speaker, or of speakers that are not known, redraws utterances.

The gap of noisy values is too large, and that of their replicates too large twice over: percentiles
would exclude 0 wherever groups are equal. Its interval is therefore read from all pairs at once:
with the difference :math:`d_{ij}` of two groups, the standard deviation :math:`s_{ij}` of its
replicates, and q the quantile over replicates of the largest :math:`|d^*_{ij} - d_{ij}| / s_{ij}`,

.. math:: \big[ \max_{ij} (d_{ij} - q s_{ij}), \; \max_{ij} (d_{ij} + q s_{ij}) \big]

cut at 0 and 1. It covers the true gap at least as often as its level says, and starts above 0 only
where two groups differ by more than all pairs could by chance (Tukey's argument; Hochberg and
Tamhane, 1987).

The worst of many groups is worst partly by bad luck. Its value is the one to act on, not the one to
expect next time; for that shrink it (``random_effects``).

Rates that confusions do not hold, such as refusals among non-answers, come as two counts per
speaker: ``share_gaps``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from ..errors import LabelSetError, OptionError, UnknownNameError
from .confusion import Confusion, Policy, require_same_labels
from .hard import HARD_METRICS
from .intervals import MANY_CLUSTERS, Interval, bootstrap_interval, resample, table_rates

__all__ = ["MINIMUM", "GroupGaps", "GroupRate", "rate_gaps", "share_gaps"]

Floats = NDArray[np.float64]

MINIMUM = 50
"""Utterances below which a group is too small to be called worst or best."""


@dataclass(frozen=True, slots=True)
class GroupRate:
    """The rate of one group.

    Attributes:
        group: Its name.
        n: Utterances that count.
        n_clusters: Speakers with utterances.
        labels: Labels that occur; macro rates over different ones are different rates.
        value: In [0, 1]; ``None`` where it does not exist.
        interval: Of the value.
        too_few: Whether it is left out of comparisons.
        difference: Value less the rate of the rest; ``None`` for one that is left out, or
            without a rest.
        difference_interval: Of the difference; ``None`` where there is none.
    """

    group: str
    n: int
    n_clusters: int
    labels: tuple[str, ...]
    value: float | None
    interval: Interval
    too_few: bool
    difference: float | None = None
    difference_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class GroupGaps:
    """A rate over groups.

    Attributes:
        groups: Every group, in the order given.
        worst: Name of the worst that counts (ties: the first); ``None`` for none.
        best: Name of the best that counts.
        gap: Largest less smallest value, in [0, 1]; ``None`` for fewer than two that count.
        gap_interval: Of the gap.
        minimum: Utterances that a group needs to count.
        too_few: Names of those that do not.
    """

    groups: tuple[GroupRate, ...]
    worst: str | None
    best: str | None
    gap: float | None
    gap_interval: Interval
    minimum: int
    too_few: tuple[str, ...]

    @property
    def worst_group(self) -> GroupRate | None:
        """The worst group with its interval."""
        return next((g for g in self.groups if g.group == self.worst), None)


def rate_gaps(
    confusions_by_group: Mapping[str, Sequence[Confusion]],
    metric: str,
    *,
    policy: Policy = "strict",
    minimum: int = MINIMUM,
    higher_is_better: bool = True,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> GroupGaps:
    """A hard rate over groups: values, differences from the rest, the gap, and the worst group.

    Args:
        confusions_by_group: One confusion per speaker for each group, all over the same labels.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.
        minimum: Utterances that count under the policy that a group needs to be compared; the
            registered number, fixed before the results are seen.
        higher_is_better: Which end is worst.
        level: Nominal coverage of every interval, in (0, 1); not of all at once.
        replicates: Of the bootstrap over speakers, at least 100.
        seed: Of the replicates. Each group has its own stream, by its place in the mapping.

    Raises:
        UnknownNameError: For another metric.
        OptionError: For no group, or an option out of range.
        LabelSetError: For confusions over different labels.

    Example:
        >>> a = [Confusion(("angry", "sad"), np.array([[8, n, 0], [n, 8, 0]])) for n in (1, 2, 3)]
        >>> b = [Confusion(("angry", "sad"), np.array([[5, n, 2], [3, 5, 0]])) for n in (1, 2, 3)]
        >>> g = rate_gaps({"A": a, "B": b, "C": b[:1]}, "uar", minimum=20, seed=1)
        >>> g.worst, g.best, g.too_few, g.groups[2].value is None
        ('B', 'A', ('C',), False)
        >>> round(g.gap, 6), round(g.groups[0].difference, 6)  # 4/5 - (5/9 + 5/8) / 2
        (0.209722, 0.209722)
    """
    if metric not in HARD_METRICS:
        raise UnknownNameError("hard metric", metric, HARD_METRICS)
    counting: Policy = "strict" if metric == "coverage" else policy
    if not confusions_by_group:
        raise OptionError("no group; name at least one, with a confusion per speaker")
    if minimum < 1:
        raise OptionError(f"minimum is {minimum}; a group needs at least one utterance to count")
    held = {
        name: [c for c in confusions if c.counts.any()]
        for name, confusions in confusions_by_group.items()
    }
    everything = [c for confusions in confusions_by_group.values() for c in confusions]
    for other in everything[1:]:
        require_same_labels(everything[0], other)
    rates = []
    for name, confusions in held.items():
        interval = bootstrap_interval(
            confusions, metric, policy=policy, level=level, replicates=replicates, seed=seed
        )
        if not confusions:
            rates.append(GroupRate(name, 0, 0, (), None, interval, True))
            continue
        pooled = sum(confusions[1:], start=confusions[0])
        occurs = pooled.counts if counting == "strict" else pooled.counts[:, :-1]
        labels = tuple(label for label, row in zip(pooled.labels, occurs, strict=True) if row.any())
        n, value = pooled.n(counting), HARD_METRICS[metric](pooled, policy)
        few = n < minimum or value is None
        rates.append(GroupRate(name, n, len(confusions), labels, value, interval, few))

    def rate(tables: Floats) -> Floats:
        return table_rates(tables, metric, policy)

    return _compare(rates, held, rate, minimum, higher_is_better, level, replicates, seed)


def share_gaps(
    counts_by_group: Mapping[str, NDArray[np.int64]],
    *,
    minimum: int = MINIMUM,
    higher_is_better: bool = False,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> GroupGaps:
    """A share over groups, such as refusals: the same as ``rate_gaps`` for two counts per speaker.

    Args:
        counts_by_group: For each group, per speaker, how many of how many: whole numbers, shape
            ``(G, 2)``, the first at most the second.
        minimum: As ``rate_gaps``; of the second count.
        higher_is_better: Which end is worst; refusals and errors are better low.
        level: As ``rate_gaps``.
        replicates: As ``rate_gaps``.
        seed: As ``rate_gaps``.

    Raises:
        OptionError: For counts that are not such counts, no group, or an option out of range.

    Example:
        >>> g = share_gaps({"A": np.array([[1, 50], [3, 50]]), "B": np.array([[9, 50], [7, 50]])},
        ...                seed=1)
        >>> g.worst, g.worst_group.value, round(g.gap, 12)
        ('B', 0.16, 0.12)
    """
    confusions = {}
    for name, given in counts_by_group.items():
        counts = np.asarray(given)
        if counts.ndim != 2 or counts.shape[1] != 2:
            raise OptionError(f"group {name!r} has the shape {counts.shape}; expected (G, 2)")
        try:
            # One label: a hit is a case, a non-answer is none, and accuracy is the share.
            confusions[name] = [
                Confusion(("case",), np.array([[k, of - k]])) for k, of in counts.tolist()
            ]
        except LabelSetError as error:
            raise OptionError(
                f"group {name!r}: a speaker needs two whole numbers, how many of how many, the "
                f"first at most the second; got {counts.tolist()}"
            ) from error
    return rate_gaps(
        confusions,
        "wa",
        minimum=minimum,
        higher_is_better=higher_is_better,
        level=level,
        replicates=replicates,
        seed=seed,
    )


def _compare(
    rates: list[GroupRate],
    held: Mapping[str, Sequence[Confusion]],
    rate: Callable[[Floats], Floats],
    minimum: int,
    higher_is_better: bool,
    level: float,
    replicates: int,
    seed: int,
) -> GroupGaps:
    few = tuple(r.group for r in rates if r.too_few)
    counting = [i for i, r in enumerate(rates) if not r.too_few]
    clusters = sum(rates[i].n_clusters for i in counting)
    if len(counting) < 2:
        only = rates[counting[0]].group if counting else None
        reason = f"{len(counting)} group(s) with {minimum} utterances or more; a gap needs two"
        none = Interval(None, None, level, "none", clusters, 0, reason)
        return GroupGaps(tuple(rates), only, only, None, none, minimum, few)
    values = np.array([rates[i].value for i in counting], dtype=np.float64)
    sequence = np.random.SeedSequence(seed)
    streams = sequence.generate_state(len(rates)).tolist()
    tables = np.stack(
        [resample(held[rates[i].group], replicates=replicates, seed=streams[i]) for i in counting]
    )
    totals = np.stack(
        [np.sum([c.counts for c in held[rates[i].group]], axis=0) for i in counting]
    ).astype(np.float64)
    stretch = np.array([_stretch(rates[i].n_clusters, level) for i in counting])
    drawn = values[:, None] + stretch[:, None] * (rate(tables) - values[:, None])
    compared = list(rates)
    for at, i in enumerate(counting):
        others = [j for j in range(len(counting)) if j != at]
        rest = float(rate(totals[others].sum(axis=0)))
        rest_clusters = sum(rates[counting[j]].n_clusters for j in others)
        rest_drawn = rest + _stretch(rest_clusters, level) * (
            rate(tables[others].sum(axis=0)) - rest
        )
        difference = float(values[at] - rest)
        interval = _percentiles(drawn[at] - rest_drawn, level, clusters)
        compared[i] = replace(rates[i], difference=difference, difference_interval=interval)
    ends = int(values.argmin()), int(values.argmax())
    worst, best = ends if higher_is_better else ends[::-1]
    return GroupGaps(
        tuple(compared),
        rates[counting[worst]].group,
        rates[counting[best]].group,
        float(values.max() - values.min()),
        _gap_interval(values, drawn, level, clusters),
        minimum,
        few,
    )


def _stretch(clusters: int, level: float) -> float:
    """By how much the deviations of a bootstrap over few clusters fall short."""
    if clusters < 2 or clusters >= MANY_CLUSTERS:
        return 1.0
    tail = 1 - (1 - level) / 2
    t = float(stdtrit(clusters - 1, tail)) / float(ndtri(tail))
    return t * float((clusters / (clusters - 1)) ** 0.5)


def _percentiles(drawn: Floats, level: float, clusters: int) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if len(known) < 2:
        return _undefined(len(drawn) - len(known), len(drawn), level, clusters)
    tail = (1 - level) / 2
    low, high = (float(q) for q in np.quantile(known, [tail, 1 - tail]))
    method = "stratified_cluster_bootstrap"
    return Interval(max(-1.0, low), min(1.0, high), level, method, clusters, len(known))


def _gap_interval(values: Floats, drawn: Floats, level: float, clusters: int) -> Interval:
    known = drawn[:, ~np.isnan(drawn).any(axis=0)]
    if known.shape[1] < 2:
        return _undefined(drawn.shape[1] - known.shape[1], drawn.shape[1], level, clusters)
    first, second = np.triu_indices(len(values), 1)
    apart = values[first] - values[second]
    deviations = known - values[:, None]
    between = deviations[first] - deviations[second]
    spread = between.std(axis=1, ddof=1)
    # A pair without variation is known exactly, as far as these data go.
    moves = spread > 1e-12
    reach = 0.0
    if moves.any():
        reach = float(np.quantile(np.abs(between[moves] / spread[moves, None]).max(axis=0), level))
    low = float((np.abs(apart) - reach * spread).max())
    high = float((np.abs(apart) + reach * spread).max())
    method = "simultaneous_cluster_bootstrap"
    return Interval(max(0.0, low), min(1.0, high), level, method, clusters, known.shape[1])


def _undefined(undefined: int, replicates: int, level: float, clusters: int) -> Interval:
    reason = f"the rates are undefined in {undefined} of {replicates} replicates"
    return Interval(None, None, level, "none", clusters, 0, reason)
