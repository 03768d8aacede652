"""The two corpora that were verified on real files: URDU as released, and the built-in mini."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from voxemo_tasks import registry
from voxemo_tasks.audio import decode_ahead
from voxemo_tasks.corpora import Manifest, check, load_manifest, prepare, prepared
from voxemo_tasks.errors import AudioError
from voxemo_tasks.rooms import PACKAGE


@pytest.fixture(scope="session")
def urdu_root(shared: Path) -> Path:
    root = shared / "data" / "urdu"
    if not root.is_dir():
        pytest.skip(f"no copy of URDU: {root} is not a folder")
    return root


@pytest.fixture(scope="session")
def urdu(urdu_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    out = tmp_path_factory.mktemp("urdu") / "urdu.parquet"
    report = prepare("urdu", urdu_root, out=out, progress=False)
    assert not report.unusable
    assert not report.not_in_corpus
    assert not report.differences  # utterances, labels, speakers and hours are the card's
    return load_manifest(out)


def test_urdu_rows(urdu: Manifest) -> None:
    assert len(urdu) == 400
    assert Counter(urdu.column("label")) == dict.fromkeys(("angry", "happy", "neutral", "sad"), 100)
    assert len(set(urdu.column("speaker"))) == 29
    assert Counter(x[1] for x in set(urdu.column("speaker"))) == {"M": 18, "F": 11}
    # Clips by sex of the speaker, counted with find(1) on the release: SF* 56, SM* 344.
    assert Counter(urdu.column("gender")) == {"male": 344, "female": 56}
    assert set(urdu.column("sampling_rate_hz")) == {44_100}
    assert set(urdu.column("language")) == {"ur-PK"}
    assert set(urdu.column("culture")) == {"PK"}
    assert sum(urdu.column("duration_s")) / 3600 == pytest.approx(0.27741557)
    for u in urdu.utterances():
        folder, _, name = u.path.partition("/")
        assert name == f"{u.utterance_id}.wav"
        assert folder.lower() == u.label
        assert folder[0] == u.raw_label
        assert u.splits[0].role == "test"


def test_urdu_equals_emoboxs_metadata(urdu: Manifest, shared: Path) -> None:
    """Independent data: EmoBox's jsonl and its segment file name the same clips and speakers."""
    folder = shared / "data" / "emobox" / "urdu"
    if not folder.is_dir():
        pytest.skip(f"no EmoBox metadata of URDU: {folder} is not a folder")
    lines = (folder / "urdu.jsonl").read_text(encoding="utf-8").splitlines()
    theirs = {r["key"].removeprefix("urdu-"): r for r in map(json.loads, lines)}
    ours = {u.utterance_id: u for u in urdu.utterances()}
    assert ours.keys() == theirs.keys()
    for key, u in ours.items():
        assert theirs[key]["emo"] == u.raw_label
        assert theirs[key]["length"] == pytest.approx(u.duration_s, abs=1e-9)
        assert theirs[key]["wav"].endswith(u.path)
    with (folder / "data.seg.wrd.stm").open(encoding="utf-8") as stream:
        rows = [r for r in csv.reader(stream, delimiter=" ") if r and not r[0].startswith(";")]
    speakers = {r[0].removeprefix("urdu-"): r[2].removeprefix("urdu-") for r in rows}
    assert {key: speakers[key] for key in ours} == {k: u.speaker for k, u in ours.items()}


def test_urdu_is_checked_and_decoded(home: Path, urdu_root: Path, urdu: Manifest) -> None:
    report = prepare("urdu", urdu_root, progress=False)
    assert report.digest == urdu.digest
    assert check("urdu").good == 400
    refs = [urdu.audio_ref(u) for u in urdu.utterances()]
    for ref, samples in decode_ahead(refs, 16_000, workers=4, ahead=8):
        assert not isinstance(samples, AudioError)
        assert ref.duration_s is not None
        assert len(samples) == pytest.approx(ref.duration_s * 16_000, abs=1)


def test_mini(home: Path) -> None:
    report = prepare("mini", progress=False)
    card, _ = registry.corpus("mini")
    assert card.synthetic
    assert "never for reporting" in (card.notes or "")
    assert not report.differences
    assert not report.unusable
    assert not report.not_in_corpus
    entry = prepared("mini")
    assert entry.root == PACKAGE / "assets" / "mini"
    assert check("mini").ok
    manifest = entry.manifest()
    assert set(manifest.column("language")) == set(card.languages)
    assert card.dimensions is not None
    for u in manifest.utterances():
        assert u.label in card.label_set().labels
        assert u.votes is not None
        assert u.rater_votes is not None
        assert 5 <= sum(u.votes.values()) == len(u.rater_votes) <= 10
        assert Counter(x for chosen in u.rater_votes.values() for x in chosen) == u.votes
        for rating in (u.valence, u.arousal, u.dominance):
            assert rating is not None
            assert card.dimensions.low <= rating <= card.dimensions.high
        assert u.sampling_rate_hz == 16_000


def test_minis_speaker_folds_are_disjoint(home: Path) -> None:
    prepare("mini", progress=False)
    card, _ = registry.corpus("mini")
    tested: Counter[str] = Counter()
    speakers: dict[tuple[int, str], set[str]] = {}
    for u in prepared("mini").manifest().utterances():
        assert u.speaker is not None
        assert [s.role for s in u.splits if s.protocol == "all"] == ["test"]
        for split in u.splits:
            if split.protocol == "speakers":
                speakers.setdefault((split.fold, split.role), set()).add(u.speaker)
                tested[u.utterance_id] += split.role == "test"
    assert set(tested.values()) == {1}
    assert {fold for fold, _ in speakers} == set(range(1, card.protocols["speakers"].folds + 1))
    for fold in range(1, 5):
        assert not speakers[fold, "train"] & speakers[fold, "test"]


def test_mini_follows_a_package_that_moved(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxemo_tasks.corpora import manifest

    prepare("mini", progress=False)
    monkeypatch.setattr(manifest, "PACKAGE", tmp_path / "site-packages" / "voxemo_tasks")
    assert prepared("mini").root == tmp_path / "site-packages/voxemo_tasks/assets/mini"
