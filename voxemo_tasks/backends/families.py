"""What differs between families of speech LLMs in transformers; a card names its family's rules.

Nothing here knows a model by name: each function is an option that a card can choose
(:class:`~voxemo_tasks.specs.ModelCard`).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..errors import ModelError, OptionError, UnknownNameError
from ..records import Json
from ..specs import ChatFormat, ModelCard

Clips = Sequence[NDArray[np.float32]]
TEMPLATE = "template"
"""Name of the processor's own chat template, beside the written formats of a card."""


# --- messages -------------------------------------------------------------------------------


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


def written(messages: Sequence[Json], chat: ChatFormat) -> str:
    """Messages as text, by a format that a card gives.

    Example:
        >>> chat = ChatFormat(turn="<|{role}|>{content}<|end|>", audio="<|audio|>", reply="<|bot|>")
        >>> parts = [{"type": "audio"}, {"type": "text", "text": "Angry or sad?"}]
        >>> written([{"role": "user", "content": parts}], chat)
        '<|user|><|audio|>Angry or sad?<|end|><|bot|>'
    """
    turns = []
    number = 0
    for message in messages:
        content = ""
        for part in message["content"]:
            if part["type"] == "audio":
                number += 1
                content += chat.audio.replace("{number}", str(number))
            else:
                content += part["text"]
        turns.append(chat.turn.replace("{role}", message["role"]).replace("{content}", content))
    return "".join(turns) + chat.reply


def choose_chat(card: ModelCard, pretrained: str, processor: Any, asked: str) -> str:
    """Name of the chat format of a checkpoint.

    Args:
        card: Its family.
        pretrained: Hub id or folder, as the user said it.
        processor: Its processor.
        asked: ``auto``, ``template``, or a name of the card's ``chat_formats``.

    Returns:
        ``template``, or a name of ``chat_formats``.

    Raises:
        UnknownNameError: For a name that the card does not have.
        ModelError: Where there is neither a template nor a written format.
    """
    names = [TEMPLATE, *card.chat_formats]
    if asked != "auto":
        if asked not in names:
            raise UnknownNameError(f"chat format of {card.name}", asked, ["auto", *names])
        return asked
    if pretrained in card.chat_format_of:
        return card.chat_format_of[pretrained]
    if card.processor_call == "chat_template_only" or getattr(processor, "chat_template", None):
        return TEMPLATE
    if card.chat_formats:
        return next(iter(card.chat_formats))
    raise ModelError(
        f"the processor of {pretrained} has no chat template and the card of {card.name} gives no "
        "format to write messages by; save the model's chat_template.jinja beside its weights"
    )


def prompt_text(processor: Any, chat: ChatFormat | None, messages: Sequence[Json]) -> str:
    """The text of one request, a marker where each clip goes; ``None`` is the own template."""
    if chat is not None:
        return written(messages, chat)
    text: str = processor.apply_chat_template(
        chat_messages(messages), tokenize=False, add_generation_prompt=True
    )
    return text


# --- processor calls ------------------------------------------------------------------------


def model_inputs(
    processor: Any,
    card: ModelCard,
    chat: ChatFormat | None,
    asked: Sequence[tuple[Sequence[Json], Clips]],
    sampling_rate_hz: int,
) -> Any:
    """A batch as the model takes it: messages and clips of each row, through the real processor.

    Raises:
        OptionError: For more clips in a request than the family takes, or a clip that is longer
            than it takes where its card says that it fails beyond.
    """
    for _, clips in asked:
        check_clips(card, clips, sampling_rate_hz)
    if card.processor_call == "chat_template_only":
        conversations = [with_sound(messages, clips, sampling_rate_hz) for messages, clips in asked]
        return processor.apply_chat_template(conversations)
    padding: Json = {"padding": True}
    if card.processor_call == "text_kwargs_padding":
        padding = {"text_kwargs": {"padding": True}}
    sound = [clip for _, clips in asked for clip in clips]
    if sound:  # processors trip over an empty list; a question in words alone has no audio
        padding |= {"audio": sound, "sampling_rate": sampling_rate_hz}
    return processor(
        text=[prompt_text(processor, chat, messages) for messages, _ in asked],
        return_tensors="pt",
        **padding,
    )


def check_clips(card: ModelCard, clips: Clips, sampling_rate_hz: int) -> None:
    """Refuse what the family cannot take; see :func:`model_inputs`."""
    most = card.audios_per_request
    if most is not None and len(clips) > most:
        raise OptionError(f"{card.name} takes {most} clip(s) a request, this one has {len(clips)}")
    if card.beyond_max == "error" and card.max_audio_s is not None:
        longest = max((len(clip) for clip in clips), default=0) / sampling_rate_hz
        if longest > card.max_audio_s:
            raise OptionError(
                f"{card.name} takes clips up to {card.max_audio_s:g} s, this one has {longest:.3f} s"
            )


def with_sound(messages: Sequence[Json], clips: Clips, sampling_rate_hz: int) -> list[Json]:
    """Messages with each clip inside, as base64 of a WAV file of 32-bit floats (nothing is lost)."""
    left = iter(clips)
    out = chat_messages(messages)
    for message in out:
        if isinstance(message["content"], str):
            continue
        for part in message["content"]:
            if part["type"] == "audio":
                file = io.BytesIO()
                soundfile.write(file, next(left), sampling_rate_hz, format="WAV", subtype="FLOAT")
                part["base64"] = base64.b64encode(file.getvalue()).decode("ascii")
    return out


# --- what a checkpoint says of itself -------------------------------------------------------


def extractor_of(processor: Any) -> Any:
    """The feature extractor, under either name that processors give it; ``None`` without one."""
    return getattr(processor, "feature_extractor", None) or getattr(
        processor, "audio_processor", None
    )


def window_of(card: ModelCard, processor: Any) -> float | None:
    """Seconds that a checkpoint hears: what it says itself where the card says so, else the card."""
    extractor = extractor_of(processor)
    if card.max_audio_from == "extractor" and getattr(extractor, "n_samples", None):
        return float(extractor.n_samples) / float(extractor.sampling_rate)
    if card.max_audio_from == "processor" and getattr(processor, "max_audio_len", None):
        return float(processor.max_audio_len)
    return card.max_audio_s


def check_facts(card: ModelCard, processor: Any, pretrained: str) -> None:
    """Hold a card against a checkpoint, before any clip is asked about.

    Some families take audio of any rate for that of their own without an error.

    Raises:
        ModelError: Where the sampling rate or the audio token of the card are not the processor's.
    """
    rate = getattr(extractor_of(processor), "sampling_rate", None)
    if rate is not None and rate != card.sampling_rate_hz:
        raise ModelError(
            f"pretrained={pretrained}: its feature extractor works at {rate} Hz, the card of "
            f"{card.name} says {card.sampling_rate_hz} Hz. One of the two is wrong; this checkpoint "
            "cannot be run with this card"
        )
    tokenizer = processor.tokenizer
    token = tokenizer.convert_tokens_to_ids(card.audio_token)
    if token is None or tokenizer.convert_ids_to_tokens(token) != card.audio_token:
        raise ModelError(
            f"pretrained={pretrained}: its tokenizer has no {card.audio_token!r}, which the card of "
            f"{card.name} gives as the token of a clip"
        )


# --- audio tokens ---------------------------------------------------------------------------


def qwen2_audio_tokens(samples: int, max_samples: int) -> int:
    """Audio tokens that a Whisper encoder with a pooling of 2 makes of a clip.

    One mel frame a 160 samples (10 ms at 16 kHz), a convolution of stride 2, then a pooling of
    stride 2: a token a 40 ms. Qwen2-Audio, Qwen2.5-Omni, and Audio Flamingo 3 over all its windows.

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


def qwen3_omni_tokens(samples: int, max_samples: int) -> int:
    """Three convolutions of stride 2 over pieces of 100 whole mel frames: 13 tokens a second.

    Beside a longer clip the processor counts a begun frame too, which can make a token more.

    Example:
        >>> qwen3_omni_tokens(16000, 10**9), qwen3_omni_tokens(35 * 16000, 10**9)
        (13, 455)
    """
    frames = min(samples, max_samples) // 160
    whole, rest = divmod(frames, 100)
    for _ in range(3):
        rest = (rest - 1) // 2 + 1
    return 13 * whole + rest


def phi4_tokens(samples: int, max_samples: int) -> int:
    """Frames of 25 ms every 10 ms, eight to a token: 12.5 tokens a second.

    Example:
        >>> phi4_tokens(16000, 10**9), phi4_tokens(70 * 16000, 10**9)
        (13, 875)
    """
    frames = (min(samples, max_samples) - 400) // 160 + 1
    return -(-frames // 8)


def granite_speech_tokens(samples: int, max_samples: int) -> int:
    """Pairs of mel frames in blocks of 15, three tokens a block: 10 tokens a second.

    Example:
        >>> granite_speech_tokens(16000, 10**9), granite_speech_tokens(70 * 16000, 10**9)
        (12, 702)
    """
    pairs = (min(samples, max_samples) // 160 + 1) // 2
    return 3 * -(-pairs // 15)


def gemma3n_tokens(samples: int, max_samples: int) -> int:
    """188 tokens, however long the clip."""
    return 188


def voxtral_tokens(samples: int, max_samples: int) -> int:
    """375 tokens for every begun window of 30 s.

    Example:
        >>> voxtral_tokens(16000, 10**9), voxtral_tokens(35 * 16000, 10**9)
        (375, 750)
    """
    return 375 * -(-min(samples, max_samples) // 480_000)


AUDIO_TOKENS: dict[str, Callable[[int, int], int] | None] = {
    "qwen2_audio": qwen2_audio_tokens,
    "qwen3_omni": qwen3_omni_tokens,
    "phi4": phi4_tokens,
    "granite_speech": granite_speech_tokens,
    "gemma3n": gemma3n_tokens,
    "voxtral": voxtral_tokens,
    "some": None,
}
"""Rule named by a card → (samples, window in samples) → expected number of audio tokens; ``None``:
only that there are some is checked."""


def audio_arrived(card: ModelCard, found: int, clips: Clips, window_s: float | None) -> bool:
    """Whether a row has the audio tokens that its clips make, give or take one a clip.

    Example:
        >>> from voxemo_tasks import registry
        >>> card, _ = registry.model_for("Qwen2AudioForConditionalGeneration")
        >>> one_second = np.zeros(16_000, np.float32)
        >>> audio_arrived(card, 25, [one_second], 30.0), audio_arrived(card, 1, [one_second], 30.0)
        (True, False)
    """
    if not clips:
        return found == 0
    expected = expected_tokens(card, clips, window_s)
    return found > 0 if expected is None else abs(found - expected) <= len(clips)


def expected_tokens(card: ModelCard, clips: Clips, window_s: float | None) -> int | None:
    """Audio tokens of the clips of one row, ``None`` where the card gives no rule."""
    rule = AUDIO_TOKENS[card.audio_tokens or "some"]
    if rule is None:
        return None
    window = int((window_s or 1e9) * card.sampling_rate_hz)
    return sum(rule(len(clip), window) for clip in clips)
