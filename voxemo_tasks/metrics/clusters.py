"""From values per item to sums per cluster, the rows that intervals are drawn from.

Conventions
-----------
cluster     speaker (session, dialogue) of an item; items of one are not independent
order       clusters are numbered ``by_name``, so that rows are the same however items are sorted,
            or ``by_appearance``. A seeded bootstrap draws other replicates in another order: each
            metric keeps to one
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

__all__ = ["cluster_codes", "cluster_sums", "numbered", "sums_of"]

Order = Literal["by_name", "by_appearance"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def numbered(
    clusters: Sequence[object], n: int, order: Order = "by_name"
) -> tuple[tuple[object, ...], Ints]:
    """The clusters that occur, and the number of each item's cluster among them.

    Args:
        clusters: Cluster of each item. ``by_name`` takes their names as text.
        n: Items.
        order: How clusters are numbered.

    Raises:
        OptionError: For another number of clusters than items.

    Example:
        >>> names, codes = numbered(["s2", "s1", "s2"], 3)
        >>> names, codes.tolist()
        (('s1', 's2'), [1, 0, 1])
        >>> numbered(["s2", "s1", "s2"], 3, "by_appearance")[0]
        ('s2', 's1')
    """
    if len(clusters) != n:
        raise OptionError(f"{len(clusters)} clusters for {n} items; give one per item, or None")
    keys: Sequence[object] = clusters
    names: Sequence[object]
    if order == "by_name":
        texts = [str(c) for c in clusters]
        keys, names = texts, sorted(set(texts))
    else:
        names = list(dict.fromkeys(clusters))
    place = {name: i for i, name in enumerate(names)}
    return tuple(names), np.array([place[key] for key in keys], dtype=np.int64)


def cluster_codes(clusters: Sequence[object] | None, n: int, order: Order = "by_name") -> Ints:
    """Number of the cluster of each item, 0 to G - 1.

    Args:
        clusters: Cluster of each item; ``None`` makes every item its own.
        n: Items.
        order: How clusters are numbered.

    Raises:
        OptionError: For another number of clusters than items.

    Example:
        >>> cluster_codes(["s2", "s1", "s2"], 3)
        array([1, 0, 1])
    """
    if clusters is None:
        return np.arange(n, dtype=np.int64)
    return numbered(clusters, n, order)[1]


def sums_of(components: Floats, codes: Ints, groups: int | None = None) -> Floats:
    """Column sums per cluster, shape ``(G, D)``, from the numbers of the clusters.

    Args:
        components: Shape ``(n, D)``.
        codes: Number of each item's cluster.
        groups: Clusters that there are, where the last may have no item; default: those that have.

    Example:
        >>> sums_of(np.array([[1.0], [2.0], [4.0]]), np.array([1, 0, 1]))
        array([[2.],
               [5.]])
    """
    g = int(codes.max(initial=-1)) + 1 if groups is None else groups
    sums = np.empty((g, components.shape[1]))
    for j, column in enumerate(components.T):
        sums[:, j] = np.bincount(codes, weights=column, minlength=g)
    return sums


def cluster_sums(components: Floats, clusters: Sequence[object] | None) -> Floats:
    """Sums per cluster of values per item.

    Args:
        components: Shape ``(n, D)``.
        clusters: As for ``cluster_codes``.

    Returns:
        Shape ``(G, D)``, in the order of the clusters' names.

    Example:
        >>> cluster_sums(np.array([[1.0], [2.0], [4.0]]), ["s2", "s1", "s2"])
        array([[2.],
               [5.]])
    """
    if clusters is None:
        return components
    return sums_of(components, cluster_codes(clusters, len(components)))
