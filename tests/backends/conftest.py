"""Requests on small audio files, as lm-eval would queue them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lm_eval.api.instance import Instance

from voxemo_tasks.records import AudioRef, Decoding, Request

Make = Callable[..., Instance]


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., AudioRef]:
    """Make a clip of some length; different names are different sounds."""

    def make(name: str, seconds: float = 1.0) -> AudioRef:
        path = tmp_path / f"{name}.wav"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        noise = np.random.default_rng(seed).normal(0, 0.1, int(16000 * seconds))
        soundfile.write(path, noise.astype(np.float32), 16000)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return AudioRef(str(path), digest, duration_s=seconds)

    return make


@pytest.fixture
def instance() -> Make:
    """An lm-eval instance that asks about a clip."""

    def make(
        audio: AudioRef,
        text: str = "What emotion? Choose one of: angry, happy, neutral, sad.",
        decoding: Decoding | None = None,
        samples: int = 1,
        doc_id: int = 0,
    ) -> Instance:
        message = {
            "role": "user",
            "content": [{"type": "audio", "index": 0}, {"type": "text", "text": text}],
        }
        request = Request(
            "direct_en@1", "0" * 64, (message,), (audio,), decoding or Decoding(max_new_tokens=8)
        )
        return Instance(
            request_type="generate_until",
            doc={},
            arguments=request.to_arguments({}),
            idx=0,
            metadata=("task", doc_id, samples),
        )

    return make
