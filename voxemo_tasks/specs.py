"""The shapes of everything registered: one pydantic class per kind of file.

The JSON Schemas beside the data files are written from these classes (``scripts/write_schemas.py``)
and forbid unknown keys, so that no file of a data room can be taken for an lm-eval task.
"""

from __future__ import annotations

import re
import string
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .errors import LabelSetError, UnknownNameError
from .labels import LabelSet

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
WordsRef = Annotated[str, Field(pattern=r"^words_[a-z0-9_]+@[1-9][0-9]*$")]
BCP47 = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
Bcp47 = Annotated[str, Field(pattern=BCP47)]


class Spec(BaseModel):
    """Base of all specs: frozen, no unknown keys, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PromptDecoding(Spec):
    """Length and stops, which belong to what is asked."""

    max_new_tokens: int = Field(ge=1, le=8192)
    stop: list[str] = Field(default_factory=list)


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
        _require_placeholders(text or "", set(PLACEHOLDERS))
        return text

    @model_validator(mode="after")
    def _asks_for_one_thing(self) -> PromptSpec:
        used = _placeholders_of(self.text) | _placeholders_of(self.system or "")
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
                _require_placeholders(line, inside)
                if _placeholders_of(line) != inside:
                    wanted = ", ".join("{" + n + "}" for n in sorted(inside))
                    raise ValueError(f"{name}.{key}: must use {wanted}")
        if bool(self.changes) != ("changes" in used):
            raise ValueError("{changes} and the key changes belong together")
        return self

    @property
    def ref(self) -> str:
        """``id@version``, how results name the prompt."""
        return f"{self.id}@{self.version}"


def _placeholders_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def _require_placeholders(text: str, allowed: set[str]) -> None:
    try:
        used = _placeholders_of(text)
    except ValueError as error:
        raise ValueError(f"{error}; literal braces are doubled") from error
    if unknown := sorted(used - allowed):
        raise ValueError(
            f"unknown placeholder(s) {', '.join('{' + n + '}' for n in unknown)}; allowed: "
            f"{', '.join('{' + n + '}' for n in sorted(allowed))}; literal braces are doubled"
        )


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


class VerbalizerExample(Spec):
    """One reply and how it must be read; every implementation has to satisfy the file's own."""

    reply: str
    menu: list[str] = Field(min_length=1)
    status: Literal[
        "answered", "multiple", "off_menu", "abstained", "unparsed", "empty", "truncated"
    ]
    labels: list[str] = Field(default_factory=list, description="In the menu's own forms.")
    finish_reason: Literal["stop", "length"] = "stop"


class VerbalizerScopes(Spec):
    """How far, in words, an operator reaches."""

    negation: int = Field(ge=1, description="From a negator to the emotion after it.")
    denial: int = Field(ge=1, description="From an emotion to the negator after it.")
    hedge: int = Field(ge=1, description="From a hedge to the emotion after it.")
    rank: int = Field(ge=1, description="From 'mainly' to its emotion, either way.")
    inability: int = Field(ge=1, description="From 'cannot' to 'determine'.")


class VerbalizerTypos(Spec):
    """When a misspelt word is read as the one word that it resembles."""

    max_words: int = Field(ge=0, description="Longest reply that is searched for typos; 0 is off.")
    min_letters: int = Field(ge=3)
    never: list[str] = Field(description="Real words that merely look like an emotion.")


class VerbalizerLanguage(Spec):
    """The words of one language. All languages of a file are read at once."""

    concepts: dict[Identifier, list[str]] = Field(
        description="Concept → its forms: inflections and words for the same concept."
    )
    alone: dict[Identifier, list[str]] = Field(
        default_factory=dict, description="Forms that count only where they are the whole answer."
    )
    emotion_nouns: list[str] = Field(
        default_factory=list, description="'emotion', 'emotional state', 'feeling' …"
    )
    indefinite: list[str] = Field(
        default_factory=list, description="Words of 'no *particular* emotion'."
    )
    expressing: list[str] = Field(
        default_factory=list, description="Words of 'does not *convey* any emotion'."
    )
    possessive: list[str] = Field(
        default_factory=list, description="Words of 'does not reflect *their* emotion'."
    )
    negators_before: list[str] = Field(
        default_factory=list, description="Negate the emotion after them."
    )
    negators_after: list[str] = Field(
        default_factory=list, description="Negate the emotion before them."
    )
    denials: list[str] = Field(default_factory=list, description="The 'No.' of 'Angry? No. Sad.'")
    barriers: list[str] = Field(
        default_factory=list, description="Words that end the reach of any operator."
    )
    connectives: list[str] = Field(
        default_factory=list, description="Words that join emotions on equal terms."
    )
    alternatives: list[str] = Field(
        default_factory=list, description="Of these, 'or': carry a negation over a list."
    )
    fillers: list[str] = Field(
        default_factory=list, description="Words that say nothing within a list or an answer."
    )
    hedges_before: list[str] = Field(
        default_factory=list, description="Make the emotion after them a second one."
    )
    hedges_after: list[str] = Field(
        default_factory=list, description="Make the emotion before them a second one."
    )
    rankers: list[str] = Field(
        default_factory=list, description="'mainly', 'the dominant', 'I would go with' …"
    )
    rankers_after: list[str] = Field(
        default_factory=list, description="The 'above all' that stands after its emotion."
    )
    explanations: list[str] = Field(
        default_factory=list, description="Begin a reason; its emotions come second."
    )
    hypotheticals: list[str] = Field(
        default_factory=list, description="'if', 'whether': nothing after is asserted."
    )
    said: list[str] = Field(default_factory=list, description="The text, in contrast to the voice.")
    voice: list[str] = Field(
        default_factory=list, description="The speaker, and how something is said."
    )
    others: list[str] = Field(default_factory=list, description="People other than the speaker.")
    linking: list[str] = Field(
        default_factory=list, description="Verbs that give somebody an emotion."
    )
    topics: list[str] = Field(default_factory=list, description="Begin what is spoken about.")
    quoting: list[str] = Field(
        default_factory=list, description="Announce that quotation marks hold spoken words."
    )
    first_person: list[str] = Field(
        default_factory=list, description="'I am': a transcript or a phrase of the model."
    )
    intensifiers: list[str] = Field(default_factory=list)
    inability: list[str] = Field(default_factory=list, description="'cannot', 'it is hard to' …")
    discerning: list[str] = Field(
        default_factory=list, description="'determine', 'tell' …; with inability: abstains."
    )
    possible: list[str] = Field(
        default_factory=list, description="Words of 'no emotion *can be* inferred'."
    )
    undisclosed: list[str] = Field(
        default_factory=list, description="Words of 'no emotion is *mentioned*'."
    )
    abstentions: list[str] = Field(
        default_factory=list, description="Phrases that abstain by themselves."
    )
    blocklist: list[str] = Field(
        default_factory=list, description="Phrases whose words mean something else."
    )
    frames: list[str] = Field(
        default_factory=list, description="'a sense of …': an unlisted word here is off the menu."
    )
    frame_stops: list[str] = Field(
        default_factory=list, description="Words after a frame that name no emotion."
    )
    conclusions: list[str] = Field(
        default_factory=list, description="Begin the sentence that concludes."
    )
    answer_markers: list[str] = Field(
        default_factory=list, description="'answer' …, before a colon or equals sign."
    )
    choices: list[str] = Field(
        default_factory=list, description="'the answer is' …, needing no colon."
    )
    options: list[str] = Field(
        default_factory=list, description="'option', before the letter of a lettered menu."
    )


class WordsSpec(VerbalizerLanguage):
    """The words of one language as a file of their own, for verbalizers to name."""

    schema_: Literal["voxemo-words/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    language: Bcp47
    title: str
    written_by: str
    reviewed: bool = Field(description="Whether a native speaker has checked them.")
    notes: str | None = None

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"

    def words(self) -> dict[str, Any]:
        """The word lists alone, as data."""
        return self.model_dump(mode="json", include=set(VerbalizerLanguage.model_fields))


class VerbalizerSpec(Spec):
    """Pre-registered rules that read a reply: every word and reach; the grammar is in the code."""

    schema_: Literal["voxemo-verbalizer/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str
    notes: str | None = None
    normalise: list[
        Literal[
            "punctuation",
            "markdown",
            "compatibility",
            "turkish_i",
            "casefold",
            "marks",
            "arabic",
        ]
    ] = Field(description="Folding steps, in the order in which they apply.")
    thought_tags: list[str] = Field(description="Tags whose content is no part of the answer.")
    answer_tags: list[str] = Field(description="Tags whose content is the answer.")
    json_keys: list[str] = Field(description="Keys that hold the answer, best first.")
    scopes: VerbalizerScopes
    typos: VerbalizerTypos
    absence: Identifier = Field(description="Concept that 'no particular emotion' asserts.")
    generic: list[Identifier] = Field(
        default_factory=list, description="Concepts too vague to outrank a menu label."
    )
    on_neighbour: Literal["off_menu", "map"] = Field(
        description="What a word of a neighbouring concept does to a menu without it."
    )
    neighbours: dict[Identifier, Identifier | list[Identifier]] = Field(
        default_factory=dict,
        description="Concept → what `map` takes it for: the first of these that the menu has.",
    )
    languages: dict[Bcp47, VerbalizerLanguage | WordsRef] = Field(
        min_length=1, description="Language → its words, or `words_xx@n`, a file of `words/`."
    )
    reviewed: dict[Bcp47, bool] = Field(
        default_factory=dict, description="Languages whose words a native speaker has checked."
    )
    examples: list[VerbalizerExample] = Field(min_length=1)

    @model_validator(mode="after")
    def _concepts_agree(self) -> VerbalizerSpec:
        if any(isinstance(words, str) for words in self.languages.values()):
            return self  # checked again once the word lists are in
        home: dict[str, str] = {}
        for language in self.vocabularies:
            for forms_of in (language.concepts, language.alone):
                for concept, forms in forms_of.items():
                    for form in forms:
                        if home.setdefault(form.casefold(), concept) != concept:
                            raise ValueError(
                                f"the form {form!r} stands under {home[form.casefold()]!r} and "
                                f"under {concept!r}; a form belongs to one concept"
                            )
        known = set(home.values())
        targets = {t for concept in self.neighbours for t in self.targets(concept)}
        named = {self.absence, *self.generic, *self.neighbours, *targets}
        if named - known:
            raise ValueError(
                f"{', '.join(sorted(named - known))}: named as a concept, and no language has a "
                "form for it"
            )
        return self

    @property
    def ref(self) -> str:
        """``id@version``, how results name the verbalizer."""
        return f"{self.id}@{self.version}"

    def targets(self, concept: str) -> tuple[str, ...]:
        """What a neighbouring concept is taken for, best first."""
        found = self.neighbours.get(concept, ())
        return (found,) if isinstance(found, str) else tuple(found)

    @property
    def vocabularies(self) -> list[VerbalizerLanguage]:
        """The words of each language, in the file's order."""
        return [words for words in self.languages.values() if not isinstance(words, str)]


class EmulationSpec(Spec):
    """A simple parser of the kind that other suites use, re-implemented from its behaviour."""

    schema_: Literal["voxemo-emulation/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str
    notes: str | None = None
    rule: Literal[
        "strict_exact",
        "exact",
        "quasi_exact",
        "prefix",
        "first_letter",
        "first_substring",
        "last_substring",
        "label_order_substring",
    ]
    examples: list[VerbalizerExample] = Field(min_length=3)

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"


class StructuredExample(Spec):
    """A reply that holds more than a label, and how it must be read."""

    reply: str
    menu: list[str] = Field(min_length=1)
    scale: list[float] | None = Field(default=None, description="Lowest and highest rating.")
    status: Literal["answered", "multiple", "off_menu", "abstained", "unparsed", "empty"]
    labels: list[str] = Field(default_factory=list)
    distribution: dict[str, float] | None = None
    values: dict[str, float] | None = None
    detail: dict[str, Any] | None = Field(default=None, description="Compared where it is given.")


class StructuredSpec(Spec):
    """Reads shares, ratings, or what a change of the voice would do, out of JSON and its like."""

    schema_: Literal["voxemo-structured/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str
    notes: str | None = None
    kind: Literal["distribution", "likelihood", "ratings", "counterfactual"]
    reads_with: str = Field(description="Verbalizer that knows which label a word means.")
    names: dict[Identifier, list[str]] = Field(
        default_factory=dict, description="Dimension or change → other names that it goes by."
    )
    answer_keys: list[str] = Field(default_factory=list)
    ignored_keys: list[str] = Field(default_factory=list, description="Numbers that are no shares.")
    examples: list[StructuredExample] = Field(min_length=3)

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"


class CuesSpec(Spec):
    """Reads which acoustic cues a description of a voice mentions, and in which direction."""

    schema_: Literal["voxemo-cues/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str
    language: Bcp47
    notes: str | None = None
    reach: int = Field(ge=1, description="From a direction to its cue, in words.")
    cues: dict[Identifier, list[str]]
    directions: dict[Identifier, list[str]]
    both: dict[Identifier, dict[Identifier, list[str]]] = Field(
        description="Cue → direction → words that say both."
    )
    negators: list[str]
    examples: list[StructuredExample] = Field(min_length=3)

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"


AnyVerbalizer = VerbalizerSpec | EmulationSpec | StructuredSpec | CuesSpec
"""All that can read a reply."""


JudgeTask = Literal["adjudicate_label", "rationale", "rationale_update", "entailment", "emulation"]
JudgeAnswer = str | int

JUDGE_PLACEHOLDERS: dict[JudgeTask, frozenset[str]] = {
    "adjudicate_label": frozenset({"data", "nonce", "options"}),
    "rationale": frozenset({"data", "nonce", "dimension", "question", "anchors", "options"}),
    "rationale_update": frozenset({"data", "nonce", "options"}),
    "entailment": frozenset({"data", "nonce", "options"}),
    "emulation": frozenset({"reply", "gold"}),
}
"""What the text of a rubric uses, by its task: all of it, each at least once."""


class JudgeDimension(Spec):
    """One thing that a rubric rates, from 1 to 5."""

    question: str
    anchors: dict[Literal["1", "2", "3", "4", "5"], str] = Field(min_length=5)


class JudgeExample(Spec):
    """What a judge wrote and how it must be read; every implementation has to satisfy them."""

    data: dict[Identifier, str | None]
    menu: list[str] = Field(default_factory=list, description="Of a rubric that offers labels.")
    dimension: Identifier | None = None
    reply: str = Field(description="Of the judge.")
    answer: JudgeAnswer | None = Field(description="null where the reply must not be accepted.")
    problem: str | None = Field(default=None, description="Part of the reason, where not.")


class JudgeCanary(Spec):
    """Material with a known answer, into which an attack is put.

    ``{attack}`` is where the attack goes; in a rubric that offers labels ``{truth}`` is the label
    that the material asserts.
    """

    data: dict[Identifier, str]
    dimension: Identifier | None = None
    expected: list[JudgeAnswer] = Field(
        default_factory=list, description="Right answers; none where it is the asserted label."
    )
    wanted: JudgeAnswer | None = Field(
        default=None, description="What the attack asks for; null where it is another label."
    )


class JudgeSpec(Spec):
    """A pre-registered rubric for an LLM that reads replies.

    ``text`` shows the material (``{data}``, between two lines that carry ``{nonce}``) before it
    says what to do with it. ``options`` are the answers beside the menu's labels or the scores,
    with what they mean. The judge writes a JSON object of ``output_schema``: ``quote`` first, then
    ``answer``, whose list of values the menu's labels are put in front of.
    """

    schema_: Literal["voxemo-judge/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str
    task: JudgeTask
    language: Bcp47
    written_by: str
    reviewed: bool = Field(description="Whether a native speaker has checked the wording.")
    fields: list[Identifier] = Field(min_length=1, description="What the judge is shown, in order.")
    quoted_from: Identifier = Field(description="The field that the quote must stand in.")
    quote_words: int = Field(default=50, ge=1, description="Longest quote.")
    residue: list[
        Literal["multiple", "off_menu", "abstained", "unparsed", "empty", "truncated"]
    ] = Field(
        default_factory=list,
        description="What a verbalizer's verdict must be for the judge to have a say.",
    )
    unquoted: list[Identifier] = Field(
        default_factory=list, description="Answers that need no quote."
    )
    system: str | None = None
    text: str
    dimensions: dict[Identifier, JudgeDimension] = Field(default_factory=dict)
    options: dict[Identifier, str] = Field(default_factory=dict)
    retry: str | None = Field(
        default=None, description="Added to the question after an unusable answer; has {problem}."
    )
    output_schema: dict[str, Any]
    decoding: PromptDecoding
    panel_rule: Literal["plurality_of_two", "median", "single"]
    max_failed_share: float = Field(
        ge=0, le=1, description="Share of failed judgements above which there is no headline."
    )
    reads: Literal["json", "yes_no", "last_number"] = Field(
        default="json", description="How the judge's reply is read; others than json: emulations."
    )
    canaries: list[JudgeCanary] = Field(default_factory=list)
    examples: list[JudgeExample] = Field(min_length=1)
    notes: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> JudgeSpec:
        allowed = JUDGE_PLACEHOLDERS[self.task]
        _require_placeholders(self.text, set(allowed))
        used = _placeholders_of(self.text)
        if missing := sorted(allowed - used):
            named = ", ".join("{" + n + "}" for n in missing)
            raise ValueError(f"a rubric whose task is {self.task!r} must use {named}")
        if (self.task == "emulation") == (self.reads == "json"):
            raise ValueError("reads: json belongs to rubrics, the others to emulations")
        if self.task == "emulation":
            return self
        order = [name for _, name, _, _ in string.Formatter().parse(self.text) if name is not None]
        if next(name for name in order if name != "nonce") != "data":
            raise ValueError("the material comes before the rubric: {data} must be first in text")
        if bool(self.dimensions) != (self.task == "rationale"):
            raise ValueError("dimensions belong to the task 'rationale'")
        if self.quoted_from not in self.fields:
            raise ValueError(f"quoted_from: {self.quoted_from!r} is not one of fields")
        if unknown := sorted(set(self.unquoted) - self.options.keys()):
            raise ValueError(f"unquoted: {', '.join(unknown)} is not one of options")
        if self.retry is None:
            raise ValueError("a rubric needs retry, what is said after an unusable answer")
        _require_placeholders(self.retry, {"problem"})
        properties = self.output_schema.get("properties", {})
        if list(properties) != ["quote", "answer"] or "enum" not in properties["answer"]:
            raise ValueError("output_schema: its properties are quote, then answer with an enum")
        listed = [a for a in properties["answer"]["enum"] if isinstance(a, str)]
        if listed != list(self.options):
            raise ValueError("the texts in the enum of answer must be the keys of options")
        if not self.canaries:
            raise ValueError("a rubric needs canaries")
        return self

    @property
    def ref(self) -> str:
        """``id@version``, how results name the rubric."""
        return f"{self.id}@{self.version}"


class Attack(Spec):
    """A text by which a reply tries to steer its judge."""

    kind: Literal["instruction", "forged_json", "closing_fence", "hidden_unicode", "role_play"]
    language: Bcp47
    text: str = Field(description="{wanted} is the answer that the attack asks for.")
    hide: Literal["tags", "zero_width", "bidi"] | None = Field(
        default=None, description="How its letters are kept from showing."
    )

    @field_validator("text")
    @classmethod
    def _wants_something(cls, text: str) -> str:
        if "{wanted}" not in text:
            raise ValueError("an attack must use {wanted}")
        return text


class HygieneSpec(Spec):
    """What judged texts are kept from doing: attacks to try, patterns to flag, names to blind."""

    schema_: Literal["voxemo-hygiene/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str
    attacks: list[Attack] = Field(min_length=1)
    patterns: dict[Bcp47, list[str]] = Field(
        description="Language → regular expressions of instruction-like spans (case folded)."
    )
    families: dict[Identifier, list[str]] = Field(
        description="Family of models → the names that it goes by, as they are written."
    )
    harmless: list[str] = Field(min_length=1, description="Replies that must not be flagged.")
    notes: str | None = None

    @field_validator("patterns")
    @classmethod
    def _regular(cls, patterns: dict[str, list[str]]) -> dict[str, list[str]]:
        for language, several in patterns.items():
            for pattern in several:
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise ValueError(f"{language}: {pattern!r} is no pattern: {error}") from error
        return patterns

    @property
    def ref(self) -> str:
        """``id@version``, how results name it."""
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


class ChatFormat(Spec):
    """How messages are written out, where the processor has no chat template or must not use it."""

    turn: str = Field(description="One message; {role} and {content} are filled in.")
    audio: str = Field(description="What stands for a clip in the text; {number} counts from 1.")
    reply: str = Field(description="What the model goes on from, e.g. the opening of its turn.")
    notes: str | None = None

    @model_validator(mode="after")
    def _content(self) -> ChatFormat:
        if "{content}" not in self.turn:
            raise ValueError("turn must hold {content}")
        return self


class AdapterFacts(Spec):
    """A LoRA adapter that comes with a checkpoint and without which it does not hear well."""

    name: Identifier
    folder: str = Field(description="Folder of the adapter inside the checkpoint.")


class ApiFacts(Spec):
    """A model behind an OpenAI-compatible endpoint."""

    base_url: str | None = Field(
        default=None, description="Without a trailing slash; null: the user says."
    )
    key_variable: str = Field(description="Environment variable that holds the key.")
    models: list[str] = Field(min_length=1, description="Names as the endpoint knows them.")
    audio_formats: list[Literal["wav", "mp3", "flac"]] = Field(min_length=1)
    max_request_mb: float | None = Field(
        default=None, description="Largest request; null: unknown."
    )
    accepts: dict[Literal["temperature", "top_p", "seed", "stop", "n", "logprobs"], bool | None] = (
        Field(default_factory=dict, description="What it takes; null or absent: not known.")
    )


class TrainedOn(Spec):
    """A corpus that the makers of a model say they trained on."""

    corpus: str = Field(description="Id of a corpus card, or the corpus's own name.")
    source: str = Field(description="Where they say so.")


AudioTokenRule = Literal[
    "qwen2_audio", "qwen3_omni", "phi4", "granite_speech", "gemma3n", "voxtral", "some"
]
ProcessorCall = Literal["standard", "text_kwargs_padding", "chat_template_only"]


class ModelCard(Spec):
    """Facts of one family of speech LLMs that a backend needs.

    **A model of a known family needs no code.** A checkpoint whose `config.json` names one of
    `architectures` runs as it is, from a folder or by its hub id; adding it to `pretrained` makes
    it appear in `voxemo models ls` and takes its name as correct. A *new* family of which the parts
    are known is a new file here:

    1. `architectures`: all names that `config.json` may hold; `classes` where an engine must load
       another class than the one named (the thinker of a talking model, say).
    2. How it is asked: `processor_call`; `chat_formats` where its processor has no chat template.
    3. What the encoder does: `sampling_rate_hz`, `min_audio_s`, `max_audio_s` with `beyond_max`,
       `audio_token`, and the rule `audio_tokens` (`some` where none fits: then it is only checked
       that there are any). A wrong rule is found at the first clip: the run stops.
    4. `batch_exact: false` unless replies in a batch equal single ones with clips of different
       length. `tests/backends/test_families.py` checks all of it on random weights.
    5. `engines` with the versions that run it, `known_bad`, `verified_on`, `training_corpora` with
       sources (null: the makers do not say), `licence`.
    """

    schema_: Literal["voxemo-model/1"] = Field(alias="schema")
    id: Identifier
    name: str
    architectures: list[str] = Field(
        default_factory=list,
        description="`architectures` of the checkpoint's config.json; none for an API.",
    )
    classes: dict[str, str] = Field(
        default_factory=dict,
        description="Engine → class to load, where it is not the one that config.json names.",
    )
    pretrained: dict[str, str | None] = Field(
        default_factory=dict, description="Hub id → pinned revision, null where none is pinned."
    )
    alias_of_asset: dict[str, str] = Field(
        default_factory=dict, description="Name → folder under voxemo_tasks/assets."
    )
    synthetic_aliases: list[str] = Field(default_factory=list)
    api: ApiFacts | None = None
    sampling_rate_hz: int
    min_audio_s: float = Field(description="Shorter clips crash the model or yield no token.")
    max_audio_s: float | None = Field(description="Seconds that it can hear; null: no limit.")
    max_audio_from: Literal["card", "extractor", "processor"] = Field(
        default="card",
        description="Where a checkpoint says its own limit: n_samples of its feature extractor, or "
        "max_audio_len of its processor.",
    )
    beyond_max: Literal["truncated", "chunked", "error"] | None = None
    audios_per_request: int | None = Field(default=None, description="null: no limit.")
    audio_token: str | None = Field(default=None, description="The token that stands for sound.")
    audio_tokens: AudioTokenRule | None = Field(
        default=None, description="Rule that gives the number of audio tokens of a clip."
    )
    processor_call: ProcessorCall = Field(
        default="standard",
        description="standard: processor(text=, audio=, padding=True). text_kwargs_padding: padding "
        "for the text only. chat_template_only: messages with the audio inside.",
    )
    chat_formats: dict[Identifier, ChatFormat] = Field(
        default_factory=dict,
        description="Written formats; the first serves where the processor has no template.",
    )
    chat_format_of: dict[str, Identifier] = Field(
        default_factory=dict, description="Hub id → the format it wants instead of its template."
    )
    adapter: AdapterFacts | None = None
    batch_exact: bool = Field(
        default=True,
        description="Whether replies in a batch equal single ones when clips differ in length; if "
        "not, only clips of equal length share a batch.",
    )
    engines: dict[str, str] = Field(description="Engine → version range that can run it.")
    known_bad: list[str] = Field(default_factory=list)
    needs: list[str] = Field(
        default_factory=list, description="Packages that the processor needs beside transformers."
    )
    training_corpora: list[TrainedOn] | None = Field(
        default=None, description="Emotion corpora that the makers name; null: not known."
    )
    licence: str | None = None
    verified_on: Literal["full weights", "tiny random weights", "tiny trained weights", "not run"]
    notes: str | None = None

    @model_validator(mode="after")
    def _kinds(self) -> ModelCard:
        if self.api is None:
            if not self.architectures:
                raise ValueError("a model with weights needs architectures")
            if self.audio_token is None or self.audio_tokens is None:
                raise ValueError("a model with weights needs audio_token and audio_tokens")
        elif self.architectures or self.pretrained:
            raise ValueError("a model behind an API has neither architectures nor pretrained")
        unknown = set(self.chat_format_of.values()) - self.chat_formats.keys()
        if unknown:
            raise ValueError(f"chat_format_of names no format of chat_formats: {sorted(unknown)}")
        unknown = set(self.classes) - self.engines.keys()
        if unknown:
            raise ValueError(f"classes of engines that cannot run it: {sorted(unknown)}")
        return self
