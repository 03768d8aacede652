"""Which acoustic cues, and in which direction, a description of a voice mentions.

A clause is searched for cue words (``pitch``), direction words (``high``) and words that are both
(``loud``). A direction belongs to the nearest cue of its clause within reach; a direction that is
negated is not counted.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from ..records import Json, Verdict
from ..specs import CuesSpec

_CLAUSE = re.compile(r"[.!?;:,\n()]+|\b(?:but|however|although|though|while|whereas)\b")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


class CueReader:
    """A spec's words, compiled."""

    def __init__(self, spec: CuesSpec) -> None:
        self.reach = spec.reach
        self.negators = frozenset(w.casefold() for w in spec.negators)
        self.longest = 1
        self.terms: dict[tuple[str, ...], tuple[str | None, str | None]] = {}
        for cue, words in spec.cues.items():
            self._add(words, cue, None)
        for direction, words in spec.directions.items():
            self._add(words, None, direction)
        for cue, by_direction in spec.both.items():
            for direction, words in by_direction.items():
                self._add(words, cue, direction)

    def _add(self, words: Sequence[str], cue: str | None, direction: str | None) -> None:
        for word in words:
            parts = tuple(m[0].casefold() for m in _WORD.finditer(word))
            self.terms[parts] = (cue, direction)
            self.longest = max(self.longest, len(parts))

    def __call__(self, text: str) -> Verdict:
        """Cues with their directions, in ``detail``: cue → sorted directions (maybe none)."""
        found: dict[str, set[str]] = {}
        first: int | None = None
        last = 0
        for start, clause in _clauses(text):
            for cue, direction, a, b in self._clause(clause):
                found.setdefault(cue, set())
                if direction is not None:
                    found[cue].add(direction)
                first = start + a if first is None else min(first, start + a)
                last = max(last, start + b)
        if first is None:
            status = "unparsed" if text.strip() else "empty"
            return Verdict(status, rule=status)  # type: ignore[arg-type]  # one of two literals
        detail: Json = {cue: sorted(directions) for cue, directions in sorted(found.items())}
        return Verdict("answered", tuple(sorted(found)), (), (first, last), "cues", detail=detail)

    def _clause(self, clause: str) -> list[tuple[str, str | None, int, int]]:
        words = [(m[0].casefold(), m.start(), m.end()) for m in _WORD.finditer(clause)]
        cues: list[tuple[int, str, int, int]] = []
        free: list[tuple[int, str]] = []
        out: list[tuple[str, str | None, int, int]] = []
        at = 0
        while at < len(words):
            length = next(
                (
                    n
                    for n in range(min(self.longest, len(words) - at), 0, -1)
                    if tuple(w for w, _, _ in words[at : at + n]) in self.terms
                ),
                0,
            )
            if not length:
                at += 1
                continue
            cue, direction = self.terms[tuple(w for w, _, _ in words[at : at + length])]
            negated = any(w in self.negators for w, _, _ in words[max(0, at - 3) : at])
            start, end = words[at][1], words[at + length - 1][2]
            if cue is not None and direction is not None:
                out.append((cue, None if negated else direction, start, end))
            elif cue is not None:
                cues.append((at, cue, start, end))
            elif direction is not None and not negated:
                free.append((at, direction))
            at += length
        taken: set[int] = set()
        places = [place for place, _, _, _ in cues]
        for at, direction in free:
            after = bisect_left(places, at)
            beside = cues[max(0, after - 1) : after + 1]
            near = min(beside, key=lambda c: abs(c[0] - at), default=None)
            if near is not None and abs(near[0] - at) <= self.reach:
                out.append((near[1], direction, near[2], near[3]))
                taken.add(near[0])
        out += [(cue, None, a, b) for at, cue, a, b in cues if at not in taken]
        return out


def _clauses(text: str) -> list[tuple[int, str]]:
    edges = [(m.start(), m.end()) for m in _CLAUSE.finditer(text.lower())]
    starts = [0, *(end for _, end in edges)]
    ends = [*(start for start, _ in edges), len(text)]
    if len(text.lower()) != len(text):  # a letter whose small form is longer: places would shift
        return [(0, text)]
    return [(a, text[a:b]) for a, b in zip(starts, ends, strict=True) if a < b]
