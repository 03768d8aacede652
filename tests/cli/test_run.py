"""The command lines a user types: three ways in, bad input, a killed run, two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks import registry
from voxemo_tasks.corpora import prepare, prepared
from voxemo_tasks.results import read_results
from voxemo_tasks.store import read_run
from voxemo_tasks.tasks.tree import path_of, tree

CORPORA = len(registry.corpora())
VOXEMO = [sys.executable, "-m", "voxemo_tasks.cli"]
LM_EVAL = [sys.executable, "-m", "lm_eval"]


def command(argv: list[Any], cwd: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(a) for a in argv], cwd=cwd, capture_output=True, text=True)
    if check is not None:
        assert done.returncode == check, done.stderr[-4000:]
    return done


def the_run(folder: Path) -> Path:
    (run,) = (p.parent for p in folder.rglob("run.json"))
    return run


def rates(run: Path) -> dict[str, Any]:
    results = read_results(run / "results.json")
    return {
        name: {m: rate.model_dump() for m, rate in task.hard.items()}
        for name, task in results.tasks.items()
    }


@pytest.fixture
def every_other(mini_home: Path, script: Any) -> Path:
    """Angry for every utterance but the happy ones, which are read right."""
    rows: list[dict[str, Any]] = [
        {"path": u.path, "reply": "The speaker sounds happy."}
        for u in prepared("mini").manifest().utterances()
        if u.label == "happy"
    ]
    return Path(script(*rows, {"reply": "angry"}))


def test_three_ways_in_give_the_same_numbers(
    mini_home: Path, every_other: Path, tmp_path: Path
) -> None:
    model = ["--model", "scripted-audiolm", "--model_args"]
    ours = command(
        [
            *(*VOXEMO, "run", *model, f"replies={every_other}"),
            *("--tasks", "voxemo_mini_direct", "--output_path", "one", "--log_samples"),
        ],
        tmp_path,
    )
    run = the_run(tmp_path / "one")
    assert "SYNTHETIC, NOT A RESULT" in ours.stdout
    assert "voxemo_mini_direct (synthetic, not a result)" in ours.stdout
    assert str(run / "results.json") in ours.stdout
    expected = rates(run)
    assert expected["voxemo_mini_direct"]["uar"]["strict"]["value"] == pytest.approx(2 / 7)
    include = ["--include_path", tree()]
    ways = {
        "by_path": [path_of("voxemo_mini_direct")],
        "by_name": [f"{path_of('register')},voxemo_mini_direct"],
    }
    for name, tasks in ways.items():
        arguments = f"replies={every_other},store={name}"
        command([*LM_EVAL, "run", *include, "--tasks", *tasks, *model, arguments], tmp_path)
        command([*VOXEMO, "score", name], tmp_path)
        assert rates(tmp_path / name) == expected
    python = (
        "from lm_eval import simple_evaluate\n"
        "from lm_eval.tasks import TaskManager\n"
        "from voxemo_tasks.tasks import register_models\n"
        "from voxemo_tasks.tasks.tree import tree\n"
        "register_models()\n"
        "manager = TaskManager(include_path=str(tree()), include_defaults=False)\n"
        f"simple_evaluate('scripted-audiolm', {{'replies': {str(every_other)!r}, "
        "'store': 'python'}, tasks=['voxemo_mini_direct'], task_manager=manager)\n"
    )
    command([sys.executable, "-c", python], tmp_path)
    command([*VOXEMO, "score", "python"], tmp_path)
    assert rates(tmp_path / "python") == expected


def test_a_killed_run_goes_on_where_it_was(
    mini_home: Path, every_other: Path, tmp_path: Path
) -> None:
    def argv(out: str, delay: float) -> list[str]:
        arguments = f"replies={every_other},delay_s={delay}"
        model = ["--model", "scripted-audiolm", "--model_args", arguments]
        return [*VOXEMO, "run", *model, "--tasks", "voxemo_mini_direct", "--output_path", out]

    process = subprocess.Popen(
        argv("killed", 0.05), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shards = list((tmp_path / "killed").rglob("replies/*.jsonl"))
        if shards and shards[0].read_bytes().count(b"\n") >= 20:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = the_run(tmp_path / "killed")
    total = len(prepared("mini").manifest())
    before = sum(read_run(run).has(f"{a.request}:0") for a in read_run(run).asked)
    assert 20 <= before < total
    command(argv("killed", 0.0), tmp_path)
    sessions = read_results(run / "results.json").sessions
    assert (sessions[-1].replies_reused, sessions[-1].replies_written) == (before, total - before)
    assert sessions[0].replies_written == before
    assert sessions[0].finished is None
    command(argv("whole", 0.0), tmp_path)
    assert rates(run) == rates(the_run(tmp_path / "whole"))


def test_two_runs_at_once_on_one_folder(mini_home: Path, every_other: Path, tmp_path: Path) -> None:
    argv = [*VOXEMO, "run", "--model", "scripted-audiolm", "--model_args"]
    argv += [f"replies={every_other},delay_s=0.005", "--tasks", "voxemo_mini_direct"]
    argv += ["--output_path", "both"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(argv, cwd=tmp_path, **quiet) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error[-2000:]
    run = the_run(tmp_path / "both")
    assert read_run(run).damaged == 0
    assert len(read_results(run / "results.json").sessions) == 2
    command([*VOXEMO, "score", run], tmp_path)
    task = read_results(run / "results.json").tasks["voxemo_mini_direct"]
    assert task.counts.scored == len(prepared("mini").manifest())


def test_scores_from_lm_evals_own_cache_are_whole(
    mini_home: Path, every_other: Path, tmp_path: Path
) -> None:
    """--use_cache answers instead of the model; the run folder must hold those replies too."""
    argv = [*VOXEMO, "run", "--model", "scripted-audiolm", "--model_args"]
    argv += [f"replies={every_other}", "--tasks", "voxemo_mini_direct", "--use_cache", "cache"]
    command([*argv, "--output_path", "first", "--limit", "30"], tmp_path)
    command([*argv, "--output_path", "second"], tmp_path)
    task = read_results(the_run(tmp_path / "second") / "results.json").tasks["voxemo_mini_direct"]
    assert task.counts.scored == task.counts.selected == len(prepared("mini").manifest())
    assert task.counts.missing_replies == 0


def test_results_keep_the_tasks_of_earlier_runs(
    mini_home: Path, shared: Path, every_other: Path, tmp_path: Path
) -> None:
    if not (shared / "data" / "urdu").is_dir():
        pytest.skip("no URDU in the shared data")
    prepare("urdu", shared / "data" / "urdu", progress=False)
    argv = [*VOXEMO, "run", "--model", "scripted-audiolm", "--model_args"]
    argv += [f"replies={every_other}", "--output_path", "out", "--tasks"]
    command([*argv, "voxemo_mini_direct"], tmp_path)
    command([*argv, "voxemo_urdu_direct", "--limit", "8"], tmp_path)
    tasks = read_results(the_run(tmp_path / "out") / "results.json").tasks
    assert tasks["voxemo_mini_direct"].counts.asked == len(prepared("mini").manifest())
    assert tasks["voxemo_urdu_direct"].counts.asked == 8
    assert tasks["voxemo_urdu_direct"].notice == "synthetic, not a result"  # the corpus is real
    assert not tasks["voxemo_urdu_direct"].headline


def test_predict_only_stores_and_scores_nothing(
    mini_home: Path, every_other: Path, tmp_path: Path
) -> None:
    argv = [*VOXEMO, "run", "--model", "scripted-audiolm", "--model_args"]
    argv += [f"replies={every_other}", "--tasks", "voxemo_mini_direct", "--output_path", "out"]
    done = command([*argv, "--predict_only", "--limit", "5"], tmp_path)
    run = the_run(tmp_path / "out")
    assert f"replies: {run}" in done.stdout
    assert not (run / "results.json").exists()
    assert len(read_run(run).asked) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--tasks": "voxemo_mini_dirct"}, "did you mean 'voxemo_mini_direct'"),
        ({"--tasks": ""}, "--tasks names nothing"),
        ({"--tasks": "/nowhere/task.yaml"}, "there is no file /nowhere/task.yaml"),
        ({"--tasks": "voxemo_urdu"}, "voxemo corpora prepare urdu --root DIR"),
        ({"--tasks": "voxemo"}, f"{CORPORA - 1} of {CORPORA} corpora of this run are not prepared"),
        ({"--model": "hf-audiolmm"}, "did you mean 'hf-audiolm'"),
        ({"--model": ""}, "--model is missing"),
        ({"--model_args": "dtype=fp32"}, "needs pretrained="),
        ({"--seed": "1,2"}, "--seed"),
        ({"--samples": '{"voxemo_mini_direct": [1]}', "--limit": "3"}, "--limit must be None"),
        ({"--metadata": '{"protocl": "x"}'}, "did you mean 'protocol'"),
        ({"--metadata": '{"prompts": ["direct_enn"]}'}, "no prompt is called 'direct_enn'"),
        ({"--metadata": '{"verbalizer": "closd_set"}'}, "did you mean 'closed_set'"),
        ({"--metadata": '{"label_set": "five"}'}, "label set of corpus 'mini'"),
        ({"--output_path": "file/below"}, "cannot be written"),
    ],
)
def test_bad_input_is_said_before_a_model_is_loaded(
    mini_home: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    (tmp_path / "file").write_text("")
    flags = {
        "--model": "hf-audiolm",
        "--model_args": "pretrained=/a/model/that/is/not/there",
        "--tasks": "voxemo_mini_direct",
        "--output_path": "out",
    } | change
    argv = [*VOXEMO, "run", *(x for pair in flags.items() for x in pair)]
    done = command(argv, tmp_path, check=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_run_writes_its_json_and_exits_3(
    mini_home: Path, script: Any, tmp_path: Path
) -> None:
    rows = [
        {"path": u.path, "error": "no"} for u in list(prepared("mini").manifest().utterances())[::8]
    ]
    file = script(*rows, {"reply": "sad"})
    argv = [*VOXEMO, "run", "--model", "scripted-audiolm", "--model_args", f"replies={file}"]
    done = command(
        [*argv, "--tasks", "voxemo_mini_direct", "--output_path", "out"], tmp_path, check=3
    )
    assert "above the registered limit" in done.stderr
    assert "Traceback" not in done.stderr
    results = read_results(the_run(tmp_path / "out") / "results.json")
    assert results.tasks["voxemo_mini_direct"].headline is False


def test_tasks_path(home: Path, tmp_path: Path) -> None:
    root = command([*VOXEMO, "tasks", "path"], tmp_path).stdout.strip()
    assert Path(root) == tree()
    file = command([*VOXEMO, "tasks", "path", "voxemo_urdu_direct"], tmp_path).stdout.strip()
    assert Path(file).is_file()
    bad = command([*VOXEMO, "tasks", "path", "voxemo_urdo"], tmp_path, check=2)
    assert "did you mean" in bad.stderr


def test_commands_print(mini_home: Path, tmp_path: Path) -> None:
    for argv in (
        ["tasks", "ls"],
        ["models", "ls"],
        ["prompts", "ls"],
        ["prompts", "lint"],
        ["verbalizers", "lint"],
        ["judges", "ls"],
        ["corpora", "ls"],
        ["corpora", "show", "mini"],
        ["--version"],
    ):
        assert command([*VOXEMO, *argv], tmp_path).stdout.strip(), argv
    shown = command([*VOXEMO, "prompts", "show", "direct_en", "--corpus", "mini"], tmp_path)
    message = json.loads(shown.stdout)["messages"][0]
    assert [part["type"] for part in message["content"]] == ["audio", "text"]
    assert "angry, disgust, fear, happy, neutral, sad, surprise" in message["content"][1]["text"]
    assert os.environ.get("VOXEMO_HOME")
