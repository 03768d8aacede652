"""Bad clips, full memory, two runs at once, replies that are no text: one row each, the rest whole."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="hf-audiolm needs the extra 'hf'")
pytest.importorskip("transformers", reason="hf-audiolm needs the extra 'hf'")
pytest.importorskip("httpx", reason="api-audiolm needs the extra 'api'")

import torch
from loopback import Loopback

from voxemo_tasks.backends.api import ApiAudioLM
from voxemo_tasks.backends.base import AudioLM
from voxemo_tasks.backends.hf import HfAudioLM
from voxemo_tasks.records import AudioRef, Decoding, Reply
from voxemo_tasks.store import is_failed, read_run

Model = Callable[..., AudioLM]


@pytest.fixture(autouse=True)
def few_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(params=["hf", "api"])
def model(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Model]:
    """Either engine, its run in ``run/``."""
    options: dict[str, Any] = {"store": str(tmp_path / "run"), "canaries": "off"}
    if request.param == "hf":
        yield lambda **more: HfAudioLM("voxemo-tiny", device="cpu", **options | more)
        return
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Loopback(None) as server:
        yield lambda **more: ApiAudioLM(
            server.url, model="x", endpoint="loopback", **options | more
        )


@pytest.fixture
def wave(tmp_path: Path) -> Callable[..., AudioRef]:
    """A clip of any rate and any number of channels."""

    def make(name: str, seconds: float, rate: int = 16000, channels: int = 1) -> AudioRef:
        path = tmp_path / f"{name}.wav"
        shape = (round(rate * seconds), channels)
        noise = np.random.default_rng(len(name)).normal(0, 0.1, shape)
        soundfile.write(path, noise.astype(np.float32), rate, subtype="FLOAT")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return AudioRef(str(path), digest, duration_s=seconds)

    return make


def errors(replies: list[str]) -> list[str | None]:
    return [reply.error for reply in replies if isinstance(reply, Reply)]


def rows(folder: Path) -> list[dict[str, Any]]:
    return list(read_run(folder).replies())


# --- clips --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip", "error"),
    [
        ({"seconds": 0.0}, "odd.wav"),
        ({"seconds": 0.25, "rate": 384_000}, None),
        ({"seconds": 0.25, "channels": 8}, None),
        ({"seconds": 1e-5, "rate": 384_000}, "odd.wav"),
    ],
    ids=["no samples", "384 kHz", "8 channels", "too short to be resampled"],
)
def test_an_odd_clip_is_heard_or_costs_its_own_row(
    clip: dict[str, Any], error: str | None, wave: Any, instance: Any, model: Model, tmp_path: Path
) -> None:
    refs = [wave("a", 0.3), wave("odd", **clip), wave("bb", 0.4)]
    one = model(batch_size=3)
    replies = one.generate_until([instance(ref) for ref in refs], True)
    found = errors(replies)
    assert [e is None for e in found] == [True, error is None, True]
    assert error is None or error in str(found[1])
    stored = rows(tmp_path / "run")
    assert len(stored) == 3
    assert sum(map(is_failed, stored)) == (error is not None)
    if error is None:
        row = read_run(tmp_path / "run").reply(replies[1].key)  # type: ignore[attr-defined]
        assert row is not None
        assert row.seconds_heard == pytest.approx(clip["seconds"], abs=1e-4)


def test_what_the_engine_did_not_hear_of_a_clip_is_recorded(
    wave: Any, instance: Any, model: Model, tmp_path: Path
) -> None:
    one = model()
    refs = [wave("long", 31.0), wave("a", 0.3)]
    replies = one.generate_until([instance(ref) for ref in refs], True)
    assert errors(replies) == [None, None]
    row = read_run(tmp_path / "run").reply(replies[0].key)  # type: ignore[attr-defined]
    assert row is not None
    # a served model's window is known where its card or the user says it
    assert (row.seconds_supplied, row.seconds_heard) == (31.0, one.max_audio_s or 31.0)


# --- two runs -----------------------------------------------------------------------------------


def test_two_at_once_on_one_folder(wave: Any, instance: Any, model: Model, tmp_path: Path) -> None:
    refs = [wave("x" * n, 0.1 + 0.05 * n) for n in range(1, 7)]
    models = [model(batch_size=2) for _ in range(2)]
    said: dict[int, list[str]] = {}
    failures: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            said[number] = models[number].generate_until([instance(ref) for ref in refs], True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    assert said[0] == said[1]
    run = read_run(tmp_path / "run")
    assert run.damaged == 0
    assert len(run.sessions) == 2
    assert {row["key"] for row in run.replies()} == {
        reply.key  # type: ignore[attr-defined]
        for reply in said[0]
    }
    third = model()
    assert third.generate_until([instance(ref) for ref in refs], True) == said[0]
    assert third.store.written == 0


# --- hf: memory, text ---------------------------------------------------------------------------


def tiny(tmp_path: Path, **options: Any) -> HfAudioLM:
    options = {"canaries": "off", "device": "cpu"} | options
    return HfAudioLM("voxemo-tiny", store=str(tmp_path / "run"), **options)


def full(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize("size", ["auto", 4])
def test_a_batch_that_memory_is_too_small_for_is_asked_in_halves(
    size: str | int,
    wave: Any,
    instance: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = [instance(wave("x" * n, 0.2 + 0.05 * n)) for n in range(1, 7)]
    one = tiny(tmp_path, batch_size=size, share_prefix="off")
    generate, sizes = one._model.generate, []

    def small(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        return full() if sizes[-1] > 2 else generate(**inputs)

    monkeypatch.setattr(one._model, "generate", small)
    replies = one.generate_until(asked, True)
    assert errors(replies) == [None] * 6
    assert max(sizes) > 2
    stored = rows(tmp_path / "run")
    assert len({row["key"] for row in stored}) == len(stored) == 6
    assert one.batch == (2 if size == "auto" else 4)
    alone = tiny(tmp_path / "alone", batch_size=1, share_prefix="off")
    assert alone.generate_until(asked, True) == replies


@pytest.mark.parametrize("share", ["auto", "off"])
def test_a_clip_that_memory_is_too_small_for_costs_its_rows(
    share: str,
    wave: Any,
    instance: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refs = [wave("a", 0.3), wave("heavy", 0.5), wave("cc", 0.4)]
    prompts = ("What emotion? angry or sad?", "Say: happy or sad?")
    asked = [instance(ref, text=text) for text in prompts for ref in refs]
    one = tiny(tmp_path, batch_size=6, share_prefix=share)
    inputs = one._inputs

    def heavy(jobs: Any) -> Any:
        too_much = any(len(clip) == 8000 for job in jobs for clip in job.audio)
        return full() if too_much else inputs(jobs)

    monkeypatch.setattr(one, "_inputs", heavy)
    replies = one.generate_until(asked, True)
    found = errors(replies)
    assert [e is None for e in found] == [True, False, True] * 2
    assert all("OutOfMemoryError: CUDA out of memory" in str(found[n]) for n in (1, 4))
    stored = rows(tmp_path / "run")
    assert (len(stored), sum(map(is_failed, stored))) == (6, 2)
    monkeypatch.setattr(one, "_inputs", inputs)
    again = one.generate_until(asked, True)
    assert errors(again) == [None] * 6
    assert len(rows(tmp_path / "run")) == 8  # what was answered was not asked again


def test_sharing_goes_on_after_memory_was_full(
    wave: Any, instance: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [wave("a", 0.3), wave("bb", 0.4)]
    asked = [
        instance(ref, text=text, decoding=Decoding(max_new_tokens=4))
        for text in ("angry or sad?", "happy or sad?")
        for ref in refs
    ]
    one = tiny(tmp_path, batch_size=4, share_prefix="auto")
    assert one._sharing is not None
    prefix, clips = one._sharing.sharer.prefix, []

    def small(groups: Any) -> Any:
        clips.append(len(groups))
        return full() if len(groups) > 1 else prefix(groups)

    monkeypatch.setattr(one._sharing.sharer, "prefix", small)
    replies = one.generate_until(asked, True)
    assert errors(replies) == [None] * 4
    assert clips == [2, 1, 1]
    assert one._sharing.off_because is None
    plain = tiny(tmp_path / "plain", batch_size=1, share_prefix="off")
    assert plain.generate_until(asked, True) == replies


def test_bytes_that_are_no_text_are_kept_as_far_as_they_are(
    wave: Any, instance: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that makes half a character: the reply says so, and the file stays UTF-8."""
    one = tiny(tmp_path, batch_size=2, share_prefix="off")
    tokenizer = one._processor.tokenizer
    half = tokenizer("é", add_special_tokens=False)["input_ids"][0]
    if "\ufffd" not in tokenizer.decode([half]):
        half = tokenizer.convert_tokens_to_ids("Ã")  # how a byte-level vocabulary writes byte C3
    assert "\ufffd" in tokenizer.decode([half])
    generate = one._model.generate

    def broken(**inputs: Any) -> Any:
        ids = generate(**inputs)
        ids[0, inputs["input_ids"].shape[1]] = half
        return ids

    monkeypatch.setattr(one._model, "generate", broken)
    refs = [wave("a", 0.4), wave("bb", 0.3)]
    replies = one.generate_until([instance(ref) for ref in refs], True)
    assert errors(replies) == [None, None]
    assert str(replies[0]).startswith("\ufffd")
    assert not str(replies[1]).startswith("\ufffd")
    for shard in (tmp_path / "run" / "replies").iterdir():
        shard.read_bytes().decode("utf-8")
    row = read_run(tmp_path / "run").reply(replies[0].key)  # type: ignore[attr-defined]
    assert row is not None
    assert row.text == str(replies[0])
