"""Toy checkpoints of Qwen2.5-Omni and Qwen3-Omni: the thinker alone, and the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import shims
from checkpoints import END, SPREAD, TURN, TURN_END, Size, chatml, save, tokenizer, whisper_features

SPECIALS = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
SPECIALS_3 = {
    "image_token": "<|image_pad|>",
    "audio_token": "<|audio_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
}


def _tokenizer(names: dict[str, str]) -> Any:
    return tokenizer([END, TURN, TURN_END, *names.values()], names=names)


def _audio(window: int, width: int) -> dict[str, Any]:
    return {
        "d_model": 32,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "n_window": window,
        "output_dim": width,
        "initializer_range": SPREAD,
    }


def _text(tok: Any, heads: int, head: int) -> dict[str, Any]:
    # vLLM's attention on a CPU knows heads of 32 and more.
    return {
        "vocab_size": len(tok),
        "hidden_size": heads * head,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32_768,
        "bos_token_id": tok.pad_token_id,
        "eos_token_id": tok.eos_token_id,
        "pad_token_id": tok.pad_token_id,
        "initializer_range": SPREAD,
        "tie_word_embeddings": False,
    }


def _ids(tok: Any, suffix: str, names: dict[str, str]) -> dict[str, int]:
    return {
        f"{kind}_token_{suffix}": tok.convert_tokens_to_ids(names[f"{kind}_token"])
        for kind in ("audio", "image", "video")
    } | {"audio_start_token_id": tok.convert_tokens_to_ids(names["audio_bos_token"])}


def qwen25_omni(folder: Path, seed: int, size: Size, whole: bool = False) -> None:
    """Qwen2.5-Omni; ``whole`` saves the checkpoint as the hub has it, talker and vocoder included."""
    shims.torchvision()
    from transformers import (
        Qwen2_5OmniConfig,
        Qwen2_5OmniForConditionalGeneration,
        Qwen2_5OmniProcessor,
        Qwen2_5OmniThinkerConfig,
        Qwen2_5OmniThinkerForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tok = _tokenizer(SPECIALS)
    processor = Qwen2_5OmniProcessor(
        image_processor=Qwen2VLImageProcessor(),
        video_processor=Qwen2VLVideoProcessor(),
        feature_extractor=whisper_features(300),
        tokenizer=tok,
        chat_template=chatml("<|audio_bos|><|AUDIO|><|audio_eos|>"),
    )
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [6, 5, 5]}
    thinker = Qwen2_5OmniThinkerConfig(
        audio_config=_audio(100, 128),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [1],
        },
        text_config=_text(tok, 4, 32) | {"rope_parameters": rope},
        **_ids(tok, "index", SPECIALS),
        audio_end_token_id=tok.convert_tokens_to_ids("<|audio_eos|>"),
        vision_start_token_id=tok.convert_tokens_to_ids("<|vision_bos|>"),
        vision_end_token_id=tok.convert_tokens_to_ids("<|vision_eos|>"),
        initializer_range=SPREAD,
    )
    if not whole:
        save(folder, Qwen2_5OmniThinkerForConditionalGeneration, thinker, processor, seed)
        return
    talker = {
        "vocab_size": 64,
        "embedding_size": 128,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "rope_parameters": rope,
        **_ids(tok, "index", SPECIALS),
    }
    vocoder = {
        "dit_config": {
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "head_dim": 16,
            "emb_dim": 16,
            "num_embeds": 33,
            "enc_emb_dim": 16,
            "enc_dim": 16,
            "enc_channels": [16, 16, 16, 16, 48],
            "enc_attention_channels": 8,
            "enc_res2net_scale": 2,
            "enc_se_channels": 8,
            "look_ahead_layers": [0],
            "look_backward_layers": [0],
        },
        "bigvgan_config": {"upsample_initial_channel": 64},
    }
    config = Qwen2_5OmniConfig(
        thinker_config=thinker.to_dict(), talker_config=talker, token2wav_config=vocoder
    )
    save(folder, Qwen2_5OmniForConditionalGeneration, config, processor, seed)


def qwen3_omni(folder: Path, seed: int, size: Size, whole: bool = False) -> None:
    """Qwen3-Omni (mixture of experts); ``whole`` saves talker and vocoder too."""
    shims.torchvision()
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
        Qwen3OmniMoeConfig,
        Qwen3OmniMoeForConditionalGeneration,
        Qwen3OmniMoeProcessor,
        Qwen3OmniMoeThinkerConfig,
        Qwen3OmniMoeThinkerForConditionalGeneration,
    )

    tok = _tokenizer(SPECIALS_3)
    processor = Qwen3OmniMoeProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16),
        video_processor=Qwen2VLVideoProcessor(patch_size=16),
        feature_extractor=whisper_features(300),
        tokenizer=tok,
        chat_template=chatml("<|audio_start|><|audio_pad|><|audio_end|>"),
    )
    rope = {
        "rope_type": "default",
        "rope_theta": 1e6,
        "mrope_section": [6, 5, 5],
        "mrope_interleaved": True,
        "interleaved": True,
    }
    experts = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "head_dim": 32,
        "rope_parameters": rope,
    }
    thinker = Qwen3OmniMoeThinkerConfig(
        audio_config=_audio(50, 64) | {"downsample_hidden_size": 16},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 64,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
            # vLLM reads these two; transformers keeps what it does not know.
            "image_size": 64,
            "apply_vit_abs_pos_embed": True,
        },
        text_config=_text(tok, 4, 16) | experts,
        **_ids(tok, "id", SPECIALS_3),
        vision_start_token_id=tok.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tok.convert_tokens_to_ids("<|vision_end|>"),
        initializer_range=SPREAD,
    )
    if not whole:
        save(folder, Qwen3OmniMoeThinkerForConditionalGeneration, thinker, processor, seed)
        return
    talker_text = (
        _text(tok, 4, 16) | experts | {"vocab_size": 64, "shared_expert_intermediate_size": 32}
    )
    codes = {
        "vocab_size": 32,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "num_code_groups": 4,
    }
    wave = {
        "codebook_size": 32,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_quantizers": 4,
        "decoder_dim": 32,
    }
    config = Qwen3OmniMoeConfig(
        thinker_config=thinker.to_dict(),
        talker_config={
            "code_predictor_config": codes,
            "text_config": talker_text,
            "thinker_hidden_size": 64,
            "num_code_groups": 4,
            "accept_hidden_layer": 1,
            "spatial_merge_size": 2,
            **_ids(tok, "id", SPECIALS_3),
        },
        code2wav_config=wave,
    )
    save(folder, Qwen3OmniMoeForConditionalGeneration, config, processor, seed)
