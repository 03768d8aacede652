r"""Agreement of annotators or judges beyond chance, with gaps.

Conventions
-----------
ratings     a float array ``(units, raters)``, NaN where a rater skipped a unit; labels are coded
            by ``rating_table``
pairable    a unit with at least two ratings; all others say nothing of agreement and are counted
raw         the share of pairs of raters that say exactly the same, averaged over pairable units
weights     how much of an agreement two different categories are, 1 on the diagonal: ``nominal``
            (none), ``linear`` :math:`1 - |v_a - v_b| / r`, ``quadratic`` :math:`1 - (v_a - v_b)^2
            / r^2` with the range r of the categories' values, ``ordinal``
            :math:`1 - \binom{|a-b|+1}{2} / \binom{q}{2}` from their ranks

Which chance
------------
The coefficients are all :math:`(p_a - p_e) / (1 - p_e)` and differ in :math:`p_e`. Cohen, Fleiss
and Krippendorff take it from the categories' shares, so that it comes near 1 where one category
fills the data. Gwet's AC takes the chance that a rater guesses at all, which then comes near 0.
This is the prevalence paradox: two judges that agree on 931 of 1,000 replies, 925 of them "no
emotion named", have

=====  ======  ======  ======
raw    kappa   alpha   AC1
=====  ======  ======  ======
.931   .112    .113    .925
=====  ======  ======  ======

Neither is wrong: kappa says that the rare category is not told reliably, AC1 that a reply drawn at
random is. Report both beside ``raw`` and the share of the largest category, and let no single
coefficient decide.

Intervals redraw units, or clusters of them (``voxemo_tasks.metrics.resampling``): they answer
what other units would have given, with the same raters. Other raters are not covered.

Sources: Cohen (1960, 1968); Fleiss (1971); Krippendorff (2004, ch. 11; 2011); Gwet (2008, 2014),
for weights and gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelSetError, OptionError
from .clusters import cluster_sums
from .intervals import Interval
from .resampling import statistic_interval

__all__ = [
    "Agreement",
    "agreement_weights",
    "cohen_kappa",
    "fleiss_kappa",
    "gwet_ac",
    "krippendorff_alpha",
    "rating_table",
]

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]
Weights = Literal["nominal", "linear", "quadratic", "ordinal"]

MOST_VALUES = 100
"""Distinct values up to which alpha is computed by category (the interval level has no limit)."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One coefficient of agreement.

    Attributes:
        coefficient: Its name with level or weights, e.g. ``"alpha ordinal"``.
        value: At most 1; 0 is what chance gives, below is less. ``None`` where it does not exist.
        interval: Of the value, by redrawing units or their clusters.
        raw: Share of pairs that agree exactly, in [0, 1]; ``None`` without a pairable unit.
        n_units: Units that count: with two ratings or more.
        n_left_out: Units with fewer.
        n_ratings: Ratings in the units that count.
        reason: Why there is no value; ``None`` where there is one.
    """

    coefficient: str
    value: float | None
    interval: Interval
    raw: float | None
    n_units: int
    n_left_out: int
    n_ratings: int
    reason: str | None = None


def rating_table(
    labels_by_unit: Sequence[Sequence[str | None]], categories: Sequence[str]
) -> Floats:
    """Labels as ratings: the position of each in the categories.

    Args:
        labels_by_unit: Per unit, one label per rater, the raters in the same order; ``None`` for
            a gap.
        categories: All labels that a rater could choose, in the order of the label set.

    Returns:
        Shape ``(units, raters)``, values 0 to C - 1, NaN for a gap. Pass ``range(C)`` on as the
        categories.

    Raises:
        LabelSetError: For a label that is no category, or units with different numbers of raters.

    Example:
        >>> rating_table([["sad", "sad"], [None, "angry"]], ("angry", "sad"))
        array([[ 1.,  1.],
               [nan,  0.]])
    """
    code: dict[str | None, float] = {label: float(i) for i, label in enumerate(categories)}
    code[None] = np.nan
    widths = {len(unit) for unit in labels_by_unit}
    if len(widths) > 1:
        raise LabelSetError(
            f"units have {sorted(widths)} ratings; give every unit one entry per rater, None where "
            "a rater skipped it"
        )
    unknown = sorted({str(v) for unit in labels_by_unit for v in unit if v not in code})
    if unknown:
        raise LabelSetError(
            f"{unknown[0]!r} (and {len(unknown) - 1} more) is not among the categories "
            f"{tuple(categories)}; score with the label set that the raters chose from"
        )
    rows = [[code[v] for v in unit] for unit in labels_by_unit]
    return np.array(rows, dtype=np.float64).reshape(len(rows), widths.pop() if widths else 0)


def agreement_weights(categories: Sequence[float], weights: Weights = "nominal") -> Floats:
    """The weights of the module docstring, shape ``(q, q)``.

    Raises:
        OptionError: For other weights, fewer than two categories, or ones that do not increase.

    Example:
        >>> agreement_weights((1, 2, 3), "quadratic")
        array([[1.  , 0.75, 0.  ],
               [0.75, 1.  , 0.75],
               [0.  , 0.75, 1.  ]])
    """
    values = np.asarray(list(categories), dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all() or not (np.diff(values) > 0).all():
        raise OptionError(
            f"categories are {tuple(categories)}; give at least two numbers in increasing order, "
            "also those that nobody chose"
        )
    if weights == "nominal":
        return np.eye(len(values))
    if weights in ("linear", "quadratic"):
        apart = np.abs(values[:, None] - values) / (values[-1] - values[0])
        return np.asarray(1 - (apart if weights == "linear" else apart**2), dtype=np.float64)
    if weights == "ordinal":
        steps = np.abs(np.subtract.outer(np.arange(len(values)), np.arange(len(values))))
        pairs = steps * (steps + 1) / 2.0
        return np.asarray(1 - pairs / pairs.max(), dtype=np.float64)
    raise OptionError(f"no weights are called {weights!r}; allowed: {', '.join(get_args(Weights))}")


def _table(ratings: NDArray[np.float64]) -> Floats:
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2:
        raise OptionError(f"ratings have the shape {table.shape}; expected (units, raters)")
    if np.isinf(table).any():
        raise OptionError("ratings hold infinity; a gap is NaN")
    return table


def _votes(table: Floats, categories: Floats) -> Floats:
    """Ratings per unit and category, shape ``(units, q)``."""
    votes = (table[:, :, None] == categories).sum(axis=1).astype(np.float64)
    lost = int((~np.isnan(table)).sum() - votes.sum())
    if lost:
        raise OptionError(
            f"{lost} ratings are none of the categories {tuple(categories.tolist())}; give all "
            "that a rater could choose"
        )
    return np.asarray(votes, dtype=np.float64)


def _finish(
    coefficient: str,
    table: Floats,
    components: Floats,
    function: Callable[[Floats], Floats],
    nothing: str,
    clusters: Sequence[object] | None,
    level: float,
    replicates: int,
    seed: int,
) -> Agreement:
    """A coefficient from components per unit, zero where a unit does not count."""
    ratings = (~np.isnan(table)).sum(axis=1)
    counts = ratings > 1
    n_units = int(counts.sum())
    interval = statistic_interval(
        cluster_sums(components, clusters),
        function,
        level=level,
        replicates=replicates,
        seed=seed,
        low=-1.0,
        high=1.0,
    )
    value = float(function(components.sum(axis=0, keepdims=True))[0]) if n_units else np.nan
    exists = not np.isnan(value)
    return Agreement(
        coefficient=coefficient,
        value=value if exists else None,
        interval=interval,
        raw=_raw(table[counts]) if n_units else None,
        n_units=n_units,
        n_left_out=len(table) - n_units,
        n_ratings=int(ratings[counts].sum()),
        reason=None if exists else nothing if n_units else "no unit has two ratings",
    )


def _raw(table: Floats) -> float:
    """Share of pairs that agree, averaged over units with two ratings or more."""
    here = ~np.isnan(table)
    n = here.sum(axis=1)
    same = (table[:, :, None] == table[:, None, :]).sum(axis=(1, 2)) - n
    return float((same / (n * (n - 1))).mean())


def _one_less(disagreement: Floats, by_chance: Floats, least: Floats | float = 0.0) -> Floats:
    """1 - observed / expected; NaN where nothing but rounding is expected."""
    values = np.full(len(disagreement), np.nan)
    np.divide(disagreement, by_chance, out=values, where=by_chance > least)
    return np.asarray(1 - values, dtype=np.float64)


def krippendorff_alpha(
    ratings: NDArray[np.float64],
    level_of_measurement: Level = "nominal",
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Agreement:
    r"""Krippendorff's alpha.

    .. math:: \alpha = 1 - (N - 1) \frac{\sum_{ck} o_{ck} \delta^2_{ck}}
                                        {\sum_{ck} n_c n_k \delta^2_{ck}}

    with coincidences :math:`o_{ck}` (a unit with m ratings adds each ordered pair with weight
    1/(m-1)), :math:`n_c = \sum_k o_{ck}` and N their sum. The squared differences are 0 or 1
    (nominal), of mid-ranks (ordinal), of values (interval), or :math:`(c-k)^2/(c+k)^2` (ratio).

    Args:
        ratings: Shape ``(units, raters)``, NaN for a gap. Who rated what does not matter.
        level_of_measurement: Of the scale; a Likert item is ordinal.
        clusters: Speaker of each unit, redrawn whole; ``None`` where units are independent.
        level: Nominal coverage of the interval.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Returns:
        Value ``None`` where no unit is pairable or all ratings are alike: then nothing can differ,
        and agreement by chance is perfect.

    Raises:
        OptionError: For another level of measurement or shape, negative values on a ratio scale,
            or more than 100 distinct values on another than the interval level.

    Example:
        >>> table = np.array([[1, 1], [2, 2], [1, 2], [3, np.nan]])
        >>> a = krippendorff_alpha(table, seed=1)
        >>> a.value, a.n_units, a.n_left_out
        (0.4444444444444444, 3, 1)
    """
    table = _table(ratings)
    if level_of_measurement not in get_args(Level):
        raise OptionError(
            f"no level of measurement is called {level_of_measurement!r}; allowed: "
            f"{', '.join(get_args(Level))}"
        )
    if level_of_measurement == "ratio" and (table < 0).any():
        raise OptionError("ratings hold negative values; a ratio scale starts at zero")
    pairable = (~np.isnan(table)).sum(axis=1) > 1
    if level_of_measurement == "interval":
        components = _moments(table, pairable)
        function: Callable[[Floats], Floats] = _interval_alpha
    else:
        values = np.unique(table[pairable])
        values = values[~np.isnan(values)]
        if len(values) > MOST_VALUES:
            raise OptionError(
                f"ratings hold {len(values)} distinct values, more than {MOST_VALUES}; use the "
                "interval level, or bin them as registered"
            )
        values = values if len(values) else np.zeros(1)  # no unit counts, and the sums stay zero
        components = _coincidences(table, pairable, values)
        function = _alpha_function(values, level_of_measurement)
    return _finish(
        f"alpha {level_of_measurement}",
        table,
        components,
        function,
        "all ratings are alike, so that nothing could have differed",
        clusters,
        level,
        replicates,
        seed,
    )


def _coincidences(table: Floats, pairable: NDArray[np.bool_], values: Floats) -> Floats:
    q = len(values)
    out = np.zeros((len(table), q * q))
    votes = (table[pairable][:, :, None] == values).sum(axis=1).astype(np.float64)
    pairs = votes[:, :, None] * votes[:, None, :]
    pairs[:, np.arange(q), np.arange(q)] -= votes
    out[pairable] = (pairs / (votes.sum(axis=1) - 1)[:, None, None]).reshape(-1, q * q)
    return out


def _alpha_function(values: Floats, scale: str) -> Callable[[Floats], Floats]:
    q = len(values)
    fixed = 1 - np.eye(q)
    if scale == "ratio":
        total = values[:, None] + values
        fixed = ((values[:, None] - values) / np.where(total > 0, total, 1.0)) ** 2

    def alpha(sums: Floats) -> Floats:
        together = sums.reshape(-1, q, q)
        margin = together.sum(axis=2)
        apart = np.broadcast_to(fixed, together.shape)
        if scale == "ordinal":
            rank = margin.cumsum(axis=1) - margin / 2
            apart = (rank[:, :, None] - rank[:, None, :]) ** 2
        observed = (together * apart).sum(axis=(1, 2))
        chance = np.einsum("bc,bk,bck->b", margin, margin, apart)
        return _one_less((margin.sum(axis=1) - 1) * observed, chance)

    return alpha


def _moments(table: Floats, pairable: NDArray[np.bool_]) -> Floats:
    """Per unit: weighted squares within it, ratings, their sum, their squares."""
    out = np.zeros((len(table), 4))
    if not pairable.any():
        return out
    held = table[pairable]
    held = held - held[~np.isnan(held)][0]  # equal ratings shall leave nothing but zeros
    n = (~np.isnan(held)).sum(axis=1)
    within = (held - np.nanmean(held, axis=1, keepdims=True)) ** 2
    out[pairable] = np.stack(
        [
            n / (n - 1) * np.nansum(within, axis=1),
            n.astype(np.float64),
            np.nansum(held, axis=1),
            np.nansum(held**2, axis=1),
        ],
        axis=1,
    )
    return out


def _interval_alpha(sums: Floats) -> Floats:
    within, n, total, squares = sums.T
    chance = n * squares - total**2
    return _one_less((n - 1) * within, chance, 1e-12 * n * squares)


def gwet_ac(
    ratings: NDArray[np.float64],
    categories: Sequence[float],
    weights: Weights = "nominal",
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Agreement:
    r"""Gwet's AC1 (nominal weights) and AC2 (other weights).

    .. math:: p_e = \frac{\sum_{ab} w_{ab}}{q (q-1)} \sum_c \pi_c (1 - \pi_c)

    with :math:`\pi_c` the mean over all rated units of the share of their ratings that is c (also
    units with one rating), and :math:`p_a` the weighted agreement of pairs, averaged over pairable
    units.

    Args:
        ratings: Shape ``(units, raters)``, NaN for a gap.
        categories: Values of all categories that a rater could choose, increasing. Unlike other
            coefficients, AC depends on those that nobody chose.
        weights: See the module docstring.
        clusters: Speaker of each unit, redrawn whole; ``None`` where units are independent.
        level: Nominal coverage of the interval.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Returns:
        Value ``None`` only where no unit is pairable.

    Raises:
        OptionError: For other weights or shapes, or ratings that are no category.

    Example:
        >>> table = np.array([[1, 1], [1, 1], [1, 2], [1, np.nan]])
        >>> a = gwet_ac(table, (1, 2), seed=1)
        >>> round(a.value, 6), a.raw == 2 / 3
        (0.573333, True)
    """
    table = _table(ratings)
    kind = agreement_weights(categories, weights)
    q = len(kind)

    def chance(shares: Floats) -> Floats:
        return np.asarray(kind.sum() * (shares * (1 - shares)).sum(axis=1) / (q * (q - 1)))

    return _finish(
        "AC1" if weights == "nominal" else f"AC2 {weights}",
        table,
        _pairs(table, np.asarray(list(categories), dtype=np.float64), kind),
        _beyond(chance),
        "agreement by chance is perfect",
        clusters,
        level,
        replicates,
        seed,
    )


def fleiss_kappa(
    ratings: NDArray[np.float64],
    categories: Sequence[float],
    weights: Weights = "nominal",
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Agreement:
    r"""Fleiss' kappa, for any number of interchangeable raters.

    :math:`p_e = \sum_{ab} w_{ab} \pi_a \pi_b` with the shares of ``gwet_ac``, whose arguments these
    are. Without gaps and with nominal weights this is Fleiss (1971).

    Returns:
        Value ``None`` where no unit is pairable or all ratings are alike.

    Raises:
        OptionError: As ``gwet_ac``.

    Example:
        >>> table = np.array([[1, 1], [2, 2], [1, 2], [1, 1]])
        >>> fleiss_kappa(table, (1, 2), seed=1).value
        0.4666666666666667
    """
    table = _table(ratings)
    kind = agreement_weights(categories, weights)

    def chance(shares: Floats) -> Floats:
        return np.asarray(np.einsum("ba,ac,bc->b", shares, kind, shares))

    return _finish(
        f"fleiss kappa {weights}",
        table,
        _pairs(table, np.asarray(list(categories), dtype=np.float64), kind),
        _beyond(chance),
        "all ratings are alike, so that agreement by chance is perfect",
        clusters,
        level,
        replicates,
        seed,
    )


def _pairs(table: Floats, categories: Floats, kind: Floats) -> Floats:
    """Per unit: its weighted agreement, whether pairable, whether rated, shares by category."""
    votes = _votes(table, categories)
    n = votes.sum(axis=1)
    pairable, rated = n > 1, n > 0
    agreed = (votes * (votes @ kind - 1)).sum(axis=1)
    return np.column_stack(
        [
            np.divide(agreed, n * (n - 1), out=np.zeros(len(n)), where=pairable),
            pairable,
            rated,
            np.divide(votes, n[:, None], out=np.zeros(votes.shape), where=rated[:, None]),
        ]
    )


def _beyond(chance: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Agreement beyond chance from sums of ``_pairs``."""

    def coefficient(sums: Floats) -> Floats:
        missing = np.full(len(sums), np.nan)
        agreed = np.divide(sums[:, 0], sums[:, 1], out=missing.copy(), where=sums[:, 1] > 0)
        shares = sums[:, 3:] / np.maximum(sums[:, 2:3], 1)
        return _one_less(1 - agreed, 1 - chance(shares), 1e-12)

    return coefficient


def cohen_kappa(
    ratings: NDArray[np.float64],
    categories: Sequence[float],
    weights: Weights = "nominal",
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Agreement:
    r"""Cohen's kappa of exactly two raters, weighted or not.

    .. math:: p_e = \sum_{ab} w_{ab} p_{a \cdot} p_{\cdot b}

    with each rater's own shares, over the units that both rated. The arguments are those of
    ``gwet_ac``.

    Returns:
        Value ``None`` where no unit has both ratings, or both raters only ever said the same one
        category.

    Raises:
        OptionError: As ``gwet_ac``, and for another number of raters than two.

    Example:
        >>> table = np.array([[1, 1], [2, 2], [1, 2], [1, 1]])
        >>> cohen_kappa(table, (1, 2), seed=1).value
        0.5
    """
    table = _table(ratings)
    if table.shape[1] != 2:
        raise OptionError(
            f"ratings have {table.shape[1]} columns; Cohen's kappa compares two raters. Use "
            "fleiss_kappa, krippendorff_alpha or gwet_ac for more"
        )
    kind = agreement_weights(categories, weights)
    values = np.asarray(list(categories), dtype=np.float64)
    _votes(table, values)
    q = len(values)
    hot = (table[:, :, None] == values).astype(np.float64)
    cells = hot[:, 0, :, None] * hot[:, 1, None, :]

    def kappa(sums: Floats) -> Floats:
        joint = sums.reshape(-1, q, q) / sums.sum(axis=1)[:, None, None]
        agreed = (joint * kind).sum(axis=(1, 2))
        chance = np.einsum("ba,ac,bc->b", joint.sum(axis=2), kind, joint.sum(axis=1))
        return _one_less(1 - agreed, 1 - chance, 1e-12)

    return _finish(
        f"cohen kappa {weights}",
        table,
        cells.reshape(len(table), q * q),
        kappa,
        "both raters only ever said one and the same category",
        clusters,
        level,
        replicates,
        seed,
    )
