"""Several tasks together: the same menu, their counts added up; several corpora, random effects over them.

Counts are added within a tier alone. Over corpora a rate counts where it is a headline and has an interval.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..metrics.confusion import Confusion
from ..metrics.gaps import rate_gaps
from ..metrics.hard import HARD_METRICS
from ..metrics.random_effects import random_effects
from . import model as m
from .blocks import HEADLINE, REPLICATES, effects_of, gaps_of, rate, standard_error
from .counting import Tally


def pooled(scored: Mapping[str, tuple[m.TaskResult, Tally]], seed: int) -> list[m.Pooled]:
    """Counts of a tier's tasks with the same menu, added up; speakers of two tasks are two clusters.

    Tiers stay apart: they ask about the same utterances, which would count twice and as independent.
    """
    same: dict[tuple[str, tuple[str, ...]], dict[str, Tally]] = {}
    for task, (result, tally) in scored.items():
        if tally.labels and tally.scored:
            same.setdefault((result.tier, tally.labels), {})[task] = tally
    out = []
    for (_, labels), several in same.items():
        if len(several) < 2:
            continue
        clusters: list[Confusion] = []
        unknown = [task for task, tally in several.items() if tally.unit is None]
        unit = " or ".join(sorted({tally.unit for tally in several.values() if tally.unit}))
        known = not unknown
        for tally in several.values():
            clusters += tally.by_cluster(tally.scored)
        counts = np.sum([c.counts for c in clusters], axis=0)
        whole = Confusion(labels, counts)
        notes = [
            f"{task} has no headline: {'; '.join(scored[task][0].reasons)}"
            for task in several
            if not scored[task][0].headline
        ]
        if unknown:
            notes.append(
                "the intervals take utterances for independent, since the speaker of some is not known "
                f"in {', '.join(unknown)}, nor the dialogue; with several utterances a speaker they are "
                "too narrow"
            )
        some = clusters if known else [whole]
        out.append(
            m.Pooled(
                tasks=list(several),
                labels=list(labels),
                n=int(counts.sum()),
                hard={
                    name: rate(name, whole, some, unit if known else None, seed)
                    for name in HARD_METRICS
                },
                gaps={
                    metric: gaps_of(
                        rate_gaps(
                            {task: tally.confusions()[0] for task, tally in several.items()},
                            metric,
                            replicates=REPLICATES,
                            seed=seed,
                        ),
                        {task: tally.unit is not None for task, tally in several.items()},
                        seed,
                        unit,
                    )
                    for metric in HEADLINE
                },
                notes=notes,
            )
        )
    return out


def over_corpora(tasks: Mapping[str, m.TaskResult]) -> list[m.OverCorpora]:
    """Strict rates over corpora, by tier: mean, spread between corpora, where a new one would be.

    A task without a headline is left out: its rate is not one of the corpus.
    """
    by_tier: dict[str, list[m.TaskResult]] = {}
    left: dict[str, list[str]] = {}
    for result in tasks.values():
        if result.hard and not result.headline:
            left.setdefault(result.tier, []).append(
                f"{result.task} is left out, it has no headline: {'; '.join(result.reasons)}"
            )
        elif result.hard:
            by_tier.setdefault(result.tier, []).append(result)
    out = []
    for tier, several in by_tier.items():
        for metric in HEADLINE:
            values, errors, names = [], [], []
            notes = list(left.get(tier, ()))
            for result in several:
                number = result.hard[metric].strict
                low, high = number.interval.low, number.interval.high
                if number.value is None or low is None or high is None or high <= low:
                    reason = number.interval.reason or "no width"
                    notes.append(
                        f"{result.task} is left out, its rate has no interval to weigh it by: {reason}"
                    )
                    continue
                values.append(number.value)
                errors.append(standard_error(number.value, number.interval))
                names.append(result.task)
            if len(values) < 3:
                continue
            found = random_effects(np.array(values), np.array(errors))
            out.append(
                m.OverCorpora(
                    tier=tier,
                    metric=metric,
                    tasks=names,
                    effects=effects_of(found),
                    notes=notes,
                )
            )
    return out
