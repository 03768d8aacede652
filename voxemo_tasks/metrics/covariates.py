"""Whether a score goes with something that it should not depend on: the length of a text, say.

A judge that likes long rationales is no measure of good ones (Zheng et al. 2023 on verbosity bias).
An association is no proof of that bias: long rationales may be better ones. It says what a mean score
should be read beside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..errors import OptionError
from .clusters import cluster_sums
from .counterfactual import Estimate
from .resampling import statistic_interval

__all__ = ["rank_association"]

Floats = NDArray[np.float64]


def rank_association(
    scores: Sequence[float],
    covariate: Sequence[float],
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Estimate:
    r"""Spearman's rank correlation of a score and a covariate, with its interval over clusters.

    Pearson's correlation of the mid-ranks, so that only order counts and ties are shared. A replicate
    redraws clusters and keeps every item's rank, which is that of the whole sample.

    Args:
        scores: Of each item, finite.
        covariate: Of the same items, finite.
        clusters: Speaker of each; ``None`` where items are independent.
        level: Nominal coverage.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Returns:
        Value in [-1, 1]; ``None`` where one side never varies, or there are no items.

    Raises:
        OptionError: For sides of different length, or values that are not finite.

    Example:
        >>> e = rank_association([1, 2, 3, 4], [10, 40, 20, 80], seed=1)
        >>> round(e.value, 3), e.n
        (0.8, 4)
        >>> rank_association([3, 3], [10, 20], seed=1).value is None
        True
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(covariate, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise OptionError(
            f"{x.shape} scores and {y.shape} values of the covariate; give one per item"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise OptionError("scores and covariate must be finite; leave out items without them")
    centre = (len(x) + 1) / 2  # the mean rank: sums of squares keep their digits
    a, b = stats.rankdata(x) - centre, stats.rankdata(y) - centre
    components = np.column_stack([np.ones(len(x)), a, b, a * a, b * b, a * b])

    def correlation(s: Floats) -> Floats:
        n = np.maximum(s[:, 0], 1)
        ma, mb = s[:, 1] / n, s[:, 2] / n
        below = np.sqrt(np.maximum(s[:, 3] / n - ma**2, 0) * np.maximum(s[:, 4] / n - mb**2, 0))
        values = np.full(len(s), np.nan)
        np.divide(s[:, 5] / n - ma * mb, below, out=values, where=below > 1e-9)
        return values

    rows = cluster_sums(components, clusters)
    interval = statistic_interval(
        rows, correlation, level=level, replicates=replicates, seed=seed, low=-1.0, high=1.0
    )
    value = float(correlation(components.sum(axis=0, keepdims=True))[0])
    return Estimate(None if np.isnan(value) else value, interval, len(x))
