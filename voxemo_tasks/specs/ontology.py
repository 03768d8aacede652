"""Where the canonical labels lie, and what the literature says of cultures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .common import Bcp47, Identifier, Spec


class LabelPlacement(Spec):
    """A canonical label in the plane of valence and arousal."""

    valence: Literal["negative", "neutral", "positive"] | None
    arousal: Literal["low", "medium", "high"] | None
    values: dict[Literal["valence", "arousal", "dominance"], float] | None = Field(
        default=None, description="Coordinates in [-1, 1], where the source gives numbers."
    )
    source: str | None = Field(
        description="Key under `sources`; null where the label is no affect."
    )
    term: str | None = Field(
        default=None, description="The word that the source rates, where it is another one."
    )


class LabelOntology(Spec):
    """The canonical labels: where they lie, and by which rules raw labels are mapped to them."""

    schema_: Literal["voxemo-ontology/1"] = Field(alias="schema")
    sources: dict[Identifier, str] = Field(description="Key → full citation.")
    labels: dict[str, LabelPlacement]
    rules: dict[Identifier, str] = Field(description="Mapping rule → what it says.")


class CultureNote(Spec):
    """A finding of the literature on how emotion is shown or heard in a culture."""

    topic: Literal["display_rules", "honorifics", "back_channels", "ideal_affect", "recognition"]
    cultures: list[str] = Field(description="As in the cards: country codes, or regions.")
    languages: list[Bcp47]
    note: str = Field(description="One or two sentences that a prompt or a report can show.")
    source: str = Field(description="Key under `sources`.")


class CultureNotes(Spec):
    """Culture-specific notes, cited, as data."""

    schema_: Literal["voxemo-culture/1"] = Field(alias="schema")
    sources: dict[Identifier, str]
    notes: dict[Identifier, CultureNote]
