"""Every Eval Ever, schema 0.3.0: one JSON a run, an entry per task, metric and policy.

The format (https://github.com/evaleval/every_eval_ever; arXiv 2606.14516) knows neither audio nor
soft labels, and every extra must be text: our own results JSON stays the source, this is a view of
it. Signed quantities without a better end (a calibration gap) are left out, as are numbers that do
not exist.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ... import registry
from ...errors import OptionError, UnknownNameError
from ...records import Json
from ..model import Results, TaskResult
from .values import Measured, measured

SCHEMA_VERSION = "0.3.0"
RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")
SELF_DEPLOYED = ("transformers", "vllm")
KINDS = {
    **{"uar": "balanced_accuracy", "wa": "accuracy", "coverage": "coverage"},
    **dict.fromkeys(("macro_f1", "weighted_f1", "micro_f1"), "f1"),
    "macro_precision": "precision",
}


def to_eee(
    results: Results,
    metrics: Sequence[str] | None = None,
    *,
    policy: str | None = None,
    organization: str = "unknown",
    relationship: str = "other",
) -> str:
    """The record as JSON.

    Args:
        results: The results of one run.
        metrics: Names; default: all with a better end.
        policy: Hard rates under this policy alone.
        organization: Who ran the evaluation.
        relationship: Of the evaluator to the model: one of ``RELATIONSHIPS``.

    Raises:
        OptionError: For a relationship that the format does not know.
        UnknownNameError: For a metric that is in none of the tasks.
    """
    if relationship not in RELATIONSHIPS:
        raise OptionError(
            f"relationship {relationship!r} is none of the format's: {', '.join(RELATIONSHIPS)}"
        )
    model = str(results.model.get("model") or "unknown")
    stamp = str(int(datetime.fromisoformat(results.created).timestamp()))
    started = [session.started for session in results.sessions if session.started]
    record: Json = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"voxemo_tasks/{model.replace('/', '_')}/{stamp}",
        **({"evaluation_timestamp": min(started)} if started else {}),
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": "VoxEmo Tasks",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": relationship,
            "additional_details": texts(
                {
                    "notice": results.notice,
                    "fingerprint_sha256": results.fingerprint_sha256,
                    "preregistration": _plan(results),
                }
            ),
        },
        "eval_library": {
            "name": "voxemo_tasks",
            "version": results.voxemo_tasks,
            "additional_details": texts({"results_schema": results.schema_}),
        },
        "model_info": _model(results.model, model),
        "evaluation_results": [
            _entry(one)
            for one in measured(results, metrics, policy)
            if one.value is not None and one.better in ("highest", "lowest")
        ],
    }
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as the text that the format wants; what is not known is left out.

    Example:
        >>> texts({"fold": 1, "seeds": [1, 2], "notice": None, "headline": True})
        {'fold': '1', 'seeds': '[1, 2]', 'headline': 'true'}
    """
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in facts.items()
        if value is not None
    }


def _plan(results: Results) -> Json | None:
    plan = results.preregistration
    if plan is None:
        return None
    return {"file_sha256": plan.file_sha256, "departures": [one.text for one in plan.departures]}


def _model(fingerprint: Mapping[str, Any], name: str) -> Json:
    engine = str(fingerprint.get("engine") or "unknown")
    deployed = "self_deployed" if engine in SELF_DEPLOYED else "unknown"
    if engine in ("api", "openai"):
        deployed = "externally_managed"
    facts = {
        key: fingerprint.get(key)
        for key in fingerprint
        if key not in ("model", "engine", "engine_version")
    }
    version = fingerprint.get("engine_version")
    return {
        "name": name,
        "id": name,
        **({"developer": name.split("/")[0]} if "/" in name else {}),
        "inference_engine": {"name": engine, **({"version": str(version)} if version else {})},
        "additional_details": {
            "deployment_type": deployed,
            "model_availability": "unknown",
            **texts(facts),
        },
    }


def _entry(one: Measured) -> Json:
    task, interval = one.task, one.interval
    uncertainty: Json = {"num_samples": one.n}
    if interval is not None and interval.low is not None and interval.high is not None:
        uncertainty["confidence_interval"] = {
            "lower": interval.low,
            "upper": interval.high,
            "confidence_level": interval.level,
            "method": interval.method,
        }
        if "bootstrap" in interval.method:
            uncertainty["num_bootstrap_samples"] = interval.replicates
    name = f"{one.metric}.{one.policy}" if one.policy else one.metric
    about = [one.definition, *([f"no headline: {'; '.join(task.reasons)}"] if task.reasons else [])]
    described = ". ".join(text for text in about if text)
    return {
        "evaluation_result_id": f"{task.task}/{name}",
        "evaluation_name": task.task,
        "source_data": _source(task),
        "metric_config": {
            **({"evaluation_description": described} if described else {}),
            "metric_id": f"voxemo_tasks.{name}",
            "metric_name": name,
            "metric_kind": KINDS.get(one.metric, one.metric.rpartition(".")[2]),
            **({"metric_unit": "proportion"} if one.is_rate else {}),
            **({"metric_unit": one.unit} if one.unit else {}),
            "metric_parameters": {"policy": one.policy} if one.policy else {},
            "lower_is_better": one.better == "lowest",
            "score_type": "continuous",
            "min_score": one.low,
            "max_score": one.high,
        },
        "score_details": {
            "score": one.value,
            "details": texts({"headline": task.headline, "notice": task.notice, "n": one.n}),
            "uncertainty": uncertainty,
        },
        "generation_config": _generation(task),
    }


def _source(task: TaskResult) -> Json:
    facts = texts({key: value for key, value in task.corpus.items() if key != "name"})
    facts |= texts({"protocol": task.protocol, "fold": task.fold, "role": task.role})
    name = str(task.corpus.get("name") or task.corpus.get("id") or task.task)
    try:
        url = registry.corpus(str(task.corpus.get("id")))[0].url
    except UnknownNameError:
        url = None
    where: Json = {"source_type": "url", "url": [url]} if url else {"source_type": "other"}
    return {"dataset_name": name, **where, "additional_details": facts}


def _generation(task: TaskResult) -> Json:
    """Decoding, where all prompts share it; whatever else the numbers hang on, as text."""
    arguments: Json = {}
    decodings = list(task.decoding.values())
    for ours, theirs in (
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("top_k", "top_k"),
        ("max_new_tokens", "max_tokens"),
    ):
        values = [one[ours] for one in decodings if isinstance(one, dict) and ours in one]
        if values and len(values) == len(decodings) and len(set(values)) == 1:
            arguments[theirs] = values[0]
    facts = {
        "prompts": task.prompts,
        "ensemble": task.ensemble,
        "decoding": task.decoding,
        "verbalizer": {key: task.verbalizer.get(key) for key in ("id", "sha256", "run_with")},
        "label_set": task.label_set,
        "options": task.options,
        "documents_sha256": task.documents_sha256,
    }
    return {"generation_args": arguments, "additional_details": texts(facts)}
