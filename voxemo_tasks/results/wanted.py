"""What a scorecard is to hold, as its user wants it."""

from __future__ import annotations

from dataclasses import dataclass

SEED = 20260501


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a scorecard is to hold.

    Attributes:
        verbalizer: Read the replies with this one; default: the one each task was run with.
        by: What to divide by; default: what is known and differs.
        seed: Of the bootstrap.
        multiverse: Read the replies in every other way too, and report what that changes.
        delay_s: Lag of the annotators of time-continuous ratings; default: the card's.
    """

    verbalizer: str | None = None
    by: tuple[str, ...] | None = None
    seed: int = SEED
    multiverse: bool = True
    delay_s: float | None = None
