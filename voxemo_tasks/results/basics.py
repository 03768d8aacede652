"""What the blocks of the results are made of."""

from __future__ import annotations

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
    cluster: str | None = Field(
        description="What was resampled: speaker, dialogue, recording; null for utterances."
    )
    replicates: int
    seed: int
    reason: str | None = Field(
        default=None, description="Why there is none, or why limits that are equal mean little."
    )


class Value(Model):
    """Any number with what it rests on."""

    value: float | None
    n: int
    interval: Interval | None = None


class Spread(Model):
    """Least, mean and most."""

    least: float
    mean: float
    most: float


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
