"""What is in a table of predictions and how it is read: fields, columns, menu, verbalizer."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import registry
from ..errors import OptionError, UnknownNameError
from ..labels import DIMENSIONS, LabelSet

GOLD = ("gold", "gold2", "votes", *DIMENSIONS)
DESCRIBING = (
    "speaker",
    "group",
    "gender",
    "age",
    "language",
    "culture",
    "dialogue",
    "sentence",
    "synthesis",
)
PREDICTED = ("reply", *(f"predicted_{name}" for name in DIMENSIONS))
TIMES = ("start", "end")
"""Of a window of a recording with time-continuous ratings, in seconds; ``dialogue`` names it."""
FIELDS = ("utterance", *PREDICTED, *GOLD, *DESCRIBING, *TIMES, "prompt", "sample")
SHARE = "p."
"""``p.LABEL=COLUMN`` maps a column of probabilities."""


def parse_map(text: str) -> dict[str, str]:
    """``--map``: which column holds what.

    Raises:
        OptionError: For a field that is not known or is named twice.

    Example:
        >>> parse_map("reply=answer,gold=label")
        {'reply': 'answer', 'gold': 'label'}
    """
    out: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = part.partition("=")
        name, column = name.strip(), column.strip()
        if not equals or not column:
            raise OptionError(f"--map: {part!r} must be field=column; fields: {', '.join(FIELDS)}")
        if name not in FIELDS and not name.startswith(SHARE):
            raise UnknownNameError("field of --map", name, [*FIELDS, f"{SHARE}LABEL"])
        if name in out:
            raise OptionError(f"--map: {name} is named twice")
        out[name] = column
    return out


def parse_labels(text: str) -> tuple[str, ...]:
    """``--labels``: the menu in its order, separated by commas, or a JSON list.

    Example:
        >>> parse_labels("happy, sad"), parse_labels('["pain, groan", "sad"]')
        (('happy', 'sad'), ('pain, groan', 'sad'))
    """
    listed: Any = text.split(",")
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except ValueError as error:
            raise OptionError(f"--labels: not a JSON list ({error})") from error
    labels = tuple(unicodedata.normalize("NFC", str(label)).strip() for label in listed)
    if not all(labels):
        raise OptionError(f"--labels: one of {list(labels)} is empty")
    LabelSet("imported", labels, {})  # raises for fewer than two, or one twice
    return labels


@dataclass(frozen=True, slots=True)
class Plan:
    """What is in the table and how it is read.

    Attributes:
        columns: Field → column.
        labels: The menu in order; empty where dimensions are rated.
        dimensions: Those with a column of predictions.
        scale: Lowest and highest rating, where dimensions are rated.
        shares: Label → column of its probabilities; empty where there are replies.
        verbalizer: Reads the replies.
        verbalizer_digest: SHA-256 of its file.
        traced: Whether rows are windows of recordings with time-continuous ratings.
    """

    columns: Mapping[str, str]
    labels: tuple[str, ...]
    dimensions: tuple[str, ...]
    scale: tuple[float, float] | None
    shares: dict[str, str]
    verbalizer: Any
    verbalizer_digest: str
    traced: bool = False

    @classmethod
    def of(
        cls,
        columns: Mapping[str, str],
        labels: Sequence[str],
        scale: tuple[float, float] | None,
        verbalizer: str | None,
        *,
        traced: bool = False,
    ) -> Plan:
        """The plan that the options of an import make, where they go together.

        Raises:
            OptionError: For a field that is missing, or two that exclude each other.
        """
        shares = {k.removeprefix(SHARE): c for k, c in columns.items() if k.startswith(SHARE)}
        rated = tuple(name for name in DIMENSIONS if f"predicted_{name}" in columns)
        if traced and not ({"dialogue", *TIMES} <= columns.keys() and rated):
            raise OptionError(
                "--traces needs predicted ratings of windows: --map predicted_valence=… (or another "
                "dimension), dialogue=…, start=…, end=…"
            )
        if rated:
            missing = [name for name in rated if name not in columns and not traced]
            if missing or labels or scale is None:
                raise OptionError(
                    "ratings need --scale LOW,HIGH, a gold column for each predicted dimension "
                    f"(missing: {', '.join(missing) or 'none'}) and no --labels"
                )
        elif "gold" not in columns and "votes" not in columns:
            raise OptionError("--map needs gold=COLUMN (or votes=COLUMN)")
        elif not labels:
            raise OptionError(
                "--labels is missing: the menu, in order, e.g. --labels angry,happy,sad"
            )
        if not rated and ("reply" in columns) == bool(shares):
            raise OptionError(
                "--map needs reply=COLUMN, or p.LABEL=COLUMN for each label, and not both"
            )
        if shares and set(shares) != set(labels):
            raise OptionError(
                f"--map: probabilities for {', '.join(sorted(shares))}; the labels are "
                f"{', '.join(labels)}"
            )
        default = "vad" if rated else "distribution_json" if shares else "closed_set"
        spec, digest = registry.verbalizer(verbalizer or default)
        return cls(columns, tuple(labels), rated, scale, shares, spec, digest, traced)
