r"""What a soft-label value is read against: noise floors, the human crowd, trivial predictions.

A distance between k votes and m generations is above zero for a model that knows the annotators'
distribution exactly. How far depends on k, m, C and on how much annotators disagree, so that a
value means something only beside

oracle       the same metric for a model that has the true distributions P: fresh votes and fresh
             generations drawn from them, with each item's own k and m
crowd        people predicting people: from the other annotators of the item (``loo_crowd``), or
             from one half of them (``split_half``)
baselines    the corpus prior, the uniform distribution, and the model's own predictions handed to
             the wrong items (``permuted``), which have the right entropy and know nothing of an
             item

The true distributions are not known. They are modelled as draws from one Dirichlet distribution
with parameters :math:`\alpha`, fitted to the votes of the corpus; after its votes n an item's P is
drawn from :math:`\mathrm{Dir}(\alpha + n)`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from ..errors import OptionError, UnknownNameError
from .soft_scores import SOFT_METRICS, soft_value
from .votes import Counts, Floats, Predicted, Scores, SoftPolicy, Votes

__all__ = [
    "CONCENTRATIONS",
    "DirichletFit",
    "Floor",
    "baselines",
    "fit_dirichlet",
    "loo_crowd",
    "oracle_floor",
    "permuted",
    "prior_prediction",
    "split_half",
    "uniform_prediction",
]

CONCENTRATIONS = (1e-3, 1e4)
"""Between these a fitted concentration is kept; beyond, votes of an item all agree, or differ from
the prior by nothing but chance, and the likelihood has no maximum."""


@dataclass(frozen=True, slots=True, eq=False)
class DirichletFit:
    """A Dirichlet distribution over the items' true vote distributions.

    Attributes:
        prior: Its mean, shape ``(C,)``, sums to 1.
        concentration: Its :math:`\\alpha_0 = \\sum \\alpha_c`: as many votes is what the prior is
            worth. ``None`` where no item has two votes: disagreement cannot be seen.
        iterations: Steps of the fit.
        converged: Whether it came to rest within the allowed steps.
        at_bound: Whether the concentration was held at one of ``CONCENTRATIONS``.
    """

    prior: Floats
    concentration: float | None
    iterations: int
    converged: bool
    at_bound: bool = False

    @property
    def alpha(self) -> Floats | None:
        """The parameters, shape ``(C,)``; ``None`` without a concentration."""
        return None if self.concentration is None else self.prior * self.concentration


@dataclass(frozen=True, slots=True)
class Floor:
    """What a metric comes to by chance or for a reference.

    Attributes:
        value: Mean over the draws; ``None`` where it does not exist.
        standard_error: Of that mean, from the draws; ``None`` for fewer than two.
        draws: Draws in which the metric exists.
    """

    value: float | None
    standard_error: float | None
    draws: int


def fit_dirichlet(
    votes: Votes, *, iterations: int = 5000, tolerance: float = 1e-10
) -> DirichletFit:
    r"""Fit the Dirichlet-multinomial distribution to votes by maximum likelihood.

    Minka's fixed point (2000, Estimating a Dirichlet distribution, eq. 55):

    .. math:: \alpha_c \leftarrow \alpha_c
       \frac{\sum_i \psi(n_{ic} + \alpha_c) - \psi(\alpha_c)}
            {\sum_i \psi(k_i + \alpha_0) - \psi(\alpha_0)}

    with the differences written out as :math:`\sum_{j < n} 1 / (\alpha + j)`, over a histogram of
    the counts, so that a step costs the same for any number of items. A label without votes gets
    parameter 0.

    Args:
        votes: The annotators' votes.
        iterations: The most steps, at least 1.
        tolerance: Relative change of every parameter at which the fit has come to rest.

    Returns:
        With concentration ``None`` and the share of all votes as prior where no item has two votes.

    Raises:
        OptionError: For no iterations, or a tolerance that is not above 0.

    Example:
        >>> fit = fit_dirichlet(Votes(np.array([[3, 0], [1, 2], [0, 3], [2, 1]])))
        >>> fit.converged, fit.prior.round(6).tolist()
        (True, [0.5, 0.5])
        >>> fit_dirichlet(Votes(np.array([[1, 0], [0, 1]]))).concentration is None
        True
    """
    if iterations < 1 or not tolerance > 0:
        raise OptionError(
            f"iterations={iterations}, tolerance={tolerance}; there must be at least one step and "
            "a tolerance above 0"
        )
    counts, k = votes.counts, votes.k
    pooled = counts.sum(axis=0) / counts.sum()
    most = int(k.max())
    if most < 2:
        return DirichletFit(pooled, None, 0, True)
    steps = np.arange(most, dtype=np.float64)
    # At [c, j]: items with more than j votes for c; at [j]: items with more than j votes.
    reach = np.stack([_more_than(column, most) for column in counts.T])
    total = _more_than(k, most)
    said = pooled > 0
    alpha = np.where(said, pooled * votes.n_labels, 0.0)
    low, high = CONCENTRATIONS
    for step in range(1, iterations + 1):
        places = np.where(said, alpha, 1.0)[:, None] + steps
        upper = alpha * (reach / places).sum(axis=1)
        lower = (total / (alpha.sum() + steps)).sum()
        moved = upper / lower
        change = np.abs(moved[said] / alpha[said] - 1).max()
        alpha = moved
        if not low < alpha.sum() < high:
            held = min(max(float(alpha.sum()), low), high)
            return DirichletFit(alpha / alpha.sum(), held, step, True, at_bound=True)
        if change < tolerance:
            return DirichletFit(alpha / alpha.sum(), float(alpha.sum()), step, True)
    return DirichletFit(alpha / alpha.sum(), float(alpha.sum()), iterations, False)


def _more_than(values: Counts, most: int) -> Floats:
    """Items whose value is above 0, 1, ... most - 1."""
    histogram = np.bincount(values, minlength=most + 1)
    above: Floats = histogram[::-1].cumsum()[::-1][1:].astype(np.float64)
    return above


def _metrics(names: Iterable[str] | None) -> list[str]:
    chosen = list(SOFT_METRICS) if names is None else list(names)
    for name in chosen:
        if name not in SOFT_METRICS:
            raise UnknownNameError("soft metric", name, SOFT_METRICS)
    return chosen


def _floor(values: list[float]) -> Floor:
    n = len(values)
    error = float(np.std(values, ddof=1)) / n**0.5 if n > 1 else None
    return Floor(float(np.mean(values)) if n else None, error, n)


def _collect(
    draws: Iterable[tuple[Votes, Predicted]], metrics: list[str], policy: SoftPolicy
) -> dict[str, Floor]:
    found: dict[str, list[float]] = {metric: [] for metric in metrics}
    for votes, predicted in draws:
        for metric in metrics:
            value = soft_value(metric, votes, predicted, policy).value
            if value is not None:
                found[metric].append(value)
    return {metric: _floor(values) for metric, values in found.items()}


def _always_answered(counts: Counts) -> Predicted:
    none = np.zeros((len(counts), 1), dtype=np.int64)
    return Predicted("sampling", counts=np.concatenate([counts, none], axis=1))


def _positive(draws: int) -> None:
    if draws < 1:
        raise OptionError(f"draws is {draws}; there must be at least one")


def oracle_floor(
    votes: Votes,
    fit: DirichletFit,
    *,
    m: int | NDArray[np.int64] | None,
    k: int | NDArray[np.int64] | None = None,
    draws: int = 20,
    seed: int,
    policy: SoftPolicy = "extra_class",
    metrics: Iterable[str] | None = None,
) -> dict[str, Floor]:
    r"""Every metric for a model that knows each item's true distribution, by simulation.

    A draw takes :math:`P_i \sim \mathrm{Dir}(\alpha + n_i)`, :math:`k_i` fresh votes from P, and a
    prediction: P itself, or :math:`m_i` generations drawn from it. The oracle always answers.
    With ``m=votes.k`` it is another crowd of the same size.

    Args:
        votes: The annotators' votes.
        fit: Of these votes, or of a larger part of the corpus.
        m: Generations, one number for all items or one each, at least 1; ``None`` for a model
            that gives its shares outright.
        k: Votes, likewise; ``None`` for as many as each item has.
        draws: How many; each simulates all items.
        seed: Of the generator.
        policy: Matters to the smoothing of ``cross_entropy`` and ``kl`` only.
        metrics: Names of ``SOFT_METRICS``; ``None`` for all.

    Returns:
        By metric. All without a value where the fit has no concentration.

    Raises:
        OptionError: For m, k or draws below 1, or a fit over another number of labels.
        UnknownNameError: For another metric.

    Example:
        >>> votes = Votes(np.array([[3, 0], [1, 2], [0, 3], [2, 1]]))
        >>> floor = oracle_floor(votes, fit_dirichlet(votes), m=5, draws=2, seed=1)
        >>> floor["tvd"].value > 0.1  # of a model that could not be better
        True
    """
    _positive(draws)
    chosen = _metrics(metrics)
    alpha = fit.alpha
    if len(fit.prior) != votes.n_labels:
        raise OptionError(
            f"the fit has {len(fit.prior)} labels and the votes have {votes.n_labels}; fit it to "
            "votes over the same label set"
        )
    for what, size in (("m", m), ("k", k)):
        if size is not None and (np.shape(size) not in ((), (len(votes),)) or np.min(size) < 1):
            raise OptionError(
                f"{what} is {size}; expected one number, or one for each of {len(votes)} items, at "
                "least 1"
            )
    sizes = np.broadcast_to(votes.k if k is None else k, len(votes))
    if alpha is None:
        return {metric: Floor(None, None, 0) for metric in chosen}
    rng = np.random.default_rng(seed)

    def simulated() -> Iterable[tuple[Votes, Predicted]]:
        for _ in range(draws):
            truth = rng.standard_gamma(votes.counts + alpha)
            truth /= truth.sum(axis=1, keepdims=True)
            fresh = Votes(rng.multinomial(sizes, truth))
            if m is None:
                yield fresh, Predicted("likelihood", shares=np.pad(truth, ((0, 0), (0, 1))))
            else:
                said = rng.multinomial(np.broadcast_to(m, len(votes)), truth)
                yield fresh, _always_answered(said)

    return _collect(simulated(), chosen, policy)


def loo_crowd(votes: Votes, fit: DirichletFit | None) -> dict[str, Scores]:
    r"""People predicting people: each vote of an item from its other votes.

    With the held-out vote c the prediction is the posterior mean

    .. math:: q = \frac{n - e_c + \alpha}{k - 1 + \alpha_0}

    and an item's value is the mean over its votes. The raw shares of two other annotators can do
    worse than the corpus prior, which says nothing about people: the prior is what shares of few
    votes have to be combined with.

    Args:
        votes: The annotators' votes.
        fit: Of these votes; ``None`` for the raw shares of the others.

    Returns:
        ``vote_brier`` in [0, 2] and ``cross_entropy`` in bits. An item with one vote is predicted
        by the prior; raw, or without a concentration and with more votes, it is unscored. Raw
        shares have no cross-entropy: it would be infinite for each annotator who stands alone.

    Raises:
        OptionError: For a fit over another number of labels.

    Example:
        >>> loo_crowd(Votes(np.array([[2, 1]])), None)["vote_brier"].mean
        1.0
        >>> # held out a: (1/2, 1/2), Brier 1/2, twice; held out b: (1, 0), Brier 2
    """
    if fit is not None and len(fit.prior) != votes.n_labels:
        raise OptionError(
            f"the fit has {len(fit.prior)} labels and the votes have {votes.n_labels}; fit it to "
            "votes over the same label set"
        )
    counts, k = votes.counts.astype(np.float64), votes.k.astype(np.float64)
    if fit is None:
        alpha = np.zeros(votes.n_labels)
    elif fit.alpha is None:
        alpha = fit.prior  # k is 1 throughout, so that nothing but the prior is left of it
    else:
        alpha = fit.alpha
    mass = counts + alpha
    others = k - 1 + alpha.sum()
    usable = others > 0
    others = np.where(usable, others, 1.0)[:, None]
    square = (mass * mass).sum(axis=1, keepdims=True)
    # Holding out a vote for c turns its mass a into a - 1, and the square sum by 1 - 2a.
    held = np.where(counts > 0, (mass - 1) / others, 1.0)
    brier = 1 - 2 * held + (square - 2 * mass + 1) / others**2
    weights = counts / k[:, None]
    scores = {"vote_brier": Scores(np.where(usable, (weights * brier).sum(axis=1), np.nan))}
    if fit is not None:
        surprise = -xlogy(weights, held).sum(axis=1) / np.log(2)
        scores["cross_entropy"] = Scores(surprise)
    return scores


def split_half(
    votes: Votes, *, draws: int = 20, seed: int, metrics: Iterable[str] | None = None
) -> dict[str, Floor]:
    """Half of an item's annotators predicting the other half, as if they were a model.

    The halves are drawn at random; an odd annotator is on the side of the gold. Each side has about
    k/2 votes, so that distances are larger, and F1 lower, than between crowds of k.

    Args:
        votes: The annotators' votes. Items with one are left out.
        draws: Random splits.
        seed: Of the generator.
        metrics: Names of ``SOFT_METRICS``; ``None`` for all.

    Returns:
        By metric; without a value where no item has two votes.

    Raises:
        OptionError: For draws below 1.
        UnknownNameError: For another metric.

    Example:
        >>> split_half(Votes(np.array([[4, 0], [0, 4]])), seed=1)["set_macro_f1"].value
        1.0
    """
    _positive(draws)
    chosen = _metrics(metrics)
    counts = votes.counts[votes.k > 1]
    rng = np.random.default_rng(seed)

    def halves() -> Iterable[tuple[Votes, Predicted]]:
        for _ in range(draws if len(counts) else 0):
            said = _half(counts, rng)
            yield (
                Votes(counts - said),
                _always_answered(said),
            )

    return _collect(halves(), chosen, "extra_class")


def _half(counts: Counts, rng: np.random.Generator) -> Counts:
    """Half of each row's votes, rounded down, drawn without replacement: label after label."""
    half = np.zeros_like(counts)
    wanted = counts.sum(axis=1) // 2
    left = counts.sum(axis=1)
    for label in range(counts.shape[1]):
        here = counts[:, label]
        left = left - here
        half[:, label] = rng.hypergeometric(here, left, wanted)
        wanted = wanted - half[:, label]
    return half


def prior_prediction(votes: Votes) -> Predicted:
    """The corpus prior for every item: the mean of the items' proportions, never a non-answer.

    Example:
        >>> prior_prediction(Votes(np.array([[3, 1], [1, 0]]))).shares.tolist()
        [[0.875, 0.125, 0.0], [0.875, 0.125, 0.0]]
    """
    prior = np.append(votes.proportions.mean(axis=0), 0.0)
    return Predicted("replayed", shares=np.tile(prior, (len(votes), 1)))


def uniform_prediction(votes: Votes) -> Predicted:
    """1/C for every label of every item, never a non-answer."""
    flat = np.append(np.full(votes.n_labels, 1 / votes.n_labels), 0.0)
    return Predicted("replayed", shares=np.tile(flat, (len(votes), 1)))


def permuted(predicted: Predicted, rng: np.random.Generator) -> Predicted:
    """The same predictions, non-answers included, handed to items at random."""
    return predicted.rows(rng.permutation(len(predicted)))


def baselines(
    votes: Votes,
    predicted: Predicted,
    policy: SoftPolicy = "extra_class",
    *,
    draws: int = 20,
    seed: int,
    metrics: Iterable[str] | None = None,
) -> dict[str, dict[str, Floor]]:
    """Every metric of three predictions that know nothing of an item.

    Args:
        votes: The annotators' votes.
        predicted: What the model answered: what ``permuted`` permutes.
        policy: How its non-answers count.
        draws: Permutations.
        seed: Of the permutations.
        metrics: Names of ``SOFT_METRICS``; ``None`` for all.

    Returns:
        ``prior``, ``uniform`` and ``permuted``, each by metric. A constant prediction has no
        entropy correlation.

    Raises:
        OptionError: For draws below 1, or another policy.
        UnknownNameError: For another metric.

    Example:
        >>> votes = Votes(np.array([[4, 0], [0, 4]]))
        >>> said = Predicted("sampling", counts=np.array([[4, 0, 0], [0, 4, 0]]))
        >>> found = baselines(votes, said, seed=1, metrics=["tvd"])
        >>> found["prior"]["tvd"].value, found["permuted"]["tvd"].draws
        (0.5, 20)
    """
    _positive(draws)
    chosen = _metrics(metrics)
    rng = np.random.default_rng(seed)
    shuffled = ((votes, permuted(predicted, rng)) for _ in range(draws))
    return {
        "prior": _collect([(votes, prior_prediction(votes))], chosen, policy),
        "uniform": _collect([(votes, uniform_prediction(votes))], chosen, policy),
        "permuted": _collect(shuffled, chosen, policy),
    }
