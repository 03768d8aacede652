"""The manifest: columns, digest, order, and files that are not one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks.corpora import COLUMNS, Facts, Manifest, load_manifest
from voxemo_tasks.corpora.manifest import (
    arrow_schema,
    digest_of_rows,
    leaves_root,
    read_facts,
    table_of,
    to_parquet,
)
from voxemo_tasks.errors import CorpusError
from voxemo_tasks.records import AudioRef, Split, Utterance

FULL = Utterance(
    utterance_id="b é",
    path="Angry/b é.wav",
    start_s=0.5,
    end_s=1.25,
    channel=1,
    raw_label="A",
    label="angry",
    votes={"sad": 1, "angry": 4},
    rater_votes={"r2": ("angry", "sad"), "r1": ()},
    valence=1.5,
    arousal=4.0,
    dominance=3.0,
    rater_ratings={"r1": {"valence": 1.0, "arousal": 4.0}, "r2": {"valence": 2.0}},
    traces={"valence": {"a1": ((0.5, 0.75), (1.0, 1.5)), "a2": ((), ())}},
    speaker="s",
    gender="female",
    age="30-39",
    language="ur-PK",
    culture="PK",
    transcript="ہاں",
    sentence="t1",
    dialogue="d",
    setting="studio",
    relationship="friends",
    formality="informal",
    channel_type="telephone",
    text_label="neutral",
    synthesis="human",
    splits=(Split("all", 1, "test"), Split("emobox", 2, "train")),
    duration_s=0.75,
    sampling_rate_hz=16_000,
    sha256="ab" * 32,
    error=None,
)
BARE = Utterance("a", "a.wav")
FAILED = replace(FULL, utterance_id="c", path="c.wav", sha256=None, error="is empty")


def facts(table: Any, **changes: Any) -> Facts:
    said = Facts("urdu", "c" * 64, "/data/urdu", digest_of_rows(table), "0.1.0", "2026-01-01")
    return replace(said, **changes)


def written(path: Path, *utterances: Utterance, **changes: Any) -> Manifest:
    table = table_of(utterances)
    path.write_bytes(to_parquet(table, facts(table, **changes)))
    return load_manifest(path)


def test_columns_are_the_fields_in_their_order() -> None:
    assert COLUMNS == tuple(f.name for f in fields(Utterance)) == tuple(arrow_schema().names)


def test_everything_comes_back(tmp_path: Path) -> None:
    manifest = written(tmp_path / "m.parquet", FULL, FAILED, BARE)
    assert len(manifest) == 3
    assert list(manifest.utterances()) == [BARE, FULL, FAILED]  # by id
    assert [manifest.row(i) for i in range(3)] == [BARE, FULL, FAILED]
    assert manifest.row(-1) == FAILED
    assert list(manifest.utterances([2, 0])) == [FAILED, BARE]
    assert manifest.column("votes") == [None, {"angry": 4, "sad": 1}, {"angry": 4, "sad": 1}]
    assert manifest.column("splits")[:2] == [(), FULL.splits]
    assert list(manifest.column("votes")[1]) == ["angry", "sad"]  # in one order on every machine
    assert manifest.column("rater_votes")[1] == {"r1": (), "r2": ("angry", "sad")}
    for name in COLUMNS:
        assert manifest.column(name) == [getattr(u, name) for u in (BARE, FULL, FAILED)], name
    manifest.verify()
    with pytest.raises(CorpusError, match="no column 'lable'"):
        manifest.column("lable")
    with pytest.raises(IndexError):
        manifest.row(3)


def test_audio_ref(tmp_path: Path) -> None:
    manifest = written(tmp_path / "m.parquet", FULL, FAILED, BARE)
    expected = AudioRef(
        "/data/urdu/Angry/b é.wav", "ab" * 32, start_s=0.5, end_s=1.25, channel=1, duration_s=0.75
    )
    assert manifest.audio_ref(1) == manifest.audio_ref(FULL) == expected
    assert load_manifest(manifest.path, root="/other").audio_ref(1).path == "/other/Angry/b é.wav"
    with pytest.raises(CorpusError, match=r"c: has no usable audio \(is empty\)"):
        manifest.audio_ref(2)


def test_the_digest_is_its_definition() -> None:
    """Written out by hand, without the package's code."""
    rows = {
        "label": [None, "angry"],
        "path": ["a.wav", "é.wav"],
        "raw_label": [None, "A"],
        "sampling_rate_hz": [None, 8000],
        "splits": [[], [["all", 1, "test"]]],
        "utterance_id": ["a", "b"],
        "votes": [None, {"angry": 2, "sad": 1}],
        "error": [True, None],
    }
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    table = table_of(
        [
            Utterance(
                "b",
                "é.wav",  # composed and decomposed are one
                raw_label="A",
                label="angry",
                votes={"sad": 1, "angry": 2},
                splits=(Split("all", 1, "test"),),
                sampling_rate_hz=8000,
                duration_s=1.0,
            ),
            Utterance("a", "a.wav", error="whatever the decoder says"),
        ]
    )
    assert digest_of_rows(table) == hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_knows_content_and_nothing_else() -> None:
    one = digest_of_rows(table_of([FULL, BARE]))
    assert one == digest_of_rows(table_of([BARE, FULL]))
    assert one == digest_of_rows(table_of([BARE, replace(FULL, duration_s=0.7499)]))
    turned = replace(FULL, votes={"angry": 4, "sad": 1}, splits=FULL.splits[::-1])
    assert one == digest_of_rows(table_of([BARE, turned]))
    for change in (
        {"label": "sad"},
        {"sha256": "cd" * 32},
        {"start_s": 0.4},
        {"votes": {"angry": 5}},
        {"splits": FULL.splits[:1]},
        {"error": "x"},
        {"transcript": None},
    ):
        changed = replace(FULL, **change)  # type: ignore[arg-type]
        assert one != digest_of_rows(table_of([BARE, changed])), change


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            Utterance,
            utterance_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=5),
            path=st.just("x.wav"),
            votes=st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
            rater_votes=st.none()
            | st.dictionaries(
                st.sampled_from("rst"), st.lists(st.sampled_from("abc"), max_size=2).map(tuple)
            ),
            valence=st.none() | st.floats(-5, 5),
            splits=st.lists(
                st.builds(
                    Split,
                    st.sampled_from("pq"),
                    st.integers(1, 3),
                    st.sampled_from(["train", "test"]),
                ),
                max_size=3,
                unique=True,
            ).map(lambda s: tuple(sorted(s, key=lambda x: (x.protocol, x.fold, x.role)))),
        ),
        unique_by=lambda u: u.utterance_id,
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_any_rows_come_back_in_any_slices(rows: list[Utterance], step: int) -> None:
    table = table_of(rows)
    manifest = Manifest(Path("m"), facts(table), "/", table)
    expected = sorted(rows, key=lambda u: u.utterance_id.encode())
    assert list(manifest.utterances()) == expected
    for start in range(0, len(rows), step):
        part = Manifest(Path("m"), manifest.facts, "/", table.slice(start, step))
        assert list(part.utterances()) == expected[start : start + step]


def test_ids_are_unique() -> None:
    rows = [Utterance("a", "x/1.wav"), Utterance("b", "2.wav"), Utterance("a", "y/1.wav")]
    with pytest.raises(CorpusError, match=r"1 utterance id\(s\) stand twice") as caught:
        table_of(rows)
    assert "a: " in str(caught.value)
    assert "x/1.wav" in str(caught.value)
    assert "y/1.wav" in str(caught.value)


@pytest.mark.parametrize("path", ["/etc/a.wav", "../a.wav", "a/../../b.wav", "a/..", "C:\\a.wav"])
def test_paths_stay_inside(tmp_path: Path, path: str) -> None:
    assert leaves_root(path)
    with pytest.raises(CorpusError, match="points outside the corpus root"):
        table_of([Utterance("a", path)])
    table = table_of([Utterance("a", "good.wav")])
    table = table.set_column(1, "path", pa.array([path]))
    (tmp_path / "m.parquet").write_bytes(to_parquet(table, facts(table)))
    with pytest.raises(CorpusError, match="points outside the corpus root"):
        load_manifest(tmp_path / "m.parquet")


@pytest.mark.parametrize("path", ["a..b.wav", "..a/b.wav", "a.../b.wav", "a:b.wav", "a b/é.wav"])
def test_paths_with_dots_are_fine(path: str) -> None:
    assert not leaves_root(path)
    assert table_of([Utterance("a", path)]).num_rows == 1


def test_text_without_a_utf8_form_is_refused() -> None:
    with pytest.raises(CorpusError, match="no UTF-8 form"):
        table_of([Utterance("a", "a.wav", transcript="\udce9")])


def test_a_root_that_is_not_utf8_survives(tmp_path: Path) -> None:
    manifest = written(tmp_path / "m.parquet", BARE, root="/data/caf\udce9")
    assert manifest.root == "/data/caf\udce9"


# --- files that are no manifest -------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    for load in (load_manifest, read_facts):
        with pytest.raises(CorpusError, match="there is no such manifest"):
            load(tmp_path / "m.parquet")


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    written(path, *(replace(BARE, utterance_id=f"{i}") for i in range(5000)))
    good = path.read_bytes()
    for data in (
        b"utterance_id,path\n",
        b"",
        good[: len(good) // 2],
        good[:-20] + b"\0" * 20,  # the footer
        good[:200] + bytes(255 - b for b in good[200:240]) + good[240:],  # a page
    ):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=r"is not a readable Parquet file.*corpora prepare"):
            load_manifest(path)


def test_a_changed_byte_is_noticed_or_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    rows = [replace(FULL, utterance_id=f"{i:04}", transcript=f"{i * i}") for i in range(3000)]
    before = written(path, *rows).table
    good = path.read_bytes()
    noticed = 0
    for at in range(4, len(good) * 3 // 4, len(good) // 150):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        try:
            manifest = load_manifest(path)
            if not manifest.table.equals(before):  # headers of pages have no checksum, rows have
                manifest.verify()
                pytest.fail(f"byte {at} changed the rows and nobody noticed")
        except CorpusError:
            noticed += 1
    assert noticed > 50


def test_a_table_that_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(CorpusError, match="not a manifest of this package"):
        load_manifest(path)


@pytest.mark.parametrize(
    "said",
    [b"{", b"\xff", b"[]", b"{}", b'{"format": "voxemo-manifest/1"}', b'{"format": "voxemo/9"}'],
)
def test_metadata_that_cannot_be_read(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "m.parquet"
    table = written(path, FULL).table
    pq.write_table(table.replace_schema_metadata({b"voxemo": said}), path)
    for load in (load_manifest, read_facts):
        with pytest.raises(CorpusError, match="write it again with `voxemo corpora prepare`"):
            load(path)


def test_metadata_of_the_wrong_type(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="its metadata cannot be read"):
        written(tmp_path / "m.parquet", BARE, asset={"a": 1})


def test_columns_that_are_missing_or_of_another_type(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    table = written(path, FULL).table
    said = pq.read_schema(path).metadata
    for changed in (
        table.drop_columns(["label"]),
        table.set_column(table.schema.get_field_index("label"), "label", pa.array([1])),
    ):
        pq.write_table(changed.replace_schema_metadata(said), path)
        with pytest.raises(CorpusError, match="the columns label are missing or have another type"):
            load_manifest(path)


def test_rows_edited_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    table = written(path, FULL, BARE).table
    said = pq.read_schema(path).metadata
    at = table.schema.get_field_index("label")
    edited = table.set_column(at, "label", pa.array(["happy", "happy"]))
    pq.write_table(edited.replace_schema_metadata(said), path)
    with pytest.raises(CorpusError, match=r"was edited.*voxemo corpora prepare urdu"):
        load_manifest(path).verify()


def test_a_manifest_from_before_some_columns_were(tmp_path: Path) -> None:
    """They are not known there; other missing columns are an error."""
    import pyarrow.parquet as pq

    utterances = [Utterance("u1", "a.wav", label="sad", sha256="0" * 64)]
    table = table_of(utterances)
    digest = digest_of_rows(table)
    facts = Facts("mini", "0" * 64, str(tmp_path), digest, "1", "2026-01-01T00:00:00+00:00")
    path = tmp_path / "old.parquet"
    path.write_bytes(to_parquet(table, facts))
    old = pq.read_table(path).drop_columns(
        ["text_label", "synthesis", "sentence", "rater_ratings", "traces"]
    )
    pq.write_table(old, path)
    manifest = load_manifest(path)
    assert manifest.row(0).text_label is None
    assert manifest.column("synthesis") == [None]
    manifest.verify()
    pq.write_table(old.drop_columns(["gender"]), path)
    with pytest.raises(CorpusError, match="gender"):
        load_manifest(path)
