"""Confidences: exact unbiasedness by enumeration, golden rows, ties, non-answers, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.confidence import (
    leave_one_out,
    likelihood,
    soft_hits,
    top_share,
    top_weights,
    verbalised,
)


def compositions(m, cells):
    """Every way to put m generations into the cells, with the multinomial coefficient."""
    rows = [r for r in itertools.product(range(m + 1), repeat=cells) if sum(r) == m]
    times = [math.factorial(m) // math.prod(math.factorial(x) for x in r) for r in rows]
    return np.array(rows), np.array(times, dtype=float)


def expected(kind, m, truth):
    """Exact mean of confidence and of hits for a sampler of ``truth`` (last: non-answer)."""
    counts, times = compositions(m, len(truth))
    chance = times * np.prod(np.array(truth) ** counts, axis=1)
    assert chance.sum() == pytest.approx(1, abs=1e-12)
    got = kind(counts)
    assert got.n == len(counts)
    hits = got.weights @ np.array(truth[:-1])
    return chance @ got.values, chance @ hits


@pytest.mark.parametrize("m", [2, 3, 5, 8])
@pytest.mark.parametrize("truth", [(0.6, 0.3, 0.1, 0.0), (0.4, 0.35, 0.05, 0.2), (0.5, 0.5, 0, 0)])
def test_leave_one_out_is_exactly_unbiased(m, truth):
    confidence, hits = expected(leave_one_out, m, truth)
    assert confidence == pytest.approx(hits, abs=1e-12)


@pytest.mark.parametrize("m", [3, 5, 8])
def test_leave_one_out_speaks_of_the_choice_by_one_generation_less(m):
    truth = (0.5, 0.3, 0.2, 0.0)
    assert expected(leave_one_out, m, truth)[1] == pytest.approx(
        expected(top_share, m - 1, truth)[1], abs=1e-12
    )


def test_top_share_is_over_confident():
    """Two labels, even, three generations: the top share is 1 or 2/3, mean 3/4; the truth is 1/2.

    1 with probability 2/8, 2/3 with 6/8: 1/4 + 1/2 = 3/4.
    """
    confidence, hits = expected(top_share, 3, (0.5, 0.5, 0.0))
    assert (confidence, hits) == (pytest.approx(0.75, abs=1e-12), pytest.approx(0.5, abs=1e-12))


def test_the_bias_table():
    """Notes 2.4, on Dirichlet items that are as spread out as CREMA-D's; s.e. of each is < .003."""
    rng = np.random.default_rng(4)
    truth = rng.dirichlet([0.3] * 6, 20_000)
    assert truth.max(axis=1).mean() == pytest.approx(0.59, abs=0.01)
    for m, bias in ((3, 0.208), (5, 0.137), (10, 0.071), (20, 0.035), (64, 0.010)):
        counts = np.hstack([rng.multinomial(m, truth), np.zeros((len(truth), 1), dtype=np.int64)])
        gaps = []
        for kind in (top_share, leave_one_out):
            got = kind(counts)
            gaps.append(float((got.values - (got.weights * truth).sum(axis=1)).mean()))
        assert gaps[0] == pytest.approx(bias, abs=0.015)
        assert gaps[1] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("counts", "policy", "value", "weights"),
    [
        # Leaving one of 3 out, the 2 + 1 others still choose the first: it agrees. Leaving the
        # other out: the three choose the first, it disagrees.
        ([3, 1, 0, 0], "strict", 3 / 4, [1, 0, 0]),
        # Each of four, left out, faces two of the other label: never right, either label half.
        ([2, 2, 0, 0], "strict", 0, [1 / 2, 1 / 2, 0]),
        # The first left out: 1, 1, 0 tie, one half right; second alike; third (1 of 5): 2, 2 tie.
        ([2, 2, 1, 0], "strict", 0, [2 / 5 * 0 + 2 / 5 + 1 / 10, 1 / 2, 0]),
        ([1, 1, 1, 0], "strict", 0, [1 / 3, 1 / 3, 1 / 3]),
        # The non-answer left out: the label is chosen, and it disagrees. The label left out: no
        # answer is left, and nothing is claimed.
        ([1, 0, 0, 1], "strict", 0, [1 / 2, 0, 0]),
        ([2, 0, 0, 2], "strict", 1 / 2, [1, 0, 0]),
        ([2, 0, 0, 2], "answered", 1, [1, 0, 0]),
        ([0, 0, 0, 5], "strict", 0, [0, 0, 0]),
        ([4, 0, 0, 0], "answered", 1, [1, 0, 0]),
    ],
)
def test_leave_one_out_by_hand(counts, policy, value, weights):
    got = leave_one_out(np.array([counts]), policy)
    assert got.values == pytest.approx([value], abs=1e-12)
    assert got.weights[0] == pytest.approx(weights, abs=1e-12)


@given(
    counts=arrays(np.int64, (4, 4), elements=st.integers(0, 5)),
    order=st.permutations(range(3)),
    policy=st.sampled_from(["strict", "answered"]),
)
@settings(max_examples=80, deadline=None)
@pytest.mark.parametrize("kind", [leave_one_out, top_share])
def test_counts_give_confidences(kind, counts, order, policy):
    got = kind(counts, policy)
    assert ((got.values >= 0) & (got.values <= 1)).all()
    assert (got.weights >= 0).all()
    assert (got.weights.sum(axis=1) <= 1 + 1e-12).all()
    assert got.n_items == 4
    moved = kind(counts[:, [*order, 3]], policy)
    assert moved.values == pytest.approx(got.values, abs=1e-12)
    assert moved.weights == pytest.approx(got.weights[:, list(order)], abs=1e-12)
    assert (moved.items == got.items).all()


def test_leave_one_out_against_a_loop():
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 4, size=(40, 5))
    counts[0] = [1, 1, 0, 0, 1]
    got = leave_one_out(counts)
    for row, item in enumerate(got.items):
        said = np.repeat(np.arange(5), counts[item])
        value, weights = 0.0, np.zeros(4)
        for left in range(len(said)):
            others = np.bincount(np.delete(said, left), minlength=5)[:4]
            if others.max():
                winners = np.flatnonzero(others == others.max())
                weights[winners] += 1 / len(winners) / len(said)
                value += (said[left] in winners) / len(winners) / len(said)
        assert got.values[row] == pytest.approx(value, abs=1e-12)
        assert got.weights[row] == pytest.approx(weights, abs=1e-12)


def test_items_without_enough_generations_are_left_out():
    counts = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 3], [2, 1, 0]])
    assert leave_one_out(counts).items.tolist() == [2, 3]
    assert leave_one_out(counts, "answered").items.tolist() == [3]
    assert top_share(counts).items.tolist() == [0, 2, 3]
    assert top_share(counts).values == pytest.approx([1, 1 / 4, 2 / 3], abs=1e-12)
    assert top_share(counts, "answered").items.tolist() == [0, 2, 3]
    silent = top_share(np.array([[0, 0, 3]]))
    assert (silent.values.tolist(), silent.weights.tolist()) == ([0], [[0, 0]])
    assert top_share(np.array([[0, 0, 3]]), "answered").n == 0


def test_soft_hits_average_ties():
    votes = np.array([[3, 1, 0], [1, 1, 2]])
    weights = np.array([[0.5, 0.5, 0], [0, 0, 1]])
    assert soft_hits(votes, weights).tolist() == [0.5, 0.5]
    assert soft_hits(votes, np.zeros((2, 3))).tolist() == [0, 0]


def test_likelihood():
    shares = np.array([[0.5, 0.2, 0.1], [0.3, 0.3, 0.0], [0, 0, 0]])
    strict = likelihood(shares)
    assert strict.values.tolist() == [0.5, 0.3, 0]
    assert strict.weights.tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]
    answered = likelihood(shares, "answered")
    assert answered.values == pytest.approx([0.625, 0.5], abs=1e-12)
    assert (answered.items.tolist(), answered.n_items) == ([0, 1], 3)


def test_verbalised():
    got = verbalised(np.array([0.9, np.nan, 0.4, 1.0]), np.array([2, 0, -1, 0]), 3)
    assert got.values.tolist() == [0.9, 1.0]
    assert got.weights.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert (got.items.tolist(), got.n_items, got.n) == ([0, 3], 4, 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: top_weights(np.array([1.0])), r"\(N, C\)"),
        (lambda: top_weights(np.array([[np.nan]])), "finite"),
        (lambda: soft_hits(np.array([[1, 1]]), np.ones((1, 3))), "same items and labels"),
        (lambda: soft_hits(np.array([[1, 0], [0, 0]]), np.eye(2)), "the first is number 1"),
        (lambda: soft_hits(np.array([[0.5, 0.5]]), np.eye(2)[:1]), "whole numbers"),
        (lambda: soft_hits(np.array([[1, 1]]), np.ones((1, 2))), "at most 1"),
        (lambda: leave_one_out(np.array([[1], [2]])), r"\(N, C \+ 1\)"),
        (lambda: leave_one_out(np.array([1, 2])), "one row per item"),
        (lambda: leave_one_out(np.array([[1, -2]])), "0 or more"),
        (lambda: leave_one_out(np.array([[1, 2]]), "lenient"), "no policy"),
        (lambda: likelihood(np.array([0.5])), r"\(N, C\)"),
        (lambda: likelihood(np.array([[0.9, 0.9]])), "at most 1"),
        (lambda: likelihood(np.array([[-0.1, np.nan]])), r"\[0, 1\]"),
        (lambda: likelihood(np.array([[0.5]]), "lenient"), "no policy"),
        (lambda: verbalised(np.array([90.0]), np.array([0]), 2), "divide percentages"),
        (lambda: verbalised(np.array([0.9]), np.array([2]), 2), "below 2"),
        (lambda: verbalised(np.array([0.9]), np.array([0.0]), 2), "whole numbers"),
    ],
)
def test_refusals(call, says):
    with pytest.raises(OptionError, match=says):
        call()
