"""Results as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .model import (
    Association,
    Continuous,
    Dimensional,
    Gaps,
    Judged,
    Rate,
    Results,
    Sensitivity,
    TaskResult,
    TranscriptBaseline,
    Value,
)
from .probes.lines import probe_lines

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


def _coverage(task: TaskResult) -> float | None:
    if task.hard:
        return task.hard["coverage"].strict.value
    counted = sum(task.counts.statuses.values()) - task.counts.failed
    return task.counts.statuses.get("answered", 0) / counted if counted else None


def _varied(varied: Sensitivity) -> str:
    """How far the headline moves when the replies are read otherwise, and what moves it most."""
    shares = {name: effect.share or 0.0 for name, effect in varied.factors.items()}
    most = max(shares, key=lambda name: shares[name])
    moved = f", most by {most} ({percent(shares[most])} % of the variance)" if shares[most] else ""
    return (
        f"{varied.metric} {percent(varied.registered)} as registered, {percent(varied.low)} to "
        f"{percent(varied.high)} over {varied.n_readings} readings{moved}"
    )


def _judged(judged: Judged) -> list[str]:
    """Rules only, rules and judge, judge only; what the judge changes; why it is no headline."""
    ways = {
        "rules": judged.rules,
        "rules and judge": judged.rules_and_judge,
        "judge only": judged.judge,
    }
    lines = [f"  read by {judged.rubric['id']} ({judged.rows}), uar of utterances:"]
    for name, way in ways.items():
        if way is not None:
            uar, coverage = way.rates["uar"], way.rates["coverage"].value
            reach = f"[{percent(uar.interval.low)}, {percent(uar.interval.high)}]"
            lines.append(
                f"    {name}: {percent(uar.value)} {reach} of {way.n}, coverage {percent(coverage)}"
            )
    for name, effects in judged.effects.items():
        effect = next(e for e in effects if e.metric == "uar")
        reach = f"[{percent(effect.interval.low)}, {percent(effect.interval.high)}]"
        lines.append(f"    {name} less rules: {percent(effect.value)} {reach}")
    return [*lines, *(f"    no judged headline: {reason}" for reason in judged.reasons)]


def _words(block: TranscriptBaseline) -> str:
    """What the words alone reach, and what the sound adds."""
    both = block.hard["uar"]["strict"]
    reach, of = both.difference.interval, both.baseline.interval
    whose = "its own control" if block.source == "control" else block.model.get("model")
    added = "" if reach is None else f" [{percent(reach.low)}, {percent(reach.high)}]"
    return (
        f"words alone ({whose}): uar {percent(both.baseline.value)} [{percent(of.low)}, "
        f"{percent(of.high)}] of {block.n}; the run less that {percent(both.difference.value)}{added}"
    )


def _number(value: Value) -> str:
    """A number that is no rate, with its interval."""
    if value.value is None:
        return "-"
    low = None if value.interval is None else value.interval.low
    high = None if value.interval is None else value.interval.high
    reach = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f"{value.value:.3f}{reach}"


def _association(name: str, one: Association) -> str:
    """Cramér's V of the answers with a gold column."""
    return (
        f"answers and {name}: Cramér's V {_number(one.cramers_v['strict'])} of {one.n}, "
        f"{_number(one.cramers_v['answered'])} of the answered"
    )


def _speech(gaps: Gaps) -> str:
    """UAR of human and of synthesised speech, and what the former is less the rest."""
    rates = ", ".join(f"{percent(one.value)} {one.group} (of {one.n})" for one in gaps.groups)
    human = next((one for one in gaps.groups if one.group == "human"), None)
    line = f"human against synthesised speech: uar {rates}"
    if human is None or human.difference_from_rest is None:
        return line
    reach, less = human.difference_interval, percent(human.difference_from_rest)
    added = "" if reach is None else f" [{percent(reach.low)}, {percent(reach.high)}]"
    return f"{line}; human less the rest {less}{added}"


def _dimension(name: str, one: Dimensional) -> str:
    """CCC beside its ceiling."""
    of = ""
    if one.ceiling is not None and one.ceiling.ccc.value is not None:
        of = f", ceiling {_number(one.ceiling.ccc)} from {one.ceiling.n_ratings} ratings"
    return f"{name}: ccc {_number(one.metrics['ccc'])} of {one.n_answered} answered of {one.n}{of}"


def _continuous(name: str, one: Continuous) -> str:
    """CCC against traces, pooled and by recording, with the delay that was taken off."""
    return (
        f"{name}, traces: ccc {_number(one.metrics['ccc'])} of {one.metrics['ccc'].n} windows pooled, "
        f"{_number(one.mean_ccc)} mean of {one.mean_ccc.n} recordings; delay {one.delay.delay_s:g} s "
        f"({one.delay.chosen_by})"
    )


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
                percent(_coverage(task)),
                *(_cell(task.hard[name]) if task.hard else "-" for name in COLUMNS),
                percent(task.baselines["chance"]["uar"]) if task.hard else "-",
                percent(task.baselines["majority"]["wa"]) if task.hard else "-",
            ]
        )
        seen = {status: n for status, n in task.counts.statuses.items() if n}
        told = ", ".join(f"{n} {status}" for status, n in seen.items()) or "none"
        notes.append(f"{task.task}: {told}")
        if task.counts.replies > sum(task.counts.statuses.values()):
            several = ", ".join(f"{n} {s}" for s, n in task.counts.reply_statuses.items() if n)
            notes.append(f"  of {task.counts.replies} replies: {several}")
        if task.counts.cut:
            notes.append(f"  {task.counts.cut} replies were cut by the token limit")
        if task.counts.partly_heard:
            notes.append(f"  {task.counts.partly_heard} replies are to clips heard only in part")
        unchecked = sorted({p["language"] for p in task.prompts if p.get("reviewed") is False})
        if unchecked:
            notes.append(f"  prompts in {', '.join(unchecked)}: reviewed by no native speaker")
        if task.sensitivity is not None:
            notes.append(f"  {_varied(task.sensitivity)}")
        if task.judged is not None:
            notes += _judged(task.judged)
        speech = task.groups.get("synthesis")
        if speech is not None and "uar" in speech.rates and len(speech.rates["uar"].groups) > 1:
            notes.append(f"  {_speech(speech.rates['uar'])}")
        notes += [f"  {_dimension(name, one)}" for name, one in task.dimensional.items()]
        notes += [f"  {_continuous(name, one)}" for name, one in task.continuous.items()]
        notes += [f"  {_association(name, one)}" for name, one in task.association.items()]
        if task.transcript_baseline is not None:
            notes.append(f"  {_words(task.transcript_baseline)}")
        if task.probes is not None:
            notes += [f"  {line}" for line in probe_lines(task.probes)]
        if task.validity == "not examined":
            notes.append(f"  validity {task.validity}: {task.validity_reason}")
        notes += [f"  no headline: {reason}" for reason in task.reasons]
        if task.headline and not task.headline_eligible:
            notes.append("  not eligible as a headline score: whether it listens was not examined")
    top = f"model {results.model.get('model')}, strict rates in percent, 95 % intervals"
    if results.notice:
        top = f"*** {results.notice.upper()} ***  {top}"
    return "\n".join([top, "", align(rows), "", "utterances:", *notes])
