"""Judges from the names of lm-eval models: their identity, their family, and whether they take a schema."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
from collections.abc import Mapping
from typing import Any

from .. import registry
from ..adjudicate import JudgeRequest
from ..errors import ModelError, OptionError
from ..records import Json
from ..specs import HygieneSpec
from .engines import Judge, first_line, generate

log = logging.getLogger(__name__)

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
        raise OptionError(f"--model {model}: {first_line(error)}") from error
    try:
        lm = built.create_from_arg_string(
            model_args, {"batch_size": batch_size} if batch_size else {}
        )
    except (ModelError, OptionError):
        raise
    except Exception as error:  # whatever lm-eval's models raise
        raise ModelError(
            f"judge {model} ({model_args}) cannot be loaded: {first_line(error)}"
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
            raise ModelError(f"judge {judge.name} does not answer: {first_line(error)}") from error
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
