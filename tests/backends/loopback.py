"""A chat endpoint on this machine that misbehaves on demand: HTTP/1.1 by hand, in a thread.

What it does with a request is said by a function ``Ask`` → ``Say``; what it saw is in its counts.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

REASONS = {200: "OK", 302: "Found", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass(frozen=True)
class Ask:
    """One request as it came.

    Attributes:
        number: How many came before it.
        attempt: How often this very body came before.
        body: Its JSON.
        headers: Names in lower case.
    """

    number: int
    attempt: int
    path: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def text(self) -> str:
        """The text parts of the last message."""
        content = self.body["messages"][-1]["content"]
        if isinstance(content, str):
            return content
        return "".join(part.get("text", "") for part in content)


@dataclass(frozen=True)
class Say:
    """What to do with a request.

    Attributes:
        cut: Bytes of the body after which the connection is dropped.
        hang: Never to answer.
        drop: To hang up without a word.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hang: bool = False
    drop: bool = False


Behave = Callable[[Ask], "Say | Awaitable[Say]"]


def completion(text: str | None = "angry", finish: str | None = "stop", **more: Any) -> Say:
    """A proper chat completion, with usage 100 + 2 tokens unless told else."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    data: dict[str, Any] = {
        "object": "chat.completion",
        "model": "loopback-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 2,
            "prompt_tokens_details": {"audio_tokens": 80},
        },
    }
    data.update(more)
    return Say(body=json.dumps(data).encode(), headers={"content-type": "application/json"})


def refusal(status: int, message: str = "no", code: str | None = None, **headers: str) -> Say:
    """An error as OpenAI writes it."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Say(status, body, {"content-type": "application/json"} | named)


class Loopback:
    """The server; ``with`` starts and stops it.

    Attributes:
        asks: Requests in the order in which they came.
        connections: How many were opened.
        at_once: Requests being answered now.
        most_at_once: The most there ever were.
    """

    def __init__(self, behave: Behave | None = None) -> None:
        self.behave: Behave = behave or (lambda ask: completion())
        self.asks: list[Ask] = []
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.port = 0
        self._seen: Counter[bytes] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**26)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may carry another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = head[0].split()[1]
        ask = Ask(len(self.asks), self._seen[body], path, json.loads(body), headers)
        self._seen[body] += 1
        self.asks.append(ask)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            said = self.behave(ask)
            say = said if isinstance(said, Say) else await said
            if say.hang:
                await reader.read()  # until the client gives up
                return False
            if say.drop:
                return False
        finally:
            self.at_once -= 1
        head_out = [f"HTTP/1.1 {say.status} {REASONS.get(say.status, 'Other')}"]
        fields = say.headers | {"content-length": str(len(say.body))}
        head_out += [f"{name}: {value}" for name, value in fields.items()]
        writer.write("\r\n".join([*head_out, "", ""]).encode("latin-1"))
        writer.write(say.body if say.cut is None else say.body[: say.cut])
        await writer.drain()
        return say.cut is None
