"""What the files of a corpus say of themselves: header, digest, the length of a segment.

Threads read ahead of the consumer, in order and within bounds.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from ..audio import AudioFacts, probe, sha256_of, shown
from ..audio.files import require_channel, require_segment, segment_frames
from ..errors import AudioError, OptionError
from ..records import AudioRef, Utterance

T = TypeVar("T")
R = TypeVar("R")

_AHEAD_PER_WORKER = 8


def file_facts(path: Path) -> tuple[AudioFacts, str]:
    """Header and digest of a file.

    Raises:
        AudioError: For a file that cannot be used.
    """
    return probe(path), sha256_of(path)


def by_file(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    """Neighbours that lie in the same file, together: a file is read once for all of them."""
    return (list(group) for _, group in groupby(utterances, key=lambda u: u.path))


def ahead(
    items: Iterable[T], work: Callable[[T], R], workers: int | None
) -> Generator[tuple[T, Future[R]], None, None]:
    """Work on items in threads: in order, and a bounded number of them ahead.

    Args:
        items: Taken as they are needed.
        work: What to do with one.
        workers: Threads; ``None`` is four more than CPUs, at most 32.

    Raises:
        OptionError: For ``workers`` below 1.
    """
    if workers is not None and workers < 1:
        raise OptionError(f"workers={workers}; at least 1 is needed to read anything")
    n = workers or min(32, (os.cpu_count() or 1) + 4)
    waiting: deque[tuple[T, Future[R]]] = deque()
    pool = ThreadPoolExecutor(n, thread_name_prefix="voxemo-files")
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) >= n * _AHEAD_PER_WORKER:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def measured(
    root: Path, utterances: Iterable[Utterance], workers: int | None
) -> Iterator[Utterance]:
    """Utterances with what their files say: length, rate and digest, or ``error``."""
    groups = ahead(by_file(utterances), lambda group: file_facts(root / group[0].path), workers)
    with contextlib.closing(groups):
        for group, future in groups:
            for utterance in group:
                try:
                    audio, sha256 = future.result()
                    duration_s = segment_length(root, utterance, audio)
                except AudioError as error:
                    reason = str(error).removeprefix(f"{shown(root / utterance.path)}: ")
                    yield replace(utterance, error=reason)
                else:
                    yield replace(
                        utterance,
                        duration_s=duration_s,
                        sampling_rate_hz=audio.sampling_rate_hz,
                        sha256=sha256,
                    )


def segment_length(root: Path, utterance: Utterance, audio: AudioFacts) -> float:
    """Seconds of an utterance in a file whose header is known.

    Raises:
        AudioError: Where the file has no such segment or channel.
    """
    path = str(root / utterance.path)
    start_s = utterance.start_s or 0.0
    ref = AudioRef(path, "", start_s, utterance.end_s, utterance.channel)
    require_segment(ref)
    require_channel(ref, audio.channels)
    start, end = segment_frames(ref, audio.sampling_rate_hz, audio.frames)
    if utterance.end_s is None and not utterance.start_s:
        return audio.duration_s
    return (end - start) / audio.sampling_rate_hz
