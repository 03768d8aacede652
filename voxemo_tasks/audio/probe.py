"""What a file says about itself, without decoding it."""

from __future__ import annotations

from pathlib import Path

from . import ffmpeg, libsndfile
from .files import AudioFacts, require_file


def probe(path: str | Path) -> AudioFacts:
    """Length, rate and channels of an audio file from its header.

    A header that gives no length is not believed: the file is decoded and counted instead.

    Raises:
        AudioError: For a file that is missing, empty, unreadable, not audio, or without samples.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/a.wav", numpy.zeros((8000, 2)), 16000)
        ...     probe(f"{folder}/a.wav")
        AudioFacts(duration_s=0.5, sampling_rate_hz=16000, channels=2, frames=8000)
    """
    require_file(path)
    return libsndfile.facts(path) or ffmpeg.facts(path)
