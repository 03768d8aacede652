"""Gaps between groups: by hand, a bootstrap loop, coverage, too few, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from voxemo_tasks.errors import LabelSetError, OptionError, UnknownNameError
from voxemo_tasks.metrics.confusion import Confusion
from voxemo_tasks.metrics.gaps import rate_gaps, share_gaps
from voxemo_tasks.metrics.hard import HARD_METRICS
from voxemo_tasks.metrics.intervals import bootstrap_interval, resample, table_rates

LABELS = ("angry", "neutral", "sad")


def speakers(rng, n, rate, spread=0.08, per_label=10):
    out = []
    for _ in range(n):
        hit = np.clip(rng.normal(rate, spread), 0.02, 0.98)
        rows = [
            [*rng.multinomial(per_label, np.where(np.arange(3) == i, hit, (1 - hit) / 2)), 0]
            for i in range(3)
        ]
        out.append(Confusion(LABELS, np.array(rows)))
    return out


def three(seed=1):
    rng = np.random.default_rng(seed)
    return {"A": speakers(rng, 8, 0.7), "B": speakers(rng, 12, 0.5), "C": speakers(rng, 35, 0.62)}


@pytest.mark.parametrize("metric", ["uar", "coverage", "macro_f1"])
def test_values_and_differences(metric):
    groups = three()
    got = rate_gaps(groups, metric, seed=1)
    pooled = {name: sum(c[1:], start=c[0]) for name, c in groups.items()}
    rate = HARD_METRICS[metric]
    values = {name: rate(c) for name, c in pooled.items()}
    for g in got.groups:
        assert g.value == values[g.group]
        others = [c for name, c in pooled.items() if name != g.group]
        assert g.difference == pytest.approx(g.value - rate(others[0] + others[1]), abs=1e-12)
        assert g.interval == bootstrap_interval(groups[g.group], metric, seed=1)
        assert (g.n, g.n_clusters) == (pooled[g.group].n(), len(groups[g.group]))
        assert (g.labels, g.too_few) == (LABELS, False)
        assert g.difference_interval.low <= g.difference <= g.difference_interval.high
    assert got.gap == pytest.approx(max(values.values()) - min(values.values()), abs=1e-12)
    assert got.gap_interval.low <= got.gap <= got.gap_interval.high
    assert (got.minimum, got.too_few) == (50, ())


def test_worst_and_best():
    got = rate_gaps(three(), "uar", seed=1)
    assert (got.worst, got.best) == ("B", "A")
    assert got.worst_group is got.groups[1]
    assert got.worst_group.difference_interval.high < 0
    turned = rate_gaps(three(), "uar", higher_is_better=False, seed=1)
    assert (turned.worst, turned.best, turned.gap) == ("A", "B", got.gap)


def test_intervals_from_the_replicates():
    """The documented construction, redone with scipy's quantiles and loops over pairs."""
    groups = three(4)
    got = rate_gaps(groups, "uar", level=0.9, replicates=300, seed=5)
    streams = np.random.SeedSequence(5).generate_state(3).tolist()
    drawn, tables, values = [], [], []
    for confusions, stream in zip(groups.values(), streams, strict=True):
        tables.append(resample(confusions, replicates=300, seed=stream))
        value = HARD_METRICS["uar"](sum(confusions[1:], start=confusions[0]))
        n = len(confusions)
        wider = math.sqrt(n / (n - 1)) * stats.t(n - 1).ppf(0.95) / stats.norm.ppf(0.95)
        drawn.append(value + (wider if n < 30 else 1) * (table_rates(tables[-1], "uar") - value))
        values.append(value)
    largest, parts = np.zeros(300), []
    for i in range(3):
        for j in range(i):
            d = values[i] - values[j]
            replicates = drawn[i] - drawn[j]
            s = np.std(replicates, ddof=1)
            largest = np.maximum(largest, np.abs(replicates - d) / s)
            parts.append((abs(d), s))
    q = np.quantile(largest, 0.9)
    assert got.gap_interval.low == pytest.approx(
        max(0, max(d - q * s for d, s in parts)), abs=1e-12
    )
    assert got.gap_interval.high == pytest.approx(max(d + q * s for d, s in parts), abs=1e-12)
    assert got.gap_interval.method == "simultaneous_cluster_bootstrap"
    # 43 speakers in the rest of A (B and C): no stretch.
    rest = table_rates(tables[1] + tables[2], "uar")
    wanted = np.quantile(drawn[0] - rest, [0.05, 0.95])
    interval = got.groups[0].difference_interval
    assert (interval.low, interval.high) == pytest.approx(tuple(wanted), abs=1e-12)
    assert (interval.n_clusters, interval.replicates, interval.level) == (55, 300, 0.9)


@pytest.mark.parametrize(
    ("rates", "n"), [([0.6] * 5, 10), ([0.6] * 5, 40), ([0.4, 0.7], 10), ([0.5, 0.6, 0.7], 40)]
)
def test_coverage(rates, n):
    """Nominal .95; 120 draws, s.e. .02. Simultaneous, so it may well cover more."""
    rng = np.random.default_rng(len(rates) * n)
    true_gap = max(rates) - min(rates)
    true_difference = rates[0] - np.mean(rates[1:])
    gap = difference = 0
    for seed in range(120):
        groups = {str(i): speakers(rng, n, rate) for i, rate in enumerate(rates)}
        got = rate_gaps(groups, "uar", replicates=250, seed=seed)
        gap += got.gap_interval.low <= true_gap <= got.gap_interval.high
        interval = got.groups[0].difference_interval
        difference += interval.low <= true_difference <= interval.high
    assert gap / 120 >= 0.95 - 0.06
    assert difference / 120 >= 0.95 - 0.06


def test_equal_groups_are_not_told_apart():
    same = three()["C"]
    got = rate_gaps({"A": same, "B": same}, "uar", seed=1)
    assert (got.gap, got.gap_interval.low, got.worst) == (0, 0, "A")
    assert got.gap_interval.high > 0


def test_perfect_groups_leave_no_width():
    perfect = [Confusion(LABELS, np.hstack([np.eye(3, dtype=int) * 9, np.zeros((3, 1), int)]))] * 3
    got = rate_gaps({"A": perfect, "B": perfect}, "uar", seed=1)
    assert (got.gap, got.gap_interval.low, got.gap_interval.high) == (0, 0, 0)


def test_too_few_are_listed_and_left_out():
    rng = np.random.default_rng(3)
    groups = {**three(), "D": speakers(rng, 1, 0.05), "E": [], "F": [Confusion.empty(LABELS)]}
    got = rate_gaps(groups, "uar", minimum=31, seed=1)
    assert [g.group for g in got.groups] == list("ABCDEF")
    assert got.too_few == ("D", "E", "F")
    assert (got.worst, got.best) == ("B", "A")
    d, e = got.groups[3], got.groups[4]
    assert (d.n, d.too_few, d.difference, d.difference_interval) == (30, True, None, None)
    assert d.value < 0.3
    assert d.interval.method == "iid_bootstrap_percentile"
    assert (e.n, e.n_clusters, e.value, e.labels, e.interval.low) == (0, 0, None, (), None)
    # Nobody's rest holds them, and nobody's replicates change.
    without = rate_gaps(three(), "uar", minimum=31, seed=1)
    assert [g.difference for g in got.groups[:3]] == [g.difference for g in without.groups]
    enough = rate_gaps(groups, "uar", minimum=30, seed=1)
    assert (enough.worst, enough.too_few) == ("D", ("E", "F"))


def test_the_minimum_counts_what_the_policy_counts():
    silent = [Confusion(("x", "y"), np.array([[20, 0, 80], [0, 20, 80]]))] * 2
    loud = [Confusion(("x", "y"), np.array([[90, 10, 0], [10, 90, 0]]))] * 2
    for policy, metric, few in (
        ("strict", "uar", ()),
        ("answered", "uar", ("silent",)),
        ("answered", "coverage", ()),
    ):
        got = rate_gaps(
            {"silent": silent, "loud": loud}, metric, policy=policy, minimum=100, seed=1
        )
        assert got.too_few == few
        assert got.groups[0].n == (80 if few else 400)


def test_labels_that_occur():
    one = [Confusion(("x", "y"), np.array([[60, 0, 0], [0, 0, 0]]))] * 2
    both = [Confusion(("x", "y"), np.array([[60, 0, 0], [0, 0, 60]]))] * 2
    got = rate_gaps({"one": one, "both": both}, "uar", seed=1)
    assert [g.labels for g in got.groups] == [("x",), ("x", "y")]
    got = rate_gaps({"one": one, "both": both}, "uar", policy="answered", seed=1)
    assert [g.labels for g in got.groups] == [("x",), ("x",)]


def test_one_group_has_no_gap():
    got = rate_gaps({"A": three()["A"]}, "uar", seed=1)
    assert (got.worst, got.best, got.gap) == ("A", "A", None)
    assert "a gap needs two" in got.gap_interval.reason
    assert (got.groups[0].difference, got.groups[0].value is None) == (None, False)
    none = rate_gaps({"A": []}, "uar", seed=1)
    assert (none.worst, none.worst_group, none.gap) == (None, None, None)


def test_shares():
    """Refusals: 4 of 100 and 16 of 100."""
    counts = {"A": np.array([[1, 50], [3, 50]]), "B": np.array([[9, 50], [7, 50]])}
    got = share_gaps(counts, seed=1)
    assert [g.value for g in got.groups] == [0.04, 0.16]
    assert (got.worst, got.best, got.gap) == ("B", "A", pytest.approx(0.12))
    assert [g.n for g in got.groups] == [100, 100]
    confusions = {
        name: [Confusion(("case",), np.array([[k, n - k]])) for k, n in rows.tolist()]
        for name, rows in counts.items()
    }
    assert got == rate_gaps(confusions, "wa", higher_is_better=False, seed=1)


@given(
    data=arrays(np.int64, (3, 4, 2), elements=st.integers(0, 30)), order=st.permutations(range(3))
)
@settings(max_examples=40, deadline=None)
def test_laws(data, order):
    counts = {str(i): np.stack([g.min(axis=1), g.max(axis=1)], axis=1) for i, g in enumerate(data)}
    got = share_gaps(counts, minimum=1, replicates=100, seed=1)
    moved = share_gaps({str(i): counts[str(i)] for i in order}, minimum=1, replicates=100, seed=1)
    assert moved.gap == got.gap
    by_name = {g.group: g for g in moved.groups}
    for g in got.groups:
        assert (by_name[g.group].value, by_name[g.group].n) == (g.value, g.n)
        if g.difference is not None:
            assert by_name[g.group].difference == pytest.approx(g.difference, abs=1e-12)
            assert -1 <= g.difference <= 1
    if got.gap is not None:
        values = [g.value for g in got.groups if g.value is not None]
        assert got.gap == pytest.approx(max(values) - min(values), abs=1e-12)
        if got.gap_interval.low is not None:
            assert 0 <= got.gap_interval.low <= got.gap + 1e-12
            assert got.gap - 1e-12 <= got.gap_interval.high <= 1


def test_seeds():
    first = rate_gaps(three(), "uar", seed=1)
    assert first == rate_gaps(three(), "uar", seed=1)
    assert first.gap_interval != rate_gaps(three(), "uar", seed=2).gap_interval


def test_undefined_replicates_are_counted():
    """One of two speakers is never answered: a quarter of the replicates have no answered rate."""
    half = [Confusion(("x",), np.array([[40, 0]])), Confusion(("x",), np.array([[0, 40]]))]
    full = [Confusion(("x",), np.array([[60, 0]]))] * 2
    got = rate_gaps({"half": half, "full": full}, "wa", policy="answered", minimum=1, seed=1)
    assert 700 < got.gap_interval.replicates < 800
    assert got.gap == 0


other = [Confusion(("x", "y"), np.array([[9, 1, 0], [1, 9, 0]]))]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: rate_gaps({}, "uar", seed=1), OptionError, "no group"),
        (lambda: rate_gaps(three(), "ua", seed=1), UnknownNameError, "did you mean"),
        (
            lambda: rate_gaps({**three(), "D": other}, "uar", seed=1),
            LabelSetError,
            "different labels",
        ),
        (lambda: rate_gaps(three(), "uar", minimum=0, seed=1), OptionError, "minimum is 0"),
        (lambda: rate_gaps(three(), "uar", level=1.5, seed=1), OptionError, "level"),
        (lambda: rate_gaps(three(), "uar", replicates=5, seed=1), OptionError, "replicates"),
        (lambda: rate_gaps(three(), "uar", policy="x", seed=1), OptionError, "no policy"),
        (lambda: share_gaps({"A": np.array([1, 2])}, seed=1), OptionError, r"\(G, 2\)"),
        (lambda: share_gaps({"A": np.array([[3, 2]])}, seed=1), OptionError, "at most the second"),
        (lambda: share_gaps({"A": np.array([[0.5, 2]])}, seed=1), OptionError, "whole numbers"),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call()
