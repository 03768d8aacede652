"""Qwen-Omni hears through our own decoding what the makers' ``qwen-omni-utils`` would give it.

The package is not needed, and this is why: for the same conversation its arrays and ours are equal,
bit by bit. It is what the makers' examples use, so whoever compares with them has the same input.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="qwen-omni-utils needs torch")
import shims

from voxemo_tasks.audio import decode
from voxemo_tasks.records import AudioRef


@pytest.fixture(scope="module")
def omni() -> Any:
    """The package; it imports torchvision for its pictures, sound or not."""
    try:
        shims.torchvision()
    except ImportError as error:
        pytest.skip(f"qwen-omni-utils imports torchvision: {error}")
    return pytest.importorskip(
        "qwen_omni_utils", reason="qwen-omni-utils is not installed: pip install qwen-omni-utils"
    )


def conversation(path: Path, **window: float) -> list[dict[str, Any]]:
    sound = {"type": "audio", "audio": str(path)} | window
    return [{"role": "user", "content": [sound, {"type": "text", "text": "What emotion?"}]}]


def written(path: Path, rate: int, channels: int, subtype: str, seconds: float = 1.37) -> AudioRef:
    noise = np.random.default_rng(rate + channels).normal(0, 0.1, (int(rate * seconds), channels))
    soundfile.write(path, noise, rate, subtype=subtype)
    return AudioRef(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", 16_000, 1, "PCM_16"),
        ("b.flac", 16_000, 1, "PCM_16"),
        ("c.wav", 16_000, 2, "PCM_24"),
        ("d.wav", 16_000, 8, "PCM_16"),
        ("e.wav", 44_100, 1, "PCM_16"),
        ("f.wav", 48_000, 2, "FLOAT"),
        ("g.wav", 8_000, 1, "PCM_16"),
        ("h.wav", 384_000, 1, "FLOAT"),
    ],
)
def test_a_file_is_the_same_samples(
    omni: Any, tmp_path: Path, name: str, rate: int, channels: int, subtype: str
) -> None:
    path = tmp_path / name
    ref = written(path, rate, channels, subtype)
    asked = conversation(path)
    (theirs,) = omni.process_mm_info(asked, use_audio_in_video=False)[0]
    (again,) = omni.process_audio_info(asked, use_audio_in_video=False)
    ours = decode(ref, 16_000)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert np.array_equal(ours, theirs)
    assert np.array_equal(again, theirs)
    assert np.std(ours) > 0.01


def test_a_segment_is_the_same_samples(omni: Any, tmp_path: Path) -> None:
    path = tmp_path / "whole.wav"
    whole = written(path, 16_000, 1, "PCM_16", 2.0)
    asked = conversation(path, audio_start=0.25, audio_end=1.75)
    (theirs,) = omni.process_audio_info(asked, use_audio_in_video=False)
    ours = decode(AudioRef(whole.path, whole.sha256, start_s=0.25, end_s=1.75), 16_000)
    assert len(ours) == 24_000
    assert np.array_equal(ours, theirs)
