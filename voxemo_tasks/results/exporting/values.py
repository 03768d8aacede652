"""The numbers of a results JSON as one flat list, which every export reads.

Conventions
-----------
metric    a hard rate by its name (``uar``), others after their block: ``soft.jsd``,
          ``calibration.gap``, ``valence.ccc``, ``valence.continuous.ccc``; ``words.uar`` is the
          transcript-only baseline's, ``over_words.uar`` the difference from it
policy    ``strict`` and ``answered`` for hard rates, the non-answer policy for soft metrics, ``""``
          where there is none
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...errors import UnknownNameError
from ...metrics.hard import HARD_METRICS
from ..model import Interval, Results, TaskResult, Value

Better = Literal["highest", "lowest", "zero", "one"]

LOWEST = frozenset({"rmse", "mae", "mse", "l2_error", "smooth_error", "brier", "aurc"})
"""Names, after the block, of which less is better."""

CENTRED: dict[str, Better] = {"bias": "zero", "location_shift": "zero", "scale_shift": "one"}
"""Names of ratings that are best in the middle: too much is as bad as too little."""

SOFT_POLICIES = {"strict": "extra_class", "answered": "answered"}
"""Policy of hard rates → policy of soft metrics that treats a non-answer most alike."""

RANGES: dict[str, tuple[float | None, float | None]] = {
    **dict.fromkeys(("tvd", "jsd", "cosine", "bhattacharyya"), (0.0, 1.0)),
    **dict.fromkeys(("set_macro_f1", "top2", "any_annotator", "coverage"), (0.0, 1.0)),
    **dict.fromkeys(("brier", "auroc", "aurc", "smooth_error"), (0.0, 1.0)),
    **dict.fromkeys(("entropy_correlation", "ccc", "pcc", "pearson", "spearman"), (-1.0, 1.0)),
    **dict.fromkeys(("gap",), (-1.0, 1.0)),
    **dict.fromkeys(("kl", "cross_entropy", "rmse", "mae", "mse"), (0.0, None)),
}
"""Least and greatest possible value by name after the block; absent: not stated."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One number.

    Attributes:
        task: The task that it is of.
        metric: Its name.
        policy: How non-answers count.
        value: ``None`` where it does not exist.
        n: Utterances that it rests on.
        interval: ``None`` where none was computed.
        better: Which end is good; ``zero`` for signed quantities, ``one`` for ratios.
        unit: ``bits`` or empty.
        low: Least possible value, ``None`` where there is none or it is not stated.
        high: Greatest possible value.
        definition: How the rate is defined, where the results say it.
    """

    task: TaskResult
    metric: str
    policy: str
    value: float | None
    n: int
    interval: Interval | None
    better: Better
    unit: str = ""
    low: float | None = None
    high: float | None = None
    definition: str = ""

    @property
    def is_rate(self) -> bool:
        """Whether it is a hard rate, a fraction that tables show as a percentage."""
        return is_rate(self.metric)


def is_rate(metric: str) -> bool:
    """Whether a metric is a hard rate, one of the words alone, or the difference of the two.

    Example:
        >>> is_rate("uar"), is_rate("over_words.uar"), is_rate("soft.jsd")
        (True, True, False)
    """
    return metric.removeprefix("over_").removeprefix("words.") in HARD_METRICS


def measured(
    results: Results, metrics: Sequence[str] | None = None, policy: str | None = None
) -> list[Measured]:
    """All numbers of a results JSON, or those of some metrics, in the order of the metrics.

    Args:
        results: The results.
        metrics: Names; default: all that there are.
        policy: Under this policy alone, ``strict`` or ``answered``; of soft metrics the one that is
            nearest to it (``SOFT_POLICIES``).

    Raises:
        UnknownNameError: For a metric that is no hard rate and is in none of the tasks.
    """
    found = [one for task in results.tasks.values() for one in _of_task(task)]
    if policy is not None:
        found = [one for one in found if one.policy in ("", policy, SOFT_POLICIES[policy])]
    if metrics is None:
        return found
    require_known(metrics, [one.metric for one in found])
    order = {name: i for i, name in enumerate(metrics)}
    tasks = {name: i for i, name in enumerate(results.tasks)}
    kept = [one for one in found if one.metric in order]
    return sorted(kept, key=lambda one: (tasks[one.task.task], order[one.metric]))


def require_known(metrics: Sequence[str], found: Iterable[str]) -> None:
    """Raise for a name that is no hard rate and is not among those that were found.

    Example:
        >>> require_known(["uar"], [])
    """
    known = {*HARD_METRICS, *found}
    for name in metrics:
        if name not in known:
            raise UnknownNameError("metric of these results", name, known)


def nothing_of(several: Sequence[Results], metrics: Sequence[str]) -> str:
    """What to say where no task has any of the metrics, rather than to write an empty export."""
    there = dict.fromkeys(
        one.metric for results in several for one in measured(results) if one.value is not None
    )
    what = f"there are {', '.join(there)}" if there else "no number was computed"
    return f"no task of these results has a value of {', '.join(metrics)}; {what}: say --metric"


def _of_task(task: TaskResult) -> Iterator[Measured]:
    for name, rate in task.hard.items():
        for policy, number in (("strict", rate.strict), ("answered", rate.answered)):
            yield Measured(
                *(task, name, policy, number.value, number.n, number.interval, "highest"),
                low=0.0,
                high=1.0,
                definition=number.method,
            )
    if task.soft is not None:
        for name, soft in task.soft.metrics.items():
            for policy, value in soft.policies.items():
                low, high = RANGES.get(name, (None, None))
                yield Measured(
                    *(
                        task,
                        f"soft.{name}",
                        policy,
                        value.value,
                        value.n,
                        value.interval,
                        soft.best,
                    ),
                    unit=soft.unit,
                    low=low,
                    high=high,
                    definition=f"agreement with the annotators' votes; {task.soft.source}",
                )
    yield from _calibration(task)
    yield from _beside_words(task)
    for dimension, block in task.dimensional.items():
        yield from _ratings(task, dimension, block.metrics)
        if block.ceiling is not None:
            yield from _ratings(task, f"{dimension}.ceiling", {"ccc": block.ceiling.ccc})
    for dimension, traced in task.continuous.items():
        about = (
            f"windows against traces, delay {traced.delay.delay_s:g} s ({traced.delay.chosen_by})"
        )
        both = {**traced.metrics, "mean_ccc": traced.mean_ccc}
        yield from _ratings(task, f"{dimension}.continuous", both, about)


def _ratings(
    task: TaskResult, prefix: str, metrics: Mapping[str, Value], definition: str = ""
) -> Iterator[Measured]:
    for name, one in metrics.items():
        low, high = RANGES.get(name.removeprefix("mean_"), (None, None))
        yield Measured(
            *(task, f"{prefix}.{name}", "", one.value, one.n, one.interval),
            better=CENTRED.get(name, "lowest" if name in LOWEST else "highest"),
            low=low,
            high=high,
            definition=definition,
        )


def _beside_words(task: TaskResult) -> Iterator[Measured]:
    block = task.transcript_baseline
    if block is None:
        return
    about = f"transcript only, {block.condition} of {block.model.get('model')}"
    for name, by_policy in block.hard.items():
        for policy, both in by_policy.items():
            words, over = both.baseline, both.difference
            yield Measured(
                *(task, f"words.{name}", policy, words.value, words.n, words.interval, "highest"),
                low=0.0,
                high=1.0,
                definition=f"{words.method}; {about}",
            )
            yield Measured(
                *(task, f"over_words.{name}", policy, over.value, over.n, over.interval, "highest"),
                low=-1.0,
                high=1.0,
                definition=f"rate less that of the words alone, same utterances; {about}",
            )


def _calibration(task: TaskResult) -> Iterator[Measured]:
    if task.calibration is None:
        return
    overall = task.calibration.overall
    n, about = task.calibration.n, f"confidence: {task.calibration.confidence}"
    about = f"{about}; target: {task.calibration.target}"
    gap = overall.gap
    yield Measured(
        *(task, "calibration.gap", "", gap.value, gap.n, gap.interval, "zero"),
        low=-1.0,
        high=1.0,
        definition=f"mean confidence less mean hit rate; {about}",
    )
    for name in ("smooth_error", "brier", "auroc", "aurc"):
        low, high = RANGES[name]
        yield Measured(
            *(task, f"calibration.{name}", "", getattr(overall, name), n, None),
            better="lowest" if name in LOWEST else "highest",
            low=low,
            high=high,
            definition=about,
        )
