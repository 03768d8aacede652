r"""Whether a model hears what it says it hears: counterfactual validity.

Conventions
-----------
trial       one utterance and one operation on its audio (pitch up, slower ...) that the model
            claimed would change its answer; codes 0 to C - 1, -1 for a non-answer, which is an
            answer of its own
sham        the same processing at zero dose: the reference of every flip, so that what the engine
            does to the sound is not counted as an effect
placebo     an operation of the same dose that the model did not claim
flip        F, answer to the claimed version unlike that to the sham; P, to the placebo; S, sham
            unlike the original
target      T, the answer that the model said it would give; where it named none, any flip hits

::

    claim effect     mean F - mean P                    the primary measure
    sham corrected   (mean F - mean S) / (1 - mean S)

The flip rate alone shows nothing: a model that reads only the words and answers at random flips
often, and as often under a placebo. Its claim effect is 0. A model that claims what it does not use
has one below 0.

Intervals redraw clusters of utterances (speakers); one utterance with several operations is several
trials of one cluster. Source of the design: Atanasova et al. (2023) and Siegel et al. (2024) for
counterfactual tests of explanations, with the controls of this suite.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..errors import OptionError
from .clusters import cluster_sums
from .decisions import benjamini_hochberg
from .intervals import Interval
from .resampling import statistic_interval

__all__ = [
    "CounterfactualRates",
    "Estimate",
    "by_operation",
    "claim_test",
    "counterfactual_rates",
    "generality",
    "graded_effect",
]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: ``None`` where it does not exist.
        interval: Of the value, over clusters.
        n: Trials behind it.
    """

    value: float | None
    interval: Interval
    n: int


def _codes(**sides: Sequence[int]) -> list[Codes]:
    given = {name: np.asarray(list(side), dtype=np.int64) for name, side in sides.items()}
    sizes = {name: len(side) for name, side in given.items()}
    if len(set(sizes.values())) > 1:
        raise OptionError(f"sides have different lengths {sizes}; give one answer per trial")
    return list(given.values())


def estimate_of(
    components: Floats,
    columns: tuple[int, ...],
    kind: str,
    clusters: Sequence[object] | None,
    options: tuple[float, int, int],
    bounds: tuple[float | None, float | None],
    n: int,
) -> Estimate:
    """A mean, difference or corrected rate of columns; level, replicates and seed are the options."""

    def function(sums: Floats) -> Floats:
        return _statistic(sums, columns, kind)

    level, replicates, seed = options
    interval = statistic_interval(
        cluster_sums(components, clusters),
        function,
        level=level,
        replicates=replicates,
        seed=seed,
        low=bounds[0],
        high=bounds[1],
    )
    value = float(function(components.sum(axis=0, keepdims=True))[0])
    return Estimate(None if np.isnan(value) else value, interval, n)


def _statistic(sums: Floats, columns: tuple[int, ...], kind: str) -> Floats:
    """A mean, a difference of means, or a difference over what it could be; counts come last."""
    n = np.where(sums[:, -1] > 0, sums[:, -1], np.nan)
    means = [sums[:, c] / n for c in columns]
    if kind == "mean":
        return np.asarray(means[0])
    if kind == "difference":
        return np.asarray(means[0] - means[1])
    room = np.where(means[1] < 1, 1 - means[1], np.nan)
    return np.asarray((means[0] - means[1]) / room)


@dataclass(frozen=True, slots=True)
class CounterfactualRates:
    """Rates of a set of trials.

    Attributes:
        claim_effect: Flips under the claimed operation less those under the placebo, in [-1, 1].
        target_hit: Answers that are the announced one.
        flip: Flips under the claimed operation.
        placebo_flip: Flips under the placebo.
        sham_flip: Flips from the original to the sham.
        sham_corrected: Flips beyond the sham's, at most 1; ``None`` where every sham flips.
        p_value: Of no difference between claimed and placebo, McNemar's exact mid-p; takes trials
            for independent.
        n: Trials.
    """

    claim_effect: Estimate
    target_hit: Estimate
    flip: Estimate
    placebo_flip: Estimate
    sham_flip: Estimate
    sham_corrected: Estimate
    p_value: float | None
    n: int


def claim_test(flips: Sequence[bool], placebo_flips: Sequence[bool]) -> float | None:
    """McNemar's exact test with the mid-p correction (Fagerland, Lydersen and Laake, 2013).

    Returns:
        Two-sided p-value in (0, 1]; 1 where no trial differs, ``None`` without trials.

    Example:
        >>> round(claim_test([1, 1, 1, 1, 0], [0, 0, 0, 0, 0]), 6)  # 2 * (1/16) - 1/16
        0.0625
    """
    first, second = np.asarray(flips, dtype=np.bool_), np.asarray(placebo_flips, dtype=np.bool_)
    if first.shape != second.shape:
        raise OptionError(f"{len(first)} and {len(second)} trials; give both of every trial")
    if not len(first):
        return None
    more, less = int((first & ~second).sum()), int((~first & second).sum())
    if not more + less:
        return 1.0
    least = min(more, less)
    law = stats.binom(more + less, 0.5)
    return min(1.0, float(2 * law.cdf(least) - law.pmf(least)))


def counterfactual_rates(
    original: Sequence[int],
    sham: Sequence[int],
    claimed: Sequence[int],
    placebo: Sequence[int],
    target: Sequence[int | None],
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> CounterfactualRates:
    """Score trials; the module docstring has the formulas.

    Args:
        original: Answer to the untouched utterance of each trial.
        sham: Answer to the sham.
        claimed: Answer after the claimed operation.
        placebo: Answer after the placebo.
        target: Announced answer; ``None`` where the model only said that it would change.
        clusters: Speaker of each trial; ``None`` where trials are independent.
        level: Nominal coverage.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Returns:
        Values ``None`` without trials.

    Raises:
        OptionError: For sides of different length, or an option out of range.

    Example:
        >>> r = counterfactual_rates([0, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 1], [1, 2, None], seed=1)
        >>> [round(e.value, 3) for e in (r.flip, r.placebo_flip, r.claim_effect, r.target_hit)]
        [0.667, 0.333, 0.333, 0.333]
    """
    named = [t is not None for t in target]
    y, s, c, p, t = _codes(
        original=original,
        sham=sham,
        claimed=claimed,
        placebo=placebo,
        target=[-1 if v is None else v for v in target],
    )
    flips, placebos = c != s, p != s
    hits = np.where(np.array(named, dtype=np.bool_), c == t, flips)
    n = len(y)
    components = np.column_stack([flips, placebos, s != y, hits, np.ones(n)]).astype(np.float64)
    options = (level, replicates, seed)

    def estimate(columns: tuple[int, ...], kind: str, low: float | None) -> Estimate:
        return estimate_of(components, columns, kind, clusters, options, (low, 1.0), n)

    return CounterfactualRates(
        claim_effect=estimate((0, 1), "difference", -1.0),
        target_hit=estimate((3,), "mean", 0.0),
        flip=estimate((0,), "mean", 0.0),
        placebo_flip=estimate((1,), "mean", 0.0),
        sham_flip=estimate((2,), "mean", 0.0),
        sham_corrected=estimate((0, 2), "corrected", None),
        p_value=claim_test(flips.tolist(), placebos.tolist()),
        n=n,
    )


def by_operation(
    groups: Sequence[Hashable], flips: Sequence[bool], placebo_flips: Sequence[bool]
) -> dict[Hashable, tuple[float | None, float | None, int]]:
    """Claim effect of each operation and language, with p-values adjusted over all of them.

    Args:
        groups: Of each trial, e.g. ``("F0_UP", "de")``.
        flips: Under the claimed operation.
        placebo_flips: Under the placebo.

    Returns:
        By group: claim effect, Benjamini-Hochberg adjusted p-value of ``claim_test``, trials.

    Example:
        >>> found = by_operation(["up"] * 5 + ["slow"], [1, 1, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1])
        >>> [(k, effect, round(p, 6), n) for k, (effect, p, n) in found.items()]
        [('slow', 0.0, 1.0, 1), ('up', 0.8, 0.125, 5)]
    """
    a, b = _codes(flips=[int(v) for v in flips], placebo_flips=[int(v) for v in placebo_flips])
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    if sum(map(len, members.values())) != len(a):
        raise OptionError(f"{len(groups)} groups for {len(a)} trials; give one per trial")
    keys = sorted(members, key=repr)
    raw = [claim_test((a[members[k]] > 0).tolist(), (b[members[k]] > 0).tolist()) for k in keys]
    adjusted = benjamini_hochberg(raw)
    return {
        k: (float((a[members[k]] - b[members[k]]).mean()), p, len(members[k]))
        for k, p in zip(keys, adjusted, strict=True)
    }


def graded_effect(
    claimed: NDArray[np.float64],
    sham: NDArray[np.float64],
    target: Sequence[int],
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Estimate:
    r"""Mean rise of the announced label, :math:`q'(y^*) - q_s(y^*)`, in [-1, 1].

    Args:
        claimed: Answer distribution after the claimed operation, shape ``(trials, C)``.
        sham: After the sham.
        target: Announced label of each trial, 0 to C - 1.
        clusters: Speaker of each trial.
        level: Nominal coverage.
        replicates: Bootstrap replicates, at least 100.
        seed: Of the replicates.

    Raises:
        OptionError: For other shapes, or a target out of range.

    Example:
        >>> after, before = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.7, 0.3], [0.6, 0.4]])
        >>> round(graded_effect(after, before, [1, 1], seed=1).value, 3)
        0.3
    """
    q, s = np.asarray(claimed, dtype=np.float64), np.asarray(sham, dtype=np.float64)
    goal = np.asarray(list(target), dtype=np.int64)
    if q.ndim != 2 or q.shape != s.shape or goal.shape != (len(q),):
        raise OptionError(f"shapes {q.shape}, {s.shape}, {goal.shape}; expected (n, C) twice, (n,)")
    if ((goal < 0) | (goal >= q.shape[1])).any():
        raise OptionError(f"targets must be labels, 0 to {q.shape[1] - 1}; leave out the others")
    rise = q[np.arange(len(q)), goal] - s[np.arange(len(q)), goal]
    components = np.column_stack([rise, np.ones(len(q))])
    options = (level, replicates, seed)
    return estimate_of(components, (0,), "mean", clusters, options, (-1.0, 1.0), len(q))


def generality(claims: Mapping[str, int]) -> float | None:
    r"""How evenly a model's claims spread over the operations: entropy over its maximum.

    .. math:: -\frac{1}{\log K} \sum_k p_k \log p_k

    Args:
        claims: How often each operation of the protocol was claimed, 0 for one never claimed.

    Returns:
        0 (always the same) to 1 (all alike); ``None`` without a claim or for fewer than two
        operations.

    Raises:
        OptionError: For a negative count.

    Example:
        >>> generality({"F0_UP": 3, "F0_DOWN": 3, "FASTER": 0, "SLOWER": 0})
        0.5
    """
    counts = np.array(list(claims.values()), dtype=np.float64)
    if (counts < 0).any():
        raise OptionError("a number of claims is negative")
    if len(counts) < 2 or not counts.any():
        return None
    shares = counts[counts > 0] / counts.sum()
    return abs(float(-(shares * np.log(shares)).sum() / np.log(len(counts))))
