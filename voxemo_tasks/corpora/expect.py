"""A manifest against the counts that its corpus's card has from publications."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from ..records import Json
from ..specs import CorpusCard
from .manifest import Manifest


@dataclass(frozen=True, slots=True)
class Difference:
    """A count that is not the published one.

    Attributes:
        what: ``utterances``, ``label <raw label>``, ``speakers`` or ``hours``.
        expected: As the card has it.
        found: In the manifest, rows without usable audio left out.
        why: What the manifest shows of the reason; never a guess.
    """

    what: str
    expected: float
    found: float
    why: str = ""

    def __str__(self) -> str:
        because = f" ({self.why})" if self.why else ""
        return f"{self.what}: {self.expected:g} expected, {self.found:g} found{because}"


def expect(manifest: Manifest, card: CorpusCard) -> list[Difference]:
    """Compare counts; what the card does not know is not compared.

    Hours agree when they do so to the digits that the card gives: 0.3 h is anything from 0.25 to
    0.35.

    Returns:
        The differences, in the card's order; empty where all agrees.
    """
    usable = [error is None for error in manifest.column("error")]
    wanted = card.expected
    differences: list[Difference] = []

    def compare(what: str, expected: int | None, found: int, why: str) -> None:
        if expected is not None and expected != found:
            differences.append(Difference(what, expected, found, why))

    report = manifest.facts.report
    n_usable = sum(usable)
    compare("utterances", wanted.utterances, n_usable, _why_rows(report))
    if wanted.labels:
        labels = manifest.column("raw_label")
        found = Counter(label for label, use in zip(labels, usable, strict=True) if use)
        lost = Counter(label for label, use in zip(labels, usable, strict=True) if not use)
        for label in [*wanted.labels, *sorted({x for x in found if x} - wanted.labels.keys())]:
            why = f"{lost[label]} more are unusable" if lost[label] else ""
            compare(f"label {label}", wanted.labels.get(label, 0), found[label], why)
    speakers = {
        speaker for speaker, use in zip(manifest.column("speaker"), usable, strict=True) if use
    }
    nameless = sum(
        use and speaker is None
        for speaker, use in zip(manifest.column("speaker"), usable, strict=True)
    )
    why = f"{nameless} utterances have no known speaker" if nameless else ""
    compare("speakers", wanted.speakers, len(speakers - {None}), why)
    if wanted.hours is not None:
        hours = (
            math.fsum(
                seconds or 0.0
                for seconds, use in zip(manifest.column("duration_s"), usable, strict=True)
                if use
            )
            / 3600
        )
        digits = len(repr(wanted.hours).partition(".")[2])
        if abs(hours - wanted.hours) > 0.5 * 10.0**-digits + 1e-9:
            same = wanted.utterances is None or wanted.utterances == n_usable
            why = "" if same else "of another number of utterances"
            differences.append(Difference("hours", wanted.hours, round(hours, digits + 1), why))
    return differences


def _why_rows(report: Json) -> str:
    """What ``prepare`` left out or could not use."""
    parts = [
        f"{report[key]} {said}"
        for key, said in (("n_unusable", "unusable"), ("n_not_in_corpus", "left out by prepare"))
        if report.get(key)
    ]
    return ", ".join(parts)
