"""Small run folders for tests of results: a table of replies, imported and scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voxemo_tasks.results import score_run, write_results
from voxemo_tasks.results.importing import import_predictions

LABELS = ("angry", "happy", "neutral", "sad")
COLUMNS = {"utterance": "id", "reply": "reply", "gold": "gold", "speaker": "speaker"}


def make_run(
    folder: Path,
    replies: Sequence[str],
    *,
    speakers: int = 6,
    task: str = "imported",
    model: str = "model",
    **scoring: Any,
) -> Path:
    """A run whose gold labels go round the menu; returns its results JSON."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    table = folder.parent / f"{folder.name}.jsonl"
    rows = [
        {
            "id": f"u{i}",
            "reply": reply,
            "gold": LABELS[i % len(LABELS)],
            "speaker": f"s{i % speakers}",
        }
        for i, reply in enumerate(replies)
    ]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_predictions(table, COLUMNS, folder, labels=LABELS, model=model, task=task)
    return write_results(score_run(folder, **scoring), folder / "results.json")


def right(n: int, wrong: int = 0, none: int = 0) -> list[str]:
    """Replies of which the last ``wrong`` are wrong, and the last ``none`` of those no answer."""
    replies = [LABELS[i % len(LABELS)] for i in range(n)]
    for i in range(n - wrong, n):
        replies[i] = LABELS[(i + 1) % len(LABELS)]
    for i in range(n - none, n):
        replies[i] = "I cannot tell."
    return replies
