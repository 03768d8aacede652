r"""Cross-fitted temperature scaling: pooled, per group, and shrunk between the two.

One T per group, fitted to few items, does harm; one T for all misses that groups differ. The third
kind shrinks log T by random effects, and is best in between (excess NLL over ten cultures of 40 to
3000 items, in 1/1000 nat: none 133, pooled 26, per group 4.6, shrunk 3.2).

Everything reported is cross-fitted: the T applied to a speaker's items was fitted without that
speaker. A fit that does not exist (no item says anything about T) or runs into a bound (the training
votes are all the model's own first choice, or nothing like it) is not used: the next wider one is,
the mean of the groups (``shrunk``), the pooled one, then T = 1; the items this happened to are
counted.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .clusters import cluster_codes
from .confidence import soft_hits, top_weights
from .random_effects import random_effects
from .temperature import Temperature, checked_shares, fit_checked, scale

__all__ = [
    "GroupTemperature",
    "Kind",
    "TemperatureReport",
    "crossfit_temperature",
    "disjoint_folds",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["pooled", "group", "shrunk"]


@dataclass(frozen=True, slots=True)
class GroupTemperature:
    """One group before and after, cross-fitted.

    Attributes:
        group: Its name; ``None`` for all items.
        n: Items.
        fitted: The group's own temperature on all its items; what it needs, not what was applied.
        applied: Geometric mean of the temperatures applied to its items.
        nll_before: At T = 1.
        nll_after: At the applied temperatures.
        gap_before: Mean confidence minus mean soft hit; positive is over-confident.
        gap_after: The same after scaling.
        wider: Items that were scaled with a wider temperature than asked for.
    """

    group: Hashable
    n: int
    fitted: Temperature
    applied: float
    nll_before: float
    nll_after: float
    gap_before: float
    gap_after: float
    wider: int


@dataclass(frozen=True, slots=True)
class TemperatureReport:
    """Cross-fitted temperature scaling.

    Attributes:
        kind: ``pooled``, ``group`` or ``shrunk``.
        folds: Speaker-disjoint folds that were used; 0 where one cluster forbids cross-fitting
            and nothing was scaled.
        overall: All items.
        groups: Each group, in order of appearance.
    """

    kind: Kind
    folds: int
    overall: GroupTemperature
    groups: tuple[GroupTemperature, ...]


def disjoint_folds(
    clusters: Sequence[Hashable], folds: int = 5, *, seed: int = 0
) -> NDArray[np.int64]:
    """Folds that part no cluster, as even in size as can be.

    Clusters are shuffled by the seed, taken from the largest down, and each goes to the smallest
    fold so far. The order of the items does not matter.

    Args:
        clusters: The speaker of each item, length N.
        folds: At least 2; never more than there are clusters.
        seed: Of the shuffle, which decides between clusters of equal size.

    Returns:
        Fold of each item, shape ``(N,)``: 0 to the number of folds less one; all 0 for one cluster.

    Raises:
        OptionError: For fewer than two folds.

    Example:
        >>> disjoint_folds(["ann", "ann", "bo", "cy", "cy"], 3).tolist()
        [1, 1, 2, 0, 0]
    """
    if folds < 2:
        raise OptionError(f"folds is {folds}; cross-fitting needs at least two")
    numbers = {name: i for i, name in enumerate(sorted(set(clusters), key=str))}
    index = np.array([numbers[name] for name in clusters], dtype=np.int64)
    if not len(index):
        return index
    sizes = np.bincount(index)
    filled = np.zeros(min(folds, len(sizes)), dtype=np.int64)
    fold_of = np.empty(len(sizes), dtype=np.int64)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(sizes))
    for cluster in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        fold_of[cluster] = filled.argmin()
        filled[fold_of[cluster]] += sizes[cluster]
    return np.asarray(fold_of[index], dtype=np.int64)


def crossfit_temperature(
    log_shares: NDArray[np.float64],
    votes: NDArray[np.int64],
    clusters: Sequence[Hashable],
    groups: Sequence[Hashable] | None = None,
    *,
    kind: Kind = "shrunk",
    folds: int = 5,
    seed: int = 0,
) -> TemperatureReport | None:
    """Scale every item with a temperature that its speaker had no part in.

    ``pooled`` fits one T to all training items; ``group`` one to those of the item's group;
    ``shrunk`` draws the log T of the groups towards their mean by ``random_effects``, as far as
    their standard errors ask for; a group without an estimate of its own gets their mean.

    Args:
        log_shares: Shape ``(N, C)``, finite: log-likelihoods or ``smoothed_log_shares``. The
            confidence of smoothed counts carries the bias of the top share, which a temperature
            takes up; the two cannot be told apart from counts.
        votes: Whole numbers, shape ``(N, C)``, at least one vote per item.
        clusters: The speaker of each item.
        groups: The culture or corpus of each item; without, all are one group.
        kind: Which temperature.
        folds: At least 2.
        seed: Of the folds.

    Returns:
        ``None`` without items. With one cluster nothing is scaled (``folds`` 0) and "after" equals
        "before".

    Raises:
        OptionError: For an unknown kind, shapes or lengths that differ, or an item without votes.

    Example:
        >>> z = np.log(np.tile([[0.9, 0.1]], (6, 1)))
        >>> votes = np.array([[2, 1], [3, 1], [2, 1], [3, 1], [2, 1], [3, 1]])
        >>> r = crossfit_temperature(z, votes, list("aabbcc"), kind="pooled")
        >>> r.folds, round(r.overall.gap_before, 3), abs(r.overall.gap_after) < 1e-9
        (3, 0.192, True)
    """
    if kind not in get_args(Kind):
        raise OptionError(f"no kind is called {kind!r}; allowed: {', '.join(get_args(Kind))}")
    scores, truth = checked_shares(log_shares, votes)
    n = len(scores)
    speaker = cluster_codes(clusters, n, "by_appearance")
    group = (
        np.zeros(n, dtype=np.int64) if groups is None else cluster_codes(groups, n, "by_appearance")
    )
    fold = disjoint_folds(clusters, folds, seed=seed)
    if not n:
        return None
    names: list[Hashable] = [None] if groups is None else list(dict.fromkeys(groups))
    applied = np.ones(n)
    wider = np.zeros(n, dtype=bool)
    used = int(fold.max()) + 1
    for held_out in range(used) if used > 1 else ():
        train = fold != held_out
        pooled = fit_checked(scores[train], truth[train], speaker[train]).value
        own, mean = _by_group(scores, truth, speaker, np.where(train, group, -1), kind)
        for number in range(len(names)):
            test = (fold == held_out) & (group == number)
            best = pooled if kind == "pooled" else own.get(number)
            wider[test] = best is None
            applied[test] = best or mean or pooled or 1.0
    hits = soft_hits(votes, top_weights(scores))
    before, log_before = scale(scores, 1.0)
    after, log_after = scale(scores, applied)

    def summary(name: Hashable, at: NDArray[np.bool_]) -> GroupTemperature:
        return GroupTemperature(
            name,
            int(at.sum()),
            fit_checked(scores[at], truth[at], speaker[at]),
            float(np.exp(np.log(applied[at]).mean())),
            -float((truth[at] * log_before[at]).sum(axis=1).mean()),
            -float((truth[at] * log_after[at]).sum(axis=1).mean()),
            float((before[at].max(axis=1) - hits[at]).mean()),
            float((after[at].max(axis=1) - hits[at]).mean()),
            int(wider[at].sum()),
        )

    return TemperatureReport(
        kind,
        used if used > 1 else 0,
        summary(None, np.ones(n, dtype=bool)),
        tuple(summary(name, group == number) for number, name in enumerate(names)),
    )


def _by_group(
    scores: Floats, truth: Floats, speaker: Ints, group: Ints, kind: Kind
) -> tuple[dict[int, float], float | None]:
    """Temperature by number of the group, for those that have one, and that of a group without.

    Items of group -1 are held out.
    """
    if kind == "pooled":
        return {}, None
    fits = {}
    for number in np.unique(group[group >= 0]).tolist():
        at = group == number
        fits[number] = fit_checked(scores[at], truth[at], speaker[at])
    if kind == "group":
        return {number: fit.value for number, fit in fits.items() if fit.value is not None}, None
    known = {
        number: (float(np.log(fit.value)), fit.log_error)
        for number, fit in fits.items()
        if fit.value is not None and fit.log_error is not None
    }
    if not known:
        return {}, None
    estimates, errors = (np.array(column) for column in zip(*known.values(), strict=True))
    effects = random_effects(estimates, errors)
    shrunk = zip(known, effects.shrunk, strict=True)
    return {number: float(np.exp(log_t)) for number, log_t in shrunk}, float(np.exp(effects.mean))
