"""Where this user's prepared corpora, task tree and runs live.

``$VOXEMO_HOME`` when it is set, else the platform's data folder (on Linux
``~/.local/share/voxemo``). Laid out as::

    corpora/<id>/manifest.parquet + corpus.json   registered by `voxemo corpora prepare`
    tasks/<digest>/                               the lm-eval task tree, a cache
    runs/<model>/                                 runs of plain `lm-eval` without store=
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from .errors import StoreError


def home() -> Path:
    """The folder itself, absolute; it may not exist yet."""
    override = os.environ.get("VOXEMO_HOME", "").strip()
    if override:
        return Path(override).expanduser().absolute()
    return user_data_path("voxemo", appauthor=False)


def write_atomically(path: Path, data: bytes, *, new: bool = False) -> None:
    """Write a whole file or nothing: a temporary file beside it, flushed, then renamed over it.

    Args:
        path: The file.
        data: Its content.
        new: Leave a file alone that is there by then: of two writers at once the first wins. (On a
            file system without hard links the last wins.)

    Raises:
        StoreError: Where the folder cannot be made or written (full disk, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            # mkstemp makes 0600 files; others on a cluster read these too.
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            if new and _linked(name, path):
                Path(name).unlink()
            else:
                Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "place (--output_path, --out, or the environment variable VOXEMO_HOME)"
        ) from error


DOCUMENTS = "voxemo-documents/1"
"""Schema of the file that describes a task's utterances to a scorer; it stands in its first line."""


def write_json_lines(path: Path, lines: Iterable[Any]) -> None:
    """Write one JSON value a line, compressed; the same lines give the same bytes at any time.

    Raises:
        StoreError: As ``write_atomically``.
    """
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream:
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
    write_atomically(path, buffer.getvalue())


def _linked(name: str, path: Path) -> bool:
    """Whether a file has its second name now, or that name was taken before."""
    try:
        os.link(name, path)
    except FileExistsError:
        return True
    except OSError:  # no hard links here
        return path.exists()
    return True
