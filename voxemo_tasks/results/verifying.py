"""Whether a results JSON is what its run folder gives: every number computed again and compared.

Conventions
-----------
stored      the file as it stands on the disk
again       what this package makes of the run folder now, scored with what the file says it was
            scored with; sessions that were written later are left out as if they did not exist
path        place in the JSON: keys joined by dots, places of lists in brackets
number      two numbers are equal where they differ by at most ``TOLERANCE``, relative to the larger
            one above 1; everything else must be the same
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import __version__, registry
from ..errors import DataRoomError, StoreError, UnknownNameError
from ..records import Json
from ..store import writers_of
from .kinds import SWITCHED_OFF
from .model import Results, Scoring, TaskResult
from .score import score_run
from .wanted import SEED
from .writing import read_results

TOLERANCE = 1e-12

MAY_DIFFER = frozenset(
    {
        *("created", "run", "voxemo_tasks", "scoring", "preregistration"),
        *("sessions[].wall_s", "sessions[].finished", "sessions[].engine"),
    }
)
"""Fields that scoring again does not give again, places of lists left out. The version is compared
by itself; ``scoring`` is what is repeated; departures from a plan need the plan (``voxemo verify
--prereg``); a session's record
goes on after its results were written."""

ABSENT = "absent"
"""Key under which results say why a block is not there."""

Kind = Literal["number", "text", "absent", "added", "digest"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the file and the run folder disagree.

    Attributes:
        path: Where in the JSON.
        stored: What the file says; ``None`` too where it says nothing.
        again: What the run folder gives.
        kind: ``number``, ``text``; ``absent`` (the file lacks it) or ``added`` (only the file has
            it); ``digest`` (another file was used: documents, prompt, verbalizer, card).
    """

    path: str
    stored: Any
    again: Any
    kind: Kind


@dataclass(frozen=True)
class Verification:
    """What verifying found.

    Attributes:
        folder: The run folder that was scored again.
        compared: Values that were compared.
        differences: Where file and folder disagree, in the order of the file.
        version: Version that wrote the file.
        not_in_file: Fields that later versions compute and the file, being older, does not have.
        later_sessions: Sessions that were written after the file and were left out.
        files: Registered files that are others here than those that the results name.
        impossible: Why the numbers could not be computed again.
    """

    folder: Path
    compared: int
    differences: list[Difference]
    version: str
    not_in_file: list[str] = field(default_factory=list)
    later_sessions: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    impossible: str | None = None

    @property
    def holds(self) -> bool:
        """Whether everything that the file says was found again."""
        return self.impossible is None and not self.differences

    @property
    def same_version(self) -> bool:
        return self.version == __version__


def verify_results(
    path: Path, folder: Path | None = None, transcript_baseline: Path | None = None
) -> Verification:
    """Score the run folder of a results JSON again and compare.

    Args:
        path: The results JSON.
        folder: The run folder; default: the one that it names, or where that is not there, the
            folder that the file lies in.
        transcript_baseline: Run folder of the transcript-only system, where it was moved.

    Raises:
        StoreError: For a file that is no results JSON, or a folder that is no run folder.
    """
    results = read_results(path)
    stored = _raw(path)
    place = folder or _folder_of(results, path)
    known = {session.id for session in results.sessions}
    later = [name for name in writers_of(place) if name not in known]
    scoring = results.scoring or inferred_scoring(results)
    files = changed_files(results)
    words, words_later = None, []
    if scoring.transcript_baseline is not None:
        words = transcript_baseline or Path(scoring.transcript_baseline.run)
        if not (words / "run.json").is_file():
            raise StoreError(
                f"{path} was scored beside a transcript-only system, whose run folder {words} is not "
                "there; say where it is with --transcript-baseline"
            )
        mine = set(scoring.transcript_baseline.sessions)
        words_later = [name for name in writers_of(words) if name not in mine]
    try:
        again = score_run(
            place,
            verbalizer=scoring.verbalizer,
            by=scoring.by,
            sessions=scoring.sessions,
            seed=scoring.seed,
            multiverse=scoring.multiverse,
            without=later,
            transcript_baseline=words,
            baseline_without=words_later,
            annotator_delay_s=scoring.annotator_delay_s,
        )
    except (DataRoomError, UnknownNameError) as error:
        return Verification(
            place, 0, [], results.voxemo_tasks, [], later, files, impossible=str(error)
        )
    walk = _Walk()
    filled = results.model_dump(mode="json", by_alias=True)
    walk.compare("", "", stored, filled, again.model_dump(mode="json", by_alias=True))
    return Verification(
        place,
        walk.compared,
        walk.differences,
        results.voxemo_tasks,
        walk.not_in_file,
        later,
        files,
    )


def inferred_scoring(results: Results) -> Scoring:
    """What an older file, which does not say, was scored with, as far as it shows.

    A verbalizer other than the run's own, the seed of any interval, whether the replies were read
    in every other way. Division by other facts than the default is not to be seen.
    """
    verbalizer, seed, multiverse = None, SEED, False
    for task in results.tasks.values():
        used = task.verbalizer.get("id")
        if used != (task.verbalizer.get("run_with") or {}).get("id", used):
            verbalizer = used
        why_not = task.absent.get("sensitivity", SWITCHED_OFF)
        multiverse |= task.sensitivity is not None or why_not != SWITCHED_OFF
        for rate in task.hard.values():
            seed = rate.strict.interval.seed
    sessions: list[str] = []
    return Scoring(
        verbalizer=verbalizer, by=None, sessions=sessions, seed=seed, multiverse=multiverse
    )


def changed_files(results: Results) -> list[str]:
    """Registered files that the results name and that are absent here, or have other bytes.

    Example:
        >>> changed_files(Results.model_construct(tasks={}))
        []
    """
    found: dict[str, None] = {}
    for task in results.tasks.values():
        for room, ref, digest in _registered(task):
            try:
                here = getattr(registry, room)(ref)[1]
            except UnknownNameError:
                found[f"{room} {ref}: not registered in this installation"] = None
                continue
            if here != digest:
                found[f"{room} {ref}: SHA-256 {digest} in the results, {here} here"] = None
    return list(found)


def _registered(task: TaskResult) -> Iterator[tuple[str, str, str]]:
    for prompt in task.prompts:
        # An imported run names prompts that were never registered: they carry no digest.
        if prompt.get("sha256"):
            yield "prompt", str(prompt["id"]), str(prompt["sha256"])
    if task.ensemble is not None:
        yield "ensemble", str(task.ensemble["id"]), str(task.ensemble["sha256"])
    yield "verbalizer", str(task.verbalizer["id"]), str(task.verbalizer["sha256"])


def _raw(path: Path) -> Json:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def _folder_of(results: Results, path: Path) -> Path:
    named = Path(results.run)
    beside = path.absolute().parent
    if not (named / "run.json").is_file() and (beside / "run.json").is_file():
        return beside
    return named


class _Walk:
    """The comparison, branch by branch."""

    def __init__(self) -> None:
        self.compared = 0
        self.differences: list[Difference] = []
        self.not_in_file: list[str] = []

    def compare(self, path: str, place: str, stored: Any, filled: Any, again: Any) -> None:
        """One value: as it stands in the file, with defaults filled in, and computed again."""
        if place in MAY_DIFFER:
            return
        if isinstance(stored, dict) and isinstance(again, dict):
            self._objects(path, place, stored, filled, again)
        elif isinstance(stored, list) and isinstance(again, list):
            for i in range(max(len(stored), len(again))):
                at = f"{path}[{i}]"
                if i >= len(stored):
                    self._note(at, None, again[i], "absent")
                elif i >= len(again):
                    self._note(at, stored[i], None, "added")
                else:
                    self.compare(at, f"{place}[]", stored[i], filled[i], again[i])
        else:
            self.compared += 1
            if not equal(stored, again):
                self._note(path, stored, again, _kind(place, stored, again))

    def _objects(
        self, path: str, place: str, stored: Json, filled: Mapping[str, Any], again: Json
    ) -> None:
        for key in [*stored, *(k for k in again if k not in stored)]:
            at = f"{path}.{key}" if path else str(key)
            here = f"{place}.{key}" if place else str(key)
            if here in MAY_DIFFER:
                continue
            if key == ABSENT and isinstance(stored.get(key), dict) and isinstance(again[key], dict):
                again = {**again, key: self._reasons(at, stored, again[key])}
            if key not in stored:
                if key in filled:
                    self.not_in_file.append(at)
                else:
                    self._note(at, None, again[key], "absent")
            elif key not in again:
                self._note(at, stored[key], None, "added")
            else:
                self.compare(at, here, stored[key], filled.get(key), again[key])

    def _reasons(self, path: str, stored: Json, again: Json) -> Json:
        """Why blocks are absent, without those that the file, being older, does not know."""
        known = {k: v for k, v in again.items() if k in stored[ABSENT] or k.split(".")[0] in stored}
        self.not_in_file += [f"{path}.{key}" for key in again if key not in known]
        return known

    def _note(self, path: str, stored: Any, again: Any, kind: Kind) -> None:
        self.differences.append(Difference(path, stored, again, kind))


def equal(stored: Any, again: Any) -> bool:
    """Whether two values of JSON are the same, numbers to within ``TOLERANCE``.

    Example:
        >>> equal(0.5, 0.5 + 1e-13), equal(0.5, 0.5 + 1e-11), equal(1, True), equal(1, 1.0)
        (True, False, False, True)
    """
    if isinstance(stored, bool) or isinstance(again, bool):
        return stored is again
    if isinstance(stored, int | float) and isinstance(again, int | float):
        return abs(stored - again) <= TOLERANCE * max(1.0, abs(stored), abs(again))
    return type(stored) is type(again) and bool(stored == again)


def _kind(place: str, stored: Any, again: Any) -> Kind:
    if place.endswith("sha256"):
        return "digest"
    for value in (stored, again):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return "number"
    return "text"
