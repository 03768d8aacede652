"""Soft-label metrics: golden values by hand, scipy as second road, unbiasedness, laws, traps."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import distance
from scipy.stats import entropy, multinomial, pearsonr

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics import soft
from voxemo_tasks.metrics.soft_scores import (
    ITEM_METRICS,
    SOFT_METRICS,
    components,
    item_scores,
    soft_interval,
    soft_value,
)
from voxemo_tasks.metrics.votes import Predicted, Votes

POLICIES = ("extra_class", "answered", "uniform")


def pair(votes, said, source="sampling"):
    form = "shares" if np.asarray(said).dtype.kind == "f" else "counts"
    return Votes(np.array(votes)), Predicted(source, **{form: np.array(said)})


@st.composite
def corpora(draw, least=1):
    """Votes and counted generations of a few items, zeros and lone votes among them."""
    n, c = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    cells = st.one_of(st.just(0), st.integers(0, 7))
    votes = draw(arrays(np.int64, (n, c), elements=cells))
    said = draw(arrays(np.int64, (n, c + 1), elements=cells))
    for table in (votes, said):
        column = draw(st.integers(0, c - 1))
        table[:, column] += np.maximum(0, least - table.sum(axis=1))
    return Votes(votes), Predicted("sampling", counts=said)


GOLDEN = [
    # votes 3:1, answers 2 right, 1 wrong, 1 none: p = (3/4, 1/4, 0), q = (1/2, 1/4, 1/4)
    ("l2u", "extra_class", 3 / 6 - 2 * 7 / 16 + 1 / 6),
    ("l2u", "answered", 3 / 6 - 2 * 7 / 12 + 1 / 3),
    ("l2u", "uniform", 3 / 6 - 2 * (15 + 3) / 32 + (1 + 3 / 2) / 6),
    ("vote_brier", "extra_class", 1 - 2 * 7 / 16 + 6 / 16),
    ("vote_brier", "answered", 1 - 2 * 7 / 12 + 5 / 9),
    ("vote_brier", "uniform", 1 - 2 * 18 / 32 + (25 + 9) / 64),
    ("vote_brier_unbiased", "extra_class", 1 - 2 * 7 / 16 + 1 / 6),
    ("tvd", "extra_class", 1 / 4),
    ("tvd", "answered", 1 / 12),
    ("tvd", "uniform", 1 / 8),
    ("mse", "extra_class", (1 / 16 + 1 / 16) / 2),
    ("mse", "answered", (1 / 144 + 1 / 144) / 2),
    ("cosine", "extra_class", (7 / 16) / math.sqrt(10 / 16 * 6 / 16)),
    ("bhattacharyya", "extra_class", math.sqrt(3 / 8) + 1 / 4),
    # 4 answers + 1/2 each of 3 classes = 11/2; of 2 classes and 3 answers: 4
    ("cross_entropy", "extra_class", -(3 * math.log2(5 / 11) + math.log2(3 / 11)) / 4),
    ("cross_entropy", "answered", -(3 * math.log2(5 / 8) + math.log2(3 / 8)) / 4),
    ("cross_entropy", "uniform", -(3 * math.log2(3 / 5) + math.log2(2 / 5)) / 4),
    ("kl", "answered", (3 * math.log2(3 / 4 / (5 / 8)) + math.log2(1 / 4 / (3 / 8))) / 4),
    (
        "jsd",
        "extra_class",
        (3 * math.log2(6 / 5) / 4 + 2 * math.log2(4 / 5) / 4 + math.log2(2) / 4) / 2,
    ),
]


@pytest.mark.parametrize(("metric", "policy", "expected"), GOLDEN)
def test_golden(metric, policy, expected):
    votes, said = pair([[3, 1]], [[2, 1, 1]])
    assert item_scores(metric, votes, said, policy).mean == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("policy", ["extra_class", "answered"])
@given(corpus=corpora())
@settings(max_examples=60, deadline=None)
def test_scipy_gives_the_same(policy, corpus):
    votes, said = corpus
    got = {name: item_scores(name, votes, said, policy).values for name in ITEM_METRICS}
    for i, (n, d) in enumerate(zip(votes.counts, said.counts, strict=True)):
        n, d = (np.append(n, 0), d) if policy == "extra_class" else (n, d[:-1])
        if not d.any():
            assert all(np.isnan(values[i]) for values in got.values())
            continue
        p, q = n / n.sum(), d / d.sum()
        smooth = (d + 0.5) / (d.sum() + 0.5 * len(d))
        expected = {
            "jsd": distance.jensenshannon(p, q, base=2) ** 2,
            "tvd": distance.cityblock(p, q) / 2,
            "cosine": 1 - distance.cosine(p, q),
            "mse": distance.sqeuclidean(p, q) / votes.n_labels,
            "kl": entropy(p, smooth, base=2),
            "cross_entropy": entropy(p, smooth, base=2) + entropy(p, base=2),
            "bhattacharyya": sum(math.sqrt(a * b) for a, b in zip(p, q, strict=True)),
            "vote_brier": sum(
                share * distance.sqeuclidean(vote, q)
                for share, vote in zip(p, np.eye(len(p)), strict=True)
            ),
        }
        for name, value in expected.items():
            assert got[name][i] == pytest.approx(value, abs=1e-9), name


def outcomes(k, c):
    return [n for n in itertools.product(range(k + 1), repeat=c) if sum(n) == k]


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("m", [2, 4, None])
def test_l2u_is_unbiased_over_every_outcome(k, m):
    """Summed over all votes and generations with their probabilities: the true distance."""
    truth, model = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.5, 0.1, 0.2])
    expected = ((np.append(truth, 0) - model) ** 2).sum()
    votes = outcomes(k, 3)
    said = [None] if m is None else outcomes(m, 4)
    total = 0.0
    for n, d in itertools.product(votes, said):
        weight = multinomial.pmf(n, k, truth)
        if d is None:
            scores = soft.l2u(*pair([n], [model], "likelihood"))
        else:
            weight *= multinomial.pmf(d, m, model)
            scores = soft.l2u(*pair([n], [d]))
        total += weight * scores.values[0]
    assert total == pytest.approx(expected, abs=1e-12)


def expected_score(metric, truth, q, k):
    votes = outcomes(k, len(truth))
    weights = multinomial.pmf(votes, k, truth)
    said = np.tile(np.append(q, 0.0), (len(votes), 1))
    return weights @ item_scores(metric, *pair(votes, said, "likelihood"), "answered").values


@pytest.mark.parametrize(
    "metric", ["l2u", "vote_brier", "cross_entropy", "kl", "mse", "jsd", "tvd", "bhattacharyya"]
)
def test_properness_is_as_stated(metric):
    """Exact expectation over three votes on a grid of predictions: is the truth the best one?"""
    truth, steps = np.array([0.6, 0.3, 0.1]), 20
    grid = [np.array(g) / steps for g in outcomes(steps, 3)]
    about = SOFT_METRICS[metric]
    sign = 1 if about.best == "lowest" else -1
    best = min(grid, key=lambda q: sign * expected_score(metric, truth, q, 3))
    # Smoothing moves the best shares of cross-entropy by about epsilon, less than a grid step.
    assert (np.abs(best - truth).max() < 1e-9) == about.proper


@given(corpus=corpora(least=2))
@settings(max_examples=60, deadline=None)
def test_l2u_is_unbiased_brier_less_irreducible(corpus):
    votes, said = corpus
    for policy in POLICIES:
        brier = soft.vote_brier(votes, said, policy, unbiased=True).values
        least = soft.brier_irreducible(votes).values
        got = soft.l2u(votes, said, policy).values
        np.testing.assert_allclose(got, brier - least, atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES)
@given(corpus=corpora())
@settings(max_examples=60, deadline=None)
def test_values_keep_their_bounds(policy, corpus):
    for metric, about in SOFT_METRICS.items():
        if metric in ITEM_METRICS:
            values = item_scores(metric, *corpus, policy).values
            values = values[~np.isnan(values)]
        else:
            value = soft_value(metric, *corpus, policy).value
            values = np.array([] if value is None else [value])
        assert np.isfinite(values).all()
        assert about.low is None or (values >= about.low - 1e-12).all(), metric
        assert about.high is None or (values <= about.high + 1e-12).all(), metric


@given(corpus=corpora(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_order_of_labels_and_items_does_not_matter(corpus, data):
    votes, said = corpus
    labels = list(data.draw(st.permutations(range(votes.n_labels))))
    items = list(data.draw(st.permutations(range(len(votes)))))
    moved = Votes(votes.counts[items][:, labels])
    also = Predicted("sampling", counts=said.counts[items][:, [*labels, votes.n_labels]])
    for metric in SOFT_METRICS:
        first, second = soft_value(metric, votes, said), soft_value(metric, moved, also)
        assert (first.n, first.reason) == (second.n, second.reason)
        if first.value is not None:
            assert second.value == pytest.approx(first.value, abs=1e-9), metric


@given(corpus=corpora())
@settings(max_examples=40, deadline=None)
def test_equal_distributions_are_best(corpus):
    votes = corpus[0]
    said = Predicted("sampling", counts=np.pad(votes.counts, ((0, 0), (0, 1))))
    for metric, best in (("jsd", 0), ("tvd", 0), ("mse", 0), ("cosine", 1), ("bhattacharyya", 1)):
        values = item_scores(metric, votes, said).values
        assert values == pytest.approx(np.full(len(votes), best), abs=1e-12), metric
    assert item_scores("any_annotator", votes, said).values == pytest.approx(1)


def test_unscored_items_are_counted():
    votes, said = pair([[2, 1], [1, 0], [1, 1]], [[2, 1, 0], [2, 0, 0], [0, 1, 0]])
    scores = soft.l2u(votes, said)
    assert (scores.n, scores.n_unscored) == (1, 2)
    assert soft.vote_brier(votes, said).n == 3
    assert soft.brier_irreducible(votes).n == 2
    alone, once = pair([[1, 0]], [[1, 0, 0]])
    assert soft_value("l2u", alone, once).reason == "no item can be scored"
    assert soft_value("l2u", alone, once).value is None


def test_nothing_answered():
    votes, said = pair([[2, 1], [1, 1]], [[0, 0, 3], [0, 0, 2]])
    for metric in SOFT_METRICS:
        got = soft_value(metric, votes, said, "answered")
        assert (got.value, got.n, got.n_unscored) == (None, 0, 2), metric
        assert got.reason


def test_uniform_fallback_pays_for_not_answering_and_the_extra_class_does_not():
    """A model with one answer per item that is right in 40%; then it fails to answer 60%."""
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(np.full(4, 0.5), size=4000)
    votes = Votes(rng.multinomial(5, truth))
    right = rng.random(4000) < 0.4
    answer = np.where(right, votes.counts.argmax(axis=1), rng.integers(4, size=4000))
    fails = np.where(rng.random(4000) < 0.6, 4, answer)
    full = Predicted("sampling", counts=np.eye(5, dtype=int)[answer])
    poor = Predicted("sampling", counts=np.eye(5, dtype=int)[fails])
    for metric in ("jsd", "vote_brier"):
        assert (
            soft_value(metric, votes, poor, "uniform").value
            < soft_value(metric, votes, full, "uniform").value
        )
        assert soft_value(metric, votes, poor).value > soft_value(metric, votes, full).value


def test_smoothing_of_shares():
    votes, said = pair([[1, 1]], [[1.0, 0.0, 0.0]], "verbalised")
    got = soft.cross_entropy(votes, said, "answered").mean
    assert got == pytest.approx(-(math.log2(0.995) + math.log2(0.005)) / 2, abs=1e-12)
    thirds = soft.cross_entropy(votes, said).mean
    one = 0.99 + 0.01 / 3
    assert thirds == pytest.approx(-(math.log2(one) + math.log2(0.01 / 3)) / 2, abs=1e-12)
    for options in ({"alpha": 0.0}, {"epsilon": 0.0}, {"epsilon": 1.0}, {"alpha": math.nan}):
        with pytest.raises(OptionError, match="cost infinitely much"):
            soft.kl(votes, said, **options)


def test_skill_by_hand():
    # Prior (1/2, 1/2): 1/2 each. Model: 1 - 2 * 3/4 + 5/8 = 1/8, 1 - 2 * 1/4 + 5/8 = 9/8.
    votes, said = pair([[4, 0], [0, 4]], [[3, 1, 0], [3, 1, 0]])
    assert soft.brier_skill(votes, said).value == pytest.approx(1 - (5 / 8) / (1 / 2), abs=1e-12)
    # Unbiased: sum of squares 3 of 6 pairs: 0 and 1.
    unbiased = soft.brier_skill(votes, said, unbiased=True)
    assert unbiased.value == pytest.approx(0.0, abs=1e-12)
    assert unbiased.n == 2


def test_the_prior_of_the_skill_is_that_of_the_items_that_count():
    """An item without an answer and one with a lone vote change nothing."""
    votes, said = pair(
        [[4, 0], [1, 3], [0, 2], [0, 1]], [[3, 1, 0], [1, 2, 0], [0, 0, 3], [1, 0, 0]]
    )
    two = soft.brier_skill(votes, said, "answered")
    alone = soft.brier_skill(*pair([[4, 0], [1, 3]], [[3, 1, 0], [1, 2, 0]]), "answered")
    assert (two.n, two.n_unscored) == (2, 2)
    assert two.value == pytest.approx(alone.value, abs=1e-12)


@given(corpus=corpora(least=2))
@settings(max_examples=60, deadline=None)
def test_the_prior_has_no_skill_and_no_constant_has_more(corpus):
    votes = corpus[0]
    prior = votes.proportions.mean(axis=0)

    def skill(constant):
        shares = np.tile(np.append(constant, 0.0), (len(votes), 1))
        return soft.brier_skill(votes, Predicted("replayed", shares=shares)).value

    value = skill(prior)
    if value is None:  # one item, or items that are all alike
        assert 1 - prior @ prior <= soft.brier_irreducible(votes).mean + 1e-9
        return
    assert value == pytest.approx(0, abs=1e-6)
    assert skill(np.full(len(prior), 1 / len(prior))) <= 1e-6


def test_skill_needs_items_that_differ():
    votes, said = pair([[3, 3, 3], [3, 3, 3]], [[1, 0, 0, 0], [0, 1, 0, 0]])
    assert soft.brier_skill(votes, said).value is None
    # Prior (2/3, 1/3), which has 4/9; pairs that disagree: 0, 2/3, 2/3, mean 4/9. In floating point
    # the difference is 2e-16, and a skill of any size could be had from it.
    even, said = pair([[3, 0], [1, 2], [2, 1]], [[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    assert soft.brier_skill(even, said).value is None
    who = ["ann", "bob", "cleo"]
    assert components("brier_skill", even, said, who).value is None
    assert soft_interval("brier_skill", even, said, who, seed=1).low is None
    unanimous, said = pair([[3, 0], [3, 0], [7, 0]], [[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    assert soft.brier_skill(unanimous, said).reason == (
        "the prior does no worse than the irreducible disagreement"
    )
    lone, said = pair([[1, 0], [0, 1]], [[1, 0, 0], [0, 1, 0]])
    assert soft.brier_skill(lone, said).reason == "no item has two votes and a score"


def test_entropy_correlation():
    rng = np.random.default_rng(3)
    votes, said = rng.integers(0, 5, size=(40, 3)), rng.integers(0, 5, size=(40, 4))
    votes[:, 0] += 1
    said[:, 0] += 1
    got = soft.entropy_correlation(*pair(votes, said))
    x = entropy(votes / votes.sum(axis=1, keepdims=True), axis=1)
    y = entropy(said / said.sum(axis=1, keepdims=True), axis=1)
    assert got.value == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
    same = Predicted("sampling", counts=np.pad(votes, ((0, 0), (0, 1))))
    assert soft.entropy_correlation(Votes(votes), same).value == pytest.approx(1, abs=1e-12)
    alike, unsure = pair([[2, 0], [0, 2]], [[1, 1, 0], [1, 0, 0]])
    assert soft.entropy_correlation(alike, unsure).reason == (
        "the annotators' entropies are all alike"
    )
    one, said = pair([[2, 0]], [[1, 1, 0]])
    assert soft.entropy_correlation(one, said).reason == "a correlation needs at least two items"
