"""What identifies a reply: its content, not its place.

Two requests with equal keys would get the same reply from the same engine, so one stored row serves
both, whoever asked and wherever the audio file lies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ..records import Request, digest_of


def request_key(fingerprint: Mapping[str, Any], request: Request) -> str:
    """Key of a request: model fingerprint + decoding + messages + audio content and transforms
    (+ candidates, where likelihoods are asked for).

    The prompt's id is not part of it (its text is), nor is the path of the audio (its bytes are).

    Returns:
        64 hexadecimal digits.
    """
    content: dict[str, Any] = {
        "fingerprint": dict(fingerprint),
        "decoding": request.decoding.to_json(),
        "messages": list(request.messages),
        "audio": [ref.content() for ref in request.audio],
    }
    if request.candidates:  # no decoding takes place
        content["decoding"] = None
        content["candidates"] = {k: list(v) for k, v in request.candidates.items()}
    if request.schema is not None:  # absent otherwise, so that such keys stay what they were
        content["schema"] = request.schema
    return digest_of(content)


def reply_key(request: str, sample: int) -> str:
    """Key of one sample of a request.

    Example:
        >>> reply_key("ab12", 3)
        'ab12:3'
    """
    return f"{request}:{sample}"


def sample_seed(base: int, request: str, sample: int) -> int:
    """The seed of one sample: a function of the run's seed, the request and the sample alone.

    Independent of batch composition and order, so that a resumed run draws what an undisturbed one
    would have drawn.

    Returns:
        An integer in [0, 2**31).
    """
    digest = hashlib.sha256(f"{base}:{request}:{sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
