"""One row of a manifest, with its roles and what annotators made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from .canonical import Json


@dataclass(frozen=True, slots=True)
class Split:
    """The role of an utterance in one fold of a named protocol."""

    protocol: str
    fold: int
    role: Literal["train", "valid", "test"]


Traces = Mapping[str, Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]]
"""Dimension → annotator → times in seconds and values, as many of each."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest. ``None`` is "not known", never a default.

    Attributes:
        utterance_id: Unique within the corpus.
        path: POSIX path relative to the corpus root, spelled as the disk has it.
        start_s: Start of the segment in seconds; ``None`` with ``end_s`` for a whole file.
        raw_label: The corpus's own label; ``None`` where it has none for this utterance.
        label: Canonical label, one to one from ``raw_label``.
        votes: Class → number of annotators (canonical classes), where votes are released.
        rater_votes: Rater id → the classes that this rater chose.
        valence: Mean rating on the scale that the corpus card states; likewise the others.
        rater_ratings: Rater id → dimension → this rater's rating, on the same scale.
        traces: Dimension → annotator id → times and values of this annotator's time-continuous trace
            while the utterance lasts; seconds from the start of the recording, not of the utterance.
            The trace of a recording (``dialogue``) is the union over its utterances.
        language: BCP-47 tag.
        culture: Country or region of the speaker as the card defines it.
        sentence: Id of the scripted sentence, where several speakers say the same ones.
        text_label: Emotion of the words, where the corpus tells it apart from the voice's; canonical
            where the card has it.
        synthesis: What made the speech: ``human``, or the synthesiser.
        splits: Roles under each protocol.
        sha256: Digest of the audio file's bytes.
        error: Why the file could not be used (``--allow-missing``); such rows are never asked.
    """

    utterance_id: str
    path: str
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None
    raw_label: str | None = None
    label: str | None = None
    votes: Mapping[str, int] | None = None
    rater_votes: Mapping[str, tuple[str, ...]] | None = None
    valence: float | None = None
    arousal: float | None = None
    dominance: float | None = None
    rater_ratings: Mapping[str, Mapping[str, float]] | None = None
    traces: Traces | None = None
    speaker: str | None = None
    gender: str | None = None
    age: str | None = None
    language: str | None = None
    culture: str | None = None
    transcript: str | None = None
    sentence: str | None = None
    dialogue: str | None = None
    setting: str | None = None
    relationship: str | None = None
    formality: str | None = None
    channel_type: str | None = None
    text_label: str | None = None
    synthesis: str | None = None
    splits: tuple[Split, ...] = ()
    duration_s: float | None = None
    sampling_rate_hz: int | None = None
    sha256: str | None = None
    error: str | None = None

    def to_json(self) -> Json:
        data: Json = {f.name: getattr(self, f.name) for f in fields(self)}
        data["votes"] = None if self.votes is None else dict(self.votes)
        data["rater_votes"] = (
            None
            if self.rater_votes is None
            else {rater: list(chosen) for rater, chosen in self.rater_votes.items()}
        )
        if self.rater_ratings is not None:
            data["rater_ratings"] = {r: dict(given) for r, given in self.rater_ratings.items()}
        if self.traces is not None:
            data["traces"] = {
                dimension: {who: [list(times), list(values)] for who, (times, values) in by.items()}
                for dimension, by in self.traces.items()
            }
        data["splits"] = [
            {"protocol": s.protocol, "fold": s.fold, "role": s.role} for s in self.splits
        ]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        if values.get("rater_votes") is not None:
            values["rater_votes"] = {
                rater: (chosen,) if isinstance(chosen, str) else tuple(chosen)
                for rater, chosen in values["rater_votes"].items()
            }
        if values.get("traces") is not None:
            values["traces"] = {
                dimension: {who: (tuple(trace[0]), tuple(trace[1])) for who, trace in by.items()}
                for dimension, by in values["traces"].items()
            }
        values["splits"] = tuple(
            Split(s["protocol"], int(s["fold"]), s["role"]) for s in values.get("splits") or ()
        )
        return cls(**values)
