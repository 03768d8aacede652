"""Scripted models that hear, read, guess or lie, asked through lm-eval; the scorecard of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from voxemo_tasks.results import score_run
from voxemo_tasks.results.model import TaskResult
from voxemo_tasks.tasks.tree import tree

Ask = Callable[..., TaskResult]


@pytest.fixture
def ask(mini_home: Path, tmp_path: Path) -> Ask:
    """Ask a scripted model and score its run."""

    def run(
        rows: Iterable[dict[str, Any]],
        tier: str = "direct",
        *,
        metadata: dict[str, Any] | None = None,
        limit: int | None = None,
        name: str = "model",
        before_scoring: Callable[[Path], None] | None = None,
    ) -> TaskResult:
        script = tmp_path / f"{name}.jsonl"
        script.write_text("".join(json.dumps(row) + "\n" for row in rows))
        store = tmp_path / f"run-{name}"
        manager = TaskManager(
            include_path=str(tree()), include_defaults=False, metadata=metadata or {}
        )
        task = f"voxemo_mini_{tier}"
        simple_evaluate(
            model="scripted-audiolm",
            model_args={"replies": str(script), "store": str(store), "batch_size": 8},
            tasks=[task],
            task_manager=manager,
            bootstrap_iters=0,
            limit=limit,
        )
        if before_scoring is not None:
            before_scoring(store)
        return score_run(store, multiverse=False).tasks[task]

    return run
