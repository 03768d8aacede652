"""lm-eval's own sample logs give the numbers of the run that they were logged in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks.errors import OptionError
from voxemo_tasks.results import score_run
from voxemo_tasks.results.samples import import_samples


@pytest.fixture(scope="module")
def logged(tmp_path_factory: Any) -> tuple[Path, Path]:
    """A run of two samples a clip, and its log."""
    base = tmp_path_factory.mktemp("samples")
    environment = os.environ | {"VOXEMO_HOME": str(base / "home")}
    script = base / "replies.jsonl"
    script.write_text(
        '{"path": "3.flac", "replies": ["angry", "sad"]}\n{"reply": "I think sad."}\n'
    )
    for argv in (
        ["corpora", "prepare", "mini"],
        [
            *("run", "--model", "scripted-audiolm", "--model_args", f"replies={script}"),
            *("--tasks", "voxemo_mini_direct", "--limit", "12", "--log_samples"),
            *("--metadata", '{"samples": 2, "temperature": 1}'),
            *("--output_path", str(base / "out")),
        ],
    ):
        command = [sys.executable, "-m", "voxemo_tasks.cli", *argv]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    (log,) = (base / "out").rglob("samples_*.jsonl")
    (results,) = (base / "out").glob("*/results.json")
    return log, results.parent


def test_a_log_scores_as_its_run(logged: tuple[Path, Path], tmp_path: Path) -> None:
    log, run = logged
    found = import_samples(log, tmp_path / "again")
    assert (found.utterances, found.replies) == (12, 24)
    ours, theirs = score_run(tmp_path / "again"), score_run(run)
    (task,) = ours.tasks
    for name in ("hard", "counts", "confusion", "soft", "calibration", "groups", "sensitivity"):
        mine, its = (getattr(one.tasks[task], name) for one in (ours, theirs))
        if name == "counts":
            mine, its = mine.model_dump(), its.model_dump()
        assert mine == its, name


def test_a_log_of_a_synthetic_model_stays_no_result(
    logged: tuple[Path, Path], tmp_path: Path
) -> None:
    """The script plays on a corpus of real speech here; the log alone says that a script spoke."""
    log, run = logged
    menu = next(iter(score_run(run).tasks.values())).confusion.rows
    import_samples(log, tmp_path / "own")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        line["resps"] = [line["resps"][0][:1]]
    single = tmp_path / log.name
    single.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_samples(single, tmp_path / "menu", labels=menu)
    for folder in ("own", "menu"):
        assert json.loads((tmp_path / folder / "run.json").read_text())["synthetic_model"] is True
        results = score_run(tmp_path / folder)
        assert results.notice == "synthetic, not a result"
        assert not any(task.headline for task in results.tasks.values())


def test_a_log_of_another_suite_needs_its_menu(tmp_path: Path) -> None:
    log = tmp_path / "samples_other_2026.jsonl"
    rows = [
        {"doc_id": i, "doc": {}, "target": gold, "resps": [[reply]], "arguments": {}}
        for i, (gold, reply) in enumerate([("sad", "sad"), ("happy", "sad"), ("happy", "joyful")])
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(OptionError, match="--labels"):
        import_samples(log, tmp_path / "a")
    import_samples(log, tmp_path / "b", labels=("happy", "sad"))
    (task,) = score_run(tmp_path / "b").tasks.values()
    assert task.task == "other"
    assert task.hard["wa"].strict.value == pytest.approx(2 / 3)


def test_documents_that_are_gone_are_told(logged: tuple[Path, Path], tmp_path: Path) -> None:
    log, _ = logged
    row = json.loads(log.read_text().splitlines()[0])
    place = row["arguments"]["gen_args_0"]["arg_2"]["provenance"]["documents"]
    place |= {"path": "/nowhere/x.jsonl.gz", "sha256": "0" * 64}
    other = tmp_path / "samples_x_1.jsonl"
    other.write_text(json.dumps(row) + "\n")
    with pytest.raises(OptionError, match="not on this machine"):
        import_samples(other, tmp_path / "out")
