"""Whether a model says the same again, beside other neighbours.

Greedy decoding is a function of the request on paper only: kernels sum in another order in a batch
of another size, and where two tokens are nearly as likely the reply turns over. How often that
happens is measured here and not assumed: some answered requests are put again to the same loaded
model, in another order and batch size, and their texts compared. Sampled ones too where the engine
seeds each row by itself; where it does not, a difference says nothing and they are left out.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lm_eval.api.instance import Instance

from ..audio import decode_ahead
from ..errors import AudioError
from ..records import Json, Request
from ..store import request_key
from .requests import Job

if TYPE_CHECKING:
    from .base import AudioLM, Generated

log = logging.getLogger(__name__)

OTHER_BATCH = 4
"""Batch of the second run where the first asked one by one; else the second asks one by one."""

EXAMPLES = 5
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply that there is, and what it answers."""

    request: Request
    key: str
    sample: int
    text: str
    provenance: Json


def check(model: AudioLM, instances: Iterable[Instance], n: int, seed: int = 0) -> Json:
    r"""Ask again for replies that there are, and compare.

    .. math:: \text{share} = \frac{\#\{\text{text again} = \text{text before}\}}{n}

    over the requests that the engine answered both times. Texts are compared character by character.

    Args:
        model: The loaded model; nothing of the second run is stored or counted.
        instances: What lm-eval asked, with replies.
        n: How many requests to draw, one reply of each; all where there are fewer.
        seed: Of the draw and of the new order.

    Returns:
        ``n`` (compared), ``equal``, ``share`` in [0, 1] (``None`` for n = 0), ``failed`` (not
        answered the second time; outside n), ``drawn``, ``greedy`` and ``sampled`` (of those
        drawn), ``left_out`` (sampled requests of an engine that does not seed each row),
        ``batch_size``, ``batch_size_again``, ``seed``, and up to five ``examples`` of differences.
    """
    rng = random.Random(seed)
    found = {one.key: one for one in answered(model, instances, rng)}
    seeded = type(model).seeds_each_row
    usable = sorted(k for k, a in found.items() if seeded or a.request.decoding.greedy)
    drawn = [found[key] for key in rng.sample(usable, min(n, len(usable)))]
    before, again = model.batch, 1 if model.batch > 1 else OTHER_BATCH
    report: Json = {
        "drawn": len(drawn),
        "greedy": sum(one.request.decoding.greedy for one in drawn),
        "sampled": sum(not one.request.decoding.greedy for one in drawn),
        "left_out": len(found) - len(usable),
        "batch_size": before,
        "batch_size_again": again,
        "seed": seed,
    }
    equal, failed = 0, 0
    examples: list[Json] = []
    with _batches_of(model, again):
        for one, reply in _ask_again(model, drawn, again):
            if reply is None or reply.error is not None:
                failed += 1
            elif reply.text == one.text:
                equal += 1
            elif len(examples) < EXAMPLES:
                examples.append(_example(one, reply.text))
    compared = len(drawn) - failed
    return report | {
        "n": compared,
        "equal": equal,
        "share": equal / compared if compared else None,
        "failed": failed,
        "examples": examples,
    }


def answered(
    model: AudioLM, instances: Iterable[Instance], rng: random.Random
) -> Iterator[Answered]:
    """One reply of each request that has a good one; a request that two tasks share comes twice."""
    for instance in instances:
        good = [i for i, r in enumerate(instance.resps) if getattr(r, "error", None) is None]
        if not good:
            continue
        request, provenance = Request.from_arguments(instance.args)
        sample = rng.choice(good)
        yield Answered(
            request,
            request_key(model.fingerprint(), request),
            sample,
            str.__str__(instance.resps[sample]),
            provenance,
        )


@contextmanager
def _batches_of(model: AudioLM, size: int) -> Iterator[None]:
    before = model.batch
    model.batch = size
    try:
        yield
    finally:
        model.batch = before


def _ask_again(
    model: AudioLM, drawn: Sequence[Answered], size: int
) -> Iterator[tuple[Answered, Generated | None]]:
    """Replies of the second run; ``None`` for a clip that cannot be decoded any more."""
    refs = [ref for one in drawn for ref in one.request.audio]
    with closing(
        decode_ahead(refs, model.sampling_rate_hz, workers=2, ahead=2 * max(size, 2))
    ) as decoded:
        left = iter(drawn)
        while some := list(itertools.islice(left, size)):
            jobs: list[tuple[Answered, Job]] = []
            for one in some:
                clips = [next(decoded)[1] for _ in one.request.audio]
                heard = [clip for clip in clips if not isinstance(clip, AudioError)]
                if len(heard) < len(clips):
                    yield one, None
                    continue
                seconds = sum(map(len, heard)) / model.sampling_rate_hz
                jobs.append((one, Job(one.request, one.key, [one.sample], heard, seconds)))
            replies = model.isolated([job for _, job in jobs]) if jobs else []
            for (one, _), several in zip(jobs, replies, strict=True):
                yield one, several[0]


def _example(one: Answered, again: str) -> Json:
    pairs = itertools.zip_longest(one.text, again)
    at = next(place for place, (a, b) in enumerate(pairs) if a != b)
    return {
        "task": one.provenance.get("task"),
        "utterance_id": one.provenance.get("utterance_id"),
        "prompt": one.provenance.get("prompt", one.request.prompt_id),
        "sample": one.sample,
        "before": one.text[:SHOWN],
        "again": again[:SHOWN],
        "differs_at": at,
    }


def sentence(report: Json) -> str:
    """The report in a line.

    Example:
        >>> sentence({"n": 8, "equal": 6, "failed": 1, "left_out": 0, "batch_size": 4,
        ...           "batch_size_again": 1})
        '6 of 8 replies are the same in batches of 1 as before in batches of 4; 1 failed this time'
    """
    if not report["n"] and not report["failed"]:
        line = "no reply could be asked for again"
    else:
        line = (
            f"{report['equal']} of {report['n']} replies are the same in batches of "
            f"{report['batch_size_again']} as before in batches of {report['batch_size']}"
        )
    if report["failed"]:
        line += f"; {report['failed']} failed this time"
    if report["left_out"]:
        line += (
            f"; {report['left_out']} sampled ones are left out (this engine does not seed each row)"
        )
    return line
