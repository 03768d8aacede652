"""What ``vllm-audiolm`` decides without vLLM: runs everywhere."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import make_dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxemo_tasks import registry
from voxemo_tasks.backends import vllm_engine, vllm_setup
from voxemo_tasks.backends.loading import Checkpoint
from voxemo_tasks.backends.requests import Job
from voxemo_tasks.backends.scoring import logprob_of, nodes
from voxemo_tasks.backends.vllm import VllmAudioLM, clip_ids
from voxemo_tasks.backends.vllm_engine import Ask, import_vllm
from voxemo_tasks.backends.vllm_replicas import share, visible_devices
from voxemo_tasks.backends.vllm_setup import (
    adapter_rank,
    check_vllm,
    compact_json,
    end_ids,
    local_adapter,
    mistral_format,
    read_options,
    require_chosen_tokens,
)
from voxemo_tasks.errors import ModelError, OptionError
from voxemo_tasks.records import AudioRef, Decoding, Request, Transform
from voxemo_tasks.rooms import PACKAGE

CARD, _ = registry.model_for("Qwen2AudioForConditionalGeneration")
tokens = st.lists(st.integers(0, 3), max_size=4).map(tuple)


# --- vLLM missing, broken, too old --------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'vllm'", name="vllm"), r"voxemo-tasks\[vllm\]"),
        (ModuleNotFoundError("No module named 'ray'", name="ray"), "installed and cannot be"),
        (RuntimeError("operator torchvision::nms does not exist"), "uninstall torchvision"),
        (OSError("libtorch_cuda.so: cannot open"), "libtorch_cuda.so"),
    ],
)
def test_a_vllm_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, message: str
) -> None:
    real = importlib.import_module

    def failing(name: str, *rest: Any) -> Any:
        if name == "vllm":
            raise error
        return real(name, *rest)

    monkeypatch.setattr(vllm_engine.importlib, "import_module", failing)
    with pytest.raises(ModelError, match=message):
        import_vllm()
    with pytest.raises(ModelError, match=message):
        VllmAudioLM("voxemo-tiny", store=str(tmp_path))


def test_versions_and_families() -> None:
    check_vllm(CARD, "0.32.0+cpu")
    with pytest.raises(ModelError, match=r"needs vllm >=0\.13, this is 0\.12\.0"):
        check_vllm(CARD, "0.12.0")
    bad = CARD.model_copy(update={"known_bad": ["vllm==0.20.1", "transformers<9"]})
    check_vllm(bad, "0.20.2")
    with pytest.raises(ModelError, match=r"known to fail under vllm 0\.20\.1"):
        check_vllm(bad, "0.20.1")
    other = CARD.model_copy(update={"engines": {"transformers": ">=5"}})
    with pytest.raises(ModelError, match=r"does not run in vllm; .*transformers"):
        check_vllm(other, "0.32.0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs pretrained="),
        ({"pretrained": "voxemo-tiny", "structured": "maybe"}, "expected 'auto' or 'off'"),
        ({"pretrained": "voxemo-tiny", "dtype": "int4"}, "expected one of auto, bf16"),
        ({"pretrained": "voxemo-tiny", "data_parallel_size": 0}, "data_parallel_size=0"),
        ({"pretrained": "voxemo-tiny", "tensor_parallel_size": "two"}, "positive integer"),
        ({"pretrained": "voxemo-tiny", "colour": "red"}, r"colour.*allowed: pretrained"),
        ({"pretrained": "voxemo-tiny", "batch_size": "many"}, "positive integer or 'auto'"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_loaded(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        VllmAudioLM(**arguments)


def test_engine_options() -> None:
    assert read_options(None) == {}
    assert read_options({"block_size": 32}) == read_options('{"block_size": 32}')
    with pytest.raises(OptionError, match="not JSON"):
        read_options("block_size=32")
    with pytest.raises(OptionError, match="expected an object"):
        read_options("[1]")


class Sampling:
    def __init__(self, n: int = 1, logprobs: int | None = None) -> None: ...


def test_a_vllm_without_logprobs_of_chosen_tokens_is_refused() -> None:
    old = SimpleNamespace(__version__="0.13.0", SamplingParams=Sampling)
    with pytest.raises(ModelError, match=r"which vLLM 0\.13\.0 does not give"):
        require_chosen_tokens(old)


@pytest.mark.parametrize(
    ("fields", "libraries", "expected"),
    [
        (("backend", "disable_any_whitespace"), {"xgrammar", "llguidance"}, "xgrammar"),
        (("backend", "disable_any_whitespace"), {"llguidance"}, "guidance"),
        (("backend", "disable_any_whitespace"), set(), None),
        (("backend",), {"xgrammar"}, None),
        (None, {"xgrammar"}, None),
    ],
)
def test_white_space_is_forbidden_where_vllm_can(
    monkeypatch: pytest.MonkeyPatch,
    fields: tuple[str, ...] | None,
    libraries: set[str],
    expected: str | None,
) -> None:
    config = ModuleType("vllm.config")
    if fields is not None:
        config.StructuredOutputsConfig = make_dataclass("Config", fields)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, "vllm.config", config)
    monkeypatch.setattr(vllm_setup, "find_spec", lambda name: name if name in libraries else None)
    setting = {"backend": expected, "disable_any_whitespace": True}
    assert compact_json() == ({"structured_outputs_config": setting} if expected else {})


def test_mistrals_own_format_is_asked_for(tmp_path: Path) -> None:
    folder = Checkpoint("here", str(tmp_path), True, False)
    (tmp_path / "tekken.json").touch()
    with pytest.raises(
        ModelError, match=r"has no params\.json and no consolidated\*.*: vLLM reads"
    ):
        mistral_format(folder)
    for name in ("params.json", "consolidated.safetensors"):
        (tmp_path / name).touch()
    expected = dict.fromkeys(("config_format", "load_format", "tokenizer_mode"), "mistral")
    assert mistral_format(folder) == expected
    assert mistral_format(Checkpoint("a/b", "a/b", False, False)) == expected


# --- adapters -----------------------------------------------------------------------------------


def adapter(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_an_adapter_is_named_by_its_bytes(tmp_path: Path) -> None:
    own = adapter(tmp_path / "mine", r=4)
    identity, folder = local_adapter(("own", str(own), ""), None)
    assert folder == own
    assert identity.startswith("own:sha256:")
    (own / "adapter_config.json").write_text('{"r": 5}')
    assert local_adapter(("own", str(own), ""), None)[0] != identity


def test_an_adapter_of_the_hub_is_a_folder_of_its_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="adapters are fetched with it")
    fetched: list[Any] = []

    def download(source: str, **options: Any) -> str:
        fetched.append((source, options["allow_patterns"]))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)
    found = local_adapter(("speech", "maker/model", "speech-lora"), "abc")
    assert found == ("speech@abc", tmp_path / "speech-lora")
    assert fetched == [("maker/model", ["speech-lora/*"])]
    monkeypatch.undo()
    with pytest.raises(ModelError, match="speech of maker/model could not be fetched"):
        local_adapter(("speech", "maker/model", "speech-lora"), None)


@pytest.mark.parametrize(
    ("config", "rank"),
    [({"r": 4}, 8), ({"r": 8}, 8), ({"r": 9}, 16), ({"r": 8, "rank_pattern": {"q": 300}}, 320)],
)
def test_the_rank_is_rounded_up_to_one_that_vllm_takes(
    tmp_path: Path, config: dict[str, Any], rank: int
) -> None:
    assert adapter_rank(adapter(tmp_path / "a", **config)) == rank


@pytest.mark.parametrize("config", [{}, {"r": None}, {"r": 4096}])
def test_a_rank_that_is_none(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="rank"):
        adapter_rank(adapter(tmp_path / "a", **config))


def test_end_tokens_are_the_checkpoints_else_the_tokenizers(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="end tokens are read with transformers")

    class Tokenizer:
        eos_token_id = 7

    assert end_ids(str(PACKAGE / "assets" / "voxemo-tiny"), None, Tokenizer()) == [0, 2]
    assert end_ids(str(tmp_path), None, Tokenizer()) == [7]


# --- media ids ----------------------------------------------------------------------------------


def job(*refs: AudioRef) -> Job:
    silence = np.zeros(1600, np.float32)
    return Job(Request("p@1", "0", (), refs, Decoding()), "k", [0], [silence] * len(refs))


def test_a_media_id_tells_everything_that_changes_the_sound() -> None:
    noise = (Transform("noise", {"snr_db": 5}, 1),)
    sounds = [
        AudioRef("a.wav", "a"),
        AudioRef("a.wav", "b"),
        AudioRef("a.wav", "a", start_s=0.5),
        AudioRef("a.wav", "a", end_s=0.5),
        AudioRef("a.wav", "a", channel=1),
        AudioRef("a.wav", "a", transforms=noise),
        AudioRef("a.wav", "a", transforms=(Transform("noise", {"snr_db": 5}, 2),)),
    ]
    ids = [clip_ids(job(ref), 16_000)[0] for ref in sounds]
    assert len(set(ids)) == len(ids)
    assert clip_ids(job(sounds[0]), 8_000)[0] != ids[0]
    moved = AudioRef("/elsewhere/a.wav", "a", duration_s=0.1)
    assert clip_ids(job(moved), 16_000)[0] == ids[0]
    assert len(set(clip_ids(job(*sounds), 16_000))) == len(sounds)


def test_a_reference_without_a_digest_is_told_by_its_samples() -> None:
    one, two = job(AudioRef("a.wav", "")), job(AudioRef("a.wav", ""))
    assert clip_ids(one, 16_000) == clip_ids(two, 16_000)
    two.audio[0] = np.ones(1600, np.float32)
    assert clip_ids(one, 16_000) != clip_ids(two, 16_000)


# --- replicas -----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 5))
def test_shares_are_a_partition_that_keeps_neighbours_together(
    sounds: list[int], count: int
) -> None:
    asks = [Ask("", (), (str(sound),), {}) for sound in sounds]
    shares = share(asks, count)
    assert len(shares) == count
    assert [i for some in shares for i in some] == list(range(len(asks)))
    home = {i: number for number, some in enumerate(shares) for i in some}
    for i in range(1, len(asks)):
        if sounds[i] == sounds[i - 1]:
            assert home[i] == home[i - 1]


def test_shares_of_many_clips_are_even() -> None:
    asks = [Ask("", (), (str(i // 5),), {}) for i in range(400)]
    assert [len(some) for some in share(asks, 4)] == [100] * 4


def test_devices_of_replicas() -> None:
    assert [visible_devices(i, 2, None) for i in range(2)] == ["0,1", "2,3"]
    assert visible_devices(0, 1, "GPU-a,GPU-b") == "GPU-a"
    with pytest.raises(ModelError, match=r"replica 1 needs GPUs 2 to 3 of .*names 3"):
        visible_devices(1, 2, "0,1,2")


# --- scoring ------------------------------------------------------------------------------------


@given(st.lists(tokens, max_size=6))
def test_the_tree_sums_to_the_chain_rule(continuations: list[tuple[int, ...]]) -> None:
    def model(prefix: tuple[int, ...], token: int) -> float:
        return -float(sum((p + 1) * 7**i for i, p in enumerate((*prefix, token))) % 13) / 8

    tree = nodes(continuations)
    at = {prefix: {t: model(prefix, t) for t in following} for prefix, following in tree.items()}
    for one in continuations:
        assert logprob_of(one, at) == sum(model(one[:j], t) for j, t in enumerate(one))
    wanted = {(c[:j], c[j]) for c in continuations for j in range(len(c))}
    assert {(p, t) for p, following in tree.items() for t in following} == wanted
