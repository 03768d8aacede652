"""Results JSON of earlier versions keep loading. Files in tests/data/historic are never rewritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxemo_tasks.results import read_results, table_of, write_results
from voxemo_tasks.results.verifying import inferred_scoring

HISTORIC = Path(__file__).resolve().parent.parent / "data" / "historic"
FILES = sorted(HISTORIC.glob("*.json"))


def test_there_are_historic_files() -> None:
    assert [path.stem for path in FILES] == [
        "results_before_soft_labels",
        "results_with_scorecards",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_historic_file_loads_and_survives(path: Path, tmp_path: Path) -> None:
    results = read_results(path)
    assert read_results(write_results(results, tmp_path / "again.json")) == results
    assert "voxemo_mini_direct" in table_of(results)


def test_what_the_oldest_file_says() -> None:
    results = read_results(HISTORIC / "results_before_soft_labels.json")
    task = results.tasks["voxemo_mini_direct"]
    uar = task.hard["uar"].strict
    # 12 utterances of five labels, all of them called happy: one recall is 1, the others 0.
    assert uar.value == pytest.approx(1 / 5, abs=1e-12)
    assert (uar.n, task.counts.statuses["answered"], task.calibration) == (12, 12, None)
    assert results.scoring is None
    assert results.preregistration is None
    assert inferred_scoring(results).multiverse is True
    assert inferred_scoring(results).seed == uar.interval.seed


def test_what_the_scorecard_says() -> None:
    results = read_results(HISTORIC / "results_with_scorecards.json")
    task = results.tasks["voxemo_mini_direct"]
    assert task.counts.replies == 12 * 2 * 2
    assert task.prompt_sensitivity is not None
    assert task.calibration is not None
    assert results.scoring is not None
    assert results.scoring.sessions == [results.sessions[0].id]
