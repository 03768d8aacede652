"""Panels of judges: votes and medians by hand, dependence on one, injections, flips, kinship."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.judge_panel import (
    canary_rate,
    flip_rate,
    leave_one_judge_out,
    median_score,
    plurality,
    self_preference,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ([0, 0, 1], 0),
        ([2, 1, 2], 2),
        ([0, 1, 2], -1),
        ([0, 0, 1, 1], -1),
        ([1, -1, -1], -1),
        ([1, 1, -1], 1),
        ([-1, -1, -1], -1),
    ],
)
def test_plurality(votes, outcome):
    assert plurality(np.array([votes]), 3).tolist() == [outcome]


def test_plurality_with_another_threshold():
    assert plurality(np.array([[1, -1, -1], [0, 0, 1]]), 2, least=1).tolist() == [1, 0]
    assert plurality(np.array([[0, 0, 1], [1, 1, 1]]), 2, least=3).tolist() == [-1, 1]
    assert plurality(np.array([[-1, -1]]), 2, least=0).tolist() == [-1]
    assert plurality(np.empty((0, 3), dtype=int), 2).tolist() == []


@given(arrays(np.int64, (6, 4), elements=st.integers(-1, 2)), st.permutations(range(4)))
def test_plurality_knows_neither_judges_nor_names(table, order):
    got = plurality(table, 3)
    assert plurality(table[:, order], 3).tolist() == got.tolist()
    turned = np.where(table < 0, -1, 2 - table)
    assert plurality(turned, 3).tolist() == np.where(got < 0, -1, 2 - got).tolist()


def test_the_median_is_not_moved_by_one_broken_judge():
    scores = np.array([[3.0, 4.0, 4.0], [3.0, 4.0, 900.0], [2.0, 3.0, NAN], [2.0, NAN, NAN]])
    got = median_score(scores)
    assert got[:3].tolist() == [4.0, 4.0, 2.5]
    assert np.isnan(got[3])
    assert median_score(scores, least=1)[3] == 2.0


def test_leave_one_out_names_the_pivot():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 2000)
    flips = rng.random((2000, 3)) < np.array([0.05, 0.05, 0.45])
    readings = np.where(flips, 1 - truth[:, None], truth[:, None])

    def accuracy(stay):
        return float((plurality(readings[:, stay], 2, least=1) == truth).mean())

    got = leave_one_judge_out(["a", "b", "noise"], accuracy)
    assert got.without == {
        "a": accuracy((1, 2)),
        "b": accuracy((0, 2)),
        "noise": accuracy((0, 1)),
    }
    assert got.value == accuracy((0, 1, 2))
    assert got.pivot in ("a", "b")
    assert got.furthest == abs(got.value - got.without[got.pivot])
    assert got.furthest == max(abs(got.value - v) for v in got.without.values())


def test_a_rate_that_does_not_exist_has_no_pivot():
    got = leave_one_judge_out(["a", "b"], lambda stay: 0.5 if len(stay) == 2 else None)
    assert (got.value, got.furthest, got.pivot) == (0.5, None, None)
    assert leave_one_judge_out(["a", "b"], lambda stay: None).value is None


@pytest.mark.parametrize(("hits", "n"), [(0, 50), (1, 99), (7, 200), (5, 5)])
def test_canaries_have_an_exact_interval(hits, n):
    got = canary_rate([True] * hits + [False] * (n - hits) + [None] * 3)
    exact = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert (got.low, got.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert (got.value, got.n, got.n_failed) == (hits / n, n, 3)
    assert got.drop == (hits / n > 0.02)


def test_few_canaries_show_nothing():
    assert not canary_rate([False] * 182).shown_safe
    assert canary_rate([False] * 183).shown_safe
    assert not canary_rate([True] + [False] * 49).drop  # exactly the allowed share
    none = canary_rate([None, None])
    assert (none.value, none.low, none.n, none.n_failed) == (None, None, 0, 2)
    assert (none.drop, none.shown_safe) == (False, False)


def test_flips_without_clusters_have_wilsons_interval():
    got = flip_rate([0, 1, 2, 1, -1], [0, 2, 2, 1, 1], seed=1)
    wilson = stats.binomtest(1, 4).proportion_ci(0.95, method="wilson")
    assert (got.value, got.n, got.n_failed) == (0.25, 4, 1)
    assert (got.interval.low, got.interval.high) == pytest.approx((wilson.low, wilson.high))
    still = flip_rate([0, 1], [0, 1], seed=1)
    assert (still.value, still.interval.low) == (0.0, 0.0)
    assert still.interval.high > 0.5


def test_flips_with_clusters_are_wider():
    first = np.zeros(400, dtype=int)
    second = np.repeat(np.arange(40) % 4 == 0, 10).astype(int)
    speaker = np.repeat(np.arange(40), 10)
    alone, together = (flip_rate(first, second, clusters=c, seed=1) for c in (None, speaker))
    assert alone.value == together.value == 0.25
    assert together.interval.n_clusters == 40
    assert together.interval.high - together.interval.low > 2 * (
        alone.interval.high - alone.interval.low
    )


def test_no_reply_read_twice():
    got = flip_rate([-1, 0], [0, -1], seed=1)
    assert (got.value, got.n, got.n_failed) == (None, 0, 2)
    assert got.interval.reason == "no reply was read twice"


def test_self_preference_is_measured_against_people():
    rng = np.random.default_rng(2)
    own = np.arange(4000) % 2 == 0
    people = rng.normal(3 + own, 1)  # the own family is truly better
    fair = people + rng.normal(0.7, 0.5, size=4000)  # and this judge too kind to all
    got = self_preference(fair, people, own, seed=1)
    error = 0.5 * math.sqrt(2 / 2000)
    assert abs(got.value) < 4 * error
    assert got.own == pytest.approx(0.7, abs=4 * error)
    assert got.interval.low < 0 < got.interval.high
    biased = self_preference(fair + 0.3 * own, people, own, seed=1)
    assert biased.value == pytest.approx(got.value + 0.3, abs=1e-9)
    assert biased.interval.low > 0.2


def test_self_preference_leaves_out_what_is_missing():
    got = self_preference(
        [5, NAN, 3, 3, 1], [4, 4, 3, NAN, 2], [True, True, False, False, False], seed=1
    )
    assert (got.own, got.others, got.value, got.n_own, got.n_others) == (1.0, -0.5, 1.5, 1, 2)
    none = self_preference([5, 4], [5, 4], [True, True], seed=1)
    assert (none.value, none.own, none.others, none.interval.low) == (None, 0.0, None, None)


def test_self_preference_by_utterance():
    """Replies of two models to one utterance share its difficulty, and it cancels."""
    rng = np.random.default_rng(3)
    hard = np.repeat(rng.normal(0, 2, size=100), 2)
    own = np.arange(200) % 2 == 0
    judge = hard + 0.4 * own + rng.normal(0, 0.2, size=200)
    item = np.repeat(np.arange(100), 2)
    together = self_preference(judge, np.zeros(200), own, clusters=item, seed=1)
    apart = self_preference(judge, np.zeros(200), own, seed=1)
    assert together.value == pytest.approx(apart.value)
    assert together.interval.low > 0.3 > 0 > apart.interval.low


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: plurality(np.array([[3]]), 3), "outside -1 to 2"),
        (lambda: plurality(np.array([[0.5]]), 3), "expected ints"),
        (lambda: median_score(np.array([1.0])), "(replies, judges)"),
        (lambda: leave_one_judge_out(["a"], lambda s: 0.0), "at least two"),
        (lambda: leave_one_judge_out(["a", "a"], lambda s: 0.0), "at least two"),
        (lambda: canary_rate([True], most=1.0), "most is 1.0"),
        (lambda: canary_rate([True], level=0), "level is 0"),
        (lambda: flip_rate([0], [0, 1], seed=1), "the same replies"),
        (lambda: self_preference([1], [1, 2], [True], seed=1), "one per reply"),
        (lambda: self_preference([math.inf], [1], [True], seed=1), "infinity"),
    ],
)
def test_refused(call, says):
    with pytest.raises(OptionError) as caught:
        call()
    assert says in str(caught.value)
