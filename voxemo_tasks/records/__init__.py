"""The records that flow through the house: frozen, JSON-safe both ways, units in field names.

``Utterance`` → ``Request`` → ``Response`` → ``Verdict``; an ``AudioRef`` names sound without
holding it, because lm-eval builds every request before it runs the first one.

``canonical``   JSON as one byte string, and its digest
``audio``       ``AudioRef`` and the transforms that it names
``utterances``  ``Utterance``: one row of a manifest
``requests``    ``Request`` and its ``Decoding``
``replies``     ``Response``, its ``Verdict``, and ``Reply``, the text on its way through lm-eval
"""

from __future__ import annotations

from .audio import AudioRef, Transform, parse_transform
from .canonical import Json, canonical_json, digest_of
from .replies import OURS, STATUSES, Reply, Response, Status, Verdict
from .requests import Decoding, Request
from .utterances import Split, Traces, Utterance

__all__ = [
    "OURS",
    "STATUSES",
    "AudioRef",
    "Decoding",
    "Json",
    "Reply",
    "Request",
    "Response",
    "Split",
    "Status",
    "Traces",
    "Transform",
    "Utterance",
    "Verdict",
    "canonical_json",
    "digest_of",
    "parse_transform",
]
