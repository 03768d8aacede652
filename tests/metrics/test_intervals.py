"""Bootstrap intervals: table rates against the scalar ones, the draw itself, coverage, refusals."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from voxemo_tasks.errors import LabelSetError, OptionError, UnknownNameError
from voxemo_tasks.metrics import intervals
from voxemo_tasks.metrics.hard import HARD_METRICS, Confusion
from voxemo_tasks.metrics.intervals import bootstrap_interval, resample, table_rates

LABELS = ("angry", "neutral", "sad")


def speakers(n, seed=0, per_speaker=12, labels=LABELS):
    """Speakers who differ: each has a hit rate of their own."""
    rng = np.random.default_rng(seed)
    size = len(labels)
    out = []
    for _ in range(n):
        hit = rng.beta(4, 3)
        rows = []
        for row in range(size):
            cells = np.full(size + 1, (1 - hit) / size)
            cells[row] = hit
            rows.append(rng.multinomial(per_speaker, cells))
        out.append(Confusion(labels, np.array(rows)))
    return out


@pytest.mark.parametrize("policy", ["strict", "answered"])
@pytest.mark.parametrize("metric", list(HARD_METRICS))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_table_rates_equal_the_scalar_ones(metric, policy, data):
    size = data.draw(st.integers(1, 4))
    cells = st.one_of(st.just(0), st.integers(0, 9))
    tables = data.draw(arrays(np.int64, (3, 2, size, size + 1), elements=cells))
    tables[data.draw(st.integers(0, 2)), 0] = 0
    labels = tuple(f"label{i}" for i in range(size))
    got = table_rates(tables, metric, policy)
    assert got.shape == (3, 2)
    for at in np.ndindex(3, 2):
        expected = HARD_METRICS[metric](Confusion(labels, tables[at]), policy)
        if expected is None:
            assert math.isnan(got[at])
        else:
            assert abs(got[at] - expected) <= 1e-12


def test_every_metric_has_a_table_version():
    assert list(intervals._TABLE_METRICS) == list(HARD_METRICS)


def test_clusters_are_drawn_whole():
    """Each replicate is a sum of G of the clusters: with digits as counts, it can be read off."""
    clusters = [Confusion(("angry", "sad"), np.array([[10**k, 0, 0], [0, 0, 0]])) for k in range(4)]
    drawn = resample(clusters, replicates=500, seed=1)
    assert drawn.shape == (500, 2, 3)
    digits = [[int(d) for d in f"{int(t[0, 0]):04d}"] for t in drawn]
    assert all(sum(d) == 4 for d in digits)
    # Each cluster is drawn once a replicate on average; the standard error is 0.04.
    assert np.mean(digits, axis=0) == pytest.approx([1] * 4, abs=0.2)


def test_without_clusters_utterances_are_drawn():
    counts = np.array([[30, 10, 0], [0, 0, 60]])
    drawn = resample([Confusion(("angry", "sad"), counts)], replicates=4000, seed=1)
    assert (drawn.sum(axis=(1, 2)) == 100).all()
    assert (drawn[:, 1, 1] == 0).all()
    mean, spread = drawn[:, 0, 0].mean(), drawn[:, 0, 0].std()
    assert mean == pytest.approx(30, abs=0.4)
    assert spread == pytest.approx(math.sqrt(100 * 0.3 * 0.7), rel=0.06)


def test_chunks_do_not_change_the_draw(monkeypatch):
    clusters = speakers(7)
    whole = resample(clusters, replicates=50, seed=5)
    monkeypatch.setattr(intervals, "_CHUNK", 20)
    assert np.array_equal(whole, resample(clusters, replicates=50, seed=5))


def test_the_same_seed_gives_the_same_interval():
    clusters = speakers(5)
    first = bootstrap_interval(clusters, "uar", seed=7)
    assert first == bootstrap_interval(clusters, "uar", seed=7)
    assert first != bootstrap_interval(clusters, "uar", seed=8)


def test_few_clusters_get_students_t():
    clusters = speakers(6)
    got = bootstrap_interval(clusters, "wa", level=0.9, replicates=400, seed=2)
    assert (got.method, got.n_clusters, got.replicates) == ("cluster_bootstrap_t", 6, 400)
    assert (got.level, got.reason) == (0.9, None)
    pooled = sum(clusters[1:], start=clusters[0])
    drawn = [
        HARD_METRICS["wa"](Confusion(LABELS, t.astype(int)))
        for t in resample(clusters, replicates=400, seed=2)
    ]
    reach = stats.t(5).ppf(0.95) * np.std(drawn, ddof=1) * math.sqrt(6 / 5)
    value = HARD_METRICS["wa"](pooled)
    assert got.low == pytest.approx(value - reach, abs=1e-12)
    assert got.high == pytest.approx(value + reach, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "method"),
    [
        (1, "iid_bootstrap_percentile"),
        (2, "cluster_bootstrap_t"),
        (29, "cluster_bootstrap_t"),
        (30, "cluster_bootstrap_percentile"),
    ],
)
def test_the_method_follows_the_number_of_clusters(n, method):
    clusters = speakers(n)
    got = bootstrap_interval(clusters, "macro_f1", policy="answered", seed=3)
    assert (got.method, got.n_clusters) == (method, n)
    assert 0 <= got.low < got.high <= 1
    if "percentile" in method:
        drawn = table_rates(
            resample(clusters, replicates=1000, seed=3), "macro_f1", policy="answered"
        )
        assert [got.low, got.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=1e-12)


def test_iid_is_the_binomial_for_accuracy():
    c = Confusion(("angry", "sad"), np.array([[400, 100, 0], [100, 400, 0]]))
    got = bootstrap_interval([c], "wa", replicates=4000, seed=4)
    low, high = stats.binom(1000, 0.8).ppf([0.025, 0.975]) / 1000
    assert (got.low, got.high) == pytest.approx((low, high), abs=0.003)


def test_limits_are_clipped():
    clusters = [
        Confusion(("angry", "sad"), np.array([[n, 0, 0], [0, 5, 5 - n]])) for n in (1, 5, 5)
    ]
    high = bootstrap_interval(clusters, "wa", seed=1)
    assert (high.high, high.low < 1) == (1.0, True)
    wrong = [Confusion(("angry", "sad"), np.array([[n, 5, 0], [0, 0, 5]])) for n in (0, 0, 2)]
    low = bootstrap_interval(wrong, "wa", seed=1)
    assert (low.low, low.high > 0) == (0.0, True)


def test_no_variation_gives_no_width():
    perfect = [Confusion(("angry", "sad"), np.array([[3, 0, 0], [0, 2, 0]]))] * 4
    got = bootstrap_interval(perfect, "uar", seed=1)
    assert (got.low, got.high) == (1.0, 1.0)


def one(gold_row):
    return Confusion(("angry", "sad"), np.array([gold_row, [0, 0, 0]]))


@pytest.mark.parametrize(
    ("clusters", "metric", "policy", "says"),
    [
        ([], "uar", "strict", "no utterances"),
        ([one([0, 0, 0])], "uar", "strict", "no utterances"),
        ([one([1, 0, 0])], "uar", "strict", r"1 utterance\(s\)"),
        ([one([1, 0, 5])], "uar", "answered", r"1 answered utterance\(s\)"),
        ([one([0, 0, 5])], "wa", "answered", r"0 answered utterance\(s\)"),
        ([one([1, 0, 0])], "coverage", "answered", r"1 utterance\(s\)"),
    ],
)
def test_too_little_gives_a_reason(clusters, metric, policy, says):
    got = bootstrap_interval(clusters, metric, policy=policy, seed=1)
    assert (got.low, got.high, got.method, got.replicates) == (None, None, "none", 0)
    assert re.search(says, got.reason)


def test_coverage_has_an_interval_where_nothing_is_answered():
    got = bootstrap_interval([one([0, 0, 5])], "coverage", policy="answered", seed=1)
    assert (got.low, got.high, got.reason) == (0.0, 0.0, None)


def test_undefined_replicates_are_left_out():
    """One speaker of two never answers: a quarter of the replicates have no answered rate."""
    clusters = [one([3, 2, 0]), one([0, 0, 5])]
    got = bootstrap_interval(clusters, "wa", policy="answered", seed=1)
    assert 700 < got.replicates < 800
    assert (got.n_clusters, got.reason) == (2, None)


def test_speakers_without_utterances_are_no_clusters():
    clusters = speakers(4)
    padded = [Confusion.empty(LABELS), *clusters, Confusion.empty(LABELS)]
    assert bootstrap_interval(padded, "uar", seed=1) == bootstrap_interval(clusters, "uar", seed=1)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"metric": "f1_macro"}, UnknownNameError, "macro_f1"),
        ({"level": 95}, OptionError, "level is 95"),
        ({"level": 0.0}, OptionError, "level is 0.0"),
        ({"replicates": 10}, OptionError, "at least 100"),
        ({"policy": "all"}, OptionError, "no policy is called 'all'"),
    ],
)
def test_bad_options_are_refused(options, error, says):
    given_options = {"metric": "uar", "seed": 1} | options
    with pytest.raises(error, match=says):
        bootstrap_interval(speakers(3), given_options.pop("metric"), **given_options)


def test_tables_and_labels_that_do_not_fit_are_refused():
    with pytest.raises(OptionError, match=r"\(2, 2\)"):
        table_rates(np.zeros((2, 2)), "uar")
    with pytest.raises(OptionError, match="no policy"):
        table_rates(np.zeros((2, 3)), "uar", "lenient")
    with pytest.raises(UnknownNameError, match="uar"):
        table_rates(np.zeros((2, 3)), "uarr")
    mixed = [*speakers(2), *speakers(2, labels=("sad", "angry", "neutral"))]
    for call in (
        lambda: resample(mixed, replicates=100, seed=1),
        lambda: bootstrap_interval(mixed, "uar", seed=1),
    ):
        with pytest.raises(LabelSetError, match="cannot pool"):
            call()


def test_intervals_cover_the_truth():
    """Nominal 95 % on simulated acted corpora of 8 speakers; utterances as clusters do not hold it.

    The truth is the UAR of 20,000 such speakers. With 300 corpora the standard error of a coverage
    of .95 is .0126, so .90 is four of them below.
    """
    labels = LABELS
    truth = HARD_METRICS["uar"](
        sum(speakers(20_000, seed=99, labels=labels), start=Confusion.empty(labels))
    )
    held, held_iid = 0, 0
    for seed in range(300):
        clusters = speakers(8, seed=seed, per_speaker=30)
        pooled = sum(clusters[1:], start=clusters[0])
        got = bootstrap_interval(clusters, "uar", replicates=200, seed=seed)
        iid = bootstrap_interval([pooled], "uar", replicates=200, seed=seed)
        held += got.low <= truth <= got.high
        held_iid += iid.low <= truth <= iid.high
    assert 0.90 <= held / 300 <= 0.985
    assert held_iid / 300 < 0.80
