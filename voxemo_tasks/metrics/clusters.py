"""From values per item to sums per cluster, the rows that intervals are drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

__all__ = ["cluster_codes", "cluster_sums"]


def cluster_codes(clusters: Sequence[object] | None, n: int) -> NDArray[np.int64]:
    """Number of the cluster of each item, 0 to G - 1 in the order of the clusters' names.

    Args:
        clusters: Speaker (session, dialogue) of each item; ``None`` makes every item its own.
        n: Items.

    Raises:
        OptionError: For another number of clusters than items.

    Example:
        >>> cluster_codes(["s2", "s1", "s2"], 3)
        array([1, 0, 1])
    """
    if clusters is None:
        return np.arange(n, dtype=np.int64)
    names = [str(c) for c in clusters]
    if len(names) != n:
        raise OptionError(f"{len(names)} clusters for {n} items; give one per item, or None")
    order = {name: i for i, name in enumerate(sorted(set(names)))}
    return np.array([order[name] for name in names], dtype=np.int64)


def cluster_sums(
    components: NDArray[np.float64], clusters: Sequence[object] | None
) -> NDArray[np.float64]:
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
    codes = cluster_codes(clusters, len(components))
    sums = np.zeros((int(codes.max(initial=-1)) + 1, components.shape[1]))
    np.add.at(sums, codes, components)
    return sums
