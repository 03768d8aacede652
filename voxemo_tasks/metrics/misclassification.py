r"""How a reader of replies errs, and label shares and rates corrected for it.

Conventions
-----------
reader      a judge or verbalizer: one outcome per reply
errors      counts, shape ``(K, K)``: row = what people say that the reply means, column = what the
            reader read. K = C + 1, the last one the non-answer
P           the shares of each row: :math:`P_{ij}` how often the reader reads j where people say i
read        shares of the outcomes that the reader gave, :math:`q`

Correction
----------
What is read is what is there, mixed by the errors: :math:`q = P^\top p`. So

.. math:: \hat p = (P^\top)^{-1} q

(Rogan and Gladen, 1978, for two outcomes; judges: Lee et al., 2025). It holds if the reader errs on
these replies as on the calibration sample, given what the reply means: calibrate per model family,
language and prompt. For a rate, the gold label is known of every utterance and the row of each gold
label is corrected alone, under the same condition: the reader never sees the gold label, so that
its error can only hang on it through the reply.

A reader that confuses two outcomes makes P nearly singular; dividing by nearly nothing gives any
number. Above a condition number of 20 there is no value, only the reason. Where the corrected
shares leave [0, 1], that is reported too: the sample's errors and the replies do not fit together.

Errors
------
Two samples vary, the replies and the calibration sample, and both are in every interval. Where
people audited a part of these very replies, ``voxemo_tasks.metrics.prediction_powered`` needs no
condition on the errors and is the first choice; this is for errors measured elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..errors import LabelSetError, OptionError
from .confusion import Confusion, Policy
from .intervals import Interval, limits, resample, table_rates

__all__ = [
    "CorrectedRate",
    "CorrectedShares",
    "correct_rate",
    "correct_shares",
    "dirichlet_rows",
    "proportion_limits",
    "row_limits",
]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Limits = tuple[float, float]
Exactness = Literal["wilson", "clopper_pearson", "dirichlet"]

MOST_CONDITION = 20.0
"""Condition number of P above which nothing is corrected."""

_PRIOR = 1.0  # observations per row that the draws of P add, spread over its columns


def proportion_limits(
    hits: int, n: int, *, method: Exactness = "wilson", level: float = 0.95, prior: float = 0.5
) -> Limits | None:
    """Limits of a share of independent trials.

    Args:
        hits: Trials that count, 0 to n.
        n: Trials.
        method: ``wilson`` (Wilson, 1927; near the level on average), ``clopper_pearson`` (1934;
            never below the level, so wider) or ``dirichlet``: equal tails of the Beta posterior.
        level: Nominal coverage.
        prior: Of ``dirichlet``, observations added to hits and to misses each; 0.5 is Jeffreys.

    Returns:
        Low and high in [0, 1]; ``None`` for no trials.

    Raises:
        OptionError: For hits outside 0 to n or an option out of range.

    Example:
        >>> [round(v, 4) for v in proportion_limits(8, 10)]
        [0.4902, 0.9433]
        >>> [round(v, 4) for v in proportion_limits(0, 10, method="clopper_pearson")]
        [0.0, 0.3085]
    """
    if not 0 <= hits <= n:
        raise OptionError(f"{hits} hits of {n} trials; hits must lie between 0 and the trials")
    return _beta_limits(hits, n, method, level, prior, prior)


def _beta_limits(
    hits: int, n: int, method: str, level: float, prior: float, prior_rest: float
) -> Limits | None:
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    if prior <= 0:
        raise OptionError(f"prior is {prior}; it must be more than 0")
    if method not in get_args(Exactness):
        raise OptionError(
            f"no method is called {method!r}; allowed: {', '.join(get_args(Exactness))}"
        )
    if not n:
        return None
    tail = (1 - level) / 2
    if method == "wilson":
        z = float(special.ndtri(1 - tail))
        share = hits / n
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
        # At the ends the formula gives exactly 0 and 1, but for rounding.
        low = 0.0 if hits == 0 else middle - reach
        return low, 1.0 if hits == n else middle + reach
    if method == "clopper_pearson":
        low = 0.0 if hits == 0 else float(special.betaincinv(hits, n - hits + 1, tail))
        high = 1.0 if hits == n else float(special.betaincinv(hits + 1, n - hits, 1 - tail))
        return low, high
    a, b = hits + prior, n - hits + prior_rest
    return float(special.betaincinv(a, b, tail)), float(special.betaincinv(a, b, 1 - tail))


def _square(errors: NDArray[np.int64]) -> Counts:
    table = np.asarray(errors)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise OptionError(
            f"errors have the shape {table.shape}; expected (K, K), what people say by what the "
            "reader read, non-answers last in both"
        )
    if table.dtype.kind not in "iu" or (table < 0).any():
        raise OptionError("errors must be whole numbers, 0 or more")
    return table.astype(np.int64)


def row_limits(
    errors: NDArray[np.int64],
    *,
    method: Exactness = "wilson",
    level: float = 0.95,
    prior: float = 0.5,
) -> list[list[Limits | None]]:
    """Limits of every cell of P, each cell on its own.

    Args:
        errors: Counts, shape ``(K, K)``.
        method: As in ``proportion_limits``; ``dirichlet`` takes the margins of a Dirichlet
            posterior of the row, ``prior`` per cell.
        level: Nominal coverage of each cell, not of all together.
        prior: Per cell of a row.

    Returns:
        Low and high by row and column; ``None`` throughout a row without replies.

    Raises:
        OptionError: For another shape, or an option out of range.

    Example:
        >>> row_limits(np.array([[8, 2], [0, 0]]))[1]
        [None, None]
    """
    table = _square(errors)
    rest = prior * (len(table) - 1)
    return [
        [_beta_limits(int(v), int(row.sum()), method, level, prior, rest) for v in row]
        for row in table
    ]


def dirichlet_rows(
    errors: NDArray[np.int64], draws: int, rng: np.random.Generator, *, prior: float = 0.5
) -> Floats:
    """Draws of P, each row from its Dirichlet posterior.

    Args:
        errors: Counts, shape ``(K, K)``.
        draws: How many, B.
        rng: Seeded generator.
        prior: Added to each count, more than 0.

    Returns:
        Shape ``(B, K, K)``, rows adding to 1. A row without replies is drawn from the prior.

    Example:
        >>> rows = dirichlet_rows(np.array([[8, 2], [1, 9]]), 5, np.random.default_rng(1))
        >>> rows.shape, bool(np.allclose(rows.sum(axis=2), 1))
        ((5, 2, 2), True)
    """
    if prior <= 0:
        raise OptionError(f"prior is {prior}; it must be more than 0")
    gammas = rng.standard_gamma(_square(errors) + prior, size=(draws, *np.shape(errors)))
    return np.asarray(gammas / gammas.sum(axis=2, keepdims=True), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class CorrectedShares:
    """Shares of the outcomes as people would have read the replies.

    Attributes:
        shares: Corrected, on the simplex, length K; ``None`` where nothing can be corrected.
        exact: The solution itself, which may leave [0, 1].
        read: What the reader gave.
        error: Standard errors of ``exact`` (delta method), length K.
        limits: Low and high per outcome, clipped to [0, 1].
        condition: Condition number of P; ``None`` with an outcome that no calibration reply has.
        n: Replies.
        n_calibration: Replies that people read too.
        reason: Why there are no shares; or, beside shares, what is doubtful about them.
    """

    shares: tuple[float, ...] | None
    exact: tuple[float, ...] | None
    read: tuple[float, ...] | None
    error: tuple[float, ...] | None
    limits: tuple[Limits, ...] | None
    condition: float | None
    n: int
    n_calibration: int
    reason: str | None = None


def _mixing(table: Counts, most: float) -> tuple[Floats | None, float | None, str | None]:
    """P, its condition number, and why it cannot be used."""
    sizes = table.sum(axis=1)
    if (sizes == 0).any():
        missing = int((sizes == 0).argmax())
        return None, None, f"no calibration reply means outcome {missing}; audit some, or merge it"
    mixing = table / sizes[:, None]
    condition = float(np.linalg.cond(mixing))
    if not condition <= most:
        return (
            None,
            condition if np.isfinite(condition) else None,
            f"the errors cannot be undone: condition number {condition:.3g}, allowed {most:g}; "
            "the reader confuses outcomes, merge them or use another reader",
        )
    return mixing, condition, None


def to_simplex(values: NDArray[np.float64]) -> Floats:
    """The nearest shares (Euclidean) that are not negative and add to 1.

    Source: Duchi et al. (2008), algorithm of figure 1.

    Example:
        >>> to_simplex(np.array([1.1, 0.1, -0.2]))
        array([1., 0., 0.])
    """
    falling = np.sort(values)[::-1]
    excess = (falling.cumsum() - 1) / np.arange(1, len(values) + 1)
    return np.asarray(np.maximum(values - excess[int((falling > excess).sum()) - 1], 0.0))


def correct_shares(
    read: Sequence[int],
    errors: NDArray[np.int64],
    *,
    level: float = 0.95,
    most_condition: float = MOST_CONDITION,
) -> CorrectedShares:
    r"""Correct how often each outcome occurs.

    The error is that of the solution, by the delta method:

    .. math:: \Sigma = A \Big( \frac{\Sigma_q}{N} + \sum_i p_i^2 \frac{\Sigma_{P_i}}{n_i} \Big)
              A^\top, \quad A = (P^\top)^{-1}

    with multinomial :math:`\Sigma_q` and :math:`\Sigma_{P_i}`; replies are taken for independent.

    Args:
        read: How many replies the reader gave each outcome, length K.
        errors: Counts of the calibration sample, shape ``(K, K)``.
        level: Nominal coverage.
        most_condition: Condition number of P above which nothing is corrected.

    Returns:
        Shares ``None``, and the reason, without replies, with an outcome that no calibration reply
        has, or with errors that cannot be undone.

    Raises:
        OptionError: For other shapes or counts, or an option out of range.

    Example:
        >>> c = correct_shares([40, 60], np.array([[90, 10], [20, 80]]))
        >>> [round(v, 4) for v in c.shares]  # (.4 - .2) / (.9 - .2)
        [0.2857, 0.7143]
        >>> correct_shares([40, 60], np.array([[5, 5], [5, 5]])).shares is None
        True
    """
    table = _square(errors)
    counts = np.asarray(list(read), dtype=np.int64)
    if counts.shape != (len(table),) or (counts < 0).any():
        raise OptionError(f"read is {list(read)}; expected {len(table)} counts, 0 or more")
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    n, calibrated = int(counts.sum()), int(table.sum())
    mixing, condition, reason = _mixing(table, most_condition)
    if not n:
        reason = "no replies"
    q = counts / n if n else counts.astype(np.float64)
    if mixing is None or reason is not None:
        given = tuple(q.tolist()) if n else None
        return CorrectedShares(None, None, given, None, None, condition, n, calibrated, reason)
    undo = np.linalg.inv(mixing.T)
    exact = undo @ q
    spread = (np.diag(q) - np.outer(q, q)) / n
    for share, row, size in zip(exact, mixing, table.sum(axis=1), strict=True):
        spread = spread + share**2 * (np.diag(row) - np.outer(row, row)) / size
    error = np.sqrt(np.maximum(np.diagonal(undo @ spread @ undo.T), 0.0))
    reach = float(special.ndtri(1 - (1 - level) / 2)) * error
    low, high = (np.clip(v, 0.0, 1.0).tolist() for v in (exact - reach, exact + reach))
    outside = bool((exact < -2 * error).any() or (exact > 1 + 2 * error).any())
    return CorrectedShares(
        shares=tuple(to_simplex(exact).tolist()),
        exact=tuple(exact.tolist()),
        read=tuple(q.tolist()),
        error=tuple(error.tolist()),
        limits=tuple(zip(low, high, strict=True)),
        condition=condition,
        n=n,
        n_calibration=calibrated,
        reason="the solution leaves [0, 1] by more than its error: the calibration sample does not "
        "fit these replies"
        if outside
        else None,
    )


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """A hard-label rate as people would have read the replies.

    Attributes:
        value: In [0, 1]; ``None`` where nothing can be corrected.
        interval: Of the value, with the errors of both samples.
        read: The rate that the reader gave; ``None`` where it does not exist.
        condition: Condition number of P; ``None`` with an outcome that no calibration reply has.
        n: Replies.
        n_calibration: Replies that people read too.
        reason: Why there is no value; ``None`` where there is one.
    """

    value: float | None
    interval: Interval
    read: float | None
    condition: float | None
    n: int
    n_calibration: int
    reason: str | None = None


def correct_rate(
    read_by_cluster: Sequence[Confusion],
    errors: NDArray[np.int64],
    metric: str,
    *,
    policy: Policy = "strict",
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
    most_condition: float = MOST_CONDITION,
) -> CorrectedRate:
    """Correct a rate: each gold label's row of readings, then the rate of the corrected table.

    A replicate redraws the clusters and draws P anew, each row from a Dirichlet distribution with
    its counts and one more reply spread over the columns: a row where the reader never erred may
    still err. Replicates whose P cannot be undone are left out; where that is one in twenty or
    more, there is no interval.

    Args:
        read_by_cluster: Gold label against reading, one confusion per speaker, or one for all.
        errors: Counts of the calibration sample, shape ``(C + 1, C + 1)``, non-answers last.
        metric: A name of ``HARD_METRICS``, e.g. ``uar``, ``wa``, ``coverage``.
        policy: How non-answers count.
        level: Nominal coverage.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.
        most_condition: Condition number of P above which nothing is corrected.

    Raises:
        LabelSetError: For errors over another number of outcomes than the confusions.
        OptionError: For other counts, or an option out of range.
        UnknownNameError: For another metric.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[60, 30, 10], [20, 70, 10]]))
        >>> errors = np.array([[45, 5, 0], [5, 45, 0], [0, 0, 50]])
        >>> r = correct_rate([c], errors, "uar", seed=1)
        >>> round(r.value, 4), round(r.read, 4), r.interval.low < r.value < r.interval.high
        (0.7, 0.65, True)
    """
    table = _square(errors)
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    if replicates < 100:
        raise OptionError(f"replicates is {replicates}; an interval needs at least 100")
    clusters = [c for c in read_by_cluster if c.counts.any()]
    for cluster in clusters:
        if len(cluster.labels) + 1 != len(table):
            raise LabelSetError(
                f"errors have {len(table)} outcomes, the confusions {len(cluster.labels)} labels "
                "and the non-answer; calibrate on the same label set"
            )
    n, calibrated = sum(int(c.counts.sum()) for c in clusters), int(table.sum())
    none = Interval(None, None, level, "none", len(clusters), 0, "there is no value")
    if not clusters:
        return CorrectedRate(None, none, None, None, 0, calibrated, "no replies")
    pooled = np.sum([c.counts for c in clusters], axis=0).astype(np.float64)
    plain = float(table_rates(pooled[None], metric, policy)[0])
    read = None if np.isnan(plain) else plain
    mixing, condition, reason = _mixing(table, most_condition)
    if mixing is None:
        return CorrectedRate(None, none, read, condition, n, calibrated, reason)
    value = float(table_rates((pooled @ np.linalg.inv(mixing))[None], metric, policy)[0])
    if np.isnan(value):
        reason = f"{metric} is undefined for the corrected counts"
        return CorrectedRate(None, none, read, condition, n, calibrated, reason)
    tables = resample(clusters, replicates=replicates, seed=seed)
    rng = np.random.default_rng([seed, 1])
    drawn = dirichlet_rows(table, replicates, rng, prior=_PRIOR / len(table))
    usable = np.linalg.cond(drawn) <= 2 * most_condition
    corrected = tables[usable] @ np.linalg.inv(drawn[usable])
    rates = table_rates(corrected, metric, policy)
    rates = rates[~np.isnan(rates)]
    interval = none
    if len(rates) > 0.95 * replicates:
        method, low, high = limits(value, rates, len(clusters), level)
        low, high = max(0.0, min(1.0, low)), max(0.0, min(1.0, high))
        interval = Interval(low, high, level, method, len(clusters), len(rates))
    else:
        lost = f"{replicates - len(rates)} of {replicates} replicates cannot be corrected"
        interval = Interval(None, None, level, "none", len(clusters), len(rates), lost)
    bounded = max(0.0, min(1.0, value))
    return CorrectedRate(bounded, interval, read, condition, n, calibrated)
