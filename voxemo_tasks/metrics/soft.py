r"""Soft-label metrics: how near the model's answers come to the distribution of human votes.

Each metric takes votes, predictions and a policy for non-answers (``voxemo_tasks.metrics.votes``),
and returns one value per item; what is reported is the mean. With proportions of votes
:math:`p`, the model's shares :math:`q`, votes :math:`n_c` (sum k) and generations :math:`d_c`
(sum m), sums running over the classes of the policy::

    l2u                sum n(n-1)/(k(k-1)) - 2 sum pq + sum d(d-1)/(m(m-1))     proper, no floor
    vote_brier         1 - 2 sum pq + sum qq                                    proper
    cross_entropy      -sum p log2 q'                                           proper
    kl                 sum p log2 (p / q')                                      proper
    jsd                H((p+q)/2) - (H(p) + H(q))/2                             not proper
    tvd                sum |p-q| / 2                                            not proper
    cosine             sum pq / sqrt(sum pp sum qq)                             not proper
    bhattacharyya      sum sqrt(pq)                                             not proper
    mse                sum (p-q)^2 / C                                          proper

``proper`` says that, over fresh votes of the same annotators, the true distribution is expected to
score best, whatever k is (Gneiting and Raftery, 2007). The others are best served by a sharper
distribution than the true one where k is small: for k = 3 a total variation distance asks for
something near the majority label. They are here to be compared with published numbers, and mean
nothing without k, m, C and the floors of ``voxemo_tasks.metrics.floors``. Sampling adds to each
plug-in value but ``l2u``: a model that draws its m answers from the very distribution of the
annotators does not get the best value.

Smoothing
---------
``cross_entropy`` and ``kl`` need :math:`q' > 0`. Over D classes, counted generations get
:math:`q'_c = (d_c + \alpha) / (m + \alpha D)` with :math:`\alpha = 0.5` (Krichevsky and Trofimov,
1981), shares :math:`q'_c = (1 - \epsilon) q_c + \epsilon / D` with :math:`\epsilon = 0.01`. Both
are registered constants; with few generations the values say as much about them as about the model.
Votes are never smoothed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from ..errors import OptionError
from .votes import Aligned, Counts, Floats, Predicted, Scores, SoftPolicy, Votes, align

__all__ = [
    "ALPHA",
    "EPSILON",
    "SoftRate",
    "bhattacharyya",
    "brier_irreducible",
    "brier_skill",
    "cosine",
    "cross_entropy",
    "entropy_bits",
    "entropy_correlation",
    "jsd",
    "kl",
    "l2u",
    "mse",
    "skill_terms",
    "tvd",
    "vote_brier",
]

ALPHA = 0.5
"""Pseudo-count per class that smooths counted generations."""

EPSILON = 0.01
"""Mass spread evenly over the classes that smooths shares."""

ROUNDING = 1e-9
"""Summed room for skill from which down it is nothing but rounding of a sum that is zero."""

FLAT = 1e-12
"""Variance of entropies, in squared bits, from which down they count as all alike."""


@dataclass(frozen=True, slots=True)
class SoftRate:
    """A value over all items.

    Attributes:
        value: ``None`` where it does not exist.
        n: Items that it was computed from.
        n_unscored: Items that could not be scored.
        reason: Why there is no value; ``None`` where there is one.
    """

    value: float | None
    n: int
    n_unscored: int
    reason: str | None = None


def entropy_bits(shares: Floats) -> Floats:
    """Shannon entropy over the last axis, in bits; in [0, log2 D].

    Example:
        >>> entropy_bits(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist()
        [1.0, 0.0]
    """
    bits: Floats = np.abs(xlogy(shares, shares).sum(axis=-1)) / np.log(2)
    return bits


def _pairs(votes: Counts) -> Floats:
    """Share of pairs of votes that agree, which estimates sum P^2 without bias; NaN for k < 2."""
    k = votes.sum(axis=1)
    shares = np.full(len(k), np.nan)
    np.divide((votes * (votes - 1)).sum(axis=1), k * (k - 1), out=shares, where=k > 1)
    return shares


def _smoothed(a: Aligned, alpha: float, epsilon: float) -> Floats:
    if not alpha > 0 or not 0 < epsilon < 1:
        raise OptionError(
            f"smoothing is alpha={alpha}, epsilon={epsilon}; alpha must be above 0 and epsilon "
            "between 0 and 1, or a vote for an unsaid label would cost infinitely much"
        )
    width = a.q.shape[1]
    exact = np.isinf(a.m)[:, None]
    m = np.where(exact, 1.0, a.m[:, None])
    counted = (a.q * m + alpha) / (m + alpha * width)
    smoothed: Floats = np.where(exact, (1 - epsilon) * a.q + epsilon / width, counted)
    return smoothed


def l2u(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Scores:
    r"""Squared distance between the annotators' and the model's distribution, without bias.

    .. math:: \frac{\sum n_c (n_c - 1)}{k (k - 1)} - 2 \sum p_c q_c
              + \frac{\sum d_c (d_c - 1)}{m (m - 1)}

    The U-statistic of :math:`\sum (P_c - Q_c)^2`, where the k votes are draws from P and the m
    generations draws from Q (Hoeffding, 1948): its expectation is the true distance for every k and
    m from 2 on, so that corpora with different k compare. The last term is :math:`\sum q_c^2` for
    shares. The answers of a prompt ensemble are taken for draws over prompts.

    Returns:
        Expectation in [0, 2], 0 where the distributions are the same. A single item can be
        negative, so that only means are read. Items with k < 2 or m < 2 are unscored.

    Example:
        >>> votes = Votes(np.array([[2, 2], [1, 0]]))
        >>> said = Predicted("sampling", counts=np.array([[1, 1, 0], [2, 0, 0]]))
        >>> scores = l2u(votes, said)
        >>> round(float(scores.values[0]), 12), scores.n_unscored  # 1/3 - 2 * 1/2 + 0
        (-0.666666666667, 1)
    """
    a = align(votes, predicted, policy)
    return a.scores(_pairs(a.votes) - 2 * (a.p * a.q).sum(axis=1) + a.square)


def vote_brier(
    votes: Votes,
    predicted: Predicted,
    policy: SoftPolicy = "extra_class",
    *,
    unbiased: bool = False,
) -> Scores:
    r"""Mean over an item's votes of the Brier score of the model's shares.

    .. math:: \frac{1}{k} \sum_v \lVert e_v - q \rVert^2 = 1 - 2 \sum p_c q_c + \sum q_c^2

    (Brier, 1950, in its form for several classes.) Proper, and defined for a single vote.

    Args:
        votes: The annotators' votes.
        predicted: What the model answered.
        policy: How non-answers count.
        unbiased: Whether to replace :math:`\sum q_c^2` by :math:`\sum d_c (d_c - 1) / (m (m - 1))`:
            the score expected of the distribution that the generations were drawn from. Less
            ``brier_irreducible`` that is ``l2u``.

    Returns:
        Values in [0, 2], 0 for all votes on a label that is always said; items with m < 2 are
        unscored with ``unbiased``.

    Example:
        >>> votes = Votes(np.array([[3, 1]]))
        >>> said = Predicted("likelihood", shares=np.array([[0.5, 0.5, 0.0]]))
        >>> vote_brier(votes, said).mean  # 1 - 2 * 0.5 + 0.5
        0.5
    """
    a = align(votes, predicted, policy)
    square = a.square if unbiased else (a.q * a.q).sum(axis=1)
    return a.scores(1 - 2 * (a.p * a.q).sum(axis=1) + square)


def brier_irreducible(votes: Votes) -> Scores:
    r"""The vote-Brier that no prediction can better: the annotators' own disagreement.

    .. math:: 1 - \frac{\sum n_c (n_c - 1)}{k (k - 1)}

    The share of pairs of annotators that disagree, which estimates :math:`1 - \sum P_c^2` without
    bias.

    Returns:
        Values in [0, 1]; items with one vote are unscored.

    Example:
        >>> brier_irreducible(Votes(np.array([[2, 2], [4, 0], [1, 0]]))).values.round(4).tolist()
        [0.6667, 0.0, nan]
    """
    return Scores(1 - _pairs(votes.counts))


def skill_terms(
    votes: Votes,
    predicted: Predicted,
    policy: SoftPolicy = "extra_class",
    *,
    unbiased: bool = False,
) -> tuple[Scores, Scores]:
    """What ``brier_skill`` is a ratio of: per item, prior less model, and prior less irreducible.

    Both are unscored for the same items. The prior is held fixed: resampling these terms does not
    vary it.
    """
    model = vote_brier(votes, predicted, policy, unbiased=unbiased)
    least = brier_irreducible(votes)
    used = model.scored & least.scored
    p = votes.proportions
    prior = p[used].mean(axis=0) if used.any() else np.full(votes.n_labels, np.nan)
    baseline = np.where(used, 1 - 2 * p @ prior + prior @ prior, np.nan)
    return (
        Scores(baseline - model.values),
        Scores(np.where(used, baseline - least.values, np.nan)),
    )


def brier_skill(
    votes: Votes,
    predicted: Predicted,
    policy: SoftPolicy = "extra_class",
    *,
    unbiased: bool = False,
) -> SoftRate:
    r"""How far the model gets from the corpus prior to the annotators' own disagreement.

    .. math:: \frac{B_\mathrm{prior} - B_\mathrm{model}}{B_\mathrm{prior} - B_\mathrm{irreducible}}

    with mean vote-Briers over the same items: those with two votes or more that the model's score
    exists for. The prior is the plain mean of these items' proportions, which is the constant with
    the best score in hindsight: what predicts it scores 0 exactly, and no constant scores more.
    ``unbiased`` scores the distribution that the generations were drawn from, so that 1 can be
    reached with any m; without it a model that draws m answers from the true distribution stays
    below 1 by :math:`(1 - \sum P_c^2) / m` over the denominator.

    Returns:
        1 for no more than the annotators' disagreement, 0 for the prior, negative for less than
        that. ``None`` without such items, or where the annotators' votes do not differ between
        items (a denominator that is not above 0).

    Example:
        >>> votes = Votes(np.array([[2, 0], [0, 2]]))
        >>> said = Predicted("likelihood", shares=np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))
        >>> brier_skill(votes, said).value  # prior 1/2, model (1/2 + 0) / 2, irreducible 0
        0.5
        >>> brier_skill(Votes(np.array([[2, 0], [2, 0]])), said).reason
        'the prior does no worse than the irreducible disagreement'
    """
    above, below = skill_terms(votes, predicted, policy, unbiased=unbiased)
    n, out = above.n, above.n_unscored
    if not n:
        return SoftRate(None, 0, out, "no item has two votes and a score")
    denominator = float(np.nansum(below.values))
    if denominator <= ROUNDING:
        return SoftRate(None, n, out, "the prior does no worse than the irreducible disagreement")
    return SoftRate(float(np.nansum(above.values)) / denominator, n, out)


def cross_entropy(
    votes: Votes,
    predicted: Predicted,
    policy: SoftPolicy = "extra_class",
    *,
    alpha: float = ALPHA,
    epsilon: float = EPSILON,
) -> Scores:
    r"""Mean surprise at the votes, in bits: :math:`-\sum p_c \log_2 q'_c`.

    The logarithmic score (Good, 1952), over smoothed shares (see the module). Proper. A perfect
    model still gets the annotators' entropy, so only the excess over a human reference is read.

    Returns:
        Values from 0 up, in bits; less than :math:`\log_2 ((m + \alpha D) / \alpha)` for counts,
        than :math:`\log_2 (D / \epsilon)` for shares.

    Raises:
        OptionError: For smoothing that leaves zeros.

    Example:
        >>> votes = Votes(np.array([[1, 1]]))
        >>> said = Predicted("sampling", counts=np.array([[7, 0, 0]]))
        >>> round(cross_entropy(votes, said, "answered").mean, 6)  # (log2(8/7.5) + log2(8/0.5)) / 2
        2.046555
    """
    a = align(votes, predicted, policy)
    return a.scores(-xlogy(a.p, _smoothed(a, alpha, epsilon)).sum(axis=1) / np.log(2))


def kl(
    votes: Votes,
    predicted: Predicted,
    policy: SoftPolicy = "extra_class",
    *,
    alpha: float = ALPHA,
    epsilon: float = EPSILON,
) -> Scores:
    r"""Kullback-Leibler divergence from the votes to the model, :math:`\sum p \log_2 (p / q')`.

    ``cross_entropy`` less the entropy of the votes, with the same smoothing. Proper in the model's
    shares, but the entropy of k votes falls short of the annotators', so that values grow as k
    shrinks.

    Returns:
        Values from 0 up, in bits.

    Raises:
        OptionError: For smoothing that leaves zeros.

    Example:
        >>> votes = Votes(np.array([[1, 1]]))
        >>> said = Predicted("sampling", counts=np.array([[7, 0, 0]]))
        >>> round(kl(votes, said, "answered").mean, 6)
        1.046555
    """
    a = align(votes, predicted, policy)
    cross = -xlogy(a.p, _smoothed(a, alpha, epsilon)).sum(axis=1) / np.log(2)
    return a.scores(np.maximum(cross - entropy_bits(a.p), 0.0))


def jsd(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Scores:
    r"""Jensen-Shannon divergence, base 2: :math:`H((p+q)/2) - (H(p) + H(q))/2`.

    (Lin, 1991.) The divergence, not its square root, and in bits: other papers take the root (the
    distance) or natural logarithms (values smaller by 0.693). Not proper.

    Returns:
        Values in [0, 1]; 1 where nothing is shared.

    Example:
        >>> votes = Votes(np.array([[2, 0], [2, 0]]))
        >>> said = Predicted("sampling", counts=np.array([[5, 0, 0], [0, 3, 2]]))
        >>> jsd(votes, said).values.tolist()
        [0.0, 1.0]
    """
    a = align(votes, predicted, policy)
    mixed = entropy_bits((a.p + a.q) / 2) - (entropy_bits(a.p) + entropy_bits(a.q)) / 2
    return a.scores(np.clip(mixed, 0.0, 1.0))


def tvd(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Scores:
    r"""Total variation distance, :math:`\frac{1}{2} \sum |p_c - q_c|`.

    Half the Manhattan distance of LeWiDi 2025; the DistCE of Baan et al. (2022, arXiv:2210.16133).
    Not proper.

    Returns:
        Values in [0, 1].

    Example:
        >>> votes = Votes(np.array([[3, 1]]))
        >>> tvd(votes, Predicted("sampling", counts=np.array([[2, 1, 1]]))).mean
        0.25
    """
    a = align(votes, predicted, policy)
    return a.scores(np.minimum(np.abs(a.p - a.q).sum(axis=1) / 2, 1.0))


def cosine(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Scores:
    r"""Cosine similarity, :math:`\sum p q / \sqrt{\sum p^2 \sum q^2}`. Not proper.

    Returns:
        Values in [0, 1]; 1 for equal distributions.

    Example:
        >>> votes = Votes(np.array([[2, 0]]))
        >>> round(cosine(votes, Predicted("sampling", counts=np.array([[3, 4, 0]]))).mean, 12)
        0.6
    """
    a = align(votes, predicted, policy)
    norm = np.sqrt((a.p * a.p).sum(axis=1) * (a.q * a.q).sum(axis=1))
    return a.scores(np.minimum((a.p * a.q).sum(axis=1) / norm, 1.0))


def bhattacharyya(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Scores:
    r"""Bhattacharyya coefficient, :math:`\sum \sqrt{p q}` (Bhattacharyya, 1943). Not proper.

    Returns:
        Values in [0, 1]; 1 for equal distributions.

    Example:
        >>> votes = Votes(np.array([[1, 1]]))
        >>> bhattacharyya(votes, Predicted("sampling", counts=np.array([[0, 1, 1]]))).mean
        0.5
    """
    a = align(votes, predicted, policy)
    return a.scores(np.minimum(np.sqrt(a.p * a.q).sum(axis=1), 1.0))


def mse(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Scores:
    r"""Mean squared error of the shares, :math:`\frac{1}{C} \sum (p_c - q_c)^2`.

    Divided by the number of labels, also under ``extra_class``, where the non-answers add to the
    sum. Proper, for it is ``vote_brier`` over C up to a term of the votes alone.

    Returns:
        Values in [0, 2/C].

    Example:
        >>> votes = Votes(np.array([[3, 1]]))
        >>> mse(votes, Predicted("sampling", counts=np.array([[1, 3, 0]]))).mean
        0.25
    """
    a = align(votes, predicted, policy)
    return a.scores(((a.p - a.q) ** 2).sum(axis=1) / votes.n_labels)


def entropy_correlation(
    votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class"
) -> SoftRate:
    r"""Pearson correlation, over items, of the entropy of the votes with that of the model.

    Whether the model is unsure where annotators disagree, whatever the labels: not a measure of
    match. Few votes attenuate it strongly; for fewer than about ten a low value says little.

    Returns:
        A value in [-1, 1]; ``None`` for fewer than two items, or where one side's entropies are all
        alike (a model that always gives one answer has entropy 0 throughout).

    Example:
        >>> votes = Votes(np.array([[2, 0], [1, 1], [2, 0]]))
        >>> entropy_correlation(votes, Predicted("sampling", counts=np.eye(3, dtype=int))).reason
        "the model's entropies are all alike"
    """
    a = align(votes, predicted, policy)
    n = len(a.p)
    if n < 2:
        return SoftRate(None, n, len(a.kept) - n, "a correlation needs at least two items")
    x, y = entropy_bits(a.p), entropy_bits(a.q)
    x, y = x - x.mean(), y - y.mean()
    for whose, centred in (("annotators'", x), ("model's", y)):
        if centred @ centred <= FLAT * n:
            return SoftRate(None, n, len(a.kept) - n, f"the {whose} entropies are all alike")
    value = float(x @ y / np.sqrt((x @ x) * (y @ y)))
    return SoftRate(min(1.0, max(-1.0, value)), n, len(a.kept) - n)
