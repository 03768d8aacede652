r"""Level of speech: the root mean square while somebody speaks.

The active level is that of ITU-T P.56 (method B). The envelope is the rectified signal through two
one-pole smoothers of 30 ms; a moment is active for threshold :math:`c` while the envelope has been
at or above it within the last 200 ms (the hangover). With :math:`S` the sum of squares and
:math:`a(c)` the number of active samples, the threshold sought lies 15.9 dB below the level that
it gives itself:

.. math:: 10 \log_{10} \frac{S}{a(c)} - 20 \log_{10} c = 15.9 \text{ dB}

The standard tries thresholds 6 dB apart and interpolates; here every value of the envelope, taken
each millisecond, is tried, so that the level of a scaled clip is its level plus the gain, exactly.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

MARGIN_DB = 15.9
HANGOVER_S = 0.2
_SMOOTHING_S = 0.03


def rms_db(samples: NDArray[np.floating]) -> float | None:
    """Level of the whole clip in dB re full scale (1.0); ``None`` where it is all zeros."""
    power = _power(samples)
    return 10.0 * math.log10(power) if power > 0 else None


def active_level_db(samples: NDArray[np.floating], rate: int) -> float | None:
    """Active speech level in dB re full scale (1.0), after ITU-T P.56.

    Args:
        samples: Mono, shape ``(n,)``.
        rate: Sampling rate in Hz.

    Returns:
        At least the level of the whole clip; ``None`` where the clip is empty or all zeros.

    Example:
        >>> tone = np.sin(2 * np.pi * 200 * np.arange(16000) / 16000)
        >>> round(active_level_db(tone, 16000))
        -3
        >>> padded = np.concatenate([tone, np.zeros(48000)])  # silence does not lower it: rms -9 dB
        >>> active_level_db(padded, 16000) > -4.5
        True
    """
    share = active_share(samples, rate)
    if share is None:
        return None
    return 10.0 * math.log10(_power(samples) / share)


def active_share(samples: NDArray[np.floating], rate: int) -> float | None:
    """Share of the clip that counts as speech, in (0, 1]; ``None`` as for the level."""
    power = _power(samples)
    if power == 0:
        return None
    envelope = _held_envelope(samples, rate)
    thresholds = np.sort(envelope)  # at threshold k, the last m - k of m moments are active
    active = np.arange(len(envelope), 0, -1) / len(envelope)
    with np.errstate(divide="ignore"):
        above = 10.0 * np.log10(power / active) - 20.0 * np.log10(thresholds)
    reached = np.flatnonzero(above <= MARGIN_DB)
    # Too short for the envelope to rise: all of it is speech.
    return float(active[reached[0]]) if len(reached) else 1.0


def matched(
    samples: NDArray[np.floating], rate: int, level_db: float | None
) -> NDArray[np.float32]:
    """The samples scaled to an active level; as they are where there is none to match."""
    own = active_level_db(samples, rate)
    gain = 1.0 if own is None or level_db is None else 10.0 ** ((level_db - own) / 20.0)
    return np.asarray(samples * gain, dtype=np.float32)


def _power(samples: NDArray[np.floating]) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0


def _held_envelope(samples: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
    """The envelope each millisecond, each value held for the hangover."""
    pole = math.exp(-1.0 / (rate * _SMOOTHING_S))
    smoother = ([1.0 - pole], [1.0, -pole])
    envelope = signal.lfilter(*smoother, np.abs(samples.astype(np.float64)))
    envelope = signal.lfilter(*smoother, envelope)[:: max(1, rate // 1000)]
    held = max(1, round(HANGOVER_S * rate / max(1, rate // 1000)))
    causal = (held - 1) // 2 if held % 2 else held // 2 - 1
    return np.asarray(
        ndimage.maximum_filter1d(envelope, held, mode="constant", cval=0.0, origin=causal)
    )
