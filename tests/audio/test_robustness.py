"""Noise, rooms, lines and codecs do what they say, measured on what comes out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from clips import RATE, Samples, pulses, spoken
from scipy import signal

from voxemo_tasks.audio import TRANSFORM_SPECS, TRANSFORMS, decode, sha256_of
from voxemo_tasks.audio.channel import lost_packets
from voxemo_tasks.audio.codecs import encoded
from voxemo_tasks.audio.levels import active_level_db, rms_db
from voxemo_tasks.audio.noise import coloured
from voxemo_tasks.audio.pitch import track_pitch
from voxemo_tasks.audio.rooms import impulse_response
from voxemo_tasks.errors import AudioError, OptionError
from voxemo_tasks.records import AudioRef, Transform


def through(x: Samples, name: str, seed: int = 0, rate: int = RATE, **parameters: Any) -> Samples:
    return TRANSFORMS[name](x, rate, parameters, seed)


def db(x: np.ndarray) -> float:
    level = rms_db(x)
    assert level is not None
    return level


def active(x: np.ndarray) -> float:
    level = active_level_db(x, RATE)
    assert level is not None
    return level


def band_db(x: np.ndarray, low: float, high: float, rate: int = RATE) -> float:
    hz, power = signal.welch(x, rate, nperseg=4096)
    return 10 * math.log10(power[(hz >= low) & (hz < high)].mean())


@pytest.fixture
def speech() -> Samples:
    """A sentence with half a second of pause on either side."""
    pause = np.zeros(RATE // 2, np.float32)
    return np.concatenate([pause, spoken("en-us+m3"), pause])


@pytest.fixture
def others(tmp_path: Path) -> dict[str, str]:
    """Two clips of others, at other rates and levels."""
    paths = []
    for k, (voice, rate) in enumerate((("de+f2", 16_000), ("fr+m3", 22_050))):
        path = tmp_path / f"{k}.wav"
        soundfile.write(path, spoken(voice) * (k + 1) / 4, rate)
        paths.append(str(path))
    return {"path": "|".join(paths), "sha256": "|".join(sha256_of(p) for p in paths)}


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 30.0])
@pytest.mark.parametrize("kind", ["white", "pink", "babble"])
def test_snr(speech: Samples, others: dict[str, str], kind: str, snr: float) -> None:
    more = others if kind == "babble" else {}
    y = through(speech, "noise", seed=4, kind=kind, snr_db=snr, **more)
    added = y.astype(float) - speech
    assert active(speech) - db(added) == pytest.approx(snr, abs=0.05)
    # Over the whole clip, with its pauses, speech is fainter: that is what is not used.
    assert db(speech) - db(added) < snr - 0.5
    again = through(speech, "noise", seed=4, kind=kind, snr_db=snr, **more)
    assert y.tobytes() == again.tobytes()
    assert not np.array_equal(y, through(speech, "noise", seed=5, kind=kind, snr_db=snr, **more))


def test_white_is_flat_and_pink_falls_3_db_an_octave() -> None:
    for kind, wanted in (("white", 0.0), ("pink", -10 * math.log10(2))):
        x = coloured(kind, 30 * RATE, RATE, 1)
        edges = 125.0 * 2.0 ** np.arange(6)
        levels = [band_db(x, low, 2 * low) for low in edges]
        slope = np.polyfit(np.arange(6), levels, 1)[0]
        assert slope == pytest.approx(wanted, abs=0.1)


def test_noise_that_cannot_be(speech: Samples, others: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="speech is silent"):
        through(np.zeros(100, np.float32), "noise", snr_db=10)
    with pytest.raises(OptionError, match="needs path and sha256"):
        through(speech, "noise", kind="babble", snr_db=10)
    with pytest.raises(OptionError, match="takes no path"):
        through(speech, "noise", kind="pink", snr_db=10, **others)
    with pytest.raises(OptionError, match=r"2 path\(s\) and 1 sha256"):
        through(speech, "noise", kind="babble", snr_db=10, path=others["path"], sha256="ab" * 32)
    swapped = "|".join(reversed(others["sha256"].split("|")))
    with pytest.raises(AudioError, match="is not the file that was asked for"):
        through(speech, "noise", kind="babble", snr_db=10, path=others["path"], sha256=swapped)
    with pytest.raises(AudioError, match="no such file"):
        through(
            speech, "noise", kind="babble", snr_db=1, path=str(tmp_path / "x.wav"), sha256="ab" * 32
        )
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(1000), RATE)
    with pytest.raises(AudioError, match="is silent and cannot be a voice"):
        through(
            speech, "noise", kind="babble", snr_db=1, path=str(silent), sha256=sha256_of(silent)
        )


def test_all_voices_of_the_babble_are_as_loud(others: dict[str, str]) -> None:
    x = pulses(100.0)
    paths, digests = others["path"].split("|"), others["sha256"].split("|")
    noise = [
        through(x, "noise", kind="babble", snr_db=0.0, path=p, sha256=d) - x
        for p, d in zip(paths, digests, strict=True)
    ]
    assert db(noise[0]) == pytest.approx(db(noise[1]), abs=0.05)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_telephone_band(rate: int) -> None:
    x = (0.1 * np.random.default_rng(0).standard_normal(20 * rate)).astype(np.float32)
    y = through(x, "telephone", rate=rate)
    assert len(y) == len(x)
    inside = band_db(y, 500, 3000, rate)

    def below(low: float, high: float) -> float:
        return inside - band_db(y, low, high, rate)

    for low, high in ((350, 500), (3000, 3330)):
        assert abs(below(low, high)) < 0.5
    for edge in (300.0, 3400.0):
        assert below(edge - 8, edge + 8) == pytest.approx(6.0, abs=1.5)
    assert below(20, 200) > 40.0
    assert below(3500, 3900) > 40.0
    if rate > 8000:
        assert below(4200, rate / 2) > 40.0


def test_telephone_has_no_delay(speech: Samples) -> None:
    assert lag(speech, through(speech, "telephone")) == 0


def lag(x: np.ndarray, y: np.ndarray) -> int:
    r = signal.correlate(y.astype(float), x.astype(float), method="fft")
    return int(np.argmax(r)) - (len(x) - 1)


CODECS: list[tuple[str, dict[str, float]]] = [
    ("codec_mulaw", {}),
    ("codec_alaw", {}),
    ("codec_gsm", {}),
    *[("codec_opus", {"kbps": k}) for k in (10, 24, 64)],
    *[("codec_mp3", {"kbps": k}) for k in (8, 16, 24, 32, 48, 64, 128)],
    *[("codec_vorbis", {"quality": q}) for q in (0.0, 0.5, 1.0)],
]


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize(("name", "how"), CODECS)
def test_codecs_keep_length_and_time(name: str, how: dict[str, float], rate: int) -> None:
    x = spoken("en-us+m3")
    if rate != RATE:
        x = signal.resample_poly(x.astype(float), rate // 50, RATE // 50).astype(np.float32)
    y = through(x, name, rate=rate, **how)
    assert len(y) == len(x)
    assert abs(lag(x, y)) <= max(1, rate // 8000)
    assert np.dot(x, y) / (np.linalg.norm(x) * np.linalg.norm(y)) > 0.85
    assert y.tobytes() == through(x, name, rate=rate, **how).tobytes()


@pytest.mark.parametrize(
    ("name", "key", "doses"),
    [
        ("codec_opus", "kbps", (6, 10, 16, 32, 64, 128)),
        ("codec_mp3", "kbps", (8, 16, 32, 64, 128)),
        ("codec_vorbis", "quality", (0.0, 0.2, 0.4, 0.7, 1.0)),
    ],
)
def test_more_bits_distort_less(name: str, key: str, doses: tuple[float, ...]) -> None:
    x = spoken("en-us+f2")
    errors = [np.linalg.norm(through(x, name, **{key: dose}) - x) for dose in doses]
    assert all(np.diff(errors) < 0), errors


def test_bit_rates_are_those_asked_for() -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal(10 * RATE)
    for kbps in (8, 32, 64):
        level = min((160 - kbps) / 152, 0.9999)
        how = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
        size = len(encoded(x, RATE, compression_level=level, **how))
        assert size * 8 / 10_000 == pytest.approx(kbps, rel=0.05)
    for kbps in (16, 64, 128):
        how = {"format": "OGG", "subtype": "OPUS"}
        size = len(encoded(x, RATE, compression_level=1 - (kbps - 6) / 250, **how))
        assert size * 8 / 10_000 == pytest.approx(kbps, rel=0.2)


def test_g711_is_as_good_as_g711() -> None:
    """A tone well below full scale: 8 logarithmic bits give 37 to 39 dB."""
    t = np.arange(2 * 8000) / 8000
    x = (0.25 * np.sin(2 * np.pi * 1004 * t)).astype(np.float32)
    for name in ("codec_mulaw", "codec_alaw"):
        noise = through(x, name, rate=8000) - x
        assert db(x) - db(noise) == pytest.approx(38.0, abs=2.0)


def test_codecs_do_not_clip_what_is_beyond_full_scale() -> None:
    x = 8.0 * pulses(120.0)
    assert np.abs(x).max() > 1.5
    y = through(x, "codec_alaw")
    assert np.linalg.norm(y - x) / np.linalg.norm(x) < 0.05


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("t60", [0.2, 0.6, 1.5])
def test_t60_by_schroeder(t60: float, rate: int) -> None:
    """Backward integration, line through -5 to -35 dB (ISO 3382); the mean of five rooms."""
    found = []
    for seed in range(5):
        h = impulse_response(rate, t60, 0.0, seed)
        assert h[0] == 1.0
        tail = h[1:]
        left = np.cumsum(tail[::-1] ** 2)[::-1]
        decay = 10 * np.log10(left / left[0])
        at = np.flatnonzero((decay <= -5) & (decay >= -35))
        found.append(-60.0 / (np.polyfit(at / rate, decay[at], 1)[0]))
    np.testing.assert_allclose(found, t60, rtol=0.05)


@pytest.mark.parametrize("drr", [-6.0, 0.0, 12.0])
def test_direct_to_reverberant_ratio(drr: float) -> None:
    h = impulse_response(RATE, 0.5, drr, 3)
    assert 10 * math.log10(h[0] ** 2 / np.sum(h[1:] ** 2)) == pytest.approx(drr, abs=1e-9)


def test_reverb_keeps_length_level_and_beginning(speech: Samples) -> None:
    y = through(speech, "reverb", seed=1, t60_s=0.6)
    assert len(y) == len(speech)
    assert active(y) == pytest.approx(active(speech), abs=0.1)
    start = int(np.argmax(np.abs(speech) > 0.001))
    assert np.abs(y[: start - 50]).max() < 1e-3 * np.abs(y).max()  # no sound before its cause
    assert not np.array_equal(y, through(speech, "reverb", seed=2, t60_s=0.6))


def test_far_field_falls_with_distance(speech: Samples) -> None:
    near, far = (
        through(speech, "far_field", distance_m=d, snr_db=40.0, t60_s=0.3) for d in (2.0, 8.0)
    )
    assert active(near) - active(far) == pytest.approx(20 * math.log10(4), abs=0.1)
    dry = [np.dot(y, speech) / np.linalg.norm(y) / np.linalg.norm(speech) for y in (near, far)]
    assert dry[0] > dry[1] > 0  # less of it is direct sound


def test_far_field_snr(speech: Samples) -> None:
    pause = through(speech, "far_field", distance_m=1.0, snr_db=5.0, t60_s=0.2)[: RATE // 2]
    assert active(speech) - db(pause) == pytest.approx(5.0, abs=0.7)


@pytest.mark.parametrize("threshold", [-3.0, -12.0, -30.0])
def test_clipping(threshold: float) -> None:
    x = spoken("es+f2")
    y = through(x, "clipping", threshold_db=threshold)
    assert active(y) == pytest.approx(active(x), abs=0.1)
    top = np.abs(y) >= 0.9999 * np.abs(y).max()
    beyond = np.abs(x) >= np.abs(x).max() * 10 ** (threshold / 20)
    np.testing.assert_array_equal(top, beyond)
    np.testing.assert_array_equal(np.sign(y), np.sign(x))


def test_gain() -> None:
    x = spoken("es+f2")
    np.testing.assert_allclose(through(x, "gain", gain_db=-20), x / 10, rtol=1e-6)


@pytest.mark.parametrize("burst", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.5, 0.9])
def test_packets_lost(share: float, burst: float) -> None:
    packets = 4000
    lost = lost_packets(packets, share, burst, np.random.default_rng(1))
    assert lost.sum() == round(share * packets)
    if share in (0.03, 0.1):
        edges = np.diff(np.concatenate([[0], lost.astype(int), [0]]))
        lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
        # geometric: variance b (b - 1), bursts kept apart; four standard errors
        error = 4 * math.sqrt(burst * (burst - 1) / len(lengths)) + 1.0 / len(lengths)
        assert lengths.mean() == pytest.approx(burst, abs=error)


def test_lost_packets_are_spread_over_the_clip() -> None:
    where = np.mean(
        [lost_packets(50, 0.1, 2.0, np.random.default_rng(s)) for s in range(2000)], axis=0
    )
    np.testing.assert_allclose(where, 0.1, atol=4 * math.sqrt(0.1 * 0.9 / 2000 * 2.0))


@pytest.mark.parametrize("concealment", ["zero", "repeat"])
def test_packet_loss(concealment: str) -> None:
    x = np.random.default_rng(0).uniform(0.5, 1.0, 5 * RATE - 77).astype(np.float32)
    y = through(x, "packet_loss", seed=2, loss=0.2, burst=2, concealment=concealment)
    size = RATE // 50
    starts = range(0, len(x), size)
    lost = [not np.array_equal(x[s : s + size], y[s : s + size]) for s in starts]
    assert sum(lost) == round(0.2 * len(starts))
    strength = 0.0
    for k, start in enumerate(starts):
        heard = y[start : start + size]
        if not lost[k]:
            strength = 1.0
            last = k
        elif concealment == "zero":
            assert not heard.any()
        elif strength:
            strength /= 2
            before = x[last * size : last * size + len(heard)]
            np.testing.assert_allclose(heard, strength * before, rtol=1e-6)
    assert len(y) == len(x)


def test_code_switch(others: dict[str, str]) -> None:
    x = spoken("en-us+m3")
    path, digest = others["path"].split("|")[1], others["sha256"].split("|")[1]
    length = math.ceil(len(spoken("fr+m3")) * RATE / 22_050)
    after = through(x, "code_switch", path=path, sha256=digest, gap_s=0.25)
    assert len(after) == len(x) + RATE // 4 + length
    np.testing.assert_array_equal(after[: len(x)], x)
    assert not after[len(x) : len(x) + RATE // 4].any()
    assert active(after[-length:]) == pytest.approx(active(x), abs=0.1)
    before = through(x, "code_switch", path=path, sha256=digest, gap_s=0.25, place="before")
    np.testing.assert_array_equal(before[-len(x) :], x)
    np.testing.assert_array_equal(before[:length], after[-length:])
    with pytest.raises(OptionError, match="sha256 must be given"):
        through(x, "code_switch", path=path)


EDGES: list[tuple[str, int, float]] = [
    ("speech", 8000, 1.0),
    ("speech", 48_000, 1.0),
    ("speech", 16_000, 0.05),
    ("speech", 44_100, 0.01),
    ("speech", 16_000, 60.0),
    ("silence", 16_000, 1.0),
    ("pause", 16_000, 3.0),
    ("offset", 16_000, 0.5),
    ("beyond", 16_000, 1.0),
]


def edge(kind: str, rate: int, seconds: float) -> Samples:
    n = round(rate * seconds)
    if kind == "silence":
        return np.zeros(n, np.float32)
    if kind == "offset":
        return np.full(n, 0.3, np.float32)
    x = signal.resample_poly(spoken("en-us+m3").astype(float), rate // 100, RATE // 100)
    x = np.resize(x[rate // 2 :], n).astype(np.float32)
    if kind == "pause":
        x[n // 3 :] = 0.0
    return x * np.float32(20.0) if kind == "beyond" else x


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("kind", "rate", "seconds"), EDGES)
@pytest.mark.parametrize(
    "name",
    [n for n, s in TRANSFORM_SPECS.items() if s.module != "prosody" and n != "code_switch"],
)
def test_clips_at_the_edges(name: str, kind: str, rate: int, seconds: float) -> None:
    """Short, long, silent, with an offset, beyond full scale, at other rates: never a sample more or
    less, never a NaN, the level that the table says, and the same bytes again."""
    spec, x = TRANSFORM_SPECS[name], edge(kind, rate, seconds)
    how = dict(spec.severities[2]) if spec.severities else {}
    if kind == "silence" and name in ("noise", "far_field"):
        with pytest.raises(AudioError, match="is silent"):
            through(x, name, seed=1, rate=rate, **how)
        return
    y = through(x, name, seed=1, rate=rate, **how)
    assert y.shape == x.shape
    assert np.isfinite(y).all()
    if seconds < 60:
        assert y.tobytes() == through(x, name, seed=1, rate=rate, **how).tobytes()
    if kind == "silence" and spec.level == "kept":
        assert not y.any()
    before, after = active_level_db(x, rate), active_level_db(y, rate)
    if spec.level == "kept" and before is not None and name != "control_reverse":
        assert after == pytest.approx(before, abs=0.5 if name == "control_noise" else 0.1)
    if kind == "beyond" and name.startswith("codec"):
        assert np.abs(y).max() > 1.0  # coded below full scale, and scaled back


def test_both_channels_are_heard_before_the_change(tmp_path: Path) -> None:
    """A transform gets the mean of the channels, at the file's own rate."""
    left = np.array(edge("speech", 48_000, 0.5))
    right = np.zeros_like(left)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, right], axis=1), 48_000, subtype="FLOAT")
    heard = decode(AudioRef(str(path), "", transforms=(Transform("telephone", {}),)), 48_000)
    np.testing.assert_allclose(heard, through(left / 2, "telephone", rate=48_000), atol=1e-6)


def test_controls() -> None:
    x = spoken("en-us+f2")
    silence = through(x, "control_silence")
    assert silence.shape == x.shape
    assert not silence.any()
    for kind in ("white", "pink"):
        noise = through(x, "control_noise", seed=1, kind=kind)
        assert len(noise) == len(x)
        assert db(noise) == pytest.approx(active(x), abs=0.1)
        assert active(noise) == pytest.approx(active(x), abs=0.3)
        assert track_pitch(noise, RATE).voiced_fraction < 0.1
    np.testing.assert_array_equal(through(x, "control_reverse"), x[::-1])
    assert not through(np.zeros(99, np.float32), "control_noise").any()


@pytest.mark.parametrize(("pitch", "energy"), [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_flat(pitch: int, energy: int) -> None:
    from voxemo_tasks.audio.prosody import contour_spread, envelope

    x = spoken("it+m3")
    y = through(x, "control_flat", pitch=pitch, energy=energy)
    assert len(y) == len(x)
    before, after = track_pitch(x, RATE).range_semitones, track_pitch(y, RATE).range_semitones
    assert before is not None
    assert after is not None
    assert (after < 0.4) == bool(pitch)
    heard = envelope(x, RATE)
    assert heard is not None
    spread = contour_spread(x, RATE), contour_spread(y, RATE, heard[1])
    assert spread[0] is not None
    assert spread[1] is not None
    assert (spread[1] / spread[0] < 0.6) == bool(energy)
    assert np.array_equal(x, y) == (not pitch and not energy)
