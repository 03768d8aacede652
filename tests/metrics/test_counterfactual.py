"""Counterfactual validity: models whose listening is known, formulas by hand, refusals."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.counterfactual import (
    by_operation,
    claim_test,
    counterfactual_rates,
    generality,
    graded_effect,
)
from voxemo_tasks.metrics.doses import dose_response
from voxemo_tasks.metrics.foresight import foresight

N, LABELS = 600, 4


def listening(rng, claims_truly):
    """Its answer turns with one cue; half of its claims' versions really turn it."""
    original = rng.integers(0, LABELS, N)
    turned = (original + 1) % LABELS
    hears = rng.random(N) < 0.85
    slips = rng.random(N) < 0.1
    strong = np.where(hears, turned, original)
    weak = np.where(slips, turned, original)
    claimed, placebo = (strong, weak) if claims_truly else (weak, strong)
    return original, original, claimed, placebo, turned


def text_only(rng, redraws):
    """Knows only the words; some answers are drawn anew each time."""
    original = rng.integers(0, LABELS, N)

    def again():
        return np.where(rng.random(N) < redraws, rng.integers(0, LABELS, N), original)

    return again(), again(), again(), again(), (original + 1) % LABELS


def score(answers, **options):
    return counterfactual_rates(*(a.tolist() for a in answers), seed=1, **options)


SPEAKERS = np.arange(N) % 40


def test_true_claims_have_an_effect():
    r = score(listening(np.random.default_rng(1), True), clusters=SPEAKERS)
    assert abs(r.claim_effect.value - 0.75) < 4 * math.sqrt(0.85 * 0.15 / N + 0.1 * 0.9 / N)
    assert r.claim_effect.interval.low > 0.6
    assert r.p_value < 1e-6
    assert r.target_hit.value == r.flip.value
    assert r.sham_flip.value == 0.0


def test_false_claims_have_an_effect_below_zero():
    r = score(listening(np.random.default_rng(2), False), clusters=SPEAKERS)
    assert r.claim_effect.interval.high < 0
    assert r.target_hit.value < 0.2


def test_random_answers_flip_and_show_nothing():
    """The raw flip rate would pass; claim effect, target and sham show that nobody listens."""
    r = score(text_only(np.random.default_rng(3), 0.5), clusters=SPEAKERS)
    assert r.flip.value > 0.4
    assert r.sham_flip.value > 0.4
    error = math.sqrt(2 * 0.25 / N)
    assert abs(r.claim_effect.value) < 4 * error
    assert r.claim_effect.interval.low < 0 < r.claim_effect.interval.high
    assert abs(r.sham_corrected.value) < 8 * error
    assert r.target_hit.value < 0.25


def test_fixed_text_only_answers_are_all_zero():
    r = score(text_only(np.random.default_rng(4), 0.0))
    rates = (r.claim_effect, r.target_hit, r.flip, r.placebo_flip, r.sham_flip, r.sham_corrected)
    assert [e.value for e in rates] == [0.0] * 6
    assert r.p_value == 1.0


def test_rates_by_hand():
    """Answers against the sham, not the original; a non-answer is an answer of its own."""
    r = counterfactual_rates(
        original=[0, 0, 0, 0, 1],
        sham=[0, 0, 1, 0, 1],
        claimed=[1, -1, 1, 0, 0],
        placebo=[0, 1, 0, 0, 1],
        target=[1, 1, None, None, None],
        seed=1,
    )
    assert r.sham_flip.value == 0.2
    assert r.flip.value == 0.6
    assert r.placebo_flip.value == 0.4
    assert r.claim_effect.value == pytest.approx(0.2)
    assert r.target_hit.value == pytest.approx(0.4)  # the first, and the last that just flips
    assert r.sham_corrected.value == pytest.approx(0.5)
    assert r.claim_effect.n == r.n == 5


def test_speakers_are_clusters():
    """All trials of a speaker alike: the interval is that of the speakers."""
    flips = np.repeat(np.arange(40) % 2, 10)
    still = np.zeros(400, dtype=int)
    sides = (still, still, flips, still, flips)
    together = score(sides, clusters=np.repeat(np.arange(40), 10)).flip.interval
    alone = score(sides).flip.interval
    assert together.n_clusters == 40
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_no_trials_and_all_shams_flipped():
    none = counterfactual_rates([], [], [], [], [], seed=1)
    assert (none.claim_effect.value, none.p_value, none.n) == (None, None, 0)
    r = counterfactual_rates([0, 0], [1, 1], [0, 1], [1, 1], [0, 0], seed=1)
    assert (r.sham_flip.value, r.sham_corrected.value) == (1.0, None)


@pytest.mark.parametrize(("more", "less"), [(3, 0), (8, 2), (5, 5), (0, 4), (40, 22)])
def test_mcnemar_mid_p(more, less):
    flips = [1] * more + [0] * less + [1, 0]
    placebos = [0] * more + [1] * less + [1, 0]
    exact = stats.binomtest(more, more + less, 0.5).pvalue
    expected = min(1.0, exact - stats.binom.pmf(more, more + less, 0.5))
    if more == less:
        expected = 1.0
    assert claim_test(flips, placebos) == pytest.approx(expected, abs=1e-12)


def test_operations_are_adjusted_together():
    groups = ["up"] * 8 + ["down"] * 8 + ["slow"] * 8
    flips = [1] * 8 + [1, 0] * 4 + [1] * 4 + [0] * 4
    placebos = [0] * 8 + [0, 1] * 4 + [0] * 8
    got = by_operation(groups, flips, placebos)
    raw = {k: claim_test(flips[i : i + 8], placebos[i : i + 8]) for k, i in
           (("up", 0), ("down", 8), ("slow", 16))}  # fmt: skip
    adjusted = stats.false_discovery_control(list(raw.values()))
    assert {k: got[k][1] for k in raw} == pytest.approx(dict(zip(raw, adjusted, strict=True)))
    assert {k: (v[0], v[2]) for k, v in got.items()} == {
        "up": (1.0, 8),
        "down": (0.0, 8),
        "slow": (0.5, 8),
    }


# ---- foresight


def test_foresight_equals_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    said, seen = rng.random(300) < 0.4, rng.random(300) < 0.6
    shift = rng.random(300) + said
    got = foresight(said.astype(float), seen, shift, seed=1)
    assert got.balanced_accuracy.value == pytest.approx(
        metrics.balanced_accuracy_score(seen, said), abs=1e-12
    )
    assert got.mcc.value == pytest.approx(metrics.matthews_corrcoef(seen, said), abs=1e-12)
    assert got.cct.value == pytest.approx(np.corrcoef(said, shift)[0, 1], abs=1e-12)
    assert got.invariance.value == pytest.approx((~seen)[~said].mean(), abs=1e-12)
    assert got.invariance.n == (~said).sum()


def test_sizes_count_for_the_correlation_only():
    said, seen, shift = np.array([0, 1, 2, 2.0]), [False, True, True, True], [0, 0.3, 0.6, 0.6]
    got = foresight(said, seen, shift, seed=1)
    assert got.cct.value == pytest.approx(1.0)
    assert got.balanced_accuracy.value == got.mcc.value == 1.0


def test_knowing_oneself_or_not():
    rng = np.random.default_rng(6)
    seen = rng.random(800) < 0.5
    shift = np.where(seen, 0.8, 0.1) + rng.normal(0, 0.05, 800)
    knows = np.where(rng.random(800) < 0.9, seen, ~seen).astype(float)
    good = foresight(knows, seen, shift, clusters=np.arange(800) % 40, seed=1)
    bad = foresight(rng.permutation(knows), seen, shift, clusters=np.arange(800) % 40, seed=1)
    assert good.balanced_accuracy.interval.low > 0.85
    assert good.mcc.interval.low > 0.7
    assert bad.balanced_accuracy.interval.low < 0.5 < bad.balanced_accuracy.interval.high
    assert bad.cct.interval.low < 0 < bad.cct.interval.high


def test_foresight_without_variation():
    got = foresight([1, 1, 1], [1, 0, 1], [0.5, 0.5, 0.5], seed=1)
    assert (got.mcc.value, got.invariance.value, got.cct.value) == (None, None, None)
    assert got.balanced_accuracy.value == 0.5
    assert foresight([1, 0], [1, 1], [0.1, 0.2], seed=1).balanced_accuracy.value is None
    assert foresight([], [], [], seed=1).mcc.value is None


# ---- degrees and doses


def test_graded_effect_by_hand():
    after = np.array([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5]])
    before = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    got = graded_effect(after, before, [1, 1, 0], seed=1)
    assert got.value == pytest.approx((0.4 - 0.1 + 0) / 3)
    assert got.n == 3
    assert graded_effect(np.empty((0, 2)), np.empty((0, 2)), [], seed=1).value is None


def test_a_rising_dose_and_none():
    rng = np.random.default_rng(7)
    dose = np.linspace(0, 0.6, 5)
    rising = dose + rng.normal(0.2, 0.05, (40, 5))
    got = dose_response(rising, seed=1)
    assert got.rank_correlation.interval.low > 0.8
    assert got.violations.value < 0.1
    assert got.p_value < 1e-6
    assert got.misfit == 0.0
    flat = dose_response(rng.normal(size=(40, 5)), seed=1)
    error = 1 / math.sqrt(4 * 40)  # of a mean rho of five doses: variance 1 / (doses - 1)
    assert abs(flat.rank_correlation.value) < 4 * error
    assert abs(flat.violations.value - 0.5) < 4 * math.sqrt(0.25 / 160)
    assert flat.p_value > 0.001


def test_dose_response_equals_scipy():
    rng = np.random.default_rng(8)
    table = rng.integers(0, 4, size=(15, 4)).astype(float)
    table[3] = 2.0
    got = dose_response(table, seed=1)
    rho = [stats.spearmanr(range(4), row).statistic for row in table if np.ptp(row)]
    assert got.rank_correlation.value == pytest.approx(np.mean(rho), abs=1e-12)
    assert (got.rank_correlation.n, got.n_flat) == (len(rho), 15 - len(rho))
    isotonic = pytest.importorskip("scipy.optimize").isotonic_regression(table.mean(axis=0))
    assert got.fitted == pytest.approx(isotonic.x, abs=1e-12)
    assert got.p_value == stats.page_trend_test(table, method="asymptotic").pvalue
    falls = sum(b < a for row in table for a, b in pairwise(row))
    assert got.violations.value == pytest.approx(falls / 45)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_only_the_order_of_responses_counts(seed):
    table = np.random.default_rng(seed).normal(size=(6, 4))
    plain, bent = dose_response(table, seed=1), dose_response(np.exp(3 * table), seed=1)
    assert bent.rank_correlation == plain.rank_correlation
    assert (bent.violations, bent.p_value) == (plain.violations, plain.p_value)
    turned = dose_response(-table, seed=1)
    assert turned.rank_correlation.value == pytest.approx(-plain.rank_correlation.value, abs=1e-12)
    assert turned.violations.value == pytest.approx(1 - plain.violations.value, abs=1e-12)


def test_doses_without_a_value():
    flat = dose_response(np.full((3, 3), 0.5), seed=1)
    assert (flat.rank_correlation.value, flat.misfit, flat.n_flat) == (None, None, 3)
    assert flat.violations.value == 0.0
    none = dose_response(np.empty((0, 3)), seed=1)
    assert (none.violations.value, none.fitted, none.p_value, none.n) == (None, None, None, 0)
    assert dose_response(np.array([[0.1, 0.2, 0.3]]), seed=1).p_value is None


def test_generality():
    assert generality({"a": 4, "b": 0, "c": 0}) == 0.0
    assert generality({"a": 2, "b": 2, "c": 2}) == pytest.approx(1.0)
    shares = np.array([0.5, 0.25, 0.25])
    assert generality({"a": 2, "b": 1, "c": 1}) == pytest.approx(stats.entropy(shares, base=3))
    assert generality({"a": 0, "b": 0}) is None
    assert generality({"a": 3}) is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: counterfactual_rates([0], [0], [0], [0], [], seed=1), "different lengths"),
        (lambda: claim_test([1], [1, 0]), "both of every trial"),
        (lambda: by_operation(["up"], [1, 0], [1, 0]), "1 groups for 2 trials"),
        (lambda: foresight([1], [1, 0], [0.1], seed=1), "one per entry"),
        (lambda: foresight([-1], [1], [0.1], seed=1), "0 or more"),
        (lambda: foresight([1], [1], [math.nan], seed=1), "finite"),
        (lambda: graded_effect(np.ones((1, 2)), np.ones((1, 3)), [0], seed=1), "(n, C) twice"),
        (lambda: graded_effect(np.ones((1, 2)), np.ones((1, 2)), [-1], seed=1), "0 to 1"),
        (lambda: dose_response(np.ones((3, 1)), seed=1), "two doses"),
        (lambda: dose_response(np.array([[1, math.nan]]), seed=1), "finite"),
        (lambda: generality({"a": -1, "b": 2}), "negative"),
    ],
)
def test_refused(call, says):
    with pytest.raises(OptionError) as caught:
        call()
    assert says in str(caught.value)
