"""CCC and its parts: golden values, a second road, sums by speaker, non-answers, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks.errors import LabelSetError, OptionError, UnknownNameError
from voxemo_tasks.metrics.dimensional import (
    COLUMNS,
    DIMENSIONAL_METRICS,
    dimension_interval,
    dimension_scores,
    dimension_sums,
    dimension_value,
)

SCALE = (1.0, 7.0)


def sums(gold, predicted, scale=SCALE, clusters=None):
    return dimension_sums(gold, predicted, scale=scale, clusters=clusters)


def rederived(gold, predicted):
    """Lin's quantities from the values themselves, moments divided by n."""
    x, y = np.asarray(gold, float), np.asarray(predicted, float)
    sx, sy, mx, my = x.std(), y.std(), x.mean(), y.mean()
    covariance = ((x - mx) * (y - my)).mean()
    out = {
        "ccc": 2 * covariance / (sx**2 + sy**2 + (mx - my) ** 2),
        "bias": my - mx,
        "mae": np.abs(y - x).mean(),
        "coverage": 1.0,
    }
    u, v = (my - mx) / math.sqrt(sx * sy), sy / sx
    out |= {"location_shift": u, "scale_shift": v, "bias_correction": 2 / (v + 1 / v + u * u)}
    return out | {"pearson": covariance / (sx * sy), "ccc_mean_filled": out["ccc"]}


def test_golden():
    """gold 1 2 3 4, predicted 2 2 4 4: means 2.5 and 3, variances 1.25 and 1, covariance 1."""
    got = dimension_scores(sums([1, 2, 3, 4], [2, 2, 4, 4]))
    assert got["ccc"] == pytest.approx(2 / (1.25 + 1 + 0.25), abs=1e-12)
    assert got["pearson"] == pytest.approx(1 / math.sqrt(1.25), abs=1e-12)
    assert got["scale_shift"] == pytest.approx(math.sqrt(1 / 1.25), abs=1e-12)
    assert got["location_shift"] == pytest.approx(0.5 / 1.25**0.25, abs=1e-12)
    assert got["bias_correction"] == pytest.approx(2 * math.sqrt(1.25) / 2.5, abs=1e-12)
    assert got["bias"] == pytest.approx(0.5, abs=1e-12)
    assert got["mae"] == pytest.approx(0.5, abs=1e-12)
    assert list(got) == list(DIMENSIONAL_METRICS)


RATINGS = st.lists(
    st.tuples(st.integers(10, 70), st.integers(10, 70), st.sampled_from("abc")),
    min_size=2,
    max_size=30,
)


@given(RATINGS)
@settings(max_examples=200, deadline=None)
def test_equals_the_formulas_whatever_the_speakers(rows):
    x, y = [a / 10 for a, _, _ in rows], [b / 10 for _, b, _ in rows]
    if len({a for a, _, _ in rows}) < 2 or len({b for _, b, _ in rows}) < 2:
        return
    expected = rederived(x, y)
    for clusters in (None, [c for _, _, c in rows]):
        got = dimension_scores(sums(x, y, clusters=clusters))
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, rel=1e-11, abs=1e-12), name


@given(RATINGS)
@settings(max_examples=100, deadline=None)
def test_laws(rows):
    x, y = [a / 10 for a, _, _ in rows], [b / 10 for _, b, _ in rows]
    got = dimension_scores(sums(x, y))
    if got["ccc"] is None:
        assert len(set(x)) == 1
        assert x == y
        return
    assert -1 - 1e-12 <= got["ccc"] <= 1 + 1e-12
    swapped = dimension_scores(sums(y, x))
    assert got["ccc"] == pytest.approx(swapped["ccc"], abs=1e-12)
    if got["pearson"] is not None:
        assert abs(got["ccc"]) <= abs(got["pearson"]) + 1e-12
        assert got["ccc"] == pytest.approx(got["pearson"] * got["bias_correction"], abs=1e-12)
        perfect = dimension_scores(sums(x, x))
        assert perfect["ccc"] == pytest.approx(1, abs=1e-12)
        moved = dimension_scores(sums([2 * a + 3 for a in x], [2 * b + 3 for b in y], (3, 20)))
        assert moved["ccc"] == pytest.approx(got["ccc"], abs=1e-12)
        assert moved["mae"] == pytest.approx(2 * got["mae"], abs=1e-12)


def test_equals_audmetric():
    audmetric = pytest.importorskip("audmetric")
    rng = np.random.default_rng(3)
    x = rng.uniform(1, 7, 500)
    y = np.clip(x + rng.normal(0.5, 1, 500), 1, 7)
    got = dimension_scores(sums(x, y))
    assert got["ccc"] == pytest.approx(audmetric.concordance_cc(x, y), abs=1e-12)
    assert got["pearson"] == pytest.approx(audmetric.pearson_cc(x, y), abs=1e-12)
    assert got["mae"] == pytest.approx(audmetric.mean_absolute_error(x, y), abs=1e-12)
    assert audmetric.concordance_cc(x, np.full(500, 4.0)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("constant", [0.1, 3.3, 4.0, 6.7])
@pytest.mark.parametrize("clusters", [None, list("aabbcc")])
def test_constant_prediction(constant, clusters):
    """CCC exactly 0, also where 0.1 + 0.1 + 0.1 is not 0.3."""
    gold = [0.1, 0.7, 3.3, 2.9, 6.1, 5.3]
    got = dimension_scores(sums(gold, [constant] * 6, (0.0, 7.0), clusters))
    assert got["ccc"] == 0
    none = ("pearson", "bias_correction", "location_shift", "scale_shift")
    assert [got[name] for name in none] == [None] * 4
    assert got["bias"] == pytest.approx(constant - np.mean(gold), abs=1e-12)


def test_a_speaker_who_always_gets_the_same_answer_has_no_variance():
    """Constant within one speaker, away from the origin of all: what is left is rounding."""
    gold = [0.2, 0.7, 1.3, 5.0, 6.1, 6.6, 3.0]
    for low in np.linspace(0.1, 0.9, 9):
        said = [low] * 3 + [6.3] * 3 + [3.3]
        both = sums(gold, said, (0, 7), list("aaabbbc"))
        for row in (0, 1):
            own = type(both)(both.rows[row : row + 1], both.origin, ("a",))
            assert dimension_value(own, "ccc") == 0
            assert dimension_value(own, "pearson") is None


def test_constant_gold():
    assert dimension_value(sums([4, 4, 4], [1, 2, 6]), "ccc") == 0
    assert dimension_value(sums([4, 4, 4], [1, 2, 6]), "scale_shift") is None
    assert dimension_value(sums([4, 4, 4], [4, 4, 4]), "ccc") is None
    assert dimension_value(sums([4, 4, 4], [5, 5, 5]), "ccc") == 0


def test_few_answers():
    one = dimension_scores(sums([3, 5], [4, None]))
    assert one["ccc"] is None
    assert (one["bias"], one["mae"], one["coverage"]) == (1.0, 1.0, 0.5)
    none = dimension_scores(sums([3, 5], [None, 9]))
    assert {k: v for k, v in none.items() if v is not None} == {
        "coverage": 0.0,
        "ccc_mean_filled": 0.0,
    }
    assert set(dimension_scores(sums([], [])).values()) == {None}


@pytest.mark.parametrize("silent", [None, math.nan, 0.99, 7.01, -math.inf, math.inf])
def test_non_answers_are_left_out_and_counted(silent):
    with_it = sums([1, 4, 6, 2], [2, 4, silent, 3])
    without = sums([1, 4, 2], [2, 4, 3])
    for name in ("ccc", "pearson", "bias", "mae", "scale_shift"):
        assert dimension_value(with_it, name) == pytest.approx(
            dimension_value(without, name), abs=1e-12
        )
    assert (with_it.n, with_it.n_answered) == (4, 3)
    assert dimension_value(with_it, "coverage") == 0.75


def test_the_ends_of_the_scale_are_answers():
    assert sums([1, 7], [1, 7]).n_answered == 2


@given(RATINGS, st.data())
@settings(max_examples=100, deadline=None)
def test_mean_filled_is_the_ccc_with_the_gold_mean_filled_in(rows, data):
    x, y = [a / 10 for a, _, _ in rows], [b / 10 for _, b, _ in rows]
    silent = data.draw(st.lists(st.booleans(), min_size=len(x), max_size=len(x)))
    said = [None if s else b for b, s in zip(y, silent, strict=True)]
    filled = [np.mean(x) if s else b for b, s in zip(y, silent, strict=True)]
    got = dimension_value(sums(x, said), "ccc_mean_filled")
    expected = dimension_value(sums(x, filled), "ccc")
    if expected is None:
        assert got is None or got == 0
    else:
        assert got == pytest.approx(expected, abs=1e-9)


def test_silence_about_all_but_two_pays_in_ccc_and_not_when_filled():
    gold = [1, 2, 3, 4, 5, 6]
    said = [1, None, None, None, None, 6]
    got = dimension_scores(sums(gold, said))
    assert got["ccc"] == pytest.approx(1, abs=1e-12)
    # gold variance 35/12; filled: covariance and variance (2.5^2 * 2) / 6
    assert got["ccc_mean_filled"] == pytest.approx(2 * (12.5 / 6) / (35 / 12 + 12.5 / 6), abs=1e-12)


def test_a_scale_far_from_zero_costs_no_digits():
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, 1, 400), rng.uniform(0, 1, 400)
    speakers = [f"s{i % 7}" for i in range(400)]
    near = dimension_scores(sums(x, y, (0, 1), speakers))
    far = dimension_scores(sums(x + 1e6, y + 1e6, (1e6, 1e6 + 1), speakers))
    for name, value in near.items():
        assert far[name] == pytest.approx(value, abs=1e-8), name


def test_rows_add_up_and_hold_what_the_columns_say():
    s = sums([1, 4, 6, 3], [2, 5, None, 1], clusters=["b", "a", "b", "a"])
    assert s.clusters == ("b", "a")
    assert s.rows.shape == (2, len(COLUMNS))
    by_name = dict(zip(COLUMNS, s.rows.T.tolist(), strict=True))
    assert by_name["n"] == [1, 2]
    assert by_name["n_silent"] == [1, 0]
    assert by_name["abs"] == [1, 3]
    assert s.origin == (
        4.0,
        2.0,
    )  # nearest the mean of gold, 3.5 (first of two), and of answers, 8/3
    assert by_name["x"] == [-3, -1]


def test_interval_redraws_speakers():
    rng = np.random.default_rng(1)
    gold, said, who = [], [], []
    for speaker in range(40):
        bias = rng.normal(0, 1.2)
        for _ in range(10):
            g = rng.uniform(2, 6)
            gold.append(g)
            said.append(float(np.clip(g + bias + rng.normal(0, 0.3), 1, 7)))
            who.append(f"s{speaker}")
    clustered = dimension_interval(sums(gold, said, clusters=who), "ccc", seed=1)
    alone = dimension_interval(sums(gold, said), "ccc", seed=1)
    assert clustered.n_clusters == 40
    assert alone.n_clusters == 400
    value = dimension_value(sums(gold, said), "ccc")
    assert clustered.low < value < clustered.high
    assert clustered.high - clustered.low > 1.5 * (alone.high - alone.low)


def test_interval_of_a_constant_prediction_is_zero_in_every_replicate():
    gold = [0.1, 0.7, 3.3, 2.9, 6.1, 5.3]
    s = sums(gold, [3.3] * 6, (0, 7), list("aabbcc"))
    got = dimension_interval(s, "ccc", seed=1)
    assert (got.low, got.high) == (0.0, 0.0)
    assert dimension_interval(s, "pearson", seed=1).method == "none"


def test_replicates_are_the_ccc_of_drawn_utterances():
    """A replicate of summed rows against the CCC of the utterances that it stands for."""
    rng = np.random.default_rng(2)
    x, y = rng.uniform(1, 7, 30), rng.uniform(1, 7, 30)
    who = [f"s{i % 5}" for i in range(30)]
    s = sums(x, y, clusters=who)
    times = np.array([2, 0, 1, 1, 1])
    drawn = [i for i in range(30) for _ in range(times[i % 5])]
    again = dimension_value(sums(x[drawn], y[drawn]), "ccc")
    weighted = type(s)(s.rows * times[:, None], s.origin, s.clusters)
    assert dimension_value(weighted, "ccc") == pytest.approx(again, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: sums([1], [1, 2]), OptionError, "1 gold values, 2 predictions"),
        (lambda: sums([1], [1], clusters=[]), OptionError, "0 clusters"),
        (lambda: sums([0.5, 2], [1, 2]), LabelSetError, "1 of 2 gold values.*first is 0.5"),
        (lambda: sums([math.nan, 2], [1, 2]), LabelSetError, "missing or outside"),
        (lambda: sums([1], [1], scale=(7, 1)), OptionError, "least first"),
        (lambda: dimension_value(sums([1], [1]), "cc"), UnknownNameError, "ccc"),
        (lambda: dimension_interval(sums([1], [1]), "r", seed=1), UnknownNameError, "'r'"),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call()
