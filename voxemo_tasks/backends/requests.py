"""From lm-eval's queue to jobs: folded, keyed, grouped by audio. No engine here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from lm_eval.api.instance import Instance
from numpy.typing import NDArray

from ..errors import OptionError
from ..records import AudioRef, Json, Request, digest_of
from ..store import sample_seed

Samples = NDArray[np.float32]
T = TypeVar("T")


@dataclass(slots=True)
class Job:
    """One request with those of its samples that are missing.

    Attributes:
        request: What is asked.
        key: Its key in the store.
        missing: Sample indices to generate, ascending.
        audio: Decoded clips, once decoded; emptied when answered.
        seconds: Their length together.
        refusal: Why the request cannot be given to the engine at all.
        utterance_id: Who is asked about, for a model that only looks it up; no other may know.
    """

    request: Request
    key: str
    missing: list[int]
    audio: list[Samples] = field(default_factory=list)
    seconds: float = 0.0
    refusal: str | None = None
    utterance_id: str | None = None

    def seeds(self) -> list[int]:
        """A seed per missing sample, independent of the batch it is in."""
        return [sample_seed(self.request.decoding.seed, self.key, i) for i in self.missing]

    def draws(self) -> list[int]:
        """A seed per reply to make: greedy samples of one request are one reply, made once."""
        return self.seeds()[:1] if self.request.decoding.greedy else self.seeds()

    def filled(self, made: list[T]) -> list[T]:
        """A reply per missing sample, from those that :meth:`draws` made."""
        return made * len(self.missing) if self.request.decoding.greedy else made


@dataclass(frozen=True, slots=True)
class Folded:
    """An lm-eval instance that was queued ``samples`` times."""

    instance: Instance
    request: Request
    provenance: Json
    samples: int


def fold(requests: Sequence[Instance]) -> dict[int, Folded]:
    """Fold the K copies of each instance that lm-eval queues for K samples.

    Returns:
        ``id(instance)`` → the instance, parsed once, with its number of samples; in queue order.
    """
    counts: dict[int, int] = {}
    first: dict[int, Instance] = {}
    for instance in requests:
        counts[id(instance)] = counts.get(id(instance), 0) + 1
        first.setdefault(id(instance), instance)
    folded = {}
    for number, instance in first.items():
        request, provenance = Request.from_arguments(instance.args)
        folded[number] = Folded(instance, request, provenance, counts[number])
    return folded


def by_audio(jobs: Iterable[Job]) -> dict[str, list[int]]:
    """Indices of the jobs with the same audio: digest of what is heard → in the order of the jobs."""
    groups: dict[str, list[int]] = {}
    for number, job in enumerate(jobs):
        content = digest_of([ref.content() for ref in job.request.audio])
        groups.setdefault(content, []).append(number)
    return groups


def group_by_audio(jobs: Sequence[Job]) -> list[Job]:
    """All jobs of a clip next to each other, over all tasks; longest clips first.

    Longest first, because a batch that does not fit shows at once and not after an hour. Within a
    clip the queue's order stays.
    """

    def length(group: list[int]) -> float:
        return sum(ref.duration_s or math.inf for ref in jobs[group[0]].request.audio)

    ordered = sorted(by_audio(jobs).items(), key=lambda item: (-length(item[1]), item[0]))
    return [jobs[number] for _, group in ordered for number in group]


def clip_sizes(jobs: Sequence[Job]) -> list[int]:
    """Per job of a grouped list: how many jobs of its clip are left, itself counted.

    Example:
        The jobs of three clips, two of the first::

            clip_sizes([a1, a2, b, c]) == [2, 1, 1, 1]
    """
    sizes = [1] * len(jobs)
    for at in range(len(jobs) - 2, -1, -1):
        if jobs[at].request.audio == jobs[at + 1].request.audio:
            sizes[at] = sizes[at + 1] + 1
    return sizes


def without_repeats(refs: Iterable[AudioRef]) -> Iterator[AudioRef]:
    """Drop references equal to the one before: a clip is decoded once for all its jobs."""
    last: AudioRef | None = None
    for ref in refs:
        if ref != last:
            yield ref
        last = ref


def parse_batch_size(value: int | str | None) -> tuple[int, bool]:
    """Batch size and whether it was left to us.

    Raises:
        OptionError: For anything but a positive integer or ``auto``.

    Example:
        >>> parse_batch_size("4"), parse_batch_size("auto")
        ((4, False), (8, True))
    """
    if value is None or str(value).startswith("auto"):
        return 8, True
    try:
        size = int(value)
    except ValueError:
        size = 0
    if size < 1:
        raise OptionError(f"batch_size={value!r}: expected a positive integer or 'auto'")
    return size, False


SHARE_MODES = ("auto", "on", "off")


def parse_share(value: object) -> str:
    """``share_prefix=``.

    Raises:
        OptionError: For anything but ``auto``, ``on``, ``off``.

    Example:
        >>> parse_share("auto"), parse_share(False), parse_share(True)
        ('auto', 'off', 'on')
    """
    mode = {True: "on", False: "off", "True": "on", "False": "off"}.get(value, value)
    if mode not in SHARE_MODES:
        raise OptionError(f"share_prefix={value!r}: expected one of {', '.join(SHARE_MODES)}")
    return str(mode)
