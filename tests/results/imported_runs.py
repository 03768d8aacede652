"""Runs made from rows, in milliseconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voxemo_tasks.results.importing import import_predictions

LABELS = ("angry", "happy", "neutral", "sad")


def imported(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    labels: Sequence[str] = LABELS,
    scale: tuple[float, float] | None = None,
    task: str = "imported",
) -> Path:
    """A run whose columns are called as the fields they hold."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.parent / f"{folder.name}.{task}.jsonl"
    file.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), encoding="utf-8")
    columns = {name: name for row in rows for name in row}
    import_predictions(
        file, columns, folder, labels=labels, scale=scale, task=task, model=folder.name
    )
    return folder


def hard_rows(
    said: Mapping[str, str], gold: Mapping[str, str], **facts: Any
) -> list[dict[str, Any]]:
    """A row an utterance; ``facts`` are functions of its id."""
    return [
        {"utterance": uid, "reply": reply, "gold": gold[uid]}
        | {name: of(uid) for name, of in facts.items()}
        for uid, reply in said.items()
    ]


def merged(folder: Path, others: Sequence[Path]) -> Path:
    """A run with the tasks of several: shards have one writer each, so copying merges them."""
    for other in others:
        for path in (p for p in other.rglob("*") if p.is_file()):
            target = folder / path.relative_to(other)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    return folder


def fail(folder: Path, utterances: Sequence[str]) -> Path:
    """Make an engine error of every reply to these utterances."""
    asked = [json.loads(x) for p in folder.glob("asked/*") for x in p.read_text().splitlines()]
    requests = {row["request"] for row in asked if row["utterance_id"] in utterances}
    for path in folder.glob("replies/*"):
        lines = []
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row["key"].partition(":")[0] in requests:
                row |= {"text": "", "finish_reason": "error", "error": "out of memory"}
            lines.append(json.dumps(row) + "\n")
        path.write_text("".join(lines))
    return folder
