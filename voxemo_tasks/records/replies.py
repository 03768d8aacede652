"""What came back, how it was read, and how it travels through lm-eval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from .canonical import Json

Status = Literal[
    "answered",
    "multiple",
    "off_menu",
    "abstained",
    "unparsed",
    "empty",
    "truncated",
    "engine_error",
    "judge_failed",
]

STATUSES: tuple[Status, ...] = get_args(Status)
"""What a reply can be. All but the last two are the model's doing."""

OURS: frozenset[Status] = frozenset({"engine_error", "judge_failed"})
"""Failures of the suite, not of the model: excluded from every rate, counted, limited."""


@dataclass(frozen=True, slots=True)
class Response:
    """One reply, as the engine gave it. A row of the response store.

    Attributes:
        key: Digest of everything that determines the reply (see ``store.reply_key``).
        text: The reply; ``""`` where there is an error.
        finish_reason: ``stop``, ``length`` (cut by the token limit) or ``error``.
        sample: 0-based sample index.
        seconds_supplied: Length of the audio that was given.
        seconds_heard: Length that the model's encoder can have used.
        n_tokens: Number of generated tokens, where the engine tells.
        logprob: Sum of the reply's token log-probabilities, where there is one.
        error: Why there is no reply; such a row never counts as an answer.
    """

    key: str
    text: str
    finish_reason: Literal["stop", "length", "error"]
    sample: int = 0
    seconds_supplied: float | None = None
    seconds_heard: float | None = None
    n_tokens: int | None = None
    logprob: float | None = None
    error: str | None = None

    def to_json(self) -> Json:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a reply was read.

    Attributes:
        status: One of ``STATUSES``.
        labels: Menu labels that the reply asserts, in the menu's own forms: one where answered,
            two or more where multiple, else none.
        off_menu: Emotion words asserted beside or instead of a menu label.
        span: ``(start, end)`` character offsets of the evidence in the reply; ``None`` without.
        rule: Id of the rule that decided.
        cut: Whether the reply was cut by its token limit (also where an answer was found).
        distribution: Menu label → share, where the reply gives shares.
        values: Dimension → rating, where the reply rates.
        detail: What else the verbalizer read (see its file), as JSON.
    """

    status: Status
    labels: tuple[str, ...] = ()
    off_menu: tuple[str, ...] = ()
    span: tuple[int, int] | None = None
    rule: str = ""
    cut: bool = False
    distribution: Mapping[str, float] | None = None
    values: Mapping[str, float] | None = None
    detail: Json | None = None

    @property
    def answer(self) -> str | None:
        """The one label that was answered, or ``None``."""
        return self.labels[0] if self.status == "answered" and self.labels else None

    def to_json(self) -> Json:
        more = {"distribution": self.distribution, "values": self.values, "detail": self.detail}
        return {
            "status": self.status,
            "labels": list(self.labels),
            "off_menu": list(self.off_menu),
            "span": None if self.span is None else list(self.span),
            "rule": self.rule,
            "cut": self.cut,
            **{name: dict(value) for name, value in more.items() if value is not None},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        span = data.get("span")
        return cls(
            status=data["status"],
            labels=tuple(data.get("labels") or ()),
            off_menu=tuple(data.get("off_menu") or ()),
            span=None if span is None else (int(span[0]), int(span[1])),
            rule=str(data.get("rule") or ""),
            cut=bool(data.get("cut")),
            distribution=data.get("distribution"),
            values=data.get("values"),
            detail=data.get("detail"),
        )


class Reply(str):
    """A reply's text on its way through lm-eval, which only knows strings.

    Behaves as the text. What a plain string would lose (that the engine failed, that the reply was
    cut, which stored row it is) rides along, survives pickling, and is simply absent where another
    suite's strings are scored.

    Example:
        >>> r = Reply("angry", finish_reason="stop", key="ab12")
        >>> r == "angry", r.key, r.error
        (True, 'ab12', None)
    """

    finish_reason: str
    error: str | None
    key: str | None
    store: str | None
    synthetic: bool

    def __new__(
        cls,
        text: str = "",
        *,
        finish_reason: str = "stop",
        error: str | None = None,
        key: str | None = None,
        store: str | None = None,
        synthetic: bool = False,
    ) -> Self:
        self = super().__new__(cls, text)
        self.finish_reason = finish_reason
        self.error = error
        self.key = key
        self.store = store
        self.synthetic = synthetic
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (str(self),), {
            "finish_reason": self.finish_reason,
            "error": self.error,
            "key": self.key,
            "store": self.store,
            "synthetic": self.synthetic,
        }
