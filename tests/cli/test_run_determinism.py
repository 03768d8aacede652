"""``voxemo run --determinism-check N``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks.backends import base
from voxemo_tasks.backends.base import Generated
from voxemo_tasks.backends.scripted import ScriptedAudioLM
from voxemo_tasks.cli import main
from voxemo_tasks.cli.run import own_flags
from voxemo_tasks.errors import OptionError
from voxemo_tasks.results import read_results
from voxemo_tasks.tasks import task


@pytest.fixture
def run(mini_home: Path, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(base, "kept", None)
    monkeypatch.setattr(task, "kept", None)

    def run_it(*flags: str) -> tuple[int, dict[str, Any], Path]:
        file = script({"reply": "sad"})
        argv = ["run", "--model", "scripted-audiolm", "--model_args", f"replies={file}"]
        argv += ["--tasks", "voxemo_mini_direct", "--limit", "6", "--batch_size", "3"]
        argv += ["--output_path", str(tmp_path / "out"), "--no-sensitivity", *flags]
        status = main(argv)
        (folder,) = (p.parent for p in (tmp_path / "out").rglob("run.json"))
        (session,) = (folder / "sessions").glob("*.json")
        return status, json.loads(session.read_text()), folder

    return run_it


def test_it_is_printed_noted_and_in_the_results(
    run: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose replies depend on the batch is found out."""

    def generate(self: Any, jobs: Any) -> list[list[Generated]]:
        return [[Generated(f"sad {len(jobs)}") for _ in job.missing] for job in jobs]

    monkeypatch.setattr(ScriptedAudioLM, "generate", generate)
    status, session, folder = run("--determinism-check", "4")
    assert status == 0
    printed = capsys.readouterr().out
    line = "determinism: 0 of 4 replies are the same in batches of 1 as before in batches of 3"
    assert line in printed
    assert "direct_en@1: 'sad 3', now 'sad 1'" in printed
    noted = session["engine"]["determinism"]
    assert (noted["n"], noted["equal"], noted["share"]) == (4, 0, 0.0)
    results = read_results(folder / "results.json")
    assert results.sessions[0].engine["determinism"] == noted
    task_result = results.tasks["voxemo_mini_direct"]
    assert task_result.counts.replies == 6  # asked once
    assert session["replies_written"] == 6


def test_a_model_that_agrees(run: Any, capsys: Any) -> None:
    _, session, _ = run("--determinism-check", "100", "--predict_only")
    assert "determinism: 6 of 6 replies are the same" in capsys.readouterr().out
    assert session["engine"]["determinism"]["share"] == 1.0


def test_it_is_off_unless_asked_for(run: Any, capsys: Any) -> None:
    _, session, _ = run()
    assert "determinism" not in capsys.readouterr().out
    assert "determinism" not in session["engine"]


@pytest.mark.parametrize("given", ["-1", "many", "2.5", "", "٣"])
def test_a_wrong_number_is_refused(given: str) -> None:
    with pytest.raises(OptionError, match=r"--determinism-check .*whole number"):
        own_flags([f"--determinism-check={given}"])


def test_the_flag_is_taken_and_the_rest_left() -> None:
    own, rest = own_flags(["--limit", "3", "--determinism-check", "8"])
    assert (own.determinism_check, rest) == (8, ["--limit", "3"])
