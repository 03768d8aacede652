"""The blocks of the results about probes, as pydantic models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..basics import Model, Value
from ..judge_model import RationaleUpdate


class ConditionResult(Model):
    """One condition against the reference, on the utterances that were asked under both."""

    condition: dict[str, Any]
    n: int = Field(description="Utterances scored under both, with a gold label.")
    failed: int = Field(description="Asked under it, but engine or judge failed.")
    missing: int = Field(default=0, description="Asked under it, but no reply is stored.")
    skipped: dict[str, int] = Field(description="Reason → utterances of which it was not asked.")
    rates: dict[str, float | None] = Field(description="uar, wa, coverage under the condition.")
    reference: dict[str, float | None] = Field(description="The same of the same utterances.")
    drop: dict[str, Value] = Field(
        description="Reference less condition (uar, wa), paired: the same speakers redrawn."
    )
    by: dict[str, dict[str, Value]] = Field(
        description="Fact (culture, language) → group → drop of wa."
    )
    changed: Value = Field(description="Share of utterances whose answer is another one.")
    follows_donor: Value | None = Field(
        default=None,
        description="Of utterances whose donor has another gold label, the share that answers the "
        "donor's; null where nothing was lent.",
    )


class SeverityLevel(Model):
    """One level of a severity curve."""

    severity: int = Field(description="0 is the clip as it is.")
    condition: str
    n: int
    uar: float | None
    wa: float | None
    drop: dict[str, Value]


class SeverityCurve(Model):
    """A transform at several severities."""

    family: str
    levels: list[SeverityLevel]
    mean_drop: float | None = Field(description="Of wa, over the levels that were asked.")
    reversals: int = Field(description="Neighbouring levels where the more severe has more wa.")


class Comparison(Model):
    """The reference against one control."""

    control: str
    difference: Value | None = Field(description="UAR of the audio less that of the control.")
    above_zero: bool | None = Field(description="Whether the interval lies above 0.")
    lost: bool = Field(
        default=False,
        description="Asked, but too much of it failed or is missing: examined in vain, so that the "
        "score has no headline.",
    )
    reason: str | None = Field(default=None, description="Why above_zero is null.")


class Validity(Model):
    """Whether the score is that of a listener."""

    status: Literal["passed", "failed", "not examined"]
    comparisons: list[Comparison]
    reason: str | None = Field(default=None, description="Why it is not passed, where it is not.")


class FactorGain(Model):
    """What saying a factor of the context adds."""

    factors: str
    n: int
    gain: dict[str, Value] = Field(description="Rate with it less rate with no context, paired.")
    by: dict[str, dict[str, Value]] = Field(description="Fact → group → gain of wa.")


class Attrition(Model):
    """Stimuli that did not do what they should."""

    rendered: int
    failed: int
    reasons: dict[str, int] = Field(description="Criterion → stimuli that failed it.")


class ByOperation(Model):
    """Claim effect of an operation in a language."""

    operation: str
    language: str | None
    n: int
    claim_effect: float | None
    p_adjusted: float | None = Field(
        description="Benjamini-Hochberg over all operations and languages."
    )


class DoseCurve(Model):
    """Whether more of a claimed operation does more for the announced label."""

    n: int
    n_flat: int
    doses: list[str]
    rank_correlation: Value
    violations: Value
    page_p: float | None
    fitted: list[float] | None
    misfit: float | None


class Rationale(Model):
    """Whether the rationale follows the change; see docs/probes.md."""

    update: Value = Field(description="Mentions of the changed cue, after the change less sham.")
    other: Value = Field(description="The same of cues that were not changed, mean over them.")


class Counterfactual(Model):
    """Whether what the model says would change its answer does."""

    n: int = Field(description="Utterances with a readable claim and a usable sham.")
    unreadable: int = Field(description="Utterances whose claims could not be read.")
    without_sham: int = Field(description="Utterances whose sham was not asked, failed, or unfit.")
    same_base: Value = Field(
        description="Share of utterances whose answer beside the claims is that to the base question."
    )
    claims: dict[str, int] = Field(description="Operation → utterances that claim it would flip.")
    trials: int = Field(description="Claimed operations with an answer to them and to a placebo.")
    without_placebo: int = Field(description="Claimed operations for which no placebo was left.")
    checked: bool = Field(description="Whether stimuli were measured; if not, none is left out.")
    attrition: dict[str, Attrition] = Field(description="Language → stimuli.")
    attrition_by_operation: dict[str, Attrition]
    claim_effect: Value
    p_value: float | None
    target_hit: Value
    flip: Value
    placebo_flip: Value
    sham_flip: Value
    round_trip_flip: Value = Field(
        description="Answers after a change and its inverse unlike the sham's: how much processing "
        "alone does."
    )
    sham_corrected: Value
    flips: dict[str, Value] = Field(
        description="Dose → share of utterances that answer unlike to the sham, claimed or not."
    )
    balanced_accuracy: Value
    mcc: Value
    invariance: Value
    cct: Value
    graded_effect: Value
    generality: float | None
    dose: DoseCurve | None
    rationale: Rationale | None = Field(description="Null where the base question asks for none.")
    rationale_update: RationaleUpdate | None = Field(
        default=None,
        description="Rationale update minus sham, by judges; null where no judge compared the reasons.",
    )
    by_operation: list[ByOperation]


class Incongruence(Model):
    """Answers where voice and words say the same, and where not."""

    n_congruent: int
    n_incongruent: int
    voice_congruent: Value = Field(description="Share that answers the emotion of the voice.")
    voice_incongruent: Value
    text_incongruent: Value = Field(description="Share that answers the emotion of the words.")
    drop: Value = Field(description="voice_congruent less voice_incongruent.")
    errors_follow_text: Value = Field(
        description="Of the errors on incongruent utterances, the share that is the words' emotion."
    )
    by_chance: float | None = Field(
        description="That share if errors fell evenly on the other labels of the menu."
    )


class PairSensitivity(Model):
    """Minimal pairs of one dimension."""

    dimension: str
    pairs: int
    incomplete: int = Field(description="Pairs of which not every member has a scored answer.")
    stimuli: dict[str, dict[str, int]] = Field(
        default_factory=dict,
        description="words, speaker, language → same, other, unknown → pairs of the file: what their "
        "members share besides the dimension.",
    )
    differs: Value = Field(description="Share of pairs whose members are answered differently.")
    shift: Value = Field(description="Mean total variation between the answers of a pair.")
    both_right: Value | None = Field(description="Of pairs with gold labels, both members right.")
    moves: dict[str, int] = Field(description="'variant: answer → variant: answer' → pairs.")
    by: dict[str, dict[str, Value]] = Field(description="Fact → group → share that differs.")
    interaction: dict[str, Value] = Field(
        description="Fact → largest less smallest of these shares; its interval is joint."
    )


class Probes(Model):
    """What asking in other ways showed."""

    validity: Validity | None = None
    conditions: list[ConditionResult] = Field(default_factory=list)
    severity: list[SeverityCurve] = Field(default_factory=list)
    context: list[FactorGain] = Field(default_factory=list)
    wrong_context: dict[str, Value] | None = Field(
        default=None, description="Rate with the right context less rate with a wrong one."
    )
    counterfactual: Counterfactual | None = None
    incongruence: Incongruence | None = None
    pairs: list[PairSensitivity] = Field(default_factory=list)
