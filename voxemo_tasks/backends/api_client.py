"""The way to a chat endpoint: one client, many requests at once, in a thread of its own.

``ChatClient`` lives in an event loop: bounded concurrency, a pace, retries with full jitter (Brooker,
"Exponential Backoff and Jitter", AWS Architecture Blog, 2015), the server's ``Retry-After``.
``Wire`` runs it in a thread, so that the caller can decode clips and write rows meanwhile. Bodies are
made (audio encoded, JSON written) in further threads: the loop only sends and receives.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from ..errors import ModelError
from ..records import Json
from .api_replies import (
    CONTENT_FILTER,
    QUOTA_SPENT,
    Answer,
    Secret,
    error_code,
    excerpt,
    read_completion,
    retry_after_s,
)

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

Ticket = TypeVar("Ticket")
MakeBody = Callable[[], bytes]

LARGEST_REPLY = 16 * 2**20
FIRST_WAIT_S = 1.0
"""Full jitter draws the n-th wait from 0 to this times 2**n, up to ``max_wait_s``."""
LONGEST_CONNECT_S = 30.0
ENCODERS = 4
CHATTY = ("httpx", "httpcore", "h2", "hpack")
"""Loggers that say every request or, at DEBUG, every header with the key in it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard an endpoint may be pressed.

    Attributes:
        concurrency: Requests on the wire at once.
        timeout_s: For one attempt as a whole, connecting and reading included.
        retries: Further attempts after the first.
        requests_per_minute: Attempts, evenly spaced; ``None`` is no limit.
        max_wait_s: Bound on every wait, one that the server asks for included.
    """

    concurrency: int = 16
    timeout_s: float = 120.0
    retries: int = 5
    requests_per_minute: float | None = None
    max_wait_s: float = 120.0


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An attempt without an answer.

    Attributes:
        kind: For counting.
        reason: For the row.
        again: Whether another attempt may help.
        wait_s: What the server asks for.
        billed: Whether the model may have answered all the same.
    """

    kind: str
    reason: str
    again: bool
    wait_s: float | None = None
    billed: bool = False


def need_httpx() -> None:
    """Raise ``ModelError`` where httpx is not installed."""
    if find_spec("httpx") is None:
        raise ModelError(
            "api-audiolm needs httpx, which is not installed: pip install 'voxemo-tasks[api]'"
        )


class ChatClient:
    """Asks one URL; to be used within one event loop.

    Args:
        url: Of ``chat/completions``.
        secret: The key; an empty one is not sent.
        limits: How hard to press.
        sleep: Replaced in tests, as are the next two.
        clock: Monotonic seconds.
        uniform: Draws a wait between two bounds.

    Raises:
        ModelError: Where httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        secret: Secret,
        limits: Limits,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        need_httpx()
        import httpx

        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._httpx = httpx
        self._url = url
        self._host = httpx.URL(url).host
        self._secret = secret
        self._limits = limits
        self._sleep, self._clock, self._uniform = sleep, clock, uniform
        self._slots = asyncio.Semaphore(limits.concurrency)
        rate = limits.requests_per_minute
        self._interval = 60.0 / rate if rate else 0.0
        self._next_start = self._paused_until = float("-inf")
        self._answered = False
        self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="voxemo-encode")
        self.troubles: Counter[str] = Counter()
        self.protocols: Counter[str] = Counter()
        headers = {"content-type": "application/json", "accept": "application/json"}
        if secret.value:
            headers["authorization"] = f"Bearer {secret.value}"
        self._http: httpx.AsyncClient = httpx.AsyncClient(
            # Over TLS the server chooses; without TLS it is HTTP/1.1 on kept connections.
            http2=find_spec("h2") is not None,
            headers=headers,
            # One limit for the whole attempt is ours: a server that drips never meets httpx's own.
            timeout=httpx.Timeout(None, connect=min(limits.timeout_s, LONGEST_CONNECT_S)),
            limits=httpx.Limits(
                max_connections=limits.concurrency, max_keepalive_connections=limits.concurrency
            ),
        )

    async def close(self) -> None:
        await self._http.aclose()
        self._encoders.shutdown(wait=False, cancel_futures=True)

    def facts(self) -> Json:
        """Attempts that failed, by kind, and which HTTP was spoken."""
        return {"failed_attempts": dict(self.troubles), "protocols": dict(self.protocols)}

    async def ask(self, make_body: MakeBody) -> Answer:
        """The answer to one request, retries included; a failure is an answer with an error.

        Raises:
            ModelError: For what no other request can escape: the key, the model, the quota.
        """
        # Before the slot, so that the next body is ready when one comes free.
        body = await asyncio.get_running_loop().run_in_executor(self._encoders, make_body)
        lost = 0
        async with self._slots:
            for attempt in count():
                await self._turn()
                outcome = await self._once(body)
                if isinstance(outcome, Answer):
                    self._answered |= outcome.error is None
                    return outcome.after(attempt + 1, lost)
                self.troubles[outcome.kind] += 1
                lost += outcome.billed
                asked_s = min(outcome.wait_s or 0.0, self._limits.max_wait_s)
                # A limit is the whole key's: whoever asks next would only be refused too.
                self._paused_until = max(self._paused_until, self._clock() + asked_s)
                if not outcome.again or attempt >= self._limits.retries:
                    times = f" (asked {attempt + 1} times)" if attempt else ""
                    return Answer(error=outcome.reason + times).after(attempt + 1, lost)
                log.info("%s: %s; asking again", self._host, outcome.reason)
                jitter = min(self._limits.max_wait_s, FIRST_WAIT_S * 2**attempt)
                await self._sleep(max(asked_s, self._uniform(0.0, jitter)))
        raise RuntimeError("unreachable: the count has no end")

    async def _turn(self) -> None:
        """Wait for the pace, and for a pause that the server asked of everyone."""
        while (wait := max(self._next_start, self._paused_until) - self._clock()) > 0:
            await self._sleep(wait)
        self._next_start = self._clock() + self._interval

    async def _once(self, body: bytes) -> Answer | _Trouble:
        timeout_s = self._limits.timeout_s
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._http.stream("POST", self._url, content=body) as response,
            ):
                self.protocols[response.http_version] += 1
                reply = bytearray()
                async for chunk in response.aiter_bytes():
                    reply += chunk
                    if len(reply) > LARGEST_REPLY:
                        return _Trouble(
                            "endless reply", f"bad reply: over {LARGEST_REPLY >> 20} MiB", False
                        )
        except (TimeoutError, self._httpx.TimeoutException):
            return _Trouble("timeout", f"timeout: no reply in {timeout_s:g} s", True, billed=True)
        except self._httpx.ConnectError as error:
            reason = f"no connection to {self._host}: {self._secret.hide(str(error))}"
            return _Trouble("no connection", reason, True)
        except self._httpx.TransportError as error:
            reason = f"connection lost: {type(error).__name__}: {self._secret.hide(str(error))}"
            return _Trouble("connection lost", reason, True, billed=True)
        except self._httpx.DecodingError as error:
            return _Trouble("bad reply", f"bad reply: {self._secret.hide(str(error))}", False)
        if response.status_code == 200:
            # Not tried again even where it is no answer: a 200 has been paid for.
            return read_completion(bytes(reply), self._secret)
        return self._refused(response, bytes(reply), len(body))

    def _refused(self, response: httpx.Response, reply: bytes, sent: int) -> Answer | _Trouble:
        status, code = response.status_code, error_code(reply)
        told = excerpt(reply, self._secret)
        if status == 401 or (status == 403 and not self._answered):
            # Without what the server said: servers quote the key, some of them in part.
            raise ModelError(f"{self._host} refuses the key (HTTP {status}); {self._key_from()}")
        if status == 402 or code in QUOTA_SPENT:
            raise ModelError(
                f"{self._host}: the account has no credit left (HTTP {status}: {told}). What was "
                "answered is stored; top it up and start the same command again"
            )
        if status == 404:
            raise ModelError(
                f"{self._host}: HTTP 404 for {self._url.partition('?')[0]}: {told}. Either model= "
                "is no model of this server (see its /models) or base_url= lacks a part (often /v1)"
            )
        if code == CONTENT_FILTER:
            return Answer(error=f"{CONTENT_FILTER}: the provider's filter refused the request")
        reason = f"HTTP {status}: {told}"
        if status == 413:
            reason += f" (the request has {sent / 2**20:.1f} MiB; audio_format=flac makes it less)"
        again = status in (408, 425, 429) or status >= 500
        wait = retry_after_s(response.headers, datetime.now(UTC)) if again else None
        return _Trouble(f"HTTP {status}", reason, again, wait)

    def _key_from(self) -> str:
        if not self._secret.value:
            return (
                "none was sent: put one into an environment variable and its name into api_key_env="
            )
        return (
            f"it came from the environment variable {self._secret.variable}: put a valid one there, "
            "or name another variable with api_key_env="
        )


class Wire(Generic[Ticket]):
    """A client in a thread of its own; closed by ``with`` or by :meth:`close`.

    Args:
        make_client: Called in that thread's event loop.

    Raises:
        ModelError: What ``make_client`` raises.
    """

    def __init__(self, make_client: Callable[[], ChatClient]) -> None:
        self.in_flight = 0
        self._done: queue.SimpleQueue[tuple[Ticket, Answer | Exception]] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="voxemo-wire", daemon=True
        )
        self._thread.start()
        self._open = True
        try:
            self.client = self._call(make_client)
        except BaseException:
            self._stop()
            raise

    def _call(self, make_client: Callable[[], ChatClient]) -> ChatClient:
        async def make() -> ChatClient:
            return make_client()

        return asyncio.run_coroutine_threadsafe(make(), self._loop).result()

    def send(self, ticket: Ticket, make_body: MakeBody) -> None:
        """Ask, without waiting; ``make_body`` runs in a thread."""
        self.in_flight += 1
        asyncio.run_coroutine_threadsafe(self._one(ticket, make_body), self._loop)

    async def _one(self, ticket: Ticket, make_body: MakeBody) -> None:
        outcome: Answer | Exception
        try:
            outcome = await self.client.ask(make_body)
        except Exception as error:  # of whatever kind: the caller's thread is waiting for it
            outcome = error
        self._done.put((ticket, outcome))

    def take(self, *, wait: bool = True) -> tuple[Ticket, Answer | Exception] | None:
        """One that is done, in whatever order they come; ``None`` where there is none (yet)."""
        if self.in_flight == 0:
            return None
        try:
            done = self._done.get(block=wait)
        except queue.Empty:
            return None
        self.in_flight -= 1
        return done

    def close(self) -> list[tuple[Ticket, Answer | Exception]]:
        """Drop what is on its way, and hand over what was done and not taken yet."""
        if self._open:
            asyncio.run_coroutine_threadsafe(self._abandon(), self._loop).result()
            self._stop()
        left = []
        while not self._done.empty():
            left.append(self._done.get())
        self.in_flight = 0
        return left

    async def _abandon(self) -> None:
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.close()

    def _stop(self) -> None:
        self._open = False
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
