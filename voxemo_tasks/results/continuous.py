"""Ratings of windows against time-continuous annotator traces, with the annotators' delay stated.

Conventions
-----------
gold        per window, the mean of the mean trace of its recording (``metrics.continuous``), after
            the delay was taken off
delay       of the card (``dimensions.traces.delay_s``), or the one that a user states for this
            score; without either 0, and the results say that nobody stated one. Never fitted
cluster     the recording: its windows follow one another, and are not independent
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..metrics.continuous import (
    ContinuousScore,
    Trace,
    TraceOptions,
    Window,
    continuous_score,
)
from ..metrics.dimensional import (
    DIMENSIONAL_METRICS,
    DimensionSums,
    dimension_interval,
    dimension_value,
)
from ..metrics.resampling import ratio_interval
from ..records import Json
from . import model as m
from .blocks import REPLICATES, interval_of, mean_ratings
from .counting import Tally

RECORDING = "recording"
NOT_STATED = "nobody: neither card nor command states one, so none is taken off"


def delay_of(header: Json, stated: float | None) -> m.Delay:
    """The delay that is taken off, and who chose it."""
    spec = header["traces"]["options"]
    if stated is not None:
        return m.Delay(delay_s=stated, chosen_by="the command (--annotator-delay)", source=None)
    if spec.get("delay_s") is not None:
        by = spec.get("chosen_by", "the corpus card")
        return m.Delay(delay_s=spec["delay_s"], chosen_by=by, source=spec.get("delay_source"))
    return m.Delay(delay_s=0.0, chosen_by=NOT_STATED, source=None)


def continuous_block(
    tally: Tally, header: Json, scale: tuple[float, float] | None, stated: float | None, seed: int
) -> dict[str, m.Continuous]:
    """Agreement with traces, by dimension; empty where the task has none.

    Args:
        tally: The task.
        header: Of its documents, with the traces of its recordings.
        scale: Of the ratings.
        stated: Delay in seconds that the user states.
        seed: Of the bootstrap.

    Raises:
        LabelSetError: For a trace that leaves the scale.
        OptionError: For a delay that is no number, or a window without times.
    """
    if scale is None or "traces" not in header:
        return {}
    delay = delay_of(header, stated)
    spec = header["traces"]["options"]
    options = TraceOptions(
        delay_s=delay.delay_s,
        step_s=spec["step_s"],
        max_gap_s=spec["max_gap_s"],
        min_annotators=spec["min_annotators"],
        min_share=spec["min_share"],
    )
    recordings: Mapping[str, Json] = header["traces"]["recordings"]
    out = {}
    for name in tally.dimensions:
        traces = {
            recording: [Trace(times, values) for times, values in of[name].values()]
            for recording, of in recordings.items()
            if name in of
        }
        windows: dict[str, list[Window]] = {}
        predicted = mean_ratings(tally, name)
        for i in tally.scored:
            document = tally.documents[i]
            if document.get(RECORDING) in traces:
                window = Window(float(document["start_s"]), float(document["end_s"]), predicted[i])
                windows.setdefault(str(document[RECORDING]), []).append(window)
        if not windows:
            continue
        score = continuous_score(traces, windows, scale=scale, options=options)
        out[name] = _block(score, traces, windows, delay, seed)
    return out


def _block(
    score: ContinuousScore,
    traces: Mapping[str, list[Trace]],
    windows: Mapping[str, list[Window]],
    delay: m.Delay,
    seed: int,
) -> m.Continuous:
    sums = score.sums
    metrics = {
        metric: m.Value(
            value=dimension_value(sums, metric),
            n=sums.n if metric in ("coverage", "ccc_mean_filled") else sums.n_answered,
            interval=interval_of(
                dimension_interval(sums, metric, replicates=REPLICATES, seed=seed), RECORDING, seed
            ),
        )
        for metric in DIMENSIONAL_METRICS
    }
    rows = {name: DimensionSums(sums.rows[i : i + 1], sums.origin, (name,))
            for i, name in enumerate(sums.clusters)}  # fmt: skip
    conversations = [
        m.ConversationScore(
            recording=name,
            n_windows=len(asked),
            n=rows[name].n if name in rows else 0,
            n_answered=rows[name].n_answered if name in rows else 0,
            n_annotators=len(traces[name]),
            ccc=score.ccc_by_conversation[name],
        )
        for name, asked in windows.items()
    ]
    known = np.array([one.ccc for one in conversations if one.ccc is not None])
    interval = ratio_interval(
        known, np.ones(len(known)), replicates=REPLICATES, seed=seed, low=-1.0, high=1.0
    )
    annotators = [one.n_annotators for one in conversations]
    options = score.options
    return m.Continuous(
        delay=delay,
        step_s=options.step_s,
        max_gap_s=options.max_gap_s,
        min_annotators=options.min_annotators,
        min_share=options.min_share,
        n_windows=score.n_windows,
        n_without_trace=score.n_without_trace,
        n_unanswered=score.n_unanswered,
        annotators=m.Spread(
            least=min(annotators), mean=float(np.mean(annotators)), most=max(annotators)
        ),
        metrics=metrics,
        mean_ccc=m.Value(
            value=score.mean_ccc, n=len(known), interval=interval_of(interval, RECORDING, seed)
        ),
        conversations=conversations,
    )
