"""Whether a model is as sure as it is right, for all and for every group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..metrics.brier import brier_decomposition, reliability_diagram
from ..metrics.calibration import SignedGap, l2_error, signed_gap
from ..metrics.confidence import Confidences, leave_one_out, likelihood, soft_hits
from ..metrics.crossfit import GroupTemperature, crossfit_temperature
from ..metrics.group_calibration import calibration_by_group, worst_cell
from ..metrics.ranking import ranking
from ..metrics.smooth_error import smooth_error
from ..metrics.temperature import smoothed_log_shares
from . import model as m
from .blocks import REPLICATES, effects_of, interval_of
from .counting import SPEAKER, Tally
from .soft import columns_of

KINDS: tuple[Literal["pooled", "group", "shrunk"], ...] = ("pooled", "group", "shrunk")
FOLDS = 5
MOST_SMOOTHED = 20_000
"""Utterances up to which the smooth error, quadratic in memory near its kernel, is computed."""


def hard_votes(tally: Tally) -> tuple[list[int], NDArray[np.int64]]:
    """One vote for the gold label, where a corpus has no votes."""
    places, rows = [], []
    for place, i in enumerate(tally.scored):
        label = tally.documents[i].get("label")
        if label is not None:
            places.append(place)
            rows.append([int(label == one) for one in tally.labels])
    return places, np.array(rows, dtype=np.int64).reshape(len(rows), len(tally.labels))


def calibration_block(
    tally: Tally,
    votes: NDArray[np.int64],
    places: Sequence[int],
    shares: NDArray[np.float64] | None,
    keys: Sequence[str],
    target: str,
    seed: int,
) -> m.Calibration | None:
    """Calibration of a task's confidence; ``None`` where it has none.

    Args:
        tally: The task.
        votes: Votes, or one for the gold label.
        places: Which of the scored utterances they are of.
        shares: Shares ``(n, C + 1)`` of these utterances where the model gave them; else its
            generations are counted.
        keys: What to divide by.
        target: ``votes`` or ``label``: what a hit is.
        seed: Of everything that is drawn.
    """
    generations = tally.generations[0][list(places)]
    if shares is not None:
        found = likelihood(np.clip(shares[:, :-1], 0, 1))
        logs = np.log(np.clip(shares[:, :-1], 1e-12, None))
        logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    elif len(places) and generations.sum(axis=1).max() > 1:
        found = leave_one_out(generations)
        logs = smoothed_log_shares(generations)
    else:
        return None
    if not found.n:
        return None
    all_clusters = tally.clusters()
    unit = tally.unit
    names = [f"u{i}" for i in places] if all_clusters is None else [all_clusters[i] for i in places]
    # Folds of the temperature share no speaker, whatever it is that intervals redraw.
    speakers = columns_of(tally, places, SPEAKER)
    apart = names if None in speakers else [str(s) for s in speakers]
    clusters = [names[i] for i in found.items]
    hits = soft_hits(votes[found.items], found.weights)
    groups = {key: columns_of(tally, places, key) for key in keys}
    return m.Calibration(
        confidence=found.kind,
        target=target,
        n=found.n,
        n_without_confidence=found.n_items - found.n,
        overall=_measured(found, hits, clusters, unit, seed),
        by={
            key: _by_group(found, hits, clusters, [g[i] for i in found.items], unit, seed)
            for key, g in groups.items()
        },
        temperature=_temperature(logs, votes, apart, groups, seed),
    )


def _measured(
    found: Confidences, hits: NDArray[np.float64], clusters: list[str], unit: str | None, seed: int
) -> m.Calibrated:
    gap = signed_gap(found.values, hits, clusters, replicates=REPLICATES, seed=seed)
    error = l2_error(found.values, hits)
    smooth = None
    if found.n <= MOST_SMOOTHED:
        smooth = smooth_error(found.values, hits, clusters if unit else None, seed=seed)
    parts = brier_decomposition(found.values, hits)
    order = ranking(found.values, hits)
    bins = reliability_diagram(found.values, hits, clusters, replicates=REPLICATES, seed=seed)
    return m.Calibrated(
        gap=gap_of(gap, unit, seed),
        l2_error=error.value,
        l2_error_squared=error.squared,
        bins=error.bins,
        smooth_error=None if smooth is None else smooth.value,
        smooth_error_by_chance=None if smooth is None else smooth.by_chance,
        smooth_error_p=None if smooth is None else smooth.p_value,
        brier=None if parts is None else parts.brier,
        reliability=None if parts is None else parts.reliability_debiased,
        resolution=None if parts is None else parts.resolution_debiased,
        uncertainty=None if parts is None else parts.uncertainty_debiased,
        disagreement=None if parts is None else parts.disagreement,
        auroc=order.auroc,
        aurc=order.aurc,
        aurc_best=order.aurc_best,
        aurc_random=order.aurc_random,
        diagram=[
            m.DiagramBin(
                low=one.low,
                high=one.high,
                n=one.n,
                mean_confidence=one.mean_confidence,
                mean_target=one.mean_target,
                interval=interval_of(one.interval, unit, seed),
            )
            for one in bins
        ],
    )


def gap_of(gap: SignedGap, unit: str | None, seed: int) -> m.SignedGap:
    """A signed gap as the results have it."""
    return m.SignedGap(
        n=gap.n,
        value=gap.value,
        mean_confidence=gap.mean_confidence,
        mean_target=gap.mean_target,
        interval=interval_of(gap.interval, unit, seed),
        standard_error=gap.standard_error,
        detectable=gap.detectable,
    )


def _by_group(
    found: Confidences,
    hits: NDArray[np.float64],
    clusters: list[str],
    groups: list[str | None],
    unit: str | None,
    seed: int,
) -> m.CalibrationBy:
    rows = [i for i, group in enumerate(groups) if group is not None]
    unknown = len(groups) - len(rows)
    if not rows:
        return m.CalibrationBy(unknown=unknown, groups=[], between=None, largest=None, worst=None)
    values, target = found.values[rows], hits[rows]
    named = [str(groups[i]) for i in rows]
    speakers = [clusters[i] for i in rows]
    by = calibration_by_group(values, target, named, speakers, replicates=REPLICATES, seed=seed)
    worst = worst_cell(values, target, named, speakers, replicates=REPLICATES, seed=seed)
    effects = by.effects
    return m.CalibrationBy(
        unknown=unknown,
        groups=[
            m.GroupGap(
                group=str(one.group),
                gap=gap_of(one.gap, unit, seed),
                shrunk=one.shrunk,
                shrunk_error=one.shrunk_error,
            )
            for one in by.groups
        ],
        between=None if effects is None else effects_of(effects),
        largest=None if by.largest is None else str(by.largest),
        worst=None
        if worst.cell is None or worst.gap is None
        else m.WorstCell(
            cell=str(worst.cell), gap=gap_of(worst.gap, unit, seed), minimum=worst.minimum
        ),
    )


def _temperature(
    logs: NDArray[np.float64],
    votes: NDArray[np.int64],
    names: list[str],
    groups: dict[str, list[str | None]],
    seed: int,
) -> list[m.TemperatureFit]:
    """Temperature scaling, fitted on other speakers than it is tried on."""
    if len(set(names)) < 2:
        return []
    folds = min(FOLDS, len(set(names)))
    out = []
    keys: list[str | None] = [key for key, g in groups.items() if len(set(g) - {None}) > 1]
    for key in keys or [None]:
        named = None if key is None else [str(g) for g in groups[key]]
        for kind in KINDS if key is not None else KINDS[:1]:
            fitted = crossfit_temperature(
                logs, votes, names, named, kind=kind, folds=folds, seed=seed
            )
            if fitted is None:
                continue
            out.append(
                m.TemperatureFit(
                    kind=fitted.kind,
                    by=key,
                    folds=fitted.folds,
                    overall=_fit(fitted.overall),
                    groups=[_fit(one) for one in fitted.groups],
                )
            )
    return out


def _fit(one: GroupTemperature) -> m.GroupTemperature:
    return m.GroupTemperature(
        group=None if one.group is None else str(one.group),
        n=one.n,
        temperature=one.applied,
        nll_before=one.nll_before,
        nll_after=one.nll_after,
        gap_before=one.gap_before,
        gap_after=one.gap_after,
        wider=one.wider,
    )
