r"""Predictions for windows of a conversation against time-continuous annotator traces.

Conventions
-----------
trace       what one annotator's joystick said: times in seconds from the start of the recording,
            strictly rising, irregular; and values on the scale
delay       seconds by which annotators lag behind what they hear. A value recorded at t is taken
            for the speech at t - delay. Stated by the caller, never fitted to a model's answers:
            choosing it by CCC would hand every model its best case
grid        times 0, step, 2 step, ... of the recording. A trace has a value at a grid time between
            two of its samples no further apart than ``max_gap_s``: on the line between them. Beyond
            its ends and within longer gaps it has none
mean trace  the mean over annotators with a value there, where enough of them have one
window      half open, [start_s, end_s); its gold is the mean of the mean trace over the grid times
            inside, if enough of them have a value

A mean over those annotators who happen to have a value jumps where one of them sets in; that is
why ``min_annotators`` is stated. MSP-Conversation (Martinez-Lucas, Abdelwahab and Busso, 2020,
INTERSPEECH) is of this kind; lags of two to five seconds are usual (Mariooryad and Busso, 2015,
IEEE Transactions on Affective Computing 6(2), 97-108).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelSetError, OptionError
from .dimensional import DimensionSums, dimension_sums, dimension_value

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One annotator's trace of one dimension over one conversation.

    Attributes:
        times_s: Seconds from the start of the recording, strictly rising.
        values: Ratings at those times, on the scale.

    Raises:
        LabelSetError: For lists of different length, times that do not rise, or values that are
            not numbers.
    """

    times_s: Floats
    values: Floats

    def __post_init__(self) -> None:
        times = np.array(self.times_s, dtype=np.float64)
        values = np.array(self.values, dtype=np.float64)
        if times.ndim != 1 or times.shape != values.shape:
            raise LabelSetError(
                f"a trace has times of the shape {times.shape} and values of the shape "
                f"{values.shape}; expected one value per time"
            )
        if not (np.isfinite(times).all() and np.isfinite(values).all()):
            raise LabelSetError("a trace holds NaN or infinity; leave those samples out")
        if (np.diff(times) <= 0).any():
            at = int((np.diff(times) <= 0).argmax())
            raise LabelSetError(
                f"times of a trace must rise; sample {at + 1} at {times[at + 1]:g} s follows one "
                f"at {times[at]:g} s. Sort the samples and keep one per time"
            )
        for name, array in (("times_s", times), ("values", values)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)


@dataclass(frozen=True, slots=True)
class Window:
    """A prediction for the speech in [start_s, end_s); value ``None`` for a non-answer."""

    start_s: float
    end_s: float
    value: float | None


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """How traces become gold values; every field is part of the result.

    Attributes:
        delay_s: Lag of the annotators, in seconds, the same for all.
        step_s: Step of the grid, above 0.
        max_gap_s: Samples further apart than this leave a gap; above 0.
        min_annotators: Annotators that a grid time needs, at least 1.
        min_share: Share of a window's grid times that need a value, in (0, 1].
    """

    delay_s: float = 0.0
    step_s: float = 0.1
    max_gap_s: float = 1.0
    min_annotators: int = 1
    min_share: float = 0.5

    def __post_init__(self) -> None:
        for name, good, allowed in (
            ("delay_s", np.isfinite(self.delay_s), "a finite number of seconds"),
            ("step_s", 0 < self.step_s < np.inf, "above 0 seconds"),
            ("max_gap_s", self.max_gap_s > 0, "above 0 seconds"),
            ("min_annotators", self.min_annotators >= 1, "1 or more"),
            ("min_share", 0 < self.min_share <= 1, "above 0 and at most 1"),
        ):
            if not good:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be {allowed}")


def mean_trace(traces: Sequence[Trace], options: TraceOptions, *, until_s: float) -> Floats:
    """Mean over annotators at the grid times below ``until_s``, after the delay.

    Args:
        traces: One per annotator.
        options: Delay, grid and gaps.
        until_s: End of the recording, or of what is asked about.

    Returns:
        One value per grid time ``i * step_s``; NaN where fewer than ``min_annotators`` have one.

    Example:
        >>> late = Trace([2.0, 4.0], [1.0, 3.0])
        >>> mean_trace([late], TraceOptions(delay_s=2, step_s=1, max_gap_s=5), until_s=4)
        array([ 1.,  2.,  3., nan])
    """
    grid = np.arange(_grid_index(until_s, options.step_s)) * options.step_s
    total, annotators = np.zeros(len(grid)), np.zeros(len(grid), dtype=np.int64)
    for trace in traces:
        if not len(trace.times_s):
            continue
        times = trace.times_s - options.delay_s
        after = np.searchsorted(times, grid - _SLACK_S)
        before = np.maximum(np.searchsorted(times, grid + _SLACK_S, side="right") - 1, 0)
        inside = (after < len(times)) & (grid >= times[0] - _SLACK_S)
        gap = times[np.minimum(after, len(times) - 1)] - times[before]
        has = inside & (gap <= options.max_gap_s + _SLACK_S)
        total[has] += np.interp(grid[has], times, trace.values)
        annotators += has
    enough = annotators >= options.min_annotators
    mean = np.full(len(grid), np.nan)
    np.divide(total, annotators, out=mean, where=enough)
    return mean


_SLACK_S = 1e-9  # a time less a delay, or a multiple of a step, is off by rounding
_DECIMALS = 9  # a running sum leaves rounding at the 13th digit; a constant trace stays constant


def _grid_index(time_s: float, step_s: float) -> int:
    """Index of the first grid time at or after a time."""
    return max(0, int(np.ceil((time_s - _SLACK_S) / step_s)))


def window_means(trace: Floats, windows: Sequence[Window], options: TraceOptions) -> Floats:
    """Gold of each window: the mean of the grid values inside it.

    Args:
        trace: From ``mean_trace`` with the same options.
        windows: May overlap and stand in any order.
        options: Step of the grid and the share that needs a value.

    Returns:
        One value per window; NaN where too few of its grid times have one, or it holds none.

    Raises:
        OptionError: For a window that ends before it starts or starts before 0.

    Example:
        >>> trace = np.array([1.0, 2.0, np.nan, np.nan])
        >>> ask = [Window(0, 2, None), Window(1, 3, None), Window(2, 4, None)]
        >>> window_means(trace, ask, TraceOptions(step_s=1))
        array([1.5, 2. , nan])
    """
    bad = [w for w in windows if not 0 <= w.start_s < w.end_s < np.inf]
    if bad:
        raise OptionError(
            f"{len(bad)} of {len(windows)} windows are none, the first from {bad[0].start_s} to "
            f"{bad[0].end_s} s; a window starts at 0 or later and ends after it starts"
        )
    known = ~np.isnan(trace)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, trace, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    means = np.full(len(windows), np.nan)
    for i, window in enumerate(windows):
        first, last = (_grid_index(t, options.step_s) for t in (window.start_s, window.end_s))
        a, b = min(first, len(trace)), min(last, len(trace))
        held = int(counts[b] - counts[a])
        if held and held >= options.min_share * (last - first):
            means[i] = round((sums[b] - sums[a]) / held, _DECIMALS)
    return means


@dataclass(frozen=True, slots=True)
class ContinuousScore:
    """Agreement of windowed predictions with traces.

    Attributes:
        ccc: Of all windows pooled.
        ccc_by_conversation: Of each; ``None`` with fewer than two answers, or where the gold of
            its windows and the predictions are the same constant.
        mean_ccc: Mean of those that exist.
        n_windows: Windows asked about.
        n_without_trace: Of these, windows without gold: left out.
        n_unanswered: Of those with gold, windows without an answer on the scale.
        sums: Of all windows with gold, a row per conversation: intervals and other statistics
            are read from them (``dimensional``).
        options: How the gold was made.
    """

    ccc: float | None
    ccc_by_conversation: dict[str, float | None]
    mean_ccc: float | None
    n_windows: int
    n_without_trace: int
    n_unanswered: int
    sums: DimensionSums
    options: TraceOptions


def continuous_score(
    traces: Mapping[str, Sequence[Trace]],
    windows: Mapping[str, Sequence[Window]],
    *,
    scale: tuple[float, float],
    options: TraceOptions,
) -> ContinuousScore:
    """Score windows of conversations against annotator traces.

    The pooled CCC rewards telling conversations apart, the mean over conversations following one;
    with few windows a conversation its CCC is noisy. Windows that overlap are not independent, so
    a conversation is the cluster of any interval.

    Args:
        traces: Per conversation, one trace per annotator.
        windows: Per conversation, the predictions; a conversation without traces counts among
            the windows without gold.
        scale: Least and greatest value of the scale.
        options: Delay, grid, gaps.

    Raises:
        OptionError: For a window that is none.
        LabelSetError: For traces that leave the scale.

    Example:
        >>> up = Trace([0, 10], [1, 5])
        >>> ask = [Window(0, 5, 2), Window(5, 10, 4), Window(20, 25, 3)]
        >>> s = continuous_score({"c1": [up]}, {"c1": ask}, scale=(1, 7),
        ...                      options=TraceOptions(max_gap_s=10))
        >>> round(s.ccc, 3), s.n_windows, s.n_without_trace
        (1.0, 3, 1)
    """
    low, high = scale
    for name, given in traces.items():
        for trace in given:
            if ((trace.values < low) | (trace.values > high)).any():
                raise LabelSetError(
                    f"a trace of {name!r} runs from {trace.values.min():g} to "
                    f"{trace.values.max():g}, outside the scale {low:g} to {high:g}; state the "
                    "scale that the annotators used"
                )
    gold: list[float] = []
    predicted: list[float | None] = []
    conversations: list[str] = []
    n_windows = 0
    for name, asked in windows.items():
        n_windows += len(asked)
        until = max((w.end_s for w in asked if np.isfinite(w.end_s)), default=0.0)
        means = window_means(
            mean_trace(traces.get(name, ()), options, until_s=until), asked, options
        )
        for window, mean in zip(asked, means, strict=True):
            if not np.isnan(mean):
                gold.append(float(mean))
                predicted.append(window.value)
                conversations.append(name)
    sums = dimension_sums(gold, predicted, scale=scale, clusters=conversations)
    by_conversation: dict[str, float | None] = dict.fromkeys(windows)
    for row, name in enumerate(sums.clusters):
        own = DimensionSums(sums.rows[row : row + 1], sums.origin, (name,))
        by_conversation[name] = dimension_value(own, "ccc")
    known = [v for v in by_conversation.values() if v is not None]
    return ContinuousScore(
        ccc=dimension_value(sums, "ccc"),
        ccc_by_conversation=by_conversation,
        mean_ccc=sum(known) / len(known) if known else None,
        n_windows=n_windows,
        n_without_trace=n_windows - len(gold),
        n_unanswered=sums.n - sums.n_answered,
        sums=sums,
        options=options,
    )
