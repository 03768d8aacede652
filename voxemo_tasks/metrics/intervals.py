r"""Intervals for hard-label rates: a bootstrap that resamples counts, not utterances.

Conventions
-----------
cluster     the utterances of one speaker, as one confusion; speakers are what a corpus sampled, so
            speakers are what is redrawn
replicate   one confusion summed over G clusters drawn with replacement
table       a float array ``(..., C, C + 1)`` of such counts; every rate is computed for all
            replicates at once, NaN where its denominator is zero

Drawing clusters and adding up their counts gives exactly the distribution of drawing their
utterances and counting again, at a cost that does not depend on the number of utterances. Where no
clusters are known, one multinomial draw of the pooled counts is exactly the bootstrap over
utterances; it takes them for independent, and is too narrow where speakers differ.

Which interval
--------------
G >= 30     percentiles of the replicates (Efron, 1979; clusters: Davison and Hinkley, 1997, 3.8)
1 < G < 30  :math:`\hat\theta \pm t_{G-1} \sqrt{G / (G-1)} \, s^*` with the standard deviation
            :math:`s^*` of the replicates: a bootstrap over G clusters is short by
            :math:`\sqrt{(G-1)/G}`, and few clusters need Student's t (Cameron and Miller, 2015)
G = 1       the bootstrap over utterances, percentiles

All are clipped to [0, 1]. A rate that every replicate gives alike (all right, all wrong) gets an
interval of no width, which says that the data show no variation, not that there is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..errors import OptionError, UnknownNameError
from .confusion import Confusion, Policy, require_same_labels
from .hard import HARD_METRICS

Table = NDArray[np.float64]

MANY_CLUSTERS = 30
"""From this number of clusters on, percentiles hold their level without Student's t."""

_CHUNK = 4_000_000  # cluster draws held at once (32 MB)


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, or why there is none.

    Attributes:
        low: Lower limit in [0, 1]; ``None`` without an interval.
        high: Upper limit in [0, 1]; ``None`` without an interval.
        level: Nominal coverage, e.g. 0.95.
        method: ``cluster_bootstrap_t``, ``cluster_bootstrap_percentile``,
            ``iid_bootstrap_percentile`` or ``none``.
        n_clusters: Clusters that hold utterances; 1 where none are known.
        replicates: Replicates in which the rate is defined, the ones used.
        reason: Why there is no interval; ``None`` where there is one.
    """

    low: float | None
    high: float | None
    level: float
    method: str
    n_clusters: int
    replicates: int
    reason: str | None = None


def _share(numerator: Table, denominator: Table) -> Table:
    """Numerator over denominator; NaN where that is zero."""
    shares = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=shares, where=denominator > 0)
    return shares


def _mean_where(values: Table, occurs: NDArray[np.bool_]) -> Table:
    """Mean over the labels that occur; one without a value of its own counts 0."""
    kept = np.where(occurs, np.nan_to_num(values, nan=0.0), 0.0)
    return _share(kept.sum(axis=-1), occurs.sum(axis=-1).astype(np.float64))


@dataclass(frozen=True, slots=True)
class _Margins:
    """The counts that rates are read from, for many tables at once; shape ``(..., C)``."""

    hits: Table
    support: Table
    predicted: Table
    utterances: Table

    @classmethod
    def of(cls, tables: Table, policy: Policy) -> _Margins:
        square = tables[..., :-1]
        return cls(
            hits=np.diagonal(square, axis1=-2, axis2=-1),
            support=(tables if policy == "strict" else square).sum(axis=-1),
            predicted=square.sum(axis=-2),
            utterances=tables.sum(axis=(-2, -1)),
        )


def _uar(m: _Margins) -> Table:
    return _mean_where(_share(m.hits, m.support), m.support > 0)


def _wa(m: _Margins) -> Table:
    return _share(m.hits.sum(axis=-1), m.support.sum(axis=-1))


def _macro_f1(m: _Margins) -> Table:
    return _mean_where(_share(2 * m.hits, m.support + m.predicted), m.support > 0)


def _weighted_f1(m: _Margins) -> Table:
    f1 = np.nan_to_num(_share(2 * m.hits, m.support + m.predicted), nan=0.0)
    return _share((m.support * f1).sum(axis=-1), m.support.sum(axis=-1))


def _micro_f1(m: _Margins) -> Table:
    return _share(2 * m.hits.sum(axis=-1), (m.support + m.predicted).sum(axis=-1))


def _macro_precision(m: _Margins) -> Table:
    return _mean_where(_share(m.hits, m.predicted), m.support > 0)


def _coverage(m: _Margins) -> Table:
    return _share(m.predicted.sum(axis=-1), m.utterances)


_TABLE_METRICS: dict[str, Callable[[_Margins], Table]] = {
    "uar": _uar,
    "wa": _wa,
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
    "micro_f1": _micro_f1,
    "macro_precision": _macro_precision,
    "coverage": _coverage,
}


def table_rates(
    tables: NDArray[np.float64] | NDArray[np.int64], metric: str, policy: Policy = "strict"
) -> Table:
    """A rate of many confusions at once, defined as in ``voxemo_tasks.metrics.hard``.

    Args:
        tables: Counts, shape ``(..., C, C + 1)``.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.

    Returns:
        Values in [0, 1], shape ``(...)``; NaN where the rate is undefined.

    Raises:
        UnknownNameError: For another name.
        OptionError: For another policy, or another shape.

    Example:
        >>> table_rates(np.array([[[3, 0, 1], [1, 1, 0]], [[0, 0, 0], [0, 2, 0]]]), "uar")
        array([0.625, 1.   ])
    """
    if metric not in _TABLE_METRICS:
        raise UnknownNameError("hard metric", metric, _TABLE_METRICS)
    if policy not in ("strict", "answered"):
        raise OptionError(f"no policy is called {policy!r}; allowed: strict, answered")
    values = np.asarray(tables, dtype=np.float64)
    if values.ndim < 2 or values.shape[-1] != values.shape[-2] + 1:
        raise OptionError(
            f"tables have the shape {values.shape}; expected (..., C, C + 1) with the non-answers "
            "last"
        )
    return _TABLE_METRICS[metric](_Margins.of(values, policy))


def resample(clusters: Sequence[Confusion], *, replicates: int, seed: int) -> Table:
    """Bootstrap replicates of the pooled confusion.

    Args:
        clusters: One confusion per cluster, all over the same labels. With exactly one, its
            utterances are redrawn as independent.
        replicates: How many, at least 1.
        seed: Of the generator. The same input and seed give the same tables, bit for bit.

    Returns:
        Counts, shape ``(replicates, C, C + 1)``.

    Raises:
        LabelSetError: For confusions over different labels.

    Example:
        >>> counts = [np.array([[n, 1, 0], [0, 2, 1]]) for n in (1, 2, 3)]
        >>> speakers = [Confusion(("angry", "sad"), c) for c in counts]
        >>> resample(speakers, replicates=4, seed=1).shape
        (4, 2, 3)
    """
    for other in clusters[1:]:
        require_same_labels(clusters[0], other)
    rng = np.random.default_rng(seed)
    stacked = np.stack([c.counts for c in clusters]).astype(np.float64)
    n_clusters, *shape = stacked.shape
    flat = stacked.reshape(n_clusters, -1)
    if n_clusters == 1:
        total = int(flat.sum())
        cells = flat[0] / total if total else np.full(flat.shape[1], 1 / flat.shape[1])
        return rng.multinomial(total, cells, size=replicates).reshape(-1, *shape).astype(np.float64)
    return redraw(flat, replicates, rng).reshape(replicates, *shape)


def redraw(components: Table, replicates: int, rng: np.random.Generator) -> Table:
    """Sums of G rows drawn with replacement, once per replicate.

    Args:
        components: One row of sums per cluster, shape ``(G, D)``, G at least 1.
        replicates: How many, B.
        rng: The same state and G draw the same rows, whatever D.

    Returns:
        Sums, shape ``(B, D)``.

    Example:
        >>> redraw(np.array([[1.0, 2.0]]), 2, np.random.default_rng(1))
        array([[1., 2.],
               [1., 2.]])
    """
    groups = len(components)
    sums = np.empty((replicates, components.shape[1]))
    step = max(1, _CHUNK // groups)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = rng.integers(groups, size=(rows, groups))
        drawn += groups * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * groups)
        sums[start : start + rows] = times.reshape(rows, groups).astype(np.float64) @ components
    return sums


def bootstrap_interval(
    confusions_by_cluster: Sequence[Confusion],
    metric: str,
    *,
    policy: Policy = "strict",
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Interval:
    """Confidence interval of a rate of the pooled counts; the module docstring says which.

    Args:
        confusions_by_cluster: One confusion per speaker (session, dialogue), all over the same
            labels; one for all where no clusters are known. Clusters without utterances are left
            out; one without answers stays in under ``answered`` too.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.
        level: Nominal coverage, in (0, 1).
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates; the same for two metrics means the same replicates.

    Returns:
        An interval without limits, and the reason, for fewer than two utterances that count or a
        rate that is undefined.

    Raises:
        UnknownNameError: For another metric.
        OptionError: For a level or number of replicates out of range, or another policy.
        LabelSetError: For confusions over different labels.

    Example:
        >>> counts = [np.array([[n, 1, 0], [0, 2, 1]]) for n in (1, 2, 3)]
        >>> speakers = [Confusion(("angry", "sad"), c) for c in counts]
        >>> i = bootstrap_interval(speakers, "uar", seed=1)
        >>> i.method, i.n_clusters, 0 <= i.low < i.high <= 1
        ('cluster_bootstrap_t', 3, True)
        >>> bootstrap_interval([], "uar", seed=1).reason
        'no utterances'
    """
    if metric not in HARD_METRICS:
        raise UnknownNameError("hard metric", metric, HARD_METRICS)
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    if replicates < 100:
        raise OptionError(f"replicates is {replicates}; an interval needs at least 100")
    clusters = [c for c in confusions_by_cluster if c.counts.any()]

    def none(reason: str) -> Interval:
        return Interval(None, None, level, "none", len(clusters), 0, reason)

    if not clusters:
        return none("no utterances")
    pooled = sum(clusters[1:], start=clusters[0])
    value = HARD_METRICS[metric](pooled, policy)
    counting: Policy = "strict" if metric == "coverage" else policy
    counted = pooled.n(counting)
    if value is None or counted < 2:
        what = "answered utterance(s)" if counting == "answered" else "utterance(s)"
        return none(f"{counted} {what}; an interval needs at least two")
    drawn = table_rates(resample(clusters, replicates=replicates, seed=seed), metric, policy)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2:
        return none(
            f"the rate is undefined in {replicates - len(drawn)} of {replicates} replicates"
        )
    method, low, high = limits(value, drawn, len(clusters), level)
    return Interval(max(0.0, low), min(1.0, high), level, method, len(clusters), len(drawn))


def limits(value: float, drawn: Table, groups: int, level: float) -> tuple[str, float, float]:
    """Method and limits from replicates, as the module docstring says; not clipped.

    Args:
        value: The statistic of all clusters, the middle of an interval with Student's t.
        drawn: Its replicates, at least two, without NaN.
        groups: Number of clusters G.
        level: Nominal coverage, in (0, 1).

    Example:
        >>> limits(2.0, np.array([1.0, 2.0, 3.0]), 40, 0.5)
        ('cluster_bootstrap_percentile', 1.5, 2.5)
    """
    tail = (1 - level) / 2
    if 1 < groups < MANY_CLUSTERS:
        error = float(drawn.std(ddof=1)) * (groups / (groups - 1)) ** 0.5
        reach = float(stdtrit(groups - 1, 1 - tail)) * error
        return "cluster_bootstrap_t", value - reach, value + reach
    method = "iid_bootstrap_percentile" if groups == 1 else "cluster_bootstrap_percentile"
    low, high = (float(q) for q in np.quantile(drawn, [tail, 1 - tail]))
    return method, low, high
