"""Every soft-label metric by name: its value, its sums over clusters, its interval.

Three kinds. An item mean is the sum of item values over the number of scored items. A ratio
(``brier_skill``) is a sum of one item value over the sum of another. Both are covered by
``components``, whose two sums per cluster give the value again when they are added up and divided.
A statistic (``set_macro_f1``, ``entropy_correlation``) needs more sums than two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ..errors import UnknownNameError
from . import choices, soft
from .clusters import numbered, sums_of
from .intervals import Interval
from .resampling import ratio_interval, statistic_interval
from .soft import SoftRate
from .votes import Floats, Predicted, Scores, SoftPolicy, Votes, align

__all__ = [
    "ITEM_METRICS",
    "SOFT_METRICS",
    "Components",
    "SoftMetric",
    "components",
    "item_scores",
    "soft_interval",
    "soft_value",
]

Best = Literal["lowest", "highest"]


class _ItemScore(Protocol):
    def __call__(
        self, votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class"
    ) -> Scores: ...


@dataclass(frozen=True, slots=True)
class SoftMetric:
    """What is true of a metric whatever it is computed on.

    Attributes:
        best: Which end of the range is the better one.
        low: The least value; ``None`` where there is no bound.
        high: The greatest value; ``None`` where there is no bound.
        proper: Whether the annotators' true distribution is expected to score best for every k.
        unit: ``bits``, or empty for a pure number.
    """

    best: Best
    low: float | None
    high: float | None
    proper: bool
    unit: str = ""


def _vote_brier_unbiased(
    votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class"
) -> Scores:
    return soft.vote_brier(votes, predicted, policy, unbiased=True)


ITEM_METRICS: dict[str, _ItemScore] = {
    "l2u": soft.l2u,
    "vote_brier": soft.vote_brier,
    "vote_brier_unbiased": _vote_brier_unbiased,
    "cross_entropy": soft.cross_entropy,
    "jsd": soft.jsd,
    "kl": soft.kl,
    "tvd": soft.tvd,
    "cosine": soft.cosine,
    "bhattacharyya": soft.bhattacharyya,
    "mse": soft.mse,
    "top2": choices.top2,
    "any_annotator": choices.any_annotator,
}
"""Item means by the name that tables and results use."""

_RATIOS = {"brier_skill": False, "brier_skill_unbiased": True}

SOFT_METRICS: dict[str, SoftMetric] = {
    "l2u": SoftMetric("lowest", None, None, proper=True),
    "brier_skill": SoftMetric("highest", None, None, proper=True),
    "brier_skill_unbiased": SoftMetric("highest", None, None, proper=True),
    "vote_brier": SoftMetric("lowest", 0.0, 2.0, proper=True),
    "vote_brier_unbiased": SoftMetric("lowest", 0.0, 2.0, proper=True),
    "cross_entropy": SoftMetric("lowest", 0.0, None, proper=True, unit="bits"),
    "jsd": SoftMetric("lowest", 0.0, 1.0, proper=False, unit="bits"),
    "kl": SoftMetric("lowest", 0.0, None, proper=True, unit="bits"),
    "tvd": SoftMetric("lowest", 0.0, 1.0, proper=False),
    "cosine": SoftMetric("highest", 0.0, 1.0, proper=False),
    "bhattacharyya": SoftMetric("highest", 0.0, 1.0, proper=False),
    "mse": SoftMetric("lowest", 0.0, None, proper=True),
    "set_macro_f1": SoftMetric("highest", 0.0, 1.0, proper=False),
    "top2": SoftMetric("highest", 0.0, 1.0, proper=False),
    "any_annotator": SoftMetric("highest", 0.0, 1.0, proper=False),
    "entropy_correlation": SoftMetric("highest", -1.0, 1.0, proper=False),
}
"""Every soft-label metric, in the order of tables: primary ones first."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Sums per cluster of a metric that is a ratio of sums.

    Attributes:
        clusters: Distinct clusters in sorted order, length G.
        numerators: Shape ``(G,)``.
        denominators: Shape ``(G,)``; for an item mean the number of scored items.
    """

    clusters: tuple[str, ...]
    numerators: Floats
    denominators: Floats

    @property
    def value(self) -> float | None:
        """The metric of all clusters; ``None`` where the denominators do not sum above 0."""
        total = float(self.denominators.sum())
        return float(self.numerators.sum()) / total if total > soft.ROUNDING else None


def _known(metric: str) -> None:
    if metric not in SOFT_METRICS:
        raise UnknownNameError("soft metric", metric, SOFT_METRICS)


def item_scores(
    metric: str, votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class"
) -> Scores:
    """Values per item of a metric that is an item mean.

    Raises:
        UnknownNameError: For a name that is not in ``ITEM_METRICS``.
    """
    if metric not in ITEM_METRICS:
        raise UnknownNameError("metric of single items", metric, ITEM_METRICS)
    return ITEM_METRICS[metric](votes, predicted, policy)


def soft_value(
    metric: str, votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class"
) -> SoftRate:
    """Any soft-label metric by its name.

    Args:
        metric: A name of ``SOFT_METRICS``.
        votes: The annotators' votes.
        predicted: What the model answered.
        policy: How non-answers count.

    Raises:
        UnknownNameError: For another name.

    Example:
        >>> votes = Votes(np.array([[3, 1], [0, 4]]))
        >>> said = Predicted("sampling", counts=np.array([[2, 2, 0], [0, 0, 4]]))
        >>> soft_value("tvd", votes, said)  # (1/4 + 1) / 2
        SoftRate(value=0.625, n=2, n_unscored=0, reason=None)
        >>> soft_value("tvd", votes, said, "answered")
        SoftRate(value=0.25, n=1, n_unscored=1, reason=None)
    """
    _known(metric)
    if metric in _RATIOS:
        return soft.brier_skill(votes, predicted, policy, unbiased=_RATIOS[metric])
    if metric == "set_macro_f1":
        return choices.set_macro_f1(votes, predicted, policy)
    if metric == "entropy_correlation":
        return soft.entropy_correlation(votes, predicted, policy)
    scores = ITEM_METRICS[metric](votes, predicted, policy)
    reason = None if scores.n else "no item can be scored"
    return SoftRate(scores.mean, scores.n, scores.n_unscored, reason)


def components(
    metric: str,
    votes: Votes,
    predicted: Predicted,
    clusters: Sequence[str],
    policy: SoftPolicy = "extra_class",
) -> Components:
    """Sums per cluster whose ratio is the metric.

    Args:
        metric: A name of ``ITEM_METRICS``, ``brier_skill`` or ``brier_skill_unbiased``. The skill's
            prior is that of all items, and is the same in every replicate.
        votes: The annotators' votes.
        predicted: What the model answered.
        clusters: Speaker (session, dialogue) of each item; item ids where none are known.
        policy: How non-answers count.

    Raises:
        UnknownNameError: For a metric that is no ratio of two sums.
        OptionError: For another number of clusters than of items.

    Example:
        >>> votes = Votes(np.array([[3, 1], [0, 4], [4, 0]]))
        >>> said = Predicted("sampling", counts=np.array([[2, 2, 0], [0, 4, 0], [2, 2, 0]]))
        >>> sums = components("tvd", votes, said, ["ann", "bob", "ann"])
        >>> sums.clusters, sums.numerators.tolist(), sums.denominators.tolist(), sums.value
        (('ann', 'bob'), [0.75, 0.0], [2.0, 1.0], 0.25)
    """
    if metric in _RATIOS:
        unbiased = _RATIOS[metric]
        above, below = soft.skill_terms(votes, predicted, policy, unbiased=unbiased)
        pair = np.stack([above.values, below.values], axis=1)
    elif metric in ITEM_METRICS:
        values = ITEM_METRICS[metric](votes, predicted, policy).values
        pair = np.stack([values, np.where(np.isnan(values), np.nan, 1.0)], axis=1)
    else:
        raise UnknownNameError("metric that is a ratio of sums", metric, [*ITEM_METRICS, *_RATIOS])
    names, at = numbered(clusters, len(votes))
    sums = sums_of(np.nan_to_num(pair, nan=0.0), at, len(names))
    return Components(tuple(map(str, names)), sums[:, 0], sums[:, 1])


def _entropy_sums(votes: Votes, predicted: Predicted, policy: SoftPolicy) -> Floats:
    """Per kept item 1, x, y, xx, yy, xy of the entropies, less their means for precision."""
    a = align(votes, predicted, policy)
    x, y = soft.entropy_bits(a.p), soft.entropy_bits(a.q)
    if len(x):
        x, y = x - x.mean(), y - y.mean()
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)


def _correlation_of(sums: Floats) -> Floats:
    n, x, y, xx, yy, xy = sums.T
    n = np.where(n > 0, n, np.nan)
    vx, vy, cov = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2, xy / n - x * y / n**2
    value = np.full(len(sums), np.nan)
    varies = (vx > soft.FLAT) & (vy > soft.FLAT)
    np.divide(cov, np.sqrt(np.where(varies, vx * vy, 1.0)), out=value, where=varies)
    clipped: Floats = np.clip(value, -1.0, 1.0)
    return clipped


def soft_interval(
    metric: str,
    votes: Votes,
    predicted: Predicted,
    clusters: Sequence[str],
    policy: SoftPolicy = "extra_class",
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Interval:
    """Cluster-bootstrap interval of any soft-label metric (``voxemo_tasks.metrics.resampling``).

    Args:
        metric: A name of ``SOFT_METRICS``; limits are clipped to its bounds.
        votes: The annotators' votes.
        predicted: What the model answered.
        clusters: Speaker (session, dialogue) of each item; item ids where none are known.
        policy: How non-answers count.
        level: Nominal coverage, in (0, 1).
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates; the same for two metrics means the same replicates, as long as both
            score items of the same clusters.

    Raises:
        UnknownNameError: For another metric.
        OptionError: For a level or number of replicates out of range.
        OptionError: For another number of clusters than of items.

    Example:
        >>> votes = Votes(np.array([[3, 1], [0, 4], [4, 0], [1, 3]]))
        >>> said = Predicted("sampling", counts=np.array([[2, 2, 0]] * 4))
        >>> i = soft_interval("tvd", votes, said, ["ann", "bob", "ann", "cleo"], seed=1)
        >>> i.method, i.n_clusters, 0 <= i.low < i.high <= 1
        ('cluster_bootstrap_t', 3, True)
    """
    _known(metric)
    about = SOFT_METRICS[metric]
    function: Callable[[Floats], Floats]
    if metric == "set_macro_f1":
        counts = choices.set_counts(votes, predicted, policy)
        # A column of ones, for an item whose two sets are empty is an item all the same.
        width = math.prod(counts.shape[1:])  # -1 cannot be worked out for no item
        rows = np.concatenate(
            [np.ones((len(counts), 1)), counts.reshape(len(counts), width)], axis=1
        )
        function = _macro_f1_after_n
    elif metric == "entropy_correlation":
        rows, function = _entropy_sums(votes, predicted, policy), _correlation_of
    else:
        sums = components(metric, votes, predicted, clusters, policy)
        # Denominators that sum to rounding have no value, and must have no interval either.
        below = np.zeros_like(sums.denominators) if sums.value is None else sums.denominators
        return ratio_interval(
            sums.numerators,
            below,
            level=level,
            replicates=replicates,
            seed=seed,
            low=about.low,
            high=about.high,
        )
    names, at = numbered(clusters, len(votes))
    kept = align(votes, predicted, policy).kept
    return statistic_interval(
        sums_of(rows, at[kept], len(names)),
        function,
        level=level,
        replicates=replicates,
        seed=seed,
        low=about.low,
        high=about.high,
    )


def _macro_f1_after_n(sums: Floats) -> Floats:
    return choices.macro_f1_of(sums[:, 1:])
