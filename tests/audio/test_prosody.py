"""Doses of the prosodic changes, on ten synthetic languages and on real speech.

``parselmouth`` (Praat) is the independent measure where it is installed; else our own tracker,
which ``test_pitch`` holds to known signals, measures alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clips import RATE, VOICES, Samples, pulses, spoken

from voxemo_tasks.audio import TRANSFORMS
from voxemo_tasks.audio.levels import active_level_db
from voxemo_tasks.audio.manipulation import check_manipulation, formants, target_of
from voxemo_tasks.audio.pitch import track_pitch
from voxemo_tasks.audio.prosody import contour_spread, envelope
from voxemo_tasks.audio.psola import pitch_marks, resynthesize
from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.records import parse_transform

PRAAT = importlib.util.find_spec("parselmouth") is not None


def changed(x: Samples, text: str, rate: int = RATE) -> Samples:
    t = parse_transform(text)
    return TRANSFORMS[t.name](x, rate, t.parameters, t.seed)


def ours(x: Samples, median: float | None = None) -> Callable[[np.ndarray], np.ndarray]:
    return track_pitch(x, RATE, median).at


def praat(x: Samples, median: float | None = None) -> Callable[[np.ndarray], np.ndarray]:
    import parselmouth

    if median is None:
        median = track_pitch(x, RATE).median_hz
        assert median is not None
    pitch = parselmouth.Sound(x.astype(float), RATE).to_pitch_ac(
        0.005, 0.6 * median, 15, False, 0.03, 0.45, 0.01, 0.35, 0.14, 3.0 * median
    )
    return lambda t: np.nan_to_num([pitch.get_value_at_time(s) for s in t])


MEASURES = [
    ours,
    pytest.param(praat, marks=pytest.mark.skipif(not PRAAT, reason="no praat-parselmouth")),
]


def f0_pairs(
    measure: Callable[..., Callable], x: Samples, y: Samples
) -> tuple[np.ndarray, np.ndarray]:
    """F0 before and after, at corresponding times voiced in both."""
    t = np.arange(0.0, len(x) / RATE, 0.005)
    before, after = measure(x)(t), measure(y)(t * len(y) / len(x))
    both = (before > 0) & (after > 0)
    assert both.sum() > 50
    return before[both], after[both]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("factor", [0.7, 0.8, 1.3, 1.5])
def test_mean_f0(voice: str, factor: float, measure: Callable[..., Callable]) -> None:
    x = spoken(voice)
    y = changed(x, f"prosody_f0(factor={factor})")
    before, after = f0_pairs(measure, x, y)
    assert np.median(after / before) == pytest.approx(factor, abs=0.01)
    assert np.exp(np.mean(np.log(after / before))) == pytest.approx(factor, abs=0.01)
    assert len(y) == len(x)
    assert active_level_db(y, RATE) == pytest.approx(active_level_db(x, RATE), abs=0.1)


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_formants_stay(voice: str, factor: float) -> None:
    x = spoken(voice)
    y = changed(x, f"prosody_f0(factor={factor})")
    t = np.flatnonzero(track_pitch(x, RATE).voiced) * 0.005
    ratio = np.nanmedian(formants(y, RATE, t) / formants(x, RATE, t), axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.06)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("factor", [0.7, 0.8, 1.25, 1.4])
def test_rate(voice: str, factor: float, measure: Callable[..., Callable]) -> None:
    x = spoken(voice)
    y = changed(x, f"prosody_rate(factor={factor})")
    assert len(y) == round(len(x) / factor)
    before, after = f0_pairs(measure, x, y)
    assert np.exp(np.mean(np.log(after / before))) == pytest.approx(1.0, abs=0.02)
    assert active_level_db(y, RATE) == pytest.approx(active_level_db(x, RATE), abs=0.1)


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_range(voice: str, factor: float) -> None:
    x = spoken(voice)
    check = check_manipulation(
        x,
        changed(x, f"prosody_range(factor={factor})"),
        RATE,
        target_of(parse_transform(f"prosody_range(factor={factor})")),
    )
    assert check.range_ratio == pytest.approx(factor, abs=0.05)
    assert check.f0_ratio == pytest.approx(1.0, abs=0.02)
    assert check.passed, check.reasons


def test_range_zero_is_a_monotone() -> None:
    y = changed(spoken("it+f2"), "prosody_range(factor=0)")
    track = track_pitch(y, RATE)
    assert track.range_semitones is not None
    assert track.range_semitones < 0.3


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("factor", [0.5, 0.75, 1.25, 1.5])
def test_contour(voice: str, factor: float) -> None:
    x = spoken(voice)
    y = changed(x, f"prosody_contour(factor={factor})")
    heard = envelope(x, RATE)
    assert heard is not None
    old, new = contour_spread(x, RATE), contour_spread(y, RATE, heard[1])
    assert old is not None
    assert new is not None
    assert new / old == pytest.approx(factor, abs=0.02)
    before, after = f0_pairs(ours, x, y)
    np.testing.assert_allclose(np.median(after / before), 1.0, atol=1e-3)
    assert active_level_db(y, RATE) == pytest.approx(active_level_db(x, RATE), abs=0.1)
    assert len(y) == len(x)


def test_contour_has_no_delay() -> None:
    x = pulses(150.0) * np.linspace(0.05, 1.0, RATE, dtype=np.float32)
    y = changed(x, "prosody_contour(factor=1.4)")
    gain = y[np.abs(x) > 1e-4] / x[np.abs(x) > 1e-4]
    assert (np.diff(gain[200:-200]) > -1e-3).all()  # rises with the envelope, from the first sample


def test_energy() -> None:
    x = spoken("de+f2")
    np.testing.assert_allclose(changed(x, "prosody_energy(gain_db=20)"), 10 * x, rtol=1e-6)


@pytest.mark.parametrize("voice", VOICES)
def test_the_sham_changes_next_to_nothing(voice: str) -> None:
    x = spoken(voice)
    y = changed(x, "prosody_sham")
    assert np.linalg.norm(y - x) / np.linalg.norm(x) < 0.01  # -40 dB
    check = check_manipulation(x, y, RATE)
    assert check.passed, check.reasons


@pytest.mark.parametrize("op", ["f0", "range", "rate", "contour"])
@pytest.mark.parametrize("voice", VOICES[::3])
def test_the_round_trip_comes_back(voice: str, op: str) -> None:
    x = spoken(voice)
    y = changed(x, f"prosody_round_trip(op={op}, factor=1.25)")
    assert len(y) == len(x)
    check = check_manipulation(x, y, RATE)
    assert check.f0_ratio == pytest.approx(1.0, abs=0.02)
    assert check.level_db == pytest.approx(0.0, abs=0.1)
    assert check.range_ratio == pytest.approx(1.0, abs=0.06)
    harsh = np.linalg.norm(y - x)
    if op != "contour":  # as harsh as an op, where the sham of zero dose is not
        assert harsh > np.linalg.norm(changed(x, "prosody_sham") - x)


def test_semitones_are_factors() -> None:
    x = spoken("ru+m3")
    np.testing.assert_array_equal(
        changed(x, "prosody_f0(semitones=4)"), changed(x, f"prosody_f0(factor={2 ** (4 / 12)})")
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prosody_f0(factor=1.6)", "factor=1.6 is out of range; allowed is 0.7 to 1.5"),
        ("prosody_f0(factor=0.69)", "allowed is 0.7 to 1.5"),
        ("prosody_f0(semitones=8)", "semitones=8 is out of range"),
        ("prosody_rate(factor=1.5)", "allowed is 0.7 to 1.4"),
        ("prosody_rate(factor=0.6)", "allowed is 0.7 to 1.4"),
        ("prosody_f0", "exactly one of factor, semitones; got none"),
        (
            "prosody_f0(factor=1.2, semitones=3)",
            "exactly one of factor, semitones; got factor, sem",
        ),
        ("prosody_rate", "factor must be given"),
        ("prosody_rate(factor=fast)", "'fast' is not a number"),
        ("prosody_round_trip(op=f0, factor=1.8)", "prosody_f0: factor=1.8 is out of range"),
        ("prosody_round_trip(op=pitch, factor=1.1)", "op='pitch' is not allowed"),
        ("prosody_sham(speaker_f0_hz=20)", "allowed is 40 to 600 Hz"),
    ],
)
def test_limits_are_kept(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says.replace("(", r"\(")):
        changed(pulses(120.0), text)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="'semitone'; did you mean 'semitones'"):
        changed(pulses(120.0), "prosody_f0(semitone=3)")


def test_without_a_voice_nothing_is_changed_and_the_check_says_so() -> None:
    x = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    y = changed(x, "prosody_f0(factor=1.3)")
    np.testing.assert_allclose(y, x, atol=2e-3)
    check = check_manipulation(x, y, RATE, target_of(parse_transform("prosody_f0(factor=1.3)")))
    assert not check.passed
    np.testing.assert_array_equal(changed(np.zeros(RATE, np.float32), "prosody_f0(factor=1.3)"), 0)


@pytest.mark.parametrize("n", [1, 3, 100, 700])
@pytest.mark.parametrize(
    "text",
    [
        "prosody_f0(factor=1.3)",
        "prosody_rate(factor=0.8)",
        "prosody_contour(factor=1.5)",
        "prosody_round_trip(op=range, factor=0.5)",
    ],
)
def test_very_short_clips(n: int, text: str) -> None:
    y = changed(pulses(150.0)[:n] + np.float32(0.01), text)
    assert len(y) == (round(n / 0.8) if "rate" in text else n)
    assert np.isfinite(y).all()


def test_a_low_voice_needs_its_own_floor() -> None:
    x = pulses(65.0, 2.0)
    for text in ("prosody_f0(factor=0.77)", "prosody_f0(factor=0.77, speaker_f0_hz=65)"):
        y = changed(x, text)
        assert track_pitch(y, RATE, 50.0).median_hz == pytest.approx(0.77 * 65.0, rel=0.01)


def test_marks_are_a_period_apart() -> None:
    hz = 333.3  # 48.005 samples: whole-sample marks would jitter by a hundredth of a period
    x = pulses(hz, 0.5)
    (run,) = pitch_marks(x, RATE, track_pitch(x, RATE))
    gaps = np.diff(run.marks)
    assert gaps.mean() == pytest.approx(RATE / hz, rel=1e-3)
    assert gaps.std() < 0.05
    low, high = run.span
    assert low < run.marks[0] < run.marks[-1] < high


def test_no_whole_sample_jitter_in_what_is_made() -> None:
    x = pulses(333.3, 1.0)
    y = resynthesize(x, RATE, track_pitch(x, RATE), f0_map=lambda hz: 1.1 * hz)
    track = track_pitch(y, RATE)
    inner = track.f0_hz[20:-20]
    np.testing.assert_allclose(inner, 1.1 * 333.3, rtol=3e-3)


def test_unvoiced_speech_passes_and_does_not_buzz() -> None:
    hiss = (0.1 * np.random.default_rng(3).standard_normal(RATE)).astype(np.float32)
    slow = changed(hiss, "prosody_rate(factor=0.7)")
    assert track_pitch(slow, RATE).voiced_fraction < 0.05
    r = np.correlate(slow[:8000], slow[:8000], "full")[7999:]
    assert np.abs(r[40:400] / r[0]).max() < 0.15  # no repetition at 5 ms or any other period


def test_the_same_input_gives_the_same_bytes() -> None:
    x = spoken("tr+f2")
    for text in (
        "prosody_f0(factor=1.2)",
        "prosody_rate(factor=1.2)",
        "prosody_contour(factor=0.7)",
    ):
        assert changed(x, text).tobytes() == changed(x.copy(), text).tobytes()


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("prosody_sham", 15),
        ("prosody_f0(factor=1.3)", 15),
        ("prosody_f0(factor=0.8)", 13),
        ("prosody_rate(factor=0.8)", 15),
        ("prosody_rate(factor=1.25)", 13),
        ("prosody_contour(factor=0.5)", 15),
        ("prosody_energy(gain_db=6)", 16),
    ],
)
def test_real_speech(shared: Path, text: str, least: int) -> None:
    """Sixteen clips of talk shows (music, shouting): doses exact, attrition as it is."""
    files = sorted((shared / "data" / "urdu").glob("*/*.wav"))[::25]
    if not files:
        pytest.skip("no Urdu corpus in the shared data")
    transform = parse_transform(text)
    target = target_of(transform)
    passed = 0
    for file in files:
        x, rate = soundfile.read(file, dtype="float32")
        y = TRANSFORMS[transform.name](x, rate, transform.parameters, 0)
        check = check_manipulation(x, y, rate, target)
        assert check.f0_ratio == pytest.approx(target.f0_ratio, rel=0.05), file
        assert check.duration_ratio == pytest.approx(target.duration_ratio, rel=1e-3)
        assert check.level_db == pytest.approx(target.level_db, abs=0.1)
        passed += check.passed
    assert passed >= least, f"{passed} of {len(files)} passed"
