"""A known signal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def chirp(rate: int, seconds: float, channels: int = 1) -> NDArray[np.float32]:
    """Shape (n, channels): a tone that rises from 150 Hz, each channel half as loud as the last."""
    t = np.arange(round(rate * seconds)) / rate
    one = 0.5 * np.sin(2 * np.pi * (150 + 40 * t) * t)
    return (one[:, None] * 0.5 ** np.arange(channels)).astype(np.float32)
