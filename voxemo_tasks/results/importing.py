"""Predictions that were made elsewhere, written as a run, so that they enter the same scorecards.

What is in the table is said by :mod:`.import_plan`, and its rows are read by :mod:`.import_rows`; here
the run is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import __version__
from ..corpora.traces import read_traces
from ..errors import OptionError, StoreError
from ..home import DOCUMENTS, write_json_lines
from ..records import Json, Response, Traces, digest_of
from ..specs import TracesSpec
from ..store import Asked, RunStore, reply_key
from ..tables import read_rows
from .import_plan import Plan
from .import_rows import Rows

TASK = "imported"


@dataclass
class Imported:
    """What an import found.

    Attributes:
        folder: The run folder.
        utterances: Number of utterances.
        replies: Number of replies.
        without_gold: Utterances left out because they have no gold label.
        read_as: Gold label as written → label of the menu, where they differ.
    """

    folder: Path
    utterances: int
    replies: int
    without_gold: int = 0
    read_as: dict[str, str] = field(default_factory=dict)


def import_predictions(
    file: Path,
    columns: Mapping[str, str],
    out: Path,
    *,
    labels: Sequence[str] = (),
    scale: tuple[float, float] | None = None,
    model: str | None = None,
    task: str = TASK,
    verbalizer: str | None = None,
    traces: Path | None = None,
    annotator_delay_s: float | None = None,
    synthetic: bool = False,
) -> Imported:
    """Write a run from a table of predictions.

    Args:
        file: CSV, TSV, JSON lines, JSON or Parquet.
        columns: Field → column; see ``import_plan.FIELDS``. ``reply`` may hold a list: samples of
            one prompt. Without ``utterance`` rows are numbered. ``p.LABEL`` are columns of probabilities.
        out: The run folder to make.
        labels: The menu in order; none where dimensions are rated.
        scale: Lowest and highest rating, where dimensions are rated.
        model: What the model is called; default: the file's name.
        task: Name of the task.
        verbalizer: Reads the replies; default: ``closed_set``, ``distribution_json`` for
            probabilities, ``vad`` for ratings.
        traces: Table of time-continuous ratings (``corpora.traces``); rows are then windows, and
            need ``dialogue``, ``start`` and ``end`` in place of a gold rating.
        annotator_delay_s: Lag of the annotators, kept with the run; default: not stated.
        synthetic: Whether results of who predicted are no results (a script, the tiny model).

    Raises:
        OptionError: For a file, column or value that cannot be used, with its line.
        CorpusError: For a table of traces that cannot be used.
        StoreError: Where the folder cannot be written, or holds a run already.
    """
    plan = Plan.of(columns, labels, scale, verbalizer, traced=traces is not None)
    recordings = {} if traces is None else read_traces(traces)
    if annotator_delay_s is not None and traces is None:
        raise OptionError(
            "--annotator-delay is of time-continuous ratings; give them with --traces"
        )
    rows = Rows(file, plan)
    for number, row in read_rows(file):
        rows.add(number, row)
    if not rows.documents:
        raise OptionError(f"{file}: no row with a gold label")
    rows.require_words()
    if (out / "run.json").exists():
        raise StoreError(f"{out} holds a run already; choose another --out")
    fingerprint = {
        "model": model or file.stem,
        "revision": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}",
        "adapter": None,
        "engine": "imported",
        "engine_version": __version__,
        "dtype": None,
    }
    header = _header(task, plan, rows, file)
    if traces is not None:
        header["traces"] = _traces(traces, recordings, rows, annotator_delay_s)
    documents = [header, *rows.documents.values()]
    digest = digest_of(documents)
    with RunStore(out, fingerprint, synthetic=synthetic) as store:
        write_json_lines(store.folder / "documents" / f"{digest}.jsonl.gz", documents)
        written: list[Response] = []
        for (utterance, prompt), samples in rows.replies.items():
            key = digest_of([fingerprint, task, utterance, prompt])
            store.ask(Asked(task, digest, utterance, prompt, key, len(samples), store.session))
            for sample, text in enumerate(samples.values()):
                written.append(Response(reply_key(key, sample), text, "stop", sample))
            if len(written) >= 1000:
                store.write(*written)
                written = []
        store.write(*written)
        store.finish()
    n_replies = sum(map(len, rows.replies.values()))
    return Imported(out, len(rows.documents), n_replies, len(rows.without_gold), rows.read_as)


def _traces(
    file: Path, recordings: Mapping[str, Traces], rows: Rows, delay_s: float | None
) -> Json:
    asked = {str(document["recording"]) for document in rows.documents.values()}
    if unknown := sorted(asked - recordings.keys()):
        raise OptionError(
            f"{file}: has no trace of {unknown[0]!r} (and {len(unknown) - 1} more recordings of the "
            f"predictions); it has {', '.join(sorted(recordings)[:5])} …"
        )
    spec = TracesSpec(delay_s=delay_s).model_dump() | {
        "chosen_by": "the import (--annotator-delay)"
    }
    return {"recordings": {name: recordings[name] for name in sorted(asked)}, "options": spec}


def _header(task: str, plan: Plan, rows: Rows, file: Path) -> Json:
    samples = max((len(several) for several in rows.replies.values()), default=1)
    prompts = list(dict.fromkeys(prompt for _, prompt in rows.replies))
    return {
        "schema": DOCUMENTS,
        "task": task,
        "tier": "imported",
        "corpus": {
            **{"id": task, "name": file.name, "synthetic": False},
            # Naming both says that they were crossed.
            **(
                {"crossed": "speaker_sentence"}
                if {"speaker", "sentence"} <= {*plan.columns}
                else {}
            ),
        },
        "label_set": {"id": "imported", "labels": list(plan.labels), "merge": {}}
        if plan.labels
        else None,
        "dimensions": list(plan.dimensions),
        "scale": None if plan.scale is None else list(plan.scale),
        "protocol": "all",
        "fold": 1,
        "role": "test",
        "excluded": {"no gold label": len(rows.without_gold)},
        "gold_read_as": dict(sorted(rows.read_as.items())),
        "prompts": [{"id": prompt, "sha256": None, "language": None} for prompt in prompts],
        "members": [],
        "ensemble": None,
        "decoding": {},
        "samples": samples,
        "verbalizer": {"id": plan.verbalizer.ref, "sha256": plan.verbalizer_digest},
        "options": {"replayed": True, "answer": "distribution" if plan.shares else "label"},
        "n_utterances": len(rows.documents),
    }
