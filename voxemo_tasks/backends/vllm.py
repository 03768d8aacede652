"""``vllm-audiolm``: a speech LLM through vLLM, in this process or in several copies.

One sample is one request with a seed of its own, next to its siblings (why not ``n=K`` is told in
:mod:`~voxemo_tasks.backends.vllm_engine`). Jobs arrive grouped by audio with the audio before the
text, and prefix caching is on: all prompts and samples of a clip share its key-value prefix.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ..audio import decode
from ..errors import ModelError, OptionError
from ..records import AudioRef, Decoding, Json, digest_of
from .adapters import adapter_of
from .base import Generated
from .checkpoint import CheckpointLM
from .families import (
    audio_arrived,
    check_clips,
    choose_chat,
    expected_tokens,
    prompt_text,
    with_sound,
)
from .loading import DTYPES, class_for, find
from .requests import Job, Samples
from .revisions import load_at
from .scoring import Tokens, log_sum, logprob_of, nodes
from .vllm_engine import Answer, Ask, Engine, Engines, Setup, import_vllm
from .vllm_replicas import Replicas
from .vllm_setup import (
    adapter_rank,
    check_vllm,
    compact_json,
    end_ids,
    local_adapter,
    mistral_format,
    positive,
    read_options,
    require_chosen_tokens,
)

log = logging.getLogger(__name__)

BATCH = 256
CLIPS_AHEAD = 64
TOKENS_A_QUESTION = 100
"""vLLM gives the log-probabilities of at most 128 chosen tokens."""

NEUTRAL = frozenset(
    (
        *("block_size", "kv_cache_memory_bytes", "max_num_batched_tokens"),
        *("mm_processor_cache_gb", "num_gpu_blocks_override"),
    )
)
"""Engine options that move speed and memory only; all others are part of the fingerprint."""


class VllmAudioLM(CheckpointLM):
    """A checkpoint of a family whose card names vLLM, through ``vllm.LLM``.

    The model's ``generation_config.json`` never applies (but for its end tokens): every sampling
    parameter is said explicitly and recorded as it took effect.

    Args:
        pretrained: Folder, hub id, or a built-in name (``voxemo-tiny``).
        revision: Hub revision; default: the commit that the card pins. What was loaded is recorded.
        dtype: ``auto`` (vLLM's choice), ``bfloat16``/``bf16``, ``float16``/``fp16``, ``float32``/
            ``fp32``. What was chosen is in the fingerprint.
        adapter: ``auto`` (the LoRA adapter that the card names, if any), ``none``, or the folder of
            another; it applies to every request, is checked to act and named in the fingerprint.
        lora: Another name for ``adapter``.
        chat_format: ``auto``, ``template`` (the processor's own), or a written format of the card.
        tensor_parallel_size: GPUs that one engine is spread over.
        data_parallel_size: Independent engines, each a process with ``tensor_parallel_size`` GPUs
            of its own (taken in order from ``CUDA_VISIBLE_DEVICES``); a clip's requests all go to
            one of them.
        max_model_len: Longest prompt with reply, in tokens; default: the model's.
        max_num_seqs: Replies that one engine works on at once; default: vLLM's.
        gpu_memory_utilization: Share of a GPU's memory; default: vLLM's.
        prefix_caching: Share key-value prefixes between requests.
        enforce_eager: No compilation and no CUDA graphs: a quicker start, slower replies.
        structured: ``auto`` holds a reply to the request's JSON Schema where it has one, without
            white space between its parts (a model that is free to write it may write nothing else
            until its tokens are spent); ``off`` never does.
        logprobs: Record the log-probability of each reply: the sum over its tokens, the end token
            included, of the model's own log-probabilities (before temperature, top-p and top-k).
        max_audios: Clips that one request may have. vLLM sets memory aside for so many.
        trust_remote_code: As in transformers.
        engine_options: Other keywords of ``vllm.LLM``, as a mapping or JSON text.
        batch_size: Requests handed over at once, each with all its samples. lm-eval says 1 where
            the user said nothing, so 1 and ``auto`` are 256 an engine; to slow vLLM down for
            a test, use ``max_num_seqs=1``.
        options: Those of :class:`~voxemo_tasks.backends.base.AudioLM`.

    Raises:
        ModelError: Without vLLM; for a version, a family or a checkpoint that it cannot run.
        OptionError: For an argument out of range.
    """

    structures = True
    seeds_each_row = True
    shares_among_processes = False

    def __init__(
        self,
        pretrained: str = "",
        *,
        revision: str | None = None,
        dtype: str = "auto",
        adapter: str = "auto",
        lora: str | None = None,
        chat_format: str = "auto",
        tensor_parallel_size: int = 1,
        data_parallel_size: int = 1,
        max_model_len: int | None = None,
        max_num_seqs: int | None = None,
        gpu_memory_utilization: float | None = None,
        prefix_caching: bool = True,
        enforce_eager: bool = False,
        structured: str = "auto",
        logprobs: bool = False,
        max_audios: int = 1,
        trust_remote_code: bool = False,
        engine_options: Mapping[str, Any] | str | None = None,
        batch_size: int | str | None = None,
        device: str | None = None,
        max_batch_size: int | None = None,
        **options: Any,
    ) -> None:
        said = None if str(batch_size) == "1" else batch_size
        super().__init__(batch_size=said, **options)
        if not pretrained:
            raise OptionError(
                "--model_args of vllm-audiolm needs pretrained=: a folder, a hub id, or voxemo-tiny"
            )
        if structured not in ("auto", "off"):
            raise OptionError(f"structured={structured!r}: expected 'auto' or 'off'")
        if str(dtype) not in DTYPES:
            raise OptionError(f"dtype={dtype!r}: expected one of {', '.join(DTYPES)}")
        replicas = positive("data_parallel_size", data_parallel_size)
        tensor_parallel = positive("tensor_parallel_size", tensor_parallel_size)
        if self.batch_is_auto:
            self.batch = BATCH * replicas
        if max_batch_size is not None:
            self.batch = min(self.batch, positive("max_batch_size", max_batch_size))
        version = str(import_vllm().__version__)
        self._checkpoint = find(str(pretrained))
        config, self._processor, self._card, self._card_digest, commit = load_at(
            self._checkpoint, revision, bool(trust_remote_code)
        )
        check_vllm(self._card, version)
        self._chat_name = choose_chat(
            self._card, self._checkpoint.asked, self._processor, str(chat_format)
        )
        self._chat = self._card.chat_formats.get(self._chat_name)
        self._tokenizer = self._processor.tokenizer
        self._audio_id = int(self._tokenizer.convert_tokens_to_ids(self._card.audio_token))
        self._end_ids = end_ids(self._checkpoint.source, commit, self._tokenizer)
        self._structured, self._logprobs = structured == "auto", bool(logprobs)
        self._effective: dict[str, Json] = {}
        more = read_options(engine_options)
        given: Json = {
            "max_model_len": None if max_model_len is None else int(max_model_len),
            "max_num_seqs": None if max_num_seqs is None else int(max_num_seqs),
            "gpu_memory_utilization": gpu_memory_utilization,
            "revision": commit,
        }
        if "vllm" in self._card.classes:
            given["hf_overrides"] = {"architectures": [class_for(self._card, config, "vllm")]}
        self._in_tokens = self._card.processor_call == "chat_template_only"
        if self._in_tokens:
            given |= mistral_format(self._checkpoint)
        chosen = adapter_of(self._card, self._checkpoint, str(lora or adapter))
        self._adapter = None
        folder: Path | None = None
        if chosen is not None:
            self._adapter, folder = local_adapter(chosen, commit)
        if folder is not None:
            given |= {"enable_lora": True, "max_lora_rank": adapter_rank(folder), "max_loras": 1}
        setup = Setup(
            source=self._checkpoint.source,
            options={
                "dtype": DTYPES[str(dtype)],
                "tensor_parallel_size": tensor_parallel,
                "trust_remote_code": bool(trust_remote_code),
                "generation_config": "vllm",
                "enable_prefix_caching": bool(prefix_caching),
                "enforce_eager": bool(enforce_eager),
                "limit_mm_per_prompt": {"audio": positive("max_audios", max_audios)},
                # Neighbours share a clip, so few clips need to be at hand.
                "mm_processor_cache_gb": 1,
                **(compact_json() if self._structured else {}),
                **{name: value for name, value in given.items() if value is not None},
                **more,
            },
            sampling_rate_hz=self.sampling_rate_hz,
            audio_token_id=self._audio_id,
            lora=None if folder is None else str(folder),
        )
        self._engine: Engines = (
            Engine(setup) if replicas == 1 else Replicas(setup, replicas, tensor_parallel)
        )
        self._layout = {"data_parallel_size": replicas, "tensor_parallel_size": tensor_parallel}
        self._fingerprint = self._identify(commit, version, more)

    # --- identity ---------------------------------------------------------------------------

    @property
    def clips_ahead(self) -> int:
        return min(super().clips_ahead, CLIPS_AHEAD)

    def engine_facts(self) -> Json:
        return {
            **self._engine.facts(),
            **self._layout,
            "batch_size": self.batch,
            "structured": "auto" if self._structured else "off",
            "model_card": {"id": self._card.id, "sha256": self._card_digest},
            "end_token_ids": self._end_ids,
            "effective_decoding": list(self._effective.values()),
            "max_audio_s": self.max_audio_s,
            "beyond_max_audio": self._card.beyond_max,
        }

    def _identify(self, commit: str | None, version: str, more: Json) -> Json:
        facts = self._engine.facts()
        identity = self._identity(commit, "vllm", version, facts["dtype"])
        if facts["quantization"] is not None:
            identity["quantization"] = facts["quantization"]
        telling = {name: value for name, value in more.items() if name not in NEUTRAL}
        if telling:
            identity["engine_options"] = telling
        if not self._structured:
            identity["structured"] = "off"
        return identity

    # --- generation -------------------------------------------------------------------------

    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        asks: list[Ask] = []
        counts: list[int] = []
        for job in jobs:
            decoding = job.request.decoding
            seeds = job.draws()
            prompt = self._prompt(job, job.audio)
            schema = job.request.schema if self._structured else None
            check_clips(self._card, job.audio, self.sampling_rate_hz)
            clips, ids = tuple(job.audio), clip_ids(job, self.sampling_rate_hz)
            asks += [
                Ask(prompt, clips, ids, self._sampling(decoding, seed), schema) for seed in seeds
            ]
            counts.append(len(seeds))
        answers = self._engine.answer(asks)
        for ask, answer in zip(asks, answers, strict=True):
            self._check_audio_arrived(ask, answer)
        coming = iter(answers)
        out = []
        for job, count in zip(jobs, counts, strict=True):
            out.append(job.filled([self._reply(answer) for answer in islice(coming, count)]))
        return out

    def _prompt(self, job: Job, clips: Sequence[Samples]) -> str | tuple[int, ...]:
        """What stands before the reply: text with a marker a clip, or tokens where there is no text."""
        if self._in_tokens:
            messages = with_sound(job.request.messages, clips, self.sampling_rate_hz)
            made = self._tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
            return tuple(int(token) for token in made)
        text = prompt_text(self._processor, self._chat, job.request.messages)
        start = self._tokenizer.bos_token
        if start and text.startswith(start) and self._starts_by_itself():
            text = text[len(start) :]  # else it would stand there twice
        return text

    def _starts_by_itself(self) -> bool:
        return list(self._tokenizer("").input_ids[:1]) == [self._tokenizer.bos_token_id]

    def _sampling(self, decoding: Decoding, seed: int) -> Json:
        said: Json = {
            "n": 1,
            "max_tokens": decoding.max_new_tokens,
            "temperature": float(decoding.temperature),
            "top_p": float(decoding.top_p),
            "top_k": decoding.top_k,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop": list(decoding.stop),
            "stop_token_ids": self._end_ids,
            "logprobs": 0 if self._logprobs else None,
        }
        asked = decoding.to_json()
        key = digest_of(asked)
        if key not in self._effective:
            took = import_vllm().SamplingParams(**said)
            effective = {name: getattr(took, name) for name in said if name != "n"}
            sampler = "greedy" if decoding.greedy else "vLLM's, a seed a reply"
            self._effective[key] = {"asked": asked, **effective, "sampler": sampler}
        return said if decoding.greedy else said | {"seed": seed}

    def _check_audio_arrived(self, ask: Ask, answer: Answer) -> None:
        """The audio tokens in the prompt are those that the clips' lengths make.

        Raises:
            ModelError: Otherwise: the scores that follow would be chance.
        """
        window = self.max_audio_s
        if not audio_arrived(self._card, answer.audio_tokens, ask.clips, window):
            expected = expected_tokens(self._card, ask.clips, window) or "some"
            raise ModelError(
                f"the audio did not reach the model: in vLLM {self._card.name} was given "
                f"{answer.audio_tokens} audio tokens where the clips make {expected}. This version "
                "of vLLM or transformers may treat its audio otherwise; nothing of this batch was "
                "counted"
            )

    def _reply(self, answer: Answer) -> Generated:
        if answer.finish_reason not in ("stop", "length"):
            return Generated("", error=f"vLLM ended the request with {answer.finish_reason!r}")
        reason: Literal["stop", "length"] = "length" if answer.finish_reason == "length" else "stop"
        ended = bool(answer.token_ids) and answer.token_ids[-1] in self._end_ids
        used = len(answer.token_ids) - (ended and reason == "stop")
        return Generated(answer.text, reason, n_tokens=used, logprob=answer.logprob)

    def after_failure(self, error: Exception) -> None:
        self._engine.recover()

    def close(self) -> None:
        """Let go of the engine; it cannot be used after."""
        self._engine.close()

    # --- log-probabilities ------------------------------------------------------------------

    def score(
        self, jobs: Sequence[Job], continuations: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        r"""Log-probability of given continuations after each job's prompt and audio.

        .. math:: \log p(c \mid x) = \sum_j \log p(c_j \mid x, c_{<j})

        over the tokens of the text c as the tokenizer makes them by themselves, and then (``ended``)
        the sum over the end tokens; at temperature 1 whatever the decoding of the request. Natural logarithm.

        Args:
            jobs: What is asked. Clips that are not decoded yet are decoded here.
            continuations: For each job the texts, e.g. the labels of its menu.
            ended: Whether the reply must end there.

        Returns:
            For each job one value <= 0 a continuation, in order.

        Raises:
            OptionError: Where the two arguments differ in length.
            AudioError: For a clip that cannot be decoded.
            ModelError: Where the audio does not reach the model, or vLLM cannot be asked so.
        """
        require_chosen_tokens(import_vllm())
        if len(jobs) != len(continuations):
            raise OptionError(
                f"score: {len(jobs)} jobs and continuations for {len(continuations)}; give one "
                "sequence of texts a job"
            )
        out: list[list[float]] = []
        pairs = iter(zip(jobs, continuations, strict=True))
        while some := list(islice(pairs, self.batch)):
            out += self._score(some, ended)
        return out

    def _score(self, pairs: Sequence[tuple[Job, Sequence[str]]], ended: bool) -> list[list[float]]:
        asks: list[Ask] = []
        places: list[tuple[int, Tokens, list[int]]] = []
        ends: list[Tokens] = [(token,) for token in self._end_ids] if ended else [()]
        tokens = [
            [self._tokens(text) + end for text in texts for end in ends] for _, texts in pairs
        ]
        heard: dict[str, Samples] = {}
        for number, (job, _) in enumerate(pairs):
            clips = tuple(job.audio) or tuple(self._hear(ref, heard) for ref in job.request.audio)
            check_clips(self._card, clips, self.sampling_rate_hz)
            made = self._prompt(job, clips)
            prompt = tuple(self._tokenizer(made).input_ids) if isinstance(made, str) else made
            ids = clip_ids(job, self.sampling_rate_hz, clips)
            for prefix, following in nodes(tokens[number]).items():
                for part in _parts(following, TOKENS_A_QUESTION):
                    said = {"max_tokens": 1, "temperature": 0.0, "logprob_token_ids": part}
                    asks.append(Ask(prompt + prefix, clips, ids, said))
                    places.append((number, prefix, part))
        found: list[dict[Tokens, dict[int, float]]] = [{} for _ in pairs]
        answers = self._engine.answer(asks)
        for ask, answer, (number, prefix, part) in zip(asks, answers, places, strict=True):
            self._check_audio_arrived(ask, answer)
            first = answer.first or {}
            found[number].setdefault(prefix, {}).update({token: first[token] for token in part})
        values = [
            [logprob_of(one, at) for one in several]
            for several, at in zip(tokens, found, strict=True)
        ]
        return [
            [log_sum(one[at : at + len(ends)]) for at in range(0, len(one), len(ends))]
            for one in values
        ]

    def _tokens(self, text: str) -> Tokens:
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)

    def _hear(self, ref: AudioRef, heard: dict[str, Samples]) -> Samples:
        key = digest_of(ref.to_json())
        if key not in heard:
            heard[key] = decode(ref, self.sampling_rate_hz)
        return heard[key]


def clip_ids(job: Job, rate: int, clips: Sequence[Samples] | None = None) -> tuple[str, ...]:
    """What tells the clips of a job from all others: content, segment, transforms, rate.

    A reference without a digest of its file is told by its samples.
    """
    ids = []
    for ref, clip in zip(job.request.audio, clips or job.audio, strict=True):
        content = ref.content()
        if not ref.sha256:
            content["sha256"] = hashlib.sha256(clip.tobytes()).hexdigest()
        ids.append(digest_of({"audio": content, "sampling_rate_hz": rate}))
    return tuple(ids)


def _parts(values: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(values), size):
        yield list(values[start : start + size])
