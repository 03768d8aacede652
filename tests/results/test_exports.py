"""Exports: nothing is lost or made up on the way, and what is bold has been tested."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from made_runs import make_run, right

from voxemo_tasks.cli import main
from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.results import read_results, score_run
from voxemo_tasks.results.exporting import to_csv, to_eee, to_hub, to_latex
from voxemo_tasks.results.exporting.latex import columns_of, escape, significantly_best
from voxemo_tasks.results.exporting.pairing import paired
from voxemo_tasks.results.exporting.values import measured
from voxemo_tasks.results.importing import import_predictions
from voxemo_tasks.results.model import Results

HISTORIC = Path(__file__).resolve().parent.parent / "data" / "historic"


@pytest.fixture
def results() -> Results:
    """With prompts, samples, votes, and a calibration."""
    return read_results(HISTORIC / "results_with_scorecards.json")


def two(tmp_path: Path, better: int, worse: int) -> tuple[list[Results], list[Path | None]]:
    """Two runs on the same 60 utterances of 12 speakers with so many wrong."""
    paths = [
        make_run(tmp_path / name, right(60, wrong=wrong), speakers=12, model=name)
        for name, wrong in (("one", better), ("two", worse))
    ]
    return [read_results(path) for path in paths], [path.parent for path in paths]


# --- the flat list --------------------------------------------------------------------------


def test_every_number_is_in_the_list(results: Results) -> None:
    (task,) = results.tasks.values()
    found = {(one.metric, one.policy): one for one in measured(results)}
    assert found["uar", "strict"].value == task.hard["uar"].strict.value
    assert found["uar", "answered"].n == task.hard["uar"].answered.n == 1
    assert task.soft is not None
    jsd = task.soft.metrics["jsd"]
    for policy, value in jsd.policies.items():
        assert found["soft.jsd", policy].value == value.value
        assert found["soft.jsd", policy].better == "lowest"
    assert task.calibration is not None
    assert found["calibration.gap", ""].value == task.calibration.overall.gap.value
    assert len(found) == 2 * len(task.hard) + 3 * len(task.soft.metrics) + 5


def test_metrics_stand_in_the_order_asked_for(results: Results) -> None:
    found = measured(results, ["wa", "soft.jsd", "uar"], "strict")
    assert [(one.metric, one.policy) for one in found] == [
        ("wa", "strict"),
        ("soft.jsd", "extra_class"),
        ("uar", "strict"),
    ]
    with pytest.raises(UnknownNameError, match="did you mean 'uar'"):
        measured(results, ["uarr"])


# --- CSV ------------------------------------------------------------------------------------


def test_csv_gives_back_every_float(results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([results, results]))))
    numbers = measured(results)
    assert len(rows) == 2 * len(numbers)
    for row, one in zip(rows, numbers, strict=False):
        assert (row["metric"], row["policy"], int(row["n"])) == (one.metric, one.policy, one.n)
        assert row["value"] == "" if one.value is None else float(row["value"]) == one.value
        if one.interval is not None and one.interval.low is not None:
            assert float(row["low"]) == one.interval.low
            assert row["interval_method"] == one.interval.method
    task = numbers[0].task
    assert rows[0]["prompts"] == "direct_p1@1;direct_p2@1"
    assert rows[0]["prompts_sha256"].split(";") == [p["sha256"] for p in task.prompts]
    assert rows[0]["documents_sha256"] == task.documents_sha256
    assert (rows[0]["headline"], rows[0]["notice"]) == ("no", "synthetic, not a result")


def test_csv_of_a_metric_that_only_one_run_has(results: Results, tmp_path: Path) -> None:
    plain = read_results(make_run(tmp_path / "run", right(8)))
    rows = list(csv.DictReader(io.StringIO(to_csv([plain, results], ["soft.jsd"], "strict"))))
    assert [row["model"] for row in rows] == ["scripted"]
    with pytest.raises(UnknownNameError):
        to_csv([plain], ["soft.jsd"])


# --- Every Eval Ever ------------------------------------------------------------------------


def strings_only(value: Any) -> bool:
    """Whether every ``additional_details`` and ``details`` holds text alone."""
    if isinstance(value, list):
        return all(strings_only(one) for one in value)
    if not isinstance(value, dict):
        return True
    return all(
        all(isinstance(v, str) for v in one.values())
        if key in ("additional_details", "details")
        else strings_only(one)
        for key, one in value.items()
    )


def test_eee_has_what_its_documentation_requires(results: Results) -> None:
    record = json.loads(to_eee(results, organization="a laboratory", relationship="third_party"))
    assert record["schema_version"] == "0.3.0"
    assert record["evaluation_id"] == f"voxemo_tasks/scripted/{record['retrieved_timestamp']}"
    assert record["retrieved_timestamp"].isdigit()
    assert record["source_metadata"]["source_type"] == "evaluation_run"
    assert record["source_metadata"]["source_organization_name"] == "a laboratory"
    assert record["source_metadata"]["evaluator_relationship"] == "third_party"
    assert record["source_metadata"]["additional_details"]["notice"] == "synthetic, not a result"
    assert record["eval_library"] == {
        "name": "voxemo_tasks",
        "version": results.voxemo_tasks,
        "additional_details": {"results_schema": "voxemo-results/1"},
    }
    assert {"name", "id", "additional_details"} <= record["model_info"].keys()
    assert {"deployment_type", "model_availability"} <= record["model_info"][
        "additional_details"
    ].keys()
    assert strings_only(record)
    ids = [entry["evaluation_result_id"] for entry in record["evaluation_results"]]
    assert len(set(ids)) == len(ids)
    by_id = dict(zip(ids, record["evaluation_results"], strict=True))
    (task,) = results.tasks.values()
    uar = by_id["voxemo_mini_direct/uar.strict"]
    number = task.hard["uar"].strict
    assert uar["score_details"]["score"] == number.value
    assert uar["metric_config"]["lower_is_better"] is False
    assert (uar["metric_config"]["min_score"], uar["metric_config"]["max_score"]) == (0.0, 1.0)
    uncertainty = uar["score_details"]["uncertainty"]
    assert uncertainty["num_samples"] == 12
    assert uncertainty["num_bootstrap_samples"] == number.interval.replicates
    assert uncertainty["confidence_interval"] == {
        "lower": number.interval.low,
        "upper": number.interval.high,
        "confidence_level": 0.95,
        "method": number.interval.method,
    }
    assert uar["generation_config"]["generation_args"]["temperature"] == 0.7
    assert by_id["voxemo_mini_direct/soft.jsd.uniform"]["metric_config"]["lower_is_better"] is True
    assert not any("gap" in one for one in ids)


def test_eee_leaves_out_what_does_not_exist(tmp_path: Path) -> None:
    results = read_results(make_run(tmp_path / "run", ["I cannot tell."] * 8))
    record = json.loads(to_eee(results))
    names = {entry["metric_config"]["metric_name"] for entry in record["evaluation_results"]}
    assert "uar.strict" in names
    assert "uar.answered" not in names


def test_eee_meets_its_schema(results: Results, tmp_path: Path) -> None:
    """Against the schema itself, where the package that carries it is installed."""
    pytest.importorskip("every_eval_ever")
    spec = importlib.util.find_spec("every_eval_ever")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(next(iter(spec.submodule_search_locations))) / "schemas" / "eval.schema.json"
    schema = json.loads(path.read_text())
    assert schema["version"] == "0.3.0"
    for one in (
        results,
        read_results(HISTORIC / "results_before_soft_labels.json"),
        read_results(make_run(tmp_path / "run", right(8, none=1), speakers=1)),
    ):
        jsonschema.Draft7Validator(schema).validate(json.loads(to_eee(one)))


def test_eee_knows_its_relationships(results: Results) -> None:
    with pytest.raises(OptionError, match="first_party"):
        to_eee(results, relationship="friend")


# --- the hub --------------------------------------------------------------------------------


def test_hub_results_are_a_list_of_entries(results: Results) -> None:
    entries = yaml.safe_load(
        to_hub(results, {"mini": "me/mini"}, ["coverage"], source="https://example.org/run")
    )
    assert entries == [
        {
            "dataset": {"id": "me/mini", "task_id": "voxemo_mini_direct"},
            "value": round(100 / 12, 4),
            "date": results.created,
            "source": {"url": "https://example.org/run", "name": "VoxEmo Tasks results"},
            "notes": entries[0]["notes"],
        }
    ]
    notes = entries[0]["notes"]
    assert notes.startswith("synthetic, not a result; no headline: 12 of 147")
    assert "coverage.strict in percent, n = 12" in notes
    several = yaml.safe_load(to_hub(results, {"mini": "me/mini"}, ["uar", "wa"]))
    assert [one["dataset"]["task_id"] for one in several] == [
        "voxemo_mini_direct.uar.strict",
        "voxemo_mini_direct.wa.strict",
    ]


def test_hub_results_need_a_dataset(results: Results) -> None:
    with pytest.raises(OptionError, match="--dataset mini=OWNER/NAME"):
        to_hub(results, {})


# --- LaTeX ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50 %", r"a\_b \& 50 \%"),
        ("$x^2$ #1 {y}", r"\$x\textasciicircum{}2\$ \#1 \{y\}"),
        ("C:\\dir~1\n<z>", r"C:\textbackslash{}dir\textasciitilde{}1 \textless{}z\textgreater{}"),
        ("[v1]", "{[}v1{]}"),
        ('say "x"', r"say \symbol{34}x\symbol{34}"),
        ("a|b", r"a\textbar{}b"),
        ("情感_β é", r"情感\_β é"),
    ],
)
def test_escaping(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_a_clear_best_is_bold(tmp_path: Path) -> None:
    several, folders = two(tmp_path, 2, 50)
    text = to_latex(several, folders, ["wa"], style="none")
    assert "one & \\textbf{96.7} \\\\" in text
    assert "two & 16.7 \\\\" in text
    assert "Bold: best, where a sign-flip test" in text
    assert text.count("\\textbf") == 1
    # The same the other way round: which row stands first changes nothing.
    turned = to_latex(several[::-1], folders[::-1], ["wa"], style="none")
    assert "one & \\textbf{96.7} \\\\" in turned


def test_a_best_by_chance_is_not_bold(tmp_path: Path) -> None:
    several, folders = two(tmp_path, 2, 4)
    text = to_latex(several, folders, ["wa"], style="none")
    assert "one & 96.7 \\\\" in text
    assert "\\textbf" not in text
    assert "No best is better than the second best" in text


def test_equals_are_not_bold(tmp_path: Path) -> None:
    several, folders = two(tmp_path, 5, 5)
    assert "\\textbf" not in to_latex(several, folders, ["wa"])


def test_without_run_folders_nothing_is_bold(tmp_path: Path) -> None:
    several, folders = two(tmp_path, 2, 50)
    text = to_latex(several, [folders[0], None], ["wa"], style="none")
    assert "one & 96.7 \\\\" in text
    assert "\\textbf" not in text
    assert "Not tested, so not bold: imported (the run folder of two is not here)." in text


def test_other_utterances_are_not_paired(tmp_path: Path) -> None:
    paths = [
        make_run(tmp_path / name, right(n, wrong=wrong), speakers=12, model=name)
        for name, n, wrong in (("one", 60, 2), ("two", 56, 50))
    ]
    text = to_latex([read_results(p) for p in paths], [p.parent for p in paths], ["wa"])
    assert "\\textbf" not in text
    assert "not asked about the same" in text


def test_pairs_are_those_of_the_results(tmp_path: Path) -> None:
    several, folders = two(tmp_path, 3, 20)
    counts = paired("imported", (several[0], folders[0]), (several[1], folders[1]))
    assert (counts.n, counts.n_clusters) == (60, 12)
    for i, results in enumerate(several):
        table = results.tasks["imported"].confusion
        assert table is not None
        assert counts.confusion(i).counts.tolist() == table.counts
    column = columns_of(several, ["uar"], "strict")[0]
    assert significantly_best(column, several, folders, "strict") == (0, None)


def test_the_form_of_the_table(results: Results, tmp_path: Path) -> None:
    plain = read_results(make_run(tmp_path / "run", right(8, wrong=2), model="a_b"))
    text = to_latex([plain, results], [None, None], ["uar", "wa"], names=["A & B", "[tiny]"])
    lines = text.splitlines()
    assert lines[1] == "\\begin{tabular}{lrrrr}"
    assert lines[3] == " & \\multicolumn{2}{c}{imported} & \\multicolumn{2}{c}{mini\\_direct} \\\\"
    assert lines[4] == "\\cmidrule(lr){2-3} \\cmidrule(lr){4-5}"
    assert lines[5] == "Model & UAR & WA & UAR & WA \\\\"
    first, second = lines[7:9]
    assert first.startswith("A \\& B & 75.0 {\\scriptsize [")
    assert first.endswith("& -- & -- \\\\")
    assert second.startswith("{[}tiny{]} & -- & -- & 0.0$^{\\dagger}$")
    assert "Synthetic, not a result." in text
    assert all(line.count("&") - line.count("\\&") == 4 for line in (lines[5], first, second))
    assert text.count("{") == text.count("}")
    assert text.endswith("\\end{tabular}\n")


def test_half_widths(tmp_path: Path) -> None:
    results = read_results(make_run(tmp_path / "run", right(24, wrong=9)))
    number = results.tasks["imported"].hard["wa"].strict
    low, high = number.interval.low, number.interval.high
    assert low is not None
    assert high is not None
    text = to_latex([results], [None], ["wa"], style="half")
    assert high - low > 0.05
    assert f"62.5 {{\\scriptsize $\\pm$ {50 * (high - low):.1f}}}" in text


def test_what_a_table_refuses(results: Results) -> None:
    with pytest.raises(OptionError, match="interval style"):
        to_latex([results], [None], style="box")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="2 names"):
        to_latex([results], [None], names=["a", "b"])
    with pytest.raises(UnknownNameError):
        to_latex([results], [None], ["uarr"])


@pytest.fixture
def ratings(tmp_path: Path) -> Results:
    """Ratings on a scale, no labels."""
    table = tmp_path / "ratings.csv"
    lines = [f"u{i},{1 + i % 5},{2 + i % 4},s{i % 4}" for i in range(24)]
    table.write_text("id,gold,said,speaker\n" + "\n".join(lines) + "\n")
    columns = {"utterance": "id", "valence": "gold", "predicted_valence": "said"}
    columns["speaker"] = "speaker"
    import_predictions(table, columns, tmp_path / "rated", scale=(1, 7))
    return score_run(tmp_path / "rated")


def test_ratings_have_no_uar_and_no_empty_export(ratings: Results) -> None:
    with pytest.raises(OptionError, match=r"no task .* value of uar; there are valence\.ccc"):
        to_hub(ratings, {"imported": "me/x"})
    with pytest.raises(OptionError, match=r"no task .* value of uar; there are valence\.ccc"):
        to_latex([ratings], [None])
    table = to_latex([ratings], [None], ["valence.ccc"])
    assert "Valence.ccc, with 95\\,\\% intervals." in table  # nothing else says what it is


def test_shifts_of_ratings_are_best_in_the_middle(ratings: Results) -> None:
    """A model that stretches the scale is not better for it, and no leaderboard is to say so."""
    better = {one.metric: one.better for one in measured(ratings)}
    assert better["valence.bias"] == better["valence.location_shift"] == "zero"
    assert better["valence.scale_shift"] == "one"
    assert better["valence.ccc"] == "highest"
    eee = to_eee(ratings)
    assert "valence.ccc" in eee
    assert "shift" not in eee


def test_models_of_one_name_are_told_apart(results: Results) -> None:
    text = to_latex([results, results], [None, None])
    assert text.count(f"scripted ({Path(results.run).name})") == 2


# --- the command ----------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(make_run(tmp_path / "one", right(60, wrong=2), speakers=12, model="one"))
    other = str(make_run(tmp_path / "two", right(60, wrong=50), speakers=12, model="two"))
    out = tmp_path / "out.tex"
    assert main(["export", one, other, "--to", "latex", "--out", str(out)]) == 0
    assert "\\textbf{96.7}" in out.read_text()
    capsys.readouterr()
    assert main(["export", one, other, "--to", "csv", "--metric", "uar, wa"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * 2 * 2
    assert main(["export", one, "--to", "eee"]) == 0
    assert json.loads(capsys.readouterr().out)["schema_version"] == "0.3.0"
    assert main(["export", one, "--to", "hf", "--dataset", "imported=me/set"]) == 0
    assert main(["export", one, other, "--to", "eee"]) == 2
    assert "one by one" in capsys.readouterr().err
    assert main(["export", one, "--to", "hf", "--dataset", "mini"]) == 2
    assert main(["export", one, other, "--to", "latex", "--run", "x"]) == 2


def test_moved_runs_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [
        make_run(tmp_path / "made" / name, right(60, wrong=wrong), speakers=12, model=name)
        for name, wrong in (("one", 2), ("two", 50))
    ]
    shutil.move(tmp_path / "made", tmp_path / "moved")
    moved = [str(tmp_path / "moved" / path.parent.name / path.name) for path in paths]
    assert main(["export", *moved, "--to", "latex"]) == 0
    assert "\\textbf{96.7}" in capsys.readouterr().out
