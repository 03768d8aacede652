"""Several processes of one run (``torchrun``, ``accelerate launch``): who is who, where they meet.

lm-eval gives each of them every n-th document. They write one run folder, each its own shards, and
the first of them scores it once all are done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from ..errors import ModelError, OptionError, RunFailedError

T = TypeVar("T")

NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")
PATIENCE = timedelta(days=14)
"""How long a process waits for the slowest: a share of a run may take days longer than another."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of a run.

    Attributes:
        rank: Which of them this one is, from 0.
        size: How many there are.
        local: Which of those on this machine, for its GPU; 0 where nobody says.
        group: torch's process group; ``None`` where there is one process.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    group: Any = None

    def barrier(self) -> None:
        """Wait for all.

        Raises:
            RunFailedError: Where one of them has ended before.
        """
        if self.group is not None:
            import torch.distributed as dist

            self._together(lambda: dist.barrier(group=self.group))

    def gather(self, mine: T) -> list[T] | None:
        """What each process has, in the order of ranks, on rank 0; ``None`` on the others.

        Raises:
            RunFailedError: Where one of them has ended before.
        """
        if self.group is None:
            return [mine]
        import torch.distributed as dist

        all_of_them: list[Any] | None = [None] * self.size if self.rank == 0 else None
        self._together(lambda: dist.gather_object(mine, all_of_them, dst=0, group=self.group))
        return all_of_them

    def _together(self, act: Callable[[], object]) -> None:
        try:
            act()
        except RuntimeError as error:  # torch says no more than that a connection was closed
            raise RunFailedError(
                f"rank {self.rank} of {self.size}: another process of this run ended before its share "
                "was done (see its messages). What was stored stays stored; start the same command "
                "again"
            ) from error


def parse_ranks(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Rank, number of processes, rank on this machine, as a launcher sets them.

    Raises:
        OptionError: For a number that is none, or a launcher's variable that is missing.

    Example:
        >>> parse_ranks({})
        (0, 1, 0)
        >>> parse_ranks({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "9"})
        (1, 2, 0)
    """
    size = _number(environment, "WORLD_SIZE", "1")
    if size <= 1:
        return 0, 1, 0
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        raise OptionError(
            f"WORLD_SIZE={size} is set and {', '.join(missing)} is not: start the processes with "
            "torchrun or accelerate launch, or unset WORLD_SIZE for a run of one process"
        )
    rank = _number(environment, "RANK", "")
    if rank >= size:
        raise OptionError(f"RANK={rank}: expected less than WORLD_SIZE={size}")
    return rank, size, _number(environment, "LOCAL_RANK", "0")


def _number(environment: Mapping[str, str], name: str, default: str) -> int:
    given = environment.get(name) or default
    if not (given.isascii() and given.isdigit()):
        raise OptionError(f"environment variable {name}={given!r}: expected a whole number")
    return int(given)


def join() -> Ranks:
    """The processes that this one was started with; waits until all of them are here.

    Raises:
        OptionError: For a launcher's variables that make no sense.
        ModelError: Where they cannot meet.
    """
    rank, size, local = parse_ranks(os.environ)
    if size == 1:
        return Ranks()
    try:
        import torch.distributed as dist

        if not dist.is_initialized():
            dist.init_process_group("gloo", timeout=PATIENCE)
        # A group of our own: the launcher's may be for GPU memory only, and may lose patience.
        group = dist.new_group(backend="gloo", timeout=PATIENCE)
    except ImportError as error:
        raise ModelError(
            f"WORLD_SIZE={size}: several processes need torch to meet: pip install torch"
        ) from error
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ModelError(
            f"rank {rank} of {size}: the processes of this run could not meet at {where} ({error})"
        ) from error
    return Ranks(rank, size, local, group)
