r"""Calibration per group (culture, corpus, label), as far as the size of each group allows.

Every group has its signed gap, interval and smallest detectable gap; random effects say how far the
groups really differ (``effects.tau2``), where the gap of a further one would lie (the prediction
interval), and what each group's gap is once its noise is taken into account (``shrunk``). The
ordinary calibration error is not compared across groups: it measures their size.

``worst_cell`` looks for the cell (say culture x gender x label) with the largest gap, as
multicalibration asks (Hebert-Johnson et al., 2018, arXiv:1711.08513); only cells of 200 items or
more, below which a gap of .10 is noise.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .calibration import SignedGap, pairs, signed_gap
from .clusters import cluster_codes
from .random_effects import RandomEffects, random_effects

__all__ = [
    "CELL_MINIMUM",
    "GroupCalibration",
    "GroupSignedGap",
    "WorstCell",
    "calibration_by_group",
    "worst_cell",
]

CELL_MINIMUM = 200
"""Items below which a cell's gap is not looked at."""


@dataclass(frozen=True, slots=True)
class GroupSignedGap:
    """One group.

    Attributes:
        group: Its name.
        gap: Its signed gap.
        shrunk: The gap drawn towards the mean of the groups; ``None`` for a group without a
            standard error, or with one of 0 (fewer than two speakers, no variation).
        shrunk_error: Standard error of that.
    """

    group: Hashable
    gap: SignedGap
    shrunk: float | None
    shrunk_error: float | None


@dataclass(frozen=True, slots=True)
class GroupCalibration:
    """Signed gaps over groups.

    Attributes:
        groups: Each group, in order of appearance.
        effects: Over the groups with a standard error above 0; ``None`` without one.
        largest: Name of the group with the largest shrunk gap, either sign; ``None`` without one.
    """

    groups: tuple[GroupSignedGap, ...]
    effects: RandomEffects | None
    largest: Hashable | None


@dataclass(frozen=True, slots=True)
class WorstCell:
    """The cell with the largest gap.

    Attributes:
        cell: Its name; ``None`` where no cell is large enough.
        gap: Its signed gap; ``None`` where no cell is large enough. The largest of many, so larger
            than it would be in new data.
        cells: Cells that were looked at.
        too_few: Cells that were not, by order of appearance.
        minimum: Items that a cell needs.
    """

    cell: Hashable | None
    gap: SignedGap | None
    cells: int
    too_few: tuple[Hashable, ...]
    minimum: int


def _split(groups: Sequence[Hashable], n: int) -> dict[Hashable, NDArray[np.int64]]:
    index = cluster_codes(groups, n, "by_appearance")
    names = list(dict.fromkeys(groups))
    return {name: np.flatnonzero(index == i) for i, name in enumerate(names)}


def calibration_by_group(
    confidence: NDArray[np.float64],
    target: NDArray[np.float64],
    groups: Sequence[Hashable],
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> GroupCalibration:
    """Signed gap of every group, and what random effects make of them.

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].
        groups: The group of each item.
        clusters: The speaker of each item; without, each item is taken for independent.
        level: Nominal coverage, in (0, 1).
        replicates: Of the bootstrap over clusters, at least 100.
        seed: Of the replicates.

    Raises:
        OptionError: For other shapes, values out of range, or options out of range.

    Example:
        >>> c = np.tile([0.9, 0.7], 6)
        >>> h = np.array([1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0], dtype=float)
        >>> r = calibration_by_group(c, h, ["A"] * 6 + ["B"] * 6, seed=1)
        >>> [(g.group, round(g.gap.value, 3), round(g.shrunk, 3)) for g in r.groups]
        [('A', 0.133, 0.218), ('B', 0.3, 0.218)]
    """
    claimed, found = pairs(confidence, target)
    speakers = None if clusters is None else cluster_codes(clusters, len(claimed), "by_appearance")
    gaps = {}
    for name, at in _split(groups, len(claimed)).items():
        own = None if speakers is None else speakers[at].tolist()
        gaps[name] = signed_gap(
            claimed[at], found[at], own, level=level, replicates=replicates, seed=seed
        )
    known = {
        name: (g.value, g.standard_error)
        for name, g in gaps.items()
        if g.value is not None and g.standard_error
    }
    if not known:
        rows = tuple(GroupSignedGap(name, gap, None, None) for name, gap in gaps.items())
        return GroupCalibration(rows, None, None)
    estimates, errors = (np.array(column) for column in zip(*known.values(), strict=True))
    effects = random_effects(estimates, errors, level=level)
    shrunk = dict(zip(known, zip(effects.shrunk, effects.shrunk_errors, strict=True), strict=True))
    rows = tuple(
        GroupSignedGap(name, gap, *shrunk.get(name, (None, None))) for name, gap in gaps.items()
    )
    largest = max(known, key=lambda name: abs(shrunk[name][0]))
    return GroupCalibration(rows, effects, largest)


def worst_cell(
    confidence: NDArray[np.float64],
    target: NDArray[np.float64],
    cells: Sequence[Hashable],
    clusters: Sequence[Hashable] | None = None,
    *,
    minimum: int = CELL_MINIMUM,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> WorstCell:
    """The cell of at least ``minimum`` items with the largest gap, either sign.

    Args:
        confidence: Shape ``(N,)``, in [0, 1].
        target: Shape ``(N,)``, in [0, 1].
        cells: The cell of each item, e.g. ``("Korean", "female")``.
        clusters: The speaker of each item; without, each item is taken for independent.
        minimum: At least 200: smaller cells win by noise.
        level: Nominal coverage, in (0, 1).
        replicates: Of the bootstrap over clusters, at least 100.
        seed: Of the replicates.

    Raises:
        OptionError: For other shapes, values out of range, a minimum below 200, or other options
            out of range.

    Example:
        >>> w = worst_cell(np.full(500, 0.9), np.repeat([1.0, 0.0], [430, 70]),
        ...                ["A"] * 250 + ["B"] * 240 + ["C"] * 10, seed=1)
        >>> w.cell, round(w.gap.value, 3), w.cells, w.too_few
        ('B', 0.15, 2, ('C',))
    """
    if minimum < CELL_MINIMUM:
        raise OptionError(
            f"minimum is {minimum}; cells below {CELL_MINIMUM} items differ by noise alone"
        )
    claimed, found = pairs(confidence, target)
    speakers = None if clusters is None else cluster_codes(clusters, len(claimed), "by_appearance")
    members = _split(cells, len(claimed))
    large = {name: at for name, at in members.items() if len(at) >= minimum}
    few = tuple(name for name in members if name not in large)
    if not large:
        return WorstCell(None, None, 0, few, minimum)
    worst = max(large, key=lambda name: abs(float((claimed - found)[large[name]].mean())))
    at = large[worst]
    own = None if speakers is None else speakers[at].tolist()
    gap = signed_gap(claimed[at], found[at], own, level=level, replicates=replicates, seed=seed)
    return WorstCell(worst, gap, len(large), few, minimum)
