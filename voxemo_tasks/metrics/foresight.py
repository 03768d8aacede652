r"""Whether a model knows which changes to the audio move its answer.

Over all utterances and operations, claimed or not: what it said would and would not matter, against
what did (trials, sham and placebo: ``voxemo_tasks.metrics.counterfactual``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .clusters import cluster_sums
from .counterfactual import Estimate
from .resampling import statistic_interval

__all__ = ["Foresight", "foresight"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Foresight:
    """How well a model knows which operations move it.

    Attributes:
        balanced_accuracy: Mean of the share of observed flips that were predicted and of observed
            constancy that was; 0.5 is chance. ``None`` where one of them did not occur.
        mcc: Matthews correlation in [-1, 1]; ``None`` where a prediction or outcome never varies.
        invariance: Of the operations that would not matter, the share that did not.
        cct: Correlation of claim (or announced size) and observed shift, in [-1, 1].
        n: Utterances times operations.
    """

    balanced_accuracy: Estimate
    mcc: Estimate
    invariance: Estimate
    cct: Estimate
    n: int


def foresight(
    predicted: Sequence[float],
    observed: Sequence[bool],
    shift: Sequence[float],
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Foresight:
    """Claims against outcomes over all utterances and operations.

    Args:
        predicted: 0 where the model said that the operation would not matter, else 1, or the
            announced size.
        observed: Whether the answer differed from the sham's.
        shift: Distance of the answer distributions to the sham's, e.g. total variation, less what
            a second sham gives.
        clusters: Speaker of each entry.
        level: Nominal coverage.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Raises:
        OptionError: For sides of different length, a prediction below 0, or values not finite.

    Example:
        >>> f = foresight([1, 1, 0, 0], [1, 0, 0, 0], [0.9, 0.1, 0.0, 0.1], seed=1)
        >>> round(f.balanced_accuracy.value, 3), round(f.mcc.value, 3), f.invariance.value
        (0.833, 0.577, 1.0)
    """
    x, d = np.asarray(predicted, dtype=np.float64), np.asarray(shift, dtype=np.float64)
    o = np.asarray(observed, dtype=np.bool_)
    if not x.shape == d.shape == o.shape:
        raise OptionError(f"{x.shape}, {o.shape} and {d.shape} values; give one per entry")
    if not (np.isfinite(x).all() and np.isfinite(d).all()) or (x < 0).any():
        raise OptionError("predictions and shifts must be finite, and predictions 0 or more")
    said = x > 0
    cells = [said & o, said & ~o, ~said & o, ~said & ~o]
    centred = d - d.mean() if len(d) else d
    components = np.column_stack([*cells, x, x * x, centred, centred**2, x * centred]).astype(
        np.float64
    )

    def ratio(a: Floats, b: Floats) -> Floats:
        shares = np.full(len(a), np.nan)
        np.divide(a, b, out=shares, where=b > 1e-12)
        return shares

    def balanced(s: Floats) -> Floats:
        return np.asarray(
            (ratio(s[:, 0], s[:, 0] + s[:, 2]) + ratio(s[:, 3], s[:, 1] + s[:, 3])) / 2
        )

    def matthews(s: Floats) -> Floats:
        tp, fp, fn, tn = s[:, :4].T
        below = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return ratio(tp * tn - fp * fn, np.sqrt(below))

    def constancy(s: Floats) -> Floats:
        return ratio(s[:, 3], s[:, 2] + s[:, 3])

    def correlation(s: Floats) -> Floats:
        n = np.maximum(s[:, :4].sum(axis=1), 1)
        mx, md = s[:, 4] / n, s[:, 6] / n
        vx, vd = s[:, 5] / n - mx**2, s[:, 7] / n - md**2
        return ratio(s[:, 8] / n - mx * md, np.sqrt(np.maximum(vx, 0) * np.maximum(vd, 0)))

    rows = cluster_sums(components, clusters)
    made = []
    for function, low, n in (
        (balanced, 0.0, len(x)),
        (matthews, -1.0, len(x)),
        (constancy, 0.0, int((~said).sum())),
        (correlation, -1.0, len(x)),
    ):
        interval = statistic_interval(
            rows, function, level=level, replicates=replicates, seed=seed, low=low, high=1.0
        )
        value = float(function(components.sum(axis=0, keepdims=True))[0])
        made.append(Estimate(None if np.isnan(value) else value, interval, n))
    return Foresight(made[0], made[1], made[2], made[3], len(x))
