"""The prosodic operations of the counterfactual protocol, and their doses.

A name is what a prompt of tier ``counterfactual`` calls the change. Every operation has a small and
a large dose, but for those of the intensity contour, which no prompt names: nobody claims them, so
that a placebo is left where a model claims all others.
"""

from __future__ import annotations

from ..records import Json, Transform

SIZES = ("small", "large")

_DOSES: dict[str, tuple[str, str, tuple[float | None, float]]] = {
    "pitch_up": ("prosody_f0", "semitones", (2.0, 4.0)),
    "pitch_down": ("prosody_f0", "semitones", (-2.0, -4.0)),
    "range_wide": ("prosody_range", "factor", (1.5, 2.0)),
    "range_flat": ("prosody_range", "factor", (0.75, 0.5)),
    "faster": ("prosody_rate", "factor", (1.1, 1.25)),
    "slower": ("prosody_rate", "factor", (0.9, 0.8)),
    "louder": ("prosody_energy", "gain_db", (3.0, 6.0)),
    "softer": ("prosody_energy", "gain_db", (-3.0, -6.0)),
    "contour_wide": ("prosody_contour", "factor", (None, 1.5)),
    "contour_flat": ("prosody_contour", "factor", (None, 0.5)),
}

DOSES: dict[str, Transform] = {
    f"{operation}.{size}": Transform(name, {parameter: dose})
    for operation, (name, parameter, doses) in _DOSES.items()
    for size, dose in zip(SIZES, doses, strict=True)
    if dose is not None
}
"""``operation.size`` → the change."""

SHAM = Transform("prosody_sham", {})
ROUND_TRIP = Transform("prosody_round_trip", {"op": "f0", "factor": 1.26})
ROUND_TRIP_SHARE = 0.2
"""Share of utterances that are also asked about after a change and its inverse."""

PROTOCOL = ("clean", "sham", "round_trip", *DOSES)
"""What the counterfactual protocol asks the base question of."""


def operations() -> Json:
    """Operation → doses, for the header of a run's documents: the scorer reads it there.

    Example:
        >>> operations()["pitch_up"]
        {'small': 'prosody_f0(semitones=2.0)', 'large': 'prosody_f0(semitones=4.0)'}
    """
    out: dict[str, dict[str, str]] = {}
    for name, transform in DOSES.items():
        operation, _, size = name.partition(".")
        out.setdefault(operation, {})[size] = str(transform)
    return dict(out)
