"""The verbalizers of all kinds, each with the words and the readers that it names."""

from __future__ import annotations

from functools import cache

from pydantic import ValidationError

from ..errors import DataRoomError, UnknownNameError
from ..records import digest_of
from ..specs import (
    AnyVerbalizer,
    CuesSpec,
    EmulationSpec,
    StructuredSpec,
    VerbalizerSpec,
    WordsSpec,
)
from .files import load_room, pick


@cache
def _words() -> dict[str, dict[int, tuple[WordsSpec, str]]]:
    return load_room("verbalizers", WordsSpec, "words")


def words(ref: str) -> tuple[WordsSpec, str]:
    """The words of a language by ``id`` or ``id@version``, with their digest."""
    return pick("word list", ref, _words())


@cache
def _verbalizers() -> dict[str, dict[int, tuple[AnyVerbalizer, str]]]:
    lexical = load_room("verbalizers", VerbalizerSpec)
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
        for name, loaded_versions in load_room("verbalizers", spec, kind).items():
            if name in found:
                raise DataRoomError(f"two kinds of verbalizers are called {name!r}; rename one")
            found[name] = dict(loaded_versions)
    for versions in found.values():
        for loaded, _ in versions.values():
            if isinstance(loaded, StructuredSpec):
                inner, _ = pick("verbalizer", loaded.reads_with, found)
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
    spec, digest = pick("verbalizer", ref, _verbalizers())
    if isinstance(spec, StructuredSpec) and spec.kind != "likelihood":  # which reads no word
        return spec, digest_of([digest, lexical(spec.reads_with)[1]])
    return spec, digest


def lexical(ref: str) -> tuple[VerbalizerSpec, str]:
    """A verbalizer that reads words.

    Raises:
        UnknownNameError: For one that is not registered, or is of another kind.
    """
    spec, digest = pick("verbalizer", ref, _verbalizers())
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


def clear() -> None:
    """Forget what was loaded."""
    _words.cache_clear()
    _verbalizers.cache_clear()
