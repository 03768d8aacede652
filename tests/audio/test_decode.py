"""What libsndfile reads: formats, segments, channels, resampling, and every kind of bad file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_signals import chirp
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks.audio import TRANSFORMS, decode, probe, sha256_of, shown
from voxemo_tasks.errors import AudioError, UnknownNameError
from voxemo_tasks.records import AudioRef, Transform

RATE = 22_050


def ref(path: Path, **changes: object) -> AudioRef:
    return AudioRef(str(path), "", **changes)  # type: ignore[arg-type]


LOSSLESS = [
    ("a.wav", "WAV", "PCM_16", 2**-15),
    ("a.wav", "WAV", "PCM_24", 2**-23),
    ("a.wav", "WAV", "FLOAT", 0.0),
    ("a.wav", "WAV", "DOUBLE", 0.0),
    ("a.WAV", "WAV", "PCM_U8", 2**-7),
    ("a.flac", "FLAC", "PCM_16", 2**-15),
    ("a.aiff", "AIFF", "PCM_16", 2**-15),
]
LOSSY = [("a.ogg", "OGG", "VORBIS"), ("a.opus", "OGG", "OPUS"), ("a.mp3", "MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("name", "kind", "subtype", "step"), LOSSLESS)
def test_lossless_formats_come_back(
    tmp_path: Path, name: str, kind: str, subtype: str, step: float
) -> None:
    x = chirp(RATE, 1.0)
    soundfile.write(tmp_path / name, x, RATE, format=kind, subtype=subtype)
    y = decode(ref(tmp_path / name), RATE)
    assert y.dtype == np.float32
    assert y.shape == (RATE,)
    np.testing.assert_allclose(y, x[:, 0], rtol=0, atol=step)


@pytest.mark.parametrize(("name", "kind", "subtype"), LOSSY)
def test_lossy_formats_come_back_nearly(tmp_path: Path, name: str, kind: str, subtype: str) -> None:
    rate = 48_000 if subtype == "OPUS" else RATE
    x = chirp(rate, 2.0)
    soundfile.write(tmp_path / name, x, rate, format=kind, subtype=subtype)
    y = decode(ref(tmp_path / name), rate)
    assert y.shape == (len(x),)
    assert np.corrcoef(y, x[:, 0])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("name", "kind", "subtype"), [*LOSSY, ("a.wav", "WAV", "PCM_16"), ("a.flac", "FLAC", "PCM_16")]
)
def test_a_segment_is_the_slice_of_the_whole(
    tmp_path: Path, name: str, kind: str, subtype: str
) -> None:
    # 20 s: long enough for the seeks that libsndfile 1.2.2 gets wrong (Vorbis, MP3).
    rate = 48_000 if subtype == "OPUS" else RATE
    soundfile.write(tmp_path / name, chirp(rate, 20.0), rate, format=kind, subtype=subtype)
    whole = decode(ref(tmp_path / name), rate)
    for start_s, end_s in [
        (0.0, 0.5),
        (0.2501, 1.7),
        (9.99999, 10.0001),
        (18.0, 19.9),
        (19.87, None),
    ]:
        part = decode(ref(tmp_path / name, start_s=start_s, end_s=end_s), rate)
        end = len(whole) if end_s is None else round(end_s * rate)
        np.testing.assert_array_equal(part, whole[round(start_s * rate) : end])


def test_a_segment_does_not_read_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 16_000, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros(16_000 * 60, np.float32))
    before = _bytes_read()
    decode(ref(path, start_s=3000.0, end_s=3001.0), 16_000)
    read = _bytes_read() - before
    assert read < path.stat().st_size / 50, (read, path.stat().st_size)


def _bytes_read() -> int:
    status = Path("/proc/self/io")
    if not status.exists():
        pytest.skip("this system does not count the bytes that a process reads (/proc/self/io)")
    return int(status.read_text().split("rchar:")[1].split()[0])


@settings(max_examples=60, deadline=None)
@given(start=st.integers(0, 7999), n=st.integers(1, 8000))
def test_any_segment_equals_its_slice(
    tmp_path_factory: pytest.TempPathFactory, start: int, n: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.wav"
    if not path.exists():
        soundfile.write(path, chirp(8000, 1.0), 8000, subtype="PCM_16")
    end = min(start + n, 8000)
    part = decode(ref(path, start_s=start / 8000, end_s=end / 8000), 8000)
    np.testing.assert_array_equal(part, decode(ref(path), 8000)[start:end])


def test_channels(tmp_path: Path) -> None:
    x = chirp(RATE, 0.5, channels=3)
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    for channel in range(3):
        np.testing.assert_array_equal(
            decode(ref(tmp_path / "a.wav", channel=channel), RATE), x[:, channel]
        )
    np.testing.assert_allclose(decode(ref(tmp_path / "a.wav"), RATE), x.mean(axis=1), atol=1e-7)
    with pytest.raises(AudioError, match=r"channel 3 does not exist; the file has 3 \(0 to 2"):
        decode(ref(tmp_path / "a.wav", channel=3), RATE)


@pytest.mark.parametrize("target", [8000, 16_000, 24_000, 44_100, 48_000])
def test_resampling_keeps_length_energy_and_pitch(tmp_path: Path, target: int) -> None:
    t = np.arange(RATE * 2) / RATE
    x = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    y = decode(ref(tmp_path / "a.wav"), target)
    assert abs(len(y) - len(x) * target / RATE) <= 1
    # A sine of amplitude 0.5 has mean square 0.125 at every rate.
    assert np.mean(y[100:-100] ** 2) == pytest.approx(0.125, rel=1e-3)
    peak = np.abs(np.fft.rfft(y)).argmax() * target / len(y)
    assert peak == pytest.approx(440, abs=1)


def test_resampling_takes_out_what_the_new_rate_cannot_hold(tmp_path: Path) -> None:
    t = np.arange(48_000) / 48_000
    soundfile.write(tmp_path / "a.wav", np.sin(2 * np.pi * 15_000 * t), 48_000, subtype="FLOAT")
    assert np.abs(decode(ref(tmp_path / "a.wav"), 16_000)[200:-200]).max() < 1e-4


# --- bad input ------------------------------------------------------------------------------------


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Name → (file, what the error must say)."""
    good = folder / "good.wav"
    soundfile.write(good, chirp(8000, 0.5), 8000)
    whole = good.read_bytes()
    nan = chirp(8000, 0.5)
    nan[7] = np.nan
    nan[9] = np.inf
    soundfile.write(folder / "nan.wav", nan, 8000, subtype="FLOAT")
    soundfile.write(folder / "flac.flac", np.random.default_rng(0).normal(0, 0.1, 50_000), 8000)
    cut = (folder / "flac.flac").read_bytes()
    made = {
        "missing": (folder / "missing.wav", "there is no such file"),
        "folder": (folder, "is a folder"),
        "empty": (folder / "empty.wav", "is empty"),
        "header_only": (folder / "header.wav", "holds no audio samples"),
        "text": (folder / "text.wav", "is not audio"),
        "noise": (folder / "noise.bin", "is not audio"),
        "playlist": (folder / "list.wav", "is not audio"),
        "subtitles": (folder / "subtitles.mp4", "is not an audio file|is not audio"),
        "truncated_flac": (folder / "cut.flac", "damaged"),
        "nan": (folder / "nan.wav", "2 of 4000 samples are NaN or infinite"),
        "null_byte": (folder / "a\0b.wav", "cannot be read"),
    }
    made["empty"][0].write_bytes(b"")
    made["header_only"][0].write_bytes(whole[: whole.index(b"data") + 4] + b"\0\0\0\0")
    made["text"][0].write_text("this is not audio\n" * 50)
    made["noise"][0].write_bytes(np.random.default_rng(1).bytes(50_000))
    made["playlist"][0].write_text("#EXTM3U\n#EXTINF:9,\nhttp://203.0.113.1/a.ts\n")
    made["subtitles"][0].write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n\n" * 9)
    made["truncated_flac"][0].write_bytes(cut[: len(cut) // 2])
    return made


@pytest.mark.parametrize(
    "which",
    [
        *("missing", "folder", "empty", "header_only", "text", "noise", "playlist", "subtitles"),
        *("truncated_flac", "nan", "null_byte"),
    ],
)
def test_bad_files(tmp_path: Path, which: str) -> None:
    path, words = bad_files(tmp_path)[which]
    with pytest.raises(AudioError, match=words) as caught:
        decode(ref(path), 16_000)
    assert str(caught.value).startswith(f"{shown(path)}: ")
    if which not in ("truncated_flac", "nan"):  # these have a good header
        with pytest.raises(AudioError, match=words):
            probe(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="not a regular file"):
        decode(ref(tmp_path / "pipe.wav"), 16_000)


@pytest.mark.parametrize(
    ("start_s", "end_s", "words"),
    [
        (-0.1, None, "0 <= start_s < end_s"),
        (0.2, 0.2, "0 <= start_s < end_s"),
        (0.3, 0.2, "0 <= start_s < end_s"),
        (float("nan"), None, "0 <= start_s < end_s"),
        (0.0, float("inf"), "0 <= start_s < end_s"),
        (0.5, None, "is not in the file, which lasts 0.500 s"),
        (0.1, 0.6, "is not in the file, which lasts 0.500 s"),
        (7.0, 8.0, "is not in the file, which lasts 0.500 s"),
        (0.10001, 0.10002, "holds no sample"),
    ],
)
def test_bad_segments(tmp_path: Path, start_s: float, end_s: float | None, words: str) -> None:
    soundfile.write(tmp_path / "a.wav", chirp(8000, 0.5), 8000)
    with pytest.raises(AudioError, match=words):
        decode(ref(tmp_path / "a.wav", start_s=start_s, end_s=end_s), 8000)


def test_an_end_that_was_rounded_up_is_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", chirp(8000, 0.5), 8000)
    assert decode(ref(tmp_path / "a.wav", start_s=0.25, end_s=0.51), 8000).shape == (2000,)
    with pytest.raises(AudioError, match="is not in the file"):
        decode(ref(tmp_path / "a.wav", start_s=0.25, end_s=0.511), 8000)


def test_too_short_to_resample(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.ones(1), 44_100)
    assert decode(ref(tmp_path / "a.wav"), 44_100).shape == (1,)
    with pytest.raises(AudioError, match="too short to be resampled"):
        decode(ref(tmp_path / "a.wav"), 16_000)


def test_a_rate_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="0 Hz is not one"):
        decode(ref(tmp_path / "a.wav"), 0)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xff.wav"))
    try:
        soundfile.write(os.fsencode(path), chirp(8000, 0.5), 8000, format="WAV", subtype="PCM_16")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert decode(ref(path), 8000).shape == (4000,)
    assert probe(path).frames == 4000
    path.write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"caf\\xe9 \\xff.wav: is not audio") as caught:
        decode(ref(path), 8000)
    str(caught.value).encode("utf-8")  # printable


def test_transforms_are_looked_up_and_applied_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", chirp(8000, 0.5), 8000)
    heard: list[tuple[int, object, int]] = []

    def plus(samples, rate, parameters, seed):  # type: ignore[no-untyped-def]
        heard.append((rate, dict(parameters), seed))
        return samples * np.float32(parameters["by"])

    unknown = ref(tmp_path / "a.wav", transforms=(Transform("nosie"),))
    monkeypatch.setitem(TRANSFORMS, "noise", plus)
    with pytest.raises(UnknownNameError, match="'nosie'; did you mean 'noise'"):
        decode(unknown, 16_000)
    twice = (Transform("noise", {"by": 2}, 3), Transform("noise", {"by": 0.25}))
    y = decode(ref(tmp_path / "a.wav", transforms=twice), 8000)
    np.testing.assert_allclose(y, decode(ref(tmp_path / "a.wav"), 8000) * 0.5)
    assert heard == [(8000, {"by": 2}, 3), (8000, {"by": 0.25}, 0)]
    decode(ref(tmp_path / "a.wav", transforms=twice[:1]), 16_000)
    assert heard[-1][0] == 8000  # the file's own rate: every model hears the same stimulus


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(AudioError, match="cannot be read"):
        sha256_of(tmp_path / "b")
