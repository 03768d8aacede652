"""The JSON Schema of a tier's reply: what it allows is what the tier's verbalizer reads."""

from __future__ import annotations

import json

import jsonschema
import pytest

from voxemo_tasks import registry
from voxemo_tasks.errors import OptionError
from voxemo_tasks.render import Frame, Menu, schema_of
from voxemo_tasks.tasks.options import parse_options
from voxemo_tasks.tasks.planning import Plan
from voxemo_tasks.verbalize import verbalize

MENU = Menu.plain(["angry", "happy", "neutral", "sad"])


def test_shares() -> None:
    prompt, _ = registry.prompt("distribution_en")
    schema = schema_of(prompt, MENU, Frame())
    assert schema is not None
    reply = {"angry": 0.7, "happy": 0.1, "neutral": 0.1, "sad": 0.1}
    jsonschema.validate(reply, schema)
    spec, _ = registry.verbalizer(prompt.verbalizer)
    assert verbalize(json.dumps(reply), MENU.labels, spec).distribution == pytest.approx(reply)
    for bad in ({"angry": 1}, reply | {"calm": 0}, reply | {"sad": -1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def test_ratings() -> None:
    prompt, _ = registry.prompt("dimensional_en")
    frame = Frame(dimensions=("valence", "arousal"), scale=(1, 5))
    schema = schema_of(prompt, None, frame)
    assert schema is not None
    jsonschema.validate({"valence": 1, "arousal": 5}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"valence": 0, "arousal": 5}, schema)


def test_changes() -> None:
    prompt, _ = registry.prompt("counterfactual_en")
    schema = schema_of(prompt, MENU, Frame())
    assert schema is not None
    reply = {"answer": "sad", "changes": dict.fromkeys(prompt.changes, "sad")}
    reply["changes"]["faster"] = "happy"
    jsonschema.validate(reply, schema)
    spec, _ = registry.verbalizer(prompt.verbalizer)
    verdict = verbalize(json.dumps(reply), MENU.labels, spec)
    assert verdict.answer == "sad"
    assert verdict.detail is not None
    assert verdict.detail["after"]["faster"] == "happy"


@pytest.mark.parametrize("prompt", ["direct_en", "distribution_reason_en", "reason_en"])
def test_what_is_not_all_json_has_no_schema(prompt: str) -> None:
    assert schema_of(registry.prompt(prompt)[0], MENU, Frame()) is None


def test_asking_for_structure_where_there_is_none_is_refused() -> None:
    card, _ = registry.corpus("mini")
    with pytest.raises(OptionError, match="structured=true"):
        Plan.of(card, "direct", parse_options({"structured": True}, strict=True))
    Plan.of(card, "distribution", parse_options({"structured": True}, strict=True))
