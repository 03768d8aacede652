r"""Soft-label metrics that read labels off a distribution: sets, first answers, first two.

Conventions
-----------
set        the labels with more than 1/C of the votes, or of the model's answers. Decided on whole
           numbers, :math:`n_c C > k`, so that a label with exactly 1/C is never in a set (in
           floating point, or in a rounded table, such ties fall either way)
empty set  where all labels tie; the item stays, and can only cost precision or recall
ties       of a first or second place are taken to be broken at random, and the expectation over
           that is reported: whole credit divided among those that tie, never the first in order

Under ``extra_class`` non-answers count among the answers that a share is a share of, and take a
place of their own, which no annotator named. Shares count as equal to within 1e-9.
"""

from __future__ import annotations

import numpy as np

from .soft import SoftRate
from .votes import Aligned, Counts, Floats, Mask, Predicted, Scores, SoftPolicy, Votes, align

__all__ = [
    "any_annotator",
    "label_sets",
    "macro_f1_of",
    "set_counts",
    "set_macro_f1",
    "sets_of_votes",
    "top2",
]


def _first_places(levels: Floats, places: int) -> Floats:
    """Probability that each class is among the first places, ties broken at random; ``(n, D)``."""
    above = (levels[:, None, :] > levels[:, :, None]).sum(axis=2)
    level = (levels[:, None, :] == levels[:, :, None]).sum(axis=2)
    chance = np.clip((places - above) / level, 0.0, 1.0)
    return np.where(levels > 0, chance, 0.0)


def any_annotator(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Scores:
    """Whether the model's commonest answer is one that any annotator gave.

    Lenient, and the more so the more annotators there are: compare it with its floors only.

    Returns:
        1 or 0 per item; where c answers tie, the share of them that an annotator gave.

    Example:
        >>> votes = Votes(np.array([[3, 1, 0], [3, 1, 0]]))
        >>> said = Predicted("sampling", counts=np.array([[0, 4, 1, 0], [0, 2, 2, 0]]))
        >>> any_annotator(votes, said).values.tolist()
        [1.0, 0.5]
    """
    a = align(votes, predicted, policy)
    return a.scores((_first_places(a.levels, 1) * (a.p > 0)).sum(axis=1))


def top2(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Scores:
    """Whether the annotators' commonest label is among the model's two commonest answers.

    An answer that was never given takes no place, so that a model that always says the same has a
    list of one.

    Returns:
        1 or 0 per item; the expectation where votes or answers tie.

    Example:
        >>> votes = Votes(np.array([[3, 1, 0], [3, 1, 0]]))
        >>> said = Predicted("sampling", counts=np.array([[2, 4, 1, 0], [1, 4, 1, 0]]))
        >>> top2(votes, said).values.tolist()
        [1.0, 0.5]
    """
    a = align(votes, predicted, policy)
    gold = _first_places(a.votes.astype(np.float64), 1)
    return a.scores((gold * _first_places(a.levels, 2)[:, : votes.n_labels]).sum(axis=1))


def sets_of_votes(votes: Votes) -> Mask:
    """Labels with more than 1/C of an item's votes, shape ``(N, C)``.

    Example:
        >>> sets_of_votes(Votes(np.array([[2, 1, 0], [1, 1, 1]]))).tolist()  # 1 of 3 is no more
        [[True, False, False], [False, False, False]]
    """
    above: Mask = votes.counts * votes.n_labels > votes.k[:, None]
    return above


def label_sets(a: Aligned) -> tuple[Mask, Mask]:
    """The annotators' and the model's label set of each kept item, shape ``(n, C)`` each."""
    n_labels = a.votes.shape[1]
    gold = a.votes * n_labels > a.votes.sum(axis=1)[:, None]
    # Shares are rounded to 1e-9, and so is their tie with 1/C.
    slack = np.where(np.isinf(a.m), 1e-8, 0.0)[:, None]
    said = a.levels[:, :n_labels] * n_labels > a.whole[:, None] + slack
    return gold, said


def set_counts(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Counts:
    """Per kept item and label: in both sets, in the annotators', in the model's.

    Returns:
        Shape ``(n, 3, C)``, 0 or 1.
    """
    gold, said = label_sets(align(votes, predicted, policy))
    return np.stack([gold & said, gold, said], axis=1).astype(np.int64)


def set_macro_f1(
    votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class"
) -> SoftRate:
    r"""Macro-F1 of label sets thresholded at 1/C, over all items at once.

    .. math:: \frac{1}{K} \sum_c \frac{2 \, |G_c \cap S_c|}{|G_c| + |S_c|}

    with the items :math:`G_c` whose annotators' set holds c, and :math:`S_c` likewise for the
    model; over the K labels that occur in an annotators' set. The threshold is that of EMO-SUPERB
    (Wu et al., 2024) and of the all-inclusive rule (Chou et al., 2024), which take the mean of
    F1 over batches: this is the F1 of the corpus, and does not depend on a batch size. Equals
    scikit-learn's ``f1_score(average="macro", zero_division=0)`` over those labels.

    Returns:
        A value in [0, 1]; ``None`` where no label occurs.

    Example:
        >>> votes = Votes(np.array([[2, 2, 0], [0, 0, 3]]))
        >>> said = Predicted("sampling", counts=np.array([[4, 1, 0, 0], [0, 1, 4, 0]]))
        >>> round(set_macro_f1(votes, said).value, 6)  # (1 + 0 + 1) / 3
        0.666667
    """
    counts = set_counts(votes, predicted, policy)
    n, out = len(counts), len(votes) - len(counts)
    if not n:
        return SoftRate(None, 0, out, "no item was answered")
    value = float(macro_f1_of(counts.sum(axis=0, keepdims=True).reshape(1, -1))[0])
    if np.isnan(value):
        return SoftRate(None, n, out, "no label has more than 1/C of the votes of any item")
    return SoftRate(value, n, out)


def macro_f1_of(sums: Floats | Counts) -> Floats:
    """Macro-F1 of summed ``set_counts``.

    Args:
        sums: Shape ``(B, 3 * C)``.

    Returns:
        Shape ``(B,)``; NaN where no label occurs.
    """
    both, gold, said = np.moveaxis(sums.reshape(len(sums), 3, -1).astype(np.float64), 1, 0)
    occurs = gold > 0
    f1 = np.zeros(both.shape)
    np.divide(2 * both, gold + said, out=f1, where=occurs)
    value = np.full(len(f1), np.nan)
    np.divide(f1.sum(axis=1), occurs.sum(axis=1), out=value, where=occurs.any(axis=1))
    return value
