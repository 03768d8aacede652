"""Named, deterministic changes of a clip: noise, codec, prosody, silence.

None is registered yet. A transform is applied at the file's own rate, before resampling, so that
every model hears the same stimulus whatever rate it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import UnknownNameError
from ..records import Transform

Samples = NDArray[np.float32]
Function = Callable[[Samples, int, Mapping[str, float | int | str], int], Samples]

TRANSFORMS: dict[str, Function] = {}
"""Name → function of (samples, rate in Hz, parameters, seed) to samples."""


def apply(samples: Samples, rate: int, transforms: Sequence[Transform]) -> Samples:
    """The samples after all transforms, in order.

    Raises:
        UnknownNameError: For a transform that is not registered.
    """
    for transform in transforms:
        if transform.name not in TRANSFORMS:
            raise UnknownNameError("audio transform", transform.name, TRANSFORMS)
        samples = TRANSFORMS[transform.name](samples, rate, transform.parameters, transform.seed)
    return samples
