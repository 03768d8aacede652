"""The run folder: keys by content, rows as they come, damage, two writers, a killed one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks.errors import StoreError
from voxemo_tasks.records import AudioRef, Decoding, Request, Response, Transform
from voxemo_tasks.store import (
    Asked,
    RunStore,
    read_run,
    reading,
    reply_key,
    request_key,
    sample_seed,
)

FINGERPRINT = {"model": "m", "engine": "e", "dtype": "float32"}
REQUEST = Request(
    prompt_id="direct_en@1",
    prompt_digest="p",
    messages=({"role": "user", "content": [{"type": "text", "text": "What emotion?"}]},),
    audio=(AudioRef(path="/data/a.wav", sha256="aa"),),
    decoding=Decoding(max_new_tokens=8),
)
KEY = request_key(FINGERPRINT, REQUEST)


def answer(key: str, text: str = "angry", error: str | None = None) -> Response:
    return Response(key, "" if error else text, "error" if error else "stop", error=error)


def open_store(folder: Path, **changes: Any) -> RunStore:
    return RunStore(folder, FINGERPRINT | changes, synthetic=False)


@pytest.mark.parametrize(
    "same",
    [
        replace(REQUEST, prompt_id="other@2", prompt_digest="q"),
        replace(REQUEST, audio=(AudioRef("/moved/b.wav", "aa", duration_s=3.0),)),
        replace(REQUEST, decoding=Decoding(max_new_tokens=8, seed=5, top_p=0.5)),  # greedy
    ],
)
def test_a_key_is_content_alone(same: Request) -> None:
    assert request_key(FINGERPRINT, same) == KEY


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, messages=({"role": "user", "content": []},)),
        replace(REQUEST, audio=(AudioRef("/data/a.wav", "bb"),)),
        replace(REQUEST, audio=(AudioRef("/data/a.wav", "aa", start_s=1.0),)),
        replace(REQUEST, audio=(AudioRef("/data/a.wav", "aa", channel=1),)),
        replace(REQUEST, audio=(AudioRef("/data/a.wav", "aa", transforms=(Transform("x"),)),)),
        replace(REQUEST, decoding=Decoding(max_new_tokens=9)),
        replace(REQUEST, decoding=Decoding(max_new_tokens=8, stop=("\n",))),
        replace(REQUEST, decoding=Decoding(max_new_tokens=8, temperature=0.5)),
    ],
)
def test_a_key_changes_with_everything_that_is_heard_or_asked(other: Request) -> None:
    assert request_key(FINGERPRINT, other) != KEY


def test_a_key_changes_with_model_and_sampling_seed() -> None:
    assert request_key(FINGERPRINT | {"dtype": "bfloat16"}, REQUEST) != KEY
    one, two = (replace(REQUEST, decoding=Decoding(temperature=1.0, seed=seed)) for seed in (1, 2))
    assert request_key(FINGERPRINT, one) != request_key(FINGERPRINT, two)


def test_sample_seeds_depend_on_base_request_and_sample() -> None:
    seeds = {sample_seed(b, k, s) for b in (0, 1) for k in ("a", "b") for s in range(3)}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_text_is_kept_verbatim(tmp_path: Path) -> None:
    texts = [
        "e\u0301 stays decomposed",
        "line\nbreak\r\n\u2028",
        "emoji 😡",
        "lone \ud800 half",
        "",
    ]
    with open_store(tmp_path) as store:
        store.write(*(answer(f"k{i}:0", text) for i, text in enumerate(texts)))
    run = read_run(tmp_path)
    for i, text in enumerate(texts):
        stored = run.reply(f"k{i}:0")
        assert stored is not None
        assert stored.text == text
    for shard in (tmp_path / "replies").iterdir():
        shard.read_bytes().decode("utf-8")  # the file itself stays UTF-8


def test_rows_are_on_disk_before_the_store_is_closed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(answer("k:0"))
    assert read_run(tmp_path).has("k:0")


def test_what_is_stored_is_found_by_the_next_process_only_if_good(tmp_path: Path) -> None:
    with open_store(tmp_path) as first:
        first.write(answer("good:0"), answer("bad:0", error="engine fell over"))
    second = open_store(tmp_path)
    found = second.find("good:0")
    assert found is not None
    assert found.text == "angry"
    assert second.find("bad:0") is None
    assert not second.has("bad:0")
    assert second.reused == 1
    failed = read_run(tmp_path).reply("bad:0")
    assert failed is not None  # kept as a record of what happened
    assert failed.error == "engine fell over"


@pytest.mark.parametrize("order", [("error", "good"), ("good", "error")])
def test_a_good_row_beats_a_failed_one_in_either_order(tmp_path: Path, order: Any) -> None:
    for kind in order:
        with open_store(tmp_path) as store:
            store.write(answer("k:0", error="no" if kind == "error" else None))
        time.sleep(0.002)
    run = read_run(tmp_path)
    assert run.has("k:0")
    reply = run.reply("k:0")
    assert reply is not None
    assert reply.text == "angry"


def test_a_torn_last_line_is_counted_and_asked_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(answer("a:0"), answer("b:0"))
    (shard,) = (tmp_path / "replies").iterdir()
    shard.write_bytes(shard.read_bytes()[:-20])
    run = read_run(tmp_path)
    assert run.damaged == 1
    assert run.has("a:0")
    assert not run.has("b:0")
    with open_store(tmp_path) as store:
        assert store.find("b:0") is None
        store.write(answer("b:0"))
    assert read_run(tmp_path).has("b:0")


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with pytest.raises(StoreError, match=r"dtype: 'float32' there, 'bfloat16' now.*--output_path"):
        open_store(tmp_path, dtype="bfloat16")


def test_of_two_models_at_once_in_one_folder_the_second_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look before either has written: the one that comes later must not take the folder."""
    first = open_store(tmp_path)
    looked = Path.exists
    monkeypatch.setattr(Path, "exists", lambda p: p.name != "run.json" and looked(p))
    with pytest.raises(StoreError, match="another model"):
        open_store(tmp_path, dtype="bfloat16")
    assert read_run(tmp_path).run["fingerprint"] == first.fingerprint
    assert not list(tmp_path.glob(".run.json*"))


def test_what_this_process_wrote_is_found_too(tmp_path: Path) -> None:
    """A model that is used twice in one process must not ask, and pay, twice."""
    with open_store(tmp_path) as store:
        store.write(answer("k:0", "\u00e4"), answer("k:1", error="no memory"), answer("k:2", "sad"))
        store.write(answer("k:3", "angry"), answer("k:3", "happy"))
        found = [store.find(f"k:{n}") for n in range(4)]
        assert [r and r.text for r in found] == ["\u00e4", None, "sad", "angry"]
        store.write(answer("k:1", "now it went"))
        assert store.has("k:1")
    assert open_store(tmp_path).find("k:3") == answer("k:3", "angry")


def test_a_shard_is_opened_once_for_all_that_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for writer in range(3):
        with open_store(tmp_path) as store:
            store.write(*(answer(f"{writer}-{n}:0", f"reply {writer} {n}") for n in range(50)))
    opened: list[str] = []
    plain = Path.open

    def counted(self: Path, *args: Any, **options: Any) -> Any:
        opened.append(self.name)
        return plain(self, *args, **options)

    second = open_store(tmp_path)
    monkeypatch.setattr(Path, "open", counted)
    for n in range(50):
        for writer in range(3):
            found = second.find(f"{writer}-{n}:0")
            assert found is not None
            assert found.text == f"reply {writer} {n}"
    assert len(opened) == len(set(opened)) == 3
    second.close()
    opened.clear()
    keys = [f"{writer}-{n}:0" for n in range(51) for writer in (2, 0, 1)]
    monkeypatch.setattr(reading, "OPEN_SHARDS", 1)
    reused = second.reused
    all_of_them = second.find_all(iter(keys))
    assert {key: found.text for key, found in all_of_them.items()} == {
        f"{writer}-{n}:0": f"reply {writer} {n}" for n in range(50) for writer in range(3)
    }
    assert second.reused == reused + 150
    assert len(opened) == len(set(opened)) == 3


def test_many_shards_are_not_all_open_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "OPEN_SHARDS", 4)
    for writer in range(12):
        with open_store(tmp_path) as store:
            store.write(answer(f"{writer}:0"), answer(f"{writer}:1", "second"))
    files = Path("/proc/self/fd")
    second, run = open_store(tmp_path), read_run(tmp_path)
    for sample, text in ((0, "angry"), (1, "second"), (0, "angry")):
        for writer in range(12):
            for found in (second.find(f"{writer}:{sample}"), run.reply(f"{writer}:{sample}")):
                assert found is not None
                assert found.text == text
    if files.is_dir():
        shards = [f for f in files.iterdir() if "replies" in os.path.realpath(f)]
        assert len(shards) == 2 * 4


def test_a_shard_that_was_changed_in_between_is_said(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(answer("a:0"), answer("b:0"))
    second = open_store(tmp_path)
    (shard,) = (tmp_path / "replies").glob("*.jsonl")
    shard.write_bytes(shard.read_bytes()[:-30])
    with pytest.raises(StoreError, match="was changed by another hand"):
        second.find("b:0")
    assert second.find("a:0") is not None
    shard.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        open_then_gone(tmp_path, shard).find("a:0")


def open_then_gone(folder: Path, shard: Path) -> RunStore:
    """A store whose shard is deleted after it was indexed."""
    shard.write_bytes(json.dumps(answer("a:0").to_json()).encode() + b"\n")
    store = open_store(folder)
    shard.unlink()
    return store


def test_two_writers_at_once(tmp_path: Path) -> None:
    first, second = open_store(tmp_path), open_store(tmp_path)
    assert first.session != second.session
    for i in range(50):
        first.write(answer(f"a{i}:0"))
        second.write(answer(f"b{i}:0"), answer(f"a{i}:0", "sad"))
    first.close()
    second.close()
    run = read_run(tmp_path)
    assert run.damaged == 0
    assert all(run.has(f"{x}{i}:0") for x in "ab" for i in range(50))


def test_questions_are_recorded_once_a_session(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    row = Asked("t", "d", "u1", "p@1", KEY, 2, store.session)
    for _ in range(3):
        store.ask(row)
    store.close()
    assert read_run(tmp_path).asked == [row]


def test_a_full_disk_is_said_and_nothing_stored_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    store.write(answer("a:0"))

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match=r"No space left.*same command again"):
        store.write(answer("b:0"))
    monkeypatch.undo()
    assert read_run(tmp_path).has("a:0")


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run folder"):
        read_run(tmp_path)
    open_store(tmp_path / "inner").close()
    with pytest.raises(StoreError, match=r"did you mean .*inner"):
        read_run(tmp_path)


WRITER = """
import sys
from pathlib import Path
from voxemo_tasks.records import Response
from voxemo_tasks.store import RunStore
store = RunStore(Path(sys.argv[1]), {"model": "m"}, synthetic=False)
for i in range(10**9):
    store.write(Response(f"k{i}:0", "x" * 500, "stop"))
    sys.stdout.write(f"{i}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_no_acknowledged_row(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged >= 500:
            break
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait()
    run = read_run(tmp_path)
    assert all(run.has(f"k{i}:0") for i in range(acknowledged + 1))
    assert run.damaged <= 1


def test_a_session_record_has_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    store = open_store(tmp_path)
    store.note({"engine": {"device": "cpu"}})
    store.finish()
    store.close()
    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"sk-very-secret" not in everything
    (session,) = (tmp_path / "sessions").iterdir()
    assert json.loads(session.read_text())["finished"] is not None


def test_reply_key() -> None:
    assert reply_key(KEY, 2) == f"{KEY}:2"
