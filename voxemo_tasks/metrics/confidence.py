r"""What a generative model is held to be confident of, and how confident.

Conventions
-----------
counts      per item, how often each label was generated: whole numbers ``(N, C + 1)``, last column
            = non-answers; m is the row's sum
shares      per item, the probability the model gives to each label: ``(N, C)``; what is missing
            from 1 lies outside the label set
weights     per item, where the claimed label lies: ``(N, C)``. One label has weight 1; labels that
            tie for the first place share it evenly, so that neither the order of the labels nor a
            random draw decides. A row sums to at most 1: the rest of the item claimed nothing
confidence  per item, the claimed probability that the label is right, in [0, 1]
strict      a non-answer is a generation that supports no label
answered    non-answers are taken out of the counts first

Why the top share is not a confidence
-------------------------------------
The share of the most frequent of m generations is the largest of C noisy shares, and the largest
is picked partly for its noise. A model that samples from the exact human distribution, and so is
calibrated by construction, looks over-confident by (CREMA-D votes)::

    generations m            3       5      10      20      64
    top share             +.208   +.137   +.071   +.035   +.010
    leave-one-out         +.001   +.001    .000   -.002

Additive smoothing of the counts over-corrects (-.055 to -.009). An ensemble of five prompts
therefore cannot use its top share. ``leave_one_out`` has no such bias at any m of 2 or more: the
label is chosen by m - 1 generations and its probability is read from the one that had no say.

That holds for means (``signed_gap`` of a corpus, a culture, a label). The confidence of one item is
still a noisy number, and an estimator that sorts items by it (binned and smooth errors, Brier
reliability) sees that noise as miscalibration; only likelihoods or a large m are free of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .confusion import Policy

__all__ = [
    "Confidences",
    "Floats",
    "leave_one_out",
    "likelihood",
    "soft_hits",
    "top_share",
    "top_weights",
    "verbalised",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Confidences:
    """Confidence and claimed label of the items that have one.

    Attributes:
        values: Confidence of each item, shape ``(K,)``, in [0, 1].
        weights: Where its claim lies, shape ``(K, C)``, rows summing to at most 1.
        items: Which of the N items these are, shape ``(K,)``, ascending.
        n_items: N; the other ``N - K`` have no confidence.
        kind: ``leave_one_out``, ``top_share``, ``likelihood`` or ``verbalised``.
    """

    values: Floats
    weights: Floats
    items: NDArray[np.int64]
    n_items: int
    kind: str

    @property
    def n(self) -> int:
        """Items with a confidence."""
        return len(self.items)


def top_weights(scores: NDArray[np.float64]) -> Floats:
    """Where the largest of each row lies; ties share the weight evenly.

    Args:
        scores: Counts, shares or scores, shape ``(N, C)``, finite.

    Returns:
        Rows summing to 1, shape ``(N, C)``. A row of equal scores gives 1/C everywhere.

    Raises:
        OptionError: For another shape, no label, or values that are not finite.

    Example:
        >>> top_weights(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]))
        array([[0. , 1. , 0. ],
               [0.5, 0. , 0.5]])
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or not values.shape[1] or not np.isfinite(values).all():
        raise OptionError(
            f"scores of the shape {values.shape}; expected finite values (N, C), one column per "
            "label"
        )
    first = values == values.max(axis=1, keepdims=True)
    return np.asarray(first / first.sum(axis=1, keepdims=True), dtype=np.float64)


def soft_hits(votes: NDArray[np.int64], weights: NDArray[np.float64]) -> Floats:
    r"""How often a human agrees with the claim: the calibration target.

    .. math:: h_i = \sum_c w_{ic} \frac{v_{ic}}{k_i}

    with the votes :math:`v_{ic}` for label c, :math:`k_i` votes in all, and the weights of the
    claimed label. For one claimed label this is :math:`\hat p_i[\arg\max_c q_{ic}]`; claims that
    tie are averaged. Held to the plurality label instead, a model that states the exact human
    distribution on CREMA-D has an "error" of .22, all of it human disagreement (Baan et al., 2022,
    arXiv:2210.16133).

    Args:
        votes: Whole numbers, shape ``(N, C)``, at least one vote per item.
        weights: Shape ``(N, C)``, e.g. of ``top_weights``; see the module docstring.

    Returns:
        Values in [0, 1], shape ``(N,)``.

    Raises:
        OptionError: For shapes that differ, an item without votes, counts that are no counts, or
            weights outside [0, 1].

    Example:
        >>> votes = np.array([[3, 1, 0], [1, 1, 2]])
        >>> soft_hits(votes, top_weights(np.array([[0.7, 0.2, 0.1], [0.4, 0.2, 0.4]])))
        array([0.75 , 0.375])
    """
    counts = whole_counts(votes, "votes")
    claimed = np.asarray(weights, dtype=np.float64)
    if counts.shape != claimed.shape:
        raise OptionError(
            f"votes have the shape {counts.shape} and weights {claimed.shape}; both are (N, C) over "
            "the same items and labels"
        )
    totals = counts.sum(axis=1)
    if not totals.all():
        raise OptionError(
            f"{int((totals == 0).sum())} item(s) without a vote, the first is number "
            f"{int(np.argmin(totals > 0))}; leave them out of votes and weights"
        )
    if not ((claimed >= 0) & (claimed <= 1)).all() or (claimed.sum(axis=1) > 1 + 1e-9).any():
        raise OptionError("weights must lie in [0, 1] and sum to at most 1 per item")
    return np.asarray((claimed * counts).sum(axis=1) / totals, dtype=np.float64)


def leave_one_out(counts: NDArray[np.int64], policy: Policy = "strict") -> Confidences:
    r"""Unbiased confidence from repeated generations.

    Leave generation g out, let the others choose the label, and see whether g agrees. Averaged over
    the m generations, with :math:`w^{-g}` the weights of the label chosen without g,

    .. math:: \mathrm{conf}_i = \frac{1}{m} \sum_g w^{-g}_{i, y_g}, \qquad
              w_i = \frac{1}{m} \sum_g w^{-g}_i

    A non-answer agrees with no label and is never chosen; where the others hold no answer at all,
    nothing is claimed. Both numbers are unbiased for one and the same question, so that the mean of
    confidence minus ``soft_hits(votes, weights)`` estimates the gap of a model that chooses by
    m - 1 generations.

    Args:
        counts: Generations per label, shape ``(N, C + 1)``, last column = non-answers.
        policy: ``strict`` keeps non-answers among the m; ``answered`` takes them out.

    Returns:
        Items with fewer than two generations that count are left out.

    Raises:
        OptionError: For another shape, policy, or counts that are no counts.

    Example:
        >>> c = leave_one_out(np.array([[3, 1, 0], [2, 0, 2]]))
        >>> c.values  # 3/4 * 1 + 1/4 * 0; 2/4 * 1 + 2/4 * 0
        array([0.75, 0.5 ])
        >>> c.weights
        array([[1., 0.],
               [1., 0.]])
    """
    generated = _generations(counts, policy)
    totals = generated.sum(axis=1)
    items = np.flatnonzero(totals >= 2)
    kept, m = generated[items], totals[items]
    labels = kept.shape[1] - 1
    values = np.zeros(len(items))
    weights = np.zeros((len(items), labels))
    # Generations of one label are alike: leaving out any of them is the same case.
    for left_out in range(labels + 1):
        others = kept.copy()
        others[:, left_out] -= 1
        said = others[:, :-1].astype(np.float64)
        chosen = top_weights(said) * (said.max(axis=1, keepdims=True) > 0)
        share = kept[:, left_out] / m
        weights += share[:, None] * chosen
        if left_out < labels:
            values += share * chosen[:, left_out]
    return Confidences(
        np.clip(values, 0, 1), np.clip(weights, 0, 1), items, len(totals), "leave_one_out"
    )


def top_share(counts: NDArray[np.int64], policy: Policy = "strict") -> Confidences:
    """Share of the most frequent label among the generations: the usual confidence, and biased.

    Over-confident by .137 for five generations of a perfect model (see the module docstring); here
    for comparison with results that use it, and for a large m.

    Args:
        counts: Generations per label, shape ``(N, C + 1)``, last column = non-answers.
        policy: ``strict`` keeps non-answers among the m; ``answered`` takes them out.

    Returns:
        Items without a generation that counts are left out; one of non-answers alone claims nothing
        with confidence 0.

    Raises:
        OptionError: For another shape, policy, or counts that are no counts.

    Example:
        >>> top_share(np.array([[3, 1, 0], [2, 0, 2]])).values
        array([0.75, 0.5 ])
    """
    generated = _generations(counts, policy)
    totals = generated.sum(axis=1)
    items = np.flatnonzero(totals)
    said = generated[items, :-1].astype(np.float64)
    most = said.max(axis=1, keepdims=True)
    weights = top_weights(said) * (most > 0)
    return Confidences(most[:, 0] / totals[items], weights, items, len(totals), "top_share")


def likelihood(shares: NDArray[np.float64], policy: Policy = "strict") -> Confidences:
    """Confidence from the probabilities of the labels themselves.

    A label's probability is the sum over all its surface forms; of the first token alone, labels
    that begin alike collide.

    Args:
        shares: Shape ``(N, C)``, in [0, 1], rows summing to at most 1; the rest is mass outside
            the label set.
        policy: ``strict`` takes the shares as they are; ``answered`` divides by their sum.

    Returns:
        The largest share of each item. Items with no mass on any label are left out under
        ``answered``; under ``strict`` they claim nothing with confidence 0.

    Raises:
        OptionError: For another shape or policy, or shares out of range.

    Example:
        >>> likelihood(np.array([[0.6, 0.2]])).values, likelihood(np.array([[0.6, 0.2]]),
        ...     policy="answered").values.round(6)
        (array([0.6]), array([0.75]))
    """
    _check_policy(policy)
    given = np.asarray(shares, dtype=np.float64)
    if given.ndim != 2 or not given.shape[1]:
        raise OptionError(f"shares have the shape {given.shape}; expected (N, C)")
    sums = given.sum(axis=1)
    if not ((given >= 0) & (given <= 1)).all() or (sums > 1 + 1e-6).any():
        raise OptionError(
            "shares must lie in [0, 1] and sum to at most 1 per item; take the exponential of "
            "log-probabilities, and count each surface form once"
        )
    items = np.arange(len(given)) if policy == "strict" else np.flatnonzero(sums > 0)
    kept = given[items]
    if policy == "answered":
        kept = kept / sums[items, None]
    most = kept.max(axis=1, keepdims=True)
    weights = top_weights(kept) * (most > 0)
    return Confidences(most[:, 0].clip(0, 1), weights, items, len(given), "likelihood")


def verbalised(
    stated: NDArray[np.float64], predicted: NDArray[np.int64], n_labels: int
) -> Confidences:
    """Confidence that the model put into words, as it stands.

    Models state high numbers whatever they know (Xiong et al., 2024, arXiv:2306.13063): a track of
    its own, never mixed with the other kinds.

    Args:
        stated: In [0, 1], shape ``(N,)``; NaN where none was stated.
        predicted: Index of the answered label, shape ``(N,)``; -1 for a non-answer.
        n_labels: C.

    Returns:
        Items without a stated confidence or without an answer are left out.

    Raises:
        OptionError: For another shape, a confidence outside [0, 1] or a label outside the set.

    Example:
        >>> c = verbalised(np.array([0.9, np.nan]), np.array([1, 0]), 2)
        >>> c.values, c.weights, c.n_items
        (array([0.9]), array([[0., 1.]]), 2)
    """
    values = np.asarray(stated, dtype=np.float64)
    at = np.asarray(predicted)
    if values.ndim != 1 or at.shape != values.shape or at.dtype.kind not in "iu":
        raise OptionError(
            f"stated has the shape {values.shape}, predicted {at.shape} of {at.dtype}; expected (N,) "
            "twice, predicted as whole numbers"
        )
    if ((values < 0) | (values > 1)).any():
        raise OptionError("a stated confidence must lie in [0, 1]; divide percentages by 100")
    if ((at < -1) | (at >= n_labels)).any():
        raise OptionError(f"predicted must be a label's index below {n_labels}, or -1")
    items = np.flatnonzero(~np.isnan(values) & (at >= 0))
    return Confidences(values[items], np.eye(n_labels)[at[items]], items, len(values), "verbalised")


def whole_counts(counts: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """Counts as ``int64``, shape ``(N, C)``.

    Raises:
        OptionError: For another shape, a negative or a broken number.
    """
    given = np.asarray(counts)
    if given.ndim != 2 or not given.shape[1]:
        raise OptionError(f"{what} have the shape {given.shape}; expected one row per item")
    if given.dtype.kind not in "iu" or (given < 0).any():
        raise OptionError(f"{what} must be whole numbers, 0 or more; got {given.dtype}")
    return given.astype(np.int64)


def _check_policy(policy: Policy) -> None:
    if policy not in get_args(Policy):
        raise OptionError(f"no policy is called {policy!r}; allowed: strict, answered")


def _generations(counts: NDArray[np.int64], policy: Policy) -> NDArray[np.int64]:
    """Counts under the policy, shape ``(N, C + 1)``."""
    _check_policy(policy)
    given = whole_counts(counts, "generation counts")
    if given.shape[1] < 2:
        raise OptionError(
            f"generation counts have the shape {given.shape}; expected (N, C + 1) with the "
            "non-answers last"
        )
    if policy == "answered":
        given[:, -1] = 0
    return given
