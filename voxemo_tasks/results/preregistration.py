"""Pre-registration: what was planned, locked with digests, and how a run departs from it.

Conventions
-----------
plan        what a researcher writes before any reply is seen: hypotheses, corpora with protocol,
            prompts, verbalizer, primary metrics, exclusions, seeds
locked      the plan with every choice made explicit (defaults too) and the SHA-256 of every
            registered file, under one digest of all of it: a changed character shows
departure   anything that was done otherwise: a task more or less, another menu, prompt, verbalizer,
            option or seed, utterances that were not asked, another judge or none.
            Options that a locked choice already says (protocol, prompts …) are compared by what they
            came to, not by their spelling
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from .. import registry
from ..errors import DataRoomError, PlanError
from ..metrics.hard import HARD_METRICS
from ..records import Json, digest_of
from ..specs import Spec
from .exporting.values import measured, require_known
from .model import Departure, Preregistration, Results, TaskResult

RESOLVED = frozenset({"protocol", "fold", "role", "label_set", "prompts", "ensemble", "verbalizer"})
"""Options that stand in a locked task by what they came to."""

JUDGE_MISSING = "judge_missing"
"""Kind of departure that a run is bound to end with: judges read what it has stored."""

BLOCKS = ("soft.", "calibration.", "valence.", "arousal.", "dominance.")
"""Beginnings of metrics that are no hard rates."""


class Registered(Spec):
    """A registered file."""

    id: str
    sha256: str | None = Field(description="Null for prompts of imported replies.")


class PlannedCorpus(Spec):
    """Tasks on one corpus; what is left out is its card's choice."""

    corpus: str
    tiers: list[str] = Field(min_length=1)
    protocol: str | None = None
    fold: int | Literal["all"] | None = None
    role: str = "test"
    label_set: str | None = None


class Seeds(Spec):
    """Seeds of whatever is drawn at random."""

    bootstrap: int | None = Field(default=None, description="Of the intervals (voxemo score).")
    generation: int | None = Field(default=None, description="Of sampled replies (lm-eval --seed).")


class PlannedMetrics(Spec):
    """Names as in tables: uar, wa, soft.jsd, calibration.gap, valence.ccc …"""

    primary: list[str] = Field(min_length=1)
    secondary: list[str] = Field(default_factory=list)


class PlanSpec(Spec):
    """A plan as it is written."""

    schema_: Literal["voxemo-plan/1"] = Field(alias="schema")
    title: str
    hypotheses: list[str] = Field(min_length=1)
    corpora: list[PlannedCorpus] = Field(min_length=1)
    models: list[str] = Field(default_factory=list, description="None named: any model.")
    prompts: list[str] = Field(default_factory=list, description="None: each tier's own.")
    ensemble: str | None = None
    verbalizer: str | None = Field(default=None, description="Null: the prompts' own.")
    judge: str | None = None
    options: dict[str, Any] = Field(
        default_factory=dict, description="All other keys of --metadata (samples, label_order …)."
    )
    metrics: PlannedMetrics
    exclusions: list[str] = Field(default_factory=list)
    seeds: Seeds = Field(default_factory=Seeds)
    limit: int | None = Field(default=None, ge=1, description="Utterances a task; null: all.")
    notes: str | None = None


class LockedTask(Spec):
    """One task with every choice made; of a plan or of what was done."""

    task: str
    corpus: str
    card_sha256: str | None
    labels: list[str]
    merge: dict[str, str]
    protocol: str
    fold: int | Literal["all"]
    role: str
    prompts: list[Registered]
    ensemble: Registered | None
    verbalizer: Registered
    decoding: dict[str, dict[str, Any]]
    options: dict[str, Any]


class LockedPlan(Spec):
    """A plan as it is locked."""

    schema_: Literal["voxemo-preregistration/1"] = Field(alias="schema")
    title: str
    locked: str
    voxemo_tasks: str
    hypotheses: list[str]
    models: list[str]
    judge: Registered | None
    metrics: PlannedMetrics
    exclusions: list[str]
    seeds: Seeds
    limit: int | None
    notes: str | None
    tasks: list[LockedTask]
    plan_sha256: str = Field(description="Of all that stands above.")


def read_plan(path: Path) -> PlanSpec:
    """Read a plan strictly.

    Raises:
        PlanError: With file, line and key of what is wrong.
        UnknownNameError: For a metric that does not exist.
    """
    try:
        plan, _ = registry.load_document(path, PlanSpec, registry.schema_of(PlanSpec))
    except DataRoomError as error:
        raise PlanError(str(error)) from error
    twice = RESOLVED & plan.options.keys()
    if twice:
        raise PlanError(
            f"{path}, key options: {', '.join(sorted(twice))} stands at the top of the plan or with "
            "its corpus, not among the options"
        )
    named = [*plan.metrics.primary, *plan.metrics.secondary]
    require_known([name for name in named if not name.startswith(BLOCKS)], HARD_METRICS)
    return plan


def lock(plan: PlanSpec, tasks: Sequence[LockedTask], *, locked: str, version: str) -> LockedPlan:
    """The locked plan.

    Args:
        plan: The plan as written.
        tasks: Its tasks with every choice made.
        locked: When, ISO 8601.
        version: Of the package.
    """
    judge = None
    if plan.judge is not None:
        spec, digest = registry.judge(plan.judge)
        judge = Registered(id=spec.ref, sha256=digest)
    content: Json = {
        "schema": "voxemo-preregistration/1",
        **{"title": plan.title, "locked": locked, "voxemo_tasks": version},
        **{"hypotheses": plan.hypotheses, "models": plan.models},
        "judge": None if judge is None else judge.model_dump(),
        "metrics": plan.metrics.model_dump(),
        "exclusions": plan.exclusions,
        "seeds": plan.seeds.model_dump(),
        **{"limit": plan.limit, "notes": plan.notes},
        "tasks": [task.model_dump() for task in tasks],
    }
    return LockedPlan.model_validate({**content, "plan_sha256": digest_of(content)})


def to_yaml(locked: LockedPlan) -> str:
    """The text of a locked file."""
    data = locked.model_dump(mode="json", by_alias=True)
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Dumper(yaml.SafeDumper):
    """Texts in quotes, so that no reader takes one for a number or a date."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = text.isidentifier() and text.isascii()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _quoted)


def read_locked(path: Path) -> tuple[LockedPlan, str]:
    """A locked file, and the SHA-256 of its bytes.

    Raises:
        PlanError: For a file that is none, or that was changed after it was locked.
    """
    try:
        locked, document = registry.load_document(path, LockedPlan, registry.schema_of(LockedPlan))
    except DataRoomError as error:
        raise PlanError(
            f"{error}. A locked file is what `voxemo prereg plan.yaml` writes, unchanged"
        ) from error
    content = {key: value for key, value in document.data.items() if key != "plan_sha256"}
    found = digest_of(content)
    if found != locked.plan_sha256:
        raise PlanError(
            f"{path} was changed after it was locked on {locked.locked}: its content has SHA-256 "
            f"{found}, it was locked with {locked.plan_sha256}. Restore it, or lock the new plan "
            "under a new name"
        )
    return locked, document.sha256


# --- comparing ------------------------------------------------------------------------------


def facts_of(task: TaskResult) -> LockedTask:
    """What was done in a task, in the form of a plan."""
    label_set = task.label_set or {}
    ensemble = task.ensemble
    return LockedTask(
        task=task.task,
        corpus=str(task.corpus.get("id")),
        card_sha256=task.corpus.get("card_sha256"),
        labels=list(label_set.get("labels", ())),
        merge=dict(label_set.get("merge", {})),
        protocol=task.protocol,
        fold=task.fold,
        role=task.role,
        prompts=[Registered(id=p["id"], sha256=p.get("sha256")) for p in task.prompts],
        ensemble=None
        if ensemble is None
        else Registered(id=ensemble["id"], sha256=ensemble.get("sha256")),
        verbalizer=Registered(id=task.verbalizer["id"], sha256=task.verbalizer.get("sha256")),
        decoding=dict(task.decoding),
        options={key: v for key, v in task.options.items() if key not in RESOLVED},
    )


def departures(locked: LockedPlan, results: Results) -> list[Departure]:
    """Everything in which results depart from a plan, tasks in the order of the plan."""
    found: list[Departure] = []
    model = str(results.model.get("model"))
    found += model_departures(locked, model)
    seed = locked.seeds.bootstrap
    done_seed = None if results.scoring is None else results.scoring.seed
    if seed is not None and done_seed != seed:
        found.append(_departure("seed", None, "seed of the bootstrap", seed, done_seed))
    found += task_departures(locked, [facts_of(task) for task in results.tasks.values()])
    planned = {task.task: task for task in locked.tasks}
    for name in planned:
        if name not in results.tasks:
            found.append(
                Departure(
                    kind="task_missing", task=name, planned=name, done=None, text="was not done"
                )
            )
    numbers = {(one.task.task, one.metric) for one in measured(results)}
    for name, result in results.tasks.items():
        if name not in planned:
            continue
        found += _asked(locked, result)
        found += _judges(locked, result)
        for metric in locked.metrics.primary:
            if (name, metric) not in numbers:
                found.append(_departure("metric", name, "primary metric", metric, None))
    return found


def model_departures(locked: LockedPlan, model: str) -> list[Departure]:
    """Whether a model is one of the plan's, where it names any."""
    if not locked.models or model in locked.models:
        return []
    return [_departure("model", None, "model", locked.models, model)]


def task_departures(locked: LockedPlan, done: Sequence[LockedTask]) -> list[Departure]:
    """How tasks depart from the plan's; tasks that are missing are not looked for.

    Example:
        >>> plan = LockedPlan.model_construct(tasks=[])
        >>> task_departures(plan, [])
        []
    """
    planned = {task.task: task for task in locked.tasks}
    found: list[Departure] = []
    for task in done:
        if task.task not in planned:
            found.append(
                Departure(
                    kind="task_not_planned",
                    task=task.task,
                    planned=None,
                    done=task.task,
                    text=f"is not planned; planned: {', '.join(planned)}",
                )
            )
        else:
            found += _compare(planned[task.task], task, locked.seeds.generation)
    return found


def hold(locked: LockedPlan, file_sha256: str, results: Results) -> Results:
    """Results with the plan and the departures from it on record."""
    return results.model_copy(
        update={
            "preregistration": Preregistration(
                file_sha256=file_sha256,
                plan_sha256=locked.plan_sha256,
                title=locked.title,
                locked=locked.locked,
                departures=departures(locked, results),
            )
        }
    )


def _compare(planned: LockedTask, done: LockedTask, seed: int | None) -> Iterator[Departure]:
    name = planned.task
    for kind, what in (
        *(("corpus", "corpus"), ("card_sha256", "card of the corpus (SHA-256)")),
        *(("labels", "menu"), ("merge", "merged labels"), ("protocol", "protocol")),
        *(("fold", "fold"), ("role", "role")),
    ):
        before, after = getattr(planned, kind), getattr(done, kind)
        if before != after:
            yield _departure(
                "label_set" if kind in ("labels", "merge") else kind, name, what, before, after
            )
    yield from _prompts(planned, done)
    for kind in ("ensemble", "verbalizer"):
        before, after = getattr(planned, kind), getattr(done, kind)
        if before != after:
            yield _departure(kind, name, kind, _shown(before), _shown(after))
    for key, value in planned.options.items():
        if done.options.get(key) != value:
            yield _departure("option", name, f"option {key}", value, done.options.get(key))
    for prompt, settings in done.decoding.items():
        yield from _decoding(name, prompt, planned.decoding.get(prompt, {}), settings, seed)


def _prompts(planned: LockedTask, done: LockedTask) -> Iterator[Departure]:
    before = {prompt.id: prompt.sha256 for prompt in planned.prompts}
    after = {prompt.id: prompt.sha256 for prompt in done.prompts}
    for ref, digest in after.items():
        if ref not in before:
            yield _departure("prompt", planned.task, "prompt", sorted(before), ref)
        elif before[ref] != digest:
            yield _departure("prompt", planned.task, f"prompt {ref} (SHA-256)", before[ref], digest)
    # Of a prompt per language only those are asked in whose language there are utterances.
    if planned.options.get("prompt_language") != "corpus":
        for ref in before:
            if ref not in after:
                yield _departure("prompt", planned.task, "prompt", ref, None)


def _decoding(
    task: str, prompt: str, planned: Mapping[str, Any], done: Mapping[str, Any], seed: int | None
) -> Iterator[Departure]:
    for key, value in planned.items():
        if key != "seed" and done.get(key) != value:
            yield _departure("decoding", task, f"{key} of {prompt}", value, done.get(key))
    if seed is not None and done.get("seed") not in (None, seed):
        yield _departure("seed", task, f"seed of {prompt}", seed, done["seed"])


def _asked(locked: LockedPlan, result: TaskResult) -> Iterator[Departure]:
    counts = result.counts
    wanted = counts.selected if locked.limit is None else min(locked.limit, counts.selected)
    if counts.asked != wanted:
        yield _departure("utterances", result.task, "utterances asked", wanted, counts.asked)
    if counts.missing_replies:
        yield _departure("replies", result.task, "replies missing", 0, counts.missing_replies)


def _judges(locked: LockedPlan, result: TaskResult) -> Iterator[Departure]:
    """The rubric that judges were asked by, against the planned one; other ones are departures too."""
    planned = locked.judge
    done = [
        Registered(id=str(rubric.get("id")), sha256=rubric.get("sha256"))
        for rubric in [
            *([] if result.judged is None else [result.judged.rubric]),
            *(one.rubric for one in result.rubrics),
        ]
    ]
    for judge in dict.fromkeys((one.id, one.sha256) for one in done):
        if planned is None or judge != (planned.id, planned.sha256):
            other = Registered(id=judge[0], sha256=judge[1])
            yield _departure("judge", result.task, "judge", _shown(planned), _shown(other))
    # A judge reads labels; a task that asks for ratings has nothing for it.
    if planned is not None and planned not in done and result.label_set is not None:
        yield _departure(JUDGE_MISSING, result.task, "judge", _shown(planned), None)


def _shown(file: Registered | None) -> str | None:
    return None if file is None else f"{file.id} (SHA-256 {file.sha256})"


def _departure(kind: str, task: str | None, what: str, planned: Any, done: Any) -> Departure:
    return Departure(
        kind=kind,
        task=task,
        planned=planned,
        done=done,
        text=f"{what}: planned {_say(planned)}, done {_say(done)}",
    )


def _say(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
