r"""Reliability: the Brier score in parts, every label's probability, and the bars of a diagram.

Conventions as in ``voxemo_tasks.metrics.calibration``: confidences and targets in [0, 1], bins of
equal mass that never part equal confidences, items independent unless clusters are given.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .calibration import (
    BINS,
    equal_mass_bins,
    l2_error,
    pairs,
    signed_root,
)
from .clusters import cluster_codes
from .confidence import whole_counts
from .intervals import Interval
from .resampling import ratio_interval

__all__ = [
    "BrierDecomposition",
    "ClasswiseCalibration",
    "DiagramBin",
    "brier_decomposition",
    "classwise",
    "reliability_diagram",
]


@dataclass(frozen=True, slots=True)
class BrierDecomposition:
    """The Brier score of the claim against single votes, in parts.

    ``brier = reliability - resolution + uncertainty + within_variance - within_covariance``, exact.

    Attributes:
        n: Items.
        bins: Bins that were made.
        brier: Expected squared error against one vote drawn per item, in [0, 1].
        reliability: Squared distance of claim and truth over bins; 0 is best.
        resolution: How far the truth of the bins lies from the overall mean; more is better.
        uncertainty: Variance of a single vote's agreement, at most .25.
        disagreement: The part of ``uncertainty`` that lies between the votes of one item: no
            confidence can remove it. 0 for targets of 0 and 1.
        within_variance: Variance of confidences within bins.
        within_covariance: Twice the covariance of confidence and target within bins.
        reliability_debiased: Less the sampling variance of the bins; may be negative.
        resolution_debiased: The same.
        uncertainty_debiased: The same; these three differences cancel.
    """

    n: int
    bins: int
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    disagreement: float
    within_variance: float
    within_covariance: float
    reliability_debiased: float
    resolution_debiased: float
    uncertainty_debiased: float


@dataclass(frozen=True, slots=True)
class ClasswiseCalibration:
    """Calibration of the probability given to each label.

    Attributes:
        n: Items.
        gaps: Per label, mean probability minus mean share of the votes; they sum to minus the mean
            mass outside the label set.
        squared: Per label, the debiased squared L2 error; may be negative.
        value: Signed root of the mean of ``squared`` over the labels; ``None`` for fewer than two
            items.
    """

    n: int
    gaps: tuple[float | None, ...]
    squared: tuple[float | None, ...]
    value: float | None


@dataclass(frozen=True, slots=True)
class DiagramBin:
    """One bar of a reliability diagram.

    Attributes:
        low: Lower edge; 0 for the first bin, else midway to the neighbour below.
        high: Upper edge; 1 for the last bin.
        n: Items.
        mean_confidence: In [low, high].
        mean_target: In [0, 1].
        interval: Of the mean target.
    """

    low: float
    high: float
    n: int
    mean_confidence: float
    mean_target: float
    interval: Interval


def brier_decomposition(
    confidence: NDArray[np.float64], target: NDArray[np.float64], bins: int = BINS
) -> BrierDecomposition | None:
    r"""Murphy's decomposition of the Brier score, against soft targets.

    With the means :math:`\bar c_b, \bar h_b` of a bin and :math:`\bar h` of all::

        brier        mean of (c - h)^2 + h (1 - h)     the h (1 - h) is one vote's own variance
        reliability  sum n_b/N (c_b - h_b)^2
        resolution   sum n_b/N (h_b - h)^2
        uncertainty  h (1 - h) of the overall mean

    and the two within-bin terms that make the sum exact where confidences in a bin differ
    (Stephenson et al., 2008, Weather Forecast. 23). The debiased three subtract
    :math:`\sum_b \frac{n_b}{N} \frac{s_b^2}{n_b}` and :math:`s^2 / N` (Broecker, 2012; Ferro and
    Fricker, 2012, QJRMS 138).

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].
        bins: Most bins.

    Returns:
        ``None`` for fewer than two items.

    Raises:
        OptionError: For other shapes, values out of range, or fewer than one bin.

    Example:
        >>> d = brier_decomposition(np.array([0.5, 0.5, 1.0, 1.0]), np.array([0.0, 1.0, 1.0, 1.0]))
        >>> d.brier, d.reliability, d.resolution, d.uncertainty
        (0.125, 0.0, 0.0625, 0.1875)
    """
    claimed, found = pairs(confidence, target)
    members = equal_mass_bins(claimed, bins)
    n = len(claimed)
    if n < 2:
        return None
    mean = float(found.mean())
    reliability = resolution = variance = covariance = noise = 0.0
    for bin_ in members:
        c, h = claimed[bin_], found[bin_]
        share = len(bin_) / n
        reliability += share * float((c.mean() - h.mean()) ** 2)
        resolution += share * float((h.mean() - mean) ** 2)
        variance += share * float(c.var())
        covariance += 2 * share * float(((c - c.mean()) * (h - h.mean())).mean())
        noise += share * float(h.var(ddof=1)) / len(bin_)
    disagreement = float((found * (1 - found)).mean())
    overall = float(found.var(ddof=1)) / n
    return BrierDecomposition(
        n,
        len(members),
        float(((claimed - found) ** 2).mean()) + disagreement,
        reliability,
        resolution,
        mean * (1 - mean),
        disagreement,
        variance,
        covariance,
        reliability - noise,
        resolution - noise + overall,
        mean * (1 - mean) + overall,
    )


def classwise(
    shares: NDArray[np.float64], votes: NDArray[np.int64], bins: int = BINS
) -> ClasswiseCalibration:
    r"""Calibration of every label's probability against its share of the votes.

    Confidence :math:`q_{ic}` and target :math:`\hat p_{ic} = v_{ic} / k_i`, label by label (Kull et
    al., 2019, arXiv:1910.12656, with soft targets). The mean of absolute gaps over labels is not
    reported: it grows with noise like the ordinary error.

    Args:
        shares: The model's probabilities, shape ``(N, C)``, in [0, 1].
        votes: Whole numbers, shape ``(N, C)``, at least one vote per item.
        bins: Most bins per label.

    Raises:
        OptionError: For shapes that differ, values out of range, or an item without votes.

    Example:
        >>> c = classwise(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([[2, 2], [4, 0]]))
        >>> [round(g, 12) for g in c.gaps]
        [0.05, -0.05]
    """
    counts = whole_counts(votes, "votes")
    given = np.asarray(shares, dtype=np.float64)
    if given.shape != counts.shape:
        raise OptionError(
            f"shares have the shape {given.shape} and votes {counts.shape}; both are (N, C) over "
            "the same items and labels"
        )
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        raise OptionError("an item has no vote; leave it out of shares and votes")
    truth = counts / totals
    errors = [l2_error(q, p, bins).squared for q, p in zip(given.T, truth.T, strict=True)]
    gaps = (given - truth).mean(axis=0).tolist() if len(given) else [None] * given.shape[1]
    known = [e for e in errors if e is not None]
    value = signed_root(sum(known) / len(known)) if known else None
    return ClasswiseCalibration(len(given), tuple(gaps), tuple(errors), value)


def reliability_diagram(
    confidence: NDArray[np.float64],
    target: NDArray[np.float64],
    clusters: Sequence[Hashable] | None = None,
    *,
    bins: int = BINS,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> tuple[DiagramBin, ...]:
    """The bars of a reliability diagram, from low to high confidence.

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].
        clusters: The speaker of each item; without, each item is taken for independent.
        bins: Most bins.
        level: Nominal coverage of each bin's own interval, in (0, 1); not of all at once.
        replicates: Of the bootstrap over clusters, at least 100.
        seed: Of the replicates.

    Returns:
        The bins of ``equal_mass_bins``; none without items. A bin of one cluster has no limits.

    Raises:
        OptionError: For other shapes, values out of range, or options out of range.

    Example:
        >>> c, h = np.array([0.2, 0.4, 0.7, 0.9]), np.array([0.0, 0.5, 1.0, 0.5])
        >>> [(b.low, round(b.high, 12), b.n, b.mean_target)
        ...  for b in reliability_diagram(c, h, bins=2, seed=1)]
        [(0.0, 0.55, 2, 0.25), (0.55, 1.0, 2, 0.75)]
    """
    claimed, found = pairs(confidence, target)
    index = cluster_codes(clusters, len(claimed), "by_appearance")
    members = equal_mass_bins(claimed, bins)
    inner = [float(claimed[a].max() + claimed[b].min()) / 2 for a, b in itertools.pairwise(members)]
    out = []
    for bin_, low, high in zip(members, [0.0, *inner], [*inner, 1.0], strict=bool(members)):
        numbers = np.unique(index[bin_], return_inverse=True)[1]
        interval = ratio_interval(
            np.bincount(numbers, found[bin_]).astype(np.float64),
            np.bincount(numbers).astype(np.float64),
            level=level,
            replicates=replicates,
            seed=seed,
            low=0.0,
            high=1.0,
        )
        means = float(claimed[bin_].mean()), float(found[bin_].mean())
        out.append(DiagramBin(low, high, len(bin_), *means, interval))
    return tuple(out)
