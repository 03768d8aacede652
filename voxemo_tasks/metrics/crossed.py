r"""Intervals where two things were sampled and crossed: speakers and sentences.

Acted corpora have every speaker say the same sentences (RAVDESS: 24 speakers, 2 sentences; CREMA-D:
91 and 12). Utterances of one sentence are alike too, so that redrawing speakers alone says how the
rate would move with other speakers *saying the same sentences*. For other speakers and other
sentences, Cameron, Gelbach and Miller (2011, Journal of Business and Economic Statistics 29(2))::

    V  =  V_speaker + V_sentence - V_both

where :math:`V_a = \frac{G_a}{G_a - 1} \sum_g (\sum_{i \in g} u_i)^2` over the clusters g of one kind,
both = speaker and sentence together, and :math:`u_i` is the influence of utterance i: the derivative
of the rate by its count. All utterances of one cell of the confusion have the same influence, so
that counts by cluster are all that is needed.

Conventions
-----------
limits      rate :math:`\pm t \sqrt{V}`, with one degree of freedom less than the fewer of speakers
            and sentences. Two sentences leave one degree of freedom and t = 12.7: they cannot speak
            for other sentences, and the interval says so
V too small in small samples the difference can fall below a part of it, or below zero; V is then the
            largest of V, V_speaker and V_sentence, so that it is never narrower than either alone
            (MacKinnon, Nielsen and Webb, 2024, arXiv:2406.08880, on ways to avoid such variances)

The influence is linear: for a rate near 0 or 1 with few utterances the limits are rough, and they
are clipped to [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..errors import OptionError, UnknownNameError
from .clusters import cluster_codes, sums_of
from .confusion import Confusion, Policy
from .hard import HARD_METRICS
from .intervals import Interval, table_rates

Floats = NDArray[np.float64]

_STEP = 1e-4  # of the central difference, in utterances; its error is of the order of its square


def influences(confusion: Confusion, metric: str, policy: Policy = "strict") -> Floats:
    """Derivative of a rate by the count of each cell.

    What one more utterance of that cell would add to the rate, to first order; summed over all
    utterances it is 0, because a rate does not change where all counts double.

    Args:
        confusion: Pooled counts.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.

    Returns:
        Shape ``(C, C + 1)``; 0 for a cell without utterances, whose derivative nobody asks for.

    Raises:
        UnknownNameError: For another metric.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 1, 0], [0, 4, 0]]))
        >>> influences(c, "wa").round(6)  # (1 - 7/8) / 8 where right, -(7/8) / 8 where wrong
        array([[ 0.015625, -0.109375,  0.      ],
               [ 0.      ,  0.015625,  0.      ]])
    """
    if metric not in HARD_METRICS:
        raise UnknownNameError("hard metric", metric, HARD_METRICS)
    counts = confusion.counts.astype(np.float64)
    cells = np.argwhere(counts > 0)
    moved = np.zeros((len(cells), *counts.shape))
    moved[np.arange(len(cells)), cells[:, 0], cells[:, 1]] = _STEP
    slopes = table_rates(counts + moved, metric, policy)
    slopes = (slopes - table_rates(counts - moved, metric, policy)) / (2 * _STEP)
    out = np.zeros(counts.shape)
    out[cells[:, 0], cells[:, 1]] = slopes
    return out


@dataclass(frozen=True, slots=True)
class CrossedInterval:
    """A two-way interval and what it is made of.

    Attributes:
        interval: Of the rate; ``n_clusters`` is the fewer of speakers and sentences, ``method``
            is ``two_way`` or ``none``, and there are no replicates.
        standard_error: Square root of the variance that was used.
        variance_speakers: One-way, over speakers.
        variance_sentences: One-way, over sentences.
        variance_both: Over speaker and sentence together.
        raised: Whether the two-way variance was below one of its parts, so that the larger was
            taken.
        n_speakers: Speakers.
        n_sentences: Sentences.
        n_both: Combinations that occur.
    """

    interval: Interval
    standard_error: float | None
    variance_speakers: float | None
    variance_sentences: float | None
    variance_both: float | None
    raised: bool
    n_speakers: int
    n_sentences: int
    n_both: int


def crossed_interval(
    labels: Sequence[str],
    gold: Sequence[str],
    predicted: Sequence[str | None],
    speakers: Sequence[str],
    sentences: Sequence[str],
    metric: str,
    *,
    policy: Policy = "strict",
    level: float = 0.95,
) -> CrossedInterval:
    """Two-way cluster interval of a hard rate.

    Args:
        labels: The label set, in its order.
        gold: Gold label of each utterance.
        predicted: The label that was answered; ``None`` for a non-answer.
        speakers: Speaker of each utterance.
        sentences: Sentence of each utterance.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.
        level: Nominal coverage, in (0, 1).

    Returns:
        An interval without limits, and the reason, where the rate does not exist or there is only
        one speaker or one sentence.

    Raises:
        UnknownNameError: For another metric.
        OptionError: For a level out of range or lists of different length.
        LabelSetError: For a label outside the set.

    Example:
        >>> who = [s for s in "abcd" for _ in range(6)]
        >>> what = ["one", "two", "three"] * 8
        >>> said = ["sad" if i % 5 else None for i in range(24)]
        >>> c = crossed_interval(("sad",), ["sad"] * 24, said, who, what, "wa")
        >>> c.interval.method, c.n_speakers, c.n_sentences, c.n_both
        ('two_way', 4, 3, 12)
    """
    if not 0 < level < 1:
        raise OptionError(f"level is {level}; it must lie between 0 and 1, e.g. 0.95")
    if not len(gold) == len(speakers) == len(sentences):
        raise OptionError(
            f"{len(gold)} gold labels, {len(speakers)} speakers and {len(sentences)} sentences; "
            "there must be one of each per utterance"
        )
    confusion = Confusion.from_pairs(labels, gold, predicted)
    slopes = influences(confusion, metric, policy)
    value = HARD_METRICS[metric](confusion, policy)
    both = list(zip(speakers, sentences, strict=True))
    sizes = len(set(speakers)), len(set(sentences)), len(set(both))
    fewer = min(sizes[:2])
    reason = None
    if value is None:
        reason = "the rate is undefined for these data"
    elif fewer < 2:
        reason = f"{sizes[0]} speaker(s) and {sizes[1]} sentence(s); both need at least two"
    if value is None or reason:
        none = Interval(None, None, level, "none", fewer, 0, reason)
        return CrossedInterval(none, None, None, None, None, False, *sizes)
    column: dict[str | None, int] = {label: i for i, label in enumerate(confusion.labels)}
    column[None] = len(confusion.labels)
    u = slopes[[column[g] for g in gold], [column[p] for p in predicted]]
    by_speaker, by_sentence, by_both = (_variance(u, ids) for ids in (speakers, sentences, both))
    two_way = by_speaker + by_sentence - by_both
    used = max(two_way, by_speaker, by_sentence)
    error = used**0.5
    reach = float(stdtrit(fewer - 1, 1 - (1 - level) / 2)) * error
    low, high = max(0.0, value - reach), min(1.0, value + reach)
    return CrossedInterval(
        interval=Interval(low, high, level, "two_way", fewer, 0),
        standard_error=error,
        variance_speakers=by_speaker,
        variance_sentences=by_sentence,
        variance_both=by_both,
        raised=used > two_way,
        n_speakers=sizes[0],
        n_sentences=sizes[1],
        n_both=sizes[2],
    )


def _variance(u: Floats, ids: Sequence[object]) -> float:
    """Sum of squared cluster sums of influences, times G / (G - 1)."""
    codes = cluster_codes(ids, len(u), "by_appearance")
    sums = sums_of(u[:, None], codes)[:, 0]
    return float((sums**2).sum()) * len(sums) / (len(sums) - 1)
