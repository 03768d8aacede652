"""Results as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .model import Rate, Results

COLUMNS = ("uar", "wa", "macro_f1", "weighted_f1")


def align(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as aligned columns; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal; a dash where there is none.

    Example:
        >>> percent(0.713), percent(None)
        ('71.3', '-')
    """
    return "-" if value is None else f"{100 * value:.1f}"


def _cell(rate: Rate) -> str:
    number = rate.strict
    low, high = number.interval.low, number.interval.high
    reach = f" [{percent(low)}, {percent(high)}]" if low is not None else ""
    return f"{percent(number.value)}{reach}"


def table_of(results: Results) -> str:
    """A row per task: strict rates in percent with 95 % intervals, coverage, chance, statuses."""
    head = ["task", "n", "coverage", *COLUMNS, "chance uar", "majority wa"]
    rows = [head]
    notes = []
    for task in results.tasks.values():
        rows.append(
            [
                task.task,
                str(task.counts.scored),
                percent(task.hard["coverage"].strict.value),
                *(_cell(task.hard[name]) for name in COLUMNS),
                percent(task.baselines["chance"]["uar"]),
                percent(task.baselines["majority"]["wa"]),
            ]
        )
        seen = {status: n for status, n in task.counts.statuses.items() if n}
        told = ", ".join(f"{n} {status}" for status, n in seen.items()) or "none"
        notes.append(f"{task.task}: {told}")
        if task.counts.cut:
            notes.append(f"  {task.counts.cut} replies were cut by the token limit")
        if task.counts.partly_heard:
            notes.append(f"  {task.counts.partly_heard} replies are to clips heard only in part")
        notes += [f"  no headline: {reason}" for reason in task.reasons]
    top = f"model {results.model.get('model')}, strict rates in percent, 95 % intervals"
    if results.notice:
        top = f"*** {results.notice.upper()} ***  {top}"
    return "\n".join([top, "", align(rows), "", "replies:", *notes])
