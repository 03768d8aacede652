"""A home in which the built-in corpus is prepared, and a scripted model to ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks.corpora import prepare


@pytest.fixture
def mini_home(home: Path) -> Path:
    prepare("mini", None, progress=False)
    return home


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    def make(*rows: dict[str, Any]) -> Path:
        path = tmp_path / "script.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make
