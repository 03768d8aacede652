"""Pre-registration: a lock that holds, and every kind of departure found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import make_run, right

from voxemo_tasks import registry
from voxemo_tasks.cli import main
from voxemo_tasks.cli.prereg import planned_tasks
from voxemo_tasks.errors import OptionError, PlanError, UnknownNameError
from voxemo_tasks.results import preregistration as pre
from voxemo_tasks.results import read_results
from voxemo_tasks.results.model import Results
from voxemo_tasks.results.verifying import verify_results

HISTORIC = Path(__file__).resolve().parent.parent / "data" / "historic"
TASK = "voxemo_mini_direct"

PLAN = """\
schema: voxemo-plan/1
title: A trial, with "quotes" & 1e5
hypotheses:
  - "UAR is above chance: 1/7"
corpora:
  - corpus: mini
    tiers: [direct, open]
metrics:
  primary: [uar]
"""


@pytest.fixture
def results() -> Results:
    """12 utterances, two prompts, two samples at temperature 0.7."""
    return read_results(HISTORIC / "results_with_scorecards.json")


def plan_of(tmp_path: Path, text: str = PLAN, name: str = "plan.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def locked_to(results: Results, **changes: Any) -> pre.LockedPlan:
    """A plan of exactly what was done in results, but for the changes."""
    data = {
        "schema": "voxemo-plan/1",
        "title": "As done",
        "hypotheses": ["h"],
        "corpora": [{"corpus": "mini", "tiers": ["direct"]}],
        "metrics": {"primary": ["uar"]},
        "limit": 12,
        **changes,
    }
    plan = pre.PlanSpec.model_validate(data)
    tasks = [pre.facts_of(task) for task in results.tasks.values()]
    return pre.lock(plan, tasks, locked="2026-11-01T00:00:00+00:00", version="0.1.0")


def changed(results: Results, change: Callable[[Any], None]) -> Results:
    data = json.loads(results.model_dump_json(by_alias=True))
    change(data)
    return Results.model_validate(data)


# --- locking --------------------------------------------------------------------------------


def test_every_choice_is_made_explicit(tmp_path: Path) -> None:
    plan = pre.read_plan(plan_of(tmp_path))
    direct, other = planned_tasks(plan)
    card, digest = registry.corpus("mini")
    assert (direct.task, other.task) == (TASK, "voxemo_mini_open")
    assert (direct.protocol, direct.role) == (card.default_protocol, "test")
    assert direct.card_sha256 == digest
    assert direct.labels == list(card.label_set().labels)
    prompt, prompt_digest = registry.prompt(registry.default_prompt("direct").ref)
    assert direct.prompts == [pre.Registered(id=prompt.ref, sha256=prompt_digest)]
    spec, spec_digest = registry.verbalizer(prompt.verbalizer)
    assert direct.verbalizer == pre.Registered(id=spec.ref, sha256=spec_digest)
    assert direct.decoding[prompt.ref]["max_new_tokens"] == prompt.decoding.max_new_tokens
    assert direct.options["label_order"] == "registered"
    assert not pre.RESOLVED & direct.options.keys()


def test_choices_of_the_plan_are_taken(tmp_path: Path) -> None:
    text = PLAN.replace("[direct, open]", "[direct]\n    fold: all\n    role: train")
    text += "prompts: [direct_p1, direct_p2]\nverbalizer: closed_set@1\n"
    text += "options: {samples: 3, temperature: 0.7, label_order: permuted}\n"
    (task,) = planned_tasks(pre.read_plan(plan_of(tmp_path, text)))
    assert (task.fold, task.role, task.verbalizer.id) == ("all", "train", "closed_set@1")
    assert [prompt.id.partition("@")[0] for prompt in task.prompts] == ["direct_p1", "direct_p2"]
    assert (task.options["samples"], task.options["label_order"]) == (3, "permuted")
    assert {one["temperature"] for one in task.decoding.values()} == {0.7}
    text = PLAN.replace("[direct, open]", "[direct]") + "ensemble: sample_10\n"
    (task,) = planned_tasks(pre.read_plan(plan_of(tmp_path, text)))
    ensemble, digest = registry.ensemble("sample_10")
    assert task.ensemble == pre.Registered(id=ensemble.ref, sha256=digest)
    assert {one["temperature"] for one in task.decoding.values()} == {ensemble.temperature}


def test_a_locked_file_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = plan_of(tmp_path)
    assert main(["prereg", str(path)]) == 0
    out = tmp_path / "plan.locked.yaml"
    locked, digest = pre.read_locked(out)
    assert locked.title == 'A trial, with "quotes" & 1e5'
    assert locked.tasks == planned_tasks(pre.read_plan(path))
    printed = capsys.readouterr().out
    assert digest in printed
    assert locked.plan_sha256 in printed
    # Never written over.
    before = out.read_bytes()
    assert main(["prereg", str(path)]) == 2
    assert out.read_bytes() == before
    assert main(["prereg", str(path), "--out", str(tmp_path / "second.yaml")]) == 0


@pytest.mark.parametrize(
    ("old", "new"), [("1/7", "1/6"), ("  - uar", "  - wa"), ("limit: null", "limit: 5")]
)
def test_a_changed_lock_is_refused(tmp_path: Path, old: str, new: str) -> None:
    main(["prereg", str(plan_of(tmp_path))])
    out = tmp_path / "plan.locked.yaml"
    text = out.read_text()
    assert text.count(old) == 1
    out.write_text(text.replace(old, new))
    with pytest.raises(PlanError, match="was changed after it was locked"):
        pre.read_locked(out)


def test_texts_that_look_like_numbers_survive(results: Results, tmp_path: Path) -> None:
    odd = ["1e5", "0123", "true", "null", "~", "2026-11-01", "yes", "a: b", "# no", "é\n line", ""]
    locked = locked_to(results, hypotheses=odd, notes="1_000")
    path = tmp_path / "locked.yaml"
    path.write_text(pre.to_yaml(locked))
    assert pre.read_locked(path)[0] == locked


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        (PLAN.replace("uar", "uarr"), UnknownNameError, "did you mean 'uar'"),
        (PLAN.replace("primary: [uar]", "primary: []"), PlanError, r"metrics\.primary"),
        (PLAN + "options: {protocol: all}\n", PlanError, "protocol stands at the top"),
        (PLAN + "option: {}\n", PlanError, "option"),
        (PLAN.replace("hypotheses:", "hypothesis:"), PlanError, "hypothes"),
        (PLAN + "options: {samplez: 3}\n", OptionError, "did you mean 'samples'"),
        (PLAN.replace("corpus: mini", "corpus: minni"), UnknownNameError, "mini"),
        (PLAN.replace("[direct, open]", "[direct, direct]"), PlanError, "planned twice"),
        (PLAN + "judge: nobody\n", UnknownNameError, "judge"),
    ],
)
def test_bad_plans_are_letters(
    tmp_path: Path, text: str, error: type[Exception], match: str
) -> None:
    path = plan_of(tmp_path, text)

    def make() -> None:
        plan = pre.read_plan(path)
        pre.lock(plan, planned_tasks(plan), locked="now", version="0")

    with pytest.raises(error, match=match):
        make()


def test_a_plan_is_no_locked_file(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="voxemo prereg"):
        pre.read_locked(plan_of(tmp_path))


# --- departures -----------------------------------------------------------------------------


def test_what_is_done_as_planned_departs_in_nothing(results: Results) -> None:
    seeds = {"bootstrap": 20260501, "generation": 1234}
    locked = locked_to(results, models=["scripted", "another"], seeds=seeds)
    assert pre.departures(locked, results) == []
    held = pre.hold(locked, "f" * 64, results).preregistration
    assert held is not None
    assert (held.file_sha256, held.plan_sha256) == ("f" * 64, locked.plan_sha256)
    assert held.departures == []


@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        ("model", {"models": ["another"]}),
        ("seed", {"seeds": {"bootstrap": 1}}),
        ("seed", {"seeds": {"generation": 99}}),
        ("utterances", {"limit": None}),
        ("utterances", {"limit": 20}),
        ("metric", {"metrics": {"primary": ["uar", "valence.ccc"]}}),
    ],
)
def test_departures_from_the_plan_itself(results: Results, kind: str, plan: Any) -> None:
    found = pre.departures(locked_to(results, **plan), results)
    assert {one.kind for one in found} == {kind}


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        at = data["tasks"][TASK]
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("label_set", put("label_set", "labels", 0, value="rage")),
        ("label_set", put("label_set", "merge", value={"rage": "angry"})),
        ("protocol", put("protocol", value="emobox")),
        ("fold", put("fold", value="all")),
        ("role", put("role", value="train")),
        ("card_sha256", put("corpus", "card_sha256", value="0" * 64)),
        ("prompt", put("prompts", 0, "sha256", value="0" * 64)),
        ("ensemble", put("ensemble", value={"id": "sample_10@1", "sha256": "0" * 64})),
        ("verbalizer", put("verbalizer", "sha256", value="0" * 64)),
        ("verbalizer", put("verbalizer", "id", value="first_letter@1")),
        ("option", put("options", "label_order", value="permuted")),
        ("option", put("options", "shots", value=2)),
        ("decoding", put("decoding", "direct_p1@1", "max_new_tokens", value=8)),
        ("replies", put("counts", "missing_replies", value=1)),
    ],
)
def test_every_departure_is_found(
    results: Results, kind: str, change: Callable[[Any], None]
) -> None:
    found = pre.departures(locked_to(results), changed(results, change))
    assert [(one.kind, one.task) for one in found] == [(kind, TASK)]
    assert "planned" in found[0].text


def judged_by(*rubrics: tuple[str, str]) -> Callable[[Any], None]:
    """Change results into ones that judges were asked for, by these rubrics (id, digest)."""
    none = {
        "value": None,
        "n": 0,
        "interval": None,
        "method": "mean",
        "reason": "nothing was judged",
    }
    family = {"judges": [], "others": [], "own": None, "rest": None, "preference": none}
    said = [
        {
            "rubric": {"id": ref, "sha256": digest},
            "dimension": None,
            "replies": 0,
            "failed": 0,
            "headline": False,
            "reasons": ["nothing was judged"],
            "answers": {},
            "shares": {},
            "mean": none,
            "length": none,
            "own_family": family,
        }
        for ref, digest in rubrics
    ]
    return put("rubrics", value=said)


def test_judges_as_planned_or_not(results: Results) -> None:
    spec, digest = registry.judge("adjudicate_label")
    locked = locked_to(results, judge="adjudicate_label")

    def found(done: Results, plan: pre.LockedPlan = locked) -> list[tuple[str, Any, Any]]:
        return [(one.kind, one.planned, one.done) for one in pre.departures(plan, done)]

    planned = f"{spec.ref} (SHA-256 {digest})"
    assert found(results) == [("judge_missing", planned, None)]
    assert found(changed(results, judged_by((spec.ref, digest)))) == []
    changed_bytes = changed(results, judged_by((spec.ref, "0" * 64)))
    assert found(changed_bytes) == [
        ("judge", planned, f"{spec.ref} (SHA-256 {'0' * 64})"),
        ("judge_missing", planned, None),
    ]
    other = ("rationale@1", "1" * 64)
    unplanned = f"rationale@1 (SHA-256 {'1' * 64})"
    also = changed(results, judged_by((spec.ref, digest), other))
    assert found(also) == [("judge", planned, unplanned)]
    assert found(changed(results, judged_by(other)), locked_to(results)) == [
        ("judge", None, unplanned)
    ]


def test_prompts_more_or_less(results: Results) -> None:
    def fewer(data: Any) -> None:
        data["tasks"][TASK]["prompts"].pop()
        data["tasks"][TASK]["decoding"].popitem()

    less = changed(results, fewer)
    (lost,) = pre.departures(locked_to(results), less)
    assert (lost.kind, lost.planned, lost.done) == ("prompt", "direct_p2@1", None)
    found = pre.departures(locked_to(less), results)
    assert {"prompt", "decoding"} >= {one.kind for one in found}
    assert found[0].done == "direct_p2@1"

    def by_language(data: Any) -> None:
        data["tasks"][TASK]["options"]["prompt_language"] = "corpus"

    spoken = changed(results, by_language)
    assert pre.departures(locked_to(spoken), changed(spoken, fewer)) == []


def test_tasks_more_or_less(results: Results) -> None:
    def rename(data: Any) -> None:
        task = data["tasks"].pop(TASK)
        data["tasks"]["voxemo_mini_open"] = {**task, "task": "voxemo_mini_open"}

    found = pre.departures(locked_to(results), changed(results, rename))
    assert [(one.kind, one.task) for one in found] == [
        ("task_not_planned", "voxemo_mini_open"),
        ("task_missing", TASK),
    ]


# --- the commands ---------------------------------------------------------------------------


def test_score_refuses_or_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_run(tmp_path / "run", right(24, wrong=3))
    results = read_results(path)
    locked = tmp_path / "locked.yaml"
    locked.write_text(pre.to_yaml(locked_to(results, limit=None, seeds={"bootstrap": 20260501})))
    path.unlink()
    argv = ["score", str(path.parent), "--prereg", str(locked), "--no-sensitivity"]
    assert main([*argv, "--seed", "3"]) == 2
    assert "seed of the bootstrap: planned 20260501, done 3" in capsys.readouterr().err
    assert not path.exists()
    assert main(argv) == 0
    assert "as planned" in capsys.readouterr().out
    held = read_results(path).preregistration
    assert held is not None
    assert held.departures == []
    assert held.file_sha256 == pre.read_locked(locked)[1]
    assert main([*argv, "--seed", "3", "--departures", "mark"]) == 0
    held = read_results(path).preregistration
    assert held is not None
    assert [one.kind for one in held.departures] == ["seed"]
    assert verify_results(path).holds
    verify = ["verify", str(path), "--prereg", str(locked)]
    assert main(verify) == 0
    assert "1 departure(s), as on record" in capsys.readouterr().out
    path.write_text(path.read_text().replace('"kind": "seed"', '"kind": "none"'))
    assert main(verify) == 1
    assert "they are not the same" in capsys.readouterr().out
    other = tmp_path / "other.yaml"
    other.write_text(pre.to_yaml(locked_to(results)))
    assert main([*verify[:-1], str(other)]) == 1
    assert "another plan" in capsys.readouterr().out
    assert main(["score", str(path.parent), "--no-sensitivity"]) == 0
    assert main(verify) == 1
    assert "none on record" in capsys.readouterr().out


def test_score_refuses_where_the_planned_judge_was_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run(tmp_path / "run", right(24, wrong=3))
    locked = tmp_path / "locked.yaml"
    plan = locked_to(read_results(path), limit=None, judge="adjudicate_label")
    locked.write_text(pre.to_yaml(plan))
    path.unlink()
    argv = ["score", str(path.parent), "--prereg", str(locked), "--no-sensitivity"]
    assert main(argv) == 2
    assert "judge: planned adjudicate_label@1" in capsys.readouterr().err
    assert not path.exists()
    assert main([*argv, "--departures", "mark"]) == 0
    held = read_results(path).preregistration
    assert held is not None
    assert [one.kind for one in held.departures] == ["judge_missing"]


def test_run_refuses_before_and_after(mini_home: Path, script: Any, tmp_path: Path) -> None:
    plan = PLAN.replace("[direct, open]", "[direct]") + "limit: 4\n"
    assert main(["prereg", str(plan_of(tmp_path, plan))]) == 0
    judged = plan_of(tmp_path, plan + "judge: adjudicate_label\n", "judged.yaml")
    assert main(["prereg", str(judged)]) == 0
    locked = tmp_path / "plan.locked.yaml"
    replies = f"replies={script({'reply': 'angry'})}"

    def run(out: str, *more: str) -> subprocess.CompletedProcess[str]:
        argv = ["run", "--model", "scripted-audiolm", "--model_args", replies, "--tasks", TASK]
        argv += ["--no-sensitivity", "--output_path", out, "--prereg", str(locked), *more]
        return subprocess.run(
            [sys.executable, "-m", "voxemo_tasks.cli", *argv],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    before = run("before", "--limit", "4", "--metadata", '{"label_order": "permuted"}')
    assert before.returncode == 2
    assert "label_order: planned registered, done permuted" in before.stderr
    assert "nothing was run" in before.stderr
    assert not list(tmp_path.glob("before/*/replies"))

    after = run("after", "--limit", "4", "--gen_kwargs", "max_new_tokens=5")
    assert after.returncode == 2
    assert "max_new_tokens of direct_en@1: planned 32, done 5" in after.stderr
    assert len(list(tmp_path.glob("after/*/replies/*.jsonl"))) == 1
    assert not list(tmp_path.glob("after/*/results.json"))

    good = run("good", "--limit", "4")
    assert good.returncode == 0, good.stderr[-2000:]
    (path,) = tmp_path.glob("good/*/results.json")
    held = read_results(path).preregistration
    assert held is not None
    assert held.departures == []
    assert verify_results(path).holds

    # A run ends before any judge can have read it: said and on record, and not refused.
    waiting = run("waiting", "--limit", "4", "--prereg", str(tmp_path / "judged.locked.yaml"))
    assert waiting.returncode == 0, waiting.stderr[-2000:]
    assert "judge: planned adjudicate_label@1" in waiting.stderr
    (path,) = tmp_path.glob("waiting/*/results.json")
    held = read_results(path).preregistration
    assert held is not None
    assert [one.kind for one in held.departures] == ["judge_missing"]
