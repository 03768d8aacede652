"""Cells of a generic manifest → values of an utterance. Each refuses with a ``ValueError`` that says
what was got; the reader adds file, line and column."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, ValidationError

from ...labels import DIMENSIONS
from ...records import Split
from ...specs import BCP47, Spec

NUMBERS = ("start_s", "end_s", "valence", "arousal", "dominance")


class _Split(Spec):
    protocol: str
    fold: int = Field(ge=1)
    role: Literal["train", "valid", "test"]


def text(value: Any) -> str:
    """A cell as text; anything that only looks like text is refused."""
    if isinstance(value, bool | float | dict | list | bytes):
        raise ValueError(f"{value!r} is not text")
    return str(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = float(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a number (with a point, e.g. 3.5)") from error
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number; leave the cell empty if not known")
    return number


def _whole(value: Any) -> int:
    number = _number(value)
    if not number.is_integer() or number < 0:
        raise ValueError(f"{value!r} is not a whole number from 0")
    return int(number)


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"{value!r} is not JSON ({error.msg}, at {error.pos})") from error


def _object(value: Any) -> dict[str, Any]:
    found = _json(value)
    if isinstance(found, list) and all(isinstance(x, tuple) and len(x) == 2 for x in found):
        found = {pair[0]: pair[1] for pair in found}  # a map, as Parquet has it
    if not isinstance(found, dict) or not found:
        raise ValueError(f'{value!r} is not an object such as {{"happy": 3, "sad": 1}}')
    return found


def _votes(value: Any) -> dict[str, int]:
    votes = _object(value)
    for name, n in votes.items():
        if n is None or isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"{n!r} votes for {name!r}; votes are whole numbers from 0")
    return votes


def _rater_votes(value: Any) -> dict[str, tuple[str, ...]]:
    chosen = {r: (c,) if isinstance(c, str) else c for r, c in _object(value).items()}
    for rater, labels in chosen.items():
        if not isinstance(labels, list | tuple) or not all(isinstance(x, str) for x in labels):
            raise ValueError(f"{labels!r} of rater {rater!r} is not a label or a list of labels")
    return {rater: tuple(labels) for rater, labels in chosen.items()}


def _rater_ratings(value: Any) -> dict[str, dict[str, float]]:
    ratings = _object(value)
    for rater, given in ratings.items():
        if not isinstance(given, dict) or not given or given.keys() - set(DIMENSIONS):
            raise ValueError(
                f"{given!r} of rater {rater!r} is not an object such as {{'valence': 3}}; dimensions: "
                f"{', '.join(DIMENSIONS)}"
            )
    return {rater: {n: _number(v) for n, v in given.items()} for rater, given in ratings.items()}


def _traces(value: Any) -> dict[str, dict[str, tuple[tuple[float, ...], tuple[float, ...]]]]:
    found = _object(value)
    out: dict[str, dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {}
    for dimension, by in found.items():
        if dimension not in DIMENSIONS or not isinstance(by, dict):
            raise ValueError(f"{dimension!r} is no dimension with an object of annotators")
        for annotator, trace in by.items():
            if (
                not isinstance(trace, list | tuple)
                or len(trace) != 2
                or len({*map(len, trace)}) > 1
            ):
                raise ValueError(f"the trace of {annotator!r} is not [[times …], [values …]]")
            times, values = (tuple(_number(x) for x in column) for column in trace)
            out.setdefault(dimension, {})[annotator] = times, values
    return out


def splits(value: Any) -> tuple[Split, ...]:
    """A list of splits, or its JSON."""
    found = _json(value)
    if not isinstance(found, list):
        raise ValueError(f"{value!r} is not a list of splits")
    try:
        checked = [_Split.model_validate(split) for split in found]
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{key + ': ' if key else ''}{first['msg']}; a split is such as "
            '{"protocol": "official", "fold": 1, "role": "test"}'
        ) from error
    return tuple(Split(s.protocol, s.fold, s.role) for s in checked)


def _language(value: Any) -> str:
    tag = text(value)
    if re.fullmatch(BCP47, tag) is None:
        raise ValueError(f"{tag!r} is no language tag such as 'de' or 'de-DE'")
    return tag


CONVERT: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(NUMBERS, _number),
    **dict.fromkeys(("channel", "fold"), _whole),
    "language": _language,
    "votes": _votes,
    "rater_votes": _rater_votes,
    "rater_ratings": _rater_ratings,
    "traces": _traces,
    "splits": splits,
}
"""Field → what makes its value of a cell; fields that are not here are text."""
