"""Where results come from: sessions, scoring options and the plan, as pydantic models."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .basics import Model


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
