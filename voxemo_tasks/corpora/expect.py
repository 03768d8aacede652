"""A manifest against the counts that its corpus's card has from publications."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from ..specs import CorpusCard
from .manifest import Manifest


@dataclass(frozen=True, slots=True)
class Difference:
    """A count that is not the published one.

    Attributes:
        what: ``utterances``, ``label <raw label>``, ``speakers`` or ``hours``.
        expected: As the card has it.
        found: In the manifest, rows without usable audio left out.
    """

    what: str
    expected: float
    found: float

    def __str__(self) -> str:
        return f"{self.what}: {self.expected:g} expected, {self.found:g} found"


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

    def compare(what: str, expected: int | None, found: int) -> None:
        if expected is not None and expected != found:
            differences.append(Difference(what, expected, found))

    compare("utterances", wanted.utterances, sum(usable))
    if wanted.labels:
        found = Counter(
            label for label, use in zip(manifest.column("raw_label"), usable, strict=True) if use
        )
        for label in [*wanted.labels, *sorted({x for x in found if x} - wanted.labels.keys())]:
            compare(f"label {label}", wanted.labels.get(label, 0), found[label])
    speakers = {
        speaker for speaker, use in zip(manifest.column("speaker"), usable, strict=True) if use
    }
    compare("speakers", wanted.speakers, len(speakers - {None}))
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
            differences.append(Difference("hours", wanted.hours, round(hours, digits + 1)))
    return differences
