"""The registry: sums over clusters give each value again, and intervals are those of their kind."""

from __future__ import annotations

import numpy as np
import pytest

from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.metrics.resampling import ratio_interval
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
RATIOS = [*ITEM_METRICS, "brier_skill", "brier_skill_unbiased"]


def corpus(n=120, speakers=7, seed=0):
    """Speakers whose utterances differ in how hard they are; some items have lone votes."""
    rng = np.random.default_rng(seed)
    who = rng.integers(speakers, size=n)
    sharp = rng.uniform(0.2, 2.0, size=speakers)[who]
    truth = rng.standard_gamma(sharp[:, None] * np.array([0.5, 0.3, 0.2, 0.2])) + 1e-9
    truth /= truth.sum(axis=1, keepdims=True)
    votes = rng.multinomial(rng.integers(1, 6, size=n), truth)
    said = rng.multinomial(rng.integers(1, 8, size=n), np.c_[truth * 0.8, np.full(n, 0.2)])
    names = [f"speaker{w}" for w in who]
    return Votes(votes), Predicted("sampling", counts=said), names


VOTES, SAID, WHO = corpus()


def test_every_metric_is_of_one_kind():
    assert set(RATIOS) | {"set_macro_f1", "entropy_correlation"} == set(SOFT_METRICS)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("metric", RATIOS)
def test_components_add_up_to_the_value(metric, policy):
    value = soft_value(metric, VOTES, SAID, policy)
    sums = components(metric, VOTES, SAID, WHO, policy)
    assert sums.clusters == tuple(sorted(set(WHO)))
    assert sums.value == pytest.approx(value.value, abs=1e-12)
    if metric in ITEM_METRICS:
        assert sums.denominators.sum() == value.n
        scores = item_scores(metric, VOTES, SAID, policy).values
        third = [v for v, w in zip(scores, WHO, strict=True) if w == sums.clusters[2]]
        assert sums.numerators[2] == pytest.approx(np.nansum(third), abs=1e-12)


@pytest.mark.parametrize("metric", list(SOFT_METRICS))
def test_intervals_hold_the_value(metric):
    value = soft_value(metric, VOTES, SAID).value
    got = soft_interval(metric, VOTES, SAID, WHO, replicates=300, seed=3)
    assert (got.method, got.n_clusters, got.reason) == ("cluster_bootstrap_t", 7, None)
    assert got.low < value < got.high


def test_an_interval_of_an_item_mean_is_that_of_its_sums():
    sums = components("jsd", VOTES, SAID, WHO)
    expected = ratio_interval(sums.numerators, sums.denominators, seed=8, low=0.0, high=1.0)
    assert soft_interval("jsd", VOTES, SAID, WHO, seed=8) == expected


@pytest.mark.parametrize("policy", ["extra_class", "answered"])
@pytest.mark.parametrize("metric", ["set_macro_f1", "entropy_correlation"])
def test_statistics_of_drawn_speakers_are_those_of_their_utterances(metric, policy):
    """The slow road: draw speakers, copy their utterances, compute the metric."""
    votes, said, who = corpus(n=310, speakers=31, seed=4)
    names = sorted(set(who))
    rows = [np.flatnonzero(np.array(who) == name) for name in names]
    picks = np.random.default_rng(6).integers(len(names), size=(120, len(names)))
    values = []
    for pick in picks:
        items = np.concatenate([rows[i] for i in pick])
        values.append(
            soft_value(metric, Votes(votes.counts[items]), said.rows(items), policy).value
        )
    low, high = np.quantile(values, [0.025, 0.975])
    got = soft_interval(metric, votes, said, who, policy, replicates=120, seed=6)
    assert (got.method, got.n_clusters) == ("cluster_bootstrap_percentile", 31)
    assert got.low == pytest.approx(low, abs=1e-9)
    assert got.high == pytest.approx(high, abs=1e-9)


def test_a_speaker_without_any_set_is_a_speaker_all_the_same():
    votes = Votes(np.array([[2, 0], [0, 2], [1, 1]]))
    said = Predicted("sampling", counts=np.array([[2, 0, 0], [2, 0, 0], [1, 1, 0]]))
    got = soft_interval("set_macro_f1", votes, said, ["ann", "bob", "cleo"], seed=1)
    assert got.n_clusters == 3


def test_unbiased_distances_are_not_clipped():
    rng = np.random.default_rng(2)
    votes = Votes(rng.multinomial(2, [0.4, 0.3, 0.3], size=40))
    answers = rng.multinomial(2, [0.4, 0.3, 0.3], size=40)
    said = Predicted("sampling", counts=np.pad(answers, ((0, 0), (0, 1))))
    got = soft_interval("l2u", votes, said, [str(i % 8) for i in range(40)], seed=1)
    assert got.low < 0 < got.high


def test_no_interval_where_there_is_no_value():
    lone = Votes(np.array([[1, 0], [0, 1]]))
    said = Predicted("sampling", counts=np.array([[1, 0, 0], [0, 1, 0]]))
    got = soft_interval("l2u", lone, said, ["ann", "bob"], seed=1)
    assert (got.low, got.high, got.method, got.n_clusters) == (None, None, "none", 0)
    assert components("l2u", lone, said, ["ann", "bob"]).value is None
    flat = soft_interval("entropy_correlation", lone, said, ["ann", "bob"], seed=1)
    assert flat.reason == "the statistic is undefined for these data"


def test_refusals():
    with pytest.raises(
        UnknownNameError, match="no soft metric is called 'jds'; did you mean 'jsd'"
    ):
        soft_value("jds", VOTES, SAID)
    with pytest.raises(UnknownNameError, match="no soft metric is called"):
        soft_interval("jds", VOTES, SAID, WHO, seed=1)
    with pytest.raises(UnknownNameError, match="no metric of single items"):
        item_scores("set_macro_f1", VOTES, SAID)
    with pytest.raises(UnknownNameError, match="ratio of sums"):
        components("set_macro_f1", VOTES, SAID, WHO)
    with pytest.raises(OptionError, match="2 clusters for 120 items"):
        components("jsd", VOTES, SAID, ["ann", "bob"])


@pytest.mark.parametrize("metric", SOFT_METRICS)
def test_nothing_answered_has_no_interval(metric):
    votes = Votes(np.array([[3, 1], [0, 4]]))
    silent = Predicted("sampling", counts=np.array([[0, 0, 2]] * 2))
    interval = soft_interval(metric, votes, silent, ["ann", "bob"], policy="answered", seed=1)
    assert (interval.low, interval.high) == (None, None)
    assert interval.reason
