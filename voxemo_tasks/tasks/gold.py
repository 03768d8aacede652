"""The one gold label of an utterance, by the target rule of a run."""

from __future__ import annotations

from collections.abc import Mapping

from ..labels import LabelSet, voted


def gold_of(
    label: str | None, votes: Mapping[str, int] | None, label_set: LabelSet | None, target: str
) -> str | None:
    """The one gold label of an utterance under a label set and a target rule.

    Args:
        label: The released one.
        votes: Label → annotators.
        label_set: The menu; ``None`` where there is none.
        target: ``released``, or ``majority`` or ``plurality`` of the votes within the label set.

    Example:
        >>> two = LabelSet("two", ("angry", "sad"), {})
        >>> gold_of("angry", {"angry": 1, "sad": 2}, two, "released")
        'angry'
        >>> gold_of("angry", {"angry": 1, "sad": 2}, two, "majority")
        'sad'
    """
    if label_set is None:
        return None
    if target == "released":
        return label_set.of(label)
    return voted(label_set.of_votes(votes or {})[0], target)
