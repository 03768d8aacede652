"""``voxemo corpora``: what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from voxemo_tasks.cli import main

Clip = Callable[..., Path]


def voxemo(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["corpora", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_ls(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert voxemo(capsys, "prepare", "mini", "--no-progress")[0] == 0
    status, out, _ = voxemo(capsys, "ls")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split() == [
        "ID",
        "NAME",
        "LANGUAGES",
        "UTTERANCES",
        "VERIFIED",
        "ON",
        "PREPARED",
    ]
    mini = next(line for line in lines if line.startswith("mini "))
    assert mini.endswith(" 147")
    assert "en-US, de-DE, fr-FR +4" in mini
    urdu = next(line for line in lines if line.startswith("urdu "))
    assert urdu.endswith(" -")
    at = lines[0].index("VERIFIED")
    assert all(line[at - 1] == " " != line[at] for line in lines)  # columns stand under each other

    (home / "corpora/mini/manifest.parquet").write_bytes(b"damaged")
    _, out, _ = voxemo(capsys, "ls", "--json")
    states = {row["id"]: row["prepared"] for row in json.loads(out)}
    assert states["urdu"] is None
    assert states["mini"]["error"] == "damaged"
    assert voxemo(capsys, "ls")[0] == 0


def test_show(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = voxemo(capsys, "show", "urdu")
    assert status == 0
    for words in ("A → angry", "29", "ur-PK", "research only", "prepared       no", "38 speakers"):
        assert words in out
    assert "synthetic, not a result" in voxemo(capsys, "show", "mini")[1]
    facts = json.loads(voxemo(capsys, "show", "urdu", "--json")[1])
    assert facts["labels"]["S"] == "sad"
    assert facts["schema"] == "voxemo-corpus/1"
    assert facts["prepared"] is None
    status, _, err = voxemo(capsys, "show", "urdoo")
    assert status == 2
    assert "no corpus is called 'urdoo'; did you mean 'urdu'" in err


def test_prepare_and_check(
    home: Path, urdu_tree: Path, clip: Clip, capsys: pytest.CaptureFixture[str]
) -> None:
    clip(urdu_tree / "hello.wav")
    status, out, _ = voxemo(capsys, "prepare", "urdu", "--root", str(urdu_tree), "--no-progress")
    assert status == 0
    assert "urdu: 12 utterances, 0.001 h, from" in out
    assert "left out, not part of the corpus: 1 file(s)\n  hello.wav: its name does not" in out
    assert "differs from the counts on the card:\n  utterances: 400 expected, 12 found" in out

    status, out, _ = voxemo(capsys, "check", "urdu", "--no-progress")
    assert status == 0
    assert out.endswith("ok\n")
    status, out, _ = voxemo(capsys, "check", "urdu", "--expect", "--no-progress")
    assert status == 1
    assert "speakers: 29 expected, 2 found" in out
    assert "known defects of the corpus:\n  The README says 38 speakers" in out

    (urdu_tree / "Sad/SF2_F2_S02.wav").unlink()
    status, out, _ = voxemo(capsys, "check", "urdu", "--no-progress")
    assert status == 1
    assert out.endswith("NOT ok\n")


def test_prepare_with_gaps(
    home: Path, urdu_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (urdu_tree / "Sad/SF2_F2_S02.wav").write_bytes(b"")
    out_file = str(tmp_path / "u.parquet")
    call = ("prepare", "urdu", "--root", str(urdu_tree), "--out", out_file, "--no-progress")
    status, out, err = voxemo(capsys, *call)
    assert (status, out) == (2, "")
    assert "Sad/SF2_F2_S02.wav: is empty (0 bytes)" in err
    status, out, _ = voxemo(capsys, *call, "--allow-missing", "--workers", "2")
    assert status == 0
    assert "11 utterances" in out
    assert "(not registered)" in out
    assert "recorded as unusable: 1 file(s)\n  Sad/SF2_F2_S02.wav: is empty" in out


def test_mini_meets_its_expectations(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert voxemo(capsys, "prepare", "mini", "--no-progress")[0] == 0
    status, out, _ = voxemo(capsys, "check", "mini", "--expect", "--no-progress")
    assert status == 0
    assert out.endswith("counts are those of the card\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "urdu"), "voxemo corpora prepare urdu --root DIR"),
        (("prepare", "urdu"), "needs the folder of a local copy"),
        (("prepare", "urdu", "--root", "/nowhere/at/all"), "there is no such folder"),
        (("prepare", "mini", "--workers", "0"), "workers=0; at least 1"),
    ],
)
def test_bad_calls(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    status, _, err = voxemo(capsys, *arguments)
    assert status == 2
    assert words in err
