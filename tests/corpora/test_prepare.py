"""Preparing a local copy: rows, bad files, and what holds when things go wrong on the way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_rows import row, write_rows

from voxemo_tasks import corpora, registry
from voxemo_tasks.corpora import load_manifest, prepare, prepared, prepared_ids
from voxemo_tasks.errors import (
    CorpusError,
    NotPreparedError,
    OptionError,
    StoreError,
    UnknownNameError,
)
from voxemo_tasks.specs import CorpusCard

WithCard = Callable[..., CorpusCard]
Clip = Callable[..., Path]

prepare_module = sys.modules[prepare.__module__]
measuring_module = sys.modules["voxemo_tasks.corpora.measuring"]


def test_rows_are_complete(home: Path, urdu_tree: Path) -> None:
    report = prepare("urdu", urdu_tree, progress=False)
    assert (report.n, report.usable, report.registered) == (12, 12, True)
    assert report.hours == pytest.approx(4 * (0.1 + 0.2 + 0.3) / 3600)
    manifest = load_manifest(report.path)
    ids = manifest.column("utterance_id")
    assert ids == sorted(ids)
    u = manifest.row(ids.index("SF2_F2_S02"))
    assert (u.raw_label, u.label, u.speaker, u.gender) == ("S", "sad", "SF2", "female")
    assert (u.language, u.culture) == ("ur-PK", "PK")
    assert (u.duration_s, u.sampling_rate_hz, u.error) == (0.2, 8000, None)
    assert [(s.protocol, s.fold, s.role) for s in u.splits] == [("all", 1, "test")]
    assert u.sha256 == hashlib.sha256((urdu_tree / u.path).read_bytes()).hexdigest()
    assert len(corpora.expect(manifest, registry.corpus("urdu")[0])) == len(report.differences) == 7


def test_registering(home: Path, urdu_tree: Path) -> None:
    assert prepared_ids() == []
    with pytest.raises(NotPreparedError, match=r"voxemo corpora prepare urdu --root DIR\nDIR is"):
        prepared("urdu")
    with pytest.raises(NotPreparedError, match=r"run:\n  voxemo corpora prepare mini$"):
        prepared("mini")
    with pytest.raises(UnknownNameError, match="did you mean 'urdu'"):
        prepared("urdoo")
    report = prepare("urdu", urdu_tree, progress=False)
    assert report.path == home / "corpora/urdu/manifest.parquet"
    assert prepared_ids() == ["urdu"]
    entry = prepared("urdu")
    assert (entry.n, entry.digest, entry.root) == (12, report.digest, urdu_tree)
    assert not entry.card_changed
    assert len(entry.manifest()) == 12
    assert json.loads((home / "corpora/urdu/corpus.json").read_text()) == {
        "id": "urdu",
        "root": str(urdu_tree),
        "manifest_digest": report.digest,
        "card_digest": registry.corpus("urdu")[1],
        "n": 12,
        "prepared_with": "0.1.0",
    }
    assert sorted(p.name for p in report.path.parent.iterdir()) == [
        "corpus.json",
        "manifest.parquet",
    ]
    urdu_tree.rename(urdu_tree.with_name("moved"))
    with pytest.raises(CorpusError, match="which is not there now; mount it, or prepare again"):
        prepared("urdu").require_root()


def test_out_registers_nothing(home: Path, urdu_tree: Path, tmp_path: Path) -> None:
    report = prepare("urdu", urdu_tree, out=tmp_path / "a/b.parquet", progress=False)
    assert report.path == tmp_path / "a/b.parquet"
    assert not report.registered
    assert len(load_manifest(report.path)) == 12
    assert not (home / "corpora").exists()


def test_the_digest_is_that_of_the_files_wherever_they_lie(
    home: Path, urdu_tree: Path, tmp_path: Path
) -> None:
    one = prepare("urdu", urdu_tree, out=tmp_path / "1.parquet", progress=False, workers=1)
    urdu_tree.rename(tmp_path / "elsewhere")
    two = prepare("urdu", tmp_path / "elsewhere", out=tmp_path / "2.parquet", progress=False)
    assert one.digest == two.digest
    (tmp_path / "elsewhere/Sad/SF2_F2_S02.wav").unlink()
    three = prepare("urdu", tmp_path / "elsewhere", out=tmp_path / "3.parquet", progress=False)
    assert three.digest != one.digest


# --- files that cannot be used --------------------------------------------------------------------


@pytest.fixture
def broken_tree(urdu_tree: Path) -> Path:
    (urdu_tree / "Angry/SM1_F1_A01.wav").write_bytes(b"")
    (urdu_tree / "Angry/SF2_F2_A02.wav").write_text("not audio")
    whole = (urdu_tree / "Happy/SM1_F1_H01.wav").read_bytes()
    (urdu_tree / "Happy/SM1_F1_H01.wav").write_bytes(
        whole[: whole.index(b"data") + 4] + b"\0\0\0\0"
    )
    (urdu_tree / "Sad/SM1_F1_S01.wav").unlink()
    (urdu_tree / "Sad/SM1_F1_S01.wav").symlink_to("nowhere.wav")
    (urdu_tree / "Sad/hello.wav").write_bytes(b"x")
    return urdu_tree


def test_unusable_files_are_listed_and_refused(home: Path, broken_tree: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        prepare("urdu", broken_tree, progress=False)
    text = str(caught.value)
    assert "4 of the 12 utterances of URDU-Dataset have no usable file" in text
    assert "  Angry/SF2_F2_A02.wav: is not audio that libsndfile or FFmpeg can read" in text
    assert "  Angry/SM1_F1_A01.wav: is empty (0 bytes)" in text
    assert "  Happy/SM1_F1_H01.wav: holds no audio samples" in text
    assert "  Sad/SM1_F1_S01.wav: there is no such file" in text
    assert "--allow-missing" in text
    assert prepared_ids() == []


def test_unusable_files_are_recorded(home: Path, broken_tree: Path) -> None:
    report = prepare("urdu", broken_tree, allow_missing=True, progress=False)
    assert (report.n, report.usable) == (12, 8)
    manifest = load_manifest(report.path)
    failed = {u.path: u for u in manifest.utterances() if u.error is not None}
    assert failed.keys() == {p.path for p in report.unusable}
    assert failed["Angry/SM1_F1_A01.wav"].error == "is empty (0 bytes); fetch it again"
    assert failed["Angry/SM1_F1_A01.wav"].label == "angry"
    assert failed["Angry/SM1_F1_A01.wav"].sha256 is None
    said = manifest.facts.report
    assert (said["n"], said["n_unusable"], said["n_not_in_corpus"]) == (12, 4, 1)
    assert said["unusable"][1] == {
        "path": "Angry/SM1_F1_A01.wav",
        "reason": "is empty (0 bytes); fetch it again",
    }
    assert said["not_in_corpus"][0]["path"] == "Sad/hello.wav"
    # 12 rows, 8 of them usable: expectations count what can be heard.
    why = "utterances: 400 expected, 8 found (4 unusable, 1 left out by prepare)"
    assert why in map(str, report.differences)


def test_only_the_first_ten_are_named(home: Path, urdu_tree: Path) -> None:
    for file in urdu_tree.rglob("*.wav"):
        file.write_bytes(b"")
    for allow in (False, True):  # nothing usable is no corpus, whatever is allowed
        with pytest.raises(CorpusError, match=r"… and 2 more \(12 in all\)"):
            prepare("urdu", urdu_tree, allow_missing=allow, progress=False)


def test_a_label_outside_the_card_is_listed(home: Path, jsonl_tree: Path) -> None:
    write_rows(
        jsonl_tree,
        [row(0, raw_label="bored"), row(1, votes={"meh": 1}), row(2, raw_label=None, votes=None)],
    )
    report = prepare("mini", jsonl_tree, progress=False)
    assert [p.path for p in report.not_in_corpus] == ["en/0.wav", "en/1.wav"]
    assert "its label 'bored' is not on the card; known: angry" in report.not_in_corpus[0].reason
    (u,) = load_manifest(report.path).utterances()
    assert (u.raw_label, u.label, u.votes) == (None, None, None)
    write_rows(jsonl_tree, [row(0, raw_label="bored")])
    with pytest.raises(CorpusError, match=r"no file of Mini corpus .* could be taken"):
        prepare("mini", jsonl_tree, progress=False)


def test_votes_under_canonical_names(home: Path, jsonl_tree: Path, with_card: WithCard) -> None:
    card, _ = registry.corpus("mini")
    with_card("mini", "t", labels={**card.labels, "furious": "angry"})
    votes = {"furious": 1, "angry": 2}
    write_rows(jsonl_tree, [row(0, votes=votes, rater_votes={"r": ["furious"]})])
    report = prepare("t", jsonl_tree, progress=False)
    (u,) = load_manifest(report.path).utterances()
    assert u.votes == {"angry": 3}
    assert u.rater_votes == {"r": ("angry",)}
    assert [s.protocol for s in u.splits] == ["all", "speakers"]


def test_a_missing_file_of_the_metadata(home: Path, jsonl_tree: Path) -> None:
    (jsonl_tree / "en/1.wav").unlink()
    with pytest.raises(CorpusError, match=r"1 of the 3 utterances.*\n  en/1.wav: there is no such"):
        prepare("mini", jsonl_tree, progress=False)


@pytest.mark.parametrize("path", ["../secret.wav", "/etc/secret.wav", "en/../../secret.wav"])
def test_a_path_outside_the_root_is_refused(home: Path, jsonl_tree: Path, path: str) -> None:
    write_rows(jsonl_tree, [row(0), row(1, path=path)])
    with pytest.raises(CorpusError, match="points outside the corpus root, and is refused"):
        prepare("mini", jsonl_tree, progress=False, allow_missing=True)


def test_an_id_that_stands_twice(home: Path, urdu_tree: Path, jsonl_tree: Path, clip: Clip) -> None:
    clip(urdu_tree / "copy/Sad/SF2_F2_S02.wav")
    with pytest.raises(CorpusError, match=r"1 utterance id\(s\) stand twice") as caught:
        prepare("urdu", urdu_tree, progress=False)
    assert "Sad/SF2_F2_S02.wav and copy/Sad/SF2_F2_S02.wav" in str(caught.value)


def test_a_protocol_that_the_card_lacks(home: Path, jsonl_tree: Path) -> None:
    write_rows(jsonl_tree, [row(0, splits=[{"protocol": "p", "fold": 1, "role": "test"}])])
    with pytest.raises(CorpusError, match="the protocol 'p' is not on the card of 'mini'; known"):
        prepare("mini", jsonl_tree, progress=False)


def test_segments_of_one_file(
    home: Path, tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "long"
    soundfile.write(clip(root / "en/0.wav"), np.zeros((16_000, 2)), 8000)
    read: list[Path] = []
    true_facts = measuring_module.file_facts  # type: ignore[attr-defined]
    monkeypatch.setattr(
        measuring_module, "file_facts", lambda path: (read.append(path), true_facts(path))[1]
    )
    rows = [
        row(i, path="en/0.wav", start_s=0.1 * i, end_s=0.1 * i + 0.25, channel=i % 2)
        for i in range(17)
    ]
    write_rows(root, rows)
    report = prepare("mini", root, progress=False)
    lengths = load_manifest(report.path).column("duration_s")
    assert lengths == [0.25] * 17
    assert len(read) == 1  # once for all of them
    rows[3] |= {"channel": 2}
    rows[4] |= {"end_s": 2.5}
    rows[5] |= {"start_s": 0.9, "end_s": 0.8}
    write_rows(root, rows)
    with pytest.raises(CorpusError) as caught:
        prepare("mini", root, progress=False)
    text = str(caught.value)
    assert "3 of the 17" in text
    assert "en/0.wav: channel 2 does not exist" in text
    assert "en/0.wav: the segment from 0.4 s to 2.5 s is not in the file" in text
    assert "en/0.wav: the segment from 0.9 s to 0.8 s is not one" in text


# --- calls that cannot work -----------------------------------------------------------------------


def test_calls_without_a_root(home: Path) -> None:
    with pytest.raises(CorpusError, match="voxemo corpora prepare urdu --root DIR"):
        prepare("urdu", progress=False)
    with pytest.raises(UnknownNameError, match="did you mean 'mini'"):
        prepare("minni", progress=False)


def test_workers_must_be_some(home: Path, urdu_tree: Path) -> None:
    with pytest.raises(OptionError, match="workers=0"):
        prepare("urdu", urdu_tree, workers=0, progress=False)


def test_what_cannot_be_written_is_said_first(
    home: Path, urdu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> object:
        raise AssertionError("the corpus was read before the output was tried")

    monkeypatch.setattr(prepare_module, "reader", lambda family: never)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"cannot write .*/file/x.parquet: a folder on the way is a file"
    ):
        prepare("urdu", urdu_tree, out=tmp_path / "file/x.parquet", progress=False)
    with pytest.raises(StoreError, match="is a folder"):
        prepare("urdu", urdu_tree, out=tmp_path, progress=False)
    monkeypatch.setenv("VOXEMO_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="VOXEMO_HOME"):
        prepare("urdu", urdu_tree, progress=False)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_without_permission(home: Path, urdu_tree: Path) -> None:
    home.chmod(0o555)
    with pytest.raises(StoreError, match="Permission denied"):
        prepare("urdu", urdu_tree, progress=False)
    home.chmod(0o755)


# --- at once, and killed --------------------------------------------------------------------------


def test_two_at_once_leave_one_whole_manifest(home: Path, urdu_tree: Path, clip: Clip) -> None:
    other = urdu_tree.with_name("other")
    clip(other / "Sad/SM1_F1_S01.wav")
    seen: set[int] = set()
    errors: list[BaseException] = []
    stop = threading.Event()

    def again(root: Path) -> None:
        try:
            for _ in range(8):
                prepare("urdu", root, progress=False, workers=2)
        except BaseException as error:
            errors.append(error)

    def watch() -> None:
        try:
            while not stop.is_set():
                if prepared_ids():
                    manifest = prepared("urdu").manifest()
                    manifest.verify()
                    seen.add(len(manifest))
        except BaseException as error:
            errors.append(error)

    watcher = threading.Thread(target=watch)
    writers = [threading.Thread(target=again, args=(r,)) for r in (urdu_tree, other)]
    for thread in (watcher, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    watcher.join()
    assert not errors
    assert seen <= {12, 1}
    entry = prepared("urdu")
    assert (entry.n, entry.root) in {(12, urdu_tree), (1, other)}


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_any_moment(home: Path, urdu_tree: Path) -> None:
    first = prepare("urdu", urdu_tree, progress=False)
    script = (
        "from voxemo_tasks.corpora import prepare\n"
        "print('ready', flush=True)\n"
        f"while True: prepare('urdu', {str(urdu_tree)!r}, progress=False)\n"
    )
    for i in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            env={**os.environ, "VOXEMO_HOME": str(home)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.01 + 0.037 * i)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        manifest = prepared("urdu").manifest()
        manifest.verify()
        assert manifest.digest == first.digest


def test_a_manifest_of_another_corpus_in_its_place(home: Path, urdu_tree: Path) -> None:
    path = prepare("urdu", urdu_tree, progress=False).path
    (home / "corpora/mini").mkdir()
    path.rename(home / "corpora/mini/manifest.parquet")
    with pytest.raises(CorpusError, match="is the manifest of corpus 'urdu'"):
        prepared("mini")


def test_memory_does_not_grow_with_the_objects(
    home: Path, tmp_path: Path, with_card: WithCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Utterances stream: a bounded number of them exists while 20,000 pass through."""
    from voxemo_tasks.audio import AudioFacts
    from voxemo_tasks.records import Utterance

    made = alive = most = 0

    class Counted(Utterance):
        def __init__(self, *args: object, **kwargs: object) -> None:
            nonlocal made, alive, most
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            made += 1
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def many(card: object, root: Path):  # type: ignore[no-untyped-def]
        for i in range(20_000):
            yield Counted(f"u{i}", f"{i}.wav", raw_label="A")

    monkeypatch.setattr(prepare_module, "reader", lambda family: many)
    monkeypatch.setattr(
        measuring_module, "file_facts", lambda path: (AudioFacts(1.0, 8000, 1, 8000), "0" * 64)
    )
    report = prepare("urdu", tmp_path, out=tmp_path / "m.parquet", progress=False, workers=4)
    assert report.n == 20_000
    assert made >= 20_000
    assert most < 9000, most  # batches of 4096, and those that are worked on
