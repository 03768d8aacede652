"""Toy checkpoints of the families that need a further library: Phi-4, Granite, Gemma 3n, Voxtral."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import checkpoints_mistral
import shims
from checkpoints import (
    END,
    SPREAD,
    Size,
    random_model,
    save,
    tokenizer,
    whisper_features,
)


def phi4_multimodal(folder: Path, seed: int, size: Size, adapter: bool = True) -> None:
    """Phi-4-multimodal; ``adapter`` adds a speech LoRA in ``speech-lora``, as on the hub."""
    shims.torchvision()
    from transformers import (
        Phi4MultimodalConfig,
        Phi4MultimodalFeatureExtractor,
        Phi4MultimodalForCausalLM,
        Phi4MultimodalImageProcessor,
        Phi4MultimodalProcessor,
    )

    chat = ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
    media = {"image_token": "<|image|>", "audio_token": "<|audio|>"}
    tok = tokenizer([END, *chat, *media.values()], eos="<|end|>", names=media)
    processor = Phi4MultimodalProcessor(
        image_processor=Phi4MultimodalImageProcessor(),
        audio_processor=Phi4MultimodalFeatureExtractor(),
        tokenizer=tok,
    )
    config = Phi4MultimodalConfig(
        vocab_size=len(tok),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
        bos_token_id=tok.pad_token_id,
        eos_token_id=[tok.pad_token_id, tok.eos_token_id],
        pad_token_id=tok.pad_token_id,
        initializer_range=SPREAD,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_token_id": tok.convert_tokens_to_ids("<|image|>"),
        },
        audio_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_blocks": 2,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 32,
            "depthwise_separable_out_channel": 32,
            "nemo_conv_channels": 32,
            "audio_token_id": tok.convert_tokens_to_ids("<|audio|>"),
            "initializer_range": SPREAD,
        },
    )
    save(folder, Phi4MultimodalForCausalLM, config, processor, seed)
    if adapter:
        speech_lora(folder / "speech-lora", Phi4MultimodalForCausalLM, config, seed + 1)


PHI4_MODULES = r".*model\.layers\.\d+\..*(qkv|o)_proj"


def speech_lora(
    folder: Path, model_class: Any, config: Any, seed: int, modules: str = PHI4_MODULES
) -> None:
    """A LoRA adapter with random weights on both sides, so that it changes what the model says."""
    shims.package("peft", "peft")
    import torch
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=4, lora_alpha=8, target_modules=modules)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = get_peft_model(model_class(config).float(), lora)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.5)
    model.save_pretrained(folder)


def granite_speech(folder: Path, seed: int, size: Size) -> None:
    """Granite Speech, its LoRA left out."""
    shims.torchaudio()
    from transformers import (
        GraniteSpeechConfig,
        GraniteSpeechFeatureExtractor,
        GraniteSpeechForConditionalGeneration,
        GraniteSpeechProcessor,
    )

    roles = ["<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"]
    tok = tokenizer(
        [*roles, "<|audio|>"],
        pad="<|end_of_text|>",
        eos="<|end_of_text|>",
        names={"audio_token": "<|audio|>"},
    )
    template = (
        "{% for message in messages %}<|start_of_role|>{{ message['role'] }}<|end_of_role|>"
        "{% if message['content'] is string %}{{ message['content'] }}"
        "{% else %}{% for part in message['content'] %}"
        "{% if part['type'] == 'audio' %}<|audio|>{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endif %}<|end_of_text|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
    )
    processor = GraniteSpeechProcessor(
        audio_processor=GraniteSpeechFeatureExtractor(), tokenizer=tok, chat_template=template
    )
    config = GraniteSpeechConfig(
        text_config={
            "model_type": "granite",
            "vocab_size": len(tok),
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "bos_token_id": tok.eos_token_id,
            "eos_token_id": tok.eos_token_id,
            "pad_token_id": tok.pad_token_id,
            "initializer_range": SPREAD,
        },
        encoder_config={
            "num_layers": 2,
            "hidden_dim": 32,
            "num_heads": 4,
            "dim_head": 8,
            "output_dim": 16,
            "feedforward_mult": 2,
        },
        projector_config={
            "model_type": "blip_2_qformer",
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "encoder_hidden_size": 32,
            "cross_attention_frequency": 1,
            "initializer_range": SPREAD,
        },
        audio_token_index=tok.convert_tokens_to_ids("<|audio|>"),
        initializer_range=SPREAD,
        has_lora_adapter=False,
    )
    save(folder, GraniteSpeechForConditionalGeneration, config, processor, seed)


def gemma3n(folder: Path, seed: int, size: Size) -> None:
    """Gemma 3n; the vision tower is the smallest that timm has."""
    shims.torchvision()
    shims.package("timm", "timm")
    from transformers import (
        Gemma3nAudioFeatureExtractor,
        Gemma3nConfig,
        Gemma3nForConditionalGeneration,
        Gemma3nProcessor,
        SiglipImageProcessor,
    )

    media = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "audio_token": "<audio_soft_token>",
        "boa_token": "<start_of_audio>",
        "eoa_token": "<end_of_audio>",
    }
    turns = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
    tok = tokenizer([*turns, *media.values()], pad="<pad>", eos="<eos>", bos="<bos>", names=media)
    template = (
        "<bos>{% for message in messages %}"
        "<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}"
        "{% else %}{% for part in message['content'] %}{% if part['type'] == 'audio' %}"
        "<audio_soft_token>{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endif %}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    )
    processor = Gemma3nProcessor(
        feature_extractor=Gemma3nAudioFeatureExtractor(),
        image_processor=SiglipImageProcessor(size={"height": 64, "width": 64}),
        tokenizer=tok,
        chat_template=template,
    )
    text_ids = len(tok)
    config = Gemma3nConfig(
        text_config={
            "vocab_size": text_ids + 16,  # those of both towers lie behind the text's
            "vocab_size_per_layer_input": text_ids,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 12,
            "max_position_embeddings": 8192,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "hidden_size_per_layer_input": 8,
            "num_kv_shared_layers": 0,
            "laurel_rank": 4,
            "activation_sparsity_pattern": [0.0] * 4,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "bos_token_id": 2,
            "initializer_range": SPREAD,
        },
        vision_config={
            "architecture": "mobilenetv3_small_050",
            "hidden_size": 288,
            "vocab_size": 8,
            "vocab_offset": text_ids,
        },
        audio_config={
            "vocab_size": 8,
            "vocab_offset": text_ids + 8,
            "hidden_size": 32,
            "conf_num_attention_heads": 4,
            "conf_num_hidden_layers": 2,
            "sscp_conv_channel_size": [8, 4],
            "initializer_range": SPREAD,
        },
        image_token_id=tok.convert_tokens_to_ids(media["image_token"]),
        boi_token_id=tok.convert_tokens_to_ids(media["boi_token"]),
        eoi_token_id=tok.convert_tokens_to_ids(media["eoi_token"]),
        audio_token_id=tok.convert_tokens_to_ids(media["audio_token"]),
        boa_token_id=tok.convert_tokens_to_ids(media["boa_token"]),
        eoa_token_id=tok.convert_tokens_to_ids(media["eoa_token"]),
        initializer_range=SPREAD,
    )
    save(folder, Gemma3nForConditionalGeneration, config, processor, seed)


TEKKEN_SPECIALS = [
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]"),
    *("[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    *("[TOOL_CONTENT]", "<SPECIAL_20>", "<SPECIAL_21>", "<SPECIAL_22>", "<SPECIAL_23>"),
    *("[AUDIO]", "[BEGIN_AUDIO]", *(f"<SPECIAL_{i}>" for i in range(26, 34)), "[TRANSCRIBE]"),
]


def voxtral(folder: Path, seed: int, size: Size, mistral: bool = False) -> None:
    """Voxtral, with a tekken.json of bytes and special tokens only.

    ``mistral`` writes the weights a second time in Mistral's own format, as on the hub: the one that
    vLLM takes. It makes the model wider too, since vLLM's attention on a CPU knows heads of 32 and
    more.
    """
    with contextlib.suppress(ImportError):  # some versions read mistral-common through it
        shims.torchvision()
    for module, name in (("mistral_common", "mistral-common[audio]"), ("tiktoken", "tiktoken")):
        shims.package(module, name)
    from transformers import (
        GenerationConfig,
        MistralCommonBackend,
        VoxtralConfig,
        VoxtralForConditionalGeneration,
        VoxtralProcessor,
    )
    from transformers.models.whisper.modeling_whisper import sinusoids

    folder.mkdir(parents=True, exist_ok=True)
    specials = TEKKEN_SPECIALS + [f"<SPECIAL_{i}>" for i in range(len(TEKKEN_SPECIALS), 40)]
    words = [bytes([i]) for i in range(256)]
    vocabulary = len(specials) + len(words)
    tekken = {
        "config": {
            "pattern": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+",
            "num_vocab_tokens": len(words),
            "default_vocab_size": vocabulary,
            "default_num_special_tokens": len(specials),
            "version": "v7",
        },
        "vocab": [
            {"rank": i, "token_bytes": base64.b64encode(word).decode(), "token_str": None}
            for i, word in enumerate(words)
        ],
        "special_tokens": [
            {"rank": i, "token_str": token, "is_control": True} for i, token in enumerate(specials)
        ],
        "audio": {
            "sampling_rate": 16_000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "chunk_length_s": 30.0,
        },
    }
    (folder / "tekken.json").write_text(json.dumps(tekken), encoding="utf-8")
    tok = MistralCommonBackend(tokenizer_path=str(folder / "tekken.json"))
    processor = VoxtralProcessor(whisper_features(), tok)
    config = VoxtralConfig(
        audio_config={
            "hidden_size": 128 if mistral else 32,
            # four encoder frames are stacked for one token
            "intermediate_size": 512 if mistral else 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "initializer_range": SPREAD,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": vocabulary,
            "hidden_size": 128 if mistral else 48,
            "head_dim": 32 if mistral else 12,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 11,
            "initializer_range": SPREAD,
        },
        audio_token_id=24,
    )
    model = random_model(VoxtralForConditionalGeneration, config, seed)
    places = next(p for name, p in model.named_parameters() if "embed_positions" in name)
    places.data.copy_(sinusoids(*places.shape))  # as the converted checkpoints have them
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=11)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    processor.feature_extractor.save_pretrained(folder)
    if mistral:
        checkpoints_mistral.write(folder, model)
