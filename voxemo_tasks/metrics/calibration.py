r"""Calibration: do the confidences mean what they say?

Conventions
-----------
confidence  per item, in [0, 1], shape ``(N,)``; ``voxemo_tasks.metrics.confidence`` makes them
target      per item, how often a human agrees with the claimed label, in [0, 1]: ``soft_hits``;
            right (1) or wrong (0) is the special case of one vote
gap         confidence minus target: positive is over-confident
clusters    per item, whose voice it is; items of one speaker are not independent
bins        of equal mass, by confidence; items of equal confidence are never parted, so that the
            order of the items does not matter. At most N/2 bins, at least two items in each

Which number
------------
The ordinary expected calibration error is biased upwards, the more the fewer items there are: 15
bins of equal mass show .20 at n = 50 and .10 at n = 200 where there is no miscalibration at all.
It cannot be compared across cultures of different size, and is not here. In its place:

``signed_gap``  unbiased, with an interval and the smallest gap that could be detected
``l2_error``    debiased; scatters around 0 where there is nothing, so it may be negative

``reliability`` has the Brier score in parts, the error of every label's probability, and the bars of
a diagram; ``smooth_error`` an error without bins, and a test; ``ranking`` what does not depend on the
scale. Confidences counted from few generations are noisy item by item; all but the gap take that noise for
miscalibration (see ``voxemo_tasks.metrics.confidence``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..errors import OptionError
from .clusters import cluster_codes
from .intervals import Interval
from .resampling import ratio_interval

__all__ = [
    "BINS",
    "L2Error",
    "SignedGap",
    "equal_mass_bins",
    "l2_error",
    "pairs",
    "signed_gap",
    "signed_root",
    "standard_error",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15
"""Bins where the caller names no number; the field's habit since Guo et al. (2017)."""


@dataclass(frozen=True, slots=True)
class SignedGap:
    """Mean confidence minus mean target.

    Attributes:
        n: Items.
        value: In [-1, 1], positive where over-confident; ``None`` without items.
        mean_confidence: In [0, 1]; ``None`` without items.
        mean_target: In [0, 1]; ``None`` without items.
        interval: Over clusters.
        standard_error: Robust to clusters; ``None`` for fewer than two clusters.
        effective_n: Independent items that would give this standard error; ``None`` where it is
            0 or does not exist.
        detectable: The smallest true gap that a two-sided test at .05 finds with power .8;
            ``None`` without a standard error. A gap that was not found says nothing of smaller
            ones.
    """

    n: int
    value: float | None
    mean_confidence: float | None
    mean_target: float | None
    interval: Interval
    standard_error: float | None
    effective_n: float | None
    detectable: float | None


@dataclass(frozen=True, slots=True)
class L2Error:
    """Debiased calibration error.

    Attributes:
        n: Items.
        bins: Bins that were made.
        squared: Estimate of the squared error; may be negative. ``None`` for fewer than two items.
        value: Its signed root, so that estimates still average to about zero where nothing is
            wrong; negative means "none found". Clipping it at zero would bring the bias back.
    """

    n: int
    bins: int
    squared: float | None
    value: float | None


def pairs(
    confidence: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as floats, checked.

    Raises:
        OptionError: For shapes that differ or are not ``(N,)``, or values outside [0, 1].
    """
    claimed = np.asarray(confidence, dtype=np.float64)
    found = np.asarray(target, dtype=np.float64)
    if claimed.ndim != 1 or claimed.shape != found.shape:
        raise OptionError(
            f"confidence has the shape {claimed.shape} and target {found.shape}; expected (N,) "
            "twice, one value per item"
        )
    for what, values in (("confidence", claimed), ("target", found)):
        if not ((values >= 0) & (values <= 1)).all():
            raise OptionError(
                f"{what} must lie in [0, 1] and be known; leave items without one out of both, "
                "and divide percentages by 100"
            )
    return claimed, found


def standard_error(values: NDArray[np.float64], index: NDArray[np.int64]) -> float | None:
    r"""Standard error of a mean over items that come in clusters.

    .. math:: s^2 = \frac{G}{G - 1} \frac{1}{N^2} \sum_g
              \Big( \sum_{i \in g} (x_i - \bar x) \Big)^2

    With every item its own cluster this is the sample standard deviation over the root of N
    (Liang and Zeger, 1986, Biometrika 73).

    Args:
        values: Per item, shape ``(N,)``.
        index: Number of each item's cluster, from ``clusters.cluster_codes``.

    Returns:
        ``None`` for fewer than two clusters.

    Example:
        >>> standard_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]))  # 2/1 * 2/16
        0.5
    """
    groups = int(index.max()) + 1 if len(index) else 0
    if groups < 2:
        return None
    sums = np.bincount(index, values - values.mean(), groups)
    return float((groups / (groups - 1) * (sums**2).sum()) ** 0.5 / len(values))


def signed_gap(
    confidence: NDArray[np.float64],
    target: NDArray[np.float64],
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> SignedGap:
    r"""Mean confidence minus mean target, with what could have been detected.

    .. math:: \frac{1}{N} \sum_i (\mathrm{conf}_i - h_i), \qquad
              \mathrm{detectable} = (t_{G-1, .975} + t_{G-1, .8}) \, s

    with the standard error s of ``standard_error``. The factor is 2.80 for many clusters, which
    gives 2.8 sd / sqrt(n) without clusters: about .10 at n = 200.

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].
        clusters: The speaker of each item; without, each item is taken for independent.
        level: Nominal coverage of the interval, in (0, 1).
        replicates: Of the bootstrap over clusters, at least 100.
        seed: Of the replicates.

    Returns:
        ``None`` for the value without items, for the standard error with one cluster.

    Raises:
        OptionError: For other shapes, values out of range, or options out of range.

    Example:
        >>> g = signed_gap(np.array([0.9, 0.7, 0.8, 0.6]), np.array([1.0, 0.0, 1.0, 0.0]), seed=1)
        >>> round(g.value, 12), g.n, g.interval.n_clusters
        (0.25, 4, 4)
    """
    claimed, found = pairs(confidence, target)
    index = cluster_codes(clusters, len(claimed), "by_appearance")
    differences = claimed - found
    groups = int(index.max()) + 1 if len(index) else 0
    interval = ratio_interval(
        np.bincount(index, differences, groups).astype(np.float64),
        np.bincount(index, minlength=groups).astype(np.float64),
        level=level,
        replicates=replicates,
        seed=seed,
        low=-1.0,
        high=1.0,
    )
    if not len(claimed):
        return SignedGap(0, None, None, None, interval, None, None, None)
    error = standard_error(differences, index)
    effective = detectable = None
    if error is not None:
        factor = float(stdtrit(groups - 1, 0.975) + stdtrit(groups - 1, 0.8))
        detectable = factor * error
        effective = float(differences.var(ddof=1)) / error**2 if error > 0 else None
    return SignedGap(
        len(claimed),
        float(differences.mean()),
        float(claimed.mean()),
        float(found.mean()),
        interval,
        error,
        effective,
        detectable,
    )


def equal_mass_bins(confidence: NDArray[np.float64], bins: int = BINS) -> list[NDArray[np.int64]]:
    """Items by bin, bins in ascending order of confidence.

    The sorted items are cut into ``min(bins, N // 2)`` parts whose sizes differ by at most one; a
    cut inside a run of equal confidences moves to the nearer end of the run (halfway: the upper
    one), and a bin of one item joins its neighbour.

    Args:
        confidence: Shape ``(N,)``.
        bins: At least 1.

    Returns:
        At most ``bins`` arrays of item numbers, each of two or more items; one bin for one item,
        none for none.

    Raises:
        OptionError: For fewer than one bin.

    Example:
        >>> [b.tolist() for b in equal_mass_bins(np.array([0.9, 0.1, 0.5, 0.5, 0.5, 0.8]), 3)]
        [[1, 2, 3, 4], [5, 0]]
    """
    if bins < 1:
        raise OptionError(f"bins is {bins}; there must be at least one, e.g. {BINS}")
    n = len(confidence)
    if not n:
        return []
    order = np.argsort(confidence, kind="stable")
    ordered = confidence[order]
    parts = max(1, min(bins, n // 2))
    # As numpy.array_split: the first n % parts bins hold one more.
    cuts = np.cumsum([n // parts + (i < n % parts) for i in range(parts)])[:-1]
    below = np.searchsorted(ordered, ordered[cuts - 1], side="left")
    above = np.searchsorted(ordered, ordered[cuts - 1], side="right")
    moved = np.where((above > cuts) & (cuts - below < above - cuts), below, above)
    edges = [0]
    for cut in moved.tolist():
        if cut - edges[-1] >= 2:
            edges.append(cut)
    if len(edges) > 1 and n - edges[-1] < 2:
        edges.pop()
    return [order[a:b] for a, b in zip(edges, [*edges[1:], n], strict=True)]


def signed_root(squared: float) -> float:
    """Root of the size, with the sign kept: -.04 gives -.2."""
    return float(np.sign(squared) * abs(squared) ** 0.5)


def l2_error(
    confidence: NDArray[np.float64], target: NDArray[np.float64], bins: int = BINS
) -> L2Error:
    r"""Debiased L2 calibration error over bins of equal mass.

    .. math:: \sum_b \frac{n_b}{N} \Big( (\bar h_b - \bar c_b)^2 - \frac{s_b^2}{n_b} \Big)

    with the sample variance :math:`s_b^2` (n - 1) of the targets in bin b: the plug-in square is
    too large by the variance of the bin's mean (Broecker, 2012, Clim. Dyn. 39; Kumar et al., 2019,
    arXiv:1909.10155). For targets of 0 and 1 and no equal confidences this is the estimator of the
    ``uncertainty-calibration`` package. Deviations that cancel within a bin stay unseen, and items
    are taken for independent.

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].
        bins: Most bins.

    Returns:
        ``None`` for the error of fewer than two items.

    Raises:
        OptionError: For other shapes, values out of range, or fewer than one bin.

    Example:
        >>> e = l2_error(np.array([0.8, 0.8, 0.8, 0.8]), np.array([1.0, 1.0, 0.0, 0.0]), 2)
        >>> round(e.squared, 12), e.bins  # .3^2 - (1/3) / 4
        (0.006666666667, 1)
    """
    claimed, found = pairs(confidence, target)
    members = equal_mass_bins(claimed, bins)
    n = len(claimed)
    if n < 2:
        return L2Error(n, len(members), None, None)
    squared = 0.0
    for bin_ in members:
        size = len(bin_)
        distance = found[bin_].mean() - claimed[bin_].mean()
        squared += size / n * float(distance**2 - found[bin_].var(ddof=1) / size)
    return L2Error(n, len(members), squared, signed_root(squared))
