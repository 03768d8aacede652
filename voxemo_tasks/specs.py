"""The shapes of everything registered: one pydantic class per kind of file.

The JSON Schemas beside the data files are written from these classes (``scripts/write_schemas.py``)
and forbid unknown keys, so that no file of a data room can be taken for an lm-eval task.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .errors import UnknownNameError
from .labels import LabelSet

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Bcp47 = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class Spec(BaseModel):
    """Base of all specs: frozen, no unknown keys, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PromptDecoding(Spec):
    """Length and stops, which belong to what is asked."""

    max_new_tokens: int = Field(ge=1, le=8192)
    stop: list[str] = Field(default_factory=list)


class PromptSpec(Spec):
    """A pre-registered question.

    ``text`` may use the placeholder ``{labels}``; literal braces are doubled. Label names never
    stand in a prompt: they come from the utterance's label set.
    """

    schema_: Literal["voxemo-prompt/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    tier: Identifier
    language: Bcp47
    title: str
    system: str | None = None
    text: str
    labels_separator: str = ", "
    default: bool = Field(default=False, description="The tier's default prompt in its language.")
    verbalizer: Identifier = Field(description="Verbalizer that reads the answer unless told else.")
    decoding: PromptDecoding
    translated_by: str | None = None
    reviewed: bool = False
    notes: str | None = None

    @property
    def ref(self) -> str:
        """``id@version``, how results name the prompt."""
        return f"{self.id}@{self.version}"


class VerbalizerSpec(Spec):
    """Pre-registered rules that read a reply."""

    schema_: Literal["voxemo-verbalizer/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"


class JudgeSpec(Spec):
    """A pre-registered rubric for an LLM that reads replies."""

    schema_: Literal["voxemo-judge/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str
    task: Literal["adjudicate_label", "rationale", "rationale_update", "entailment"]
    language: Bcp47
    text: str
    output_schema: dict[str, Any]
    decoding: PromptDecoding
    panel_rule: Literal["plurality_of_two", "median", "single"]
    max_failed_share: float = Field(ge=0, le=1)
    examples: list[dict[str, Any]] = Field(min_length=1)
    notes: str | None = None

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"


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
    options: dict[str, Any] = Field(default_factory=dict)


class DimensionsSpec(Spec):
    """Scale of the valence, arousal and dominance ratings."""

    low: float
    high: float
    source: str | None = None


class CorpusCard(Spec):
    """Facts of one corpus. What is not known stays null."""

    schema_: Literal["voxemo-corpus/1"] = Field(alias="schema")
    id: Identifier
    name: str
    synthetic: bool = False
    languages: list[Bcp47] = Field(min_length=1)
    culture: str | None = None
    elicitation: str
    labels: dict[str, str] = Field(min_length=2, description="Raw label → canonical label.")
    label_sets: dict[str, LabelSetSpec]
    default_label_set: str = "native"
    protocols: dict[str, ProtocolSpec]
    default_protocol: str = "all"
    reader: ReaderSpec
    expected: ExpectedSpec = Field(default_factory=ExpectedSpec)
    votes: str | None = Field(default=None, description="Where human votes lie, if released.")
    dimensions: DimensionsSpec | None = None
    licence: str
    access: str
    url: str | None = None
    citation: str | None = None
    layout: str = Field(description="What a local copy looks like, for people and for errors.")
    known_defects: list[str] = Field(default_factory=list)
    verified_on: Literal["real files", "metadata", "nothing"]
    membership: str | None = None
    notes: str | None = None

    def label_set(self, name: str | None = None) -> LabelSet:
        """A label set of the card, by default the card's own choice.

        Raises:
            UnknownNameError: For a name that the card does not have.
        """
        wanted = name or self.default_label_set
        if wanted not in self.label_sets:
            raise UnknownNameError(f"label set of corpus {self.id!r}", wanted, self.label_sets)
        spec = self.label_sets[wanted]
        return LabelSet(wanted, tuple(spec.labels), dict(spec.merge))


class ModelCard(Spec):
    """Facts of one family of speech LLMs that a backend needs."""

    schema_: Literal["voxemo-model/1"] = Field(alias="schema")
    id: Identifier
    name: str
    architectures: list[str] = Field(
        min_length=1, description="`architectures` of the checkpoint's config.json."
    )
    pretrained: dict[str, str | None] = Field(
        default_factory=dict, description="Hub id → pinned revision."
    )
    alias_of_asset: dict[str, str] = Field(
        default_factory=dict, description="Name → folder under voxemo_tasks/assets."
    )
    synthetic_aliases: list[str] = Field(default_factory=list)
    sampling_rate_hz: int
    min_audio_s: float = Field(description="Shorter clips crash the processor or yield no token.")
    max_audio_s: float | None = Field(description="Seconds that the encoder can hear.")
    beyond_max: Literal["truncated", "chunked", "error"] | None = None
    audios_per_request: int | None = None
    audio_token: str
    audio_tokens: Literal["qwen2_audio"] = Field(
        description="Rule that gives the number of audio tokens of a clip."
    )
    engines: dict[str, str] = Field(description="Engine → version range that can run it.")
    known_bad: list[str] = Field(default_factory=list)
    training_corpora: list[str] | None = None
    licence: str | None = None
    verified_on: Literal["full weights", "tiny random weights", "tiny trained weights", "not run"]
    notes: str | None = None
