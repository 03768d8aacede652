"""What a judge wrote → an answer and a quote, or the reason why it cannot be used.

Nothing is guessed: exactly one JSON object must stand in the reply, fit the schema, quote what was
shown, and not be a copy of something that stood in the material.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema

from ..specs import JudgeAnswer, JudgeSpec

LONGEST = 16_000
"""Characters of a judge's reply that are read; a longer one is not usable."""

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_EDGES = " \t\n\"'`“”‘’«»„…."


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge's reply as read.

    Attributes:
        answer: ``None`` where the reply cannot be used.
        quote: The words that the answer rests on; ``""`` without.
        problem: Why the reply cannot be used, in words that the judge may be told.
    """

    answer: JudgeAnswer | None
    quote: str = ""
    problem: str | None = None


def read_json(
    text: str, schema: Mapping[str, Any], spec: JudgeSpec, data: Mapping[str, str | None]
) -> Judged:
    """Read the reply of a judge that was asked for a JSON object.

    Args:
        text: Its reply; thoughts (``<think>``) are no part of it.
        schema: Of this request, with the menu's labels among the answers.
        spec: The rubric.
        data: The material as it was shown.
    """
    if len(text) > LONGEST:
        return Judged(None, problem=f"it is longer than {LONGEST} characters")
    said = _THOUGHT.sub("", text)
    found = _objects(said)
    if not found:
        return Judged(None, problem="there is no complete JSON object in it")
    different = {json.dumps(value, sort_keys=True) for value, _ in found}
    if len(different) > 1:
        return Judged(None, problem="there are several JSON objects in it")
    value, written = found[0]
    problem = _misfit(value, schema)
    if problem is None and _copied(written, data):
        problem = "the JSON object is copied from the material"
    if problem is not None:
        return Judged(None, problem=problem)
    answer, quote = value["answer"], value["quote"]
    answer = answer if isinstance(answer, str) else int(answer)
    problem = None if answer in spec.unquoted else _misquoted(quote, spec, data)
    return Judged(None, problem=problem) if problem else Judged(answer, quote)


def _objects(text: str) -> list[tuple[Any, str]]:
    """Every outermost JSON object, with its text; none where one is too deep to read."""
    decoder = json.JSONDecoder()
    found = []
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except RecursionError:
            return []
        except ValueError:
            end = at + 1
        else:
            found.append((value, text[at:end]))
        at = text.find("{", end)
    return found


def _misfit(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Why an object does not fit; in fixed words, because the judge is told them."""
    errors = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(value), key=lambda e: e.validator
    )
    if not errors:
        return None
    kinds = {
        "additionalProperties": "it has other keys than quote and answer",
        "required": "a key is missing: it needs quote and answer",
        "enum": "answer is not one of the options",
        "maxLength": "quote is too long",
    }
    return kinds.get(errors[0].validator, "a value has the wrong type")


def _copied(written: str, data: Mapping[str, str | None]) -> bool:
    bare = "".join(written.split())
    return any(bare in "".join(text.split()) for text in data.values() if text)


def _misquoted(quote: str, spec: JudgeSpec, data: Mapping[str, str | None]) -> str | None:
    words = folded(quote)
    if not words:
        return "quote is empty"
    if len(quote.split()) > spec.quote_words:
        return f"quote has more than {spec.quote_words} words"
    if words not in folded(data[spec.quoted_from] or ""):
        return f"quote does not stand in {spec.quoted_from}"
    return None


def folded(text: str) -> str:
    """A text as quotes are compared: NFKC, case folded, single spaces, without quotation marks.

    Example:
        >>> folded(' “Very\\n SAD…” ')
        'very sad'
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(plain.split()).strip(_EDGES)


def read_emulated(text: str, reads: str) -> Judged:
    """Read a judge's reply as some other suites do. There is no failure: it counts 0.

    Example:
        >>> read_emulated("No.", "yes_no").answer, read_emulated("3 of 5", "last_number").answer
        (0, 5)
    """
    if reads == "yes_no":
        words = re.findall(r"\b(?:yes|no)\b", text.lower())
        return Judged(int(words[:1] == ["yes"]))
    numbers = _NUMBER.findall(text)
    score = round(float(numbers[-1])) if numbers else 0
    return Judged(min(5, max(0, score)))


def schema_with(schema: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """The schema of a request: the menu's labels before the answers that the rubric has itself."""
    whole: dict[str, Any] = json.loads(json.dumps(schema))
    if labels:
        answer = whole["properties"]["answer"]
        answer["enum"] = [*labels, *answer["enum"]]
    return whole
