"""Spread over prompts, disagreement of replies, PromptSensiScore, and the split of the entropy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.metrics.hard import Confusion
from voxemo_tasks.metrics.prompt_sensitivity import (
    disagreement,
    entropy_split,
    prompt_sensi_score,
    prompt_spread,
)

LABELS = ("angry", "sad")


def confusion(*rows):
    return Confusion(LABELS, np.array(rows))


# ---- spread


def test_spread_by_hand():
    prompts = {
        "a": confusion([3, 1, 0], [0, 4, 0]),  # WA 7/8
        "b": confusion([1, 3, 0], [0, 4, 0]),  # 5/8
        "c": confusion([2, 0, 2], [0, 4, 0]),  # 6/8
    }
    got = prompt_spread(prompts, "wa")
    assert got.rates == {"a": 0.875, "b": 0.625, "c": 0.75}
    assert got.n == {"a": 8, "b": 8, "c": 8}
    assert got.mean == pytest.approx(0.75)
    assert got.sd == pytest.approx(0.125, abs=1e-12)
    assert (got.spread, got.worst, got.best) == (0.25, "b", "a")
    answered = prompt_spread(prompts, "wa", "answered")
    assert answered.rates["c"] == 1.0
    assert answered.n["c"] == 6
    assert answered.best == "c"
    assert prompt_spread(prompts, "coverage", "answered").n["c"] == 8


def test_a_prompt_without_a_rate_is_no_worst_prompt():
    silent, fine = confusion([0, 0, 4], [0, 0, 0]), confusion([2, 2, 0], [0, 0, 0])
    got = prompt_spread({"silent": silent, "fine": fine}, "wa", "answered")
    assert got.rates == {"silent": None, "fine": 0.5}
    assert (got.worst, got.best, got.spread, got.sd, got.mean) == ("fine", "fine", 0.0, None, 0.5)
    none = prompt_spread({"silent": silent}, "wa", "answered")
    assert (none.worst, none.spread, none.mean) == (None, None, None)
    assert prompt_spread({}, "wa").mean is None
    with pytest.raises(UnknownNameError, match="macro_f1"):
        prompt_spread({}, "f1")


# ---- disagreement


def by_pairs(outcomes, same):
    """Mean over utterances of the share of pairs for which ``same`` does not hold."""
    shares = []
    for row in outcomes:
        known = [o for o in row if o >= 0]
        pairs = list(itertools.combinations(known, 2))
        if pairs:
            shares.append(sum(not same(a, b) for a, b in pairs) / len(pairs))
    return sum(shares) / len(shares) if shares else None


OUTCOMES = arrays(
    np.int64, st.tuples(st.integers(1, 8), st.integers(1, 5)), elements=st.integers(-1, 3)
)


@given(OUTCOMES)
@settings(max_examples=150, deadline=None)
def test_disagreement_equals_a_loop_over_pairs(outcomes):
    got = disagreement(outcomes, replicates=100, seed=1)
    expected = by_pairs(outcomes.tolist(), lambda a, b: a == b)
    assert got.value == (None if expected is None else pytest.approx(expected, abs=1e-12))
    assert got.n + got.n_left_out == len(outcomes)
    shuffled = disagreement(outcomes[:, ::-1], replicates=100, seed=1)
    assert shuffled.value == (None if expected is None else pytest.approx(expected, abs=1e-12))


@given(OUTCOMES, st.data())
@settings(max_examples=150, deadline=None)
def test_sensi_score_equals_a_loop_over_pairs(outcomes, data):
    gold = data.draw(arrays(np.int64, len(outcomes), elements=st.integers(0, 2)))
    got = prompt_sensi_score(outcomes, gold, replicates=100, seed=1)
    right = [
        [-1 if o < 0 else int(o == g) for o in row]
        for row, g in zip(outcomes.tolist(), gold.tolist(), strict=True)
    ]
    expected = by_pairs(right, lambda a, b: a == b)
    assert got.value == (None if expected is None else pytest.approx(expected, abs=1e-12))
    if got.value is not None:
        assert got.value <= disagreement(outcomes, replicates=100, seed=1).value + 1e-12


def test_a_non_answer_is_an_outcome():
    """Labels 0 and 1, the non-answer 2: silent at one prompt of two is disagreement."""
    assert disagreement([[0, 2]], seed=1).value == 1
    assert disagreement([[2, 2]], seed=1).value == 0
    assert prompt_sensi_score([[0, 2]], [1], seed=1).value == 0
    assert prompt_sensi_score([[0, 2]], [0], seed=1).value == 1


def test_all_alike_and_all_different():
    assert disagreement(np.zeros((5, 4), dtype=int), seed=1).value == 0
    assert disagreement(np.tile(np.arange(4), (5, 1)), seed=1).value == 1
    even = prompt_sensi_score([[0, 0, 1, 1]], [0], seed=1).value
    assert even == pytest.approx(2 * 2 / math.comb(4, 2))


def test_interval_redraws_speakers():
    rng = np.random.default_rng(1)
    wild = np.repeat(rng.random(40) < 0.5, 10)
    outcomes = np.where(wild[:, None], rng.integers(0, 5, (400, 3)), 0)
    who = [f"s{i // 10}" for i in range(400)]
    clustered = disagreement(outcomes, clusters=who, seed=1)
    alone = disagreement(outcomes, seed=1)
    assert (clustered.interval.n_clusters, alone.interval.n_clusters) == (40, 400)
    assert clustered.value == alone.value
    assert clustered.interval.low < clustered.value < clustered.interval.high
    wide = clustered.interval.high - clustered.interval.low
    assert wide > 1.5 * (alone.interval.high - alone.interval.low)


def test_interval_keeps_speakers_aligned_where_utterances_are_left_out():
    outcomes = [[-1, -1], [0, 1], [0, 0], [0, 1], [-1, 0], [0, 0]]
    got = disagreement(outcomes, clusters=["x", "a", "b", "a", "a", "b"], seed=1)
    assert (got.n, got.n_left_out, got.interval.n_clusters) == (4, 2, 2)
    # Speaker a always differs, b never: replicates are 0, 1/2 or 1.
    assert (got.interval.low, got.interval.high) == (0.0, 1.0)
    assert disagreement([[-1, -1]], seed=1).interval.method == "none"


# ---- entropy


def test_split_by_hand():
    """4 of A at one prompt, 2 A 2 B at another: total H(3/4), within (0 + 1) / 2."""
    got = entropy_split(np.array([[[4, 0, 0], [2, 2, 0]]]))
    total = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert got.total == pytest.approx(total, abs=1e-12)
    assert got.within == pytest.approx(0.5, abs=1e-12)
    assert got.between == pytest.approx(total - 0.5, abs=1e-12)
    assert got.share_between == pytest.approx((total - 0.5) / total, abs=1e-12)


COUNTS = arrays(
    np.int64,
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(3)),
    elements=st.integers(0, 4),
)


@given(COUNTS)
@settings(max_examples=150, deadline=None)
def test_between_is_the_mutual_information_of_prompt_and_outcome(counts):
    got = entropy_split(counts)
    values = []
    for item in counts:
        rows = item[item.sum(axis=1) > 0]
        if len(rows) < 2 or (rows.sum(axis=1) < 2).any():
            continue
        joint = rows / rows.sum()
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        some = joint > 0
        information = (joint[some] * np.log2(joint[some] / independent[some])).sum()
        values.append((information, stats.entropy(rows.sum(axis=0), base=2)))
    assert got.n == len(values)
    assert got.n + got.n_left_out == len(counts)
    if values:
        between, total = np.mean(values, axis=0)
        assert got.between == pytest.approx(between, abs=1e-12)
        assert got.total == pytest.approx(total, abs=1e-12)
        assert got.between >= -1e-12
        assert got.within >= 0
    else:
        assert (got.total, got.within, got.between, got.share_between) == (None,) * 4


def test_one_sample_a_prompt_says_nothing_about_samples():
    one = np.array([[[1, 0], [0, 1]]])
    assert (entropy_split(one).within, entropy_split(one).n_left_out) == (None, 1)
    assert entropy_split(np.array([[[2, 0], [0, 0]]])).n == 0
    assert entropy_split(np.array([[[2, 0], [0, 0], [1, 1]]])).n == 1


def test_no_entropy_has_no_share():
    got = entropy_split(np.array([[[3, 0], [3, 0]]]))
    assert (got.total, got.within, got.between, got.share_between) == (0.0, 0.0, 0.0, None)


def test_miller_madow_by_hand():
    got = entropy_split(np.array([[[4, 0, 0], [2, 2, 0]]]), correction="miller_madow")
    plain = entropy_split(np.array([[[4, 0, 0], [2, 2, 0]]]))
    bit = 1 / math.log(2)
    assert got.total == pytest.approx(plain.total + bit / 16, abs=1e-12)
    assert got.within == pytest.approx(plain.within + 0.5 * bit / 8, abs=1e-12)
    assert got.between == pytest.approx(got.total - got.within, abs=1e-12)


def test_correction_removes_most_of_a_false_between():
    """A model that ignores the prompt, 8 samples at each of 4: true between 0."""
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(3) * 3, 2000)
    counts = np.array([rng.multinomial(8, s, size=4) for s in shares])
    plain = entropy_split(counts)
    corrected = entropy_split(counts, correction="miller_madow")
    assert plain.between > 0.08
    assert abs(corrected.between) < plain.between / 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: disagreement([0, 1], seed=1), "utterances, prompts"),
        (lambda: disagreement([[0, -2]], seed=1), "-1 where there is none"),
        (lambda: disagreement([[0.5, 1]], seed=1), "whole codes"),
        (lambda: disagreement([[0, 1]], clusters=[], seed=1), "0 clusters for 1"),
        (lambda: prompt_sensi_score([[0, 1]], [0, 1], seed=1), "for 1 utterances"),
        (lambda: prompt_sensi_score([[0, 1]], [-1], seed=1), "below 0"),
        (lambda: prompt_sensi_score([[0, 1]], [0.0], seed=1), "whole code"),
        (lambda: entropy_split(np.zeros((2, 2))), "shape"),
        (lambda: entropy_split(np.full((1, 2, 2), 0.5)), "whole"),
        (lambda: entropy_split(np.full((1, 2, 2), -1)), "0 or more"),
        (lambda: entropy_split(np.zeros((1, 2, 2)), correction="mm"), "none, miller_madow"),
    ],
)
def test_refusals(call, says):
    with pytest.raises(OptionError, match=says):
        call()
