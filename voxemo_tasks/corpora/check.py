"""Whether a prepared corpus is still what it was when it was prepared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..audio import decode, sha256_of, shown
from ..errors import AudioError, CorpusError
from ..records import Utterance
from .manifest import Manifest
from .measuring import ahead, by_file
from .readers import Problem, reader
from .registered import Prepared, command, prepared

Kind = Literal["missing", "changed", "undecodable", "not_in_manifest", "manifest"]

KINDS: dict[Kind, str] = {
    "missing": "missing or unreadable",
    "changed": "changed since prepared",
    "undecodable": "cannot be decoded",
    "not_in_manifest": "new, not in the manifest",
    "manifest": "manifest itself",
}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The state of a prepared corpus.

    Attributes:
        corpus_id: The corpus.
        root: Where it lies.
        n: Rows of the manifest.
        good: Rows whose file is there, has the recorded bytes, and was decoded whole.
        known: Rows that were recorded as unusable when it was prepared; not counted as wrong.
        problems: What is wrong, by kind.
        notes: What is worth knowing and not wrong.
    """

    corpus_id: str
    root: str
    n: int
    good: int
    known: int
    problems: tuple[tuple[Kind, Problem], ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def table(self, limit: int = 10) -> str:
        """Counts, then the first problems of each kind, as text."""
        rows = [("utterances", self.n), ("good", self.good)]
        for kind, words in KINDS.items():
            rows.append((words, sum(k == kind for k, _ in self.problems)))
        rows.append(("unusable since prepared", self.known))
        width = max(len(name) for name, _ in rows)
        lines = [f"{self.corpus_id}: {self.root}"]
        lines += [f"  {name:<{width}}  {count:>8}" for name, count in rows]
        for kind, words in KINDS.items():
            named = [p for k, p in self.problems if k == kind]
            if named:
                lines.append(f"{words}:")
                lines += [f"  {problem}" for problem in named[:limit]]
                if len(named) > limit:
                    lines.append(f"  … and {len(named) - limit} more ({len(named)} in all)")
        lines += [f"note: {note}" for note in self.notes]
        lines.append("ok" if self.ok else "NOT ok")
        return "\n".join(lines)


def check(corpus_id: str, *, workers: int | None = None, progress: bool = False) -> CheckReport:
    """Verify a prepared corpus: rows, files, digests, decodability, and files that are new.

    Args:
        corpus_id: A corpus that was prepared.
        workers: Threads; by default four more than CPUs, at most 32.
        progress: Show a progress bar on the standard error stream, if that is a terminal.

    Raises:
        NotPreparedError: With the command that prepares it.
        CorpusError: For a manifest that cannot be read.
        OptionError: For ``workers`` below 1.
    """
    entry = prepared(corpus_id)
    manifest = entry.manifest()
    problems: list[tuple[Kind, Problem]] = []
    notes: list[str] = []
    try:
        manifest.verify()
    except CorpusError as error:
        problems.append(("manifest", Problem(shown(manifest.path), str(error))))
    if entry.card_changed:
        notes.append(f"the card has changed since; to use the new one: {command(entry.card)}")
    known = sum(error is not None for error in manifest.column("error"))
    if not entry.root.is_dir():
        problems.append(("missing", Problem(str(entry.root), "the root is not there")))
        return CheckReport(
            corpus_id, shown(entry.root), len(manifest), 0, known, tuple(problems), tuple(notes)
        )
    good = 0
    usable = (u for u in manifest.utterances() if u.error is None)
    count = len(manifest) - known
    for found in _verified(manifest, usable, workers, count if progress else None):
        if found is None:
            good += 1
        else:
            problems.append(found)
    problems += _new_files(entry, manifest)
    return CheckReport(
        corpus_id, shown(entry.root), len(manifest), good, known, tuple(problems), tuple(notes)
    )


def _verified(
    manifest: Manifest, usable: Iterable[Utterance], workers: int | None, total: int | None
) -> Iterator[tuple[Kind, Problem] | None]:
    from tqdm import tqdm

    groups = ahead(by_file(usable), lambda group: _states(manifest, group), workers)
    # None: only where the standard error stream is a terminal.
    disable = None if total is not None else True
    with (
        contextlib.closing(groups),
        tqdm(desc="check", total=total, unit="utt", disable=disable) as bar,
    ):
        for group, future in groups:
            yield from future.result()
            bar.update(len(group))


def _states(manifest: Manifest, group: list[Utterance]) -> list[tuple[Kind, Problem] | None]:
    """What is wrong with each utterance of one file, ``None`` where nothing is."""
    try:
        digest = sha256_of(manifest.audio_ref(group[0]).path)
    except AudioError as error:
        return [("missing", _problem(manifest, u, error)) for u in group]
    states: list[tuple[Kind, Problem] | None] = []
    for utterance in group:
        if digest != utterance.sha256:
            reason = "its bytes are not those that were prepared; restore it, or prepare again"
            states.append(("changed", Problem(shown(utterance.path), reason)))
            continue
        try:
            decode(manifest.audio_ref(utterance), utterance.sampling_rate_hz or 16_000)
        except AudioError as error:
            states.append(("undecodable", _problem(manifest, utterance, error)))
        else:
            states.append(None)
    return states


def _problem(manifest: Manifest, utterance: Utterance, error: AudioError) -> Problem:
    path = shown(manifest.audio_ref(utterance).path)
    return Problem(shown(utterance.path), str(error).removeprefix(f"{path}: "))


def _new_files(entry: Prepared, manifest: Manifest) -> Iterator[tuple[Kind, Problem]]:
    have = set(manifest.column("path"))
    try:
        for found in reader(entry.card.reader.family)(entry.card, entry.root):
            if isinstance(found, Utterance) and found.path not in have:
                problem = Problem(shown(found.path), "prepare again to take it in")
                yield "not_in_manifest", problem
    except CorpusError as error:
        yield "missing", Problem(".", str(error))
