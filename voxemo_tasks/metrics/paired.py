r"""Two systems on the same utterances: is the difference of a rate more than chance?

Conventions
-----------
first, second   two systems (models, prompts, verbalizers) that answered the same utterances
joint           counts, shape ``(G, C, C + 1, C + 1)``: cluster (speaker), gold label, label that the
                first said, label that the second said; non-answers last. Whatever is compared is
                read from it, so the cost does not depend on the number of utterances
difference      rate of the first less rate of the second, each of its own pooled counts
one cluster     where speakers are not known, all utterances are one row and are taken for
                independent; intervals and tests are then too narrow where speakers differ

Tests of the difference stand in ``paired_tests``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelSetError, OptionError, UnknownNameError
from .confusion import Confusion, Counts, Policy
from .hard import HARD_METRICS
from .intervals import Interval, limits, redraw, table_rates
from .resampling import statistic_interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PairedCounts:
    """Joint counts of two systems.

    Attributes:
        labels: The label set, length C.
        joint: Shape ``(G, C, C + 1, C + 1)``; clusters without utterances are allowed.
    """

    labels: tuple[str, ...]
    joint: Counts

    def __post_init__(self) -> None:
        size = len(self.labels)
        joint = np.asarray(self.joint)
        if joint.ndim != 4 or joint.shape[1:] != (size, size + 1, size + 1):
            raise LabelSetError(
                f"joint counts have the shape {joint.shape}; {size} labels need "
                f"(G, {size}, {size + 1}, {size + 1})"
            )
        if joint.dtype.kind not in "iu" or (joint < 0).any():
            raise LabelSetError("joint counts must be whole numbers, 0 or more")
        kept = joint[joint.any(axis=(1, 2, 3))].astype(np.int64)
        kept.setflags(write=False)
        object.__setattr__(self, "joint", kept)

    @property
    def n(self) -> int:
        """Utterances."""
        return int(self.joint.sum())

    @property
    def n_clusters(self) -> int:
        """Clusters with utterances; 1 where none are known."""
        return len(self.joint)

    def tables(self) -> Counts:
        """Counts of each system by cluster, shape ``(2, G, C, C + 1)``."""
        return np.stack([self.joint.sum(axis=3), self.joint.sum(axis=2)])

    def confusion(self, system: int) -> Confusion:
        """Pooled counts of the first (0) or the second (1)."""
        return Confusion(self.labels, self.tables()[system].sum(axis=0))


def pair(
    labels: Sequence[str],
    gold: Mapping[str, str],
    first: Mapping[str, str | None],
    second: Mapping[str, str | None],
    clusters: Mapping[str, str] | None = None,
) -> PairedCounts:
    """Count two systems utterance by utterance.

    Args:
        labels: The label set, in its order.
        gold: Gold label by utterance id.
        first: Answered label by utterance id; ``None`` for a non-answer.
        second: The same of the other system.
        clusters: Speaker by utterance id; ``None`` where speakers are not known.

    Raises:
        LabelSetError: For systems that did not answer the same utterances as there is gold for
            (nothing is dropped to make them fit), or labels outside the set.

    Example:
        >>> p = pair(("angry", "sad"), {"u1": "sad", "u2": "angry"}, {"u1": "sad", "u2": None},
        ...          {"u1": "angry", "u2": None}, {"u1": "s1", "u2": "s2"})
        >>> p.n, p.n_clusters, p.joint[0, 1].tolist()
        (2, 2, [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
    """
    wrong = []
    for name, given in (("first", first), ("second", second), ("clusters", clusters)):
        if given is None:
            continue
        missing, extra = gold.keys() - given.keys(), given.keys() - gold.keys()
        for ids, what in ((missing, f"without {name}"), (extra, f"in {name} without gold")):
            if ids:
                wrong.append(f"{len(ids)} {what} (e.g. {min(ids)!r})")
    if wrong:
        raise LabelSetError(
            f"the two sides are not the same utterances: of {len(gold)} with gold, {len(first)} "
            f"in first and {len(second)} in second, {'; '.join(wrong)}. Compare runs of the same "
            "corpus, protocol and fold; an answer that failed is None, not absent"
        )
    width = len(labels) + 1
    column: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
    rows = dict(column)
    column[None] = len(labels)
    position: dict[str, int] = {}
    cells = []
    try:
        for utterance, label in gold.items():
            cluster = 0
            if clusters is not None:
                cluster = position.setdefault(clusters[utterance], len(position))
            cell = cluster * len(labels) + rows[label]
            cell = cell * width + column[first[utterance]]
            cells.append(cell * width + column[second[utterance]])
    except KeyError as error:
        raise LabelSetError(
            f"the label {error.args[0]!r} is not one of {', '.join(labels)}; map gold labels with "
            "the label set, and pass None for an answer off the menu"
        ) from None
    groups = len(position) if clusters is not None else 1
    shape = (groups, len(labels), width, width)
    counts = np.bincount(np.array(cells, dtype=np.int64), minlength=int(np.prod(shape)))
    return PairedCounts(tuple(labels), counts.reshape(shape))


def difference(counts: PairedCounts, metric: str, policy: Policy = "strict") -> float | None:
    """Rate of the first less rate of the second, in [-1, 1].

    Returns:
        ``None`` where one of the rates does not exist.

    Raises:
        UnknownNameError: For a name that is not in ``HARD_METRICS``.

    Example:
        >>> p = pair(("angry", "sad"), {"u1": "sad", "u2": "sad"}, {"u1": "sad", "u2": "sad"},
        ...          {"u1": "sad", "u2": None})
        >>> difference(p, "wa"), difference(p, "wa", policy="answered")
        (0.5, 0.0)
    """
    if metric not in HARD_METRICS:
        raise UnknownNameError("hard metric", metric, HARD_METRICS)
    one, two = (HARD_METRICS[metric](counts.confusion(i), policy) for i in (0, 1))
    return None if one is None or two is None else one - two


def gap(flat: Floats, size: int, metric: str, policy: Policy) -> Floats:
    """Difference of rates for many pairs of tables at once.

    Args:
        flat: Shape ``(B, 2 C (C + 1))``: the table of the first, then that of the second.
        size: Number of labels C.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.

    Returns:
        Shape ``(B,)``; NaN where one of the rates does not exist.
    """
    both = flat.reshape(len(flat), 2, size, size + 1)
    rates = table_rates(both, metric, policy)
    return np.asarray(rates[:, 0] - rates[:, 1])


def _by_cluster(counts: PairedCounts) -> Floats:
    both = counts.tables().swapaxes(0, 1)
    return both.reshape(counts.n_clusters, -1).astype(np.float64)


def _replicates(
    counts: PairedCounts, metric: str, policy: Policy, replicates: int, seed: int
) -> Floats:
    size = len(counts.labels)
    rng = np.random.default_rng(seed)
    if counts.n_clusters == 1:
        joint = counts.joint[0].ravel()
        drawn = rng.multinomial(counts.n, joint / counts.n, size=replicates)
        tables = drawn.reshape(replicates, *counts.joint.shape[1:])
        flat = np.stack([tables.sum(axis=3), tables.sum(axis=2)], axis=1).astype(np.float64)
        gaps = gap(flat.reshape(replicates, -1), size, metric, policy)
    else:
        gaps = gap(redraw(_by_cluster(counts), replicates, rng), size, metric, policy)
    return gaps[~np.isnan(gaps)]


def difference_interval(
    counts: PairedCounts,
    metric: str,
    *,
    policy: Policy = "strict",
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Interval:
    """Bootstrap interval of the difference, clusters redrawn with both systems' answers.

    With one cluster utterances are redrawn as independent; otherwise as
    ``resampling.statistic_interval`` says: Student's t below 30 clusters.

    Returns:
        Limits in [-1, 1]; none, and the reason, for fewer than two utterances or a rate that does
        not exist.

    Raises:
        UnknownNameError: For another metric.
        OptionError: For a level or number of replicates out of range.

    Example:
        >>> gold = {f"u{i}": "sad" for i in range(40)}
        >>> said = {u: "sad" if i % 4 else None for i, u in enumerate(gold)}
        >>> i = difference_interval(pair(("sad",), gold, gold, said), "wa", seed=1)
        >>> i.method, i.low < 0.25 < i.high
        ('iid_bootstrap_percentile', True)
    """
    value = difference(counts, metric, policy)
    size, groups = len(counts.labels), counts.n_clusters
    if groups > 1:
        return statistic_interval(
            _by_cluster(counts),
            lambda flat: gap(flat, size, metric, policy),
            level=level,
            replicates=replicates,
            seed=seed,
            low=-1.0,
            high=1.0,
        )
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    if replicates < 100:
        raise OptionError(f"replicates is {replicates}; an interval needs at least 100")
    if value is None or counts.n < 2:
        reason = f"{counts.n} utterance(s), or a rate that is undefined; needs at least two"
        return Interval(None, None, level, "none", groups, 0, reason)
    drawn = _replicates(counts, metric, policy, replicates, seed)
    if len(drawn) < 2:
        reason = f"the difference is undefined in {replicates - len(drawn)} of {replicates}"
        return Interval(None, None, level, "none", groups, 0, f"{reason} replicates")
    method, low, high = limits(value, drawn, groups, level)
    return Interval(low, high, level, method, groups, len(drawn))


def difference_error(
    counts: PairedCounts,
    metric: str,
    *,
    policy: Policy = "strict",
    replicates: int = 1000,
    seed: int,
) -> tuple[float, int | None] | None:
    r"""Standard error of the difference and its degrees of freedom.

    The standard deviation of the replicates that ``difference_interval`` uses, times
    :math:`\sqrt{G / (G-1)}`, with G - 1 degrees of freedom; with one cluster that of redrawn
    utterances, under the normal distribution (``None``).

    Returns:
        ``None`` for fewer than two utterances, or fewer than two replicates with a difference.

    Example:
        >>> gold = {f"u{i}": "sad" for i in range(40)}
        >>> said = {u: "sad" if i % 4 else None for i, u in enumerate(gold)}
        >>> error, df = difference_error(pair(("sad",), gold, gold, said), "wa", seed=1)
        >>> abs(error - (0.25 * 0.75 / 40) ** 0.5) < 0.005, df
        (True, None)
    """
    groups = counts.n_clusters
    if difference(counts, metric, policy) is None or counts.n < 2:
        return None
    drawn = _replicates(counts, metric, policy, replicates, seed)
    if len(drawn) < 2:
        return None
    spread = float(drawn.std(ddof=1))
    return (spread, None) if groups == 1 else (spread * (groups / (groups - 1)) ** 0.5, groups - 1)
