"""Active speech level: laws, and ITU-T P.56's own table of thresholds as the second road."""

from __future__ import annotations

import math

import numpy as np
import pytest
from clips import RATE, VOICES, spoken
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks.audio.levels import active_level_db, active_share, matched, rms_db


def p56(x: np.ndarray, rate: int) -> float:
    """Method B as the Recommendation writes it: fifteen thresholds, counters, interpolation."""
    g = math.exp(-1 / (rate * 0.03))
    hangover = math.ceil(rate * 0.2)
    thresholds = 0.5 ** np.arange(15, 0, -1)
    count = np.zeros(15)
    idle = np.full(15, hangover)
    p = q = 0.0
    for s in np.abs(x.astype(float)):
        p = g * p + (1 - g) * s
        q = g * q + (1 - g) * p
        above = q >= thresholds
        idle = np.where(above, 0, idle + 1)
        count += idle < hangover
    power = float(np.sum(x.astype(float) ** 2))
    before = None
    for c, a in zip(thresholds, count, strict=True):
        level = 10 * math.log10(power / a)
        delta = level - 20 * math.log10(c)
        if delta <= 15.9:
            assert before is not None
            share = (before[1] - 15.9) / (before[1] - delta)
            return before[0] + share * (level - before[0])
        before = (level, delta)
    raise AssertionError("no crossing")


@pytest.mark.parametrize("voice", VOICES[::4])
def test_against_the_recommendation(voice: str) -> None:
    x = np.concatenate([np.zeros(8000, np.float32), spoken(voice), np.zeros(24_000, np.float32)])
    assert active_level_db(x, RATE) == pytest.approx(p56(x, RATE), abs=0.15)


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(-60, 40), seed=st.integers(0, 9), n=st.integers(1, 8000))
def test_a_gain_adds_up(gain: float, seed: int, n: int) -> None:
    x = np.random.default_rng(seed).standard_normal(n)
    level, louder = active_level_db(x, RATE), active_level_db(x * 10 ** (gain / 20), RATE)
    assert level is not None
    assert louder is not None
    assert louder - level == pytest.approx(gain, abs=1e-6)
    whole = rms_db(x)
    assert whole is not None
    assert level >= whole - 1e-9


def test_pauses_do_not_lower_it() -> None:
    x = spoken("de+m3")
    padded = np.concatenate([x, np.zeros(5 * RATE, np.float32)])
    alone, with_pause = active_level_db(x, RATE), active_level_db(padded, RATE)
    assert alone is not None
    assert with_pause is not None
    assert abs(alone - with_pause) < 0.5
    whole = rms_db(padded)
    assert whole is not None
    assert with_pause - whole > 3.0


def test_what_has_no_level() -> None:
    for x in (np.zeros(0), np.zeros(100)):
        assert active_level_db(x, RATE) is active_share(x, RATE) is rms_db(x) is None
        np.testing.assert_array_equal(matched(x, RATE, -20.0), x)


def test_matching() -> None:
    x = spoken("de+m3")
    assert active_level_db(matched(x, RATE, -33.0), RATE) == pytest.approx(-33.0, abs=1e-4)
    np.testing.assert_array_equal(matched(x, RATE, None), x)
