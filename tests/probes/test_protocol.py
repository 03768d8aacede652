"""The counterfactual protocol in its parts: doses, unfit stimuli, rationales, placebos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from probe_models import Row, after, utterances

from voxemo_tasks import registry
from voxemo_tasks.audio.manipulation import target_of
from voxemo_tasks.cli import main
from voxemo_tasks.cli.stimuli import check_stimuli
from voxemo_tasks.records import AudioRef
from voxemo_tasks.results import read_results
from voxemo_tasks.results.model import TaskResult
from voxemo_tasks.results.probes.block import stimuli_file
from voxemo_tasks.results.probes.counterfactual import CUES, Claim, placebo_of
from voxemo_tasks.results.probes.model import Counterfactual
from voxemo_tasks.specs import PromptSpec
from voxemo_tasks.store import read_run
from voxemo_tasks.tasks.operations import DOSES, PROTOCOL, operations
from voxemo_tasks.tasks.stimuli import MEASURED, measured

Ask = Callable[..., TaskResult]
NAMED = list(CUES)


def said(path: str, base: str, flips: dict[str, int]) -> Row:
    changes = {op: after(base, flips.get(op, 0)) for op in NAMED}
    reply = json.dumps({"answer": base, "changes": changes})
    return {"path": path, "prompt": "counterfactual_en@1", "reply": reply}


def block(result: TaskResult) -> Counterfactual:
    assert result.probes is not None
    assert result.probes.counterfactual is not None
    return result.probes.counterfactual


def test_operations_are_those_of_the_prompt() -> None:
    prompt: PromptSpec = registry.prompt("counterfactual_en")[0]
    assert set(prompt.changes) == set(NAMED)
    assert set(operations()) == {*NAMED, "contour_wide", "contour_flat"}
    targets = [target_of(transform) for transform in DOSES.values()]
    assert all(targets.count(target) == 1 for target in targets)
    # Opposite operations go opposite ways, and a large dose further than a small one.
    assert target_of(DOSES["pitch_up.large"]).f0_ratio == pytest.approx(2 ** (4 / 12))
    assert target_of(DOSES["pitch_down.small"]).f0_ratio == pytest.approx(2 ** (-2 / 12))
    assert target_of(DOSES["faster.large"]).duration_ratio == pytest.approx(0.8)
    assert target_of(DOSES["slower.small"]).duration_ratio == pytest.approx(1 / 0.9)


def test_placebos() -> None:
    claim = Claim("sad", {"pitch_up": "happy", "faster": "sad", "slower": "sad"})
    given = ["pitch_up", "faster", "slower", "contour_flat"]
    first = placebo_of("u", "pitch_up", claim, given, set())
    assert first in ("faster", "slower")
    assert placebo_of("u", "pitch_up", claim, given, {str(first)}) in {"faster", "slower"} - {first}
    # Used up: again, rather than one that the model said nothing of.
    assert placebo_of("u", "pitch_up", claim, given, {"faster", "slower"}) == first
    every = Claim("sad", dict.fromkeys(given, "happy"))
    assert placebo_of("u", "pitch_up", every, given, set()) is None
    drawn = {placebo_of(f"u{i}", "pitch_up", claim, given, set()) for i in range(30)}
    assert drawn == {"faster", "slower"}


def test_the_whole_protocol_in_one_pass(ask: Ask) -> None:
    """The listener moves with a large rise of pitch only; so the doses say more than the flips."""
    rows: list[Row] = []
    for u in utterances():
        base = str(u.label)
        rows.append(said(u.path, base, {"pitch_up": 1}))
        change = str(DOSES["pitch_up.large"])
        rows.append({"path": u.path, "transform": change, "reply": after(base, 1)})
        rows.append({"path": u.path, "transform": "prosody_round_trip", "reply": after(base, 2)})
        rows.append({"path": u.path, "reply": base})
    folders: list[Path] = []
    found = block(ask(rows, "counterfactual", limit=10, before_scoring=folders.append))
    asked = read_run(folders[0]).asked
    assert {row.prompt.partition("|")[2] for row in asked} == {"claims", "", *PROTOCOL} - {"clean"}
    assert len({row.request for row in asked}) == len(asked)
    assert found.trials == 10
    assert found.claim_effect.value == 1.0
    assert found.flips["pitch_up.large"].value == 1.0
    assert found.flips["pitch_up.small"].value == 0.0
    assert set(found.flips) == set(DOSES)
    assert found.dose is not None
    assert found.dose.n == 10
    assert found.dose.fitted == [0.0, 0.0, 1.0]
    assert found.dose.violations.value == 0.0
    if found.round_trip_flip.n:
        assert found.round_trip_flip.value == 1.0
    assert found.same_base.value == 1.0


def test_unfit_stimuli_are_left_out(ask: Ask) -> None:
    rows: list[Row] = []
    for u in utterances():
        base = str(u.label)
        rows.append(said(u.path, base, {"pitch_up": 1, "faster": 1}))
        rows.append({"path": u.path, "transform": "prosody_f0", "reply": after(base, 1)})
        rows.append({"path": u.path, "reply": base})
    unfit: list[str] = []

    def found_unfit(folder: Path) -> None:
        run = read_run(folder)
        digest = run.asked[0].documents
        ids = sorted({row.utterance_id for row in run.asked})
        unfit.extend(ids[:3])
        path = stimuli_file(folder, digest)
        path.parent.mkdir()
        lines = []
        for uid in ids:
            bad = uid in unfit
            lines.append({"utterance_id": uid, "condition": "sham", "failed": []})
            failed = ["formants", "f0_ratio"] if bad else []
            lines.append({"utterance_id": uid, "condition": "pitch_up.large", "failed": failed})
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    conditions = ["sham", "pitch_up.large", "faster.large", "slower.large"]
    metadata = {"conditions": conditions}
    found = block(
        ask(rows, "counterfactual", metadata=metadata, limit=12, before_scoring=found_unfit)
    )
    assert found.checked
    # 12 trials of `faster`, 9 of `pitch_up`: flips only where pitch was changed.
    assert found.trials == 21
    assert found.flip.value == pytest.approx(9 / 21, abs=1e-12)
    pitch = found.attrition_by_operation["pitch_up.large"]
    assert (pitch.rendered, pitch.failed, pitch.reasons) == (12, 3, {"f0_ratio": 3, "formants": 3})
    assert sum(one.failed for one in found.attrition.values()) == 3


def test_measuring_the_stimuli_of_a_run(ask: Ask, mini_home: Path) -> None:
    rows: list[Row] = [*(said(u.path, "sad", {}) for u in utterances()), {"reply": "sad"}]
    lines: list[str] = []
    folders: list[Path] = []

    def measure(folder: Path) -> None:
        folders.append(folder)
        lines.extend(check_stimuli(folder))

    metadata = {"conditions": ["sham", "faster.large", "noise@3"]}
    result = ask(rows, "counterfactual", metadata=metadata, limit=3, before_scoring=measure)
    found = block(result)
    assert lines == [
        "voxemo_mini_counterfactual: 0 of 6 stimuli do not do what they should, and are left out"
    ]
    assert set(found.attrition_by_operation) == {"faster.large", "sham"}
    assert "dose" in MEASURED
    (file,) = (folders[0] / "stimuli").iterdir()
    before = file.read_bytes()
    row = json.loads(before.splitlines()[0])
    assert row["condition"] == "faster.large"
    assert row["measures"]["duration_ratio"] == pytest.approx(0.8, abs=0.01)
    assert check_stimuli(folders[0]) == lines
    assert file.read_bytes() == before  # what is measured is not measured again


def test_a_stimulus_that_is_not_what_it_should_be(tmp_path: Path) -> None:
    """Noise has no pitch to change; a clip that is gone fails by itself."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 16_000), 16_000)
    clips = {
        "noise": AudioRef(str(path), "0" * 64),
        "gone": AudioRef(str(tmp_path / "gone.wav"), "0" * 64),
    }
    asked = [("noise", "pitch_up.large"), ("gone", "sham"), ("noise", "louder.small")]
    rows = list(measured(clips, [*asked, ("noise", "noise@1")]))
    assert [(r["utterance_id"], r["condition"]) for r in rows] == asked
    assert "f0_ratio" in rows[0]["failed"]
    assert rows[1]["failed"] == ["audio"]
    assert "gone.wav" in rows[1]["error"]


def test_a_rationale_that_follows_the_change(ask: Ask) -> None:
    rows: list[Row] = []
    for u in utterances():
        rows.append(said(u.path, "sad", {}))
        high = "Voice: the pitch is high.\nFinal answer: sad"
        rows.append({"path": u.path, "transform": "prosody_f0(semitones=4)", "reply": high})
        rows.append({"path": u.path, "reply": "Voice: a calm delivery.\nFinal answer: sad"})
    metadata = {"base_tier": "reason", "conditions": ["sham", "pitch_up.large", "slower.large"]}
    found = block(ask(rows, "counterfactual", metadata=metadata, limit=8))
    assert found.rationale is not None
    # Of two operations one is followed; that mention is new to the seven other cues of neither.
    assert found.rationale.update.value == pytest.approx(0.5, abs=1e-12)
    assert found.rationale.update.n == 16
    assert found.rationale.other.value == 0.0
    assert found.trials == 0  # it claims nothing
    assert found.claim_effect.value is None
    assert found.generality is None
    direct = {"conditions": ["sham", "pitch_up.large"]}
    assert block(ask(rows, "counterfactual", metadata=direct, limit=2, name="d")).rationale is None


def test_claims_that_cannot_be_read(ask: Ask) -> None:
    rows = [{"prompt": "counterfactual_en@1", "reply": "sad"}, {"reply": "sad"}]
    metadata: dict[str, Any] = {"conditions": ["sham", "slower.large"]}
    found = block(ask(rows, "counterfactual", metadata=metadata, limit=4))
    assert (found.n, found.unreadable, found.trials) == (0, 4, 0)
    assert found.flips["slower.large"].value == 0.0  # needs no claim


def test_a_run_of_plain_lm_eval_is_checked_before_it_is_scored(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Row] = [*(said(u.path, "sad", {}) for u in utterances()), {"reply": "sad"}]
    metadata = {"conditions": ["sham", "faster.large"]}
    folders: list[Path] = []
    result = ask(rows, "counterfactual", metadata=metadata, limit=2, before_scoring=folders.append)
    assert not block(result).checked
    assert main(["score", str(folders[0]), "--no-sensitivity"]) == 0
    assert "stimuli not checked (voxemo score RUN --check-stimuli)" in capsys.readouterr().out
    assert main(["score", str(folders[0]), "--no-sensitivity", "--check-stimuli"]) == 0
    assert "0 of 4 stimuli do not do what they should" in capsys.readouterr().out
    found = read_results(folders[0] / "results.json").tasks["voxemo_mini_counterfactual"]
    assert block(found).checked
