"""Smooth calibration error: a slow reference, relplot, the notes' table, size and power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.smooth_error import smooth_error


def draw(n, over=0.0, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 3, n)
    return confidence, (rng.random(n) < np.clip(confidence - over, 0, 1)).astype(float)


def reference(c, h):
    """The definition: Gaussian kernel with its mirror images at 0 and 1, integrated, no grid of c."""
    t = (np.arange(4000) + 0.5) / 4000

    def mass(sigma):
        total = np.zeros_like(t)
        for image in range(-4, 5):
            for centre in (2 * image + c, 2 * image - c):
                z = (t[:, None] - centre) / sigma
                total += (np.exp(-0.5 * z**2) * (h - c)).sum(axis=1)
        return np.abs(total).mean() / (sigma * math.sqrt(2 * math.pi) * len(c))

    return brentq(lambda s: mass(s) - s, 0.004, 1, xtol=1e-6)


@pytest.mark.parametrize(("n", "over"), [(30, 0.0), (80, 0.2), (80, -0.2)])
def test_against_the_definition(n, over):
    c, h = draw(n, over, seed=n)
    assert smooth_error(c, h, replicates=0, seed=1).value == pytest.approx(
        reference(c, h), abs=5e-4
    )


def test_confidences_at_the_edges():
    c, h = np.array([0.0, 1.0, 1.0, 0.5]), np.array([0.0, 1.0, 0.0, 1.0])
    assert smooth_error(c, h, replicates=0, seed=1).value == pytest.approx(
        reference(c, h), abs=1e-3
    )


def test_against_relplot():
    relplot = pytest.importorskip("relplot")
    for n in (50, 500, 2000):
        c, h = draw(n, 0.05, seed=n)
        got = smooth_error(c, h, replicates=0, seed=1).value
        assert got == pytest.approx(relplot.smECE(c, h), abs=1e-3)


def test_one_wrong_level_is_its_distance():
    """All claim .8 and half are right: however wide the kernel, the mass is .3."""
    e = smooth_error(np.full(100, 0.8), np.repeat([1.0, 0.0], 50), replicates=0, seed=1)
    assert e.value == pytest.approx(0.3, abs=1e-6)


@given(data=st.data(), n=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_laws(data, n):
    c = data.draw(arrays(np.float64, n, elements=st.floats(0, 1)))
    h = data.draw(arrays(np.float64, n, elements=st.floats(0, 1)))
    got = smooth_error(c, h, replicates=0, seed=1).value
    # The kernel cannot bring out more than the residuals, nor cancel more than their mean.
    assert abs((h - c).mean()) - 1e-9 <= got <= np.abs(h - c).mean() + 2e-3
    order = data.draw(st.permutations(range(n)))
    assert smooth_error(c[order], h[order], replicates=0, seed=1).value == pytest.approx(
        got, abs=1e-6
    )
    mirrored = smooth_error(1 - c, 1 - h, replicates=0, seed=1).value
    assert mirrored == pytest.approx(got, abs=1e-6)


def test_perfect_and_nothing():
    c = np.array([0.2, 0.7])
    e = smooth_error(c, c, replicates=19, seed=1)
    assert (e.value, e.p_value, e.by_chance) == (0, 1, 0)
    assert smooth_error(np.array([]), np.array([]), seed=1).value is None
    e = smooth_error(c, c, replicates=0, seed=1)
    assert (e.p_value, e.by_chance, e.method) == (None, None, "none")


def test_certain_and_wrong():
    """Confidences of 0 and 1 leave the null no room: any error is beyond it."""
    e = smooth_error(np.ones(10), np.repeat([1.0, 0.0], [9, 1]), replicates=19, seed=1)
    assert (e.p_value, e.by_chance) == (1 / 20, 0)


@pytest.mark.parametrize(("n", "value"), [(50, 0.083), (200, 0.053), (500, 0.037)])
def test_the_table_without_miscalibration(n, value):
    """Notes 2.1; 150 draws, s.e. at most .002. Its own null says the same."""
    got = [smooth_error(*draw(n, seed=s), replicates=0, seed=1).value for s in range(150)]
    assert np.mean(got) == pytest.approx(value, abs=0.006)
    assert smooth_error(*draw(n, seed=0), seed=1).by_chance == pytest.approx(value, abs=0.012)


@pytest.mark.parametrize(("n", "power"), [(60, 0.33), (200, 0.76), (500, 0.99)])
def test_power(n, power):
    """Over-confidence of .10, notes 2.1; 100 draws, s.e. at most .05."""
    found = sum(
        smooth_error(*draw(n, 0.1, seed=s), replicates=59, seed=s).p_value <= 0.05
        for s in range(100)
    )
    assert found / 100 == pytest.approx(power, abs=0.13)


def soft(n, votes, seed):
    """Calibrated, with shares of votes for targets, and true shares that scatter."""
    rng = np.random.default_rng(seed)
    c = rng.beta(5, 3, n)
    truth = rng.beta(4 * c, 4 * (1 - c))
    return c, rng.binomial(votes, truth) / votes


@pytest.mark.parametrize("votes", [1, 5, 100])
def test_size_with_soft_targets(votes):
    """Rejections at .05 of what is calibrated, and a null that is as noisy as the data."""
    results = [smooth_error(*soft(150, votes, s), replicates=59, seed=s) for s in range(200)]
    assert sum(r.p_value <= 0.05 for r in results) / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean([r.by_chance for r in results]) == pytest.approx(
        np.mean([r.value for r in results]), rel=0.1
    )


def test_speakers_who_differ_need_the_sign_flip():
    """Speakers of 20 items each are off by a common amount, calibrated on average."""
    alone = flipped = 0
    speakers = np.repeat(np.arange(15), 20)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        c = rng.uniform(0.3, 0.7, 300)
        h = (rng.random(300) < c + rng.uniform(-0.3, 0.3, 15)[speakers]).astype(float)
        alone += smooth_error(c, h, replicates=59, seed=seed).p_value <= 0.05
        with_speakers = smooth_error(c, h, speakers, replicates=59, seed=seed)
        flipped += with_speakers.p_value <= 0.05
    assert with_speakers.method == "sign_flip"
    assert alone >= 20
    assert flipped <= 12


def test_the_sign_flip_finds_what_is_there():
    c, h = draw(400, 0.2, seed=1)
    assert smooth_error(c, h, np.arange(400) % 20, replicates=199, seed=1).p_value <= 0.01
    # Two speakers have two replicates that differ, and one is the data.
    assert smooth_error(c, h, np.arange(400) % 2, replicates=199, seed=1).p_value >= 0.35


def test_seeds():
    c, h = draw(100, 0.1)
    assert smooth_error(c, h, seed=3) == smooth_error(c, h, seed=3)
    assert smooth_error(c, h, seed=3).by_chance != smooth_error(c, h, seed=4).by_chance


def test_chunks_do_not_change_the_test(monkeypatch):
    from voxemo_tasks.metrics import smooth_error as module

    c, h = draw(100, 0.1)
    whole = smooth_error(c, h, replicates=20, seed=3)
    monkeypatch.setattr(module, "_CHUNK", 3000)
    assert smooth_error(c, h, replicates=20, seed=3) == whole


def test_refusals():
    with pytest.raises(OptionError, match="replicates is -1"):
        smooth_error(np.array([0.5]), np.array([0.5]), replicates=-1, seed=1)
    with pytest.raises(OptionError, match="clusters"):
        smooth_error(np.array([0.5]), np.array([0.5]), ["a", "b"], seed=1)
    with pytest.raises(OptionError, match="target must lie"):
        smooth_error(np.array([0.5]), np.array([1.5]), seed=1)
