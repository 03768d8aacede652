"""An engine that answers nonsense is found before the first batch, and an honest one is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from voxemo_tasks.backends import canaries
from voxemo_tasks.backends.base import Generated
from voxemo_tasks.backends.canaries import ASKED, clip_of, flaw_of, job_of, parse_canaries
from voxemo_tasks.backends.requests import Job
from voxemo_tasks.backends.scripted import ScriptedAudioLM
from voxemo_tasks.errors import ModelError, OptionError
from voxemo_tasks.records import Decoding
from voxemo_tasks.store import read_run

SENTENCE = "I am sorry, but I cannot listen to recordings of people."


class Fed(ScriptedAudioLM):
    """A model whose canaries are answered by a function of clip and question."""

    canary_requests: ClassVar[int] = len(ASKED)
    adapter: bool | None = None

    def __init__(self, script: Path, say: Callable[[str, str], Any], **options: Any) -> None:
        super().__init__(str(script), **options)
        self.say = say
        self.heard: list[tuple[str, str]] = []

    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        out = []
        for job in jobs:
            kind, _, rest = job.key.partition(":")
            if kind != "canary":
                out += super().generate([job])
                continue
            clip, _, question = rest.partition(":")
            self.heard.append((clip, question))
            said = self.say(clip, question)
            out.append([said if isinstance(said, Generated) else Generated(said)])
        return out

    def adapter_at_work(self, job: Job) -> bool | None:
        return self.adapter


class Scored(Fed):
    """One that also gives log-probabilities."""

    deaf = True

    def score(self, jobs: Sequence[Job], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        loud = [0.0 if self.deaf else float(np.abs(job.audio[0]).sum()) for job in jobs]
        return [[-0.5 - x * 1e-6 for _ in some] for x, some in zip(loud, texts, strict=True)]


@pytest.fixture
def asks(clip: Any, instance: Any, script: Any, tmp_path: Path) -> Any:
    def make(say: Callable[[str, str], Any], kind: Any = Fed, **options: Any) -> Any:
        model = kind(script({"reply": "sad"}), say, store=str(tmp_path / "run"), **options)
        queue = [instance(clip(f"c{i}", 0.2)) for i in range(3)]

        def run() -> list[str]:
            return [str(reply) for reply in model.generate_until(queue, True)]

        return model, run

    return make


def record(tmp_path: Path) -> Any:
    (session,) = (tmp_path / "run" / "sessions").glob("*.json")
    return json.loads(session.read_text())["canaries"]


def by_clip(clip: str, question: str) -> str:
    return f"{question} of {clip}"


def test_an_honest_engine_is_asked_once_and_nothing_of_it_is_stored(
    asks: Any, tmp_path: Path
) -> None:
    model, run = asks(by_clip)
    assert run() == ["sad"] * 3
    assert model.heard == list(ASKED)
    told = record(tmp_path)
    assert (told["verdict"], told["reason"], told["warnings"]) == ("fine", None, [])
    assert [(c["clip"], c["question"]) for c in told["asked"]] == list(ASKED)
    assert told["asked"][0]["reply"] == "emotion of speech"
    assert all(c["seconds"] >= 0 and c["verdict"] == "fine" for c in told["asked"])
    assert run() == ["sad"] * 3  # from the store
    assert len(model.heard) == len(ASKED)
    assert model.store.written == 3
    (shard,) = (tmp_path / "run" / "replies").glob("*.jsonl")
    assert shard.read_text().count("\n") == 3
    assert "emotion of" not in shard.read_text()


def test_a_run_with_everything_stored_asks_no_canary(asks: Any) -> None:
    asks(by_clip)[1]()
    again, run = asks(by_clip)
    assert run() == ["sad"] * 3
    assert again.heard == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("<|audio_bos|>" * 5, "markers"),
        ("<|audio_bos|> </s> [PAD]", "markers"),
        ("\ufffd\ufffd\x00\x01 a", "unreadable"),
        (Generated("!" * 8, "length"), "stuck"),
        (Generated("the the the the th", "length"), "stuck"),
        (Generated("", error="CUDA is gone"), "CUDA is gone"),
    ],
)
def test_nonsense_on_every_canary_stops_the_run(
    asks: Any, tmp_path: Path, reply: Any, kind: str
) -> None:
    model, run = asks(lambda *_: reply)
    with pytest.raises(ModelError, match=f"before its first batch: all 5 replies.*{kind}"):
        run()
    assert model.store.written == 0
    assert record(tmp_path)["verdict"] == "stopped"
    assert kind in record(tmp_path)["reason"]


def test_an_engine_that_raises_on_every_canary_stops_the_run(asks: Any, tmp_path: Path) -> None:
    def fail(*_: str) -> str:
        raise RuntimeError("out of memory")

    model, run = asks(fail)
    cleaned: list[str] = []
    model.after_failure = lambda error: cleaned.append(str(error))
    with pytest.raises(ModelError, match=r"all 5 replies are useless \(error\).*out of memory"):
        run()
    assert cleaned == ["out of memory"] * 5
    assert "RuntimeError: out of memory" in record(tmp_path)["asked"][4]["error"]


def test_an_engine_that_says_itself_that_it_is_broken_is_believed_at_once(
    asks: Any, tmp_path: Path
) -> None:
    def fail(*_: str) -> str:
        raise ModelError("the audio did not reach the model")

    model, run = asks(fail)
    with pytest.raises(ModelError, match="the audio did not reach the model"):
        run()
    assert len(model.heard) == 1
    assert len(record(tmp_path)["asked"]) == 1


def test_some_nonsense_is_only_told(asks: Any, tmp_path: Path, caplog: Any) -> None:
    """Nothing is spoken in silence: an empty transcript of it is right."""
    _, run = asks(lambda c, q: "" if c == "silence" else by_clip(c, q))
    assert run() == ["sad"] * 3
    (warning,) = record(tmp_path)["warnings"]
    assert warning.startswith("2 of 5 replies are useless (silence/words: empty")
    assert "2 of 5 replies" in caplog.text


@pytest.mark.parametrize(("adapter", "stops"), [(False, True), (True, False), (None, False)])
def test_an_idle_adapter_stops_the_run(asks: Any, adapter: bool | None, stops: bool) -> None:
    model, run = asks(by_clip)
    model.adapter = adapter
    if not stops:
        assert run() == ["sad"] * 3
        return
    with pytest.raises(ModelError, match="adapter is loaded but changes no logit"):
        run()


def test_a_closed_set_answerer_may_say_neutral_to_everything(asks: Any, tmp_path: Path) -> None:
    replies = iter(["Neutral.", "neutral", " neutral", "neutral!", "neutral"])
    _, run = asks(lambda *_: next(replies))
    assert run() == ["sad"] * 3
    told = record(tmp_path)
    assert told["verdict"] == "warned"
    assert told["warnings"] == ["every clip and question gives the reply 'Neutral.'"]


def test_one_sentence_for_every_clip_and_question_stops_the_run(asks: Any) -> None:
    _, run = asks(lambda *_: SENTENCE)
    with pytest.raises(ModelError, match="neither sound nor question can have reached"):
        run()


def test_a_sentence_that_follows_the_question_is_no_proof(asks: Any, tmp_path: Path) -> None:
    _, run = asks(lambda _, question: f"{SENTENCE} You asked for: {question}.")
    assert run() == ["sad"] * 3
    assert record(tmp_path)["verdict"] == "fine"


def test_equal_log_probabilities_for_different_clips_are_proof(asks: Any) -> None:
    _, run = asks(lambda *_: "neutral", Scored)
    with pytest.raises(ModelError, match=r"3 different clips.*\(-0.5\): the sound does not reach"):
        run()


@pytest.mark.parametrize("reply", ["neutral", SENTENCE])
def test_log_probabilities_that_differ_acquit(asks: Any, tmp_path: Path, reply: str) -> None:
    model, run = asks(lambda *_: reply, Scored)
    model.deaf = False
    assert run() == ["sad"] * 3
    (warning,) = record(tmp_path)["warnings"]
    assert "but is heard" in warning


def test_an_engine_without_log_probabilities_is_judged_by_its_texts(
    asks: Any, tmp_path: Path
) -> None:
    class Mute(Scored):
        def score(self, *_: Any) -> list[list[float]]:
            raise ModelError("it has no log-probabilities")

    _, run = asks(lambda *_: "neutral", Mute)
    assert run() == ["sad"] * 3
    assert record(tmp_path)["verdict"] == "warned"


def test_two_canaries_differ_in_clip_and_question(asks: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Fed, "canary_requests", 2)
    model, run = asks(lambda *_: SENTENCE)
    with pytest.raises(ModelError, match="neither sound nor question"):
        run()
    (one, two) = model.heard
    assert one[0] != two[0]
    assert one[1] != two[1]


def test_canaries_can_be_switched(asks: Any, monkeypatch: Any) -> None:
    model, run = asks(lambda *_: "", canaries="off")
    assert run() == ["sad"] * 3
    assert model.heard == []


@pytest.mark.parametrize(("mode", "asked"), [("auto", 0), ("on", 5), ("off", 0)])
def test_a_scripted_model_has_them_only_if_told(
    asks: Any, monkeypatch: Any, mode: str, asked: int
) -> None:
    monkeypatch.setattr(Fed, "canary_requests", ScriptedAudioLM.canary_requests)
    model, run = asks(by_clip, canaries=mode)
    run()
    assert len(model.heard) == asked


def test_a_wrong_mode_is_refused() -> None:
    with pytest.raises(OptionError, match="canaries='perhaps': expected one of auto, on, off"):
        parse_canaries("perhaps")


def test_canaries_are_greedy_short_and_stop_as_the_run_does(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    seen: list[Decoding] = []

    class Spy(Fed):
        def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
            seen.extend(job.request.decoding for job in jobs if job.key.startswith("canary"))
            return super().generate(jobs)

    model = Spy(script({"reply": "sad"}), by_clip, store=str(tmp_path / "run"))
    long = Decoding(900, temperature=1.0, top_p=0.5, stop=("\n",), seed=3)
    model.generate_until([instance(clip("a"), decoding=long)], True)
    assert seen == [Decoding(32, stop=("\n",))] * 5


@pytest.mark.parametrize(
    ("text", "reason", "flaw"),
    [
        ("Neutral.", "length", None),
        ("neutral neutral", "length", None),
        ("no no no no", "stop", None),
        ("no no no no", "length", "stuck"),
        ("啊啊啊啊啊啊", "length", "stuck"),
        ("haha", "length", None),
        ("悲伤", "stop", None),
        ("<|audio_bos|>neutral", "stop", None),
        ("<b>sad</b>", "stop", None),
        ("a\ufffd", "stop", None),
        ("a\ufffd\ufffd", "stop", "unreadable"),
        ("\U0001f622", "stop", None),
        ("{}", "stop", None),
    ],
)
def test_what_is_nonsense_in_one_reply(text: str, reason: str, flaw: str | None) -> None:
    assert flaw_of(text, reason) == flaw


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
def test_clips_are_a_second_long_differ_and_are_the_same_each_time(rate: int) -> None:
    clips = {name: clip_of(name, rate) for name in ("silence", "tone", "speech")}
    assert {clip.shape for clip in clips.values()} == {(rate,)}
    assert {clip.dtype for clip in clips.values()} == {np.dtype(np.float32)}
    assert not clips["silence"].any()
    for name in ("tone", "speech"):
        assert np.abs(clips[name]).max() == pytest.approx(0.3, abs=1e-3)
        assert (clips[name] == clip_of(name, rate)).all()
    spectrum = np.abs(np.fft.rfft(clips["tone"].astype(float)))
    assert int(spectrum.argmax()) == 440  # a second: one bin a hertz


def test_the_vowels_have_syllables_and_harmonics() -> None:
    vowels = clip_of("speech", 16_000).astype(float)
    energy = np.array([np.square(x).sum() for x in np.array_split(vowels, 12)])
    quiet, loud = energy[[0, 4, 8]], energy[[1, 5, 9]]
    assert (loud > 2 * quiet).all()
    spectrum = np.abs(np.fft.rfft(vowels[: 16_000 // 3]))
    spread = np.flatnonzero(spectrum > 0.1 * spectrum.max())
    assert spread.max() * 3 > 1000  # up to the second formant
    assert spread.min() * 3 < 800


def test_a_canary_is_a_request_like_any_other() -> None:
    job = job_of("tone", "emotion", Decoding(8), 16_000)
    assert job.request.audio[0].path == "canary:tone"
    assert job.request.text == canaries.QUESTIONS["emotion"]
    assert [part["type"] for part in job.request.messages[0]["content"]] == ["audio", "text"]
    assert (job.missing, job.seconds, len(job.audio[0])) == ([0], 1.0, 16_000)
    other = job_of("silence", "emotion", Decoding(8), 16_000)
    assert other.request.audio[0].sha256 != job.request.audio[0].sha256


def test_the_tiny_model_passes_and_a_deaf_copy_of_it_does_not(
    clip: Any, instance: Any, tmp_path: Path
) -> None:
    """A real model whose encoder has gone silent: log-probabilities tell, texts could not."""
    torch = pytest.importorskip("torch")
    from voxemo_tasks.backends.hf import HfAudioLM

    queue = [instance(clip("a", 0.5))]
    model = HfAudioLM("voxemo-tiny", store=str(tmp_path / "run"), device="cpu")
    model.generate_until(queue, True)
    assert record(tmp_path)["verdict"] in ("fine", "warned")
    assert read_run(tmp_path / "run").damaged == 0
    (effective,) = model.engine_facts()["effective_decoding"]
    assert effective["max_new_tokens"] == 8
    assert model.engine_facts()["shared_prefix"]["work"]["encoded"] == 0
    deaf = HfAudioLM("voxemo-tiny", store=str(tmp_path / "deaf"), device="cpu")
    with torch.no_grad():
        for name, weight in deaf._model.named_parameters():
            if "projector" in name:
                weight.zero_()
    with pytest.raises(ModelError, match="the sound does not reach the model"):
        deaf.generate_until(queue, True)
