"""What the readers share: problems, options, and the walk over a corpus's files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import ValidationError

from ...audio import AUDIO_SUFFIXES, shown
from ...errors import CorpusError, DataRoomError
from ...specs import CorpusCard, Spec

S = TypeVar("S", bound=Spec)

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar", ".gz")
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not part of the corpus as it stands.

    Attributes:
        path: Relative to the root, printable.
        reason: Why, without the path.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def options(card: CorpusCard, spec: type[S]) -> S:
    """The reader's options of a card, checked.

    Raises:
        DataRoomError: Naming the card, the key, and what is wrong with it.
    """
    try:
        return spec.model_validate(card.reader.options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, ("reader", "options", *first["loc"])))
        raise DataRoomError(f"corpus card {card.id!r}, key {key}: {first['msg']}") from error


def require_root(card: CorpusCard, root: Path) -> None:
    """Refuse a root that is not a folder.

    Raises:
        CorpusError: Saying what it is instead.
    """
    if root.is_dir():
        return
    if not root.exists():
        raise CorpusError(
            f"{shown(root)}: there is no such folder; --root is the folder that holds {card.name}: "
            f"{card.layout}"
        )
    if root.name.lower().endswith(_ARCHIVES):
        raise CorpusError(
            f"{shown(root)}: is an archive; unpack it and give the folder that it was unpacked to"
        )
    raise CorpusError(
        f"{shown(root)}: is a file; --root is the folder that holds {card.name}: {card.layout}"
    )


def audio_files_below(root: Path, extensions: Collection[str] = ()) -> Iterator[str | Problem]:
    """Every file below a folder that looks like audio, as a POSIX path relative to it.

    Paths are spelled as the disk has them. Hidden files and folders (``.*``, so ``._*`` too) and
    ``__MACOSX`` are passed over. Links to folders are followed, each folder once. What cannot be
    used by its very name or kind comes as a problem: a name that is not UTF-8, a pipe or device, a
    folder that cannot be listed.

    Args:
        root: The folder.
        extensions: Of the corpus, lower case, beside those that look like audio anyway.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            found = (root / folder).stat()
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(root / folder) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except OSError as error:
            yield Problem(shown(folder) or ".", f"cannot be listed ({error.strerror or error})")
            continue
        below: list[str] = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            if _is_folder(entry):
                below.append(path)
            elif looks_like_audio(path, extensions):
                yield (
                    path
                    if (reason := _unusable(entry, path)) is None
                    else Problem(shown(path), reason)
                )
        waiting.extend(reversed(below))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: no folder, and found unreadable later
        return False


def _unusable(entry: os.DirEntry[str], path: str) -> str | None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it as the corpus has it"
    # A link that leads nowhere is listed, and found missing later.
    return None if entry.is_symlink() or entry.is_file() else "is not a regular file"


def looks_like_audio(path: str, extensions: Collection[str]) -> bool:
    """Whether a name ends like audio, or in one of some extensions (without the dot)."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix in AUDIO_SUFFIXES or suffix[1:] in extensions


def wrong_layout(card: CorpusCard, root: Path, looked_for: str, hint: str = "") -> CorpusError:
    """The error of a root that holds nothing of the corpus: what was looked for and found."""
    try:
        names = sorted(
            entry.name + ("/" if entry.is_dir() else "")
            for entry in root.iterdir()
            if not entry.name.startswith(".")
        )
    except OSError as error:
        return CorpusError(f"{shown(root)}: cannot be listed ({error.strerror or error})")
    found = ", ".join(shown(name) for name in names[:_LISTED]) or "nothing"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    archives = [name for name in names if name.lower().endswith(_ARCHIVES)]
    if not hint and archives:
        hint = f"Is {shown(archives[0])} the corpus, still packed? Unpack it."
    return CorpusError(
        f"{shown(root)}: does not look like {card.name}.\n"
        f"  looked for: {looked_for}\n"
        f"  found: {found}{more}\n"
        f"  a local copy looks like this: {card.layout}" + (f"\n  {hint}" if hint else "")
    )
