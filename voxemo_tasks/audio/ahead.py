"""Decoding ahead of a slow consumer, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError, OptionError
from ..records import AudioRef
from .decode import decode

Decoded = tuple[AudioRef, NDArray[np.float32] | AudioError]


def decode_ahead(
    refs: Iterable[AudioRef], sampling_rate_hz: int, *, workers: int, ahead: int
) -> Generator[Decoded, None, None]:
    """Decode clips in threads while the consumer is busy with earlier ones.

    References are taken from ``refs`` one at a time, as they are needed, and come out in order. At
    most ``ahead`` clips are in memory or being decoded, the one just handed over included; so
    ``ahead=1`` does not overlap at all. Closing the generator (or letting go of it) waits for what
    is being decoded and ends the threads.

    Args:
        refs: What to decode.
        sampling_rate_hz: The rate wanted.
        workers: Threads, at least 1.
        ahead: Bound on clips, at least 1; 2 to 4 per worker keeps them busy.

    Yields:
        The reference with its samples, or with the ``AudioError`` that it raised. Any other
        exception is raised where its clip would have come.

    Raises:
        OptionError: For ``workers`` or ``ahead`` below 1.

    Example:
        >>> [type(heard).__name__ for _, heard in decode_ahead(
        ...     [AudioRef("/nowhere.wav", "")], 16000, workers=1, ahead=2)]
        ['AudioError']
    """
    for name, value in (("workers", workers), ("ahead", ahead)):
        if value < 1:
            raise OptionError(f"{name}={value}; at least 1 is needed to decode anything")
    return _decode_ahead(refs, sampling_rate_hz, workers, ahead)


def _decode_ahead(
    refs: Iterable[AudioRef], sampling_rate_hz: int, workers: int, ahead: int
) -> Generator[Decoded, None, None]:
    waiting: deque[tuple[AudioRef, Future[NDArray[np.float32] | AudioError]]] = deque()
    coming = iter(refs)
    pool = ThreadPoolExecutor(min(workers, ahead), thread_name_prefix="voxemo-decode")
    try:
        while True:
            for ref in islice(coming, ahead - len(waiting)):
                waiting.append((ref, pool.submit(_decode_or_error, ref, sampling_rate_hz)))
            if not waiting:
                return
            ref, future = waiting.popleft()
            yield ref, future.result()
            del future  # the clip is the consumer's now
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode_or_error(ref: AudioRef, sampling_rate_hz: int) -> NDArray[np.float32] | AudioError:
    try:
        return decode(ref, sampling_rate_hz)
    except AudioError as error:
        return error
