"""Calibration: golden values, formulas re-derived, laws, the notes' tables simulated, oracles."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.brier import brier_decomposition, classwise, reliability_diagram
from voxemo_tasks.metrics.calibration import (
    equal_mass_bins,
    l2_error,
    signed_gap,
    standard_error,
)
from voxemo_tasks.metrics.clusters import cluster_codes
from voxemo_tasks.metrics.confidence import soft_hits, top_weights
from voxemo_tasks.metrics.group_calibration import calibration_by_group, worst_cell
from voxemo_tasks.metrics.ranking import auroc, ranking

unit = st.floats(0, 1, width=16)


def draw(n, over=0.0, seed=0):
    """Confidences of a shape that generators have, and hits that fall short of them by ``over``."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 3, n)
    return confidence, (rng.random(n) < np.clip(confidence - over, 0, 1)).astype(float)


# The signed gap.


def test_the_gap_by_hand():
    """Differences -.1, .7, -.2, .6: mean .25; sd^2 = (.1225 + .2025 + .2025 + .1225) / 3."""
    g = signed_gap(np.array([0.9, 0.7, 0.8, 0.6]), np.array([1.0, 0.0, 1.0, 0.0]), seed=1)
    assert (g.n, g.value) == (4, pytest.approx(0.25, abs=1e-12))
    assert (g.mean_confidence, g.mean_target) == (pytest.approx(0.75), 0.5)
    error = math.sqrt(0.65 / 3 / 4)
    assert g.standard_error == pytest.approx(error, abs=1e-12)
    assert g.effective_n == pytest.approx(4, abs=1e-9)
    t = stats.t(3)
    assert g.detectable == pytest.approx((t.ppf(0.975) + t.ppf(0.8)) * error, abs=1e-10)


def test_detectable_is_2_8_sd_over_root_n():
    """Notes 2.1: about .10 at n = 200."""
    c, h = draw(200, seed=5)
    g = signed_gap(c, h, seed=1)
    assert g.detectable == pytest.approx(2.8 * np.std(c - h, ddof=1) / math.sqrt(200), rel=0.015)
    assert g.detectable == pytest.approx(0.1, abs=0.012)


def test_items_of_one_speaker_count_once():
    """Each item four times over under one speaker: the same value, and no more information."""
    c, h = draw(60, seed=2)
    once = signed_gap(c, h, seed=1)
    fourfold = signed_gap(np.repeat(c, 4), np.repeat(h, 4), np.repeat(np.arange(60), 4), seed=1)
    assert fourfold.value == pytest.approx(once.value, abs=1e-12)
    assert fourfold.standard_error == pytest.approx(once.standard_error, abs=1e-12)
    assert fourfold.detectable == pytest.approx(once.detectable, abs=1e-12)
    assert fourfold.effective_n == pytest.approx(60, rel=0.02)
    assert fourfold.interval.low == pytest.approx(once.interval.low, abs=1e-12)
    assert fourfold.interval.n_clusters == 60


def test_power_at_the_detectable_gap():
    """At a true gap of its size a z test finds it 4 times in 5; 400 draws, s.e. .02."""
    detectable = signed_gap(*draw(200, seed=0), seed=1).detectable
    found = 0
    for seed in range(400):
        c, h = draw(200, over=detectable, seed=1000 + seed)
        error = standard_error(c - h, np.arange(200))
        found += abs((c - h).mean()) > stats.t(199).ppf(0.975) * error
    assert found / 400 == pytest.approx(0.8, abs=0.07)


def test_the_gap_without_items_or_with_one_speaker():
    nothing = np.array([])
    g = signed_gap(nothing, nothing, seed=1)
    assert (g.n, g.value, g.standard_error, g.detectable) == (0, None, None, None)
    assert g.interval.reason
    one = signed_gap(np.array([0.5, 0.6]), np.array([1.0, 1.0]), ["ann", "ann"], seed=1)
    assert one.value == pytest.approx(-0.45)
    assert (one.standard_error, one.effective_n, one.detectable) == (None, None, None)
    assert one.interval.low is None
    still = signed_gap(np.full(4, 0.5), np.full(4, 0.5), seed=1)
    assert (still.value, still.standard_error, still.effective_n, still.detectable) == (
        0,
        0,
        None,
        0,
    )


def test_standard_error_is_scipys_for_items_of_their_own():
    x = np.random.default_rng(1).normal(size=30)
    assert standard_error(x, np.arange(30)) == pytest.approx(stats.sem(x), abs=1e-12)
    assert standard_error(x, np.zeros(30, dtype=int)) is None
    assert standard_error(x[:0], np.arange(0)) is None


# Bins.


@given(
    c=arrays(np.float64, st.integers(0, 40), elements=st.sampled_from(np.arange(11) / 10)),
    bins=st.integers(1, 8),
)
def test_bins_are_a_partition_that_parts_no_equals(c, bins):
    members = equal_mass_bins(c, bins)
    assert sorted(np.concatenate([*members, np.array([], dtype=int)])) == list(range(len(c)))
    assert len(members) <= bins
    if len(c) > 1:
        assert min(len(b) for b in members) >= 2
    for lower, upper in itertools.pairwise(members):
        assert c[lower].max() < c[upper].min()


def test_bins_are_array_splits_without_ties():
    c = np.random.default_rng(3).permutation(47) / 47
    got = equal_mass_bins(c, 6)
    wanted = np.array_split(np.argsort(c), 6)
    assert [g.tolist() for g in got] == [w.tolist() for w in wanted]


def test_few_items_make_few_bins():
    assert len(equal_mass_bins(np.linspace(0, 1, 7), 15)) == 3
    assert [b.tolist() for b in equal_mass_bins(np.array([0.4]), 15)] == [[0]]
    assert equal_mass_bins(np.array([]), 15) == []


@pytest.mark.parametrize(
    ("c", "bins", "sizes"),
    [
        # The cut after the third lies one into a run of three: back to its start.
        ([0.1, 0.2, 0.3, 0.3, 0.3, 0.9], 2, [2, 4]),
        # After the third of six, two into a run of three: on to its end.
        ([0.1, 0.2, 0.2, 0.2, 0.8, 0.9], 2, [4, 2]),
        # Halfway: on to its end.
        ([0.1, 0.1, 0.2, 0.2, 0.8, 0.9], 2, [4, 2]),
        # On to its end, where one item stays over.
        ([0.1, 0.3, 0.3, 0.3, 0.9], 2, [5]),
        ([0.4] * 6, 3, [6]),
    ],
)
def test_cuts_move_out_of_runs(c, bins, sizes):
    assert [len(b) for b in equal_mass_bins(np.array(c), bins)] == sizes


# The debiased error.


def reference_l2(c, h, bins):
    squared = 0.0
    for part in np.array_split(np.argsort(c, kind="stable"), bins):
        k = len(part)
        spread = sum((x - h[part].mean()) ** 2 for x in h[part]) / (k - 1)
        squared += k / len(c) * ((h[part].mean() - c[part].mean()) ** 2 - spread / k)
    return squared


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_l2_against_the_formula(bins):
    c, h = draw(203, over=0.1, seed=4)
    for target in (h, np.round(h * 0.8 + 0.1, 1)):
        e = l2_error(c, target, bins)
        assert e.squared == pytest.approx(reference_l2(c, target, bins), abs=1e-14)
        assert e.value == pytest.approx(math.copysign(math.sqrt(abs(e.squared)), e.squared))
        assert (e.n, e.bins) == (203, bins)


def test_l2_may_be_negative():
    """All .5, right half the time: distance 0, less the variance (1/3) / 4 of the mean."""
    e = l2_error(np.full(4, 0.5), np.array([1.0, 0.0, 1.0, 0.0]))
    assert e.squared == pytest.approx(-1 / 12, abs=1e-12)
    assert e.value == pytest.approx(-math.sqrt(1 / 12), abs=1e-12)


def test_l2_of_soft_targets_without_noise_is_the_distance():
    """Targets that do not vary within a bin leave nothing to subtract."""
    c = np.repeat([0.2, 0.8], 50)
    e = l2_error(c, np.repeat([0.3, 0.6], 50), 2)
    assert e.squared == pytest.approx((0.1**2 + 0.2**2) / 2, abs=1e-12)


def test_l2_needs_two_items():
    assert l2_error(np.array([0.5]), np.array([1.0])) == l2_error(np.array([0.5]), np.array([0.0]))
    assert l2_error(np.array([0.5]), np.array([1.0])).squared is None
    assert l2_error(np.array([]), np.array([])).value is None


def test_l2_against_uncertainty_calibration():
    utils = pytest.importorskip("calibration.utils")
    for bins in (5, 15, 17):
        c, h = draw(2000, over=0.05, seed=bins)
        data = [(float(p), int(y)) for p, y in zip(c, h, strict=True)]
        theirs = utils.unbiased_square_ce(utils.bin(data, utils.get_equal_bins(c.tolist(), bins)))
        assert l2_error(c, h, bins).squared == pytest.approx(theirs, abs=1e-12)


def test_the_diagram_against_netcal_and_mapie():
    """The plain error over its bins is the number that these packages give, for bins of equal mass."""
    metrics = pytest.importorskip("netcal.metrics")
    mapie = pytest.importorskip("mapie.metrics.calibration")
    for bins in (5, 15):
        c, h = draw(3000, over=0.05, seed=bins)
        diagram = reliability_diagram(c, h, None, bins=bins, seed=1)
        assert [one.n for one in diagram] == [3000 // bins] * bins
        ours = sum(one.n * abs(one.mean_confidence - one.mean_target) for one in diagram) / 3000
        theirs = metrics.ECE(bins=bins, equal_intervals=False).measure(c, h.astype(int))
        assert ours == pytest.approx(theirs, abs=1e-12)
        # MAPIE parts its bins at other places, so that a few items lie in the bin beside.
        theirs = mapie.expected_calibration_error(
            h.astype(int), c, num_bins=bins, split_strategy="quantile"
        )
        assert ours == pytest.approx(theirs, abs=5e-3)


# (n, over-confidence): mean and sd of the debiased error and of the gap; notes 2.1.
TABLE = {
    (50, 0.0): (-0.010, 0.14, -0.002, 0.064),
    (50, 0.1): (0.045, 0.16, 0.102, 0.07),
    (200, 0.0): (0.002, 0.07, 0.004, 0.033),
    (200, 0.1): (0.084, 0.06, 0.098, 0.03),
    (500, 0.0): (-0.005, 0.04, 0.003, 0.02),
    (500, 0.1): (0.097, 0.03, 0.100, 0.02),
}


@pytest.mark.parametrize(("n", "over"), list(TABLE))
def test_the_estimator_table(n, over):
    """300 draws; the tolerance is 4 standard errors of the mean here and there, and 15% of an sd."""
    errors, gaps, plain = [], [], []
    for seed in range(300):
        c, h = draw(n, over, seed=seed + 10_000 * n)
        errors.append(l2_error(c, h).value)
        gaps.append(float((c - h).mean()))
        parts = np.array_split(np.argsort(c), 15)
        plain.append(sum(abs((c[p] - h[p]).sum()) for p in parts) / n)
    l2_mean, l2_sd, gap_mean, gap_sd = TABLE[n, over]
    for values, mean, sd in ((errors, l2_mean, l2_sd), (gaps, gap_mean, gap_sd)):
        assert np.mean(values) == pytest.approx(mean, abs=4 * sd * math.sqrt(2 / 300))
        assert np.std(values) == pytest.approx(sd, rel=0.15, abs=0.006)
    # What the debiased error is for: the ordinary one says .20, .10, .06 of nothing.
    if not over:
        assert np.mean(plain) == pytest.approx({50: 0.199, 200: 0.101, 500: 0.062}[n], abs=0.01)


def test_disagreement_is_not_miscalibration():
    """Notes 2.2: a model that states the human distribution, items like CREMA-D's, ten votes."""
    rng = np.random.default_rng(7)
    truth = rng.dirichlet([0.3] * 6, 6000)
    votes = rng.multinomial(10, truth)
    confidence, weights = truth.max(axis=1), top_weights(truth)
    soft = soft_hits(votes, weights)
    plurality = (weights * top_weights(votes.astype(float))).sum(axis=1)
    assert abs(signed_gap(confidence, soft, seed=1).value) < 0.01
    assert abs(l2_error(confidence, soft).value) < 0.01
    assert signed_gap(confidence, plurality, seed=1).value < -0.15
    assert l2_error(confidence, plurality).value > 0.18


# Brier.


@given(data=st.data(), n=st.integers(2, 30), bins=st.integers(1, 6))
@settings(deadline=None)
def test_the_brier_parts_add_up(data, n, bins):
    c = data.draw(arrays(np.float64, n, elements=unit))
    h = data.draw(arrays(np.float64, n, elements=unit))
    d = brier_decomposition(c, h, bins)
    total = d.reliability - d.resolution + d.uncertainty + d.within_variance - d.within_covariance
    assert d.brier == pytest.approx(total, abs=1e-12)
    # One vote per item: right with probability h.
    assert d.brier == pytest.approx((h * (1 - c) ** 2 + (1 - h) * c**2).mean(), abs=1e-12)
    debiased = d.reliability_debiased - d.resolution_debiased + d.uncertainty_debiased
    assert debiased == pytest.approx(d.reliability - d.resolution + d.uncertainty, abs=1e-12)
    assert 0 <= d.disagreement <= d.uncertainty + 1e-12


def test_brier_by_hand():
    """Bins .5 (0, 1) and 1 (1, 1): h = 3/4.

    brier (.25 + .25) / 4; resolution (.25^2 + .25^2) / 2; noise 1/2 * (1/2) / 2 = 1/8;
    overall variance (1/4) / 4 = 1/16.
    """
    d = brier_decomposition(np.array([0.5, 0.5, 1, 1]), np.array([0.0, 1, 1, 1]), 2)
    got = (d.brier, d.reliability, d.resolution, d.uncertainty, d.disagreement)
    assert got == (1 / 8, 0, 1 / 16, 3 / 16, 0)
    assert d.reliability_debiased == pytest.approx(-1 / 8, abs=1e-12)
    assert d.resolution_debiased == pytest.approx(1 / 16 - 1 / 8 + 1 / 16, abs=1e-12)
    assert d.uncertainty_debiased == pytest.approx(3 / 16 + 1 / 16, abs=1e-12)


def test_debiased_brier_parts_are_unbiased():
    """Two confidences, .2 and .6, hits at .3 and .7: rel .01, res .04, unc .25; 4000 draws of 20."""
    rng = np.random.default_rng(8)
    parts = []
    for _ in range(4000):
        c = rng.choice([0.2, 0.6], 20)
        h = (rng.random(20) < c + 0.1).astype(float)
        d = brier_decomposition(c, h, 2)
        parts.append((d.reliability_debiased, d.resolution_debiased, d.uncertainty_debiased))
    errors = np.std(parts, axis=0) / math.sqrt(4000)
    assert np.all(np.abs(np.mean(parts, axis=0) - [0.01, 0.04, 0.25]) < 4 * errors)
    raw = [0.01 + 0.021, 0.04 + 0.021 / 2]
    assert errors[:2].max() * 4 < min(raw[0] - 0.01, raw[1] - 0.04)


def test_brier_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    c, h = draw(300, seed=3)
    assert brier_decomposition(c, h).brier == pytest.approx(
        sklearn.brier_score_loss(h, c), abs=1e-12
    )


def test_brier_of_too_little():
    assert brier_decomposition(np.array([0.5]), np.array([1.0])) is None
    assert brier_decomposition(np.array([]), np.array([])) is None


# Classwise.


def test_classwise_against_the_formula():
    rng = np.random.default_rng(9)
    shares = rng.dirichlet([1, 1, 1], 300)
    votes = rng.multinomial(5, shares)
    got = classwise(shares, votes, 10)
    truth = votes / 5
    for c in range(3):
        assert got.gaps[c] == pytest.approx((shares[:, c] - truth[:, c]).mean(), abs=1e-12)
        assert got.squared[c] == pytest.approx(
            reference_l2(shares[:, c], truth[:, c], 10), abs=1e-12
        )
    mean = np.mean(got.squared)
    assert got.value == pytest.approx(math.copysign(math.sqrt(abs(mean)), mean), abs=1e-12)
    assert sum(got.gaps) == pytest.approx(0, abs=1e-12)
    # Exact shares: nothing but noise, in either direction.
    assert abs(got.value) < 0.04


def test_classwise_gaps_sum_to_what_is_missing():
    got = classwise(np.array([[0.5, 0.2], [0.3, 0.3]]), np.array([[1, 1], [0, 2]]))
    assert sum(got.gaps) == pytest.approx(-(0.3 + 0.4) / 2, abs=1e-12)


def test_classwise_without_items():
    got = classwise(np.zeros((0, 2)), np.zeros((0, 2), dtype=int))
    assert (got.n, got.gaps, got.squared, got.value) == (0, (None, None), (None, None), None)


# The diagram.


def test_the_diagram():
    c, h = draw(300, seed=6)
    speakers = np.repeat(np.arange(30), 10)
    bars = reliability_diagram(c, h, speakers, bins=6, seed=1)
    assert (bars[0].low, bars[-1].high, sum(b.n for b in bars)) == (0, 1, 300)
    for bar, part in zip(bars, np.array_split(np.argsort(c), 6), strict=True):
        assert bar.mean_confidence == pytest.approx(c[part].mean(), abs=1e-12)
        assert bar.mean_target == pytest.approx(h[part].mean(), abs=1e-12)
        assert bar.low <= bar.mean_confidence <= bar.high
        assert bar.interval.low <= bar.mean_target <= bar.interval.high
        assert bar.interval.n_clusters == len(np.unique(speakers[part]))
    for lower, upper in itertools.pairwise(bars):
        assert lower.high == upper.low
    assert bars == reliability_diagram(c, h, speakers, bins=6, seed=1)
    assert bars != reliability_diagram(c, h, speakers, bins=6, seed=2)


def test_the_diagram_of_little():
    assert reliability_diagram(np.array([]), np.array([]), seed=1) == ()
    (bar,) = reliability_diagram(np.array([0.4]), np.array([1.0]), seed=1)
    assert (bar.low, bar.high, bar.n, bar.mean_target) == (0, 1, 1, 1)
    assert bar.interval.low is None


# Ranking.


@given(data=st.data(), n=st.integers(1, 12))
@settings(deadline=None)
def test_auroc_against_all_pairs(data, n):
    c = data.draw(arrays(np.float64, n, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])))
    h = data.draw(arrays(np.float64, n, elements=st.sampled_from([0.0, 0.2, 0.5, 1.0])))
    won = compared = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                weight = h[i] * (1 - h[j])
                compared += weight
                won += weight * ((c[i] > c[j]) + 0.5 * (c[i] == c[j]))
    got = auroc(c, h)
    if compared == 0:
        assert got is None
    else:
        assert got == pytest.approx(won / compared, abs=1e-9)


def test_auroc_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    c, h = draw(300, seed=3)
    c = c.round(1)
    assert auroc(c, h) == pytest.approx(sklearn.roc_auc_score(h, c), abs=1e-12)


def test_aurc_by_hand():
    """Risks 0, then a tie of 1 and 0 (1/2 each), then 1: 0, 1/4, 1/3, 1/2 over coverage."""
    r = ranking(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert r.aurc == pytest.approx((0 + 1 / 4 + 1 / 3 + 1 / 2) / 4, abs=1e-12)
    assert r.aurc_best == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4, abs=1e-12)
    assert (r.aurc_random, r.n) == (0.5, 4)
    assert ranking(np.array([]), np.array([])).aurc is None


@given(data=st.data(), n=st.integers(1, 20))
@settings(deadline=None)
def test_ranking_laws(data, n):
    c = data.draw(arrays(np.float64, n, elements=unit))
    h = data.draw(arrays(np.float64, n, elements=unit))
    r = ranking(c, h)
    assert r.aurc_best - 1e-12 <= r.aurc <= 1
    perfect = ranking(h, h)
    assert perfect.aurc == pytest.approx(perfect.aurc_best, abs=1e-12)
    constant = ranking(np.full(n, 0.5), h)
    assert constant.aurc == pytest.approx(r.aurc_random, abs=1e-12)
    squeezed = ranking(c / 2, h)
    assert squeezed.aurc == pytest.approx(r.aurc, abs=1e-12)
    order = data.draw(st.permutations(range(n)))
    assert ranking(c[order], h[order]).aurc == pytest.approx(r.aurc, abs=1e-12)


# Groups.


def grouped():
    rng = np.random.default_rng(11)
    sizes = {"A": 40, "B": 300, "C": 1000, "D": 240}
    over = {"A": 0.0, "B": 0.12, "C": 0.05, "D": -0.05}
    c = rng.beta(5, 3, sum(sizes.values()))
    groups = [name for name, n in sizes.items() for _ in range(n)]
    h = (rng.random(len(c)) < np.clip(c - [over[g] for g in groups], 0, 1)).astype(float)
    return c, h, groups, [f"{g}{i % 20}" for i, g in enumerate(groups)]


def test_calibration_by_group():
    from voxemo_tasks.metrics.random_effects import random_effects

    c, h, groups, speakers = grouped()
    r = calibration_by_group(c, h, groups, speakers, seed=1)
    assert [g.group for g in r.groups] == ["A", "B", "C", "D"]
    names = np.array(groups)
    for g in r.groups:
        at = np.flatnonzero(names == g.group)
        alone = signed_gap(c[at], h[at], [speakers[i] for i in at], seed=1)
        assert g.gap == alone
    effects = random_effects(
        np.array([g.gap.value for g in r.groups]),
        np.array([g.gap.standard_error for g in r.groups]),
    )
    assert r.effects == effects
    assert tuple(g.shrunk for g in r.groups) == effects.shrunk
    assert r.largest == r.groups[int(np.argmax(np.abs(effects.shrunk)))].group


def test_groups_without_a_standard_error_are_listed_only():
    c, h, groups, speakers = grouped()
    c = np.append(c, [0.5, 0.5, 0.9])
    h = np.append(h, [0.5, 0.5, 0.0])
    r = calibration_by_group(c, h, [*groups, "E", "E", "F"], [*speakers, "e", "ee", "f"], seed=1)
    assert [g.shrunk is None for g in r.groups] == [False] * 4 + [True] * 2
    assert [g.gap.standard_error for g in r.groups[4:]] == [0, None]
    assert r.groups[5].gap.value == pytest.approx(0.9)
    assert r.effects.k == 4
    lonely = calibration_by_group(np.array([0.5]), np.array([1.0]), ["A"], seed=1)
    assert (lonely.effects, lonely.largest) == (None, None)
    assert lonely.groups[0].gap.value == -0.5
    assert calibration_by_group(np.array([]), np.array([]), [], seed=1).groups == ()


def test_worst_cell():
    c, h, groups, speakers = grouped()
    w = worst_cell(c, h, groups, speakers, seed=1)
    names = np.array(groups)
    gaps = {g: abs((c - h)[names == g].mean()) for g in "BCD"}
    assert w.cell == max(gaps, key=gaps.get) == "D"
    at = np.flatnonzero(names == "D")
    assert w.gap == signed_gap(c[at], h[at], [speakers[i] for i in at], seed=1)
    assert (w.cells, w.too_few, w.minimum) == (3, ("A",), 200)
    assert worst_cell(c, h, groups, minimum=500, seed=1).cell == "C"
    none = worst_cell(c, h, groups, minimum=5000, seed=1)
    assert (none.cell, none.gap, none.cells) == (None, None, 0)


def test_cluster_numbers():
    assert cluster_codes(["b", "a", "b"], 3, "by_appearance").tolist() == [0, 1, 0]
    assert cluster_codes(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    assert cluster_codes(None, 2).tolist() == [0, 1]
    with pytest.raises(OptionError, match="2 clusters for 3 items"):
        cluster_codes(["b", "a"], 3)


half = np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: signed_gap(half, half[:1], seed=1), r"\(N,\)"),
        (lambda: signed_gap(half[None], half[None], seed=1), r"\(N,\)"),
        (lambda: signed_gap(half * 3, half, seed=1), "confidence must lie"),
        (lambda: signed_gap(half, half * np.nan, seed=1), "target must lie"),
        (lambda: signed_gap(half, half, ["a"], seed=1), "1 clusters for 2 items"),
        (lambda: signed_gap(half, half, level=2, seed=1), "level"),
        (lambda: l2_error(half, half, 0), "bins is 0"),
        (lambda: brier_decomposition(half, -half), "target must lie"),
        (lambda: classwise(half[None], np.array([[1, 0, 0]])), "same items"),
        (lambda: classwise(half[None], np.array([[0, 0]])), "no vote"),
        (lambda: auroc(half, half[:1]), r"\(N,\)"),
        (lambda: ranking(half * 3, half), "confidence must lie"),
        (lambda: worst_cell(half, half, ["a", "b"], minimum=10, seed=1), "noise alone"),
    ],
)
def test_refusals(call, says):
    with pytest.raises(OptionError, match=says):
        call()
