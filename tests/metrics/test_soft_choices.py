"""Label sets and first answers: the threshold and ties on whole numbers, scikit-learn as oracle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from voxemo_tasks.metrics.choices import (
    any_annotator,
    label_sets,
    macro_f1_of,
    set_counts,
    set_macro_f1,
    sets_of_votes,
    top2,
)
from voxemo_tasks.metrics.votes import Predicted, Votes, align


def sampled(*rows):
    return Predicted("sampling", counts=np.array(rows))


def test_a_share_of_exactly_one_in_c_is_not_in_the_set():
    votes = Votes(np.array([[2, 1, 1, 0], [1, 1, 1, 1], [2, 2, 0, 0], [3, 1, 0, 0]]))
    assert sets_of_votes(votes).astype(int).tolist() == [
        [1, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
    ]


@pytest.mark.parametrize("c", range(2, 13))
def test_ties_hold_for_every_number_of_labels(c):
    """Floating point would put 1/c above or below itself; whole numbers and rounding do not."""
    votes = Votes(np.ones((1, c), dtype=int))
    assert not sets_of_votes(votes).any()
    for shares in (np.append(np.full(c, 1 / c), 0.0), np.append(np.full(c, 0.7 / c), 0.3)):
        exact = Predicted("likelihood", shares=shares[None])
        for policy in ("answered", "uniform"):
            assert not label_sets(align(votes, exact, policy))[1].any()
    for policy in ("extra_class", "answered", "uniform"):
        assert not label_sets(align(votes, sampled([1] * c + [c]), policy))[1].any()
    one_more = align(votes, sampled([2] + [1] * (c - 1) + [0]))
    assert label_sets(one_more)[1].astype(int).tolist() == [[1] + [0] * (c - 1)]


def test_non_answers_count_in_the_shares_that_are_thresholded():
    votes = Votes(np.array([[1, 1]]))
    said = sampled([3, 1, 2])  # 3/6 is not above 1/2; 3/4 is; (3 + 1)/6 is
    sets = {
        policy: label_sets(align(votes, said, policy))[1].tolist()
        for policy in ("extra_class", "answered", "uniform")
    }
    assert sets == {
        "extra_class": [[False, False]],
        "answered": [[True, False]],
        "uniform": [[True, False]],
    }


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_macro_f1_is_that_of_scikit_learn(data):
    n, c = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 4))
    cells = st.integers(0, 4)
    votes = data.draw(arrays(np.int64, (n, c), elements=cells))
    said = data.draw(arrays(np.int64, (n, c + 1), elements=cells))
    votes[votes.sum(axis=1) == 0, 0] = 1
    said[said.sum(axis=1) == 0, -1] = 1
    got = set_macro_f1(Votes(votes), Predicted("sampling", counts=said))
    gold = np.array([[v * c > row.sum() for v in row] for row in votes])
    pred = np.array([[d * c > row.sum() for d in row[:-1]] for row in said])
    occurs = np.flatnonzero(gold.any(axis=0))
    assert got.n == n
    if not len(occurs):
        assert (got.value, got.reason is None) == (None, False)
        return
    expected = f1_score(gold, pred, labels=occurs, average="macro", zero_division=0)
    assert got.value == pytest.approx(expected, abs=1e-12)


def test_an_item_with_an_empty_set_stays_and_costs_precision():
    votes = Votes(np.array([[2, 0], [1, 1], [0, 2]]))
    said = sampled([2, 0, 0], [2, 0, 0], [0, 2, 0])
    got = set_macro_f1(votes, said)
    assert (got.value, got.n) == (pytest.approx((2 / 3 + 1) / 2, abs=1e-12), 3)


def test_macro_f1_without_a_label():
    got = set_macro_f1(Votes(np.array([[1, 1]])), sampled([2, 0, 0]))
    assert got.value is None
    assert got.reason == "no label has more than 1/C of the votes of any item"


def test_macro_f1_of_sums_takes_many_at_once():
    votes = Votes(np.array([[2, 0], [1, 1], [0, 2]]))
    said = sampled([2, 0, 0], [2, 0, 0], [2, 0, 0])
    counts = set_counts(votes, said)
    assert counts.shape == (3, 3, 2)
    # Two replicates: all three items; the tied one alone, in which no label occurs.
    sums = np.stack([counts.sum(axis=0).ravel(), counts[1].ravel()])
    got = macro_f1_of(sums)
    assert got[0] == pytest.approx((2 / 4 + 0) / 2, abs=1e-12)
    assert np.isnan(got[1])


def by_all_orders(row, places, credit):
    """Expectation over every way to rank a row of counts, ties in each order alike often."""
    orders = [
        o
        for o in itertools.permutations(range(len(row)))
        if all(row[a] >= row[b] for a, b in itertools.pairwise(o))
    ]
    firsts = [[label for label in order[:places] if row[label] > 0] for order in orders]
    return np.mean([credit(first) for first in firsts])


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_ties_are_broken_at_random(data):
    c = data.draw(st.integers(2, 4))
    votes = data.draw(arrays(np.int64, (c,), elements=st.integers(0, 3)))
    said = data.draw(arrays(np.int64, (c + 1,), elements=st.integers(0, 3)))
    votes[0] += not votes.any()
    said[-1] += not said.any()
    pair = Votes(votes[None]), sampled(said)
    hit = by_all_orders(said, 1, lambda first: first[0] < c and votes[first[0]] > 0)
    assert any_annotator(*pair).mean == pytest.approx(hit, abs=1e-12)
    hit = by_all_orders(
        votes, 1, lambda gold: by_all_orders(said, 2, lambda first: gold[0] in first)
    )
    assert top2(*pair).mean == pytest.approx(hit, abs=1e-12)


def test_a_non_answer_takes_a_place():
    votes = Votes(np.array([[4, 1, 0]]))
    said = sampled([1, 2, 0, 3])  # most often nothing, then the second label
    assert (any_annotator(votes, said).mean, top2(votes, said).mean) == (0.0, 0.0)
    assert (any_annotator(votes, said, "answered").mean, top2(votes, said, "answered").mean) == (
        1.0,
        1.0,
    )


def test_equal_shares_tie_in_floating_point():
    votes = Votes(np.array([[1, 0, 0]]))
    shares = np.array([[0.1 + 0.2, 0.3, 0.4 - 1e-17, 0.0]])
    assert shares[0, 0] != shares[0, 1]
    said = Predicted("verbalised", shares=shares)
    assert top2(votes, said).mean == 0.5
