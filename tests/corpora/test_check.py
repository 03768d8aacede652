"""Checking a prepared corpus, and comparing it with published counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxemo_tasks import registry
from voxemo_tasks.corpora import CheckReport, check, expect, load_manifest, prepare
from voxemo_tasks.errors import NotPreparedError, OptionError
from voxemo_tasks.specs import CorpusCard

WithCard = Callable[..., CorpusCard]
Clip = Callable[..., Path]


def kinds(report: CheckReport) -> list[tuple[str, str]]:
    return [(kind, problem.path) for kind, problem in report.problems]


def test_all_is_well(home: Path, urdu_tree: Path) -> None:
    prepare("urdu", urdu_tree, progress=False)
    report = check("urdu")
    assert report.ok
    assert (report.n, report.good, report.known) == (12, 12, 0)
    assert report.table().endswith("\nok")
    assert "  good                            12\n" in report.table()


def test_what_changed_since_is_told(home: Path, urdu_tree: Path, clip: Clip) -> None:
    clip(urdu_tree / "Happy/SM1_F4_H04.flac")  # not a corpus file, so no concern
    prepare("urdu", urdu_tree, progress=False)
    (urdu_tree / "Angry/SM1_F1_A01.wav").unlink()
    (urdu_tree / "Angry/SF2_F2_A02.wav").write_bytes(b"")
    clip(urdu_tree / "Happy/SM1_F1_H01.wav", 0.5)
    clip(urdu_tree / "Sad/SM9_F9_S99.wav")
    report = check("urdu")
    assert not report.ok
    assert report.good == 9
    assert sorted(kinds(report)) == [
        ("changed", "Angry/SF2_F2_A02.wav"),
        ("changed", "Happy/SM1_F1_H01.wav"),
        ("missing", "Angry/SM1_F1_A01.wav"),
        ("not_in_manifest", "Sad/SM9_F9_S99.wav"),
    ]
    table = report.table()
    assert "  changed since prepared           2\n" in table
    assert "missing or unreadable:\n  Angry/SM1_F1_A01.wav: cannot be read (No such file" in table
    assert table.endswith("\nNOT ok")


def test_what_cannot_be_decoded_is_told(home: Path, urdu_tree: Path, tmp_path: Path) -> None:
    """A good header over damaged data: the digest is right, and decoding fails."""
    import numpy as np
    import soundfile

    target = urdu_tree / "Angry/SM1_F1_A01.wav"  # FLAC bytes, whatever the name says
    soundfile.write(target, np.random.default_rng(0).normal(0, 0.1, 9000), 8000, format="FLAC")
    target.write_bytes(target.read_bytes()[:6000])
    nan = urdu_tree / "Angry/SF2_F2_A02.wav"
    soundfile.write(nan, np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    prepare("urdu", urdu_tree, progress=False)
    report = check("urdu")
    assert sorted(kinds(report)) == [
        ("undecodable", "Angry/SF2_F2_A02.wav"),
        ("undecodable", "Angry/SM1_F1_A01.wav"),
    ]
    reasons = sorted(problem.reason for _, problem in report.problems)
    assert reasons[0].startswith("1 of 2 samples are NaN")
    assert reasons[1].startswith("is damaged")


def test_what_was_known_is_not_wrong(home: Path, urdu_tree: Path) -> None:
    (urdu_tree / "Angry/SM1_F1_A01.wav").write_bytes(b"")
    prepare("urdu", urdu_tree, allow_missing=True, progress=False)
    report = check("urdu")
    assert report.ok
    assert (report.good, report.known) == (11, 1)


def test_a_root_that_is_gone(home: Path, urdu_tree: Path) -> None:
    prepare("urdu", urdu_tree, progress=False)
    urdu_tree.rename(urdu_tree.with_name("moved"))
    report = check("urdu")
    assert kinds(report) == [("missing", str(urdu_tree))]
    assert report.good == 0


def test_a_root_that_is_empty(home: Path, urdu_tree: Path) -> None:
    prepare("urdu", urdu_tree, progress=False)
    urdu_tree.rename(urdu_tree.with_name("moved"))
    urdu_tree.mkdir()
    report = check("urdu")
    assert [kind for kind, _ in report.problems] == ["missing"] * 13
    assert "… and 3 more (13 in all)" in report.table()


def test_rows_edited_by_hand(home: Path, urdu_tree: Path) -> None:
    path = prepare("urdu", urdu_tree, progress=False).path
    table = pq.read_table(path)
    at = table.schema.get_field_index("label")
    edited = table.set_column(at, "label", pa.array(["happy"] * 12))
    pq.write_table(edited.replace_schema_metadata(table.schema.metadata), path)
    report = check("urdu")
    assert kinds(report) == [("manifest", str(path))]
    assert "was edited" in report.table()


def test_a_card_that_changed_is_noted(home: Path, urdu_tree: Path, with_card: WithCard) -> None:
    prepare("urdu", urdu_tree, progress=False)
    with_card("urdu", "urdu", notes="new")
    report = check("urdu")
    assert report.ok
    assert "note: the card has changed since; to use the new one: voxemo" in report.table()


def test_bad_calls(home: Path, urdu_tree: Path) -> None:
    with pytest.raises(NotPreparedError, match="voxemo corpora prepare urdu --root DIR"):
        check("urdu")
    prepare("urdu", urdu_tree, progress=False)
    with pytest.raises(OptionError, match="workers=-1"):
        check("urdu", workers=-1)


def test_segments_are_checked_one_by_one(home: Path, tmp_path: Path, clip: Clip) -> None:
    from corpus_rows import row, write_rows

    root = tmp_path / "long"
    clip(root / "en/0.wav", 2.0)
    rows = [row(i, path="en/0.wav", start_s=0.1 * i, end_s=0.1 * i + 0.2) for i in range(9)]
    write_rows(root, rows)
    prepare("mini", root, progress=False)
    # mini's files lie in the package unless a root was given, and one was
    assert check("mini").good == 9
    os.truncate(root / "en/0.wav", 5000)
    report = check("mini")
    assert [kind for kind, _ in report.problems] == ["changed"] * 9


# --- expectations ---------------------------------------------------------------------------------


def test_differences_from_the_card(home: Path, urdu_tree: Path, with_card: WithCard) -> None:
    report = prepare("urdu", urdu_tree, progress=False)
    manifest = load_manifest(report.path)

    def differences(**expected: object) -> list[str]:
        card = with_card("urdu", "t", expected=expected)
        return [str(d) for d in expect(manifest, card)]

    assert differences() == []
    good = {"A": 3, "H": 3, "N": 3, "S": 3}
    assert differences(utterances=12, speakers=2, labels=good) == []
    assert differences(utterances=13, speakers=3) == [
        "utterances: 13 expected, 12 found",
        "speakers: 3 expected, 2 found",
    ]
    assert differences(labels={"A": 4, "H": 3, "N": 3}) == [
        "label A: 4 expected, 3 found",
        "label S: 0 expected, 3 found",
    ]
    # 4 * (0.1 + 0.2 + 0.3) s = 2.4 s = 0.000666… h
    assert differences(hours=0.001) == differences(hours=0.0007) == differences(hours=0.0) == []
    assert differences(hours=0.0006) == ["hours: 0.0006 expected, 0.00067 found"]
    assert differences(hours=1.0) == ["hours: 1 expected, 0 found"]


def test_every_card_expects_labels_that_it_has() -> None:
    for card in registry.corpora():
        assert card.expected.labels.keys() <= card.labels.keys()
        if card.expected.labels and card.expected.utterances:
            assert sum(card.expected.labels.values()) == card.expected.utterances
