r"""Temperature scaling: how much sharper or flatter would the model have to be?

Conventions
-----------
log shares   per item, log-probabilities of the labels, ``(N, C)``, up to a constant per item
votes        per item, human votes per label, ``(N, C)``: the target is the whole distribution. A
             temperature fitted to majority labels comes out too small (.41 where the truth is 1,
             CREMA-D): it sharpens away the disagreement of humans
temperature  T divides the log shares: :math:`q_c \propto \exp(z_c / T)`. Above 1 the model was
             over-confident. The order of the labels, and so every hard rate, stays
NLL          mean cross-entropy of the votes' shares under q, in nats, never below their entropy
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ..errors import OptionError
from .clusters import cluster_codes
from .confidence import whole_counts

__all__ = [
    "HIGHEST",
    "LOWEST",
    "Temperature",
    "checked_shares",
    "fit_checked",
    "fit_temperature",
    "scale",
    "smoothed_log_shares",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LOWEST, HIGHEST = 0.05, 20.0
"""A temperature outside these is no estimate."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """A fitted temperature.

    Attributes:
        n: Items it was fitted to.
        value: T, in (LOWEST, HIGHEST); ``None`` where there is none.
        log_error: Standard error of log T, robust to clusters; ``None`` for fewer than two
            clusters.
        reason: Why there is no value.
    """

    n: int
    value: float | None
    log_error: float | None
    reason: str | None = None


def smoothed_log_shares(counts: NDArray[np.int64], alpha: float = 0.5) -> Floats:
    r"""Log shares of generation counts, with additive smoothing.

    .. math:: z_c = \log \frac{n_c + \alpha}{\sum_j n_j + \alpha C}

    A label that was never generated has the log share minus infinity, which no temperature can
    mend; alpha .5 is the suite's registered smoothing (Krichevsky and Trofimov, 1981). Likelihoods
    need none: pass their logarithm.

    Args:
        counts: Generations per label, shape ``(N, C + 1)``; the non-answers, last, are left out.
        alpha: Above 0.

    Returns:
        Shape ``(N, C)``; equal values for an item without answers.

    Raises:
        OptionError: For another shape, counts that are no counts, or alpha not above 0.

    Example:
        >>> np.exp(smoothed_log_shares(np.array([[3, 0, 1], [0, 0, 4]])))
        array([[0.875, 0.125],
               [0.5  , 0.5  ]])
    """
    if not alpha > 0:
        raise OptionError(f"alpha is {alpha}; smoothing needs a number above 0, e.g. 0.5")
    given = whole_counts(counts, "generation counts")
    if given.shape[1] < 2:
        raise OptionError(
            f"generation counts have the shape {given.shape}; expected (N, C + 1) with the "
            "non-answers last"
        )
    smoothed = given[:, :-1] + alpha
    return np.asarray(np.log(smoothed / smoothed.sum(axis=1, keepdims=True)), dtype=np.float64)


def scale(
    log_shares: NDArray[np.float64], temperature: float | NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities and their logarithms at a temperature.

    Args:
        log_shares: Shape ``(N, C)``, finite.
        temperature: Above 0; one, or one per item, shape ``(N,)``.

    Returns:
        Probabilities and log-probabilities, shape ``(N, C)`` each.

    Example:
        >>> scale(np.log([[0.8, 0.2]]), 0.5)[0].round(6)  # .64 : .04
        array([[0.941176, 0.058824]])
    """
    divided = log_shares / np.reshape(temperature, (-1, 1))
    divided = divided - divided.max(axis=1, keepdims=True)
    log_q = divided - np.log(np.exp(divided).sum(axis=1, keepdims=True))
    return np.exp(log_q), log_q


def fit_temperature(
    log_shares: NDArray[np.float64],
    votes: NDArray[np.int64],
    clusters: Sequence[Hashable] | None = None,
) -> Temperature:
    r"""The temperature with the lowest NLL of the votes' shares.

    In :math:`\beta = 1/T` the NLL is convex, and its derivative
    :math:`\frac{1}{N} \sum_i (\mathrm{E}_{q_i}[z] - \mathrm{E}_{\hat p_i}[z])` never falls: the root
    is the only minimum (Guo et al., 2017, arXiv:1706.04599). The standard error of log T is the
    sandwich over clusters.

    Args:
        log_shares: Shape ``(N, C)``, finite.
        votes: Whole numbers, shape ``(N, C)``, at least one vote per item.
        clusters: The speaker of each item; without, each item is taken for independent.

    Returns:
        No value, and the reason, without items, where every item gives all labels alike (T does not
        matter), or where the minimum lies outside [LOWEST, HIGHEST].

    Raises:
        OptionError: For shapes that differ, values that are not finite, or an item without votes.

    Example:
        >>> z = np.log([[0.8, 0.2], [0.8, 0.2]])
        >>> round(fit_temperature(z, np.array([[2, 1], [2, 1]])).value, 12)  # log 4 / log 2
        2.0
    """
    scores, truth = checked_shares(log_shares, votes)
    return fit_checked(scores, truth, cluster_codes(clusters, len(scores), "by_appearance"))


def checked_shares(
    log_shares: NDArray[np.float64], votes: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Log shares with a maximum of 0 per item, and the votes' shares.

    Raises:
        OptionError: As ``fit_temperature``.
    """
    scores = np.asarray(log_shares, dtype=np.float64)
    counts = whole_counts(votes, "votes")
    if scores.shape != counts.shape:
        raise OptionError(
            f"log shares have the shape {scores.shape} and votes {counts.shape}; both are (N, C) "
            "over the same items and labels"
        )
    if not np.isfinite(scores).all():
        raise OptionError(
            "log shares must be finite; smooth generation counts (smoothed_log_shares), and give "
            "a label without probability mass a small one"
        )
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        raise OptionError("an item has no vote; leave it out of log shares and votes")
    # Only differences within an item matter; the maximum at 0 keeps exp in range.
    return scores - scores.max(axis=1, keepdims=True), counts / totals


def fit_checked(scores: Floats, truth: Floats, index: Ints) -> Temperature:
    """``fit_temperature`` of what ``checked_shares`` returned, with clusters numbered from 0."""
    n = len(scores)
    if not n:
        return Temperature(0, None, None, "no items")
    if (np.ptp(scores, axis=1) == 0).all():
        return Temperature(n, None, None, "every item gives all labels alike")
    wanted = (truth * scores).sum(axis=1)

    def slope(beta: float) -> float:
        return float(((scale(scores, 1 / beta)[0] * scores).sum(axis=1) - wanted).mean())

    first, last = 1 / HIGHEST, 1 / LOWEST
    if slope(first) >= 0:
        return Temperature(n, None, None, f"the votes call for T above {HIGHEST}")
    if slope(last) <= 0:
        return Temperature(n, None, None, f"the votes call for T below {LOWEST}")
    beta = float(brentq(slope, first, last, xtol=1e-13, rtol=1e-13))
    q = scale(scores, 1 / beta)[0]
    expected = (q * scores).sum(axis=1)
    curvature = beta * float(((q * scores**2).sum(axis=1) - expected**2).sum())
    sums = np.bincount(np.unique(index, return_inverse=True)[1], expected - wanted)
    error = None
    if len(sums) > 1 and curvature > 0:
        error = float((len(sums) / (len(sums) - 1) * (sums**2).sum()) ** 0.5 / curvature)
    return Temperature(n, 1 / beta, error)
