r"""Hard-label rates for speech emotion recognition.

Conventions
-----------
labels      the label set, in the order fixed by the corpus card; never inferred from the data
confusion   counts, shape ``(C, C + 1)``: row = gold label, column = predicted label, last
            column = no answer (abstained, off the menu, several labels, unparsed, empty, truncated)
strict      a non-answer misses its gold class, is a predicted class of its own, and is nobody's
            false positive; the headline
answered    only the answered utterances count; always read beside ``coverage``
occurs      a label occurs where it is the gold label of an utterance that counts

Everything here is a rate of pooled counts: build one confusion per speaker, add them up, then
divide. A rate whose denominator is zero is ``None``, not 0 and not NaN.

With hits :math:`n_{cc}`, support :math:`s_c` (gold utterances of label c that count), predictions
:math:`p_c` (answers that say c, right or wrong) and :math:`N = \sum_c s_c`::

    recall     n_cc / s_c               precision   n_cc / p_c
    F1         2 n_cc / (s_c + p_c)     accuracy    sum n_cc / N

Absent labels
-------------
A macro average runs over the labels that occur. A label of the set that no utterance has is left
out of it, also where the model answers it: those answers already cost the recall of the labels
they were wrong about. A label that occurs and is never answered has no precision of its own; in
``macro_precision`` it counts 0, or a model could gain by falling silent about what it finds hard.

scikit-learn gives the same values, to rounding, for non-answers written as one more predicted
class: ``average="macro", labels=<the labels that occur>, zero_division=0``, and
``average="micro"`` or ``"weighted"`` with ``labels=<the label set>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, UnknownNameError
from .confusion import Confusion, Counts, Policy, margins

__all__ = [
    "HARD_METRICS",
    "Confusion",
    "Counts",
    "Guess",
    "HardMetric",
    "Policy",
    "bounds",
    "chance",
    "coverage",
    "f1s",
    "macro_f1",
    "macro_precision",
    "majority",
    "micro_f1",
    "precisions",
    "recalls",
    "uar",
    "wa",
    "weighted_f1",
]

Guess = Literal["uniform", "prior"]


def _ratios(numerators: Counts, denominators: Counts) -> list[float | None]:
    pairs = zip(numerators.tolist(), denominators.tolist(), strict=True)
    return [n / d if d else None for n, d in pairs]


def _macro(values: Sequence[float | None], support: Counts) -> float | None:
    """Mean over the labels that occur; one without a value of its own counts 0."""
    known = [v or 0.0 for v, s in zip(values, support.tolist(), strict=True) if s]
    return sum(known) / len(known) if known else None


def recalls(confusion: Confusion, policy: Policy = "strict") -> list[float | None]:
    r"""Recall of each label.

    .. math:: r_c = \frac{n_{cc}}{\sum_j n_{cj}}

    where the sum runs over the non-answers too under ``strict`` and leaves them out under
    ``answered``.

    Args:
        confusion: Pooled counts.
        policy: How non-answers count.

    Returns:
        One value in [0, 1] per label, in the order of ``confusion.labels``; ``None`` for a label
        that does not occur.
    """
    hits, support, _ = margins(confusion, policy)
    return _ratios(hits, support)


def precisions(confusion: Confusion, policy: Policy = "strict") -> list[float | None]:
    r"""Precision of each label: of the answers that say it, the share that is right.

    .. math:: q_c = \frac{n_{cc}}{\sum_i n_{ic}}

    A non-answer says no label, so both policies give the same.

    Returns:
        One value in [0, 1] per label; ``None`` for a label that was never answered.
    """
    hits, _, predicted = margins(confusion, policy)
    return _ratios(hits, predicted)


def f1s(confusion: Confusion, policy: Policy = "strict") -> list[float | None]:
    r"""F1 of each label, the harmonic mean of its recall and precision.

    .. math:: F_c = \frac{2 n_{cc}}{s_c + p_c}

    Returns:
        One value in [0, 1] per label; 0 for a label that occurs or is answered without a hit,
        ``None`` for one that neither occurs nor is answered.
    """
    hits, support, predicted = margins(confusion, policy)
    return _ratios(2 * hits, support + predicted)


def uar(confusion: Confusion, policy: Policy = "strict") -> float | None:
    """Unweighted average recall: the mean recall of the labels that occur.

    Chance is 1/C whatever the class balance, which is why the field reports it
    (Schuller et al., 2009, INTERSPEECH Emotion Challenge). Equals scikit-learn's
    ``recall_score(average="macro")`` over the labels that occur, and ``balanced_accuracy_score``.

    Returns:
        A value in [0, 1]; ``None`` where no label occurs.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 1], [1, 1, 0]]))
        >>> uar(c)  # (3/4 + 1/2) / 2
        0.625
        >>> uar(c, policy="answered")  # (3/3 + 1/2) / 2
        0.75
    """
    return _macro(recalls(confusion, policy), margins(confusion, policy)[1])


def wa(confusion: Confusion, policy: Policy = "strict") -> float | None:
    r"""Weighted accuracy: the share of utterances that are right; plain accuracy.

    .. math:: \mathrm{WA} = \frac{1}{N} \sum_c n_{cc}

    "Weighted" is the field's word for recall weighted by support. Equals ``accuracy_score``.

    Returns:
        A value in [0, 1]; ``None`` without utterances.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 2], [1, 2, 0]]))
        >>> wa(c), wa(c, policy="answered")  # 5/8, 5/6
        (0.625, 0.8333333333333334)
    """
    hits, support, _ = margins(confusion, policy)
    return _ratios(hits.sum(keepdims=True), support.sum(keepdims=True))[0]


def macro_f1(confusion: Confusion, policy: Policy = "strict") -> float | None:
    """Mean F1 of the labels that occur.

    The mean of the F1 values, not the F1 of mean precision and mean recall (Opitz and Burst, 2019,
    arXiv:1911.03347). Equals ``f1_score(average="macro", zero_division=0)`` over those labels.

    Returns:
        A value in [0, 1]; ``None`` where no label occurs.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 1], [1, 1, 2]]))
        >>> macro_f1(c)  # (6/8 + 2/5) / 2
        0.575
    """
    return _macro(f1s(confusion, policy), margins(confusion, policy)[1])


def weighted_f1(confusion: Confusion, policy: Policy = "strict") -> float | None:
    r"""F1 weighted by how often each label occurs.

    .. math:: \frac{1}{N} \sum_c s_c F_c

    Equals ``f1_score(average="weighted", zero_division=0)``. Not always between precision and
    recall.

    Returns:
        A value in [0, 1]; ``None`` without utterances.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 1], [1, 1, 2]]))
        >>> weighted_f1(c)  # (4 * 6/8 + 4 * 2/5) / 8
        0.575
    """
    support = margins(confusion, policy)[1].tolist()
    pairs = zip(support, f1s(confusion, policy), strict=True)
    total = sum(support)
    return sum(s * (f or 0.0) for s, f in pairs) / total if total else None


def micro_f1(confusion: Confusion, policy: Policy = "strict") -> float | None:
    r"""F1 of the pooled decisions of the label set.

    .. math:: \frac{2 \mathrm{TP}}{2 \mathrm{TP} + \mathrm{FP} + \mathrm{FN}}
              = \frac{2 \sum_c n_{cc}}{\sum_c s_c + \sum_c p_c}

    A non-answer is a false negative and no false positive, so under ``strict`` this is above ``wa``
    wherever something is right and something unanswered, and equal to it where all is answered.
    Equals ``f1_score(average="micro", labels=<the label set>)``.

    Returns:
        A value in [0, 1]; ``None`` without utterances.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 1], [1, 1, 2]]))
        >>> micro_f1(c)  # 2 * 4 / (8 + 5)
        0.6153846153846154
    """
    hits, support, predicted = margins(confusion, policy)
    return _ratios(2 * hits.sum(keepdims=True), (support + predicted).sum(keepdims=True))[0]


def macro_precision(confusion: Confusion, policy: Policy = "strict") -> float | None:
    """Mean precision of the labels that occur; one that is never answered counts 0.

    Equals ``precision_score(average="macro", zero_division=0)`` over those labels.

    Returns:
        A value in [0, 1]; ``None`` where no label occurs.

    Example:
        >>> c = Confusion(("angry", "fear", "sad"), np.array([[3, 0, 0, 0], [1, 0, 0, 0], [0] * 4]))
        >>> macro_precision(c)  # (3/4 + 0) / 2: nothing is sad, and nothing was called fear
        0.375
    """
    return _macro(precisions(confusion, policy), margins(confusion, policy)[1])


def coverage(confusion: Confusion, policy: Policy = "strict") -> float | None:
    """Share of all utterances that were answered, rightly or wrongly.

    The same under both policies: it is what an ``answered`` rate is read beside.

    Returns:
        A value in [0, 1]; ``None`` without utterances.

    Example:
        >>> coverage(Confusion(("angry", "sad"), np.array([[3, 0, 1], [1, 1, 2]])))
        0.625
    """
    answered = margins(confusion, policy)[2].sum(keepdims=True)
    return _ratios(answered, confusion.counts.sum(keepdims=True).reshape(1))[0]


class HardMetric(Protocol):
    """A rate of one confusion."""

    def __call__(self, confusion: Confusion, policy: Policy = "strict") -> float | None: ...


HARD_METRICS: dict[str, HardMetric] = {
    "uar": uar,
    "wa": wa,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "micro_f1": micro_f1,
    "macro_precision": macro_precision,
    "coverage": coverage,
}
"""Every hard rate by the name that tables and results use, in their order."""


def bounds(confusion: Confusion, metric: str) -> tuple[float | None, float | None]:
    """What the rate would be if every non-answer were wrong, and if every one were right.

    The worst case is the ``strict`` value: a wrong non-answer stays unsaid and is nobody's false
    positive. Had those replies been wrong labels instead, F1 and precision could fall below it;
    recall and accuracy could not. The best case moves each non-answer onto its gold label, and no
    way of filling them in gives more.

    Args:
        confusion: Pooled counts.
        metric: A name of ``HARD_METRICS``.

    Returns:
        Worst and best, each in [0, 1], equal where all is answered; ``(None, None)`` without
        utterances.

    Raises:
        UnknownNameError: For another name.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 1], [1, 1, 0]]))
        >>> bounds(c, "uar")  # (3/4 + 1/2) / 2, (4/4 + 1/2) / 2
        (0.625, 0.75)
    """
    if metric not in HARD_METRICS:
        raise UnknownNameError("hard metric", metric, HARD_METRICS)
    filled = confusion.counts.copy()
    filled[np.diag_indices(len(confusion.labels))] += filled[:, -1]
    filled[:, -1] = 0
    rate = HARD_METRICS[metric]
    return rate(confusion), rate(Confusion(confusion.labels, filled))


def majority(confusion: Confusion, policy: Policy = "strict") -> dict[str, float | None]:
    r"""Each rate of a model that always answers the commonest gold label (ties: the first).

    With prior :math:`\pi_c = s_c / N`, its maximum :math:`\pi^*`, and K labels that occur:
    ``wa`` and ``micro_f1`` are :math:`\pi^*`, ``uar`` is :math:`1/K`, ``macro_precision``
    :math:`\pi^*/K`, ``macro_f1`` :math:`\frac{1}{K} \frac{2 \pi^*}{1 + \pi^*}`, ``weighted_f1``
    :math:`\pi^* \frac{2 \pi^*}{1 + \pi^*}`, ``coverage`` 1.

    Args:
        confusion: Pooled counts; only the gold labels matter.
        policy: Whose gold labels: all utterances', or those of the answered ones.

    Returns:
        One value in [0, 1] per name of ``HARD_METRICS``; ``None`` without utterances.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 0], [0, 1, 0]]))
        >>> majority(c)["wa"], majority(c)["uar"]
        (0.75, 0.5)
    """
    support = margins(confusion, policy)[1]
    answers = np.zeros(len(support))
    answers[support.argmax()] = 1.0
    return _guessing(support, answers)


def chance(
    confusion: Confusion, policy: Policy = "strict", guess: Guess = "uniform"
) -> dict[str, float | None]:
    r"""Each rate of a model that answers at random without listening.

    With the probability :math:`g_c` of answering c and the prior :math:`\pi_c = s_c / N`, recall
    is :math:`g_c`, precision :math:`\pi_c`, F1 :math:`2 \pi_c g_c / (\pi_c + g_c)` and accuracy
    :math:`\sum_c \pi_c g_c`. These are the rates of the expected counts: exactly the expected
    recall and accuracy, and the large-sample limit of precision and F1.

    Args:
        confusion: Pooled counts; only the gold labels matter.
        policy: Whose gold labels: all utterances', or those of the answered ones.
        guess: ``uniform`` answers each of the C labels of the set equally often, so that ``uar``
            and ``wa`` are 1/C; ``prior`` answers as often as each label occurs, so that ``wa`` is
            :math:`\sum_c \pi_c^2` and ``uar`` 1/K over the K labels that occur.

    Returns:
        One value in [0, 1] per name of ``HARD_METRICS``; ``None`` without utterances.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 0], [0, 1, 0]]))
        >>> chance(c)["wa"], chance(c, guess="prior")["wa"]  # 1/2, 9/16 + 1/16
        (0.5, 0.625)
    """
    if guess not in get_args(Guess):
        raise OptionError(f"no guess is called {guess!r}; allowed: uniform, prior")
    support = margins(confusion, policy)[1]
    if guess == "uniform":
        return _guessing(support, np.full(len(support), 1 / len(support)))
    return _guessing(support, support / max(1, support.sum()))


def _guessing(support: Counts, answers: NDArray[np.float64]) -> dict[str, float | None]:
    """Rates of answering label c with probability ``answers[c]`` whatever was said."""
    if not support.any():
        return dict.fromkeys(HARD_METRICS)
    prior = support / support.sum()
    occurs = support > 0
    hit = prior * answers
    f1 = 2 * hit[occurs] / (prior + answers)[occurs]
    accuracy = float(hit.sum())
    return {
        "uar": float(answers[occurs].mean()),
        "wa": accuracy,
        "macro_f1": float(f1.mean()),
        "weighted_f1": float((prior[occurs] * f1).sum()),
        "micro_f1": accuracy,
        "macro_precision": float(np.where(answers > 0, prior, 0.0)[occurs].mean()),
        "coverage": 1.0,
    }
