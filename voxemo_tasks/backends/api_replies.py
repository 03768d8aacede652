"""What a chat endpoint sends back, read strictly: no socket, no clock.

A 200 is an answer only where it is a chat completion with a text. Everything else is a failure of
the endpoint with a reason, never an empty reply: an empty reply would be scored as the model's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import quote

from ..errors import OptionError

CONTENT_FILTER = "content_filter"
"""Reason of the row where the provider's filter, and not the model, withheld the reply."""

CUT = frozenset({"length", "max_tokens", "model_length"})
FILTERED = frozenset({CONTENT_FILTER, "safety"})
QUOTA_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})

USAGE: dict[str, tuple[str, ...]] = {
    "prompt_tokens": ("prompt_tokens",),
    "completion_tokens": ("completion_tokens",),
    "audio_tokens": ("prompt_tokens_details", "audio_tokens"),
    "cached_tokens": ("prompt_tokens_details", "cached_tokens"),
    "reasoning_tokens": ("completion_tokens_details", "reasoning_tokens"),
}
"""Our name of a count → where it stands in ``usage``."""

EXCERPT = 300
SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that is sent and never shown.

    Keys under eight characters are no secrets (local servers are given ``EMPTY`` and the like), and
    hiding them would tear holes into replies.

    Raises:
        OptionError: For characters that a header cannot carry; the key is not in the message.

    Example:
        >>> key = Secret("sk-0123456789", "MY_KEY")
        >>> key, key.hide("wrong key: sk-0123456789")
        (Secret(variable='MY_KEY'), 'wrong key: [key]')
    """

    value: str = field(repr=False)
    variable: str

    def __post_init__(self) -> None:
        # An HTTP library would quote the offending header, key and all.
        if not re.fullmatch(r"[!-~]*", self.value) or set(self.value) & set("\"'\\"):
            raise OptionError(
                f"the key in the environment variable {self.variable} has characters that a key "
                "cannot have (white space, quotes, not ASCII); was more than the key copied?"
            )

    def hide(self, text: str) -> str:
        """The text without the key, also as JSON and URLs may write it."""
        if len(self.value) >= SHORTEST_SECRET:
            for form in (self.value, self.value.replace("/", "\\/"), quote(self.value, safe="")):
                text = text.replace(form, "[key]")
        return text


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    Attributes:
        text: The reply; ``""`` where there is an error.
        finish_reason: ``length`` where the token limit cut it.
        said: The finish reason in the endpoint's own words.
        usage: Counts that the endpoint told (names of ``USAGE``); ``None`` where it told none.
        model: Which model it says answered.
        system_fingerprint: Its own mark of the backend's configuration.
        error: Why there is no reply.
        attempts: Times it was asked, retries included.
        lost: Attempts without an answer that may have been billed all the same.
    """

    text: str = ""
    finish_reason: Literal["stop", "length"] = "stop"
    said: str | None = None
    usage: Mapping[str, int] | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    error: str | None = None
    attempts: int = 1
    lost: int = 0

    def after(self, attempts: int, lost: int) -> Answer:
        """The same, with what it took."""
        return replace(self, attempts=attempts, lost=lost)


def read_completion(body: bytes, secret: Secret) -> Answer:
    """The answer in the body of a 200; a body that holds none is an answer with an error.

    Null content is a failure, but for two cases that are the model's own doing: a ``refusal`` text
    beside it is the reply, and null under ``length`` is a reply cut before its first word (a model
    that thought too long).

    Example:
        >>> none = Secret("", "")
        >>> read_completion(b'{"choices": [{"message": {"content": "sad"}}]}', none).text
        'sad'
        >>> read_completion(b'{"choices": []}', none).error
        'bad reply: 200 without choices'
    """
    try:
        data = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Answer(error=f"bad reply: 200 whose body is not UTF-8 (byte {error.start})")
    except (ValueError, RecursionError):
        start = body[:EXCERPT].decode("utf-8", "replace").strip()
        kind = "HTML" if start.lower().startswith(("<!doctype", "<html")) else "no JSON"
        return Answer(
            error=f"bad reply: 200 with {kind} in place of a chat completion (is base_url right, with "
            f"its /v1?): {excerpt(body, secret)}"
        )
    if not isinstance(data, dict):
        return Answer(error=f"bad reply: 200 with a JSON {type(data).__name__}, not an object")
    known = Answer(
        usage=_usage(data.get("usage")),
        model=_text(data.get("model"), secret),
        system_fingerprint=_text(data.get("system_fingerprint"), secret),
    )
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        told = f": {excerpt(body, secret)}" if data.get("error") else ""
        return replace(known, error=f"bad reply: 200 without choices{told}")
    choice = choices[0] if isinstance(choices[0], dict) else {}
    said = _text(choice.get("finish_reason"), secret)
    known = replace(known, said=said)
    if (said or "").lower() in FILTERED:
        return replace(known, error=f"{CONTENT_FILTER}: the provider's filter withheld the reply")
    if said == "error":
        return replace(known, error=f"bad reply: finish_reason 'error': {excerpt(body, secret)}")
    message = choice.get("message")
    text = _content(message if isinstance(message, dict) else {})
    cut = (said or "").lower() in CUT
    if text is None and not cut:
        return replace(known, error=f"bad reply: 200 without text (finish_reason {said!r})")
    return replace(known, text=secret.hide(text or ""), finish_reason="length" if cut else "stop")


def _content(message: Mapping[str, Any]) -> str | None:
    """The message's text; some endpoints send it in parts."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, dict) and p.get("type") == "text"]
        content = "".join(p for p in parts if isinstance(p, str)) if parts else None
    if content is None:
        content = message.get("refusal")
    return content if isinstance(content, str) else None


def _usage(told: Any) -> dict[str, int] | None:
    counts: dict[str, int] = {}
    for name, path in USAGE.items():
        value = told
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            counts[name] = value
    return counts or None


def _text(value: Any, secret: Secret) -> str | None:
    return secret.hide(value)[:EXCERPT] if isinstance(value, str) else None


def excerpt(body: bytes, secret: Secret) -> str:
    """What the endpoint says went wrong: the message of its JSON error, else how its body starts.

    Example:
        >>> excerpt(b'{"error": {"message": "audio  too long", "code": "bad"}}', Secret("", ""))
        'audio too long'
    """
    told: Any = None
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict):
        inner = told.get("error", told)
        inner = inner.get("message") if isinstance(inner, dict) else inner
        # Written anew, since the server's own escapes could hide the key from us.
        told = inner if isinstance(inner, str) else json.dumps(told, ensure_ascii=False)
    text = told if isinstance(told, str) else body.decode("utf-8", "replace")
    # Hidden before it is shortened, lest half a key be left at the end.
    return " ".join(secret.hide(text).split())[:EXCERPT] or "(empty body)"


def error_code(body: bytes) -> str | None:
    """``error.code`` (or ``error.type``) of a JSON error, where there is one.

    Example:
        >>> error_code(b'{"error": {"code": null, "type": "insufficient_quota"}}')
        'insufficient_quota'
    """
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    inner = told.get("error") if isinstance(told, dict) else None
    if not isinstance(inner, dict):
        return None
    code = inner.get("code") or inner.get("type")
    return code if isinstance(code, str) else None


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long the server asks to wait, in seconds (RFC 9110, section 10.2.3).

    A date is measured from the response's own ``Date`` where it has one, so that a clock that is
    wrong on either side does not matter.

    Args:
        headers: Of the response.
        now: This machine's time, with its zone.

    Returns:
        At least 0; ``None`` where the header is missing or makes no sense.

    Example:
        >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        >>> retry_after_s({"retry-after": "1.5"}, noon)
        1.5
        >>> retry_after_s({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, noon)
        30.0
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    until = _date(value)
    if until is None:
        return None
    return max(0.0, (until - (_date(headers.get("date", "")) or now)).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
