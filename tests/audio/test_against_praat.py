"""The prosodic changes as Praat measures them, on ten synthetic languages and on real speech.

Nothing of ours measures here but the active level, which Praat does not have; its intensity stands
beside it. Floor and ceiling of Praat's tracker are 0.6 and 3 times the clip's median F0 as Praat has
it, times the ratio that was asked for in the changed clip.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from clips import RATE, SENTENCES, VOICES, Samples, spoken

from voxemo_tasks.audio import TRANSFORMS
from voxemo_tasks.audio.levels import active_level_db
from voxemo_tasks.audio.manipulation import target_of
from voxemo_tasks.records import parse_transform

parselmouth = pytest.importorskip(
    "parselmouth", reason="needs Praat: pip install praat-parselmouth"
)

STEP_S = 0.005


@dataclass(frozen=True)
class Measured:
    f0_ratio: float
    range_ratio: float
    formants: tuple[float, float, float]
    level_db: float


def pitch(sound: Any, median: float) -> Any:
    return sound.to_pitch_ac(
        STEP_S, 0.6 * median, 15, False, 0.03, 0.45, 0.01, 0.35, 0.14, 3.0 * median
    )


@lru_cache(maxsize=64)
def analysed(data: bytes, rate: int, median: float | None) -> tuple[Any, Any, Any, float]:
    x = np.frombuffer(data, np.float32)
    sound = parselmouth.Sound(x.astype(float), rate)
    for _ in range(2 if median is None else 0):
        heard = pitch(sound, median or 150.0).selected_array["frequency"]
        median = float(np.median(heard[heard > 0]))
    assert median is not None
    formant = sound.to_formant_burg(STEP_S, 5, 5500 if median > 170 else 5000, 0.025, 50)
    return sound, pitch(sound, median), formant, median


def praat(x: Samples, y: Samples, rate: int, f0_ratio: float) -> Measured:
    sound, before, old, median = analysed(x.tobytes(), rate, None)
    other, after, new, _ = analysed(y.tobytes(), rate, median * f0_ratio)
    stretch = len(y) / len(x)
    t = before.xs()
    f = before.selected_array["frequency"]
    g = np.nan_to_num([after.get_value_at_time(at * stretch) for at in t])
    both = (f > 0) & (g > 0)
    change = np.log(np.where(both, g, 1.0) / np.where(both, f, 1.0))
    both &= np.abs(change - np.median(change[both])) < 0.4 * np.log(2.0)  # octave errors
    assert both.sum() > 30
    ratios = []
    for k in (1, 2, 3):
        pairs = [
            (old.get_value_at_time(k, at), new.get_value_at_time(k, at * stretch))
            for at in t[both][::2]
        ]
        ratio = np.array([b / a for a, b in pairs])
        ratios.append(float(np.nanmedian(ratio)))
    return Measured(
        float(np.exp(change[both].mean())),
        float(np.log(g[both]).std() / np.log(f[both]).std()),
        (ratios[0], ratios[1], ratios[2]),
        other.get_intensity() - sound.get_intensity(),
    )


def changed(x: Samples, rate: int, text: str) -> Samples:
    t = parse_transform(text)
    return TRANSFORMS[t.name](x, rate, t.parameters, 0)


CHANGES = [
    "prosody_f0(factor=1.3)",
    "prosody_f0(semitones=-4)",
    "prosody_range(factor=0.5)",
    "prosody_range(factor=1.5)",
    "prosody_rate(factor=0.8)",
    "prosody_rate(factor=1.25)",
    "prosody_contour(factor=0.5)",
    "prosody_sham",
]


@pytest.mark.parametrize("text", CHANGES)
@pytest.mark.parametrize("language", SENTENCES)
def test_synthetic_speech(language: str, text: str) -> None:
    """Every language in a low and in a high voice, by the figures of the definition."""
    target = target_of(parse_transform(text))
    for voice in (v for v in VOICES if v.startswith(f"{language}+")):
        x = np.array(spoken(voice))
        y = changed(x, RATE, text)
        found = praat(x, y, RATE, target.f0_ratio)
        f0 = 0.01 if "f0" in text else 0.02
        assert found.f0_ratio == pytest.approx(target.f0_ratio, abs=f0), voice
        if target.range_ratio is not None:
            assert found.range_ratio == pytest.approx(target.range_ratio, abs=0.05), voice
        np.testing.assert_allclose(found.formants, 1.0, atol=0.06, err_msg=voice)
        assert len(y) / len(x) == pytest.approx(target.duration_ratio, rel=0.001)
        assert active_level_db(y, RATE) == pytest.approx(active_level_db(x, RATE), abs=0.1)
        assert found.level_db == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("text", CHANGES)
def test_real_speech(shared: Path, text: str) -> None:
    """Talk shows: music, shouting, several speakers. The median clip is on the dose, most are near."""
    files = sorted((shared / "data" / "urdu").glob("*/*.wav"))
    if not files:
        pytest.skip("no Urdu corpus in the shared data")
    target = target_of(parse_transform(text))
    found = []
    for file in random.Random(1).sample(files, 12):
        x, rate = soundfile.read(file, dtype="float32")
        y = changed(x, rate, text)
        assert len(y) / len(x) == pytest.approx(target.duration_ratio, rel=0.001)
        assert active_level_db(y, rate) == pytest.approx(active_level_db(x, rate), abs=0.1)
        found.append(praat(x, y, rate, target.f0_ratio))
    off = np.abs([m.f0_ratio / target.f0_ratio - 1.0 for m in found])
    assert np.median(off) < 0.01, off
    assert np.mean(off < 0.05) >= 0.75, off
    if target.range_ratio is not None:
        spread = np.median([m.range_ratio for m in found])
        assert spread == pytest.approx(target.range_ratio, abs=0.08)
    moved = np.abs(np.array([m.formants for m in found]) - 1.0)
    assert (np.median(moved, axis=0) < [0.05, 0.01, 0.01]).all(), moved
