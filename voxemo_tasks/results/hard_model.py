"""Hard rates with what they rest on, and beside those of the words alone, as pydantic models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .basics import Interval, Model, Value


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
