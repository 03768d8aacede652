"""Two-way clusters: influences, the variance re-derived, statsmodels, coverage, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from voxemo_tasks.errors import LabelSetError, OptionError, UnknownNameError
from voxemo_tasks.metrics.crossed import crossed_interval, influences
from voxemo_tasks.metrics.hard import HARD_METRICS, Confusion

LABELS = ("angry", "sad")


def corpus(speakers=8, sentences=5, seed=0, speaker_sd=1.0, sentence_sd=1.0, repeats=1):
    """Speakers and sentences who both make an utterance easier or harder."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, speaker_sd, speakers), rng.normal(0, sentence_sd, sentences)
    gold, said, who, what = [], [], [], []
    for s in range(speakers):
        for t in range(sentences):
            for _ in range(repeats):
                for label in LABELS:
                    right = rng.random() < 1 / (1 + math.exp(-(0.5 + a[s] + b[t])))
                    other = (LABELS[1 - LABELS.index(label)], None)[int(rng.random() < 0.3)]
                    gold.append(label)
                    said.append(label if right else other)
                    who.append(f"s{s}")
                    what.append(f"t{t}")
    return gold, said, who, what


@pytest.mark.parametrize("policy", ["strict", "answered"])
@pytest.mark.parametrize("metric", list(HARD_METRICS))
@given(arrays(np.int64, (3, 4), elements=st.integers(0, 30)))
@settings(max_examples=40, deadline=None)
def test_influences_sum_to_nothing_and_predict_a_change(metric, policy, counts):
    labels = ("a", "b", "c")
    confusion = Confusion(labels, counts)
    value = HARD_METRICS[metric](confusion, policy)
    if value is None:
        return
    slopes = influences(confusion, metric, policy)
    assert abs((slopes * counts).sum()) < 1e-6
    assert (slopes[counts == 0] == 0).all()
    # A thousandfold corpus moves by a thousandth of the slope for each utterance added.
    large = Confusion(labels, counts * 1000)
    for row, column in np.argwhere(counts > 0)[:3]:
        added = large.counts.copy()
        added[row, column] += 1
        moved = HARD_METRICS[metric](Confusion(labels, added), policy)
        moved -= HARD_METRICS[metric](large, policy)
        assert moved * 1000 == pytest.approx(slopes[row, column], rel=5e-3, abs=1e-6)


def test_influences_of_recall_by_hand():
    """UAR (3/4 + 4/4) / 2: one more hit of angry adds (1 - 3/4) / 4 / 2."""
    got = influences(Confusion(LABELS, np.array([[3, 1, 0], [0, 4, 0]])), "uar")
    np.testing.assert_allclose(got, [[1 / 32, -3 / 32, 0], [0, 0, 0]], atol=1e-9)


def one_way(u, ids):
    groups = sorted(set(ids))
    sums = [sum(v for v, i in zip(u, ids, strict=True) if i == g) for g in groups]
    return sum(s * s for s in sums) * len(groups) / (len(groups) - 1)


def test_variance_of_accuracy_by_hand():
    gold, said, who, what = corpus(seed=1)
    got = crossed_interval(LABELS, gold, said, who, what, "wa")
    right = np.array([g == s for g, s in zip(gold, said, strict=True)], float)
    u = (right - right.mean()) / len(right)
    both = list(zip(who, what, strict=True))
    parts = one_way(u, who), one_way(u, what), one_way(u, both)
    found = got.variance_speakers, got.variance_sentences, got.variance_both
    assert found == pytest.approx(parts, rel=1e-6)
    assert not got.raised
    error = math.sqrt(parts[0] + parts[1] - parts[2])
    assert got.standard_error == pytest.approx(error, rel=1e-6)
    reach = stats.t.ppf(0.975, 4) * error
    limits = max(0, right.mean() - reach), min(1, right.mean() + reach)
    assert (got.interval.low, got.interval.high) == pytest.approx(limits, rel=1e-5)
    assert (got.n_speakers, got.n_sentences, got.n_both) == (8, 5, 40)
    assert (got.interval.method, got.interval.n_clusters) == ("two_way", 5)


def test_equals_statsmodels():
    """The mean of right answers as a regression on a constant, clustered both ways."""
    api = pytest.importorskip("statsmodels.api")
    gold, said, who, what = corpus(seed=2, repeats=2)
    right = np.array([g == s for g, s in zip(gold, said, strict=True)], float)
    groups = np.array([[int(a[1:]), int(b[1:])] for a, b in zip(who, what, strict=True)])
    fit = api.OLS(right, np.ones(len(right))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    got = crossed_interval(LABELS, gold, said, who, what, "wa")
    parts = (
        got.variance_speakers * 7 / 8,
        got.variance_sentences * 4 / 5,
        -got.variance_both * 39 / 40,
    )
    assert fit.bse[0] ** 2 == pytest.approx(sum(parts), rel=1e-6)


def test_a_variance_below_its_parts_is_raised():
    """Every speaker is right as often, and so is every sentence: one-way sums are all 0."""
    who, what = ["a", "a", "b", "b"], ["x", "y", "x", "y"]
    got = crossed_interval(("sad",), ["sad"] * 4, ["sad", None, None, "sad"], who, what, "wa")
    assert got.variance_speakers == pytest.approx(0, abs=1e-15)
    assert got.variance_both == pytest.approx(4 / 64 * 4 / 3, rel=1e-6)
    assert got.raised
    assert got.standard_error == pytest.approx(0, abs=1e-7)


def test_never_narrower_than_one_way():
    raised = 0
    for seed in range(60):
        data = corpus(seed=seed, speakers=4, sentences=3, speaker_sd=0.2, sentence_sd=0.2)
        got = crossed_interval(LABELS, *data, "macro_f1")
        largest = max(got.variance_speakers, got.variance_sentences)
        assert got.standard_error**2 >= largest * (1 - 1e-12)
        assert got.raised == (
            got.variance_both > min(got.variance_speakers, got.variance_sentences)
        )
        raised += got.raised
    assert 0 < raised < 60


def test_limits_stay_in_the_unit_interval():
    for flip in (False, True):
        gold, said, who, what = corpus(speakers=3, sentences=2, seed=5)
        said = [None if (i % 11 > 0) == flip else g for i, g in enumerate(gold)]
        got = crossed_interval(LABELS, gold, said, who, what, "wa").interval
        assert (got.low, got.high)[not flip] == (1.0, 0.0)[flip]
        assert 0 <= got.low < got.high <= 1


def test_speakers_and_sentences_may_change_places():
    gold, said, who, what = corpus(seed=3)
    one = crossed_interval(LABELS, gold, said, who, what, "uar")
    two = crossed_interval(LABELS, gold, said, what, who, "uar")
    assert one.interval == two.interval
    assert one.variance_speakers == two.variance_sentences


def test_intervals_cover_the_truth_where_one_way_does_not():
    """200 corpora of 20 speakers and 10 sentences; the standard error of .95 is .0154."""
    gold, said, *_ = corpus(2000, 200, seed=99)
    truth = np.mean([g == s for g, s in zip(gold, said, strict=True)])
    held, alone = 0, 0
    for seed in range(200):
        data = corpus(20, 10, seed=seed)
        got = crossed_interval(LABELS, *data, "wa")
        held += got.interval.low <= truth <= got.interval.high
        value = np.mean([g == s for g, s in zip(*data[:2], strict=True)])
        reach = stats.t.ppf(0.975, 19) * math.sqrt(got.variance_speakers)
        alone += abs(value - truth) <= reach
    assert held / 200 >= 0.95 - 4 * 0.0154
    assert alone / 200 < 0.85


@pytest.mark.parametrize(
    ("who", "what", "says"),
    [(["a", "a"], ["x", "y"], "1 speaker"), (["a", "b"], ["x", "x"], "1 sentence")],
)
def test_one_of_a_kind_has_no_interval(who, what, says):
    got = crossed_interval(LABELS, ["sad", "sad"], ["sad", None], who, what, "wa")
    assert (got.interval.low, got.interval.method, got.standard_error) == (None, "none", None)
    assert says in got.interval.reason


def test_no_rate_has_no_interval():
    got = crossed_interval(
        LABELS, ["sad"] * 2, [None] * 2, ["a", "b"], ["x", "y"], "wa", policy="answered"
    )
    assert "undefined" in got.interval.reason
    assert crossed_interval(LABELS, [], [], [], [], "wa").interval.method == "none"


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"level": 95}, OptionError, "level is 95"),
        ({"metric": "f1"}, UnknownNameError, "'f1'"),
        ({"speakers": ["a"]}, OptionError, "1 speakers"),
        ({"predicted": ["joy", "sad"]}, LabelSetError, "joy"),
        ({"policy": "all"}, OptionError, "policy"),
    ],
)
def test_refusals(change, error, says):
    options = {
        "labels": LABELS, "gold": ["sad", "sad"], "predicted": ["sad", None],
        "speakers": ["a", "b"], "sentences": ["x", "y"], "metric": "wa",
    }  # fmt: skip
    with pytest.raises(error, match=says):
        crossed_interval(**(options | change))
