"""A LaTeX table (package ``booktabs``): models in rows, tasks in columns, intervals in the cells.

The best of a column is bold only where the sign-flip test finds it better than the second best on
the same utterances; without the run folders there is no such test, so nothing is bold and the note
says so. Strict rates are percentages; a table of synthetic runs says that it is one.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import OptionError
from ...metrics.hard import HARD_METRICS, Policy
from ...metrics.paired_tests import sign_flip_test
from ..model import Results
from ..wanted import SEED
from .pairing import Unpaired, paired
from .values import Measured, is_rate, measured, nothing_of, require_known

Style = Literal["brackets", "half", "none"]
STYLES: tuple[Style, ...] = ("brackets", "half", "none")
ALPHA = 0.05
DAGGER = "$^{\\dagger}$"

_SPECIAL = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after the \\ of the row above it would be an optional argument
    "]": "{]}",
    '"': r"\symbol{34}",  # \textquotedbl is an error under the default font encoding
}
NARROWEST = 80
"""Letters that a line of notes may have below any table."""
NOT_LATIN = "% Some names are beyond Latin script: compile with XeLaTeX or LuaLaTeX and a font that has them."
_NAMES = {"uar": "UAR", "wa": "WA", "macro_f1": "Macro-F1", "weighted_f1": "Weighted F1"}


@dataclass(frozen=True)
class Column:
    """One column: a metric of a task, with each run's number."""

    task: str
    metric: str
    policy: str
    cells: list[Measured | None]


def escape(text: str) -> str:
    r"""Text as LaTeX sets it: special characters escaped, line breaks as spaces.

    Example:
        >>> escape("a_b & 50 %")
        'a\\_b \\& 50 \\%'
    """
    return "".join(_SPECIAL.get(char, char) for char in " ".join(text.split()))


def to_latex(
    several: Sequence[Results],
    folders: Sequence[Path | None],
    metrics: Sequence[str] | None = None,
    *,
    policy: Policy = "strict",
    style: Style = "brackets",
    names: Sequence[str] | None = None,
) -> str:
    r"""The table, to be put into the text with ``\input``.

    Args:
        several: Results, a row each, in this order.
        folders: Their run folders; ``None`` where one is not there.
        metrics: Names; default: ``uar``.
        policy: How non-answers count in hard rates.
        style: Interval as ``[low, high]``, as half its width after ±, or none.
        names: What the rows are called; default: the models' names.

    Raises:
        OptionError: For a style that does not exist, or names or folders that are not as many, or
            where no task has any of the metrics.
        UnknownNameError: For a metric that is in none of the results.
    """
    if style not in STYLES:
        raise OptionError(f"interval style {style!r}; allowed: {', '.join(STYLES)}")
    rows = row_names(several) if names is None else list(names)
    if len(rows) != len(several) or len(folders) != len(several):
        raise OptionError(
            f"{len(rows)} names and {len(folders)} folders for {len(several)} results"
        )
    wanted = metrics or ("uar",)
    columns = columns_of(several, wanted, policy)
    if not columns:
        raise OptionError(nothing_of(several, wanted))
    best: list[int | None] = []
    reasons: dict[str, None] = {}
    for column in columns:
        found, reason = significantly_best(column, several, folders, policy)
        best.append(found)
        if reason is not None:
            reasons[reason] = None
    lines = [
        "% Written by voxemo export; needs \\usepackage{booktabs}.",
        *([NOT_LATIN] if any(map(beyond_latin, rows)) else []),
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        "\\toprule",
        *_heads(columns),
        "\\midrule",
    ]
    width = len("Model")
    for i, name in enumerate(rows):
        cells = [_cell(c.cells[i], style, b == i) for c, b in zip(columns, best, strict=True)]
        lines.append(f"{' & '.join([escape(name), *cells])} \\\\")
        width = max(width, len(name) + sum(_letters(cell) for cell in cells))
    lines.append("\\bottomrule")
    # A note wider than the table would push its columns apart.
    lines += [
        f"\\multicolumn{{{len(columns) + 1}}}{{l}}{{\\footnotesize {part}}} \\\\"
        for note in _notes(several, columns, style, any(b is not None for b in best), reasons)
        for part in textwrap.wrap(
            note, max(NARROWEST, width), break_long_words=False, break_on_hyphens=False
        )
    ]
    return "\n".join([*lines, "\\end{tabular}", ""])


def beyond_latin(text: str) -> bool:
    """Whether pdfLaTeX cannot set a text with the fonts that it has by default.

    Example:
        >>> beyond_latin("Modèle – “x”"), beyond_latin("情感")
        (False, True)
    """
    return any(ord(char) > 0x17F and char not in "–—‘’‚“”„…" for char in text)


def _letters(cell: str) -> int:
    """About how many letters wide a cell is set, with the space before it."""
    return 1 + len(" ".join(re.sub(r"\\[a-zA-Z]+|[{}$\\]", "", cell).split()))


def row_names(several: Sequence[Results]) -> list[str]:
    """The models' names; where two are the same, with the name of their run folder."""
    models = [str(results.model.get("model")) for results in several]
    return [
        model if models.count(model) == 1 else f"{model} ({Path(results.run).name})"
        for model, results in zip(models, several, strict=True)
    ]


def columns_of(several: Sequence[Results], metrics: Sequence[str], policy: str) -> list[Column]:
    """Tasks in the order in which they appear, metrics in the order given."""
    found = [
        {(m.task.task, m.metric, m.policy): m for m in measured(results, None, policy)}
        for results in several
    ]
    keys = dict.fromkeys(key for one in found for key in one)
    tasks = dict.fromkeys(task for results in several for task in results.tasks)
    require_known(metrics, [metric for _, metric, _ in keys])
    return [
        Column(task, metric, key[2], [one.get(key) for one in found])
        for task in tasks
        for metric in metrics
        for key in keys
        if key[:2] == (task, metric)
    ]


def significantly_best(
    column: Column,
    several: Sequence[Results],
    folders: Sequence[Path | None],
    policy: Policy,
) -> tuple[int | None, str | None]:
    """The row whose rate is better than the second best at ``ALPHA``, or why none can be named.

    Returns:
        Index and nothing, nothing and the reason, or neither where the test finds no difference.
    """
    values = [
        (cell.value, i)
        for i, cell in enumerate(column.cells)
        if cell is not None and cell.value is not None
    ]
    if len(values) < 2:
        return None, None
    if column.metric not in HARD_METRICS:
        return None, f"{column.metric} (no paired test of it)"
    (first, one), (second, two) = sorted(values, key=lambda pair: (-pair[0], pair[1]))[:2]
    if first == second:
        return None, None
    try:
        counts = paired(column.task, (several[one], folders[one]), (several[two], folders[two]))
    except Unpaired as error:
        return None, f"{column.task} ({error})"
    test = sign_flip_test(counts, column.metric, policy=policy, seed=SEED)
    return (one if test.p_value is not None and test.p_value < ALPHA else None), None


def _heads(columns: Sequence[Column]) -> list[str]:
    tasks = [column.task for column in columns]
    metrics = [_NAMES.get(c.metric, c.metric) for c in columns]
    heads = [escape(name) for name in metrics]
    if len(set(tasks)) == len(tasks):
        shown = [escape(task.removeprefix("voxemo_")) for task in tasks]
        if len(set(metrics)) > 1:
            return [f"Model & {' & '.join(shown)} \\\\", f" & {' & '.join(heads)} \\\\"]
        return [f"Model & {' & '.join(shown)} \\\\"]
    spans, rules, at = [], [], 2
    for task in dict.fromkeys(tasks):
        width = tasks.count(task)
        name = escape(task.removeprefix("voxemo_"))
        spans.append(f"\\multicolumn{{{width}}}{{c}}{{{name}}}")
        rules.append(f"\\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    return [f" & {' & '.join(spans)} \\\\", " ".join(rules), f"Model & {' & '.join(heads)} \\\\"]


def _cell(one: Measured | None, style: Style, bold: bool) -> str:
    if one is None or one.value is None:
        return "--"
    scale, digits = (100, 1) if one.is_rate else (1, 3)

    def shown(value: float) -> str:
        return f"{scale * value:.{digits}f}".replace("-", "$-$")

    text = shown(one.value)
    if bold:
        text = f"\\textbf{{{text}}}"
    if any(reason != one.task.notice for reason in one.task.reasons):
        text += DAGGER
    low = None if one.interval is None else one.interval.low
    high = None if one.interval is None else one.interval.high
    if style == "none" or low is None or high is None:
        return text
    if style == "half":
        return f"{text} {{\\scriptsize $\\pm$ {shown((high - low) / 2)}}}"
    return f"{text} {{\\scriptsize [{shown(low)}, {shown(high)}]}}"


def _notes(
    several: Sequence[Results],
    columns: Sequence[Column],
    style: Style,
    any_bold: bool,
    reasons: dict[str, None],
) -> list[str]:
    cells = [cell for column in columns for cell in column.cells if cell is not None]
    notes = []
    notices = dict.fromkeys(cell.task.notice for cell in cells if cell.task.notice)
    notes += [f"{escape(notice[0].upper() + notice[1:])}." for notice in notices if notice]
    metrics = dict.fromkeys(c.metric for c in columns)
    rates = [escape(_NAMES.get(name, name)) for name in metrics if is_rate(name)]
    policies = dict.fromkeys(c.policy for c in columns if is_rate(c.metric))
    text = f"{', '.join(rates)} in percent ({', '.join(policies)})" if rates else ""
    if not rates and len(metrics) == 1:  # then no head names it either
        text = escape(next(iter(metrics)))
    if style != "none":
        levels = dict.fromkeys(f"{100 * c.interval.level:g}\\,\\%" for c in cells if c.interval)
        kind = "half the width of" if style == "half" else "with"
        text += f"{', ' if text else ''}{kind} {', '.join(levels)} intervals"
    if text:
        notes.append(f"{text[0].upper()}{text[1:]}.")
    if any(reason != cell.task.notice for cell in cells for reason in cell.task.reasons):
        notes.append(f"{DAGGER} no headline figure (incomplete, or too many failures).")
    if any_bold:
        notes.append(
            f"Bold: best, where a sign-flip test against the second best gives $p < "
            f"{ALPHA:g}$ (unadjusted)."
        )
    elif len(several) > 1 and not reasons:
        notes.append(f"No best is better than the second best (sign-flip test, $p < {ALPHA:g}$).")
    notes += [f"Not tested, so not bold: {escape(reason)}." for reason in reasons]
    return notes
