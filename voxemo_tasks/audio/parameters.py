"""What a transform may be told: its parameters, their ranges, and its severity levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..errors import OptionError, UnknownNameError

Value = float | int | str
Kind = Literal["number", "integer", "text"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a transform.

    Attributes:
        name: Its key.
        meaning: What it does, in a line.
        kind: A number (any), an integer, or a text.
        low: Smallest value allowed (numbers).
        high: Largest value allowed (numbers).
        unit: ``"dB"``, ``"s"`` …; empty for a ratio or a count.
        default: Taken where it is not given; ``None``: there is none.
        required: Whether it must be given.
        choices: The texts allowed; empty: any.
        revision: It only tells which state of the code makes the sound, so that replies to another
            state's are not taken for replies to this one's; the code itself is not told.
    """

    name: str
    meaning: str
    kind: Kind = "number"
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    default: Value | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    revision: bool = False

    @property
    def allowed(self) -> str:
        """The range in words."""
        if self.choices:
            return " | ".join(self.choices)
        if self.kind == "text":
            return "text"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.low:g} to {self.high:g}{unit}"

    def read(self, value: object, where: str) -> Value:
        """The value in the type that the parameter has.

        Raises:
            OptionError: For a value of another kind, or out of range.
        """
        if self.kind == "text":
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                raise OptionError(f"{where}: {self.name}={value!r} is not allowed; {self.allowed}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise OptionError(
                f"{where}: {self.name}={value!r} is not a number; allowed is {self.allowed}"
            )
        if not self.low <= value <= self.high:  # NaN fails this, too
            raise OptionError(
                f"{where}: {self.name}={value:g} is out of range; allowed is {self.allowed}"
            )
        if self.kind == "number":
            return float(value)
        if value != int(value):
            raise OptionError(f"{where}: {self.name}={value:g} must be a whole number")
        return int(value)


@dataclass(frozen=True, slots=True)
class TransformSpec:
    """One transform: where its code is, and what it may be told.

    Attributes:
        name: As in ``Transform.name``.
        summary: What it does, in a line.
        module: Module of this package whose function of the same name does it.
        parameters: In the order of the table.
        one_of: Parameters of which exactly one must be given; empty: no such rule.
        severities: Parameters of level 1 (mild) to 5 (severe); empty where there is no scale.
        seeded: Whether the result depends on the seed.
        length: What becomes of the number of samples.
        level: What becomes of the active speech level.
    """

    name: str
    summary: str
    module: str
    parameters: tuple[Parameter, ...] = ()
    one_of: tuple[str, ...] = ()
    severities: tuple[Mapping[str, Value], ...] = field(default=())
    seeded: bool = False
    length: Literal["kept", "changed"] = "kept"
    level: Literal["kept", "changed"] = "kept"

    def resolve(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """All parameters that have a value, in their own type and with defaults filled in.

        Raises:
            UnknownNameError: For a parameter that the transform does not have.
            OptionError: For a value out of range, a required one that is missing, or none or
                several of those that exclude each other.
        """
        known = {p.name: p for p in self.parameters}
        for name in given:
            if name not in known:
                raise UnknownNameError(f"parameter of transform {self.name!r}", name, known)
        if self.one_of and sum(name in given for name in self.one_of) != 1:
            raise OptionError(
                f"{self.name}: give exactly one of {', '.join(self.one_of)}; got "
                f"{', '.join(n for n in self.one_of if n in given) or 'none'}"
            )
        values: dict[str, Value] = {}
        for name, parameter in known.items():
            if name in given:
                values[name] = parameter.read(given[name], self.name)
            elif parameter.required:
                raise OptionError(
                    f"{self.name}: {name} must be given ({parameter.meaning}; {parameter.allowed})"
                )
            elif parameter.default is not None:
                values[name] = parameter.default
        return values
