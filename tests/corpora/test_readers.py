"""Readers by layout: what they take, what they list, what they refuse."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus_rows import row, write_rows

from voxemo_tasks import registry
from voxemo_tasks.corpora import Problem
from voxemo_tasks.corpora.readers import OPTIONS, READERS, options, reader
from voxemo_tasks.errors import CorpusError, DataRoomError, UnknownNameError
from voxemo_tasks.records import Utterance
from voxemo_tasks.specs import CorpusCard

WithCard = Callable[..., CorpusCard]
Clip = Callable[..., Path]


def read(card_id: str, root: Path) -> tuple[dict[str, Utterance], dict[str, str]]:
    """Utterances by path, and problems by path."""
    card, _ = registry.corpus(card_id)
    found = list(reader(card.reader.family)(card, root))
    return (
        {u.path: u for u in found if isinstance(u, Utterance)},
        {p.path: p.reason for p in found if isinstance(p, Problem)},
    )


def test_every_card_names_a_family_and_options_it_knows() -> None:
    assert READERS.keys() == OPTIONS.keys()
    for card in registry.corpora():
        options(card, OPTIONS[card.reader.family])
    with pytest.raises(
        UnknownNameError, match="'filename_gramar'; did you mean 'filename_grammar'"
    ):
        reader("filename_gramar")


# --- file names -----------------------------------------------------------------------------------


def test_urdu_grammar(urdu_tree: Path) -> None:
    taken, problems = read("urdu", urdu_tree)
    assert not problems
    assert len(taken) == 12
    u = taken["Sad/SF2_F2_S02.wav"]
    assert (u.utterance_id, u.raw_label, u.speaker, u.gender) == (
        "SF2_F2_S02",
        "S",
        "SF2",
        "female",
    )
    assert (u.label, u.duration_s, u.sha256) == (None, None, None)  # prepare's business


def test_folders_above_and_missing_ones_do_not_matter(tmp_path: Path, clip: Clip) -> None:
    clip(tmp_path / "a b/URDU-Dataset.v1/é/Angry/SM1_F1_A01.wav")
    clip(tmp_path / "flat/SM1_F2_A02.WAV")
    taken, problems = read("urdu", tmp_path)
    assert {u.raw_label for u in taken.values()} == {"A"}
    assert len(taken) == 2
    assert not problems


def test_what_does_not_follow_the_grammar_is_listed(urdu_tree: Path, clip: Clip) -> None:
    clip(urdu_tree / "Angry/SM1_F9_H09.wav")  # folder and letter disagree
    clip(urdu_tree / "Angry/SX1_F9_A09.wav")
    clip(urdu_tree / "Angry/XSM1_F9_A09.wav")  # a name matches from its start only
    clip(urdu_tree / "Angry/SM1_F9_A09.wav.wav")
    (urdu_tree / "Angry/SM1_F8_A08.mp3").write_bytes(b"x")
    clip(urdu_tree / ".hidden.wav")
    clip(urdu_tree / "Angry/._SM1_F7_A07.wav")
    clip(urdu_tree / "__MACOSX/Angry/SM1_F7_A07.wav")
    (urdu_tree / "notes.txt").write_text("not audio")
    taken, problems = read("urdu", urdu_tree)
    assert len(taken) == 12
    assert problems == {
        "Angry/SM1_F8_A08.mp3": "is a .mp3 file; the corpus consists of .wav files",
        "Angry/SM1_F9_A09.wav.wav": "its name does not follow the corpus's grammar",
        "Angry/SM1_F9_H09.wav": "the folder says 'Angry' and the raw_label says 'H'; which is "
        "right cannot be told",
        "Angry/SX1_F9_A09.wav": "its name does not follow the corpus's grammar",
        "Angry/XSM1_F9_A09.wav": "its name does not follow the corpus's grammar",
    }


def test_decomposed_names(tmp_path: Path, clip: Clip, with_card: WithCard) -> None:
    """A grammar in NFC reads names that a Mac decomposed; the path stays as the disk has it."""
    composed, decomposed = (unicodedata.normalize(form, "fâché") for form in ("NFC", "NFD"))
    with_card(
        "urdu",
        "t",
        reader={
            "family": "filename_grammar",
            "options": {
                "pattern": f"(?P<raw_label>{composed})_(?P<speaker>[0-9]+)",
                "extensions": ["wav"],
                "values": {"raw_label": {composed: "A"}},
            },
        },
    )
    clip(tmp_path / f"{decomposed}_1.wav")
    taken, problems = read("t", tmp_path)
    (u,) = taken.values()
    assert not problems
    assert u.path == f"{decomposed}_1.wav"
    assert (u.utterance_id, u.raw_label, u.speaker) == (f"{composed}_1", "A", "1")


def test_names_that_are_not_utf8_are_listed(urdu_tree: Path) -> None:
    odd = urdu_tree / os.fsdecode(b"caf\xe9")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (odd / "SM1_F9_A09.wav").write_bytes(b"x")
    (odd / "notes.txt").write_bytes(b"x")
    (urdu_tree / "Angry" / os.fsdecode(b"SM1_F9_\xe9_A09.wav")).write_bytes(b"x")
    taken, problems = read("urdu", urdu_tree)
    assert len(taken) == 12
    reason = "its name is not UTF-8; rename it as the corpus has it"
    assert problems == {r"Angry/SM1_F9_\xe9_A09.wav": reason, r"caf\xe9/SM1_F9_A09.wav": reason}


def test_links_and_pipes(urdu_tree: Path, tmp_path: Path, clip: Clip) -> None:
    clip(tmp_path / "elsewhere/SM9_F9_A99.wav")
    (urdu_tree / "Angry/more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (urdu_tree / "Angry/loop").symlink_to(urdu_tree, target_is_directory=True)
    (urdu_tree / "Angry/SM9_F8_A98.wav").symlink_to(tmp_path / "nowhere.wav")
    os.mkfifo(urdu_tree / "Angry/SM9_F7_A97.wav")
    taken, problems = read("urdu", urdu_tree)
    assert len(taken) == 14
    assert "Angry/more/SM9_F9_A99.wav" in taken
    assert "Angry/SM9_F8_A98.wav" in taken  # leads nowhere: prepare finds it missing
    assert problems == {"Angry/SM9_F7_A97.wav": "is not a regular file"}


def test_ignored_paths(urdu_tree: Path, clip: Clip, with_card: WithCard) -> None:
    clip(urdu_tree / "Demo/hello.wav")
    card, _ = registry.corpus("urdu")
    changed = {**card.reader.options, "ignore": ["Demo/*"]}
    with_card("urdu", "t", reader={"family": "filename_grammar", "options": changed})
    assert read("urdu", urdu_tree)[1].keys() == {"Demo/hello.wav"}
    assert not read("t", urdu_tree)[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pattern": "("}, "key reader.options.pattern: .*is not a regular expression"),
        ({"pattern": "(?P<raw_label>a)(?P<speeker>b)"}, "the group 'speeker' is no field"),
        ({"pattern": "(?P<speaker>a)"}, "needs a group 'raw_label'"),
        ({"values": {"sex": {}}}, "the pattern has no group 'sex'"),
        ({"extensions": []}, "key reader.options.extensions"),
        ({"patern": "x"}, "key reader.options.patern: Extra inputs"),
    ],
)
def test_bad_options(
    urdu_tree: Path, with_card: WithCard, changes: dict[str, Any], words: str
) -> None:
    good = {"pattern": "(?P<raw_label>[A-Z])", "extensions": ["wav"]}
    with_card("urdu", "t", reader={"family": "filename_grammar", "options": {**good, **changes}})
    with pytest.raises(DataRoomError, match=f"corpus card 't', {'.*' + words}"):
        read("t", urdu_tree)


def test_a_value_outside_its_map_is_listed(tmp_path: Path, clip: Clip, with_card: WithCard) -> None:
    with_card(
        "urdu",
        "t",
        reader={
            "family": "filename_grammar",
            "options": {
                "pattern": "(?P<gender>[a-z])_(?P<raw_label>[AH])",
                "extensions": ["wav"],
                "values": {"gender": {"m": "male", "f": "female"}},
            },
        },
    )
    clip(tmp_path / "m_A.wav")
    clip(tmp_path / "q_A.wav")
    taken, problems = read("t", tmp_path)
    assert [u.gender for u in taken.values()] == ["male"]
    assert problems == {"q_A.wav": "gender 'q' is unknown; known: f, m"}


# --- wrong roots ----------------------------------------------------------------------------------


def test_roots_of_the_wrong_kind(tmp_path: Path, urdu_tree: Path, clip: Clip) -> None:
    (tmp_path / "urdu.zip").write_bytes(b"PK")
    (tmp_path / "file").write_bytes(b"")
    cases = {
        "nowhere": "there is no such folder; --root is the folder that holds URDU-Dataset: the "
        "folders Angry",
        "urdu.zip": "is an archive; unpack it",
        "file": "is a file; --root",
    }
    for name, words in cases.items():
        with pytest.raises(CorpusError, match=words):
            read("urdu", tmp_path / name)


def test_roots_that_hold_something_else(tmp_path: Path, clip: Clip) -> None:
    root = tmp_path / "r"
    root.mkdir()
    with pytest.raises(CorpusError, match="does not look like URDU-Dataset") as caught:
        read("urdu", root)
    assert "found: nothing" in str(caught.value)

    (root / "URDU-Dataset-master.zip").write_bytes(b"PK")
    (root / "docs").mkdir()
    with pytest.raises(CorpusError) as caught:
        read("urdu", root)
    assert "found: URDU-Dataset-master.zip, docs/" in str(caught.value)
    assert "still packed? Unpack it." in str(caught.value)
    assert "Angry/SM1_F10_A010.wav" in str(caught.value)

    for i in range(15):
        clip(root / f"speech{i:02}.wav")
    with pytest.raises(CorpusError) as caught:
        read("urdu", root)
    assert "and 7 more" in str(caught.value)
    assert "15 .wav file(s) below it do not follow the grammar." in str(caught.value)


# --- metadata in JSON lines -----------------------------------------------------------------------


def test_jsonl(jsonl_tree: Path) -> None:
    taken, problems = read("mini", jsonl_tree)
    assert not problems
    u = taken["en/1.wav"]
    assert (u.utterance_id, u.raw_label, u.valence, u.dominance) == ("u1", "sad", 2.0, None)
    assert u.votes == {"sad": 4, "angry": 1}
    assert u.rater_votes == {"r1": ("sad",), "r2": ("sad", "angry")}
    assert [(s.protocol, s.fold, s.role) for s in u.splits] == [("speakers", 1, "test")]


def test_jsonl_lists_files_without_a_line(jsonl_tree: Path, clip: Clip) -> None:
    clip(jsonl_tree / "en/9.flac")
    assert read("mini", jsonl_tree)[1] == {"en/9.flac": "stands on no line of metadata.jsonl"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"speeker": "x"}, r"metadata.jsonl:2: unknown key\(s\) speeker; known: age"),
        ({"label": "sad"}, r"metadata.jsonl:2: unknown key\(s\) label"),
        ({"path": None}, "metadata.jsonl:2: has no path"),
        ({"utterance_id": ""}, "metadata.jsonl:2: has no utterance_id"),
        ({"valence": "2"}, "metadata.jsonl:2, key valence: Input should be a valid number"),
        ({"votes": {"sad": 1.5}}, "metadata.jsonl:2, key votes: Input should be a valid integer"),
        ({"speaker": 7}, "metadata.jsonl:2, key speaker: Input should be a valid string"),
        ({"splits": [{"protocol": "all", "fold": 0, "role": "test"}]}, "key splits: .*greater"),
        ({"splits": [{"protocol": "all", "fold": 1, "role": "dev"}]}, "key splits: .*pattern"),
    ],
)
def test_bad_rows(jsonl_tree: Path, changes: dict[str, Any], words: str) -> None:
    write_rows(jsonl_tree, [row(0), row(1, **changes)])
    with pytest.raises(CorpusError, match=words):
        read("mini", jsonl_tree)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a": 1}\n{nonsense\n', "metadata.jsonl:1: unknown key"),
        (b"{nonsense\n", "metadata.jsonl:1: is not JSON"),
        (b"[1]\n", "metadata.jsonl:1: is not an object"),
        (b"\n\n", "has no line"),
        (b"\xff\xfe{}", "is not UTF-8"),
    ],
)
def test_bad_files(jsonl_tree: Path, data: bytes, words: str) -> None:
    (jsonl_tree / "metadata.jsonl").write_bytes(data)
    with pytest.raises(CorpusError, match=words):
        read("mini", jsonl_tree)


def test_jsonl_one_level_down(jsonl_tree: Path) -> None:
    with pytest.raises(CorpusError, match=r"one level down: try --root .*/small"):
        read("mini", jsonl_tree.parent)
