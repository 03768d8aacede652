r"""How much a rate owes to the way in which replies are read.

Every combination of the choices below reads the stored replies of a task again (Steegen et al. 2016,
"Increasing transparency through a multiverse analysis"); nothing is generated. A choice's share of
the variance is the sum of squares between its levels over the whole sum of squares of the rate,

.. math:: \eta^2_f = \frac{\sum_l n_l (\bar y_l - \bar y)^2}{\sum_i (y_i - \bar y)^2},

its main effect in a full factorial design; the shares add up to at most 1, the rest are
interactions. Where no combination changes the rate there is no variance, and no share.

What other suites would have made of the same replies (the emulations) stands beside it and is not
part of the design.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import registry
from ..records import Verdict
from ..render import Menu
from ..specs import AnyVerbalizer, EmulationSpec, VerbalizerSpec
from ..tally import plurality
from ..verbalize import FinishReason, Variant, compiled_variant, verbalize
from . import model as m

FACTORS: dict[str, tuple[str, ...]] = {
    "words": ("all", "en", "own"),
    "neighbours": ("off_menu", "map"),
    "negation": ("on", "off"),
    "typos": ("on", "off"),
    "several": ("no_answer", "first", "last"),
    "non_answer": ("wrong", "dropped", "neutral"),
}
"""Choice → its levels: which words count; whether a neighbouring concept is taken for the menu's;
whether negation and typos are read; what a reply of several labels is; what becomes of a non-answer
(``neutral`` only where the menu has it)."""


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply as the multiverse needs it.

    Attributes:
        text: The reply.
        finish_reason: ``stop`` or ``length``.
        menu: How its question offered the labels.
        key: Of the stored row.
    """

    text: str
    finish_reason: FinishReason
    menu: Menu
    key: str = ""


def sensitivity(
    labels: Sequence[str],
    gold: Sequence[str],
    replies: Sequence[Sequence[StoredReply]],
    spec: AnyVerbalizer,
) -> m.Sensitivity | None:
    """Rates (UAR) of a task under every combination of readings.

    Args:
        labels: The label set.
        gold: Gold label of each scored utterance.
        replies: Its replies; our own failures left out.
        spec: The registered verbalizer.

    Returns:
        ``None`` for a verbalizer without word lists (its readings are no such choices), or for no
        utterance.
    """
    if not isinstance(spec, VerbalizerSpec) or not gold:
        return None
    index = {label: i for i, label in enumerate(labels)}
    truth = np.array([index[label] for label in gold])
    outcomes = [
        level for level in FACTORS["non_answer"] if level != "neutral" or "neutral" in labels
    ]
    kinds, which = _kinds(replies)
    design: list[tuple[dict[str, str], float | None]] = []
    for words, neighbours, negation, typos in itertools.product(
        *(FACTORS[name] for name in ("words", "neighbours", "negation", "typos"))
    ):
        variant = Variant(words, neighbours, negation == "on", typos == "on")  # type: ignore[arg-type]
        read = _Reader(spec, variant)
        verdicts = [[read(reply) for reply in several] for several in kinds]
        for several in FACTORS["several"]:
            answers = np.array([_answer(v, several, index) for v in verdicts])[which]
            for outcome in outcomes:
                levels = {
                    "words": words,
                    "neighbours": neighbours,
                    "negation": negation,
                    "typos": typos,
                    "several": several,
                    "non_answer": outcome,
                }
                design.append((levels, _uar(truth, answers, len(labels), outcome, index)))
    return _summary(design, spec, labels, gold, kinds, which)


def _kinds(
    replies: Sequence[Sequence[StoredReply]],
) -> tuple[list[Sequence[StoredReply]], np.ndarray[Any, Any]]:
    """Utterances with the same replies under the same menus, in whatever order, once; which is whose.

    A reading is of the words alone and a plurality has no order, so that equals have equal answers
    under every reading.
    """
    places: dict[frozenset[tuple[tuple[str, FinishReason, Menu], int]], int] = {}
    kinds: list[Sequence[StoredReply]] = []
    which = np.empty(len(replies), dtype=np.intp)
    for i, several in enumerate(replies):
        counts = Counter((reply.text, reply.finish_reason, reply.menu) for reply in several)
        place = places.setdefault(frozenset(counts.items()), len(kinds))
        if place == len(kinds):
            kinds.append(several)
        which[i] = place
    return kinds, which


class _Reader:
    """One reading; verdicts of equal replies are made once."""

    def __init__(self, spec: VerbalizerSpec, variant: Variant) -> None:
        self._spec = spec
        self._variant = variant
        self._known: dict[tuple[str, str, tuple[str, ...]], Verdict] = {}

    def __call__(self, reply: StoredReply) -> Verdict:
        words = tuple(reply.menu.read_as())
        key = (reply.text, reply.finish_reason, words)
        verdict = self._known.get(key)
        if verdict is None:
            read = compiled_variant(self._spec, words, self._variant)
            made = read(reply.text, finish_reason=reply.finish_reason)
            verdict = self._known[key] = reply.menu.canonical(made)
        return verdict


def _answer(verdicts: Sequence[Verdict], several: str, index: Mapping[str, int]) -> int:
    """Position of the utterance's label, or -1."""
    if several != "no_answer":
        verdicts = [_one_of(v, several) for v in verdicts]
    if not verdicts:
        return -1
    answer = plurality(verdicts).answer
    return -1 if answer is None else index[answer]


def _one_of(verdict: Verdict, which: str) -> Verdict:
    if verdict.status != "multiple" or not verdict.labels:
        return verdict
    return Verdict("answered", (verdict.labels[0 if which == "first" else -1],))


def _uar(
    truth: np.ndarray[Any, Any],
    answers: np.ndarray[Any, Any],
    n_labels: int,
    outcome: str,
    index: Mapping[str, int],
) -> float | None:
    if outcome == "dropped":
        kept = answers >= 0
        truth, answers = truth[kept], answers[kept]
    elif outcome == "neutral":
        answers = np.where(answers < 0, index["neutral"], answers)
    if not len(truth):
        return None
    totals = np.bincount(truth, minlength=n_labels)
    hits = np.bincount(truth[truth == answers], minlength=n_labels)
    there = totals > 0
    return float(np.mean(hits[there] / totals[there]))


def _summary(
    design: list[tuple[dict[str, str], float | None]],
    spec: VerbalizerSpec,
    labels: Sequence[str],
    gold: Sequence[str],
    kinds: Sequence[Sequence[StoredReply]],
    which: np.ndarray[Any, Any],
) -> m.Sensitivity:
    registered = {
        "words": "all",
        "neighbours": spec.on_neighbour,
        "negation": "on",
        "typos": "on",
        "several": "no_answer",
        "non_answer": "wrong",
    }
    known = [(levels, value) for levels, value in design if value is not None]
    values = np.array([value for _, value in known])
    spread = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    factors = {}
    for name in FACTORS:
        groups: dict[str, list[float]] = {}
        for levels, value in known:
            groups.setdefault(levels[name], []).append(float(value or 0.0))
        between = sum(len(g) * (np.mean(g) - values.mean()) ** 2 for g in groups.values())
        factors[name] = m.FactorEffect(
            means={level: float(np.mean(group)) for level, group in groups.items()},
            share=None if spread < 1e-12 else float(between / spread),
        )
    low = min(known, key=lambda k: k[1] or 0.0, default=None)
    high = max(known, key=lambda k: k[1] or 0.0, default=None)
    return m.Sensitivity(
        metric="uar",
        registered=next((value for levels, value in design if levels == registered), None),
        n_readings=len(design),
        low=None if low is None else low[1],
        low_reading=None if low is None else low[0],
        high=None if high is None else high[1],
        high_reading=None if high is None else high[0],
        factors=factors,
        values=[value for _, value in design],
        emulations=_emulations(labels, gold, kinds, which),
    )


def _emulations(
    labels: Sequence[str],
    gold: Sequence[str],
    kinds: Sequence[Sequence[StoredReply]],
    which: np.ndarray[Any, Any],
) -> dict[str, m.Emulated]:
    index = {label: i for i, label in enumerate(labels)}
    truth = np.array([index[label] for label in gold])
    found = {}
    for spec in registry.verbalizers():
        if not isinstance(spec, EmulationSpec):
            continue
        verdicts = [
            [
                reply.menu.canonical(
                    verbalize(
                        reply.text,
                        reply.menu.read_as(),
                        spec,
                        finish_reason=reply.finish_reason,
                    )
                )
                for reply in several
            ]
            for several in kinds
        ]
        answers = np.array([_answer(v, "no_answer", index) for v in verdicts])[which]
        found[spec.ref] = m.Emulated(
            uar=_uar(truth, answers, len(labels), "wrong", index),
            wa=float(np.mean(truth == answers)),
            coverage=float(np.mean(answers >= 0)),
        )
    return found


def rank_stability(results: Mapping[str, m.Sensitivity]) -> m.RankStability | None:
    """Whether models keep their order when their replies are read otherwise.

    Args:
        results: Model → its sensitivity on the same utterances.

    Returns:
        Kendall's τ-b of each reading's order with the registered one: median and lowest, over the
        readings in which all models have a rate; and the share of readings that have the same best
        model. ``None`` for fewer than two models, or where the registered order is all ties.
    """
    from scipy.stats import kendalltau

    names = sorted(results)
    if len(names) < 2:
        return None
    first = [results[name].registered for name in names]
    if any(value is None for value in first) or len(set(first)) == 1:
        return None
    taus: list[float] = []
    winners: Counter[bool] = Counter()
    best = max(names, key=lambda n: results[n].registered or 0.0)
    for values in zip(*(results[name].values for name in names), strict=True):
        if any(value is None for value in values):
            continue
        tau = float(kendalltau(first, values).statistic)
        taus.append(0.0 if np.isnan(tau) else tau)
        top = max(value for value in values if value is not None)
        leaders = [n for n, value in zip(names, values, strict=True) if value == top]
        winners[leaders == [best]] += 1
    if not taus:
        return None
    return m.RankStability(
        models=names,
        n_readings=len(taus),
        tau_median=float(np.median(taus)),
        tau_min=float(min(taus)),
        same_winner=winners[True] / len(taus),
    )
