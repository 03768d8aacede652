"""One question to a speech LLM, and how it shall decode."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ..errors import OptionError
from .audio import AudioRef
from .canonical import Json


@dataclass(frozen=True, slots=True)
class Decoding:
    """What the engine is told explicitly, so that no model default leaks in.

    Attributes:
        max_new_tokens: Limit of the reply's length.
        temperature: 0 is greedy; above 0 the reply is sampled.
        top_p: Nucleus mass, in (0, 1]; 1 is off.
        top_k: 0 is off.
        stop: Strings that end the reply and are cut from it.
        seed: Base of the per-sample seeds; part of the key only when sampling.
    """

    max_new_tokens: int = 32
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int = 0

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    def to_gen_kwargs(self) -> Json:
        """As lm-eval's generation keywords.

        ``do_sample`` is always said: without it lm-eval's cache would take K samples for one
        deterministic reply.
        """
        return {
            "until": list(self.stop),
            "max_gen_toks": self.max_new_tokens,
            "do_sample": not self.greedy,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "seed": self.seed,
        }

    def with_gen_kwargs(self, gen_kwargs: Mapping[str, Any]) -> Decoding:
        """Lay lm-eval's ``--gen_kwargs`` over this decoding.

        ``do_sample: false`` is greedy whatever the temperature; a temperature above 0 without
        ``do_sample`` samples.

        Raises:
            OptionError: For an unknown key or a value out of range.

        Example:
            >>> Decoding(32).with_gen_kwargs({"temperature": 0.7, "top_p": 0.9}).top_p
            0.9
        """
        changes: dict[str, Any] = {}
        for key, value in gen_kwargs.items():
            if key == "do_sample":
                continue
            if key == "until":
                stop = (value,) if isinstance(value, str) else tuple(value or ())
                changes["stop"] = tuple(str(s) for s in stop)
                continue
            if key not in _GEN_KWARGS:
                allowed = ", ".join([*_GEN_KWARGS, "until", "do_sample"])
                raise OptionError(f"--gen_kwargs: {key!r} is not known; allowed: {allowed}")
            name, convert = _GEN_KWARGS[key]
            try:
                changes[name] = convert(value)
                if changes[name] != float(value):  # 2.7 tokens are not 2
                    raise ValueError(value)
            except (TypeError, ValueError, OverflowError) as error:
                kind = "whole number" if convert is int else "number"
                raise OptionError(f"--gen_kwargs: {key}={value!r} is not a {kind}") from error
        if gen_kwargs.get("do_sample") is False:
            changes["temperature"] = 0.0
        result = replace(self, **changes)
        if gen_kwargs.get("do_sample") is True and result.greedy:
            raise OptionError("--gen_kwargs: do_sample=True needs a temperature above 0")
        if (
            result.max_new_tokens < 1
            or not 0 <= result.temperature < math.inf
            or not 0 < result.top_p <= 1
            or result.top_k < 0
        ):
            raise OptionError(
                "--gen_kwargs: out of range (max_gen_toks >= 1, temperature >= 0, 0 < top_p <= 1, "
                f"top_k >= 0); got {dict(gen_kwargs)}"
            )
        return result

    def to_json(self) -> Json:
        data: Json = {
            "max_new_tokens": self.max_new_tokens,
            "temperature": float(self.temperature),
            "stop": list(self.stop),
        }
        if not self.greedy:
            data |= {"top_p": float(self.top_p), "top_k": self.top_k, "seed": self.seed}
        return data


_GEN_KWARGS: dict[str, tuple[str, type[int] | type[float]]] = {
    "max_gen_toks": ("max_new_tokens", int),
    "max_new_tokens": ("max_new_tokens", int),
    "max_tokens": ("max_new_tokens", int),
    "temperature": ("temperature", float),
    "top_p": ("top_p", float),
    "top_k": ("top_k", int),
    "seed": ("seed", int),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a speech LLM.

    Attributes:
        prompt_id: The prompt that was rendered, e.g. ``direct/en@1``.
        prompt_digest: SHA-256 of the prompt file.
        messages: Chat messages; content is a list of ``{"type": "audio", "index": i}`` and
            ``{"type": "text", "text": …}`` parts, audio first.
        audio: What the ``index`` of an audio part points to.
        decoding: Explicit decoding parameters.
        candidates: Label as offered → texts that say it, where the question is not what the model
            writes but how likely it finds each label; else empty.
        schema: JSON Schema that an engine which can shall hold the reply to.
    """

    prompt_id: str
    prompt_digest: str
    messages: tuple[Json, ...]
    audio: tuple[AudioRef, ...]
    decoding: Decoding
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schema: Json | None = None

    @property
    def text(self) -> str:
        """All text parts, for logs and for lm-eval's first argument (which must be a string)."""
        parts = [
            part["text"]
            for message in self.messages
            for part in message["content"]
            if part["type"] == "text"
        ]
        return "\n".join(parts)

    def to_arguments(self, provenance: Json) -> tuple[str, Json, Json]:
        """The arguments of an lm-eval ``Instance``: text (which it hashes), decoding, the rest.

        Args:
            provenance: Who asks, for the run folder; a backend hands it on unread.
        """
        payload = {
            "prompt": {"id": self.prompt_id, "sha256": self.prompt_digest},
            "messages": list(self.messages),
            "audio": [ref.to_json() for ref in self.audio],
            "provenance": provenance,
        }
        if self.schema is not None:
            payload["schema"] = self.schema
        if self.candidates:
            payload["candidates"] = {label: list(x) for label, x in self.candidates.items()}
        return self.text, self.decoding.to_gen_kwargs(), payload

    @classmethod
    def from_arguments(cls, arguments: Sequence[Any]) -> tuple[Self, Json]:
        """The request and its provenance from the arguments of an lm-eval ``Instance``.

        Raises:
            OptionError: For the arguments of a task that is not one of this suite.
        """
        if len(arguments) < 3 or not isinstance(arguments[2], Mapping):
            raise OptionError(
                "this model answers VoxEmo tasks (their requests carry audio references); the task "
                f"at hand asked with {len(arguments)} argument(s) and no audio reference"
            )
        payload = arguments[2]
        request = cls(
            prompt_id=str(payload["prompt"]["id"]),
            prompt_digest=str(payload["prompt"]["sha256"]),
            messages=tuple(payload["messages"]),
            audio=tuple(AudioRef.from_json(ref) for ref in payload["audio"]),
            decoding=Decoding().with_gen_kwargs(arguments[1]),
            candidates={k: tuple(v) for k, v in (payload.get("candidates") or {}).items()},
            schema=payload.get("schema"),
        )
        return request, dict(payload.get("provenance") or {})
