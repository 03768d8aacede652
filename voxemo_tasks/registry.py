"""Everything that is registered: prompts, verbalizers, judges, corpus cards, model cards.

A file is read strictly, checked against its JSON Schema, held to its registered digest (the data
rooms), made into a pydantic spec, and its references are followed. A look-up never returns
``None``: an unknown id raises with the nearest names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
from pydantic import BaseModel, ValidationError

from .errors import DataRoomError, LabelSetError, UnknownNameError
from .home import home
from .labels import CANONICAL, require_known
from .records import digest_of
from .rooms import (
    FILE_NAME,
    KINDS,
    PACKAGE,
    ROOMS,
    Document,
    check_digest,
    read_sums,
    read_yaml,
    room_files,
    room_path,
)
from .specs import (
    AnyVerbalizer,
    CorpusCard,
    CuesSpec,
    CultureNote,
    CultureNotes,
    EmulationSpec,
    EnsembleSpec,
    HygieneSpec,
    JudgeSpec,
    LabelOntology,
    ModelCard,
    PromptSpec,
    Spec,
    StructuredSpec,
    VerbalizerSpec,
    WordingSpec,
    WordsSpec,
)

S = TypeVar("S", bound=Spec)


def load_document(
    path: Path, spec: type[S], schema: dict[str, Any], registered: str | None = None
) -> tuple[S, Document]:
    """File → strict YAML → JSON Schema → spec.

    Args:
        path: The file.
        spec: What it is to become.
        schema: What its data must meet.
        registered: The digest that it is registered with, for a file of a data room.

    Raises:
        DataRoomError: With file, line and key of the first thing that is wrong.
    """
    document = read_yaml(path, registered)
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


def schema_of(spec: type[BaseModel]) -> dict[str, Any]:
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


def _load_room(
    room: str, spec: type[S], kind: str | None = None
) -> dict[str, dict[int, tuple[S, str]]]:
    """The files of a room: those of its own kind, or of a kind that has a folder of its own."""
    folder = room_path(room)
    kinds = KINDS.get(room, {})
    schema = read_schema(folder / f"{kinds[kind] if kind else ROOMS[room]}.schema.json")
    sums = read_sums(folder)
    found: dict[str, dict[int, tuple[S, str]]] = {}
    for path in room_files(folder):
        first = path.relative_to(folder).parts[0]
        if (first if first in kinds else None) != kind:
            continue
        relative = path.relative_to(folder).as_posix()
        loaded, document = load_document(path, spec, schema, sums.get(relative))
        check_digest(document, folder, sums)
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
    if not version.isdecimal() or int(version) not in versions:
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
def _wordings() -> dict[str, dict[int, tuple[WordingSpec, str]]]:
    found = _load_room("prompts", WordingSpec, "wording")
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


@cache
def _ensembles() -> dict[str, dict[int, tuple[EnsembleSpec, str]]]:
    found = _load_room("prompts", EnsembleSpec, "ensembles")
    for versions in found.values():
        for spec, _ in versions.values():
            for member in spec.members:
                prompt(member.prompt)
    return found


def ensemble(ref: str) -> tuple[EnsembleSpec, str]:
    """A prompt ensemble by ``id`` or ``id@version``, with its digest."""
    return _pick("ensemble", ref, _ensembles(), "`voxemo prompts ls` shows all.")


def ensembles() -> list[EnsembleSpec]:
    """Every registered ensemble, all versions, sorted by id and version."""
    specs = [spec for versions in _ensembles().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.id, s.version))


def wordings() -> list[WordingSpec]:
    """Every registered wording, sorted by id and version."""
    specs = [spec for versions in _wordings().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.id, s.version))


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


def judge(ref: str) -> tuple[JudgeSpec, str]:
    """A rubric by ``id`` or ``id@version``, with its digest."""
    return _pick("judge", ref, _judges())


def _cards(
    folder: Path,
    spec: type[S],
    check: Callable[[S, Document], None],
    schema: Path | None = None,
) -> dict[str, tuple[S, str]]:
    shape = read_schema(schema or folder / "card.schema.json")
    found: dict[str, tuple[S, str]] = {}
    for path in sorted(folder.glob("*.yaml")):
        card, document = load_document(path, spec, shape)
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
        try:
            card.label_set(name)
        except LabelSetError as error:
            raise DataRoomError(f"{at}: {error}") from error
    if bool(card.labels) != bool(card.label_sets):
        raise DataRoomError(
            f"{document.where(('labels',))}: labels and label_sets are both there, or both empty "
            "({}) for a corpus that has dimensional ratings only"
        )
    for key, names in (
        ("default_label_set", card.label_sets),
        ("default_protocol", card.protocols),
    ):
        if not names and key == "default_label_set":
            continue
        value = getattr(card, key)
        if value not in names:
            raise DataRoomError(
                f"{document.where((key,))}: {value!r} is not one of {', '.join(names)}"
            )
    for raw in card.expected.labels:
        if raw not in card.labels:
            at = document.where(("expected", "labels", raw))
            raise DataRoomError(f"{at}: is not a raw label of the card: {', '.join(card.labels)}")
    for name, protocol in card.protocols.items():
        if isinstance(protocol.default_fold, int) and protocol.default_fold > protocol.folds:
            at = document.where(("protocols", name, "default_fold"))
            raise DataRoomError(
                f"{at}: fold {protocol.default_fold} of {protocol.folds} does not exist"
            )
    if card.dimensions is not None and card.dimensions.low >= card.dimensions.high:
        raise DataRoomError(f"{document.where(('dimensions',))}: low must be below high")

    _check_rules(card, document)


def _check_rules(card: CorpusCard, document: Document) -> None:
    """Every mapping of a raw label names a rule of the ontology, if any of the card's does."""
    rules = ontology().rules
    for key, rule in ((("label_rule",), card.label_rule), *_rules_of(card)):
        if rule is not None and rule not in rules:
            raise DataRoomError(
                f"{document.where(key)}: {rule!r} is no rule of the ontology; allowed: "
                f"{', '.join(rules)}"
            )
    for raw in card.label_rules:
        if raw not in card.labels:
            raise DataRoomError(
                f"{document.where(('label_rules', raw))}: is not a raw label of the card: "
                f"{', '.join(card.labels)}"
            )


def _rules_of(card: CorpusCard) -> list[tuple[tuple[str, ...], str]]:
    return [(("label_rules", raw), rule) for raw, rule in card.label_rules.items()]


ONTOLOGY = PACKAGE / "corpora" / "ontology"


@cache
def ontology() -> LabelOntology:
    """The canonical labels' placement, and the rules by which raw labels were mapped to them.

    Raises:
        DataRoomError: Where a canonical label is missing or unknown, or a source is not listed.
    """
    path = ONTOLOGY / "labels.yaml"
    loaded, document = load_document(path, LabelOntology, schema_of(LabelOntology))
    if tuple(loaded.labels) != CANONICAL:
        wrong = sorted(set(loaded.labels) ^ set(CANONICAL)) or "their order"
        raise DataRoomError(f"{document.where(('labels',))}: is not the canonical space: {wrong}")
    _require_sources(document, loaded.sources, {k: v.source for k, v in loaded.labels.items()})
    return loaded


@cache
def _culture() -> CultureNotes:
    path = ONTOLOGY / "culture.yaml"
    loaded, document = load_document(path, CultureNotes, schema_of(CultureNotes))
    _require_sources(document, loaded.sources, {k: v.source for k, v in loaded.notes.items()})
    return loaded


def _require_sources(
    document: Document, sources: dict[str, str], cited: dict[str, str | None]
) -> None:
    for name, source in cited.items():
        if source is not None and source not in sources:
            raise DataRoomError(
                f"{document.path}: {name} cites {source!r}, which is not in sources"
            )


WORLD = "world"
"""Culture of the notes that rest on many countries."""


def culture_notes(
    cultures: Iterable[str] = (), languages: Iterable[str] = ()
) -> dict[str, tuple[CultureNote, str]]:
    """Notes on some cultures or languages: name → note and the full citation of its source.

    Args:
        cultures: Country codes as the cards have them.
        languages: BCP-47 tags; primary subtags meet one another (``de`` and ``de-AT``).

    Returns:
        Findings on many countries at once (``world``) come with every culture.

    Example:
        >>> notes = culture_notes(["JP"]).values()
        >>> all({"JP", "world"} & set(note.cultures) for note, _ in notes)
        True
    """
    book = _culture()
    wanted = set(cultures)
    spoken = {tag.partition("-")[0] for tag in languages}
    return {
        name: (note, book.sources[note.source])
        for name, note in book.notes.items()
        if wanted & set(note.cultures)
        or (wanted and WORLD in note.cultures)
        or spoken & {tag.partition("-")[0] for tag in note.languages}
    }


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
    theirs = _cards(own, CorpusCard, _check_corpus, schema=ours / "card.schema.json")
    if both := sorted(found.keys() & theirs.keys()):
        raise DataRoomError(
            f"{own}: has a card {', '.join(both)}, which the package has too; give yours another id"
        )
    return dict(sorted((found | theirs).items()))


@cache
def _packaged_corpora() -> dict[str, tuple[CorpusCard, str]]:
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
        _words,
        _verbalizers,
        _packaged_corpora,
        _all_corpora,
        _models,
        ontology,
        _culture,
    ):
        cached.cache_clear()


@cache
def _words() -> dict[str, dict[int, tuple[WordsSpec, str]]]:
    return _load_room("verbalizers", WordsSpec, "words")


def words(ref: str) -> tuple[WordsSpec, str]:
    """The words of a language by ``id`` or ``id@version``, with their digest."""
    return _pick("word list", ref, _words())


@cache
def _verbalizers() -> dict[str, dict[int, tuple[AnyVerbalizer, str]]]:
    lexical = _load_room("verbalizers", VerbalizerSpec)
    found: dict[str, dict[int, tuple[AnyVerbalizer, str]]] = {
        name: {version: _with_words(*loaded) for version, loaded in versions.items()}
        for name, versions in lexical.items()
    }
    others: tuple[tuple[str, type[EmulationSpec | StructuredSpec | CuesSpec]], ...] = (
        ("emulations", EmulationSpec),
        ("structured", StructuredSpec),
        ("cues", CuesSpec),
    )
    for kind, spec in others:
        for name, loaded_versions in _load_room("verbalizers", spec, kind).items():
            if name in found:
                raise DataRoomError(f"two kinds of verbalizers are called {name!r}; rename one")
            found[name] = dict(loaded_versions)
    for versions in found.values():
        for loaded, _ in versions.values():
            if isinstance(loaded, StructuredSpec):
                inner, _ = _pick("verbalizer", loaded.reads_with, found)
                if not isinstance(inner, VerbalizerSpec):
                    raise DataRoomError(
                        f"verbalizer {loaded.ref}: reads_with={loaded.reads_with!r} knows no words"
                    )
    return found


def _with_words(spec: VerbalizerSpec, digest: str) -> tuple[VerbalizerSpec, str]:
    """Put the word lists that a spec names into it; the digest then covers them too."""
    refs = {language: ref for language, ref in spec.languages.items() if isinstance(ref, str)}
    if not refs:
        return spec, digest
    lists = {language: words(ref) for language, ref in refs.items()}
    data = spec.model_dump(mode="json", by_alias=True)
    data["languages"] |= {language: found.words() for language, (found, _) in lists.items()}
    data["reviewed"] = {
        **data["reviewed"],
        **{language: found.reviewed for language, (found, _) in lists.items()},
    }
    try:
        whole = VerbalizerSpec.model_validate(data)
    except ValidationError as error:
        raise DataRoomError(f"verbalizer {spec.ref}: {error.errors()[0]['msg']}") from error
    return whole, digest_of([digest, *(sha for _, sha in lists.values())])


def verbalizer(ref: str) -> tuple[AnyVerbalizer, str]:
    """A verbalizer of any kind by ``id`` or ``id@version``, with its digest.

    The digest of one that reads with another's words covers that one, too.
    """
    spec, digest = _pick("verbalizer", ref, _verbalizers())
    if isinstance(spec, StructuredSpec) and spec.kind != "likelihood":  # which reads no word
        return spec, digest_of([digest, lexical(spec.reads_with)[1]])
    return spec, digest


def lexical(ref: str) -> tuple[VerbalizerSpec, str]:
    """A verbalizer that reads words.

    Raises:
        UnknownNameError: For one that is not registered, or is of another kind.
    """
    spec, digest = _pick("verbalizer", ref, _verbalizers())
    if not isinstance(spec, VerbalizerSpec):
        known = [name for name, v in _verbalizers().items() if _is_lexical(v)]
        raise UnknownNameError("verbalizer with word lists", ref, known)
    return spec, digest


def _is_lexical(versions: dict[int, tuple[AnyVerbalizer, str]]) -> bool:
    return any(isinstance(spec, VerbalizerSpec) for spec, _ in versions.values())


def verbalizers() -> list[AnyVerbalizer]:
    """Every registered verbalizer, all versions, sorted by id and version."""
    specs = [spec for versions in _verbalizers().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.id, s.version))


@cache
def _hygiene() -> dict[str, dict[int, tuple[HygieneSpec, str]]]:
    return _load_room("judges", HygieneSpec, "hygiene")


def hygiene(ref: str = "hygiene") -> tuple[HygieneSpec, str]:
    """Attacks, instruction-like patterns and model names, with their digest."""
    return _pick("hygiene file", ref, _hygiene())


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


def judges() -> list[JudgeSpec]:
    """Every registered rubric, all versions, sorted by id and version."""
    specs = [spec for versions in _judges().values() for spec, _ in versions.values()]
    return sorted(specs, key=lambda s: (s.id, s.version))
