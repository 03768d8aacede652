"""What scripted judges say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from voxemo_tasks.judging import Judge

LABELS = ("angry", "happy", "neutral", "sad")
CARRIERS = ("The speaker sounds {}", "The emotion in this clip is {}", "that the voice is {}")

Make = Callable[..., Judge]


def said(answer: Any, quote: str = "") -> str:
    return json.dumps({"quote": quote, "answer": answer})


def honest(labels: tuple[str, ...] = LABELS) -> list[dict[str, Any]]:
    """Rows that read every canary of the label rubric right."""
    return [
        {"contains": carrier.format(label), "reply": said(label, carrier.format(label))}
        for label in labels
        for carrier in CARRIERS
    ]
