"""Cramer's V: scipy, the formula of the correction, laws, clusters, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import contingency as scipy_contingency

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.association import (
    contingency,
    cramers_v,
    cramers_v_interval,
    table_cramers_v,
)

TABLES = arrays(
    np.int64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 9)
)


def v_of(table, corrected=True):
    return cramers_v(np.asarray(table, float)[None], corrected=corrected)


def occurring(table):
    return table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]


@given(TABLES)
@settings(max_examples=200, deadline=None)
def test_plain_equals_scipy(table):
    kept = occurring(table)
    got = v_of(table, corrected=False)
    if min(kept.shape) < 2:
        assert got is None
    else:
        expected = scipy_contingency.association(kept, method="cramer")
        assert got == pytest.approx(expected, abs=1e-9)


@given(TABLES)
@settings(max_examples=200, deadline=None)
def test_corrected_equals_bergsma(table):
    kept = occurring(table)
    got = v_of(table)
    if min(kept.shape) < 2:
        assert got is None
        return
    n, (r, k) = kept.sum(), kept.shape
    expected = np.outer(kept.sum(axis=1), kept.sum(axis=0)) / n
    phi2 = ((kept - expected) ** 2 / expected).sum() / n
    phi2 = max(0, phi2 - (r - 1) * (k - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    if least > 1e-9:
        assert got == pytest.approx(math.sqrt(min(1, phi2 / least)), abs=1e-6)
    else:
        assert got is None


@given(TABLES, st.randoms())
@settings(max_examples=100, deadline=None)
def test_laws(table, random):
    rows, columns = list(range(len(table))), list(range(table.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    for corrected in (True, False):
        value = v_of(table, corrected)
        other = v_of(table[rows][:, columns], corrected)
        turned = v_of(table.T, corrected)
        padded = v_of(np.pad(table, ((0, 2), (1, 0))), corrected)
        if value is None:
            assert (other, turned, padded) == (None, None, None)
        else:
            assert 0 <= value <= 1
            assert (other, turned, padded) == pytest.approx((value,) * 3, abs=1e-6)


def test_determined_and_independent():
    assert v_of(np.diag([5, 6, 7])) == pytest.approx(1, abs=1e-12)
    assert v_of(np.diag([5, 6, 7])[::-1], corrected=False) == pytest.approx(1, abs=1e-12)
    assert v_of(np.outer([2, 3], [4, 5, 6])) == 0
    assert v_of(np.zeros((2, 2))) is None


def test_correction_takes_away_what_chance_gives():
    """8 by 8 independent labels, 200 utterances: plain V about sqrt(7 / 200) = .187."""
    rng = np.random.default_rng(1)
    tables = rng.multinomial(200, np.full(64, 1 / 64), size=500).reshape(500, 8, 8).astype(float)
    plain = table_cramers_v(tables, corrected=False)
    assert plain.mean() == pytest.approx(math.sqrt(7 / 200), abs=0.01)
    assert table_cramers_v(tables).mean() < 0.05


def test_columns_are_counted_by_speaker():
    got = contingency(
        ["sad", "angry", None, "sad"], ["f", "m", "m", None], clusters=["b", "a", "b", "b"]
    )
    # rows angry, sad, none; columns f, m, none
    np.testing.assert_array_equal(got[0], [[0, 0, 0], [1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(got[1], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    kept = contingency(["sad", "angry", None], ["f", "m", "m"], non_answers="drop")
    np.testing.assert_array_equal(kept, [[[0, 1], [1, 0]]])


def test_interval_redraws_speakers():
    rng = np.random.default_rng(2)
    first, second, who = [], [], []
    for speaker in range(40):
        own = rng.integers(3)
        for _ in range(10):
            first.append("abc"[rng.integers(3)])
            second.append(first[-1] if rng.random() < 0.3 else "abc"[own])
            who.append(str(speaker))
    tables = contingency(first, second, clusters=who)
    got = cramers_v_interval(tables, seed=1)
    value = cramers_v(tables)
    assert (got.method, got.n_clusters) == ("cluster_bootstrap_percentile", 40)
    assert got.low < value < got.high
    one = cramers_v_interval(contingency(first, second), seed=1)
    assert (one.method, one.n_clusters) == ("none", 1)
    assert cramers_v_interval(contingency([], []), seed=1).method == "none"
    assert cramers_v(contingency([], [])) is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: contingency(["a"], []), "1 and 0 labels"),
        (lambda: contingency(["a"], ["b"], clusters=[]), "0 clusters"),
        (lambda: contingency([], [], non_answers="keep"), "outcome, drop"),
        (lambda: cramers_v(np.zeros((2, 2))), r"\(G, R, K\)"),
        (lambda: cramers_v(np.full((1, 2, 2), -1.0)), "0 or"),
        (lambda: cramers_v_interval(np.ones((3, 2, 2)), level=2, seed=1), "level"),
    ],
)
def test_refusals(call, says):
    with pytest.raises(OptionError, match=says):
        call()
