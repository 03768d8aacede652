r"""What a panel of judges is worth: whom it hangs on, and what sways its members.

Conventions
-----------
readings    ints ``(replies, judges)``: the outcome that each judge read, 0 to K - 1, -1 where the
            judge failed (no valid output); a failure is counted and is never an outcome
scores      floats ``(replies, judges)``, NaN where the judge failed
panel       the plurality of readings with at least two votes, or the median of scores. A mean lets
            one broken judge move the panel without bound; a median or plurality of three does not

Nothing here knows whether a judge is right: that takes people
(``voxemo_tasks.metrics.prediction_powered``).

Sources: Verga et al. (2024) for panels of disjoint families; Zheng et al. (2023) for order and
self-preference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .clusters import cluster_sums
from .intervals import Interval
from .misclassification import proportion_limits
from .resampling import ratio_interval, statistic_interval

__all__ = [
    "CanaryRate",
    "FlipRate",
    "LeaveOneOut",
    "SelfPreference",
    "canary_rate",
    "flip_rate",
    "leave_one_judge_out",
    "median_score",
    "plurality",
    "self_preference",
]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_CANARIES = 0.02
"""Share of injections that may succeed before a judge is dropped."""


def plurality(readings: NDArray[np.int64], n_outcomes: int, *, least: int = 2) -> Codes:
    """The outcome that most judges read.

    Args:
        readings: Shape ``(replies, judges)``, -1 where a judge failed.
        n_outcomes: Outcomes, K.
        least: Votes that it needs.

    Returns:
        Shape ``(replies,)``; -1 where two outcomes tie or the winner has fewer votes.

    Raises:
        OptionError: For another shape, or an outcome out of range.

    Example:
        >>> plurality(np.array([[0, 0, 2], [0, 1, -1], [1, -1, -1]]), 3)
        array([ 0, -1, -1])
    """
    table = np.asarray(readings)
    if table.ndim != 2 or table.dtype.kind not in "iu":
        raise OptionError(f"readings have the shape {table.shape}; expected ints (replies, judges)")
    if ((table < -1) | (table >= n_outcomes)).any():
        raise OptionError(f"readings hold an outcome outside -1 to {n_outcomes - 1}")
    votes = (table[:, :, None] == np.arange(n_outcomes)).sum(axis=1)
    most = votes.max(axis=1, initial=0)
    alone = (votes == most[:, None]).sum(axis=1) == 1
    winner = votes.argmax(axis=1)
    return np.where(alone & (most >= max(1, least)), winner, -1).astype(np.int64)


def median_score(scores: NDArray[np.float64], *, least: int = 2) -> Floats:
    """Median over the judges that did not fail.

    Returns:
        Shape ``(replies,)``; NaN where fewer than ``least`` judges gave a score.

    Raises:
        OptionError: For another shape.

    Example:
        >>> median_score(np.array([[1.0, 4.0, 5.0], [2.0, np.nan, np.nan]]))
        array([ 4., nan])
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2:
        raise OptionError(f"scores have the shape {table.shape}; expected (replies, judges)")
    medians = np.full(len(table), np.nan)
    enough = (~np.isnan(table)).sum(axis=1) >= max(1, least)
    if enough.any():
        medians[enough] = np.nanmedian(table[enough], axis=1)
    return medians


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """A rate of the whole panel, and without each of its judges.

    Attributes:
        value: Of the whole panel; ``None`` where it does not exist.
        without: By the judge that was left out.
        furthest: The greatest distance of one of these from ``value``; ``None`` where a value is
            missing.
        pivot: The judge whose absence moves the rate most, the first of several; ``None`` likewise.
    """

    value: float | None
    without: dict[str, float | None]
    furthest: float | None
    pivot: str | None


def leave_one_judge_out(
    judges: Sequence[str], rate: Callable[[tuple[int, ...]], float | None]
) -> LeaveOneOut:
    """How much a rate hangs on a single judge.

    Args:
        judges: Names, in the order of the columns; at least two.
        rate: From the columns of the judges that stay to the rate of their panel, ``None`` where
            it does not exist.

    Raises:
        OptionError: For fewer than two judges, or a name that stands twice.

    Example:
        >>> readings = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 0, 0]])
        >>> gold = np.array([0, 0, 1, 1])
        >>> def accuracy(stay):
        ...     return float((plurality(readings[:, stay], 2) == gold).mean())
        >>> leave_one_judge_out(["a", "b", "c"], accuracy)
        LeaveOneOut(value=0.75, without={'a': 0.25, 'b': 0.25, 'c': 0.75}, furthest=0.5, pivot='a')
    """
    if len(judges) < 2 or len(set(judges)) < len(judges):
        raise OptionError(f"judges are {list(judges)}; give at least two different ones")
    columns = tuple(range(len(judges)))
    value = rate(columns)
    without = {name: rate(columns[:i] + columns[i + 1 :]) for i, name in enumerate(judges)}
    if value is None:
        return LeaveOneOut(None, without, None, None)
    known = {name: abs(v - value) for name, v in without.items() if v is not None}
    if len(known) < len(judges):
        return LeaveOneOut(value, without, None, None)
    pivot = max(judges, key=lambda name: known[name])
    return LeaveOneOut(value, without, known[pivot], pivot)


@dataclass(frozen=True, slots=True)
class CanaryRate:
    """How often an instruction hidden in a reply was obeyed.

    Attributes:
        value: Share of canaries that succeeded, in [0, 1]; ``None`` without canaries.
        low: Exact lower limit (Clopper and Pearson, 1934).
        high: Exact upper limit.
        n: Canaries that the judge answered.
        n_failed: Canaries on which the judge gave no valid output: neither obeyed nor resisted.
        drop: Whether the rate is above the allowed share.
        shown_safe: Whether the upper limit is at most the allowed share; few canaries cannot show
            it (none in 182 cannot show 2 %, none in 183 can).
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_failed: int
    drop: bool
    shown_safe: bool


def canary_rate(
    obeyed: Sequence[bool | None], *, most: float = MOST_CANARIES, level: float = 0.95
) -> CanaryRate:
    """Rate at which injected instructions moved a judge.

    Args:
        obeyed: Per canary, whether the judge said what the injection asked for (and the reply
            without it does not mean); ``None`` where its output was not valid.
        most: Share that may succeed.
        level: Nominal coverage of the exact interval.

    Raises:
        OptionError: For a share or level out of range.

    Example:
        >>> r = canary_rate([False] * 98 + [True, None])
        >>> round(r.value, 4), round(r.high, 4), r.n, r.n_failed, r.drop, r.shown_safe
        (0.0101, 0.055, 99, 1, False, False)
    """
    if not 0 <= most < 1:
        raise OptionError(f"most is {most}; it must lie in [0, 1), e.g. 0.02")
    known = [bool(v) for v in obeyed if v is not None]
    failed = len(obeyed) - len(known)
    found = proportion_limits(sum(known), len(known), method="clopper_pearson", level=level)
    if found is None:
        return CanaryRate(None, None, None, 0, failed, False, False)
    low, high = found
    value = sum(known) / len(known)
    return CanaryRate(value, low, high, len(known), failed, value > most, high <= most)


@dataclass(frozen=True, slots=True)
class FlipRate:
    """How often a judge's reading changes with what should not matter.

    Attributes:
        value: Share of replies read differently, in [0, 1]; ``None`` without replies.
        interval: Of the value.
        n: Replies read both times.
        n_failed: Replies with at least one failure.
    """

    value: float | None
    interval: Interval
    n: int
    n_failed: int


def flip_rate(
    first: Sequence[int],
    second: Sequence[int],
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> FlipRate:
    """Share of replies that a judge reads differently, e.g. with the menu turned round.

    A judge with a temperature also flips on the same order: report that rate beside this one.

    Args:
        first: Outcome of each reply in one order, -1 where the judge failed.
        second: In the other, mapped back to the same codes.
        clusters: Speaker of each reply; ``None`` where replies are independent.
        level: Nominal coverage.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Returns:
        Without clusters, the interval is Wilson's, method ``wilson``, which says something where
        no reply flips too; with clusters, a bootstrap over them.

    Raises:
        OptionError: For sides of different length, or an option out of range.

    Example:
        >>> f = flip_rate([0, 1, 2, 1], [0, 2, 2, -1], seed=1)
        >>> round(f.value, 3), f.n, f.n_failed, f.interval.method
        (0.333, 3, 1, 'wilson')
    """
    a, b = np.asarray(list(first), dtype=np.int64), np.asarray(list(second), dtype=np.int64)
    if a.shape != b.shape:
        raise OptionError(f"{len(a)} and {len(b)} readings; expected the same replies")
    both = (a >= 0) & (b >= 0)
    flips, n = both & (a != b), int(both.sum())
    if clusters is None:
        hits = int(flips.sum())
        found = proportion_limits(hits, n, level=level)
        if found is None:
            interval = Interval(None, None, level, "none", 0, 0, "no reply was read twice")
        else:
            interval = Interval(*found, level, "wilson", n, 0)
    else:
        sums = cluster_sums(np.stack([flips, both], axis=1).astype(np.float64), clusters)
        interval = ratio_interval(
            sums[:, 0],
            sums[:, 1],
            level=level,
            replicates=replicates,
            seed=seed,
            low=0.0,
            high=1.0,
        )
    return FlipRate(float(flips.sum()) / n if n else None, interval, n, len(a) - n)


@dataclass(frozen=True, slots=True)
class SelfPreference:
    """How much kinder a judge is to its own family than people are.

    Attributes:
        value: Mean residual of the own family less that of others; above 0 favours its own.
            ``None`` where one side has no reply.
        interval: Of the value, over clusters.
        own: Mean of judge less people on the own family's replies.
        others: The same on those of others.
        n_own: Replies of the own family that judge and people scored.
        n_others: Replies of others.
    """

    value: float | None
    interval: Interval
    own: float | None
    others: float | None
    n_own: int
    n_others: int


def self_preference(
    judge: Sequence[float],
    people: Sequence[float],
    own: Sequence[bool],
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> SelfPreference:
    r"""Residual of a judge on its own family's replies, against that on others.

    .. math:: \overline{(f - y)}_{own} - \overline{(f - y)}_{others}

    People are the anchor: a judge that scores its family higher because it is better has no
    residual. One that is too kind to everybody has none either.

    Args:
        judge: Score of each reply (1 and 0 for "right" and "wrong"); NaN where the judge failed.
        people: What people gave it; NaN where nobody read it.
        own: Whether the reply comes from a model of the judge's family.
        clusters: Speaker (or utterance) of each reply: the replies of several models to one
            utterance belong together. ``None`` where replies are independent.
        level: Nominal coverage.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Raises:
        OptionError: For sides of different length, infinite scores, or an option out of range.

    Example:
        >>> s = self_preference([5, 4, 3, 3], [4, 4, 3, 4], [True, True, False, False], seed=1)
        >>> s.own, s.others, s.value
        (0.5, -0.5, 1.0)
    """
    f, y = np.asarray(judge, dtype=np.float64), np.asarray(people, dtype=np.float64)
    mine = np.asarray(own, dtype=np.bool_)
    if not f.shape == y.shape == mine.shape or f.ndim != 1:
        raise OptionError(f"{f.shape}, {y.shape} and {mine.shape} values; give one per reply")
    if np.isinf(f).any() or np.isinf(y).any():
        raise OptionError("scores hold infinity; a score that is missing is NaN")
    known = ~(np.isnan(f) | np.isnan(y))
    rest = np.where(known, f - y, 0.0)
    sides = (known & mine, known & ~mine)
    components = np.column_stack([v for side in sides for v in (rest * side, side)])

    def gap(sums: Floats) -> Floats:
        values = np.full(len(sums), np.nan)
        there = (sums[:, 1] > 0) & (sums[:, 3] > 0)
        kept = sums[there]
        values[there] = kept[:, 0] / kept[:, 1] - kept[:, 2] / kept[:, 3]
        return values

    interval = statistic_interval(
        cluster_sums(components, clusters),
        gap,
        level=level,
        replicates=replicates,
        seed=seed,
    )
    counts = [int(side.sum()) for side in sides]
    means = [
        float(rest[side].sum()) / n if n else None for side, n in zip(sides, counts, strict=True)
    ]
    value = None if means[0] is None or means[1] is None else means[0] - means[1]
    return SelfPreference(value, interval, means[0], means[1], counts[0], counts[1])
