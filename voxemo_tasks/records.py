"""The records that flow through the house: frozen, JSON-safe both ways, units in field names.

``Utterance`` → ``Request`` → ``Response`` → ``Verdict``; an ``AudioRef`` names sound without
holding it, because lm-eval builds every request before it runs the first one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

from .errors import OptionError

Json = dict[str, Any]

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


@dataclass(frozen=True, slots=True)
class Transform:
    """A named, deterministic change of a clip, applied when it is decoded."""

    name: str
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)
    seed: int = 0

    def content(self) -> Json:
        """What it does, wherever another file that it takes (babble, say) may lie."""
        data = self.to_json()
        if "sha256" in self.parameters:
            kept = {k: v for k, v in data["parameters"].items() if k != "path"}
            data = {**data, "parameters": kept}
        return data

    def to_json(self) -> Json:
        return {"name": self.name, "parameters": dict(self.parameters), "seed": self.seed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(str(data["name"]), dict(data.get("parameters") or {}), int(data.get("seed", 0)))

    def __str__(self) -> str:
        """As an expression, which ``parse_transform`` reads back."""
        given = [f"{key}={_written(value)}" for key, value in self.parameters.items()]
        if self.seed:
            given.append(f"seed={self.seed}")
        return f"{self.name}({', '.join(given)})"


_BARE = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_ENTRY = re.compile(
    r"""\s*(?P<key>[a-z]\w*)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s,"=()]+)\s*(?:,|$)""", re.ASCII
)
_WHOLE = re.compile(r"\s*(?P<name>[a-z]\w*)\s*(?:\((?P<inside>.*)\))?\s*", re.ASCII | re.DOTALL)


def _written(value: float | int | str) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) and not _is_number(value) else json.dumps(value)
    return repr(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_transform(text: str) -> Transform:
    """A transform from its expression, ``name(key=value, …)``; the inverse of ``str``.

    Values are whole numbers, decimal numbers, or texts; a text that is no plain word is quoted as
    in JSON. ``seed`` is the transform's own. Whether there is such a transform is not asked here.

    Raises:
        OptionError: For what is no such expression, a key given twice, or a seed that is no whole
            number.

    Example:
        >>> parse_transform("noise(snr_db=10, kind=pink, seed=3)")
        Transform(name='noise', parameters={'snr_db': 10, 'kind': 'pink'}, seed=3)
        >>> str(parse_transform('code_switch(path="/a b.wav")'))
        'code_switch(path="/a b.wav")'
    """
    whole = _WHOLE.fullmatch(text)
    shape = "write it as name(key=value, …), e.g. 'prosody_f0(semitones=4)'"
    if whole is None:
        raise OptionError(f"{text!r} is no transform; {shape}")
    inside = (whole["inside"] or "").strip()
    parameters: dict[str, float | int | str] = {}
    at = 0
    while at < len(inside):
        entry = _ENTRY.match(inside, at)
        if entry is None:
            raise OptionError(f"{text!r}: cannot read {inside[at:]!r}; {shape}")
        key = entry["key"]
        if key in parameters:
            raise OptionError(f"{text!r}: {key} is given twice")
        parameters[key] = _read(entry["value"], text)
        at = entry.end()
    seed = parameters.pop("seed", 0)
    if not isinstance(seed, int):
        raise OptionError(f"{text!r}: seed={seed!r} is not a whole number")
    return Transform(whole["name"], parameters, seed)


def _read(value: str, text: str) -> float | int | str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError as error:
            raise OptionError(f"{text!r}: {value} is not a quoted text ({error})") from error
    try:
        return int(value)
    except ValueError:
        pass
    try:
        number = float(value)
    except ValueError:
        return value
    if not math.isfinite(number):
        raise OptionError(f"{text!r}: {value} is no number; quote it if it is a text")
    return number


@dataclass(frozen=True, slots=True)
class AudioRef:
    """Sound by reference.

    Attributes:
        path: Absolute path of the file on this machine.
        sha256: Digest of the file's bytes (not of the segment).
        start_s: Start of the segment within the file, in seconds.
        end_s: End of the segment; ``None`` is the end of the file.
        channel: 0-based channel to take; ``None`` is the mean of all.
        transforms: Applied in order after decoding.
        duration_s: Length of the segment as the manifest has it; a hint for batching, not identity.
    """

    path: str
    sha256: str
    start_s: float = 0.0
    end_s: float | None = None
    channel: int | None = None
    transforms: tuple[Transform, ...] = ()
    duration_s: float | None = None

    def content(self) -> Json:
        """What is heard, wherever the file lies: the audio's part of a reply's key."""
        return {
            "sha256": self.sha256,
            "start_s": float(self.start_s),  # 0 and 0.0 are one place and must be one key
            "end_s": None if self.end_s is None else float(self.end_s),
            "channel": self.channel,
            "transforms": [t.content() for t in self.transforms],
        }

    def to_json(self) -> Json:
        given = {"transforms": [t.to_json() for t in self.transforms]}
        return {"path": self.path, "duration_s": self.duration_s, **self.content(), **given}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            path=str(data["path"]),
            sha256=str(data["sha256"]),
            start_s=float(data.get("start_s") or 0.0),
            end_s=None if data.get("end_s") is None else float(data["end_s"]),
            channel=None if data.get("channel") is None else int(data["channel"]),
            transforms=tuple(Transform.from_json(t) for t in data.get("transforms") or ()),
            duration_s=None if data.get("duration_s") is None else float(data["duration_s"]),
        )


@dataclass(frozen=True, slots=True)
class Split:
    """The role of an utterance in one fold of a named protocol."""

    protocol: str
    fold: int
    role: Literal["train", "valid", "test"]


Traces = Mapping[str, Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]]
"""Dimension → annotator → times in seconds and values, as many of each."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest. ``None`` is "not known", never a default.

    Attributes:
        utterance_id: Unique within the corpus.
        path: POSIX path relative to the corpus root, spelled as the disk has it.
        start_s: Start of the segment in seconds; ``None`` with ``end_s`` for a whole file.
        raw_label: The corpus's own label; ``None`` where it has none for this utterance.
        label: Canonical label, one to one from ``raw_label``.
        votes: Class → number of annotators (canonical classes), where votes are released.
        rater_votes: Rater id → the classes that this rater chose.
        valence: Mean rating on the scale that the corpus card states; likewise the others.
        rater_ratings: Rater id → dimension → this rater's rating, on the same scale.
        traces: Dimension → annotator id → times and values of this annotator's time-continuous trace
            while the utterance lasts; seconds from the start of the recording, not of the utterance.
            The trace of a recording (``dialogue``) is the union over its utterances.
        language: BCP-47 tag.
        culture: Country or region of the speaker as the card defines it.
        sentence: Id of the scripted sentence, where several speakers say the same ones.
        text_label: Emotion of the words, where the corpus tells it apart from the voice's; canonical
            where the card has it.
        synthesis: What made the speech: ``human``, or the synthesiser.
        splits: Roles under each protocol.
        sha256: Digest of the audio file's bytes.
        error: Why the file could not be used (``--allow-missing``); such rows are never asked.
    """

    utterance_id: str
    path: str
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None
    raw_label: str | None = None
    label: str | None = None
    votes: Mapping[str, int] | None = None
    rater_votes: Mapping[str, tuple[str, ...]] | None = None
    valence: float | None = None
    arousal: float | None = None
    dominance: float | None = None
    rater_ratings: Mapping[str, Mapping[str, float]] | None = None
    traces: Traces | None = None
    speaker: str | None = None
    gender: str | None = None
    age: str | None = None
    language: str | None = None
    culture: str | None = None
    transcript: str | None = None
    sentence: str | None = None
    dialogue: str | None = None
    setting: str | None = None
    relationship: str | None = None
    formality: str | None = None
    channel_type: str | None = None
    text_label: str | None = None
    synthesis: str | None = None
    splits: tuple[Split, ...] = ()
    duration_s: float | None = None
    sampling_rate_hz: int | None = None
    sha256: str | None = None
    error: str | None = None

    def to_json(self) -> Json:
        data: Json = {f.name: getattr(self, f.name) for f in fields(self)}
        data["votes"] = None if self.votes is None else dict(self.votes)
        data["rater_votes"] = (
            None
            if self.rater_votes is None
            else {rater: list(chosen) for rater, chosen in self.rater_votes.items()}
        )
        if self.rater_ratings is not None:
            data["rater_ratings"] = {r: dict(given) for r, given in self.rater_ratings.items()}
        if self.traces is not None:
            data["traces"] = {
                dimension: {who: [list(times), list(values)] for who, (times, values) in by.items()}
                for dimension, by in self.traces.items()
            }
        data["splits"] = [
            {"protocol": s.protocol, "fold": s.fold, "role": s.role} for s in self.splits
        ]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        if values.get("rater_votes") is not None:
            values["rater_votes"] = {
                rater: (chosen,) if isinstance(chosen, str) else tuple(chosen)
                for rater, chosen in values["rater_votes"].items()
            }
        if values.get("traces") is not None:
            values["traces"] = {
                dimension: {who: (tuple(trace[0]), tuple(trace[1])) for who, trace in by.items()}
                for dimension, by in values["traces"].items()
            }
        values["splits"] = tuple(
            Split(s["protocol"], int(s["fold"]), s["role"]) for s in values.get("splits") or ()
        )
        return cls(**values)


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
