"""Named, deterministic changes of a clip: prosody, noise, codec, room, controls.

A transform is applied at the file's own rate, before resampling, so that every model hears the same
stimulus whatever rate it wants. What there is, and what each may be told, stands in
``TRANSFORM_SPECS`` (``catalogue``); the code of a transform is imported when it is first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, UnknownNameError
from ..records import Transform
from .catalogue import TRANSFORM_SPECS
from .parameters import TransformSpec, Value

Samples = NDArray[np.float32]
Function = Callable[[Samples, int, Mapping[str, float | int | str], int], Samples]


def _function(spec: TransformSpec) -> Function:
    def run(
        samples: Samples, rate: int, parameters: Mapping[str, float | int | str], seed: int
    ) -> Samples:
        values: dict[str, Value] = spec.resolve(parameters)
        for parameter in spec.parameters:
            if parameter.revision:
                del values[parameter.name]
        if spec.seeded:
            values["seed"] = seed
        module = importlib.import_module(f"{__package__}.{spec.module}")
        made: Samples = getattr(module, spec.name)(samples, rate, **values)
        return np.ascontiguousarray(made, dtype=np.float32)

    return run


TRANSFORMS: dict[str, Function] = {name: _function(spec) for name, spec in TRANSFORM_SPECS.items()}
"""Name → function of (samples, rate in Hz, parameters, seed) to samples."""


def apply(samples: Samples, rate: int, transforms: Sequence[Transform]) -> Samples:
    """The samples after all transforms, in order.

    Raises:
        UnknownNameError: For a transform that is not registered, or a parameter it does not have.
        OptionError: For a parameter that is out of range or missing.
        AudioError: For a clip that the transform cannot work on.
    """
    for transform in transforms:
        if transform.name not in TRANSFORMS:
            raise UnknownNameError("audio transform", transform.name, TRANSFORMS)
        samples = TRANSFORMS[transform.name](samples, rate, transform.parameters, transform.seed)
    return samples


def resolved(transform: Transform) -> Transform:
    """The transform written out: defaults filled in, every value in its parameter's own type.

    Two ways of writing the same change then have the same digest, and a later change of a default
    does not touch what was asked for. The seed of a change without chance becomes 0.

    Raises:
        UnknownNameError, OptionError: As ``apply``.

    Example:
        >>> str(resolved(Transform("noise", {"snr_db": 10}, seed=3)))
        'noise(kind=white, snr_db=10.0, seed=3)'
    """
    spec = _spec(transform.name)
    return Transform(
        transform.name, spec.resolve(transform.parameters), transform.seed if spec.seeded else 0
    )


def at_severity(
    name: str, level: int, parameters: Mapping[str, Value] | None = None, seed: int = 0
) -> Transform:
    """A transform at one of its severity levels.

    Args:
        name: A transform that has levels.
        level: 1 (mild) to 5 (severe).
        parameters: Others that it needs; they may not touch what the level sets.
        seed: As in ``Transform``.

    Raises:
        UnknownNameError: For a transform that is not registered.
        OptionError: For one without levels, a level that is none, or a parameter set twice.

    Example:
        >>> str(at_severity("noise", 3, {"kind": "pink"}))
        'noise(kind=pink, snr_db=10.0)'
    """
    spec = _spec(name)
    if not spec.severities:
        having = ", ".join(n for n, s in TRANSFORM_SPECS.items() if s.severities)
        raise OptionError(f"{name} has no severity levels; these have: {having}")
    if not 1 <= level <= len(spec.severities):
        raise OptionError(
            f"{name}: severity {level} is none; allowed is 1 to {len(spec.severities)}"
        )
    set_by_level = spec.severities[level - 1]
    if twice := sorted(set(parameters or {}) & set(set_by_level)):
        raise OptionError(f"{name}: {', '.join(twice)} set by the severity level, and again")
    return resolved(Transform(name, {**(parameters or {}), **set_by_level}, seed))


def _spec(name: str) -> TransformSpec:
    if name not in TRANSFORM_SPECS:
        raise UnknownNameError("audio transform", name, TRANSFORM_SPECS)
    return TRANSFORM_SPECS[name]
