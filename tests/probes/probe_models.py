"""What scripted models say of the mini corpus."""

from __future__ import annotations

from typing import Any

from voxemo_tasks.corpora import prepared
from voxemo_tasks.records import Utterance

LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
Row = dict[str, Any]


def utterances() -> list[Utterance]:
    return list(prepared("mini").manifest().utterances())


def after(label: str, steps: int) -> str:
    """The label some places further on the menu."""
    return LABELS[(LABELS.index(label) + steps) % len(LABELS)]
