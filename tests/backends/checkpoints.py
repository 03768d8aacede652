"""Checkpoints with random weights for tests: real classes, toy sizes, nothing downloaded.

``build("qwen2_audio", folder)`` writes a folder that ``AutoConfig``, ``AutoProcessor`` and the model
class load, and that vLLM loads where it knows the family. Configuration, model, feature extractor
and processor are those of ``transformers``; the byte-level BPE is trained on a few lines of
:data:`TEXTS`. The same seed gives the same bytes of weights.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import shims
import torch

with contextlib.suppress(ImportError):  # where it is installed, transformers imports it everywhere
    shims.torchvision()

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, WhisperFeatureExtractor

Size = Literal["tiny", "medium", "full"]

EMOTIONS = ("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised", "calm")
TEXTS = [
    "system\nYou are a helpful assistant.",
    "user\nAudio 1: ",
    "assistant\n",
    "What emotion does the speaker express? Choose one of: angry, happy, neutral, sad.",
    "Which of these words fits the voice best? Answer with one word.",
    "Listen to the recording. How does the speaker feel, and why?",
    *(f"The speaker sounds {label}." for label in EMOTIONS),
    *EMOTIONS,
]

END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

SPREAD = 0.15
"""Standard deviation of the weights: at the usual 0.02 a toy model says one thing to every clip."""


# --- tokenizers -----------------------------------------------------------------------------


def tokenizer(
    specials: Sequence[str],
    *,
    pad: str = END,
    eos: str = TURN_END,
    bos: str | None = None,
    vocabulary: int | None = None,
    first_special: int | None = None,
    names: dict[str, str] | None = None,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE of about 430 ids, trained on :data:`TEXTS`.

    Args:
        specials: Special tokens, in the order of their ids.
        pad, eos, bos: Which of them have these parts.
        vocabulary: Fill up with unused entries to so many ids, so that any id of a full-sized model
            can be decoded.
        first_special: Id of the first special token, where ``vocabulary`` is given.
        names: Further named tokens of the tokenizer (``audio_token`` and such).
    """
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=[] if vocabulary else list(specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(TEXTS * 20, trainer)
    if vocabulary:
        trained = json.loads(inner.to_str())["model"]
        vocab = dict(trained["vocab"])
        at = vocabulary - len(specials) if first_special is None else first_special
        vocab |= {f"<unused{i}>": i for i in range(len(vocab), at)}
        vocab |= {token: at + i for i, token in enumerate(specials)}
        vocab |= {f"<unused{i}>": i for i in range(at + len(specials), vocabulary)}
        merges = [tuple(pair) for pair in trained["merges"]]
        splitter = inner.pre_tokenizer
        inner = Tokenizer(models.BPE(vocab=vocab, merges=merges))
        inner.pre_tokenizer = splitter
        inner.add_special_tokens(list(specials))
    inner.normalizer = normalizers.NFC()
    inner.decoder = decoders.ByteLevel()
    rest = [t for t in specials if t not in (pad, eos, bos)]
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=pad,
        eos_token=eos,
        bos_token=bos,
        additional_special_tokens=rest,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
        **(names or {}),
    )


def whisper_features(window_s: int = 30, mels: int = 128) -> WhisperFeatureExtractor:
    """Whisper's log-mel extractor; every clip is padded to ``window_s`` seconds."""
    return WhisperFeatureExtractor(
        feature_size=mels,
        sampling_rate=16_000,
        chunk_length=window_s,
        return_attention_mask=True,
        padding_side="right",
    )


# --- sizes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """Widths of the two halves of a model."""

    audio: dict[str, int]
    text: dict[str, int]
    vocabulary: int | None = None
    first_special: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


WHISPER_QWEN2: dict[Size, Sizes] = {
    "tiny": Sizes(
        {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64},
        {
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
    ),
    "medium": Sizes(  # 72 M
        {
            "d_model": 512,
            "encoder_layers": 8,
            "encoder_attention_heads": 8,
            "encoder_ffn_dim": 2048,
        },
        {
            "hidden_size": 768,
            "intermediate_size": 2048,
            "num_hidden_layers": 7,
            "num_attention_heads": 12,
            "num_key_value_heads": 4,
        },
    ),
    # Qwen/Qwen2-Audio-7B-Instruct: its config.json and the ids of its special tokens.
    "full": Sizes(
        {
            "d_model": 1280,
            "encoder_layers": 32,
            "encoder_attention_heads": 20,
            "encoder_ffn_dim": 5120,
        },
        {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
        },
        vocabulary=156_032,
        first_special=151_643,
    ),
}


# --- families -------------------------------------------------------------------------------


def qwen2_audio(folder: Path, seed: int, size: Size, window_s: int = 30) -> None:
    """Qwen2-Audio; ``window_s`` other than 30 is for transformers only (vLLM takes 3000 frames)."""
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
    )

    sizes = WHISPER_QWEN2[size]
    specials = [END, TURN, TURN_END, "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    tok = tokenizer(specials, vocabulary=sizes.vocabulary, first_special=sizes.first_special)
    processor = Qwen2AudioProcessor(feature_extractor=whisper_features(window_s), tokenizer=tok)
    config = Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": 128,
            "max_source_positions": window_s * 50,
            "initializer_range": SPREAD,
            **sizes.audio,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tok),
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "bos_token_id": tok.pad_token_id,
            "eos_token_id": tok.eos_token_id,
            "pad_token_id": tok.pad_token_id,
            "tie_word_embeddings": False,
            "initializer_range": SPREAD,
            **sizes.text,
        },
        audio_token_index=tok.convert_tokens_to_ids("<|AUDIO|>"),
        tie_word_embeddings=False,
    )
    save(
        folder, Qwen2AudioForConditionalGeneration, config, processor, seed, weights=size != "full"
    )


def audio_flamingo3(folder: Path, seed: int, size: Size) -> None:
    """Audio Flamingo 3 (transformers 5 and later)."""
    from transformers import (
        AudioFlamingo3Config,
        AudioFlamingo3ForConditionalGeneration,
        AudioFlamingo3Processor,
    )

    tok = tokenizer([END, TURN, TURN_END, "<sound>"])
    processor = AudioFlamingo3Processor(
        feature_extractor=whisper_features(), tokenizer=tok, chat_template=chatml("<sound>")
    )
    config = AudioFlamingo3Config(
        **_flamingo(tok), audio_token_id=tok.convert_tokens_to_ids("<sound>")
    )
    save(folder, AudioFlamingo3ForConditionalGeneration, config, processor, seed)


def _flamingo(tok: PreTrainedTokenizerFast) -> dict[str, dict[str, Any]]:
    sizes = WHISPER_QWEN2["tiny"]
    audio = sizes.audio
    return {
        "audio_config": {
            "model_type": "audioflamingo3_encoder",
            "num_mel_bins": 128,
            "hidden_size": audio["d_model"],
            "num_hidden_layers": audio["encoder_layers"],
            "num_attention_heads": audio["encoder_attention_heads"],
            "intermediate_size": audio["encoder_ffn_dim"],
            "max_source_positions": 1500,
            "initializer_range": SPREAD,
        },
        "text_config": {
            "model_type": "qwen2",
            "vocab_size": len(tok),
            "max_position_embeddings": 32_768,
            "bos_token_id": tok.pad_token_id,
            "eos_token_id": tok.eos_token_id,
            "pad_token_id": tok.pad_token_id,
            "initializer_range": SPREAD,
            **sizes.text,
        },
    }


def music_flamingo(folder: Path, seed: int, size: Size) -> None:
    """Music Flamingo: Audio Flamingo 3 with marked audio and rotary time."""
    from transformers import (
        MusicFlamingoConfig,
        MusicFlamingoForConditionalGeneration,
        MusicFlamingoProcessor,
    )

    marks = ["<sound>", "<|sound_bos|>", "<|sound_eos|>"]
    tok = tokenizer([END, TURN, TURN_END, *marks])
    processor = MusicFlamingoProcessor(
        feature_extractor=whisper_features(), tokenizer=tok, chat_template=chatml("<sound>")
    )
    ids = dict(
        zip(("audio", "audio_bos", "audio_eos"), tok.convert_tokens_to_ids(marks), strict=True)
    )
    config = MusicFlamingoConfig(
        **_flamingo(tok), **{f"{name}_token_id": number for name, number in ids.items()}
    )
    save(folder, MusicFlamingoForConditionalGeneration, config, processor, seed)


def chatml(audio: str) -> str:
    """A chat template of Qwen's form; ``audio`` is what stands for a clip."""
    return (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}"
        "{% else %}{% for part in message['content'] %}"
        "{% if part['type'] == 'audio' %}" + audio + "{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


# --- saving ---------------------------------------------------------------------------------


def random_model(model_class: Any, config: Any, seed: int) -> Any:
    """The model with seeded weights, in float32, the caller's random state untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config).float().eval()


def save(
    folder: Path, model_class: Any, config: Any, processor: Any, seed: int, *, weights: bool = True
) -> None:
    """Write config, processor and (with ``weights``) a random model."""
    folder.mkdir(parents=True, exist_ok=True)
    tok = processor.tokenizer
    if weights:
        model = random_model(model_class, config, seed)
        model.generation_config = GenerationConfig(
            eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id
        )
        if config.get_text_config().hidden_size > 256:
            model = model.to(torch.bfloat16)  # half the bytes, half the time
        model.save_pretrained(folder)
    else:
        config.architectures = [model_class.__name__]
        config.dtype = "bfloat16"
        config.save_pretrained(folder)
    processor.save_pretrained(folder)
    extractor = getattr(processor, "feature_extractor", None) or processor.audio_processor
    extractor.save_pretrained(folder)  # preprocessor_config.json, for version 4
    plain_names(folder)


def plain_names(folder: Path) -> None:
    """Two names in tokenizer_config.json that versions 4 and 5 of transformers both read."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast"):
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        if isinstance(settings.get("extra_special_tokens"), list):
            settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
        path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


# --- the door -------------------------------------------------------------------------------

BUILDERS: dict[str, str] = {
    "qwen2_audio": "checkpoints",
    "audio_flamingo3": "checkpoints",
    "music_flamingo": "checkpoints",
    "qwen25_omni": "checkpoints_omni",
    "qwen3_omni": "checkpoints_omni",
    "phi4_multimodal": "checkpoints_more",
    "granite_speech": "checkpoints_more",
    "gemma3n": "checkpoints_more",
    "voxtral": "checkpoints_more",
}
"""Family → the module of this folder that has a builder of that name."""


def build(name: str, folder: Path, *, seed: int = 0, size: Size = "tiny", **options: Any) -> Path:
    """Write a checkpoint of a family.

    Args:
        name: A key of :data:`BUILDERS`.
        folder: Made if it is not there.
        seed: Of the weights.
        size: ``tiny`` (about 0.3 M parameters); for Qwen2-Audio also ``medium`` (72 M, saved in
            bfloat16) and ``full`` (the configuration of the 7 B model, a tokenizer of as many ids,
            and **no weights**: vLLM fills them with ``load_format="dummy"``, transformers with
            ``from_config``).
        options: Of the family's builder: ``window_s`` of ``qwen2_audio``, ``whole`` of the Omni
            models (talker and vocoder too, as on the hub).

    Returns:
        The folder.

    Raises:
        ImportError: Where a library that the family needs is not installed, named in the message.
        ValueError: For an unknown family or size.
    """
    if name not in BUILDERS:
        raise ValueError(f"no checkpoint called {name!r}; there are {', '.join(BUILDERS)}")
    if size != "tiny" and name != "qwen2_audio":
        raise ValueError(f"{name} is built at size 'tiny' only, not {size!r}")
    builder = getattr(importlib.import_module(BUILDERS[name]), name)
    builder(folder, seed, size, **options)
    return folder
