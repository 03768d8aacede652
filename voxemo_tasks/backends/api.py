"""``api-audiolm``: any OpenAI-compatible chat endpoint that takes ``input_audio``.

A provider's, or a local server's (vLLM, SGLang, llama.cpp ...). The key comes from the environment
and goes nowhere but into the request's header. Sound goes first, as 16 kHz mono 16-bit WAV or FLAC;
every decoding parameter is said, so that no default of the server acts. Each sample is a request of
its own with a seed of its own, since ``n`` is not supported everywhere. Replies are stored as they
come, in whatever order.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import math
import os
import re
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import ModelError, OptionError, VoxEmoError
from ..records import AudioRef, Json, Request, Response, digest_of
from .api_client import ChatClient, Limits, Wire, need_httpx
from .api_replies import Answer, Secret
from .base import AudioLM, Generated
from .requests import Job, Samples

log = logging.getLogger(__name__)

OPENAI_KEY = "OPENAI_API_KEY"
AUDIO_FORMATS = ("wav", "flac")
MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
DROPPABLE = frozenset({"temperature", "top_p", "seed", "stop"})
"""Fields that ``extra_body`` may set to null, for servers that refuse them."""
OURS = DROPPABLE | {*MAX_TOKENS_FIELDS, "model", "messages", "n", "stream", "top_k"}
SECRET_NAMES = re.compile(
    r"^(key|token|sig)$|(api|access|auth|secret)[_-]?(key|token)$|secret$|password$|authorization$",
    re.IGNORECASE,
)

Done = tuple[Job, int, Generated]


class ApiAudioLM(AudioLM):
    """A speech LLM behind an HTTP endpoint.

    Args:
        base_url: Up to and without ``/chat/completions``, e.g. ``https://api.openai.com/v1``.
        model: As the endpoint calls it.
        api_key_env: Name of the environment variable that holds the key. Default:
            ``OPENAI_API_KEY`` where it is set, else no key is sent.
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
        self._url, self._endpoint = read_base_url(str(base_url))
        self._endpoint = str(endpoint) if endpoint else self._endpoint
        if not str(model).strip():
            raise OptionError("--model_args of api-audiolm needs model=: its name at the endpoint")
        self._model = str(model).strip()
        self._secret = read_key(api_key_env)
        self._limits = Limits(
            int(_number("concurrency", concurrency, least=1)),
            _number("timeout_s", timeout_s, above=0),
            int(_number("retries", retries, least=0)),
            _optional("requests_per_minute", requests_per_minute, above=0),
            _number("max_wait_s", max_wait_s, least=0),
        )
        self._budget = Budget(
            _optional("max_cost_usd", max_cost_usd, above=0),
            _optional("price_in", price_in, least=0),
            _optional("price_out", price_out, least=0),
        )
        self._format = _one_of("audio_format", audio_format, AUDIO_FORMATS)
        self._max_tokens = _one_of("max_tokens_field", max_tokens_field, MAX_TOKENS_FIELDS)
        self._extra = read_extra_body(extra_body)
        self._max_audio_s = _optional("max_audio_s", max_audio_s, above=0)
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
        if self._max_audio_s is None:  # no endpoint tells how much of a clip its model took in
            response = replace(response, seconds_heard=None)
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


class Clip:
    """One clip as base64, encoded once for all requests that carry it, by whichever comes first.

    Samples beyond [-1, 1] are clipped: 16-bit audio has no more.
    """

    def __init__(self, samples: Samples, sampling_rate_hz: int, audio_format: str) -> None:
        self._samples = samples
        self._rate = sampling_rate_hz
        self._format = audio_format
        self._lock = threading.Lock()
        self._text: str | None = None

    def base64(self) -> str:
        with self._lock:
            if self._text is None:
                self._text = encode(self._samples, self._rate, self._format)
            return self._text


def encode(samples: Samples, sampling_rate_hz: int, audio_format: str) -> str:
    """Samples as a 16-bit file of the format, in base64."""
    import soundfile

    with io.BytesIO() as stream:
        soundfile.write(
            stream, samples, sampling_rate_hz, format=audio_format.upper(), subtype="PCM_16"
        )
        return base64.b64encode(stream.getbuffer()).decode("ascii")


def chat_messages(
    messages: Sequence[Mapping[str, Any]], clips: Sequence[Clip], audio_format: str
) -> list[Json]:
    """Our messages as the endpoint takes them: parts in their order, which has audio first.

    A message of one text is a plain string: some servers take no parts in system messages.

    Example:
        >>> chat_messages([{"role": "system", "content": [{"type": "text", "text": "Hi"}]}], [], "wav")
        [{'role': 'system', 'content': 'Hi'}]
    """
    out: list[Json] = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            out.append({"role": message["role"], "content": content})
            continue
        parts: list[Json] = []
        for part in content:
            if part["type"] == "audio":
                data = {"data": clips[part["index"]].base64(), "format": audio_format}
                parts.append({"type": "input_audio", "input_audio": data})
            else:
                parts.append({"type": "text", "text": part["text"]})
        single = len(parts) == 1 and parts[0]["type"] == "text"
        out.append({"role": message["role"], "content": parts[0]["text"] if single else parts})
    return out


class Budget:
    """What this start may spend, and what it has.

    The cost of a request is known only once it is answered. So the first one goes alone, and each
    later one only where all in flight may cost as much as the dearest so far and still fit.
    """

    def __init__(
        self, limit_usd: float | None, price_in: float | None, price_out: float | None
    ) -> None:
        if limit_usd is not None and (price_in is None or price_out is None):
            raise OptionError(
                f"max_cost_usd={limit_usd:g} needs price_in= and price_out=, in US dollars per "
                "million tokens: no endpoint tells its prices"
            )
        self.limit_usd = limit_usd
        self.prices = None if price_in is None or price_out is None else (price_in, price_out)
        self.spent_usd = 0.0
        self.dearest_usd: float | None = None
        self.replies = 0

    def take(self, answer: Answer) -> None:
        """Count an answer.

        Raises:
            ModelError: For a reply without usage where there is a limit to keep.
        """
        if self.prices is None:
            return
        usage = answer.usage
        if usage is not None:
            tokens = (usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
            cost = sum(n * price for n, price in zip(tokens, self.prices, strict=True)) / 1e6
            self.spent_usd += cost
            self.dearest_usd = max(cost, self.dearest_usd or 0.0)
            self.replies += 1
        elif answer.error is None and self.limit_usd is not None:
            raise ModelError(
                "max_cost_usd cannot be kept: the endpoint tells no usage with its replies. Leave it "
                "out, or set a limit at the provider"
            )
        # A timed-out attempt may have been answered, and billed, all the same.
        self.spent_usd += answer.lost * (self.dearest_usd or 0.0)

    def allows(self, in_flight: int) -> bool:
        """Whether one more may be sent."""
        if self.limit_usd is None:
            return True
        if self.dearest_usd is None:
            return in_flight == 0
        return self.spent_usd + (in_flight + 1) * self.dearest_usd <= self.limit_usd

    def reached(self) -> str:
        """The letter to the user."""
        return (
            f"max_cost_usd={self.limit_usd:g} is reached: {self.replies} replies cost "
            f"${self.spent_usd:.6f}, and one more may cost ${self.dearest_usd or 0.0:.6f}. What was "
            "answered is stored; the same command goes on from here, with the same limit anew"
        )

    def to_json(self) -> Json | None:
        if self.prices is None:
            return None
        return {
            "usd": round(self.spent_usd, 9),
            "limit_usd": self.limit_usd,
            "usd_per_million_tokens": {"in": self.prices[0], "out": self.prices[1]},
        }


def refuse_keys(arguments: Mapping[str, Any]) -> None:
    """Refuse a key among ``--model_args``; they are logged and written into the results by lm-eval.

    Raises:
        OptionError: Which names the argument and never its value.

    Example:
        >>> refuse_keys({"model": "m", "api_key_env": "MY_KEY"})
    """
    advice = "put the key into an environment variable and its name into api_key_env="
    for name in arguments:
        if SECRET_NAMES.search(str(name)):
            raise OptionError(
                f"--model_args: {name}= is refused, since they are recorded; {advice}"
            )
    variable = arguments.get("api_key_env")
    if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(variable)):
        raise OptionError(f"api_key_env= is not the name of an environment variable; {advice}")
    try:
        url = urlsplit(str(arguments.get("base_url") or ""))
    except ValueError:
        return  # read_base_url says what is wrong with it
    if url.username is not None or url.password is not None:
        raise OptionError(f"base_url= holds a user name or password; {advice}")
    for name, _ in parse_qsl(url.query, keep_blank_values=True):
        if SECRET_NAMES.search(name):
            raise OptionError(f"base_url= holds a key ({name!r} in its query); {advice}")
    for name in _names_in(arguments.get("extra_body")):
        if SECRET_NAMES.search(name):
            raise OptionError(f"extra_body holds {name!r}, which looks like a key; {advice}")


def _names_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            if not isinstance(inner, str):
                yield from _names_in(inner)


def read_key(api_key_env: str | None) -> Secret:
    """The key from the environment.

    Raises:
        OptionError: Where the variable that was named is not set.
    """
    variable = OPENAI_KEY if api_key_env is None else str(api_key_env)
    value = os.environ.get(variable, "").strip()
    if not value and api_key_env is not None:
        # A key given in place of a name must not be repeated; names are upper case by custom.
        shown = variable if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else "(not shown)"
        raise OptionError(
            f"api_key_env= names the environment variable {shown}, which is not set; export it, or "
            "leave api_key_env out for a server that wants no key"
        )
    return Secret(value, variable)


def read_base_url(base_url: str) -> tuple[str, str]:
    """The URL to post to, and the host as the fingerprint has it.

    Raises:
        OptionError: For anything but an http(s) URL with a host.

    Example:
        >>> read_base_url("http://127.0.0.1:8000/v1/?api-version=3")
        ('http://127.0.0.1:8000/v1/chat/completions?api-version=3', '127.0.0.1:8000')
    """
    try:
        url = urlsplit(base_url.strip())
        host, port = url.hostname, url.port
    except ValueError as error:
        raise OptionError(f"base_url= cannot be read as a URL ({error})") from error
    if url.scheme not in ("http", "https") or not host:
        raise OptionError(
            "--model_args of api-audiolm needs base_url=, e.g. https://api.openai.com/v1 or "
            f"http://127.0.0.1:8000/v1; got {base_url!r}"
        )
    path = url.path.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[url.scheme]
    place = shown if port in (None, default) else f"{shown}:{port}"
    return url._replace(path=path, fragment="").geturl(), place


def read_extra_body(extra_body: Mapping[str, Any] | str | None) -> Json:
    """``extra_body`` as an object that leaves the recorded request true.

    Raises:
        OptionError: For no JSON object, or one that sets what the run itself decides.

    Example:
        >>> read_extra_body('{"reasoning_effort": "low", "seed": null}')
        {'reasoning_effort': 'low', 'seed': None}
    """
    value: Any = extra_body or {}
    try:
        value = json.loads(value) if isinstance(value, str) else json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"extra_body is not JSON ({error}); on a command line give all of --model_args as one "
            """JSON object: '{"base_url": "...", "model": "...", "extra_body": {"top_a": 1}}'"""
        ) from error
    if not isinstance(value, dict):
        raise OptionError(f"extra_body must be a JSON object, got {type(value).__name__}")
    for name, inner in value.items():
        if name in OURS and not (name in DROPPABLE and inner is None):
            raise OptionError(
                f"extra_body: {name!r} is set by the run (prompt, --metadata, --gen_kwargs) and "
                f"recorded; only null, which leaves it out, for {', '.join(sorted(DROPPABLE))}"
            )
    return dict(value)


def _number(name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (number >= least and number > above and math.isfinite(number)):
        bound = f"at least {least:g}" if math.isfinite(least) else f"above {above:g}"
        raise OptionError(f"--model_args: {name}={value!r}: expected a number {bound}")
    return number


def _optional(name: str, value: Any, **bounds: float) -> float | None:
    return None if value is None else _number(name, value, **bounds)


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if str(value) not in allowed:
        raise OptionError(f"--model_args: {name}={value!r}: expected {' or '.join(allowed)}")
    return str(value)
