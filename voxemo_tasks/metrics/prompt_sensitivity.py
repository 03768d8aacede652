r"""How much a result owes to the wording of the prompt.

Conventions
-----------
outcome     what a reply came to: a label, or the non-answer, which is an outcome of its own (a model
            that answers one prompt and is silent at another is sensitive to the prompt)
outcomes    whole numbers, shape ``(N, P)``: utterance by prompt; label 0 to C - 1, C the non-answer,
            -1 for a reply that was never had (an engine error, a prompt not asked): no outcome
spread      of a rate over the prompts; every prompt has its own confusion

Disagreement and PromptSensiScore
---------------------------------
Zhuo et al. (2024, arXiv:2410.12405, ProSA) average over items and pairs of prompts the difference
of the item's *score*, :math:`|Y(p_a) - Y(p_b)|`; for a hard label, whether one is right and the
other is not. ``disagreement`` asks instead whether the *labels* differ. Two different wrong labels
count there and not in the score. Both are in [0, 1], and over P prompts at most
:math:`\lceil P/2 \rceil \lfloor P/2 \rfloor / \binom{P}{2}` for two outcomes.

Entropy
-------
With K samples for each prompt of an utterance, the entropy of its outcomes (in bits)
falls into two parts::

    total    H(sum_p w_p q_p)      within   sum_p w_p H(q_p)      between   total - within

with shares :math:`q_p` of prompt p and weights :math:`w_p` = its samples over all. Between is the
mutual information of prompt and outcome (a Jensen-Shannon divergence): what another wording
changes; within is what another sample changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, UnknownNameError
from .clusters import cluster_codes, sums_of
from .confusion import Confusion, Policy
from .hard import HARD_METRICS
from .intervals import Interval
from .resampling import ratio_interval

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Correction = Literal["none", "miller_madow"]


@dataclass(frozen=True, slots=True)
class PromptSpread:
    """A rate over prompts.

    Attributes:
        rates: By prompt; ``None`` where the rate does not exist.
        n: Utterances that count, by prompt.
        mean: Of the rates that exist.
        sd: Their standard deviation (divided by their number less one); ``None`` for fewer than
            two.
        spread: Greatest less least; 0 for one prompt.
        worst: The prompt with the least rate; the first of several.
        best: The prompt with the greatest.
    """

    rates: dict[str, float | None]
    n: dict[str, int]
    mean: float | None
    sd: float | None
    spread: float | None
    worst: str | None
    best: str | None


def prompt_spread(
    confusions: Mapping[str, Confusion], metric: str, policy: Policy = "strict"
) -> PromptSpread:
    """Spread of a hard rate over prompts.

    The greatest less the least grows with the number of prompts, so compare it only between models
    that were asked the same ones. Part of it is chance: prompts differ on the same utterances even
    where all are equally good (``paired`` tells).

    Args:
        confusions: Pooled counts by prompt.
        metric: A name of ``HARD_METRICS``.
        policy: How non-answers count.

    Raises:
        UnknownNameError: For another metric.

    Example:
        >>> a = Confusion(("angry", "sad"), np.array([[3, 1, 0], [0, 4, 0]]))
        >>> b = Confusion(("angry", "sad"), np.array([[1, 3, 0], [0, 4, 0]]))
        >>> s = prompt_spread({"a": a, "b": b}, "wa")
        >>> s.spread, s.mean, s.worst
        (0.25, 0.75, 'b')
    """
    if metric not in HARD_METRICS:
        raise UnknownNameError("hard metric", metric, HARD_METRICS)
    rates = {name: HARD_METRICS[metric](c, policy) for name, c in confusions.items()}
    counting: Policy = "strict" if metric == "coverage" else policy
    n = {name: c.n(counting) for name, c in confusions.items()}
    known = {name: rate for name, rate in rates.items() if rate is not None}
    if not known:
        return PromptSpread(rates, n, None, None, None, None, None)
    values = np.array(list(known.values()))
    return PromptSpread(
        rates=rates,
        n=n,
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        spread=float(values.max() - values.min()),
        worst=min(known, key=lambda name: known[name]),
        best=max(known, key=lambda name: known[name]),
    )


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Pairwise disagreement over prompts, averaged over utterances.

    Attributes:
        value: In [0, 1]; ``None`` without an utterance that has two outcomes.
        n: Utterances with at least two outcomes.
        n_left_out: Utterances with fewer.
        interval: Over clusters (utterances, where none are given).
    """

    value: float | None
    n: int
    n_left_out: int
    interval: Interval


def disagreement(
    outcomes: Codes | Sequence[Sequence[int]],
    *,
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Disagreement:
    r"""Share of pairs of prompts whose outcomes differ, mean over utterances.

    .. math:: \frac{1}{N} \sum_i \frac{1}{\binom{P_i}{2}} \sum_{a < b} 1[o_{ia} \ne o_{ib}]

    over the :math:`P_i` outcomes of the utterance.

    Args:
        outcomes: Shape ``(N, P)``: label codes, one code for the non-answer, -1 for none had.
        clusters: Speaker of each utterance; without, utterances are taken for independent.
        level: Of the interval.
        replicates: Of the interval.
        seed: Of the interval.

    Raises:
        OptionError: For codes below -1 or that are not whole, or clusters that do not fit.

    Example:
        >>> d = disagreement([[0, 0, 1], [2, 2, 2], [0, -1, -1]], seed=1)
        >>> d.value == (2 / 3 + 0) / 2, d.n, d.n_left_out
        (True, 2, 1)
    """
    return _pairwise(_codes(outcomes), clusters, level, replicates, seed)


def prompt_sensi_score(
    outcomes: Codes | Sequence[Sequence[int]],
    gold: Codes | Sequence[int],
    *,
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int,
) -> Disagreement:
    """PromptSensiScore of ProSA with right or wrong as the score of a reply.

    The mean over utterances of the share of pairs of prompts of which exactly one is right; a
    non-answer is not right.

    Args:
        outcomes: As for ``disagreement``.
        gold: Gold label code of each utterance, shape ``(N,)``, 0 or more.
        clusters: Speaker of each utterance.
        level: Of the interval.
        replicates: Of the interval.
        seed: Of the interval.

    Raises:
        OptionError: For codes out of range or lists that do not fit.

    Example:
        >>> prompt_sensi_score([[0, 0, 1], [1, 2, 3]], [0, 0], seed=1).value == (2 / 3 + 0) / 2
        True
    """
    codes = _codes(outcomes)
    truth = np.asarray(gold)
    if truth.shape != codes.shape[:1] or (truth.size and truth.dtype.kind not in "iu"):
        raise OptionError(
            f"gold has the shape {truth.shape} and {truth.dtype} for {len(codes)} utterances; "
            "expected one whole code each"
        )
    if (truth < 0).any():
        raise OptionError("a gold code is below 0; leave utterances without gold out")
    right = np.where(codes < 0, -1, codes == truth[:, None])
    return _pairwise(right.astype(np.int64), clusters, level, replicates, seed)


def _codes(outcomes: Codes | Sequence[Sequence[int]]) -> Codes:
    codes = np.asarray(outcomes)
    if codes.ndim != 2:
        raise OptionError(f"outcomes have the shape {codes.shape}; expected (utterances, prompts)")
    if codes.size and (codes.dtype.kind not in "iu" or (codes < -1).any()):
        raise OptionError("outcomes must be whole codes: 0 or more, or -1 where there is none")
    return codes.astype(np.int64)


def _pairwise(
    codes: Codes, clusters: Sequence[str] | None, level: float, replicates: int, seed: int
) -> Disagreement:
    if clusters is not None and len(clusters) != len(codes):
        raise OptionError(f"{len(clusters)} clusters for {len(codes)} utterances; one each")
    differ, pairs = np.zeros(len(codes)), np.zeros(len(codes))
    for a in range(codes.shape[1]):
        later = codes[:, a + 1 :]
        both = (codes[:, a, None] >= 0) & (later >= 0)
        pairs += both.sum(axis=1)
        differ += (both & (later != codes[:, a, None])).sum(axis=1)
    counts = pairs > 0
    shares = differ[counts] / pairs[counts]
    kept = None
    if clusters is not None:
        kept = [c for c, has in zip(clusters, counts.tolist(), strict=True) if has]
    codes_of_kept = cluster_codes(kept, len(shares), "by_appearance")
    sums = sums_of(np.stack([shares, np.ones(len(shares))], axis=1), codes_of_kept)
    interval = ratio_interval(
        sums[:, 0],
        sums[:, 1],
        level=level,
        replicates=replicates,
        seed=seed,
        low=0.0,
        high=1.0,
    )
    value = float(shares.mean()) if len(shares) else None
    return Disagreement(value, len(shares), len(codes) - len(shares), interval)


@dataclass(frozen=True, slots=True)
class EntropySplit:
    """Mean entropy over utterances, in bits.

    Attributes:
        total: Of all outcomes of an utterance.
        within: What is left where the prompt is fixed.
        between: Total less within.
        share_between: Between over total; ``None`` where the total is 0.
        n: Utterances that count: two prompts at least, with two samples each.
        n_left_out: All others.
        correction: ``none`` or ``miller_madow``.
    """

    total: float | None
    within: float | None
    between: float | None
    share_between: float | None
    n: int
    n_left_out: int
    correction: Correction


def entropy_split(
    counts: NDArray[np.int64] | NDArray[np.float64], *, correction: Correction = "none"
) -> EntropySplit:
    r"""Split the entropy of replies into what the prompt and what the sample changes.

    With one sample a prompt nothing can be said about samples: within would be 0 whatever the
    model does. Such utterances are left out and counted. Estimated from few samples, an entropy is
    too small, by about :math:`(m - 1) / 2n` nats for m outcomes seen in n samples (Miller, 1955).
    Within is hit hardest, having n samples a prompt, so that without correction *between* is too
    large: with 5 samples a prompt a model that ignores the wording seems to heed it. With
    ``miller_madow`` each entropy gets that term; between may then lie below 0, and is shown so.

    Args:
        counts: Outcomes, shape ``(N, P, C + 1)``: utterance, prompt, outcome; a prompt without
            samples is not there.
        correction: ``none`` (plug-in) or ``miller_madow``.

    Raises:
        OptionError: For another shape, counts below 0 or not whole, or another correction.

    Example:
        >>> c = np.array([[[4, 0, 0], [0, 4, 0]], [[2, 2, 0], [2, 2, 0]]])
        >>> s = entropy_split(c)  # one utterance all between, one all within
        >>> s.total, s.within, s.between, s.n
        (1.0, 0.5, 0.5, 2)
    """
    if correction not in get_args(Correction):
        raise OptionError(f"no correction is called {correction!r}; allowed: none, miller_madow")
    given = np.asarray(counts, dtype=np.float64)
    if given.ndim != 3:
        raise OptionError(f"counts have the shape {given.shape}; expected (utterances, P, C + 1)")
    if (given < 0).any() or (given % 1 != 0).any():
        raise OptionError("counts of outcomes must be whole, 0 or more")
    samples = given.sum(axis=2)
    asked = samples > 0
    usable = (asked.sum(axis=1) >= 2) & ~(samples == 1).any(axis=1)
    kept, per_prompt = given[usable], samples[usable]
    left_out = len(given) - len(kept)
    if not len(kept):
        return EntropySplit(None, None, None, None, 0, left_out, correction)
    weights = per_prompt / per_prompt.sum(axis=1, keepdims=True)
    total = float(_entropy(kept.sum(axis=1), correction).mean())
    within = float((weights * _entropy(kept, correction)).sum(axis=1).mean())
    between = total - within
    share = between / total if total > 0 else None
    return EntropySplit(total, within, between, share, len(kept), left_out, correction)


def _entropy(counts: Floats, correction: Correction) -> Floats:
    """Entropy in bits over the last axis; 0 where there are no samples."""
    n = counts.sum(axis=-1)
    shares = counts / np.maximum(n, 1)[..., None]
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy = -(shares * logs).sum(axis=-1)
    if correction == "miller_madow":
        seen = (counts > 0).sum(axis=-1)
        entropy = entropy + np.maximum(seen - 1, 0) / (2 * np.maximum(n, 1)) / np.log(2)
    return np.asarray(entropy + 0.0, dtype=np.float64)
