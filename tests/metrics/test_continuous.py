"""Traces: delay, gaps, means over annotators, windows, and the CCC made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks.errors import LabelSetError, OptionError
from voxemo_tasks.metrics.continuous import (
    Trace,
    TraceOptions,
    Window,
    continuous_score,
    mean_trace,
    window_means,
)
from voxemo_tasks.metrics.dimensional import dimension_interval

NAN = math.nan


def opts(**changes):
    return TraceOptions(**({"step_s": 1.0, "max_gap_s": 2.0} | changes))


def grid(traces, until, **changes):
    return mean_trace(traces, opts(**changes), until_s=until)


def test_values_lie_on_the_line_between_samples():
    got = grid([Trace([0.5, 1.5, 3.0], [1, 3, 6])], 4)
    np.testing.assert_allclose(got, [NAN, 2.0, 4.0, 6.0], atol=1e-12)


def test_a_gap_has_no_values_but_its_ends_have():
    got = grid([Trace([0, 1, 5, 6], [1, 2, 3, 4])], 7)
    np.testing.assert_array_equal(got, [1, 2, NAN, NAN, NAN, 3, 4])
    np.testing.assert_array_equal(
        grid([Trace([0, 1, 5, 6], [1, 2, 6, 7])], 7, max_gap_s=4), [1, 2, 3, 4, 5, 6, 7]
    )


def test_delay_moves_the_trace_back():
    trace = Trace([3, 4, 5, 6], [1, 2, 3, 4])
    np.testing.assert_array_equal(grid([trace], 4, delay_s=3), [1, 2, 3, 4])
    np.testing.assert_array_equal(grid([trace], 4), [NAN, NAN, NAN, 1])
    early = grid([trace], 9, delay_s=-2)
    np.testing.assert_array_equal(early, [NAN] * 5 + [1, 2, 3, 4])


def test_mean_over_annotators_who_have_a_value():
    a, b = Trace([0, 1, 2], [1, 1, 1]), Trace([1, 2, 3], [3, 3, 3])
    np.testing.assert_array_equal(grid([a, b], 4), [1, 2, 2, 3])
    np.testing.assert_array_equal(grid([a, b], 4, min_annotators=2), [NAN, 2, 2, NAN])
    np.testing.assert_array_equal(grid([a, Trace([], [])], 3), [1, 1, 1])
    np.testing.assert_array_equal(grid([], 2), [NAN, NAN])
    np.testing.assert_array_equal(grid([Trace([1.0], [5])], 3), [NAN, 5, NAN])


def test_grid_times_survive_rounding():
    """0.1 * 3 is not 0.3; a window that ends at 0.3 does not hold the grid time 0.3."""
    trace = Trace([0.0, 0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4, 5])
    options = TraceOptions(step_s=0.1, max_gap_s=0.1)
    values = mean_trace([trace], options, until_s=0.5)
    np.testing.assert_allclose(values, [1, 2, 3, 4, 5], atol=1e-9)
    asked = [Window(0.0, 0.3, None), Window(0.3, 0.5, None)]
    np.testing.assert_allclose(window_means(values, asked, options), [2, 4.5], atol=1e-9)


def test_window_share():
    trace = np.array([1.0, NAN, NAN, 4.0])
    asked = [Window(0, 2, None), Window(0, 3, None), Window(2, 4, None), Window(0, 4, None)]
    half = window_means(trace, asked, opts(min_share=0.5))
    np.testing.assert_array_equal(half, [1, NAN, 4, 2.5])
    strict = window_means(trace, asked, opts(min_share=0.6))
    np.testing.assert_array_equal(strict, [NAN] * 4)
    # A window longer than the trace: the missing half counts as missing.
    np.testing.assert_array_equal(window_means(trace, [Window(2, 6, None)], opts()), [NAN])
    # A window between two grid times holds none.
    np.testing.assert_array_equal(window_means(trace, [Window(0.2, 0.8, None)], opts()), [NAN])


@given(
    st.lists(st.integers(0, 40), min_size=2, max_size=40),
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_windows_equal_a_plain_loop(values, spans):
    trace = np.array([NAN if v > 30 else v / 10 for v in values])
    asked = [Window(a / 2, (a + length) / 2, None) for a, length in spans]
    got = window_means(trace, asked, opts(step_s=0.5, min_share=0.25))
    for window, mean in zip(asked, got, strict=True):
        times = [i / 2 for i in range(200) if window.start_s <= i / 2 < window.end_s]
        inside = [trace[int(t * 2)] for t in times if t * 2 < len(trace)]
        known = [v for v in inside if not np.isnan(v)]
        if known and len(known) >= 0.25 * len(times):
            assert mean == pytest.approx(np.mean(known), abs=1e-8)
        else:
            assert np.isnan(mean)


def ramp(length, slope=0.5, start=1.0):
    times = np.arange(0, length + 0.01, 0.25)
    return Trace(times, start + slope * times)


def ask(values, width=2.0):
    return [Window(i * width, (i + 1) * width, v) for i, v in enumerate(values)]


def test_score_counts_what_it_leaves_out():
    score = continuous_score(
        {"a": [ramp(10)], "b": [ramp(4)]},
        {"a": ask([1, 2, 3, 4, 5]), "b": ask([1, None, 3, 4]), "c": ask([1, 2])},
        scale=(1, 7),
        options=opts(step_s=0.25),
    )
    # b has gold for its first two windows, c for none.
    assert (score.n_windows, score.n_without_trace, score.n_unanswered) == (11, 4, 1)
    assert score.ccc_by_conversation["b"] is None
    assert score.ccc_by_conversation["c"] is None
    assert list(score.ccc_by_conversation) == ["a", "b", "c"]
    assert score.mean_ccc == score.ccc_by_conversation["a"]
    assert score.sums.clusters == ("a", "b")


def test_score_equals_the_formula():
    """A ramp of 1 + t/2 sampled each 0.25 s: the mean over [s, s+2) is 1 + (s + 0.875) / 2."""
    said = [2.0, 2.0, 3.0, 5.0]
    score = continuous_score(
        {"a": [ramp(10)]}, {"a": ask(said)}, scale=(1, 7), options=opts(step_s=0.25)
    )
    gold = np.array([1 + (s + 0.875) / 2 for s in (0, 2, 4, 6)])
    p = np.array(said)
    covariance = ((gold - gold.mean()) * (p - p.mean())).mean()
    expected = 2 * covariance / (gold.var() + p.var() + (gold.mean() - p.mean()) ** 2)
    assert score.ccc == pytest.approx(expected, abs=1e-9)
    assert score.ccc_by_conversation["a"] == pytest.approx(expected, abs=1e-9)


def test_pooling_rewards_telling_conversations_apart():
    flat = {"low": [ramp(10, slope=0.05)], "high": [ramp(10, slope=0.05, start=6)]}
    said = {"low": ask([1.3, 1.2, 1.2, 1.1, 1.0]), "high": ask([6.3, 6.2, 6.2, 6.1, 6.0])}
    score = continuous_score(flat, said, scale=(1, 7), options=opts(step_s=0.25))
    assert score.ccc > 0.98
    assert score.mean_ccc < 0


def test_the_right_delay_scores_best():
    rng = np.random.default_rng(4)
    times = np.arange(0, 200, 0.5)
    felt = 4 + np.convolve(rng.normal(0, 1, 430), np.ones(30) / 8, "valid")[: len(times)]
    felt = np.clip(felt, 1, 7)
    trace = Trace(times + 3, felt)
    asked = [
        Window(s, s + 4, float(felt[(times >= s) & (times < s + 4)].mean()))
        for s in range(0, 190, 4)
    ]
    by_delay = {
        delay: continuous_score(
            {"a": [trace]}, {"a": asked}, scale=(1, 7), options=opts(step_s=0.5, delay_s=delay)
        ).ccc
        for delay in (0, 3, 6)
    }
    assert by_delay[3] == pytest.approx(1, abs=1e-9)
    assert by_delay[0] < 0.97
    assert by_delay[6] < 0.97


def test_a_constant_trace_has_no_variance_from_rounding():
    trace = Trace(np.arange(0, 50, 0.1), np.full(500, 0.1))
    score = continuous_score(
        {"a": [trace] * 3},
        {"a": ask([0.1] * 20)},
        scale=(0.1, 1),
        options=TraceOptions(step_s=0.1),
    )
    assert score.n_without_trace == 0
    assert score.ccc is None


def test_intervals_redraw_conversations():
    rng = np.random.default_rng(6)
    traces, said = {}, {}
    for i in range(6):
        traces[f"c{i}"] = [ramp(10)]
        said[f"c{i}"] = ask(list(np.clip(np.arange(1.4, 6, 1) + rng.normal(0, 1), 1, 7)))
    score = continuous_score(traces, said, scale=(1, 7), options=opts(step_s=0.25))
    got = dimension_interval(score.sums, "ccc", seed=1)
    assert got.n_clusters == 6
    assert got.low < score.ccc < got.high


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Trace([0, 1], [1]), LabelSetError, "one value per time"),
        (lambda: Trace([0, 2, 1], [1, 1, 1]), LabelSetError, "sample 2 at 1 s follows one at 2 s"),
        (lambda: Trace([0, 0], [1, 1]), LabelSetError, "must rise"),
        (lambda: Trace([0, NAN], [1, 1]), LabelSetError, "NaN"),
        (lambda: TraceOptions(step_s=0), OptionError, "step_s is 0"),
        (lambda: TraceOptions(min_share=0), OptionError, "min_share"),
        (lambda: TraceOptions(delay_s=NAN), OptionError, "delay_s"),
        (lambda: TraceOptions(max_gap_s=0), OptionError, "max_gap_s"),
        (lambda: TraceOptions(min_annotators=0), OptionError, "min_annotators"),
        (lambda: window_means(np.ones(3), [Window(2, 1, 3)], opts()), OptionError, "from 2 to 1"),
        (lambda: window_means(np.ones(3), [Window(-1, 1, 3)], opts()), OptionError, "1 of 1"),
        (
            lambda: continuous_score(
                {"a": [ramp(20)]}, {"a": ask([1])}, scale=(1, 7), options=opts()
            ),
            LabelSetError,
            "trace of 'a' runs from 1 to 11",
        ),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call()
