"""``scripted-audiolm``: a deterministic model fed from a file, for tests and for trying things.

The file is JSONL. A row says which requests it answers and with what::

    {"path": "Angry/SM1_F10_A010.wav", "reply": "angry"}
    {"prompt": "direct_en@1", "replies": ["sad", "happy"]}
    {"contains": "Choose one of", "reply": "neutral", "finish_reason": "length"}
    {"path": "bad.wav", "error": "the engine fell over"}
    {"transform": "prosody_f0(semitones=4)", "reply": "happy"}
    {"heard": false, "reply": "neutral"}
    {"reply": "I cannot tell."}

``path`` is a suffix of the audio's path, ``sha256`` its digest, ``prompt`` the prompt's id with
version, ``contains`` a part of the rendered text. ``transform`` is a change of the clip: the name,
or an expression whose parameters are among its parameters; ``null`` is a clip that is not changed.
``heard`` says whether there is a clip at all. All are looked for in the last clip, which the question
is about. The first row all of whose conditions hold answers; a row without conditions answers
everything. ``replies`` gives sample i its i-th text, the
last one again beyond its end. ``delay_s`` waits before answering.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ..errors import OptionError
from ..records import AudioRef, Json, Request, digest_of, parse_transform
from .base import AudioLM, Generated
from .requests import Job
from .scripts import read_script

CONDITIONS = ("path", "sha256", "prompt", "contains", "transform", "heard")
BESIDE = ("finish_reason", "delay_s")


class ScriptedAudioLM(AudioLM):
    """A model that says what its file says.

    Args:
        replies: The JSONL file.
        max_audio_s: Pretend to hear no more than this.
        delay_s: Wait this long before each batch.
        options: Those of :class:`~voxemo_tasks.backends.base.AudioLM`.

    Raises:
        ModelError: For a file that is missing or has a bad row (with its line).
    """

    canary_requests: ClassVar[int] = 0

    def __init__(
        self,
        replies: str = "",
        *,
        max_audio_s: float | None = None,
        delay_s: float = 0.0,
        device: str | None = None,
        max_batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not replies:
            raise OptionError("--model_args of scripted-audiolm needs replies=FILE")
        self._file = Path(replies).expanduser()
        self._rows = read_script(self._file, CONDITIONS, BESIDE, check_transform)
        self._max_audio_s = None if max_audio_s is None else float(max_audio_s)
        self._delay_s = float(delay_s)

    @property
    def name(self) -> str:
        return f"scripted-{self._file.stem}"

    @property
    def synthetic(self) -> bool:
        """Always: what a file says of a corpus, real or not, is no result."""
        return True

    @property
    def max_audio_s(self) -> float | None:
        return self._max_audio_s

    def fingerprint(self) -> Json:
        return {
            "model": "scripted",
            "revision": f"sha256:{digest_of(self._rows)}",
            "adapter": None,
            "engine": "scripted",
            "engine_version": "1",
            "dtype": None,
        }

    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        if self._delay_s:
            time.sleep(self._delay_s)
        return [[self._say(job.request, sample) for sample in job.missing] for job in jobs]

    def _say(self, request: Request, sample: int) -> Generated:
        for row in self._rows:
            if not matches(row, request):
                continue
            if row.get("delay_s"):
                time.sleep(float(row["delay_s"]))
            if "error" in row:
                raise RuntimeError(row["error"])
            texts = row["replies"] if "replies" in row else [row["reply"]]
            return Generated(texts[min(sample, len(texts) - 1)], row.get("finish_reason", "stop"))
        about = request.audio[-1].path if request.audio else "a request without a clip"
        raise LookupError(f"{self._file}: no row answers {about}")


def matches(row: Json, request: Request) -> bool:
    """Whether all conditions of a row hold for a request."""
    ref = request.audio[-1] if request.audio else None
    return (
        ("path" not in row or (ref is not None and ref.path.endswith(row["path"])))
        and ("sha256" not in row or (ref is not None and ref.sha256 == row["sha256"]))
        and ("prompt" not in row or request.prompt_id == row["prompt"])
        and ("contains" not in row or row["contains"] in request.text)
        and ("heard" not in row or row["heard"] == (ref is not None))
        and ("transform" not in row or (ref is not None and changed_by(ref, row["transform"])))
    )


def changed_by(ref: AudioRef, wanted: str | None) -> bool:
    """Whether a clip is changed in that way (``None``: in none).

    Example:
        >>> ref = AudioRef("a.wav", "", transforms=(parse_transform("noise(snr_db=10)"),))
        >>> changed_by(ref, "noise(snr_db=10)"), changed_by(ref, "gain"), changed_by(ref, None)
        (True, False, False)
    """
    if wanted is None:
        return not ref.transforms
    change = _change(wanted)
    return any(
        one.name == change.name and change.parameters.items() <= one.parameters.items()
        for one in ref.transforms
    )


_change = lru_cache(maxsize=4096)(parse_transform)


def check_transform(row: Json) -> None:
    """Raise for a change of the clip that is none."""
    if row.get("transform") is not None:
        _change(str(row["transform"]))
