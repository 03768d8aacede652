"""``--config FILE``: what stands in the file is looked at as the command line is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval._cli import HarnessCLI

from voxemo_tasks.backends import base
from voxemo_tasks.cli import main
from voxemo_tasks.cli.run import parse
from voxemo_tasks.errors import OptionError
from voxemo_tasks.results import read_results
from voxemo_tasks.tasks import task


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        file = tmp_path / "run.yaml"
        file.write_text(text)
        return str(file)

    return write


def parsed(*argv: str) -> Any:
    return parse(HarnessCLI()._parser, argv)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("taskss: [voxemo_mini_direct]", r"run\.yaml, key 'taskss'.*did you mean 'tasks'.*limit"),
        ("config: other.yaml", r"key 'config': is no key.*Allowed: model, model_args, tasks"),
        ("limit: twelve", r"run\.yaml, key limit: got 'twelve'.*float"),
        ("limit: true", "key limit: expected one value, got True"),
        ("num_fewshot: 1.5", "key num_fewshot: got 1.5"),
        ("log_samples: yes please", "key log_samples: expected true or false"),
        ("tasks: {voxemo_mini_direct: 1}", "key tasks: expected a name or a list of names"),
        ("model_args: [pretrained, x]", "key model_args: expected a mapping"),
        ("metadata: 7", "key metadata: expected a mapping"),
        ("seed: a", "key seed: got 'a'"),
        ("device: [cuda, cpu]", "key device: expected one value"),
        ("cache_requests: often", "key cache_requests: got 'often'"),
        ("model: [", r"run\.yaml.*nvalid YAML"),
        ("- model", "must be a mapping"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(config: Any, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parsed("--config", config(text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nowhere\.yaml.*not found"):
        parsed("--config", str(tmp_path / "nowhere.yaml"))


def test_the_command_line_is_above_the_file(config: Any) -> None:
    file = config(
        "model: scripted-audiolm\nmodel_args: {replies: a.jsonl}\ntasks: [one, two]\nlimit: 3\n"
        "batch_size: 8\nseed: [1, 2, 3, 4]\nlog_samples: true\noutput_path: out\n"
    )
    found = parsed("--config", file, "--model_args", "replies=b.jsonl", "--limit", "5")
    assert found.model == "scripted-audiolm"
    assert found.model_args == {"replies": "b.jsonl"}
    assert found.tasks == ["one", "two"]
    assert (found.limit, found.batch_size, found.log_samples) == (5.0, "8", True)
    assert found.seed == [1, 2, 3, 4]
    text = parsed("--config", config("model_args: replies=a.jsonl,delay_s=1"))
    assert text.model_args == {"replies": "a.jsonl", "delay_s": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "scripted-audiolmm"}, "did you mean 'scripted-audiolm'"),
        ({"model": None}, "--model is missing"),
        ({"metadata": {"protocl": "x"}}, "did you mean 'protocol'"),
        ({"tasks": ["voxemo_mini_dirct"]}, "did you mean 'voxemo_mini_direct'"),
        ({"output_path": "file/below"}, "cannot be written"),
        ({"model": "api-audiolm", "model_args": {"api_key": "sk-1234567890"}}, "api_key"),
    ],
)
def test_what_it_says_is_looked_at_before_a_model_is_loaded(
    mini_home: Path,
    config: Any,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(mini_home)
    Path("file").write_text("")
    whole = {
        "model": "scripted-audiolm",
        "model_args": {"replies": "/not/there"},
        "tasks": ["voxemo_mini_direct"],
    } | change
    assert main(["run", "--config", config(json.dumps(whole))]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "sk-1234567890" not in error


def test_a_run_from_a_file_alone(
    mini_home: Path, script: Any, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "kept", None)
    monkeypatch.setattr(task, "kept", None)
    whole = {
        "model": "scripted-audiolm",
        "model_args": {"replies": str(script({"reply": "sad"}))},
        "tasks": "voxemo_mini_direct",
        "metadata": {"prompts": ["direct_en"]},
        "limit": 4,
        "output_path": str(tmp_path / "out"),
    }
    assert main(["run", "--config", config(json.dumps(whole)), "--no-sensitivity"]) == 0
    (folder,) = (p.parent for p in (tmp_path / "out").rglob("run.json"))
    results = read_results(folder / "results.json")
    assert results.tasks["voxemo_mini_direct"].counts.scored == 4
