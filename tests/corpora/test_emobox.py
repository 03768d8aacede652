"""EmoBox's folds: read, met with a copy, counted where they do not meet, chosen at run time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus_rows import row, write_rows

from voxemo_tasks.cli import main
from voxemo_tasks.corpora import prepare, prepared
from voxemo_tasks.corpora.emobox import Line, match, read_folds
from voxemo_tasks.errors import CorpusError
from voxemo_tasks.records import Split
from voxemo_tasks.specs import CorpusCard

WithCard = Callable[..., CorpusCard]
Clip = Callable[..., Path]


def line(wav: str, key: str = "", **more: Any) -> dict[str, Any]:
    return {"key": key or f"urdu-{wav}", "wav": f"downloads/urdu/{wav}", "emo": "A", **more}


def write_folds(root: Path, files: dict[str, list[dict[str, Any]]], corpus: str = "urdu") -> Path:
    """``{"1/train": lines}`` → EmoBox's tree; returns the folder that ``--emobox-root`` names."""
    for name, lines in files.items():
        fold, role = name.split("/")
        file = root / corpus / f"fold_{fold}" / f"{corpus}_{role}_fold_{fold}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(x) + "\n" for x in lines), encoding="utf-8")
    return root


def splits_of(corpus: str) -> dict[str, set[tuple[int, str]]]:
    return {
        u.utterance_id: {(s.fold, s.role) for s in u.splits if s.protocol == "emobox"}
        for u in prepared(corpus).manifest().utterances()
    }


def met(paths: list[str], lines: list[dict[str, Any]], root: Path, **more: Any) -> list[bool]:
    """Which paths have a role, after writing the lines as one test fold."""
    folds = read_folds("urdu", write_folds(root, {"1/test": lines}))
    ids = more.get("ids", [f"u{i}" for i in range(len(paths))])
    segments = more.get("segments", [(None, None)] * len(paths))
    return [bool(s) for s in match(folds, "urdu", ids, paths, segments)[0]]


# Real files.


def test_urdus_fold(home: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = shared / "data"
    call = ["corpora", "prepare", "urdu", "--root", str(data / "urdu"), "--no-progress"]
    assert main([*call, "--emobox-root", str(data / "emobox")]) == 0
    out = capsys.readouterr().out
    assert "emobox    400 of 400 utterances" in out
    assert "emobox 1: 300 train, 100 test; NOT speaker-disjoint (18 of the 19 tested" in out
    for role, n in (("train", 300), ("test", 100)):
        file = data / "emobox/urdu/fold_1" / f"urdu_{role}_fold_1.jsonl"
        keys = {json.loads(text)["key"] for text in file.read_text().splitlines()}
        ours = {f"urdu-{uid}" for uid, roles in splits_of("urdu").items() if roles == {(1, role)}}
        assert ours == keys
        assert len(ours) == n
    test = {u.speaker for u in prepared("urdu").manifest().utterances() if (
        Split("emobox", 1, "test") in u.splits
    )}  # fmt: skip
    assert len(test) == 19
    assert prepared("urdu").facts.report["emobox"]["matched"] == 400


def test_every_corpus_meets_its_own_tree_and_nothing_else(shared: Path) -> None:
    """Paths as EmoBox has them, below other folders, in another format: all met, none wrongly."""
    root = shared / "data" / "emobox"
    seen = 0
    for folder in sorted(p for p in root.iterdir() if (p / "fold_1").is_dir()):
        corpus = folder.name
        if corpus in ("esd", "msppodcast", "meld", "asvpesd"):
            continue  # for time's sake
        folds = read_folds(corpus, root)
        segments = [(x.start_s, x.end_s) for x in folds.lines]
        paths = [f"My copy/{x.wav.rpartition('.')[0]}.flac" for x in folds.lines]
        ids = [f"u{i}" for i in range(len(paths))]
        splits, matching = match(folds, corpus, ids, paths, segments)
        wrong = [x for x, found in zip(folds.lines, splits, strict=True) if found != x.splits()]
        # PAVOQUE lists 144 segments twice, under two keys: only a key can tell those.
        assert len(wrong) == matching.matched - len(paths) + 2 * len(wrong), corpus
        assert len(wrong) == (288 if corpus == "pavoque" else 0), corpus
        keys = [x.key.removeprefix(f"{corpus}-") for x in folds.lines]
        names = [f"{i}.wav" for i in range(len(paths))]
        assert match(folds, corpus, keys, names, segments)[1].matched == len(paths), corpus
        seen += 1
    assert seen >= 15


def test_strays_of_emodb_and_mer2023_are_passed_over(shared: Path) -> None:
    root = shared / "data" / "emobox"
    emodb = read_folds("emodb", root)
    assert len(emodb.passed_over) == 10
    tested = Counter(fold for x in emodb.lines for fold, role in x.roles if role == "test")
    assert tested == dict.fromkeys(range(1, 6), 107)
    mer = read_folds("mer2023", root)
    assert mer.passed_over == tuple(f"fold_1/mer2023_test{i}_fold_1.jsonl" for i in (1, 2, 3))
    assert Counter(role for x in mer.lines for _, role in x.roles)["test"] == 411
    assert {r for x in read_folds("meld", root).lines for _, r in x.roles} == {
        *("train", "valid", "test"),
    }


# A small tree.


def test_what_does_not_meet_is_counted_and_kept(
    home: Path, urdu_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(p.relative_to(urdu_tree).as_posix() for p in urdu_tree.rglob("*.wav"))
    folds = {
        "1/train": [line(n) for n in names[3:]],
        "1/test": [line(n) for n in names[:2]] + [line("Angry/SM9_F9_A09.wav")],
        "2/test": [line(names[0])],
    }
    root = write_folds(tmp_path / "emobox", folds)
    (root / "urdu/fold_1/urdu_test1_fold_1.jsonl").write_text("not looked at")
    report = prepare("urdu", urdu_tree, emobox_root=root, progress=False)
    assert report.emobox is not None
    assert report.n == 12
    assert report.emobox.matched == 11
    assert report.emobox.lines == ("urdu-Angry/SM9_F9_A09.wav: Angry/SM9_F9_A09.wav",)
    assert report.emobox.utterances == (f"{Path(names[2]).stem}: {names[2]}",)
    assert report.emobox.passed_over == ("fold_1/urdu_test1_fold_1.jsonl",)
    roles = splits_of("urdu")
    assert roles[Path(names[0]).stem] == {(1, "test"), (2, "test")}
    assert roles[Path(names[2]).stem] == set()
    assert all(Split("all", 1, "test") in s for s in prepared("urdu").manifest().column("splits"))
    prepared("urdu").manifest().verify()
    assert report.to_json() == prepared("urdu").facts.report
    again = prepare("urdu", urdu_tree, progress=False)
    assert not any(splits_of("urdu").values())  # asked for anew each time, and it is said
    assert again.lost_folds == ("emobox",)


def test_another_length_is_told(home: Path, urdu_tree: Path, tmp_path: Path) -> None:
    """The clips are 0.1 to 0.3 s long; EmoBox says that one is 0.5 s."""
    names = sorted(p.relative_to(urdu_tree).as_posix() for p in urdu_tree.rglob("*.wav"))
    lines = [
        line(n, length=length)
        for n, length in ((names[0], 0.5), (names[1], 0.15), (names[2], None))
    ]
    root = write_folds(tmp_path / "emobox", {"1/test": lines})
    report = prepare("urdu", urdu_tree, emobox_root=root, progress=False)
    assert report.emobox is not None
    first = Path(names[0]).stem
    assert report.emobox.lengths == (f"{first}: 0.200 s here, 0.500 s in EmoBox",)
    assert prepared("urdu").facts.report["emobox"]["n_length_differs"] == 1


def test_the_digest_covers_the_folds(home: Path, urdu_tree: Path, tmp_path: Path) -> None:
    plain = prepare("urdu", urdu_tree, progress=False).digest
    name = "Angry/SM1_F1_A01.wav"
    root = write_folds(tmp_path / "emobox", {"1/test": [line(name)]})
    assert prepare("urdu", urdu_tree, emobox_root=root, progress=False).digest != plain


def test_the_protocol_is_chosen_though_the_card_lacks_it(
    home: Path, urdu_tree: Path, tmp_path: Path
) -> None:
    from voxemo_tasks.tasks.documents import select
    from voxemo_tasks.tasks.options import RunOptions

    names = [p.relative_to(urdu_tree).as_posix() for p in urdu_tree.rglob("*.wav")]
    root = write_folds(
        tmp_path / "emobox",
        {"1/test": [line(n) for n in names[:5]], "2/test": [line(n) for n in names[5:7]]},
    )
    prepare("urdu", urdu_tree, emobox_root=root, progress=False)
    entry = prepared("urdu")
    assert "emobox" not in entry.card.protocols

    def chosen(**options: Any) -> int:
        asked = RunOptions(**options)
        return len(select(entry.card, entry.manifest(), entry.card.label_set(), asked).rows)

    assert chosen(protocol="emobox") == 7  # a protocol of the manifest alone: folds are pooled
    assert chosen(protocol="emobox", fold=1) == 5
    assert chosen(protocol="emobox", fold=2) == 2
    assert chosen(protocol="emobox", fold="all") == 7
    assert chosen() == 12


def test_speakers_of_folds(home: Path, tmp_path: Path, clip: Clip, with_card: WithCard) -> None:
    with_card("mini", "made_up", reader={"family": "jsonl_metadata", "options": {
        "extra": ["blend"],
    }}, expected={})  # fmt: skip
    root = tmp_path / "made up"
    said = ["a", "a", "b", "c", None, None]
    roles = {  # protocol → what each of the six plays
        "one": ["test"] * 6,
        "disjoint": ["train", "train", "test", "test", None, None],
        "shared": ["train", "test", "test", "train", None, None],
        "valid": ["valid", "test", "train", None, None, None],
        "unknown": ["train", None, "test", None, "test", None],
        "nobody": [None, None, None, None, "train", "test"],
    }
    card_protocols = {n: {"description": "x", "folds": 1} for n in (*roles, "all")}
    with_card("made_up", "made_up", protocols=card_protocols)
    rows = []
    for i, speaker in enumerate(said):
        clip(root / f"en/{i}.wav")
        splits = [
            {"protocol": p, "fold": 1, "role": r[i]} for p, r in roles.items() if r[i] is not None
        ]
        rows.append(row(i, speaker=speaker, splits=splits))
    write_rows(root, rows)
    report = prepare("made_up", root, progress=False)
    found = {f.protocol: f for f in report.folds}
    assert {name: f.disjoint for name, f in found.items()} == {
        "all": None,
        "one": None,
        "disjoint": True,
        "shared": False,
        "valid": False,
        "unknown": None,
        "nobody": None,
    }
    assert (found["shared"].speakers, found["shared"].shared) == (2, 1)
    assert (found["unknown"].unknown, found["unknown"].test) == (1, 2)
    assert (found["valid"].train, found["valid"].valid, found["valid"].test) == (1, 1, 1)


# How a line and an utterance meet.


def test_the_path_decides_before_the_name(tmp_path: Path) -> None:
    lines = [line("a/1.wav"), line("b/1.wav")]
    assert met(["a/1.wav", "c/1.wav", "x/b/1.wav"], lines, tmp_path) == [True, False, True]


def test_a_name_that_stands_twice_on_either_side_is_no_name(tmp_path: Path) -> None:
    assert met(["x/1.wav", "y/1.wav", "z/2.wav"], [line("a/1.wav"), line("b/2.wav")], tmp_path) == [
        *(False, False, True),
    ]
    both = [line("a/1.wav"), line("b/1.wav"), line("c/2.wav")]
    assert met(["x/1.wav", "z/2.wav"], both, tmp_path) == [False, True]


def test_what_is_left_over_is_not_paired_by_a_name_that_others_share(tmp_path: Path) -> None:
    lines = [line("a/1.wav"), line("b/1.wav")]
    assert met(["a/1.wav", "z/1.wav"], lines, tmp_path) == [True, False]


def test_decomposed_names_and_other_formats(tmp_path: Path) -> None:
    lines = [line("caf\u00e9.webm"), line("x/2.avi")]
    assert met(["cafe\u0301.wav", "2.flac"], lines, tmp_path) == [True, True]


def test_keys(tmp_path: Path) -> None:
    lines = [line("a/1.wav", key="urdu-K1"), line("a/2.wav", key="urdu-K2")]
    ids = ["K1", "urdu-K2"]
    assert met(["8.wav", "9.wav"], lines, tmp_path, ids=ids) == [True, True]


def test_segments_meet_by_key_then_by_times(tmp_path: Path) -> None:
    lines = [
        line("long.flac", key="urdu-m1", start_time=0.0, end_time=2.0),
        line("long.flac", key="urdu-m2", start_time=2.0, end_time=4.0),
        line("long.flac", key="urdu-m3", start_time=4.0, end_time=5.0),
    ]
    paths = ["d/long.flac"] * 3
    times = [(2.005, 3.995), (0.0, 2.0), (4.0, 5.1)]
    assert met(paths, lines, tmp_path, segments=times) == [True, True, False]
    folds = read_folds("urdu", tmp_path)
    assert [x.key for x in folds.lines] == ["urdu-m1", "urdu-m2", "urdu-m3"]
    write_folds(tmp_path, {"2/train": lines[:1], "3/train": lines[1:2]})
    folds = read_folds("urdu", tmp_path)
    swapped = [(0.0, 2.0), (2.0, 4.0), (9.0, 10.0)]  # the key decides before the times
    splits, matching = match(folds, "urdu", ["m2", "m1", "m3"], paths, swapped)
    assert matching.matched == 3
    assert [{s.fold for s in found} for found in splits] == [{1, 3}, {1, 2}, {1}]


@pytest.mark.parametrize("start", [i / 1000 for i in range(0, 80, 7)])
def test_times_that_are_close_meet_wherever_they_lie(tmp_path: Path, start: float) -> None:
    lines = [line("x.flac", start_time=start, end_time=start + 1)]
    for off in (-0.009, 0.0, 0.009):
        times = [(max(start + off, 0), start + 1 - off)]
        assert met(["x.flac"], lines, tmp_path, segments=times) == [True]


def test_a_segment_is_not_its_whole_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="none of its 1 lines is one of the 1 utterances"):
        met(["x.wav"], [line("x.wav")], tmp_path, segments=[(1.0, 2.0)])


# What cannot be used.


def test_roots(tmp_path: Path) -> None:
    root = write_folds(tmp_path / "EmoBox" / "data", {"1/test": [line("a.wav")]})
    with pytest.raises(CorpusError, match="there is no such folder; --emobox-root is the folder"):
        read_folds("urdu", tmp_path / "gone")
    with pytest.raises(CorpusError, match=r"try --emobox-root .*EmoBox/data$"):
        read_folds("urdu", root / "urdu")
    with pytest.raises(CorpusError, match=r"one level down: try --emobox-root .*EmoBox/data$"):
        read_folds("urdu", root.parent)
    with pytest.raises(
        CorpusError, match=r"(?s)no folder mini; found: urdu\n.*leave --emobox-root"
    ):
        read_folds("mini", root)
    (root / "mini" / "fold_1").mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"looked for fold_<N>/mini_.*; found: fold_1"):
        read_folds("mini", root)
    (root / "mini/fold_1/mini_test_fold_1.jsonl").touch()
    with pytest.raises(CorpusError, match="its fold files are all empty"):
        read_folds("mini", root)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", r"_fold_1\.jsonl:2: is not JSON"),
        (b"[]", r":2: is not an object"),
        (b'{"key": "k", "audio": "a.wav"}', r":2: has no key or no wav"),
        (b'{"key": "k", "wav": "a", "start_time": "1", "end_time": 2}', r":2: the time '1'"),
        (b'{"key": "\xff"}', "is not UTF-8"),
    ],
)
def test_lines_that_cannot_be_read(tmp_path: Path, text: bytes, words: str) -> None:
    root = write_folds(tmp_path, {"1/test": [line("a.wav")]})
    with (root / "urdu/fold_1/urdu_test_fold_1.jsonl").open("ab") as file:
        file.write(text + b"\n")
    with pytest.raises(CorpusError, match=words):
        read_folds("urdu", root)


def test_bad_folds_stop_it_before_a_file_is_read(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["corpora", "prepare", "urdu", "--root", str(tmp_path / "gone")]
    assert main([*call, "--emobox-root", str(tmp_path / "nor this")]) == 2
    assert "nor this: there is no such folder; --emobox-root" in capsys.readouterr().err


def test_lines_hold_all_their_roles(tmp_path: Path) -> None:
    one, two = line("a.wav"), line("b.wav")
    root = write_folds(tmp_path, {"2/valid": [one], "1/train": [one, two], "10/test": [one]})
    assert read_folds("urdu", root).lines == (
        Line("urdu-a.wav", "a.wav", None, None, ((1, "train"), (2, "valid"), (10, "test"))),
        Line("urdu-b.wav", "b.wav", None, None, ((1, "train"),)),
    )
