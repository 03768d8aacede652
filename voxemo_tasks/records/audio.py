"""Sound by reference: a segment of a file, and what is done to it when it is decoded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..errors import OptionError
from .canonical import Json


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
