"""Everything that is registered: prompts, verbalizers, judges, corpus cards, model cards.

A file is read strictly, checked against its JSON Schema, held to its registered digest (the data
rooms), made into a pydantic spec, and its references are followed. A look-up never returns
``None``: an unknown id raises with the nearest names.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

from .errors import DataRoomError, UnknownNameError
from .home import home
from .labels import require_known
from .registering.corpora import check_corpus
from .registering.files import load_cards, load_document, load_room, pick, read_schema, schema_of
from .registering.ontology import ONTOLOGY, WORLD, culture_notes, ontology
from .registering.ontology import clear as clear_ontology
from .registering.verbalizers import clear as clear_verbalizers
from .registering.verbalizers import lexical, verbalizer, verbalizers, words
from .rooms import PACKAGE, room_path
from .specs import (
    CorpusCard,
    EnsembleSpec,
    HygieneSpec,
    JudgeSpec,
    ModelCard,
    PromptSpec,
    WordingSpec,
)

__all__ = [
    "CARDS_OF_USER",
    "ONTOLOGY",
    "WORLD",
    "clear",
    "corpora",
    "corpus",
    "culture_notes",
    "default_prompt",
    "ensemble",
    "ensembles",
    "hygiene",
    "judge",
    "judge_in",
    "judges",
    "lexical",
    "load_document",
    "model_for",
    "model_named",
    "models",
    "ontology",
    "prompt",
    "prompts",
    "read_schema",
    "schema_of",
    "tiers",
    "verbalizer",
    "verbalizers",
    "wording",
    "wordings",
    "words",
]


@cache
def _prompts() -> dict[str, dict[int, tuple[PromptSpec, str]]]:
    found = load_room("prompts", PromptSpec)
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


def prompt(ref: str) -> tuple[PromptSpec, str]:
    """A prompt by ``id`` (its newest version) or ``id@version``, with its digest."""
    return pick("prompt", ref, _prompts(), "`voxemo prompts ls` shows all.")


def prompts() -> list[PromptSpec]:
    """Every registered prompt, all versions, sorted by tier, id and version."""
    specs = [spec for versions in _prompts().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.tier, s.id, s.version))


def tiers() -> list[str]:
    """The tiers that have at least one prompt, sorted."""
    return sorted({p.tier for p in prompts()})


def default_prompt(tier: str, language: str = "en") -> PromptSpec:
    """The newest default prompt of a tier in a language.

    The exact tag is preferred (``zh-Hant``); else the primary subtag decides (``zh``).

    Raises:
        UnknownNameError: For a tier without prompts, or without one in that language.
        DataRoomError: Where two prompts both say that they are it.
    """
    candidates = [p for p in prompts() if p.tier == tier and p.default]
    if not candidates:
        raise UnknownNameError("prompt tier", tier, tiers())
    primary = language.partition("-")[0]
    matching = [p for p in candidates if p.language == language] or [
        p for p in candidates if p.language.partition("-")[0] == primary
    ]
    if len({p.id for p in matching}) > 1:
        raise DataRoomError(
            f"prompts {', '.join(sorted({p.id for p in matching}))} all say that they are the "
            f"default of tier {tier!r} in {language!r}; keep default: true in one of them"
        )
    if not matching:
        raise UnknownNameError(
            f"language of prompt tier {tier!r}", language, {p.language for p in candidates}
        )
    return max(matching, key=lambda p: p.version)


@cache
def _wordings() -> dict[str, dict[int, tuple[WordingSpec, str]]]:
    found = load_room("prompts", WordingSpec, "wording")
    for versions in found.values():
        for spec, _ in versions.values():
            require_known(list(spec.labels), f"wording {spec.ref}, key labels")
    return found


def wording(language: str) -> tuple[WordingSpec, str]:
    """The newest words for labels in a language, with their digest; primary subtags suffice.

    Raises:
        UnknownNameError: For a language without a wording.
    """
    primary = language.partition("-")[0]
    newest = [versions[max(versions)] for versions in _wordings().values()]
    for exact in (True, False):
        for spec, digest in newest:
            if spec.language == (language if exact else primary):
                return spec, digest
    raise UnknownNameError("language of label wordings", language, [s.language for s, _ in newest])


def wordings() -> list[WordingSpec]:
    """Every registered wording, sorted by id and version."""
    specs = [spec for versions in _wordings().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.id, s.version))


@cache
def _ensembles() -> dict[str, dict[int, tuple[EnsembleSpec, str]]]:
    found = load_room("prompts", EnsembleSpec, "ensembles")
    for versions in found.values():
        for spec, _ in versions.values():
            for member in spec.members:
                prompt(member.prompt)
    return found


def ensemble(ref: str) -> tuple[EnsembleSpec, str]:
    """A prompt ensemble by ``id`` or ``id@version``, with its digest."""
    return pick("ensemble", ref, _ensembles(), "`voxemo prompts ls` shows all.")


def ensembles() -> list[EnsembleSpec]:
    """Every registered ensemble, all versions, sorted by id and version."""
    specs = [spec for versions in _ensembles().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.id, s.version))


@cache
def _judges() -> dict[str, dict[int, tuple[JudgeSpec, str]]]:
    return load_room("judges", JudgeSpec)


def judge(ref: str) -> tuple[JudgeSpec, str]:
    """A rubric by ``id`` or ``id@version``, with its digest."""
    return pick("judge", ref, _judges())


def judges() -> list[JudgeSpec]:
    """Every registered rubric, all versions, sorted by id and version."""
    specs = [spec for versions in _judges().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.id, s.version))


def judge_in(task: str, language: str) -> tuple[JudgeSpec, str]:
    """The newest rubric of a task in a language (primary subtags suffice), with its digest.

    Raises:
        UnknownNameError: Where no rubric of that task is written in the language.
    """
    primary = language.partition("-")[0]
    newest = [versions[max(versions)] for versions in _judges().values()]
    found = [x for x in newest if x[0].task == task and x[0].language.partition("-")[0] == primary]
    if not found:
        known = [spec.language for spec, _ in newest if spec.task == task]
        raise UnknownNameError(f"language of rubric {task!r}", language, known)
    return found[0]


@cache
def _hygiene() -> dict[str, dict[int, tuple[HygieneSpec, str]]]:
    return load_room("judges", HygieneSpec, "hygiene")


def hygiene(ref: str = "hygiene") -> tuple[HygieneSpec, str]:
    """Attacks, instruction-like patterns and model names, with their digest."""
    return pick("hygiene file", ref, _hygiene())


CARDS_OF_USER = "cards"


"""Folder under ``$VOXEMO_HOME`` with corpus cards of the user's own."""


def _corpora() -> dict[str, tuple[CorpusCard, str]]:
    own = home() / CARDS_OF_USER
    try:
        listed = tuple(
            (p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(own.glob("*.yaml"))
        )
    except OSError as error:
        raise DataRoomError(f"{own}: cannot be read ({error.strerror or error})") from error
    return _all_corpora(own, listed)


@lru_cache(maxsize=4)
def _all_corpora(
    own: Path, listed: tuple[tuple[str, int, int], ...]
) -> dict[str, tuple[CorpusCard, str]]:
    """The package's cards and the user's, sorted by id; read again when the user's change."""
    ours = PACKAGE / "corpora" / "cards"
    found = _packaged_corpora()
    if not listed:
        return found
    theirs = load_cards(own, CorpusCard, check_corpus, schema=ours / "card.schema.json")
    if both := sorted(found.keys() & theirs.keys()):
        raise DataRoomError(
            f"{own}: has a card {', '.join(both)}, which the package has too; give yours another id"
        )
    return dict(sorted((found | theirs).items()))


@cache
def _packaged_corpora() -> dict[str, tuple[CorpusCard, str]]:
    return load_cards(PACKAGE / "corpora" / "cards", CorpusCard, check_corpus)


def corpus(name: str) -> tuple[CorpusCard, str]:
    """A corpus card by id, with its digest."""
    cards = _corpora()
    if name not in cards:
        raise UnknownNameError("corpus", name, cards, "`voxemo corpora ls` shows all.")
    return cards[name]


def corpora() -> list[CorpusCard]:
    """Every corpus card, sorted by id."""
    return [card for card, _ in _corpora().values()]


@cache
def _models() -> dict[str, tuple[ModelCard, str]]:
    return load_cards(PACKAGE / "backends" / "cards", ModelCard, lambda card, document: None)


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
        "A new family is a card in backends/cards.",
    )


def model_named(name: str) -> tuple[ModelCard, str]:
    """The card that lists a hub id, a built-in name, or a model of an API, with its digest.

    Raises:
        UnknownNameError: Where no card lists it.
    """
    known: list[str] = []
    for card, digest in _models().values():
        names = [*card.pretrained, *card.alias_of_asset, *(card.api.models if card.api else ())]
        if name in names:
            return card, digest
        known += names
    raise UnknownNameError("model", name, known, "`voxemo models ls` shows all.")


def clear() -> None:
    """Forget what was loaded (tests, and after `lock`)."""
    for cached in (
        _prompts,
        _wordings,
        _ensembles,
        _judges,
        _hygiene,
        _packaged_corpora,
        _all_corpora,
        _models,
    ):
        cached.cache_clear()
    clear_ontology()
    clear_verbalizers()
