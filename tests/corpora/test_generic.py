"""Corpora nobody has heard of: a table of a manifest's columns, and datasets of the hub."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxemo_tasks import registry
from voxemo_tasks.corpora import check, prepare, prepared
from voxemo_tasks.errors import CorpusError, DataRoomError, LabelSetError
from voxemo_tasks.records import Split, Utterance
from voxemo_tasks.registering.corpora import check_corpus
from voxemo_tasks.rooms import read_yaml
from voxemo_tasks.specs import CorpusCard

Clip = Callable[..., Path]
Own = Callable[..., CorpusCard]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own(with_card: Callable[..., CorpusCard]) -> Own:
    """A function that registers a card ``own`` of a family, with options."""

    def make(family: str, card: dict[str, Any] | None = None, **options: Any) -> CorpusCard:
        changes: dict[str, Any] = {
            "synthetic": False,
            "languages": ["de-DE"],
            "culture": "DE",
            "labels": {"A": "angry", "S": "sad", "T": "sad"},
            "label_sets": {"native": {"labels": ["angry", "sad"]}},
            "protocols": {n: {"description": "x", "folds": 9} for n in ("all", "official")},
            "expected": {},
            "layout": "a table and its files",
            **(card or {}),
            "reader": {"family": family, "options": options},
        }
        return with_card("mini", "own", **changes)

    return make


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0], delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


@pytest.fixture
def root(tmp_path: Path, clip: Clip) -> Path:
    """Two clips of a second."""
    for name in ("a b/1.wav", "é.wav"):
        clip(tmp_path / "own" / name, 1.0)
    return tmp_path / "own"


def taken(root: Path) -> list[Utterance]:
    prepare("own", root, progress=False)
    return list(prepared("own").manifest().utterances())


# A table.

FULL: list[dict[str, Any]] = [
    {
        "utterance_id": "u1",
        "path": "a b/1.wav",
        "start_s": 0.25,
        "end_s": 0.75,
        "channel": 0,
        "raw_label": "A",
        "label": "angry",
        "votes": {"A": 3, "S": 1, "T": 1},
        "rater_votes": {"r1": ["A", "S"], "r2": "A"},
        "valence": -1.5,
        "speaker": "7",
        "age": "30",
        "transcript": 'Er sagte: "Nein", und\nging.',
        "splits": [
            {"protocol": "official", "fold": 2, "role": "valid"},
            {"protocol": "all", "fold": 1, "role": "test"},
        ],
    },
    {"utterance_id": "u2", "path": "é.wav", "raw_label": "T", "language": "de-AT"},
]


def write_table(root: Path, kind: str) -> None:
    keys = [*dict.fromkeys(k for r in FULL for k in r)]
    if kind == "jsonl":
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n\n" for r in FULL)
        (root / "manifest.jsonl").write_text(text, encoding="utf-8")
    elif kind == "parquet":
        rows = [{k: r.get(k) for k in keys} for r in FULL]
        schema = pa.schema(
            [
                *((k, pa.string()) for k in ("utterance_id", "path", "raw_label", "label")),
                *((k, pa.float64()) for k in ("start_s", "end_s", "valence")),
                ("channel", pa.int32()),
                ("votes", pa.map_(pa.string(), pa.int64())),
                ("rater_votes", pa.string()),
                ("splits", pa.list_(pa.struct(
                    [("protocol", pa.string()), ("fold", pa.int64()), ("role", pa.string())]
                ))),
                *((k, pa.string()) for k in ("speaker", "age", "transcript", "language")),
            ]
        )  # fmt: skip
        for r in rows:
            r["votes"] = r["votes"] and list(r["votes"].items())
            r["rater_votes"] = r["rater_votes"] and json.dumps(r["rater_votes"])
        pq.write_table(pa.Table.from_pylist(rows, schema), root / "manifest.parquet")
    else:
        rows = [
            {k: json.dumps(r[k]) if isinstance(r.get(k), dict | list) else r.get(k) for k in keys}
            for r in FULL
        ]
        text = as_csv(rows, {"csv": ",", "tsv": "\t"}[kind])
        # As Excel saves it: with a byte order mark, and CRLF.
        (root / f"manifest.{kind}").write_bytes(b"\xef\xbb\xbf" + text.encode())


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_of_every_kind_says_the_same(home: Path, root: Path, own: Own, kind: str) -> None:
    own("manifest")
    write_table(root, kind)
    one, two = taken(root)
    assert (one.utterance_id, one.path, one.start_s, one.end_s) == ("u1", "a b/1.wav", 0.25, 0.75)
    assert (one.channel, one.raw_label, one.label, one.duration_s) == (0, "A", "angry", 0.5)
    assert one.votes == {"angry": 3, "sad": 2}
    assert one.rater_votes == {"r1": ("angry", "sad"), "r2": ("angry",)}
    assert (one.valence, one.speaker, one.age) == (-1.5, "7", "30")
    assert one.transcript == 'Er sagte: "Nein", und\nging.'
    assert one.splits == (Split("all", 1, "test"), Split("official", 2, "valid"))
    assert (two.path, two.label, two.language, two.culture) == ("é.wav", "sad", "de-AT", "DE")
    assert two.votes is two.speaker is two.start_s is None
    assert check("own").ok


def test_least_that_a_table_needs(home: Path, root: Path, own: Own, clip: Clip) -> None:
    own("manifest")
    clip(root / "extra.wav")
    (root / "manifest.csv").write_text("path,label\na b/1.wav,angry\né.wav,\n", encoding="utf-8")
    report = prepare("own", root, progress=False)
    assert [str(p) for p in report.not_in_corpus] == [
        "extra.wav: stands on no line of manifest.csv"
    ]
    one, two = prepared("own").manifest().utterances()
    assert (one.utterance_id, one.raw_label, one.label) == ("a b/1", "A", "angry")
    assert (two.utterance_id, two.raw_label, two.label) == ("é", None, None)


def test_columns_of_other_names(home: Path, root: Path, own: Own) -> None:
    own(
        "manifest",
        file="meta/clips.txt",
        delimiter=";",
        encoding="cp1252",
        folder="a b",
        columns={"path": "Datei", "raw_label": "Gefühl", "protocol": "P", "fold": "F", "role": "R"},
    )
    (root / "meta").mkdir()
    text = "Datei;Gefühl;Notiz;P;F;R\n1.wav;S;größer;official;3;train\n"
    (root / "meta/clips.txt").write_text(text, encoding="cp1252")
    (one,) = taken(root)
    assert (one.path, one.label) == ("a b/1.wav", "sad")
    assert Split("official", 3, "train") in one.splits


def test_a_manifest_of_ours_is_such_a_table(home: Path, root: Path, own: Own) -> None:
    own("manifest", card={"labels": {"angry": "angry", "sad": "sad"}})
    (root / "manifest.csv").write_text("path,label\na b/1.wav,angry\né.wav,sad\n", "utf-8")
    first = prepare("own", root, out=home / "m.parquet", progress=False)
    (root / "manifest.csv").unlink()
    (root / "manifest.parquet").write_bytes((home / "m.parquet").read_bytes())
    assert prepare("own", root, progress=False).digest == first.digest


def test_extra_columns_are_left_out_by_name(home: Path, root: Path, own: Own) -> None:
    own("manifest", extra=["mood"])
    (root / "manifest.csv").write_text("path,label,mood\na b/1.wav,angry,x\n", "utf-8")
    assert len(taken(root)) == 1


GOOD = "path,raw_label,{}\na b/1.wav,A,{}\né.wav,S,{}\n"


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("start_s", "abc", r"csv:3, column start_s: 'abc' is not a number \(with a point"),
        ("start_s", '"0,5"', r"csv:3, column start_s: '0,5' is not a number"),
        ("valence", "nan", r"csv:3, column valence: 'nan' is not a finite number"),
        ("arousal", "inf", r"csv:3, column arousal: 'inf' is not a finite"),
        ("channel", "0.5", r"csv:3, column channel: '0.5' is not a whole number"),
        ("channel", "-1", r"csv:3, column channel: '-1' is not a whole number"),
        ("votes", "happy", r"csv:3, column votes: 'happy' is not JSON"),
        ("votes", "[1]", r"csv:3, column votes: '\[1\]' is not an object such as"),
        ("votes", '"{""A"": 1.5}"', r"csv:3, column votes: 1.5 votes for 'A'"),
        ("votes", '"{""A"": -1}"', r"csv:3, column votes: -1 votes for 'A'"),
        ("votes", '"{""A"": true}"', r"csv:3, column votes: True votes for 'A'"),
        ("rater_votes", '"{""r"": 1}"', r"csv:3, column rater_votes: 1 of rater 'r' is not"),
        ("splits", "{}", r"csv:3, column splits: '{}' is not a list"),
        ("splits", '"[{""protocol"": ""all""}]"', r"csv:3, column splits: fold: Field required"),
        ("label", "sad", None),
        ("label", "angry", r"csv:3: says raw_label 'S' and label 'angry'; on the card 'S' is 'sad"),
        ("language", "german", r"csv:3, column language: 'german' is no language tag such as 'de'"),
        ("fold", "1", r"csv:3: a split is protocol, fold and role.*'protocol': None"),
        ("mood", "", r"csv:1: unknown column\(s\) mood; known: utterance_id, path, .*extra"),
        ("path", "x", r"csv:1: the column\(s\) path stand twice"),
        ("utterance_id", "a b/1", r"csv:3: the id 'a b/1' stands twice \(first at .*csv:2\)"),
    ],
)
def test_cells_that_cannot_be_used(
    home: Path, root: Path, own: Own, column: str, cell: str, words: str | None
) -> None:
    own("manifest")
    (root / "manifest.csv").write_text(GOOD.format(column, "", cell), encoding="utf-8")
    if words is None:
        assert len(taken(root)) == 2
        return
    with pytest.raises(CorpusError, match=words):
        prepare("own", root, progress=False)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("csv", b"", r"csv:1: has no column path; it has none"),
        ("csv", b"path,raw_label\n", "has no line below its header"),
        ("csv", b"raw_label\nA\n", r"csv:1: has no column path; it has raw_label"),
        ("csv", b"path\nx.wav\n", r"csv:1: has neither a column raw_label nor label"),
        ("csv", b"path,raw_label\nx.wav,A,1\n", r"csv:2: has 3 cell\(s\), the header 2; is a cell"),
        ("csv", b"path,raw_label\nx.wav\n", r"csv:2: has 1 cell\(s\), the header 2"),
        ("csv", b'path,raw_label\nx.wav,"A\n\n', r"csv:.: unexpected end of data"),
        ("csv", b"path,raw_label\n,A\n", r"csv:2: has no path"),
        ("csv", b"path,raw_label\n../x.wav,A\n", r"csv:2: the path '\.\./x\.wav' points outside"),
        ("csv", b"path,raw_label\n/x.wav,A\n", r"csv:2: the path '/x\.wav' points outside"),
        ("csv", b"path,raw_label\na.wav,A\nM\xfcll.wav,A\n", r"csv:3: is not utf-8-sig .*encoding"),
        ("csv", b"path,label\na.wav,sad\n", r"csv:2: the label 'sad' may be S or T; give raw_lab"),
        ("csv", b"path;raw_label\na.wav;A\n", r"Is it separated by ';'\? reader.options.delim"),
        (
            "csv",
            b"path,raw_label\na b\\1.wav,A\n",
            r"csv:2: the path 'a b.*1\.wav' has backslashes",
        ),
        (
            "csv",
            b"path,raw_label,protocol,fold,role\na.wav,A,official,10,test\n",
            r"a: fold 10 of protocol 'official'; on the card of 'own' it has folds 1 to 9",
        ),
        (
            "csv",
            "utterance_id,path,raw_label\n\xe9,a.wav,A\ne\u0301,b.wav,S\n".encode(),
            r"csv:3: the id '\xe9' stands twice",
        ),
        ("jsonl", b'{"path": "a.wav", "raw_label": "A"}\n{\n', r"jsonl:2: is not JSON"),
        ("jsonl", b"[]\n", r"jsonl:1: is not an object"),
        ("jsonl", b'{"raw_label": "A"}\n', r"jsonl:1: has no path"),
        ("jsonl", b'{"path": "a.wav", "raw_label": "A", "x": 1}\n', r"jsonl:1: unknown column"),
        (
            "jsonl",
            b'{"path": "a.wav", "raw_label": 1.5}\n',
            r"jsonl:1, column raw_label: 1.5 is no",
        ),
        ("jsonl", b'{"path": "a.wav", "raw_label": "A", "start_s": true}', r"True is not a number"),
        ("parquet", b"PAR1", "is not a readable Parquet file"),
    ],
)
def test_tables_that_cannot_be_used(
    home: Path, root: Path, own: Own, name: str, data: bytes, words: str
) -> None:
    own("manifest")
    (root / f"manifest.{name}").write_bytes(data)
    with pytest.raises(CorpusError, match=words):
        prepare("own", root, progress=False)


def test_names_and_labels_in_other_code_points(home: Path, root: Path, own: Own) -> None:
    """A table from a system that spells é in two code points, on a disk that spells it in one."""
    own("manifest", {"labels": {"A": "angry", "d\xe9": "sad"}})
    votes = '"{""de\u0301"": 2, ""A"": 1}"'
    text = f"path,raw_label,votes\na b/1.wav,A,\ne\u0301.wav,de\u0301,{votes}\n"
    (root / "manifest.csv").write_text(text, encoding="utf-8")
    report = prepare("own", root, progress=False)
    assert report.not_in_corpus == report.unusable == ()
    _, second = sorted(prepared("own").manifest().utterances(), key=lambda u: u.utterance_id)
    assert (second.utterance_id, second.path, second.label) == ("\xe9", "\xe9.wav", "sad")
    assert second.votes == {"sad": 2, "angry": 1}


def test_a_label_in_another_case_is_told_and_not_guessed(home: Path, root: Path, own: Own) -> None:
    own("manifest")
    (root / "manifest.csv").write_text("path,raw_label\na b/1.wav,a\né.wav, S\n", encoding="utf-8")
    with pytest.raises(CorpusError):
        prepare("own", root, progress=False)
    (root / "manifest.csv").write_text("path,raw_label\na b/1.wav,a\né.wav,S\n", encoding="utf-8")
    report = prepare("own", root, progress=False)
    (left,) = report.not_in_corpus
    assert left.path == "a b/1.wav"
    assert "its label 'a' is not on the card; known: A, S, T" in left.reason


def test_the_line_of_an_error_counts_lines_within_cells(home: Path, root: Path, own: Own) -> None:
    own("manifest")
    text = 'path,raw_label,transcript,valence\na b/1.wav,A,"two\nlines",1\né.wav,S,"a\nb",x\n'
    (root / "manifest.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"csv:4, column valence: 'x' is not a number"):
        prepare("own", root, progress=False)


def test_tables_that_are_not_there_or_two(home: Path, root: Path, own: Own) -> None:
    own("manifest")
    with pytest.raises(CorpusError, match=r"looked for: the table manifest\.csv or manifest\.tsv"):
        prepare("own", root, progress=False)
    (root / "manifest.csv").touch()
    (root / "manifest.jsonl").touch()
    with pytest.raises(CorpusError, match=r"holds manifest\.csv and manifest\.jsonl; say which"):
        prepare("own", root, progress=False)
    own("manifest", file="table.xlsx")
    (root / "table.xlsx").touch()
    with pytest.raises(CorpusError, match=r"ends in '\.xlsx'; a table is \.csv"):
        prepare("own", root, progress=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {"path": "p", "label": "l", "emotion": "e"}}, "emotion: no such field; known"),
        ({"columns": {"label": "l"}}, "does not name path"),
        ({"colums": {}}, "colums"),
    ],
)
def test_options_of_a_table(
    home: Path, root: Path, own: Own, options: dict[str, Any], words: str
) -> None:
    own("manifest", **options)
    with pytest.raises(DataRoomError, match=words):
        prepare("own", root, progress=False)


def test_a_column_that_the_card_names_and_an_unknown_encoding(
    home: Path, root: Path, own: Own
) -> None:
    (root / "manifest.csv").write_text("path,label\nx.wav,angry\n")
    own("manifest", columns={"path": "Datei", "label": "label"})
    with pytest.raises(CorpusError, match=r"csv:1: has no column Datei, which the card names"):
        prepare("own", root, progress=False)
    own("manifest", columns={"path": "path"})
    with pytest.raises(CorpusError, match=r"csv:1: has neither a column raw_label nor label"):
        prepare("own", root, progress=False)
    own("manifest", encoding="utf-9")
    with pytest.raises(CorpusError, match="'utf-9' is no encoding"):
        prepare("own", root, progress=False)


def test_a_corpus_with_ratings_and_no_classes(home: Path, root: Path, own: Own) -> None:
    (root / "manifest.csv").write_text("path,valence,arousal\né.wav,1.5,-2\na b/1.wav,,\n")
    scale = {"low": -3, "high": 3}
    card = own("manifest", {"labels": {}, "label_sets": {}, "dimensions": scale})
    with pytest.raises(LabelSetError, match="'own' has no classes"):
        card.label_set()
    first, second = taken(root)
    assert (second.label, second.valence, second.arousal) == (None, 1.5, -2.0)
    assert (first.label, first.valence) == (None, None)


def test_a_card_of_the_user(home: Path, root: Path) -> None:
    (root / "manifest.csv").write_text("path,label\né.wav,angry\na b/1.wav,sad\n")
    docs = (ROOT / "docs" / "corpora.md").read_text(encoding="utf-8")
    card = docs.partition("```yaml\n")[2].partition("```")[0]
    assert "id: my_corpus" in card
    cards = home / "cards"
    cards.mkdir(parents=True)
    (cards / "my_corpus.yaml").write_text(card, encoding="utf-8")
    assert prepare("my_corpus", root, progress=False).n == 2
    assert "my_corpus" in [c.id for c in registry.corpora()]
    (cards / "urdu.yaml").write_text(card.replace("my_corpus", "urdu"), encoding="utf-8")
    with pytest.raises(DataRoomError, match="card urdu, which the package has too"):
        registry.corpora()
    (cards / "urdu.yaml").unlink()
    (cards / "my_corpus.yaml").write_text(card.replace("elicitation", "elicted"), encoding="utf-8")
    with pytest.raises(DataRoomError, match=r"my_corpus\.yaml"):
        registry.corpora()
    (cards / "my_corpus.yaml").unlink()
    assert "my_corpus" not in [c.id for c in registry.corpora()]


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_a_number_that_is_none_from_any_reader(
    home: Path, root: Path, own: Own, number: str
) -> None:
    own("jsonl_metadata")
    text = f'{{"utterance_id": "u", "path": "é.wav", "raw_label": "A", "valence": {number}}}\n'
    (root / "metadata.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"u: valence is (nan|inf)"):
        prepare("own", root, progress=False)


def test_the_card_in_the_documents_is_one(home: Path, root: Path, tmp_path: Path) -> None:
    """docs/corpora.md shows a whole card and a whole table; they work as they stand."""
    text = (ROOT / "docs" / "corpora.md").read_text(encoding="utf-8")
    (card,) = re.findall(r"```yaml\n(schema: voxemo-corpus/1\n.*?)```", text, re.S)
    (tmp_path / "my_corpus.yaml").write_text(card, encoding="utf-8")
    spec = CorpusCard.model_validate(read_yaml(tmp_path / "my_corpus.yaml").data)
    check_corpus(spec, read_yaml(tmp_path / "my_corpus.yaml"))
    (table,) = re.findall(r"```csv\n(path,.*?)```", text, re.S)
    paths = [row["path"] for row in csv.DictReader(io.StringIO(table))]
    (root / "manifest.csv").write_text(table, encoding="utf-8")
    from voxemo_tasks.corpora.readers import reader

    found = list(reader(spec.reader.family)(spec, root))
    assert [u.path for u in found if isinstance(u, Utterance)] == paths
    assert all(u.raw_label in spec.labels for u in found if isinstance(u, Utterance))
    columns = re.findall(r"^\| `(\w+)`", text, re.M)
    from voxemo_tasks.corpora.readers.manifest_file import FIELDS

    assert set(columns) == set(FIELDS)


# Datasets of the hub.


def cameo_rows(clip: Clip, folder: Path, n: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "file_id": f"c{i}",
            "audio": {
                "bytes": clip(folder / f"{i}.wav", 0.5 + i / 10).read_bytes(),
                "path": f"{i}.wav",
            },
            "emotion": "AST"[i],
            "transcription": f"Satz {i}.",
            "speaker_id": 100 + i,
            "gender": "female",
            "age": None if i else "31",
            "dataset": "own" if i < 2 else "other",
            "language": "German",
            "license": "x",
        }
        for i in range(n)
    ]


def dataset_of(rows: list[dict[str, Any]], **features: Any) -> Any:
    import datasets

    return datasets.Dataset.from_list(rows).cast_column("audio", datasets.Audio())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf cache")
    return tmp_path / "hf cache"


def as_it_is(rows: list[dict[str, Any]], file: Path) -> None:
    """Parquet with the library's metadata, without its looking at the files that rows name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(dataset_of(rows).data.table, file)


def save(rows: list[dict[str, Any]], folder: Path, how: str) -> Path:
    """Write a dataset in one of the ways in which they lie on disks; returns the root."""
    import datasets

    dataset = dataset_of(rows)
    if how == "disk":
        dataset.save_to_disk(str(folder))
    elif how == "dict":
        datasets.DatasetDict({"own": dataset}).save_to_disk(str(folder))
    elif how == "parquet":
        (folder / "data").mkdir(parents=True)
        dataset.select([0]).to_parquet(folder / "data/own-00000-of-00002.parquet")
        rest = list(range(1, len(rows)))
        dataset.select(rest).to_parquet(folder / "data/own-00001-of-00002.parquet")
    else:
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("abc")
        for revision, n in (("abc", len(rows)), ("old", 1)):
            there = folder / "snapshots" / revision
            there.mkdir(parents=True)
            dataset.select(range(n)).to_parquet(there / "own-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("how", ["disk", "dict", "parquet", "cache"])
def test_datasets_wherever_they_lie(
    home: Path, tmp_path: Path, clip: Clip, own: Own, how: str, cache: Path
) -> None:
    rows = cameo_rows(clip, tmp_path / "clips")
    root = save(rows, tmp_path / "data set", how)
    own("hub")
    report = prepare("own", root, progress=False)
    audio = home / "corpora" / "own" / "audio"
    assert (report.n, report.usable, report.root) == (3, 3, audio)
    manifest = prepared("own").manifest()
    for i, u in enumerate(manifest.utterances()):
        assert (u.utterance_id, u.raw_label, u.speaker) == (f"c{i}", "AST"[i], str(100 + i))
        assert (u.label, u.transcript) == (("angry", "sad", "sad")[i], f"Satz {i}.")
        assert (u.gender, u.age, u.language) == ("female", None if i else "31", "de-DE")
        ref = manifest.audio_ref(u)
        assert Path(ref.path).read_bytes() == rows[i]["audio"]["bytes"]
        assert Path(ref.path).name == f"{u.sha256}.wav"
    assert check("own").ok
    assert not list(cache.rglob("*.arrow"))  # nothing is copied into the library's cache


def test_a_dataset_again_gives_the_same_and_writes_nothing(
    home: Path, tmp_path: Path, clip: Clip, own: Own
) -> None:
    root = save(cameo_rows(clip, tmp_path / "clips"), tmp_path / "ds", "disk")
    own("hub")
    first = prepare("own", root, progress=False).digest
    files = {p: p.stat().st_mtime_ns for p in (home / "corpora/own/audio").rglob("*.wav")}
    assert len(files) == 3
    assert prepare("own", root, progress=False).digest == first
    assert {p: p.stat().st_mtime_ns for p in files} == files
    root.rename(root.with_name("gone"))  # the audio is ours now
    assert check("own").ok
    next(iter(files)).write_bytes(b"RIFF")
    assert [kind for kind, _ in check("own").problems] == ["changed"]


def test_a_written_file_that_was_cut_is_mended(
    home: Path, tmp_path: Path, clip: Clip, own: Own
) -> None:
    root = save(cameo_rows(clip, tmp_path / "clips"), tmp_path / "ds", "disk")
    own("hub")
    first = prepare("own", root, progress=False).digest
    next((home / "corpora/own/audio").rglob("*.wav")).write_bytes(b"RIFF")
    assert prepare("own", root, progress=False).digest == first
    assert check("own").ok


def test_where_columns_values_and_roles(home: Path, tmp_path: Path, clip: Clip, own: Own) -> None:
    import datasets

    root = tmp_path / "ds"
    mine = dataset_of(cameo_rows(clip, tmp_path / "clips"))
    datasets.DatasetDict({"own": mine, "another": mine.select([0])}).save_to_disk(str(root))
    own(
        "hub",
        columns={"raw_label": "emotion", "language": "language"},
        values={"language": {"German": "de-CH"}},
        where={"dataset": ["own"]},
        hub_splits=["own"],
        roles={"own": "test"},
    )
    one, two = taken(root)
    assert (one.utterance_id, two.utterance_id) == ("own-000001", "own-000002")
    assert (one.language, one.speaker) == ("de-CH", None)
    assert Split("official", 1, "test") in one.splits


def test_class_labels_are_names(home: Path, tmp_path: Path, clip: Clip, own: Own) -> None:
    import datasets

    rows = cameo_rows(clip, tmp_path / "clips")
    for row, number in zip(rows, (1, 0, -1), strict=True):
        row["emotion"] = number
    dataset = dataset_of(rows).cast_column("emotion", datasets.ClassLabel(names=["S", "A"]))
    (tmp_path / "ds").mkdir()
    dataset.to_parquet(tmp_path / "ds" / "train.parquet")
    own("hub")
    assert [u.raw_label for u in taken(tmp_path / "ds")] == ["A", "S", None]


def test_files_that_a_dataset_names_stay_where_they_are(
    home: Path, tmp_path: Path, clip: Clip, own: Own
) -> None:
    root = tmp_path / "ds"
    rows = cameo_rows(clip, root / "clips")
    outside = clip(tmp_path / "outside.wav")
    named = ["clips/0.wav", str(root / "clips/1.wav"), str(outside)]
    for row, name in zip(rows, named, strict=True):
        row["audio"] = {"bytes": None, "path": name}
    as_it_is(rows, root / "train.parquet")
    own("hub")
    report = prepare("own", root, progress=False)
    assert report.root == root
    assert [u.path for u in prepared("own").manifest().utterances()] == [
        *("clips/0.wav", "clips/1.wav"),
    ]
    (problem,) = report.not_in_corpus
    assert "outside.wav lies outside the root" in problem.reason
    assert not (home / "corpora/own/audio").exists()


def test_rows_without_audio_are_listed(home: Path, tmp_path: Path, clip: Clip, own: Own) -> None:
    rows = cameo_rows(clip, tmp_path / "clips")
    rows[0]["audio"] = {"bytes": None, "path": None}
    rows[2]["audio"] = {"bytes": None, "path": "x.wav"}
    as_it_is(rows, tmp_path / "ds" / "train.parquet")
    own("hub")
    report = prepare("own", tmp_path / "ds", progress=False)
    assert report.n == 1
    assert [p.reason.split(" ")[0] for p in report.not_in_corpus] == ["has", "names"]
    assert "row 1" in report.not_in_corpus[0].path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"audio": "speech"}, r"split own: has no column speech; it has file_id, audio"),
        ({"columns": {"raw_label": "label"}}, r"has no column label; it has"),
        ({"columns": {"raw_label": "emotion", "valence": "gender"}}, r"row 1, column gender: 'fem"),
        ({"hub_splits": ["train"]}, r"has no split train; it has own"),
    ],
)
def test_datasets_that_do_not_fit(
    home: Path, tmp_path: Path, clip: Clip, own: Own, options: dict[str, Any], words: str
) -> None:
    root = save(cameo_rows(clip, tmp_path / "clips"), tmp_path / "ds", "parquet")
    own("hub", **options)
    with pytest.raises(CorpusError, match=words):
        prepare("own", root, progress=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {"raw_label": "l", "mood": "m"}}, "mood: no such field"),
        ({"columns": {"speaker": "s"}}, "does not name raw_label"),
        ({"roles": {"dev": "dev"}}, "dev: a role is train, valid or test"),
    ],
)
def test_options_of_a_dataset(
    home: Path, tmp_path: Path, own: Own, options: dict[str, Any], words: str
) -> None:
    own("hub", **options)
    with pytest.raises(DataRoomError, match=words):
        prepare("own", tmp_path, progress=False)


def test_roots_without_a_dataset(home: Path, tmp_path: Path, clip: Clip, own: Own) -> None:
    own("hub")
    (tmp_path / "ds").mkdir()
    with pytest.raises(CorpusError, match="looked for: a folder of save_to_disk, or Parquet"):
        prepare("own", tmp_path / "ds", progress=False)
    (tmp_path / "ds" / "train.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorpusError, match="cannot be read"):
        prepare("own", tmp_path / "ds", progress=False)
    root = save(cameo_rows(clip, tmp_path / "clips"), tmp_path / "hub", "cache")
    (root / "refs" / "main").unlink()
    with pytest.raises(CorpusError, match="holds the revisions abc, old; give one of them"):
        prepare("own", root, progress=False)


def test_datasets_is_imported_only_for_a_dataset() -> None:
    code = (
        "import sys, voxemo_tasks.corpora, voxemo_tasks.corpora.readers.hub; "
        "print('datasets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_emotion_of_the_words(own: Own, root: Path) -> None:
    """Canonical where the card has it, as it stands where not."""
    own("manifest")
    rows = [
        {"utterance_id": "u1", "path": "a b/1.wav", "raw_label": "A", "text_label": "S"},
        {"utterance_id": "u2", "path": "é.wav", "raw_label": "S", "text_label": "shame"},
    ]
    rows = [row | {"synthesis": "human"} for row in rows]
    (root / "manifest.csv").write_text(as_csv(rows), encoding="utf-8")
    found = taken(root)
    assert [(u.label, u.text_label, u.synthesis) for u in found] == [
        ("angry", "sad", "human"),
        ("sad", "shame", "human"),
    ]
