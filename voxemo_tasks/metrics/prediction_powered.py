r"""What people would have said of all replies, from a judge on all and people on some.

Conventions
-----------
audited     a reply that people read too; ``None`` or -1 marks the others
probability of a reply to be audited, :math:`\pi_i`, known because the audit was drawn
            (``voxemo_tasks.metrics.sampling``)
power       :math:`\lambda` in [0, 1]: how much the judge counts; 0 is people alone
cluster     the replies to one speaker, audited or not

With judge :math:`f_i` on all M replies, people :math:`y_i` on the audited, and weights
:math:`w_i \propto 1/\pi_i` of the audited that add to 1 (Hajek)::

    estimate    power * mean_i f_i  +  sum_audited w_i (y_i - power * f_i)

The judge's own error cancels: with power 1 it is measured on the audited and taken off. So the
estimate is as right as people alone whatever the judge does, and less noisy where it helps. The
power with the least estimated variance is a regression of y on f, so that a useless judge gets 0.
For equal probabilities this is PPI++ (Angelopoulos, Duchi and Zrnic, 2023) with its
:math:`\lambda = power \cdot N / (n + N)`, n audited and N not; with others it is the difference
estimator of survey sampling (Saerndal, Swensson and Wretman, 1992, ch. 6).

Rates
-----
A hard-label rate is a function of the counts (gold, reading), and the gold label is known of every
reply. Within each gold label the estimate above is made for every column, and the rate computed
from the resulting table. Its error is that of the linearised rate (delta method), tuned as a whole.

Errors
------
Variance by influence values added up over clusters, limits by Student's t with as many degrees of
freedom as there are clusters with an audited reply, less one (without clusters: audited replies
less the means taken off). Where a stratified audit holds numbers fixed, the error is a little too
large. Simulated (5,000 replies, judge .95/.85): the judge alone misses its nominal 95 % almost
always, this holds it from 100 audited on; below 50 it falls short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..errors import OptionError
from .clusters import cluster_codes
from .confusion import Policy
from .intervals import table_rates

__all__ = ["Powered", "powered_difference", "powered_mean", "powered_rate"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_STEP = 1e-6  # of the numerical gradient, in shares of all replies


@dataclass(frozen=True, slots=True)
class Powered:
    """A prediction-powered estimate beside what people alone and the judge alone say.

    Attributes:
        value: The estimate; ``None`` where it does not exist.
        low: Lower limit; ``None`` without an interval.
        high: Upper limit; ``None`` without an interval.
        level: Nominal coverage.
        error: Standard error.
        power: The power used, in [0, 1].
        people: Estimate from the audited replies alone.
        people_error: Its standard error.
        judge: What the judge says of all replies, uncorrected. Its bias has no error bar.
        n_audited: Replies that people read.
        n: All replies, M.
        n_clusters: Clusters with an audited reply.
        effective_n: Audited replies that would give people alone this error.
        gain: Effective over audited replies, ``(people_error / error)**2``.
        reason: Why there is no value or interval; ``None`` where there are both.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    error: float | None
    power: float | None
    people: float | None
    people_error: float | None
    judge: float | None
    n_audited: int
    n: int
    n_clusters: int
    effective_n: float | None
    gain: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Audit:
    """Who was audited, with which weight, in which group and cluster."""

    seen: NDArray[np.bool_]
    weights: Floats  # add to the group's size over its audited; 0 elsewhere
    groups: Codes  # within which means are taken
    clusters: Codes
    clustered: bool

    @property
    def n_clusters(self) -> int:
        return len(np.unique(self.clusters[self.seen]))

    def degrees(self) -> int:
        if self.clustered:
            return self.n_clusters - 1
        return int(self.seen.sum()) - len(np.unique(self.groups))

    def means(self, values: Floats, audited: bool) -> Floats:
        """Weighted mean of each item's group, over its audited or all."""
        weights = self.weights if audited else np.ones(len(values))
        held = np.where(weights > 0, values, 0.0)
        sums = np.bincount(self.groups, weights=weights * held)
        total = np.bincount(self.groups, weights=weights)
        means = np.divide(sums, total, out=np.zeros(len(sums)), where=total > 0)
        return np.asarray(means[self.groups], dtype=np.float64)

    def parts(self, people: Floats, judge: Floats, between: Floats) -> tuple[Floats, Floats]:
        """Influence per cluster: that of people alone, and what one unit of power adds."""
        held = np.where(self.seen, people, 0.0)
        alone = between + self.weights * (held - self.means(held, True))
        added = judge - self.means(judge, False) - self.weights * (judge - self.means(judge, True))
        # n / (n - 1) makes the variance around a mean of n unbiased.
        counts = np.bincount(self.groups, weights=self.seen)[self.groups]
        scale = np.sqrt(counts / np.maximum(counts - 1, 1))
        alone, added = scale * alone, scale * added
        return self._by_cluster(alone), self._by_cluster(added)

    def _by_cluster(self, values: Floats) -> Floats:
        return np.asarray(np.bincount(self.clusters, weights=values), dtype=np.float64)

    def error(self, influence: Floats) -> float:
        groups = self.n_clusters
        few = groups / (groups - 1) if self.clustered else 1.0
        return float(np.sqrt(few * (influence**2).sum()) / len(self.seen))


def _best(audit: _Audit, alone: Floats, added: Floats) -> float:
    """Power with the least variance, in [0, 1]; 0 where people read everything."""
    below = float(added @ added)
    if audit.seen.all() or not below > 0:
        return 0.0
    return float(np.clip(-(alone @ added) / below, 0.0, 1.0))


def _audit(
    seen: NDArray[np.bool_],
    probabilities: Sequence[float] | None,
    groups: Codes,
    clusters: Sequence[object] | None,
) -> _Audit:
    n = len(seen)
    chance = np.ones(n) if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    if chance.shape != (n,):
        raise OptionError(f"{len(chance)} probabilities for {n} replies; give one per reply")
    if not ((chance > 0) & (chance <= 1)).all():
        raise OptionError(
            "probabilities must lie in (0, 1]: a reply that could not be drawn is one that the "
            "audit says nothing of; leave it out and report it"
        )
    weights = np.where(seen, 1 / chance, 0.0)
    if n:
        total = np.bincount(groups, weights=weights)
        size = np.bincount(groups).astype(np.float64)
        share = np.divide(size, total, out=np.zeros(len(size)), where=total > 0)
        weights = weights * share[groups]
    return _Audit(seen, weights, groups, cluster_codes(clusters, n), clusters is not None)


def _level(level: float, power: float | None) -> None:
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    if power is not None and not 0 <= power <= 1:
        raise OptionError(f"power is {power}; it must lie in [0, 1], or be None to be tuned")


def _result(
    audit: _Audit,
    *,
    value: float,
    people: float,
    judge: float,
    power: float,
    alone: Floats,
    added: Floats,
    level: float,
    bounds: tuple[float, float] | None,
) -> Powered:
    error, alone_error = audit.error(alone + power * added), audit.error(alone)
    reach = float(stdtrit(audit.degrees(), 1 - (1 - level) / 2)) * error
    low, high = value - reach, value + reach
    if bounds is not None:
        low, high = (float(np.clip(v, *bounds)) for v in (low, high))
        value = float(np.clip(value, *bounds))
    n_audited = int(audit.seen.sum())
    gain = (alone_error / error) ** 2 if error > 0 else None
    return Powered(
        value=value,
        low=low,
        high=high,
        level=level,
        error=error,
        power=power,
        people=people,
        people_error=alone_error,
        judge=judge,
        n_audited=n_audited,
        n=len(audit.seen),
        n_clusters=audit.n_clusters,
        effective_n=None if gain is None else gain * n_audited,
        gain=gain,
    )


def _nothing(audit: _Audit, level: float, judge: float | None, reason: str) -> Powered:
    n_audited = int(audit.seen.sum())
    none = (None, None, None)
    return Powered(
        *none,
        level,
        *none,
        None,
        judge,
        n_audited,
        len(audit.seen),
        audit.n_clusters,
        None,
        None,
        reason,
    )


def _too_few(audit: _Audit) -> str | None:
    """Why this audit carries no interval."""
    if not len(audit.seen):
        return "no replies"
    audited = np.bincount(audit.groups, weights=audit.seen)
    fewest = int(audited[np.bincount(audit.groups) > 0].min())
    if fewest < 2:
        return f"{fewest} audited repl{'y' if fewest == 1 else 'ies'} in a group; two are needed"
    if audit.clustered and audit.n_clusters < 2:
        return f"{audit.n_clusters} cluster(s) with an audited reply; two are needed"
    return None


def powered_mean(
    people: Sequence[float | None],
    judge: Sequence[float],
    *,
    probabilities: Sequence[float] | None = None,
    clusters: Sequence[object] | None = None,
    power: float | None = None,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> Powered:
    """Mean of what people would say of every reply.

    Args:
        people: Per reply, e.g. 1 for right and 0 for wrong, or a rating; ``None`` (or NaN) where
            nobody read it.
        judge: Per reply, on the same scale, finite.
        probabilities: Of each reply to be audited, in (0, 1]; ``None`` where all were alike. Only
            those of audited replies matter.
        clusters: Speaker of each reply; ``None`` where replies are independent.
        power: Fixed beforehand, in [0, 1]; ``None`` takes the best by estimated variance.
        level: Nominal coverage.
        bounds: Of the scale, e.g. ``(0, 1)``; value and limits are clipped to them.

    Returns:
        Value ``None``, and the reason, for fewer than two audited replies or clusters with one.
        Where people and judge leave no variance, the interval has no width and the gain is
        ``None``: that the data show no error does not mean there is none.

    Raises:
        OptionError: For sides of different length, values that are not finite, or an option out of
            range.

    Example:
        >>> people = [1, 0, 1, 1, 0, 1] + [None] * 14
        >>> judge = [1, 0, 1, 1, 0, 0] + [1, 0] * 7
        >>> p = powered_mean(people, judge)
        >>> round(p.value, 3), round(p.people, 3), p.judge, p.n_audited
        (0.667, 0.667, 0.5, 6)
        >>> powered_mean([None, 1.0], [1.0, 1.0]).reason
        '1 audited reply in a group; two are needed'
    """
    y = np.array([np.nan if v is None else v for v in people], dtype=np.float64)
    f = np.asarray(judge, dtype=np.float64)
    if y.shape != f.shape or y.ndim != 1:
        raise OptionError(f"people have the shape {y.shape}, the judge {f.shape}; expected (M,)")
    if not np.isfinite(f).all() or np.isinf(y).any():
        raise OptionError(
            "the judge's values hold NaN, or people's infinity; a judge must have read every reply "
            "(leave out the ones where it failed, and report them)"
        )
    _level(level, power)
    audit = _audit(~np.isnan(y), probabilities, np.zeros(len(y), dtype=np.int64), clusters)
    reason = _too_few(audit)
    if reason is not None:
        return _nothing(audit, level, float(f.mean()) if len(f) else None, reason)
    alone, added = audit.parts(y, f, np.zeros(len(y)))
    best = _best(audit, alone, added) if power is None else power
    held = np.where(audit.seen, y, 0.0)
    mean = float(audit.means(held, True)[0])
    whole, part = float(f.mean()), float(audit.means(f, True)[0])
    return _result(
        audit,
        value=mean + best * (whole - part),
        people=mean,
        judge=whole,
        power=best,
        alone=alone,
        added=added,
        level=level,
        bounds=bounds,
    )


def powered_difference(
    people: tuple[Sequence[float | None], Sequence[float | None]],
    judge: tuple[Sequence[float], Sequence[float]],
    *,
    probabilities: Sequence[float] | None = None,
    clusters: Sequence[object] | None = None,
    power: float | None = None,
    level: float = 0.95,
) -> Powered:
    """Mean difference, first less second, of two systems on the same utterances.

    What the utterances share cancels before it can enter the error, which two separate intervals
    cannot show.

    Args:
        people: For each system, as in ``powered_mean``; both replies to an utterance audited, or
            neither.
        judge: For each system.
        probabilities: Of each utterance to be audited.
        clusters: Speaker of each utterance.
        power: As in ``powered_mean``.
        level: Nominal coverage.

    Raises:
        OptionError: As ``powered_mean``, and for utterances with one audited reply of two.

    Example:
        >>> p = powered_difference(([1, 1, 0, None], [0, 1, 0, None]), ([1, 1, 0, 1], [0, 1, 0, 0]))
        >>> round(p.value, 3), round(p.people, 3), p.judge
        (0.455, 0.333, 0.5)
    """
    first, second = (
        np.array([np.nan if v is None else v for v in side], dtype=np.float64) for side in people
    )
    if first.shape != second.shape:
        raise OptionError(f"{len(first)} and {len(second)} utterances; expected the same ones")
    single = int((np.isnan(first) != np.isnan(second)).sum())
    if single:
        raise OptionError(
            f"{single} utterances have one audited reply of two; audit utterances, not replies, to "
            "compare two systems, or compare the audited of both"
        )
    a, b = (np.asarray(side, dtype=np.float64) for side in judge)
    if a.shape != b.shape:
        raise OptionError(f"the judge read {len(a)} and {len(b)} replies; expected the same number")
    return powered_mean(
        (first - second).tolist(),
        (a - b).tolist(),
        probabilities=probabilities,
        clusters=clusters,
        power=power,
        level=level,
    )


def powered_rate(
    gold: Sequence[int],
    people: Sequence[int],
    judge: Sequence[int],
    n_labels: int,
    metric: str,
    *,
    policy: Policy = "strict",
    probabilities: Sequence[float] | None = None,
    clusters: Sequence[object] | None = None,
    power: float | None = None,
    level: float = 0.95,
) -> Powered:
    """A hard-label rate as people would have read the replies.

    Args:
        gold: Gold label of each reply's utterance, 0 to C - 1.
        people: What people read in it, 0 to C - 1, C for a non-answer, -1 where nobody read it.
        judge: What the judge or verbalizer read in it, 0 to C.
        n_labels: Labels of the set, C.
        metric: A name of ``HARD_METRICS``, e.g. ``uar``, ``wa``, ``macro_f1``, ``coverage``.
        policy: How non-answers count.
        probabilities: Of each reply to be audited, in (0, 1]; ``None`` where all were alike.
        clusters: Speaker of each reply; ``None`` where replies are independent.
        power: One for all cells, fixed beforehand; ``None`` takes the best for this rate.
        level: Nominal coverage.

    Returns:
        Value ``None``, and the reason, where a gold label that occurs has fewer than two audited
        replies (draw the audit stratified by gold label), or the rate is undefined. Value and
        limits lie in [0, 1].

    Raises:
        OptionError: For sides of different length or codes out of range.
        UnknownNameError: For another metric.

    Example:
        >>> gold, judge = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1, 0, 2]
        >>> p = powered_rate(gold, [0, 0, -1, -1, 1, 1, -1, -1], judge, 2, "uar")
        >>> p.people, p.judge, round(p.value, 3), p.n_audited
        (1.0, 0.625, 1.0, 4)
    """
    codes = [np.asarray(list(side), dtype=np.int64) for side in (gold, people, judge)]
    if len({len(c) for c in codes}) > 1:
        raise OptionError(f"{[len(c) for c in codes]} gold labels and readings; give one per reply")
    ranges = (("gold", 0, n_labels - 1), ("people", -1, n_labels), ("judge", 0, n_labels))
    for side, (name, least, most) in zip(codes, ranges, strict=True):
        if ((side < least) | (side > most)).any():
            raise OptionError(f"{name} holds a code outside {least} to {most}; C is {n_labels}")
    _level(level, power)
    truth, said, read = codes
    table_rates(np.zeros((1, n_labels, n_labels + 1)), metric, policy)  # refuses another name
    audit = _audit(said >= 0, probabilities, truth, clusters)
    shape = (n_labels, n_labels + 1)
    whole = _shares(truth, read, np.ones(len(truth)), shape)
    judged = float(table_rates(whole[None], metric, policy)[0])
    plain = None if np.isnan(judged) else judged
    reason = _too_few(audit)
    if reason is not None:
        return _nothing(audit, level, plain, reason)
    seen = audit.seen
    people_table = _shares(truth[seen], said[seen], audit.weights[seen], shape)
    part = _shares(truth[seen], read[seen], audit.weights[seen], shape)

    def at(strength: float) -> tuple[Floats, Floats, Floats]:
        table = (people_table + strength * (whole - part)) / len(truth)
        slope = _gradient(table, metric, policy)
        mine = slope[truth, np.maximum(said, 0)]
        between = (slope * table).sum(axis=1) / np.maximum(table.sum(axis=1), 1e-300)
        return table, *audit.parts(mine, slope[truth, read], between[truth])

    best = power
    if best is None:
        _, alone, added = at(1.0)
        best = _best(audit, alone, added)
    table, alone, added = at(best)
    value, mean = table_rates(np.stack([table, people_table]), metric, policy)
    if plain is None or not np.isfinite([value, mean, *alone, *added]).all():
        return _nothing(audit, level, plain, f"{metric} is undefined for what people say")
    return _result(
        audit,
        value=float(value),
        people=float(mean),
        judge=plain,
        power=best,
        alone=alone,
        added=added,
        level=level,
        bounds=(0.0, 1.0),
    )


def _shares(truth: Codes, read: Codes, weights: Floats, shape: tuple[int, int]) -> Floats:
    cells = np.bincount(truth * shape[1] + read, weights=weights, minlength=shape[0] * shape[1])
    return np.asarray(cells.reshape(shape), dtype=np.float64)


def _gradient(table: Floats, metric: str, policy: Policy) -> Floats:
    """Of the rate by the cells of labels that occur; central differences."""
    flat = table.ravel()
    steps = np.eye(len(flat)) * _STEP * np.repeat(table.sum(axis=1) > 0, table.shape[1])[:, None]
    up, down = (
        table_rates((flat + sign * steps).reshape(-1, *table.shape), metric, policy)
        for sign in (1, -1)
    )
    return np.asarray(((up - down) / (2 * _STEP)).reshape(table.shape))
