"""What every backend does alike, shown with the scripted one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks.backends import base
from voxemo_tasks.backends.base import Generated
from voxemo_tasks.backends.requests import Job, fold, group_by_audio
from voxemo_tasks.backends.scripted import ScriptedAudioLM
from voxemo_tasks.errors import ModelError, OptionError, RunFailedError
from voxemo_tasks.records import AudioRef, Decoding, Reply, Request
from voxemo_tasks.store import read_run


class Recorder(ScriptedAudioLM):
    """A scripted model that remembers its batches."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.batches: list[list[str]] = []

    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        self.batches.append([Path(job.request.audio[0].path).stem for job in jobs])
        return super().generate(jobs)


def recorder(script: Path, tmp_path: Path, **options: Any) -> Recorder:
    return Recorder(str(script), store=str(tmp_path / "run"), **options)


def test_replies_come_in_the_order_of_the_requests(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    names = [f"c{i}" for i in range(7)]
    rows = [{"path": f"{n}.wav", "reply": n} for n in names]
    asked = [instance(clip(n, 0.2 + 0.1 * (i % 3)), doc_id=i) for i, n in enumerate(names)]
    model = recorder(script(*rows), tmp_path, batch_size=2)
    assert model.generate_until(asked, disable_tqdm=True) == names
    assert [len(batch) for batch in model.batches] == [2, 2, 2, 1]


def test_requests_are_grouped_by_audio_longest_first(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    lengths = {"two": 0.2, "five": 0.5, "three": 0.3, "four": 0.4, "six": 0.6}
    refs = [clip(name, seconds) for name, seconds in lengths.items()]
    asked = [instance(ref, text) for text in ("one", "two") for ref in refs]
    model = recorder(script({"reply": "x"}), tmp_path)
    model.generate_until(asked, disable_tqdm=True)
    expected = [[n] for n in ("six", "five", "four", "three", "two") for _ in range(2)]
    assert model.batches == expected


def test_a_clip_is_decoded_once_for_all_its_prompts(
    clip: Any, instance: Any, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    real = base.decode_ahead

    def counting(refs: Any, rate: int, **options: Any) -> Any:
        def seen() -> Any:
            for ref in refs:
                decoded.append(ref.path)
                yield ref

        return real(seen(), rate, **options)

    monkeypatch.setattr(base, "decode_ahead", counting)
    refs = [clip("a"), clip("b")]
    asked = [instance(ref, f"prompt {p}") for p in range(5) for ref in refs]
    recorder(script({"reply": "x"}), tmp_path, batch_size=3).generate_until(asked, True)
    assert len(decoded) == 2


def test_k_samples_of_one_instance_are_one_request(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    one = instance(clip("a"), decoding=Decoding(temperature=1.0), samples=3)
    other = instance(clip("b"), decoding=Decoding(temperature=1.0), samples=3)
    queue = [one] * 3 + [other] * 3
    assert [f.samples for f in fold(queue).values()] == [3, 3]
    model = recorder(script({"replies": ["s0", "s1", "s2"]}), tmp_path, batch_size=8)
    assert model.generate_until(queue, True) == ["s0", "s1", "s2"] * 2
    assert len(model.batches) == 1


def test_what_is_stored_is_not_asked_again(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    asked = [instance(clip(f"c{i}")) for i in range(4)]
    file = script({"reply": "angry"})
    recorder(file, tmp_path).generate_until(asked[:3], True)
    again = recorder(file, tmp_path)
    assert again.generate_until(asked, True) == ["angry"] * 4
    assert again.batches == [["c3"]]
    assert (again.store.reused, again.store.written) == (3, 1)


def test_more_samples_reuse_the_stored_ones(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    ref, sampled = clip("a"), Decoding(temperature=1.0)
    file = script({"replies": ["s0", "s1", "s2", "s3"]})
    recorder(file, tmp_path).generate_until([instance(ref, decoding=sampled)] * 2, True)
    again = recorder(file, tmp_path)
    assert again.generate_until([instance(ref, decoding=sampled, samples=4)] * 1, True) == ["s0"]
    wide = instance(ref, decoding=sampled, samples=4)
    assert again.generate_until([wide] * 4, True) == ["s0", "s1", "s2", "s3"]
    assert again.store.written == 2


def test_one_bad_clip_costs_one_row_and_not_its_batch(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    rows = [{"path": "bad.wav", "error": "the engine fell over"}, {"reply": "sad"}]
    asked = [instance(clip(n)) for n in ("a", "b", "bad", "c", "d")]
    model = recorder(script(*rows), tmp_path, batch_size=5)
    replies = model.generate_until(asked, True)
    assert [str(r) for r in replies] == ["sad", "sad", "", "sad", "sad"]
    bad = replies[2]
    assert isinstance(bad, Reply)
    assert bad.error == "RuntimeError: the engine fell over"
    assert all(r.error is None for r in replies if r is not bad)  # type: ignore[attr-defined]
    # Failed rows are a record, never an answer: they are asked again.
    again = recorder(script({"reply": "sad"}), tmp_path / "x", batch_size=5)
    assert again.generate_until([asked[2]], True) == ["sad"]


@pytest.mark.parametrize("damage", [b"", b"this is no audio at all, just text" * 10, None])
def test_a_file_that_cannot_be_decoded_is_an_engine_error(
    clip: Any, instance: Any, script: Any, tmp_path: Path, damage: bytes | None
) -> None:
    refs = [clip("a"), clip("broken"), clip("b")]
    broken = Path(refs[1].path)
    if damage is None:
        broken.unlink()
    else:
        broken.write_bytes(damage)
    model = recorder(script({"reply": "sad"}), tmp_path, batch_size=3)
    replies = model.generate_until([instance(ref) for ref in refs], True)
    assert [getattr(r, "error", None) is None for r in replies] == [True, False, True]
    assert "broken.wav" in str(getattr(replies[1], "error", ""))
    assert all("broken" not in batch for batch in model.batches)


def test_an_engine_that_never_works_stops_the_run(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    asked = [instance(clip(f"c{i}", 0.1)) for i in range(30)]
    model = recorder(script({"error": "CUDA is gone"}), tmp_path)
    with pytest.raises(RunFailedError, match=r"first 20 replies all failed.*CUDA is gone"):
        model.generate_until(asked, True)
    assert len(model.batches) == 20


def test_model_errors_end_the_run_at_once(
    clip: Any, instance: Any, script: Any, tmp_path: Path
) -> None:
    class Broken(Recorder):
        def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
            raise ModelError("the audio did not reach the model")

    model = Broken(str(script({"reply": "x"})), store=str(tmp_path / "run"))
    with pytest.raises(ModelError, match="did not reach"):
        model.generate_until([instance(clip("a"))], True)
    assert not read_run(tmp_path / "run").asked


def test_seconds_heard_and_supplied_are_recorded(
    clip: Any, instance: Any, script: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = recorder(script({"reply": "sad"}), tmp_path, max_audio_s=0.5)
    replies = model.generate_until([instance(clip("a", 0.8)), instance(clip("b", 0.4))], True)
    run = read_run(tmp_path / "run")
    heard = [run.reply(str(getattr(r, "key", ""))) for r in replies]
    assert [(r.seconds_supplied, r.seconds_heard) for r in heard if r] == [(0.8, 0.5), (0.4, 0.4)]
    assert "1 of 2 replies are to clips longer than" in caplog.text


def test_the_limit_of_what_is_heard_is_that_of_each_clip(
    clip: Any, instance: Any, script: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Examples and repetitions are clips of their own: three of 0.4 s are not one of 1.2 s."""
    model = recorder(script({"reply": "sad"}), tmp_path, max_audio_s=0.5)
    several = []
    for n, seconds in enumerate(([0.4, 0.4, 0.4], [0.4, 0.8])):
        one = instance(clip("a"))
        text, decoding, payload = one.args
        audio = [clip(f"{n}{i}", s).to_json() for i, s in enumerate(seconds)]
        one.arguments = (text, decoding, payload | {"audio": audio})
        several.append(one)
    replies = model.generate_until(several, True)
    run = read_run(tmp_path / "run")
    heard = [run.reply(str(getattr(r, "key", ""))) for r in replies]
    seconds = [(r.seconds_supplied, r.seconds_heard) for r in heard if r]
    assert seconds == [(1.2, 1.2), (1.2, 0.9)]
    assert "1 of 2 replies are to clips longer than" in caplog.text


def test_memory_does_not_grow_with_the_corpus(
    clip: Any, instance: Any, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0

    class Counted(Recorder):
        def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
            nonlocal most
            most = max(most, sum(bool(job.audio) for job in everything))
            return super().generate(jobs)

    everything: list[Job] = []
    real = group_by_audio

    def spying(jobs: Any) -> list[Job]:
        everything.extend(real(jobs))
        return list(everything)

    monkeypatch.setattr(base, "group_by_audio", spying)
    model = Counted(str(script({"reply": "x"})), store=str(tmp_path / "run"), batch_size=2)
    model.generate_until([instance(clip(f"c{i}", 0.1)) for i in range(24)], True)
    assert len(everything) == 24
    assert most == 2  # the batch at hand; the decoder holds at most 4 more


@pytest.mark.parametrize("value", ["0", "-1", "many", 0])
def test_a_wrong_batch_size_is_refused(value: Any, script: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="positive integer or 'auto'"):
        recorder(script({"reply": "x"}), tmp_path, batch_size=value)


def test_requests_of_other_tasks_are_refused(script: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no audio reference"):
        Request.from_arguments(("2 + 2 =", {"until": ["\n"]}))


def test_provenance_does_not_change_what_is_asked(
    clip: Callable[..., AudioRef], script: Any, tmp_path: Path
) -> None:
    """A backend never looks at who asks: two provenances, one request."""
    message = {"role": "user", "content": [{"type": "audio", "index": 0}]}
    request = Request("p@1", "0", (message,), (clip("a"),), Decoding())
    one, _ = Request.from_arguments(request.to_arguments({"task": "a", "utterance_id": "u"}))
    two, _ = Request.from_arguments(request.to_arguments({"task": "b", "utterance_id": "v"}))
    assert one == two


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "script.jsonl:1: not JSON"),
        ('{"reply": "a", "error": "b"}', "exactly one of"),
        ('{"path": "x"}', "exactly one of"),
        ('{"reply": "a", "colour": 1}', "expected an object with"),
        ('{"replies": []}', "replies is empty"),
        ("", "has no row"),
    ],
)
def test_a_bad_script_is_refused_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "script.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(ModelError, match=message):
        ScriptedAudioLM(str(file))


def test_what_a_file_says_is_no_result(
    script: Any, clip: Any, instance: Any, tmp_path: Path
) -> None:
    model = ScriptedAudioLM(script({"reply": "sad"}), store=str(tmp_path / "run"))
    (reply,) = model.generate_until([instance(clip("real"))], True)
    assert reply.synthetic  # type: ignore[attr-defined]
    assert read_run(tmp_path / "run").run["synthetic_model"] is True


def test_an_unknown_model_argument_is_refused(script: Any) -> None:
    with pytest.raises(OptionError, match=r"colour.*allowed: replies"):
        ScriptedAudioLM(str(script({"reply": "x"})), colour="red")
