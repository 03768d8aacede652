"""The short way for the plainest replies: one emotion word, and nothing that touches it.

What :mod:`.reading` finds for such a reply does not depend on its state: no operator stands before
the word that could weaken or drop it, and none after it that looks back. Only one question is left:
whether the word is all that its segment says. A test holds this way equal to the long one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .folding import Splitter, spaceless
from .lexicon import Hit
from .reading import QUIET, SEGMENT_ENDS, Level, Mention, Reader
from .vocabulary import Role

_IDLE = frozenset({Role.VOICE, Role.EMOTION_NOUN})
"""Roles that leave the next emotion word alone."""

_HEDGE = frozenset({Role.HEDGES_NEXT})

_LOOK_BACK = frozenset({Role.NEGATES_LAST, Role.HEDGES_LAST, Role.RANKS, Role.RANKS_LAST})
"""Roles that change the last emotion word."""

_RANK = frozenset({Role.RANKS})

_WITHHOLD = frozenset({Role.NEGATES_NEXT, Role.INABILITY, Role.DISCERNS, Role.ABSTAINS})
"""Roles that may take an answer back, or say that there is no emotion."""

_ODD = re.compile(r"[?\"'\[{]|\d\.\d")
"""Questions, quotations, JSON, decimal points: the long way."""

_SEGMENT_END = re.compile("[" + re.escape("".join(sorted(SEGMENT_ENDS))) + "]")


def only_mention(text: str, hits: Sequence[Hit], reader: Reader) -> Mention | None:
    """The one emotion word of a folded text, where the short way applies; else ``None``."""
    the: Hit | None = None
    hedge = rank = -1
    untouched, refused = True, _LOOK_BACK
    for hit in hits:
        roles = hit.roles
        if the is not None:
            if roles <= _IDLE:
                continue
            if roles == _RANK and untouched:
                rank = hit.end
            elif Role.CONCEPT in roles or not roles.isdisjoint(refused):
                return None
            untouched = False
        elif hit.sense is not None and Role.CONCEPT in roles:
            if len(hit.sense.labels) > 1:
                return None
            the = hit
            refused = _LOOK_BACK if hit.sense.labels else _LOOK_BACK | _WITHHOLD
        elif roles == _HEDGE and hedge < 0:
            hedge = hit.end
        elif not roles <= _IDLE:
            return None
    if the is None or the.sense is None or _ODD.search(text) is not None:
        return None
    level = Level.PLAIN
    if hedge >= 0:
        if not _reaches(text[hedge : the.start], reader.split, reader.scopes.hedge):
            return None
        level = Level.HEDGED
    if rank >= 0:
        if not _reaches(text[the.end : rank], reader.split, reader.scopes.rank):
            return None
        level = Level.MAIN
    elif level == Level.PLAIN and _bare(text, hits, the, reader.sets, reader.split):
        level = Level.MAIN
    return Mention(the, the.sense, 0, 0, 0, level)


def _reaches(between: str, split: Splitter, scope: int) -> bool:
    """Whether an operator that acts over ``scope`` words acts over these, in one segment."""
    return len(split.words(between)) <= scope and _SEGMENT_END.search(between) is None


def _bare(
    text: str,
    hits: Sequence[Hit],
    the: Hit,
    sets: Mapping[str, frozenset[str]],
    split: Splitter,
) -> bool:
    """Whether the segment of a mention says nothing but it."""
    start, end = 0, len(text)
    for match in _SEGMENT_END.finditer(text):
        if match.start() < the.start:
            start = match.end()
        elif match.start() >= the.end:
            end = match.start()
            break
    if start and text[start - 1] == "(":
        return False
    fillers, connectives = sets["fillers"], sets["connectives"]
    at = start
    for hit in hits:
        if hit.end <= start or hit.start >= end:
            continue
        if not _all_idle(text, at, hit.start, fillers, connectives, split):
            return False
        at = hit.end
        if hit is the:
            continue
        if not hit.roles <= QUIET:
            return False
        if Role.VOICE in hit.roles and text[hit.start : hit.end] not in fillers:
            return False
    return _all_idle(text, at, end, fillers, connectives, split)


def _all_idle(
    text: str,
    start: int,
    end: int,
    fillers: frozenset[str],
    connectives: frozenset[str],
    split: Splitter,
) -> bool:
    for match in split.iter_words(text, start, end):
        word = match[0]
        if word in fillers or word in connectives or word.isdigit():
            continue
        if len(word) != 1 or spaceless(word):
            return False
    return True
