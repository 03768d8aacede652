r"""Log-probability of given continuations, from next-token log-probabilities.

.. math:: \log p(c \mid x) = \sum_{j=1}^{|c|} \log p(c_j \mid x, c_{<j})

over the tokens of a continuation c after the prompt x. Menu labels share beginnings, so the
prefixes of all continuations form a tree: one question a node gives the log-probabilities of all
tokens that continue it, and the prompt with its audio is in the engine's prefix cache from the
first node on. (An engine's log-probabilities of prompt tokens would do it in one question a
continuation, but each of these reads the audio anew, since a cached prefix yields none.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Tokens = tuple[int, ...]


def nodes(continuations: Sequence[Tokens]) -> dict[Tokens, list[int]]:
    """The tree of prefixes: prefix → the tokens that follow it, ascending.

    Example:
        >>> nodes([(5, 7), (5, 8), (6,)])
        {(): [5, 6], (5,): [7, 8]}
        >>> nodes([()])
        {}
    """
    found: dict[Tokens, set[int]] = {}
    for tokens in continuations:
        for j, token in enumerate(tokens):
            found.setdefault(tokens[:j], set()).add(token)
    return {prefix: sorted(tokens) for prefix, tokens in found.items()}


def logprob_of(tokens: Tokens, at: Mapping[Tokens, Mapping[int, float]]) -> float:
    """Sum of a continuation's token log-probabilities; 0 for no token.

    Args:
        tokens: The continuation.
        at: Prefix → token → log-probability, for every node on its path.

    Example:
        >>> logprob_of((5, 7), {(): {5: -1.0, 6: -0.5}, (5,): {7: -0.25}})
        -1.25
    """
    return sum((at[tokens[:j]][token] for j, token in enumerate(tokens)), 0.0)


def log_sum(values: Sequence[float]) -> float:
    """Logarithm of the summed exponentials of at least one value.

    Example:
        >>> round(log_sum([-1.0, -1.0]), 6)
        -0.306853
    """
    top = max(values)
    if top == -math.inf:
        return top
    return top + math.log(sum(math.exp(value - top) for value in values))
