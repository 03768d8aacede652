"""``replay-audiolm``: predictions made elsewhere, on a prepared corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks.backends.replay import ReplayAudioLM, columns_of
from voxemo_tasks.errors import OptionError


@pytest.fixture
def model(tmp_path: Path) -> Any:
    def make(content: str, name: str = "table.jsonl", **options: Any) -> ReplayAudioLM:
        table = tmp_path / name
        table.write_text(content, encoding="utf-8")
        return ReplayAudioLM(str(table), store=str(tmp_path / "run"), **options)

    return make


def asked(instance: Any, ref: Any, utterance: str, samples: int = 1) -> list[Any]:
    one = instance(ref, samples=samples)
    one.arguments[2]["provenance"] = {"utterance_id": utterance}
    return [one] * samples


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_every_utterance_gets_its_own_reply(clip: Any, instance: Any, model: Any) -> None:
    """Also two of equal sound and question."""
    ref = clip("same")
    replayed = model("utterance,reply\na,angry\nb,sad\n", "t.csv")
    queue = asked(instance, ref, "a") + asked(instance, ref, "b")
    assert replayed.generate_until(queue, True) == ["angry", "sad"]
    assert replayed.generate_until(queue, True) == ["angry", "sad"]  # from the store


def test_an_utterance_without_a_row_is_our_failure_and_no_answer(
    clip: Any, instance: Any, model: Any
) -> None:
    replayed = model(lines({"utterance": "a", "reply": "angry"}))
    queue = asked(instance, clip("x"), "a") + asked(instance, clip("y"), "zz")
    replies = replayed.generate_until(queue, True)
    assert replies[0].error is None
    assert "no row for utterance 'zz'" in replies[1].error


def test_samples_probabilities_and_ratings(clip: Any, instance: Any, model: Any) -> None:
    replayed = model(
        lines(
            {"utterance": "a", "reply": ["angry", "sad"]},
            {"utterance": "b", "p.angry": 0.7, "p.sad": 0.3},
            {"utterance": "c", "valence": 2.5},
            {"utterance": "d", "reply": None},
        )
    )
    ref = clip("x")
    assert replayed.generate_until(asked(instance, ref, "a", 2), True) == ["angry", "sad"]
    (shares,) = replayed.generate_until(asked(instance, ref, "b"), True)
    assert json.loads(shares) == {"angry": 0.7, "sad": 0.3}
    assert replayed.generate_until(asked(instance, ref, "c"), True) == ['{"valence": 2.5}']
    assert replayed.generate_until(asked(instance, ref, "d"), True) == [""]


def test_columns_of_another_name(clip: Any, instance: Any, model: Any) -> None:
    replayed = model(lines({"file": "a", "out": "sad"}), map="utterance:file+reply:out")
    assert replayed.generate_until(asked(instance, clip("x"), "a"), True) == ["sad"]


def test_no_audio_is_read(instance: Any, model: Any) -> None:
    from voxemo_tasks.records import AudioRef

    replayed = model(lines({"utterance": "a", "reply": "sad"}))
    gone = AudioRef("/nowhere/a.wav", "0" * 64, duration_s=2.0)
    assert replayed.generate_until(asked(instance, gone, "a"), True) == ["sad"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no rows"),
        (lines({"utterance": "a"}), "line 1: no column `reply`"),
        (lines({"reply": "a"}), "line 1: no column 'utterance'"),
        (lines({"utterance": "", "reply": "a"}), "line 1, column 'utterance': is empty"),
        (lines({"utterance": "a", "p.sad": "much"}), "'much' is no number"),
        ("{", "line 1: not JSON"),
        (
            lines(*[{"utterance": "a", "reply": "x", "sample": 0}] * 2),
            "line 2: utterance 'a', sample 0 stands there twice",
        ),
        (lines({"utterance": "a", "reply": "x", "sample": "one"}), "no whole number"),
    ],
)
def test_a_bad_table_is_named(model: Any, content: str, message: str) -> None:
    with pytest.raises(OptionError, match=message.replace("(", r"\(")):
        model(content)


@pytest.mark.parametrize("text", ["utterance", "colour:x", "reply:", "reply:a+reply:b"])
def test_a_bad_map_is_named(text: str) -> None:
    with pytest.raises(OptionError, match="map="):
        columns_of(text)
