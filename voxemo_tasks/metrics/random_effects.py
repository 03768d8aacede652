r"""Random effects: what k groups have in common, how far they differ, and what a new one may show.

Each group (a culture, a corpus) has an estimate :math:`y_i` with standard error :math:`s_i` of a
true value that itself varies between groups:

.. math:: y_i \sim N(\theta_i, s_i^2), \qquad \theta_i \sim N(\mu, \tau^2), \qquad
          w_i = 1 / (s_i^2 + \tau^2)

tau         the between-group standard deviation, in the unit of the estimates: how far cultures
            really differ, with the noise of small ones taken out
interval    where :math:`\mu` lies
prediction  where the true value of a further group from the same population lies; the honest
            answer to "will it hold in the next corpus"
shrunk      the best guess of each :math:`\theta_i`: an estimate moved towards :math:`\mu`, the
            further the less its group says

Shrinking lowers the error of small groups' gaps by .4 at n = 40 and .2 at n = 100, and changes
nothing from about n = 1000 on.

Sources: Paule and Mandel (1982), J. Res. NBS 87; Viechtbauer (2007), Stat. Med. 26 (Q-profile);
Hartung and Knapp (2001), Stat. Med. 20; Roever et al. (2015), BMC Med. Res. Methodol. 15 (never
shorter than without it); Higgins et al. (2009), JRSS A 172 (prediction interval); Morris (1983),
JASA 78 (empirical Bayes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri, stdtrit

from ..errors import OptionError

__all__ = ["RandomEffects", "random_effects"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RandomEffects:
    """A random-effects summary of k groups; limits are at ``level``.

    Attributes:
        k: Groups.
        level: Nominal coverage of every interval here.
        mean: The pooled mean :math:`\\hat\\mu`.
        low: Lower limit of the mean; ``None`` for one group.
        high: Upper limit of the mean; ``None`` for one group.
        tau2: Between-group variance, at least 0; ``None`` for one group.
        tau2_low: Its lower limit; ``None`` for one group.
        tau2_high: Its upper limit; ``None`` for one group. Both are 0 where the estimates lie
            closer together than their standard errors can explain.
        prediction_low: Lower limit for a new group; ``None`` for fewer than three groups.
        prediction_high: Upper limit for a new group; ``None`` for fewer than three groups.
        i2: Share of the variation that is between groups, in [0, 1]; ``None`` for one group.
        shrunk: Estimate of each group, moved towards the mean.
        shrunk_errors: Its standard error, that of the mean included.
        reason: Why something is ``None``; ``None`` where nothing is.
    """

    k: int
    level: float
    mean: float
    low: float | None
    high: float | None
    tau2: float | None
    tau2_low: float | None
    tau2_high: float | None
    prediction_low: float | None
    prediction_high: float | None
    i2: float | None
    shrunk: tuple[float, ...]
    shrunk_errors: tuple[float, ...]
    reason: str | None = None


def _pooled(estimates: Floats, variances: Floats, tau2: float) -> tuple[float, float, float]:
    """Mean, its variance, and Cochran's Q at a given between-group variance.

    Groups without any variance are the limit of infinite weight: they are the mean, and Q is
    infinite where they differ.
    """
    total = variances + tau2
    exact = total == 0
    if exact.any():
        mean = float(estimates[exact].mean())
        if np.ptp(estimates[exact]) > 0:
            return mean, 0.0, float("inf")
        rest = ~exact
        return mean, 0.0, float(((estimates[rest] - mean) ** 2 / total[rest]).sum())
    weights = 1 / total
    mean = float((weights * estimates).sum() / weights.sum())
    spread = float((weights * (estimates - mean) ** 2).sum())
    return mean, float(1 / weights.sum()), spread


def _tau2_where(estimates: Floats, variances: Floats, q: float) -> float:
    """The between-group variance at which Q falls to ``q``; 0 where it starts below."""
    if _pooled(estimates, variances, 0.0)[2] <= q:
        return 0.0
    # Q at tau2 is at most the sum of squares over tau2, which brackets the root from above.
    upper = float(((estimates - estimates.mean()) ** 2).sum()) / q * (1 + 1e-9)
    root = brentq(
        lambda t: min(_pooled(estimates, variances, t)[2], 1e300) - q,
        0.0,
        upper,
        xtol=upper * 1e-15,
        rtol=1e-14,
        maxiter=500,
    )
    return float(root)


def random_effects(
    estimates: NDArray[np.float64], standard_errors: NDArray[np.float64], *, level: float = 0.95
) -> RandomEffects:
    r"""Paule-Mandel random effects with shrunk estimates and a prediction interval.

    :math:`\hat\tau^2` makes :math:`Q(\tau^2) = \sum w_i (y_i - \hat\mu)^2` equal to its expectation
    k - 1 (0 where Q(0) is already smaller); its limits make Q equal to the quantiles of
    :math:`\chi^2_{k-1}`. With :math:`B_i = s_i^2 / (s_i^2 + \hat\tau^2)` and the variance
    :math:`\hat V = \max(1, Q / (k-1)) / \sum w_i` of the mean::

        mean         mu +- t(k-1) sqrt(V)
        prediction   mu +- t(k-2) sqrt(tau2 + V)
        shrunk       B mu + (1 - B) y,  variance (1 - B) s^2 + B^2 V

    Intervals take :math:`\hat\tau^2` as if it were known. The one that suffers is the prediction
    interval: with ten groups and an estimate that is often 0 it held .91 of its .95 in simulation
    (Partlett and Riley, 2017, Stat. Med. 36).

    At :math:`\hat\tau^2` the factor of Hartung and Knapp, Q / (k-1), is 1 wherever
    :math:`\hat\tau^2 > 0`; where it is 0 the factor would shorten the interval, and is held at 1.

    Args:
        estimates: One per group, shape ``(k,)``, finite.
        standard_errors: Of each, shape ``(k,)``, at least 0; 0 claims that the group is known
            exactly, which a small group without variation is not.
        level: Nominal coverage, in (0, 1).

    Returns:
        For one group its estimate, unshrunk, and no interval: one group does not say how groups
        differ. For two no prediction interval: t with 0 degrees of freedom does not exist.

    Raises:
        OptionError: For no group, other shapes, values that are not finite, or a level out of range.

    Example:
        >>> r = random_effects(np.array([0.0, 0.2, 0.4]), np.array([0.1, 0.1, 0.1]))
        >>> round(r.mean, 12), round(r.tau2, 12)  # sample variance .04 less .01
        (0.2, 0.03)
        >>> [round(s, 12) for s in r.shrunk]  # B = 1/4
        [0.05, 0.2, 0.35]
        >>> r.prediction_low < r.low < r.high < r.prediction_high
        True
    """
    values = np.asarray(estimates, dtype=np.float64)
    errors = np.asarray(standard_errors, dtype=np.float64)
    if values.ndim != 1 or errors.shape != values.shape or not len(values):
        raise OptionError(
            f"estimates have the shape {values.shape} and standard errors {errors.shape}; expected "
            "(k,) twice, at least one group"
        )
    if not (np.isfinite(values).all() and np.isfinite(errors).all() and (errors >= 0).all()):
        raise OptionError(
            "estimates must be finite and standard errors finite and not negative; leave a group "
            "without a value out"
        )
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    k = len(values)
    if k == 1:
        only, error = float(values[0]), float(errors[0])
        none = (None,) * 8
        reason = "one group; how groups differ needs two, a prediction interval three"
        return RandomEffects(1, level, only, *none, (only,), (error,), reason)
    variances = errors**2
    tail = (1 - level) / 2
    tau2 = _tau2_where(values, variances, k - 1)
    tau2_low = _tau2_where(values, variances, float(chdtri(k - 1, tail)))
    tau2_high = _tau2_where(values, variances, float(chdtri(k - 1, 1 - tail)))
    mean, variance, spread = _pooled(values, variances, tau2)
    if np.isfinite(spread) and tau2 == 0:
        variance *= max(1.0, spread / (k - 1))
    reach = float(stdtrit(k - 1, 1 - tail)) * variance**0.5
    predicted = None
    if k > 2:
        predicted = float(stdtrit(k - 2, 1 - tail)) * (tau2 + variance) ** 0.5
    total = variances + tau2
    kept = np.divide(variances, total, out=np.zeros(k), where=total > 0)
    shrunk = kept * mean + (1 - kept) * values
    shrunk_errors = np.sqrt((1 - kept) * variances + kept**2 * variance)
    q0 = _pooled(values, variances, 0.0)[2]
    i2 = 1.0 if np.isinf(q0) else max(0.0, 1 - (k - 1) / q0) if q0 > 0 else 0.0
    return RandomEffects(
        k,
        level,
        mean,
        mean - reach,
        mean + reach,
        tau2,
        tau2_low,
        tau2_high,
        None if predicted is None else mean - predicted,
        None if predicted is None else mean + predicted,
        i2,
        tuple(shrunk.tolist()),
        tuple(shrunk_errors.tolist()),
        "two groups; a prediction interval needs three" if k == 2 else None,
    )
