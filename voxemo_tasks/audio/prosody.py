r"""Prosodic changes with a known dose: F0, F0 range, rate, intensity contour, loudness.

Conventions
-----------
dose        what is asked for is what an independent measurement finds (``manipulation``)
level       the active speech level (``levels``) is restored after every change but ``energy``
voice       F0 changes touch voiced speech only; a clip in which no voice is found comes back as it
            was, which the manipulation check tells
limits      F0 within a factor of 0.7 to 1.5 and rate within 0.7 to 1.4: beyond, a change is no
            longer speech of the same person
tones       a change of mean log F0 keeps lexical tones; a change of range does not: report it
            separately for tone languages
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import OptionError
from .catalogue import TRANSFORM_SPECS
from .levels import active_level_db, matched
from .pitch import PitchTrack, track_pitch
from .psola import F0Map, resynthesize

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]

_FRAME_S = 0.001
_WINDOW_S = 0.02  # standard deviation of the Gaussian window of the envelope
_SPEECH_DB = 25.0  # an envelope this far below the active level is no speech
_MOST_DB = 15.0  # of gain, either way


def prosody_f0(
    samples: Samples,
    rate: int,
    *,
    factor: float | None = None,
    semitones: float | None = None,
    speaker_f0_hz: float | None = None,
) -> Samples:
    """All F0 values times a factor; tempo, formants and active level as before.

    Args:
        samples: Mono, shape ``(n,)``.
        rate: Sampling rate in Hz.
        factor: New F0 over old; or
        semitones: the same as ``12 log2(factor)``.
        speaker_f0_hz: Median F0 of the speaker; ``None`` measures it in the clip.

    Returns:
        Shape ``(n,)``.
    """
    times = factor
    if semitones is not None:
        times = None if factor is not None else 2.0 ** (semitones / 12.0)
    if times is None:
        raise OptionError("prosody_f0: give exactly one of factor, semitones")
    track = track_pitch(samples, rate, speaker_f0_hz)
    return _changed(samples, rate, track, _times(times))


def prosody_range(
    samples: Samples, rate: int, *, factor: float, speaker_f0_hz: float | None = None
) -> Samples:
    r"""F0 excursions about the clip's mean log F0, times a factor.

    .. math:: \log f' = \mu + k (\log f - \mu)

    with the mean over voiced frames. 0 is a monotone.

    Returns:
        Shape ``(n,)``.
    """
    track = track_pitch(samples, rate, speaker_f0_hz)
    return _changed(samples, rate, track, _ranged(track, factor))


def prosody_rate(
    samples: Samples, rate: int, *, factor: float, speaker_f0_hz: float | None = None
) -> Samples:
    """Speaking rate times a factor, uniformly.

    Returns:
        Shape ``(round(n / factor),)``.
    """
    return _changed(samples, rate, track_pitch(samples, rate, speaker_f0_hz), speed=factor)


def prosody_contour(samples: Samples, rate: int, *, factor: float) -> Samples:
    """The dB envelope's standard deviation over the speech, times a factor.

    A gain that follows the envelope (Gaussian window, 20 ms) without delay. Because the gain is as
    smooth as the envelope, a nominal compression of one half has less effect than one half: the
    nominal factor is solved for by bisection so that the measured one is the one asked for. Pauses
    get the gain of the faintest speech; no gain exceeds 15 dB.

    Returns:
        Shape ``(n,)``. Where the dose cannot be reached within the 15 dB, the nearest to it.
    """
    found = envelope(samples, rate)
    if found is None:
        return samples.copy()
    decibels, speech = found
    old = float(decibels[speech].std())
    if old < 0.1:  # dB; nothing to change
        return samples.copy()

    def rendered(nominal: float) -> Samples:
        return matched(samples * _gain(decibels, speech, nominal, len(samples), rate), rate, level)

    level = active_level_db(samples, rate)
    low, high = -0.5, 3.0
    for _ in range(12):
        middle = 0.5 * (low + high)
        new = contour_spread(rendered(middle), rate, speech)
        if new is None or new / old < factor:
            low = middle
        else:
            high = middle
    return rendered(0.5 * (low + high))


def prosody_energy(samples: Samples, rate: int, *, gain_db: float) -> Samples:
    """All samples times ``10 ** (gain_db / 20)``; nothing is clipped."""
    return np.asarray(samples * 10.0 ** (gain_db / 20.0), dtype=np.float32)


def prosody_sham(samples: Samples, rate: int, *, speaker_f0_hz: float | None = None) -> Samples:
    """Through the same engine with nothing changed: what the engine itself does to a clip.

    That is next to nothing (an error some 45 to 65 dB below the speech), which is why a probe also wants
    ``prosody_round_trip``, whose processing is as harsh as that of a change.
    """
    return _changed(samples, rate, track_pitch(samples, rate, speaker_f0_hz))


def prosody_round_trip(
    samples: Samples, rate: int, *, op: str, factor: float, speaker_f0_hz: float | None = None
) -> Samples:
    """A change and its inverse: as much processing as the change, and a dose of zero.

    Raises:
        OptionError: For a factor outside the limits of the change.
    """
    TRANSFORM_SPECS[f"prosody_{op}"].resolve({"factor": factor})
    if op == "contour":
        there = prosody_contour(samples, rate, factor=factor)
        return prosody_contour(there, rate, factor=1.0 / factor)
    track = track_pitch(samples, rate, speaker_f0_hz)
    median = track.median_hz
    if median is None and op != "rate":
        return samples.copy()
    if op == "f0":
        there = _changed(samples, rate, track, _times(factor))
        again = track_pitch(there, rate, None if median is None else median * factor)
        return _changed(there, rate, again, _times(1.0 / factor))
    if op == "range":
        there = _changed(samples, rate, track, _ranged(track, factor))
        again = track_pitch(there, rate, median)
        # About the same centre: that of what is found voiced there may be another one.
        return _changed(there, rate, again, _ranged(track, 1.0 / factor))
    there = _changed(samples, rate, track, speed=factor)
    back = _changed(there, rate, track_pitch(there, rate, median), speed=1.0 / factor)
    length = len(samples)  # two roundings may differ by a sample
    return back[:length] if len(back) >= length else np.pad(back, (0, length - len(back)))


def _changed(
    samples: Samples,
    rate: int,
    track: PitchTrack,
    f0_map: F0Map | None = None,
    speed: float = 1.0,
) -> Samples:
    made = resynthesize(samples, rate, track, f0_map=f0_map, speed=speed)
    return matched(made, rate, active_level_db(samples, rate))


def _times(factor: float) -> F0Map:
    return lambda hz: np.asarray(hz * factor)


def _ranged(track: PitchTrack, factor: float) -> F0Map:
    centre = track.mean_log_hz
    if centre is None:
        return lambda hz: hz

    def ranged(hz: Floats) -> Floats:
        # An octave either way at most: what would go further is a tracking error.
        change = np.clip((factor - 1.0) * (np.log(hz) - centre), -np.log(2.0), np.log(2.0))
        return np.asarray(hz * np.exp(change))

    return ranged


def envelope(samples: Samples, rate: int) -> tuple[Floats, NDArray[np.bool_]] | None:
    """(level in dB, is speech) each millisecond; ``None`` for silence.

    Speech is what lies at most 25 dB below the active level.
    """
    level = active_level_db(samples, rate)
    if level is None:
        return None
    size = max(1, round(_FRAME_S * rate))
    power = np.square(samples, dtype=np.float64)
    power = np.pad(power, (0, -len(power) % size)).reshape(-1, size).mean(axis=1)
    smooth = ndimage.gaussian_filter1d(power, _WINDOW_S * rate / size, mode="nearest")
    decibels = 10.0 * np.log10(np.maximum(smooth, 1e-12))
    return decibels, decibels > level - _SPEECH_DB


def contour_spread(
    samples: Samples, rate: int, speech: NDArray[np.bool_] | None = None
) -> float | None:
    """Standard deviation of the dB envelope over the speech; ``None`` for silence.

    Args:
        samples: Mono, shape ``(n,)``.
        rate: Sampling rate in Hz.
        speech: Which milliseconds count; ``None``: those of this clip's own speech.
    """
    found = envelope(samples, rate)
    if found is None:
        return None
    counted = found[1] if speech is None else speech
    return float(found[0][counted].std()) if counted.any() else None


def _gain(
    decibels: Floats, speech: NDArray[np.bool_], nominal: float, length: int, rate: int
) -> Floats:
    heard = decibels[speech]
    shape = np.maximum(decibels, heard.min()) - heard.mean()
    gain = np.clip((nominal - 1.0) * shape, -_MOST_DB, _MOST_DB)
    size = max(1, round(_FRAME_S * rate))
    centres = (np.arange(len(gain)) + 0.5) * size
    return np.asarray(10.0 ** (np.interp(np.arange(length), centres, gain) / 20.0))
