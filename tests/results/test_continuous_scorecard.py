"""Time-continuous ratings from a table to the results: two conversations, three annotators, a lag."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imported_runs import imported

from voxemo_tasks.cli import main
from voxemo_tasks.errors import CorpusError, OptionError
from voxemo_tasks.results import read_results, score_run, table_of
from voxemo_tasks.results.exporting.values import measured
from voxemo_tasks.results.importing import import_predictions
from voxemo_tasks.results.verifying import verify_results

LAG = 3.0
# What each window of 10 s was like; annotators add an offset, and say it three seconds late.
TRUTH = {"c1": [2.0, 3.0, 5.0, 6.0], "c2": [6.0, 4.0, 3.0, 3.0]}
OFFSET = {"a1": -0.5, "a2": 0.0, "a3": 0.5}
SAID: dict[str, list[float | None]] = {"c1": [2.0, 4.0, 5.0, 5.0], "c2": [5.0, 4.0, 4.0, None]}
COLUMNS = {
    **{"utterance": "id", "dialogue": "rec", "start": "from", "end": "to"},
    **{"predicted_valence": "said"},
}


def ccc(gold: list[float], said: list[float]) -> float:
    x, y = np.array(gold), np.array(said)
    return float(
        2 * ((x - x.mean()) * (y - y.mean())).mean()
        / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    )  # fmt: skip


def write_traces(path: Path, value: Any = lambda v: v) -> Path:
    lines = ["recording,dimension,annotator,time_s,value"]
    for name, levels in TRUTH.items():
        for who, offset in OFFSET.items():
            for tenth in range(0, 10 * 43):
                heard = tenth / 10 - LAG
                level = levels[min(max(int(heard // 10), 0), 3)]
                lines.append(f"{name},valence,{who},{tenth / 10},{value(level + offset)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_predictions(path: Path) -> Path:
    rows = [
        {"id": f"{name}_{i}", "rec": name, "from": 10 * i, "to": 10 * i + 10, "said": said}
        for name, several in SAID.items()
        for i, said in enumerate(several)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    import_predictions(
        write_predictions(tmp_path / "said.jsonl"),
        COLUMNS,
        tmp_path / "run",
        scale=(1, 7),
        traces=write_traces(tmp_path / "traces.csv"),
        annotator_delay_s=LAG,
    )
    return tmp_path / "run"


def test_windows_against_the_mean_trace_after_the_delay(run: Path) -> None:
    results = score_run(run)
    task = results.tasks["imported"]
    one = task.continuous["valence"]
    assert (one.delay.delay_s, one.delay.chosen_by) == (LAG, "the import (--annotator-delay)")
    # With the lag off, the mean of the annotators is the level of the window at each of its grid times.
    assert (one.n_windows, one.n_without_trace, one.n_unanswered) == (8, 0, 1)
    answered = {n: [(g, s) for g, s in zip(TRUTH[n], SAID[n], strict=True) if s is not None]
                for n in TRUTH}  # fmt: skip
    for row in one.conversations:
        gold, said = zip(*answered[row.recording], strict=True)
        assert row.ccc == pytest.approx(ccc(list(gold), list(said)), abs=1e-9)
        assert row.n_annotators == 3
    pooled = [pair for pairs in answered.values() for pair in pairs]
    assert one.metrics["ccc"].value == pytest.approx(ccc(*map(list, zip(*pooled, strict=True))))
    assert one.metrics["ccc"].n == 7
    assert one.metrics["coverage"].value == pytest.approx(7 / 8)
    by_hand = [row.ccc for row in one.conversations]
    assert one.mean_ccc.value == pytest.approx(sum(by_hand) / 2)  # type: ignore[arg-type]
    assert one.mean_ccc.n == 2
    for number in (one.metrics["ccc"], one.mean_ccc):
        assert number.interval is not None
        assert (number.interval.cluster, number.interval.n_clusters) == ("recording", 2)
        assert number.interval.low is not None
        assert number.interval.high is not None
        assert number.value is not None
        assert number.interval.low <= number.value <= number.interval.high
    assert task.dimensional == {}
    assert "no scored utterance has a gold rating" in task.absent["dimensional"]
    assert "delay 3 s" in table_of(results)
    assert "valence.continuous.mean_ccc" in {number.metric for number in measured(results)}


def test_the_delay_is_stated_and_not_fitted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = score_run(run, annotator_delay_s=0.0).tasks["imported"].continuous["valence"]
    assert (other.delay.delay_s, other.delay.chosen_by) == (0.0, "the command (--annotator-delay)")
    # Without it each window holds three seconds of the one before: 0.7 of its level and 0.3.
    late = {n: [levels[0], *(0.7 * b + 0.3 * a for a, b in itertools.pairwise(levels))]
            for n, levels in TRUTH.items()}  # fmt: skip
    (first, _) = other.conversations
    assert first.ccc == pytest.approx(ccc(late["c1"], SAID["c1"]), abs=0.003)  # type: ignore[arg-type]
    assert main(["score", str(run), "--annotator-delay", "2.5"]) == 0
    assert "delay 2.5 s (the command" in capsys.readouterr().out
    path = run / "results.json"
    assert verify_results(path).holds
    stored = read_results(path)
    data = json.loads(path.read_text())
    block = data["tasks"]["imported"]["continuous"]["valence"]
    block["conversations"][1]["ccc"] += 1e-6
    path.write_text(json.dumps(data))
    (one,) = verify_results(path).differences
    assert one.path.endswith("continuous.valence.conversations[1].ccc")
    assert stored.scoring is not None
    assert stored.scoring.annotator_delay_s == 2.5
    with pytest.raises(OptionError, match="number of seconds"):
        score_run(run, annotator_delay_s=float("nan"))


def test_a_trace_off_the_scale_costs_the_block_alone(tmp_path: Path) -> None:
    import_predictions(
        write_predictions(tmp_path / "said.jsonl"), COLUMNS, tmp_path / "run", scale=(1, 7),
        traces=write_traces(tmp_path / "traces.csv", value=lambda v: 100 * v),
    )  # fmt: skip
    task = score_run(tmp_path / "run").tasks["imported"]
    assert task.continuous == {}
    assert "outside the scale 1 to 7" in task.absent["continuous"]


def test_an_unstated_delay_says_so(tmp_path: Path) -> None:
    argv = ["import", "predictions", str(write_predictions(tmp_path / "said.jsonl"))]
    argv += ["--map", ",".join(f"{k}={v}" for k, v in COLUMNS.items()), "--scale", "1,7"]
    argv += ["--traces", str(write_traces(tmp_path / "traces.csv")), "--out", str(tmp_path / "run")]
    assert main(argv) == 0
    one = score_run(tmp_path / "run").tasks["imported"].continuous["valence"]
    assert one.delay.delay_s == 0.0
    assert one.delay.chosen_by.startswith("nobody")


@pytest.mark.parametrize(
    ("columns", "line", "error", "match"),
    [
        ({"start": None}, None, OptionError, "dialogue=…, start=…, end=…"),
        ({"dialogue": "id"}, None, OptionError, "has no trace of 'c1_0'"),
        ({}, "c1,mood,a1,1,2", CorpusError, "allowed: valence, arousal, dominance"),
        ({}, "c1,valence,a1,0.0,2", CorpusError, "two samples of valence at 0 s"),
        ({}, "c1,valence,a1,x,2", CorpusError, ":2582: 'x' is no finite number"),
        ({}, "c1,valence,a1,1", CorpusError, "a cell is empty"),
    ],
)
def test_what_cannot_be_used_is_a_letter(
    tmp_path: Path, columns: dict[str, Any], line: str | None, error: type[Exception], match: str
) -> None:
    traces = write_traces(tmp_path / "traces.csv")
    if line is not None:
        traces.write_text(traces.read_text() + line + "\n")
    named = {k: v for k, v in {**COLUMNS, **columns}.items() if v is not None}
    with pytest.raises(error, match=match):
        import_predictions(
            write_predictions(tmp_path / "said.jsonl"), named, tmp_path / "run", scale=(1, 7),
            traces=traces,
        )  # fmt: skip


CARD = """\
schema: voxemo-corpus/1
id: talk
name: Talk
languages: [en]
culture: null
elicitation: natural
labels: {}
label_sets: {}
protocols:
  all: {description: All., folds: 1}
reader:
  family: manifest
dimensions:
  low: 1
  high: 7
  traces: {delay_s: 3, delay_source: "a made corpus"}
licence: not stated
access: made
layout: made
verified_on: nothing
"""


def test_from_a_corpus_card_to_the_results(
    home: Path, tmp_path: Path, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    from voxemo_tasks.corpora import prepare, prepared

    (home / "cards").mkdir(parents=True)
    (home / "cards" / "talk.yaml").write_text(CARD)
    root = tmp_path / "talk"
    root.mkdir()
    lines = ["utterance_id,path,dialogue,start_s,end_s"]
    for name in TRUTH:
        soundfile.write(root / f"{name}.wav", np.zeros(8000 * 43), 8000)
        lines += [f"{name}_{i},{name}.wav,{name},{10 * i},{10 * i + 10}" for i in range(4)]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    write_traces(root / "traces.csv")
    assert prepare("talk", root, progress=False).usable == 8

    # Each sample lies with one window, also those after the last window's end.
    utterances = list(prepared("talk").manifest().utterances())
    held = [u.traces["valence"]["a2"][0] for u in utterances if u.traces is not None]
    assert [len(times) for times in held] == [100, 100, 100, 130] * 2
    assert held[0][-1] < 10 <= held[1][0]

    argv = [*(sys.executable, "-m", "voxemo_tasks.cli", "run"), "--model", "scripted-audiolm"]
    argv += ["--model_args", f"replies={script({'reply': 'valence: 4'})}"]
    argv += ["--tasks", "voxemo_talk_dimensional", "--output_path", str(tmp_path / "out")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = tmp_path.glob("out/*/results.json")
    task = read_results(path).tasks["voxemo_talk_dimensional"]
    assert task.dimensions == ["valence"]
    one = task.continuous["valence"]
    assert (one.delay.delay_s, one.delay.chosen_by) == (3.0, "the corpus card")
    assert one.delay.source == "a made corpus"
    assert (one.n_windows, one.n_without_trace, one.n_unanswered) == (8, 0, 0)
    assert one.metrics["ccc"].value == 0.0  # a constant says nothing of any window
    gold = [level for levels in TRUTH.values() for level in levels]
    assert one.metrics["bias"].value == pytest.approx(4 - sum(gold) / 8)
    assert verify_results(path).holds


def test_a_delay_where_there_are_no_traces_is_an_error(tmp_path: Path) -> None:
    folder = imported(tmp_path / "run", [{"utterance": "a", "reply": "sad", "gold": "sad"}])
    with pytest.raises(OptionError, match=r"--annotator-delay: no task of .* time-continuous"):
        score_run(folder, annotator_delay_s=2.0)
