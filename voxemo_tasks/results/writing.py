"""Results JSON to disk and back."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from ..errors import StoreError
from ..home import write_atomically
from .model import Model, Results


def write_results(results: Model, path: Path) -> Path:
    """Write results (or a comparison) as JSON, whole or not at all.

    Raises:
        StoreError: Where it cannot be written.
    """
    data = results.model_dump(mode="json", by_alias=True)
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
    return path


def read_results(path: Path) -> Results:
    """Read results JSON.

    Raises:
        StoreError: For a file that is missing, no JSON, or not of this schema (with the key).
    """
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        raise StoreError(f"{path}, key {key}: {first['msg']}") from error
