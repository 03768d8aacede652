r"""Tests of the difference of two systems on the same utterances (counts: ``paired``).

Sign-flip test
--------------
If the systems were exchangeable, swapping their answers for all utterances of a speaker would
change nothing. The p-value is the share of such swaps that make the difference at least as large
as it is: of all :math:`2^G` where at most 14 clusters differ, else of random ones, as
:math:`(1 + hits) / (1 + flips)` (Phipson and Smyth, 2010). It needs no variance and no normal
distribution, only clusters that are independent; with G clusters that differ it cannot fall below
:math:`2^{1-G}`, so that five speakers never give .05.

McNemar's test
--------------
compares right with wrong utterance by utterance and takes them for independent; it is here because
papers ask for it. Where speakers are known, the sign-flip test of ``wa`` is the honest version.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..errors import OptionError
from .confusion import Counts, Policy
from .decisions import Equivalence, detectable, equivalence
from .hard import HARD_METRICS
from .intervals import Interval
from .paired import PairedCounts, difference, difference_error, difference_interval, gap

Floats = NDArray[np.float64]

EXACT_UP_TO = 14
"""So many clusters that differ are enumerated: 16,384 sign patterns."""

_ROUNDING = 1e-12  # two equal differences may differ by the order of their sums
_CHUNK = 2_000_000  # signs held at once (16 MB)


@dataclass(frozen=True, slots=True)
class SignFlip:
    """Outcome of the sign-flip test.

    Attributes:
        p_value: Two-sided, in (0, 1]; ``None`` where the difference does not exist.
        method: ``exact``, ``random`` or ``none``.
        n_differ: Clusters (utterances, where no clusters are known) on which the systems differ.
        flips: Sign patterns that were looked at.
        least: The smallest p-value that the test could have given.
    """

    p_value: float | None
    method: str
    n_differ: int
    flips: int
    least: float


def sign_flip_test(
    counts: PairedCounts,
    metric: str,
    *,
    policy: Policy = "strict",
    flips: int = 20_000,
    seed: int,
) -> SignFlip:
    """Sign-flip test of no difference; the module docstring says how.

    A pattern in which a rate does not exist (``answered`` with nothing answered) counts as at least
    as large, so that the test errs towards no difference.

    Args:
        counts: Joint counts; with one cluster, utterances are flipped one by one.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.
        flips: Random patterns where there are too many to enumerate, at least 100.
        seed: Of the random patterns.

    Raises:
        UnknownNameError: For another metric.
        OptionError: For fewer flips.

    Example:
        >>> from voxemo_tasks.metrics.paired import pair
        >>> gold = {f"u{i}": "sad" for i in range(6)}
        >>> p = pair(("sad",), gold, gold, dict.fromkeys(gold), {u: u for u in gold})
        >>> t = sign_flip_test(p, "wa", seed=1)  # all six speakers one way: 2 of 64 patterns
        >>> t.method, t.p_value, t.least
        ('exact', 0.03125, 0.03125)
    """
    if flips < 100:
        raise OptionError(f"flips is {flips}; a test needs at least 100")
    observed = difference(counts, metric, policy)
    units, times = _units(counts)
    differ = int(times.sum())
    exact = differ <= EXACT_UP_TO
    tried = 2**differ if exact else flips
    least = 2.0 ** min(0, 1 - differ) if exact else max(1 / (1 + flips), 2.0 ** (1 - differ))
    if observed is None:
        return SignFlip(None, "none", differ, 0, least)
    if exact:
        units, times = np.repeat(units, times, axis=0), np.ones(differ, dtype=np.int64)
    size = len(counts.labels)
    centre = counts.tables().sum(axis=(0, 1)).ravel() / 2
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(1, len(times), 2 * len(centre)))
    hits = 0
    for start in range(0, tried, step):
        rows = min(step, tried - start)
        if exact:
            pattern = np.arange(start, start + rows)[:, None] >> np.arange(differ) & 1
            signs = 2.0 * pattern - 1.0
        else:
            signs = _sums_of_signs(times, rows, rng)
        moved = signs @ units / 2
        gaps = np.abs(gap(np.hstack([centre + moved, centre - moved]), size, metric, policy))
        hits += int((~(gaps < abs(observed) - _ROUNDING)).sum())
    p = hits / tried if exact else (1 + hits) / (1 + tried)
    return SignFlip(p, "exact" if exact else "random", differ, tried, least)


def _sums_of_signs(times: Counts, rows: int, rng: np.random.Generator) -> Floats:
    """Sum of as many random signs as each unit stands for, shape ``(rows, U)``."""
    if (times == 1).all():
        bits = np.frombuffer(rng.bytes(-(-rows * len(times) // 8)), dtype=np.uint8)
        flat = np.unpackbits(bits)[: rows * len(times)]
        return 2.0 * flat.reshape(rows, len(times)).astype(np.float64) - 1.0
    return np.asarray(2.0 * rng.binomial(times, 0.5, size=(rows, len(times))) - times)


def _units(counts: PairedCounts) -> tuple[Floats, Counts]:
    """What can be swapped: first less second, shape ``(U, C * (C + 1))``, and how often each is.

    Swapping two answers that are alike changes nothing, so only what differs is kept. Without
    clusters, utterances of the same cell of the joint table are alike, and how many of them are
    swapped is one binomial draw.
    """
    if counts.n_clusters != 1:
        one, two = counts.tables()
        units = (
            (one - two).reshape(counts.n_clusters, int(np.prod(one.shape[1:]))).astype(np.float64)
        )
        return units[units.any(axis=1)], np.ones(int(units.any(axis=1).sum()), dtype=np.int64)
    gold, said, other = np.nonzero(counts.joint[0])
    keep = said != other
    gold, said, other = gold[keep], said[keep], other[keep]
    size = len(counts.labels)
    units = np.zeros((len(gold), size * (size + 1)))
    at = np.arange(len(gold))
    units[at, gold * (size + 1) + said] += 1
    units[at, gold * (size + 1) + other] -= 1
    return units, counts.joint[0][gold, said, other]


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of the utterances that only one system got right.

    Attributes:
        only_first: Utterances that the first alone got right.
        only_second: Utterances that the second alone got right.
        p_exact: Two-sided binomial p-value; 1 where both counts are 0.
        p_mid: The same with half the weight on what was seen: less conservative, and still close
            to its level (Fagerland, Lydersen and Laake, 2013).
    """

    only_first: int
    only_second: int
    p_exact: float
    p_mid: float


def mcnemar(counts: PairedCounts) -> McNemar:
    """McNemar's exact and mid-p test; a non-answer is not right. Takes utterances as independent.

    Example:
        >>> from voxemo_tasks.metrics.paired import pair
        >>> gold = {f"u{i}": "sad" for i in range(6)}
        >>> m = mcnemar(pair(("sad",), gold, gold, dict.fromkeys(gold)))
        >>> m.only_first, m.only_second, m.p_exact, m.p_mid
        (6, 0, 0.03125, 0.015625)
    """
    joint = counts.joint.sum(axis=0)
    labels = np.arange(len(counts.labels))
    both = int(joint[labels, labels, labels].sum())
    one = int(joint[labels, labels].sum()) - both
    two = int(joint[labels, :, labels].sum()) - both
    if not one + two:
        return McNemar(0, 0, 1.0, 1.0)
    exact = float(stats.binomtest(one, one + two, 0.5).pvalue)
    seen = float(stats.binom.pmf(one, one + two, 0.5))
    return McNemar(one, two, exact, 1 - seen / 2 if one == two else exact - seen)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything about one difference.

    Attributes:
        metric: The rate that is compared.
        policy: How non-answers count.
        first: Rate of the first system; ``None`` where it does not exist.
        second: Rate of the second.
        difference: First less second.
        interval: Of the difference.
        standard_error: Of the difference; ``None`` where it does not exist, as all that follows
            from it.
        sign_flip: Test of no difference.
        mcnemar: Test of right against wrong, utterances as independent.
        detectable: Difference that a design of this precision finds with 80 % power at alpha.
        equivalence: Test against the margin; ``None`` without one.
        n: Utterances.
        n_clusters: Clusters; 1 where none are known.
    """

    metric: str
    policy: Policy
    first: float | None
    second: float | None
    difference: float | None
    interval: Interval
    standard_error: float | None
    sign_flip: SignFlip
    mcnemar: McNemar
    detectable: float | None
    equivalence: Equivalence | None
    n: int
    n_clusters: int


def compare(
    counts: PairedCounts,
    metric: str,
    *,
    policy: Policy = "strict",
    margin: float | None = None,
    alpha: float = 0.05,
    replicates: int = 1000,
    flips: int = 20_000,
    seed: int,
) -> Comparison:
    """Difference, interval, tests and what could have been found, of one rate.

    Args:
        counts: Joint counts of the two systems.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.
        margin: The largest difference that does not matter, stated beforehand; without one there
            is no test of equivalence.
        alpha: Level of the tests; the interval has 1 - alpha.
        replicates: Of the bootstrap, at least 100.
        flips: Of the sign-flip test, at least 100.
        seed: Of both.

    Raises:
        UnknownNameError: For another metric.
        OptionError: For an option out of range.

    Example:
        >>> from voxemo_tasks.metrics.paired import pair
        >>> gold = {f"u{i}": "sad" for i in range(12)}
        >>> said = {u: "sad" if i % 3 else None for i, u in enumerate(gold)}
        >>> speakers = {u: f"s{i // 2}" for i, u in enumerate(gold)}
        >>> c = compare(pair(("sad",), gold, gold, said, speakers), "wa", margin=0.5, seed=1)
        >>> c.first, round(c.difference, 3), c.n_clusters, c.sign_flip.p_value
        (1.0, 0.333, 6, 0.125)
    """
    value = difference(counts, metric, policy)
    interval = difference_interval(
        counts, metric, policy=policy, level=1 - alpha, replicates=replicates, seed=seed
    )
    error = difference_error(counts, metric, policy=policy, replicates=replicates, seed=seed)
    least, alike = None, None
    if value is not None and error is not None:
        least = detectable(error[0], df=error[1], alpha=alpha)
        if margin is not None:
            alike = equivalence(value, error[0], margin, df=error[1], alpha=alpha)
    return Comparison(
        metric=metric,
        policy=policy,
        first=HARD_METRICS[metric](counts.confusion(0), policy),
        second=HARD_METRICS[metric](counts.confusion(1), policy),
        difference=value,
        interval=interval,
        standard_error=None if error is None else error[0],
        sign_flip=sign_flip_test(counts, metric, policy=policy, flips=flips, seed=seed),
        mcnemar=mcnemar(counts),
        detectable=least,
        equivalence=alike,
        n=counts.n,
        n_clusters=counts.n_clusters,
    )
