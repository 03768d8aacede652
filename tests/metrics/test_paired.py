"""Paired differences: alignment, counts, intervals, sign-flip, McNemar, the comparison of all."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from voxemo_tasks.errors import LabelSetError, OptionError, UnknownNameError
from voxemo_tasks.metrics.hard import HARD_METRICS, Confusion
from voxemo_tasks.metrics.paired import (
    PairedCounts,
    difference,
    difference_error,
    difference_interval,
    pair,
)
from voxemo_tasks.metrics.paired_tests import compare, mcnemar, sign_flip_test

LABELS = ("angry", "neutral", "sad")


def simulated(n=120, speakers=6, seed=0, better=0.0, spread=0.0):
    """Gold, two systems and speakers, by utterance id."""
    rng = np.random.default_rng(seed)
    gold, first, second, who = {}, {}, {}, {}
    shift = rng.normal(better, spread, speakers)
    for i in range(n):
        u, s = f"u{i}", i % speakers
        gold[u], who[u] = LABELS[rng.integers(3)], f"s{s}"
        for system, p in ((first, 0.55 + shift[s]), (second, 0.55)):
            said = gold[u] if rng.random() < p else (*LABELS, None)[rng.integers(4)]
            system[u] = said
    return gold, first, second, who


def counts(clustered=True, **options):
    gold, first, second, who = simulated(**options)
    return pair(LABELS, gold, first, second, who if clustered else None)


def flipped(data, speakers):
    """The same data with the systems swapped for some speakers."""
    gold, first, second, who = data
    one = {u: (second if who[u] in speakers else first)[u] for u in gold}
    two = {u: (first if who[u] in speakers else second)[u] for u in gold}
    return gold, one, two, who


# ---- counts


def test_counts_hold_both_systems():
    data = simulated()
    gold, first, second, who = data
    p = pair(LABELS, gold, first, second, who)
    assert p.joint.shape == (6, 3, 4, 4)
    assert (p.n, p.n_clusters) == (120, 6)
    for system, said in ((0, first), (1, second)):
        expected = Confusion.from_pairs(LABELS, list(gold.values()), [said[u] for u in gold])
        assert p.confusion(system) == expected
    expected = np.zeros((3, 4, 4), dtype=int)
    column = {label: i for i, label in enumerate((*LABELS, None))}
    for u, s in who.items():
        if s == "s2":
            expected[column[gold[u]], column[first[u]], column[second[u]]] += 1
    np.testing.assert_array_equal(p.joint[2], expected)


def test_the_order_of_utterances_does_not_matter():
    gold, first, second, who = simulated()
    shuffled = {u: first[u] for u in sorted(first)}
    assert (pair(LABELS, gold, shuffled, second, who).joint == counts().joint).all()


def test_other_utterances_are_refused_with_counts():
    gold, first, second, who = simulated(n=10)
    del first["u3"], first["u4"]
    second["x1"] = "sad"
    del who["u9"]
    with pytest.raises(LabelSetError) as caught:
        pair(LABELS, gold, first, second, who)
    says = str(caught.value)
    assert "of 10 with gold, 8 in first and 11 in second" in says
    assert "2 without first (e.g. 'u3')" in says
    assert "1 in second without gold (e.g. 'x1')" in says
    assert "1 without clusters (e.g. 'u9')" in says


@pytest.mark.parametrize(("where", "label"), [(0, "joy"), (1, "joy"), (2, "joy"), (0, None)])
def test_labels_outside_the_set_are_refused(where, label):
    data = simulated(n=10)
    data[where]["u0"] = label
    with pytest.raises(LabelSetError, match=f"{label!r} is not one of angry"):
        pair(LABELS, *data)


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(LabelSetError, match=r"\(2, 3, 4\)"):
        PairedCounts(LABELS, np.zeros((2, 3, 4), dtype=int))
    with pytest.raises(LabelSetError, match="whole"):
        PairedCounts(LABELS, np.full((2, 3, 4, 4), 0.5))
    with pytest.raises(LabelSetError, match="0 or more"):
        PairedCounts(LABELS, np.full((2, 3, 4, 4), -1))


# ---- difference and interval


@pytest.mark.parametrize("policy", ["strict", "answered"])
@pytest.mark.parametrize("metric", list(HARD_METRICS))
def test_difference_is_that_of_the_two_rates(metric, policy):
    gold, first, second, who = simulated(seed=3, better=0.2)
    p = pair(LABELS, gold, first, second, who)
    rates = [
        HARD_METRICS[metric](
            Confusion.from_pairs(LABELS, list(gold.values()), [said[u] for u in gold]), policy
        )
        for said in (first, second)
    ]
    assert difference(p, metric, policy) == pytest.approx(rates[0] - rates[1], abs=1e-12)
    swapped = pair(LABELS, gold, second, first, who)
    assert difference(swapped, metric, policy) == pytest.approx(rates[1] - rates[0], abs=1e-12)


def test_interval_of_accuracy_equals_student_t_of_equal_speakers():
    """With speakers of equal size, the error of a difference of WA is the sd of speakers over root G."""
    gold, first, second, who = simulated(n=400, speakers=20, seed=1, spread=0.2)
    p = pair(LABELS, gold, first, second, who)
    own = [
        np.mean([(first[u] == gold[u]) - (second[u] == gold[u]) for u in gold if who[u] == f"s{s}"])
        for s in range(20)
    ]
    error, df = difference_error(p, "wa", replicates=20_000, seed=1)
    # The standard deviation of 20,000 replicates is known to half a percent.
    assert error == pytest.approx(np.std(own, ddof=1) / math.sqrt(20), rel=0.03)
    assert df == 19
    got = difference_interval(p, "wa", replicates=20_000, seed=1)
    assert got.method == "cluster_bootstrap_t"
    reach = stats.t.ppf(0.975, 19) * error
    assert (got.low, got.high) == pytest.approx((np.mean(own) - reach, np.mean(own) + reach))


def test_interval_without_clusters_redraws_utterances():
    p = counts(clustered=False, n=400, better=0.2)
    assert p.n_clusters == 1
    joint = p.joint[0]
    right = np.zeros((3, 4, 4))
    for c in range(3):
        right[c, c, :] += 1
        right[c, :, c] -= 1
    mean = (joint * right).sum() / 400
    sd = math.sqrt((joint * right**2).sum() / 400 - mean**2)
    error, df = difference_error(p, "wa", replicates=20_000, seed=1)
    assert error == pytest.approx(sd / 20, rel=0.03)
    assert df is None
    got = difference_interval(p, "wa", replicates=20_000, seed=1)
    assert got.method == "iid_bootstrap_percentile"
    assert (got.low, got.high) == pytest.approx(
        (mean - 1.96 * error, mean + 1.96 * error), abs=0.004
    )


def test_pairing_narrows_the_interval():
    """Two systems that say the same but for a few utterances."""
    gold, first, _, who = simulated(n=600, speakers=40)
    second = dict(first) | {f"u{i}": None for i in range(0, 30)}
    p = pair(LABELS, gold, first, second, who)
    got = difference_interval(p, "uar", seed=1)
    assert got.method == "cluster_bootstrap_percentile"
    assert got.high - got.low < 0.05
    assert difference_interval(pair(LABELS, gold, first, first, who), "uar", seed=1).high == 0


def test_too_little_has_no_interval():
    empty = pair(LABELS, {}, {}, {})
    assert difference(empty, "wa") is None
    assert difference_interval(empty, "wa", seed=1).method == "none"
    one = pair(LABELS, {"u": "sad"}, {"u": "sad"}, {"u": None})
    got = difference_interval(one, "wa", seed=1)
    assert (got.low, got.method) == (None, "none")
    assert "1 utterance(s)" in got.reason
    assert difference_error(one, "wa", seed=1) is None
    silent = pair(LABELS, *[dict.fromkeys("ab", x) for x in ("sad", None, "sad")])
    assert difference(silent, "wa", "answered") is None
    assert difference_interval(silent, "wa", policy="answered", seed=1).method == "none"
    assert sign_flip_test(silent, "wa", policy="answered", seed=1).p_value is None


# ---- sign flips


@pytest.mark.parametrize("policy", ["strict", "answered"])
@pytest.mark.parametrize("metric", ["wa", "uar", "macro_f1", "macro_precision"])
def test_exact_flips_equal_every_swap_of_the_data(metric, policy):
    data = simulated(n=48, speakers=6, seed=5, better=0.25)
    p = pair(LABELS, *data)
    observed = abs(difference(p, metric, policy))
    names = sorted(set(data[3].values()))
    hits = 0
    for chosen in itertools.product([False, True], repeat=6):
        swap = {s for s, yes in zip(names, chosen, strict=True) if yes}
        value = abs(difference(pair(LABELS, *flipped(data, swap)), metric, policy))
        hits += value >= observed - 1e-12
    got = sign_flip_test(p, metric, policy=policy, seed=1)
    assert (got.method, got.flips, got.n_differ) == ("exact", 64, 6)
    assert got.p_value == pytest.approx(hits / 64, abs=1e-12)


def test_random_flips_agree_with_exact_ones(monkeypatch):
    """20,000 flips: the standard error of a p-value of .1 is .002."""
    p = counts(n=260, speakers=13, seed=7, better=0.08)
    exact = sign_flip_test(p, "macro_f1", seed=1)
    assert exact.method == "exact"
    monkeypatch.setattr("voxemo_tasks.metrics.paired_tests.EXACT_UP_TO", 2)
    drawn = sign_flip_test(p, "macro_f1", seed=1)
    assert drawn.method == "random"
    assert 0.01 < exact.p_value < 0.9
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.015)


def test_utterances_are_flipped_one_by_one_without_clusters(monkeypatch):
    """Flips of single utterances are the binomial of McNemar: for WA the p-values agree."""
    p = counts(clustered=False, n=24, seed=4, better=0.3)
    m = mcnemar(p)
    monkeypatch.setattr("voxemo_tasks.metrics.paired_tests.EXACT_UP_TO", 18)
    got = sign_flip_test(p, "wa", seed=1)
    assert got.method == "exact"
    assert got.p_value == pytest.approx(m.p_exact, abs=1e-12)
    monkeypatch.setattr("voxemo_tasks.metrics.paired_tests.EXACT_UP_TO", 2)
    drawn = sign_flip_test(p, "wa", seed=1)
    assert drawn.method == "random"
    assert drawn.p_value == pytest.approx(m.p_exact, abs=0.015)


def test_chunks_do_not_change_the_patterns(monkeypatch):
    p = counts(n=130, speakers=13, seed=7, better=0.1)
    whole = sign_flip_test(p, "uar", seed=1)
    monkeypatch.setattr("voxemo_tasks.metrics.paired_tests._CHUNK", 1000)
    assert sign_flip_test(p, "uar", seed=1) == whole


def test_systems_that_say_the_same():
    gold, first, _, who = simulated()
    got = sign_flip_test(pair(LABELS, gold, first, first, who), "uar", seed=1)
    assert (got.p_value, got.n_differ, got.flips, got.least) == (1.0, 0, 1, 1.0)


def test_few_speakers_cannot_give_a_small_p_value():
    gold = {f"u{i}": "sad" for i in range(50)}
    who = {u: f"s{i % 5}" for i, u in enumerate(gold)}
    got = sign_flip_test(pair(("sad",), gold, gold, dict.fromkeys(gold), who), "wa", seed=1)
    assert got.p_value == got.least == 2 / 32


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_swapping_the_systems_keeps_the_p_value(seed):
    gold, first, second, who = simulated(n=40, speakers=5, seed=seed)
    one = sign_flip_test(pair(LABELS, gold, first, second, who), "macro_f1", seed=1)
    two = sign_flip_test(pair(LABELS, gold, second, first, who), "macro_f1", seed=1)
    assert one.p_value == two.p_value
    assert one.least <= one.p_value <= 1


def test_the_test_holds_its_level():
    """Equal systems, speakers who differ: 300 corpora; the standard error of .05 is .0126."""
    rejected, naive = 0, 0
    for seed in range(300):
        p = counts(n=320, speakers=16, seed=seed, spread=0.25)
        rejected += sign_flip_test(p, "uar", flips=500, seed=seed).p_value <= 0.05
        naive += mcnemar(p).p_mid <= 0.05
    assert rejected / 300 < 0.05 + 4 * 0.0126
    assert naive / 300 > 0.05 + 4 * 0.0126


# ---- McNemar


def by_cells(both, first, second, neither):
    cells = [("sad", "sad")] * both + [("sad", None)] * first
    cells += [("angry", "sad")] * second + [("angry", None)] * neither
    ids = [f"u{i}" for i in range(len(cells))]
    gold = dict.fromkeys(ids, "sad")
    one = {u: a for u, (a, _) in zip(ids, cells, strict=True)}
    return pair(LABELS, gold, one, {u: b for u, (_, b) in zip(ids, cells, strict=True)})


def test_mcnemar_of_fagerland():
    """Their table 1 (Bentur et al.): 1 and 7 discordant; exact .0703, mid-p .0391."""
    got = mcnemar(by_cells(1, 1, 7, 12))
    assert (got.only_first, got.only_second) == (1, 7)
    assert got.p_exact == pytest.approx(18 / 256, abs=1e-12)
    assert got.p_mid == pytest.approx(10 / 256, abs=1e-12)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_mcnemar_by_its_definition(one, two, same):
    got = mcnemar(by_cells(same, one, two, same))
    n = one + two
    probabilities = [math.comb(n, k) / 2**n for k in range(n + 1)]
    away = abs(one - n / 2)
    further = sum(p for k, p in enumerate(probabilities) if abs(k - n / 2) > away)
    alike = sum(p for k, p in enumerate(probabilities) if abs(k - n / 2) == away)
    assert got.p_exact == pytest.approx(further + alike, abs=1e-12)
    expected = further + alike / 2 if n else 1.0
    assert got.p_mid == pytest.approx(expected, abs=1e-12)


def test_mcnemar_equals_statsmodels():
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for one, two in ((3, 9), (0, 6), (10, 10), (41, 25)):
        expected = tables.mcnemar([[5, one], [two, 5]], exact=True).pvalue
        assert mcnemar(by_cells(5, one, two, 5)).p_exact == pytest.approx(expected, abs=1e-12)


# ---- all together


def test_compare_puts_it_together():
    p = counts(n=300, speakers=10, seed=2, better=0.15)
    got = compare(p, "uar", margin=0.3, seed=1)
    assert got.difference == pytest.approx(got.first - got.second, abs=1e-12)
    assert got.first == HARD_METRICS["uar"](p.confusion(0))
    assert got.interval == difference_interval(p, "uar", seed=1)
    assert got.sign_flip == sign_flip_test(p, "uar", seed=1)
    error, df = difference_error(p, "uar", seed=1)
    assert df == 9
    expected = (stats.t.ppf(0.975, 9) + stats.t.ppf(0.8, 9)) * error
    assert got.detectable == pytest.approx(expected, abs=1e-12)
    assert got.equivalence.p_value == pytest.approx(
        stats.t.sf((0.3 - abs(got.difference)) / error, 9), abs=1e-12
    )
    assert compare(p, "uar", seed=1).equivalence is None
    wide = compare(p, "uar", alpha=0.5, seed=1).interval
    assert wide.level == 0.5
    assert wide.high - wide.low < got.interval.high - got.interval.low


def test_compare_nothing():
    got = compare(pair(LABELS, {}, {}, {}), "wa", margin=0.1, seed=1)
    assert (got.first, got.difference, got.standard_error, got.detectable) == (None,) * 4
    assert (got.equivalence, got.sign_flip.p_value, got.n) == (None, None, 0)


@pytest.mark.parametrize("clustered", [True, False])
@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda p: difference(p, "f1"), UnknownNameError, "'f1'"),
        (lambda p: difference_interval(p, "uar", level=1.0, seed=1), OptionError, "level"),
        (lambda p: difference_interval(p, "uar", replicates=9, seed=1), OptionError, "100"),
        (lambda p: sign_flip_test(p, "uar", flips=9, seed=1), OptionError, "flips is 9"),
        (lambda p: sign_flip_test(p, "uarr", seed=1), UnknownNameError, "uar"),
        (lambda p: compare(p, "uar", margin=-1, seed=1), OptionError, "margin"),
    ],
)
def test_refusals(call, error, says, clustered):
    with pytest.raises(error, match=says):
        call(counts(clustered=clustered))
