"""The confusion: what every hard-label number is counted from.

Shape ``(C, C + 1)``: row = gold label, column = predicted label, last column = no answer
(abstained, off the menu, several labels, unparsed, empty, truncated). Failures of the suite itself
(``engine_error``, ``judge_failed``) are not the model's doing and never get here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelSetError, OptionError

Counts = NDArray[np.int64]
Policy = Literal["strict", "answered"]


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Counts of gold against predicted labels.

    Attributes:
        labels: The label set, length C, distinct.
        counts: Shape ``(C, C + 1)``, whole and not negative; the last column holds the
            non-answers. Copied, and read-only afterwards.

    Raises:
        LabelSetError: For labels that are none or repeated, or counts that do not fit them.
    """

    labels: tuple[str, ...]
    counts: Counts

    def __post_init__(self) -> None:
        labels = tuple(self.labels)
        if not labels or len(set(labels)) != len(labels):
            raise LabelSetError(
                f"a confusion needs distinct labels, at least one, and got {self.labels!r}"
            )
        given = np.asarray(self.counts)
        expected = (len(labels), len(labels) + 1)
        if given.shape != expected:
            raise LabelSetError(
                f"counts have the shape {given.shape}; {len(labels)} labels need {expected}: a row "
                "per gold label, a column per predicted label, and the non-answers last"
            )
        if given.dtype.kind not in "iu" or (given < 0).any():
            raise LabelSetError(
                f"counts must be whole numbers, 0 or more; got {given.dtype}: {given.tolist()}"
            )
        counts = given.astype(np.int64)
        counts.setflags(write=False)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "counts", counts)

    @classmethod
    def empty(cls, labels: Sequence[str]) -> Self:
        """No utterance yet: what a sum over speakers starts from."""
        return cls(tuple(labels), np.zeros((len(labels), len(labels) + 1), dtype=np.int64))

    @classmethod
    def from_pairs(
        cls, labels: Sequence[str], gold: Sequence[str], predicted: Sequence[str | None]
    ) -> Self:
        """Count utterances.

        Args:
            labels: The label set, in its order.
            gold: Gold label of each utterance.
            predicted: The label that was answered; ``None`` for a non-answer.

        Raises:
            LabelSetError: For a label outside the set, or two lists of different length.

        Example:
            >>> Confusion.from_pairs(("angry", "sad"), ["sad", "sad"], ["angry", None]).counts
            array([[0, 0, 0],
                   [1, 0, 1]])
        """
        if len(gold) != len(predicted):
            raise LabelSetError(
                f"{len(gold)} gold labels and {len(predicted)} predictions; there must be one "
                "prediction per utterance, None where there was no answer"
            )
        column: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
        bad_gold = sorted({repr(g) for g in gold if g is None or g not in column})
        bad_said = sorted({repr(p) for p in predicted if p is not None and p not in column})
        for what, bad, advice in (
            ("gold", bad_gold, "map them with the label set's merge, or leave those out"),
            ("predicted", bad_said, "an answer off the menu is a non-answer: pass None"),
        ):
            if bad:
                raise LabelSetError(
                    f"{what} label {', '.join(bad[:5])} is not one of {', '.join(labels)}; {advice}"
                )
        width = len(labels) + 1
        column[None] = len(labels)
        cells = [column[g] * width + column[p] for g, p in zip(gold, predicted, strict=True)]
        counts = np.bincount(np.array(cells, dtype=np.int64), minlength=len(labels) * width)
        return cls(tuple(labels), counts.reshape(len(labels), width))

    def __add__(self, other: Confusion) -> Confusion:
        require_same_labels(self, other)
        return Confusion(self.labels, self.counts + other.counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Confusion):
            return NotImplemented
        return self.labels == other.labels and np.array_equal(self.counts, other.counts)

    def n(self, policy: Policy = "strict") -> int:
        """Utterances that count: all, or (``answered``) those with an answer."""
        return int(margins(self, policy)[1].sum())


def require_same_labels(first: Confusion, second: Confusion) -> None:
    """Refuse to pool what was counted over different labels, or in another order.

    Raises:
        LabelSetError: Naming both.
    """
    if first.labels != second.labels:
        raise LabelSetError(
            f"cannot pool confusions over different labels: {first.labels} and {second.labels}; "
            "score both with the same label set (metadata key 'label_set')"
        )


def margins(confusion: Confusion, policy: Policy) -> tuple[Counts, Counts, Counts]:
    """The three counts that every rate is read from, each of shape ``(C,)``.

    Returns:
        Hits, support (gold utterances that count under the policy) and predictions (answers that
        say the label), in label order.

    Raises:
        OptionError: For a policy that does not exist.

    Example:
        >>> c = Confusion(("angry", "sad"), np.array([[3, 0, 1], [1, 1, 0]]))
        >>> [m.tolist() for m in margins(c, "strict")]
        [[3, 1], [4, 2], [4, 1]]
        >>> [m.tolist() for m in margins(c, "answered")]
        [[3, 1], [3, 2], [4, 1]]
    """
    if policy not in get_args(Policy):
        raise OptionError(f"no policy is called {policy!r}; allowed: strict, answered")
    square = confusion.counts[:, :-1]
    support = (confusion.counts if policy == "strict" else square).sum(axis=1)
    return np.diagonal(square), support, square.sum(axis=0)
