"""Sound: a reference (``AudioRef``) becomes mono float32 samples at the rate that a model wants.

Conventions
-----------
samples     float32, shape ``(n,)``, nominally in [-1, 1] (a float file may exceed it; not clipped)
rate        sampling rate in Hz
frame       one sampling instant over all channels; segments are cut at frame ``round(s * rate)``
            of the file's own rate, before any resampling
mono        one channel of the file, or the mean of all
errors      ``AudioError`` names the file, says what was found and what to do

libsndfile opens the file first; what it cannot open (m4a, mp4, webm, avi) goes to FFmpeg through
PyAV. Both, and soxr, are imported when the first clip is decoded and not before.
"""

from __future__ import annotations

from .ahead import decode_ahead
from .catalogue import TRANSFORM_SPECS
from .decode import decode
from .files import AUDIO_SUFFIXES, AudioFacts, sha256_of, shown
from .probe import probe
from .transforms import TRANSFORMS, at_severity, resolved

__all__ = [
    "AUDIO_SUFFIXES",
    "TRANSFORMS",
    "TRANSFORM_SPECS",
    "AudioFacts",
    "at_severity",
    "decode",
    "decode_ahead",
    "probe",
    "resolved",
    "sha256_of",
    "shown",
]
