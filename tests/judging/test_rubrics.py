"""The registered rubrics: what every file must hold, and that its own examples are read so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from voxemo_tasks import registry
from voxemo_tasks.adjudicate import Item, ask, failing_examples
from voxemo_tasks.errors import LabelSetError, OptionError, UnknownNameError
from voxemo_tasks.specs import JudgeSpec

REFS = [spec.ref for spec in registry.judges()]
OURS = [spec.ref for spec in registry.judges() if spec.task != "emulation"]
LABELS = ("angry", "happy", "neutral", "sad")


def item_for(spec: JudgeSpec, text: str = "The voice is low. Sad.") -> Item:
    data = dict.fromkeys(spec.fields, text)
    labels = LABELS if spec.task == "adjudicate_label" else ()
    return Item(data, labels, dimension=next(iter(spec.dimensions), None))


def changed(ref: str, **changes: Any) -> JudgeSpec:
    data = registry.judge(ref)[0].model_dump(mode="json", by_alias=True)
    return JudgeSpec.model_validate(data | changes)


def test_the_issues_rubrics_are_there() -> None:
    tasks = {spec.task for spec in registry.judges()}
    assert tasks == {
        *("adjudicate_label", "rationale", "rationale_update", "entailment", "emulation")
    }
    spec, _ = registry.judge("rationale")
    assert list(spec.dimensions) == [
        *("specificity", "cultural_appropriateness", "consistency", "coherence")
    ]
    assert all(sorted(d.anchors) == list("12345") for d in spec.dimensions.values())
    assert "insufficient_evidence" in spec.options


@pytest.mark.parametrize("ref", REFS)
def test_a_rubrics_own_examples_are_read_as_they_say(ref: str) -> None:
    assert failing_examples(*registry.judge(ref)) == []


def test_a_wrong_example_is_found() -> None:
    spec, digest = registry.judge("entailment")
    examples = [e.model_dump() for e in spec.examples]
    examples[0]["answer"] = "neutral"
    wrong = changed("entailment", examples=examples)
    ((example, judged),) = failing_examples(wrong, digest)
    assert (example.answer, judged.answer) == ("neutral", "entails")


@pytest.mark.parametrize("ref", OURS)
def test_the_material_comes_before_the_rubric_in_a_fence_of_its_own(ref: str) -> None:
    spec, digest = registry.judge(ref)
    request = ask(spec, digest, item_for(spec))
    lines = request.messages[-1]["content"].splitlines()
    nonce = lines[0].removeprefix("BEGIN ")
    assert len(nonce) == 16
    end = lines.index(f"END {nonce}")
    assert json.loads("\n".join(lines[1:end])) == dict(request.data)
    assert "gold" not in spec.fields
    assert request.schema is not None
    assert list(request.schema["properties"]) == ["quote", "answer"]
    assert request.schema["additionalProperties"] is False


@pytest.mark.parametrize("ref", OURS)
def test_a_request_is_a_function_of_item_and_seed(ref: str) -> None:
    spec, digest = registry.judge(ref)
    one = ask(spec, digest, item_for(spec))
    assert ask(spec, digest, item_for(spec)) == one
    keys = {
        one.key("j", digest),
        ask(spec, digest, item_for(spec), seed=1).key("j", digest),
        ask(spec, digest, item_for(spec, "other")).key("j", digest),
        one.key("k", digest),
        one.key("j", "0" * 64),
    }
    assert len(keys) == 5


def test_options_are_in_every_order_and_a_swap_turns_them_round() -> None:
    spec, digest = registry.judge("adjudicate_label")
    first = set()
    for i in range(60):
        item = Item({"reply": f"reply {i}"}, ("happy", "sad"))
        shown = ask(spec, digest, item).options
        assert sorted(shown) == ["happy", "multiple", "none", "off_menu", "sad"]
        assert ask(spec, digest, item, swap=True).options == shown[::-1]
        first.add(shown[0])
    assert len(first) == 5


def test_anchors_are_turned_round_too() -> None:
    spec, digest = registry.judge("rationale")
    item = item_for(spec)
    one, other = (
        [
            line
            for line in ask(spec, digest, item, swap=swap).messages[-1]["content"].splitlines()
            if line[1:3] == ": "
        ]
        for swap in (False, True)
    )
    assert len(one) == 5
    assert other == one[::-1]


def test_labels_are_shown_with_what_the_question_called_them() -> None:
    spec, digest = registry.judge("adjudicate_label")
    text = ask(spec, digest, Item({"reply": "B"}, ("happy", "sad"), ("A. happy", "B. traurig")))
    assert '- "sad" (in the question: B. traurig)' in text.messages[-1]["content"]


def test_model_names_are_blinded_in_the_material() -> None:
    spec, digest = registry.judge("adjudicate_label")
    hygiene, _ = registry.hygiene()
    item = Item({"reply": "I am Qwen2-Audio by Tongyi: sad."}, LABELS)
    text = ask(spec, digest, item, families=hygiene.families).messages[-1]["content"]
    assert "the model by the model: sad." in text
    assert "Qwen" not in text


def test_rubrics_in_the_replys_language() -> None:
    assert registry.judge_in("adjudicate_label", "zh-Hant")[0].id == "adjudicate_label_zh"
    assert registry.judge_in("adjudicate_label", "en")[0].id == "adjudicate_label"
    with pytest.raises(UnknownNameError, match="adjudicate_label"):
        registry.judge_in("adjudicate_label", "am")
    english, _ = registry.judge("adjudicate_label")
    for spec in registry.judges():
        if spec.task == "adjudicate_label":
            same = ("fields", "output_schema", "residue", "panel_rule", "max_failed_share")
            for name in same:
                assert getattr(spec, name) == getattr(english, name), (spec.ref, name)
            assert list(spec.options) == list(english.options)


def test_what_cannot_be_asked() -> None:
    label, digest = registry.judge("adjudicate_label")
    with pytest.raises(LabelSetError, match="needs a menu"):
        ask(label, digest, Item({"reply": "x"}))
    with pytest.raises(LabelSetError, match="called none"):
        ask(label, digest, Item({"reply": "x"}, ("none", "sad")))
    rating, digest = registry.judge("rationale")
    with pytest.raises(OptionError, match="specificity"):
        ask(rating, digest, Item({"reply": "x"}, dimension="beauty"))
    with pytest.raises(LabelSetError, match="offers no labels"):
        ask(rating, digest, Item({"reply": "x"}, LABELS, dimension="coherence"))
    emulation, digest = registry.judge("emulation_binary")
    with pytest.raises(OptionError, match="gold"):
        ask(emulation, digest, Item({"reply": "x"}))


@pytest.mark.parametrize(
    ("ref", "changes", "says"),
    [
        ("entailment", {"text": "{options} {data} {nonce}"}, "{data} must be first"),
        ("entailment", {"text": "{data} {nonce}"}, "must use {options}"),
        ("entailment", {"text": "{data} {nonce} {options} {gold}"}, "unknown placeholder"),
        ("entailment", {"quoted_from": "label2"}, "quoted_from"),
        ("entailment", {"unquoted": ["nothing"]}, "unquoted"),
        ("entailment", {"options": {"insufficient_evidence": "x"}}, "keys of options"),
        ("entailment", {"output_schema": {"properties": {"answer": {}}}}, "quote, then answer"),
        ("entailment", {"retry": None}, "needs retry"),
        ("entailment", {"canaries": []}, "needs canaries"),
        ("entailment", {"reads": "yes_no"}, "emulations"),
        ("emulation_binary", {"reads": "json"}, "emulations"),
        ("rationale", {"dimensions": {}}, "dimensions"),
    ],
)
def test_a_rubric_that_does_not_hold_together(ref: str, changes: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        changed(ref, **changes)
    assert says in str(caught.value)
