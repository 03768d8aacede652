"""A run of several processes, as torchrun and accelerate launch start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks.corpora import prepared
from voxemo_tasks.errors import OptionError
from voxemo_tasks.results import read_results
from voxemo_tasks.store import read_run

pytest.importorskip("torch.distributed")
VOXEMO = [sys.executable, "-m", "voxemo_tasks.cli"]
TASK = "voxemo_mini_direct"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    named = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    return {**os.environ, "MASTER_ADDR": "127.0.0.1", **{k: str(v) for k, v in named.items()}}


Started = list[tuple[int, str, str]]


@pytest.fixture
def start(mini_home: Path, tmp_path: Path) -> Callable[..., Started]:
    """Run processes with these arguments each; exit status, output, messages."""

    def run(*arguments: list[Any]) -> Started:
        port = free_port()
        processes = [
            subprocess.Popen(
                [*VOXEMO, "run", *map(str, one)],
                cwd=tmp_path,
                env=environment(rank, len(arguments), port),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank, one in enumerate(arguments)
        ]
        try:
            outputs = [process.communicate(timeout=180) for process in processes]
        finally:
            for process in processes:
                process.kill()
        return [(p.returncode, *out) for p, out in zip(processes, outputs, strict=True)]

    return run


def arguments(file: Path, out: str, *more: Any) -> list[Any]:
    model = ["--model", "scripted-audiolm", "--model_args", f"replies={file}"]
    return [*model, "--tasks", TASK, "--output_path", out, *more]


def the_run(folder: Path) -> Path:
    (run,) = (p.parent for p in folder.rglob("run.json"))
    return run


def test_two_processes_share_the_documents_and_the_first_scores_all(
    start: Any, script: Any, tmp_path: Path
) -> None:
    happy = [u for u in prepared("mini").manifest().utterances() if u.label == "happy"]
    file = script(*({"path": u.path, "reply": "happy"} for u in happy), {"reply": "angry"})
    sampled = ["--metadata", '{"samples": 3, "temperature": 1.0}']
    done = start(*[arguments(file, "two", "--log_samples", *sampled)] * 2)
    assert [status for status, _, _ in done] == [0, 0], [error[-1500:] for _, _, error in done]
    run = the_run(tmp_path / "two")
    total = len(prepared("mini").manifest())
    assert total % 2  # so that one process has more to ask than the other
    results = read_results(run / "results.json")
    task = results.tasks[TASK]
    assert task.counts.scored == task.counts.asked == total
    written = sorted(session.replies_written for session in results.sessions)
    assert written == [3 * (total // 2), 3 * (total // 2 + 1)]
    # no process asked for a further sample to fill up its share
    assert {row.samples for row in read_run(run).asked} == {3}
    assert ["results: " in output for _, output, _ in done] == [True, False]
    one = start(arguments(file, "one", *sampled))
    assert one[0][0] == 0
    alone = read_results(the_run(tmp_path / "one") / "results.json").tasks[TASK]
    assert task.hard == alone.hard


def test_where_one_process_fails_the_others_say_so_and_nothing_is_scored(
    start: Any, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text('{"reply": "angry"}\n')
    bad.write_text('{"error": "the engine fell over"}\n')
    folders = {good: "store=good", bad: "store=bad"}
    each = [arguments(f, "out") for f in folders]
    for one, store in zip(each, folders.values(), strict=True):
        one[3] += f",{store}"
    done = start(*each)
    assert [status for status, _, _ in done] == [3, 3]
    assert "rank 0 of 2: another process of this run ended" in done[0][2]
    assert "the first 20 replies all failed in the engine" in done[1][2]
    assert all("Traceback" not in error for _, _, error in done)
    assert not list(tmp_path.rglob("results.json"))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT is not"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE='two': expected a whole number"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
            "RANK=2: expected less than WORLD_SIZE=2",
        ),
    ],
)
def test_a_launchers_variables_that_make_no_sense(variables: dict[str, str], message: str) -> None:
    from voxemo_tasks.backends.ranks import parse_ranks

    with pytest.raises(OptionError, match=message):
        parse_ranks(variables)
