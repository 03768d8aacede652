r"""From estimates to statements: many p-values, equivalence, and what a design could have found.

Nothing here knows what was measured: the inputs are p-values, or a difference with its standard
error and degrees of freedom (clusters less one; ``None`` for the normal distribution).

``holm``              the chance of any false claim in the family at most alpha
``benjamini_hochberg``  the expected share of false claims among the claims at most alpha
``equivalence``       two one-sided tests against a margin that was stated beforehand
``detectable``        the least difference that a design of this precision finds with given power

A test that could not be made is ``None``: it stays ``None`` and does not enlarge the family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..errors import OptionError


def _checked(p_values: Sequence[float | None]) -> list[float]:
    known = [p for p in p_values if p is not None]
    bad = [p for p in known if not 0 <= p <= 1]
    if bad:
        raise OptionError(f"{bad[0]} is no p-value; it must lie in [0, 1], or be None")
    return known


def _spread(p_values: Sequence[float | None], adjusted: Sequence[float]) -> list[float | None]:
    values = iter(adjusted)
    return [None if p is None else float(next(values)) for p in p_values]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values: reject where at most alpha.

    With m values in rising order, the i-th (from 0) times m - i, made to rise, at most 1. Holds the
    family-wise error under any dependence (Holm, 1979, Scandinavian Journal of Statistics 6).

    Returns:
        In the order given; ``None`` where given.

    Raises:
        OptionError: For a value outside [0, 1].

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        [0.03, None, 0.06, 0.06]
    """
    known = np.array(_checked(p_values), dtype=np.float64)
    order = np.argsort(known, kind="stable")
    steps = known[order] * (len(known) - np.arange(len(known)))
    adjusted = np.empty(len(known))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return _spread(p_values, adjusted.tolist())


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini-Hochberg adjusted p-values: reject where at most the false discovery rate.

    Holds it under independence and positive dependence (Benjamini and Hochberg, 1995, JRSS B 57).

    Returns:
        In the order given; ``None`` where given.

    Raises:
        OptionError: For a value outside [0, 1].

    Example:
        >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
        [0.03, None, 0.04, 0.04]
    """
    known = _checked(p_values)
    adjusted = stats.false_discovery_control(known) if known else []
    return _spread(p_values, [float(p) for p in adjusted])


def _quantile(p: float, df: int | None) -> float:
    return float(stats.norm.ppf(p) if df is None else stats.t.ppf(p, df))


def _tail(x: float, df: int | None) -> float:
    return float(stats.norm.sf(x) if df is None else stats.t.sf(x, df))


def _check_error(standard_error: float, df: int | None) -> None:
    if not (np.isfinite(standard_error) and standard_error >= 0):
        raise OptionError(f"the standard error is {standard_error}; it must be a number, 0 or more")
    if df is not None and df < 1:
        raise OptionError(f"df is {df}; it must be 1 or more, or None for the normal distribution")


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise OptionError(f"{name} is {value}; it must lie between 0 and 1")


def detectable(
    standard_error: float, *, df: int | None = None, alpha: float = 0.05, power: float = 0.8
) -> float:
    r"""Minimum detectable difference of a two-sided test.

    .. math:: (t_{1-\alpha/2} + t_{power}) \, \mathrm{SE}

    Bloom (1995), Evaluation Review 19(5); 2.80 standard errors for 5 % and 80 % under the normal
    distribution. A property of the design: computed from the difference that was found, "observed
    power" says nothing beyond the p-value.

    Args:
        standard_error: Of the difference, 0 or more.
        df: Degrees of freedom; ``None`` for the normal distribution.
        alpha: Two-sided level.
        power: Chance of finding a difference of that size.

    Raises:
        OptionError: For a value out of range.

    Example:
        >>> round(detectable(0.01), 4), round(detectable(0.01, df=9), 4)
        (0.028, 0.0315)
    """
    _check_error(standard_error, df)
    _check_share("alpha", alpha)
    _check_share("power", power)
    return (_quantile(1 - alpha / 2, df) + _quantile(power, df)) * standard_error


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Outcome of two one-sided tests.

    Attributes:
        p_value: The larger of the two one-sided p-values.
        equivalent: Whether it is at most alpha.
        margin: What was asked.
        low: Lower limit of the interval of level 1 - 2 alpha; equivalence says it lies inside the
            margins.
        high: Upper limit.
    """

    p_value: float
    equivalent: bool
    margin: float
    low: float
    high: float


def equivalence(
    difference: float,
    standard_error: float,
    margin: float,
    *,
    df: int | None = None,
    alpha: float = 0.05,
) -> Equivalence:
    """Two one-sided tests (TOST) that a difference lies within plus or minus a margin.

    Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15(6). A large p-value of
    the usual test is no evidence for equality; a small one here is, as far as the margin goes. With
    a standard error of 0 the p-value is 0 inside the margin, 1 outside, and .5 on it.

    Args:
        difference: Estimate.
        standard_error: Of the estimate, 0 or more.
        margin: The largest difference that does not matter, above 0; state it before looking.
        df: Degrees of freedom; ``None`` for the normal distribution.
        alpha: Level of each one-sided test, at most .5.

    Raises:
        OptionError: For a value out of range.

    Example:
        >>> equivalence(0.002, 0.004, 0.01).equivalent, equivalence(0.002, 0.006, 0.01).equivalent
        (True, False)
    """
    _check_error(standard_error, df)
    if not 0 < alpha <= 0.5:
        raise OptionError(f"alpha is {alpha}; it must lie above 0 and be at most 0.5")
    if not (np.isfinite(margin) and margin > 0):
        raise OptionError(f"margin is {margin}; state a number above 0, the largest that is alike")
    room = margin - abs(difference)
    p = _tail(room / standard_error, df) if standard_error else 0.5 - 0.5 * float(np.sign(room))
    reach = _quantile(1 - alpha, df) * standard_error
    return Equivalence(p, p <= alpha, margin, difference - reach, difference + reach)
