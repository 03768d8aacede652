r"""Added noise at a signal-to-noise ratio.

The ratio is that of the active speech level (ITU-T P.56) to the level of the noise over the whole
clip. Taking the level of the whole clip for the speech would give a clip with long pauses less
noise than one without.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ..errors import AudioError, OptionError
from ..records import AudioRef
from . import ffmpeg, libsndfile
from .files import require_file, sha256_of, shown
from .levels import active_level_db, rms_db
from .resampling import fitted, resampled

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]

_LOWEST_PINK_HZ = 20.0


def noise(
    samples: Samples,
    rate: int,
    *,
    kind: str,
    snr_db: float,
    seed: int,
    path: str | None = None,
    sha256: str | None = None,
) -> Samples:
    """The speech with noise under it; the speech keeps its level.

    Args:
        samples: Mono, shape ``(n,)``.
        rate: Sampling rate in Hz.
        kind: ``white``, ``pink`` (power falls with frequency, from 20 Hz on), or ``babble``.
        snr_db: Active level of the speech less the level of the noise.
        seed: Draws the noise; for babble, where in each clip it begins.
        path: For babble: the clips of others, joined by ``|``.
        sha256: For babble: their digests, joined likewise.

    Returns:
        Shape ``(n,)``.

    Raises:
        AudioError: For a silent clip, and for a babble file that is missing or another.
        OptionError: For babble without files, or files without babble.
    """
    if kind == "babble":
        if not path or not sha256:
            raise OptionError("noise(kind=babble) needs path and sha256 of the clips of others")
        drawn = babble(len(samples), rate, path, sha256, seed)
    elif path or sha256:
        raise OptionError(f"noise(kind={kind}) takes no path and no sha256; babble does")
    else:
        drawn = coloured(kind, len(samples), rate, seed)
    return np.asarray(samples + at_snr(samples, drawn, rate, snr_db), dtype=np.float32)


def at_snr(
    speech: NDArray[np.floating], noise: NDArray[np.floating], rate: int, snr_db: float
) -> Floats:
    """The noise, scaled to lie ``snr_db`` below the active level of the speech.

    Raises:
        AudioError: Where the speech, or the noise, is silent.
    """
    level, own = active_level_db(speech, rate), rms_db(noise)
    if level is None or own is None:
        raise AudioError(
            f"the {'speech' if level is None else 'noise'} is silent (all zeros), so that no "
            "signal-to-noise ratio exists; leave this clip out"
        )
    return np.asarray(noise * 10.0 ** ((level - snr_db - own) / 20.0))


def coloured(kind: str, length: int, rate: int, seed: int) -> Floats:
    """Gaussian noise, shape ``(length,)``, variance 1 in expectation (white) or scaled to it."""
    white = np.random.default_rng(seed).standard_normal(length)
    if kind == "white":
        return white
    spectrum = fft.rfft(white)
    hz = np.maximum(fft.rfftfreq(length, 1.0 / rate), _LOWEST_PINK_HZ)
    pink = np.asarray(fft.irfft(spectrum / np.sqrt(hz), length))
    return np.asarray(pink / max(float(pink.std()), 1e-30))


def babble(length: int, rate: int, path: str, sha256: str, seed: int) -> Floats:
    """Several clips at once, each at the same active level, each from a drawn place on, in a loop.

    Raises:
        OptionError: Where there are not as many digests as paths.
        AudioError: For a file that is missing, unreadable, silent, or another than its digest says.
    """
    paths, digests = path.split("|"), sha256.split("|")
    if len(paths) != len(digests):
        raise OptionError(
            f"babble has {len(paths)} path(s) and {len(digests)} sha256; give one for each, in the "
            "same order, joined by '|'"
        )
    rng = np.random.default_rng(seed)
    total = np.zeros(length)
    for name, digest in zip(paths, digests, strict=True):
        voice = other_clip(name, digest, rate)
        level = active_level_db(voice, rate)
        if level is None:
            raise AudioError(f"{shown(name)}: is silent and cannot be a voice of the babble")
        start = int(rng.integers(len(voice)))
        turned = np.concatenate([voice[start:], voice[:start]])
        total += np.resize(turned, length) * 10.0 ** (-level / 20.0)
    return total


@functools.lru_cache(maxsize=32)
def other_clip(path: str, sha256: str, rate: int) -> Floats:
    """Another clip, at a rate; it is the one whose bytes have the digest, or an error.

    Raises:
        AudioError: For a file that is missing, unreadable, empty, or another than the digest says.
    """
    require_file(path)
    found = sha256_of(path)
    if found != sha256.strip().lower():
        raise AudioError(
            f"{shown(path)}: is not the file that was asked for: its sha256 is {found}, asked for "
            f"was {sha256}"
        )
    ref = AudioRef(path, sha256)
    samples, own_rate = libsndfile.read(ref) or ffmpeg.read(ref)
    clip = resampled(samples, own_rate, rate)
    clip.setflags(write=False)  # it is shared by all who ask
    return clip


def only_noise(samples: Samples, rate: int, kind: str, seed: int) -> Samples:
    """Noise as long as the clip, at the clip's active level; silence for silence."""
    level = active_level_db(samples, rate)
    if level is None:
        return np.zeros_like(samples)
    drawn = coloured(kind, len(samples), rate, seed)
    own = rms_db(drawn)
    gain = 1.0 if own is None else 10.0 ** ((level - own) / 20.0)
    return np.asarray(fitted(drawn * gain, len(samples)), dtype=np.float32)
