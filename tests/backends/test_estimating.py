"""Time and memory by arithmetic, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from voxemo_tasks.backends.estimating import (
    DEVICES,
    Cost,
    Device,
    Size,
    Work,
    cost_of,
    count_tensors,
    decoder_config,
    device_of,
    kv_values,
    memory_of,
    named_parameters,
)
from voxemo_tasks.errors import OptionError, UnknownNameError

# 9e9 in the decoder; 5e13 operations and 5e11 bytes a second at an efficiency of one half
SIZE = Size(10_000_000_000, 1_000_000_000, None, "by hand")
DEVICE = Device("mine", tflops_16=100, tflops_32=50, memory_gb=24.006, bandwidth_gb_s=1000)
WORK = Work(
    clips=2,
    requests=4,
    replies=8,
    audio_s=10,
    encoder_clips=3000,
    encoder_replies=12_000,
    audio_clips=500,
    audio_replies=2000,
    text_requests=100,
    text_replies=200,
    generated=80,
    generated_limit=800,
    longest=500,
)


def cost(size: Size = SIZE, device: Device = DEVICE, work: Work = WORK, **more: Any) -> Cost:
    options: dict[str, Any] = {"batch": 4, "bytes_a_value": 2, "shared": True, "efficiency": 0.5}
    return cost_of(work, size, device, **(options | more))


def test_shared_prefixes_are_read_once_a_clip() -> None:
    got = cost()
    assert got.prefill_tokens == 600
    assert got.encoder_positions == 3000
    # 2 · (9e9 · 600 + 1e9 · 3000) = 1.68e13 operations at 5e13 a second
    assert got.prefill_s == pytest.approx(0.336, abs=1e-12)
    # and 2 · 9e9 · 80 for the generated tokens
    assert got.flops == pytest.approx(1.68e13 + 1.44e12)


def test_otherwise_they_are_read_for_every_reply() -> None:
    got = cost(shared=False)
    assert got.prefill_tokens == 2200
    # 2 · (9e9 · 2200 + 1e9 · 12000) = 6.36e13
    assert got.prefill_s == pytest.approx(1.272, abs=1e-12)
    assert got.decode_s == cost().decode_s


def test_a_small_batch_waits_for_memory() -> None:
    # 2 bytes · 9e9 / 5e11 = 0.036 s a step, more than 2 · 9e9 · 4 / 5e13; 80 / 4 = 20 steps
    got = cost()
    assert got.decode_s == pytest.approx(0.72, abs=1e-12)
    assert got.decode_limit_s == pytest.approx(7.2, abs=1e-12)
    assert got.seconds == pytest.approx(0.336 + 0.72)
    assert got.seconds_limit == pytest.approx(0.336 + 7.2)
    assert got.to_json()["seconds"] == got.seconds


def test_a_large_batch_waits_for_arithmetic() -> None:
    # 2 · 9e9 · 8 / 5e13 = 0.00288 s a step, 10 steps
    quick = replace(DEVICE, bandwidth_gb_s=1e9)
    assert cost(device=quick, batch=8).decode_s == pytest.approx(0.0288, abs=1e-12)


def test_a_batch_is_no_larger_than_there_are_replies() -> None:
    assert cost(batch=1000) == cost(batch=8)


def test_the_cache_is_read_at_every_step() -> None:
    # mean context (2000 + 200 + 80) / 8 = 285; 4 · 285 · 1000 numbers beside 9e9 weights
    got = cost(replace(SIZE, kv_values=1000))
    assert got.decode_s == pytest.approx(20 * 2 * (9e9 + 1.14e6) / 5e11, rel=1e-12)


def test_32_bit_has_its_own_speed_and_twice_the_bytes() -> None:
    got = cost(bytes_a_value=4)
    assert got.prefill_s == pytest.approx(2 * 0.336)
    assert got.decode_s == pytest.approx(2 * 0.72)


def test_no_work_costs_nothing() -> None:
    got = cost(work=Work())
    assert (got.seconds, got.flops) == (0.0, 0.0)


@pytest.mark.parametrize("efficiency", [0.0, 1.5, -1.0, float("nan")])
def test_efficiency_is_a_share(efficiency: float) -> None:
    with pytest.raises(OptionError, match="--efficiency"):
        cost(efficiency=efficiency)


def test_a_batch_holds_something() -> None:
    with pytest.raises(OptionError, match="batch 0"):
        cost(batch=0)


def test_memory_is_weights_cache_and_a_fifth() -> None:
    # room: 24.006e9 / 1.2 - 2e10 = 5e6; a reply of 500 tokens takes 500 · 1000 · 2 = 1e6
    got = memory_of(WORK, replace(SIZE, kv_values=1000), DEVICE, batch=4, bytes_a_value=2)
    assert (got.weights, got.kv_a_token, got.kv) == (2e10, 2000, 4e6)
    assert got.total == pytest.approx(1.2 * (2e10 + 4e6))
    assert (got.fits, got.largest_batch) == (True, 5)
    more = memory_of(WORK, replace(SIZE, kv_values=1000), DEVICE, batch=6, bytes_a_value=2)
    assert not more.fits
    small = replace(DEVICE, memory_gb=23.9)
    none = memory_of(WORK, replace(SIZE, kv_values=1000), small, batch=1, bytes_a_value=2)
    assert (none.fits, none.largest_batch) == (False, 0)


def test_an_unknown_cache_is_none_and_not_zero() -> None:
    got = memory_of(WORK, SIZE, DEVICE, batch=4, bytes_a_value=2)
    assert (got.kv, got.kv_a_token, got.largest_batch) == (None, None, None)
    assert got.total == pytest.approx(2.4e10)


def test_work_adds_up_but_the_longest() -> None:
    both = WORK + replace(WORK, longest=700, clips=3)
    assert (both.clips, both.replies, both.longest) == (5, 16, 700)
    assert set(both.to_json()) == set(Work.__slots__)


def test_a_cache_of_a_nested_config() -> None:
    text = {"num_hidden_layers": 28, "num_attention_heads": 28, "hidden_size": 3584}
    grouped = text | {"num_key_value_heads": 4}
    # 2 · 28 · 4 · (3584 / 28)
    assert kv_values({"thinker_config": {"text_config": grouped, "audio_config": {}}}) == 28_672
    assert kv_values(text) == 2 * 28 * 28 * 128
    assert kv_values(grouped | {"head_dim": 64}) == 2 * 28 * 4 * 64
    assert kv_values({"hidden_size": 3584}) is None
    assert decoder_config({}) is None


def test_tensors_are_told_apart_by_name() -> None:
    shapes = {
        "audio_tower.layers.0.fc1.weight": [4, 8],
        "thinker.audio_tower.conv1.bias": [4],
        "model.speech_encoder.proj": [2, 2],
        "language_model.model.layers.0.mlp.up_proj.weight": [10, 10],
        "multi_modal_projector.linear.weight": [5, 5],
        "talker.model.embed": [1000],
        "thinker.visual.patch": [1000],
    }
    assert count_tensors(shapes) == (32 + 4 + 4 + 100 + 25, 32 + 4 + 4)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Qwen/Qwen2-Audio-7B", 7e9),
        ("mistralai/Voxtral-Mini-3B-2507", 3e9),
        ("x/omni-0.5b-base", 5e8),
        ("microsoft/Phi-4-multimodal-instruct", None),
        ("google/gemma-3n-E4B-it", None),
        ("x/4bit-model", None),
    ],
)
def test_sizes_in_names(name: str, number: float | None) -> None:
    assert named_parameters(name) == number


def test_figures_of_ones_own_lie_over_a_preset() -> None:
    mine = device_of("h100", tflops=100, bandwidth_gb_s=10)
    assert (mine.tflops(2), mine.tflops(4), mine.bandwidth_gb_s) == (100, 100, 10)
    assert mine.memory_gb == DEVICES["h100"].memory_gb
    with pytest.raises(UnknownNameError, match="h1oo"):
        device_of("h1oo")
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="--device-memory-gb"):
            device_of("h100", memory_gb=wrong)
