"""A vLLM engine behind plain asks and answers.

What the backend needs of vLLM passes through here and nowhere else, in records that can be sent to
another process. vllm is imported when an engine is made and not before.

Seeds
-----
vLLM expands ``SamplingParams(n=K, seed=s)`` into samples with the seeds s, s + 1, …, s + K - 1
(``vllm/v1/engine/parallel_sampling.py``). A resumed run that lacks samples 1 and 3 could not ask
for just these, and a seed of one request could meet that of another. So each sample is an ask of
its own with its own seed, next to its siblings: the clip is processed once (the processor cache
knows it by its id) and encoded once, and all samples share the prompt's key-value blocks.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ModelError
from ..records import Json
from .loading import first_line
from .requests import Samples

INSTALL = (
    "pip install 'voxemo-tasks[vllm]' (Linux with an NVIDIA or AMD GPU; for a CPU see "
    "scripts/vllm_cpu_env.sh)"
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One reply that is wanted.

    Attributes:
        prompt: Text as the chat template made it, or token ids; one placeholder an audio.
        clips: Mono float32 samples, in the order of their placeholders.
        clip_ids: What tells these sounds from all others. vLLM trusts it blindly: another sound
            under the same id silently gets the first one's encoding.
        sampling: Keywords of ``vllm.SamplingParams``.
        schema: JSON Schema that the reply must satisfy.
    """

    prompt: str | tuple[int, ...]
    clips: tuple[Samples, ...]
    clip_ids: tuple[str, ...]
    sampling: Json
    schema: Json | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine made of an ask.

    Attributes:
        text: The reply without its end token and stop string.
        token_ids: All generated tokens, an end token included.
        finish_reason: As vLLM says it: ``stop``, ``length``, ``abort``, ``error`` …
        logprob: Sum of the generated tokens' log-probabilities, where asked for.
        prompt_tokens: Length of the prompt with the audio's tokens.
        audio_tokens: How many of them are the audio's.
        cached_tokens: How many were found in the prefix cache.
        first: Log-probability by token id at the first position, where asked for.
        prompt_logprobs: Of each prompt token (the first has none), where asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: str | None
    logprob: float | None
    prompt_tokens: int
    audio_tokens: int
    cached_tokens: int
    first: dict[int, float] | None = None
    prompt_logprobs: tuple[float | None, ...] | None = None


class Engines(Protocol):
    """One engine or several: what the backend talks to."""

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in the order of the asks."""

    def recover(self) -> None:
        """Drop what a failed call left in the queue."""

    def facts(self) -> Json:
        """Effective settings of the engine."""

    def close(self) -> None:
        """Let go of processes and memory."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How to make an engine.

    Attributes:
        source: Folder or hub id.
        options: Keywords of ``vllm.LLM``.
        sampling_rate_hz: Rate of the clips.
        audio_token_id: The token that stands for a piece of audio.
        lora: Folder of a LoRA adapter, applied to every request.
    """

    source: str
    options: Json
    sampling_rate_hz: int
    audio_token_id: int
    lora: str | None = None


def import_vllm() -> Any:
    """The vllm module.

    Raises:
        ModelError: Where it is missing, or is there and cannot be imported.
    """
    try:
        return importlib.import_module("vllm")
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise ModelError(_broken(error)) from error
        raise ModelError(f"vllm-audiolm needs vLLM, which is not installed: {INSTALL}") from error
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise ModelError(_broken(error)) from error


def _broken(error: BaseException) -> str:
    return (
        f"vLLM is installed and cannot be imported ({first_line(error)}). Its torch, torchvision "
        "and torchaudio must be builds of one kind; a CUDA torchvision beside a CPU torch is the "
        "usual cause, and audio models do without it: pip uninstall torchvision torchaudio"
    )


class Engine:
    """One ``vllm.LLM`` in this process.

    Raises:
        ModelError: Where vLLM or the model cannot be loaded.
    """

    def __init__(self, setup: Setup) -> None:
        self._vllm = import_vllm()
        self._setup = setup
        self._prompt_tokens = self._cached_tokens = 0
        try:
            self._llm = self._vllm.LLM(model=setup.source, **setup.options)
        except Exception as error:  # vLLM, torch and the hub each raise their own
            raise ModelError(
                f"vLLM {self._vllm.__version__} cannot run {setup.source} ({first_line(error)}); "
                "its own log above says more. What helps most often: a smaller max_model_len, "
                "another gpu_memory_utilization, dtype=float32 on a CPU"
            ) from error
        self._lora = None if setup.lora is None else self._adapter(setup.lora)

    def _adapter(self, folder: str) -> Any:
        """The adapter, once it is seen to act.

        vLLM leaves out, without a word, what carries a name that it does not know; transformers 5
        names the layers of several families otherwise than vLLM does.
        """
        from vllm.lora.request import LoRARequest

        adapter = LoRARequest("adapter", 1, folder)
        params = self._vllm.SamplingParams(max_tokens=1, temperature=0.0, logprobs=5)
        text = "How does the speaker feel?"
        plain, adapted = (
            {token: one.logprob for token, one in output.outputs[0].logprobs[0].items()}
            for lora in (None, adapter)
            for output in self._llm.generate(text, params, use_tqdm=False, lora_request=lora)
        )
        if plain == adapted:
            raise ModelError(
                f"lora={folder}: vLLM {self._vllm.__version__} loaded the adapter and it changes "
                "nothing. The names of its weights are probably not those of the model's layers in "
                "vLLM (look at adapter_model.safetensors); merge it into the weights instead "
                "(peft: merge_and_unload) and use the merged checkpoint"
            )
        return adapter

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        if not asks:
            return []
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            outputs = self._llm.generate(
                [self._prompt(ask) for ask in asks],
                [self._sampling(ask) for ask in asks],
                use_tqdm=False,
                lora_request=self._lora,
            )
        except EngineDeadError as error:
            raise ModelError(
                f"the vLLM engine died ({first_line(error)}); its log above says why. What was "
                "answered so far is stored: start the same command again"
            ) from error
        if len(outputs) != len(asks):
            raise RuntimeError(f"vLLM gave {len(outputs)} answers to {len(asks)} requests")
        return [self._answer(output) for output in outputs]

    def _prompt(self, ask: Ask) -> Json:
        rate = self._setup.sampling_rate_hz
        prompt: Json = (
            {"prompt": ask.prompt}
            if isinstance(ask.prompt, str)
            else {"prompt_token_ids": list(ask.prompt)}
        )
        if ask.clips:
            prompt["multi_modal_data"] = {"audio": [(clip, rate) for clip in ask.clips]}
            prompt["multi_modal_uuids"] = {"audio": list(ask.clip_ids)}
        return prompt

    def _sampling(self, ask: Ask) -> Any:
        more: Json = {}
        if ask.schema is not None:
            from vllm.sampling_params import StructuredOutputsParams

            more["structured_outputs"] = StructuredOutputsParams(json=ask.schema)
        return self._vllm.SamplingParams(**ask.sampling, **more)

    def _answer(self, output: Any) -> Answer:
        reply = output.outputs[0]
        ids = output.prompt_token_ids or []
        cached = int(output.num_cached_tokens or 0)
        self._prompt_tokens += len(ids)
        self._cached_tokens += cached
        first = None
        if reply.logprobs:
            first = {int(token): float(one.logprob) for token, one in reply.logprobs[0].items()}
        of_prompt = None
        if output.prompt_logprobs is not None:
            of_prompt = tuple(
                None if row is None else float(row[token].logprob)
                for token, row in zip(ids, output.prompt_logprobs, strict=True)
            )
        return Answer(
            text=reply.text,
            token_ids=tuple(reply.token_ids),
            finish_reason=reply.finish_reason,
            logprob=None if reply.logprobs is None else reply.cumulative_logprob,
            prompt_tokens=len(ids),
            audio_tokens=sum(token == self._setup.audio_token_id for token in ids),
            cached_tokens=cached,
            first=first,
            prompt_logprobs=of_prompt,
        )

    def recover(self) -> None:
        """Abort what a failed call left behind, so that the next call does not get its answers."""
        engine = self._llm.llm_engine
        left = list(engine.output_processor.request_states)
        if left:
            engine.abort_request(left, internal=True)

    def facts(self) -> Json:
        from vllm.platforms import current_platform

        config = self._llm.llm_engine.vllm_config
        model, cache, scheduler = config.model_config, config.cache_config, config.scheduler_config
        held = getattr(config, "structured_outputs_config", None)
        return {
            "vllm": self._vllm.__version__,
            "platform": type(current_platform).__name__,
            "dtype": str(model.dtype).removeprefix("torch."),
            "quantization": model.quantization,
            "max_model_len": model.max_model_len,
            "max_num_seqs": scheduler.max_num_seqs,
            "max_num_batched_tokens": scheduler.max_num_batched_tokens,
            "kv_cache_blocks": cache.num_gpu_blocks,
            "kv_block_tokens": cache.block_size,
            "prefix_caching": bool(cache.enable_prefix_caching),
            "enforce_eager": bool(model.enforce_eager),
            "structured_outputs": {
                name: getattr(held, name, None) for name in ("backend", "disable_any_whitespace")
            },
            "prompt_tokens": self._prompt_tokens,
            "prompt_tokens_cached": self._cached_tokens,
            "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT", "0") == "1",
        }

    def close(self) -> None:
        engine = getattr(self, "_llm", None)
        if engine is not None:
            engine.llm_engine.engine_core.shutdown()
