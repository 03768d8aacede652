"""Which questions were asked under which condition."""

from __future__ import annotations

from collections.abc import Iterable

from ...records import Json
from ...store import Asked

CLEAN = "clean"
CLAIMS = "claims"


def by_condition(header: Json, rows: Iterable[Asked]) -> dict[str, list[Asked]]:
    """Questions by the condition that they are of; those of runs without any are all ``clean``."""
    of = {m["id"]: m.get("condition", CLEAN) for m in header.get("members", ())}
    out: dict[str, list[Asked]] = {}
    for row in rows:
        out.setdefault(of.get(row.prompt, CLEAN), []).append(row)
    return out
