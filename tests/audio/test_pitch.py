"""The F0 tracker against signals of known F0, and against Praat where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from clips import RATE, VOICES, pulses, spoken
from scipy import signal

from voxemo_tasks.audio.pitch import track_pitch
from voxemo_tasks.errors import OptionError


@pytest.mark.parametrize("hz", [62.0, 90.0, 131.7, 220.0, 333.3, 480.0])
@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_a_steady_voice(hz: float, rate: int) -> None:
    track = track_pitch(pulses(hz, rate=rate), rate)
    assert track.median_hz == pytest.approx(hz, rel=2e-3)
    assert track.voiced_fraction > 0.95
    assert track.range_semitones == pytest.approx(0.0, abs=0.15)
    assert track.floor_hz == pytest.approx(0.6 * hz, rel=0.01)


def test_a_glide_is_followed() -> None:
    t = np.arange(2 * RATE) / RATE
    hz = 120.0 * 2.0 ** (t / 2.0)  # an octave in two seconds
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    x = np.asarray(sum(np.sin(k * phase) / k for k in range(1, 12)), dtype=np.float32)
    track = track_pitch(x, RATE)
    times = np.arange(len(track.f0_hz)) * track.hop_s
    inside = (times > 0.1) & (times < 1.9)
    assert track.voiced[inside].all()
    np.testing.assert_allclose(track.f0_hz[inside], np.interp(times[inside], t, hz), rtol=0.01)


def test_nothing_voiced_has_no_f0() -> None:
    noise = np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    for x in (np.zeros(RATE, np.float32), 0.1 * noise):
        track = track_pitch(x, RATE)
        assert track.voiced_fraction < 0.05
    silent = track_pitch(np.zeros(RATE, np.float32), RATE)
    assert len(silent.f0_hz) == 201
    assert silent.median_hz is silent.mean_log_hz is silent.range_semitones is None


@pytest.mark.parametrize("n", [1, 2, 17, 400])
def test_very_short_clips(n: int) -> None:
    x = np.full(n, 0.1, np.float32)
    assert track_pitch(x, RATE).median_hz is None
    assert len(track_pitch(x, RATE, 120.0).f0_hz) == int(n / RATE / 0.005) + 1


def test_rumble_and_offset_do_not_make_a_voice() -> None:
    t = np.arange(RATE) / RATE
    hiss = np.random.default_rng(2).standard_normal(RATE)
    x = np.asarray(hiss + 3.0 * np.sin(2 * np.pi * 8 * t) + 5.0, dtype=np.float32)
    assert track_pitch(x, RATE).voiced_fraction < 0.1


def test_the_median_of_the_speaker_sets_the_range() -> None:
    x = pulses(100.0)
    assert track_pitch(x, RATE, 110.0).median_hz == pytest.approx(100.0, rel=2e-3)
    given = track_pitch(x, RATE, 200.0)
    assert (given.floor_hz, given.ceiling_hz) == (120.0, 600.0)
    assert given.median_hz is None or given.median_hz > 119.0
    wide = track_pitch(x, RATE, 200.0, widened=2.0)
    assert (wide.floor_hz, wide.ceiling_hz) == pytest.approx((72.0, 1800.0))


@pytest.mark.parametrize("median", [0.0, 39.9, 601.0, float("nan")])
def test_medians_of_nobody_are_refused(median: float) -> None:
    with pytest.raises(OptionError, match="no speaker's"):
        track_pitch(pulses(100.0), RATE, median)


def test_a_hop_is_positive() -> None:
    with pytest.raises(OptionError, match="hop_s"):
        track_pitch(pulses(100.0), RATE, hop_s=0.0)


def test_times_outside_take_the_nearest_frame() -> None:
    track = track_pitch(pulses(100.0), RATE)
    np.testing.assert_array_equal(track.at(np.array([-1.0, 9.0])), track.f0_hz[[0, -1]])


@pytest.mark.parametrize("voice", VOICES)
def test_against_praat(voice: str) -> None:
    parselmouth = pytest.importorskip(
        "parselmouth", reason="the oracle: pip install praat-parselmouth"
    )
    x = spoken(voice)
    ours = track_pitch(x, RATE)
    theirs = parselmouth.Sound(x.astype(float), RATE).to_pitch_ac(
        0.005, ours.floor_hz, 15, False, 0.03, 0.45, 0.01, 0.35, 0.14, ours.ceiling_hz
    )
    f = theirs.selected_array["frequency"]
    at = ours.at(theirs.xs())
    both = (f > 0) & (at > 0)
    semitones = np.abs(12 * np.log2(at[both] / f[both]))
    assert np.median(semitones) < 0.05
    assert np.mean(semitones > 3.0) < 0.01
    assert np.mean((f > 0) != (at > 0)) < 0.05


def test_the_rate_does_not_matter() -> None:
    x = spoken("en-us+f2")
    high = signal.resample_poly(x.astype(float), 441, 160).astype(np.float32)
    assert track_pitch(high, 44_100).median_hz == pytest.approx(
        track_pitch(x, RATE).median_hz, rel=5e-3
    )
