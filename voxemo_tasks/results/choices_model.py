"""What the choice of reading and of prompt does to a rate, as pydantic models."""

from __future__ import annotations

from pydantic import Field

from .basics import Model, Value


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
