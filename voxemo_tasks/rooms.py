"""Where the data rooms are, and the strict reading of their files.

``prompts/``, ``verbalizers/`` and ``judges/`` lie beside the package in a checkout and inside it
(``voxemo_tasks/data/<room>``) in a wheel. With the cards inside the package they are the only YAML
of the project, and this module is the only code that reads YAML.

The dialect is YAML 1.2's core: ``no``, ``off`` and ``2026-01-01`` are strings, only ``true`` and
``false`` are booleans, duplicate keys, tags, anchors and aliases are refused.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import BrokenInstallError, DataRoomError

PACKAGE = Path(__file__).resolve().parent
ROOMS: dict[str, str] = {"prompts": "prompt", "verbalizers": "verbalizer", "judges": "judge"}
"""Room → stem of its schema file."""

KINDS: dict[str, dict[str, str]] = {
    "prompts": {"wording": "wording", "ensembles": "ensemble"},
    "verbalizers": {
        "words": "words",
        "emulations": "emulation",
        "structured": "structured",
        "cues": "cues",
    },
    "judges": {"hygiene": "hygiene"},
}
"""Room → folder of files of another kind → stem of their schema file."""

SUMS = "SHA256SUMS"
FILE_NAME = re.compile(r"^(?P<id>[a-z][a-z0-9_]*)\.v(?P<version>[1-9][0-9]*)\.yaml$")

_INT = re.compile(r"^[-+]?(0|[1-9][0-9]{0,17})$")
_FLOAT = re.compile(r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$")
_PLAIN: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as read.

    Attributes:
        path: The file.
        data: Its mapping.
        lines: Key path → 1-based line, for error messages.
        sha256: Digest of the file's bytes.
    """

    path: Path
    data: dict[str, Any]
    lines: dict[KeyPath, int]
    sha256: str

    def where(self, key_path: KeyPath) -> str:
        """``file:line, key a.b`` of a key path, or of its nearest ancestor that has a line."""
        shown = ".".join(str(k) for k in key_path) or "(top level)"
        probe = key_path
        while probe and probe not in self.lines:
            probe = probe[:-1]
        return f"{self.path}:{self.lines.get(probe, 1)}, key {shown}"


def room_path(room: str) -> Path:
    """The folder of a data room, in a wheel, an editable install or a bare checkout.

    Raises:
        BrokenInstallError: Where neither place holds the room's schema.
    """
    schema = f"{ROOMS[room]}.schema.json"
    places = [PACKAGE / "data" / room, PACKAGE.parent / room]
    for place in places:
        if (place / schema).is_file():
            return place
    looked = " nor ".join(str(p / schema) for p in places)
    raise BrokenInstallError(
        f"broken install: the data room {room!r} is missing (neither {looked} exists); "
        "reinstall voxemo-tasks, or run from a complete checkout"
    )


def read_yaml(path: Path, registered: str | None = None) -> Document:
    """Read one file strictly.

    Args:
        path: The file.
        registered: The SHA-256 that it is registered with, if it is. Bytes with that digest were held
            to the dialect when they were registered (:func:`lock`), so they are composed by libyaml,
            which is ten times as fast and would let some others pass.

    Raises:
        DataRoomError: With file, line and key, for YAML that is broken, has a duplicate key, a
            tag, an anchor or an alias, or is not a mapping.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except OSError as error:
        raise DataRoomError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataRoomError(
            f"{path}: is not UTF-8 ({error.reason} at byte {error.start})"
        ) from error
    lines: dict[KeyPath, int] = {}
    digest = hashlib.sha256(raw).hexdigest()
    try:
        node = _compose(text, path, known=digest == registered)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise DataRoomError(f"{path}{line}: not valid YAML: {problem}") from error
    if not isinstance(node, yaml.MappingNode):
        raise DataRoomError(f"{path}:1: the file must be a mapping (key: value), and it is not")
    data = _construct(node, (), path, lines)
    return Document(path, data, lines, digest)


def _compose(text: str, path: Path, *, known: bool) -> yaml.Node | None:
    loader: yaml.SafeLoader | yaml.CSafeLoader
    if known and hasattr(yaml, "CSafeLoader"):
        loader = yaml.CSafeLoader(text)
    else:
        loader = _PlainLoader(text)
        loader.path = path
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


class _PlainLoader(yaml.SafeLoader):
    """Composes a file in the pass that refuses its anchors, aliases and tags."""

    path: Path

    def get_event(self) -> yaml.Event:
        event: yaml.Event = super().get_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise DataRoomError(
                f"{self.path}:{line}: anchors and aliases are not allowed here; write the value out"
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise DataRoomError(f"{self.path}:{line}: the tag {tag} is not allowed here")
        return event


def _construct(node: yaml.Node, at: KeyPath, path: Path, lines: dict[KeyPath, int]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(at, line)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise DataRoomError(f"{path}:{key_node.start_mark.line + 1}: a key must be text")
            key = str(key_node.value)
            key_line = key_node.start_mark.line + 1
            if key in mapping:
                raise DataRoomError(
                    f"{path}:{key_line}, key {'.'.join(map(str, (*at, key)))}: stands twice (first "
                    f"on line {lines[(*at, key)]}); keep one"
                )
            lines[(*at, key)] = key_line
            mapping[key] = _construct(value_node, (*at, key), path, lines)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(child, (*at, i), path, lines) for i, child in enumerate(node.value)]
    value = str(node.value)
    if getattr(node, "style", None):  # quoted or block: always text
        return value
    if value in _PLAIN:
        return _PLAIN[value]
    if _INT.match(value):
        return int(value)
    if _FLOAT.match(value):
        number = float(value)
        if not math.isfinite(number):
            raise DataRoomError(f"{path}:{line}: {value} is beyond what a number can hold here")
        return number
    return value


def read_sums(room: Path) -> dict[str, str]:
    """Relative POSIX path → registered SHA-256 of a room; empty where nothing is registered.

    Raises:
        DataRoomError: For a line that is not ``<64 hex digits>  <path>``.
    """
    file = room / SUMS
    if not file.is_file():
        return {}
    sums: dict[str, str] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataRoomError(f"{file}: cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = re.match(r"^([0-9a-f]{64})  (\S.*)$", line)
        if match is None:
            raise DataRoomError(f"{file}:{number}: expected '<sha256>  <path>', got {line!r}")
        if match[2] in sums:
            raise DataRoomError(f"{file}:{number}: {match[2]} stands twice; keep the right line")
        sums[match[2]] = match[1]
    return sums


def check_digest(document: Document, room: Path, sums: Mapping[str, str] | None = None) -> None:
    """Hold a file to its registered bytes.

    Args:
        document: The file, read.
        room: Its room.
        sums: What :func:`read_sums` says of the room; read where it is not given.

    Raises:
        DataRoomError: Where the file is not registered, or differs from what was registered.
    """
    relative = document.path.relative_to(room).as_posix()
    registered = (read_sums(room) if sums is None else sums).get(relative)
    lock = f"voxemo {room.name} lock"
    if registered is None:
        raise DataRoomError(
            f"{document.path}: is not registered in {room / SUMS}; if it is a new file, register "
            f"it with `{lock}`"
        )
    if registered != document.sha256:
        raise DataRoomError(
            f"{document.path}: its bytes are not the registered ones (SHA-256 {document.sha256}, "
            f"registered {registered}); a released file never changes: restore it, and put a new "
            "wording into a new version"
        )


def room_files(room: Path) -> list[Path]:
    """The data files of a room, sorted by relative path.

    Raises:
        DataRoomError: For a YAML file whose name is not ``<id>.v<n>.yaml``.
    """
    files = sorted(room.rglob("*.yaml"), key=lambda p: p.relative_to(room).as_posix())
    for file in files:
        if FILE_NAME.match(file.name) is None:
            raise DataRoomError(
                f"{file}: a data file is called <id>.v<n>.yaml with a lower-case id, "
                "e.g. direct_en.v1.yaml"
            )
    return files


def lock(room: Path) -> tuple[list[str], list[str]]:
    """Register the digests of new files; never change an old one.

    Returns:
        The relative paths that were added, and those registered before.

    Raises:
        DataRoomError: Where a registered file is missing or has other bytes, or a new one is no YAML
            of this dialect. Nothing is written.
    """
    sums = read_sums(room)
    found = {
        f.relative_to(room).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in room_files(room)
    }
    for name, digest in sums.items():
        if name not in found:
            raise DataRoomError(f"{room / name}: is registered and missing; restore it")
        if found[name] != digest:
            raise DataRoomError(
                f"{room / name}: is registered with other bytes; restore it, and put the new "
                "wording into a new version"
            )
    added = [name for name in found if name not in sums]
    for name in added:
        read_yaml(room / name)  # strictly: from now on its digest says that it was
    if added:
        body = "".join(f"{found[name]}  {name}\n" for name in sorted(found))
        (room / SUMS).write_text(body, encoding="utf-8", newline="\n")
    return added, sorted(sums)
