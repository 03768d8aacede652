"""Sampling with a seed a row: a resumed run draws what it would have drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..records import Decoding


class SeededGumbel:
    r"""A logits processor that turns greedy decoding into seeded sampling.

    .. math:: \arg\max_v \left(\ell_v + g_v\right), \quad g_v = -\log(-\log u_v)

    is a draw from :math:`\mathrm{softmax}(\ell)` (the Gumbel-max trick). Each row has a generator
    of its own, so its reply depends neither on the batch it is in nor on what was drawn before.

    Args:
        seeds: One seed a row.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        # On the CPU: the same stream on every device.
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only; each keeps its own stream."""
        self._generators = [self._generators[row] for row in rows]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        uniform = torch.stack(
            [
                torch.rand(scores.shape[-1], generator=g, dtype=torch.float64)
                for g in self._generators
            ]
        )
        tiny = torch.finfo(torch.float64).tiny
        gumbel = -torch.log(-torch.log(uniform.clamp(tiny, 1 - 1e-16)))
        return scores.double() + gumbel.to(scores.device)


def warpers_of(decoding: Decoding) -> Any:
    """What stands between logits and the draw: temperature, then top-k, then top-p."""
    from transformers.generation import LogitsProcessorList
    from transformers.generation.logits_process import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    warpers = LogitsProcessorList([TemperatureLogitsWarper(decoding.temperature)])
    if decoding.top_k:
        warpers.append(TopKLogitsWarper(decoding.top_k))
    if decoding.top_p < 1:
        warpers.append(TopPLogitsWarper(decoding.top_p))
    return warpers
