"""From registered files to specs: strict YAML, JSON Schema, digest, pydantic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
from pydantic import BaseModel, ValidationError

from ..errors import DataRoomError, UnknownNameError
from ..rooms import (
    FILE_NAME,
    KINDS,
    ROOMS,
    Document,
    check_digest,
    read_sums,
    read_yaml,
    room_files,
    room_path,
)
from ..specs import Spec

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


def load_room(
    room: str, spec: type[S], kind: str | None = None
) -> dict[str, dict[int, tuple[S, str]]]:
    """The files of a room: those of its own kind, or of a kind that has a folder of its own.

    Returns:
        Id → version → spec and digest of the file.

    Raises:
        DataRoomError: For a file that does not meet its schema or its registered digest, or whose
            name, id and version do not agree; for a version that exists twice.
    """
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


def pick(
    kind: str, ref: str, found: dict[str, dict[int, tuple[S, str]]], hint: str = ""
) -> tuple[S, str]:
    """What ``id`` (the newest version) or ``id@version`` names among loaded files.

    Raises:
        UnknownNameError: For an id or a version that is not there, with the nearest names.
    """
    name, _, version = ref.partition("@")
    if name not in found:
        raise UnknownNameError(kind, ref, found, hint)
    versions = found[name]
    if not version:
        return versions[max(versions)]
    if not version.isdecimal() or int(version) not in versions:
        raise UnknownNameError(kind, ref, [f"{name}@{v}" for v in versions], hint)
    return versions[int(version)]


def load_cards(
    folder: Path,
    spec: type[S],
    check: Callable[[S, Document], None],
    schema: Path | None = None,
) -> dict[str, tuple[S, str]]:
    """The cards of a folder: id → card and digest of its file.

    Args:
        folder: Where the ``.yaml`` files lie; one that does not exist has no cards.
        spec: What a card is to become.
        check: Raises for a card that does not hold to more than its schema.
        schema: The JSON Schema; by default the folder's own ``card.schema.json``.

    Raises:
        DataRoomError: For a card that does not meet its schema, or is not called by its id.
    """
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
