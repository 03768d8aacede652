"""What the specs share: their base, names and language tags, and the placeholders of a text."""

from __future__ import annotations

import string
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
BCP47 = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
Bcp47 = Annotated[str, Field(pattern=BCP47)]


class Spec(BaseModel):
    """Base of all specs: frozen, no unknown keys, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PromptDecoding(Spec):
    """Length and stops, which belong to what is asked."""

    max_new_tokens: int = Field(ge=1, le=8192)
    stop: list[str] = Field(default_factory=list)


def placeholders_of(text: str) -> set[str]:
    """The names in braces; doubled braces are none.

    Raises:
        ValueError: For a brace without its partner.

    Example:
        >>> sorted(placeholders_of("{labels}, as {{json}}, of {context}"))
        ['context', 'labels']
    """
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def require_placeholders(text: str, allowed: set[str]) -> None:
    """Hold the placeholders of a text to those that are allowed; not all need to be used.

    Raises:
        ValueError: For another one, or a brace without its partner.
    """
    try:
        used = placeholders_of(text)
    except ValueError as error:
        raise ValueError(f"{error}; literal braces are doubled") from error
    if unknown := sorted(used - allowed):
        raise ValueError(
            f"unknown placeholder(s) {', '.join('{' + n + '}' for n in unknown)}; allowed: "
            f"{', '.join('{' + n + '}' for n in sorted(allowed))}; literal braces are doubled"
        )
