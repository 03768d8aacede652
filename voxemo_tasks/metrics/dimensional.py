r"""Dimensional predictions (arousal, valence, dominance): agreement with a mean rating.

Conventions
-----------
one dimension at a time: build one ``DimensionSums`` each for arousal, valence, dominance
gold        the mean rating of an utterance, on the scale the annotators used
answered    a prediction on the scale; a missing one, NaN, or one outside the scale is a non-answer.
            Nothing is clipped: a 9 on a scale of 1 to 7 says that the scale was not understood
row         ten sums of one cluster (speaker), of values less an origin near their mean, so that a
            scale far from zero costs no digits; a statistic is a function of summed rows, and a
            bootstrap over speakers costs the same for any number of utterances
moments     of the population (divided by n, not n - 1), as in Lin (1989)

With means :math:`\mu`, standard deviations :math:`\sigma`, correlation :math:`\rho`, and x gold,
y predicted::

    CCC   2 rho sx sy / (sx^2 + sy^2 + (my - mx)^2)  =  rho C_b
    C_b   2 / (v + 1/v + u^2)      scale shift v = sy / sx, location shift u = (my - mx) / sqrt(sx sy)

Lin (1989), Biometrics 45(1), 255-268. The ratio of means is not reported: a rating scale has no
zero, and 1 to 7 written as 0 to 6 would change it. ``bias`` says the same in units of the scale.

Zero variance
-------------
A constant prediction has CCC 0: it says nothing of any utterance (audmetric gives 0 too). Pearson,
u, v and C_b do not exist then. CCC is ``None`` with fewer than two answers, and where gold and
prediction are the same constant, 0 / 0.

Non-answers
-----------
A hard rate counts a non-answer as wrong. CCC has no such value: no number is "the wrong answer"
for an utterance, and whatever is filled in is a prediction that the model did not make. So ``ccc``
is of the answered utterances and is read beside ``coverage``; ``ccc_mean_filled`` puts the mean
gold rating of all utterances in place of each non-answer, a constant that shares nothing with the
ratings. It is a penalty for silence, not a bound: predictions that contradict the gold would be
worse, and silence about the hard utterances may still pay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelSetError, OptionError, UnknownNameError
from .clusters import cluster_codes, sums_of
from .intervals import Interval
from .resampling import statistic_interval

Floats = NDArray[np.float64]

COLUMNS = ("n", "x", "y", "xx", "yy", "xy", "abs", "n_silent", "x_silent", "xx_silent")
"""What a row sums: over the answered n, gold x, predicted y, squares, product and absolute error;
over the others their number, gold and squared gold."""

_NEGLIGIBLE = 1e-12  # a variance below this share of the mean square is rounding


@dataclass(frozen=True, slots=True, eq=False)
class DimensionSums:
    """Sums of one dimension by cluster.

    Attributes:
        rows: Shape ``(G, 10)``, columns as ``COLUMNS``, of values less their origin.
        origin: What was subtracted from gold and from predicted values.
        clusters: Name of each row; empty where no clusters are known and a row is an utterance.
    """

    rows: Floats
    origin: tuple[float, float]
    clusters: tuple[str, ...]

    @property
    def n(self) -> int:
        """Utterances, answered or not."""
        return round(float(self.rows[:, 0].sum() + self.rows[:, 7].sum()))

    @property
    def n_answered(self) -> int:
        """Utterances with a prediction on the scale."""
        return round(float(self.rows[:, 0].sum()))


def dimension_sums(
    gold: Sequence[float],
    predicted: Sequence[float | None],
    *,
    scale: tuple[float, float],
    clusters: Sequence[str] | None = None,
) -> DimensionSums:
    """Sum one dimension over the utterances of each cluster.

    Args:
        gold: Mean rating of each utterance, on the scale.
        predicted: Answer for each utterance; ``None``, NaN or a value outside the scale is a
            non-answer.
        scale: Least and greatest value of the scale, e.g. ``(1, 7)``.
        clusters: Speaker of each utterance. Without, each utterance is a row of its own; an
            interval then takes them for independent, and is too narrow where speakers differ.

    Raises:
        OptionError: For lists of different length or a scale that is none.
        LabelSetError: For a gold value that is missing or outside the scale.

    Example:
        >>> s = dimension_sums([1, 4, 6], [2, 4, 9], scale=(1, 7), clusters=["a", "a", "b"])
        >>> s.rows.shape, s.n, s.n_answered
        ((2, 10), 3, 2)
    """
    low, high = scale
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise OptionError(f"the scale is {scale}; it needs two numbers, the least first")
    if len(gold) != len(predicted) or (clusters is not None and len(clusters) != len(gold)):
        counts = f"{len(gold)} gold values, {len(predicted)} predictions"
        counts += "" if clusters is None else f", {len(clusters)} clusters"
        raise OptionError(f"got {counts}; there must be one of each per utterance")
    x = np.asarray(gold, dtype=np.float64)
    y = np.array([np.nan if p is None else p for p in predicted], dtype=np.float64)
    outside = ~((x >= low) & (x <= high))
    if outside.any():
        raise LabelSetError(
            f"{int(outside.sum())} of {len(x)} gold values are missing or outside the scale "
            f"{low:g} to {high:g}, the first is {x[outside][0]}; state the scale of the corpus or "
            "leave these utterances out"
        )
    codes = cluster_codes(clusters, len(x), "by_appearance")
    names = () if clusters is None else tuple(dict.fromkeys(clusters))
    answered = (y >= low) & (y <= high)
    origin = (_near_mean(x), _near_mean(y[answered]))
    a = np.where(answered, x - origin[0], 0.0)
    b = np.where(answered, y - origin[1], 0.0)
    error = np.where(answered, np.abs(y - x), 0.0)
    c = np.where(answered, 0.0, x - origin[0])
    columns = (answered, a, b, a * a, b * b, a * b, error, ~answered, c, c * c)
    rows = sums_of(np.stack(columns, axis=1).astype(np.float64), codes)
    rows.setflags(write=False)
    return DimensionSums(rows, origin, names)


def _near_mean(values: Floats) -> float:
    """The value nearest the mean: for a constant it is the constant, so that nothing is left."""
    return float(values[np.abs(values - values.mean()).argmin()]) if len(values) else 0.0


@dataclass(frozen=True, slots=True)
class _Moments:
    """Population moments of summed rows, shape ``(...)``; NaN without answers."""

    n: Floats
    mean_x: Floats
    mean_y: Floats
    variance_x: Floats
    variance_y: Floats
    covariance: Floats

    @classmethod
    def of(cls, rows: Floats, origin: tuple[float, float]) -> _Moments:
        n = rows[..., 0]
        x, y, xx, yy, xy = (_divide(rows[..., k], n) for k in range(1, 6))
        vx, vy = _variance(xx, x), _variance(yy, y)
        covariance = np.where((vx == 0) | (vy == 0), 0.0, xy - x * y)
        return cls(n, x + origin[0], y + origin[1], vx, vy, covariance)


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    out = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _variance(mean_square: Floats, mean: Floats) -> Floats:
    variance = mean_square - mean * mean
    return np.where(variance <= _NEGLIGIBLE * mean_square, 0.0, variance)


def _ccc(m: _Moments) -> Floats:
    denominator = m.variance_x + m.variance_y + (m.mean_y - m.mean_x) ** 2
    return np.where(m.n < 1.5, np.nan, _divide(2 * m.covariance, denominator))


def _pearson(m: _Moments) -> Floats:
    return _divide(m.covariance, np.sqrt(m.variance_x * m.variance_y))


def _location(m: _Moments) -> Floats:
    return _divide(m.mean_y - m.mean_x, np.sqrt(np.sqrt(m.variance_x * m.variance_y)))


def _scale(m: _Moments) -> Floats:
    ratio = _divide(np.sqrt(m.variance_y), np.sqrt(m.variance_x))
    return np.where(m.variance_y == 0, np.nan, ratio)


def _bias_correction(m: _Moments) -> Floats:
    sd_product = np.sqrt(m.variance_x * m.variance_y)
    spread = m.variance_x + m.variance_y + (m.mean_y - m.mean_x) ** 2
    return np.where(sd_product == 0, np.nan, _divide(2 * sd_product, spread))


def _filled(rows: Floats, origin: tuple[float, float]) -> Floats:
    """Rows in which each non-answer predicts the mean gold of all utterances."""
    n, x, y, xx, yy, xy, _, silent, x_silent, xx_silent = np.moveaxis(rows, -1, 0)
    mean = np.nan_to_num(_divide(x + x_silent, n + silent)) + origin[0] - origin[1]
    return np.stack(
        [
            n + silent,
            x + x_silent,
            y + silent * mean,
            xx + xx_silent,
            yy + silent * mean**2,
            xy + mean * x_silent,
        ],
        axis=-1,
    )


_Statistic = Callable[[Floats, tuple[float, float]], Floats]

_STATISTICS: dict[str, tuple[_Statistic, float | None, float | None]] = {
    "ccc": (lambda r, o: _ccc(_Moments.of(r, o)), -1.0, 1.0),
    "pearson": (lambda r, o: _pearson(_Moments.of(r, o)), -1.0, 1.0),
    "bias_correction": (lambda r, o: _bias_correction(_Moments.of(r, o)), 0.0, 1.0),
    "location_shift": (lambda r, o: _location(_Moments.of(r, o)), None, None),
    "scale_shift": (lambda r, o: _scale(_Moments.of(r, o)), 0.0, None),
    "bias": (lambda r, o: _divide(r[..., 2] - r[..., 1], r[..., 0]) + o[1] - o[0], None, None),
    "mae": (lambda r, o: _divide(r[..., 6], r[..., 0]), 0.0, None),
    "ccc_mean_filled": (lambda r, o: _ccc(_Moments.of(_filled(r, o), o)), -1.0, 1.0),
    "coverage": (lambda r, o: _divide(r[..., 0], r[..., 0] + r[..., 7]), 0.0, 1.0),
}

DIMENSIONAL_METRICS: tuple[str, ...] = tuple(_STATISTICS)
"""Names of the statistics of one dimension, in the order of tables and results."""


def _named(metric: str) -> tuple[_Statistic, float | None, float | None]:
    if metric not in _STATISTICS:
        raise UnknownNameError("dimensional metric", metric, _STATISTICS)
    return _STATISTICS[metric]


def dimension_value(sums: DimensionSums, metric: str) -> float | None:
    """One statistic of all utterances.

    Args:
        sums: Of one dimension.
        metric: ``ccc`` in [-1, 1]; ``pearson`` in [-1, 1]; ``bias_correction`` (C_b) in (0, 1];
            ``location_shift`` (u) and ``scale_shift`` (v > 0), without unit, 0 and 1 at best;
            ``bias``, mean predicted less mean gold, and ``mae``, in units of the scale;
            ``ccc_mean_filled`` in [-1, 1] and ``coverage`` in [0, 1], of all utterances, all
            others of the answered ones.

    Returns:
        The value; ``None`` where it does not exist (the module docstring says when).

    Raises:
        UnknownNameError: For another metric.

    Example:
        >>> s = dimension_sums([1, 2, 3], [1, 2, 2], scale=(1, 7))
        >>> round(dimension_value(s, "ccc"), 6)
        0.666667
        >>> flat = dimension_sums([1, 2, 3], [2, 2, 2], scale=(1, 7))
        >>> dimension_value(flat, "ccc"), dimension_value(flat, "pearson")
        (0.0, None)
    """
    function = _named(metric)[0]
    value = float(function(sums.rows.sum(axis=0), sums.origin))
    return None if np.isnan(value) else value


def dimension_scores(sums: DimensionSums) -> dict[str, float | None]:
    """Every statistic of ``DIMENSIONAL_METRICS``, by name; read them beside ``sums.n``.

    Example:
        >>> s = dimension_scores(dimension_sums([1, 2, 3], [2, 3, None], scale=(1, 7)))
        >>> s["bias"], s["coverage"] == 2 / 3
        (1.0, True)
    """
    return {metric: dimension_value(sums, metric) for metric in DIMENSIONAL_METRICS}


def dimension_interval(
    sums: DimensionSums,
    metric: str,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Interval:
    """Bootstrap interval over clusters of one statistic; see ``resampling.statistic_interval``.

    Raises:
        UnknownNameError: For another metric.
        OptionError: For a level or number of replicates out of range.

    Example:
        >>> s = dimension_sums([1, 3, 2, 5, 4, 6], [1, 2, 3, 4, 5, 6], scale=(1, 7),
        ...                    clusters=["a", "a", "b", "b", "c", "c"])
        >>> i = dimension_interval(s, "ccc", seed=1)
        >>> i.method, i.n_clusters, i.low < dimension_value(s, "ccc") < i.high
        ('cluster_bootstrap_t', 3, True)
    """
    function, low, high = _named(metric)

    def of_rows(rows: Floats) -> Floats:
        return function(rows, sums.origin)

    return statistic_interval(
        sums.rows, of_rows, level=level, replicates=replicates, seed=seed, low=low, high=high
    )
