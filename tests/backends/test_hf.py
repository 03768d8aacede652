"""``hf-audiolm`` through the real processor, model class and ``generate`` of Qwen2-Audio."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="hf-audiolm needs the extra 'hf'")

import torch

from voxemo_tasks import registry
from voxemo_tasks.backends import loading
from voxemo_tasks.backends.families import qwen2_audio_tokens
from voxemo_tasks.backends.hf import HfAudioLM, choose_device, choose_dtype
from voxemo_tasks.backends.sampling import SeededGumbel
from voxemo_tasks.errors import ModelError, OptionError, UnknownNameError
from voxemo_tasks.records import Decoding
from voxemo_tasks.rooms import PACKAGE
from voxemo_tasks.store import read_run

TINY = PACKAGE / "assets" / "voxemo-tiny"
SAMPLED = Decoding(max_new_tokens=6, temperature=1.5, seed=7)


@pytest.fixture(autouse=True)
def few_threads() -> None:
    torch.set_num_threads(2)


def tiny(tmp_path: Path, pretrained: Any = "voxemo-tiny", run: str = "run", **options: Any) -> Any:
    return HfAudioLM(str(pretrained), store=str(tmp_path / run), device="cpu", **options)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the checkpoint that a test may change."""
    target = tmp_path / "checkpoint"
    shutil.copytree(TINY, target)
    return target


def errors_of(replies: list[str]) -> list[str | None]:
    return [getattr(reply, "error", None) for reply in replies]


def test_replies_do_not_depend_on_the_batch(clip: Any, instance: Any, tmp_path: Path) -> None:
    asked = [instance(clip(f"c{i}", 0.3 + 0.4 * i)) for i in range(5)]
    alone = tiny(tmp_path, run="one", batch_size=1).generate_until(asked, True)
    together = tiny(tmp_path, run="five", batch_size=5).generate_until(asked, True)
    assert errors_of(alone) == [None] * 5
    assert [str(r) for r in alone] == [str(r) for r in together]
    assert all(alone)


def test_sampled_replies_depend_on_their_seed_alone(
    clip: Any, instance: Any, tmp_path: Path
) -> None:
    refs = [clip(f"c{i}", 0.5) for i in range(3)]

    def ask(run: str, batch: int, only: int | None = None) -> list[str]:
        model = tiny(tmp_path, run=run, batch_size=batch)
        chosen = refs if only is None else [refs[only]]
        queue = [i for ref in chosen for i in [instance(ref, decoding=SAMPLED, samples=4)] * 4]
        return [str(r) for r in model.generate_until(queue, True)]

    together = ask("a", 8)
    assert ask("b", 1) == together
    assert ask("c", 2, only=1) == together[4:8]
    assert len(set(together)) > 2  # it does sample


def test_gumbel_max_draws_from_the_softmax() -> None:
    logits = torch.log(torch.tensor([[0.6, 0.3, 0.1]]))
    counts = np.zeros(3)
    for seed in range(4000):
        counts[int(SeededGumbel([seed])(None, logits).argmax())] += 1
    assert np.abs(counts / 4000 - [0.6, 0.3, 0.1]).max() < 0.03  # 4 standard errors


def test_the_checkpoints_generation_config_does_not_leak_in(
    clip: Any, instance: Any, copied: Path, tmp_path: Path
) -> None:
    path = copied / "generation_config.json"
    settings = json.loads(path.read_text())
    settings |= {"do_sample": True, "temperature": 9.0, "top_k": 3, "repetition_penalty": 5.0}
    settings |= {"max_new_tokens": 1, "no_repeat_ngram_size": 1}
    path.write_text(json.dumps(settings))
    asked = [instance(clip(f"c{i}", 0.6)) for i in range(4)]
    plain = tiny(tmp_path, run="plain").generate_until(asked, True)
    nasty = tiny(tmp_path, copied, run="nasty")
    assert [str(r) for r in nasty.generate_until(asked, True)] == [str(r) for r in plain]
    (effective,) = nasty.engine_facts()["effective_decoding"]
    assert effective["repetition_penalty"] == 1.0
    assert effective["max_new_tokens"] == 8
    assert effective["sampler"] == "greedy"


def test_audio_that_does_not_arrive_stops_the_run(
    clip: Any, instance: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(tmp_path)
    real = model._processor

    class Dropping:
        """A processor called with a keyword that it does not know, as was seen."""

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def __call__(self, text: list[str], **_: Any) -> Any:
            return real.tokenizer(text, return_tensors="pt", padding=True)

    model._processor = Dropping()
    with pytest.raises(ModelError, match=r"the audio did not reach the model.*\[1\].*\[25\]"):
        model.generate_until([instance(clip("a", 1.0))], True)


def test_the_guard_agrees_with_the_processor(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    text = model._processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "audio"}]}], tokenize=False
    )
    for samples in (1120, 1121, 1599, 1600, 16_000, 123_457, 479_999, 480_000, 500_000):
        made = model._processor(
            text=[text], audio=[np.zeros(samples, np.float32)], sampling_rate=16_000
        )
        found = sum(token == model._audio_id for token in np.ravel(made["input_ids"]))
        assert found == qwen2_audio_tokens(samples, 480_000), samples


def test_a_clip_beyond_the_window_is_recorded_as_partly_heard(
    clip: Any, instance: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny(tmp_path)
    (reply,) = model.generate_until([instance(clip("long", 31.0))], True)
    stored = read_run(tmp_path / "run").reply(reply.key)
    assert stored is not None
    assert (stored.seconds_supplied, stored.seconds_heard) == (31.0, 30.0)
    assert "longer than the 30 s" in caplog.text


def test_a_clip_too_short_for_the_encoder_is_one_engine_error(
    clip: Any, instance: Any, tmp_path: Path
) -> None:
    asked = [instance(clip(n, s)) for n, s in (("a", 0.5), ("short", 0.03), ("b", 0.08))]
    replies = tiny(tmp_path, batch_size=3).generate_until(asked, True)
    assert [e is None for e in errors_of(replies)] == [True, False, True]
    assert "0.030 s is shorter than the 0.070 s" in str(errors_of(replies)[1])


def test_the_token_limit_is_a_length_finish_and_stops_are_cut(
    clip: Any, instance: Any, tmp_path: Path
) -> None:
    model = tiny(tmp_path)
    ref = clip("a", 0.5)
    (whole,) = model.generate_until([instance(ref)], True)
    assert whole.finish_reason == "stop"
    (cut,) = model.generate_until([instance(ref, decoding=Decoding(max_new_tokens=1))], True)
    assert cut.finish_reason == "length"
    stop = Decoding(max_new_tokens=8, stop=(str(whole)[1:],))
    (stopped,) = model.generate_until([instance(ref, decoding=stop)], True)
    assert (str(stopped), stopped.finish_reason) == (str(whole)[0], "stop")


def test_greedy_samples_are_made_once_and_copied(clip: Any, instance: Any, tmp_path: Path) -> None:
    one = instance(clip("a", 0.5), samples=3)
    model = tiny(tmp_path)
    replies = model.generate_until([one] * 3, True)
    assert len(set(replies)) == 1
    assert model.store.written == 3


def test_fingerprint_names_the_bytes_and_not_the_place(copied: Path, tmp_path: Path) -> None:
    renamed = shutil.copytree(copied, tmp_path / "elsewhere" / copied.name)
    first, second = (tiny(tmp_path, path, run=f"r{i}") for i, path in enumerate((copied, renamed)))
    assert first.fingerprint() == second.fingerprint()
    config = renamed / "generation_config.json"
    config.write_text(config.read_text() + " ")
    assert tiny(tmp_path, renamed, run="r2").fingerprint() != first.fingerprint()
    assert first.fingerprint()["dtype"] == "float32"
    half = tiny(tmp_path, copied, run="r3", dtype="bf16")
    assert half.fingerprint()["dtype"] == "bfloat16"
    assert (tiny(tmp_path, run="r4").synthetic, first.synthetic) == (True, False)


def test_bfloat16_answers_too(clip: Any, instance: Any, tmp_path: Path) -> None:
    (reply,) = tiny(tmp_path, dtype="bf16").generate_until([instance(clip("a", 0.5))], True)
    assert reply
    assert reply.error is None


@pytest.mark.parametrize("gone", ["preprocessor", "tokenizer"])
def test_a_checkpoint_without_a_processor(copied: Path, tmp_path: Path, gone: str) -> None:
    for file in copied.iterdir():
        if gone in file.name or "processor_config" in file.name:
            file.unlink()
    with pytest.raises(ModelError, match="has no usable processor"):
        tiny(tmp_path, copied)


def test_checkpoints_that_are_none(tmp_path: Path, copied: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        tiny(tmp_path, tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'voxemo-tiny'"):
        tiny(tmp_path, "voxemo-tinny")
    with pytest.raises(ModelError, match="no configuration could be loaded"):
        tiny(tmp_path, "nobody/nothing")
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"architectures": ["WavLMModel"]}))
    with pytest.raises(UnknownNameError, match="no model architecture is called 'WavLMModel'"):
        tiny(tmp_path, copied)
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="weights cannot be loaded"):
        tiny(tmp_path, copied)


def test_a_version_that_is_known_to_fail_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    card, _ = registry.model_for("Qwen2AudioForConditionalGeneration")
    monkeypatch.setattr(loading.importlib.metadata, "version", lambda name: "5.10.2")
    with pytest.raises(ModelError, match=r"known to fail under transformers 5\.10\.2"):
        loading.check_versions(card)
    monkeypatch.setattr(loading.importlib.metadata, "version", lambda name: "5.10.4")
    loading.check_versions(card)


def test_devices_and_dtypes() -> None:
    assert choose_device("cpu", torch).type == "cpu"
    with pytest.raises(OptionError, match="expected auto, cpu"):
        choose_device("gpu7", torch)
    if not torch.cuda.is_available():
        assert choose_device("auto", torch).type == "cpu"
        assert choose_device("cuda:0", torch).type == "cpu"  # lm-eval's default, not a wish
        with pytest.raises(ModelError, match="0 CUDA device"):
            choose_device("cuda:1", torch)
    assert choose_dtype("auto", torch.device("cpu"), torch) is torch.float32
    assert choose_dtype("fp16", torch.device("cpu"), torch) is torch.float16
    with pytest.raises(OptionError, match="expected one of auto, bf16"):
        choose_dtype("int4", torch.device("cpu"), torch)


@pytest.mark.parametrize("asked", ["auto", None, "cuda", "cuda:0"])
def test_each_of_several_processes_takes_its_gpu(
    asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert str(choose_device(asked, torch, local=3)) == "cuda:3"
    assert str(choose_device("cuda:1", torch, local=3)) == "cuda:1"
    assert str(choose_device("cpu", torch, local=3)) == "cpu"
    with pytest.raises(ModelError, match=r"device=cuda:4: torch sees 4"):
        choose_device(asked, torch, local=4)


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(OptionError, match=r"colour.*allowed: pretrained"):
        HfAudioLM("voxemo-tiny", colour="red")
