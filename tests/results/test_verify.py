"""voxemo verify: whether what a results JSON says is what its replies give."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_runs import make_run, right

from voxemo_tasks import registry
from voxemo_tasks.cli import main
from voxemo_tasks.errors import StoreError
from voxemo_tasks.results import read_results, score_run, write_results
from voxemo_tasks.results.verifying import MAY_DIFFER, TOLERANCE, equal, verify_results
from voxemo_tasks.store import RunStore, read_run

TASK = "imported"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", right(24, wrong=6, none=2))


def rewrite(path: Path, change: Any) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def task_of(data: Any) -> Any:
    return data["tasks"][TASK]


def test_an_untouched_file_holds(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify_results(results)
    assert found.holds
    assert found.compared > 500
    assert (found.not_in_file, found.later_sessions, found.files) == ([], [], [])
    assert main(["verify", str(results)]) == 0
    assert "verified" in capsys.readouterr().out


def test_a_changed_digit_is_found(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = read_results(results).tasks[TASK].hard["uar"].strict.value
    assert value == pytest.approx(18 / 24, abs=0.2)

    def change(data: Any) -> None:
        task_of(data)["hard"]["uar"]["strict"]["value"] += 1e-9

    rewrite(results, change)
    found = verify_results(results)
    (one,) = found.differences
    assert one.path == f"tasks.{TASK}.hard.uar.strict.value"
    assert (one.stored, one.again, one.kind) == (value + 1e-9, value, "number")
    assert main(["verify", str(results)]) == 1
    printed = capsys.readouterr().out
    assert f"{one.path}: {one.stored}, {one.again}" in printed


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (("counts", "statuses", "answered"), "number"),
        (("confusion", "counts", 0, 0), "number"),
        (("per_label", 0, "recall"), "number"),
        (("hard", "wa", "strict", "interval", "low"), "number"),
        (("hard", "wa", "strict", "interval", "method"), "text"),
        (("sensitivity", "values", 3), "number"),
        (("documents_sha256",), "digest"),
        (("verbalizer", "sha256"), "digest"),
        (("label_set", "id"), "text"),
        (("headline",), "text"),
    ],
)
def test_every_kind_of_value_is_compared(results: Path, path: tuple[Any, ...], kind: str) -> None:
    def change(data: Any) -> None:
        at = task_of(data)
        for key in path[:-1]:
            at = at[key]
        old = at[path[-1]]
        at[path[-1]] = {bool: lambda: not old, str: lambda: f"{old}x"}.get(
            type(old), lambda: (old or 0) + 1
        )()

    rewrite(results, change)
    assert [one.kind for one in verify_results(results).differences] == [kind]


def test_a_null_is_not_a_number(results: Path) -> None:
    rewrite(results, lambda data: task_of(data)["hard"]["uar"]["strict"].update(value=None))
    (one,) = verify_results(results).differences
    assert (one.stored, one.kind) == (None, "number")


def test_what_is_added_or_taken_away_is_found(results: Path) -> None:
    def change(data: Any) -> None:
        rates = task_of(data)["hard"]
        rates["better"] = rates["uar"]
        del rates["wa"]
        task_of(data)["per_label"].pop()

    rewrite(results, change)
    found = {one.path: one.kind for one in verify_results(results).differences}
    assert found == {
        f"tasks.{TASK}.hard.better": "added",
        f"tasks.{TASK}.hard.wa": "absent",
        f"tasks.{TASK}.per_label[3]": "absent",
    }


def test_a_lost_reply_is_found(results: Path) -> None:
    (shard,) = (results.parent / "replies").glob("*.jsonl")
    lines = shard.read_text().splitlines(keepends=True)
    shard.write_text("".join(lines[:-1]))
    found = {one.path: one for one in verify_results(results).differences}
    missing = found[f"tasks.{TASK}.counts.missing"]
    assert (missing.stored, missing.again) == (0, 1)


def test_a_changed_reply_is_found(results: Path) -> None:
    (shard,) = (results.parent / "replies").glob("*.jsonl")
    shard.write_text(shard.read_text().replace('"text":"angry"', '"text":"happy"', 1))
    assert not verify_results(results).holds


def test_fields_that_may_differ_do(results: Path) -> None:
    def change(data: Any) -> None:
        data |= {"created": "2020-01-01T00:00:00+00:00", "voxemo_tasks": "0.0.1"}
        data["sessions"][0] |= {"wall_s": 9.0, "finished": None, "engine": {"device": "abacus"}}

    rewrite(results, change)
    found = verify_results(results)
    assert found.holds
    assert not found.same_version
    assert {"created", "run", "voxemo_tasks"} <= MAY_DIFFER


def test_another_version_is_told_apart(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(results, lambda data: data.update(voxemo_tasks="0.0.1"))
    assert main(["verify", str(results)]) == 0
    assert "written by voxemo-tasks 0.0.1" in capsys.readouterr().out


def test_a_changed_verbalizer_is_told_apart(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, digest = registry.verbalizer("closed_set")
    other = "0" * 64
    for module in ("voxemo_tasks.results.reading.registered", "voxemo_tasks.registry.verbalizer"):
        monkeypatch.setattr(module, lambda ref: (spec, other))
    found = verify_results(results)
    assert not found.holds
    assert found.differences == []
    assert found.impossible is not None
    assert digest in found.files[0]
    assert main(["verify", str(results)]) == 1
    assert "CANNOT BE VERIFIED" in capsys.readouterr().out


def test_a_moved_run_is_found(results: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.move(results.parent, moved)
    assert verify_results(moved / "results.json").holds
    alone = tmp_path / "alone.json"
    shutil.move(moved / "results.json", alone)
    with pytest.raises(StoreError, match=r"no run\.json"):
        verify_results(alone)
    assert verify_results(alone, moved).holds
    assert main(["verify", str(alone), "--run", str(moved)]) == 0


def test_what_was_asked_for_is_repeated(tmp_path: Path) -> None:
    path = make_run(
        tmp_path / "run",
        ["Not angry, but sad."] * 24,
        verbalizer="first_substring",
        by=["speaker"],
        seed=7,
        multiverse=False,
    )
    scoring = read_results(path).scoring
    assert scoring is not None
    assert scoring.model_dump() == {
        "verbalizer": "first_substring",
        "by": ["speaker"],
        "sessions": [],
        "seed": 7,
        "multiverse": False,
        "annotator_delay_s": None,
        "transcript_baseline": None,
    }
    assert verify_results(path).holds
    rewrite(path, lambda data: data["scoring"].update(seed=8))
    assert not verify_results(path).holds


def test_a_file_without_scoring_is_repeated_as_it_shows(tmp_path: Path) -> None:
    path = make_run(
        tmp_path / "run", ["Not angry, but sad."] * 24, verbalizer="first_substring", seed=7
    )
    rewrite(path, lambda data: data.pop("scoring"))
    assert verify_results(path).holds


def test_a_field_of_a_later_version_is_named_and_not_compared(results: Path) -> None:
    rewrite(results, lambda data: task_of(data).pop("calibration"))
    found = verify_results(results)
    assert found.holds
    assert found.not_in_file == [f"tasks.{TASK}.calibration"]


def test_later_sessions_are_left_out(results: Path) -> None:
    before = read_run(results.parent)
    reply = before.reply(f"{before.asked[0].request}:0")
    assert reply is not None
    row = before.asked[0]
    with RunStore(results.parent, before.run["fingerprint"], synthetic=False) as store:
        store.ask(type(row)(**{**row.to_json(), "task": "another", "session": ""}))
        store.finish()
    found = verify_results(results)
    assert found.holds
    assert found.later_sessions == [store.session]
    assert set(score_run(results.parent).tasks) == {TASK, "another"}
    write_results(score_run(results.parent), results)
    assert verify_results(results).later_sessions == []


def test_no_results_json_is_said(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("{}")
    with pytest.raises(StoreError, match="schema"):
        verify_results(path)
    assert main(["verify", str(path)]) == 2
    assert main(["verify", str(path), str(path), "--run", str(tmp_path)]) == 2


def test_numbers_to_the_tolerance() -> None:
    assert equal(0.25, 0.25 + TOLERANCE / 2)
    assert not equal(0.25, 0.25 + TOLERANCE * 2)
    assert equal(1e6, 1e6 + 1e-7)
    assert not equal(1e6, 1e6 + 1e-5)
    assert not equal(0, False)
    assert not equal("1", 1)


def test_a_file_without_a_later_block_holds(results: Path) -> None:
    """Neither the block nor the reason why it is empty can stand in a file from before it."""

    def earlier(data: Any) -> None:
        del task_of(data)["continuous"], task_of(data)["absent"]["continuous"]

    rewrite(results, earlier)
    found = verify_results(results)
    assert found.holds
    assert f"tasks.{TASK}.continuous" in found.not_in_file
    assert f"tasks.{TASK}.absent.continuous" in found.not_in_file

    # A reason that is missing for a block that is there is a difference.
    rewrite(results, lambda data: task_of(data)["absent"].pop("soft"))
    (one,) = verify_results(results).differences
    assert (one.path, one.kind) == (f"tasks.{TASK}.absent.soft", "absent")
