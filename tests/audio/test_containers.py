"""What FFmpeg reads: m4a, mp4, webm, avi; and headers that cannot be believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_signals import chirp
from numpy.typing import NDArray

from voxemo_tasks.audio import decode, probe
from voxemo_tasks.errors import AudioError
from voxemo_tasks.records import AudioRef

RATE = 48_000
SECONDS = 12.0
Encode = Callable[..., Path]

CONTAINERS = [
    # name, codec, layout, channels, sample format, least correlation
    ("a.m4a", "aac", "mono", 1, "fltp", 0.99),
    ("a.mp4", "aac", "5.1", 6, "fltp", 0.999),
    ("a.webm", "libopus", "stereo", 2, "flt", 0.999),
    ("pcm.avi", "pcm_s16le", "stereo", 2, "s16", 0.99999),
    ("mp3.avi", "libmp3lame", "stereo", 2, "fltp", 0.999),
    ("alac.m4a", "alac", "mono", 1, "s16p", 0.99999),
    ("a.mkv", "flac", "stereo", 2, "s16", 0.99999),
]


def ref(path: Path, **changes: object) -> AudioRef:
    return AudioRef(str(path), "", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "codec", "layout", "channels", "kind", "least"), CONTAINERS, ids=lambda v: str(v)
)
def test_containers(
    encode: Encode,
    name: str,
    codec: str,
    layout: str,
    channels: int,
    kind: str,
    least: float,
) -> None:
    x = chirp(RATE, SECONDS, channels)
    path = encode(name, x, RATE, codec, layout, kind)

    facts = probe(path)
    assert (facts.sampling_rate_hz, facts.channels) == (RATE, channels)
    assert facts.duration_s == pytest.approx(SECONDS, abs=0.1)

    whole = decode(ref(path), RATE)
    assert len(whole) == pytest.approx(len(x), abs=2400)
    n = min(len(whole), len(x))
    # An AVI does not tell how much MP3 delays the sound.
    lag = _lag(whole, x.mean(axis=1)) if name == "mp3.avi" else 0
    a, b = whole[lag:n], x.mean(axis=1)[: n - lag]
    assert np.corrcoef(a, b)[0, 1] > least
    # A tenth off: the fourth channel of 5.1 holds low frequencies only.
    assert np.std(a) == pytest.approx(np.std(b), rel=0.1)

    for start_s, end_s in [(0.0, 0.3), (0.7501, 2.0), (5.00002, 6.5), (11.2, 11.9)]:
        part = decode(ref(path, start_s=start_s, end_s=end_s), RATE)
        cut = whole[round(start_s * RATE) : round(end_s * RATE)]
        assert part.shape == cut.shape
        # Exact where decoding starts at the beginning; decoders differ in the last bits after a
        # seek. A shift of one sample would give 1e-2.
        np.testing.assert_allclose(part, cut, rtol=0, atol=1e-4)

    if channels > 1:
        quiet = decode(ref(path, channel=1), RATE)
        loud = decode(ref(path, channel=0), RATE)
        assert np.std(quiet) == pytest.approx(0.5 * np.std(loud), rel=0.1)
    with pytest.raises(AudioError, match=f"channel {channels} does not exist; the file has"):
        decode(ref(path, channel=channels), RATE)
    with pytest.raises(AudioError, match="is not in the file"):
        decode(ref(path, start_s=13.0, end_s=14.0), RATE)
    with pytest.raises(AudioError, match="is not in the file"):
        decode(ref(path, start_s=11.0, end_s=14.0), RATE)


def _lag(late: NDArray[np.float32], early: NDArray[np.float32]) -> int:
    """Samples by which one signal is behind the other, 0 to 2000, from one second of both."""
    return max(range(2000), key=lambda lag: float(late[lag : lag + RATE] @ early[:RATE]))


def test_a_segment_of_a_container_is_sought(encode: Encode) -> None:
    path = encode("long.m4a", chirp(16_000, 600.0), 16_000, "aac", "mono", "fltp")
    seconds = _cpu_seconds(lambda: decode(ref(path, start_s=590.0, end_s=591.0), 16_000))
    all_of_it = _cpu_seconds(lambda: decode(ref(path), 16_000))
    assert seconds < all_of_it / 5, (seconds, all_of_it)


def _cpu_seconds(work: Callable[[], object]) -> float:
    import time

    work()
    started = time.process_time()
    work()
    return time.process_time() - started


def test_video_without_sound_is_not_audio(tmp_path: Path) -> None:
    import av

    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for read in (lambda: decode(ref(path), 16_000), lambda: probe(path)):
        with pytest.raises(AudioError, match=r"is not an audio file \(it holds only video\)"):
            read()


def test_a_cut_off_container(encode: Encode) -> None:
    path = encode("a.m4a", chirp(RATE, 2.0), RATE, "aac", "mono", "fltp")
    path.write_bytes(path.read_bytes()[:-1500])  # the index of an mp4 stands at its end
    with pytest.raises(AudioError, match="damaged"):
        decode(ref(path), RATE)


def test_headers_without_a_length_are_not_believed(tmp_path: Path) -> None:
    x = chirp(8000, 1.0)
    wav, flac = tmp_path / "a.wav", tmp_path / "a.flac"
    soundfile.write(wav, x, 8000, subtype="PCM_16")
    soundfile.write(flac, x, 8000, subtype="PCM_16")
    good = {path: decode(ref(path), 8000) for path in (wav, flac)}

    data = bytearray(wav.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = b"\0\0\0\0"  # what a program that streams leaves behind
    wav.write_bytes(data)
    data = bytearray(flac.read_bytes())
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that hold the number of samples
    data[22:26] = b"\0\0\0\0"
    flac.write_bytes(data)

    for path in (wav, flac):
        assert probe(path).frames == 8000
        np.testing.assert_array_equal(decode(ref(path), 8000), good[path])
        np.testing.assert_array_equal(
            decode(ref(path, start_s=0.5, end_s=0.75), 8000), good[path][4000:6000]
        )
