"""``voxemo probe``: which run it is, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from probe_models import utterances

from voxemo_tasks.cli import main
from voxemo_tasks.cli.probe import PROBES, as_run
from voxemo_tasks.corpora import prepare
from voxemo_tasks.errors import OptionError
from voxemo_tasks.results import read_results
from voxemo_tasks.tasks.options import parse_options
from voxemo_tasks.tasks.pairs import DIMENSIONS


def metadata(arguments: list[str]) -> dict[str, Any]:
    at = arguments.index("--metadata")
    found: dict[str, Any] = json.loads(arguments[at + 1])
    return found


@pytest.mark.parametrize("name", sorted(PROBES))
def test_every_probe_is_a_run(name: str) -> None:
    needed = {"transform": ["--transform", "reverb"], "pairs": ["--pairs", "p.csv"]}
    extra = needed.get(PROBES[name].needs or "", [])
    found = as_run([name, "--corpus", "mini", *extra, "--limit", "3"])
    tier = PROBES[name].tier
    assert found[:2] == ["--tasks", f"voxemo_mini_{tier}"]
    assert found[-2:] == ["--limit", "3"]
    if "--metadata" in found:
        parse_options(metadata(found), strict=True)


def test_several_corpora_and_options() -> None:
    found = as_run(
        ["severity", "--corpus", "mini,urdu", "--transform", "noise(kind=pink)", "--tier", "open",
         "--metadata", '{"samples": 2, "temperature": 0.5}']
    )  # fmt: skip
    assert found[1] == "voxemo_mini_open,voxemo_urdu_open"
    assert metadata(found) == {
        "samples": 2,
        "temperature": 0.5,
        "conditions": ["severities:noise(kind=pink)"],
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["severity", "--corpus", "mini"], "needs --transform"),
        (["controls", "--corpus", "mini", "--pairs", "x.csv"], "takes no --pairs"),
        (["context", "--corpus", "mini", "--tier", "direct"], "runs tier 'context' only"),
        (["controls", "--corpus", "mini", "--metadata", "{"], "not JSON"),
        (["controls", "--corpus", "mini", "--metadata", "[1]"], "expected an object"),
    ],
)
def test_what_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        as_run(argv)


def test_the_pairs_that_come_with_the_package(
    home: Path, tmp_path: Path, script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare("mini_pairs", None, progress=False)
    file = script(
        {"path": "irony_ironic.flac", "reply": "disgust"},
        {"path": "pair_de_laughter_with.flac", "reply": "happy"},
        {"reply": "neutral"},
    )
    status = main(
        ["probe", "pairs", "--corpus", "mini_pairs", "--model", "scripted-audiolm", "--model_args",
         f"replies={file}", "--output_path", str(tmp_path / "out"), "--no-sensitivity"]
    )  # fmt: skip
    assert status == 0
    assert "minimal pairs, irony: answered differently 100.0" in capsys.readouterr().out
    (path,) = (tmp_path / "out").glob("*/results.json")
    result = read_results(path).tasks["voxemo_mini_pairs_direct"]
    assert result.notice == "synthetic, not a result"
    assert result.probes is not None
    found = {one.dimension: one for one in result.probes.pairs}
    assert set(found) == set(DIMENSIONS)
    assert all(one.pairs == 3 and one.incomplete == 0 for one in found.values())
    assert found["laughter"].differs.value == pytest.approx(1 / 3)
    assert found["laughter"].by["language"]["de-DE"].value == 1.0
    assert found["laughter"].interaction["culture"].value == 1.0
    assert found["honorific"].moves == {"with: neutral → without: neutral": 3}


def test_a_probe_from_the_command_line(
    home: Path, tmp_path: Path, script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare("mini", None, progress=False)
    file = script(
        {"heard": False, "reply": "neutral"},
        {"transform": "control_silence", "reply": "neutral"},
        *({"path": u.path, "reply": u.label} for u in utterances()),
    )
    status = main(
        ["probe", "controls", "--corpus", "mini", "--model", "scripted-audiolm", "--model_args",
         f"replies={file}", "--limit", "30", "--output_path", str(tmp_path / "out"),
         "--no-sensitivity"]
    )  # fmt: skip
    assert status == 0
    printed = capsys.readouterr().out
    assert "validity gate: passed" in printed
    assert "control_silence(): drop of WA +" in printed
    (path,) = (tmp_path / "out").glob("*/results.json")
    result = read_results(path).tasks["voxemo_mini_direct"]
    assert result.probes is not None
    assert len(result.probes.conditions) == 8


def test_two_corpora_against_each_other(
    home: Path, tmp_path: Path, script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for corpus in ("mini", "mini_pairs"):
        prepare(corpus, None, progress=False)
    file = script({"path": "mini_en_001.flac", "reply": "angry"}, {"reply": "neutral"})
    status = main(
        ["probe", "incongruence", "--corpus", "mini,mini_pairs", "--model", "scripted-audiolm",
         "--model_args", f"replies={file}", "--output_path", str(tmp_path / "out"),
         "--no-sensitivity"]
    )  # fmt: skip
    assert status == 0
    printed = capsys.readouterr().out
    for corpus in ("mini", "mini_pairs"):
        assert f"note: corpus '{corpus}' tells no emotion of the words" in printed
    (path,) = (tmp_path / "out").glob("*/results.json")
    results = read_results(path)
    (pooled,) = results.pooled
    found = {group.group: group.value for group in pooled.gaps["wa"].groups}
    assert found == {name: task.hard["wa"].strict.value for name, task in results.tasks.items()}
    assert found["voxemo_mini_pairs_direct"] == pytest.approx(30 / 36)
    assert pooled.gaps["wa"].gap is None  # 36 clips are too few to be called best
    assert (
        results.tasks["voxemo_mini_pairs_direct"].groups == {}
        or "synthesis" not in results.tasks["voxemo_mini_pairs_direct"].groups
    )  # one synthesizer is no division
