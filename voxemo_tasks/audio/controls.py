"""Controls: what a model answers when the cue is not there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .noise import only_noise
from .prosody import prosody_contour, prosody_range

Samples = NDArray[np.float32]


def control_silence(samples: Samples, rate: int) -> Samples:
    """Zeros, as many as the clip has samples."""
    return np.zeros_like(samples)


def control_noise(samples: Samples, rate: int, *, kind: str, seed: int) -> Samples:
    """Noise as long as the clip, at the active level of its speech."""
    return only_noise(samples, rate, kind, seed)


def control_flat(
    samples: Samples, rate: int, *, pitch: int, energy: int, speaker_f0_hz: float | None = None
) -> Samples:
    """The clip without contour: F0 constant at its (log) mean, dB envelope as even as it gets.

    Args:
        samples: Mono, shape ``(n,)``.
        rate: Sampling rate in Hz.
        pitch: 1: flatten F0.
        energy: 1: flatten the envelope, to 0.4 of its standard deviation.
        speaker_f0_hz: Median F0 of the speaker; ``None`` measures it in the clip.
    """
    if pitch:
        samples = prosody_range(samples, rate, factor=0.0, speaker_f0_hz=speaker_f0_hz)
    if energy:
        samples = prosody_contour(samples, rate, factor=0.4)
    return samples.copy()


def control_reverse(samples: Samples, rate: int) -> Samples:
    """Backwards: the same spectrum and loudness over time, no words."""
    return np.ascontiguousarray(samples[::-1])
