r"""What a run will cost, by arithmetic: tokens, operations, seconds, bytes. No model, no clock, no I/O.

The terms
---------
prefill   every token that is read costs :math:`2P` operations, P the decoder's parameters, and every
          position of the audio encoder :math:`2P_e`
decode    a step makes one token for each reply of a batch. It takes as long as the slower of two
          things: reading the decoder's weights and the batch's keys and values from memory, and
          :math:`2PB` operations for a batch of B
sharing   where a clip's prefix is shared, the audio is encoded and read once a clip, not once a
          reply, and a prompt's text once a request; decoding costs the same

Both peak figures of a device are multiplied by one ``efficiency``. Attention's own operations are
left out (they are few beside :math:`2P` up to some thousand tokens), and so are decoding of audio,
scheduling and start-up: an estimate says which of two plans is the dearer, and whether one is an
hour or a week. It promises the order of magnitude and no more.

Sources: the 2P rule, Kaplan et al. (2020, arXiv:2001.08361, section 2.1); peak figures, the vendors'
data sheets (dense, without sparsity).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from ..errors import OptionError, UnknownNameError
from ..records import Json

EFFICIENCY = 0.3
"""Share of a device's peak that a run reaches; a convention, not a measurement."""

WORKING_SPACE = 0.2
"""Memory beyond weights and keys and values, as a share of them; a convention."""

AUDIO_TOKENS_A_SECOND = 25.0
"""Where no rule is known: that of Qwen2-Audio's family."""

ENCODER_POSITIONS_A_SECOND = 50.0
"""Of a Whisper-like encoder: mel frames of 10 ms, halved."""

WHISPER_ENCODER = 640_000_000
"""Parameters of the encoder of Whisper large-v3, from which Qwen2-Audio's and Voxtral's are made
(Chu et al., 2024, arXiv:2407.10759; Liu et al., 2025, arXiv:2507.13264)."""

TEMPLATE_TOKENS = 20
"""Of a chat template, where it cannot be written out."""

_ENCODER = re.compile(r"(^|[._])(audio|speech|sound)")
_OTHER = re.compile(r"(^|\.)(vision|visual|image|talker|token2wav|code2wav)")
_NAMED_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[bB](?![a-zA-Z0-9])")


@dataclass(frozen=True, slots=True)
class Device:
    """A device's peak figures.

    Attributes:
        name: Preset it came from.
        tflops_16: 10¹² operations a second in bfloat16 or float16.
        tflops_32: The same in float32.
        memory_gb: 10⁹ bytes.
        bandwidth_gb_s: 10⁹ bytes a second from its memory.
    """

    name: str
    tflops_16: float
    tflops_32: float
    memory_gb: float
    bandwidth_gb_s: float

    def tflops(self, bytes_a_value: int) -> float:
        return self.tflops_32 if bytes_a_value >= 4 else self.tflops_16


DEVICES: dict[str, Device] = {
    d.name: d
    for d in (
        Device("h200", 989, 67, 141, 4800),
        Device("h100", 989, 67, 80, 3350),
        Device("a100", 312, 19.5, 80, 2039),
        Device("l40s", 362, 91.6, 48, 864),
        Device("rtx4090", 165, 82.6, 24, 1008),
        Device("v100", 125, 15.7, 32, 900),
        Device("t4", 65, 8.1, 16, 320),
        Device("cpu", 1.0, 1.0, 32, 50),
    )
}
"""Presets; ``cpu`` is a desktop of some 16 cores."""


def device_of(
    name: str,
    *,
    tflops: float | None = None,
    memory_gb: float | None = None,
    bandwidth_gb_s: float | None = None,
) -> Device:
    """A preset, with figures of one's own laid over it.

    Raises:
        UnknownNameError: For a name that is no preset.
        OptionError: For a figure that is not above 0.

    Example:
        >>> device_of("a100", memory_gb=40).memory_gb
        40
    """
    if name not in DEVICES:
        raise UnknownNameError("device (--on)", name, DEVICES)
    given = {"tflops": tflops, "device-memory-gb": memory_gb, "bandwidth-gb-s": bandwidth_gb_s}
    for flag, value in given.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise OptionError(f"--{flag} {value:g}: expected a number above 0")
    device = DEVICES[name]
    if tflops is not None:
        device = replace(device, tflops_16=tflops, tflops_32=tflops)
    if memory_gb is not None:
        device = replace(device, memory_gb=memory_gb)
    if bandwidth_gb_s is not None:
        device = replace(device, bandwidth_gb_s=bandwidth_gb_s)
    return device


@dataclass(frozen=True, slots=True)
class Size:
    """A model's size.

    Attributes:
        parameters: All of them, as they are loaded.
        encoder: Those of the audio encoder, among them.
        kv_values: Numbers that a token leaves in the key-value cache; ``None`` where not known.
        basis: Where this is from.
    """

    parameters: int
    encoder: int
    kv_values: int | None
    basis: str

    @property
    def decoder(self) -> int:
        return self.parameters - self.encoder


def count_tensors(shapes: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """Parameters, and those of the audio encoder by their names; vision and speech output left out.

    Example:
        >>> count_tensors({"audio_tower.conv1.weight": [2, 3], "language_model.lm_head": [4, 5],
        ...                "visual.patch": [100], "scale": []})
        (27, 6)
    """
    total = encoder = 0
    for name, shape in shapes.items():
        if _OTHER.search(name):
            continue
        number = math.prod(shape)
        total += number
        if _ENCODER.search(name):
            encoder += number
    return total, encoder


def decoder_config(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The text decoder's part of a ``config.json``, however deep; ``None`` where there is none."""
    for key in ("thinker_config", "text_config", "llm_config", "language_config"):
        part = config.get(key)
        if isinstance(part, Mapping):
            return decoder_config(part)
    needed = ("num_hidden_layers", "num_attention_heads", "hidden_size")
    return config if all(config.get(key) for key in needed) else None


def kv_values(config: Mapping[str, Any]) -> int | None:
    r"""Numbers that a token leaves in the key-value cache.

    .. math:: 2 \cdot \text{layers} \cdot \text{key-value heads} \cdot \text{size of a head}

    Example:
        >>> kv_values({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 128,
        ...            "num_key_value_heads": 2})  # 2 · 2 · 2 · 32
        256
    """
    found = decoder_config(config)
    if found is None:
        return None
    heads = int(found["num_attention_heads"])
    each = int(found.get("head_dim") or int(found["hidden_size"]) // heads)
    return (
        2 * int(found["num_hidden_layers"]) * int(found.get("num_key_value_heads") or heads) * each
    )


def named_parameters(name: str) -> int | None:
    """Parameters that a model's name says.

    Example:
        >>> named_parameters("Qwen/Qwen2-Audio-7B-Instruct"), named_parameters("voxemo-tiny")
        (7000000000, None)
    """
    found = _NAMED_SIZE.search(name)
    return None if found is None else int(float(found.group(1)) * 1e9)


def text_tokens(text: str) -> float:
    """Tokens of a text without its tokenizer: a token per 4 ASCII characters or 1 other one.

    Example:
        >>> text_tokens("Choose one of: 悲伤")  # 15 ASCII characters and 2 others
        5.75
    """
    plain = sum(character.isascii() for character in text)
    return plain / 4 + (len(text) - plain)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done, however it is done.

    Attributes:
        clips: Distinct clips.
        requests: Clip and prompt.
        replies: Requests times samples.
        audio_s: Of the distinct clips.
        encoder_clips: Encoder positions, each clip once.
        encoder_replies: The same, anew for each reply.
        audio_clips: Audio tokens, each clip once.
        audio_replies: The same, anew for each reply.
        text_requests: Text tokens, each request once.
        text_replies: The same, anew for each reply.
        generated: Tokens to generate, as expected.
        generated_limit: If every reply ran to its limit.
        longest: Tokens of the longest request with its limit.
    """

    clips: float = 0
    requests: float = 0
    replies: float = 0
    audio_s: float = 0
    encoder_clips: float = 0
    encoder_replies: float = 0
    audio_clips: float = 0
    audio_replies: float = 0
    text_requests: float = 0
    text_replies: float = 0
    generated: float = 0
    generated_limit: float = 0
    longest: float = 0

    def __add__(self, other: Self) -> Self:
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in type(self).__slots__
            if name != "longest"
        }
        return type(self)(**sums, longest=max(self.longest, other.longest))

    def to_json(self) -> Json:
        return {name: round(getattr(self, name), 3) for name in type(self).__slots__}


@dataclass(frozen=True, slots=True)
class Cost:
    """What the work costs one way.

    Attributes:
        prefill_tokens: Tokens read.
        encoder_positions: Positions of the audio encoder.
        flops: Operations of prefill and decode.
        prefill_s: Seconds of encoding and reading.
        decode_s: Seconds of generating, at the expected length.
        decode_limit_s: The same if every reply ran to its limit.
    """

    prefill_tokens: float
    encoder_positions: float
    flops: float
    prefill_s: float
    decode_s: float
    decode_limit_s: float

    @property
    def seconds(self) -> float:
        return self.prefill_s + self.decode_s

    @property
    def seconds_limit(self) -> float:
        return self.prefill_s + self.decode_limit_s

    def to_json(self) -> Json:
        return {name: getattr(self, name) for name in type(self).__slots__} | {
            "seconds": self.seconds,
            "seconds_if_every_reply_ran_to_its_limit": self.seconds_limit,
        }


def cost_of(
    work: Work,
    size: Size,
    device: Device,
    *,
    batch: int,
    bytes_a_value: int,
    shared: bool,
    efficiency: float = EFFICIENCY,
) -> Cost:
    r"""Time of a run by the terms above.

    .. math::
        t_\text{prefill} = \frac{2 (P\,n_\text{tokens} + P_e\,n_\text{positions})}{e F}, \quad
        t_\text{step} = \max\!\left(\frac{b (P + B\,c\,k)}{e M}, \frac{2PB}{e F}\right)

    F operations and M bytes a second, e the efficiency, b bytes a value, B the batch, k numbers a
    token in the cache, c tokens of the mean context. There are
    :math:`n_\text{generated} / B` steps.

    Args:
        work: What is to be done.
        size: The model.
        device: Where.
        batch: Replies decoded at once; fewer where there are fewer.
        bytes_a_value: 2 for 16 bit, 4 for 32 bit; of weights and cache alike.
        shared: Whether a clip's prefix is shared.
        efficiency: Share of the peak figures that is reached, in (0, 1].

    Raises:
        OptionError: For an efficiency outside (0, 1] or a batch below 1.
    """
    if not 0 < efficiency <= 1:
        raise OptionError(f"--efficiency {efficiency:g}: expected a share above 0, at most 1")
    if batch < 1:
        raise OptionError(f"batch {batch}: expected at least 1")
    if shared:
        tokens, positions = work.audio_clips + work.text_requests, work.encoder_clips
    else:
        tokens, positions = work.audio_replies + work.text_replies, work.encoder_replies
    speed = efficiency * device.tflops(bytes_a_value) * 1e12
    read = efficiency * device.bandwidth_gb_s * 1e9
    prefill = 2.0 * (size.decoder * tokens + size.encoder * positions)
    rows = min(batch, max(1.0, work.replies))
    each = max(1.0, work.replies)
    context = (work.audio_replies + work.text_replies + work.generated) / each
    cached = rows * context * (size.kv_values or 0)
    step = max(
        bytes_a_value * (size.decoder + cached) / read,
        2.0 * size.decoder * rows / speed,
    )
    return Cost(
        prefill_tokens=tokens,
        encoder_positions=positions,
        flops=prefill + 2.0 * size.decoder * work.generated,
        prefill_s=prefill / speed,
        decode_s=work.generated / rows * step,
        decode_limit_s=work.generated_limit / rows * step,
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the device.

    Attributes:
        weights: Of the weights.
        kv_a_token: Keys and values of a token; ``None`` where not known.
        kv: Of a batch of the longest requests.
        total: With working space.
        fits: Whether the device holds it.
        largest_batch: Replies of the longest kind that it holds at once; ``None`` where not known.
    """

    weights: float
    kv_a_token: float | None
    kv: float | None
    total: float
    fits: bool
    largest_batch: int | None

    def to_json(self) -> Json:
        return {name: getattr(self, name) for name in type(self).__slots__}


def memory_of(work: Work, size: Size, device: Device, *, batch: int, bytes_a_value: int) -> Memory:
    r"""Memory of a run: :math:`(1 + w)\,(\text{weights} + B\,c_\text{longest}\,k\,b)`.

    w is :data:`WORKING_SPACE`; the other letters are those of :func:`cost_of`.
    """
    weights = float(size.parameters * bytes_a_value)
    room = device.memory_gb * 1e9 / (1 + WORKING_SPACE) - weights
    if size.kv_values is None:
        total = (1 + WORKING_SPACE) * weights
        return Memory(weights, None, None, total, room >= 0, None)
    a_token = float(size.kv_values * bytes_a_value)
    of_reply = a_token * work.longest
    kv = batch * of_reply
    return Memory(
        weights=weights,
        kv_a_token=a_token,
        kv=kv,
        total=(1 + WORKING_SPACE) * (weights + kv),
        fits=kv <= room,
        largest_batch=max(0, int(room // of_reply)) if of_reply else None,
    )
