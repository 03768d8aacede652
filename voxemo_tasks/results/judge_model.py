"""What judges said, as pydantic models of the results."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .basics import Interval, Model, Value
from .hard_model import Number


class Measured(Value):
    """A number with its interval and how it is defined, or the reason why there is none."""

    method: str
    reason: str | None = Field(default=None, description="Why value is null, where it is.")


class OwnFamily(Model):
    """Judges of the judged model's own family against the others, on the same replies."""

    judges: list[str] = Field(description="Judges of the judged model's family.")
    others: list[str]
    own: float | None = Field(description="Their mean score.")
    rest: float | None = Field(description="The others' mean score of the same replies.")
    preference: Measured = Field(description="own less rest; above 0 favours its own kind.")


class Corrected(Model):
    """A rate with the reader's own error undone, by its confusion matrix against people."""

    metric: str
    read: float | None = Field(description="As it was read.")
    corrected: Measured
    n_calibration: int = Field(description="Replies that people read too.")


class RubricReport(Model):
    """What a panel said under a rubric that gives no labels; one per dimension."""

    rubric: dict[str, Any]
    dimension: str | None = Field(description="Null for a rubric with one question.")
    replies: int = Field(description="Replies that were judged.")
    failed: int = Field(description="Of these, replies on which the panel could not be used.")
    headline: bool = Field(description="Whether the numbers may be quoted.")
    reasons: list[str] = Field(description="Why not, where not.")
    answers: dict[str, int] = Field(description="Answer → replies.")
    shares: dict[str, Measured] = Field(description="Answer → its share of the usable judgements.")
    mean: Measured = Field(
        description="Of the scores; an emulation's as a share of its best score."
    )
    length: Measured = Field(description="Spearman's rho of score and length of the reply.")
    own_family: OwnFamily
    transcripts: dict[str, Any] | None = Field(
        default=None, description="Whether the judges were shown what is said in the clip."
    )
    emulation: str | None = Field(default=None, description="What is emulated, where anything is.")


class RationaleUpdate(Model):
    """Rationale update minus sham: whether the reasons change as the claims say, by judges."""

    rubric: dict[str, Any]
    judges: list[str] = Field(description="That were used.")
    headline: bool = Field(description="Whether the difference may be quoted.")
    reasons: list[str] = Field(description="Why not, where not.")
    pairs: int = Field(
        description="Utterances × claimed operations × samples with a reply before, after, and after "
        "the sham."
    )
    flagged: int = Field(description="Of these, with instruction-like text; they go to no judge.")
    failed: int = Field(description="Of the others, pairs on which the panel could not be used.")
    answers: dict[str, dict[str, int]] = Field(description="claimed, sham → answer → pairs.")
    claimed: Measured = Field(description="Share 'updated' after the claimed change.")
    sham: Measured = Field(description="The same after the sham, of the same pairs.")
    difference: Measured = Field(description="claimed less sham: the number to report.")
    without: dict[str, float | None] = Field(
        description="Judge → the difference by the panel without it."
    )
    own_family: OwnFamily


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
