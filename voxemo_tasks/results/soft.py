"""Agreement with the annotators' votes, each number beside what chance and people come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..labels import LabelSet
from ..metrics.floors import (
    baselines,
    fit_dirichlet,
    loo_crowd,
    oracle_floor,
    split_half,
)
from ..metrics.soft import brier_irreducible
from ..metrics.soft_scores import SOFT_METRICS, soft_interval, soft_value
from ..metrics.votes import Predicted, SoftPolicy, Source, Votes
from ..records import Json
from . import model as m
from .blocks import REPLICATES, interval_of
from .counting import Tally

FROM_SHARES: frozenset[Source] = frozenset({"likelihood", "verbalised", "replayed"})
"""Sources whose replies give shares of the labels."""

POLICIES: tuple[SoftPolicy, ...] = ("extra_class", "answered", "uniform")
DRAWS = 10
"""Simulated draws behind a noise floor; its standard error is far below the interval's width."""


@dataclass(frozen=True, slots=True)
class Gold:
    """Votes and predictions of the utterances that have both.

    Attributes:
        votes: The annotators' votes.
        predicted: The model's distribution.
        places: Which of the scored utterances these are.
        clusters: Their speakers, or a name of each utterance.
        cluster: ``speaker``, or ``None`` where one is not known.
        without_votes: Scored utterances without votes within the label set.
        without_replies: Scored utterances with votes and no reply.
    """

    votes: Votes
    predicted: Predicted
    places: list[int]
    clusters: list[str]
    cluster: str | None
    without_votes: int
    without_replies: int


def source_of(header: Json, tally: Tally) -> Source:
    """Where a task's distribution comes from; kept apart by name in the results."""
    if header["options"].get("replayed"):
        return "replayed"
    if header["options"].get("readout") == "likelihood":
        return "likelihood"
    answers = {member.get("answer") for member in header.get("members", ())}
    if answers == {"distribution"} and len(tally.shares):
        return "verbalised"
    return "prompt_ensemble" if len(tally.prompts) > 1 else "sampling"


def given_shares(header: Json, tally: Tally) -> np.ndarray | None:
    """Shares ``(N, C + 1)`` of the scored utterances where the task's distribution is made of them;
    ``None`` where its generations are counted instead.
    """
    return tally.mean_shares if source_of(header, tally) in FROM_SHARES else None


def gold_of(tally: Tally, header: Json) -> Gold | None:
    """Votes beside predictions; ``None`` where no scored utterance has votes."""
    given = header["label_set"]
    label_set = LabelSet(given["id"], tuple(given["labels"]), dict(given.get("merge") or {}))
    places, counts = tally.votes(label_set)
    if not places:
        return None
    source = source_of(header, tally)
    shares = given_shares(header, tally)
    if shares is None:
        generations, _ = tally.generations
        has = generations[places].sum(axis=1) > 0
    else:
        has = shares[places].sum(axis=1) > 0
    kept = [place for place, ok in zip(places, has, strict=True) if ok]
    if not kept:
        return None
    if shares is None:
        predicted = Predicted(source, counts=generations[kept])
    else:
        rows = shares[kept]
        predicted = Predicted(source, shares=rows / rows.sum(axis=1, keepdims=True))
    names = tally.clusters() or [f"u{i}" for i in range(len(tally.scored))]
    return Gold(
        Votes(counts[np.flatnonzero(has)]),
        predicted,
        kept,
        [names[i] for i in kept],
        tally.unit,
        len(tally.scored) - len(places),
        len(places) - len(kept),
    )


def soft_block(gold: Gold, seed: int) -> m.Soft:
    """Every soft metric under every policy, with its floors."""
    votes, predicted = gold.votes, gold.predicted
    k, sizes = votes.k, predicted.m
    counted = predicted.counts is not None
    generations = np.asarray(sizes[np.isfinite(sizes)], dtype=np.int64)
    per_item = generations if counted and len(generations) == len(votes) else None
    fit = fit_dirichlet(votes)
    floors: dict[str, dict[str, float | None]] = {name: {} for name in SOFT_METRICS}
    if fit.concentration is not None:
        for name, floor in oracle_floor(votes, fit, m=per_item, draws=DRAWS, seed=seed).items():
            floors[name]["oracle"] = floor.value
        for name, scores in loo_crowd(votes, fit).items():
            floors[name]["crowd"] = scores.mean
        for name, floor in split_half(votes, draws=DRAWS, seed=seed).items():
            floors[name]["split_half"] = floor.value
    for reference, values in baselines(votes, predicted, draws=DRAWS, seed=seed).items():
        for name, found in values.items():
            floors[name][reference] = found.value
    metrics = {}
    for name, facts in SOFT_METRICS.items():
        by_policy: dict[str, m.SoftValue] = {}
        for policy in POLICIES:
            value = soft_value(name, votes, predicted, policy)
            interval = soft_interval(
                name, votes, predicted, gold.clusters, policy, replicates=REPLICATES, seed=seed
            )
            by_policy[policy] = m.SoftValue(
                value=value.value,
                n=value.n,
                n_unscored=value.n_unscored,
                interval=interval_of(interval, gold.cluster, seed),
                reason=value.reason,
            )
        metrics[name] = m.SoftMetric(
            best=facts.best,
            proper=facts.proper,
            unit=facts.unit,
            policies=by_policy,
            floors=floors[name],
        )
    irreducible = brier_irreducible(votes)
    return m.Soft(
        source=predicted.source,
        n=len(votes),
        without_votes=gold.without_votes,
        without_replies=gold.without_replies,
        votes_per_utterance=m.Spread(
            least=float(k.min()), mean=float(k.mean()), most=float(k.max())
        ),
        generations_per_utterance=None
        if per_item is None
        else m.Spread(
            least=float(per_item.min()), mean=float(per_item.mean()), most=float(per_item.max())
        ),
        brier_irreducible=irreducible.mean,
        concentration=fit.concentration,
        metrics=metrics,
        legacy=["uniform"],
    )


def columns_of(tally: Tally, places: Sequence[int], name: str) -> list[str | None]:
    """A fact of some of the scored utterances, as text."""
    column = tally.column(name)
    return [None if column[i] is None else str(column[i]) for i in places]
