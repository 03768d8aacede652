"""All probes of a task, from its answers under every condition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ...errors import StoreError
from ...records import Json
from ...store import Asked, RunData
from ..counting import Reading, Tally, tally_of
from .answers import CLAIMS, CLEAN, Answers
from .conditions import condition_results, context_gains, severity_curves, validity
from .counterfactual import Stimuli, counterfactual_block
from .incongruence import incongruence_block
from .model import Probes
from .pairs import pairs_block

STIMULI = "stimuli"
"""Folder of a run folder: what the manipulation check found, a file per task's documents."""


def stimuli_file(folder: Path, digest: str) -> Path:
    """Where the manipulation check of a task's stimuli stands."""
    return folder / STIMULI / f"{digest}.jsonl"


def read_stimuli(folder: Path, digest: str) -> Stimuli | None:
    """What the manipulation check found; ``None`` where it was not made.

    Raises:
        StoreError: For a file that is damaged.
    """
    path = stimuli_file(folder, digest)
    if not path.exists():
        return None
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {(row["utterance_id"], row["condition"]): tuple(row["failed"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({error}); remove it and check again") from error


def probes_block(
    run: RunData,
    task: str,
    rows: dict[str, list[Asked]],
    digest: str,
    header: Json,
    documents: Sequence[Json],
    reading: Reading,
    main: Tally,
    seed: int,
) -> Probes | None:
    """``None`` where nothing but the clip as it is was asked about, and nothing else is known.

    Args:
        run: The run.
        task: Name of the task.
        rows: Questions by condition.
        digest: Of the documents.
        header: Their header.
        documents: The utterances.
        reading: How replies are read.
        main: Columns of the reference condition.
        seed: Of the bootstrap.
    """
    labels = reading.labels
    answers = {CLEAN: Answers.of(main)}
    for condition, several in rows.items():
        if condition not in (CLEAN, CLAIMS):
            tally, _ = tally_of(run, task, several, digest, documents, reading, keep=False)
            answers[condition] = Answers.of(tally)
    incongruence = incongruence_block(labels, answers[CLEAN], seed)
    pairs = pairs_block(answers[CLEAN], seed)
    if not header.get("conditions") and incongruence is None and not pairs:
        return None
    results = condition_results(header, labels, answers, seed)
    gains, against_wrong = context_gains(header, labels, answers, seed)
    return Probes(
        validity=validity(results),
        conditions=results,
        severity=severity_curves(results),
        context=gains,
        wrong_context=against_wrong,
        counterfactual=counterfactual_block(
            run, header, labels, answers, rows, read_stimuli(run.folder, digest), seed
        ),
        incongruence=incongruence,
        pairs=pairs,
    )
