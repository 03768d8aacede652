r"""Which replies people shall read.

Conventions
-----------
id          of a reply. The draw goes by the SHA-256 of seed and id, not by a generator: no order of
            the ids and no release of numpy changes it, and a larger audit with the same seed holds
            the smaller one, so that no reading is lost
probability of a reply to be drawn, for all replies, drawn or not: what an estimate from the audit
            needs (``voxemo_tasks.metrics.prediction_powered``)

``random``      every reply with the same probability
``stratified``  per stratum (outcome, language, corpus, gold label) a registered minimum, the rest
                in proportion; so that each stratum can be reported, and a rare outcome is seen
``farthest``    replies as unlike each other as can be, to find what a verbalizer cannot read; not
                a probability sample, and no rate may be estimated from it
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..errors import OptionError

__all__ = ["AuditSample", "farthest_first", "random_sample", "stratified_sample"]

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AuditSample:
    """A drawn audit.

    Attributes:
        ids: The replies to read, sorted (``farthest``: in the order they were found).
        probabilities: Of every reply, by id, in (0, 1]; ``None`` where there are none.
        strata: Replies drawn and replies there are, by stratum; empty without strata.
    """

    ids: tuple[str, ...]
    probabilities: Mapping[str, float] | None
    strata: Mapping[Hashable, tuple[int, int]]


def _ordered(ids: Sequence[str], size: int) -> list[str]:
    ordered = sorted(ids)
    twice = [a for a, b in pairwise(ordered) if a == b]
    if twice:
        raise OptionError(f"{len(twice)} ids stand twice, e.g. {twice[0]!r}; an id is one reply")
    if not 0 <= size <= len(ordered):
        raise OptionError(f"size is {size}; there are {len(ordered)} replies to draw from")
    return ordered


def _shuffled(ids: Sequence[str], seed: int) -> list[str]:
    def key(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogatepass")).digest()

    return sorted(ids, key=key)


def random_sample(ids: Sequence[str], size: int, *, seed: int) -> AuditSample:
    """Draw without replacement, all replies alike.

    Args:
        ids: Of all replies, each once.
        size: How many to draw, 0 to all.
        seed: Of the draw.

    Raises:
        OptionError: For an id that stands twice, or a size out of range.

    Example:
        >>> s = random_sample(["a", "b", "c", "d"], 2, seed=1)
        >>> len(s.ids), s.probabilities["a"]
        (2, 0.5)
        >>> random_sample(["d", "c", "b", "a"], 2, seed=1) == s
        True
    """
    ordered = _ordered(ids, size)
    chance = size / len(ordered) if ordered else 0.0
    return AuditSample(
        ids=tuple(sorted(_shuffled(ordered, seed)[:size])),
        probabilities=dict.fromkeys(ordered, chance) if size else None,
        strata={},
    )


def stratified_sample(
    strata: Mapping[str, Hashable], size: int, *, minimum: int, seed: int
) -> AuditSample:
    """Draw without replacement, at least a minimum from each stratum.

    Each stratum first gets the minimum, or all it has. What is left of the size goes to the
    strata in proportion to what they still have.

    Args:
        strata: Stratum of each reply by id; combine keys as a tuple, e.g. ``("off_menu", "de")``.
        size: How many to draw in all, at least what the minima need, at most all.
        minimum: Per stratum; as registered before anybody read a reply.
        seed: Of the draw.

    Returns:
        Probabilities are drawn over there are, by stratum; ``None`` where a stratum got nothing
        (only with a minimum of 0): the audit then says nothing of all replies.

    Raises:
        OptionError: For a negative minimum, or a size that is too small for the minima or larger
            than the number of replies.

    Example:
        >>> outcome = {f"u{i:02}": "abstained" if i < 3 else "answered" for i in range(20)}
        >>> s = stratified_sample(outcome, 8, minimum=2, seed=1)
        >>> s.strata
        {'abstained': (2, 3), 'answered': (6, 17)}
        >>> round(s.probabilities["u00"], 3), round(s.probabilities["u19"], 3)
        (0.667, 0.353)
    """
    ordered = _ordered(list(strata), size)
    if minimum < 0:
        raise OptionError(f"minimum is {minimum}; it must be 0 or more")
    members: dict[Hashable, list[str]] = {}
    for name in ordered:
        members.setdefault(strata[name], []).append(name)
    keys = sorted(members, key=repr)
    there = np.array([len(members[k]) for k in keys], dtype=np.int64)
    quota = np.minimum(there, minimum)
    rest = size - int(quota.sum())
    if rest < 0:
        raise OptionError(
            f"size is {size}, but {len(keys)} strata with a minimum of {minimum} need "
            f"{int(quota.sum())}; raise the size, lower the minimum or merge strata"
        )
    quota = quota + _apportion(there - quota, rest)
    chosen: list[str] = []
    for key, take in zip(keys, quota, strict=True):
        chosen.extend(_shuffled(members[key], seed)[:take])
    shares = dict(zip(keys, (quota / np.maximum(there, 1)).tolist(), strict=True))
    empty = [k for k in keys if not shares[k]]
    return AuditSample(
        ids=tuple(sorted(chosen)),
        probabilities=None if empty else {name: shares[strata[name]] for name in ordered},
        strata={k: (int(take), int(n)) for k, take, n in zip(keys, quota, there, strict=True)},
    )


def _apportion(left: Counts, seats: int) -> Counts:
    """Seats in proportion to what is left, by the divisors 1, 3, 5 ... (Webster).

    Unlike the largest remainder, no stratum loses a seat when there are more of them.
    """
    stratum = np.repeat(np.arange(len(left)), left)
    rank = np.concatenate([np.arange(n) for n in left]) if len(left) else stratum
    claim = left[stratum] / (2.0 * rank + 1.0)
    order = np.argsort(-claim, kind="stable")[:seats]
    return np.bincount(stratum[order], minlength=len(left)).astype(np.int64)


def _features(texts: Sequence[str], n: int, width: int) -> sparse.csr_matrix:
    """Counts of hashed character n-grams, rows of length 1."""
    rows: list[int] = []
    columns: list[int] = []
    for i, text in enumerate(texts):
        padded = f"\x02{' '.join(text.casefold().split())}\x03"
        grams = [padded[j : j + n] for j in range(max(1, len(padded) - n + 1))]
        columns.extend(zlib.crc32(g.encode("utf-8", "surrogatepass")) % width for g in grams)
        rows.extend([i] * len(grams))
    counts = sparse.csr_matrix(
        (np.ones(len(rows)), (rows, columns)), shape=(len(texts), width), dtype=np.float64
    )
    lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / lengths) @ counts)


def farthest_first(
    texts: Mapping[str, str], size: int, *, seed: int, n: int = 3, width: int = 4096
) -> AuditSample:
    r"""Replies that are unlike each other: always the one farthest from all those chosen.

    Distance is 1 less the cosine of the counts of character n-grams, so it needs neither words
    nor a language; case and runs of spaces do not count. The first is drawn by the seed, ties go to
    the first id. The greatest distance left is at most twice what the best choice could leave
    (Gonzalez, 1985).

    Args:
        texts: Reply by id. Replies with the same text count once, under their first id.
        size: How many to find, at most as many as there are different texts.
        seed: Of the first.
        n: Characters per n-gram, at least 1.
        width: Columns that n-grams are hashed into (CRC-32).

    Returns:
        Ids in the order found: the first k of them are the answer for a size of k.

    Raises:
        OptionError: For a size, n or width out of range.

    Example:
        >>> replies = {"a": "angry", "b": "Angry.", "c": "I cannot tell", "d": "angry!"}
        >>> found = farthest_first(replies, 2, seed=1).ids
        >>> "c" in found, len(found)
        (True, 2)
    """
    if n < 1 or width < 1:
        raise OptionError(f"n is {n} and width {width}; both must be at least 1")
    first: dict[str, str] = {}
    for name in sorted(texts):
        first.setdefault(texts[name], name)
    names = _ordered(list(first.values()), min(size, len(first)))
    if not 0 <= size <= len(names):
        raise OptionError(f"size is {size}; there are {len(names)} different texts")
    if not size:
        return AuditSample((), None, {})
    features = _features([texts[name] for name in names], n, width)
    at = names.index(_shuffled(names, seed)[0])
    nearest = np.full(len(names), np.inf)
    found: list[int] = []
    for _ in range(size):
        found.append(at)
        nearest = np.minimum(nearest, 1 - features @ features[at].toarray().ravel())
        nearest[at] = -np.inf
        # Rounded, so that equal distances are ties whatever the order of the sums.
        at = int(np.round(nearest, 9).argmax())
    return AuditSample(tuple(names[i] for i in found), None, {})
