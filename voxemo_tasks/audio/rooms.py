r"""Reverberation, and the distant microphone.

The room impulse response is synthetic: a direct sound, then noise under an exponential,

.. math:: h(t) = \delta(t) + g \, n(t) \, 10^{-3 t / T_{60}}

with :math:`n` white Gaussian noise and :math:`g` such that the energy of the direct sound over that
of the tail is the direct-to-reverberant ratio. It has the decay of a diffuse field (Polack, 1988)
and no early reflections of any room in particular.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from .levels import active_level_db, matched
from .noise import at_snr, coloured

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]

_GAP_S = 0.002  # from the direct sound to the first reflections
_LENGTH_T60 = 1.2  # the tail is cut 72 dB down


def impulse_response(rate: int, t60_s: float, drr_db: float, seed: int) -> Floats:
    """A room impulse response; sample 0 is the direct sound, of height 1."""
    start = max(1, round(_GAP_S * rate))
    length = start + max(1, math.ceil(_LENGTH_T60 * t60_s * rate))
    t = np.arange(length - start) / rate
    tail = np.random.default_rng(seed).standard_normal(len(t)) * 10.0 ** (-3.0 * t / t60_s)
    tail *= math.sqrt(10.0 ** (-drr_db / 10.0) / float(np.sum(tail**2)))
    response = np.zeros(length)
    response[0] = 1.0
    response[start:] = tail
    return response


def reverb(samples: Samples, rate: int, *, t60_s: float, drr_db: float, seed: int) -> Samples:
    """The clip in a room; the tail after the clip's end is cut, the active level restored."""
    response = impulse_response(rate, t60_s, drr_db, seed)
    wet = signal.fftconvolve(samples.astype(np.float64), response)[: len(samples)]
    return matched(wet, rate, active_level_db(samples, rate))


def far_field(
    samples: Samples, rate: int, *, distance_m: float, t60_s: float, snr_db: float, seed: int
) -> Samples:
    """The clip through a distant microphone.

    The direct sound falls by 6 dB a doubling of distance; the critical distance, at which direct
    and reverberant energy are equal, is taken as 1 m. Pink noise lies ``snr_db`` below the active
    level of the reverberant speech; then all is attenuated by ``20 log10(distance)`` where the
    distance exceeds 1 m, against the clip as it was.
    """
    away_db = 20.0 * math.log10(distance_m)
    wet = reverb(samples, rate, t60_s=t60_s, drr_db=-away_db, seed=seed)
    # Another stream than the tail's, or the noise would be the room's own.
    drawn = coloured(
        "pink", len(samples), rate, int(np.random.SeedSequence(seed).generate_state(1)[0])
    )
    heard = wet + at_snr(wet, drawn, rate, snr_db)
    return np.asarray(heard * 10.0 ** (-max(0.0, away_db) / 20.0), dtype=np.float32)
