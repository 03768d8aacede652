r"""Smooth calibration error, and whether it is more than chance.

Bins have edges, and an error that depends on where they lie. The smooth error replaces them by a
kernel whose width is found, not chosen (Blasiok and Nakkiran, 2023, arXiv:2309.12236). It is never
negative and biased upwards: .08 at n = 50 and .02 at n = 2000 where there is no miscalibration. So
it is always returned with what chance alone gives (``by_chance``) and a p value, and is no number
to compare cultures of different size with.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.sparse import csr_array

from ..errors import OptionError
from .calibration import pairs
from .clusters import cluster_codes

__all__ = ["SmoothError", "smooth_error"]

Floats = NDArray[np.float64]

_GRID = 1000
_STEPS = 24  # bisections: the width is known to 1e-7
_CHUNK = 4_000_000  # draws held at once (32 MB)


@dataclass(frozen=True, slots=True)
class SmoothError:
    """Smooth calibration error with its consistency test.

    Attributes:
        n: Items.
        value: In [0, 1]; ``None`` without items.
        by_chance: Its mean over the replicates, in which the confidences are right.
        p_value: Of the null that they are, in [1/(replicates + 1), 1].
        replicates: How many; ``by_chance`` and ``p_value`` are ``None`` for 0.
        method: ``consistency`` (independent items), ``sign_flip`` (clusters) or ``none``.
    """

    n: int
    value: float | None
    by_chance: float | None
    p_value: float | None
    replicates: int
    method: str


def _spreader(confidence: Floats) -> csr_array:
    """Puts each item's value onto its two neighbouring grid points, shape ``(GRID, N)``."""
    n = len(confidence)
    place = np.clip(confidence * _GRID - 0.5, 0, _GRID - 1)
    left = np.minimum(place.astype(np.int64), _GRID - 2)
    right_part = place - left
    rows = np.concatenate([left, left + 1])
    parts = np.concatenate([1 - right_part, right_part])
    items = np.tile(np.arange(n), 2)
    return csr_array((parts, (rows, items)), shape=(_GRID, n))


def _fixed_points(residuals: Floats) -> Floats:
    """The width at which the smoothed residuals weigh as much as the width, per row.

    The reflected Gaussian kernel on [0, 1] has the cosines as eigenfunctions, so that smoothing is
    a multiplication. The smoothed mass never grows with the width: the crossing is bisected.
    """
    waves = dct(residuals, type=2, norm="ortho", axis=-1)
    squares = (np.pi * np.arange(residuals.shape[-1])) ** 2

    def mass(width: Floats) -> Floats:
        damped = waves * np.exp(-0.5 * width[:, None] ** 2 * squares)
        return np.asarray(np.abs(idct(damped, type=2, norm="ortho", axis=-1)).sum(axis=-1))

    low = np.full(len(residuals), 1 / residuals.shape[-1])
    high = np.ones(len(residuals))
    least = mass(low)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = mass(middle) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(least <= 1 / residuals.shape[-1], least, mass((low + high) / 2))


def smooth_error(
    confidence: NDArray[np.float64],
    target: NDArray[np.float64],
    clusters: Sequence[Hashable] | None = None,
    *,
    replicates: int = 199,
    seed: int,
) -> SmoothError:
    r"""Smooth expected calibration error, smECE, with a test of calibration.

    With the residual mass :math:`r(t) = \frac{1}{N} \sum_i (h_i - c_i) \, K_\sigma(t, c_i)` under a
    Gaussian kernel reflected at 0 and 1, the error is the :math:`\sigma` at which

    .. math:: \int_0^1 |r(t)| \, dt = \sigma .

    On a grid of 1000 points; ``relplot`` gives the same to 1e-3.

    The test draws the targets anew with the confidences as their means and compares
    (Broecker and Smith, 2007, Weather Forecast. 22). Right or wrong are Bernoulli draws. Shares of
    votes vary less, by an amount that depends on the number of votes and on how the true shares
    vary; both enter through one number, :math:`v = \sum (h - c)^2 / \sum c (1 - c)`, at most 1, and
    the draws are beta variates of variance :math:`v c (1 - c)`. Given clusters, the residuals of a
    cluster change sign together instead, which keeps their dependence; with G clusters that makes
    :math:`2^{G-1}` different replicates, so fewer than 6 clusters cannot reach .05.

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].
        clusters: The speaker of each item; without, each item is taken for independent.
        replicates: Of the test; 0 for the value alone.
        seed: Of the replicates.

    Returns:
        Without items, no value; the p value counts the data as one of the replicates.

    Raises:
        OptionError: For other shapes, values out of range, or a negative number of replicates.

    Example:
        >>> c = np.full(400, 0.8)
        >>> e = smooth_error(c, np.repeat([1.0, 0.0], 200), seed=1)  # claims .8, is right half the time
        >>> round(e.value, 3), e.p_value
        (0.3, 0.005)
    """
    claimed, found = pairs(confidence, target)
    if replicates < 0:
        raise OptionError(f"replicates is {replicates}; it must be 0 or more, e.g. 199")
    n = len(claimed)
    if not n:
        return SmoothError(0, None, None, None, 0, "none")
    spreader = _spreader(claimed) / n
    residuals = found - claimed
    value = float(_fixed_points((spreader @ residuals)[None])[0])
    if not replicates:
        return SmoothError(n, value, None, None, 0, "none")
    rng = np.random.default_rng(seed)
    index = None if clusters is None else cluster_codes(clusters, n, "by_appearance")
    drawn = np.empty(replicates)
    step = max(1, _CHUNK // max(n, _GRID))
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        if index is None:
            noise = _calibrated(claimed, residuals, rows, rng) - claimed
        else:
            noise = residuals * rng.choice([-1.0, 1.0], size=(rows, int(index.max()) + 1))[:, index]
        drawn[start : start + rows] = _fixed_points((spreader @ noise.T).T)
    # A replicate that repeats the data differs from it by rounding.
    beaten = int((drawn >= value * (1 - 1e-9) - 1e-15).sum())
    method = "consistency" if index is None else "sign_flip"
    p_value = (1 + beaten) / (replicates + 1)
    return SmoothError(n, value, float(drawn.mean()), p_value, replicates, method)


def _calibrated(claimed: Floats, residuals: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Targets whose means are the confidences, as spread out as the data's; ``(rows, N)``."""
    possible = float((claimed * (1 - claimed)).sum())
    spread = min(1.0, float((residuals**2).sum()) / possible) if possible > 0 else 1.0
    shape = (rows, len(claimed))
    if spread > 1 - 1e-6:
        return (rng.random(shape) < claimed).astype(np.float64)
    if spread < 1e-6:
        return np.broadcast_to(claimed, shape)
    precision = (1 - spread) / spread
    # A beta with a parameter of zero is a point; numpy refuses it.
    inner = np.clip(claimed, 1e-9, 1 - 1e-9)
    return rng.beta(precision * inner, precision * (1 - inner), size=shape)
