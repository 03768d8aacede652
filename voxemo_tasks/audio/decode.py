"""One clip: file → segment → mono → transforms → the model's rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from ..records import AudioRef
from . import ffmpeg, libsndfile
from .files import require_file, require_segment, shown
from .transforms import apply


def decode(ref: AudioRef, sampling_rate_hz: int) -> NDArray[np.float32]:
    """The samples that a reference names.

    Only the segment is kept in memory. It runs from frame ``round(start_s * r)`` up to, and
    without, frame ``round(end_s * r)`` of the file at its own rate r; an end at most 0.01 s behind
    the file's is clipped. Resampling (soxr, HQ) of n samples gives ``n * sampling_rate_hz / r``, to
    the nearest integer or one off. The digest of the reference is not checked here.

    Args:
        ref: The file, and which part and channel of it.
        sampling_rate_hz: The rate wanted.

    Returns:
        Shape ``(n,)``, n >= 1, finite.

    Raises:
        AudioError: For a file that is missing, unreadable, empty or not audio; a segment or
            channel that is not in it; samples that are NaN or infinite; a clip too short to
            resample.
        UnknownNameError: For a transform that is not registered.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/a.wav", numpy.zeros(8000), 8000)
        ...     decode(AudioRef(f"{folder}/a.wav", "", start_s=0.25, end_s=0.75), 16000).shape
        (8000,)
    """
    if sampling_rate_hz <= 0:
        raise AudioError(f"a sampling rate of {sampling_rate_hz} Hz is not one; 16000 is usual")
    require_segment(ref)
    require_file(ref.path)
    samples, rate = libsndfile.read(ref) or ffmpeg.read(ref)
    _require_finite(ref, samples)
    if ref.transforms:
        samples = apply(samples, rate, ref.transforms)
        _require_finite(ref, samples)
    if rate != sampling_rate_hz:
        import soxr

        n = len(samples)
        samples = soxr.resample(samples, rate, sampling_rate_hz, quality="HQ")
        if not len(samples):
            raise AudioError(
                f"{shown(ref.path)}: {n} sample(s) at {rate} Hz are too short to be resampled to "
                f"{sampling_rate_hz} Hz"
            )
    return np.ascontiguousarray(samples, dtype=np.float32)


def _require_finite(ref: AudioRef, samples: NDArray[np.float32]) -> None:
    finite = np.isfinite(samples)
    if not finite.all():
        bad = int(len(samples) - np.count_nonzero(finite))
        raise AudioError(
            f"{shown(ref.path)}: {bad} of {len(samples)} samples are NaN or infinite; the file is "
            "damaged, or was written by a program that divided by zero"
        )
