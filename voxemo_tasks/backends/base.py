"""What every backend does alike: fold, look up, group by audio, decode ahead, isolate, store.

lm-eval queues the same ``Instance`` K times for K samples and hands requests over prompt by prompt.
Here they are folded into one request with K samples, looked up in the response store, grouped by
audio over all tasks of the run, decoded ahead by worker threads, and written as they come.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from tqdm import tqdm

from ..audio import decode_ahead
from ..errors import AudioError, ModelError, OptionError, RunFailedError, StoreError
from ..home import home
from ..records import AudioRef, Json, Reply, Request, Response, digest_of
from ..store import Asked, RunStore, reply_key, request_key
from . import canaries
from .likelihood import as_reply, flat
from .ranks import join
from .requests import (
    Folded,
    Job,
    Samples,
    clip_sizes,
    fold,
    group_by_audio,
    parse_batch_size,
    without_repeats,
)

log = logging.getLogger(__name__)

ALL_FAILED_AFTER = 20
"""Where so many replies fail and none ever succeeded, the engine is broken, not the clips."""

CACHED_MODEL = "voxemo_fingerprint"
"""Key in a file of lm-eval's ``--use_cache`` under which the model that it is of is named."""

kept: list[AudioLM] | None = None
"""Set to a list by `voxemo run`, which scores what the models of its process stored. Elsewhere
nothing holds a model back from being freed."""


@dataclass(frozen=True, slots=True)
class Generated:
    """One generated reply, before it becomes a stored row."""

    text: str
    finish_reason: Literal["stop", "length"] = "stop"
    n_tokens: int | None = None
    error: str | None = None
    logprob: float | None = None


class AudioLM(LM):  # type: ignore[misc]  # lm-eval is untyped
    """Base of the backends; its arguments are ``--model_args`` of all of them.

    Args:
        store: Run folder. Default: a folder named after the model below ``store_parent``.
        store_parent: Default ``$VOXEMO_HOME/runs``.
        batch_size: Requests a batch, or ``auto``.
        decode_workers: Threads that decode audio ahead of the engine.
        canaries: Whether fixed clips are asked about before the first batch, to find an engine that
            answers nonsense (:mod:`.canaries`): ``on``, ``off``, or ``auto`` (as the backend has it).

    Raises:
        OptionError: For an argument that the backend does not have, or a batch size that is none.
    """

    MULTIMODAL = True
    sampling_rate_hz: ClassVar[int] = 16_000
    structures: ClassVar[bool] = False
    """Whether the engine can hold a reply to a JSON schema."""
    keeps_clips_whole: ClassVar[bool] = False
    """Whether all jobs of a clip come in one batch, even where they are more than a batch."""
    canary_requests: ClassVar[int] = len(canaries.ASKED)
    """Canaries that are asked under ``canaries=auto``; 0 is none."""
    seeds_each_row: ClassVar[bool] = False
    """Whether a sampled reply depends on its own seed and not on the batch that it is drawn in."""
    shares_among_processes: ClassVar[bool] = True
    """Whether processes that a launcher started may each take a share of the documents."""

    def __init__(
        self,
        *,
        store: str | None = None,
        store_parent: str | None = None,
        batch_size: int | str | None = 1,
        decode_workers: int = 2,
        canaries: str = "auto",
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown:
            raise OptionError(
                f"--model_args: {', '.join(map(repr, unknown))} not known to "
                f"{type(self).__name__}; allowed: {', '.join(self._argument_names())}"
            )
        self.batch, self.batch_is_auto = parse_batch_size(batch_size)
        self._decode_workers = max(1, int(decode_workers))
        self._canaries = self._canaries_wanted(canaries)
        self._place = (store, store_parent)
        self._store: RunStore | None = None
        self._successes = 0
        self._failures = 0
        self.ranks = join()
        self._rank, self._world_size = self.ranks.rank, self.ranks.size
        if self.ranks.size > 1 and not self.shares_among_processes:
            raise OptionError(
                f"{type(self).__name__} starts its processes itself (data_parallel_size, "
                "tensor_parallel_size in --model_args); start it without torchrun or accelerate launch"
            )
        if kept is not None:
            kept.append(self)

    @classmethod
    def _canaries_wanted(cls, asked: object) -> int:
        mode = canaries.parse_canaries(asked)
        if mode == "off":
            return 0
        return cls.canary_requests or (len(canaries.ASKED) if mode == "on" else 0)

    @classmethod
    def _argument_names(cls) -> list[str]:
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        signatures = (inspect.signature(one.__init__) for one in (cls, AudioLM))
        found = [p.name for s in signatures for p in s.parameters.values() if p.kind in named]
        return [name for name in dict.fromkeys(found) if name != "self"]

    # --- what a backend tells ---------------------------------------------------------------

    @abstractmethod
    def fingerprint(self) -> Json:
        """Model (id, revision, adapter), engine, version, dtype: what replies depend on."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name for folders and logs, e.g. the last part of the hub id."""

    @abstractmethod
    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        """Replies of one batch: per job, one per missing sample, in order.

        An exception other than ``ModelError`` is taken as the failure of some job of the batch: the
        batch is halved until the job that fails is alone. ``ModelError`` ends the run.
        """

    def score(
        self, jobs: Sequence[Job], continuations: Sequence[Sequence[str]], *, ended: bool = True
    ) -> list[list[float]]:
        """Log-probability, in nats, that a job's reply begins with a text, and then ends.

        Args:
            jobs: Decoded jobs.
            continuations: Per job, the texts to score; none of them empty.
            ended: Whether the reply must end there, by any of the end tokens.

        Raises:
            ModelError: Here, for a backend without log-probabilities.
        """
        raise ModelError(
            f"{type(self).__name__} has no log-probabilities; readout=likelihood needs hf-audiolm or "
            "vllm-audiolm"
        )

    def key_of(self, request: Request, provenance: Json) -> str:
        """Key of a request in the store: equal requests are answered once, whoever asks."""
        return request_key(self.fingerprint(), request)

    def needs_audio(self) -> bool:
        """Whether clips are decoded at all."""
        return True

    @property
    def synthetic(self) -> bool:
        """Whether this model exists for trying and testing only."""
        return False

    @property
    def max_audio_s(self) -> float | None:
        """Seconds that the model can hear of one clip; ``None`` is no limit."""
        return None

    @property
    def min_audio_s(self) -> float:
        """Shorter clips cannot be given to the model."""
        return 0.0

    @property
    def clips_ahead(self) -> int:
        """Clips that may be decoded and waiting: what bounds memory ahead of the engine."""
        return max(2 * self.batch, self._decode_workers)

    def engine_facts(self) -> Json:
        """For the session record: facts that should not change replies."""
        return {}

    def adapter_at_work(self, job: Job) -> bool | None:
        """Whether the adapter changes what is said of a clip; ``None``: none, or not known."""
        return None

    def after_failure(self, error: Exception) -> None:
        """Clean up after a failed batch (free memory, say)."""

    # --- what lm-eval asks ------------------------------------------------------------------

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Look at the file of ``--use_cache``, whose keys know no model and which keeps failures.

        Raises:
            OptionError: Where it holds the replies of another model.
        """
        super().set_cache_hook(cache_hook)
        cache = cache_hook.dbdict
        if cache is None:
            return
        ours = digest_of(self.fingerprint())
        theirs = cache.get(CACHED_MODEL)
        replies = [(k, v.error) for k, v in cache.items() if isinstance(v, Reply)]
        if theirs != ours and (theirs is not None or replies):
            raise OptionError(
                f"--use_cache: {cache.filename} holds the replies of another model than {self.name} "
                "(lm-eval's cache does not tell models apart); give each model a file of its own, or "
                "leave --use_cache away: the run folder already keeps every reply"
            )
        for key, error in replies:
            if error is not None:  # lm-eval would hand out the failure for ever
                del cache[key]
        cache[CACHED_MODEL] = ours

    def all_gather(self, tensor: Any) -> Any:
        """This process's own number, as if the others had as many.

        lm-eval fills a process's requests up to the largest number that any has, with copies of the
        last one, for models whose processes must take equal steps. Ours need not, and to us a copy
        is one more sample to ask for.
        """
        return tensor.repeat(self.world_size)

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """What each process has, on rank 0."""
        return self.ranks.gather(obj)

    def barrier(self) -> None:
        """Wait for the other processes."""
        self.ranks.barrier()

    def get_model_info(self) -> Json:
        """What lm-eval puts into its results file."""
        return {"voxemo_fingerprint": self.fingerprint(), "voxemo_store": str(self.store.folder)}

    @property
    def tokenizer_name(self) -> str:
        return self.name

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Nothing: the model's own template always applies, asked for or not."""
        return ""

    def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
        return "\n".join(str(turn.get("content", "")) for turn in chat_history)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """How likely the model finds each label, as JSON: see :func:`.likelihood.as_reply`."""
        return self._ask_all(requests, disable_tqdm, "loglikelihood")

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise ModelError(f"{type(self).__name__} answers about audio; it rates no plain texts")

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Replies in the order of the requests, each a :class:`~voxemo_tasks.records.Reply`."""
        return self._ask_all(requests, disable_tqdm, "generate_until")

    def _ask_all(self, requests: list[Instance], disable_tqdm: bool, kind: str) -> list[str]:
        folded = fold(requests)
        if type(self).score is AudioLM.score and any(f.request.candidates for f in folded.values()):
            self.score([], [])  # raises
        if not self.structures and any(f.request.schema for f in folded.values()):
            raise ModelError(
                f"{type(self).__name__} cannot hold a reply to a JSON schema; leave structured out of "
                "--metadata, or use vllm-audiolm or api-audiolm"
            )
        keys = {n: self.key_of(f.request, f.provenance) for n, f in folded.items()}
        jobs, replies = self._look_up(folded, keys)
        if replies:
            log.info("%d replies are stored already; %d requests to ask", len(replies), len(jobs))
        try:
            self._ask_canaries(jobs)
            self._answer(group_by_audio(jobs), replies, disable_tqdm)
            self.store.finish()
        finally:
            self.store.note({"engine": self.engine_facts()})
        return self._in_order(requests, keys, replies, kind)

    def adopt(self, instances: Iterable[Instance]) -> None:
        """Store the replies that lm-eval took from its own ``--use_cache`` instead of asking us.

        Without this a run folder would lack them, and a score from it would silently cover less
        than lm-eval's table.
        """
        for instance in instances:
            request, provenance = Request.from_arguments(instance.args)
            key = self.key_of(request, provenance)
            self._ask(provenance, key, len(instance.resps))
            for sample, reply in enumerate(instance.resps):
                error = getattr(reply, "error", None)
                if error is None and not self.store.has(reply_key(key, sample)):
                    cut = getattr(reply, "finish_reason", "stop") == "length"
                    reason: Literal["stop", "length"] = "length" if cut else "stop"
                    self.store.write(Response(reply_key(key, sample), str(reply), reason, sample))

    # --- the run folder ---------------------------------------------------------------------

    @property
    def has_store(self) -> bool:
        return self._store is not None

    @property
    def store(self) -> RunStore:
        """The run folder, opened on first use."""
        if self._store is None:
            folder, parent = self._place
            if folder is not None:
                path = Path(str(folder)).expanduser()
            else:
                base = Path(str(parent)).expanduser() if parent else home() / "runs"
                slug = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-.") or "model"
                path = base / f"{slug}-{digest_of(self.fingerprint())[:8]}"
            self._store = RunStore(path, self.fingerprint(), synthetic=self.synthetic)
            self._store.note({"engine": self.engine_facts(), "program": Path(sys.argv[0]).name})
        return self._store

    def _ask(self, provenance: Json, key: str, samples: int) -> None:
        """Record who asked; requests without provenance (direct callers) are only answered."""
        documents = provenance.get("documents")
        if not documents:
            return
        self.store.attach_documents(Path(documents["path"]), documents["sha256"])
        row = Asked(
            task=provenance["task"],
            documents=documents["sha256"],
            utterance_id=provenance["utterance_id"],
            prompt=provenance["prompt"],
            request=key,
            samples=samples,
            session=self.store.session,
        )
        self.store.ask(row)

    def _look_up(
        self, folded: Mapping[int, Folded], keys: Mapping[int, str]
    ) -> tuple[list[Job], dict[str, Response]]:
        """What is stored already, and jobs for what is missing (one job a distinct request)."""
        jobs: dict[str, Job] = {}
        replies = self.store.find_all(
            reply_key(keys[number], sample)
            for number, item in folded.items()
            for sample in range(item.samples)
        )
        for number, item in folded.items():
            key = keys[number]
            self._ask(item.provenance, key, item.samples)
            for sample in range(item.samples):
                if reply_key(key, sample) in replies:
                    continue
                job = jobs.setdefault(key, Job(item.request, key, []))
                job.utterance_id = item.provenance.get("utterance_id")
                if sample not in job.missing:
                    job.missing.append(sample)
        return list(jobs.values()), replies

    # --- answering --------------------------------------------------------------------------

    def _answer(self, jobs: list[Job], replies: dict[str, Response], disable_tqdm: bool) -> None:
        total = sum(len(job.missing) for job in jobs)
        partly_heard = 0
        quiet = disable_tqdm or not jobs or self.rank > 0
        bar = tqdm(total=total, desc="replies", unit="reply", disable=quiet)
        with (
            bar,
            closing(self._batches(jobs)) as batches,
            closing(self._stream(batches)) as stream,
        ):
            for responses in stream:
                for response in responses:
                    replies[response.key] = response
                    heard, supplied = response.seconds_heard, response.seconds_supplied
                    partly_heard += heard is not None and supplied is not None and heard < supplied
                    bar.update()
        if partly_heard:
            log.warning(
                "%d of %d replies are to clips longer than the %.0f s that %s hears; the rest of "
                "those clips went unheard (results count them as partly heard)",
                partly_heard,
                total,
                self.max_audio_s or 0.0,
                self.name,
            )

    def _stream(self, batches: Iterator[list[Job]]) -> Generator[list[Response], None, None]:
        """Rows as they are written: a batch after the other.

        The one place to override for an engine that has many requests in flight and no batches.
        Such a stream writes each row (``_response``, ``store.write``) and looks at it
        (``_stop_if_broken``) before it hands it over; a job with a ``refusal`` goes to ``_run``.
        """
        for batch in batches:
            yield self._run(batch)

    def _ask_canaries(self, jobs: Sequence[Job]) -> None:
        """Once a model, and only where there is something to ask.

        Raises:
            ModelError: Where the canaries say that the engine's replies would be worth nothing.
        """
        if not jobs or not self._canaries:
            return
        verdict = canaries.ask(self, jobs[0].request.decoding, self._canaries)
        self._canaries = 0
        self.store.note({"canaries": verdict.to_json()})
        for warning in verdict.warnings:
            log.warning("canaries: %s", warning)
        if verdict.stop:
            raise ModelError(
                f"the run was stopped before its first batch: {verdict.stop}. Nothing was counted. "
                "Fixed clips were asked about (silence, a tone, vowels; see `canaries` in the "
                "session's record of the run folder); if this is how the model is, say canaries=off "
                "in --model_args"
            )

    def _batches(self, jobs: list[Job]) -> Generator[list[Job], None, None]:
        """Batches of decoded jobs; a job that cannot be given to the engine is alone in its own."""
        if not self.needs_audio():
            for job in jobs:
                job.seconds = sum(ref.duration_s or 0.0 for ref in job.request.audio)
                yield [job]
            return
        refs = without_repeats(ref for job in jobs for ref in job.request.audio)
        decoded = decode_ahead(
            refs, self.sampling_rate_hz, workers=self._decode_workers, ahead=self.clips_ahead
        )
        with closing(decoded):
            last_ref: AudioRef | None = None
            clip: Samples | AudioError | None = None
            batch: list[Job] = []
            for job, of_clip in zip(jobs, clip_sizes(jobs), strict=True):
                new_clip = bool(batch) and job.request.audio != batch[-1].request.audio
                if self.keeps_clips_whole and new_clip and len(batch) + of_clip > self.batch:
                    yield batch
                    batch = []
                for ref in job.request.audio:
                    if ref != last_ref:
                        last_ref, clip = next(decoded)
                    self._take(job, clip)
                if job.refusal is not None:
                    yield [job]
                    continue
                batch.append(job)
                more = self.keeps_clips_whole and of_clip > 1
                if len(batch) >= self.batch and not more:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _take(self, job: Job, clip: Samples | AudioError | None) -> None:
        if isinstance(clip, AudioError):
            job.refusal = job.refusal or str(clip)
        elif clip is not None:
            seconds = len(clip) / self.sampling_rate_hz
            job.audio.append(clip)
            job.seconds += seconds
            if seconds < self.min_audio_s:
                job.refusal = (
                    f"a clip of {seconds:.3f} s is shorter than the {self.min_audio_s:.3f} s that "
                    f"{self.name} needs"
                )

    def _run(self, batch: list[Job]) -> list[Response]:
        """Answer a batch, write its rows, free its audio."""
        refused = batch[0].refusal
        if refused is None:
            generated = self._isolate(batch)
        else:
            log.warning("engine_error, not asked: %s", refused)
            generated = [_all_failed(batch[0], refused)]
        responses = [
            self._response(job, sample, one)
            for job, several in zip(batch, generated, strict=True)
            for sample, one in zip(job.missing, several, strict=True)
        ]
        self.store.write(*responses)
        for job in batch:
            job.audio.clear()
        if refused is None:
            self._stop_if_broken(responses)
        return responses

    def isolated(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        """Replies of a batch where a failure costs one job and not its neighbours; not stored."""
        return self._isolate(jobs)

    def _isolate(self, batch: Sequence[Job]) -> list[list[Generated]]:
        """Generate; where that fails, halve until the job that fails is alone."""
        try:
            return self._make(batch)
        except (ModelError, StoreError):
            raise
        except Exception as error:  # an engine can raise anything; the row records what it was
            self.after_failure(error)
            reason = f"{type(error).__name__}: {error}"
            if len(batch) > 1:
                log.warning("a batch of %d failed (%s); trying it in halves", len(batch), reason)
                half = len(batch) // 2
                return [*self._isolate(batch[:half]), *self._isolate(batch[half:])]
            paths = ", ".join(ref.path for ref in batch[0].request.audio)
            log.warning("engine_error on %s: %s", paths, reason)
            return [_all_failed(batch[0], reason)]

    def _make(self, batch: Sequence[Job]) -> list[list[Generated]]:
        """Generate, or where a job asks for likelihoods, score."""
        scored = [job for job in batch if job.request.candidates]
        if not scored:
            return self.generate(batch)
        written = [job for job in batch if not job.request.candidates]
        generated = iter(self.generate(written) if written else [])
        texts = [list(flat(job.request.candidates)) for job in scored]
        scores = iter(self.score(scored, texts))
        out = []
        for job in batch:
            if job.request.candidates:
                reply = Generated(as_reply(job.request.candidates, next(scores)))
                out.append([reply] * len(job.missing))
            else:
                out.append(next(generated))
        return out

    def _stop_if_broken(self, responses: Sequence[Response]) -> None:
        failed = sum(response.error is not None for response in responses)
        self._failures += failed
        self._successes += len(responses) - failed
        if not self._successes and self._failures >= ALL_FAILED_AFTER:
            raise RunFailedError(
                f"the first {self._failures} replies all failed in the engine, the last with: "
                f"{responses[-1].error}. None was counted as an answer; mend this and start the "
                "same command again"
            )

    def _response(self, job: Job, sample: int, generated: Generated) -> Response:
        failed = generated.error is not None
        limit = self.max_audio_s
        heard = job.seconds
        if limit is not None and job.audio:  # the limit is one clip's: examples have their own
            heard = sum(min(len(clip) / self.sampling_rate_hz, limit) for clip in job.audio)
        return Response(
            key=reply_key(job.key, sample),
            text="" if failed else generated.text,
            finish_reason="error" if failed else generated.finish_reason,
            sample=sample,
            seconds_supplied=round(job.seconds, 6) if job.audio else None,
            seconds_heard=None if failed else round(heard, 6),
            n_tokens=generated.n_tokens,
            logprob=generated.logprob,
            error=generated.error,
        )

    def _in_order(
        self,
        requests: Sequence[Instance],
        keys: Mapping[int, str],
        replies: Mapping[str, Response],
        kind: str,
    ) -> list[str]:
        taken: dict[int, int] = {}
        out: list[str] = []
        for instance in requests:
            sample = taken.get(id(instance), 0)
            taken[id(instance)] = sample + 1
            response = replies[reply_key(keys[id(instance)], sample)]
            reply = Reply(
                response.text,
                finish_reason=response.finish_reason,
                error=response.error,
                key=response.key,
                store=str(self.store.folder),
                synthetic=self.synthetic,
            )
            if response.error is None:  # a failure is no answer, for nobody's cache
                self.cache_hook.add_partial(kind, instance.args, reply)
            out.append(reply)
        return out


def _all_failed(job: Job, reason: str) -> list[Generated]:
    return [Generated("", error=reason) for _ in job.missing]
