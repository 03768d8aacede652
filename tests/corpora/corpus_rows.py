"""Lines of a metadata file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def row(i: int, **changes: Any) -> dict[str, Any]:
    """A line of metadata."""
    return {
        "utterance_id": f"u{i}",
        "path": f"en/{i}.wav",
        "raw_label": "sad",
        "transcript": "One.",
        "language": "en-US",
        "culture": "US",
        "speaker": f"s{i}",
        "gender": "female",
        "blend": {"sad": 1.0},
        "votes": {"sad": 4, "angry": 1},
        "rater_votes": {"r1": "sad", "r2": ["sad", "angry"]},
        "valence": 2,
        "arousal": 1.5,
        "dominance": None,
        "splits": [{"protocol": "speakers", "fold": 1, "role": "test"}],
        **changes,
    }


def write_rows(root: Path, rows: list[dict[str, Any]]) -> None:
    """Write the metadata file of a tree."""
    root.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(r) + "\n" for r in rows)
    (root / "metadata.jsonl").write_text(text, encoding="utf-8")
