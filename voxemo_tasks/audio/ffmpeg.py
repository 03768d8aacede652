"""Reading through FFmpeg (PyAV): m4a, mp4, webm, avi and what else libsndfile cannot open.

The first audio stream counts. A segment is cut at exact frames: by seeking where the container's
clock ticks in whole samples, else by decoding from the start and letting go of what comes before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from ..records import AudioRef
from .files import END_SLACK_S, AudioFacts, outside, require_channel, shown

_PREROLL_S = 0.5
"""Decoders need a little past before their output after a seek equals an undisturbed one's."""


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Any]]:
    import av
    import av.error

    try:
        # A file object: any file name works, and no name can be taken for a URL. The whitelist
        # keeps playlists from opening anything else.
        with (
            Path(path).open("rb") as stream,
            av.open(
                stream, metadata_errors="replace", options={"protocol_whitelist": "file"}
            ) as container,
        ):
            if not container.streams.audio:
                held = "only video" if container.streams.video else "no audio"
                raise AudioError(f"{shown(path)}: is not an audio file (it holds {held})")
            yield container, container.streams.audio[0]
    except av.error.FFmpegError as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise AudioError(
            f"{shown(path)}: is not audio that libsndfile or FFmpeg can read, or is damaged "
            f"({reason}); fetch it again, or remove it"
        ) from error
    except OSError as error:
        raise AudioError(f"{shown(path)}: cannot be read ({error.strerror or error})") from error


def facts(path: str | Path) -> AudioFacts:
    """What the container says; where it gives no length, the stream is decoded and counted.

    Raises:
        AudioError: For what is not audio, is damaged, or holds no sample.
    """
    with _opened(path) as (container, stream):
        rate = int(stream.codec_context.sample_rate or 0)
        channels = int(stream.codec_context.channels or 0)
        seconds = 0.0
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / 1_000_000
        if seconds > 0 and rate and channels:
            return AudioFacts(seconds, rate, channels, round(seconds * rate))
        frames = 0
        for frame in container.decode(stream):
            rate, channels = int(frame.sample_rate), int(frame.layout.nb_channels)
            frames += int(frame.samples)
    if not frames:
        raise _silent(path)
    return AudioFacts(frames / rate, rate, channels, frames)


def _silent(path: str | Path) -> AudioError:
    return AudioError(f"{shown(path)}: holds no audio samples; fetch it again, or remove it")


def read(ref: AudioRef) -> tuple[NDArray[np.float32], int]:
    """The segment of a file, mono, at the file's own rate.

    Raises:
        AudioError: For what is not audio, is damaged, holds no sample, or lacks the segment or
            channel.
    """
    with _opened(ref.path) as (container, stream):
        found = _cut(ref, container, stream, seek=True)
    if found is None:  # the seek landed behind the start
        with _opened(ref.path) as (container, stream):
            found = _cut(ref, container, stream, seek=False)
    if found is None:
        raise _silent(ref.path)
    return found


def _cut(
    ref: AudioRef, container: Any, stream: Any, *, seek: bool
) -> tuple[NDArray[np.float32], int] | None:
    frames = container.decode(stream)
    frame = next(frames, None)
    if frame is None:
        raise _silent(ref.path)
    rate, channels = int(frame.sample_rate), int(frame.layout.nb_channels)
    require_channel(ref, channels)
    start = round(ref.start_s * rate)
    end = None if ref.end_s is None else round(ref.end_s * rate)
    if end is not None and end <= start:
        raise AudioError(
            f"{shown(ref.path)}: the segment from {ref.start_s} s to {ref.end_s} s holds no sample "
            f"at {rate} Hz"
        )
    position = 0
    base = stream.time_base
    exact = base.numerator == 1 and base.denominator % rate == 0 and frame.pts is not None
    if seek and exact and ref.start_s > 2 * _PREROLL_S:
        origin, ticks = frame.pts, base.denominator // rate
        container.seek(origin + (start - round(_PREROLL_S * rate)) * ticks, stream=stream)
        frames = container.decode(stream)
        frame = next(frames, None)
        if frame is None or frame.pts is None:
            return None
        position = (frame.pts - origin) // ticks
        if position > start:
            return None
    pieces: list[NDArray[np.float32]] = []
    while frame is not None:
        if (int(frame.sample_rate), int(frame.layout.nb_channels)) != (rate, channels):
            raise AudioError(
                f"{shown(ref.path)}: changes from {rate} Hz, {channels} channels to "
                f"{frame.sample_rate} Hz, {frame.layout.nb_channels} channels on its way; convert "
                "it to one format"
            )
        after = position + int(frame.samples)
        low, high = max(start, position), after if end is None else min(end, after)
        if low < high:
            pieces.append(_mono(frame, ref.channel)[low - position : high - position])
        position = after
        if end is not None and position >= end:
            break
        frame = next(frames, None)
    if not pieces or (end is not None and position < end - END_SLACK_S * rate):
        raise outside(ref, rate, position)
    return np.concatenate(pieces), rate


def _mono(frame: Any, channel: int | None) -> NDArray[np.float32]:
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    if raw.dtype.kind == "u":
        samples = (raw.astype(np.float32) - 128.0) / 128.0
    elif raw.dtype.kind == "i":
        samples = (raw / float(1 << (8 * raw.dtype.itemsize - 1))).astype(np.float32)
    else:
        samples = raw.astype(np.float32)
    one: NDArray[np.float32] = (
        samples.mean(axis=0, dtype=np.float32) if channel is None else samples[channel]
    )
    return one
