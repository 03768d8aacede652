"""All probes of a task, from its answers under every condition."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ...errors import StoreError
from ..asking import AskedTask
from ..collecting import Collector, Texts
from ..counting import Tally
from .answers import Answers
from .asked import CLAIMS, CLEAN
from .conditions import condition_results, context_gains, severity_curves, validity
from .counterfactual import Stimuli, counterfactual_block, rationales
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


@dataclass(frozen=True, slots=True)
class Takers:
    """What takes in the replies of a task under its conditions, beside those to the clip as it is.

    Attributes:
        collectors: Condition → what reads its replies as those of the task.
        texts: Condition → its replies as they are, for what reads them in another way.
    """

    collectors: dict[str, Collector]
    texts: dict[str, Texts]

    @classmethod
    def of(cls, one: AskedTask) -> Takers:
        """Takers of a task; none for one that asks for ratings."""
        if not one.reading.labels:
            return cls({}, {})
        others = {name: rows for name, rows in one.conditions.items() if name != CLEAN}
        whole = rationales(one.header)
        return cls(
            {name: one.collector(name) for name in others if name != CLAIMS},
            {name: Texts(rows) for name, rows in others.items() if whole or name == CLAIMS},
        )

    def all(self) -> list[Collector | Texts]:
        return [*self.collectors.values(), *self.texts.values()]


def probes_block(
    one: AskedTask, takers: Takers, main: Tally, stimuli: Stimuli | None, seed: int
) -> Probes | None:
    """``None`` where nothing but the clip as it is was asked about, and nothing else is known.

    Args:
        one: The task.
        takers: Its replies under other conditions, taken in.
        main: Columns of the reference condition.
        stimuli: What the manipulation check found.
        seed: Of the bootstrap.
    """
    header, labels = one.header, one.reading.labels
    answers = {CLEAN: Answers.of(main)}
    for condition, collector in takers.collectors.items():
        answers[condition] = Answers.of(collector.tally())
    incongruence = incongruence_block(labels, answers[CLEAN], seed)
    pairs = pairs_block(header, answers[CLEAN], seed)
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
        counterfactual=counterfactual_block(header, labels, answers, takers.texts, stimuli, seed),
        incongruence=incongruence,
        pairs=pairs,
    )
