"""Prediction-powered estimates: formulas, the published simulation, coverage, laws, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.metrics.intervals import table_rates
from voxemo_tasks.metrics.prediction_powered import (
    powered_difference,
    powered_mean,
    powered_rate,
)

RUNS = 300


def replies(rng, n, share=0.6, sensitivity=0.95, specificity=0.85):
    """What people say of a reply, right or wrong, and what the judge says."""
    people = rng.random(n) < share
    right = rng.random(n) < np.where(people, sensitivity, specificity)
    return people.astype(float), np.where(right, people, ~people).astype(float)


def hidden(people, seen):
    return np.where(seen, people, np.nan)


def first(n, size):
    return np.arange(n) < size


def held(coverage, nominal=0.95, runs=RUNS):
    """Within 4 standard errors of a coverage from so many runs, and 2 points for small samples."""
    return abs(coverage - nominal) < 4 * math.sqrt(nominal * (1 - nominal) / runs) + 0.02


# ---- formulas


@pytest.mark.parametrize("power", [0.0, 0.4, 0.9])
def test_the_estimate_and_error_of_ppi_plus_plus(power):
    """With equal probabilities: Angelopoulos et al. (2023), theirs is power * N / (n + N)."""
    rng = np.random.default_rng(1)
    y, f = replies(rng, 4000)
    seen = first(4000, 500)
    got = powered_mean(hidden(y, seen), f, power=power)
    n, rest = 500, 3500
    lam = power * rest / 4000
    assert got.value == pytest.approx(
        lam * f[~seen].mean() + (y[seen] - lam * f[seen]).mean(), abs=1e-12
    )
    variance = (y[seen] - lam * f[seen]).var(ddof=1) / n + lam**2 * f[~seen].var(ddof=1) / rest
    # The two estimate one variance, from the judge on the audited or on all replies.
    assert got.error == pytest.approx(math.sqrt(variance), rel=0.02)
    assert got.judge == f.mean()
    assert got.people == pytest.approx(y[seen].mean(), abs=1e-12)
    assert got.people_error == pytest.approx(y[seen].std(ddof=1) / math.sqrt(n), abs=1e-12)


def test_the_power_is_the_regression_of_people_on_the_judge():
    rng = np.random.default_rng(2)
    y, f = replies(rng, 50_000)
    got = powered_mean(hidden(y, first(50_000, 20_000)), f)
    slope = np.cov(y, f)[0, 1] / f.var(ddof=1)
    assert got.power == pytest.approx(slope, abs=0.02)
    around = [powered_mean(hidden(y, first(50_000, 20_000)), f, power=p).error for p in (0.5, 1.0)]
    assert got.error < min(around)


def test_equals_ppi_py():
    package = pytest.importorskip("ppi_py")
    rng = np.random.default_rng(3)
    y, f = replies(rng, 5000)
    seen = first(5000, 300)
    for lam in (0.3, 0.8):
        theirs = package.ppi_mean_pointestimate(y[seen], f[seen], f[~seen], lam=lam)
        mine = powered_mean(hidden(y, seen), f, power=lam * 5000 / 4700)
        assert mine.value == pytest.approx(theirs.item(), abs=1e-10)
        low, high = package.ppi_mean_ci(y[seen], f[seen], f[~seen], alpha=0.05, lam=lam)
        assert mine.high - mine.low == pytest.approx((high - low).item(), rel=0.03)


def test_effective_n_is_what_people_alone_would_need():
    rng = np.random.default_rng(4)
    y, f = replies(rng, 5000)
    p = powered_mean(hidden(y, first(5000, 200)), f)
    assert p.gain == pytest.approx((p.people_error / p.error) ** 2)
    assert p.effective_n == pytest.approx(200 * p.gain)


def test_weights_undo_a_stratified_audit():
    """Two strata, all wrong and all right: the mean is that of the strata's sizes."""
    people = [0.0, 0.0, None, None, None, None, 1.0, 1.0]
    chance = [2 / 6] * 6 + [1.0, 1.0]
    p = powered_mean(people, [0.0] * 8, probabilities=chance)
    assert p.value == pytest.approx(2 / 8, abs=1e-12)
    assert powered_mean(people, [0.0] * 8).value == 0.5


def test_a_difference_is_the_mean_of_differences():
    rng = np.random.default_rng(5)
    a, fa = replies(rng, 900)
    b, fb = replies(rng, 900, share=0.5)
    seen = first(900, 200)
    got = powered_difference((hidden(a, seen), hidden(b, seen)), (fa, fb))
    assert got == powered_mean(hidden(a - b, seen), fa - fb)


def test_a_shared_utterance_cancels():
    rng = np.random.default_rng(6)
    easy = rng.random(2000) < 0.5
    a = (easy | (rng.random(2000) < 0.2)).astype(float)
    b = (easy | (rng.random(2000) < 0.1)).astype(float)
    seen = first(2000, 300)
    got = powered_difference((hidden(a, seen), hidden(b, seen)), (a, b), power=0.5)
    apart = [powered_mean(hidden(v, seen), v, power=0.5).error for v in (a, b)]
    assert got.error < 0.7 * math.hypot(*apart)


# ---- simulation


@pytest.mark.parametrize(
    ("judge", "n", "gain"),
    [
        ((0.95, 0.85), 100, 2.87),
        ((0.95, 0.85), 300, 2.6),
        ((0.9, 0.7), 300, 1.57),
        ((0.75, 0.6), 300, 1.13),
    ],
)
def test_the_published_table(judge, n, gain):
    """Coverage holds; the judge alone does not; the gain is that of the regression."""
    rng = np.random.default_rng(7)
    covered = alone = 0
    widths, plain = [], []
    for _ in range(RUNS):
        y, f = replies(rng, 5000, sensitivity=judge[0], specificity=judge[1])
        p = powered_mean(hidden(y, first(5000, n)), f)
        covered += p.low <= 0.6 <= p.high
        alone += abs(p.judge - 0.6) < 1.96 * f.std() / math.sqrt(5000)
        widths.append(p.error**2)
        plain.append(p.people_error**2)
    assert held(covered / RUNS)
    if judge[0] > 0.8:
        assert alone / RUNS < 0.1
    assert np.mean(plain) / np.mean(widths) == pytest.approx(gain, rel=0.1)


def test_a_useless_judge_costs_nothing():
    rng = np.random.default_rng(8)
    y, _ = replies(rng, 5000)
    p = powered_mean(hidden(y, first(5000, 400)), rng.random(5000))
    assert p.power < 0.2
    assert 1 <= p.gain < 1.05


def test_speakers_are_clusters():
    """Speakers differ and the judge errs by speaker: only the clustered interval holds."""
    rng = np.random.default_rng(9)
    covered = naive = 0
    for _ in range(RUNS):
        level = rng.beta(3, 2, size=40)
        speaker = np.repeat(np.arange(40), 50)
        y = (rng.random(2000) < level[speaker]).astype(float)
        miss = rng.beta(1, 6, size=40)[speaker]
        f = np.where(rng.random(2000) < miss, 1 - y, y)
        people = hidden(y, rng.random(2000) < 0.25)
        p = powered_mean(people, f, clusters=speaker)
        q = powered_mean(people, f)
        assert (p.n_clusters, q.n_clusters) == (40, int((~np.isnan(people)).sum()))
        covered += p.low <= 0.6 <= p.high
        naive += q.low <= 0.6 <= q.high
    assert held(covered / RUNS)
    assert naive / RUNS < 0.9


LABELS = 4


def readings(rng, n):
    """Gold labels, what replies mean, what the judge read; the last code is the non-answer."""
    gold = rng.choice(LABELS, n, p=[0.5, 0.3, 0.15, 0.05])
    hit = rng.random(n) < np.array([0.8, 0.6, 0.5, 0.4])[gold]
    means = np.where(hit, gold, rng.integers(0, LABELS + 1, n))
    sure = rng.random(n) < np.where(means == LABELS, 0.6, 0.92)
    return gold, means, np.where(sure, means, rng.integers(0, LABELS + 1, n))


def true_rate(metric):
    hit = np.array([0.8, 0.6, 0.5, 0.4])
    rows = np.full((LABELS, LABELS + 1), 1 / (LABELS + 1)) * (1 - hit)[:, None]
    rows[np.arange(LABELS), np.arange(LABELS)] += hit
    table = rows * np.array([0.5, 0.3, 0.15, 0.05])[:, None]
    return float(table_rates(table[None], metric)[0])


@pytest.mark.parametrize("metric", ["uar", "wa", "macro_f1", "coverage"])
def test_a_rate_from_a_stratified_audit(metric):
    rng = np.random.default_rng(10)
    true = true_rate(metric)
    covered, values, errors, judged = 0, [], [], []
    for _ in range(RUNS):
        gold, means, read = readings(rng, 2500)
        chance = np.minimum(1.0, 60 / np.bincount(gold, minlength=LABELS))[gold]
        people = np.where(rng.random(2500) < chance, means, -1)
        p = powered_rate(gold, people, read, LABELS, metric, probabilities=chance)
        covered += p.low <= true <= p.high
        values.append(p.value)
        errors.append(p.error)
        judged.append(p.judge)
    spread = np.std(values)
    assert held(covered / RUNS)
    assert abs(np.mean(values) - true) < 4 * spread / math.sqrt(RUNS) + 0.003
    assert np.mean(errors) == pytest.approx(spread, rel=0.15)
    assert abs(np.mean(judged) - true) > 3 * abs(np.mean(values) - true)


def test_accuracy_with_everything_audited_is_peoples_accuracy():
    gold, means, read = readings(np.random.default_rng(11), 600)
    for metric in ("uar", "wa", "macro_f1", "weighted_f1", "coverage"):
        cells = np.zeros((LABELS, LABELS + 1))
        np.add.at(cells, (gold, means), 1)
        p = powered_rate(gold, means, read, LABELS, metric)
        assert p.value == pytest.approx(table_rates(cells[None], metric)[0], abs=1e-9)
        assert p.power == 0.0


def test_the_error_of_uar_from_people_alone_is_binomial():
    gold = np.repeat([0, 1], 100)
    people = np.where(np.arange(200) % 10 < 4, gold, 1 - gold)
    p = powered_rate(gold, people, gold, 2, "uar", power=0.0)
    assert p.value == pytest.approx(0.4, abs=1e-9)
    assert p.error == pytest.approx(math.sqrt(0.4 * 0.6 / 99 / 2), rel=1e-6)


# ---- laws


@given(seed=st.integers(0, 10**6), shift=st.floats(-5, 5), scale=st.floats(0.1, 9))
@settings(max_examples=30, deadline=None)
def test_the_judges_origin_and_unit_do_not_matter_where_power_is_free(seed, shift, scale):
    """A judge that is right but for its scale is corrected to people's own."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=80)
    seen = first(80, 30)
    f = y + rng.normal(0, 2, size=80)
    plain = powered_mean(hidden(y, seen), f)
    moved = powered_mean(hidden(y, seen), f + shift)
    assert moved.value == pytest.approx(plain.value, abs=1e-9)
    assert moved.error == pytest.approx(plain.error, abs=1e-9)
    both = powered_mean(hidden(scale * y, seen), scale * f)
    assert both.error == pytest.approx(scale * plain.error, rel=1e-9)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_order_does_not_matter_and_tuning_never_adds_error(seed):
    rng = np.random.default_rng(seed)
    y, f = replies(rng, 120)
    people = hidden(y, rng.random(120) < 0.4)
    names = np.array([f"s{i}" for i in rng.integers(0, 8, 120)])
    order = rng.permutation(120)
    p = powered_mean(people, f, clusters=names)
    q = powered_mean(people[order], f[order], clusters=names[order])
    assert q.value == pytest.approx(p.value, abs=1e-12)
    assert q.error == pytest.approx(p.error, abs=1e-12)
    assert p.error <= p.people_error + 1e-12
    assert p.error <= powered_mean(people, f, clusters=names, power=1.0).error + 1e-12


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_names_of_labels_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    gold, means, read = readings(rng, 400)
    people = np.where(rng.random(400) < 0.5, means, -1)
    names = np.append(rng.permutation(LABELS), [LABELS, -1])
    a = powered_rate(gold, people, read, LABELS, "macro_f1")
    b = powered_rate(names[gold], names[people], names[read], LABELS, "macro_f1")
    if a.value is None:
        assert b.value is None
    else:
        assert b.value == pytest.approx(a.value, abs=1e-9)
        assert b.error == pytest.approx(a.error, abs=1e-7)


# ---- nothing, one, refusals


@pytest.mark.parametrize(
    ("people", "judge", "says"),
    [
        ([], [], "no replies"),
        ([None, None], [1, 0], "0 audited replies in a group"),
        ([1, None], [1, 0], "1 audited reply in a group"),
    ],
)
def test_too_few_audited(people, judge, says):
    p = powered_mean(people, judge)
    assert (p.value, p.low, p.error, p.gain) == (None, None, None, None)
    assert says in p.reason
    assert p.judge == (0.5 if judge else None)


def test_one_cluster_has_no_interval():
    p = powered_mean([1, 0, 1, None], [1, 1, 0, 0], clusters=["a", "a", "a", "b"])
    assert p.value is None
    assert p.reason.startswith("1 cluster(s) with an audited reply")


def test_no_variance_has_no_gain():
    p = powered_mean([1, 1, 1, None], [1, 1, 1, 1])
    assert (p.value, p.low, p.high, p.gain, p.effective_n) == (1.0, 1.0, 1.0, None, None)


def test_a_gold_label_without_an_audit_has_no_rate_and_an_absent_one_does_no_harm():
    none = powered_rate([0, 0, 1, 1], [0, 0, -1, 1], [0, 0, 1, 1], 2, "uar")
    assert none.value is None
    assert "1 audited reply" in none.reason
    some = powered_rate([0, 0, 2, 2], [0, 0, 2, 0], [0, 0, 2, 2], 3, "uar")
    assert some.people == 0.75


def test_a_rate_that_does_not_exist():
    p = powered_rate([0, 0, 1, 1], [2, 2, 2, 2], [0, 0, 1, 1], 2, "uar", policy="answered")
    assert (p.value, p.judge) == (None, 1.0)
    assert p.reason == "uar is undefined for what people say"


def test_limits_are_clipped_where_the_scale_is_named():
    people, judge = [1, 1, 1, 0, None, None], [1, 1, 1, 1, 1, 1]
    assert powered_mean(people, judge).high > 1
    assert powered_mean(people, judge, bounds=(0, 1)).high == 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: powered_mean([1, 0], [1]), "expected (M,)"),
        (lambda: powered_mean([1, 0], [1, math.nan]), "hold NaN"),
        (lambda: powered_mean([1, math.inf], [1, 1]), "infinity"),
        (lambda: powered_mean([1, 0], [1, 0], probabilities=[0.0, 1]), "(0, 1]"),
        (lambda: powered_mean([1, 0], [1, 0], probabilities=[1.0]), "1 probabilities for 2"),
        (lambda: powered_mean([1, 0], [1, 0], power=1.2), "power is 1.2"),
        (lambda: powered_mean([1, 0], [1, 0], level=1.0), "level is 1.0"),
        (lambda: powered_mean([1, 0], [1, 0], clusters=["a"]), "1 clusters for 2"),
        (lambda: powered_difference(([1], [None]), ([1], [1])), "one audited reply of two"),
        (lambda: powered_difference(([1], [1, 0]), ([1], [1, 0])), "the same ones"),
        (lambda: powered_difference(([1], [1]), ([1], [1, 0])), "the same number"),
        (lambda: powered_rate([0], [0, 1], [0], 2, "uar"), "one per reply"),
        (lambda: powered_rate([2], [0], [0], 2, "uar"), "gold holds a code outside 0 to 1"),
        (lambda: powered_rate([0], [3], [0], 2, "uar"), "people holds a code outside -1 to 2"),
        (lambda: powered_rate([0], [0], [-1], 2, "uar"), "judge holds a code outside 0 to 2"),
    ],
)
def test_refused(call, says):
    with pytest.raises(OptionError) as caught:
        call()
    assert says in str(caught.value)


def test_another_metric_is_refused():
    with pytest.raises(UnknownNameError):
        powered_rate([0, 0], [0, 0], [0, 0], 2, "auc")
