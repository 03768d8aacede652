"""``api-audiolm`` against a server on this machine that misbehaves on demand."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import logging
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import soundfile

pytest.importorskip("httpx", reason="api-audiolm needs the extra 'api'")

from loopback import Ask, Behave, Loopback, Say, completion, refusal

from voxemo_tasks.backends import api_client, api_request
from voxemo_tasks.backends.api import ApiAudioLM
from voxemo_tasks.backends.api_arguments import read_key
from voxemo_tasks.backends.api_budget import Budget
from voxemo_tasks.backends.api_client import ChatClient, Limits
from voxemo_tasks.backends.api_replies import Answer, Secret, read_completion, retry_after_s
from voxemo_tasks.backends.api_request import Clip, chat_messages
from voxemo_tasks.backends.requests import Job, fold
from voxemo_tasks.errors import ModelError, OptionError, RunFailedError
from voxemo_tasks.records import Decoding, Request
from voxemo_tasks.store import read_run, request_key

KEY = "sk-loopback/0123456789+abcdef"
NO_KEY = Secret("", "OPENAI_API_KEY")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no proxy of whoever runs the tests; waits between attempts take no time."""
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(api_client, "FIRST_WAIT_S", 0.0)


@pytest.fixture
def server() -> Iterator[Callable[..., Loopback]]:
    started: list[Loopback] = []

    def start(behave: Behave | None = None) -> Loopback:
        started.append(Loopback(behave).__enter__())
        return started[-1]

    yield start
    for one in started:
        one.__exit__(None, None, None)


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., ApiAudioLM]:
    """A model of a server, with its run in ``run/`` and limits that suit a test."""

    def make(server: Loopback, **arguments: Any) -> ApiAudioLM:
        options = {"model": "x", "timeout_s": 20, "retries": 2, "store": str(tmp_path / "run")}
        options["canaries"] = "off"
        return ApiAudioLM(server.url, **options | {"endpoint": "loopback"} | arguments)

    return make


@pytest.fixture
def queue(clip: Any, instance: Any) -> Callable[..., list[Any]]:
    """Requests that say which they are, about one short clip, in the order of the queue."""

    def make(count: int, **options: Any) -> list[Any]:
        ref = clip("a", 0.1)
        return [instance(ref, text=f"question {i}", **options) for i in range(count)]

    return make


def number_of(ask: Ask) -> int:
    return int(ask.text.rpartition(" ")[2])


def errors(replies: list[str]) -> list[str | None]:
    return [getattr(reply, "error", None) for reply in replies]


# --- what is asked ------------------------------------------------------------------------------


def test_a_request_says_everything(
    clip: Any, instance: Any, server: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    there = server()
    asked = instance(clip("a", 0.5), text="What emotion?", decoding=Decoding(7, stop=("\n", "x")))
    assert model(
        there, api_key_env="MY_KEY", extra_body='{"reasoning_effort": "low"}'
    ).generate_until([asked], True) == ["angry"]
    (ask,) = there.asks
    assert ask.path == "/v1/chat/completions"
    assert ask.headers["authorization"] == f"Bearer {KEY}"
    (message,) = ask.body.pop("messages")
    sound, question = message["content"]
    assert (message["role"], question) == ("user", {"type": "text", "text": "What emotion?"})
    assert (sound["type"], sound["input_audio"]["format"]) == ("input_audio", "wav")
    assert isinstance(ask.body.pop("seed"), int)
    assert ask.body == {
        "model": "x",
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 7,
        "stop": ["\n", "x"],
        "stream": False,
        "reasoning_effort": "low",
    }


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_the_sound_arrives_as_it_was(
    clip: Any, instance: Any, server: Any, model: Any, audio_format: str
) -> None:
    there, ref = server(), clip("a", 0.5)
    model(there, audio_format=audio_format).generate_until([instance(ref)], True)
    sent = there.asks[0].body["messages"][0]["content"][0]["input_audio"]
    with io.BytesIO(base64.b64decode(sent["data"])) as stream:
        facts = soundfile.info(stream)
        stream.seek(0)
        heard, rate = soundfile.read(stream, dtype="float64")
    expected, _ = soundfile.read(ref.path, dtype="float64")
    assert sent["format"] == audio_format == facts.format.lower()
    assert (rate, facts.channels, facts.subtype) == (16000, 1, "PCM_16")
    # One step of 16 bit; a file of another clip differs by the noise itself (sigma 0.1).
    assert np.abs(heard - expected).max() <= 1 / 32767


def test_sampling_asks_once_a_sample_with_a_seed_of_its_own(
    clip: Any, instance: Any, server: Any, model: Any
) -> None:
    there = server(lambda ask: completion(str(ask.body["seed"])))
    decoding = Decoding(8, temperature=0.7, top_p=0.9, top_k=5, seed=3)
    asked = instance(clip("a", 0.1), decoding=decoding, samples=4)
    one = model(there, concurrency=2, max_tokens_field="max_completion_tokens")
    replies = one.generate_until([asked] * 4, True)
    assert len(set(replies)) == 4
    assert all("n" not in ask.body and "max_tokens" not in ask.body for ask in there.asks)
    body = there.asks[0].body
    assert [body[k] for k in ("temperature", "top_p", "top_k", "max_completion_tokens")] == [
        *(0.7, 0.9, 5, 8)
    ]
    # The seeds are those of the samples, not of the order in which they were asked.
    key = request_key(one.fingerprint(), Request.from_arguments(asked.args)[0])
    run = read_run(one.store.folder)
    stored = [run.reply(f"{key}:{i}") for i in range(4)]
    assert [row.text for row in stored if row] == list(replies)


def test_a_schema_goes_along_and_into_the_key(clip: Any, server: Any, model: Any) -> None:
    schema = {"type": "object", "properties": {"emotion": {"type": "string"}}}
    message = {"role": "user", "content": [{"type": "audio", "index": 0}]}
    plain = Request("p@1", "0", (message,), (clip("a", 0.1),), Decoding())
    held = Request("p@1", "0", (message,), (clip("a", 0.1),), Decoding(), schema=schema)
    assert Request.from_arguments(held.to_arguments({}))[0] == held
    assert request_key({}, plain) != request_key({}, held)
    there = server()
    one = model(there)
    for request in (plain, held):
        one._body(request, [Clip(np.zeros(160, np.float32), 16000, "wav")], 1)
    assert "response_format" not in one._parameters(plain, 1)
    assert one._parameters(held, 1)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": schema, "strict": True},
    }


def test_several_clips_and_a_system_message(clip: Any) -> None:
    sounds = [Clip(np.full(160, level, np.float32), 16000, "wav") for level in (0.1, 0.2)]
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Listen."}]},
        {
            "role": "user",
            "content": [{"type": "audio", "index": 1}, {"type": "text", "text": "And?"}],
        },
        {"role": "assistant", "content": "happy"},
        {
            "role": "user",
            "content": [
                {"type": "audio", "index": 0},
                {"type": "audio", "index": 0},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    sent = chat_messages(messages, sounds, "wav")
    assert [m["role"] for m in sent] == ["system", "user", "assistant", "user"]
    assert (sent[0]["content"], sent[2]["content"]) == ("Listen.", "happy")
    data = [
        p["input_audio"]["data"]
        for m in sent[1::2]
        for p in m["content"]
        if len(p) == 2 and "input_audio" in p
    ]
    assert data == [sounds[1].base64(), sounds[0].base64(), sounds[0].base64()]
    assert [p["type"] for p in sent[3]["content"]] == ["input_audio", "input_audio", "text"]


def test_a_clip_is_encoded_once_and_not_in_the_loop(
    clip: Any, instance: Any, server: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    real = api_request.encode

    def spying(*arguments: Any) -> str:
        threads.append(threading.current_thread().name)
        return real(*arguments)

    monkeypatch.setattr(api_request, "encode", spying)
    refs = [clip("a", 0.1), clip("b", 0.2)]
    asked = [instance(ref, text=f"question {i}") for i in range(5) for ref in refs]
    model(server()).generate_until(asked, True)
    assert len(threads) == 2
    assert all(name.startswith("voxemo-encode") for name in threads)


def test_a_server_may_refuse_fields(queue: Any, server: Any, model: Any) -> None:
    there = server()
    one = model(there, extra_body={"seed": None, "top_p": None})
    one.generate_until(queue(1), True)
    assert not {"seed", "top_p"} & set(there.asks[0].body)
    (effective,) = one.engine_facts()["effective_decoding"]
    assert set(effective["sent"]) == {"temperature", "max_tokens", "stream"}
    assert one.fingerprint()["extra_body"] == {"seed": None, "top_p": None}


# --- at once, and as they come ------------------------------------------------------------------


def test_as_many_at_once_as_asked_for_and_no_more(queue: Any, server: Any, model: Any) -> None:
    """Counted by the server, which keeps its first requests until there are as many as may be."""
    full = asyncio.Event()

    async def wait(ask: Ask) -> Say:
        if there.at_once == 6:
            full.set()
        try:
            await asyncio.wait_for(full.wait(), 20)
        except TimeoutError:
            full.set()  # they do not come: the count below says so
        return completion()

    there = server(wait)
    assert model(there, concurrency=6).generate_until(queue(30), True) == ["angry"] * 30
    assert (there.most_at_once, len(there.asks)) == (6, 30)
    assert there.connections <= 6  # kept, not opened anew for each request


def test_replies_are_stored_while_others_are_awaited(
    queue: Any, server: Any, model: Any, tmp_path: Path
) -> None:
    """The first request is answered only after all others stand on the disk."""
    seen: list[int] = []

    async def wait(ask: Ask) -> Say:
        if number_of(ask) == 0:
            for _ in range(2000):
                rows = [p.read_bytes().count(b"\n") for p in (tmp_path / "run/replies").glob("*")]
                if sum(rows) >= 19:
                    break
                await asyncio.sleep(0.01)
            seen.append(sum(rows))
        return completion(str(number_of(ask)))

    replies = model(server(wait), concurrency=4).generate_until(queue(20), True)
    assert replies == [str(i) for i in range(20)]
    assert seen == [19]


def test_in_flight_audio_is_bounded(
    clip: Any, instance: Any, server: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = most = 0
    real = ApiAudioLM._write
    send = api_client.Wire.send

    def sending(self: Any, ticket: Any, make_body: Any) -> None:
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        send(self, ticket, make_body)

    def writing(self: Any, *arguments: Any) -> Any:
        nonlocal alive
        alive -= 1
        return real(self, *arguments)

    monkeypatch.setattr(api_client.Wire, "send", sending)
    monkeypatch.setattr(ApiAudioLM, "_write", writing)
    asked = [instance(clip(f"c{i}", 0.1)) for i in range(40)]
    one = model(server(), concurrency=3)
    jobs: list[Any] = []
    grouped = ApiAudioLM._batches

    def spying(self: Any, given: Any) -> Any:
        jobs.extend(given)
        return grouped(self, given)

    monkeypatch.setattr(ApiAudioLM, "_batches", spying)
    one.generate_until(asked, True)
    assert most == 6
    assert not any(job.audio for job in jobs)


# --- waiting, with a clock of our own -----------------------------------------------------------


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def ask_all(
    there: Loopback, count: int, limits: Limits, **options: Any
) -> tuple[Clock, list[Answer]]:
    clock = Clock()
    bodies = [json.dumps({"messages": [{"content": f"q {i}"}]}).encode() for i in range(count)]

    async def run() -> list[Answer]:
        client = ChatClient(
            there.url + "/chat/completions",
            NO_KEY,
            limits,
            sleep=clock.sleep,
            clock=clock,
            **options,
        )
        try:
            return [await client.ask(lambda body=body: body) for body in bodies]  # type: ignore[misc]
        finally:
            await client.close()

    return clock, asyncio.run(run())


def test_the_pace_is_kept_by_retries_too(server: Any) -> None:
    there = server(lambda ask: refusal(500) if ask.number == 1 else completion())
    clock, answers = ask_all(
        there, 3, Limits(requests_per_minute=30), uniform=lambda low, high: 0.0
    )
    assert [a.text for a in answers] == ["angry"] * 3
    assert [s for s in clock.slept if s] == pytest.approx([2.0, 2.0, 2.0])  # four attempts


def test_full_jitter_doubles_its_bound_up_to_the_cap(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "FIRST_WAIT_S", 1.0)
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high / 2

    there = server(lambda ask: refusal(503, "overloaded"))
    clock, (answer,) = ask_all(there, 1, Limits(retries=5, max_wait_s=10), uniform=uniform)
    assert bounds == [(0.0, bound) for bound in (1, 2, 4, 8, 10)]
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert answer.error == "HTTP 503: overloaded (asked 6 times)"
    assert (answer.attempts, answer.lost) == (6, 0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after": "3600"}, 30.0),  # max_wait_s
        (
            {
                "date": "Thu, 01 Jan 2026 12:00:00 GMT",
                "retry_after": "Thu, 01 Jan 2026 12:00:09 GMT",
            },
            9.0,
        ),
        ({"retry_after": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_retry_after_is_obeyed(server: Any, headers: dict[str, str], expected: float) -> None:
    there = server(lambda ask: completion() if ask.attempt else refusal(429, **headers))
    clock, (answer,) = ask_all(there, 1, Limits(max_wait_s=30), uniform=lambda low, high: 0.0)
    assert (answer.text, answer.attempts) == ("angry", 2)
    assert sum(clock.slept) == pytest.approx(expected)


def test_a_pause_holds_for_everyone(server: Any) -> None:
    """A limit is the key's: the next request waits too, though it never was refused."""
    there = server(lambda ask: completion() if ask.number else refusal(429, retry_after="50"))
    clock, answers = ask_all(there, 2, Limits(retries=0))
    assert [a.error is None for a in answers] == [False, True]
    assert clock.slept == [50.0]


def test_a_date_without_a_date_header_is_taken_from_our_clock() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert retry_after_s({"retry-after": "Thu, 01 Jan 2026 12:01:00 GMT"}, noon) == 60.0
    assert retry_after_s({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, noon) == 0.0
    assert retry_after_s({"retry-after": "-5"}, noon) is None
    assert retry_after_s({"retry-after": "1" * 400}, noon) is None


# --- bad servers --------------------------------------------------------------------------------

HTML = Say(200, b"<!DOCTYPE html><title>Sign in</title>", {"content-type": "text/html"})
BAD: dict[str, tuple[Say, str, int]] = {
    "hangs": (Say(hang=True), r"^timeout: no reply in 1 s \(asked 3 times\)$", 3),
    "drops mid-body": (
        Say(200, completion().body, cut=40),
        r"^connection lost: RemoteProtocolError.*asked 3 times",
        3,
    ),
    "drops at once": (Say(drop=True), "^connection lost", 3),
    "HTML": (HTML, "200 with HTML .*is base_url right.*Sign in", 1),
    "empty choices": (completion(choices=[]), "^bad reply: 200 without choices$", 1),
    "choices of nothing": (completion(choices=[None]), "200 without text", 1),
    "null content": (completion(None), r"200 without text \(finish_reason 'stop'\)", 1),
    "a number for content": (completion(7), "200 without text", 1),  # type: ignore[arg-type]
    "invalid UTF-8": (Say(200, b'{"choices": "\xff"}'), r"not UTF-8 \(byte 13\)", 1),
    "wrong JSON": (Say(200, b'{"choices": ['), "200 with no JSON", 1),
    "JSON of another kind": (Say(200, b"[1]"), "a JSON list, not an object", 1),
    "deep JSON": (Say(200, b"[" * 100_000), "200 with no JSON", 1),
    "an error within a 200": (
        Say(200, b'{"error": {"message": "upstream is down"}}'),
        "without choices: upstream is down",
        1,
    ),
    "400": (refusal(400, "no audio here"), "^HTTP 400: no audio here$", 1),
    "403 after an answer": (refusal(403, "flagged"), "^HTTP 403: flagged$", 1),
    "413": (refusal(413, "too large"), "^HTTP 413: too large .*MiB; audio_format=flac", 1),
    "422": (Say(422, b'{"detail": "?"}'), "^HTTP 422", 1),
    "302": (Say(302, b"", {"location": "http://127.0.0.1:1/"}), r"^HTTP 302: \(empty body\)", 1),
    "500 forever": (refusal(500, "boom"), r"^HTTP 500: boom \(asked 3 times\)$", 3),
    "429 forever": (refusal(429, "slow down"), r"^HTTP 429: slow down \(asked 3 times\)$", 3),
    "bad compression": (Say(200, b"no gzip", {"content-encoding": "gzip"}), "^bad reply", 1),
    "filtered": (completion("", "content_filter"), "^content_filter: the provider's filter", 1),
    "filtered at the door": (refusal(400, "policy", "content_filter"), "^content_filter: ", 1),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_reply_costs_one_row_and_the_rest_completes(
    case: str, queue: Any, server: Any, model: Any
) -> None:
    say, pattern, attempts = BAD[case]

    def behave(ask: Ask) -> Say:
        return say if number_of(ask) == 3 else completion("sad")

    there = server(behave)
    one = model(there, concurrency=1, timeout_s=1 if case == "hangs" else 20)
    replies = one.generate_until(queue(6), True)
    assert [str(r) for r in replies] == ["sad"] * 3 + [""] + ["sad"] * 2
    (told,) = [e for e in errors(replies) if e is not None]
    assert re.search(pattern, told), told
    assert sum(number_of(ask) == 3 for ask in there.asks) == attempts
    facts = one.engine_facts()
    assert sum(facts["failed"].values()) == 1
    assert facts["attempts"] == 5 + attempts
    # The row is a record of the failure, never an answer, and asked again by a second start.
    run = read_run(one.store.folder)
    row = run.reply(getattr(replies[3], "key", ""))
    assert row is not None
    assert (row.finish_reason, row.error, row.seconds_supplied) == ("error", told, 0.1)
    there.behave = lambda ask: completion("mended")
    before = len(there.asks)
    assert model(there).generate_until(queue(6), True)[3] == "mended"
    assert len(there.asks) == before + 1


def test_a_reply_without_end_is_not_read(
    queue: Any, server: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "LARGEST_REPLY", 2**20)
    there = server(lambda ask: Say(200, b" " * (2**20 + 1)) if number_of(ask) else completion())
    assert errors(model(there).generate_until(queue(2), True)) == [None, "bad reply: over 1 MiB"]


@pytest.mark.parametrize("first", [refusal(429, retry_after="0"), refusal(500), Say(drop=True)])
def test_trouble_that_passes_leaves_no_trace_in_the_row(
    first: Say, queue: Any, server: Any, model: Any
) -> None:
    there = server(lambda ask: completion("happy") if ask.attempt else first)
    one = model(there)
    replies = one.generate_until(queue(3), True)
    assert (replies, errors(replies)) == (["happy"] * 3, [None] * 3)
    facts = one.engine_facts()
    assert (facts["attempts"], sum(facts["failed_attempts"].values())) == (6, 3)


def test_a_server_that_only_fails_stops_the_run(queue: Any, server: Any, model: Any) -> None:
    there = server(lambda ask: refusal(500, "boom"))
    with pytest.raises(RunFailedError, match=r"first 20 replies all failed.*HTTP 500: boom"):
        model(there, concurrency=2, retries=0).generate_until(queue(60), True)
    assert len(there.asks) <= 20 + 2 * 2


def test_no_server_at_all(queue: Any, server: Any, model: Any) -> None:
    there = server()
    there.port = 1  # nobody listens there
    replies = model(there, retries=1).generate_until(queue(2), True)
    told = errors(replies)[0]
    assert told is not None
    assert told.startswith("no connection to 127.0.0.1: ")
    assert told.endswith("(asked 2 times)")


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (refusal(401, "bad key"), "refuses the key.*HTTP 401.*MY_ENDPOINT_KEY.*api_key_env="),
        (refusal(403, "not yours"), "refuses the key.*HTTP 403.*MY_ENDPOINT_KEY"),
        (
            refusal(404, "no model x"),
            "404 for http://127.*/v1/chat/completions: no model x.*model=",
        ),
        (refusal(402, "pay"), "no credit left.*402: pay"),
        (refusal(429, "quota", "insufficient_quota"), "no credit left.*429: quota"),
    ],
)
def test_what_no_request_can_escape_ends_the_run_at_once(
    say: Say, message: str, queue: Any, server: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_ENDPOINT_KEY", KEY)
    there = server(lambda ask: say)
    with pytest.raises(ModelError, match=message):
        model(there, concurrency=3, api_key_env="MY_ENDPOINT_KEY").generate_until(queue(50), True)
    assert len(there.asks) <= 6


def test_openais_key_goes_to_openai_alone(
    queue: Any, server: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    there = server()
    model(there).generate_until(queue(1), True)
    assert "authorization" not in there.asks[0].headers
    assert read_key(None, "api.openai.com").hide(KEY) != KEY


def test_a_missing_key_is_told_as_such(queue: Any, server: Any, model: Any) -> None:
    there = server(lambda ask: refusal(401))
    with pytest.raises(ModelError, match=r"none was sent: .*api_key_env="):
        model(there).generate_until(queue(1), True)
    assert "authorization" not in there.asks[0].headers


def test_a_stopped_run_goes_on_where_it_was(queue: Any, server: Any, model: Any) -> None:
    """The key is withdrawn half-way: what was answered stays, the rest is asked by a second start."""
    there = server(lambda ask: refusal(401) if ask.number >= 7 else completion("first"))
    with pytest.raises(ModelError, match="refuses the key"):
        model(there, concurrency=1).generate_until(queue(12), True)
    asked = len(there.asks)
    there.behave = lambda ask: completion("second")
    replies = model(there).generate_until(queue(12), True)
    assert replies == ["first"] * 7 + ["second"] * 5
    assert len(there.asks) == asked + 5


def test_what_came_while_the_run_was_stopped_is_stored(
    queue: Any, server: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted at its first row, when five more answers have come: they were paid for."""
    one = model(server(), concurrency=6)
    wires: list[Any] = []
    make = one._wire

    def interrupted(responses: Any) -> None:
        deadline = time.monotonic() + 20
        while wires[0]._done.qsize() < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(one, "_wire", lambda: wires.append(make()) or wires[0])
    monkeypatch.setattr(one, "_stop_if_broken", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.generate_until(queue(6), True)
    assert one.store.written == 6


# --- what is made of a reply --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("say", "text", "finish"),
    [
        (completion("angry", "length"), "angry", "length"),
        (completion("angry", "max_tokens"), "angry", "length"),
        (completion("angry", "eos"), "angry", "stop"),
        (completion("angry", None), "angry", "stop"),
        (completion(None, "length"), "", "length"),  # thought until the limit
        (completion("", "stop"), "", "stop"),  # an empty reply is the model's
        (
            completion(choices=[{"message": {"content": None, "refusal": "I cannot."}}]),
            "I cannot.",
            "stop",
        ),
        (
            completion(choices=[{"message": {"content": [{"type": "text", "text": "sad"}]}}]),
            "sad",
            "stop",
        ),
        (completion("sad\nbecause", "length"), "sad", "stop"),  # the stop string cuts
        (completion("愤怒 😡"), "愤怒 😡", "stop"),
    ],
)
def test_finish_reasons(
    say: Say, text: str, finish: str, queue: Any, server: Any, model: Any
) -> None:
    there = server(lambda ask: say)
    (reply,) = model(there).generate_until(queue(1, decoding=Decoding(8, stop=("\n",))), True)
    assert (reply, reply.finish_reason, reply.error) == (text, finish, None)


def test_usage_and_what_the_server_says_of_itself_are_summed(
    queue: Any, server: Any, model: Any
) -> None:
    def behave(ask: Ask) -> Say:
        if number_of(ask) == 2:
            return completion(usage={"prompt_tokens": "many", "completion_tokens": -1})
        return completion(system_fingerprint=f"fp_{number_of(ask) % 2}")

    one = model(server(behave), price_in=2.5, price_out=10, concurrency=2)
    replies = one.generate_until(queue(5), True)
    stored = json.loads(next((one.store.folder / "sessions").glob("*.json")).read_text())
    facts = stored["engine"]
    assert facts["usage"] == {"prompt_tokens": 400, "completion_tokens": 8, "audio_tokens": 320}
    assert facts["system_fingerprints"] == {"fp_0": 2, "fp_1": 2}
    assert facts["served_models"] == {"loopback-2026": 5}
    assert facts["finish_reasons"] == {"stop": 5}
    assert facts["protocols"] == {"HTTP/1.1": 5}
    assert facts["cost"]["usd"] == pytest.approx((400 * 2.5 + 8 * 10) / 1e6, abs=1e-12)
    run = read_run(one.store.folder)
    rows = [run.reply(getattr(r, "key", "")) for r in replies]
    assert [row.n_tokens for row in rows if row] == [2, 2, None, 2, 2]


def test_the_window_is_taken_where_it_is_told(queue: Any, server: Any, model: Any) -> None:
    one = model(server(), max_audio_s=0.05)
    (reply,) = one.generate_until(queue(1), True)
    row = read_run(one.store.folder).reply(reply.key)
    assert row is not None
    assert (row.seconds_supplied, row.seconds_heard) == (0.1, 0.05)


def test_a_broken_file_does_not_reach_the_server(
    clip: Any, instance: Any, server: Any, model: Any
) -> None:
    refs = [clip("a", 0.1), clip("broken", 0.2), clip("b", 0.3)]
    Path(refs[1].path).write_bytes(b"no audio")
    there = server()
    replies = model(there).generate_until([instance(ref) for ref in refs], True)
    assert [e is None for e in errors(replies)] == [True, False, True]
    assert len(there.asks) == 2


def test_a_clip_that_cannot_be_encoded_costs_its_row(
    queue: Any, clip: Any, instance: Any, server: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = api_request.encode

    def failing(samples: Any, *arguments: Any) -> str:
        if len(samples) == 3200:
            raise MemoryError("no room")
        return real(samples, *arguments)

    monkeypatch.setattr(api_request, "encode", failing)
    asked = [instance(clip("a", 0.1)), instance(clip("b", 0.2))]
    assert errors(model(server()).generate_until(asked, True)) == [None, "MemoryError: no room"]


def test_generate_answers_a_batch_in_order(queue: Any, server: Any, model: Any) -> None:
    one = model(server(lambda ask: completion(ask.text)))
    jobs = [
        Job(f.request, str(i), [0, 1], [np.zeros(160, np.float32)])
        for i, f in enumerate(fold(queue(3)).values())
    ]
    assert [[g.text for g in several] for several in one.generate(jobs)] == [
        [f"question {i}"] * 2 for i in range(3)
    ]


# --- money --------------------------------------------------------------------------------------


def test_the_run_stops_before_the_limit_is_passed_and_a_second_start_goes_on(
    queue: Any, server: Any, model: Any
) -> None:
    """A request costs (100 * 10 + 2 * 50) / 1e6 = 0.0011 dollars: three fit into 0.0034."""
    there = server(lambda ask: completion(str(ask.number)))
    limits = {"max_cost_usd": 0.0034, "price_in": 10, "price_out": 50}
    one = model(there, **limits)
    with pytest.raises(
        ModelError, match=r"max_cost_usd=0\.0034 is reached: 3 replies cost \$0\.0033"
    ):
        one.generate_until(queue(5), True)
    assert (len(there.asks), one.store.written) == (3, 3)
    assert one.engine_facts()["cost"]["usd"] == pytest.approx(0.0033, abs=1e-12)
    again = model(there, **limits)
    assert sorted(again.generate_until(queue(5), True)) == ["0", "1", "2", "3", "4"]
    assert (len(there.asks), again.store.reused) == (5, 3)


def test_a_budget_counts_what_is_in_flight() -> None:
    budget = Budget(1.0, 100_000, 0)
    assert [budget.allows(n) for n in (0, 1)] == [True, False]  # the first goes alone
    budget.take(Answer("a", usage={"prompt_tokens": 2}))  # 0.2 dollars
    assert [budget.allows(n) for n in (0, 3, 4)] == [True, True, False]
    budget.take(Answer(error="HTTP 400"))
    assert budget.spent_usd == pytest.approx(0.2)
    budget.take(Answer("b", usage={"prompt_tokens": 1}, lost=2))  # 0.1, and 0.2 twice perhaps
    assert budget.spent_usd == pytest.approx(0.7)
    assert [budget.allows(n) for n in (0, 1)] == [True, False]
    assert Budget(None, None, None).allows(10**6)


def test_a_limit_without_usage_cannot_be_kept(queue: Any, server: Any, model: Any) -> None:
    there = server(lambda ask: completion(usage=None))
    one = model(there, max_cost_usd=1, price_in=1, price_out=1)
    with pytest.raises(ModelError, match="tells no usage"):
        one.generate_until(queue(3), True)
    assert (len(there.asks), one.store.written) == (1, 1)  # what was paid for is stored


# --- the key ------------------------------------------------------------------------------------


def test_the_key_is_written_nowhere(
    queue: Any,
    server: Any,
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Against a server that repeats it wherever it can, with every logger at DEBUG."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SOME_KEY", KEY)
    echoes = [
        completion(f"you sent {KEY}"),
        completion(finish=KEY, model=KEY, system_fingerprint=KEY),
        refusal(400, f"bad: {KEY}", KEY),
        Say(400, KEY.encode()),
        Say(200, f"<html>{'x' * 280} {KEY}".encode()),
        completion(choices=[], error={"message": KEY}),
        Say(500, json.dumps({"error": KEY}).encode().replace(b"/", b"\\/")),
        Say(400, json.dumps({"detail": {"sent": KEY}}).encode().replace(b"/", b"\\/")),
        Say(200, json.dumps({"detail": KEY}).encode().replace(b"/", b"\\/")[:-1]),
        Say(400, quote(KEY, safe="").encode()),
        Say(302, b"", {"location": f"/{KEY}"}),
        Say(200, b"x", {"content-encoding": "gzip", "x-key": KEY}),
        completion(),
    ]
    there = server(lambda ask: echoes[number_of(ask)])
    one = model(there, api_key_env="SOME_KEY", retries=1)
    replies = one.generate_until(queue(len(echoes)), True)
    assert replies[0] == "you sent [key]"
    assert all(ask.headers["authorization"] == f"Bearer {KEY}" for ask in there.asks)
    texts = [repr(one.get_model_info()), repr(one.engine_facts()), caplog.text]
    texts += [str(e) for e in errors(replies)]
    there.behave = lambda ask: refusal(401, f"wrong: {KEY}")
    with pytest.raises(ModelError) as caught:
        model(there, api_key_env="SOME_KEY").generate_until(queue(30), True)
    texts += ["".join(traceback.format_exception(caught.value)), caplog.text]
    files = [p for p in (tmp_path / "run").rglob("*") if p.is_file()]
    assert len(files) >= 4
    texts += [p.read_text() for p in files]
    for text in texts:
        assert "0123456789" not in text
    assert "SOME_KEY" in str(caught.value)


def test_a_user_finds_the_key_nowhere(
    mini_home: Path, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: the command, what it prints, and every file it leaves."""
    monkeypatch.setenv("MY_KEY", KEY)
    there = server(lambda ask: completion(f"happy, said {KEY}"))
    argv = [sys.executable, "-m", "voxemo_tasks.cli", "run", "--model", "api-audiolm"]
    argv += ["--tasks", "voxemo_mini_direct", "--limit", "4", "--log_samples"]
    argv += ["--output_path", "out", "--model_args"]

    def command(arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*argv, arguments], cwd=tmp_path, capture_output=True, text=True)

    done = command(f"base_url={there.url},model=org/x,endpoint=here,api_key_env=MY_KEY")
    assert done.returncode == 0, done.stderr[-3000:]
    canaries = ApiAudioLM.canary_requests
    assert [a.headers["authorization"] for a in there.asks] == [f"Bearer {KEY}"] * (4 + canaries)
    (results,) = tmp_path.glob("out/x-*/results.json")
    told = json.loads(results.read_text())
    assert (told["model"]["endpoint"], told["model"]["model"]) == ("here", "org/x")
    (session,) = told["sessions"]
    assert session["engine"]["usage"]["audio_tokens"] == (4 + canaries) * 80
    refused = command(f"base_url={there.url},model=x,api_key={KEY}")
    assert refused.returncode == 2
    assert "api_key= is refused" in refused.stderr
    texts = [done.stdout, done.stderr, refused.stdout, refused.stderr]
    texts += [str(p) for p in tmp_path.rglob("*")]
    data = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    data += [gzip.decompress(one) for one in data if one.startswith(b"\x1f\x8b")]
    assert not any("0123456789" in text for text in texts)
    assert not any(b"0123456789+abc" in one for one in data)


@pytest.mark.parametrize(
    "arguments",
    [
        {"api_key": KEY},
        {"key": KEY},
        {"OPENAI_API_KEY": KEY},
        {"api_key_env": KEY},
        {"api_key_env": "sk0123456789"},
        {"base_url": f"http://me:{KEY.replace('/', '')}@127.0.0.1/v1"},
        {"base_url": "http://127.0.0.1/v1?key=sk-0123456789"},
        {"base_url": "http://127.0.0.1/sk-0123456789/v1", "api_key_env": "SHORT"},
        {"extra_body": {"provider": {"api_key": KEY}}},
        {"extra_body": {"user": "sk-0123456789"}, "api_key_env": "SHORT"},
        {"api_key_env": "SPACED"},
    ],
)
def test_a_key_among_the_arguments_is_refused_unsaid(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORT", "sk-0123456789")
    monkeypatch.setenv("SPACED", "sk-0123456789\nsk-0123456789")
    with pytest.raises(OptionError) as caught:
        ApiAudioLM(**{"base_url": "http://127.0.0.1/v1", "model": "x"} | arguments)
    assert "0123456789" not in str(caught.value)


def test_a_short_key_is_no_secret() -> None:
    answer = read_completion(completion("EMPTY").body, Secret("EMPTY", "K"))
    assert answer.text == "EMPTY"


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_url": ""}, "needs base_url="),
        ({"base_url": "127.0.0.1:8000"}, "needs base_url="),
        ({"base_url": "http://[::1/v1"}, "cannot be read as a URL"),
        ({"base_url": "http://a:port/v1"}, "cannot be read as a URL"),
        ({"model": " "}, "needs model="),
        ({"api_key_env": "NOT_SET_HERE"}, "NOT_SET_HERE, which is not set"),
        ({"concurrency": 0}, "concurrency=0: expected a number at least 1"),
        ({"timeout_s": "soon"}, "timeout_s='soon'"),
        ({"timeout_s": 0}, "above 0"),
        ({"retries": -1}, "at least 0"),
        ({"requests_per_minute": 0}, "above 0"),
        ({"max_cost_usd": 5}, "needs price_in= and price_out="),
        ({"audio_format": "mp3"}, "expected wav or flac"),
        ({"max_tokens_field": "max"}, "max_tokens or max_completion_tokens"),
        ({"extra_body": "{"}, "extra_body is not JSON"),
        ({"extra_body": "[1]"}, "must be a JSON object, got list"),
        ({"extra_body": {"temperature": 1}}, "'temperature' is set by the run"),
        ({"extra_body": {"model": None}}, "'model' is set by the run"),
        ({"colour": "red"}, r"'colour' not known.*allowed: base_url"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ApiAudioLM(**{"base_url": "http://127.0.0.1/v1", "model": "x"} | arguments)


def test_the_fingerprint_is_host_and_model() -> None:
    def of(**arguments: Any) -> dict[str, Any]:
        given = {"base_url": "https://api.example.org/v1?api-version=3", "model": "org/m"}
        return ApiAudioLM(**given | arguments).fingerprint()

    plain = of()
    assert (plain["endpoint"], plain["model"]) == ("api.example.org", "org/m")
    assert of(concurrency=3, timeout_s=9, audio_format="flac", retries=1) == plain
    assert of(endpoint="cluster")["endpoint"] == "cluster"
    assert of(base_url="http://n1:8000")["endpoint"] == "n1:8000"
    assert of(extra_body={"a": 1}) != plain
    assert ApiAudioLM("http://n1:8000", "org/m").name == "m"


def test_without_httpx_the_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'voxemo-tasks\[api\]'"):
        ApiAudioLM("http://127.0.0.1/v1", "x")
