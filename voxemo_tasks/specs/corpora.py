"""The card of a corpus: its labels and menus, protocols, reader, scales and context."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..errors import LabelSetError, UnknownNameError
from ..labels import LabelSet
from .common import Bcp47, Identifier, Spec


class LabelSetSpec(Spec):
    """A menu of a corpus."""

    labels: list[str] = Field(min_length=2)
    merge: dict[str, str] = Field(default_factory=dict)
    rule: str | None = Field(default=None, description="Where this variant is published.")


class ProtocolSpec(Spec):
    """A named way to divide a corpus into folds."""

    description: str
    folds: int = Field(ge=1)
    default_fold: int | Literal["all"] = 1
    speaker_disjoint: bool | None = None


class ExpectedSpec(Spec):
    """Published counts, to compare a local copy with."""

    utterances: int | None = None
    labels: dict[str, int] = Field(default_factory=dict)
    speakers: int | None = None
    hours: float | None = None


class ReaderSpec(Spec):
    """Which reader understands the release layout, and its parameters."""

    family: Identifier
    asset: Identifier | None = Field(
        default=None,
        description="Folder under voxemo_tasks/assets where the package itself carries the corpus.",
    )
    options: dict[str, Any] = Field(default_factory=dict)


class ContaminationSpec(Spec):
    """A model that is said to have been trained on the corpus."""

    model: str
    part: str | None = Field(default=None, description="Which split; null where it is not said.")
    source: str = Field(description="Paper, card or repository that says so.")


class ContextSpec(Spec):
    """What a prompt may say of the situation. What no source says stays null."""

    formality: str | None = None
    relationship: str | None = Field(default=None, description="Of the speaker to the addressee.")
    setting: str | None = None
    interaction: str | None = Field(default=None, description="Monologue, dyadic dialogue …")
    age_range: str | None = None
    channel: str | None = Field(default=None, description="How the voice was recorded.")
    annotator_background: str | None = None


class TracesSpec(Spec):
    """How time-continuous ratings become the gold of a window."""

    delay_s: float | None = Field(
        default=None, description="Lag of the annotators in seconds; null where no source says it."
    )
    delay_source: str | None = Field(default=None, description="Who says so.")
    step_s: float = Field(default=0.1, gt=0, description="Step of the grid of the mean trace.")
    max_gap_s: float = Field(default=1.0, gt=0, description="Samples further apart leave a gap.")
    min_annotators: int = Field(default=1, ge=1, description="That a time of the grid needs.")
    min_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of a window's times that need a value."
    )


class DimensionsSpec(Spec):
    """Scale of the valence, arousal and dominance ratings."""

    low: float
    high: float
    source: str | None = None
    traces: TracesSpec | None = Field(
        default=None, description="Where the ratings are time-continuous traces."
    )


class CorpusCard(Spec):
    """Facts of one corpus. What is not known stays null."""

    schema_: Literal["voxemo-corpus/1"] = Field(alias="schema")
    id: Identifier
    name: str
    synthetic: bool = False
    languages: list[Bcp47] = Field(min_length=1)
    culture: str | None = None
    elicitation: str
    labels: dict[str, str] = Field(description="Raw label → canonical label.")
    label_rule: Identifier | None = Field(
        default=None, description="Rule of the ontology by which raw labels were mapped."
    )
    label_rules: dict[str, Identifier] = Field(
        default_factory=dict, description="Raw label → its own rule, where it is another one."
    )
    cluster: Literal["speaker", "dialogue"] = Field(
        default="speaker",
        description="What intervals redraw: dialogue, where those who talk to each other are not "
        "independent. Where it is not known of every utterance, the other of the two is taken.",
    )
    crossed: Literal["speaker_sentence"] | None = Field(
        default=None,
        description="speaker_sentence: every speaker says the same sentences (`sentence` of the "
        "utterances), so that intervals redraw both.",
    )
    hard_target: Literal["acted", "majority", "plurality", "released_consensus"] | None = Field(
        default=None, description="What the corpus's one label per utterance is."
    )
    label_sets: dict[str, LabelSetSpec] = Field(
        description="Empty, as labels, for a corpus that has dimensional ratings only."
    )
    default_label_set: str = "native"
    protocols: dict[str, ProtocolSpec]
    default_protocol: str = "all"
    reader: ReaderSpec
    expected: ExpectedSpec = Field(default_factory=ExpectedSpec)
    votes: str | None = Field(default=None, description="Where human votes lie, if released.")
    dimensions: DimensionsSpec | None = None
    context: ContextSpec = Field(default_factory=ContextSpec)
    contamination: list[ContaminationSpec] | None = Field(
        default=None, description="Models that list the corpus as training data; null: not known."
    )
    licence: str
    access: str
    url: str | None = None
    citation: str | None = None
    layout: str = Field(description="What a local copy looks like, for people and for errors.")
    known_defects: list[str] = Field(default_factory=list)
    verified_on: Literal["real files", "metadata", "nothing"]
    membership: str | None = None
    membership_grade: Literal["named", "inferred", "other"] | None = Field(
        default=None, description="How surely the corpus is one of VoxEmo's."
    )
    notes: str | None = None

    def label_set(self, name: str | None = None) -> LabelSet:
        """A label set of the card, by default the card's own choice.

        Raises:
            UnknownNameError: For a name that the card does not have.
            LabelSetError: For a corpus that has dimensional ratings and no classes.
        """
        wanted = name or self.default_label_set
        if not self.label_sets:
            raise LabelSetError(
                f"corpus {self.id!r} has no classes (its card knows no label set), so there is no "
                "menu to ask with; its dimensional ratings are asked with the tier 'dimensional'"
            )
        if wanted not in self.label_sets:
            raise UnknownNameError(f"label set of corpus {self.id!r}", wanted, self.label_sets)
        spec = self.label_sets[wanted]
        return LabelSet(wanted, tuple(spec.labels), dict(spec.merge))
