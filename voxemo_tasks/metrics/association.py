r"""How strongly two label columns of the same utterances go together.

Conventions
-----------
table       counts, shape ``(R, K)``: label of the first column by label of the second
occurs      a label without an utterance has no row or column: adding unused labels to a set changes
            nothing
V           Cramer's V, 0 for no association, 1 where one column determines the other

With :math:`\varphi^2 = \chi^2 / n` over the r rows and k columns that occur::

    plain        sqrt(phi2 / min(r - 1, k - 1))
    corrected    sqrt(max(0, phi2 - (r-1)(k-1)/(n-1)) / min(r' - 1, k' - 1)),  r' = r - (r-1)^2/(n-1)

Cramer (1946); correction: Bergsma (2013), Journal of the Korean Statistical Society 42(3). Plain V
of independent columns is not 0 but about :math:`\sqrt{\max(r-1, k-1) / n}`: with 8 by 8 labels and
200 utterances .19. Report the corrected one. Neither has a sign or knows which labels are alike:
two columns that always disagree in the same way have V = 1.

A bootstrap replicate repeats utterances and so shows more association than there is, once more:
an interval should be of the corrected V, and one that touches 0 says "no association shown".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .intervals import Interval
from .resampling import statistic_interval

Floats = NDArray[np.float64]
NonAnswers = Literal["outcome", "drop"]


def contingency(
    first: Sequence[str | None],
    second: Sequence[str | None],
    *,
    clusters: Sequence[str] | None = None,
    non_answers: NonAnswers = "outcome",
) -> Floats:
    """Count two label columns by cluster.

    Args:
        first: Label of each utterance; ``None`` for a non-answer.
        second: Label of the same utterances.
        clusters: Speaker of each; without, all are one cluster.
        non_answers: ``outcome`` counts them as one more label; ``drop`` leaves out the utterances
            where either is one. The table's sum says how many are left.

    Returns:
        Counts, shape ``(G, R, K)``: clusters by first appearance, labels sorted, non-answers last.

    Raises:
        OptionError: For columns of different length or another way with non-answers.

    Example:
        >>> contingency(["a", "b", None], ["x", "x", "y"])[0].tolist()
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    if non_answers not in get_args(NonAnswers):
        raise OptionError(f"no way is called {non_answers!r}; allowed: outcome, drop")
    names = ["all"] * len(first) if clusters is None else list(clusters)
    if not len(first) == len(second) == len(names):
        raise OptionError(
            f"columns of {len(first)} and {len(second)} labels and {len(names)} clusters; there "
            "must be one of each per utterance"
        )
    rows = [
        (c, a, b)
        for c, a, b in zip(names, first, second, strict=True)
        if non_answers == "outcome" or (a is not None and b is not None)
    ]
    groups = {c: i for i, c in enumerate(dict.fromkeys(c for c, _, _ in rows))}
    a_at, b_at = _positions([a for _, a, _ in rows]), _positions([b for _, _, b in rows])
    shape = (len(groups), len(a_at), len(b_at))
    cells = [(groups[c] * shape[1] + a_at[a]) * shape[2] + b_at[b] for c, a, b in rows]
    counts = np.bincount(np.array(cells, dtype=np.int64), minlength=int(np.prod(shape)))
    return counts.reshape(shape).astype(np.float64)


def _positions(column: Sequence[str | None]) -> dict[str | None, int]:
    labels: list[str | None] = [*sorted({label for label in column if label is not None})]
    if None in column:
        labels.append(None)
    return {label: i for i, label in enumerate(labels)}


def table_cramers_v(tables: Floats, *, corrected: bool = True) -> Floats:
    """Cramer's V of many tables at once.

    Args:
        tables: Counts, shape ``(..., R, K)``.
        corrected: Bergsma's correction, or plain.

    Returns:
        Shape ``(...)``, in [0, 1]; NaN where fewer than two rows or two columns occur, or (for the
        corrected) so few utterances that no association could be left.

    Example:
        >>> table_cramers_v(np.array([[[5.0, 0.0], [0.0, 5.0]], [[5.0, 0.0], [5.0, 0.0]]]))
        array([ 1., nan])
    """
    n = tables.sum(axis=(-2, -1))
    across, down = tables.sum(axis=-1), tables.sum(axis=-2)
    r, k = (across > 0).sum(axis=-1).astype(np.float64), (down > 0).sum(axis=-1).astype(np.float64)
    margins = across[..., :, None] * down[..., None, :]
    # Counts times n less the product of margins is a whole number: independence gives exactly 0.
    excess = (tables * n[..., None, None] - margins) ** 2
    ratio = np.divide(excess, margins, out=np.zeros_like(margins), where=margins > 0)
    phi2 = ratio.sum(axis=(-2, -1)) / np.maximum(n, 1) ** 2
    if corrected:
        rest = np.maximum(n - 1, 1)
        phi2 = np.maximum(0.0, phi2 - (r - 1) * (k - 1) / rest)
        r, k = r - (r - 1) ** 2 / rest, k - (k - 1) ** 2 / rest
    least = np.minimum(r, k) - 1
    v = np.full(np.shape(n), np.nan)
    np.divide(phi2, least, out=v, where=least > 1e-12)
    return np.asarray(np.minimum(1.0, np.sqrt(v)))


def cramers_v(tables: Floats, *, corrected: bool = True) -> float | None:
    """Cramer's V of all clusters pooled.

    Args:
        tables: Counts by cluster, shape ``(G, R, K)``, from ``contingency``.
        corrected: Bergsma's correction, or plain.

    Returns:
        In [0, 1]; ``None`` where one of the columns holds only one label.

    Raises:
        OptionError: For another shape, or counts below 0.

    Example:
        >>> t = contingency(["a", "a", "b", "b"], ["x", "x", "y", "x"])
        >>> round(cramers_v(t, corrected=False), 4), cramers_v(contingency(["a", "a"], ["x", "y"]))
        (0.5774, None)
    """
    value = float(table_cramers_v(_checked(tables).sum(axis=0), corrected=corrected))
    return None if np.isnan(value) else value


def _checked(tables: Floats) -> Floats:
    values = np.asarray(tables, dtype=np.float64)
    if values.ndim != 3 or not np.isfinite(values).all() or (values < 0).any():
        raise OptionError(
            f"tables have the shape {values.shape}; expected counts by cluster, (G, R, K), 0 or "
            "more: see contingency"
        )
    return values


def cramers_v_interval(
    tables: Floats,
    *,
    corrected: bool = True,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Interval:
    """Bootstrap interval of Cramer's V over clusters; see ``resampling.statistic_interval``.

    Returns:
        Limits in [0, 1]; none, and the reason, for one cluster or a V that does not exist.

    Raises:
        OptionError: For another shape or an option out of range.

    Example:
        >>> t = contingency(["a", "b"] * 6, ["x", "y", "x", "x"] * 3, clusters=list("112233445566"))
        >>> i = cramers_v_interval(t, seed=1)
        >>> i.n_clusters, 0 <= i.low <= i.high <= 1
        (6, True)
    """
    values = _checked(tables)
    shape = values.shape[1:]

    def of_rows(rows: Floats) -> Floats:
        return table_cramers_v(rows.reshape(-1, *shape), corrected=corrected)

    return statistic_interval(
        values.reshape(len(values), -1) if values.size else np.zeros((0, 1)),
        of_rows if values.size else lambda rows: np.full(len(rows), np.nan),
        level=level,
        replicates=replicates,
        seed=seed,
        low=0.0,
        high=1.0,
    )
