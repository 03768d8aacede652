"""The results JSON: what stands in it, as pydantic models; the JSON Schema is made from these.

No NaN: a number that does not exist is ``null`` and has a reason. Rates are fractions.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .basics import Interval as Interval
from .basics import Model as Model
from .basics import Value as Value
from .judge_model import Corrected as Corrected
from .judge_model import Measured as Measured
from .judge_model import OwnFamily as OwnFamily
from .judge_model import RubricReport as RubricReport
from .probes.model import Probes
from .probes.model import Validity as Validity


class CrossedInterval(Model):
    """An interval over two things that were sampled and crossed: speakers and sentences."""

    interval: Interval = Field(
        description="Method two_way: variance over speakers and over sentences, less that over both; "
        "n_clusters is the fewer of the two, and gives the degrees of freedom."
    )
    n_speakers: int
    n_sentences: int
    n_both: int = Field(description="Combinations that occur.")
    raised: bool = Field(description="Whether the larger one-way variance had to be taken.")


class Number(Model):
    """A rate with what it rests on."""

    value: float | None
    n: int = Field(description="Utterances in the denominator's population.")
    interval: Interval
    method: str = Field(description="How the rate is defined.")
    crossed: CrossedInterval | None = Field(
        default=None,
        description="For other speakers and other sentences; null where the card does not say that "
        "all speakers say the same ones.",
    )


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


class PromptSpread(Model):
    """A strict rate by prompt."""

    values: dict[str, float | None]
    mean: float | None
    spread: float | None = Field(description="Greatest less least.")
    standard_deviation: float | None
    worst: str | None


class EntropySplit(Model):
    """Entropy of the replies to an utterance, mean over utterances, Miller-Madow corrected."""

    total: float | None
    within: float | None = Field(description="Between samples of one prompt.")
    between: float | None = Field(description="Between prompts.")
    n: int


class PromptSensitivity(Model):
    """What the choice of prompt changes."""

    prompts: list[str]
    rates: dict[str, PromptSpread]
    disagreement: Value = Field(description="Share of pairs of prompts whose outcomes differ.")
    prompt_sensi_score: Value | None = Field(
        description="Share of pairs of prompts of which exactly one is right."
    )
    entropy_bits: EntropySplit | None


class WithChoices(Model):
    """An interval of a strict rate that also holds the choice of prompt and of reading."""

    low: float
    high: float
    level: float
    sd_sampling: float
    sd_readings: float | None
    sd_prompts: float | None


class GroupRate(Model):
    """A rate of one group."""

    group: str
    n: int
    n_clusters: int
    value: float | None
    interval: Interval
    too_few: bool = Field(description="Too few utterances to be named worst or best.")
    difference_from_rest: float | None
    difference_interval: Interval | None


class Gaps(Model):
    """A rate over groups."""

    groups: list[GroupRate]
    worst: str | None
    best: str | None
    gap: float | None = Field(description="Best less worst, of groups with enough utterances.")
    gap_interval: Interval
    minimum: int


class Groups(Model):
    """Rates by one fact of the utterances (culture, gender …)."""

    unknown: int = Field(description="Utterances of which it is not known.")
    rates: dict[str, Gaps]
    reason: str | None = None


class Association(Model):
    """How the answers go with a gold column."""

    n: int
    cramers_v: dict[str, Value] = Field(
        description="Plain; strict counts a non-answer as an outcome, answered leaves it out."
    )
    cramers_v_corrected: dict[str, Value] = Field(description="Bergsma's correction.")
    agreement: float | None = Field(description="Share of answers that equal it, strict.")
    agreement_answered: float | None


class Spread(Model):
    """Least, mean and most."""

    least: float
    mean: float
    most: float


class Ceiling(Model):
    """What a prediction can reach where the gold is a mean of a few noisy ratings."""

    ccc: Value = Field(description="CCC of the true score with the gold: the ceiling.")
    ccc_one_annotator: Value = Field(description="CCC of one more annotator with the gold.")
    ccc_limit: float | None = Field(
        description="The highest CCC that any function of the true score reaches."
    )
    icc1: Value = Field(description="Reliability of one rating, one-way.")
    icc1_mean: float | None = Field(description="Reliability of the gold.")
    n_ratings: int
    of_ceiling: float | None = Field(description="The model's CCC over the ceiling.")
    reason: str | None = Field(description="Why something does not exist.")


class Dimensional(Model):
    """Ratings on one dimension."""

    n: int
    n_answered: int
    gold_off_scale: int
    metrics: dict[str, Value]
    ceiling: Ceiling | None = Field(
        default=None, description="From each rater's own ratings; null in older files."
    )


class Delay(Model):
    """How far annotators lag behind what they hear, and who says so."""

    delay_s: float = Field(description="Taken off the times of every trace.")
    chosen_by: str
    source: str | None


class ConversationScore(Model):
    """Windows of one recording."""

    recording: str
    n_windows: int
    n: int = Field(description="Windows with gold.")
    n_answered: int = Field(description="Of these, with an answer on the scale.")
    n_annotators: int
    ccc: float | None


class Continuous(Model):
    """Windows of recordings against time-continuous annotator traces, on one dimension."""

    delay: Delay
    step_s: float
    max_gap_s: float
    min_annotators: int
    min_share: float
    n_windows: int = Field(description="Scored windows of recordings that have a trace.")
    n_without_trace: int = Field(description="Of these, without gold: left out.")
    n_unanswered: int = Field(description="Of those with gold, without an answer on the scale.")
    annotators: Spread
    metrics: dict[str, Value] = Field(description="All windows pooled; recordings redrawn.")
    mean_ccc: Value = Field(description="Mean over recordings; n is how many have one.")
    conversations: list[ConversationScore]


class SoftValue(Model):
    """A soft metric under one policy."""

    value: float | None
    n: int
    n_unscored: int = Field(description="Utterances that it cannot score (too few votes, say).")
    interval: Interval
    reason: str | None = None


class SoftMetric(Model):
    """A soft metric, and what it comes to without a model."""

    best: Literal["lowest", "highest"]
    proper: bool = Field(description="Whether the true distribution scores best for every k.")
    unit: str
    policies: dict[str, SoftValue]
    floors: dict[str, float | None] = Field(
        description="oracle (knows each true distribution, same k and m), crowd (leave one vote "
        "out), split_half, prior, uniform, permuted (own predictions dealt out at random)."
    )


class Soft(Model):
    """Agreement with the annotators' votes."""

    source: str = Field(description="Where the model's distribution comes from.")
    n: int
    without_votes: int
    without_replies: int
    votes_per_utterance: Spread
    generations_per_utterance: Spread | None = Field(description="Null for exact shares.")
    brier_irreducible: float | None
    concentration: float | None = Field(description="Of the fitted Dirichlet distribution.")
    metrics: dict[str, SoftMetric]
    legacy: list[str] = Field(description="Policies that are for comparison with others only.")


class SignedGap(Model):
    """Mean confidence less mean hit rate: above 0 is overconfident."""

    n: int
    value: float | None
    mean_confidence: float | None
    mean_target: float | None
    interval: Interval
    standard_error: float | None
    detectable: float | None = Field(description="Smallest gap that n shows (80 % power).")


class DiagramBin(Model):
    """A bin of the reliability diagram."""

    low: float
    high: float
    n: int
    mean_confidence: float
    mean_target: float
    interval: Interval


class Calibrated(Model):
    """Calibration of a set of utterances."""

    gap: SignedGap
    l2_error: float | None = Field(description="Debiased; below 0 is noise around 0.")
    l2_error_squared: float | None
    bins: int
    smooth_error: float | None
    smooth_error_by_chance: float | None
    smooth_error_p: float | None = Field(description="Of a calibrated model showing so much.")
    brier: float | None
    reliability: float | None
    resolution: float | None
    uncertainty: float | None
    disagreement: float | None
    auroc: float | None
    aurc: float | None
    aurc_best: float | None
    aurc_random: float | None
    diagram: list[DiagramBin]


class GroupGap(Model):
    """Signed gap of a group, and what random effects make of it."""

    group: str
    gap: SignedGap
    shrunk: float | None
    shrunk_error: float | None


class RandomEffects(Model):
    """Mean and spread over groups or corpora."""

    k: int
    mean: float
    low: float | None
    high: float | None
    tau: float | None = Field(description="Standard deviation between groups.")
    tau_low: float | None
    tau_high: float | None
    prediction_low: float | None = Field(description="Where a new group is expected.")
    prediction_high: float | None
    level: float
    reason: str | None


class WorstCell(Model):
    """The group of enough utterances whose gap is largest."""

    cell: str
    gap: SignedGap
    minimum: int


class CalibrationBy(Model):
    """Calibration by one fact of the utterances."""

    unknown: int
    groups: list[GroupGap]
    between: RandomEffects | None
    largest: str | None
    worst: WorstCell | None


class GroupTemperature(Model):
    """A temperature, tried on speakers that it was not fitted on."""

    group: str | None
    n: int
    temperature: float
    nll_before: float
    nll_after: float
    gap_before: float
    gap_after: float
    wider: int = Field(description="Utterances for which a wider group's had to do.")


class TemperatureFit(Model):
    """Temperature scaling of one kind."""

    kind: str
    by: str | None
    folds: int
    overall: GroupTemperature
    groups: list[GroupTemperature]


class Calibration(Model):
    """Whether a model is as sure as it is right."""

    confidence: str = Field(description="leave_one_out, likelihood, verbalised …")
    target: str = Field(description="votes: the share of annotators who agree; label: 0 or 1.")
    n: int
    n_without_confidence: int
    overall: Calibrated
    by: dict[str, CalibrationBy]
    temperature: list[TemperatureFit]


class AgainstWords(Model):
    """A hard rate beside that of the words alone, on the utterances that both have."""

    own: Number
    baseline: Number
    difference: Value = Field(description="Own less baseline, paired: the same speakers redrawn.")


class TranscriptBaseline(Model):
    """A system that was given the words and no sound, on the same utterances."""

    source: Literal["run", "control"] = Field(
        description="run: another run folder; control: the run's own condition transcript_only."
    )
    task: str
    condition: str
    model: dict[str, Any] = Field(description="Fingerprint of the model that answered.")
    fingerprint_sha256: str
    verbalizer: dict[str, Any]
    documents_sha256: str
    n: int = Field(description="Utterances that both sides scored, with a gold label.")
    n_without_baseline: int = Field(description="Utterances with a gold label that are left out.")
    hard: dict[str, dict[str, AgainstWords]] = Field(description="Rate → policy → both sides.")


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
    own_family: OwnFamily | None = Field(
        default=None, description="By share of replies read as the gold label."
    )
    corrected: dict[str, list[Corrected]] = Field(
        default_factory=dict,
        description="rules and rules_and_judge → rates with the reader's error against people undone; "
        "where an audit gave it.",
    )
    corrected_reason: str | None = Field(
        default=None, description="Why there are none, where there are none."
    )


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


class Session(Model):
    """A process that wrote into the run folder."""

    id: str
    started: str | None
    finished: str | None
    wall_s: float | None
    replies_written: int
    replies_reused: int
    engine: dict[str, Any] = Field(default_factory=dict)


class BaselineRun(Model):
    """A run folder that was compared with."""

    run: str = Field(description="The folder; its numbers depend on nothing else.")
    sessions: list[str] = Field(description="Its writers then; later ones are left out again.")


class Scoring(Model):
    """What the run folder was scored with, so that the same can be done again."""

    verbalizer: str | None = Field(description="Read with this one; null: the one it ran with.")
    by: list[str] | None = Field(description="Divided by these facts; null: by what differs.")
    sessions: list[str] = Field(description="Tasks of these writers on what they asked.")
    seed: int
    multiverse: bool = Field(description="Whether the replies were read in every other way too.")
    annotator_delay_s: float | None = Field(
        default=None, description="Stated for this score; null: the card's."
    )
    transcript_baseline: BaselineRun | None = Field(
        default=None, description="The run folder of a transcript-only system."
    )


class Departure(Model):
    """One thing that was not done as it was planned."""

    kind: str
    task: str | None
    planned: Any
    done: Any
    text: str = Field(description="The same, for people.")


class Preregistration(Model):
    """The plan that these results were held to."""

    file_sha256: str = Field(description="Of the locked file.")
    plan_sha256: str = Field(description="Of what it says, as it is locked.")
    title: str
    locked: str = Field(description="When the plan was locked.")
    departures: list[Departure] = Field(description="Empty where all was done as planned.")


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
