"""The canonical emotion space and the label sets drawn from it.

Order is part of a label set: it is the order of confusion rows, of the menu in a prompt, and of
every table. Merging labels belongs to label sets and never to a reader: a manifest keeps each
corpus's own classes, one to one, under their canonical names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .errors import LabelSetError

CANONICAL: tuple[str, ...] = (
    "angry",
    "disgust",
    "fear",
    "happy",
    "neutral",
    "sad",
    "surprise",
    # beyond the basic seven, alphabetical
    "amused",
    "anxious",
    "apologetic",
    "assertive",
    "boredom",
    "breath",
    "calm",
    "concerned",
    "contempt",
    "disappointment, disapproval",
    "encouraging",
    "enthusiastic",
    "excited",
    "frustrated",
    "no-agreement",
    "other",
    "pain, groan",
    "pleasure",
    "poker",
    "sarcastic",
    "sleepy",
    "unknown",
    "worried",
)
"""Every canonical label, in the package's order."""

DIMENSIONS: tuple[str, ...] = ("valence", "arousal", "dominance")


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A menu: the labels an utterance can have and a model may answer, in fixed order.

    Attributes:
        id: Name within its corpus card, e.g. ``"native"``.
        labels: Distinct labels in menu order, at least two.
        merge: Canonical label of the manifest → label of this set. Labels that are neither here
            nor in ``labels`` are outside the set, and their utterances are not part of the task.

    Raises:
        LabelSetError: For fewer than two labels, duplicates, or a merge into no label of the set.

    Example:
        >>> four = LabelSet("four", ("angry", "happy", "neutral", "sad"), {"excited": "happy"})
        >>> four.of("excited"), four.of("sad"), four.of("fear")
        ('happy', 'sad', None)
    """

    id: str
    labels: tuple[str, ...]
    merge: dict[str, str]

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise LabelSetError(
                f"label set {self.id!r} has {len(self.labels)} label(s); a task needs at least two"
            )
        if len(set(self.labels)) != len(self.labels):
            raise LabelSetError(f"label set {self.id!r} names a label twice: {self.labels}")
        for source, target in self.merge.items():
            if target not in self.labels:
                raise LabelSetError(
                    f"label set {self.id!r} merges {source!r} into {target!r}, which is not one of "
                    f"its labels: {', '.join(self.labels)}"
                )

    def of_votes(self, votes: Mapping[str, int]) -> tuple[dict[str, int], int]:
        """Votes restricted to the set: merged classes add up, votes for others are dropped.

        The rule is ``drop and renormalise``: shares are of the votes that remain. Counts stay
        integers; nothing is spread over other classes.

        Args:
            votes: Canonical label → number of votes.

        Returns:
            Label of the set → votes, in the set's order, zeros left out; and how many votes were
            for labels outside the set.

        Example:
            >>> four = LabelSet("four", ("angry", "happy", "neutral", "sad"), {"excited": "happy"})
            >>> four.of_votes({"happy": 1, "excited": 2, "fear": 1})
            ({'happy': 3}, 1)
        """
        kept = dict.fromkeys(self.labels, 0)
        dropped = 0
        for label, n in votes.items():
            own = self.of(label)
            if own is None:
                dropped += n
            else:
                kept[own] += n
        return {label: n for label, n in kept.items() if n}, dropped

    def of(self, label: str | None) -> str | None:
        """The set's own label for a manifest label, or ``None`` where it is outside the set."""
        if label is None:
            return None
        merged = self.merge.get(label, label)
        return merged if merged in self.labels else None


HARD_TARGETS: dict[str, str] = {
    "acted": "what the actor was told to express",
    "majority": "the class that more than half of the votes are for",
    "plurality": "the class that more votes are for than for any other",
    "released_consensus": "the consensus label that the corpus releases, by its own rule",
}
"""Rule → what the one label of an utterance is. A corpus's own label is one of these; ``majority``
and ``plurality`` can also be taken from the votes anew."""


def voted(votes: Mapping[str, int], rule: str) -> str | None:
    """The one label that votes give by a rule.

    Args:
        votes: Label → number of votes.
        rule: ``majority`` (more than half of all votes given) or ``plurality`` (more than any
            other label).

    Returns:
        The label; ``None`` for no votes, a tie, or no majority.

    Raises:
        LabelSetError: For another rule.

    Example:
        >>> voted({"sad": 2, "neutral": 2, "angry": 1}, "plurality") is None
        True
        >>> voted({"sad": 3, "neutral": 2, "angry": 1}, "plurality")
        'sad'
        >>> voted({"sad": 3, "neutral": 2, "angry": 1}, "majority") is None
        True
    """
    if rule not in ("majority", "plurality"):
        raise LabelSetError(f"target rule {rule!r}: votes give a majority or a plurality")
    if not votes:
        return None
    most = max(votes.values())
    first = [label for label, n in votes.items() if n == most]
    if most == 0 or len(first) > 1 or (rule == "majority" and 2 * most <= sum(votes.values())):
        return None
    return first[0]


def in_canonical_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Sort labels by the canonical order; unknown ones go last, alphabetically.

    Example:
        >>> in_canonical_order({"sad", "calm", "angry", "zen"})
        ('angry', 'sad', 'calm', 'zen')
    """
    rank = {label: i for i, label in enumerate(CANONICAL)}
    return tuple(sorted(set(labels), key=lambda x: (rank.get(x, len(rank)), x)))


def require_known(labels: Sequence[str], where: str) -> None:
    """Refuse labels outside the canonical space.

    Raises:
        LabelSetError: Naming the labels, where they stand, and what is allowed.
    """
    bad = [x for x in labels if x not in CANONICAL]
    if bad:
        raise LabelSetError(
            f"{where}: {', '.join(repr(b) for b in bad)} not in the canonical label space; "
            f"allowed: {', '.join(CANONICAL)}. A new label goes into voxemo_tasks/labels.py first."
        )
