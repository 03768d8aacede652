r"""Does a confidence tell right answers from wrong ones, whatever its scale?

A confidence can be badly calibrated and still rank well, and the other way round: these numbers use
only the order of the items. Targets may be soft (the share of humans that agrees); an item then
counts as right to that share and as wrong to the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import pairs

__all__ = ["Ranking", "auroc", "ranking"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well confidence ranks.

    Attributes:
        n: Items.
        auroc: In [0, 1], .5 for a confidence that says nothing; ``None`` without a pair of
            different items of which one is right and one is wrong.
        aurc: Area under the risk-coverage curve, in [0, 1], lower is better; ``None`` without
            items.
        aurc_best: The least that any order of these items could give.
        aurc_random: What a random order gives: the mean risk.
    """

    n: int
    auroc: float | None
    aurc: float | None
    aurc_best: float | None
    aurc_random: float | None


def auroc(confidence: NDArray[np.float64], target: NDArray[np.float64]) -> float | None:
    r"""Chance that a right item is claimed with more confidence than a wrong one.

    .. math:: \frac{\sum_{i \ne j} h_i (1 - h_j) \, [c_i > c_j] + \frac{1}{2} [c_i = c_j]}
                   {\sum_{i \ne j} h_i (1 - h_j)}

    An item is not compared with itself. For targets of 0 and 1 this is scikit-learn's
    ``roc_auc_score``. With soft targets the best value is below 1: no confidence parts the votes of
    one item.

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].

    Returns:
        A value in [0, 1]; ``None`` where no two items are right and wrong.

    Raises:
        OptionError: For other shapes or values out of range.

    Example:
        >>> auroc(np.array([0.9, 0.6, 0.6]), np.array([1.0, 1.0, 0.0]))  # (1 + 1/2) / 2
        0.75
    """
    claimed, found = pairs(confidence, target)
    if not len(claimed):
        return None
    level = np.unique(claimed, return_inverse=True)[1]
    right = np.bincount(level, found)
    wrong = np.bincount(level, 1 - found)
    own = float((found * (1 - found)).sum())
    below = np.cumsum(wrong) - wrong
    won = float((right * (below + wrong / 2)).sum()) - own / 2
    compared = float(right.sum() * wrong.sum()) - own
    # With soft targets rounding leaves a trace of pairs where there are none.
    if compared <= 1e-12 * len(claimed):
        return None
    return min(1.0, max(0.0, won / compared))


def _area(risks: NDArray[np.float64]) -> float:
    return float((np.cumsum(risks) / np.arange(1, len(risks) + 1)).mean())


def ranking(confidence: NDArray[np.float64], target: NDArray[np.float64]) -> Ranking:
    r"""AUROC and the area under the risk-coverage curve.

    The risk at coverage j/N is the mean of 1 - h over the j most confident items, and the area is
    the mean over j (Geifman et al., 2019, arXiv:1805.08206). Items of equal confidence take each
    the mean risk of their run, the expectation over the orders they could stand in.

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].

    Returns:
        All ``None`` without items.

    Raises:
        OptionError: For other shapes or values out of range.

    Example:
        >>> r = ranking(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 0.0, 1.0, 1.0]))
        >>> r.aurc, r.aurc_random  # (0 + 1/2 + 1/3 + 1/4) / 4
        (0.2708333333333333, 0.25)
    """
    claimed, found = pairs(confidence, target)
    if not len(claimed):
        return Ranking(0, None, None, None, None)
    level = np.unique(claimed, return_inverse=True)[1]
    sizes = np.bincount(level)
    mean_risk = np.bincount(level, 1 - found) / sizes
    risks = np.repeat(mean_risk, sizes)[::-1]
    return Ranking(
        len(claimed),
        auroc(claimed, found),
        _area(risks),
        _area(np.sort(1 - found)),
        float((1 - found).mean()),
    )
