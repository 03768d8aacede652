"""The tiny speech LLM: real Qwen2-Audio classes, toy sizes.

Nothing here is a stand-in: configuration, model, feature extractor and processor are those of
``transformers``, so that whatever loads Qwen2-Audio loads this too. Only the sizes are small, and
the byte-level BPE is trained on the questions of ``texts.py``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from speech import SAMPLING_RATE_HZ, Audio
from texts import (
    EMOTIONS,
    compose_question,
    draw_menu,
    fill,
)
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
AUDIO_START, AUDIO_SLOT, AUDIO_END = "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END, AUDIO_START, AUDIO_SLOT, AUDIO_END)

FRAMES_PER_S, MEL_BINS = 100, 128
SHIPPED_WINDOW_S = 30
"""What Qwen2-Audio has, and what vLLM takes for granted (3000 frames)."""

_WORD_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def training_questions(seed: int, count: int) -> list[str]:
    """Wordings as training meets them, menus filled in."""
    rng = random.Random(f"questions/{seed}")
    return [fill(compose_question(rng), draw_menu(rng, [])) for _ in range(count)]


def build_tokenizer(vocabulary_size: int = 448, seed: int = 0) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE with Qwen2-Audio's special tokens and word pattern.

    Args:
        vocabulary_size: All ids: 256 bytes, the special tokens, the merges.
        seed: Fixes the sample of questions that it is trained on.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    chat = ["system\nYou are a helpful assistant.", "user\nAudio 1: ", "assistant\n"]
    answers = [label for label in EMOTIONS for _ in range(300)]
    tokenizer.train_from_iterator(training_questions(seed, 2000) + chat * 200 + answers, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=END_OF_TEXT,
        eos_token=TURN_END,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in (END_OF_TEXT, TURN_END)],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],  # version 4 adds token types otherwise
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def feature_extractor(window_s: int) -> WhisperFeatureExtractor:
    """Whisper's log-mel extractor, padding every clip to ``window_s`` seconds."""
    return WhisperFeatureExtractor(
        feature_size=MEL_BINS,
        sampling_rate=SAMPLING_RATE_HZ,
        chunk_length=window_s,
        return_attention_mask=True,
        padding_side="right",
    )


def build_processor(tokenizer: PreTrainedTokenizerFast, window_s: int) -> Qwen2AudioProcessor:
    """Qwen2-Audio's processor with its own chat template."""
    return Qwen2AudioProcessor(
        feature_extractor=feature_extractor(window_s),
        tokenizer=tokenizer,
    )


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Whisper's fixed position table, shape ``(length, width)``; a row does not depend on length.

    That is what makes a longer window an exact extension of a shorter one.
    """
    step = torch.log(torch.tensor(10000.0, dtype=torch.float64)) / (width // 2 - 1)
    rates = torch.exp(-step * torch.arange(width // 2, dtype=torch.float64))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def configuration(tokenizer: PreTrainedTokenizerFast, window_s: int) -> Qwen2AudioConfig:
    """Qwen2-Audio's configuration at width 128 with two layers on either side."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    return Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": MEL_BINS,
            "d_model": 128,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 512,
            "max_source_positions": window_s * FRAMES_PER_S // 2,
            "dropout": 0.1,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "bos_token_id": ids[END_OF_TEXT],
            "eos_token_id": ids[TURN_END],
            "pad_token_id": ids[END_OF_TEXT],
            "tie_word_embeddings": False,
        },
        audio_token_index=ids[AUDIO_SLOT],
        bos_token_id=ids[END_OF_TEXT],
        eos_token_id=ids[TURN_END],
        pad_token_id=ids[END_OF_TEXT],
        tie_word_embeddings=False,
    )


def build_model(
    tokenizer: PreTrainedTokenizerFast, window_s: int, seed: int
) -> Qwen2AudioForConditionalGeneration:
    """Random weights, sinusoidal encoder positions."""
    torch.manual_seed(seed)
    model = Qwen2AudioForConditionalGeneration(configuration(tokenizer, window_s)).float()
    positions = model.model.audio_tower.embed_positions.weight
    with torch.no_grad():
        positions.copy_(sinusoids(*positions.shape))
    model.generation_config = GenerationConfig(
        bos_token_id=model.config.text_config.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids([TURN_END, END_OF_TEXT]),
        pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
    )
    return model


def with_window(
    model: Qwen2AudioForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, window_s: int
) -> Qwen2AudioForConditionalGeneration:
    """The same model with encoder positions for another window; all other weights are equal."""
    other = build_model(tokenizer, window_s, seed=0)
    weights = {
        name: value
        for name, value in model.state_dict().items()
        if not name.endswith("embed_positions.weight")
    }
    missing = other.load_state_dict(weights, strict=False)
    if missing.unexpected_keys or len(missing.missing_keys) != 1:
        raise ValueError(f"only the position table may differ between two windows, got {missing}")
    return other.eval()


def save(
    model: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor, folder: Path
) -> None:
    """Write a folder that ``from_pretrained`` reads, weights in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.tokenizer.backend_tokenizer.no_padding()  # a trace of use, not a setting
    processor.save_pretrained(folder)
    processor.feature_extractor.save_pretrained(folder)  # preprocessor_config.json, for version 4
    # Versions 4 and 5 of transformers differ in two names; these are read by both.
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for written in folder.iterdir():
        written.chmod(0o644)


def prompt_text(
    processor: Qwen2AudioProcessor, question: str, system_prompt: str | None = None
) -> str:
    """One chat turn, audio before the question, up to where the answer starts."""
    messages: list[dict[str, object]] = []
    if system_prompt is not None:
        messages.append({"role": "system", "content": system_prompt})
    content = [{"type": "audio", "audio": "clip"}, {"type": "text", "text": question}]
    messages.append({"role": "user", "content": content})
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return str(text)


@torch.inference_mode()
def answers(
    model: Qwen2AudioForConditionalGeneration,
    processor: Qwen2AudioProcessor,
    clips: Sequence[Audio],
    questions: str | Iterable[str],
    batch_size: int = 16,
) -> list[str]:
    """Ask one question about each clip, greedily, and return the replies as text.

    Args:
        model: A model with the window of ``processor``.
        processor: Its tokenizer pads on the left.
        clips: Audio at 16 kHz.
        questions: One for all clips, or one for each.
        batch_size: Clips decoded together.
    """
    asked = [questions] * len(clips) if isinstance(questions, str) else list(questions)
    replies: list[str] = []
    for start in range(0, len(clips), batch_size):
        stop = min(start + batch_size, len(clips))
        inputs = processor(
            text=[prompt_text(processor, q) for q in asked[start:stop]],
            audio=list(clips[start:stop]),
            sampling_rate=SAMPLING_RATE_HZ,
            return_tensors="pt",
            padding=True,
        )
        inputs["input_features"] = inputs["input_features"].to(model.dtype)
        ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)
        new = ids[:, inputs["input_ids"].shape[1] :]
        replies += processor.batch_decode(new, skip_special_tokens=True)
    return [reply.strip() for reply in replies]
