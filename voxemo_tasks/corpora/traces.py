"""Time-continuous ratings of recordings: a table of samples, dealt out to windows and put together.

Conventions
-----------
table      CSV with the columns ``recording, dimension, annotator, time_s, value``; a sample a row,
           in any order. ``time_s`` counts from the start of the recording; ``value`` is on the scale
           of the card. What lies there is what the annotator did: no lag is taken off
recording  ``dialogue`` of an utterance, or where it has none its ``path``
window     an utterance of a recording. Each sample lies with one window, the last that starts at or
           before it (the first one, where none does), so that the trace of a recording is the union
           over its windows and no sample is held twice
"""

from __future__ import annotations

import csv
import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..audio import shown
from ..errors import CorpusError
from ..labels import DIMENSIONS
from ..records import Traces, Utterance

COLUMNS = ("recording", "dimension", "annotator", "time_s", "value")

Samples = dict[str, dict[str, list[tuple[float, float]]]]
"""Dimension → annotator → (time, value)."""


def read_traces(file: Path) -> dict[str, Traces]:
    """The traces of every recording in a table.

    Raises:
        CorpusError: With the line of what cannot be used: another column, an unknown dimension, a
            time or value that is no finite number, two samples of an annotator at one time.
    """
    found: dict[str, Samples] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            if sorted(rows.fieldnames or ()) != sorted(COLUMNS):
                raise CorpusError(
                    f"{shown(file)}:1: the columns are {', '.join(rows.fieldnames or ()) or 'none'}; "
                    f"a table of traces has {', '.join(COLUMNS)}"
                )
            for row in rows:
                where = f"{shown(file)}:{rows.line_num}"
                if None in row or any(not row[name] for name in COLUMNS):
                    raise CorpusError(f"{where}: a cell is empty or too many; one sample a row")
                if row["dimension"] not in DIMENSIONS:
                    raise CorpusError(
                        f"{where}, column dimension: {row['dimension']!r}; allowed: "
                        f"{', '.join(DIMENSIONS)}"
                    )
                sample = _number(row["time_s"], where), _number(row["value"], where)
                by = found.setdefault(row["recording"], {}).setdefault(row["dimension"], {})
                by.setdefault(row["annotator"], []).append(sample)
    except (OSError, UnicodeError, csv.Error) as error:
        raise CorpusError(f"{shown(file)}: cannot be read ({error})") from error
    return {name: _ordered(file, name, samples) for name, samples in found.items()}


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CorpusError(f"{where}: {text!r} is no finite number; leave the sample out")
    return value


def _ordered(file: Path, recording: str, samples: Samples) -> Traces:
    out: dict[str, dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {}
    for dimension, by in samples.items():
        for annotator, pairs in by.items():
            pairs.sort()
            times = tuple(t for t, _ in pairs)
            if len(set(times)) < len(times):
                at = next(a for a, b in itertools.pairwise(times) if a == b)
                raise CorpusError(
                    f"{shown(file)}: annotator {annotator!r} has two samples of {dimension} at "
                    f"{at:g} s of {recording!r}; keep one per time"
                )
            out.setdefault(dimension, {})[annotator] = times, tuple(v for _, v in pairs)
    return out


def recording_of(dialogue: str | None, path: str) -> str:
    """The recording that an utterance is a window of."""
    return path if dialogue is None else dialogue


def dealt(
    utterances: Sequence[Utterance], traces: Mapping[str, Traces], where: str
) -> list[Utterance]:
    """Utterances with the samples that lie with them.

    Args:
        utterances: Of any recordings.
        traces: Recording → its traces.
        where: The table, for errors.

    Raises:
        CorpusError: For traces of a recording without utterances, or a window without its times.

    Example:
        >>> a = Utterance("a", "c.wav", start_s=0.0, end_s=2.0)
        >>> b = Utterance("b", "c.wav", start_s=2.0, end_s=4.0)
        >>> up = {"c.wav": {"valence": {"ann": ((0.5, 2.0, 9.0), (1.0, 2.0, 3.0))}}}
        >>> [u.traces["valence"]["ann"][0] for u in dealt([a, b], up, "traces.csv")]
        [(0.5,), (2.0, 9.0)]
    """
    by: dict[str, list[int]] = {}
    for i, one in enumerate(utterances):
        by.setdefault(recording_of(one.dialogue, one.path), []).append(i)
    if unknown := sorted(traces.keys() - by.keys()):
        raise CorpusError(
            f"{where}: has traces of {unknown[0]!r} (and {len(unknown) - 1} more), which no utterance "
            "is a window of; a recording is called as the utterances' dialogue, or their path"
        )
    out = list(utterances)
    for name, of in traces.items():
        if any(utterances[i].start_s is None or utterances[i].end_s is None for i in by[name]):
            raise CorpusError(
                f"{where}: the utterances of {name!r} need start_s and end_s to be windows of it"
            )
        rows = sorted(by[name], key=lambda i: utterances[i].start_s or 0.0)
        starts = [utterances[i].start_s or 0.0 for i in rows]
        parts: list[Samples] = [{} for _ in rows]
        for dimension, several in of.items():
            for annotator, (times, values) in several.items():
                for sample in zip(times, values, strict=True):
                    place = max(0, bisect_right(starts, sample[0]) - 1)
                    held = parts[place].setdefault(dimension, {})
                    held.setdefault(annotator, []).append(sample)
        for i, part in zip(rows, parts, strict=True):
            out[i] = replace(out[i], traces=_columns(part))
    return out


def _columns(samples: Samples) -> Traces:
    return {
        dimension: {
            annotator: (tuple(t for t, _ in pairs), tuple(v for _, v in pairs))
            for annotator, pairs in by.items()
        }
        for dimension, by in samples.items()
    }


def together(windows: Iterable[tuple[str, Traces]]) -> dict[str, Traces]:
    """Recording → its traces, from the samples that lie with its windows.

    Example:
        >>> parts = [("c", {"valence": {"ann": ((2.0,), (5.0,))}}),
        ...          ("c", {"valence": {"ann": ((1.0,), (4.0,))}})]
        >>> together(parts)
        {'c': {'valence': {'ann': ((1.0, 2.0), (4.0, 5.0))}}}
    """
    found: dict[str, Samples] = {}
    for name, traces in windows:
        samples = found.setdefault(name, {})
        for dimension, by in traces.items():
            for annotator, (times, values) in by.items():
                held = samples.setdefault(dimension, {}).setdefault(annotator, [])
                held.extend(zip(times, values, strict=True))
    for samples in found.values():
        for by_annotator in samples.values():
            for annotator in by_annotator:
                by_annotator[annotator] = sorted(set(by_annotator[annotator]))
    return {name: _columns(samples) for name, samples in found.items()}
