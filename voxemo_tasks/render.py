"""Prompt × utterance → request. Pure: the same inputs give the same bytes.

Label names never stand in a prompt file; ``{labels}`` becomes the menu of the utterance's label
set. Audio comes before text in every message, so that an engine can reuse the audio's encoding and
key-value prefix for all prompts of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import LabelSetError
from .records import AudioRef, Decoding, Json, Request
from .specs import PromptSpec


def menu_text(labels: Sequence[str], separator: str = ", ") -> str:
    """The menu as it stands in a prompt.

    A label that contains the separator's comma is quoted, so that a menu cannot be read as having
    more labels than it has.

    Example:
        >>> menu_text(["angry", "sad"])
        'angry, sad'
        >>> menu_text(["pain, groan", "sad"])
        '"pain, groan", sad'
    """
    mark = separator.strip() or separator
    return separator.join(f'"{x}"' if mark in x else x for x in labels)


def fill(text: str, labels: Sequence[str], separator: str = ", ") -> str:
    """Put the menu into a prompt's text; doubled braces become single ones."""
    return text.format(labels=menu_text(labels, separator)).strip()


def decoding_of(prompt: PromptSpec, *, temperature: float = 0.0, seed: int = 0) -> Decoding:
    """The decoding that a prompt registers, sampled at a temperature (0 is greedy)."""
    return Decoding(
        max_new_tokens=prompt.decoding.max_new_tokens,
        temperature=temperature,
        stop=tuple(prompt.decoding.stop),
        seed=seed,
    )


def render(
    prompt: PromptSpec,
    prompt_digest: str,
    labels: Sequence[str],
    audio: AudioRef,
    decoding: Decoding,
) -> Request:
    """What the model gets for one utterance.

    Args:
        prompt: The registered prompt.
        prompt_digest: SHA-256 of its file.
        labels: The menu in its order.
        audio: The clip.
        decoding: Explicit decoding parameters.

    Returns:
        A request whose user message holds the audio part first, then the text.

    Raises:
        LabelSetError: For a menu of fewer than two labels.
    """
    if len(labels) < 2:
        raise LabelSetError(f"a menu needs at least two labels, got {list(labels)}")
    messages: list[Json] = []
    if prompt.system is not None:
        text = fill(prompt.system, labels, prompt.labels_separator)
        messages.append({"role": "system", "content": [{"type": "text", "text": text}]})
    text = fill(prompt.text, labels, prompt.labels_separator)
    messages.append(
        {"role": "user", "content": [{"type": "audio", "index": 0}, {"type": "text", "text": text}]}
    )
    return Request(prompt.ref, prompt_digest, tuple(messages), (audio,), decoding)
