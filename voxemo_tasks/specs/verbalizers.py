"""How text becomes a label: word lists and rules, emulations, shares and ratings, cues."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .common import Bcp47, Identifier, Spec

WordsRef = Annotated[str, Field(pattern=r"^words_[a-z0-9_]+@[1-9][0-9]*$")]


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
