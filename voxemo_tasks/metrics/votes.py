r"""Votes and generations: what every soft-label number is counted from.

Conventions
-----------
votes        whole numbers ``(N, C)``: how many annotators gave utterance i the label c; row sums
             :math:`k_i \ge 1`. Proportions are derived, gold is never smoothed
generations  whole numbers ``(N, C + 1)``: how many of the model's :math:`m_i \ge 1` answers say
             label c; the last column holds the non-answers
shares       where the model gives its distribution outright (label likelihoods, verbalised
             percentages): a float array ``(N, C + 1)``, rows sum to 1, m is infinite
unscored     an item that a metric cannot score (too few votes, no answer): NaN in the array of item
             values, left out of the mean, and counted

How non-answers count
---------------------
extra_class  a non-answer is one more class, to which no annotator gave a vote; the headline
answered     the model's distribution over the labels, given that it answered; items without any
             answer leave, so it is read beside ``coverage``
uniform      each non-answer is spread evenly over the labels. A legacy of published protocols, and
             to be labelled so: under disagreement it pays a model to fail to answer
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelSetError, OptionError

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SoftPolicy = Literal["extra_class", "answered", "uniform"]
Source = Literal["prompt_ensemble", "sampling", "likelihood", "verbalised", "replayed"]

_SUM_TOLERANCE = 1e-6


def _whole(given: object, what: str) -> Counts:
    values = np.asarray(given)
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise LabelSetError(
            f"{what} have the shape {values.shape} and the type {values.dtype}; expected whole "
            "numbers, one row per utterance and one column per label"
        )
    if (values < 0).any():
        raise LabelSetError(f"{what} are counts, 0 or more; the least is {values.min()}")
    empty = np.flatnonzero(values.sum(axis=1) == 0)
    if len(empty):
        raise LabelSetError(
            f"{what} are all zero in {len(empty)} row(s), the first is row {empty[0]}; leave out "
            "an utterance that nobody was asked about"
        )
    counts = values.astype(np.int64)
    counts.setflags(write=False)
    return counts


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """The annotators' votes.

    Attributes:
        counts: Shape ``(N, C)``, whole, row sums at least 1. Copied, and read-only afterwards.

    Raises:
        LabelSetError: For another shape or type, a negative count, fewer than two labels, or an
            utterance without a vote.

    Example:
        >>> votes = Votes(np.array([[3, 1], [0, 2]]))
        >>> votes.k.tolist(), votes.proportions.tolist()
        ([4, 2], [[0.75, 0.25], [0.0, 1.0]])
    """

    counts: Counts

    def __post_init__(self) -> None:
        counts = _whole(self.counts, "votes")
        if counts.shape[1] < 2:
            raise LabelSetError(f"votes need at least two labels; got {counts.shape[1]} column(s)")
        object.__setattr__(self, "counts", counts)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n_labels(self) -> int:
        """Number of labels C."""
        return int(self.counts.shape[1])

    @property
    def k(self) -> Counts:
        """Votes per utterance, shape ``(N,)``."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.int64)

    @property
    def proportions(self) -> Floats:
        """Share of each label among an utterance's votes, shape ``(N, C)``."""
        return np.asarray(self.counts / self.k[:, None], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What the model answered: counted generations, or shares that it gave outright.

    Attributes:
        source: Where the distribution comes from. ``prompt_ensemble`` and ``sampling`` are counted;
            ``likelihood`` and ``verbalised`` are shares; ``replayed`` (another system's stored
            output) may be either.
        counts: Shape ``(N, C + 1)``, whole, row sums at least 1; ``None`` for shares.
        shares: Shape ``(N, C + 1)``, rows sum to 1 to within 1e-6; ``None`` for counts.

    Raises:
        OptionError: For an unknown source, one that does not come in this form, or not exactly one
            of ``counts`` and ``shares``.
        LabelSetError: For values that are no counts or no shares.

    Example:
        >>> Predicted("sampling", counts=np.array([[6, 3, 1]])).m.tolist()
        [10.0]
        >>> Predicted("likelihood", shares=np.array([[0.5, 0.4, 0.1]])).m.tolist()
        [inf]
    """

    source: Source
    counts: Counts | None = None
    shares: Floats | None = None

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise OptionError(
                f"no source is called {self.source!r}; allowed: {', '.join(get_args(Source))}"
            )
        if (self.counts is None) == (self.shares is None):
            raise OptionError("pass either counts of generations or shares, and not both")
        if self.counts is not None:
            if self.source in ("likelihood", "verbalised"):
                raise OptionError(f"the source {self.source!r} gives shares, not counts")
            object.__setattr__(self, "counts", _whole(self.counts, "generations"))
            return
        if self.source in ("prompt_ensemble", "sampling"):
            raise OptionError(
                f"the source {self.source!r} gives counts of generations; pass those, so that "
                "their number is known"
            )
        shares = np.array(self.shares, dtype=np.float64)
        if shares.ndim != 2 or not np.isfinite(shares).all() or (shares < 0).any():
            raise LabelSetError(
                f"shares have the shape {shares.shape}; expected (N, C + 1), finite and not "
                "negative, with the share of non-answers last"
            )
        off = np.flatnonzero(np.abs(shares.sum(axis=1) - 1) > _SUM_TOLERANCE)
        if len(off):
            raise LabelSetError(
                f"{len(off)} row(s) of shares do not sum to 1, the first is row {off[0]} with "
                f"{shares[off[0]].sum():.6f}; what is missing belongs in the last column"
            )
        shares.setflags(write=False)
        object.__setattr__(self, "shares", shares)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def table(self) -> Counts | Floats:
        """The counts or the shares, shape ``(N, C + 1)``."""
        given = self.counts if self.counts is not None else self.shares
        if given is None:  # pragma: no cover - the constructor holds this
            raise OptionError("pass either counts of generations or shares, and not both")
        return given

    @property
    def exact(self) -> bool:
        """Whether the distribution was given outright, with no sampling error."""
        return self.counts is None

    @property
    def m(self) -> Floats:
        """Generations per utterance, shape ``(N,)``; infinite for shares."""
        if self.counts is None:
            return np.full(len(self), np.inf)
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64)

    def rows(self, order: NDArray[np.int64]) -> Predicted:
        """The same source with the rows of ``order``: a subset, or another order."""
        if self.counts is not None:
            return Predicted(self.source, counts=self.counts[order])
        return Predicted(self.source, shares=self.table[order].astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A metric of each item.

    Attributes:
        values: Shape ``(N,)``; NaN marks an item that cannot be scored.
    """

    values: Floats

    @property
    def scored(self) -> Mask:
        """Which items have a value, shape ``(N,)``."""
        return ~np.isnan(self.values)

    @property
    def n(self) -> int:
        """Items with a value."""
        return int(self.scored.sum())

    @property
    def n_unscored(self) -> int:
        """Items without one."""
        return len(self.values) - self.n

    @property
    def mean(self) -> float | None:
        """Mean over the items with a value; ``None`` where there are none.

        Example:
            >>> Scores(np.array([0.25, np.nan, 0.75])).mean
            0.5
        """
        return float(np.nanmean(self.values)) if self.n else None


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Votes and predictions over the same D classes, for the items that a policy keeps.

    Attributes:
        kept: Which of the N items, shape ``(N,)``; the other arrays have one row per kept item.
        votes: Shape ``(n, C)``.
        p: Proportions of votes over D classes, ``(n, D)``; D is C + 1 under ``extra_class``.
        q: The model's shares over the same classes.
        m: Generations that count, ``(n,)``; infinite for shares.
        square: Estimate of the sum of squares of the distribution that the generations were drawn
            from, without bias: pairs of generations that agree. NaN for fewer than two.
        levels: The shares in a form in which equal shares are equal numbers, ``(n, D)``: counts
            times C, or shares rounded to 1e-9.
        whole: The sum of a row of ``levels``, ``(n,)``.
    """

    kept: Mask
    votes: Counts
    p: Floats
    q: Floats
    m: Floats
    square: Floats
    levels: Floats
    whole: Floats

    def scores(self, values: Floats) -> Scores:
        """Values of the kept items, in their places among all."""
        placed = np.full(len(self.kept), np.nan)
        placed[self.kept] = values
        return Scores(placed)


def _spread(table: Floats, n_labels: int) -> Floats:
    return table[:, :-1] + table[:, -1:] / n_labels


_CLASSES: dict[SoftPolicy, Callable[[Floats, int], Floats]] = {
    "extra_class": lambda table, _: table,
    "answered": lambda table, _: table[:, :-1],
    "uniform": _spread,
}


def require_policy(policy: str) -> None:
    """Refuse a policy that does not exist.

    Raises:
        OptionError: Naming those that do.
    """
    if policy not in get_args(SoftPolicy):
        raise OptionError(
            f"no policy is called {policy!r}; allowed: {', '.join(get_args(SoftPolicy))}"
        )


def align(votes: Votes, predicted: Predicted, policy: SoftPolicy = "extra_class") -> Aligned:
    r"""Bring votes and predictions onto the same classes.

    ``square`` counts pairs of generations. With counts :math:`d_c` that is
    :math:`\sum d_c (d_c - 1) / (m (m - 1))`; under ``uniform`` a pair with a non-answer, which is
    the vector :math:`(1/C, \dots)`, agrees to 1/C.

    Raises:
        LabelSetError: For predictions of another number of utterances or labels.
        OptionError: For a policy that does not exist.

    Example:
        >>> votes = Votes(np.array([[3, 1], [0, 2]]))
        >>> said = Predicted("sampling", counts=np.array([[2, 1, 1], [0, 0, 4]]))
        >>> align(votes, said).q.tolist()
        [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]
        >>> align(votes, said, "uniform").q.tolist()
        [[0.625, 0.375], [0.5, 0.5]]
        >>> align(votes, said, "answered").kept.tolist()
        [True, False]
    """
    require_policy(policy)
    n_labels = votes.n_labels
    if predicted.table.shape != (len(votes), n_labels + 1):
        raise LabelSetError(
            f"predictions have the shape {predicted.table.shape}; {len(votes)} utterances with "
            f"votes on {n_labels} labels need {(len(votes), n_labels + 1)}, non-answers last"
        )
    table = predicted.table.astype(np.float64)
    answered = table[:, :-1].sum(axis=1)
    kept = answered > 0 if policy == "answered" else np.ones(len(votes), dtype=np.bool_)
    table, counts = table[kept], votes.counts[kept]
    mass = _CLASSES[policy](table, n_labels)
    total = mass.sum(axis=1)
    q = mass / total[:, None]
    p = counts / counts.sum(axis=1)[:, None]
    if policy == "extra_class":
        p = np.concatenate([p, np.zeros((len(p), 1))], axis=1)
    if predicted.exact:
        levels = np.round(q, 9)
        return Aligned(
            kept,
            counts,
            p,
            q,
            m=np.full(len(q), np.inf),
            square=(q * q).sum(axis=1),
            levels=levels,
            whole=np.ones(len(q)),
        )
    m = answered[kept] if policy == "answered" else table.sum(axis=1)
    alone = m - table[:, -1] * (1 - 1 / n_labels) if policy == "uniform" else m
    square = np.full(len(m), np.nan)
    np.divide((mass * mass).sum(axis=1) - alone, m * (m - 1), out=square, where=m > 1)
    levels = np.rint(mass * n_labels)
    return Aligned(kept, counts, p, q, m, square, levels, whole=m * n_labels)


def coverage(predicted: Predicted) -> Scores:
    """Share of an item's generations (or of its mass) that is an answer, in [0, 1].

    Example:
        >>> coverage(Predicted("sampling", counts=np.array([[2, 1, 1], [0, 0, 4]]))).values
        array([0.75, 0.  ])
    """
    table = predicted.table.astype(np.float64)
    return Scores(table[:, :-1].sum(axis=1) / table.sum(axis=1))
