"""How likely a model finds each label, as the text of a stored reply."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence


def flat(candidates: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """All texts of all labels, in order."""
    for texts in candidates.values():
        yield from texts


def as_reply(candidates: Mapping[str, Sequence[str]], scores: Sequence[float]) -> str:
    r"""The log-likelihood of each label, as JSON.

    .. math:: \log P(\text{label}) = \log \sum_{t \in \text{forms}} P(t\,\text{end} \mid \text{audio, prompt})

    The forms are different texts that end, so they exclude one another: the sum over all labels is at
    most 1, and what is missing is the mass outside the menu.

    Args:
        candidates: Label → the texts that say it.
        scores: Log-probability of each text, in their order.

    Example:
        >>> as_reply({"sad": ("sad", "Sad"), "calm": ("calm",)}, [-1.0, -1.0, -2.0])
        '{"log_likelihood": {"sad": -0.306853, "calm": -2.0}}'
    """
    left = iter(scores)
    out = {}
    for label, texts in candidates.items():
        some = [next(left) for _ in texts]
        top = max(some)
        total = sum(math.exp(x - top) for x in some) if top > -math.inf else 0.0
        out[label] = round(top + math.log(total), 6) if total else None
    return json.dumps({"log_likelihood": out}, ensure_ascii=False)
