"""Multiplicity, power and equivalence against statsmodels, by hand, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.decisions import benjamini_hochberg, detectable, equivalence, holm

P_VALUES = st.lists(st.one_of(st.none(), st.integers(0, 1000).map(lambda i: i / 1000)), max_size=12)


def test_holm_by_hand():
    """.01 * 4, .02 * 3, then .03 * 2 = .06 and .04 * 1 raised to .06."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]


def test_benjamini_hochberg_by_hand():
    """.01 * 4 / 1, .02 * 4 / 2, .03 * 4 / 3, .04: all .04."""
    assert benjamini_hochberg([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.04] * 4)
    assert benjamini_hochberg([0.9, 0.001]) == pytest.approx([0.9, 0.002])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@given(P_VALUES)
@settings(max_examples=150, deadline=None)
def test_laws(adjust, p_values):
    got = adjust(p_values)
    assert [g is None for g in got] == [p is None for p in p_values]
    known = [(p, g) for p, g in zip(p_values, got, strict=True) if p is not None]
    assert all(p - 1e-12 <= g <= 1 for p, g in known)
    ranked = [g for _, g in sorted(known)]
    assert ranked == sorted(ranked)
    assert adjust([p for p in p_values if p is not None]) == [g for _, g in known]


@given(P_VALUES)
@settings(max_examples=100, deadline=None)
def test_holm_is_never_below_benjamini_hochberg(p_values):
    pairs = zip(holm(p_values), benjamini_hochberg(p_values), strict=True)
    assert all(h is None or h >= b - 1e-12 for h, b in pairs)


def test_equal_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(1)
    for _ in range(20):
        p = (rng.uniform(0, 1, 15) ** 3).tolist()
        assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1], abs=1e-12)
        expected = multitest.multipletests(p, method="fdr_bh")[1]
        assert benjamini_hochberg(p) == pytest.approx(expected, abs=1e-12)


def test_detectable():
    assert detectable(1.0) == pytest.approx(1.959963985 + 0.841621234, abs=1e-8)
    assert detectable(0.02, df=9) == pytest.approx(0.02 * (2.262157 + 0.883404), abs=1e-7)
    assert detectable(0.0) == 0
    assert detectable(1.0, power=0.5) == pytest.approx(1.959963985, abs=1e-8)


def test_detectable_is_found_with_its_power():
    """20,000 draws at the detectable difference; the standard error of .8 is .003."""
    rng = np.random.default_rng(2)
    found = rng.normal(detectable(1.0), 1.0, 20_000)
    share = (np.abs(found) > stats.norm.ppf(0.975)).mean()
    assert share == pytest.approx(0.8, abs=0.012)


def test_equivalence_by_hand():
    """Difference 1, error 1, margin 3: the nearer bound is 2 errors away."""
    got = equivalence(1, 1, 3)
    assert got.p_value == pytest.approx(0.0227501319, abs=1e-9)
    assert got.equivalent
    assert (got.low, got.high) == pytest.approx((1 - 1.644853627, 1 + 1.644853627), abs=1e-8)
    t = equivalence(-1, 1, 3, df=2)
    assert t.p_value == pytest.approx(stats.t.sf(2, 2), abs=1e-12)
    assert not t.equivalent


@given(
    st.floats(-2, 2),
    st.floats(0.01, 2),
    st.floats(0.01, 2),
    st.one_of(st.none(), st.integers(1, 50)),
)
@settings(max_examples=200, deadline=None)
def test_equivalent_is_the_interval_inside_the_margins(difference, error, margin, df):
    got = equivalence(difference, error, margin, df=df)
    two = [(difference + margin) / error, (margin - difference) / error]
    tails = [float(stats.norm.sf(x) if df is None else stats.t.sf(x, df)) for x in two]
    assert got.p_value == pytest.approx(max(tails), abs=1e-9)
    if abs(got.p_value - 0.05) > 1e-9:
        assert got.equivalent == (-margin < got.low and got.high < margin)


def test_equivalence_equals_statsmodels():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    x = np.random.default_rng(3).normal(0.1, 1, 30)
    expected = weightstats.DescrStatsW(x).ttost_mean(-0.5, 0.5)[0]
    got = equivalence(x.mean(), x.std(ddof=1) / math.sqrt(30), 0.5, df=29)
    assert got.p_value == pytest.approx(expected, abs=1e-12)


def test_equivalence_without_error():
    assert equivalence(0.1, 0, 0.2).p_value == 0
    assert equivalence(0.3, 0, 0.2).p_value == 1
    assert equivalence(0.2, 0, 0.2).p_value == 0.5


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: holm([0.1, 1.1]), "1.1 is no p-value"),
        (lambda: benjamini_hochberg([math.nan]), "no p-value"),
        (lambda: detectable(-1), "standard error is -1"),
        (lambda: detectable(1, df=0), "df is 0"),
        (lambda: detectable(1, power=1), "power is 1"),
        (lambda: detectable(1, alpha=0), "alpha is 0"),
        (lambda: equivalence(0, 1, 0), "margin is 0"),
        (lambda: equivalence(0, math.inf, 1), "standard error is inf"),
        (lambda: equivalence(0, 1, 1, alpha=0.6), "alpha is 0.6"),
    ],
)
def test_refusals(call, says):
    with pytest.raises(OptionError, match=says):
        call()
