"""To another rate and back, without delay."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import signal


def resampled(samples: NDArray[np.floating], rate: int, to_rate: int) -> NDArray[np.float64]:
    """The samples at another rate (polyphase, linear phase, zero delay).

    Returns:
        Shape ``(ceil(n * to_rate / rate),)``.
    """
    if rate == to_rate:
        return np.asarray(samples, dtype=np.float64)
    common = math.gcd(rate, to_rate)
    up, down = to_rate // common, rate // common
    return np.asarray(signal.resample_poly(samples.astype(np.float64), up, down))


def fitted(samples: NDArray[np.floating], length: int) -> NDArray[np.float64]:
    """The samples cut, or filled up with zeros, to a length."""
    out = np.zeros(length)
    n = min(length, len(samples))
    out[:n] = samples[:n]
    return out
