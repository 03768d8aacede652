r"""Intraclass correlations: agreement of raters on a numeric scale.

Conventions
-----------
With n units, each rated by the same k raters, and the mean squares of the two-way table (MSR units,
MSC raters, MSE rest, MSW everything within units)::

    model 1   raters differ from unit to unit   single  (MSR - MSW) / (MSR + (k-1) MSW)
    model 2   raters a sample, absolute         single  (MSR - MSE) / (MSR + (k-1) MSE + k (MSC - MSE) / n)
    model 3   these raters, consistency         single  (MSR - MSE) / (MSR + (k-1) MSE)

and of the mean of k ratings (MSR - MSW) / MSR, (MSR - MSE) / (MSR + (MSC - MSE) / n) and
(MSR - MSE) / MSR. Model 2 charges a rater who is stricter than the others, model 3 does not.

Source: Shrout and Fleiss (1979). Ratings with a different number per unit have model 1 only:
``voxemo_tasks.metrics.reliability``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .clusters import cluster_sums
from .intervals import Interval
from .resampling import statistic_interval

__all__ = ["IntraClass", "intraclass"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IntraClass:
    """One intraclass correlation.

    Attributes:
        value: At most 1; estimates may lie below zero. ``None`` where it does not exist.
        interval: Of the value, by redrawing units or their clusters; the raters stay.
        model: 1, 2 or 3.
        average: Of the mean of the k ratings instead of one.
        n_units: Units with all k ratings, the ones used.
        n_left_out: Units with a gap.
        n_raters: Raters, k.
        reason: Why there is no value; ``None`` where there is one.
    """

    value: float | None
    interval: Interval
    model: int
    average: bool
    n_units: int
    n_left_out: int
    n_raters: int
    reason: str | None = None


def intraclass(
    ratings: NDArray[np.float64],
    *,
    model: int,
    average: bool = False,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> IntraClass:
    """Intraclass correlation of a table of ratings; the module docstring has the formulas.

    Args:
        ratings: Shape ``(units, raters)``, at least two raters. Units with a gap (NaN) are left
            out and counted.
        model: 1, 2 or 3.
        average: Of the mean of all raters.
        clusters: Speaker of each unit, redrawn whole; ``None`` where units are independent.
        level: Nominal coverage of the interval.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Returns:
        Value ``None``, and the reason, for fewer than two complete units or a denominator of zero
        (ratings that are all alike; for a mean also units that do not differ).

    Raises:
        OptionError: For another model or shape, one rater, or infinite ratings.

    Example:
        >>> table = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6],
        ...                   [10, 5, 6, 9], [6, 2, 4, 7]])  # Shrout and Fleiss, table 2
        >>> [round(intraclass(table, model=m, seed=1).value, 2) for m in (1, 2, 3)]
        [0.17, 0.29, 0.71]
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise OptionError(
            f"ratings have the shape {table.shape}; expected (units, raters), two raters or more"
        )
    if model not in (1, 2, 3):
        raise OptionError(f"model is {model!r}; allowed: 1, 2, 3 (Shrout and Fleiss, 1979)")
    if np.isinf(table).any():
        raise OptionError("ratings hold infinity; a gap is NaN")
    complete = ~np.isnan(table).any(axis=1)
    k, n = table.shape[1], int(complete.sum())
    components = np.zeros((len(table), k + 3))
    if n:
        held = table[complete] - table[complete][0, 0]  # equal ratings shall leave zeros
        components[complete] = np.column_stack(
            [np.ones(n), held, (held**2).sum(axis=1), held.mean(axis=1) ** 2]
        )
    function = _function(k, model, average)
    interval = statistic_interval(
        cluster_sums(components, clusters),
        function,
        level=level,
        replicates=replicates,
        seed=seed,
        high=1.0,
    )
    value = float(function(components.sum(axis=0, keepdims=True))[0])
    reason = None
    if n < 2:
        reason = f"{n} unit(s) rated by all {k} raters; a correlation needs at least two"
    elif np.isnan(value):
        reason = "the ratings do not vary"
    return IntraClass(
        None if reason else value, interval, model, average, n, len(table) - n, k, reason
    )


def _function(k: int, model: int, average: bool) -> Callable[[Floats], Floats]:
    def correlation(sums: Floats) -> Floats:
        n, raters, squares, means = sums[:, 0], sums[:, 1 : k + 1], sums[:, -2], sums[:, -1]
        size = np.maximum(n, 1)
        grand = raters.sum(axis=1) / (k * size)
        units = np.maximum(k * (means - n * grand**2), 0)
        columns = np.maximum((raters**2).sum(axis=1) / size - k * n * grand**2, 0)
        inside = np.maximum(squares - k * means, 0)
        rest = np.maximum(inside - columns, 0)
        msr = units / np.maximum(n - 1, 1)
        msc = columns / (k - 1)
        noise = inside / (size * (k - 1)) if model == 1 else rest / np.maximum((n - 1) * (k - 1), 1)
        between = (msc - noise) / size if model == 2 else np.zeros(len(n))
        below = msr + between if average else msr + (k - 1) * noise + k * between
        values = np.full(len(n), np.nan)
        # Sums of squares cancel: less than rounding of the squares is nothing.
        exists = (n > 1) & (below > 1e-12 * squares / size)
        np.divide(msr - noise, below, out=values, where=exists)
        return values

    return correlation
