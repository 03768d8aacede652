"""The files of the scripted models: JSON lines, each saying what it answers and with what."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ModelError, OptionError
from ..records import Json

ANSWERS = ("reply", "replies", "error")
"""A row has one of these."""


def read_script(
    path: Path,
    conditions: Sequence[str],
    beside: Sequence[str] = (),
    check: Callable[[Json], object] = lambda row: None,
) -> list[Json]:
    """Rows of a script file.

    Args:
        path: The file.
        conditions: Keys that say which questions a row answers.
        beside: Keys that a row may have beside its answer.
        check: Raises ``OptionError`` for a row whose conditions make no sense.

    Raises:
        ModelError: With file and line of the first thing that is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a reply may hold other line ends
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"replies={path}: cannot be read ({error})") from error
    rows: list[Json] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ModelError(f"{path}:{number}: not JSON ({error})") from error
        if not isinstance(row, dict) or set(row) - {*conditions, *ANSWERS, *beside}:
            raise ModelError(
                f"{path}:{number}: expected an object with {', '.join(conditions)} (conditions) and "
                f"{', '.join((*ANSWERS, *beside))} (answer), got {line[:200]}"
            )
        if sum(key in row for key in ANSWERS) != 1:
            raise ModelError(f"{path}:{number}: needs exactly one of {', '.join(ANSWERS)}")
        if "replies" in row and not row["replies"]:
            raise ModelError(f"{path}:{number}: replies is empty")
        try:
            check(row)
        except OptionError as error:
            raise ModelError(f"{path}:{number}: {error}") from error
        rows.append(row)
    if not rows:
        raise ModelError(f"replies={path}: the file has no row")
    return rows
