"""The canonical labels' placement and mapping rules, and the notes on cultures."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ..errors import DataRoomError
from ..labels import CANONICAL
from ..rooms import PACKAGE, Document
from ..specs import CultureNote, CultureNotes, LabelOntology
from .files import load_document, schema_of

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


def clear() -> None:
    """Forget what was loaded."""
    ontology.cache_clear()
    _culture.cache_clear()
