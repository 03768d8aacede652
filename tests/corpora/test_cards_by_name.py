"""Corpora whose labels live in names: each card against EmoBox's metadata of the real release."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from voxemo_tasks import registry
from voxemo_tasks.corpora.readers import Problem, reader
from voxemo_tasks.records import Utterance

VERIFIED = [
    "aesdd",
    "ased",
    "asvpesd",
    "casia",
    "emodb",
    "emovdb",
    "enterface",
    "esd",
    "mead",
    "ravdess",
    "resd",
    "shemo",
    "urdu",
]

NAMES = {
    "cafe": ("01-C-1-1.wav", "c", "01", "male"),
    "emovo": ("f1/dis-f1-b1.wav", "dis", "f1", "female"),
    "jlcorpus": ("female1_apologetic_10a_1.wav", "apologetic", "female1", "female"),
    "mesd": ("Anger_F_A_abajo.wav", "Anger", None, None),
    "oreau": ("f/sess1/01a02Ca.wav", "C", "01", None),
    "polish": ("m1.a_word_1.wav", "a", "m1", None),
    "savee": ("DC_sa01.wav", "sa", "DC", None),
    "subesco": ("F_01_OISHI_S_1_ANGRY_1.wav", "angry", "F_01", "female"),
    "tess": ("OAF_back_ps.wav", "ps", "OAF", None),
    "turevdb": ("Sound Source/Calm/1984_sk_eger.wav", "Calm", "1984", None),
    "nemo": ("PKA_anger_1.wav", "anger", "PKA", None),
    "emis": ("05_sad_implicit_neutral_0012_STYLE.wav", "neutral", "0012", None),
}
"""Id → a name as the release's grammar has it, raw label, speaker, gender."""


def read(corpus: str, root: Path) -> tuple[dict[str, Utterance], list[Problem]]:
    card, _ = registry.corpus(corpus)
    found = list(reader(card.reader.family)(card, root))
    utterances = [x for x in found if isinstance(x, Utterance)]
    assert len({u.utterance_id for u in utterances}) == len(utterances)
    return {u.path: u for u in utterances}, [x for x in found if isinstance(x, Problem)]


def lay(root: Path, paths: list[str]) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.mark.parametrize("corpus", VERIFIED)
def test_labels_equal_emoboxs_metadata(corpus: str, shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "emobox" / corpus
    if not folder.is_dir():
        pytest.skip(f"no EmoBox metadata of {corpus} in the shared data")
    files = sorted(folder.glob(f"{corpus}.jsonl")) or sorted(
        folder.glob(f"fold_*/{corpus}_*.jsonl")
    )
    rows: dict[str, str] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[row["wav"].split("/", 2)[2]] = row["emo"]
    assert rows
    lay(tmp_path, list(rows))
    found, problems = read(corpus, tmp_path)
    assert problems == []
    assert {path: u.raw_label for path, u in found.items()} == rows
    speakers = {u.speaker for u in found.values()}
    stm = set(re.findall(r",spk=([^,]+),", (folder / "data.seg.wrd.stm").read_text("utf-8")))
    if corpus == "resd":  # EmoBox numbers 1,096 pseudo-speakers; the names have none
        assert speakers == {None}
    elif corpus == "enterface":  # subject 3's files are s_3_…, which EmoBox takes for a 44th
        assert len(speakers) == len(stm) - 1
    else:
        assert len(speakers) == len(stm)


@pytest.mark.parametrize("corpus", NAMES)
def test_a_name_of_the_releases_grammar(corpus: str, tmp_path: Path) -> None:
    path, raw_label, speaker, gender = NAMES[corpus]
    lay(tmp_path, [f"a folder above/{path}", "a folder above/no such name 7.wav"])
    found, problems = read(corpus, tmp_path)
    (utterance,) = found.values()
    assert (utterance.raw_label, utterance.speaker, utterance.gender) == (
        raw_label,
        speaker,
        gender,
    )
    assert [p.path for p in problems] == ["a folder above/no such name 7.wav"]
    card, _ = registry.corpus(corpus)
    assert card.labels[raw_label] in card.label_set().labels


def test_labels_that_are_not_merged() -> None:
    def label(corpus: str, raw: str) -> str:
        return registry.corpus(corpus)[0].labels[raw]

    assert label("jlcorpus", "apologetic") == "apologetic"
    assert label("turevdb", "Calm") == "calm"
    assert label("tess", "ps") == "surprise"
    assert label("asvpesd", "11") == "pain, groan"


def test_a_link_to_itself_is_no_crash(tmp_path: Path) -> None:
    lay(tmp_path, ["DC_a01.wav"])
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "DC_a02.wav").symlink_to(tmp_path / "DC_a02.wav")
    found, _ = read("savee", tmp_path)
    assert "DC_a01.wav" in found


def test_how_much_there_is() -> None:
    cards = [card for card in registry.corpora() if not card.synthetic]
    languages = Counter(tag.partition("-")[0] for card in cards for tag in card.languages)
    assert len(cards) == 47
    assert len(languages) >= 15
