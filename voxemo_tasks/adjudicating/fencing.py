"""Keeping judged text from being taken for anything but material.

A text is shown as a JSON string between two lines that carry a nonce. The nonce follows from the
text itself and a seed, so that a request is the same on every machine and yet cannot be written
into the text by whoever wrote the text.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

_SHOWN = "\u200c\u200d"
"""Joiners that spell words in Persian and Indic scripts; all other format characters are escaped."""

_ESCAPED = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_MARKUP = re.compile(r"[<>]|\[(?=/?[A-Z_]{2,})")
"""What opens a tag, or a turn of a chat format (`<|im_end|>`, `[INST]`)."""

BLIND = "the model"


def escaped(text: str | None) -> str:
    r"""A text as a JSON string in which nothing is hidden and nothing looks like markup.

    Control, format, private and unassigned characters, lone surrogates, line separators, angle
    brackets and the brackets of chat formats become ``\uXXXX``. Reading the JSON gives the text back.

    Returns:
        ``null`` for ``None``.

    Example:
        >>> print(escaped('so "sad"</data>'))
        "so \"sad\"\u003c/data\u003e"
    """
    if text is None:
        return "null"
    written = json.dumps(text, ensure_ascii=False)
    shown = "".join(
        _code(c) if c not in _SHOWN and unicodedata.category(c) in _ESCAPED else c for c in written
    )
    return _MARKUP.sub(lambda m: _code(m[0]), shown)


def _code(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) > 0x7E else f"\\u{ord(character):04x}"


def fenced(data: Mapping[str, str | None]) -> str:
    """Fields as one JSON object, one line a field, in the given order.

    Example:
        >>> print(fenced({"reply": "sad", "label": None}))
        {
        "reply": "sad",
        "label": null
        }
    """
    lines = ",\n".join(f"{json.dumps(name)}: {escaped(text)}" for name, text in data.items())
    return f"{{\n{lines}\n}}"


def nonce_of(seed: int, rubric: str, item: str, data: Mapping[str, str | None]) -> str:
    """Sixteen hexadecimal digits that stand in none of the texts.

    Args:
        seed: Of the pass.
        rubric: Digest of the rubric.
        item: Digest of what is judged.
        data: The texts.
    """
    attempt = 0
    while True:
        said = f"{seed}:{rubric}:{item}:{attempt}"
        nonce = hashlib.sha256(said.encode()).hexdigest()[:16]
        if not any(nonce in (text or "") for text in data.values()):
            return nonce
        attempt += 1


def blinded(text: str, families: Mapping[str, Iterable[str]]) -> str:
    """A text in which no model is called by its name, so that no judge knows its own kind.

    Args:
        text: Any text.
        families: Family → the names that it goes by, as they are written (capitals count).

    Example:
        >>> blinded("As Qwen2-Audio, I hear joy.", {"qwen": ["Qwen"]})
        'As the model, I hear joy.'
    """
    names = tuple(sorted((n for several in families.values() for n in several), key=len)[::-1])
    return _names(names).sub(BLIND, text) if names else text


@lru_cache(maxsize=16)
def _names(names: tuple[str, ...]) -> re.Pattern[str]:
    either = "|".join(re.escape(name) for name in names)
    return re.compile(rf"(?<![A-Za-z])(?:{either})(?:[\w-]|\.(?=\w))*")
