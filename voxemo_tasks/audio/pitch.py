r"""Fundamental frequency (F0) of speech, from the autocorrelation.

The method is Boersma's (1993, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 97-110). The autocorrelation of a
Hann-windowed frame, three periods of the floor long, is divided by that of the window; its peaks at
lags between ``1 / ceiling`` and ``1 / floor`` are candidates, beside "unvoiced"; the path through
the candidates of all frames with the greatest sum of strengths, less the cost of jumps, is found by
dynamic programming (Viterbi). The constants are those of the paper.

Floor and ceiling belong to the speaker: with ``median`` the median F0, the floor is 0.6 and the
ceiling 3 times it. A floor above a low voice finds its octave, a floor far below a high voice finds
its half; where the median is not given a first, coarse pass over 50 to 700 Hz measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from ..errors import OptionError

Floats = NDArray[np.float64]

FLOOR_OF_MEDIAN, CEILING_OF_MEDIAN = 0.6, 3.0
WIDEST_HZ = (50.0, 700.0)
"""Range of the first pass, where the speaker's median F0 is not known."""

LOWEST_HZ = 25.0
"""No floor is lower: its window would be longer than most syllables."""

VOICING = 0.45
"""Autocorrelation at the period from which a frame is voiced."""

_OCTAVE_COST, _OCTAVE_JUMP, _VOICING_JUMP = 0.01, 0.35, 0.14
_CANDIDATES = 6
_ENOUGH_HZ = 14_000  # of sampling rate; above twice this the signal is decimated first
_CHUNK = 2000  # frames analysed at once: bounds the memory


@dataclass(frozen=True, slots=True)
class PitchTrack:
    """F0 over time.

    Attributes:
        f0_hz: Shape ``(frames,)``; frame k lies at ``k * hop_s``; 0 where unvoiced.
        hop_s: Seconds between frames.
        floor_hz: Lowest F0 that could be found.
        ceiling_hz: Highest F0 that could be found.
    """

    f0_hz: Floats
    hop_s: float
    floor_hz: float
    ceiling_hz: float

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Shape ``(frames,)``: where there is an F0."""
        return self.f0_hz > 0

    @property
    def voiced_fraction(self) -> float:
        """Share of voiced frames, in [0, 1]."""
        return float(self.voiced.mean())

    @property
    def median_hz(self) -> float | None:
        """Median F0 of the voiced frames; ``None`` where there are none."""
        heard = self.f0_hz[self.voiced]
        return float(np.median(heard)) if len(heard) else None

    @property
    def mean_log_hz(self) -> float | None:
        """Mean natural logarithm of F0 over the voiced frames; ``None`` where there are none."""
        heard = self.f0_hz[self.voiced]
        return float(np.log(heard).mean()) if len(heard) else None

    @property
    def range_semitones(self) -> float | None:
        """Standard deviation of F0 in semitones (ddof 0); ``None`` without a voiced frame."""
        heard = self.f0_hz[self.voiced]
        return float(12.0 * np.log2(heard).std()) if len(heard) else None

    def at(self, seconds: Floats | float) -> Floats:
        """F0 of the frame nearest to each time, shape as given; 0 where unvoiced."""
        frame = np.rint(np.asarray(seconds) / self.hop_s).astype(np.int64)
        return np.asarray(self.f0_hz[np.clip(frame, 0, len(self.f0_hz) - 1)])


def track_pitch(
    samples: NDArray[np.floating],
    rate: int,
    median_hz: float | None = None,
    *,
    hop_s: float = 0.005,
    widened: float = 1.0,
    silence: float = 0.03,
    voicing: float = VOICING,
) -> PitchTrack:
    """The F0 of a clip of one speaker.

    Args:
        samples: Mono, shape ``(n,)``.
        rate: Sampling rate in Hz.
        median_hz: The speaker's median F0; ``None`` measures it in this clip first.
        hop_s: Seconds between frames.
        widened: Widens floor and ceiling, in octaves from the median, by this factor: for a clip
            whose F0 range has been widened.
        silence: Frames whose peak is below this share of the clip's count as unvoiced; 0 leaves the
            decision to periodicity alone.
        voicing: Autocorrelation at the period, in (0, 1), that a frame needs to be voiced.

    Returns:
        The track: ``floor(n / rate / hop_s) + 1`` frames. All are unvoiced for silence, noise, and
        a clip that holds no voice.

    Raises:
        OptionError: For a median outside 40 to 600 Hz, or a hop that is not positive.

    Example:
        >>> t = np.arange(16000) / 16000
        >>> tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
        >>> round(track_pitch(tone, 16000).median_hz, 1)
        120.0
    """
    if median_hz is not None and not 40.0 <= median_hz <= 600.0:
        raise OptionError(
            f"a median F0 of {median_hz:g} Hz is no speaker's; allowed is 40 to 600 Hz, or leave it "
            "out to have it measured"
        )
    if hop_s <= 0:
        raise OptionError(f"hop_s must be above 0, got {hop_s:g}; 0.005 is usual")
    x = np.asarray(samples, dtype=np.float64)
    factor = max(1, rate // _ENOUGH_HZ)
    if factor > 1:
        x = np.asarray(signal.resample_poly(x, 1, factor))
    at_rate = rate / factor
    frames = int(len(samples) / rate / hop_s + 1e-9) + 1
    if median_hz is None:
        coarse = 2 * hop_s
        first = _track(x, at_rate, *WIDEST_HZ, coarse, (frames + 1) // 2, silence, voicing)
        median_hz = first.median_hz
        if median_hz is None:
            return PitchTrack(np.zeros(frames), hop_s, *WIDEST_HZ)
    floor = max(FLOOR_OF_MEDIAN**widened * median_hz, LOWEST_HZ)
    ceiling = CEILING_OF_MEDIAN**widened * median_hz
    return _track(x, at_rate, floor, min(ceiling, at_rate / 5), hop_s, frames, silence, voicing)


def _track(
    x: Floats,
    rate: float,
    floor: float,
    ceiling: float,
    hop_s: float,
    frames: int,
    silence: float,
    voicing: float,
) -> PitchTrack:
    frequency, strength = _candidates(x, rate, floor, ceiling, hop_s, frames, silence, voicing)
    path = _best_path(frequency, strength, hop_s)
    f0 = frequency[np.arange(frames), path]
    return PitchTrack(f0, hop_s, floor, ceiling)


def _candidates(
    x: Floats,
    rate: float,
    floor: float,
    ceiling: float,
    hop_s: float,
    frames: int,
    silence: float,
    voicing: float,
) -> tuple[Floats, Floats]:
    """(frequency, strength), each of shape (frames, 1 + candidates); column 0 is "unvoiced"."""
    width = 2 * int(1.5 * rate / floor)
    low, high = max(2, int(rate / ceiling)), int(rate / floor) + 1
    size = fft.next_fast_len(width + high + 2, real=True)
    window = np.hanning(width)
    lags = np.arange(low, high + 1)
    of_window = fft.irfft(np.abs(fft.rfft(window, size)) ** 2)[: high + 2]
    of_window /= of_window[0]
    bonus = _OCTAVE_COST * np.log2(floor * lags / rate)
    half = max(1, int(0.5 * rate / floor))
    loudest = float(np.abs(x - x.mean()).max()) if len(x) else 0.0
    padded = np.pad(x, (width // 2, width // 2 + 1))
    starts = np.minimum(
        np.rint(np.arange(frames) * hop_s * rate).astype(np.int64), len(padded) - width
    )
    views = np.lib.stride_tricks.sliding_window_view(padded, width)
    frequency = np.zeros((frames, 1 + _CANDIDATES))
    strength = np.full((frames, 1 + _CANDIDATES), -np.inf)
    strength[:, 0] = voicing + 2.0
    if loudest == 0.0:
        return frequency, strength
    for begin in range(0, frames, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        frame = views[starts[part]]
        # The mean under the window: what is left of rumble would count as likeness at every lag.
        frame = frame - (frame @ window / window.sum())[:, None]
        local = np.abs(frame[:, width // 2 - half : width // 2 + half]).max(axis=1)
        quiet = 2.0 - (local / loudest) * (1.0 + voicing) / max(silence, 1e-9)
        strength[part, 0] = voicing + np.maximum(0.0, quiet)
        spectrum = fft.rfft((frame * window).astype(np.float32), size, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        r = fft.irfft(power, size, axis=1)[:, : high + 2].astype(np.float64)
        r /= np.maximum(r[:, :1], 1e-20) * of_window
        middle = r[:, low : high + 1]
        peak = (middle > r[:, low - 1 : high]) & (middle >= r[:, low + 1 : high + 2])
        score = np.where(peak & (middle > 0.3 * voicing), middle - bonus, -np.inf)
        wanted = min(_CANDIDATES, score.shape[1])
        best = np.argpartition(-score, wanted - 1, axis=1)[:, :wanted]
        row = np.arange(len(r))[:, None]
        at = best + low
        before, here, after = r[row, at - 1], r[row, at], r[row, at + 1]
        bend = np.minimum(before - 2.0 * here + after, -1e-12)
        shift = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
        height = here - 0.25 * (before - after) * shift
        # a peak above 1 is an artefact of dividing by the window's small tail
        height = np.where(height > 1.0, 1.0 / np.maximum(height, 1.0), height)
        hz = rate / (at + shift)
        found = np.isfinite(score[row, best]) & (hz <= ceiling)
        frequency[part, 1 : 1 + wanted] = np.where(found, hz, 0.0)
        value = height - _OCTAVE_COST * np.log2(floor / hz)
        strength[part, 1 : 1 + wanted] = np.where(found, value, -np.inf)
    return frequency, strength


def _best_path(frequency: Floats, strength: Floats, hop_s: float) -> NDArray[np.int64]:
    """Index of the chosen candidate of each frame."""
    frames = len(frequency)
    voiced = frequency > 0
    octave = np.log2(np.where(voiced, frequency, 1.0))
    both = voiced[:-1, :, None] & voiced[1:, None, :]
    change = voiced[:-1, :, None] ^ voiced[1:, None, :]
    cost = np.abs(octave[:-1, :, None] - octave[1:, None, :])
    cost *= _OCTAVE_JUMP * both
    cost += _VOICING_JUMP * change
    cost *= 0.01 / hop_s  # the paper's costs are for steps of 10 ms
    total = strength[0].copy()
    back = np.zeros(strength.shape, dtype=np.int64)
    columns = np.arange(strength.shape[1])
    for k in range(1, frames):
        arrived = total[:, None] - cost[k - 1]
        back[k] = arrived.argmax(axis=0)
        total = arrived[back[k], columns] + strength[k]
    path = np.zeros(frames, dtype=np.int64)
    path[-1] = int(total.argmax())
    for k in range(frames - 1, 0, -1):
        path[k - 1] = back[k, path[k]]
    return path
