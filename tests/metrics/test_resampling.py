"""Intervals of sums over clusters: the two methods by hand, the hard-label road, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.hard import Confusion
from voxemo_tasks.metrics.intervals import bootstrap_interval, redraw
from voxemo_tasks.metrics.resampling import ratio_interval, statistic_interval


def clusters(n, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 20, size=n).astype(float)
    return rng.normal(0.3, 0.2, size=n) * sizes, sizes


def drawn_ratios(numerators, denominators, replicates, seed):
    """The bootstrap as it is told: draw G clusters, add them up, divide."""
    rng = np.random.default_rng(seed)
    groups = len(numerators)
    picks = rng.integers(groups, size=(replicates, groups))
    return numerators[picks].sum(axis=1) / denominators[picks].sum(axis=1)


def test_few_clusters_get_students_t():
    a, b = clusters(6)
    got = ratio_interval(a, b, level=0.9, replicates=400, seed=2)
    spread = drawn_ratios(a, b, 400, 2).std(ddof=1)
    reach = stats.t(5).ppf(0.95) * spread * math.sqrt(6 / 5)
    assert (got.method, got.n_clusters, got.replicates) == ("cluster_bootstrap_t", 6, 400)
    assert got.low == pytest.approx(a.sum() / b.sum() - reach, abs=1e-12)
    assert got.high == pytest.approx(a.sum() / b.sum() + reach, abs=1e-12)


def test_many_clusters_get_percentiles():
    a, b = clusters(30)
    got = ratio_interval(a, b, replicates=500, seed=3)
    low, high = np.quantile(drawn_ratios(a, b, 500, 3), [0.025, 0.975])
    assert got.method == "cluster_bootstrap_percentile"
    assert (got.low, got.high) == (
        pytest.approx(low, abs=1e-12),
        pytest.approx(high, abs=1e-12),
    )


@pytest.mark.parametrize("n", [4, 40])
def test_a_ratio_of_counts_has_the_interval_of_the_hard_rate(n):
    """Weighted accuracy as hits over utterances: two roads to the same replicates."""
    rng = np.random.default_rng(1)
    tables = rng.integers(0, 6, size=(n, 2, 3))
    speakers = [Confusion(("angry", "sad"), table) for table in tables]
    hits = tables[:, 0, 0] + tables[:, 1, 1]
    hard = bootstrap_interval(speakers, "wa", seed=5)
    soft = ratio_interval(hits, tables.sum(axis=(1, 2)), seed=5, low=0, high=1)
    assert (soft.method, soft.n_clusters) == (hard.method, hard.n_clusters)
    assert soft.low == pytest.approx(hard.low, abs=1e-12)
    assert soft.high == pytest.approx(hard.high, abs=1e-12)


def test_limits_are_clipped_only_to_the_bounds_that_are_named():
    a, b = np.array([-4.0, 5.0, 0.5]), np.array([4.0, 5.0, 6.0])
    free = ratio_interval(a, b, seed=1)
    assert free.low < 0 < 1 < free.high
    held = ratio_interval(a, b, seed=1, low=0.0, high=1.0)
    assert (held.low, held.high) == (0.0, 1.0)
    assert ratio_interval(a, b, seed=1, low=0.0).high == free.high


def test_a_statistic_sees_sums_and_equals_the_ratio():
    a, b = clusters(12)
    ratio = ratio_interval(a, b, seed=4)
    other = statistic_interval(
        np.stack([b, a], axis=1), lambda sums: sums[:, 1] / sums[:, 0], seed=4
    )
    assert ratio == other


def test_empty_clusters_are_left_out():
    a, b = clusters(5)
    padded = ratio_interval(np.insert(a, 2, 0.0), np.insert(b, 2, 0.0), seed=6)
    assert padded == ratio_interval(a, b, seed=6)
    assert padded.n_clusters == 5


def test_a_cluster_may_have_a_negative_denominator_and_the_sum_may_not():
    assert ratio_interval(np.array([1.0, 2.0, 3.0]), np.array([-1.0, 9.0, 8.0]), seed=1).low
    none = ratio_interval(np.array([1.0, 2.0, 3.0]), np.array([-9.0, 2.0, 3.0]), seed=1)
    assert (none.low, none.high, none.method) == (None, None, "none")
    assert none.reason == "the statistic is undefined for these data"


def test_replicates_without_a_value_are_left_out_and_counted():
    got = ratio_interval(np.array([1.0, 1.0, 1.0]), np.array([0.0, 0.0, 2.0]), seed=1)
    picks = np.random.default_rng(1).integers(3, size=(1000, 3))
    assert got.replicates == (picks == 2).any(axis=1).sum() < 1000


def test_too_few_replicates_with_a_value():
    def never(sums):
        return np.where(len(sums) == 1, np.ones(len(sums)), np.nan)

    got = statistic_interval(np.ones((3, 1)), never, replicates=200, seed=1)
    assert got.reason == "the statistic is undefined in 200 of 200 replicates"


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_clusters_have_no_interval(n):
    got = ratio_interval(np.ones(n), np.ones(n), seed=1)
    assert (got.low, got.high, got.n_clusters) == (None, None, n)
    assert got.reason == f"{n} cluster(s) with data; an interval needs at least two"


@given(scale=st.floats(0.1, 10), shift=st.floats(-3, 3), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_linear_change_of_the_values_changes_the_limits_alike(scale, shift, seed):
    a, b = clusters(8, seed)
    first = ratio_interval(a, b, replicates=100, seed=seed)
    second = ratio_interval(scale * a + shift * b, b, replicates=100, seed=seed)
    assert second.low == pytest.approx(scale * first.low + shift, abs=1e-9)
    assert second.high == pytest.approx(scale * first.high + shift, abs=1e-9)


def test_the_seed_decides():
    a, b = clusters(8)
    assert ratio_interval(a, b, seed=1) == ratio_interval(a, b, seed=1)
    assert ratio_interval(a, b, seed=1) != ratio_interval(a, b, seed=2)


def test_redraw_adds_up_whole_rows():
    sums = redraw(10.0 ** np.arange(4)[:, None], 200, np.random.default_rng(1))[:, 0]
    digits = np.array([[int(d) for d in f"{int(s):04d}"] for s in sums])
    assert (digits.sum(axis=1) == 4).all()
    assert digits.max() > 1


@pytest.mark.parametrize("groups", [10, 40])
def test_intervals_cover(groups):
    """Of 300 corpora with speaker effects, 95% intervals hold the truth in about 95%."""
    rng = np.random.default_rng(9)
    held = 0
    for seed in range(300):
        sizes = rng.integers(10, 30, size=groups).astype(float)
        means = 0.4 + rng.normal(0, 0.1, size=groups) + rng.normal(0, 0.3, size=groups) / sizes**0.5
        got = ratio_interval(means * sizes, sizes, replicates=300, seed=seed)
        held += got.low <= 0.4 <= got.high
    # The standard error of the share is 0.0126; percentiles of 40 clusters are a little short.
    assert 0.90 <= held / 300 <= 0.985


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1.0, 2.0], [1.0], {}, "one value per cluster"),
        ([[1.0]], [[1.0]], {}, "one value per cluster"),
        ([1.0, np.nan], [1.0, 1.0], {}, "NaN or infinity"),
        ([1.0, 2.0], [1.0, np.inf], {}, "NaN or infinity"),
        ([1.0, 2.0], [1.0, 1.0], {"level": 1.0}, "level is 1.0"),
        ([1.0, 2.0], [1.0, 1.0], {"replicates": 99}, "at least 100"),
        ([1.0, 2.0], [1.0, 1.0], {"low": 1, "high": 0}, "low must be less than high"),
    ],
)
def test_refusals(a, b, options, message):
    with pytest.raises(OptionError, match=message):
        ratio_interval(np.array(a), np.array(b), seed=1, **options)


def test_refusals_of_statistics():
    with pytest.raises(OptionError, match=r"expected \(G, D\)"):
        statistic_interval(np.ones(3), lambda s: s[:, 0], seed=1)
    with pytest.raises(OptionError, match="one value per row"):
        statistic_interval(np.ones((3, 1)), lambda s: s, seed=1)
