"""Evaluation results as a model repository on the Hugging Face Hub holds them.

A list for ``.eval_results/<name>.yaml`` (https://huggingface.co/docs/hub/eval-results): an entry
has ``dataset`` (``id`` of a benchmark on the hub, ``task_id``), ``value``, ``date``, ``source``,
``notes``. Rates are percentages there, as in the hub's own examples. Which dataset on the hub a
corpus is, is not ours to guess: the caller names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import yaml

from ...errors import OptionError
from ...records import Json
from ..model import Results
from .values import Measured, measured, nothing_of


def to_hub(
    results: Results,
    datasets: Mapping[str, str],
    metrics: Sequence[str] | None = None,
    *,
    policy: str = "strict",
    source: str | None = None,
) -> str:
    """The list as YAML.

    Args:
        results: The results of one run.
        datasets: Corpus id → dataset id on the hub.
        metrics: Names; default: ``uar``. Where a task has one number, ``task_id`` is the task's
            name; where it has several, the metric's name stands after it.
        policy: How non-answers count in hard rates.
        source: Address at which the results or the replies are published.

    Raises:
        OptionError: For a corpus without a dataset id, or where no task has any of the metrics.
        UnknownNameError: For a metric that is in none of the tasks.
    """
    wanted = ("uar",) if metrics is None else metrics
    found = [one for one in measured(results, wanted, policy) if one.value is not None]
    if not found:
        raise OptionError(nothing_of([results], wanted))
    missing = sorted({str(one.task.corpus.get("id")) for one in found} - datasets.keys())
    if missing:
        raise OptionError(
            f"which dataset on the hub is {' and '.join(missing)}? Say it with --dataset "
            f"{missing[0]}=OWNER/NAME; the hub lists results only under a dataset that is a benchmark"
        )
    numbers = Counter(one.task.task for one in found)
    entries = [_entry(results, one, datasets, numbers[one.task.task] > 1, source) for one in found]
    return yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=1000)


def _entry(
    results: Results, one: Measured, datasets: Mapping[str, str], several: bool, source: str | None
) -> Json:
    task = one.task
    name = f"{one.metric}.{one.policy}" if one.policy else one.metric
    entry: Json = {
        "dataset": {
            "id": datasets[str(task.corpus.get("id"))],
            "task_id": f"{task.task}.{name}" if several else task.task,
        },
        "value": _value(one),
        "date": results.created,
    }
    if source is not None:
        entry["source"] = {"url": source, "name": "VoxEmo Tasks results"}
    entry["notes"] = "; ".join(_notes(results, one, name))
    return entry


def _value(one: Measured) -> float | None:
    return round(100 * one.value, 4) if one.is_rate and one.value is not None else one.value


def _notes(results: Results, one: Measured, name: str) -> list[str]:
    task, interval = one.task, one.interval
    notes = [task.notice] if task.notice else []
    notes += [f"no headline: {why}" for why in task.reasons if why != task.notice]
    scale = 100 if one.is_rate else 1
    unit = " in percent" if one.is_rate else f" in {one.unit}" if one.unit else ""
    notes.append(f"{name}{unit}, n = {one.n}")
    if interval is not None and interval.low is not None and interval.high is not None:
        notes.append(
            f"{100 * interval.level:g} % interval [{scale * interval.low:.2f}, "
            f"{scale * interval.high:.2f}] ({interval.method})"
        )
    notes.append(f"{task.protocol}, fold {task.fold}, {task.role}")
    notes.append(f"prompts {', '.join(str(prompt['id']) for prompt in task.prompts)}")
    notes.append(f"verbalizer {task.verbalizer.get('id')}")
    notes.append(f"voxemo-tasks {results.voxemo_tasks}")
    return notes
