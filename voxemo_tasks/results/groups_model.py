"""Rates by groups of utterances, and how answers go with a fact, as pydantic models."""

from __future__ import annotations

from pydantic import Field

from .basics import Interval, Model, Value


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
