r"""Time-domain pitch-synchronous overlap-add (TD-PSOLA): new F0 and rate, same timbre.

After Moulines & Charpentier (1990, "Pitch-synchronous waveform processing techniques for
text-to-speech synthesis using diphones", Speech Communication 9, 453-467). Voiced speech is cut
into grains around *pitch marks*, one a period, each two periods long under a Hann window; the
grains, unchanged and so with the formants they had, are laid down again at the new distance. A
grain is used twice or left out where the new F0 or the new rate needs more or fewer of them.

Some details matter for the precision that a controlled stimulus needs:

* Marks are fractions of a sample: each is where the waveform is most like the one around the mark
  before, refined by a parabola. Grains are read from an oversampled copy of the signal. Rounding to
  whole samples would make a jitter of about a hundredth of a period at 300 Hz and 16 kHz.
* Grains are centred on the energy of their period and are somewhat shorter than two periods. Both
  weaken what a grain remembers of the old harmonics, which pulls F1 towards them where they are far
  apart: of 60 clips of real speech lowered by 4 semitones F1 left its 6 % in 12 % instead of 27 %,
  by the same estimate.
* A run of marks goes on beyond the frames in which F0 was found while the waveform repeats itself, or
  the ends of a vowel would keep the old F0.
* Unvoiced speech is read at the very moment that the time map gives, not at the nearest of a grid:
  at rate 1 it passes unchanged, at others no grain is repeated, which would buzz.
* The sum is divided by the sum of the windows, but not where voiced grains have been moved apart:
  there the gap between two decaying grains is what a lower voice has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from .pitch import PitchTrack

Floats = NDArray[np.float64]
F0Map = Callable[[Floats], Floats]

_GRID_S = 0.005  # half a grain of unvoiced speech, and the distance of such grains
_SEARCH = 0.15  # a period differs from the tracked one by at most this share
_FINE_HZ = 96_000  # rate of the oversampled copy, at least
_SHORTEST_RUN = 2.0  # periods; a voiced run below this is passed on as unvoiced
_STILL_VOICED = 0.5  # correlation of two periods from which a run goes on beyond where F0 was found
_SHARE_OF_PERIOD = 0.8  # half a grain of voiced speech
_STEEP_HZ = 16_000  # changes over a sample at this rate weigh the energy towards the epoch
_PHASES = 32  # of a period, in which its energy is counted
_SMOOTHING_MARKS = 10.0  # standard deviation of the Gaussian that smooths where the energy lies
_AFTER_CENTRE = 0.1  # of a period: speech decays after its epoch, and is not symmetrical about it
_SMALLEST_SUM = 0.5  # of windows, below which the output is left to decay


@dataclass(frozen=True, slots=True)
class Run:
    """One stretch of voiced speech.

    Attributes:
        marks: Pitch marks in (fractions of) samples, ascending, at least three.
    """

    marks: Floats

    @property
    def span(self) -> tuple[float, float]:
        """What is covered: from half a period before the first mark to half a one after the last."""
        m = self.marks
        return float(m[0] - 0.5 * (m[1] - m[0])), float(m[-1] + 0.5 * (m[-1] - m[-2]))


def pitch_marks(samples: NDArray[np.floating], rate: int, track: PitchTrack) -> list[Run]:
    """Pitch marks of all voiced runs, in order of time.

    From the loudest moment of a run marks go out in both directions, each at the distance, within
    15 % of the tracked period, at which the waveform best correlates with that around the last mark.
    They go on beyond the frames in which F0 was found for as long as one period is like the next
    (correlation of 0.5), at most for half a window of the tracker. Then all are moved to where the
    energy of their periods lies.

    Returns:
        The runs, disjoint; none for a clip without voiced speech.
    """
    x = np.asarray(samples, dtype=np.float64)
    energy = np.concatenate([[0.0], np.cumsum(x * x)])
    moved = np.abs(x - np.roll(x, max(1, round(rate / _STEEP_HZ))))
    steepness = np.concatenate([[0.0], np.cumsum(moved)])
    hop = track.hop_s * rate
    beyond = 1.5 / track.floor_hz * rate
    edges = np.flatnonzero(np.diff(np.concatenate([[False], track.voiced, [False]]).astype(int)))
    starts, stops = (edges[::2] - 0.5) * hop, (edges[1::2] - 0.5) * hop
    found: list[Run] = []
    end_before = 0.0
    for k, (first, last) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        begin, end = max(end_before, starts[k]), min(len(x) - 1.0, stops[k])
        periods = rate / track.f0_hz[first:last]
        if end - begin < _SHORTEST_RUN * periods[0]:
            continue
        limits = (
            max(end_before, begin - beyond),
            min(end + beyond, starts[k + 1] if k + 1 < len(starts) else len(x) - 1.0),
        )
        marks = _walk(x, energy, (begin, end), limits, periods, first * hop, hop)
        if len(marks) < 3:
            continue
        run = Run(_centred(marks, steepness, end_before))
        found.append(run)
        end_before = run.span[1]
    return found


def _walk(
    x: Floats,
    energy: Floats,
    voiced: tuple[float, float],
    limits: tuple[float, float],
    periods: Floats,
    origin: float,
    hop: float,
) -> Floats:
    """Marks of one run; ``periods`` are the tracked ones from sample ``origin`` on, ``hop`` apart."""

    def period(at: float) -> float:
        return float(periods[min(max(round((at - origin) / hop), 0), len(periods) - 1)])

    begin, end = voiced
    loud = energy[np.arange(int(begin), int(end) + 1, max(1, int(hop)))]
    centre = begin + (0.5 + int(np.argmax(np.diff(loud)))) * hop if len(loud) > 1 else begin
    half = 0.5 * period(centre)
    lo, hi = int(max(begin, centre - half)), int(min(end, centre + half)) + 1
    start = float(lo + int(np.argmax(np.abs(x[lo:hi]))))
    sides = []
    for sign in (-1, 1):
        side: list[float] = []
        at = start
        while True:
            # the period at the middle of the step, from where it is now known to be
            length = period(at + 0.5 * sign * period(at))
            following, likeness = _next_mark(x, energy, at, sign, length)
            inside = begin <= following <= end
            if not inside and likeness < _STILL_VOICED:
                break
            if not limits[0] <= following <= limits[1]:
                break
            side.append(following)
            at = following
        sides.append(side)
    return np.array([*reversed(sides[0]), start, *sides[1]])


def _next_mark(
    x: Floats, energy: Floats, at: float, sign: int, period: float
) -> tuple[float, float]:
    """Where, about a period away, the waveform is most like that around ``at``, and how like.

    Minus infinity, as likeness and as place, where the clip ends before.
    """
    half = max(2, int(0.5 * period))
    here = round(at)
    near = here + sign * period
    reach = max(2.0, _SEARCH * period)
    lo, hi = round(near - reach), round(near + reach)
    if here - half < 0 or here + half > len(x) or lo - half < 0 or hi + half > len(x):
        return -np.inf, -np.inf
    likeness = np.correlate(x[lo - half : hi + half], x[here - half : here + half], "valid")
    power = energy[lo + half : hi + half + 1] - energy[lo - half : hi - half + 1]
    power = power * (energy[here + half] - energy[here - half])
    likeness = likeness / np.sqrt(np.maximum(power, 1e-20))
    best = int(np.argmax(likeness))
    shift = 0.0
    if 0 < best < len(likeness) - 1:
        before, middle, after = likeness[best - 1 : best + 2]
        bend = before - 2.0 * middle + after
        shift = 0.5 * float(before - after) / float(bend) if bend < 0 else 0.0
    # `here` was rounded; the mark keeps the fraction that was rounded away
    return lo + best + shift + (at - here), float(likeness[best])


def _centred(marks: Floats, steepness: Floats, earliest: float) -> Floats:
    """The marks, moved to where the energy of their periods lies.

    A grain holds two periods of the voice, and so a trace of the harmonics that it had. The trace is
    weakest where the grain is centred on the epoch, whose harmonics are in phase there: between two
    of them the grain's spectrum then has no dip, and a new harmonic that comes to lie there gets the
    level that it should.

    Args:
        marks: Ascending, at least three.
        steepness: Cumulative sum of the waveform's changes, one value more than samples.
        earliest: Where the run before ends.
    """
    gaps = np.diff(marks)
    periods = np.concatenate([gaps[:1], 0.5 * (gaps[1:] + gaps[:-1]), gaps[-1:]])
    bins = np.arange(_PHASES + 1) / _PHASES - 0.5
    places = marks[:, None] + periods[:, None] * bins
    mass = np.diff(np.interp(places, np.arange(len(steepness)), steepness), axis=1)
    turn = mass @ np.exp(2j * np.pi * 0.5 * (bins[1:] + bins[:-1]))
    smooth = ndimage.gaussian_filter1d(turn, _SMOOTHING_MARKS, mode="nearest")
    # Around the run's own phase, so that no mark moves by more than half a period.
    usual = turn.sum()
    phase = np.angle(smooth * np.conj(usual)) + np.angle(usual)
    moved = marks + periods * (phase / (2.0 * np.pi) + _AFTER_CENTRE)
    moved = moved[(moved >= earliest) & (moved <= len(steepness) - 2)]
    return moved if len(moved) >= 3 and (np.diff(moved) > 0).all() else marks


def resynthesize(
    samples: NDArray[np.floating],
    rate: int,
    track: PitchTrack,
    *,
    f0_map: F0Map | None = None,
    speed: float = 1.0,
) -> Floats:
    """The clip with another F0 and another speaking rate.

    Args:
        samples: Mono, shape ``(n,)``.
        rate: Sampling rate in Hz.
        track: Its F0.
        f0_map: Function of F0 values in Hz to new ones; ``None`` keeps them.
        speed: Speaking rate against the old one; above 1 is faster.

    Returns:
        Shape ``(round(n / speed),)``; the level is not matched. With no map and speed 1 this is
        analysis and resynthesis, and equals the samples to within rounding and interpolation.

    Example:
        >>> t = np.arange(16000) / 16000
        >>> tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
        >>> from voxemo_tasks.audio.pitch import track_pitch
        >>> higher = resynthesize(tone, 16000, track_pitch(tone, 16000), f0_map=lambda hz: 1.3 * hz)
        >>> round(track_pitch(higher, 16000).median_hz)
        156
    """
    x = np.asarray(samples, dtype=np.float64)
    length = max(1, round(len(x) / speed))
    runs = pitch_marks(x, rate, track)
    grains = _Grains(x, rate, length)
    grid = _GRID_S * rate
    now = 0.0
    for run in runs:
        low, high = run.span
        while now * speed < low:
            grains.add(now * speed, now, grid, grid)
            following = now + grid
            now = following if following * speed < low else float(run.marks[0]) / speed
        now = _voiced(grains, run, rate, now, high, speed, f0_map)
    while now < length + grid:
        grains.add(now * speed, now, grid, grid)
        now += grid
    return grains.sum()


def _voiced(
    grains: _Grains,
    run: Run,
    rate: int,
    now: float,
    high: float,
    speed: float,
    f0_map: F0Map | None,
) -> float:
    """Lay down the grains of a run, from output position ``now``; returns the position after it."""
    marks = run.marks
    gaps = np.diff(marks)
    left = np.concatenate([gaps[:1], gaps])
    right = np.concatenate([gaps, gaps[-1:]])
    # From a mark to the next one, not by a smoothed period: a dose of zero lands on every mark.
    step = (right if f0_map is None else rate / f0_map(rate / right)).tolist()
    left[1:] *= _SHARE_OF_PERIOD  # but for the two sides that meet unvoiced speech
    right[:-1] *= _SHARE_OF_PERIOD
    left, right = left.tolist(), right.tolist()
    middles = 0.5 * (marks[:-1] + marks[1:])
    places = marks.tolist()
    # Into the run on a mark: a dose of zero then moves nothing.
    entry = int(np.searchsorted(marks, now * speed - 0.5 * gaps[0]))
    now = places[min(entry, len(places) - 1)] / speed
    while now * speed < high:
        k = int(np.searchsorted(middles, now * speed))
        grains.add(places[k], now, left[k], right[k])
        now += step[k]
    return now


class _Grains:
    """The output as it grows: the sum of the grains, and of their windows."""

    def __init__(self, x: Floats, rate: int, length: int) -> None:
        self._factor = max(1, -(-_FINE_HZ // rate))
        self._margin = rate // 10
        padded = np.pad(x, self._margin)
        fine = signal.resample_poly(padded, self._factor, 1) if self._factor > 1 else padded
        self._fine = np.asarray(fine, dtype=np.float32)  # the longest array here: half the memory
        self._inputs = len(x)
        self._length = length
        self._out = np.zeros(length)
        self._windows = np.zeros(length)

    def add(self, source: float, place: float, left: float, right: float) -> None:
        """Lay the grain around input position ``source`` down around output position ``place``."""
        shift = round((source - place) * self._factor)
        lag = shift / self._factor
        first = max(0, int(np.ceil(place - left)), int(np.ceil(-self._margin - lag)))
        last = min(
            self._length - 1,
            int(place + right),
            int(self._inputs + self._margin - 1 - lag),
        )
        if last < first:
            return
        at = (first + self._margin) * self._factor + shift
        grain = self._fine[at : at + (last - first) * self._factor + 1 : self._factor]
        offset = np.arange(first, last + 1) - place
        offset /= np.where(offset < 0, left, right)
        window = 0.5 + 0.5 * np.cos(np.pi * offset)
        self._out[first : last + 1] += grain * window
        self._windows[first : last + 1] += window

    def sum(self) -> Floats:
        return np.asarray(self._out / np.maximum(self._windows, _SMALLEST_SUM))
