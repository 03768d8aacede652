"""A Voxtral of transformers in Mistral's own format: ``params.json`` and ``consolidated.safetensors``.

The hub's repositories hold both forms; vLLM reads this one. The names are those that vLLM 0.32 and
the converter of transformers read.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WHISPER = "mm_whisper_embeddings.whisper_encoder"
LAYER = r"language_model\.model\.layers\.(\d+)\."
SOUND = r"audio_tower\.layers\.(\d+)\."

NAMES = [
    (r"language_model\.model\.embed_tokens\.", "mm_whisper_embeddings.tok_embeddings."),
    (r"language_model\.model\.norm\.", "norm."),
    (r"language_model\.lm_head\.", "output."),
    (LAYER + r"self_attn\.([qkvo])_proj\.", r"layers.\1.attention.w\2."),
    (LAYER + r"input_layernorm\.", r"layers.\1.attention_norm."),
    (LAYER + r"post_attention_layernorm\.", r"layers.\1.ffn_norm."),
    (LAYER + r"mlp\.gate_proj\.", r"layers.\1.feed_forward.w1."),
    (LAYER + r"mlp\.down_proj\.", r"layers.\1.feed_forward.w2."),
    (LAYER + r"mlp\.up_proj\.", r"layers.\1.feed_forward.w3."),
    (r"multi_modal_projector\.linear_1\.", "mm_whisper_embeddings.audio_language_projection.0."),
    (r"multi_modal_projector\.linear_2\.", "mm_whisper_embeddings.audio_language_projection.2."),
    (r"audio_tower\.conv1\.", f"{WHISPER}.conv_layers.0."),
    (r"audio_tower\.conv2\.", f"{WHISPER}.conv_layers.1."),
    (r"audio_tower\.layer_norm\.", f"{WHISPER}.transformer.norm."),
    (SOUND + r"self_attn\.([qkv])_proj\.", rf"{WHISPER}.transformer.layers.\1.attention.w\2."),
    (SOUND + r"self_attn\.out_proj\.", rf"{WHISPER}.transformer.layers.\1.attention.wo."),
    (SOUND + r"self_attn_layer_norm\.", rf"{WHISPER}.transformer.layers.\1.attention_norm."),
    (SOUND + r"fc1\.", rf"{WHISPER}.transformer.layers.\1.feed_forward.w1."),
    (SOUND + r"fc2\.", rf"{WHISPER}.transformer.layers.\1.feed_forward.w2."),
    (SOUND + r"final_layer_norm\.", rf"{WHISPER}.transformer.layers.\1.ffn_norm."),
]


def write(folder: Path, model: Any) -> None:
    """Write ``params.json`` and ``consolidated.safetensors`` beside what transformers saved."""
    text, sound = model.config.text_config, model.config.audio_config
    heads = {"q_proj": text.num_attention_heads, "k_proj": text.num_key_value_heads}
    weights = {}
    for name, value in model.state_dict().items():
        plain = name.removeprefix("model.")  # newer versions put all but the head under it
        plain = re.sub(r"^language_model\.(?!model\.|lm_head)", "language_model.model.", plain)
        plain = re.sub(r"^lm_head\.", "language_model.lm_head.", plain)
        if plain == "audio_tower.embed_positions.weight":
            continue  # sinusoids, which both make themselves
        head = next((n for part, n in heads.items() if part in plain), None)
        if head is not None and plain.startswith("language_model"):
            value = interleaved(value, head)
        for pattern, new in NAMES:
            renamed, found = re.subn(f"^{pattern}", new, plain)
            if found:
                weights[renamed] = value.contiguous().clone()
                break
        else:
            raise KeyError(f"{name} has no name in Mistral's format")
    save_file(weights, folder / "consolidated.safetensors", {"format": "pt"})
    encoder = {
        "audio_encoding_args": {
            "sampling_rate": 16_000,
            "num_mel_bins": sound.num_mel_bins,
            "hop_length": 160,
            "window_size": 400,
        },
        "dim": sound.hidden_size,
        "n_layers": sound.num_hidden_layers,
        "head_dim": sound.hidden_size // sound.num_attention_heads,
        "hidden_dim": sound.intermediate_size,
        "n_heads": sound.num_attention_heads,
        "vocab_size": sound.vocab_size,
        "max_source_positions": sound.max_source_positions,
    }
    params = {
        "dim": text.hidden_size,
        "n_layers": text.num_hidden_layers,
        "head_dim": text.head_dim,
        "hidden_dim": text.intermediate_size,
        "n_heads": text.num_attention_heads,
        "n_kv_heads": text.num_key_value_heads,
        "rope_theta": text.rope_parameters["rope_theta"],
        "norm_eps": text.rms_norm_eps,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.max_position_embeddings,
        "tied_embeddings": False,
        "multimodal": {
            "whisper_model_args": {
                "encoder_args": encoder,
                "downsample_args": {"downsample_factor": 4},
            }
        },
    }
    (folder / "params.json").write_text(json.dumps(params, indent=2), encoding="utf-8")


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in Mistral's order: the two of each rotation side by side."""
    out, into = weight.shape
    return weight.view(heads, 2, out // heads // 2, into).transpose(1, 2).reshape(out, into)
