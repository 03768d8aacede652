"""Shares, ratings, counterfactuals, cues, and the parsers of others."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks import registry
from voxemo_tasks.records import STATUSES, Verdict
from voxemo_tasks.verbalize import failing_examples, unknown_labels, verbalize
from voxemo_tasks.verbalizing.structured import objects

MENU = ["angry", "happy", "neutral", "sad"]


def read(name: str, reply: str, menu: list[str] | None = None, **more: Any) -> Verdict:
    return verbalize(reply, menu or MENU, registry.verbalizer(name)[0], **more)


@pytest.mark.parametrize(
    ("reply", "status", "shares", "outside"),
    [
        ('{"angry": 0.5, "happy": 0.25, "neutral": 0.25, "sad": 0}', "answered", [2, 1, 1, 0], 0),
        ("angry 50%, happy 25%", "abstained?", None, None),
        ("angry: 50%\nhappy: 25%\nsad: 25%", "answered", [2, 1, 0, 1], 0),
        ("{'Anger': .5, 'Joy': .25, 'Sadness': .25}", "answered", [2, 1, 0, 1], 0),
        ('{"probabilities": {"angry": 0.5, "sad": 0.5}, "confidence": 0.9}', "multiple", [2, 0, 0, 2], 0),
        ('{"angry": 2, "sad": 2}', "multiple", [2, 0, 0, 2], 0),
        ('Maybe {"angry": 1}. Final: {"sad": 1.0}', "answered", [0, 0, 0, 4], 0),
        ('{"angry": 0.25, "boredom": 0.75}', "answered", [1, 0, 0, 0], 0.75),
        ('```json\n{\n  "angry": 0.75, // loud\n  "sad": 0.25,\n}\n```', "answered", [3, 0, 0, 1], 0),
        ('{"angry": "0,75", "sad": "0,25"}', "answered", [3, 0, 0, 1], 0),
    ],
)  # fmt: skip
def test_shares(reply: str, status: str, shares: list[int] | None, outside: float | None) -> None:
    verdict = read("distribution_json", reply)
    if shares is None:
        assert verdict.distribution is None
        return
    assert verdict.status == status
    assert verdict.distribution is not None
    assert [4 * p for p in verdict.distribution.values()] == pytest.approx(shares)
    assert verdict.detail is not None
    assert verdict.detail["outside"] == pytest.approx(outside)


@given(st.lists(st.integers(1, 97), min_size=4, max_size=4))
def test_shares_are_recovered_from_any_writing(counts: list[int]) -> None:
    p = [n / sum(counts) for n in counts]
    for text in (
        json.dumps(dict(zip(MENU, p, strict=True))),
        "\n".join(f"- **{label}**: {100 * x:.6f} %" for label, x in zip(MENU, p, strict=True)),
    ):
        verdict = read("distribution_json", text)
        assert verdict.distribution is not None
        assert list(verdict.distribution.values()) == pytest.approx(p, abs=1e-6)
        if verdict.status == "answered":
            assert p[MENU.index(verdict.labels[0])] == pytest.approx(max(p), abs=1e-6)


def test_shares_under_the_menus_of_a_corpus() -> None:
    verdict = read("distribution_json", '{"joy": 0.4, "fear": 0.6}', ["fearful", "happy"])
    assert verdict.labels == ("fearful",)
    assert verdict.distribution == {"fearful": 0.6, "happy": 0.4}


def test_ratings_are_never_moved_to_the_scale() -> None:
    dims = ["valence", "arousal", "dominance"]
    good = read("vad", "Valence = 2.5; Arousal = 4", dims, scale=(1, 5))
    assert good.values == {"valence": 2.5, "arousal": 4.0}
    assert good.rule == "ratings.some"
    assert read("vad", '{"valence": 50}', dims, scale=(1, 5)).status == "off_menu"
    assert read("vad", '{"valence": 50}', dims, scale=(-100, 100)).values == {"valence": 50.0}
    assert read("vad", '{"valence": -3, "arousal": 3}', dims, scale=(-3, 3)).values == {
        "valence": -3.0,
        "arousal": 3.0,
    }
    assert read("vad", "<think>valence: 5</think>valence: 1", dims, scale=(1, 5)).values == {
        "valence": 1.0
    }


def test_a_cut_reply_is_truncated_only_without_anything_read() -> None:
    cut = read("vad", "Let me think about the", ["valence"], finish_reason="length", scale=(1, 5))
    assert (cut.status, cut.cut) == ("truncated", True)
    read_anyway = read("distribution_json", '{"angry": 0.9, "sad": 0.1', finish_reason="length")
    assert (read_anyway.status, read_anyway.cut) == ("answered", True)


def test_a_counterfactual_names_what_each_change_leads_to() -> None:
    reply = '{"answer": "sad", "changes": {"louder": "angry", "pitch up": "HAPPY", "softer": "?"}}'
    verdict = read("counterfactual_json", reply)
    assert verdict.answer == "sad"
    assert verdict.detail == {
        "after": {"louder": "angry", "pitch_up": "happy"},
        "unread": ["softer"],
    }
    assert verdict.span is not None
    assert reply[slice(*verdict.span)] == "sad"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("high pitch, fast rate", {"pitch": ["high"], "rate": ["fast"]}),
        ("The voice is not loud.", {"loudness": []}),
        ("a high-pitched, shaky voice", {"pitch": ["high"], "quality": ["trembling"]}),
        ("long pauses and a slow pace", {"pauses": ["many"], "rate": ["slow"]}),
    ],
)
def test_cues(text: str, detail: dict[str, list[str]]) -> None:
    assert read("prosody", text).detail == detail


@pytest.mark.parametrize(
    ("name", "reply", "label"),
    [
        ("strict_exact", "sad", "sad"),
        ("strict_exact", "Sad.", None),
        ("exact_match", "Sad.", "sad"),
        ("quasi_exact", "A sad", "sad"),
        ("prefix_match", "Sadly, no", "sad"),
        ("prefix_match", "It is sad", None),
        ("first_letter", "Angry", "angry"),
        ("first_letter", "By the tone: D", "happy"),
        ("first_substring", "unhappy, so sad", "happy"),
        ("last_substring", "unhappy, so sad", "sad"),
        ("label_order_substring", "sad, not angry", "angry"),
    ],
)
def test_what_other_parsers_make_of_a_reply(name: str, reply: str, label: str | None) -> None:
    verdict = read(name, reply)
    assert verdict.answer == label
    assert verdict.status == ("unparsed" if label is None else "answered")
    assert label is None or verdict.rule.startswith("emulation.")


def test_every_registered_example_holds_and_every_kind_is_there() -> None:
    kinds = {type(spec).__name__ for spec in registry.verbalizers()}
    assert kinds == {"VerbalizerSpec", "EmulationSpec", "StructuredSpec", "CuesSpec"}
    for spec in registry.verbalizers():
        assert failing_examples(spec) == [], spec.ref


def test_labels_without_words_are_known_before_a_run() -> None:
    spec, _ = registry.verbalizer("closed_set")
    assert unknown_labels(["angry", "pain, groan", "poker", "other"], spec) == ["poker"]


WILD = st.text(
    st.characters() | st.sampled_from('{}[]":,=%0123456789.-/\\\u202e\u0000\ud800'), max_size=200
)


@given(WILD, st.sampled_from(["stop", "length"]))
@settings(max_examples=max(1, int(os.environ.get("VOXEMO_FUZZ", "100")) // 10), deadline=None)
def test_any_text_has_a_verdict(text: str, reason: Any) -> None:
    for spec in registry.verbalizers():
        menu = ["valence", "arousal"] if spec.id == "vad" else MENU
        verdict = verbalize(text, menu, spec, finish_reason=reason, scale=(1, 5))
        assert verdict.status in STATUSES
        json.dumps(verdict.to_json(), allow_nan=False)
        assert Verdict.from_json(verdict.to_json()).to_json() == verdict.to_json()


@pytest.mark.parametrize("unit", ["{", '"a":1,', "{}", '{"angry": 0.1}', "a: 1\n", "high pitch "])
def test_a_megabyte_is_read_in_linear_time(unit: str) -> None:
    import time

    def seconds(n: int) -> float:
        text = (unit * n)[:n]
        started = time.process_time()
        for name in ("distribution_json", "vad", "counterfactual_json", "prosody"):
            read(name, text, scale=(1, 5))
        return time.process_time() - started

    seconds(1000)
    small, large = seconds(60_000), seconds(480_000)
    assert large < 24 * small + 0.5


def test_objects_are_outermost() -> None:
    text = 'a {"x": {"y": 1}} b {"z": 2'
    assert [text[a:b] for a, b in objects(text)] == ['{"x": {"y": 1}}', '{"z": 2']
