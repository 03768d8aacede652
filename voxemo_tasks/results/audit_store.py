"""What people said of replies, as a run folder keeps it; see :mod:`voxemo_tasks.results.audits`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError
from ..records import Json

SCHEMA = "voxemo-audit/1"


@dataclass(frozen=True, slots=True)
class Coded:
    """What one person said of one reply.

    Attributes:
        item: Id of the reply in the audit.
        rater: Who.
        culture: Of the rater, if given.
        answer: A label of the menu, ``multiple``, ``off_menu`` or ``none``.
        audit: The audit that the sheet was drawn for, where it says so.
    """

    item: str
    rater: str
    culture: str | None
    answer: str
    audit: str | None = None


def records_of(folder: Path) -> dict[str, Json]:
    """Audit → what was drawn, of a run folder.

    Raises:
        StoreError: For a record that is damaged.
    """
    found = {}
    for path in sorted((folder / "audits").glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(f"{path} is damaged ({error}); export the audit again") from error
        if record.get("schema") == SCHEMA:
            found[path.stem] = record
    return found


def said_in(folder: Path, audit: str) -> dict[str, dict[str, Coded]]:
    """Item → rater → what this rater said last."""
    said: dict[str, dict[str, Coded]] = {}
    for path in sorted((folder / "audits" / audit).glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            said.setdefault(row["item"], {})[row["rater"]] = Coded(**row)
    return said


def code_of(answer: str | None, labels: Sequence[str]) -> int:
    """Index of a label; the number of labels for anything else.

    Example:
        >>> code_of("sad", ["happy", "sad"]), code_of(None, ["happy", "sad"])
        (1, 2)
    """
    return labels.index(answer) if answer in labels else len(labels)


def consensus_of(said: Mapping[str, Coded], labels: Sequence[str]) -> int | None:
    """Code of what most raters say; ``None`` for nobody, or where they are divided."""
    votes = Counter(code_of(one.answer, labels) for one in said.values()).most_common(2)
    if not votes or (len(votes) > 1 and votes[0][1] == votes[1][1]):
        return None
    return votes[0][0]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Replies of a task that people read, as a sample of its replies.

    Attributes:
        people: Key of the reply → code of the label that they say it asserts.
        reason: Why a reader's confusion against them is not that of all replies, or why there are
            none; ``None`` where it can be used.
    """

    people: Mapping[str, int]
    reason: str | None = None


def calibration_of(folder: Path, task: str, labels: Sequence[str]) -> Calibration:
    """People's answers in the newest audit that has any of a task."""
    for name, record in sorted(records_of(folder).items(), key=lambda one: one[1]["created"])[::-1]:
        drawn = {i: one for i, one in record["drawn"].items() if one["task"] == task}
        said = said_in(folder, name) if drawn else {}
        codes = {i: consensus_of(said[i], labels) for i in drawn if i in said}
        people = {drawn[i]["key"]: code for i, code in codes.items() if code is not None}
        if not people:
            continue
        chances = {one["probability"] for one in drawn.values()}
        if len(chances) > 1 or None in chances:
            return Calibration(
                {},
                f"audit {name} was drawn {record['by']}, with unequal or unknown chances: a confusion "
                "matrix of it is not that of all replies. Draw with --by random, or see the "
                "prediction-powered estimates of `voxemo audit import`, which weigh by the chances",
            )
        return Calibration(people)
    return Calibration({}, "no audit of this task was read in (voxemo audit export, import)")
