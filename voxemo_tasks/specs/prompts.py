"""What the model is asked: prompts, the words of their menus, ensembles of them."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from .common import Bcp47, Identifier, PromptDecoding, Spec, placeholders_of, require_placeholders

Factor = Literal["language", "culture", "relationship", "formality", "setting"]
FACTORS: tuple[Factor, ...] = get_args(Factor)
"""What a prompt may say of the situation, each with a switch of its own."""

Answer = Literal["label", "free", "distribution", "dimensions", "counterfactual"]
PLACEHOLDERS: dict[str, frozenset[Answer]] = {
    "labels": frozenset({"label", "distribution", "counterfactual"}),
    "context": frozenset({"label", "free", "distribution", "dimensions", "counterfactual"}),
    "changes": frozenset({"counterfactual"}),
    "scales": frozenset({"dimensions"}),
    "keys": frozenset({"dimensions"}),
}
"""Placeholder → what a prompt that uses it may ask for."""

NEEDED: dict[Answer, frozenset[str]] = {
    "label": frozenset({"labels"}),
    "free": frozenset(),
    "distribution": frozenset({"labels"}),
    "dimensions": frozenset({"scales", "keys"}),
    "counterfactual": frozenset({"labels", "changes"}),
}
"""What a prompt must use, by what it asks for."""


class PromptSpec(Spec):
    """A pre-registered question.

    ``text`` and ``system`` may use placeholders; literal braces are doubled. ``{labels}`` is the
    utterance's menu (label names never stand in a prompt), ``{context}`` the sentences of
    ``context`` whose value is known, ``{scales}`` and ``{keys}`` the lines and the JSON keys of the
    corpus's dimensions, ``{changes}`` the prosodic changes with their ids.
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
    answer: Answer = Field(default="label", description="What the prompt asks for.")
    context: dict[Factor, str] = Field(
        default_factory=dict, description="Factor → the sentence that says it, with {value}."
    )
    scales: dict[Literal["valence", "arousal", "dominance"], str] = Field(
        default_factory=dict, description="Dimension → its line, with {low} and {high}."
    )
    changes: dict[Identifier, str] = Field(
        default_factory=dict, description="Id of a prosodic change → what it is, in words."
    )
    json_only: bool = Field(default=False, description="Asks for one JSON object and nothing else.")
    default: bool = Field(default=False, description="The tier's default prompt in its language.")
    verbalizer: Identifier = Field(description="Verbalizer that reads the answer unless told else.")
    decoding: PromptDecoding
    translated_by: str | None = None
    reviewed: bool = False
    notes: str | None = None

    @field_validator("text", "system")
    @classmethod
    def _placeholders(cls, text: str | None) -> str | None:
        require_placeholders(text or "", set(PLACEHOLDERS))
        return text

    @model_validator(mode="after")
    def _asks_for_one_thing(self) -> PromptSpec:
        used = placeholders_of(self.text) | placeholders_of(self.system or "")
        for name in sorted(used):
            if self.answer not in PLACEHOLDERS[name]:
                raise ValueError(f"{{{name}}} has no place where the answer is {self.answer!r}")
        if missing := sorted(NEEDED[self.answer] - used):
            named = ", ".join("{" + n + "}" for n in missing)
            raise ValueError(f"a prompt whose answer is {self.answer!r} must use {named}")
        for name, lines, inside in (
            ("context", self.context, {"value"}),
            ("scales", self.scales, {"low", "high"}),
        ):
            if bool(lines) != (name in used):
                raise ValueError(f"{{{name}}} and the key {name} belong together")
            for key, line in lines.items():
                require_placeholders(line, inside)
                if placeholders_of(line) != inside:
                    wanted = ", ".join("{" + n + "}" for n in sorted(inside))
                    raise ValueError(f"{name}.{key}: must use {wanted}")
        if bool(self.changes) != ("changes" in used):
            raise ValueError("{changes} and the key changes belong together")
        return self

    @property
    def ref(self) -> str:
        """``id@version``, how results name the prompt."""
        return f"{self.id}@{self.version}"


class LabelWords(Spec):
    """What a canonical label is called in a menu."""

    adjective: str = Field(min_length=1)
    noun: str = Field(min_length=1)


class WordingSpec(Spec):
    """How labels, languages and cultures are called in one language."""

    schema_: Literal["voxemo-wording/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    language: Bcp47
    title: str
    translated_by: str | None = None
    reviewed: bool = False
    labels: dict[str, LabelWords]
    languages: dict[str, str] = Field(default_factory=dict, description="BCP-47 tag → its name.")
    cultures: dict[str, str] = Field(default_factory=dict, description="Country code → its name.")
    notes: str | None = None

    @model_validator(mode="after")
    def _distinct(self) -> WordingSpec:
        for form in ("adjective", "noun"):
            seen: dict[str, str] = {}
            for label, words in self.labels.items():
                word = getattr(words, form)
                if seen.setdefault(word, label) != label:
                    raise ValueError(f"the {form} {word!r} names {seen[word]!r} and {label!r}")
        return self

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"


LabelOrder = Annotated[str, Field(pattern=r"^(registered|rotated|permuted|rotated_[1-9][0-9]?)$")]
LabelForm = Literal["registered", "adjective", "noun"]
LabelStyle = Literal["comma", "lettered", "numbered", "bullets", "json"]


class EnsembleMember(Spec):
    """One question of an ensemble; what is left out is the run's own option."""

    prompt: str = Field(description="Prompt id, with or without @version.")
    label_order: LabelOrder | None = None
    label_form: LabelForm | None = None
    label_style: LabelStyle | None = None


class EnsembleSpec(Spec):
    """A pre-registered set of questions that are asked of every utterance."""

    schema_: Literal["voxemo-ensemble/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str
    members: list[EnsembleMember] = Field(min_length=1)
    samples: int = Field(default=1, ge=1, le=1000)
    temperature: float = Field(default=0.0, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    notes: str | None = None

    @model_validator(mode="after")
    def _samples_differ(self) -> EnsembleSpec:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("several samples need a temperature above 0")
        if len({member.model_dump_json() for member in self.members}) != len(self.members):
            raise ValueError("a member stands twice")
        return self

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"
