"""What the two decoders have in common: facts, segments, and the errors of files."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import AudioError
from ..records import AudioRef

AUDIO_SUFFIXES: frozenset[str] = frozenset(
    [
        ".aac",
        ".aif",
        ".aiff",
        ".amr",
        ".au",
        ".avi",
        ".caf",
        ".flac",
        ".m4a",
        ".mkv",
        ".mov",
        ".mp3",
        ".mp4",
        ".oga",
        ".ogg",
        ".opus",
        ".sph",
        ".wav",
        ".webm",
        ".wma",
    ]
)
"""Lower-case file name suffixes that look like audio, or like video that holds audio."""

END_SLACK_S = 0.01
"""A segment may end this much after the file does: published tables are rounded. It is clipped."""


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What a file's header says.

    Attributes:
        duration_s: ``frames / sampling_rate_hz``.
        sampling_rate_hz: The file's own rate.
        channels: At least 1.
        frames: Sampling instants; exact where libsndfile reads the file, else what the container
            declares, which may be off by a codec's padding.
    """

    duration_s: float
    sampling_rate_hz: int
    channels: int
    frames: int


def shown(path: str | Path) -> str:
    r"""A path as text that can be printed and encoded, whatever bytes the disk has.

    Example:
        >>> shown("caf\udce9.wav")
        'caf\\xe9.wav'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def require_file(path: str | Path) -> None:
    """Refuse what is not a regular file with something in it.

    Raises:
        AudioError: For a path that does not exist, a folder, a pipe, an empty file.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError as error:
        raise AudioError(
            f"{shown(path)}: there is no such file; was the corpus moved, unmounted or only "
            "partly downloaded?"
        ) from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{shown(path)}: cannot be read ({_why(error)})") from error
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise AudioError(f"{shown(path)}: is {what}, where an audio file was expected")
    if found.st_size == 0:
        raise AudioError(f"{shown(path)}: is empty (0 bytes); fetch it again")


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal, read in blocks.

    Raises:
        AudioError: Where the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     sha256_of(file.name)[:8]
        'e3b0c442'
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise AudioError(f"{shown(path)}: cannot be read ({_why(error)})") from error


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def require_segment(ref: AudioRef) -> None:
    """Refuse a segment that no file can have.

    Raises:
        AudioError: For times that are negative, not finite, or in the wrong order.
    """
    end = math.inf if ref.end_s is None else ref.end_s
    finite = math.isfinite(ref.start_s) and (ref.end_s is None or math.isfinite(ref.end_s))
    if not finite or ref.start_s < 0 or end <= ref.start_s:
        raise AudioError(
            f"{shown(ref.path)}: the segment from {ref.start_s} s to {ref.end_s} s is not one; "
            "0 <= start_s < end_s is needed"
        )


def segment_frames(ref: AudioRef, rate: int, frames: int) -> tuple[int, int]:
    """First frame and the frame after the last of a segment in a file of known length.

    Raises:
        AudioError: Where the segment is not in the file, or holds no frame.
    """
    start = round(ref.start_s * rate)
    end = frames if ref.end_s is None else round(ref.end_s * rate)
    if start >= frames or end > frames + END_SLACK_S * rate:
        raise outside(ref, rate, frames)
    if end <= start:
        raise AudioError(
            f"{shown(ref.path)}: the segment from {ref.start_s} s to {ref.end_s} s holds no sample "
            f"at {rate} Hz"
        )
    return start, min(end, frames)


def outside(ref: AudioRef, rate: int, frames: int) -> AudioError:
    """The error of a segment that the file does not hold."""
    end = "its end" if ref.end_s is None else f"{ref.end_s} s"
    return AudioError(
        f"{shown(ref.path)}: the segment from {ref.start_s} s to {end} is not in the file, which "
        f"lasts {frames / rate:.3f} s; check the corpus's segment table, or fetch the file again"
    )


def require_channel(ref: AudioRef, channels: int) -> None:
    """Refuse a channel that the file does not have.

    Raises:
        AudioError: Naming the channel that was asked for and those that there are.
    """
    if ref.channel is not None and not 0 <= ref.channel < channels:
        raise AudioError(
            f"{shown(ref.path)}: channel {ref.channel} does not exist; the file has {channels} "
            f"(0 to {channels - 1}; null is the mean of all)"
        )
