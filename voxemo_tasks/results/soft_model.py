"""Soft labels and calibration: how sure annotators and model are, as pydantic models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .basics import Interval, Model, RandomEffects, Spread


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
