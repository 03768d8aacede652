"""The results JSON: what stands in it, as pydantic models; the JSON Schema is made from these.

A task's result and the whole stand here, the blocks in modules of their own (``*_model.py``), of which
every model is a name of this module too. No NaN: a number that does not exist is ``null`` and has a
reason. Rates are fractions.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .basics import Interval as Interval
from .basics import Model as Model
from .basics import RandomEffects as RandomEffects
from .basics import Spread as Spread
from .basics import Value as Value
from .choices_model import Emulated as Emulated
from .choices_model import EntropySplit as EntropySplit
from .choices_model import FactorEffect as FactorEffect
from .choices_model import PromptSensitivity as PromptSensitivity
from .choices_model import PromptSpread as PromptSpread
from .choices_model import RankStability as RankStability
from .choices_model import Sensitivity as Sensitivity
from .choices_model import WithChoices as WithChoices
from .groups_model import Association as Association
from .groups_model import Gaps as Gaps
from .groups_model import GroupRate as GroupRate
from .groups_model import Groups as Groups
from .hard_model import AgainstWords as AgainstWords
from .hard_model import ConfusionTable as ConfusionTable
from .hard_model import CrossedInterval as CrossedInterval
from .hard_model import Number as Number
from .hard_model import PerLabel as PerLabel
from .hard_model import Rate as Rate
from .hard_model import TranscriptBaseline as TranscriptBaseline
from .judge_model import Corrected as Corrected
from .judge_model import Judged as Judged
from .judge_model import JudgedEffect as JudgedEffect
from .judge_model import JudgedRates as JudgedRates
from .judge_model import Measured as Measured
from .judge_model import OwnFamily as OwnFamily
from .judge_model import RubricReport as RubricReport
from .judge_model import Verified as Verified
from .probes.model import Probes
from .probes.model import Validity as Validity
from .provenance_model import BaselineRun as BaselineRun
from .provenance_model import Departure as Departure
from .provenance_model import Preregistration as Preregistration
from .provenance_model import Scoring as Scoring
from .provenance_model import Session as Session
from .ratings_model import Ceiling as Ceiling
from .ratings_model import Continuous as Continuous
from .ratings_model import ConversationScore as ConversationScore
from .ratings_model import Delay as Delay
from .ratings_model import Dimensional as Dimensional
from .soft_model import Calibrated as Calibrated
from .soft_model import Calibration as Calibration
from .soft_model import CalibrationBy as CalibrationBy
from .soft_model import DiagramBin as DiagramBin
from .soft_model import GroupGap as GroupGap
from .soft_model import GroupTemperature as GroupTemperature
from .soft_model import SignedGap as SignedGap
from .soft_model import Soft as Soft
from .soft_model import SoftMetric as SoftMetric
from .soft_model import SoftValue as SoftValue
from .soft_model import TemperatureFit as TemperatureFit
from .soft_model import WorstCell as WorstCell


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


class Pooled(Model):
    """Tasks with the same menu, their counts added up."""

    tasks: list[str]
    labels: list[str]
    n: int
    hard: dict[str, Rate]
    gaps: dict[str, Gaps] = Field(
        default_factory=dict,
        description="Between the tasks: human against synthesised speech, say; unpaired.",
    )
    notes: list[str] = Field(
        default_factory=list,
        description="Tasks that have no headline themselves, and why utterances count as independent.",
    )


class OverCorpora(Model):
    """A strict rate over the corpora of one tier."""

    tier: str
    metric: str
    tasks: list[str]
    effects: RandomEffects
    notes: list[str] = Field(default_factory=list, description="Tasks that are left out, and why.")


class TaskResult(Model):
    """One task of one model."""

    task: str
    notice: str | None = Field(description="'synthetic, not a result' where that is so.")
    headline: bool = Field(
        description="Whether the strict rates may be quoted as this task's: complete, not synthetic, "
        "and the validity gate not failed."
    )
    headline_eligible: bool = Field(
        default=False,
        description="Whether they may stand as a score of speech emotion recognition: a headline, and "
        "the validity gate was examined and passed.",
    )
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
    rubrics: list[RubricReport] = Field(
        default_factory=list,
        description="What judges said under other rubrics, and emulations of other suites.",
    )
    baselines: dict[str, dict[str, float | None]] = Field(
        description="chance (uniform over the menu) and majority → rate → value."
    )
    transcript_baseline: TranscriptBaseline | None = Field(
        default=None, description="Null where none was given and no control was asked."
    )
    with_choices: dict[str, WithChoices] = Field(default_factory=dict)
    prompt_sensitivity: PromptSensitivity | None = None
    groups: dict[str, Groups] = Field(default_factory=dict)
    soft: Soft | None = Field(default=None, description="Null without votes.")
    calibration: Calibration | None = Field(
        default=None, description="Null without a confidence (one reply an utterance)."
    )
    dimensional: dict[str, Dimensional] = Field(default_factory=dict)
    continuous: dict[str, Continuous] = Field(
        default_factory=dict, description="Dimension → windows against annotator traces."
    )
    association: dict[str, Association] = Field(default_factory=dict)
    validity: Literal["passed", "failed", "not examined"] = Field(
        default="not examined",
        description="Whether the audio beats its controls, words alone and another clip; a score that "
        "failed has no headline, one that was not examined is not eligible.",
    )
    validity_reason: str | None = Field(
        default=None, description="Why it is not passed, where it is not."
    )
    probes: Probes | None = Field(
        default=None, description="Null where nothing but the clip as it is was asked about."
    )
    absent: dict[str, str] = Field(
        default_factory=dict, description="Block that is null or empty → why."
    )


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
    pooled: list[Pooled] = Field(default_factory=list)
    over_corpora: list[OverCorpora] = Field(default_factory=list)
    absent: dict[str, str] = Field(
        default_factory=dict, description="Block of several tasks that is empty → why."
    )
    scoring: Scoring | None = Field(default=None, description="Null in files of older versions.")
    preregistration: Preregistration | None = Field(
        default=None, description="Null where no plan was given."
    )
