"""Votes and predictions: what is refused, and how each policy brings them onto the same classes."""

from __future__ import annotations

import numpy as np
import pytest

from voxemo_tasks.errors import LabelSetError, OptionError
from voxemo_tasks.metrics.votes import Predicted, Scores, Votes, align, coverage

VOTES = Votes(np.array([[3, 1, 0], [0, 2, 2], [1, 0, 0]]))
SAID = Predicted("sampling", counts=np.array([[2, 1, 0, 1], [0, 0, 0, 4], [3, 0, 3, 0]]))


def test_votes_are_copied_and_read_only():
    given = np.array([[1, 2]])
    votes = Votes(given)
    given[0, 0] = 9
    assert votes.counts.tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="read-only"):
        votes.counts[0, 0] = 9


def test_shares_are_copied_and_read_only():
    given = np.array([[0.25, 0.75]])
    said = Predicted("likelihood", shares=given)
    given[0] = 0.5
    assert said.shares.tolist() == [[0.25, 0.75]]
    with pytest.raises(ValueError, match="read-only"):
        said.shares[0, 0] = 0.5


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.array([1, 2]), "whole numbers"),
        (np.array([[0.5, 0.5]]), "whole numbers"),
        (np.array([[1, -1]]), "the least is -1"),
        (np.array([[1, 0], [0, 0]]), "the first is row 1"),
        (np.array([[3]]), "at least two labels"),
    ],
)
def test_no_votes(counts, message):
    with pytest.raises(LabelSetError, match=message):
        Votes(counts)


@pytest.mark.parametrize(
    ("source", "given", "error", "message"),
    [
        ("guess", {"counts": np.array([[1, 0]])}, OptionError, "no source is called 'guess'"),
        ("sampling", {}, OptionError, "either counts"),
        (
            "replayed",
            {"counts": np.array([[1, 0]]), "shares": np.array([[1.0, 0.0]])},
            OptionError,
            "either counts",
        ),
        ("likelihood", {"counts": np.array([[1, 0]])}, OptionError, "gives shares, not counts"),
        ("sampling", {"shares": np.array([[1.0, 0.0]])}, OptionError, "gives counts"),
        ("sampling", {"counts": np.array([[0, 0]])}, LabelSetError, "all zero in 1 row"),
        ("verbalised", {"shares": np.array([[0.5, 0.4]])}, LabelSetError, "with 0.900000"),
        ("verbalised", {"shares": np.array([[1.5, -0.5]])}, LabelSetError, "not negative"),
        ("verbalised", {"shares": np.array([[np.nan, 1.0]])}, LabelSetError, "finite"),
        ("verbalised", {"shares": np.array([1.0])}, LabelSetError, "expected"),
    ],
)
def test_no_prediction(source, given, error, message):
    with pytest.raises(error, match=message):
        Predicted(source, **given)


def test_replayed_predictions_come_in_either_form():
    assert Predicted("replayed", counts=np.array([[3, 1]])).m.tolist() == [4]
    assert Predicted("replayed", shares=np.array([[0.75, 0.25]])).exact


def test_extra_class_gives_non_answers_a_class_without_votes():
    a = align(VOTES, SAID)
    assert a.p.tolist() == [[0.75, 0.25, 0, 0], [0, 0.5, 0.5, 0], [1, 0, 0, 0]]
    assert a.q.tolist() == [[0.5, 0.25, 0, 0.25], [0, 0, 0, 1], [0.5, 0, 0.5, 0]]
    assert a.m.tolist() == [4, 4, 6]
    # Pairs that agree: 1 of 6 (the two that say the first label); all 6; 3 + 3 of 15.
    assert a.square == pytest.approx([1 / 6, 1, 6 / 15], abs=1e-15)


def test_answered_conditions_on_an_answer_and_leaves_out_items_without():
    a = align(VOTES, SAID, "answered")
    assert a.kept.tolist() == [True, False, True]
    assert a.q == pytest.approx(np.array([[2 / 3, 1 / 3, 0], [0.5, 0, 0.5]]), abs=1e-15)
    assert a.m.tolist() == [3, 6]
    assert a.square == pytest.approx([1 / 3, 6 / 15], abs=1e-15)
    assert a.scores(np.array([5.0, 7.0])).values.tolist()[::2] == [5.0, 7.0]
    assert a.scores(np.array([5.0, 7.0])).n_unscored == 1


def test_uniform_spreads_non_answers():
    a = align(VOTES, SAID, "uniform")
    third = 1 / 3
    expected = [
        [(2 + third) / 4, (1 + third) / 4, third / 4],
        [third, third, third],
        [0.5, 0, 0.5],
    ]
    assert a.q == pytest.approx(np.array(expected), abs=1e-15)
    # Item 0: of 6 pairs one agrees, 3 with the non-answer agree to 1/3. Item 1: all to 1/3.
    assert a.square == pytest.approx([(1 + 3 * third) / 6, third, 6 / 15], abs=1e-15)


def test_levels_are_whole_and_tie_where_shares_do():
    for policy in ("extra_class", "answered", "uniform"):
        a = align(VOTES, SAID, policy)
        assert (a.levels == np.rint(a.levels)).all()
        assert a.levels / a.whole[:, None] == pytest.approx(a.q, abs=1e-12)


@pytest.mark.parametrize("policy", ["extra_class", "answered", "uniform"])
def test_shares_are_treated_like_very_many_generations(policy):
    exact = Predicted("likelihood", shares=SAID.counts / SAID.counts.sum(axis=1, keepdims=True))
    many = Predicted("sampling", counts=SAID.counts * 10**7)
    a, b = align(VOTES, exact, policy), align(VOTES, many, policy)
    assert a.q == pytest.approx(b.q, abs=1e-12)
    assert a.square == pytest.approx(b.square, abs=1e-6)
    assert np.isinf(a.m).all()


def test_one_generation_has_no_pair():
    a = align(Votes(np.array([[1, 1]])), Predicted("sampling", counts=np.array([[0, 0, 1]])))
    assert np.isnan(a.square).all()


def test_refusals_of_align():
    with pytest.raises(LabelSetError, match=r"need \(3, 4\), non-answers last"):
        align(VOTES, Predicted("sampling", counts=np.ones((3, 3), dtype=int)))
    with pytest.raises(OptionError, match="no policy is called 'drop'; allowed: extra_class"):
        align(VOTES, SAID, "drop")


def test_rows_keep_source_and_form():
    order = np.array([2, 0])
    assert SAID.rows(order).counts.tolist() == SAID.counts[order].tolist()
    exact = Predicted("verbalised", shares=np.array([[0.5, 0.5], [1.0, 0.0]]))
    assert exact.rows(order % 2).shares.tolist() == exact.shares[[0, 0]].tolist()
    assert exact.rows(order % 2).source == "verbalised"


def test_scores_and_coverage():
    assert coverage(SAID).values.tolist() == [0.75, 0.0, 1.0]
    shares = Predicted("likelihood", shares=np.array([[0.5, 0.2, 0.3]]))
    assert coverage(shares).mean == pytest.approx(0.7, abs=1e-15)
    nothing = Scores(np.array([np.nan]))
    assert (nothing.mean, nothing.n, nothing.n_unscored) == (None, 0, 1)
