"""CSV: a row per run, task, metric and policy, with all that a reader needs to trust it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ...records import Json
from ..model import Results
from .values import Measured, measured, require_known

COLUMNS = (
    *("model", "revision", "engine", "engine_version", "task", "corpus", "tier", "protocol"),
    *("fold", "role", "label_set", "metric", "policy", "value", "n", "low", "high", "level"),
    *("interval_method", "n_clusters", "cluster", "replicates", "seed", "better", "unit"),
    *("headline", "notice", "prompts", "prompts_sha256", "verbalizer", "verbalizer_sha256"),
    *("documents_sha256", "manifest_sha256", "card_sha256", "fingerprint_sha256"),
    *("voxemo_tasks", "created"),
)


def to_csv(
    several: Sequence[Results], metrics: Sequence[str] | None = None, policy: str | None = None
) -> str:
    """The table, with its head; what does not exist is an empty cell, rates are fractions.

    Raises:
        UnknownNameError: For a metric that is in none of the results.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    found = [(results, measured(results, None, policy)) for results in several]
    if metrics is not None:
        require_known(metrics, [one.metric for _, numbers in found for one in numbers])
    for results, numbers in found:
        for one in numbers:
            if metrics is None or one.metric in metrics:
                writer.writerow(_row(results, one))
    return out.getvalue()


def _row(results: Results, one: Measured) -> Json:
    task, interval = one.task, one.interval
    row: Json = {
        **{key: results.model.get(key) for key in ("model", "revision", "engine")},
        "engine_version": results.model.get("engine_version"),
        "task": task.task,
        "corpus": task.corpus.get("id"),
        "tier": task.tier,
        "protocol": task.protocol,
        "fold": task.fold,
        "role": task.role,
        "label_set": None if task.label_set is None else task.label_set.get("id"),
        "metric": one.metric,
        "policy": one.policy,
        "value": one.value,
        "n": one.n,
        "better": one.better,
        "unit": one.unit,
        "headline": "yes" if task.headline else "no",
        "notice": task.notice,
        "prompts": ";".join(str(prompt["id"]) for prompt in task.prompts),
        "prompts_sha256": ";".join(str(prompt.get("sha256") or "") for prompt in task.prompts),
        "verbalizer": task.verbalizer.get("id"),
        "verbalizer_sha256": task.verbalizer.get("sha256"),
        "documents_sha256": task.documents_sha256,
        "manifest_sha256": task.corpus.get("manifest_sha256"),
        "card_sha256": task.corpus.get("card_sha256"),
        "fingerprint_sha256": results.fingerprint_sha256,
        "voxemo_tasks": results.voxemo_tasks,
        "created": results.created,
    }
    if interval is not None:
        row |= {
            key: getattr(interval, key)
            for key in ("low", "high", "level", "n_clusters", "cluster", "replicates", "seed")
        }
        row["interval_method"] = interval.method
    # Shortest digits that give the same float again: what is exported can be verified.
    return {key: repr(v) if isinstance(v, float) else v for key, v in row.items()}
