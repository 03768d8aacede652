"""Readers of annotation files: each layout in small, what is wrong with one, and real tables."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxemo_tasks import registry
from voxemo_tasks.corpora import Problem, prepare
from voxemo_tasks.corpora.readers import reader
from voxemo_tasks.corpora.smoothing import unsmooth
from voxemo_tasks.errors import CorpusError, DataRoomError
from voxemo_tasks.records import Split, Utterance
from voxemo_tasks.specs import CorpusCard

Clip = Callable[..., Path]
WithCard = Callable[..., CorpusCard]


def read(card_id: str, root: Path) -> tuple[dict[str, Utterance], dict[str, str]]:
    """Utterances by id, and reasons by place."""
    card, _ = registry.corpus(card_id)
    found = list(reader(card.reader.family)(card, root))
    taken = [u for u in found if isinstance(u, Utterance)]
    by_id = {u.utterance_id: u for u in taken}
    assert len(by_id) == len(taken)
    return by_id, {p.path: p.reason for p in found if isinstance(p, Problem)}


def write(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode(encoding))
    return path


def write_json(path: Path, content: Any) -> Path:
    return write(path, json.dumps(content, ensure_ascii=False))


def touch(path: Path) -> None:
    """A clip that no reader opens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def roles(utterance: Utterance, protocol: str) -> list[str]:
    return [s.role for s in utterance.splits if s.protocol == protocol]


# --- file names and a table of votes (CREMA-D) ----------------------------------------------------

CREMAD_HEADER = '"","A","D","F","H","N","S","fileName","numResponses"'


@pytest.fixture
def cremad_tree(tmp_path: Path, clip: Clip) -> Path:
    for name in ("1001_DFA_ANG_XX", "1002_IEO_NEU_XX"):
        clip(tmp_path / f"AudioWAV/{name}.wav")
    write(
        tmp_path / "processedResults/tabulatedVotes.csv",
        CREMAD_HEADER,
        '"100001",3,0,0,0,6,0,"1001_DFA_ANG_XX",9',
        '"200001",9,0,0,0,0,0,"1001_DFA_ANG_XX",9',
        '"300001",9,0,0,0,0,0,"1001_DFA_ANG_XX",9',
        '"100002",0,0,0,1,7,0,"1002_IEO_NEU_XX",8',
    )
    write(
        tmp_path / "VideoDemographics.csv",
        '"ActorID","Age","Sex"',
        '1001,51,"Male"',
        '1002,21,"Female"',
    )
    return tmp_path


def test_votes_beside_names(cremad_tree: Path) -> None:
    taken, problems = read("cremad", cremad_tree)
    assert not problems
    u = taken["1001_DFA_ANG_XX"]
    assert (u.raw_label, u.speaker, u.gender, u.age) == ("ANG", "1001", "male", "51")
    assert u.votes == {"ANG": 3, "NEU": 6}  # the voice-only row alone
    assert u.rater_votes is None
    assert taken["1002_IEO_NEU_XX"].votes == {"HAP": 1, "NEU": 7}


def test_votes_end_up_canonical(cremad_tree: Path, home: Path) -> None:
    report = prepare("cremad", cremad_tree, out=cremad_tree / "out.parquet", progress=False)
    from voxemo_tasks.corpora import load_manifest

    votes = load_manifest(report.path).column("votes")
    assert [dict(v) for v in votes] == [{"angry": 3, "neutral": 6}, {"happy": 1, "neutral": 7}]


def test_a_mirror_with_audio_alone_is_read_and_says_what_is_missing(
    tmp_path: Path, clip: Clip
) -> None:
    clip(tmp_path / "1001_DFA_ANG_XX.wav")
    taken, problems = read("cremad", tmp_path)
    assert taken["1001_DFA_ANG_XX"].votes is None
    assert problems == {
        "VideoDemographics.csv": "is not there: gender, age of the speakers are not known",
        "processedResults/tabulatedVotes.csv": "is not there: no clip has votes",
    }


def test_bad_rows_of_votes_are_listed_and_leave_no_half_votes(cremad_tree: Path) -> None:
    table = cremad_tree / "processedResults/tabulatedVotes.csv"
    rows = table.read_text(encoding="utf-8").splitlines()
    rows[1] = rows[1].replace(",6,", ",six,")
    rows += [rows[4], '"100003",1,0,0,0,0,0,"1099_DFA_ANG_XX",1', '"100004",1,0']
    write(table, *rows)
    taken, problems = read("cremad", cremad_tree)
    assert [u.votes for u in taken.values()] == [None, None]
    place = "processedResults/tabulatedVotes.csv"
    assert problems == {
        f"{place}:2": ("'six' is not a number of votes; 1001_DFA_ANG_XX is taken without votes"),
        f"{place}:6": (
            f"1002_IEO_NEU_XX has votes on {place}:5 too; 1002_IEO_NEU_XX is taken without votes"
        ),
        f"{place}:7": "has votes for '1099_DFA_ANG_XX', which is no clip of the corpus",
        f"{place}:8": "has 3 fields; the header has 9",
    }


def test_speakers_that_are_unknown_or_stand_twice(cremad_tree: Path) -> None:
    write(
        cremad_tree / "VideoDemographics.csv",
        '"ActorID","Age","Sex"',
        '1001,51,"Male"',
        '1001,52,"Male"',
    )
    taken, problems = read("cremad", cremad_tree)
    assert {u.gender for u in taken.values()} == {None}
    assert problems == {
        "VideoDemographics.csv:3": "'1001' stands twice and differs; nothing is taken of either",
        "AudioWAV/1002_IEO_NEU_XX.wav": "its speaker '1002' is not in the list of them",
    }


def test_a_git_lfs_pointer_is_told_from_a_table(cremad_tree: Path) -> None:
    write(cremad_tree / "VideoDemographics.csv", "version https://git-lfs.github.com/spec/v1")
    with pytest.raises(CorpusError, match=r"VideoDemographics\.csv: is a Git LFS pointer"):
        read("cremad", cremad_tree)


def test_a_table_without_a_column(cremad_tree: Path) -> None:
    write(cremad_tree / "VideoDemographics.csv", "ActorID,Age", "1001,51")
    with pytest.raises(CorpusError, match="has no column 'Sex'; it has 'ActorID', 'Age'"):
        read("cremad", cremad_tree)


# --- tables ---------------------------------------------------------------------------------------

MELD_HEADER = "Sr No.,Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID"
MELD_FILES = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}


@pytest.fixture
def meld_tree(tmp_path: Path) -> Path:
    root = tmp_path / "MELD.Raw v1"
    for part, folder in MELD_FILES.items():
        write(root / f"{part}_sent_emo.csv", MELD_HEADER, f'1,"Oh, {part}!",Rachel,joy,0,0')
        touch(root / part / folder / "dia0_utt0.mp4")
    touch(root / "test/output_repeated_splits_test/final_videos_testdia0_utt0.mp4")
    touch(root / "test/output_repeated_splits_test/._dia0_utt0.mp4")
    return root


def test_tables_with_a_split_each(meld_tree: Path) -> None:
    taken, problems = read("meld", meld_tree)
    assert not problems
    assert {u.utterance_id: roles(u, "official") for u in taken.values()} == {
        "dia0_utt0-train": ["train"],
        "dia0_utt0-dev": ["valid"],
        "dia0_utt0-test": ["test"],
    }
    u = taken["dia0_utt0-dev"]
    assert u.path == "dev/dev_splits_complete/dia0_utt0.mp4"
    assert (u.raw_label, u.speaker, u.transcript) == ("joy", "Rachel", "Oh, dev!")


def test_missing_clips_and_clips_on_no_row(meld_tree: Path) -> None:
    (meld_tree / "dev/dev_splits_complete/dia0_utt0.mp4").unlink()
    touch(meld_tree / "train/train_splits/dia9_utt9.mp4")
    touch(meld_tree / "train/train_splits/dia0_utt0.wav")
    taken, problems = read("meld", meld_tree)
    assert taken["dia0_utt0-dev"].path == "dev_splits_complete/dia0_utt0.mp4"  # found missing later
    assert problems == {
        "train/train_splits/dia9_utt9.mp4": (
            "stands on no row of train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv"
        ),
        "train/train_splits/dia0_utt0.wav": ("is a .wav file; the corpus consists of .mp4 files"),
    }


def test_a_clip_that_is_there_twice_is_not_chosen(meld_tree: Path) -> None:
    touch(meld_tree / "copy/train_splits/dia0_utt0.mp4")
    taken, problems = read("meld", meld_tree)
    assert "dia0_utt0-train" not in taken
    assert list(problems.values()) == [
        "is there 2 times: copy/train_splits/dia0_utt0.mp4, train/train_splits/dia0_utt0.mp4"
    ]


def test_a_partial_download_is_named(meld_tree: Path) -> None:
    (meld_tree / "dev_sent_emo.csv").unlink()
    with pytest.raises(CorpusError, match=r"looked for: the file\(s\) dev_sent_emo\.csv"):
        read("meld", meld_tree)


def test_an_annotation_file_that_is_there_twice(meld_tree: Path) -> None:
    for copy in ("a", "b"):
        write(meld_tree / copy / "dev_sent_emo.csv", MELD_HEADER)
    taken, _ = read("meld", meld_tree)  # the root's own stands
    assert len(taken) == 3
    (meld_tree / "dev_sent_emo.csv").unlink()
    with pytest.raises(CorpusError, match=r"dev_sent_emo\.csv is there 2 times"):
        read("meld", meld_tree)


def test_encodings_are_tried_in_the_cards_order(meld_tree: Path, with_card: WithCard) -> None:
    row = "1,“C’était”,Rachel,joy,0,0"
    write(meld_tree / "dev_sent_emo.csv", MELD_HEADER, row, encoding="cp1252")
    with pytest.raises(CorpusError, match=r"dev_sent_emo\.csv: is not UTF-8 \(.*near byte"):
        read("meld", meld_tree)
    card, _ = registry.corpus("meld")
    options = {**card.reader.options, "encodings": ["utf-8-sig", "cp1252"]}
    with_card("meld", "meld", reader={"family": "table", "options": options})
    assert read("meld", meld_tree)[0]["dia0_utt0-dev"].transcript == "“C’était”"
    (meld_tree / "dev_sent_emo.csv").write_bytes(b"a\x81\n")
    with pytest.raises(CorpusError, match=r"is not UTF-8 .*, nor cp1252"):
        read("meld", meld_tree)


def test_a_byte_order_mark_is_no_part_of_a_column(meld_tree: Path) -> None:
    path = meld_tree / "dev_sent_emo.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read("meld", meld_tree)[0]) == 3


def test_duplicate_ids_and_unknown_labels_and_paths_that_leave(
    tmp_path: Path, clip: Clip, home: Path
) -> None:
    root = tmp_path / "copy"
    for name in ("sample_1", "sample_2"):
        touch(root / f"train/{name}.avi")
    out = tmp_path / "out.parquet"
    train = root / "train-label.csv"
    write(train, "name,discrete,valence", "sample_1,sad,-2", "sample_1,sad,-2")
    with pytest.raises(CorpusError, match="sample_1"):
        prepare("mer2023", root, out=out, allow_missing=True, progress=False)
    write(train, "name,discrete,valence", "sample_1,gloomy,-2", "sample_2,sad,")
    with pytest.raises(CorpusError, match="no usable"):
        prepare("mer2023", root, out=out, allow_missing=True, progress=False)
    write(train, "name,discrete,valence", "../sample_1,sad,-2")
    with pytest.raises(CorpusError, match="points outside the corpus root"):
        prepare("mer2023", root, out=out, allow_missing=True, progress=False)


def test_ratings_and_optional_files(tmp_path: Path) -> None:
    for name in ("sample_1", "sample_2", "sample_3"):
        touch(tmp_path / f"mer2023train/train/{name}.avi")
    touch(tmp_path / "test1/sample_4.mp4")
    write(
        tmp_path / "mer2023train/train-label.csv",
        "name,discrete,valence",
        "sample_1,sad,-2.5",
        "sample_2,sad,",
        "sample_3,sad,low",
    )
    write(tmp_path / "test-labels/test1-label.csv", "name,discrete,valence", "sample_4,happy,4")
    taken, problems = read("mer2023", tmp_path)
    assert {k: u.valence for k, u in taken.items()} == {
        "sample_1": -2.5,
        "sample_2": None,
        "sample_4": 4.0,
    }
    assert taken["sample_4"].path == "test1/sample_4.mp4"
    assert roles(taken["sample_4"], "official") == ["test"]
    assert [roles(taken["sample_1"], p) for p in ("official", "official_test2")] == [
        ["train"],
        ["train"],
    ]
    assert problems == {
        "mer2023train/train-label.csv:4": "the valence 'low' is not a number",
        "test2-label.csv": "is not there: its utterances are not taken",
        "test3-label.csv": "is not there: its utterances are not taken",
        "mer2023train/train/sample_3.avi": (
            "stands on no row of train-label.csv, test1-label.csv, test2-label.csv, test3-label.csv"
        ),
    }


def test_a_column_maps_names_of_clips(tmp_path: Path) -> None:
    touch(tmp_path / "cleaned_webm/rec_A.webm")
    touch(tmp_path / "raw_webm/rec_A.webm")
    write(
        tmp_path / "metadata.csv",
        "id|utterance|description|emotion|gender|age|level|user_id|audio_recording",
        "7|A, b; 'c'.|d|Surprised|Female|20|3|9|wavs/rec_A.webm",
        "8|B.|d|Sad|Female|20|3|9|wavs/rec_B.webm",
    )
    taken, problems = read("emns", tmp_path)
    assert not problems
    u = taken["rec_A"]
    assert (u.path, u.raw_label) == ("cleaned_webm/rec_A.webm", "Surprise")
    assert (u.speaker, u.gender, u.age, u.transcript) == ("9", "Female", "20", "A, b; 'c'.")
    assert taken["rec_B"].path == "cleaned_webm/rec_B.webm"  # missing


@pytest.fixture
def emozionalmente_tree(tmp_path: Path) -> Path:
    for name in ("1", "2"):
        touch(tmp_path / f"audio/{name}.wav")
    write(
        tmp_path / "metadata/samples.csv",
        "file_name,sentence,actor,emotion_expressed",
        "1.wav,Ciao.,p1,joy",
        "2.wav,Ciao.,p2,anger",
    )
    write(
        tmp_path / "metadata/evaluations.csv",
        "file_name,evaluator,audio_quality,emotion_recognized",
        "1.wav,r1,good,joy",
        "1.wav,r2,bad,surprise",
        "1.wav,r1,good,fear",
        "2.wav,r1,good,rage",
        "2.wav,r2,good,anger",
    )
    write(tmp_path / "metadata/users.csv", "username,gender,age", "p1,f,30", "p2,m,31")
    write(tmp_path / "metadata/split/train.csv", "file_name,actor", "1.wav,p1")
    write(tmp_path / "metadata/split/test.csv", "file_name,actor", "2.wav,p2")
    return tmp_path


def test_a_row_per_rater_and_a_table_of_speakers(emozionalmente_tree: Path) -> None:
    taken, problems = read("emozionalmente", emozionalmente_tree)
    first, second = taken["1"], taken["2"]
    assert first.votes == {"joy": 1, "surprise": 1, "fear": 1}
    assert first.rater_votes == {"r1": ("joy", "fear"), "r2": ("surprise",)}
    assert (first.speaker, first.gender, first.age) == ("p1", "f", "30")
    assert (roles(first, "official"), roles(second, "official")) == (["train"], ["test"])
    assert second.votes is None
    assert problems == {
        "metadata/evaluations.csv:5": (
            "the vote 'rage' is not a label of the card; 2 is taken without votes"
        )
    }


def test_lists_of_unknown_and_of_contradicting_splits(emozionalmente_tree: Path) -> None:
    write(emozionalmente_tree / "metadata/split/extra.csv", "file_name", "1.wav")
    write(emozionalmente_tree / "metadata/split/test.csv", "file_name", "1.wav", "2.wav")
    taken, problems = read("emozionalmente", emozionalmente_tree)
    assert not taken["1"].splits
    assert "no known split" in problems["metadata/split/extra.csv"]
    assert "'1' is in two splits; it is taken in none" in problems.values()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": {"mood": "{discrete}"}}, "'mood' is no field"),
        ({"votes": {"files": ["a.csv"], "key": "{k}"}}, "needs either counts"),
        ({"votes": {"files": ["a.csv"], "key": "{k}", "label": "{l}"}}, "belong together"),
        ({"people": {"files": ["a.csv"], "key": "k", "fields": {"path": "p"}}}, "not of a person"),
    ],
)
def test_options_that_cannot_be_used(
    tmp_path: Path, with_card: WithCard, change: dict[str, Any], message: str
) -> None:
    card, _ = registry.corpus("mer2023")
    options = {**card.reader.options, **change}
    with_card("mer2023", "mer2023", reader={"family": "table", "options": options})
    with pytest.raises(DataRoomError, match=message):
        read("mer2023", tmp_path)


# --- a row per rater, as MSP-Podcast ----------------------------------------------------------------

CONSENSUS = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
A, B = "MSP-PODCAST_0001_0008", "MSP-PODCAST_0002_0001_0003"


@pytest.fixture
def podcast_tree(tmp_path: Path) -> Path:
    for name in (A, B):
        touch(tmp_path / f"Audios/{name}.wav")
    write(
        tmp_path / "Labels/labels_consensus.csv",
        CONSENSUS,
        f"{A}.wav,N,4.2,3.8,4.0,127,Female,Train",
        f"{B}.wav,X,4.2,nan,4.0,Unknown,Unknown,Test2",
    )
    write(
        tmp_path / "Labels/labels_detailed.csv",
        "FileName,EmoDetail",
        f'{A}.wav,"WORKER00000008; Neutral; Neutral,Concerned; A:4; V:3; D:4;"',
        f'{A}.wav,"WORKER00000009; Other-(bored); ; A:4; V:3; D:4;"',
        f'{B}.wav,"WORKER00000008; Happy; Happy; A:4; V:3; D:4;"',
    )
    return tmp_path


def test_consensus_and_raters(podcast_tree: Path) -> None:
    taken, problems = read("msppodcast", podcast_tree)
    assert not problems
    a, b = taken[A], taken[B]
    assert (a.raw_label, a.arousal, a.valence, a.dominance) == ("N", 4.2, 3.8, 4.0)
    assert (a.speaker, a.gender) == ("127", "female")
    assert a.votes == {"Neutral": 1, "Other": 1}
    assert a.rater_votes == {"WORKER00000008": ("Neutral",), "WORKER00000009": ("Other",)}
    assert set(a.splits) == {Split("official", 1, "train"), Split("official_test2", 1, "train")}
    assert (b.speaker, b.gender, b.valence) == (None, None, None)
    assert b.splits == (Split("official_test2", 1, "test"),)


def test_the_same_in_every_spelling(podcast_tree: Path) -> None:
    whole = read("msppodcast", podcast_tree)[0]
    assert whole[A].rater_ratings is not None
    # A table of classes has no ratings, and those of the JSON below are others.
    expected = {name: replace(one, rater_ratings=None) for name, one in whole.items()}

    def classes() -> Any:
        found, problems = read("msppodcast", podcast_tree)
        return {n: replace(one, rater_ratings=None) for n, one in found.items()}, problems

    labels = podcast_tree / "Labels"
    detailed = labels / "labels_detailed.csv"
    raters = {
        A: [("WORKER00000008", "Neutral", "Neutral,Concerned"), ("WORKER00000009", "Other-x", "")],
        B: [("WORKER00000008", "Happy", "Happy")],
    }
    columns = "FileName,WorkerID,EmoClass_Major,EmoClass_Second"
    rows = [f'{f}.wav,{w},{p},"{s}"' for f, answers in raters.items() for w, p, s in answers]
    write(detailed, columns, *rows)
    assert classes() == (expected, {})
    detailed.unlink()

    one = {"EmoClass_Major": "", "EmoClass_Second": "", "EmoAct": "4"}
    by_rater = {
        f"{f}.wav": {w: one | {"EmoClass_Major": p, "EmoClass_Second": s} for w, p, s in answers}
        for f, answers in raters.items()
    }
    write_json(labels / "labels_detailed.json", by_rater)
    rated = read("msppodcast", podcast_tree)[0][A].rater_ratings
    assert rated == {w: {"arousal": 4.0} for w, _, _ in raters[A]}
    assert classes() == (expected, {})
    workers = {
        f: {"Workers": [{"Name": w, **answer} for w, answer in answers.items()]}
        for f, answers in by_rater.items()
    }
    write_json(labels / "labels_detailed.json", workers)
    assert classes() == (expected, {})

    with (labels / "labels_consensus.csv").open(encoding="utf-8") as text:
        rows_ = {r.pop("FileName"): r for r in csv.DictReader(text)}
    (labels / "labels_consensus.csv").unlink()
    write_json(labels / "labels_concensus.json", {name: [row] for name, row in rows_.items()})
    assert classes() == (expected, {})


def test_selections_are_primary_unless_the_card_says_all(
    podcast_tree: Path, with_card: WithCard
) -> None:
    card, _ = registry.corpus("msppodcast")
    options = {**card.reader.options, "selections": "all"}
    labels = {**card.labels, "Concerned": "concerned"}
    with_card(
        "msppodcast",
        "msppodcast",
        labels=labels,
        reader={"family": "per_rater", "options": options},
    )
    u = read("msppodcast", podcast_tree)[0][A]
    assert u.votes == {"Neutral": 1, "Concerned": 1, "Other": 1}
    assert u.rater_votes
    assert u.rater_votes["WORKER00000008"] == ("Neutral", "Concerned")


def test_what_is_wrong_with_raters_and_consensus(podcast_tree: Path) -> None:
    labels = podcast_tree / "Labels"
    write(
        labels / "labels_consensus.csv",
        CONSENSUS,
        f"{A}.wav,N,4.2,3.8,4.0,127,Female,Train",
        f"{B}.wav,X,4.2,3,4.0,Unknown,Unknown,Test9",
        "MSP-PODCAST_0009_0001.wav,X,high,3,4.0,1,Male,Train",
    )
    write(
        labels / "labels_detailed.csv",
        "FileName,EmoDetail",
        f'{A}.wav,"WORKER00000008; Meh; ; A:4; V:3; D:4;"',
        f'{A}.wav,"WORKER00000009"',
        'MSP-PODCAST_7777_0001.wav,"WORKER00000008; Happy; Happy; A:4; V:3; D:4;"',
    )
    taken, problems = read("msppodcast", podcast_tree)
    assert list(taken) == [A]
    assert taken[A].votes is None
    known = "Train, Development, Validation, Test1, Test2, Test3"
    assert problems == {
        "Labels/labels_consensus.csv:3": f"the split 'Test9' is unknown; known: {known}",
        "Labels/labels_consensus.csv:4": "the arousal 'high' is not a number",
        "Labels/labels_detailed.csv:2": (
            f"the vote 'Meh' is not a label of the card; {A} is taken without votes"
        ),
        "Labels/labels_detailed.csv:3": (
            f"'WORKER00000009' is no rater's line; {A} is taken without votes"
        ),
        "Labels/labels_detailed.csv:4": (
            "has votes for 'MSP-PODCAST_7777_0001', which is no clip of the corpus"
        ),
        f"Audios/{B}.wav": "stands on no row of labels_consensus.csv",
    }


def test_without_a_consensus_or_raters(podcast_tree: Path) -> None:
    (podcast_tree / "Labels/labels_detailed.csv").unlink()
    taken, problems = read("msppodcast", podcast_tree)
    assert {u.votes for u in taken.values()} == {None}
    assert problems == {"labels_detailed.csv": "is not there: no clip has votes"}
    (podcast_tree / "Labels/labels_consensus.csv").unlink()
    with pytest.raises(CorpusError, match=r"does not look like MSP-Podcast(.|\n)*consensus\.csv"):
        read("msppodcast", podcast_tree)
    write(podcast_tree / "labels_consensus.json", "[1")
    with pytest.raises(CorpusError, match=r"labels_consensus\.json: is not JSON"):
        read("msppodcast", podcast_tree)
    write(podcast_tree / "labels_consensus.json", "[1]")
    with pytest.raises(CorpusError, match=r"labels_consensus\.json: is not an object"):
        read("msppodcast", podcast_tree)


def test_dots_in_names_and_one_text_file(tmp_path: Path) -> None:
    touch(tmp_path / "wavs/006-040.1-2_13.wav")
    write(
        tmp_path / "Labels/labels.txt",
        "006-040.1-2_13.wav; A; A:5.0; V:2.5; D:4.0;",
        "WORKER1; Angry; Angry,Contempt; A:5; V:2; D:4;",
        "WORKER2; Angry; ; A:5; V:3; D:4;",
        "",
    )
    taken, problems = read("whiser", tmp_path)
    assert not problems
    u = taken["006-040.1-2_13"]
    assert (u.raw_label, u.arousal, u.valence) == ("A", 5.0, 2.5)
    assert u.votes == {"Angry": 2}


def test_improv_names_and_sessions(tmp_path: Path) -> None:
    name = "IMPROV-S07A-M03-R-FM02"
    touch(tmp_path / f"Audio/session3/S07A/R/MSP-{name}.wav")
    write(
        tmp_path / "Evalution.txt",
        f"UTD-{name}.avi; N; A:3.000000; V:3.500000; D:NaN; N:4.0;",
        "S1-p20; Neutral; Neutral,Sad; A:3; V:3; D:NaN; N:4",
        "S1-p21; Other; ; A:3; V:4; D:2; N:4",
        "",
        "UTD-IMPROV-S07A-M09-R-FM02.avi; N; A:3.0; V:3.0; D:3.0;",
        "",
        "S1-p21; Neutral; ; A:3; V:4; D:2; N:4",
    )
    taken, problems = read("msp_improv", tmp_path)
    u = taken[f"MSP-{name}"]
    assert (u.speaker, u.gender, u.arousal, u.dominance) == ("M03", "male", 3.0, None)
    assert u.votes == {"Neutral": 1, "Other": 1}
    assert roles(u, "sessions") == ["train", "train", "test", "train", "train", "train"]
    assert "session '09' is none of" in problems["Evalution.txt:5"]
    assert problems["Evalution.txt:7"] == "is a rater's line below no clip"
    assert len(problems) == 2


# --- EmoEvaluation (IEMOCAP) ------------------------------------------------------------------------


@pytest.fixture
def iemocap_tree(tmp_path: Path) -> Path:
    turns = ("Ses02F_impro01_F000", "Ses02F_impro01_M000")
    for turn in turns:
        touch(tmp_path / f"Session2/sentences/wav/Ses02F_impro01/{turn}.wav")
    touch(tmp_path / "Session2/dialog/wav/Ses02F_impro01.wav")
    folder = tmp_path / "Session2/dialog/EmoEvaluation"
    write(
        folder / "Ses02F_impro01.txt",
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
        "",
        f"[6.2901 - 8.2357]\t{turns[0]}\tneu\t[2.5000, 2.0000, 3.5000]",
        "C-E2:\tNeutral;\t()",
        "C-E3:\tNeutral; Frustration;\t(tired)",
        "C-F1:\tNeutral state;\t()",
        "A-E3:\tval 3; act 2; dom  2;\t()",
        "",
        f"[10.01 - 11.39]\t{turns[1]}\txxx\t[2.5, 2.5, 2.5]",
        "C-E2:\tOther;\t(bored)",
        "C-E4:\tAnger;\t()",
        "",
    )
    write(folder / "Categorical/Ses02F_impro01_e2_cat.txt", f"{turns[0]} :Sadness; ()")
    return tmp_path


def test_turns_raters_and_sessions(iemocap_tree: Path) -> None:
    taken, problems = read("iemocap", iemocap_tree)
    assert not problems
    she, he = taken["Ses02F_impro01_F000"], taken["Ses02F_impro01_M000"]
    assert (she.raw_label, she.valence, she.arousal, she.dominance) == ("neu", 2.5, 2.0, 3.5)
    assert she.votes == {"Neutral": 2, "Frustration": 1}
    assert she.rater_votes == {"C-E2": ("Neutral",), "C-E3": ("Neutral", "Frustration")}
    assert (she.speaker, she.gender) == ("Ses02F", "female")
    assert (he.speaker, he.gender) == ("Ses02M", "male")  # the turn's letter, not the dialogue's
    assert he.votes == {"Other": 1, "Anger": 1}
    assert roles(he, "sessions") == ["train", "test", "train", "train", "train"]
    assert he.path == "Session2/sentences/wav/Ses02F_impro01/Ses02F_impro01_M000.wav"


def test_turns_that_cannot_be_read(iemocap_tree: Path) -> None:
    write(
        iemocap_tree / "Session2/dialog/EmoEvaluation/Ses02F_impro02.txt",
        "[6.2901 - 8.2357]\tSes02F_impro02_F000\tneu",
        "C-E2:\tNeutral;\t()",
        "[6.2901 - 8.2357]\tSes02F_walk02_F000\tneu\t[1, 2, 3]",
        "[6.2901 - 8.2357]\tSes07F_impro02_F000\tneu\t[1, 2, 3]",
        "[6.2901 - 8.2357]\tSes02F_impro02_F001\tneu\t[1, x, 3]",
        "[6.2901 - 8.2357]\tSes02F_impro02_F002\tneu\t[1, 2, 3]",
        "C-E2:\tGrief;\t()",
        "C-E3:\t;\t()",
    )
    touch(iemocap_tree / "Session2/sentences/wav/x/Ses02F_impro09_F000.wav")
    taken, problems = read("iemocap", iemocap_tree)
    place = "Session2/dialog/EmoEvaluation/Ses02F_impro02.txt"
    late = taken["Ses02F_impro02_F002"]
    assert (late.votes, late.path) == (None, "sentences/wav/Ses02F_impro02_F002.wav")
    assert {p.removeprefix(place): r.split(";")[0] for p, r in problems.items()} == {
        ":1": "is not '[start - end]<tab>turn<tab>label<tab>[V, A, D]'",
        ":3": "the turn 'Ses02F_walk02_F000' does not follow the corpus's grammar",
        ":4": "the session '07' is none of ['01', '02', '03', '04', '05']",
        ":5": "a rating is not a number (could not convert string to float: 'x')",
        ":7": "the vote 'Grief' is not a label of the card",
        ":8": "no answer stands there",
        "Session2/sentences/wav/x/Ses02F_impro09_F000.wav": "stands on no row of EmoEvaluation/*.txt",
    }


def test_no_evaluation_files(tmp_path: Path) -> None:
    touch(tmp_path / "Ses02F_impro01_F000.wav")
    with pytest.raises(CorpusError, match="text files with turns in folders called EmoEvaluation"):
        read("iemocap", tmp_path)


# --- JSON -------------------------------------------------------------------------------------------


@pytest.fixture
def m3ed_tree(tmp_path: Path) -> Path:
    def turn(speaker: str, label: str, *answers: str) -> dict[str, Any]:
        raters = {f"EmoAnnotator{i}": a for i, a in enumerate(answers, start=1)}
        emotions = {**raters, "final_mul_emo": label, "final_main_emo": label}
        return {"Speaker": speaker, "Text": "好", "EmoAnnotation": emotions}

    people = {"A": {"Name": "王", "Gender": "女", "Age": "30"}, "B": {}}
    dialog = {
        "ser_1_1": turn("A", "Happy", "Happy", "Happy,Surprise", "Neutral"),
        "ser_1_2": turn("B", "Sad", "Sad", "", "Sad"),
        "ser_1_3": {"Speaker": "A"},
    }
    write_json(
        tmp_path / "annotation.json",
        {
            "ser": {"ser_1": {"SpeakerInfo": people, "Dialog": dialog}, "ser_2": {}},
            "other": {"other_1": {"Dialog": {"other_1_1": turn("A", "Fear", "Fear")}}},
        },
    )
    write(tmp_path / "splitInfo/movie_list_train.txt", "series3")
    write(tmp_path / "splitInfo/movie_list_val.txt", "series4")
    write(tmp_path / "splitInfo/movie_list_test.txt", "ser")
    for name in ("A_ser_1_1", "B_ser_1_2", "A_other_1_1"):
        touch(tmp_path / f"modality_speech/{name}.wav")
    return tmp_path


def test_dialogues(m3ed_tree: Path) -> None:
    taken, problems = read("m3ed", m3ed_tree)
    u = taken["ser_1_1"]
    assert (u.path, u.raw_label) == ("modality_speech/A_ser_1_1.wav", "Happy")
    assert (u.speaker, u.gender, u.age, u.dialogue) == ("ser_王", "女", "30", "ser_1")
    assert u.votes == {"Happy": 2, "Surprise": 1, "Neutral": 1}
    assert u.rater_votes
    assert u.rater_votes["EmoAnnotator2"] == ("Happy", "Surprise")
    assert roles(u, "official") == ["test"]
    second, third = taken["ser_1_2"], taken["other_1_1"]
    assert (second.speaker, second.votes) == (None, None)
    assert (third.speaker, third.splits) == (None, ())
    assert problems == {
        "annotation.json: ser_1_2": (
            "annotator EmoAnnotator2 has no answer; ser_1_2 is taken without votes"
        ),
        "annotation.json: ser_1_3": "has no EmoAnnotation",
        "annotation.json: ser_2": "has no Dialog",
        "annotation.json: other": "is in no list of a split",
    }


def test_a_json_file_per_clip(tmp_path: Path) -> None:
    answers: dict[str, Any] = {
        "G00003_01_14_001": ["happy", "happy", "neutral"],
        "G00009_01_14_002": [{"emotion": "sad"}, {"emotion": ["sad", "fearful"]}],
        "G00012_01_14_003": [{"mood": "sad"}],
        "take4": ["sad"],
    }
    for name, data in answers.items():
        touch(tmp_path / f"Audio/wav/{name}.wav")
        content = {"data": data, "emotion_result": "sad", "speaker_id": "14", "content": "好"}
        write_json(tmp_path / f"Audio/json/{name}.json", content)
        write_json(tmp_path / f"Multimodal/json/{name}.json", content | {"emotion_result": "?"})
    taken, problems = read("emotiontalk", tmp_path)
    first, second, third = (taken[name] for name in list(answers)[:3])
    assert (first.raw_label, first.speaker, first.transcript) == ("sad", "14", "好")
    assert first.dialogue == "G00003_01"
    assert first.votes == {"happy": 2, "neutral": 1}
    assert second.rater_votes == {"1": ("sad",), "2": ("sad", "fearful")}
    assert third.votes is None
    assert [roles(u, "official") for u in (first, second, third)] == [
        ["test"],
        ["train"],
        ["valid"],
    ]
    assert problems == {
        "Audio/json/G00012_01_14_003.json": (
            "the answer {'mood': 'sad'} cannot be read; G00012_01_14_003 is taken without votes"
        ),
        "Audio/json/take4.json": "'take4' does not follow the corpus's grammar",
        "Audio/wav/take4.wav": "stands on no row of the JSON files",
    }


def test_answers_by_file_and_a_consensus(tmp_path: Path) -> None:
    answered: dict[str, Any] = {
        "s002_con_actor003_impro1_1.wav": [["Sad"], ["Sad"], ["Sad", "Angry"], ["Sad"]],
        "s006_con_actor011_impro1_2.wav": [["Sad"], ["Angry"], ["None"], ["Other"]],
        "z011_con_actor181_impro1_3.wav": [["Happy"]],
    }
    content: dict[str, Any] = {k: [{"annotated": v}] for k, v in answered.items()}
    content["s003_con_actor005_impro1_1.wav"] = [{"annotated": [["Sad"]]}, {}]
    content["tape.wav"] = [{"annotated": [["Sad"]]}]
    write_json(tmp_path / "emotion_label.json", content)
    touch(tmp_path / "studio002/con/s002_con_actor003_impro1_1.flac")
    touch(tmp_path / "studio002/clip/s002_clip_actor003_impro1_1.flac")
    touch(tmp_path / "zoom011/mic/z011_mic_actor181_impro1_3.flac")
    taken, problems = read("thai_ser", tmp_path)
    first, second, third = (taken[name.removesuffix(".wav")] for name in answered)
    assert (first.raw_label, first.votes) == ("Sad", {"Sad": 4, "Angry": 1})  # 3.5 / 4
    assert first.speaker == "studio-actor003"
    assert (second.raw_label, second.votes) == (None, {"Sad": 1, "Angry": 1, "Other": 1})
    assert second.path == "studio006/s006_con_actor011_impro1_2.flac"  # missing
    assert third.path == "zoom011/mic/z011_mic_actor181_impro1_3.flac"
    assert [roles(u, "official")[0] for u in (first, second, third)] == ["valid", "test", "train"]
    assert roles(third, "official")[9] == "valid"
    assert problems == {
        "emotion_label.json: s003_con_actor005_impro1_1.wav": "is not a list of one object",
        "emotion_label.json: tape.wav": "'tape' does not follow the corpus's grammar",
    }


# --- segments of long recordings (PAVOQUE) ----------------------------------------------------------


def test_segments(tmp_path: Path) -> None:
    root = tmp_path / "pavoque data"
    touch(root / "pavoque-angry.flac")
    touch(root / "pavoque-sad.flac")
    write(
        root / "pavoque-angry.yaml",
        "- {prompt: n01, text: 'Schön: ja.', style: angry, start: 0, end: 2.5}",
        "- {prompt: n02, text: Nein., style: angry, start: 2.5, end: 2.5}",
        "- {prompt: n03, file: a.wav, style: angry}",
        "- n04",
    )
    write(root / "other.yaml", "- x")
    taken, problems = read("pavoque", root)
    u = taken["n01-angry"]
    assert (u.path, u.start_s, u.end_s) == ("pavoque-angry.flac", 0.0, 2.5)
    assert (u.raw_label, u.transcript, u.speaker) == ("angry", "Schön: ja.", "Stefan Röttig")
    assert problems == {
        "pavoque-angry.yaml: entry 2": "start 2.5 and end 2.5 are not a segment",
        "pavoque-angry.yaml: entry 3": "has no start",
        "pavoque-angry.yaml: entry 4": "is not an object",
        "pavoque-sad.flac": "stands on no row of pavoque-*.yaml",
    }
    write(root / "pavoque-angry.yaml", "- {")
    with pytest.raises(CorpusError, match=r"pavoque-angry\.yaml: is not YAML"):
        read("pavoque", root)
    write(root / "pavoque-angry.yaml", "a: 1")
    with pytest.raises(CorpusError, match="is not a list of segments"):
        read("pavoque", root)


def test_segments_are_measured_by_prepare(tmp_path: Path, clip: Clip, home: Path) -> None:
    clip(tmp_path / "pavoque-angry.flac", 1.0)
    segments = ("{prompt: a, style: angry, start: 0.0, end: 0.25}",)
    late = "{prompt: b, style: angry, start: 0.9, end: 1.5}"
    write(tmp_path / "pavoque-angry.yaml", *(f"- {s}" for s in (*segments, late)))
    out = tmp_path / "out.parquet"
    report = prepare("pavoque", tmp_path, out=out, allow_missing=True, progress=False)
    assert (report.n, report.usable) == (2, 1)
    assert report.hours == pytest.approx(0.25 / 3600)


# --- smoothing --------------------------------------------------------------------------------------


def smooth(p: list[float], epsilon: float = 0.05) -> list[float]:
    """As EMO-SUPERB does it, written a second time."""
    other = epsilon / (len(p) - 1)
    return [x * (1 - epsilon) + (1 - x) * other for x in p]


@given(st.lists(st.integers(0, 20), min_size=2, max_size=16).filter(any))
def test_unsmooth_undoes_smoothing(counts: list[int]) -> None:
    p = [n / sum(counts) for n in counts]
    assert unsmooth(smooth(p)) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "at least two classes"),
        ([0.5, 0.9], "no distribution"),
        ([1.0, 0.0], "no distribution"),
        ([float("nan"), 0.5], "no distribution"),
    ],
)
def test_what_was_never_smoothed_is_refused(values: list[float], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        unsmooth(values)
    with pytest.raises(CorpusError, match="leaves nothing"):
        unsmooth([0.5, 0.5], epsilon=0.5)


# --- real data --------------------------------------------------------------------------------------


def jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as text:
        yield from map(json.loads, text)


def emobox(shared: Path, corpus: str) -> dict[str, dict[str, Any]]:
    """EmoBox's lines by key, with the speaker of its stm file."""
    folder = shared / "data/emobox" / corpus
    rows = {row["key"]: row for row in jsonl(folder / f"{corpus}.jsonl")}
    for line in (folder / "data.seg.wrd.stm").read_text(encoding="utf-8").splitlines():
        key, _, speaker = line.split(" ")[:3]
        rows[key]["speaker"] = speaker
    return rows


def mapped(card_id: str, raw: str | None) -> str | None:
    card, _ = registry.corpus(card_id)
    return None if raw is None else card.labels[raw]


@pytest.fixture(scope="module")
def cremad_real(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Utterance], dict[str, str]]:
    """CREMA-D's tables, and the tree that EmoBox's metadata names."""
    root = tmp_path_factory.mktemp("cremad")
    for row in emobox(shared, "cremad").values():
        touch(root / row["wav"])
    for name in ("tabulatedVotes.csv", "VideoDemographics.csv"):
        (root / name).write_bytes((shared / "data/cremad" / name).read_bytes())
    return read("cremad", root)


def test_cremad_votes_are_the_published_ones(
    cremad_real: tuple[dict[str, Utterance], dict[str, str]],
) -> None:
    taken, problems = cremad_real
    assert not problems
    assert len(taken) == 7442
    votes = [u.votes for u in taken.values()]
    assert all(v is not None for v in votes)
    totals = [sum(v.values()) for v in votes if v]
    assert (sum(totals), min(totals), max(totals)) == (68568, 4, 12)
    majority = {}
    for name, u in taken.items():
        assert u.votes
        top = max(u.votes.values())
        majority[name] = [raw for raw, n in u.votes.items() if n == top]
    assert sum(len(m) > 1 for m in majority.values()) == 644
    assert sum(m == ["NEU"] for m in majority.values()) == 3897
    agree = sum(m == [taken[name].raw_label] for name, m in majority.items())
    assert round(100 * agree / len(taken), 1) == 41.6


def test_cremad_equals_emobox(
    shared: Path, cremad_real: tuple[dict[str, Utterance], dict[str, str]]
) -> None:
    taken, _ = cremad_real
    rows = {
        k.removeprefix("cremad-").replace("-", "_"): r for k, r in emobox(shared, "cremad").items()
    }
    assert {k: (u.raw_label, u.speaker) for k, u in taken.items()} == {
        k: (r["emo"], r["speaker"]) for k, r in rows.items()
    }
    assert Counter(u.gender for u in taken.values()).keys() == {"male", "female"}


def test_cremad_agrees_with_emosuperb_where_both_are_right(
    shared: Path, cremad_real: tuple[dict[str, Utterance], dict[str, str]]
) -> None:
    taken, _ = cremad_real
    path = shared / "data/emosuperb/CREMA-D/Primary/labels_consensus_1.csv"
    classes = ["angry", "sad", "disgust", "fear", "neutral", "happy"]
    same = 0
    with path.open(encoding="utf-8") as text:
        for row in csv.DictReader(text):
            u = taken[row["FileName"].removesuffix(".wav")]
            assert u.votes
            shares = unsmooth([float(row[c]) for c in classes])
            own = Counter({mapped("cremad", raw): n for raw, n in u.votes.items()})
            ours = [own[c] / own.total() for c in classes]
            same += all(abs(a - b) < 1e-3 for a, b in zip(shares, ours, strict=True))
            assert (u.speaker, u.gender) == (row["SpkrID"], row["Gender"].lower())
    assert same == 4070


@pytest.mark.parametrize("path", ["CREMA-D/Primary", "IMPROV/Primary", "IMPROV/Secondary"])
def test_every_real_smoothed_row_can_be_undone(shared: Path, path: str) -> None:
    folder = shared / "data/emosuperb" / path
    classes = json.loads((folder / "config.json").read_text("utf-8"))["categorical"]["emo_type"]
    with (folder / "labels_consensus_1.csv").open(encoding="utf-8") as text:
        for row in csv.DictReader(text):
            proportions = unsmooth([float(row[c]) for c in classes])
            assert sum(proportions) == pytest.approx(1, abs=2e-2)


def test_meld_is_the_official_split_and_equals_emobox(shared: Path, tmp_path: Path) -> None:
    for part in MELD_FILES:
        name = f"{part}_sent_emo.csv"
        (tmp_path / name).write_bytes((shared / "data/meld" / name).read_bytes())
    rows = {k.removeprefix("meld-"): r for k, r in emobox(shared, "meld").items()}
    for row in rows.values():
        touch(tmp_path / row["wav"])
    taken, problems = read("meld", tmp_path)
    assert not problems
    counts = Counter(role for u in taken.values() for role in roles(u, "official"))
    assert counts == {"train": 9989, "valid": 1109, "test": 2610}
    # EmoBox has no clip for these two; for us they are missing files.
    assert taken.keys() - rows.keys() == {"dia125_utt3-train", "dia110_utt7-dev"}
    differ = [
        k for k, r in rows.items() if (taken[k].raw_label, taken[k].path) != (r["emo"], r["wav"])
    ]
    assert not differ
    # EmoBox writes names with "-", and "’" as the control character of a misread cp1252; one name
    # differs for good.
    spelled = {k: (taken[k].speaker or "").replace(" ", "-").replace("’", "\x92") for k in rows}
    speakers = {
        k: (spelled[k], r["speaker"]) for k, r in rows.items() if spelled[k] != r["speaker"]
    }
    assert speakers == {"dia556_utt6-train": ("Joey", "Ross")}
    assert len({u.speaker for u in taken.values()}) == 304


def test_iemocap_names_speakers_and_sessions(shared: Path, tmp_path: Path) -> None:
    """The names of EMO-SUPERB's 10,039 turns, with EmoBox's labels where it has them."""
    known = {k.removeprefix("iemocap-"): r for k, r in emobox(shared, "iemocap").items()}
    path = shared / "data/emosuperb/IEMOCAP/Secondary/labels_consensus_1.csv"
    with path.open(encoding="utf-8") as text:
        superb = {r["FileName"].removesuffix(".wav"): r for r in csv.DictReader(text)}
    dialogues: dict[str, list[str]] = {}
    for turn, row in superb.items():
        dialogue = turn.rpartition("_")[0]
        label = known[turn]["emo"] if turn in known else "xxx"
        rated = f"[{row['EmoVal']}, {row['EmoAct']}, {row['EmoDom']}]"
        dialogues.setdefault(dialogue, []).append(f"[1.0 - 2.0]\t{turn}\t{label}\t{rated}")
        folder = f"Session{int(turn[3:5])}"
        touch(tmp_path / f"{folder}/sentences/wav/{dialogue}/{turn}.wav")
    for dialogue, turns in dialogues.items():
        folder = f"Session{int(dialogue[3:5])}"
        write(tmp_path / f"{folder}/dialog/EmoEvaluation/{dialogue}.txt", *turns)
    taken, problems = read("iemocap", tmp_path)
    assert not problems
    assert len(taken) == 10039
    assert len({u.speaker for u in taken.values()}) == 10
    for turn, u in taken.items():
        row = superb[turn]
        assert (u.speaker or "")[3:] == row["SpkrID"] + row["Gender"][0]
        assert u.gender == row["Gender"].lower()
    assert sum(known[t]["speaker"] != taken[t].speaker for t in known) == 2750
    sizes = Counter(
        s.fold
        for t in known
        for s in taken[t].splits
        if s.protocol == "sessions" and s.role == "test"
    )
    assert [sizes[fold] for fold in range(1, 6)] == [1085, 1023, 1151, 1031, 1241]
    for fold in range(1, 6):
        test = {
            r["key"].removeprefix("iemocap-")
            for r in jsonl(
                shared / f"data/emobox/iemocap/fold_{fold}/iemocap_test_fold_{fold}.jsonl"
            )
        }
        assert all(roles(taken[t], "sessions")[fold - 1] == "test" for t in test)


def test_improv_grammar_on_real_names(shared: Path, tmp_path: Path) -> None:
    path = shared / "data/emosuperb/IMPROV/Primary/labels_consensus_1.csv"
    with path.open(encoding="utf-8") as text:
        rows = {r["FileName"].removesuffix(".wav"): r for r in csv.DictReader(text)}
    lines = []
    for name, row in rows.items():
        touch(tmp_path / f"{name}.wav")
        avi = name.replace("MSP-", "UTD-", 1)
        lines += [f"{avi}.avi; N; A:{row['EmoAct']}; V:{row['EmoVal']}; D:{row['EmoDom']};", ""]
    write(tmp_path / "Evalution.txt", *lines)
    taken, problems = read("msp_improv", tmp_path)
    assert not problems
    assert taken.keys() == rows.keys()
    assert len({u.speaker for u in taken.values()}) == 12
    for name, u in taken.items():
        assert (u.speaker or "")[1:] == rows[name]["SpkrID"]
        assert u.gender == rows[name]["Gender"].lower()
        test = roles(u, "sessions")[3] == "test"  # EMO-SUPERB's fold 1 tests session 4
        assert test == (rows[name]["Split_Set"] == "Test")


def test_pavoque_equals_emobox(shared: Path, tmp_path: Path) -> None:
    rows = {k.removeprefix("pavoque-"): r for k, r in emobox(shared, "pavoque").items()}
    lists: dict[str, list[str]] = {}
    for key, row in rows.items():
        prompt, _, style = key.rpartition("-")
        times = f"start: {row['start_time']}, end: {row['end_time']}"
        lists.setdefault(row["wav"], []).append(f"- {{prompt: {prompt}, style: {style}, {times}}}")
    for wav, entries in lists.items():
        touch(tmp_path / wav)
        write((tmp_path / wav).with_suffix(".yaml"), *entries)
    taken, problems = read("pavoque", tmp_path)
    assert not problems
    assert {k: (u.path, u.raw_label, u.start_s, u.end_s) for k, u in taken.items()} == {
        k: (r["wav"], r["emo"], r["start_time"], r["end_time"]) for k, r in rows.items()
    }


def test_dialogues_find_the_clips_of_emobox(shared: Path, tmp_path: Path) -> None:
    """The annotation is made up from EmoBox's metadata of the test and validation sets."""
    folder = shared / "data/emobox/m3ed"
    speaker = {}
    for line in (folder / "data.seg.wrd.stm").read_text(encoding="utf-8").splitlines():
        speaker[line.split(" ")[0]] = line.split(" ")[2]
    annotation: dict[str, dict[str, Any]] = {}
    rows: dict[str, tuple[str, str, str, str]] = {}
    for role in ("valid", "test"):
        groups = set()
        for row in jsonl(folder / f"fold_1/m3ed_{role}_fold_1.jsonl"):
            key = row["key"].removeprefix("m3ed-")
            group, letter = key.split("_")[0], Path(row["wav"]).name[0]
            groups.add(group)
            touch(tmp_path / row["wav"])
            person = speaker[row["key"]].removeprefix(f"{group}_")
            dialogue = annotation.setdefault(group, {}).setdefault(
                key.rpartition("_")[0], {"SpeakerInfo": {}, "Dialog": {}}
            )
            dialogue["SpeakerInfo"][letter] = {"Name": person}
            emotion = {"EmoAnnotator1": row["emo"], "final_main_emo": row["emo"]}
            dialogue["Dialog"][key] = {"Speaker": letter, "EmoAnnotation": emotion}
            # Some names are empty: EmoBox then has the series for a speaker, we have none.
            rows[key] = (row["wav"], row["emo"], person and speaker[row["key"]], role)
        write(tmp_path / f"splitInfo/movie_list_{role.removesuffix('id')}.txt", *groups)
    write(tmp_path / "splitInfo/movie_list_train.txt", "another")
    write_json(tmp_path / "annotation.json", annotation)
    taken, problems = read("m3ed", tmp_path)
    assert not problems
    assert {
        k: (u.path, u.raw_label, u.speaker or "", *roles(u, "official")) for k, u in taken.items()
    } == rows


@pytest.mark.parametrize("corpus", ["emns", "emozionalmente", "mer2023"])
def test_tables_find_the_clips_of_emobox_trees(shared: Path, tmp_path: Path, corpus: str) -> None:
    """The table is made up from EmoBox's metadata; what is tested is that the clips are found."""
    rows = {k.removeprefix(f"{corpus}-"): r for k, r in emobox(shared, corpus).items()}
    # EmoBox leaves the extension in its keys of MER2023's .mp4 clips.
    rows = {k.removesuffix(".mp4"): r for k, r in rows.items()}
    header, line = {
        "emns": (
            "user_id|gender|age|emotion|utterance|audio_recording",
            "{speaker}|f|1|{emo}|x|wavs/{key}.webm",
        ),
        "emozionalmente": (
            "file_name,sentence,actor,emotion_expressed",
            "{key}.wav,x,{speaker},{emo}",
        ),
        "mer2023": ("name,discrete,valence", "{key},{emo},0"),
    }[corpus]
    card, _ = registry.corpus(corpus)
    name = card.reader.options["files"][0]["names"][0]
    for row in rows.values():
        touch(tmp_path / row["wav"])
    body = [line.format(key=k, speaker=r["speaker"], emo=r["emo"]) for k, r in rows.items()]
    write(tmp_path / name, header, *body)
    taken, _ = read(corpus, tmp_path)
    assert {k: (u.path, u.raw_label) for k, u in taken.items()} == {
        k: (r["wav"], r["emo"]) for k, r in rows.items()
    }
    assert {mapped(corpus, u.raw_label) for u in taken.values()} <= set(card.label_set().labels)
