r"""Whether more of a change to the audio moves a model's answer more.

The response is anything that should rise with the dose, such as the probability of the label that
the model announced (trials and sham: ``voxemo_tasks.metrics.counterfactual``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..errors import OptionError
from .counterfactual import Estimate, estimate_of

__all__ = ["DoseResponse", "dose_response"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DoseResponse:
    """Whether more of an operation does more.

    Attributes:
        rank_correlation: Spearman's rho of dose and response, averaged over the utterances where it
            exists.
        violations: Share of neighbouring doses where more does less; about half by chance.
        p_value: Page's test (1963) of a rise with the dose, asymptotic; ``None`` for fewer than two
            utterances or three doses.
        fitted: Least-squares rising response by dose (isotonic regression of the means).
        misfit: Share of the variance of the mean responses that no rising curve explains, in
            [0, 1]; ``None`` where they do not vary.
        n: Utterances.
        n_flat: Utterances whose response never varies; they have no rank correlation.
    """

    rank_correlation: Estimate
    violations: Estimate
    p_value: float | None
    fitted: tuple[float, ...] | None
    misfit: float | None
    n: int
    n_flat: int


def dose_response(
    responses: NDArray[np.float64],
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> DoseResponse:
    """Responses of each utterance to rising doses.

    Args:
        responses: Shape ``(utterances, doses)``, doses rising from left to right, finite; e.g. the
            probability of the announced label.
        clusters: Speaker of each utterance.
        level: Nominal coverage.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Raises:
        OptionError: For another shape, fewer than two doses, or values that are not finite.

    Example:
        >>> d = dose_response(np.array([[0.1, 0.4, 0.9], [0.2, 0.1, 0.5]]), seed=1)
        >>> d.rank_correlation.value, d.violations.value, d.n_flat
        (0.75, 0.25, 0)
    """
    table = np.asarray(responses, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise OptionError(
            f"responses have the shape {table.shape}; expected finite (utterances, doses), at least "
            "two doses"
        )
    n, doses = table.shape
    options = (level, replicates, seed)
    ranks = stats.rankdata(table, axis=1) if n else table
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    steps = np.arange(doses) - (doses - 1) / 2
    spread = np.sqrt((ranks**2).sum(axis=1) * (steps**2).sum())
    varies = spread > 0
    rho = np.divide(ranks @ steps, spread, out=np.zeros(n), where=varies)
    less = (np.diff(table, axis=1) < 0).sum(axis=1).astype(np.float64)
    pairs = np.full(n, doses - 1.0)
    p_value = None
    if n >= 2 and doses >= 3:
        p_value = float(stats.page_trend_test(table, method="asymptotic").pvalue)
    fitted: tuple[float, ...] | None = None
    misfit = None
    if n:
        means = table.mean(axis=0)
        rising = _isotonic(means)
        fitted = tuple(rising.tolist())
        total = float(((means - means.mean()) ** 2).sum())
        misfit = float(((means - rising) ** 2).sum()) / total if total > 1e-24 else None
    return DoseResponse(
        rank_correlation=estimate_of(
            np.column_stack([rho, varies.astype(np.float64)]),
            (0,), "mean", clusters, options, (-1.0, 1.0), int(varies.sum()),
        ),
        violations=estimate_of(
            np.column_stack([less, pairs]), (0,), "mean", clusters, options, (0.0, 1.0), n
        ),
        p_value=p_value,
        fitted=fitted,
        misfit=misfit,
        n=n,
        n_flat=int(n - varies.sum()),
    )  # fmt: skip


def _isotonic(values: Floats) -> Floats:
    """Rising least-squares fit: pool neighbours that fall (Ayer et al., 1955)."""
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (b, nb), (a, na) = blocks.pop(), blocks.pop()
            blocks.append(((a * na + b * nb) / (na + nb), na + nb))
    return np.repeat([v for v, _ in blocks], [n for _, n in blocks])
