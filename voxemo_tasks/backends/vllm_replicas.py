"""Independent vLLM engines, each in a process of its own with GPUs of its own."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.util
import os
from collections.abc import Sequence
from typing import Any

from ..errors import ModelError
from ..records import Json
from .vllm_engine import Answer, Ask, Engine, Setup


def share(asks: Sequence[Ask], count: int) -> list[list[int]]:
    """Split asks over ``count`` engines, whole clips to each, in order.

    Neighbours that ask about the same sound stay together: each engine has a cache of its own.

    Returns:
        Positions for each engine; some may be empty.

    Example:
        >>> asks = [Ask("", (), (clip,), {}) for clip in "aaabbbcd"]
        >>> share(asks, 2)
        [[0, 1, 2, 3, 4, 5], [6, 7]]
    """
    out: list[list[int]] = [[] for _ in range(count)]
    engine, last = 0, None
    for position, ask in enumerate(asks):
        if ask.clip_ids != last:
            engine, last = position * count // len(asks), ask.clip_ids
        out[engine].append(position)
    return out


def visible_devices(replica: int, tensor_parallel: int, named: str | None) -> str:
    """``CUDA_VISIBLE_DEVICES`` of one replica, out of those that this process may see.

    Raises:
        ModelError: Where fewer devices are named than the replicas need.

    Example:
        >>> visible_devices(1, 2, None), visible_devices(1, 1, "4,6")
        ('2,3', '6')
    """
    wanted = range(replica * tensor_parallel, (replica + 1) * tensor_parallel)
    if named is None:
        return ",".join(map(str, wanted))
    names = [name for name in named.split(",") if name]
    if wanted.stop > len(names):
        raise ModelError(
            f"replica {replica} needs GPUs {wanted.start} to {wanted.stop - 1} of "
            f"CUDA_VISIBLE_DEVICES={named!r}, which names {len(names)}; lower data_parallel_size "
            "or tensor_parallel_size"
        )
    return ",".join(names[i] for i in wanted)


def _serve(connection: Any, setup: Setup, devices: str | None) -> None:
    """Body of a replica's process: an engine that answers until its parent hangs up."""
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    engine = None
    try:
        engine = Engine(setup)
        connection.send((None, None))
        while True:
            method, arguments = connection.recv()
            try:
                connection.send((None, getattr(engine, method)(*arguments)))
            except Exception as error:  # sent to the parent, which decides
                fatal = isinstance(error, ModelError)
                connection.send((fatal, f"{type(error).__name__}: {error}"))
    except ModelError as error:
        connection.send((True, str(error)))
    except EOFError:
        pass
    finally:
        if engine is not None:
            engine.close()


class Replicas:
    """Independent engines, each in a process of its own with GPUs of its own.

    They share nothing: a clip's asks all go to one of them. A failure of one fails the call; the
    base class then asks again in halves.

    Raises:
        ModelError: Where one of them cannot start.
    """

    def __init__(self, setup: Setup, count: int, tensor_parallel: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        # Registered after multiprocessing.util's own, so it runs first: that one waits for
        # children, and these wait for their parent to hang up.
        atexit.register(self.close)
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        self._lines: list[Any] = []
        self._processes: list[Any] = []
        try:
            for number in range(count):
                here, there = spawn.Pipe()
                devices = visible_devices(number, tensor_parallel, named or None)
                process = spawn.Process(
                    target=_serve, args=(there, setup, devices), name=f"voxemo-vllm-{number}"
                )
                process.start()
                there.close()
                self._lines.append(here)
                self._processes.append(process)
            for line in self._lines:
                self._receive(line)
        except BaseException:
            self.close()
            raise

    def _receive(self, line: Any) -> Any:
        try:
            failed, value = line.recv()
        except (EOFError, OSError) as error:
            raise ModelError(
                "a vLLM replica ended without a word (killed for memory, as a rule); its log above "
                "may say more. What was answered so far is stored: start the same command again"
            ) from error
        if failed is None:
            return value
        raise ModelError(value) if failed else RuntimeError(value)

    def _call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        values, errors = [], []
        for line, some in zip(self._lines, arguments, strict=True):
            with contextlib.suppress(BrokenPipeError):  # the reading below says that it is gone
                line.send((method, some))
        for line in self._lines:  # every line is read, so that none answers the next call
            try:
                values.append(self._receive(line))
            except (ModelError, RuntimeError) as error:
                errors.append(error)
        if errors:
            raise next((e for e in errors if isinstance(e, ModelError)), errors[0])
        return values

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        shares = share(asks, len(self._lines))
        parts = self._call("answer", [([asks[i] for i in some],) for some in shares])
        found = {
            position: answer
            for some, part in zip(shares, parts, strict=True)
            for position, answer in zip(some, part, strict=True)
        }
        return [found[i] for i in range(len(asks))]

    def recover(self) -> None:
        self._call("recover", [()] * len(self._lines))

    def facts(self) -> Json:
        """Those of the first, with the token counts of all."""
        every: list[Json] = self._call("facts", [()] * len(self._lines))
        counted = ("prompt_tokens", "prompt_tokens_cached")
        return every[0] | {name: sum(facts[name] for facts in every) for name in counted}

    def close(self) -> None:
        atexit.unregister(self.close)
        for line in self._lines:
            line.close()
        for process in self._processes:
            process.join(timeout=30)
            if process.is_alive():
                process.terminate()
