r"""Intervals for anything that is computed from sums over clusters.

Conventions
-----------
cluster     the utterances of one speaker (session, dialogue); one row of components
components  a float array ``(G, D)``: per cluster, the D sums that a statistic is computed from
            (numerators, weights, counts); a statistic sees only their sum over clusters
replicate   the sum of G rows drawn with replacement

Drawing clusters and adding their sums gives exactly the distribution of drawing their utterances
and computing the sums again. Which interval is made of the replicates, and why, stands in
``voxemo_tasks.metrics.intervals``: Student's t with :math:`\sqrt{G / (G-1)}` below 30 clusters,
percentiles from there on. With the same seed and the same clusters two statistics see the same
replicates, here and there.

One row says nothing of how rows vary, so a single cluster has no interval. Where no clusters are
known, pass one row per utterance: that takes them for independent, and is too narrow where
speakers differ.

Limits are clipped only to bounds that the caller names: an unbiased estimate such as ``l2u`` may
lie below zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .intervals import Interval, limits, redraw

__all__ = ["ratio_interval", "statistic_interval"]

Floats = NDArray[np.float64]


def _ratio(sums: Floats) -> Floats:
    """First column over the second; NaN where the second is not positive."""
    ratios = np.full(len(sums), np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=ratios, where=sums[:, 1] > 0)
    return ratios


def ratio_interval(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
    low: float | None = None,
    high: float | None = None,
) -> Interval:
    r"""Interval of a ratio of sums, :math:`\sum_g a_g / \sum_g b_g`.

    A mean over utterances has the sum of values as numerator and their number as denominator.

    Args:
        numerators: Per cluster, shape ``(G,)``, finite.
        denominators: Per cluster, shape ``(G,)``, finite; one may be zero or negative, the ratio
            exists where their sum is positive.
        level: Nominal coverage, in (0, 1).
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.
        low: The least value that the ratio can take, if there is one; limits are clipped to it.
        high: The greatest.

    Returns:
        An interval without limits, and the reason, for fewer than two clusters with anything in
        them or a ratio that does not exist. Clusters where both sums are zero are left out.

    Raises:
        OptionError: For other shapes, values that are not finite, or an option out of range.

    Example:
        >>> i = ratio_interval(np.array([3.0, 5.0, 1.0]), np.array([4.0, 6.0, 5.0]), seed=1, low=0)
        >>> i.method, i.n_clusters, i.low < 9 / 15 < i.high
        ('cluster_bootstrap_t', 3, True)
        >>> ratio_interval(np.array([3.0]), np.array([4.0]), seed=1).reason
        '1 cluster(s) with data; an interval needs at least two'
    """
    upper = np.asarray(numerators, dtype=np.float64)
    lower = np.asarray(denominators, dtype=np.float64)
    if upper.ndim != 1 or upper.shape != lower.shape:
        raise OptionError(
            f"numerators and denominators have the shapes {upper.shape} and {lower.shape}; "
            "expected (G,) twice, one value per cluster"
        )
    return statistic_interval(
        np.stack([upper, lower], axis=1),
        _ratio,
        level=level,
        replicates=replicates,
        seed=seed,
        low=low,
        high=high,
    )


def statistic_interval(
    components: NDArray[np.float64],
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
    low: float | None = None,
    high: float | None = None,
) -> Interval:
    """Interval of a function of components summed over clusters.

    Args:
        components: Sums per cluster, shape ``(G, D)``, finite. One of the columns should count
            utterances: a row of zeros is taken for an empty cluster and left out.
        function: From B summed rows, shape ``(B, D)``, to B values; NaN where there is none.
        level: Nominal coverage, in (0, 1).
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.
        low: The least value that the statistic can take, if there is one; limits are clipped to it.
        high: The greatest.

    Returns:
        An interval without limits, and the reason, for fewer than two clusters with data, a
        statistic that does not exist for all the data, or fewer than two replicates in which it
        exists.

    Raises:
        OptionError: For other shapes, values that are not finite, or an option out of range.

    Example:
        >>> sums = np.array([[3.0, 4.0], [5.0, 6.0], [1.0, 5.0]])
        >>> i = statistic_interval(sums, lambda s: 1 - s[:, 0] / s[:, 1], seed=1, low=0, high=1)
        >>> i.low < 6 / 15 < i.high
        True
    """
    values = np.asarray(components, dtype=np.float64)
    if values.ndim != 2 or not values.shape[1]:
        raise OptionError(
            f"components have the shape {values.shape}; expected (G, D), one row per cluster"
        )
    if not np.isfinite(values).all():
        raise OptionError(
            "components hold NaN or infinity; leave an item without a value out of both sums"
        )
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    if replicates < 100:
        raise OptionError(f"replicates is {replicates}; an interval needs at least 100")
    if low is not None and high is not None and not low < high:
        raise OptionError(f"the bounds are low={low}, high={high}; low must be less than high")
    held = values[values.any(axis=1)]
    groups = len(held)

    def none(reason: str) -> Interval:
        return Interval(None, None, level, "none", groups, 0, reason)

    if groups < 2:
        return none(f"{groups} cluster(s) with data; an interval needs at least two")
    value = _values(function, held.sum(axis=0, keepdims=True))[0]
    if np.isnan(value):
        return none("the statistic is undefined for these data")
    drawn = _values(function, redraw(held, replicates, np.random.default_rng(seed)))
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2:
        return none(
            f"the statistic is undefined in {replicates - len(drawn)} of {replicates} replicates"
        )
    method, first, last = limits(float(value), drawn, groups, level)
    if low is not None:
        first, last = max(low, first), max(low, last)
    if high is not None:
        first, last = min(high, first), min(high, last)
    return Interval(first, last, level, method, groups, len(drawn))


def _values(function: Callable[[NDArray[np.float64]], NDArray[np.float64]], sums: Floats) -> Floats:
    values = np.asarray(function(sums), dtype=np.float64)
    if values.shape != (len(sums),):
        raise OptionError(
            f"the function gave the shape {values.shape} for {len(sums)} rows of sums; "
            f"expected ({len(sums)},), one value per row"
        )
    return values
