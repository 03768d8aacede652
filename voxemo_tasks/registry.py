"""Everything that is registered: prompts, verbalizers, judges, corpus cards, model cards.

A file is read strictly, checked against its JSON Schema, held to its registered digest (the data
rooms), made into a pydantic spec, and its references are followed. A look-up never returns ``None``:
an unknown id raises with the nearest names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import jsonschema
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import DataRoomError, UnknownNameError
from .labels import LabelSet, require_known
from .rooms import (
    FILE_NAME,
    PACKAGE,
    ROOMS,
    Document,
    check_digest,
    read_yaml,
    room_files,
    room_path,
)

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


S = TypeVar("S", bound=Spec)


def load_document(path: Path, spec: type[S], schema: dict[str, Any]) -> tuple[S, Document]:
    """File → strict YAML → JSON Schema → spec.

    Raises:
        DataRoomError: With file, line and key of the first thing that is wrong.
    """
    document = read_yaml(path)
    validator = jsonschema.Draft202012Validator(schema)
    problems = sorted(validator.iter_errors(document.data), key=lambda e: list(map(str, e.path)))
    if problems:
        first = problems[0]
        at = tuple(first.absolute_path)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DataRoomError(f"{document.where(at)}: {_shorten(first.message)}{more}")
    try:
        return spec.model_validate(document.data), document
    except ValidationError as error:
        first_error = error.errors()[0]
        at = tuple(first_error["loc"])
        raise DataRoomError(f"{document.where(at)}: {first_error['msg']}") from error


def _shorten(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def schema_of(spec: type[Spec]) -> dict[str, Any]:
    """The JSON Schema that a spec class implies; the checked-in schema files are this, verbatim."""
    schema = spec.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def read_schema(path: Path) -> dict[str, Any]:
    """A checked-in JSON Schema.

    Raises:
        DataRoomError: Where the file is not there or not JSON.
    """
    try:
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataRoomError(f"{path}: cannot be read as a JSON Schema ({error})") from error
    return schema


def _load_room(room: str, spec: type[S]) -> dict[str, dict[int, tuple[S, str]]]:
    folder = room_path(room)
    schema = read_schema(folder / f"{ROOMS[room]}.schema.json")
    found: dict[str, dict[int, tuple[S, str]]] = {}
    for path in room_files(folder):
        loaded, document = load_document(path, spec, schema)
        check_digest(document, folder)
        name = FILE_NAME.match(path.name)
        identity = (getattr(loaded, "id", None), getattr(loaded, "version", None))
        if name is None or identity != (name["id"], int(name["version"])):
            raise DataRoomError(
                f"{document.where(('id',))}: the file is called {path.name} and says id "
                f"{identity[0]}, version {identity[1]}; they must agree"
            )
        versions = found.setdefault(name["id"], {})
        if int(name["version"]) in versions:
            raise DataRoomError(f"{path}: {name['id']} version {name['version']} exists twice")
        versions[int(name["version"])] = (loaded, document.sha256)
    return found


def _pick(
    kind: str, ref: str, found: dict[str, dict[int, tuple[S, str]]], hint: str = ""
) -> tuple[S, str]:
    name, _, version = ref.partition("@")
    if name not in found:
        raise UnknownNameError(kind, ref, found, hint)
    versions = found[name]
    if not version:
        return versions[max(versions)]
    if not version.isdigit() or int(version) not in versions:
        raise UnknownNameError(kind, ref, [f"{name}@{v}" for v in versions], hint)
    return versions[int(version)]


@cache
def _prompts() -> dict[str, dict[int, tuple[PromptSpec, str]]]:
    found = _load_room("prompts", PromptSpec)
    folder = room_path("prompts")
    for versions in found.values():
        for spec, _ in versions.values():
            file = folder / spec.tier / f"{spec.id}.v{spec.version}.yaml"
            if not file.is_file():
                raise DataRoomError(
                    f"prompt {spec.ref} says tier {spec.tier!r} but does not lie in {file.parent}"
                )
            verbalizer(spec.verbalizer)
    return found


@cache
def _judges() -> dict[str, dict[int, tuple[JudgeSpec, str]]]:
    return _load_room("judges", JudgeSpec)


def prompt(ref: str) -> tuple[PromptSpec, str]:
    """A prompt by ``id`` (its newest version) or ``id@version``, with its digest."""
    return _pick("prompt", ref, _prompts(), "`voxemo prompts ls` shows all.")


def prompts() -> list[PromptSpec]:
    """Every registered prompt, all versions, sorted by tier, id and version."""
    specs = [spec for versions in _prompts().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.tier, s.id, s.version))


def tiers() -> list[str]:
    """The tiers that have at least one prompt, sorted."""
    return sorted({p.tier for p in prompts()})


def default_prompt(tier: str, language: str = "en") -> PromptSpec:
    """The newest default prompt of a tier in a language (primary subtag).

    Raises:
        UnknownNameError: For a tier without prompts, or without one in that language.
    """
    candidates = [p for p in prompts() if p.tier == tier and p.default]
    if not candidates:
        raise UnknownNameError("prompt tier", tier, tiers())
    primary = language.partition("-")[0]
    matching = [p for p in candidates if p.language.partition("-")[0] == primary]
    if not matching:
        raise UnknownNameError(
            f"language of prompt tier {tier!r}", language, {p.language for p in candidates}
        )
    return max(matching, key=lambda p: p.version)


def judge(ref: str) -> tuple[JudgeSpec, str]:
    """A rubric by ``id`` or ``id@version``, with its digest."""
    return _pick("judge", ref, _judges())


def _cards(
    folder: Path, spec: type[S], check: Callable[[S, Document], None]
) -> dict[str, tuple[S, str]]:
    schema = read_schema(folder / "card.schema.json")
    found: dict[str, tuple[S, str]] = {}
    for path in sorted(folder.glob("*.yaml")):
        card, document = load_document(path, spec, schema)
        if getattr(card, "id", None) != path.stem:
            raise DataRoomError(
                f"{document.where(('id',))}: the file is called {path.name}; id must be "
                f"{path.stem!r}"
            )
        check(card, document)
        found[path.stem] = (card, document.sha256)
    return found


def _check_corpus(card: CorpusCard, document: Document) -> None:
    require_known(list(card.labels.values()), document.where(("labels",)))
    for name, label_set in card.label_sets.items():
        at = document.where(("label_sets", name))
        require_known(label_set.labels, at)
        known = set(card.labels.values())
        for label in [*label_set.labels, *label_set.merge]:
            reachable = label in known or label in label_set.merge.values()
            if not reachable:
                raise DataRoomError(f"{at}: no raw label of the card maps to {label!r}")
    for key, names in (
        ("default_label_set", card.label_sets),
        ("default_protocol", card.protocols),
    ):
        value = getattr(card, key)
        if value not in names:
            raise DataRoomError(
                f"{document.where((key,))}: {value!r} is not one of {', '.join(names)}"
            )
    card.label_set()


@cache
def _corpora() -> dict[str, tuple[CorpusCard, str]]:
    return _cards(PACKAGE / "corpora" / "cards", CorpusCard, _check_corpus)


@cache
def _models() -> dict[str, tuple[ModelCard, str]]:
    return _cards(PACKAGE / "backends" / "cards", ModelCard, lambda card, document: None)


def corpus(name: str) -> tuple[CorpusCard, str]:
    """A corpus card by id, with its digest."""
    cards = _corpora()
    if name not in cards:
        raise UnknownNameError("corpus", name, cards, "`voxemo corpora ls` shows all.")
    return cards[name]


def corpora() -> list[CorpusCard]:
    """Every corpus card, sorted by id."""
    return [card for card, _ in _corpora().values()]


def models() -> list[ModelCard]:
    """Every model card, sorted by id."""
    return [card for card, _ in _models().values()]


def model_for(architecture: str) -> tuple[ModelCard, str]:
    """The card of the family with this `architectures` entry, with its digest.

    Raises:
        UnknownNameError: Where no family is registered for it.
    """
    for card, digest in _models().values():
        if architecture in card.architectures:
            return card, digest
    known = [a for card in models() for a in card.architectures]
    raise UnknownNameError(
        "model architecture",
        architecture,
        known,
        "A new family is a card in voxemo_tasks/backends.",
    )


def clear() -> None:
    """Forget what was loaded (tests, and after `lock`)."""
    for cached in (_prompts, _judges, _verbalizers, _corpora, _models):
        cached.cache_clear()


# --- verbalizers -------------------------------------------------------------------------------


class VerbalizerSpec(Spec):
    """Pre-registered rules that read a reply."""

    schema_: Literal["voxemo-verbalizer/1"] = Field(alias="schema")
    id: Identifier
    version: int = Field(ge=1)
    title: str

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"


@cache
def _verbalizers() -> dict[str, dict[int, tuple[VerbalizerSpec, str]]]:
    return _load_room("verbalizers", VerbalizerSpec)


def verbalizer(ref: str) -> tuple[VerbalizerSpec, str]:
    """A verbalizer by ``id`` or ``id@version``, with its digest."""
    return _pick("verbalizer", ref, _verbalizers())


def verbalizers() -> list[VerbalizerSpec]:
    """Every registered verbalizer, all versions, sorted by id and version."""
    specs = [spec for versions in _verbalizers().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.id, s.version))
