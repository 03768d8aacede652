"""Errors of a reader: limits, the correction by hand, coverage with both samples, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from voxemo_tasks.errors import LabelSetError, OptionError, UnknownNameError
from voxemo_tasks.metrics.hard import Confusion
from voxemo_tasks.metrics.intervals import table_rates
from voxemo_tasks.metrics.misclassification import (
    correct_rate,
    correct_shares,
    dirichlet_rows,
    proportion_limits,
    row_limits,
    to_simplex,
)

RUNS = 400
MIXING = np.array([[0.85, 0.1, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])


def held(covered, runs=RUNS):
    return abs(covered / runs - 0.95) < 4 * math.sqrt(0.95 * 0.05 / runs) + 0.015


# ---- limits of a share


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (3, 7), (7, 7), (50, 200), (1, 1)])
@pytest.mark.parametrize("method", ["wilson", "clopper_pearson"])
def test_limits_equal_scipy(hits, n, method):
    theirs = stats.binomtest(hits, n).proportion_ci(
        0.9, method="exact" if method == "clopper_pearson" else "wilson"
    )
    got = proportion_limits(hits, n, method=method, level=0.9)
    assert got == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (got[0] == 0.0) == (hits == 0)
    assert (got[1] == 1.0) == (hits == n)


def test_dirichlet_limits_are_beta_quantiles():
    got = proportion_limits(3, 7, method="dirichlet")
    assert got == pytest.approx(stats.beta(3.5, 4.5).interval(0.95), abs=1e-12)
    row = row_limits(np.array([[3, 4, 0], [1, 1, 1], [0, 0, 2]]), method="dirichlet")[0]
    assert row[0] == pytest.approx(stats.beta(3.5, 5.0).interval(0.95), abs=1e-12)
    assert row[2] == pytest.approx(stats.beta(0.5, 8.0).interval(0.95), abs=1e-12)


@given(n=st.integers(1, 200), data=st.data())
def test_limits_hold_the_share_and_mirror(n, data):
    hits = data.draw(st.integers(0, n))
    for method in ("wilson", "clopper_pearson"):
        low, high = proportion_limits(hits, n, method=method)
        assert 0 <= low <= hits / n <= high <= 1
        other = proportion_limits(n - hits, n, method=method)
        assert other == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_no_trials_have_no_limits():
    assert proportion_limits(0, 0) is None
    assert row_limits(np.array([[1, 1], [0, 0]]))[1] == [None, None]


def test_draws_have_the_moments_of_a_dirichlet():
    table = np.array([[30, 8, 2], [0, 5, 5], [0, 0, 0]])
    draws = dirichlet_rows(table, 40_000, np.random.default_rng(1))
    alpha = table + 0.5
    mean = alpha / alpha.sum(axis=1, keepdims=True)
    error = np.sqrt(mean * (1 - mean) / (alpha.sum(axis=1, keepdims=True) + 1))
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * error / 200).all()
    assert draws.std(axis=0) == pytest.approx(error, rel=0.05)


# ---- shares


def test_two_outcomes_are_rogan_and_gladen():
    """(q + specificity - 1) / (sensitivity + specificity - 1), and the variance of their paper."""
    errors = np.array([[180, 20], [15, 85]])
    got = correct_shares([330, 670], errors)
    sens, spec, q = 0.9, 0.85, 0.33
    p = (q + spec - 1) / (sens + spec - 1)
    assert got.exact[0] == pytest.approx(p, abs=1e-12)
    variance = (
        q * (1 - q) / 1000 + p**2 * sens * (1 - sens) / 200 + (1 - p) ** 2 * spec * (1 - spec) / 100
    ) / (sens + spec - 1) ** 2
    assert got.error[0] == pytest.approx(math.sqrt(variance), abs=1e-12)
    assert got.limits[0][1] == pytest.approx(p + 1.959963984540054 * math.sqrt(variance), abs=1e-9)
    assert (got.n, got.n_calibration, got.reason) == (1000, 300, None)


def test_shares_that_were_mixed_come_back():
    p = np.array([0.5, 0.3, 0.2])
    q = p @ MIXING
    got = correct_shares((q * 100_000).round().astype(int), (MIXING * 1000).astype(int))
    assert got.shares == pytest.approx(p, abs=1e-4)
    assert got.condition == pytest.approx(np.linalg.cond(MIXING))


def test_a_reader_without_errors_changes_nothing():
    got = correct_shares([5, 3, 2], np.diag([4, 9, 7]))
    assert got.shares == pytest.approx(got.read)
    assert got.condition == 1.0


@pytest.mark.parametrize("n_calibration", [60, 400])
def test_limits_hold_both_samples(n_calibration):
    rng = np.random.default_rng(2)
    p = np.array([0.5, 0.3, 0.2])
    covered, without = np.zeros(3), np.zeros(3)
    for _ in range(RUNS):
        errors = np.stack([rng.multinomial(n_calibration, row) for row in MIXING])
        read = rng.multinomial(3000, p @ MIXING)
        got = correct_shares(read, errors)
        limits = np.array(got.limits)
        covered += (limits[:, 0] <= p) & (p <= limits[:, 1])
        # With the calibration sample taken for the truth, the interval is too narrow.
        sure = correct_shares(read, errors * 10**6)
        reach = 1.96 * np.array(sure.error)
        without += np.abs(np.array(got.exact) - p) <= reach
    assert all(held(c) for c in covered)
    assert (without / RUNS < 0.9).all()


def test_a_solution_outside_is_projected_and_reported():
    got = correct_shares([1000, 0], np.array([[80, 20], [20, 80]]))
    assert got.exact == pytest.approx((4 / 3, -1 / 3))
    assert got.shares == (1.0, 0.0)
    assert "leaves [0, 1]" in got.reason


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6))
@settings(max_examples=100)
def test_the_simplex_is_the_nearest_point(values):
    given_, got = np.array(values), to_simplex(np.array(values))
    assert got.sum() == pytest.approx(1, abs=1e-9)
    assert (got >= 0).all()
    # Optimality: what was moved down stays equal among the positive, and more among the zeros.
    moved = given_ - got
    level = moved[got > 0]
    assert np.ptp(level) < 1e-9
    assert (moved <= level.max() + 1e-9).all()


@pytest.mark.parametrize(
    ("read", "errors", "says"),
    [
        ([0, 0], [[5, 1], [1, 5]], "no replies"),
        ([5, 5], [[5, 1], [0, 0]], "no calibration reply means outcome 1"),
        ([5, 5], [[5, 5], [5, 5]], "cannot be undone"),
        ([5, 5], [[51, 49], [49, 51]], "condition number 50, allowed 20"),
    ],
)
def test_nothing_to_correct_and_why(read, errors, says):
    got = correct_shares(read, np.array(errors))
    assert (got.shares, got.exact, got.error, got.limits) == (None, None, None, None)
    assert says in got.reason


# ---- rates

GOLD_ROWS = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]])  # what replies mean, by gold label


def confusion(table):
    return Confusion(("angry", "sad"), np.asarray(table).astype(np.int64))


def test_a_rate_that_was_mixed_comes_back():
    mixed = (GOLD_ROWS * np.array([[7000], [3000]])) @ MIXING
    got = correct_rate([confusion(mixed.round())], (MIXING * 1000).astype(int), "uar", seed=1)
    assert got.value == pytest.approx(0.65, abs=1e-3)
    assert got.read == pytest.approx(table_rates(mixed[None], "uar")[0], abs=1e-3)
    for metric, true in (("wa", 0.67), ("coverage", 0.9)):
        rate = correct_rate([confusion(mixed.round())], (MIXING * 1000).astype(int), metric, seed=1)
        assert rate.value == pytest.approx(true, abs=1e-3)


@pytest.mark.parametrize("metric", ["uar", "coverage"])
def test_the_interval_of_a_rate_holds_both_samples(metric):
    rng = np.random.default_rng(3)
    true = {"uar": 0.65, "coverage": 0.9}[metric]
    covered = plain = 0
    for _ in range(200):
        errors = np.stack([rng.multinomial(150, row) for row in MIXING])
        rows = [
            rng.multinomial(n, row @ MIXING) for n, row in zip((900, 600), GOLD_ROWS, strict=True)
        ]
        got = correct_rate([confusion(rows)], errors, metric, replicates=300, seed=1)
        covered += got.interval.low <= true <= got.interval.high
        sure = correct_rate([confusion(rows)], errors * 10**6, metric, replicates=300, seed=1)
        plain += sure.interval.low <= true <= sure.interval.high
    assert held(covered, 200)
    assert plain / 200 < 0.88


def test_speakers_are_redrawn():
    """The same counts: thirty speakers that differ are wider than one table of them all."""
    rng = np.random.default_rng(4)
    shares = rng.beta(1, 1, size=30)
    speakers = [confusion([[40 * s, 40 - 40 * s, 0], [0, 40, 0]]) for s in shares.round(1)]
    errors = (MIXING * 10_000).astype(int)
    many = correct_rate(speakers, errors, "uar", seed=1)
    pooled = confusion(np.sum([c.counts for c in speakers], axis=0))
    one = correct_rate([pooled], errors, "uar", seed=1)
    assert many.value == one.value
    assert many.interval.n_clusters == 30
    assert many.interval.high - many.interval.low > 2 * (one.interval.high - one.interval.low)


def test_a_reader_that_never_erred_in_a_small_sample_may_still_err():
    table = confusion([[70, 30, 0], [30, 70, 0]])
    few = correct_rate([table], np.diag([10, 10, 10]), "uar", seed=1).interval
    many = correct_rate([table], np.diag([10_000] * 3), "uar", seed=1).interval
    assert few.high - few.low > 1.1 * (many.high - many.low)


@pytest.mark.parametrize(
    ("tables", "errors", "metric", "says"),
    [
        ([], np.eye(3, dtype=int), "uar", "no replies"),
        ([[[5, 1, 0], [1, 5, 0]]], np.diag([1, 1, 0]), "uar", "means outcome 2"),
        ([[[5, 1, 0], [1, 5, 0]]], np.ones((3, 3), dtype=int), "uar", "cannot be undone"),
    ],
)
def test_no_rate_and_why(tables, errors, metric, says):
    got = correct_rate([confusion(t) for t in tables], errors, metric, seed=1)
    assert (got.value, got.interval.low) == (None, None)
    assert says in got.reason


def test_a_rate_that_does_not_exist():
    got = correct_rate(
        [confusion([[0, 0, 5], [0, 0, 5]])], 10 * np.eye(3, dtype=int), "uar",
        policy="answered", seed=1,
    )  # fmt: skip
    assert (got.value, got.read) == (None, None)
    assert "undefined" in got.reason


def test_replicates_that_cannot_be_undone_take_the_interval():
    weak = np.array([[3, 2, 0], [2, 3, 0], [0, 0, 5]])
    got = correct_rate([confusion([[50, 40, 10], [30, 60, 10]])], weak, "uar", seed=1)
    assert got.value is not None
    assert got.interval.low is None
    assert "replicates cannot be corrected" in got.interval.reason


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: proportion_limits(3, 2), "3 hits of 2 trials"),
        (lambda: proportion_limits(1, 2, method="wald"), "no method is called 'wald'"),
        (lambda: proportion_limits(1, 2, level=1), "level is 1"),
        (lambda: proportion_limits(1, 2, prior=0), "prior is 0"),
        (
            lambda: dirichlet_rows(np.eye(2, dtype=int), 2, np.random.default_rng(1), prior=0),
            "prior",
        ),
        (lambda: row_limits(np.ones((2, 3), dtype=int)), "expected (K, K)"),
        (lambda: row_limits(np.ones((2, 2))), "whole numbers"),
        (lambda: correct_shares([1, 2, 3], np.eye(2, dtype=int)), "expected 2 counts"),
        (lambda: correct_shares([1, -2], np.eye(2, dtype=int)), "0 or more"),
        (lambda: correct_shares([1, 2], np.eye(2, dtype=int), level=0), "level is 0"),
        (lambda: correct_rate([], np.eye(3, dtype=int), "uar", level=2, seed=1), "level is 2"),
        (
            lambda: correct_rate([], np.eye(3, dtype=int), "uar", replicates=9, seed=1),
            "at least 100",
        ),
    ],
)
def test_refused(call, says):
    with pytest.raises(OptionError) as caught:
        call()
    assert says in str(caught.value)


def test_other_outcomes_or_metrics_are_refused():
    with pytest.raises(LabelSetError, match="4 outcomes"):
        correct_rate([confusion([[1, 0, 0], [0, 1, 0]])], np.eye(4, dtype=int), "uar", seed=1)
    with pytest.raises(UnknownNameError):
        correct_rate([confusion([[1, 0, 0], [0, 1, 0]])], np.eye(3, dtype=int), "auc", seed=1)
