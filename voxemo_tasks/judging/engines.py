"""A judge and its engine: requests in, what it writes out, greedily, through lm-eval.

An engine that can is held to the schema of the answer. A call that fails costs the one request that
fails; an engine that never answers ends the pass.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..adjudicate import JudgeRequest, schema_for_engine
from ..errors import ModelError, RunFailedError
from ..records import Json, canonical_json, digest_of

BROKEN_AFTER = 20
"""Where so many calls fail and none ever succeeded, the engine is broken, not the items."""


@dataclass
class Judge:
    """A text model that judges.

    Attributes:
        name: Short name, unique in its panel.
        lm: The lm-eval model.
        fingerprint: What its judgements depend on.
        family: Of models that it belongs to; ``None`` where that is not known.
        structured: Whether the engine holds replies to the schema.
    """

    name: str
    lm: Any
    fingerprint: Json
    family: str | None = None
    structured: bool = False
    _succeeded: int = field(default=0, repr=False)
    _failed: int = field(default=0, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the fingerprint; part of the key of every judgement."""
        return digest_of({**self.fingerprint, "structured": self.structured})

    def say(self, requests: Sequence[JudgeRequest]) -> list[str | Exception]:
        """What the judge writes to each request; the error where it wrote nothing.

        A batch that fails is halved until the request that fails is alone.

        Raises:
            RunFailedError: Where nothing ever succeeded.
        """
        out: list[str | Exception | None] = [None] * len(requests)
        for indices in _alike(requests):
            self._say(requests, indices, out)
        return [text if text is not None else "" for text in out]

    def _say(
        self,
        requests: Sequence[JudgeRequest],
        indices: Sequence[int],
        out: list[str | Exception | None],
    ) -> None:
        try:
            texts = generate(self, [requests[i] for i in indices])
        except Exception as error:  # whatever lm-eval's models raise
            if len(indices) > 1:
                middle = len(indices) // 2
                self._say(requests, indices[:middle], out)
                self._say(requests, indices[middle:], out)
                return
            self._failed += 1
            out[indices[0]] = error
            if not self._succeeded and self._failed >= BROKEN_AFTER:
                raise RunFailedError(
                    f"judge {self.name}: the first {self._failed} calls all failed, the last with "
                    f"{first_line(error)}. Mend the engine and start the same command again"
                ) from error
            return
        self._succeeded += len(indices)
        for i, text in zip(indices, texts, strict=True):
            out[i] = text


def _alike(requests: Sequence[JudgeRequest]) -> Iterator[list[int]]:
    """Positions of requests with one and the same schema.

    lm-eval groups by decoding keywords, but of a dictionary among them it compares only the keys:
    requests with two schemas in one call would all get the first one's.
    """
    groups: dict[bytes, list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(canonical_json([request.schema, request.decoding]), []).append(i)
    yield from groups.values()


def generate(judge: Judge, requests: Sequence[JudgeRequest]) -> list[str]:
    """One call of lm-eval's ``generate_until``.

    Raises:
        ModelError: For a model that gives back another number of replies, or a request that is
            longer than the model can read (lm-eval would cut off its beginning).
    """
    from lm_eval.api.instance import Instance

    instances = []
    for i, request in enumerate(requests):
        context = context_of(judge.lm, request.messages)
        length = request.decoding.get("max_new_tokens", 256)
        _require_fits(judge.lm, context, length)
        arguments: Json = {
            "until": list(request.decoding.get("stop", [])),
            "max_gen_toks": length,
            "do_sample": False,
            "temperature": 0.0,
        }
        if judge.structured and request.schema is not None:
            arguments |= _held_to(request.schema, judge.fingerprint.get("engine"))
        instances.append(Instance("generate_until", {}, (context, arguments), i))
    texts = judge.lm.generate_until(instances)
    if len(texts) != len(requests):
        raise ModelError(f"{len(requests)} questions brought {len(texts)} replies")
    return ["" if text is None else str(text) for text in texts]


def _held_to(schema: Json, engine: Any) -> Json:
    if engine == "vllm":
        held = importlib.import_module("vllm.sampling_params").StructuredOutputsParams
        return {"structured_outputs": held(json=schema)}
    return {"response_format": schema_for_engine(schema)}


def context_of(lm: Any, messages: Sequence[Mapping[str, str]]) -> Any:
    """Messages as the model wants them: by its chat template, or plainly where it has none."""
    history = [dict(message) for message in messages]
    try:
        return lm.apply_chat_template(history)
    except (NotImplementedError, ValueError, AttributeError, TypeError):
        return "\n\n".join(message["content"] for message in history) + "\n\n"


def _require_fits(lm: Any, context: Any, length: int) -> None:
    limit = getattr(lm, "max_length", None)
    if not isinstance(context, str) or getattr(lm, "tokenizer", None) is None:
        return
    if not isinstance(limit, int):
        return
    n = len(lm.tok_encode(context))
    if n + length > limit:
        raise ModelError(
            f"the question has {n} tokens and {length} to answer; the limit is {limit}"
        )


def first_line(error: BaseException) -> str:
    """What went wrong in one line: the error's type, and the beginning of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
