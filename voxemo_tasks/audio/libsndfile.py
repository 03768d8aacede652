"""Reading through libsndfile: WAV, FLAC, Ogg, MP3 and their kin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from ..records import AudioRef
from .files import AudioFacts, require_channel, segment_frames, shown

_LONGEST = 1 << 60  # libsndfile says 2**63 - 1 for a FLAC stream whose length was not known


def _open(path: str | Path) -> Any | None:
    import soundfile

    if Path(path).suffix.lower() == ".raw":  # no header to read; soundfile would ask for the rate
        return None
    # bytes, because soundfile cannot encode a file name that is not UTF-8
    name = os.fsencode(path) if os.name == "posix" else str(path)
    try:
        return soundfile.SoundFile(name)
    except soundfile.LibsndfileError:
        return None


def facts(path: str | Path) -> AudioFacts | None:
    """What the header says; ``None`` where libsndfile cannot open it or finds no length in it."""
    file = _open(path)
    if file is None:
        return None
    with file:
        frames, rate = int(file.frames), int(file.samplerate)
        if not 0 < frames < _LONGEST:
            return None
        return AudioFacts(frames / rate, rate, int(file.channels), frames)


def read(ref: AudioRef) -> tuple[NDArray[np.float32], int] | None:
    """The segment of a file, mono, at the file's own rate; ``None`` as for ``facts``.

    Raises:
        AudioError: For a segment or channel that is not in the file, and for damaged data.
    """
    import soundfile

    file = _open(ref.path)
    if file is None:
        return None
    with file:
        if not 0 < file.frames < _LONGEST:
            return None
        require_channel(ref, file.channels)
        start, end = segment_frames(ref, file.samplerate, file.frames)
        try:
            block = _block(file, start, end)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{shown(ref.path)}: is damaged ({error.error_string}); fetch it again"
            ) from error
        # An MP3 has no exact length in its header; every other format does.
        if not len(block) or (len(block) < end - start and file.format != "MP3"):
            raise AudioError(
                f"{shown(ref.path)}: is damaged: its header promises {file.frames} samples, and "
                f"decoding ended after {start + len(block)}; fetch it again"
            )
        return _mono(block, ref.channel), int(file.samplerate)


def _block(file: Any, start: int, end: int) -> NDArray[np.float32]:
    # After a seek libsndfile 1.2.2 gives wrong samples near the end of a Vorbis stream, and for a
    # while in an MP3 whose frames borrow bits from earlier ones; soundfile seeks after every read,
    # too. So these are read from the start in one go.
    seekable = file.subtype != "VORBIS" and file.format != "MP3"
    if seekable:
        file.seek(start)
        start, end = 0, end - start
    block: NDArray[np.float32] = file.read(end, dtype="float32", always_2d=True)
    return block[start:].copy() if start else block  # what lies before is let go of


def _mono(block: NDArray[np.float32], channel: int | None) -> NDArray[np.float32]:
    if channel is None and block.shape[1] > 1:
        mean: NDArray[np.float32] = block.mean(axis=1, dtype=np.float32)
        return mean
    return np.ascontiguousarray(block[:, channel or 0])
