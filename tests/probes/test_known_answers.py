"""Models whose counterfactual validity is known: one that hears and says so, one that hears and says
otherwise, one that hears nothing and changes its mind at random."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from probe_models import LABELS, Row, after, utterances

from voxemo_tasks.results.model import TaskResult
from voxemo_tasks.results.probes.model import Counterfactual
from voxemo_tasks.tasks.operations import DOSES

OPERATIONS = (
    *("pitch_up", "pitch_down", "range_wide", "range_flat"),
    *("faster", "slower", "louder", "softer"),
)
ASKED = ["sham", "pitch_up.large", "slower.large", "louder.large", "faster.large"]
CLAIMS = "counterfactual_en@1"


def claims(path: str, answer: str, flips: dict[str, str]) -> Row:
    changes = {operation: flips.get(operation, answer) for operation in OPERATIONS}
    return {
        "path": path,
        "prompt": CLAIMS,
        "reply": json.dumps({"answer": answer, "changes": changes}),
    }


def listener(flips: dict[str, int], said: dict[str, int]) -> list[Row]:
    """Answers change under ``flips``; it claims that they change under ``said``."""
    rows: list[Row] = []
    for u in utterances():
        base = str(u.label)
        rows.append(claims(u.path, base, {op: after(base, k) for op, k in said.items()}))
        for operation, steps in flips.items():
            change = str(DOSES[f"{operation}.large"])
            rows.append({"path": u.path, "transform": change, "reply": after(base, steps)})
        rows.append({"path": u.path, "reply": base})
    return rows


def guesser(share: float, seed: int) -> list[Row]:
    """Knows the words only: the same answer, or with some probability any, whatever is heard."""
    draw = random.Random(seed)
    rows: list[Row] = []
    for u in utterances():
        base = draw.choice(LABELS)

        def again(base: str = base) -> str:
            return draw.choice(LABELS) if draw.random() < share else base

        said = {op: draw.choice([base, draw.choice(LABELS)]) for op in OPERATIONS}
        rows.append(claims(u.path, base, said))
        changes = [str(DOSES[n]) for n in ASKED if n in DOSES]
        for change in ["prosody_sham", *changes]:
            rows.append({"path": u.path, "transform": change, "reply": again()})
        rows.append({"path": u.path, "reply": again()})
    return rows


def block(result: TaskResult) -> Counterfactual:
    assert result.probes is not None
    assert result.probes.counterfactual is not None
    return result.probes.counterfactual


def limits(value: Any) -> tuple[float, float]:
    assert value.interval.low is not None
    return value.interval.low, value.interval.high


@pytest.fixture
def counterfactual(ask: Callable[..., TaskResult]) -> Any:
    def run(rows: list[Row], **metadata: Any) -> TaskResult:
        options = {"conditions": ASKED, **metadata}
        return ask(rows, "counterfactual", metadata=options, limit=40)

    return run


def test_a_listener_with_true_claims(counterfactual: Any) -> None:
    flips = {"pitch_up": 1, "slower": 2}
    result = counterfactual(listener(flips, flips))
    found = block(result)
    # The headline is that of the base question, and its answers are all right.
    assert result.hard["wa"].strict.value == 1.0
    assert result.counts.replies == 40
    assert (found.n, found.trials, found.unreadable, found.without_placebo) == (40, 80, 0, 0)
    assert found.claims == {op: 40 * (op in flips) for op in OPERATIONS}
    for name in ("claim_effect", "target_hit", "flip", "graded_effect", "mcc", "cct", "invariance"):
        assert getattr(found, name).value == pytest.approx(1.0, abs=1e-12), name
    assert found.placebo_flip.value == found.sham_flip.value == 0.0
    assert limits(found.claim_effect)[0] > 0.5
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.generality == pytest.approx(1 / 3)  # two of eight, evenly: log 2 / log 8
    by = {(x.operation, x.language): x for x in found.by_operation}
    assert {op for op, _ in by} == set(flips)
    assert all(x.claim_effect == 1.0 for x in by.values())
    assert sum(x.n for x in by.values()) == 80
    assert found.checked is False


def test_the_same_listener_with_false_claims(counterfactual: Any) -> None:
    found = block(
        counterfactual(listener({"pitch_up": 1, "slower": 2}, {"louder": 1, "faster": 2}))
    )
    assert found.flip.value == 0.0
    assert found.claim_effect.value is not None
    # Both operations that do move it are said not to: every placebo is one of them.
    assert found.claim_effect.value == -1.0
    assert found.target_hit.value == 0.0
    assert found.mcc.value == pytest.approx(-1.0)
    assert found.invariance.value == 0.0


def test_a_guesser_with_a_high_flip_rate(counterfactual: Any) -> None:
    found = block(counterfactual(guesser(0.6, seed=11)))
    assert found.flip.value is not None
    assert found.flip.value > 0.4  # a raw flip rate that would pass for understanding
    assert found.sham_flip.value is not None
    assert found.sham_flip.value > 0.3
    low, high = limits(found.claim_effect)
    assert low < 0 < high
    assert abs(found.claim_effect.value or 0.0) < 0.15
    low, high = limits(found.mcc)
    assert low < 0 < high
    assert found.trials > 50


def test_a_model_that_never_moves(counterfactual: Any) -> None:
    rows = listener({}, {"pitch_up": 1})
    found = block(counterfactual(rows))
    assert found.claim_effect.value == 0.0
    assert found.p_value == 1.0
    assert found.mcc.value is None  # nothing was ever observed to flip
    assert found.invariance.value == 1.0
