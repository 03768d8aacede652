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
single rate does. The gap of noisy values is too large, and that of their replicates too large
twice over, so its interval is the reflected one, :math:`[2 d - d^*_{hi}, 2 d - d^*_{lo}]`, cut at
0 (Davison and Hinkley, 1997, 5.2): it reaches 0 where the groups do not differ.

The worst of many groups is worst partly by bad luck. Its value is the one to act on, not the one to
expect next time; for that shrink it (``random_effects``).

Rates that confusions do not hold, such as refusals among non-answers, come as two counts per
speaker: ``share_gaps``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
        seen = zip(pooled.labels, occurs.any(axis=1).tolist(), strict=True)
        labels = tuple(label for label, found in seen if found)
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
    streams = np.random.SeedSequence(seed).generate_state(len(rates)).tolist()
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
        interval = _percentiles(drawn[at] - rest_drawn, level, clusters, -1.0)
        given = rates[i]
        compared[i] = GroupRate(
            given.group,
            given.n,
            given.n_clusters,
            given.labels,
            given.value,
            given.interval,
            given.too_few,
            difference,
            interval,
        )
    gap = float(values.max() - values.min())
    # Reflected: the replicates of a maximum are too large by what the maximum itself is.
    reflected = 2 * gap - (drawn.max(axis=0) - drawn.min(axis=0))
    ends = int(values.argmin()), int(values.argmax())
    worst, best = ends if higher_is_better else ends[::-1]
    return GroupGaps(
        tuple(compared),
        rates[counting[worst]].group,
        rates[counting[best]].group,
        gap,
        _percentiles(reflected, level, clusters, 0.0),
        minimum,
        few,
    )


def _stretch(clusters: int, level: float) -> float:
    """By how much the deviations of a bootstrap over few clusters fall short."""
    if clusters < 2 or clusters >= MANY_CLUSTERS:
        return 1.0
    tail = 1 - (1 - level) / 2
    t = float(stdtrit(clusters - 1, tail) / ndtri(tail))
    return t * float(clusters / (clusters - 1)) ** 0.5


def _percentiles(drawn: Floats, level: float, clusters: int, least: float) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if len(known) < 2:
        reason = f"the rates are undefined in {len(drawn) - len(known)} of {len(drawn)} replicates"
        return Interval(None, None, level, "none", clusters, 0, reason)
    tail = (1 - level) / 2
    low, high = (float(q) for q in np.quantile(known, [tail, 1 - tail]))
    method = "stratified_cluster_bootstrap"
    return Interval(
        min(1.0, max(least, low)), min(1.0, max(least, high)), level, method, clusters, len(known)
    )
