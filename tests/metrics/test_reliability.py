"""ICC(1) and the ceilings: golden values, analysis of variance, simulation of what they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.reliability import reliability


def population_ccc(x, y):
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    return 2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def test_shrout_and_fleiss():
    """Table 2 of Shrout and Fleiss (1979): ICC(1,1) = .17, ICC(1,4) = .44."""
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    got = reliability(table)
    assert got.icc1 == pytest.approx(0.1657, abs=5e-5)
    assert got.icc1_mean == pytest.approx(0.4428, abs=5e-5)
    assert (got.n_utterances, got.n_ratings) == (6, 24)


@given(
    st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=6), min_size=2, max_size=12).filter(
        lambda rows: sum(map(len, rows)) > len(rows)
    )
)
@settings(max_examples=150, deadline=None)
def test_equals_the_analysis_of_variance(rows):
    got = reliability(rows)
    values = np.concatenate([np.array(r, float) for r in rows])
    if np.ptp(values) == 0:
        assert got.icc1 is None
        assert "alike" in got.reason
        return
    k = np.array([len(r) for r in rows])
    grand = values.mean()
    between = sum(len(r) * (np.mean(r) - grand) ** 2 for r in rows) / (len(rows) - 1)
    within = sum(((np.array(r) - np.mean(r)) ** 2).sum() for r in rows) / (k.sum() - len(rows))
    if within > 1e-9:
        f = stats.f_oneway(*[np.array(r, float) for r in rows]).statistic
        assert between / within == pytest.approx(f, rel=1e-9, abs=1e-9)
    k0 = (k.sum() - (k**2).sum() / k.sum()) / (len(rows) - 1)
    expected = (between - within) / (between + (k0 - 1) * within)
    assert got.icc1 == pytest.approx(expected, abs=1e-9)
    assert got.icc1 <= 1 + 1e-12
    if got.icc1 > 1e-9:
        assert 0 < got.ccc_one_annotator <= got.ccc_true_score <= got.ccc_limit <= 1 + 1e-12
        true, error = got.icc1, 1 - got.icc1
        noise = error * np.mean(1 / k)
        assert got.ccc_true_score == pytest.approx(2 * true / (2 * true + noise), abs=1e-9)
        assert got.ccc_limit == pytest.approx(math.sqrt(true / (true + noise)), abs=1e-9)


@pytest.mark.parametrize(
    ("k", "true", "other"), [(3, 0.72, 0.39), (5, 0.81, 0.42), (10, 0.90, 0.44)]
)
def test_ceilings_at_icc_three_tenths(k, true, other):
    """Built so that ICC(1) is .3, then checked against simulated listeners and the table."""
    rng = np.random.default_rng(k)
    n = 40_000
    score = rng.normal(0, math.sqrt(0.3), n)
    ratings = score[:, None] + rng.normal(0, math.sqrt(0.7), (n, k + 1))
    got = reliability(ratings[:, :k].tolist())
    gold = ratings[:, :k].mean(axis=1)
    # A CCC of 40,000 has a standard error of about (1 - ccc^2) / 200 < .005.
    assert got.icc1 == pytest.approx(0.3, abs=0.02)
    assert got.ccc_true_score == pytest.approx(true, abs=0.015)
    assert got.ccc_true_score == pytest.approx(population_ccc(gold, score), abs=0.02)
    assert got.ccc_one_annotator == pytest.approx(other, abs=0.02)
    assert got.ccc_one_annotator == pytest.approx(population_ccc(gold, ratings[:, k]), abs=0.02)
    stretched = score * gold.std() / score.std()
    assert got.ccc_limit == pytest.approx(population_ccc(gold, stretched), abs=0.02)
    assert population_ccc(gold, stretched) > population_ccc(gold, score)


def test_unbalanced_ratings_need_not_agree_in_number():
    rng = np.random.default_rng(9)
    score = rng.normal(0, 1, 30_000)
    rows = [
        (s + rng.normal(0, 1, k)).tolist()
        for s, k in zip(score, rng.integers(1, 9, 30_000), strict=True)
    ]
    got = reliability(rows)
    gold = np.array([np.mean(r) for r in rows])
    assert got.icc1 == pytest.approx(0.5, abs=0.02)
    assert got.ccc_true_score == pytest.approx(population_ccc(gold, score), abs=0.01)


def test_perfect_annotators():
    got = reliability([[1, 1], [4, 4, 4], [7]])
    ones = (got.icc1, got.ccc_true_score, got.ccc_one_annotator, got.ccc_limit)
    assert ones == pytest.approx((1.0,) * 4, abs=1e-12)
    assert got.of_ceiling(0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("ratings", "says"),
    [
        ([], "0 utterance"),
        ([[1, 2]], "1 utterance"),
        ([[1], [2], [3]], "two ratings"),
        ([[0.1, 0.1, 0.1], [0.1, 0.1]], "alike"),
    ],
)
def test_what_does_not_exist_says_why(ratings, says):
    got = reliability(ratings)
    assert got.icc1 is None
    assert got.ccc_true_score is None
    assert says in got.reason
    assert got.of_ceiling(0.5) is None


def test_disagreement_beyond_chance_has_no_ceiling():
    got = reliability([[1, 7], [7, 1], [1, 7]])
    assert got.icc1 == pytest.approx(-1.0)  # MSB 0, MSW 18: -18 / 18
    assert (got.ccc_true_score, got.ccc_limit, got.icc1_mean) == (None, None, None)
    assert "-1.000" in got.reason


def test_share_of_the_ceiling():
    got = reliability([[1, 3], [4, 4], [6, 5]])
    assert got.of_ceiling(0.5) == pytest.approx(0.5 / got.ccc_true_score, abs=1e-12)
    assert got.of_ceiling(None) is None


@pytest.mark.parametrize(
    ("ratings", "says"),
    [([[1], []], "1 of 2 utterances.*number 1"), ([[1, math.nan], [1, 2]], "NaN")],
)
def test_refusals(ratings, says):
    with pytest.raises(OptionError, match=says):
        reliability(ratings)
