r"""How reliable mean ratings are, and what that leaves a prediction to reach.

Conventions
-----------
rating      :math:`x_{ij} = T_i + e_{ij}`: the true score of utterance i, and what annotator j adds
            to it (error and the annotator's own habits, which a one-way design cannot tell apart)
k_i         ratings of utterance i, one or more, not the same for all
gold        the mean of the :math:`k_i` ratings

From the one-way analysis of variance over n utterances and N ratings (Shrout and Fleiss, 1979;
unbalanced: Donner, 1986)::

    k0       (N - sum k_i^2 / N) / (n - 1)
    true     (MSB - MSW) / k0          error   MSW
    ICC(1)   true / (true + error)

With :math:`\bar{h}` the mean of :math:`1/k_i`, the CCC with the gold of a prediction that equals
the true score, and of one more annotator, are::

    true score      2 true / (2 true + error h)
    one annotator   2 true / (2 true + error (1 + h))

The gold itself is noisy, so that a perfect listener stays below 1: with ICC(1) = .3 and three
ratings it reaches .72, and one more annotator .39. The true score is the natural ceiling but not
the highest CCC that there is: stretched to the spread of the gold, it would reach
:math:`\sqrt{true / (true + error\,h)}`, given here as ``ccc_limit``. So a ratio above 1 is possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .clusters import cluster_sums
from .intervals import Interval
from .resampling import statistic_interval

Floats = NDArray[np.float64]
ReliabilityMeasure = Literal[
    "icc1", "icc1_mean", "ccc_true_score", "ccc_one_annotator", "ccc_limit"
]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Reliability of the mean ratings of one dimension.

    Attributes:
        icc1: Reliability of one rating; estimates may lie below zero. ``None`` where it does not
            exist.
        icc1_mean: Reliability of the gold, ``true / (true + error h)``; ``None`` unless icc1 > 0.
        ccc_true_score: CCC of the true score with the gold, in (0, 1]; ``None`` unless icc1 > 0.
        ccc_one_annotator: CCC of one more annotator with the gold; ``None`` unless icc1 > 0.
        ccc_limit: The highest CCC that any function of the true score reaches.
        n_utterances: Utterances, n.
        n_ratings: Ratings, N.
        reason: Why something does not exist; ``None`` where all do.
    """

    icc1: float | None
    icc1_mean: float | None
    ccc_true_score: float | None
    ccc_one_annotator: float | None
    ccc_limit: float | None
    n_utterances: int
    n_ratings: int
    reason: str | None = None

    def of_ceiling(self, ccc: float | None) -> float | None:
        """CCC as a share of what the true score reaches; ``None`` where either is.

        Example:
            >>> reliability([[1, 2], [4, 4], [6, 5]]).of_ceiling(None) is None
            True
        """
        if ccc is None or self.ccc_true_score is None:
            return None
        return ccc / self.ccc_true_score


def reliability(ratings: Sequence[Sequence[float]]) -> Reliability:
    """Reliability and ceilings from single ratings.

    Args:
        ratings: Per utterance, its ratings: at least one each, finite.

    Returns:
        Values ``None``, and the reason, for fewer than two utterances, no utterance with two
        ratings, or ratings that are all alike; ceilings ``None`` where ICC(1) is not above zero.

    Raises:
        OptionError: For an utterance without ratings or a rating that is not a number.

    Example:
        >>> r = reliability([[1, 3], [4, 4], [6, 5]])
        >>> round(r.icc1, 4), round(r.ccc_true_score, 4)
        (0.7619, 0.9275)
    """
    k = np.array([len(r) for r in ratings], dtype=np.int64)
    if (k == 0).any():
        raise OptionError(
            f"{int((k == 0).sum())} of {len(k)} utterances have no rating, the first is number "
            f"{int((k == 0).argmax())}; leave out what nobody rated"
        )
    x = np.array([v for r in ratings for v in r], dtype=np.float64)
    if not np.isfinite(x).all():
        raise OptionError("ratings hold NaN or infinity; leave out what an annotator skipped")
    n, total = len(k), len(x)

    def none(reason: str) -> Reliability:
        return Reliability(None, None, None, None, None, n, total, reason)

    if n < 2:
        return none(f"{n} utterance(s); reliability needs at least two")
    if total == n:
        return none("no utterance has two ratings, so that error cannot be told from truth")
    x = x - x[0]  # ratings far from zero would lose digits, and equal ones shall leave nothing
    item = np.repeat(np.arange(n), k)
    means = np.bincount(item, weights=x) / k
    between = float((k * (means - x.mean()) ** 2).sum()) / (n - 1)
    error = float(((x - means[item]) ** 2).sum()) / (total - n)
    true = (between - error) / ((total - float((k * k).sum()) / total) / (n - 1))
    if not x.any():
        return none("all ratings are alike")
    icc1 = true / (true + error)
    if true <= 0:
        says = f"ICC(1) is {icc1:.3f}: utterances differ no more than ratings of one do"
        return Reliability(icc1, None, None, None, None, n, total, says)
    noise = error * float((1 / k).mean())
    return Reliability(
        icc1=icc1,
        icc1_mean=true / (true + noise),
        ccc_true_score=2 * true / (2 * true + noise),
        ccc_one_annotator=2 * true / (2 * true + error + noise),
        ccc_limit=float(np.sqrt(true / (true + noise))),
        n_utterances=n,
        n_ratings=total,
    )


def reliability_interval(
    ratings: Sequence[Sequence[float]],
    measure: ReliabilityMeasure,
    clusters: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Interval:
    """Bootstrap interval of a measure, speakers redrawn with all ratings of their utterances.

    The analysis of variance is a function of seven sums over utterances, so that a replicate costs
    the same for any number of ratings.

    Args:
        ratings: As for ``reliability``.
        measure: A name of a value of ``Reliability``.
        clusters: Speaker of each utterance; without, utterances are redrawn.
        level: Nominal coverage, in (0, 1).
        replicates: At least 100.
        seed: Of the replicates.

    Returns:
        An interval without limits, and the reason, where the measure does not exist.

    Example:
        >>> some = [[1, 3], [4, 4], [6, 5], [2, 2], [5, 6], [3, 1]]
        >>> i = reliability_interval(some, "ccc_true_score", seed=1)
        >>> i.low < reliability(some).ccc_true_score <= i.high <= 1
        True
    """
    found = reliability(ratings)
    if getattr(found, measure) is None:
        why = found.reason if len(ratings) else "there are no ratings"
        return Interval(None, None, level, "none", len(ratings), 0, why)
    origin = float(ratings[0][0])
    rows = np.empty((len(ratings), 7))
    for i, given in enumerate(ratings):
        x = np.asarray(given, dtype=np.float64) - origin
        k, total = len(x), float(x.sum())
        rows[i] = 1, k, k * k, 1 / k, total, total * total / k, float((x * x).sum())
    return statistic_interval(
        cluster_sums(rows, clusters),
        lambda sums: _of_sums(sums)[measure],
        level=level,
        replicates=replicates,
        seed=seed,
        low=-1.0 if measure == "icc1" else 0.0,
        high=1.0,
    )


def _of_sums(sums: Floats) -> dict[str, Floats]:
    """Every measure of summed rows, shape ``(B, 7)``; NaN where it does not exist."""
    n, ratings, squares, inverse, total, within_means, all_squares = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (within_means - total**2 / ratings) / (n - 1)
        error = np.maximum(all_squares - within_means, 0.0) / (ratings - n)
        true = (between - error) / ((ratings - squares / ratings) / (n - 1))
        noise = error * inverse / n
        icc1 = true / (true + error)
        above = np.where(true > 0, true, np.nan)
        return {
            "icc1": np.where(np.isfinite(icc1), icc1, np.nan),
            "icc1_mean": above / (above + noise),
            "ccc_true_score": 2 * above / (2 * above + noise),
            "ccc_one_annotator": 2 * above / (2 * above + error + noise),
            "ccc_limit": np.sqrt(above / (above + noise)),
        }
