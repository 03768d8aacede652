"""``hf-audiolm``: a speech LLM through transformers, on a CPU or a GPU."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ModelError, OptionError
from ..records import Decoding, Json, digest_of
from .adapters import adapter_of, apply_adapter
from .base import Generated
from .checkpoint import CheckpointLM
from .families import (
    audio_arrived,
    choose_chat,
    expected_tokens,
    model_inputs,
    prompt_text,
)
from .loading import (
    DTYPES,
    check_engine,
    class_for,
    find,
    first_line,
    tolerance_of,
)
from .requests import Job, parse_share
from .revisions import load_at

if TYPE_CHECKING:
    from .sharing import Sharing

log = logging.getLogger(__name__)

LM_EVAL_DEVICE = "cuda:0"

__all__ = ["HfAudioLM"]


class HfAudioLM(CheckpointLM):
    """A checkpoint of a family that has a card, through its real processor and ``generate``.

    Args:
        pretrained: Folder, hub id, or a built-in name (``voxemo-tiny``).
        revision: Hub revision; what was loaded is recorded.
        dtype: ``auto``, ``bfloat16``/``bf16``, ``float16``/``fp16``, ``float32``/``fp32``. ``auto``
            is bfloat16 on a GPU that has it, float16 on one that has not, float32 on a CPU.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:n``.
        trust_remote_code: As in transformers.
        share_prefix: ``auto`` encodes a clip once for all its prompts and samples where the model
            allows it (checked on the first batch), ``on`` refuses where it does not, ``off`` never.
        adapter: ``auto`` (the LoRA adapter that the card names, if any), ``none``, or the folder of
            another. It is checked to be at work and named in the fingerprint.
        chat_format: ``auto``, ``template`` (the processor's own), or a written format of the card.
        options: Those of :class:`~voxemo_tasks.backends.base.AudioLM`.

    Raises:
        ModelError: For a checkpoint that cannot be used, or a device that is not there.
        OptionError: For an unknown dtype or device.
    """

    keeps_clips_whole = True
    seeds_each_row: ClassVar[bool] = True

    def __init__(
        self,
        pretrained: str = "",
        *,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        trust_remote_code: bool = False,
        share_prefix: str = "auto",
        adapter: str = "auto",
        chat_format: str = "auto",
        max_batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        mode = parse_share(share_prefix)
        if not pretrained:
            raise OptionError(
                "--model_args of hf-audiolm needs pretrained=: a folder, a hub id, or voxemo-tiny"
            )
        self._checkpoint = find(str(pretrained))
        config, self._processor, self._card, self._card_digest, commit = load_at(
            self._checkpoint, revision, bool(trust_remote_code)
        )
        import torch
        import transformers

        self._torch = torch
        self._device = choose_device(
            device, torch, local=self.ranks.local if self.world_size > 1 else None
        )
        self._dtype = choose_dtype(dtype, self._device, torch)
        self._processor.tokenizer.padding_side = "left"
        if self._processor.tokenizer.pad_token_id is None:
            self._processor.tokenizer.pad_token = self._processor.tokenizer.eos_token
        check_engine(self._card, "transformers", transformers.__version__)
        class_name = class_for(self._card, config, "transformers")
        model_class = getattr(transformers, class_name, None)
        if model_class is None:
            raise ModelError(
                f"transformers {transformers.__version__} has no {class_name}; "
                f"{self._card.name} needs another version, or has another class by now"
            )
        self._chat_name = choose_chat(
            self._card, self._checkpoint.asked, self._processor, str(chat_format)
        )
        self._chat = self._card.chat_formats.get(self._chat_name)
        try:
            self._model = model_class.from_pretrained(
                self._checkpoint.source,
                revision=commit,
                dtype=self._dtype,
                trust_remote_code=bool(trust_remote_code),
            )
        except Exception as error:  # safetensors, torch and the hub each raise their own
            raise ModelError(
                f"pretrained={pretrained}: the weights cannot be loaded ({first_line(error)})"
            ) from error
        self._model.to(self._device).eval()
        chosen = adapter_of(self._card, self._checkpoint, str(adapter))
        self._adapter = chosen and apply_adapter(
            self._model, self._processor.tokenizer, chosen, commit
        )
        self._end_ids = self._take_end_ids()
        self._audio_id = self._processor.tokenizer.convert_tokens_to_ids(self._card.audio_token)
        self._fingerprint = self._identity(
            commit,
            "transformers",
            transformers.__version__,
            str(self._dtype).removeprefix("torch."),
        )
        self._effective: dict[str, Json] = {}
        if max_batch_size is not None:
            self.batch = min(self.batch, int(max_batch_size))
        self._forward_is_plain = False
        # Such a processor makes no text of a prompt that could be cut after its audio.
        no_text = self._card.processor_call == "chat_template_only"
        if no_text and mode == "on":
            raise ModelError(f"share_prefix=on: prompts of {self._card.name} cannot be cut")
        self._sharing = None if mode == "off" or no_text else self._make_sharing(mode)

    def _make_sharing(self, mode: str) -> Sharing:
        from .prefix import PrefixSharer
        from .sharing import Sharing

        tokenizer = self._processor.tokenizer
        sharer = PrefixSharer(
            self._model,
            tokenizer,
            audio_id=self._audio_id,
            end_ids=self._end_ids,
            pad_id=tokenizer.pad_token_id or 0,
            device=self._device,
            dtype=self._dtype,
        )
        return Sharing(
            sharer,
            mode,
            str(self._dtype).removeprefix("torch."),
            clips_at_once=None if self._card.batch_exact else 1,
            texts=self._prompts,
            inputs=self._checked_inputs,
            plain_logits=self._next_logits,
            reply=self._reply,
            decode_text=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True)),
        )

    # --- identity ---------------------------------------------------------------------------

    def engine_facts(self) -> Json:
        return {
            "device": str(self._device),
            "batch_size": self.batch,
            "model_card": {"id": self._card.id, "sha256": self._card_digest},
            "end_token_ids": self._end_ids,
            "effective_decoding": list(self._effective.values()),
            "torch": self._torch.__version__,
            "max_audio_s": self.max_audio_s,
            "shared_prefix": None if self._sharing is None else self._sharing.facts(),
            "beyond_max_audio": self._card.beyond_max,
            "batches_of": "any clips" if self._card.batch_exact else "clips of equal length",
        }

    def _take_end_ids(self) -> list[int]:
        """End tokens of the checkpoint; all else of its generation config is thrown away.

        Left in place it would act silently: Qwen2-Audio ships temperature 0.7, top-k 20, top-p 0.5
        and a repetition penalty of 1.1, the last of which changes greedy replies too.
        """
        from transformers import GenerationConfig

        ids = self._model.generation_config.eos_token_id
        if ids is None:
            ids = self._processor.tokenizer.eos_token_id
        end_ids = sorted({ids} if isinstance(ids, int) else set(ids or ()))
        self._model.generation_config = GenerationConfig(
            eos_token_id=end_ids or None, pad_token_id=self._processor.tokenizer.pad_token_id
        )
        return end_ids

    # --- generation -------------------------------------------------------------------------

    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        out: list[list[Generated] | None] = [None] * len(jobs)
        if self._sharing is not None:
            with self._torch.inference_mode():
                for number, replies in self._sharing.answer(jobs, self.batch).items():
                    out[number] = replies
                    self._remember(jobs[number].request.decoding)
        by_decoding: dict[str, list[int]] = {}
        for number, job in enumerate(jobs):
            if out[number] is not None:
                continue
            by_decoding.setdefault(digest_of(job.request.decoding.to_json()), []).append(number)
        for numbers in by_decoding.values():
            decoding = jobs[numbers[0]].request.decoding
            rows = [(number, seed) for number in numbers for seed in jobs[number].draws()]
            made: dict[int, list[Generated]] = {}
            for part in self._parts(rows, jobs):
                replies = self._forward([jobs[n] for n, _ in part], [s for _, s in part], decoding)
                for (number, _), reply in zip(part, replies, strict=True):
                    made.setdefault(number, []).append(reply)
            for number in numbers:
                out[number] = jobs[number].filled(made[number])
        return [replies for replies in out if replies is not None]

    def _parts(
        self, rows: Sequence[tuple[int, int]], jobs: Sequence[Job]
    ) -> Iterator[list[tuple[int, int]]]:
        """Batches of (job, seed); of clips of equal length only where padding changes replies, and
        never with and without clips."""
        exact = self._card.batch_exact
        lengths = [
            tuple(0 if exact else len(clip) for clip in jobs[number].audio[: 1 if exact else None])
            for number, _ in rows
        ]
        start = 0
        for end in range(1, len(rows) + 1):
            full = end - start == self.batch
            if end == len(rows) or full or lengths[end] != lengths[start]:
                yield list(rows[start:end])
                start = end

    def _forward(
        self, rows: Sequence[Job], seeds: Sequence[int], decoding: Decoding
    ) -> list[Generated]:
        inputs = self._on_device(self._checked_inputs(rows))
        options = self._generation(decoding, seeds)
        with self._torch.inference_mode():
            ids = self._model.generate(**inputs, **options)
        return [
            self._reply(row, decoding) for row in ids[:, inputs["input_ids"].shape[1] :].tolist()
        ]

    def score(
        self, jobs: Sequence[Job], continuations: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """As in the base; a text is tokenized by itself."""
        tokenizer = self._processor.tokenizer
        ids = [
            [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
            for texts in continuations
        ]
        if self._sharing is not None:
            with self._torch.inference_mode():
                shared = self._sharing.score(jobs, ids, self.batch, ended=ended)
            if shared is not None:
                return shared
        return [self._score_plainly(job, some, ended) for job, some in zip(jobs, ids, strict=True)]

    def _score_plainly(self, job: Job, ids: Sequence[list[int]], ended: bool) -> list[float]:
        """One forward pass a batch of continuations, the audio encoded for each of them."""
        torch = self._torch
        self._require_plain_forward(job)
        out: list[float] = []
        for start in range(0, len(ids), self.batch):
            some = ids[start : start + self.batch]
            inputs = self._checked_inputs([job] * len(some))
            longest = max(map(len, some))
            tail = torch.full((len(some), longest), self._processor.tokenizer.pad_token_id)
            seen = torch.zeros((len(some), longest), dtype=inputs["attention_mask"].dtype)
            for row, one in enumerate(some):
                tail[row, : len(one)] = torch.tensor(one)
                seen[row, : len(one)] = 1
            at = inputs["input_ids"].shape[1]
            inputs["input_ids"] = torch.cat([inputs["input_ids"], tail], dim=1)
            inputs["attention_mask"] = torch.cat([inputs["attention_mask"], seen], dim=1)
            with torch.inference_mode():
                logits = self._model(**self._on_device(inputs)).logits[:, at - 1 :].float()
            steps = logits.log_softmax(dim=-1)
            ends = steps[:, :, self._end_ids].logsumexp(dim=-1)
            out += [
                sum(float(steps[row, place, token]) for place, token in enumerate(one))
                + (float(ends[row, len(one)]) if ended else 0.0)
                for row, one in enumerate(some)
            ]
        return out

    def _next_logits(self, rows: Sequence[Job]) -> Any:
        """Next-token logits of some jobs, each asked alone and through ``generate``.

        Some models switch an adapter on inside ``generate`` alone, so a forward pass is no reference.
        """
        from transformers import GenerationConfig

        config = GenerationConfig(
            max_new_tokens=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            eos_token_id=self._end_ids or None,
            pad_token_id=self._processor.tokenizer.pad_token_id,
        )
        logits = []
        for job in rows:
            inputs = self._on_device(self._checked_inputs([job]))
            with self._torch.inference_mode():
                made = self._model.generate(**inputs, generation_config=config)
            logits.append(made.logits[0].float())
        return self._torch.cat(logits)

    def _require_plain_forward(self, job: Job) -> None:
        """Raise where a forward pass is not what ``generate`` does; looked at once."""
        if self._forward_is_plain:
            return
        wanted = self._next_logits([job])
        inputs = self._on_device(self._checked_inputs([job]))
        with self._torch.inference_mode():
            found = self._model(**inputs).logits[:, -1].float()
        off = float((found - wanted).abs().max()) / (float(wanted.abs().max()) or 1.0)
        if not off <= tolerance_of(self._dtype):
            raise ModelError(
                f"{self._card.name}: a forward pass gives other logits than generate (by {off:.2g} of "
                "their scale), so likelihoods of labels would not be the model's own; leave "
                "readout=likelihood away for this family"
            )
        self._forward_is_plain = True

    def adapter_at_work(self, job: Job) -> bool | None:
        if self._adapter is None:
            return None
        with_it = self._next_logits([job])
        self._model.disable_adapters()
        try:
            without = self._next_logits([job])
        finally:
            self._model.enable_adapters()
        return not self._torch.equal(with_it, without)

    def _on_device(self, inputs: Any) -> Any:
        inputs = inputs.to(self._device)
        for key, value in inputs.items():
            if self._torch.is_floating_point(value):
                inputs[key] = value.to(self._dtype)
        return inputs

    def _checked_inputs(self, rows: Sequence[Job]) -> Any:
        inputs = self._inputs(rows)
        self._check_audio_arrived(inputs, rows)
        return inputs

    def _prompts(self, rows: Sequence[Job]) -> list[str]:
        return [prompt_text(self._processor, self._chat, job.request.messages) for job in rows]

    def _inputs(self, rows: Sequence[Job]) -> Any:
        inputs = model_inputs(
            self._processor,
            self._card,
            self._chat,
            [(job.request.messages, job.audio) for job in rows],
            self.sampling_rate_hz,
        )
        if "token_type_ids" not in inspect.signature(self._model.forward).parameters:
            inputs.pop("token_type_ids", None)  # tokenizers of transformers 4 add them unasked
        return inputs

    def _check_audio_arrived(self, inputs: Any, rows: Sequence[Job]) -> None:
        """The audio tokens in the input are those that the clips' lengths make.

        Raises:
            ModelError: Otherwise. A processor that is called with the wrong keyword was seen to
                drop the audio without an error; the scores that follow are chance.
        """
        found = (inputs["input_ids"] == self._audio_id).sum(dim=1).tolist()
        window = self.max_audio_s
        if not all(
            audio_arrived(self._card, number, job.audio, window)
            for number, job in zip(found, rows, strict=True)
        ):
            expected = [expected_tokens(self._card, job.audio, window) or "some" for job in rows]
            raise ModelError(
                f"the audio did not reach the model: {self._card.name} was given {found} audio "
                f"tokens where the clips make {expected}. The processor of this transformers version "
                "may take its audio otherwise; nothing of this batch was counted"
            )

    def _generation(self, decoding: Decoding, seeds: Sequence[int]) -> Json:
        from transformers import GenerationConfig
        from transformers.generation import StoppingCriteriaList, StopStringCriteria

        from .sampling import SeededGumbel, warpers_of

        config = GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=self._end_ids or None,
            pad_token_id=self._processor.tokenizer.pad_token_id,
        )
        options: Json = {"generation_config": config}
        tokenizer = self._processor.tokenizer
        # A tokenizer of mistral-common cannot stop generation; its replies are only cut afterwards.
        if decoding.stop and hasattr(tokenizer, "_convert_id_to_token"):
            # Handed to generate by name, 4.57 passes the tokenizer on to models that do not take it.
            stops = StopStringCriteria(tokenizer, list(decoding.stop))
            options["stopping_criteria"] = StoppingCriteriaList([stops])
        if not decoding.greedy:
            warpers = warpers_of(decoding)
            warpers.append(SeededGumbel(seeds))
            options["logits_processor"] = warpers
        self._remember(decoding)
        return options

    def _remember(self, decoding: Decoding) -> None:
        """What was effective, for the session record."""
        asked = decoding.to_json()
        self._effective[digest_of(asked)] = {
            "asked": asked,
            "max_new_tokens": decoding.max_new_tokens,
            "repetition_penalty": 1.0,
            "num_beams": 1,
            "sampler": "greedy" if decoding.greedy else "seeded Gumbel-max, a seed a row",
        }

    def _reply(self, ids: list[int], decoding: Decoding) -> Generated:
        ended = next((i for i, token in enumerate(ids) if token in self._end_ids), None)
        used = ids if ended is None else ids[:ended]
        text: str = self._processor.tokenizer.decode(used, skip_special_tokens=True)
        cuts = [text.index(stop) for stop in decoding.stop if stop in text]
        stopped = ended is not None or bool(cuts)
        if cuts:
            text = text[: min(cuts)]
        return Generated(text, "stop" if stopped else "length", n_tokens=len(used))

    def after_failure(self, error: Exception) -> None:
        """Free the cache after an out-of-memory; under ``batch_size=auto`` halve the batch."""
        if "out of memory" not in str(error).lower():
            return
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()
        if self.batch_is_auto and self.batch > 1:
            self.batch //= 2
            log.warning("out of memory: batches of %d from here on", self.batch)


def choose_device(device: str | None, torch: Any, *, local: int | None = None) -> Any:
    """A torch device from ``auto``, ``cpu``, ``cuda``, ``cuda:n``.

    ``cuda:0`` is what lm-eval says where the user said nothing, so without any GPU it means
    ``cpu``, with a warning.

    Args:
        device: What was asked for.
        torch: The module.
        local: Which of several processes on this machine this is; it takes the GPU of that number
            where no other is asked for.

    Raises:
        OptionError: For a name that torch does not know.
        ModelError: For a GPU that is not there.
    """
    wanted = str(device or "auto")
    if wanted == LM_EVAL_DEVICE and not torch.cuda.is_available():
        log.warning("device=%s is lm-eval's default and there is no GPU here: using cpu", wanted)
        wanted = "cpu"
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if local is not None and wanted in ("cuda", LM_EVAL_DEVICE):
        wanted = f"cuda:{local}"
    try:
        chosen = torch.device(wanted)
    except RuntimeError as error:
        raise OptionError(f"device={wanted!r}: expected auto, cpu, cuda or cuda:n") from error
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise ModelError(f"device={wanted}: torch sees {count} CUDA device(s); use device=cpu")
    return chosen


def choose_dtype(dtype: str, device: Any, torch: Any) -> Any:
    """A torch dtype from its name; ``auto`` looks at the device.

    Raises:
        OptionError: For an unknown name.
    """
    name = DTYPES.get(str(dtype).removeprefix("torch."))
    if name is None:
        raise OptionError(f"dtype={dtype!r}: expected one of {', '.join(DTYPES)}")
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return getattr(torch, name)
