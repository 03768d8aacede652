"""What every block of the results is made of."""

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
    cluster: str | None = Field(description="What was resampled: speaker, or null for utterances.")
    replicates: int
    seed: int
    reason: str | None = None


class Value(Model):
    """Any number with what it rests on."""

    value: float | None
    n: int
    interval: Interval | None = None
