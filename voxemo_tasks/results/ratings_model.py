"""Ratings on dimensions, of utterances and of windows of recordings, as pydantic models."""

from __future__ import annotations

from pydantic import Field

from .basics import Model, Spread, Value


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
