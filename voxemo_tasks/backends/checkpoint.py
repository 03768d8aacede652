"""What the backends that load a checkpoint have in common: its card, its limits, its identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..records import Json
from ..specs import ModelCard
from .base import AudioLM
from .families import TEMPLATE, window_of
from .loading import Checkpoint, digest_of_folder


class CheckpointLM(AudioLM):
    """A backend for checkpoints of the families that have a card.

    A subclass loads one, sets these attributes, and identifies it once everything is known.
    """

    _checkpoint: Checkpoint
    _card: ModelCard
    _processor: Any
    _chat_name: str
    _adapter: str | None
    _fingerprint: Json

    @property
    def name(self) -> str:
        return Path(self._checkpoint.asked).name

    @property
    def synthetic(self) -> bool:
        return self._checkpoint.synthetic

    @property
    def max_audio_s(self) -> float | None:
        """The window of this very checkpoint where it says it itself, else of its family."""
        return window_of(self._card, self._processor)

    @property
    def min_audio_s(self) -> float:
        return self._card.min_audio_s

    def fingerprint(self) -> Json:
        return self._fingerprint

    def _identity(self, commit: str | None, engine: str, version: str, dtype: str) -> Json:
        """The fingerprint's keys that every engine has.

        Args:
            commit: What :func:`~voxemo_tasks.backends.revisions.load_at` found; ``None`` where nobody
                knows, and for a folder.
            engine, version: What answers.
            dtype: Of the weights, as loaded.
        """
        revision = commit
        if self._checkpoint.local:
            revision = f"sha256:{digest_of_folder(Path(self._checkpoint.source))}"
            # The bytes are the identity; where the folder lies is not.
            model = self._checkpoint.asked if self.synthetic else self.name
        else:
            model = self._checkpoint.asked
        identity: Json = {
            "model": model,
            "revision": revision,
            "adapter": self._adapter,
            "engine": engine,
            "engine_version": version,
            "dtype": dtype,
        }
        if self._chat_name != TEMPLATE:
            identity["chat_format"] = self._chat_name
        return identity
