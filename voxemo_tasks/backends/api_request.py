"""Our messages and clips as a chat endpoint takes them."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ..records import Json
from .requests import Samples


class Clip:
    """One clip as base64, encoded once for all requests that carry it, by whichever comes first.

    Samples beyond [-1, 1] are clipped: 16-bit audio has no more.
    """

    def __init__(self, samples: Samples, sampling_rate_hz: int, audio_format: str) -> None:
        self._samples = samples
        self._rate = sampling_rate_hz
        self._format = audio_format
        self._lock = threading.Lock()
        self._text: str | None = None

    def base64(self) -> str:
        with self._lock:
            if self._text is None:
                self._text = encode(self._samples, self._rate, self._format)
            return self._text


def encode(samples: Samples, sampling_rate_hz: int, audio_format: str) -> str:
    """Samples as a 16-bit file of the format, in base64."""
    import soundfile

    with io.BytesIO() as stream:
        soundfile.write(
            stream, samples, sampling_rate_hz, format=audio_format.upper(), subtype="PCM_16"
        )
        return base64.b64encode(stream.getbuffer()).decode("ascii")


def chat_messages(
    messages: Sequence[Mapping[str, Any]], clips: Sequence[Clip], audio_format: str
) -> list[Json]:
    """Our messages as the endpoint takes them: parts in their order, which has audio first.

    A message of one text is a plain string: some servers take no parts in system messages.

    Example:
        >>> chat_messages([{"role": "system", "content": [{"type": "text", "text": "Hi"}]}], [], "wav")
        [{'role': 'system', 'content': 'Hi'}]
    """
    out: list[Json] = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            out.append({"role": message["role"], "content": content})
            continue
        parts: list[Json] = []
        for part in content:
            if part["type"] == "audio":
                data = {"data": clips[part["index"]].base64(), "format": audio_format}
                parts.append({"type": "input_audio", "input_audio": data})
            else:
                parts.append({"type": "text", "text": part["text"]})
        single = len(parts) == 1 and parts[0]["type"] == "text"
        out.append({"role": message["role"], "content": parts[0]["text"] if single else parts})
    return out
