"""How well a judge holds: canaries, the options the other way round, the reply's own language.

The canaries are judged before anything else; of the items, seeded shares are judged twice.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping

from .. import registry
from ..adjudicate import Item, canaries
from ..errors import UnknownNameError
from ..records import Json
from ..specs import JudgeSpec
from ..store import Judgement
from .asking import Asking, ToJudge

CANARY_SHARE = 0.02
LEAST_SAMPLE = 10
"""Smallest sample for the flip rate and the other language, where there are so many items."""


def try_canaries(asking: Asking, items: Mapping[str, ToJudge]) -> Json:
    """How many of the canaries a judge falls for, on every menu of the items; JSON-safe."""
    spec = asking.spec
    menus = list(dict.fromkeys(one.item.labels for one in items.values())) or [()]
    least = math.ceil(CANARY_SHARE * len(items) / len(menus))
    tried = []
    for menu in menus:
        if spec.task == "adjudicate_label" and len(menu) < 2:
            continue
        tried += [
            (canary, Item(canary.data, menu, dimension=canary.dimension))
            for canary in canaries(
                spec, asking.hygiene, menu, least=least, seed=asking.settings.seed
            )
        ]
    judged = asking.judge({item.id(spec): ToJudge(item) for _, item in tried}, "canary")
    fooled: Counter[str] = Counter()
    n: Counter[str] = Counter()
    right = failed = 0
    for canary, item in tried:
        answer = judged[item.id(spec)].answer
        kind = f"{canary.kind} ({canary.language})"
        n[kind] += 1
        fooled[kind] += answer == canary.wanted
        right += answer in canary.expected
        failed += answer is None
    total = len(tried)
    return {
        "n": total,
        "fooled": fooled.total(),
        "fooled_share": fooled.total() / total if total else None,
        "right": right,
        "failed": failed,
        "fell_for": {kind: [k, n[kind]] for kind, k in sorted(fooled.items()) if k},
    }


def sample_of(ids: Iterable[str], share: float, least: int, seed: int, what: str) -> list[str]:
    """A seeded share of some ids, at least so many where there are so many.

    Example:
        >>> sample_of(["a", "b", "c"], 0.1, 2, 0, "x") == sample_of(["c", "b", "a"], 0.1, 2, 0, "x")
        True
    """

    def draw(one: str) -> str:
        return hashlib.sha256(f"{what}:{seed}:{one}".encode()).hexdigest()

    ordered = sorted(ids, key=draw)
    return ordered[: max(least, math.ceil(share * len(ordered)))] if share > 0 else []


def _compared(first: Mapping[str, Judgement], second: Mapping[str, Judgement]) -> Json:
    """How often two judgements of the same items differ; failed ones are left out, and counted."""
    both = [
        (first[i].answer, second[i].answer)
        for i in second
        if first[i].answer is not None and second[i].answer is not None
    ]
    differing = sum(a != b for a, b in both)
    return {
        "n": len(both),
        "failed": len(second) - len(both),
        "differing": differing,
        "share": differing / len(both) if both else None,
    }


def try_swapped(
    asking: Asking, items: Mapping[str, ToJudge], main: Mapping[str, Judgement]
) -> Json:
    """How often a judge changes its mind with the options the other way round, on a seeded share."""
    settings = asking.settings
    chosen = sample_of(items, settings.swapped_share, LEAST_SAMPLE, settings.seed, "swapped")
    return _compared(main, asking.judge({i: items[i] for i in chosen}, "swapped"))


def try_language(
    asking: Asking, items: Mapping[str, ToJudge], main: Mapping[str, Judgement]
) -> Json:
    """The same under the rubric in the reply's own language, where the registry has it."""
    settings, spec = asking.settings, asking.spec
    able = [i for i, one in items.items() if _other_language(spec, one.language)]
    chosen = sample_of(able, settings.language_share, LEAST_SAMPLE, settings.seed, "language")
    asked = asking.judge({i: items[i] for i in chosen}, "language", in_language=True)
    return _compared(main, asked) | {
        "languages": dict(Counter(str(items[i].language) for i in chosen))
    }


def _other_language(spec: JudgeSpec, language: str | None) -> bool:
    if language is None or language.partition("-")[0] == spec.language.partition("-")[0]:
        return False
    try:
        registry.judge_in(spec.task, language)
    except UnknownNameError:
        return False
    return True
