"""One clip after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .levels import active_level_db, matched
from .noise import other_clip

Samples = NDArray[np.float32]


def code_switch(
    samples: Samples, rate: int, *, path: str, sha256: str, place: str, gap_s: float
) -> Samples:
    """The clip and another, in another language say, with silence between.

    The other one is brought to the clip's rate and active level.

    Returns:
        Shape ``(n + gap + m,)``.

    Raises:
        AudioError: For another file than the digest says, or none that can be read.
    """
    other = matched(other_clip(path, sha256, rate), rate, active_level_db(samples, rate))
    gap = np.zeros(round(gap_s * rate), dtype=np.float32)
    parts = [samples, gap, other] if place == "after" else [other, gap, samples]
    return np.concatenate(parts)
