"""Blocks of a scorecard, each by itself: one that cannot be computed says why and costs no other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ..errors import VoxEmoError

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class Attempts:
    """What became of the blocks.

    Attributes:
        where: Task, for the log.
        absent: Block → why there is none.
    """

    where: str
    absent: dict[str, str] = field(default_factory=dict)

    def block(self, name: str, make: Callable[[], T | None], *, why: str) -> T | None:
        """A block, or ``None`` where there is none.

        Args:
            name: Of the block.
            make: Computes it.
            why: The reason where ``make`` gives nothing (``None`` or empty).

        Example:
            >>> tried = Attempts("task")
            >>> tried.block("soft", lambda: None, why="no votes")
            >>> tried.block("groups", lambda: {"a": 1}, why="no group is known")
            {'a': 1}
            >>> tried.absent
            {'soft': 'no votes'}
        """
        try:
            found = make()
        except (VoxEmoError, ValueError, ArithmeticError, LookupError, TypeError) as error:
            # A fault of ours in one block: hours of generation must still get all the others.
            log.warning("%s: %s could not be computed", self.where, name, exc_info=True)
            self.absent[name] = f"could not be computed: {type(error).__name__}: {error}"
            return None
        if not found:
            self.absent[name] = why
            return None
        return found
