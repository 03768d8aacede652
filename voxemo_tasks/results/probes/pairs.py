"""Minimal pairs: utterances that differ in one dimension and nothing else.

A pair of more than two members counts once: it differs where not all of them have the same answer,
and its shift is the largest between two of them. A non-answer is an answer of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...metrics.gaps import share_gaps
from ...metrics.intervals import Interval
from ...records import Json
from ..basics import Value
from ..blocks import REPLICATES, interval_of
from .answers import FACTS, Answers, share_of, speakers
from .model import PairSensitivity


def pairs_block(header: Json, answers: Answers, seed: int) -> list[PairSensitivity]:
    """One result per dimension; empty for a run without pairs."""
    stimuli = header.get("pairs", {}).get("stimuli", {})
    members: dict[tuple[str, str], list[tuple[str, str]]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for uid, document in answers.document.items():
        for one in document.get("pairs", ()):
            key = (one["dimension"], one["pair"])
            members.setdefault(key, []).append((one["variant"], uid))
            sizes[key] = int(one["size"])
    out = []
    for dimension in sorted({dimension for dimension, _ in members}):
        whole, incomplete = [], 0
        for key in sorted(k for k in members if k[0] == dimension):
            if len(members[key]) == sizes[key]:
                whole.append(sorted(members[key]))
            else:
                incomplete += 1
        found = _dimension(dimension, whole, incomplete, answers, seed)
        out.append(found.model_copy(update={"stimuli": stimuli.get(dimension, {})}))
    return out


def _dimension(
    dimension: str,
    pairs: list[list[tuple[str, str]]],
    incomplete: int,
    answers: Answers,
    seed: int,
) -> PairSensitivity:
    first = [answers.document[pair[0][1]] for pair in pairs]
    differs = [float(len({answers.answer[u] for _, u in pair}) > 1) for pair in pairs]
    shift = [max(_apart(answers, a, b) for (_, a), (_, b) in combinations(p, 2)) for p in pairs]
    labelled = [p for p in pairs if all(answers.document[u].get("label") for _, u in p)]
    right = [
        float(all(answers.answer[u] == answers.document[u]["label"] for _, u in p))
        for p in labelled
    ]
    moves: Counter[str] = Counter(
        " → ".join(f"{variant}: {answers.answer[u] or 'no answer'}" for variant, u in pair)
        for pair in pairs
    )
    by, interaction = _by(differs, first, seed)
    return PairSensitivity(
        dimension=dimension,
        pairs=len(pairs),
        incomplete=incomplete,
        differs=share_of(differs, first, seed),
        shift=share_of(shift, first, seed),
        both_right=None
        if not labelled
        else share_of(right, [answers.document[p[0][1]] for p in labelled], seed),
        moves=dict(sorted(moves.items(), key=lambda item: (-item[1], item[0]))),
        by=by,
        interaction=interaction,
    )


def _apart(answers: Answers, a: str, b: str) -> float:
    return float(np.abs(answers.shares[a] - answers.shares[b]).sum() / 2)


def _by(
    differs: list[float], documents: list[Json], seed: int
) -> tuple[dict[str, dict[str, Value]], dict[str, Value]]:
    by: dict[str, dict[str, Value]] = {}
    interaction: dict[str, Value] = {}
    who = speakers(documents)
    for fact in FACTS:
        rows: dict[str, list[int]] = {}
        for i, document in enumerate(documents):
            if document.get(fact) is not None:
                rows.setdefault(str(document[fact]), []).append(i)
        if len(rows) < 2:
            continue
        counts = {}
        for group, some in sorted(rows.items()):
            by.setdefault(fact, {})[group] = share_of(
                [differs[i] for i in some], [documents[i] for i in some], seed
            )
            of_unit: dict[str, list[int]] = {}
            for i in some:
                cell = of_unit.setdefault(who[i] if who else str(i), [0, 0])
                cell[0] += int(differs[i])
                cell[1] += 1
            counts[group] = np.array([of_unit[u] for u in sorted(of_unit)], dtype=np.int64)
        found = share_gaps(counts, minimum=1, replicates=REPLICATES, seed=seed)
        interaction[fact] = Value(
            value=found.gap,
            n=sum(map(len, rows.values())),
            interval=interval_of(
                _with_variation(found.gap_interval, counts), "speaker" if who else None, seed
            ),
        )
    return by, interaction


def _with_variation(interval: Interval, counts: Mapping[str, NDArray[np.int64]]) -> Interval:
    """None where a group is one speaker (or pair): redrawn, it never varies and seems certain."""
    alone = sorted(group for group, cells in counts.items() if len(cells) < 2)
    if not alone:
        return interval
    reason = f"one cluster with data in {', '.join(alone)}; an interval needs at least two in each"
    return replace(interval, low=None, high=None, method="none", replicates=0, reason=reason)
