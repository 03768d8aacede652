"""Decoding ahead: order, errors, the bound on memory, and threads that end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxemo_tasks.audio import ahead as ahead_module
from voxemo_tasks.audio import decode_ahead
from voxemo_tasks.errors import AudioError, OptionError, UnknownNameError
from voxemo_tasks.records import AudioRef, Transform


@pytest.fixture
def refs(tmp_path: Path) -> list[AudioRef]:
    for i in range(40):
        soundfile.write(tmp_path / f"{i}.wav", np.full(100 + i, 0.5), 8000)
    return [AudioRef(str(tmp_path / f"{i}.wav"), str(i)) for i in range(40)]


def decoding_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("voxemo-decode")]


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (1, 4), (4, 3), (8, 16), (3, 100)])
def test_everything_comes_in_order(refs: list[AudioRef], workers: int, ahead: int) -> None:
    out = list(decode_ahead(refs, 8000, workers=workers, ahead=ahead))
    assert [ref for ref, _ in out] == refs
    assert [len(x) for _, x in out if not isinstance(x, AudioError)] == list(range(100, 140))
    assert not decoding_threads()


def test_errors_come_in_their_place(refs: list[AudioRef], tmp_path: Path) -> None:
    refs[3] = AudioRef(str(tmp_path / "none.wav"), "")
    refs[5] = AudioRef(refs[5].path, "", start_s=9.0)
    out = list(decode_ahead(refs, 8000, workers=4, ahead=8))
    assert [i for i, (_, x) in enumerate(out) if isinstance(x, AudioError)] == [3, 5]
    assert "no such file" in str(out[3][1])


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_never_more_than_ahead_at_once(
    refs: list[AudioRef], monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    lock = threading.Lock()
    begun = taken = done = 0
    most = 0
    true_decode = ahead_module.decode

    def counted(ref: AudioRef, rate: int) -> object:
        nonlocal begun, most
        with lock:
            begun += 1
            most = max(most, begun - done)
        return true_decode(ref, rate)

    def asked() -> Iterator[AudioRef]:
        nonlocal taken
        for ref in refs:
            taken += 1
            assert taken - done <= ahead  # references are not drawn ahead of the bound either
            yield ref

    monkeypatch.setattr(ahead_module, "decode", counted)
    for _ in decode_ahead(asked(), 8000, workers=4, ahead=ahead):
        time.sleep(0.003)  # time enough for the threads to run ahead, if they could
        with lock:
            done += 1
    assert done == 40
    assert most == ahead


def test_threads_end_when_the_consumer_stops(
    refs: list[AudioRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    true_decode = ahead_module.decode

    def slow(ref: AudioRef, rate: int) -> object:
        begun.append(ref)
        time.sleep(0.02)
        return true_decode(ref, rate)

    monkeypatch.setattr(ahead_module, "decode", slow)
    stream = decode_ahead(refs, 8000, workers=2, ahead=10)
    next(stream)
    assert decoding_threads()
    stream.close()
    assert not decoding_threads()
    assert len(begun) < 8  # what had not begun was dropped

    for _ in decode_ahead(refs, 8000, workers=2, ahead=10):
        break  # the generator is let go of here
    assert not decoding_threads()


def test_other_exceptions_are_raised(refs: list[AudioRef]) -> None:
    refs[2] = AudioRef(refs[2].path, "", transforms=(Transform("unheard_of"),))
    stream = decode_ahead(refs, 8000, workers=2, ahead=4)
    assert [next(stream)[0] for _ in range(2)] == refs[:2]
    with pytest.raises(UnknownNameError, match="unheard_of"):
        next(stream)
    assert not decoding_threads()


def test_an_exception_of_the_references_is_raised(refs: list[AudioRef]) -> None:
    def broken() -> Iterator[AudioRef]:
        yield refs[0]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(decode_ahead(broken(), 8000, workers=2, ahead=4))
    assert not decoding_threads()


@pytest.mark.parametrize(("workers", "ahead"), [(0, 1), (1, 0), (-1, 5)])
def test_bad_numbers_are_refused_at_once(workers: int, ahead: int) -> None:
    with pytest.raises(OptionError, match="at least 1 is needed"):
        decode_ahead([], 8000, workers=workers, ahead=ahead)


def test_nothing_to_decode() -> None:
    assert list(decode_ahead([], 8000, workers=2, ahead=2)) == []
