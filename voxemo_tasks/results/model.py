"""The results JSON: what stands in it, as pydantic models; the JSON Schema is made from these.

No NaN: a number that does not exist is ``null`` and has a reason. Rates are fractions.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Base: no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Interval(Model):
    """A confidence interval, or the reason why there is none."""

    low: float | None
    high: float | None
    level: float
    method: str
    n_clusters: int
    cluster: str | None = Field(description="What was resampled: speaker, or null for utterances.")
    replicates: int
    seed: int
    reason: str | None = None


class Number(Model):
    """A rate with what it rests on."""

    value: float | None
    n: int = Field(description="Utterances in the denominator's population.")
    interval: Interval
    method: str = Field(description="How the rate is defined.")


class Rate(Model):
    """A hard rate under both policies, with its bounds."""

    strict: Number = Field(description="A non-answer is wrong. The headline.")
    answered: Number = Field(description="Answered utterances only; read beside the coverage.")
    worst: float | None = Field(description="Every non-answer wrong.")
    best: float | None = Field(description="Every non-answer right.")


class ConfusionTable(Model):
    """Counts: rows are gold labels, columns predicted labels, the last column non-answers."""

    rows: list[str]
    columns: list[str]
    counts: list[list[int]]


class PerLabel(Model):
    """A label's own rates, strict."""

    label: str
    n: int
    recall: float | None
    precision: float | None
    f1: float | None


class Counts(Model):
    """What became of the utterances and replies of a task."""

    selected: int = Field(description="Utterances that the task selects in the corpus.")
    excluded: dict[str, int] = Field(description="Reason → utterances left out by the selection.")
    asked: int = Field(description="Utterances that were asked about (--limit, --samples).")
    scored: int = Field(description="Asked, and not lost to our own failures.")
    failed: int = Field(description="Asked, but engine or judge failed on all replies.")
    missing: int = Field(description="Asked, but no reply is stored (an interrupted run).")
    missing_replies: int = Field(description="Asked (prompts × samples), but not stored.")
    replies: int
    statuses: dict[str, int] = Field(description="Status → utterances.")
    reply_statuses: dict[str, int] = Field(description="Status → replies.")
    cut: int = Field(description="Replies that ran into the token limit, answered or not.")
    partly_heard: int = Field(description="Replies to clips longer than the model can hear.")


class Heard(Model):
    """Audio of the scored replies, in seconds."""

    supplied_s: float
    heard_s: float


class FactorEffect(Model):
    """What one choice of reading does to a rate."""

    means: dict[str, float] = Field(description="Level → mean of the rate over all else.")
    share: float | None = Field(description="Of the variance over readings; null without any.")


class Emulated(Model):
    """What another suite's parser would have made of the same replies."""

    uar: float | None
    wa: float
    coverage: float


class Sensitivity(Model):
    """A rate under every combination of readings."""

    metric: str
    registered: float | None = Field(description="Under the registered reading.")
    n_readings: int
    low: float | None
    low_reading: dict[str, str] | None
    high: float | None
    high_reading: dict[str, str] | None
    factors: dict[str, FactorEffect]
    values: list[float | None] = Field(description="Of every reading, in the design's order.")
    emulations: dict[str, Emulated]


class RankStability(Model):
    """Whether models keep their order when their replies are read otherwise."""

    models: list[str]
    n_readings: int
    tau_median: float
    tau_min: float
    same_winner: float = Field(description="Share of readings with the registered best model.")


class Verified(Model):
    """A judge of a pass, and how well it held."""

    name: str
    digest: str
    family: str | None
    own_family: bool = Field(description="Whether it is of the judged model's family.")
    used: bool
    dropped: str | None = Field(description="Why it was not used.")
    canaries: dict[str, Any] | None
    swapped: dict[str, Any] | None = Field(
        description="Judged again with the options the other way round; share that changed."
    )
    language: dict[str, Any] | None = Field(
        description="Judged again in the reply's own language; share that changed."
    )
    failed: int
    items: int


class JudgedRates(Model):
    """Hard rates of one way of reading."""

    n: int = Field(description="Utterances that count.")
    failed: int = Field(description="Utterances left out because the judges failed on them.")
    rates: dict[str, Number] = Field(description="Strict: uar, wa, macro_f1, coverage.")


class JudgedEffect(Model):
    """What reading otherwise does to a rate, on the utterances that both readings have."""

    metric: str
    value: float | None
    n: int
    interval: Interval


class Judged(Model):
    """Rules only, rules and judge, judge only, side by side."""

    rubric: dict[str, Any]
    seed: int
    rows: str = Field(description="Which replies were judged: residue, all, or a sample.")
    headline: bool = Field(description="Whether the rates with a judge may be quoted.")
    reasons: list[str]
    judges: list[Verified]
    replies: dict[str, int] = Field(description="Replies: all, judged, failed, flagged, changed.")
    agreement: dict[str, Any] | None = Field(
        description="Krippendorff's alpha between the judges, nominal; null for one judge."
    )
    rules: JudgedRates
    rules_and_judge: JudgedRates
    judge: JudgedRates | None = Field(description="Null where only the residue was judged.")
    effects: dict[str, list[JudgedEffect]] = Field(
        description="rules_and_judge and judge → rate less that of the rules alone."
    )
    without: dict[str, float | None] = Field(
        description="Judge → uar of rules and judge by the panel without it."
    )


class TaskResult(Model):
    """One task of one model."""

    task: str
    notice: str | None = Field(description="'synthetic, not a result' where that is so.")
    headline: bool = Field(description="Whether the strict rates may be quoted as this task's.")
    reasons: list[str] = Field(description="Why not, where not.")
    corpus: dict[str, Any]
    label_set: dict[str, Any] | None = Field(description="Null where ratings were asked for.")
    dimensions: list[str] = Field(default_factory=list)
    scale: list[float] | None = None
    protocol: str
    fold: int | Literal["all"]
    role: str
    tier: str
    prompts: list[dict[str, Any]]
    ensemble: dict[str, Any] | None = None
    members: list[dict[str, Any]] = Field(
        default_factory=list, description="The questions: prompt, and how it offered the labels."
    )
    decoding: dict[str, Any]
    verbalizer: dict[str, Any]
    options: dict[str, Any]
    documents_sha256: str
    counts: Counts
    audio: Heard
    hard: dict[str, Rate]
    per_label: list[PerLabel]
    confusion: ConfusionTable | None
    sensitivity: Sensitivity | None = Field(
        default=None, description="Null where it was switched off or nothing is to be varied."
    )
    judged: Judged | None = Field(default=None, description="Null where no judge has read.")
    rubrics: list[dict[str, Any]] = Field(
        default_factory=list,
        description="What judges said under other rubrics, and emulations of other suites.",
    )
    baselines: dict[str, dict[str, float | None]] = Field(
        description="chance (uniform over the menu) and majority → rate → value."
    )


class Session(Model):
    """A process that wrote into the run folder."""

    id: str
    started: str | None
    finished: str | None
    wall_s: float | None
    replies_written: int
    replies_reused: int
    engine: dict[str, Any] = Field(default_factory=dict)


class Results(Model):
    """The results of one run folder."""

    schema_: Literal["voxemo-results/1"] = Field(alias="schema")
    voxemo_tasks: str = Field(description="Version of the package that computed them.")
    created: str
    notice: str | None
    run: str = Field(description="The run folder, for people; nothing depends on it.")
    model: dict[str, Any] = Field(
        description="Fingerprint: model, revision, engine, version, dtype."
    )
    fingerprint_sha256: str
    damaged_lines: int
    sessions: list[Session]
    tasks: dict[str, TaskResult]
