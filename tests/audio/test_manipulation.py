"""The manipulation check passes what did what was asked, and says why the rest failed."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from clips import RATE, Samples, pulses, spoken, uttered
from scipy import signal

from voxemo_tasks.audio import TRANSFORMS
from voxemo_tasks.audio.manipulation import (
    ManipulationCheck,
    Target,
    check_manipulation,
    formants,
    target_of,
)
from voxemo_tasks.audio.pitch import track_pitch
from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.records import Transform, parse_transform


def failed(check: ManipulationCheck) -> set[str]:
    return {c.name for c in check.criteria if not c.passed}


def warped(x: Samples, factor: float) -> Samples:
    """Played faster: F0, formants and rate all times the factor."""
    return np.asarray(signal.resample_poly(x.astype(float), 100, round(100 * factor)), np.float32)


@pytest.fixture(scope="module")
def x() -> Samples:
    return spoken("de+m3")


def test_a_clip_against_itself(x: Samples) -> None:
    check = check_manipulation(x, x, RATE)
    assert check.passed
    assert check.reasons == ()
    assert check.f0_ratio == check.range_ratio == check.duration_ratio == 1.0
    assert check.level_db == check.voiced_change == check.outliers == 0.0
    assert check.formant_ratios == (1.0, 1.0, 1.0)
    assert check.contour_ratio == 1.0
    assert check.frames > 100


def test_a_change_that_was_not_asked_for_fails(x: Samples) -> None:
    t = parse_transform("prosody_f0(factor=1.2)")
    y = TRANSFORMS[t.name](x, RATE, t.parameters, 0)
    assert check_manipulation(x, y, RATE, target_of(t)).passed
    unasked = check_manipulation(x, y, RATE)
    assert failed(unasked) == {"f0_drift"}
    assert "f0_drift: 1.199 for 1, off by 0.199" in unasked.reasons[0]
    assert "allowed is 0.02" in unasked.reasons[0]
    wrong = check_manipulation(x, y, RATE, Target(f0_ratio=1.3))
    assert failed(wrong) == {"f0_ratio"}
    assert wrong.criteria[0].deviation == pytest.approx(math.log2(1.3 / 1.2), abs=0.01)


def test_formants_that_go_along_fail(x: Samples) -> None:
    y = warped(x, 1.25)
    check = check_manipulation(x, y, RATE, Target(f0_ratio=1.25, duration_ratio=0.8))
    assert "formants" in failed(check)
    assert failed(check) <= {"formants", "level_db"}
    found = [r for r in check.formant_ratios if r is not None]
    np.testing.assert_allclose(found, 1.25, rtol=0.06)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_formants_are_measured(factor: float) -> None:
    """Five resonators at known places, excited by a pulse train that falls 6 dB an octave."""
    source = np.zeros(2 * RATE)
    source[:: RATE // 100] = 1.0
    source = signal.lfilter([1.0], [1.0, -0.97], source)
    places = np.array([500.0, 1500.0, 2500.0, 3500.0, 4500.0])

    def vowel(scale: float) -> Samples:
        y = source
        for hz in places * scale:
            r = math.exp(-math.pi * 80 / RATE)
            y = signal.lfilter([1.0], [1, -2 * r * math.cos(2 * math.pi * hz / RATE), r * r], y)
        return np.asarray(0.05 * y, np.float32)

    t = np.arange(0.1, 1.9, 0.01)
    for scale in (1.0, factor):
        found = np.nanmedian(formants(vowel(scale), RATE, t), axis=0)
        np.testing.assert_allclose(found, places[:3] * scale, rtol=0.06)
    check = check_manipulation(vowel(1.0), vowel(factor), RATE)
    assert check.formant_ratios == pytest.approx((factor,) * 3, rel=0.05)
    assert "formants" in failed(check)


IDEAL = [
    {"times_f0": 2 ** (4 / 12)},
    {"times_f0": 2 ** (-4 / 12)},
    {"times_f0": 2 ** (2 / 12)},
    {"times_f0": 2 ** (-2 / 12)},
    {"speed": 1.25},
    {"speed": 0.8},
]


def of_voices(median: float, change: dict[str, float], target: Target) -> list[ManipulationCheck]:
    return [
        check_manipulation(uttered(seed, median), uttered(seed, median, **change), RATE, target)
        for seed in range(4)
    ]


@pytest.mark.parametrize("change", IDEAL, ids=str)
@pytest.mark.parametrize("median", [90.0, 160.0, 260.0, 400.0])
def test_ideal_changes_pass(median: float, change: dict[str, float]) -> None:
    """The error of the check itself: the very change that was asked for, and no engine in between."""
    target = Target(
        f0_ratio=change.get("times_f0", 1.0), duration_ratio=1.0 / change.get("speed", 1.0)
    )
    for check in of_voices(median, change, target):
        # An ideal change is not matched in level: more pulses a second are louder.
        assert failed(check) <= {"level_db"}, check.reasons
        assert abs(check.voiced_change) < 0.02
        assert check.f0_ratio == pytest.approx(target.f0_ratio, rel=0.005)


@pytest.mark.parametrize("median", [90.0, 160.0, 260.0, 400.0])
@pytest.mark.parametrize("times_f0", [2 ** (4 / 12), 2 ** (-4 / 12)])
def test_formants_that_moved_fail_at_every_pitch(median: float, times_f0: float) -> None:
    change = {"times_f0": times_f0, "times_formants": 1.12}
    for check in of_voices(median, change, Target(f0_ratio=times_f0)):
        assert "formants" in failed(check), check.formant_ratios


@pytest.mark.parametrize("median", [90.0, 260.0])
@pytest.mark.parametrize("devoiced_s", [0.0, 0.35])
def test_speech_that_was_devoiced_fails(median: float, devoiced_s: float) -> None:
    """A seventh of the clip whispered: more than the twentieth that is allowed."""
    change = {"times_f0": 2 ** (-4 / 12), "devoiced_s": devoiced_s}
    for check in of_voices(median, change, Target(f0_ratio=2 ** (-4 / 12))):
        assert ("voiced_change" in failed(check)) == bool(devoiced_s), check.voiced_change


def test_f1_below_two_harmonics_is_not_judged() -> None:
    """At 400 Hz F1 lies at the first harmonic, wherever the vowel has it; F2 and F3 are judged."""
    low, high = (
        check_manipulation(uttered(0, median), uttered(0, median), RATE).formant_ratios
        for median in (120.0, 400.0)
    )
    assert low == (1.0, 1.0, 1.0)
    assert high == (None, 1.0, 1.0)


def test_the_centre_is_that_of_all_frames(x: Samples) -> None:
    """A wider range moves high frames up and low ones down: with the low half silenced the rest went
    up, as it should have, and that is no drift."""
    y = TRANSFORMS["prosody_range"](x, RATE, {"factor": 1.4}, 0)
    track = track_pitch(x, RATE)
    low = (track.f0_hz < track.median_hz) & track.voiced
    quiet = np.interp(np.arange(len(y)) / RATE, np.arange(len(low)) * track.hop_s, low) > 0.5
    half = np.where(quiet, np.float32(0), y)
    check = check_manipulation(x, half, RATE, Target(range_ratio=1.4))
    assert check.f0_ratio == pytest.approx(1.0, abs=0.02)


def test_level_length_and_voicing(x: Samples) -> None:
    assert failed(check_manipulation(x, 2 * x, RATE)) == {"level_db"}
    longer = np.concatenate([x, np.zeros(len(x) // 50, np.float32)])
    assert failed(check_manipulation(x, longer, RATE)) >= {"duration_ratio"}
    half = x.copy()
    hiss = 0.02 * np.random.default_rng(0).standard_normal(len(x) // 2)
    half[len(x) // 2 : len(x) // 2 * 2] = hiss
    assert "voiced_change" in failed(check_manipulation(x, half, RATE))


def test_what_cannot_be_measured_fails(x: Samples) -> None:
    silence = np.zeros_like(x)
    for a, b in ((silence, silence), (x, silence), (silence, x)):
        check = check_manipulation(a, b, RATE)
        assert not check.passed
        assert check.f0_ratio is check.range_ratio is check.level_db is check.outliers is None
        assert check.formant_ratios == (None, None, None)
        assert "could not be measured" in " ".join(check.reasons)
    with pytest.raises(OptionError, match="without samples"):
        check_manipulation(x, x[:0], RATE)


def test_an_octave_error_is_caught() -> None:
    """A floor that is too high makes the engine find the octave of a low voice."""
    x = pulses(70.0, 2.0)
    y = TRANSFORMS["prosody_f0"](x, RATE, {"factor": 0.77, "speaker_f0_hz": 250.0}, 0)
    check = check_manipulation(x, y, RATE, Target(f0_ratio=0.77))
    assert "f0_ratio" in failed(check)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("prosody_f0(factor=1.3)", Target(f0_ratio=1.3)),
        ("prosody_f0(semitones=-3)", Target(f0_ratio=2 ** (-3 / 12))),
        ("prosody_range(factor=0.5)", Target(range_ratio=0.5)),
        ("prosody_rate(factor=1.25)", Target(duration_ratio=0.8)),
        ("prosody_contour(factor=1.5)", Target(contour_ratio=1.5)),
        ("prosody_energy(gain_db=-4)", Target(level_db=-4.0)),
        ("prosody_sham", Target()),
        ("prosody_round_trip(op=rate, factor=1.2)", Target()),
    ],
)
def test_targets(text: str, target: Target, x: Samples) -> None:
    t = parse_transform(text)
    assert target_of(t) == target
    check = check_manipulation(x, TRANSFORMS[t.name](x, RATE, t.parameters, 0), RATE, target)
    assert check.passed, check.reasons


def test_what_has_no_target() -> None:
    with pytest.raises(OptionError, match="has no prosodic target"):
        target_of(Transform("noise", {"snr_db": 3}))
    with pytest.raises(UnknownNameError):
        target_of(Transform("prosody_f0", {"fctor": 3}))


def test_it_is_a_record(x: Samples) -> None:
    check = check_manipulation(x, x, RATE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        check.f0_ratio = 2.0  # type: ignore[misc]
    assert check == check_manipulation(x.copy(), x.copy(), RATE)
    assert json.loads(json.dumps(check.to_json()))["passed"] is True
