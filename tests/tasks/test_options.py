"""Run options: every key validated, misspelt ones found, model arguments left alone."""

from __future__ import annotations

from typing import Any

import pytest

from voxemo_tasks.errors import OptionError
from voxemo_tasks.tasks.asking import sampling_of
from voxemo_tasks.tasks.options import NAMES, parse_options


def test_defaults() -> None:
    options = parse_options({}, strict=True)
    assert (options.role, options.samples, options.temperature) == ("test", 1, 0.0)
    assert options.fold is None


def test_all_keys() -> None:
    given = {
        "protocol": "speakers",
        "fold": "all",
        "role": "valid",
        "label_set": "four",
        "target": "plurality",
        "prompts": "direct_en@1+direct_en",
        "prompt_language": "de",
        "ensemble": "five_tiers",
        "label_order": "rotated_2",
        "order_seed": 1,
        "label_form": "noun",
        "label_style": "lettered",
        "label_language": "en",
        "context": "language+culture",
        "shots": 2,
        "shots_seed": 3,
        "repeat_question": 2,
        "repeat_audio": 2,
        "transform": "telephone",
        "conditions": ["shuffled"],
        "conditions_seed": 4,
        "base_tier": "reason",
        "pairs": "pairs.csv",
        "verbalizer": "closed_set@1",
        "readout": "text",
        "structured": True,
        "samples": "3",
        "temperature": 0.7,
        "top_p": 0.9,
    }
    assert set(given) == set(NAMES)
    options = parse_options(given, strict=True)
    assert options.prompts == ("direct_en@1", "direct_en")
    assert (options.samples, options.fold) == (3, "all")
    assert options.to_json()["prompts"] == ["direct_en@1", "direct_en"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"protocl": "all"}, "did you mean 'protocol'"),
        ({"fold": 0}, "from 1, or 'all'"),
        ({"fold": True}, "from 1, or 'all'"),
        ({"fold": "some"}, "from 1, or 'all'"),
        ({"role": "dev"}, "allowed: train, valid, test"),
        ({"structured": "yes"}, "must be true or false"),
        ({"readout": "logits"}, "allowed: text, likelihood"),
        ({"readout": "likelihood", "samples": 2, "temperature": 1}, "no samples"),
        ({"samples": 0}, "from 1 to 1000"),
        ({"samples": "x"}, "from 1 to 1000"),
        ({"samples": 3}, "greedy samples are all the same reply"),
        ({"temperature": -1}, "from 0 to 10"),
        ({"top_p": 0}, "from 1e-06 to 1"),
        ({"prompts": []}, "empty or names a prompt twice"),
        ({"prompts": ["a", "a"]}, "empty or names a prompt twice"),
        ({"prompts": 3}, "a list of prompt ids"),
        ({"label_set": 4}, "must be text"),
        ({"target": "mode"}, "allowed: released, majority, plurality"),
        ({"label_order": "rotated_"}, "allowed: registered, rotated, rotated_1"),
        ({"label_order": "rotated_0"}, "allowed: registered, rotated, rotated_1"),
        ({"label_form": "verb"}, "allowed: registered, adjective, noun"),
        ({"label_style": "table"}, "allowed: comma, lettered"),
        ({"label_language": "de"}, "allowed: prompt, en"),
        ({"context": "weather"}, "factors: language, culture"),
        ({"shots": -1}, "from 0 to 64"),
        ({"repeat_audio": 0}, "from 1 to 16"),
    ],
)
def test_wrong_options_are_refused(metadata: dict[str, Any], message: str) -> None:
    for strict in (True, False):
        with pytest.raises(OptionError, match=message):
            parse_options(metadata, strict=strict)


def test_model_arguments_ride_along_unless_strict() -> None:
    metadata = {"pretrained": "x", "store": "y", "version": 1, "fold": 2}
    assert parse_options(metadata, strict=False).fold == 2
    with pytest.raises(OptionError, match=r"'pretrained' is no option; allowed: protocol"):
        parse_options(metadata, strict=True)


def test_no_argument_of_a_model_is_taken_for_an_option() -> None:
    """lm-eval mixes both into one dict, so the names must not meet, nor look alike."""
    arguments = (
        "pretrained revision dtype device trust_remote_code store store_parent batch_size "
        "max_batch_size decode_workers replies max_audio_s delay_s version config_source"
    )
    parse_options(dict.fromkeys(arguments.split(), "x"), strict=False)


def test_samples_of_an_ensemble_may_take_its_temperature() -> None:
    options = parse_options({"ensemble": "sample_10", "samples": 5}, strict=True)
    assert sampling_of(options) == (5, 0.7, 1.0)
    greedy = parse_options({"ensemble": "paraphrase_8", "samples": 5}, strict=True)
    with pytest.raises(OptionError, match="takes 5 samples; they need a temperature above 0"):
        sampling_of(greedy)


def test_likelihood_of_an_ensemble_with_samples_is_refused() -> None:
    options = parse_options({"ensemble": "sample_10", "readout": "likelihood"}, strict=True)
    with pytest.raises(OptionError, match="readout=likelihood takes one number a label"):
        sampling_of(options)


@pytest.mark.parametrize(
    "given",
    [
        {"samples": 2.7, "temperature": 1},
        {"order_seed": 0.5},
        {"shots": float("inf")},
        {"fold": "\N{SUPERSCRIPT TWO}"},
        {"context": [["language"]]},
    ],
)
def test_a_number_is_not_rounded_and_nothing_odd_is_a_crash(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="--metadata: "):
        parse_options(given, strict=True)


def test_whole_numbers_may_be_written_as_text_or_float() -> None:
    options = parse_options({"shots": "3", "order_seed": 4.0}, strict=True)
    assert (options.shots, options.order_seed) == (3, 4)
