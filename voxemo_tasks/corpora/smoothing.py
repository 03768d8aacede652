r"""The exact inverse of EMO-SUPERB's label smoothing.

EMO-SUPERB republishes the raters' distributions smoothed: each class keeps :math:`1 - \epsilon` of
its share and gets :math:`\epsilon / (C - 1)` of what is not its own,

.. math:: p'_c = (1 - \epsilon) p_c + (1 - p_c) \frac{\epsilon}{C - 1},
   \qquad p_c = \frac{p'_c - \epsilon / (C - 1)}{1 - \epsilon - \epsilon / (C - 1)}

with :math:`\epsilon = 0.05` (EMOsuperb/EMO-SUPERB-submission@4167e30, recomputed).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import CorpusError

EPSILON = 0.05


def unsmooth(
    smoothed: Sequence[float], epsilon: float = EPSILON, tolerance: float = 1e-3
) -> tuple[float, ...]:
    """The proportions from which a smoothed distribution was made.

    Args:
        smoothed: One value in [0, 1] per class, as published.
        epsilon: Mass that smoothing moved, in [0, 1 - 1/C).
        tolerance: How far the published digits may lead outside [0, 1], or away from the sum 1:
            three decimals give 5e-4 a class. Values that far below 0 are 0. Nothing is
            renormalised.

    Returns:
        Proportions in [0, 1], in the same order.

    Raises:
        CorpusError: For fewer than two classes, an epsilon that loses everything, or values that
            no distribution can have been smoothed to.

    Example:
        >>> unsmooth([0.95, 0.025, 0.025])
        (1.0, 0.0, 0.0)
        >>> [round(p, 9) for p in unsmooth([0.4875, 0.4875, 0.025])]
        [0.5, 0.5, 0.0]
    """
    n = len(smoothed)
    if n < 2:
        raise CorpusError(f"a smoothed distribution has at least two classes; got {n}")
    floor = epsilon / (n - 1)
    scale = 1 - epsilon - floor
    if epsilon < 0 or scale <= 0:
        raise CorpusError(f"epsilon={epsilon} leaves nothing of {n} classes; it is in [0, 1 - 1/C)")
    proportions = [(value - floor) / scale for value in smoothed]
    total = sum(proportions)
    outside = [p for p in proportions if not -tolerance <= p <= 1 + tolerance]
    if outside or not abs(total - 1) <= n * tolerance:
        raise CorpusError(
            f"{list(smoothed)}: is no distribution smoothed with epsilon={epsilon} (it would give "
            f"{[round(p, 4) for p in proportions]}, which sum to {total:.4f})"
        )
    return tuple(min(1.0, max(0.0, p)) for p in proportions)
