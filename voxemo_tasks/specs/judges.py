"""Rubrics for judges that read replies, and what judged texts are kept from doing."""

from __future__ import annotations

import re
import string
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from .common import Bcp47, Identifier, PromptDecoding, Spec, placeholders_of, require_placeholders

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
        require_placeholders(self.text, set(allowed))
        used = placeholders_of(self.text)
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
        require_placeholders(self.retry, {"problem"})
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
