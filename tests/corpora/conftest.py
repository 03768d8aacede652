"""Corpora for the tests: small trees of real, short audio files, and a card to read them with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from corpus_rows import row, write_rows

from voxemo_tasks import registry
from voxemo_tasks.specs import CorpusCard

WriteClip = Callable[..., Path]


@pytest.fixture
def clip() -> WriteClip:
    """A function that writes a tone: path, seconds."""

    def write(path: Path, seconds: float = 0.1, rate: int = 8000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.sin(np.arange(round(seconds * rate)) / 5), rate)
        return path

    return write


@pytest.fixture
def urdu_tree(tmp_path: Path, clip: WriteClip) -> Path:
    """Twelve files laid out as URDU is released."""
    root = tmp_path / "urdu copy"
    for folder, letter in (("Angry", "A"), ("Happy", "H"), ("Neutral", "N"), ("Sad", "S")):
        for number, speaker in ((1, "SM1"), (2, "SF2"), (3, "SM1")):
            clip(root / folder / f"{speaker}_F{number}_{letter}0{number}.wav", 0.1 * number)
    return root


@pytest.fixture
def jsonl_tree(tmp_path: Path, clip: WriteClip) -> Path:
    """Three files with a metadata file, as the mini corpus has it."""
    root = tmp_path / "small"
    for i in range(3):
        clip(root / f"en/{i}.wav")
    write_rows(root, [row(i) for i in range(3)])
    return root


@pytest.fixture
def with_card(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CorpusCard]:
    """A function that registers a changed copy of a card for the test: base id, new id, changes."""

    def register(base: str, name: str, **changes: Any) -> CorpusCard:
        card, digest = registry.corpus(base)
        changed = CorpusCard.model_validate(
            {**card.model_dump(by_alias=True), "id": name, **changes}
        )
        cards = dict(registry._corpora()) | {name: (changed, digest[::-1])}
        monkeypatch.setattr(registry, "_corpora", lambda: cards)
        return changed

    return register
