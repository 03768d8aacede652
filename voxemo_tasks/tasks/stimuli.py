"""Whether the stimuli of the counterfactual protocol are what they should be, measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..audio import decode, probe
from ..audio.manipulation import check_manipulation, target_of
from ..errors import AudioError
from ..records import AudioRef, Json
from .conditions import Condition, parse_condition

MEASURED = frozenset({"sham", "round_trip", "dose"})
"""Conditions that are changes of prosody with a known target."""

DOSE_CRITERIA = frozenset({"f0_ratio", "f0_drift", "duration_ratio", "level_db"})
"""What a round trip must hold: that its dose is zero. What else the processing did to the clip is what
it is there to control for."""


def measured(
    clips: Mapping[str, AudioRef], asked: Iterable[tuple[str, str]], workers: int = 4
) -> Iterator[Json]:
    """Measure stimuli.

    Args:
        clips: Utterance id → its clip as it is.
        asked: Utterance id and condition of each stimulus; those of other conditions are left out.
        workers: Threads.

    Yields:
        For each: utterance, condition, the criteria that failed (none: it is fit), the measures. A
        clip that cannot be decoded or measured fails ``audio``.
    """
    wanted = []
    for uid, name in asked:
        condition = parse_condition(name)
        if condition.kind in MEASURED:
            wanted.append((uid, condition))
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda one: _measure(one[0], clips[one[0]], one[1]), wanted)


def _measure(uid: str, clip: AudioRef, condition: Condition) -> Json:
    row: Json = {"utterance_id": uid, "condition": condition.id}
    (transform,) = condition.transforms
    try:
        rate = probe(clip.path).sampling_rate_hz
        changed = decode(replace(clip, transforms=(*clip.transforms, transform)), rate)
        found = check_manipulation(decode(clip, rate), changed, rate, target_of(transform))
    except AudioError as error:
        return row | {"failed": ["audio"], "error": str(error)}
    failed = [
        criterion.name
        for criterion in found.criteria
        if not criterion.passed
        and (condition.kind != "round_trip" or criterion.name in DOSE_CRITERIA)
    ]
    return row | {"failed": failed, "measures": found.to_json()}
