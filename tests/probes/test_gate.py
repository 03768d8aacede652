"""The validity gate: only a score that was examined and passed is eligible; a broken examination
withholds it, with the reason, in the JSON and in the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from probe_models import utterances

from voxemo_tasks.errors import OptionError
from voxemo_tasks.results.model import Results, TaskResult, Validity
from voxemo_tasks.results.probes import block
from voxemo_tasks.results.probes.conditions import validity, why_no_headline
from voxemo_tasks.results.probes.model import Comparison
from voxemo_tasks.results.table import table_of
from voxemo_tasks.results.validity import NOT_ASKED, gated

Ask = Callable[..., TaskResult]
CONTROLS = ["shuffled", "transcript_only"]


def listener() -> list[dict[str, Any]]:
    return [
        {"heard": False, "reply": "neutral"},
        *({"path": u.path, "reply": u.label} for u in utterances()),
    ]


def real(result: TaskResult) -> TaskResult:
    """The same as of a corpus of people: nothing but the gate stands against its headline."""
    assert result.reasons[0] == "synthetic, not a result"
    return result.model_copy(
        update={
            "reasons": [],
            "headline": True,
            "headline_eligible": False,
            "validity_reason": None,
        }
    )


def table(result: TaskResult) -> str:
    results = Results.model_construct(
        tasks={result.task: result}, model={"model": "m"}, notice=None, pooled=[], over_corpora=[]
    )
    return table_of(results)


def test_only_a_passed_gate_is_eligible(ask: Ask) -> None:
    result = ask(listener(), metadata={"conditions": CONTROLS}, limit=60)
    assert result.probes is not None
    assert result.headline_eligible is False  # synthetic
    assert (result.validity, result.validity_reason) == ("passed", None)
    passed = gated(real(result), result.probes.validity, NOT_ASKED)
    assert (passed.headline, passed.headline_eligible) == (True, True)
    assert "validity" not in table(passed).replace("validity gate", "")


def test_a_score_that_was_not_examined_says_so(ask: Ask) -> None:
    result = ask(listener(), limit=20)
    assert result.validity == "not examined"
    assert result.validity_reason == NOT_ASKED
    plain = gated(real(result), None, NOT_ASKED)
    assert (plain.headline, plain.headline_eligible, plain.reasons) == (True, False, [])
    assert f"validity not examined: {NOT_ASKED}" in table(plain)
    assert "not eligible as a headline score" in table(plain)


def test_half_of_the_controls_is_not_examined(ask: Ask) -> None:
    result = ask(listener(), metadata={"conditions": ["shuffled"]}, limit=60)
    assert result.validity == "not examined"
    assert result.validity_reason == "control 'transcript_only': not asked"
    assert result.probes is not None
    again = gated(real(result), result.probes.validity, NOT_ASKED)
    assert (again.headline, again.headline_eligible) == (True, False)


@pytest.mark.parametrize(
    "error", [ValueError("no such column"), OptionError("x"), ZeroDivisionError("y"), KeyError("z")]
)
def test_an_examination_that_breaks_off_withholds_the_headline(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def breaks(*_: object) -> None:
        raise error

    monkeypatch.setattr(block, "condition_results", breaks)
    result = ask(listener(), metadata={"conditions": CONTROLS}, limit=20)
    assert result.probes is None
    assert result.validity == "not examined"
    assert str(result.validity_reason).startswith(f"could not be computed: {type(error).__name__}")
    assert not result.headline
    (reason,) = (r for r in result.reasons if "could not be examined" in r)
    assert type(error).__name__ in reason
    assert reason in table(result)


def test_a_control_that_the_engine_lost_withholds_the_headline(ask: Ask) -> None:
    """Ten of sixty replies to the words alone are an engine's errors: what is left is no sample."""
    paths = [u.path for u in utterances()]
    failing = [{"heard": False, "contains": f"“{u.transcript}”", "error": "out of memory"}
               for u in utterances()]  # fmt: skip
    result = ask([*failing[: len(paths) // 3], *listener()], metadata={"conditions": CONTROLS},
                 limit=60)  # fmt: skip
    assert result.probes is not None
    gate = result.probes.validity
    assert gate is not None
    found = {c.control: c for c in gate.comparisons}
    control = {c.condition["id"]: c for c in result.probes.conditions}["transcript_only"]
    assert control.failed > 6
    assert (found["transcript_only"].above_zero, found["transcript_only"].lost) == (None, True)
    assert found["shuffled"].above_zero is True
    assert result.validity == "not examined"
    assert f"{control.failed} failed" in str(result.validity_reason)
    again = gated(real(result), gate, NOT_ASKED)
    assert (again.headline, again.headline_eligible) == (False, False)
    assert again.reasons == [f"control 'transcript_only': {found['transcript_only'].reason}"]


def test_replies_that_are_not_stored_are_no_examination(ask: Ask) -> None:
    def forget(folder: Any) -> None:
        """Drop the replies that were given without sound, as a killed run would lack them."""
        for shard in (folder / "replies").glob("*.jsonl"):
            kept = [x for x in shard.read_bytes().splitlines(True) if b'"text": "neutral"' not in x
                    and b'"text":"neutral"' not in x]  # fmt: skip
            shard.write_bytes(b"".join(kept))

    rows = [*(r for r in listener() if r.get("heard") is False or r["reply"] != "neutral")]
    rows.append({"reply": "sad"})
    result = ask(rows, metadata={"conditions": CONTROLS}, limit=40, before_scoring=forget)
    assert result.probes is not None
    control = {c.condition["id"]: c for c in result.probes.conditions}["transcript_only"]
    assert (control.n, control.missing) == (0, 40)
    assert result.validity == "not examined"
    assert any("40 have no stored reply" in reason for reason in result.reasons)


def test_the_words_of_the_gate() -> None:
    nothing = validity([])
    assert nothing.status == "not examined"
    assert why_no_headline(nothing) == why_no_headline(None) == []
    beaten = Comparison(control="shuffled", difference=None, above_zero=False)
    lost = Comparison(control="transcript_only", difference=None, above_zero=None, lost=True,
                      reason="asked, but …")  # fmt: skip
    gate = Validity(status="failed", comparisons=[lost, beaten])
    assert len(why_no_headline(gate)) == 2
