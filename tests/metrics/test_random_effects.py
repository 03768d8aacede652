"""Random effects: golden values by hand, an independent solver, statsmodels, laws, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.random_effects import random_effects


def test_equal_errors_by_hand():
    """y = 0, .2, .4 with s = .1: Q(t) = .08 / (.01 + t) = 2 at t = .03; B = 1/4; V = .04 / 3."""
    r = random_effects(np.array([0.0, 0.2, 0.4]), np.array([0.1] * 3), level=0.9)
    assert (r.k, r.level, r.reason) == (3, 0.9, None)
    assert r.mean == pytest.approx(0.2, abs=1e-12)
    assert r.tau2 == pytest.approx(0.03, abs=1e-12)
    assert r.i2 == pytest.approx(1 - 2 / 8, abs=1e-12)
    assert r.shrunk == pytest.approx((0.05, 0.2, 0.35), abs=1e-12)
    error = math.sqrt(0.75 * 0.01 + 0.04 / 3 / 16)
    assert r.shrunk_errors == pytest.approx((error,) * 3, abs=1e-12)
    reach = stats.t(2).ppf(0.95) * math.sqrt(0.04 / 3)
    assert (r.low, r.high) == pytest.approx((0.2 - reach, 0.2 + reach), abs=1e-12)
    reach = stats.t(1).ppf(0.95) * math.sqrt(0.03 + 0.04 / 3)
    assert (r.prediction_low, r.prediction_high) == pytest.approx((0.2 - reach, 0.2 + reach))
    # Q(t) = .08 / (.01 + t) equals a quantile x of chi-squared at t = .08 / x - .01.
    low, high = (0.08 / stats.chi2(2).ppf(p) - 0.01 for p in (0.95, 0.05))
    assert r.tau2_low == pytest.approx(low, abs=1e-12)
    assert r.tau2_high == pytest.approx(high, abs=1e-12)


def heterogeneous(seed, k):
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.05, 0.6, k)
    return rng.normal(0.3, 0.5, k) + errors * rng.normal(size=k), errors


@pytest.mark.parametrize("seed", range(4))
def test_unequal_errors_against_the_formula(seed):
    y, s = heterogeneous(seed, 9)

    def q(t):
        w = 1 / (s**2 + t)
        return (w * (y - (w * y).sum() / w.sum()) ** 2).sum()

    r = random_effects(y, s)
    for got, wanted in (
        (r.tau2, 8),
        (r.tau2_low, stats.chi2(8).ppf(0.975)),
        (r.tau2_high, stats.chi2(8).ppf(0.025)),
    ):
        if got > 0:
            assert q(got) == pytest.approx(wanted, rel=1e-9)
        else:
            assert q(0) <= wanted
    w = 1 / (s**2 + r.tau2)
    assert r.mean == pytest.approx((w * y).sum() / w.sum(), abs=1e-12)
    # Hartung-Knapp: its factor is 1 at the Paule-Mandel estimate.
    error = math.sqrt((w * (y - r.mean) ** 2).sum() / 8 / w.sum())
    reach = stats.t(8).ppf(0.975) * max(error, 1 / math.sqrt(w.sum()))
    assert r.high - r.mean == pytest.approx(reach, rel=1e-8)
    reach = stats.t(7).ppf(0.975) * math.sqrt(r.tau2 + 1 / w.sum())
    assert r.prediction_high - r.mean == pytest.approx(reach, rel=1e-9)
    for i in range(9):
        # The normal posterior mean, from its two precisions.
        a, b = 1 / s[i] ** 2, 1 / r.tau2
        assert r.shrunk[i] == pytest.approx((a * y[i] + b * r.mean) / (a + b), abs=1e-9)


def test_against_statsmodels():
    meta = pytest.importorskip("statsmodels.stats.meta_analysis")
    for seed in range(3):
        y, s = heterogeneous(seed, 12)
        theirs = meta.combine_effects(y, s**2, method_re="iterated", atol=1e-12, maxiter=2000)
        ours = random_effects(y, s)
        assert ours.tau2 == pytest.approx(theirs.tau2, abs=1e-8)
        assert ours.mean == pytest.approx(theirs.mean_effect_re, abs=1e-7)
        assert ours.i2 == pytest.approx(max(0, theirs.i2), abs=1e-9)


def test_groups_that_agree_are_pooled():
    """Q = .0002 / .01 = .02 < 2: no variance between, the mean for all, and no shorter interval."""
    r = random_effects(np.array([0.19, 0.2, 0.21]), np.array([0.1] * 3))
    assert (r.tau2, r.tau2_low, r.tau2_high, r.i2) == (0, 0, 0, 0)
    assert r.shrunk == pytest.approx((0.2,) * 3, abs=1e-12)
    assert r.shrunk_errors == pytest.approx((0.1 / math.sqrt(3),) * 3, abs=1e-12)
    assert r.high - r.mean == pytest.approx(stats.t(2).ppf(0.975) * 0.1 / math.sqrt(3), abs=1e-12)


def test_one_group():
    r = random_effects(np.array([0.3]), np.array([0.1]))
    assert (r.k, r.mean, r.shrunk, r.shrunk_errors) == (1, 0.3, (0.3,), (0.1,))
    assert (r.low, r.high, r.tau2, r.tau2_low, r.tau2_high, r.i2) == (None,) * 6
    assert (r.prediction_low, r.prediction_high) == (None, None)
    assert "one group" in r.reason


def test_two_groups():
    """tau2 = (.4^2 / 2) - .01 = .07; t(1) for the mean, no prediction."""
    r = random_effects(np.array([0.0, 0.4]), np.array([0.1, 0.1]))
    assert r.tau2 == pytest.approx(0.07, abs=1e-12)
    assert r.high - 0.2 == pytest.approx(stats.t(1).ppf(0.975) * math.sqrt(0.04), abs=1e-10)
    assert (r.prediction_low, r.prediction_high) == (None, None)
    assert "needs three" in r.reason


def test_no_errors_at_all():
    r = random_effects(np.array([0.1, 0.2, 0.6]), np.zeros(3))
    assert r.tau2 == pytest.approx(np.var([0.1, 0.2, 0.6], ddof=1), abs=1e-12)
    assert r.shrunk == pytest.approx((0.1, 0.2, 0.6), abs=1e-12)
    assert (r.i2, r.shrunk_errors) == (1.0, (0, 0, 0))
    same = random_effects(np.full(3, 0.25), np.zeros(3))
    assert (same.tau2, same.mean, same.low, same.high) == (0, 0.25, 0.25, 0.25)
    assert (same.shrunk, same.i2) == ((0.25,) * 3, 0)


def test_one_exact_group_draws_the_others():
    r = random_effects(np.array([0.2, 0.21, 0.19]), np.array([0.0, 0.1, 0.1]))
    assert (r.tau2, r.mean) == (0, 0.2)
    assert r.shrunk == pytest.approx((0.2,) * 3, abs=1e-12)
    tiny = random_effects(np.array([0.2, 0.21, 0.19]), np.array([1e-9, 0.1, 0.1]))
    assert tiny.mean == pytest.approx(r.mean, abs=1e-9)


@given(
    y=st.lists(st.floats(-1, 1), min_size=2, max_size=8),
    s=st.lists(st.floats(0.01, 1), min_size=8, max_size=8),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_laws(y, s, data):
    k = len(y)
    y, s = np.array(y), np.array(s[:k])
    r = random_effects(y, s)
    assert 0 <= r.tau2_low <= r.tau2_high
    assert r.tau2 <= max(r.tau2_high, 0) or r.tau2_high == 0
    assert r.low <= r.mean <= r.high
    assert y.min() - 1e-9 <= r.mean <= y.max() + 1e-9
    for before, after in zip(y, r.shrunk, strict=True):
        assert min(before, r.mean) - 1e-9 <= after <= max(before, r.mean) + 1e-9
    if k > 2:
        assert r.prediction_low <= r.low + 1e-12
    assert 0 <= r.i2 <= 1
    order = data.draw(st.permutations(range(k)))
    moved = random_effects(y[order], s[order])
    assert moved.mean == pytest.approx(r.mean, abs=1e-9)
    assert moved.tau2 == pytest.approx(r.tau2, abs=1e-9)
    assert moved.shrunk == pytest.approx([r.shrunk[i] for i in order], abs=1e-8)
    assume(r.tau2 > 1e-6)
    scaled = random_effects(3 * y + 1, 3 * s)
    assert scaled.mean == pytest.approx(3 * r.mean + 1, abs=1e-8)
    assert scaled.tau2 == pytest.approx(9 * r.tau2, rel=1e-6)


def test_the_root_is_found_where_errors_differ_by_orders_of_magnitude():
    y, s = np.array([0.0, 1.0, 0.5, -4.0]), np.array([1e-6, 1e-4, 1.0, 30.0])
    r = random_effects(y, s)
    w = 1 / (s**2 + r.tau2)
    mean = optimize.minimize_scalar(lambda m: (w * (y - m) ** 2).sum(), bracket=(-1, 1)).x
    assert (w * (y - mean) ** 2).sum() == pytest.approx(3, rel=1e-6)


def test_shrinking_helps_small_groups():
    """Notes 2.3: signed gaps (sd .46 per item), cultures that differ by .055.

    RMSE .073 -> .043 at 40 items, .047 -> .037 at 100, no change at 1000 and more.
    600 repetitions of two or one group: standard errors of an RMSE are below .002.
    """
    rng = np.random.default_rng(3)
    sizes = np.array([40, 40, 60, 100, 100, 200, 500, 500, 1000, 3000])
    errors = 0.46 / np.sqrt(sizes)
    squares = {"raw": np.zeros(10), "shrunk": np.zeros(10)}
    inside, predicted = 0, 0
    for _ in range(600):
        truth = rng.normal(0.08, 0.055, 10)
        seen = truth + errors * rng.normal(size=10)
        r = random_effects(seen, errors)
        squares["raw"] += (seen - truth) ** 2
        squares["shrunk"] += (np.array(r.shrunk) - truth) ** 2
        inside += r.low <= 0.08 <= r.high
        predicted += r.prediction_low <= rng.normal(0.08, 0.055) <= r.prediction_high
    raw, shrunk = (
        {n: math.sqrt(squares[kind][sizes == n].mean() / 600) for n in (40, 100, 1000)}
        for kind in ("raw", "shrunk")
    )
    assert (raw[40], shrunk[40]) == (
        pytest.approx(0.073, abs=0.005),
        pytest.approx(0.045, abs=0.006),
    )
    assert (raw[100], shrunk[100]) == (
        pytest.approx(0.047, abs=0.004),
        pytest.approx(0.037, abs=0.004),
    )
    assert shrunk[1000] == pytest.approx(raw[1000], rel=0.05)
    # Nominal .95; s.e. of a coverage here .009. Prediction intervals fall short of it where the
    # number of groups is small and tau often estimated as zero (Partlett and Riley, 2017).
    assert 0.91 <= inside / 600 <= 0.98
    assert 0.87 <= predicted / 600 <= 0.98


@pytest.mark.parametrize(
    ("y", "s", "level", "says"),
    [
        ([], [], 0.95, "at least one group"),
        ([1.0], [1.0, 2.0], 0.95, r"\(k,\)"),
        ([[1.0]], [[1.0]], 0.95, r"\(k,\)"),
        ([np.nan, 1.0], [1.0, 1.0], 0.95, "finite"),
        ([0.0, 1.0], [1.0, -1.0], 0.95, "not negative"),
        ([0.0, 1.0], [1.0, np.inf], 0.95, "finite"),
        ([0.0, 1.0], [1.0, 1.0], 1.0, "level is 1.0"),
    ],
)
def test_refusals(y, s, level, says):
    with pytest.raises(OptionError, match=says):
        random_effects(np.array(y), np.array(s), level=level)
