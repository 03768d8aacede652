"""One byte string, and one digest, per JSON value."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def canonical_json(value: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces, NFC, no NaN; the input of every digest.

    Example:
        >>> canonical_json({"b": 1, "a": "é"}).decode()
        '{"a":"é","b":1}'
    """
    text = json.dumps(
        _composed(value),
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )
    return text.encode("utf-8", "surrogatepass")


def _composed(value: Any) -> Any:
    """The value with all its texts in NFC, before they are quoted and sorted."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, Mapping):
        return {_composed(k): _composed(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_composed(v) for v in value]
    return value


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, in hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
