"""What differs between families of speech LLMs in transformers; a card names its family's rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..records import Json


def chat_messages(messages: Sequence[Json]) -> list[Json]:
    """Messages as a chat template wants them: audio parts as bare markers, in place."""
    out = []
    for message in messages:
        parts = [
            {"type": "audio"} if part["type"] == "audio" else {"type": "text", "text": part["text"]}
            for part in message["content"]
        ]
        only_text = all(part["type"] == "text" for part in parts)
        content: Any = "\n".join(p["text"] for p in parts) if only_text else parts
        out.append({"role": message["role"], "content": content})
    return out


def qwen2_audio_tokens(samples: int, max_samples: int) -> int:
    """Audio tokens that Qwen2-Audio's encoder makes of a clip.

    One mel frame a 160 samples (10 ms at 16 kHz), a convolution of stride 2, then a pooling of
    stride 2: a token a 40 ms.

    Args:
        samples: Length of the clip at 16 kHz.
        max_samples: The window; what lies beyond it is cut.

    Example:
        >>> qwen2_audio_tokens(10 * 16000, 30 * 16000)
        250
        >>> qwen2_audio_tokens(35 * 16000, 30 * 16000)
        750
    """
    frames = -(-min(samples, max_samples) // 160)
    convolved = (frames - 1) // 2 + 1
    return max(0, (convolved - 2) // 2 + 1)


AUDIO_TOKENS: dict[str, Callable[[int, int], int]] = {"qwen2_audio": qwen2_audio_tokens}
"""Rule named by a card → (samples, window in samples) → expected number of audio tokens."""
