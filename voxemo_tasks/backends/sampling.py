"""Sampling with a seed a row: a resumed run draws what it would have drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


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
