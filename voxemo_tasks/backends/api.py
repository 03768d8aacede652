"""``api-audiolm``: any OpenAI-compatible chat endpoint that takes ``input_audio``.

A provider's, or a local server's (vLLM, SGLang, llama.cpp ...). The key comes from the environment
and goes nowhere but into the request's header. Sound goes first, as 16 kHz mono 16-bit WAV or FLAC;
every decoding parameter is said, so that no default of the server acts. Each sample is a request of
its own with a seed of its own, since ``n`` is not supported everywhere. Replies are stored as they
come, in whatever order.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from ..errors import ModelError, OptionError, VoxEmoError
from ..records import AudioRef, Json, Request, Response, digest_of
from .api_arguments import (
    AUDIO_FORMATS,
    MAX_TOKENS_FIELDS,
    number,
    one_of,
    optional,
    read_base_url,
    read_extra_body,
    read_key,
    refuse_keys,
)
from .api_budget import Budget
from .api_client import ChatClient, Limits, Wire, need_httpx
from .api_replies import Answer
from .api_request import Clip, chat_messages
from .base import AudioLM, Generated
from .requests import Job

log = logging.getLogger(__name__)

Done = tuple[Job, int, Generated]


class ApiAudioLM(AudioLM):
    """A speech LLM behind an HTTP endpoint.

    Args:
        base_url: Up to and without ``/chat/completions``, e.g. ``https://api.openai.com/v1``.
        model: As the endpoint calls it.
        api_key_env: Name of the environment variable that holds the key. Default:
            ``OPENAI_API_KEY`` for api.openai.com; no other host is sent a key that was not named.
        concurrency: Requests on the wire at once.
        timeout_s: For one attempt as a whole.
        retries: Further attempts after 429, 5xx, a timeout, a lost connection.
        requests_per_minute: Attempts, evenly spaced.
        max_wait_s: Bound on each wait between attempts, ``Retry-After`` included.
        max_cost_usd: Ask nothing more once this start has spent so much.
        price_in: US dollars per million prompt tokens (of audio, where audio costs more).
        price_out: US dollars per million completion tokens.
        audio_format: ``wav`` or ``flac``; the samples are the same.
        extra_body: JSON object laid over each request; null drops a field that the server refuses.
        max_tokens_field: What the endpoint calls the limit of the reply.
        max_audio_s: What the model hears of a clip, where that is known.
        endpoint: Name of the endpoint in the fingerprint; default: host and port of ``base_url``.
            Say it where a server moves between nodes and its run folder should stay one.
        options: Those of :class:`~voxemo_tasks.backends.base.AudioLM`.

    Raises:
        OptionError: For a wrong argument, and for a key among the arguments.
    """

    structures = True
    canary_requests = 2

    def __init__(
        self,
        base_url: str = "",
        model: str = "",
        *,
        api_key_env: str | None = None,
        concurrency: int = 16,
        timeout_s: float = 120.0,
        retries: int = 5,
        requests_per_minute: float | None = None,
        max_wait_s: float = 120.0,
        max_cost_usd: float | None = None,
        price_in: float | None = None,
        price_out: float | None = None,
        audio_format: str = "wav",
        extra_body: Mapping[str, Any] | str | None = None,
        max_tokens_field: str = "max_tokens",
        max_audio_s: float | None = None,
        endpoint: str | None = None,
        device: str | None = None,
        max_batch_size: int | None = None,
        **options: Any,
    ) -> None:
        need_httpx()
        given = {"base_url": base_url, "model": model, "api_key_env": api_key_env}
        refuse_keys(given | {"extra_body": extra_body, "endpoint": endpoint} | options)
        options.setdefault("decode_workers", 4)
        super().__init__(**options)
        self.batch = 1  # what is in flight is bounded by concurrency, not by batches
        self._url, host = read_base_url(str(base_url))
        self._endpoint = str(endpoint) if endpoint else host
        if not str(model).strip():
            raise OptionError("--model_args of api-audiolm needs model=: its name at the endpoint")
        self._model = str(model).strip()
        self._secret = read_key(api_key_env, host)
        self._limits = Limits(
            int(number("concurrency", concurrency, least=1)),
            number("timeout_s", timeout_s, above=0),
            int(number("retries", retries, least=0)),
            optional("requests_per_minute", requests_per_minute, above=0),
            number("max_wait_s", max_wait_s, least=0),
        )
        self._budget = Budget(
            optional("max_cost_usd", max_cost_usd, above=0),
            optional("price_in", price_in, least=0),
            optional("price_out", price_out, least=0),
        )
        self._format = one_of("audio_format", audio_format, AUDIO_FORMATS)
        self._max_tokens = one_of("max_tokens_field", max_tokens_field, MAX_TOKENS_FIELDS)
        self._extra = read_extra_body(extra_body)
        self._max_audio_s = optional("max_audio_s", max_audio_s, above=0)
        given |= {"endpoint": self._endpoint, "extra_body": json.dumps(self._extra)}
        if any(self._secret.hide(str(value)) != str(value) for value in given.values()):
            raise OptionError(
                f"--model_args hold the key that is in {self._secret.variable}; they are written into "
                "the results, so take it out of them"
            )
        self._usage: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {
            name: Counter()
            for name in ("finish_reasons", "served_models", "system_fingerprints", "failed")
        }
        self._attempts = 0
        self._effective: dict[str, Json] = {}
        self._wire_facts: Json = {}

    # --- identity ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._model.rstrip("/").rpartition("/")[2]

    @property
    def max_audio_s(self) -> float | None:
        return self._max_audio_s

    def fingerprint(self) -> Json:
        """Host and model as named; what stands behind the name only the provider knows."""
        extra = {"extra_body": self._extra} if self._extra else {}
        return {
            "model": self._model,
            "revision": None,
            "adapter": None,
            "engine": "openai-chat",
            "engine_version": "1",
            "dtype": None,
            "endpoint": self._endpoint,
            **extra,
        }

    def engine_facts(self) -> Json:
        limits = self._limits
        return {
            "endpoint": self._endpoint,
            "api_key_env": self._secret.variable if self._secret.value else None,
            "concurrency": limits.concurrency,
            "timeout_s": limits.timeout_s,
            "retries": limits.retries,
            "requests_per_minute": limits.requests_per_minute,
            "audio_format": f"{self._format}, {self.sampling_rate_hz} Hz, mono, 16 bit",
            "max_audio_s": self._max_audio_s,
            "effective_decoding": list(self._effective.values()),
            "usage": dict(sorted(self._usage.items())),
            "cost": self._budget.to_json(),
            "attempts": self._attempts,
            **{name: dict(counted) for name, counted in self._counts.items()},
            **self._wire_facts,
        }

    # --- asking -----------------------------------------------------------------------------

    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        made: dict[int, dict[int, Generated]] = {id(job): {} for job in jobs}
        with self._wire() as wire:
            for job, sample, generated in self._exchange(jobs, wire):
                made[id(job)][sample] = generated
        return [[made[id(job)][sample] for sample in job.missing] for job in jobs]

    def _stream(self, batches: Iterator[list[Job]]) -> Generator[list[Response], None, None]:
        """Rows as the replies come; clips are decoded and rows written while others are asked."""
        refused: list[list[Response]] = []

        def askable() -> Iterator[Job]:
            for batch in batches:
                for job in batch:
                    if job.refusal is None:
                        yield job
                    else:
                        refused.append(self._run([job]))

        done: Counter[int] = Counter()
        wire = self._wire()
        try:
            with closing(self._exchange(askable(), wire)) as exchange:
                for job, sample, generated in exchange:
                    response = self._write(job, sample, generated)
                    done[id(job)] += 1
                    if done[id(job)] == len(job.missing):
                        del done[id(job)]
                        job.audio.clear()
                    self._stop_if_broken([response])
                    yield [response]
                    while refused:
                        yield refused.pop()
            yield from refused
        finally:
            # What came while the run was being stopped has been paid for.
            for (job, sample), outcome in wire.close():
                if isinstance(outcome, Answer):
                    self._write(job, sample, self._take_in(job, outcome))
            self._wire_facts = wire.client.facts()

    def _write(self, job: Job, sample: int, generated: Generated) -> Response:
        response = self._response(job, sample, generated)
        self.store.write(response)
        return response

    def _wire(self) -> Wire[tuple[Job, int]]:
        return Wire(partial(ChatClient, self._url, self._secret, self._limits))

    def _exchange(
        self, jobs: Iterable[Job], wire: Wire[tuple[Job, int]]
    ) -> Generator[Done, None, None]:
        """Send in the order of the jobs, hand over in the order of the answers.

        Twice as many as the endpoint takes are in flight, so that the next bodies are ready.
        """
        window = 2 * self._limits.concurrency
        clips: list[Clip] = []
        heard: tuple[AudioRef, ...] = ()
        for job in jobs:
            if not clips or job.request.audio != heard:
                heard = job.request.audio
                clips = [Clip(a, self.sampling_rate_hz, self._format) for a in job.audio]
            self._note_effective(job.request)
            for sample, seed in zip(job.missing, job.seeds(), strict=True):
                while wire.in_flight >= window or not self._budget.allows(wire.in_flight):
                    if wire.in_flight == 0:
                        raise ModelError(self._budget.reached())
                    yield self._next(wire)
                wire.send((job, sample), partial(self._body, job.request, clips, seed))
            while (done := wire.take(wait=False)) is not None:
                yield self._settled(done)
        while wire.in_flight:
            yield self._next(wire)

    def _next(self, wire: Wire[tuple[Job, int]]) -> Done:
        done = wire.take()
        if done is None:
            raise RuntimeError("nothing is in flight")
        return self._settled(done)

    def _settled(self, done: tuple[tuple[Job, int], Answer | Exception]) -> Done:
        (job, sample), outcome = done
        if isinstance(outcome, VoxEmoError):
            raise outcome
        if isinstance(outcome, Exception):
            reason = self._secret.hide(f"{type(outcome).__name__}: {outcome}")
            outcome = Answer(error=reason, attempts=0)
        return job, sample, self._take_in(job, outcome)

    def _take_in(self, job: Job, answer: Answer) -> Generated:
        """Count what an answer cost and says of itself; the reply that it is."""
        self._attempts += answer.attempts
        self._usage.update(answer.usage or {})
        for name, value in (
            ("finish_reasons", answer.said),
            ("served_models", answer.model),
            ("system_fingerprints", answer.system_fingerprint),
            ("failed", answer.error and re.split(r"[:,(]", answer.error)[0].strip()),
        ):
            if value:
                self._counts[name][value] += 1
        self._budget.take(answer)
        if answer.error is not None:
            paths = ", ".join(ref.path for ref in job.request.audio)
            log.warning("engine_error on %s: %s", paths, answer.error)
            return Generated("", error=answer.error)
        text, reason = answer.text, answer.finish_reason
        cuts = [text.index(stop) for stop in job.request.decoding.stop if stop in text]
        if cuts:  # some servers keep the stop string, some ignore it
            text, reason = text[: min(cuts)], "stop"
        return Generated(text, reason, n_tokens=(answer.usage or {}).get("completion_tokens"))

    def _body(self, request: Request, clips: Sequence[Clip], seed: int) -> bytes:
        body = {
            "model": self._model,
            "messages": chat_messages(request.messages, clips, self._format),
            **self._parameters(request, seed),
        }
        return json.dumps(body, allow_nan=False).encode()

    def _note_effective(self, request: Request) -> None:
        asked, sent = request.decoding.to_json(), self._parameters(request, 0)
        if "seed" in sent:
            sent["seed"] = "one a sample"
        self._effective.setdefault(digest_of([asked, sent]), {"asked": asked, "sent": sent})

    def _parameters(self, request: Request, seed: int) -> Json:
        """All that a request says beside model and messages."""
        decoding = request.decoding
        sent: Json = {
            "temperature": decoding.temperature,
            "top_p": 1.0 if decoding.greedy else decoding.top_p,
            self._max_tokens: decoding.max_new_tokens,
            "seed": seed,
            "stream": False,
        }
        if decoding.top_k and not decoding.greedy:
            sent["top_k"] = decoding.top_k
        if decoding.stop:
            sent["stop"] = list(decoding.stop)
        if request.schema is not None:
            form = {"name": "reply", "schema": request.schema, "strict": True}
            sent["response_format"] = {"type": "json_schema", "json_schema": form}
        sent |= self._extra
        return {name: value for name, value in sent.items() if value is not None}
