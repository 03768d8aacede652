"""The judge pass: items → any lm-eval text model → judgements in the run folder.

A judge is whatever lm-eval can generate with (``hf``, ``vllm``, ``local-chat-completions`` …), asked
greedily, one item a call. What it writes is read by :mod:`voxemo_tasks.adjudicate`; an answer that
cannot be used is asked for once more and is then a failed judgement. Judgements are stored as they
come and found by content, so that a pass that was killed goes on where it was.

Before it judges anything, each judge gets the **canaries**: material with a known answer and an
attack in it. A judge that falls for more than ``MOST_FOOLED`` of them is dropped. Of the items, a
seeded share is judged twice, with the options the other way round (the flip rate), and a share in
the reply's own language where the rubric is written in it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import registry
from .adjudicate import Item, JudgeRequest, ask, canaries, hear, schema_for_engine
from .errors import ModelError, OptionError, RunFailedError, UnknownNameError
from .records import Json, canonical_json, digest_of
from .specs import HygieneSpec, JudgeSpec
from .store import Judgement, JudgementStore

log = logging.getLogger(__name__)

MOST_FOOLED = 0.02
"""Share of canaries that a judge may fall for."""

CANARY_SHARE = 0.02
SWAPPED_SHARE = 0.10
LANGUAGE_SHARE = 0.10
LEAST_SAMPLE = 10
"""Smallest sample for the flip rate and the other language, where there are so many items."""

CHUNK = 64
"""Requests that are handed to the engine at once; what a killed pass loses at most."""

BROKEN_AFTER = 20
"""Where so many calls fail and none ever succeeded, the engine is broken, not the items."""

STRUCTURED = frozenset({"local-chat-completions", "openai-chat-completions", "vllm"})
"""lm-eval models that hand on what an engine needs to hold a reply to a schema."""

_NO_IDENTITY = frozenset(
    {
        *("batch_size", "max_batch_size", "device", "num_concurrent"),
        *("timeout", "max_retries", "header", "auth_token"),
        *("api_key", "ca_cert_path", "verify_certificate", "tensor_parallel_size"),
        *("data_parallel_size", "gpu_memory_utilization", "parallelize", "max_memory_per_gpu"),
        *("max_cpu_memory", "offload_folder"),
    }
)
"""Arguments that say where and how fast, or hold a secret; no part of a judge's identity."""

_MODEL_KEYS = ("pretrained", "model", "replies")


@dataclass
class Judge:
    """A text model that judges.

    Attributes:
        name: Short name, unique in its panel.
        lm: The lm-eval model.
        fingerprint: What its judgements depend on.
        family: Of models that it belongs to; ``None`` where that is not known.
        structured: Whether the engine holds replies to the schema.
    """

    name: str
    lm: Any
    fingerprint: Json
    family: str | None = None
    structured: bool = False
    _succeeded: int = field(default=0, repr=False)
    _failed: int = field(default=0, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the fingerprint; part of the key of every judgement."""
        return digest_of({**self.fingerprint, "structured": self.structured})

    def say(self, requests: Sequence[JudgeRequest]) -> list[str | Exception]:
        """What the judge writes to each request; the error where it wrote nothing.

        A batch that fails is halved until the request that fails is alone.

        Raises:
            RunFailedError: Where nothing ever succeeded.
        """
        out: list[str | Exception | None] = [None] * len(requests)
        for indices in _alike(requests):
            self._say(requests, indices, out)
        return [text if text is not None else "" for text in out]

    def _say(
        self,
        requests: Sequence[JudgeRequest],
        indices: Sequence[int],
        out: list[str | Exception | None],
    ) -> None:
        try:
            texts = generate(self, [requests[i] for i in indices])
        except Exception as error:  # whatever lm-eval's models raise
            if len(indices) > 1:
                middle = len(indices) // 2
                self._say(requests, indices[:middle], out)
                self._say(requests, indices[middle:], out)
                return
            self._failed += 1
            out[indices[0]] = error
            if not self._succeeded and self._failed >= BROKEN_AFTER:
                raise RunFailedError(
                    f"judge {self.name}: the first {self._failed} calls all failed, the last with "
                    f"{_first_line(error)}. Mend the engine and start the same command again"
                ) from error
            return
        self._succeeded += len(indices)
        for i, text in zip(indices, texts, strict=True):
            out[i] = text


def _alike(requests: Sequence[JudgeRequest]) -> Iterator[list[int]]:
    """Positions of requests with one and the same schema.

    lm-eval groups by decoding keywords, but of a dictionary among them it compares only the keys:
    requests with two schemas in one call would all get the first one's.
    """
    groups: dict[bytes, list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(canonical_json([request.schema, request.decoding]), []).append(i)
    yield from groups.values()


def generate(judge: Judge, requests: Sequence[JudgeRequest]) -> list[str]:
    """One call of lm-eval's ``generate_until``.

    Raises:
        ModelError: For a model that gives back another number of replies, or a request that is
            longer than the model can read (lm-eval would cut off its beginning).
    """
    from lm_eval.api.instance import Instance

    instances = []
    for i, request in enumerate(requests):
        context = context_of(judge.lm, request.messages)
        length = request.decoding.get("max_new_tokens", 256)
        _require_fits(judge.lm, context, length)
        arguments: Json = {
            "until": list(request.decoding.get("stop", [])),
            "max_gen_toks": length,
            "do_sample": False,
            "temperature": 0.0,
        }
        if judge.structured and request.schema is not None:
            arguments |= _held_to(request.schema, judge.fingerprint.get("engine"))
        instances.append(Instance("generate_until", {}, (context, arguments), i))
    texts = judge.lm.generate_until(instances)
    if len(texts) != len(requests):
        raise ModelError(f"{len(requests)} questions brought {len(texts)} replies")
    return ["" if text is None else str(text) for text in texts]


def _held_to(schema: Json, engine: Any) -> Json:
    if engine == "vllm":
        held = importlib.import_module("vllm.sampling_params").StructuredOutputsParams
        return {"structured_outputs": held(json=schema)}
    return {"response_format": schema_for_engine(schema)}


def context_of(lm: Any, messages: Sequence[Mapping[str, str]]) -> Any:
    """Messages as the model wants them: by its chat template, or plainly where it has none."""
    history = [dict(message) for message in messages]
    try:
        return lm.apply_chat_template(history)
    except (NotImplementedError, ValueError, AttributeError, TypeError):
        return "\n\n".join(message["content"] for message in history) + "\n\n"


def _require_fits(lm: Any, context: Any, length: int) -> None:
    limit = getattr(lm, "max_length", None)
    if not isinstance(context, str) or getattr(lm, "tokenizer", None) is None:
        return
    if not isinstance(limit, int):
        return
    n = len(lm.tok_encode(context))
    if n + length > limit:
        raise ModelError(
            f"the question has {n} tokens and {length} to answer; the limit is {limit}"
        )


def load_judge(
    model: str,
    model_args: str = "",
    *,
    name: str | None = None,
    family: str | None = None,
    identity: Mapping[str, Any] | None = None,
    structured: str = "auto",
    batch_size: str | None = None,
) -> Judge:
    """Build a judge from the name of an lm-eval model and its arguments.

    Args:
        model: As for ``lm-eval --model``.
        model_args: As for ``lm-eval --model_args``.
        name: Short name; default: made from the arguments.
        family: Family of models; default: found by the names in the hygiene file.
        identity: More facts for the fingerprint (the digest of a local checkpoint, say).
        structured: ``auto``: hold replies to the schema where the engine takes it; ``off``.
        batch_size: As for ``lm-eval --batch_size``.

    Raises:
        ModelError: Where the model cannot be built or does not answer.
        OptionError: For a name that lm-eval does not know.
    """
    from lm_eval.api.registry import get_model
    from lm_eval.utils import simple_parse_args_string

    try:
        built = get_model(model)
    except (ValueError, KeyError) as error:
        raise OptionError(f"--model {model}: {_first_line(error)}") from error
    try:
        lm = built.create_from_arg_string(
            model_args, {"batch_size": batch_size} if batch_size else {}
        )
    except (ModelError, OptionError):
        raise
    except Exception as error:  # whatever lm-eval's models raise
        raise ModelError(
            f"judge {model} ({model_args}) cannot be loaded: {_first_line(error)}"
        ) from error
    arguments = dict(simple_parse_args_string(model_args))
    called = next((str(arguments[k]) for k in _MODEL_KEYS if arguments.get(k)), model)
    fingerprint = _fingerprint(lm, model, arguments) | dict(identity or {})
    judge = Judge(
        name or called.rstrip("/").rpartition("/")[2].removesuffix(".jsonl"),
        lm,
        fingerprint,
        family or family_of(called),
    )
    if structured == "auto" and model in STRUCTURED:
        judge.structured = _takes_schema(judge)
    return judge


def _fingerprint(lm: Any, model: str, arguments: Mapping[str, Any]) -> Json:
    own = getattr(lm, "fingerprint", None)
    if callable(own):
        return dict(own())
    kept = {k: v for k, v in sorted(arguments.items()) if k not in _NO_IDENTITY}
    if isinstance(kept.get("base_url"), str):
        head, _, tail = kept["base_url"].partition("://")
        kept["base_url"] = f"{head}://{tail.partition('?')[0].rpartition('@')[2]}"
    facts: Json = {"engine": model, "arguments": {k: str(v) for k, v in kept.items()}}
    facts["lm_eval"] = importlib.metadata.version("lm_eval")
    library = {"hf": "transformers", "vllm": "vllm"}.get(model)
    if library is not None:
        facts[library] = getattr(importlib.import_module(library), "__version__", None)
    return facts


def _takes_schema(judge: Judge) -> bool:
    """Whether the endpoint answers a question with a schema; one call, two where it does not."""
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["yes", "no"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    probe = JudgeRequest(
        "probe",
        ({"role": "user", "content": 'Write {"answer": "yes"}.'},),
        ("yes", "no"),
        schema,
        {},
        {"max_new_tokens": 32, "stop": []},
    )
    judge.structured = True
    try:
        generate(judge, [probe])
    except Exception:  # whatever the endpoint makes of it
        judge.structured = False
        try:
            generate(judge, [probe])
        except Exception as error:
            raise ModelError(f"judge {judge.name} does not answer: {_first_line(error)}") from error
        log.warning("judge %s takes no schema; its replies are read as they come", judge.name)
        return False
    return True


def family_of(name: str, hygiene: HygieneSpec | None = None) -> str | None:
    """Family of a model by the names in the hygiene file; ``None`` where none is known.

    Example:
        >>> family_of("Qwen/Qwen2-Audio-7B-Instruct"), family_of("my-model")
        ('qwen', None)
    """
    spec = hygiene or registry.hygiene()[0]
    low = name.lower()
    found = [
        (len(known), family)
        for family, names in spec.families.items()
        for known in names
        if known.lower() in low
    ]
    return max(found)[1] if found else None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


# ---- a pass


@dataclass(frozen=True, slots=True)
class Settings:
    """How a pass is made.

    Attributes:
        seed: Of option orders, nonces and samples.
        swapped_share: Share of items that are judged again with the options the other way round.
        language_share: Share of items that are judged again in their own language.
        judged_family: Family of the judged model.
        own_family: What becomes of a judge of that family: ``flag`` or ``exclude``.
        chunk: Requests a call.
    """

    seed: int = 0
    swapped_share: float = SWAPPED_SHARE
    language_share: float = LANGUAGE_SHARE
    judged_family: str | None = None
    own_family: str = "flag"
    chunk: int = CHUNK


@dataclass(frozen=True, slots=True)
class ToJudge:
    """An item with the language of its text, where that is known."""

    item: Item
    language: str | None = None


@dataclass
class JudgeReport:
    """What one judge did in a pass.

    Attributes:
        answers: Item id → its judgement.
        facts: For the record of the pass, JSON-safe.
        used: Whether its judgements count.
    """

    name: str
    digest: str
    answers: dict[str, Judgement]
    facts: Json
    used: bool


def run_pass(
    store: JudgementStore,
    spec: JudgeSpec,
    digest: str,
    items: Iterable[ToJudge],
    judges: Sequence[Judge],
    settings: Settings | None = None,
) -> list[JudgeReport]:
    """Let every judge of a panel judge every item; equal items once.

    Args:
        store: Where judgements are looked up and written.
        spec: The rubric.
        digest: SHA-256 of its file.
        items: What is judged.
        judges: The panel.
        settings: How.

    Raises:
        OptionError: For a panel of two judges of the same name or identity.
        RunFailedError: Where a judge's engine never answers.
    """
    settings = settings or Settings()
    for what in ("name", "digest"):
        several = Counter(getattr(judge, what) for judge in judges)
        if (twice := several.most_common(1)) and twice[0][1] > 1:
            raise OptionError(f"two judges of the panel have the same {what}: {twice[0][0]}")
    unique = {one.item.id(spec): one for one in items}
    return [_one_judge(store, spec, digest, unique, judge, settings) for judge in judges]


def _one_judge(
    store: JudgementStore,
    spec: JudgeSpec,
    digest: str,
    items: Mapping[str, ToJudge],
    judge: Judge,
    settings: Settings,
) -> JudgeReport:
    own = judge.family is not None and judge.family == settings.judged_family
    facts: Json = {
        "name": judge.name,
        "digest": judge.digest,
        "family": judge.family,
        "own_family": own,
        "fingerprint": {**judge.fingerprint, "structured": judge.structured},
        "dropped": None,
    }
    report = JudgeReport(judge.name, judge.digest, {}, facts, used=False)
    if own and settings.own_family == "exclude":
        facts["dropped"] = f"of the judged model's own family ({judge.family})"
        return report
    asking = _Asking(store, spec, digest, judge, settings)
    if spec.task != "emulation":
        facts["canaries"] = _try_canaries(asking, items)
        share = facts["canaries"]["fooled_share"]
        if share is not None and share > MOST_FOOLED:
            facts["dropped"] = f"fell for {share:.1%} of the canaries (limit {MOST_FOOLED:.0%})"
            facts |= asking.counts()
            return report
    report.answers = asking.judge(items, "main")
    report.used = True
    if spec.task != "emulation":
        facts["swapped"] = _try_swapped(asking, items, report.answers)
        facts["language"] = _try_language(asking, items, report.answers)
    failed = [j for j in report.answers.values() if j.answer is None]
    facts["items"] = len(report.answers)
    facts["failed"] = len(failed)
    facts["problems"] = dict(Counter(j.problem or "no reply" for j in failed).most_common())
    facts |= asking.counts()
    return report


@dataclass
class _Asking:
    """One judge under one rubric."""

    store: JudgementStore
    spec: JudgeSpec
    digest: str
    judge_: Judge
    settings: Settings
    asked: int = 0
    reused: int = 0
    retried: int = 0
    errors: int = 0
    hygiene: HygieneSpec = field(default_factory=lambda: registry.hygiene()[0])

    def counts(self) -> Json:
        return {
            "asked": self.asked,
            "reused": self.reused,
            "retried": self.retried,
            "errors": self.errors,
        }

    def judge(
        self, items: Mapping[str, ToJudge], purpose: str, *, in_language: bool = False
    ) -> dict[str, Judgement]:
        """Item id → judgement; from the store, or asked."""
        found: dict[str, Judgement] = {}
        todo: list[tuple[str, str, JudgeSpec, str, JudgeRequest]] = []
        for item_id, one in items.items():
            spec, digest = self.spec, self.digest
            if in_language:
                spec, digest = registry.judge_in(spec.task, str(one.language))
            request = ask(
                spec,
                digest,
                one.item,
                seed=self.settings.seed,
                swap=purpose == "swapped",
                families=self.hygiene.families,
            )
            key = request.key(self.judge_.digest, digest)
            known = self.store.find(key)
            if known is not None:
                found[item_id] = known
                self.reused += 1
            else:
                todo.append((item_id, key, spec, digest, request))
        for at in range(0, len(todo), self.settings.chunk):
            part = todo[at : at + self.settings.chunk]
            judged = self._chunk(part, purpose)
            self.store.write(*judged)
            found.update(zip((item_id for item_id, *_ in part), judged, strict=True))
        return found

    def _chunk(
        self, part: Sequence[tuple[str, str, JudgeSpec, str, JudgeRequest]], purpose: str
    ) -> list[Judgement]:
        requests = [request for *_, request in part]
        said = self.judge_.say(requests)
        self.asked += len(requests)
        out: list[Judgement] = []
        again: list[int] = []
        for (item_id, key, spec, digest, request), text in zip(part, said, strict=True):
            row = Judgement(
                key,
                item_id,
                self.judge_.digest,
                spec.ref,
                digest,
                purpose,
                self.settings.seed,
                None,
                tuple(name for name, text in request.data.items() if text is not None),
            )
            out.append(_heard(row, spec, request, text))
            if out[-1].problem is not None:
                again.append(len(out) - 1)
        if again:
            self.retried += len(again)
            self.asked += len(again)
            retries = [requests[i].again(part[i][2], out[i].problem or "") for i in again]
            for i, request, text in zip(again, retries, self.judge_.say(retries), strict=True):
                blank = replace(out[i], problem=None, attempts=2)
                out[i] = _heard(blank, part[i][2], request, text)
        self.errors += sum(row.error is not None for row in out)
        return out


def _heard(
    row: Judgement, spec: JudgeSpec, request: JudgeRequest, text: str | Exception
) -> Judgement:
    if isinstance(text, Exception):
        return replace(row, error=_first_line(text))
    judged = hear(spec, request, text)
    return replace(
        row, answer=judged.answer, quote=judged.quote, problem=judged.problem, text=text[:4000]
    )


def _try_canaries(asking: _Asking, items: Mapping[str, ToJudge]) -> Json:
    spec = asking.spec
    menus = list(dict.fromkeys(one.item.labels for one in items.values())) or [()]
    least = math.ceil(CANARY_SHARE * len(items) / len(menus))
    tried = []
    for menu in menus:
        if spec.task == "adjudicate_label" and len(menu) < 2:
            continue
        tried += [
            (canary, Item(canary.data, menu, dimension=canary.dimension))
            for canary in canaries(
                spec, asking.hygiene, menu, least=least, seed=asking.settings.seed
            )
        ]
    judged = asking.judge({item.id(spec): ToJudge(item) for _, item in tried}, "canary")
    fooled: Counter[str] = Counter()
    n: Counter[str] = Counter()
    right = failed = 0
    for canary, item in tried:
        answer = judged[item.id(spec)].answer
        kind = f"{canary.kind} ({canary.language})"
        n[kind] += 1
        fooled[kind] += answer == canary.wanted
        right += answer in canary.expected
        failed += answer is None
    total = len(tried)
    return {
        "n": total,
        "fooled": fooled.total(),
        "fooled_share": fooled.total() / total if total else None,
        "right": right,
        "failed": failed,
        "fell_for": {kind: [k, n[kind]] for kind, k in sorted(fooled.items()) if k},
    }


def sample_of(ids: Iterable[str], share: float, least: int, seed: int, what: str) -> list[str]:
    """A seeded share of some ids, at least so many where there are so many.

    Example:
        >>> sample_of(["a", "b", "c"], 0.1, 2, 0, "x") == sample_of(["c", "b", "a"], 0.1, 2, 0, "x")
        True
    """

    def draw(one: str) -> str:
        return hashlib.sha256(f"{what}:{seed}:{one}".encode()).hexdigest()

    ordered = sorted(ids, key=draw)
    return ordered[: max(least, math.ceil(share * len(ordered)))] if share > 0 else []


def _compared(first: Mapping[str, Judgement], second: Mapping[str, Judgement]) -> Json:
    """How often two judgements of the same items differ; failed ones are left out, and counted."""
    both = [
        (first[i].answer, second[i].answer)
        for i in second
        if first[i].answer is not None and second[i].answer is not None
    ]
    differing = sum(a != b for a, b in both)
    return {
        "n": len(both),
        "failed": len(second) - len(both),
        "differing": differing,
        "share": differing / len(both) if both else None,
    }


def _try_swapped(
    asking: _Asking, items: Mapping[str, ToJudge], main: Mapping[str, Judgement]
) -> Json:
    settings = asking.settings
    chosen = sample_of(items, settings.swapped_share, LEAST_SAMPLE, settings.seed, "swapped")
    return _compared(main, asking.judge({i: items[i] for i in chosen}, "swapped"))


def _try_language(
    asking: _Asking, items: Mapping[str, ToJudge], main: Mapping[str, Judgement]
) -> Json:
    settings, spec = asking.settings, asking.spec
    able = [i for i, one in items.items() if _other_language(spec, one.language)]
    chosen = sample_of(able, settings.language_share, LEAST_SAMPLE, settings.seed, "language")
    asked = asking.judge({i: items[i] for i in chosen}, "language", in_language=True)
    return _compared(main, asked) | {
        "languages": dict(Counter(str(items[i].language) for i in chosen))
    }


def _other_language(spec: JudgeSpec, language: str | None) -> bool:
    if language is None or language.partition("-")[0] == spec.language.partition("-")[0]:
        return False
    try:
        registry.judge_in(spec.task, language)
    except UnknownNameError:
        return False
    return True


def panel_flags(reports: Sequence[JudgeReport]) -> list[str]:
    """Why a panel is less than three judges of disjoint families, none of them the judged model's."""
    used = [report for report in reports if report.used]
    flags = [f"judge {r.name} dropped: {r.facts['dropped']}" for r in reports if not r.used]
    if len(used) < 3:
        flags.append(f"{len(used)} judge(s); a panel has three or more")
    families = Counter(r.facts["family"] for r in used)
    unknown = families.pop(None, 0)
    if unknown:
        flags.append(f"{unknown} judge(s) of unknown family; name it in the panel file")
    for family, n in families.items():
        if n > 1:
            flags.append(f"{n} judges of one family ({family})")
    flags += [
        f"judge {r.name} is of the judged model's own family ({r.facts['family']})"
        for r in used
        if r.facts["own_family"]
    ]
    return flags
