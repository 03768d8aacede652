"""Voice against words, from an import and from a corpus with a column of its own."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxemo_tasks.corpora import prepare, prepared
from voxemo_tasks.labels import LabelSet
from voxemo_tasks.records import Utterance
from voxemo_tasks.results import score_run
from voxemo_tasks.results.import_plan import parse_map
from voxemo_tasks.results.importing import import_predictions
from voxemo_tasks.tasks.documents import describe

LABELS = ["angry", "happy", "neutral", "sad"]

# voice, words, reply: 3 congruent (2 right), 5 incongruent (1 voice, 3 words, 1 neither)
TABLE = [
    ("angry", "angry", "angry", "s1", "human"),
    ("sad", "sad", "sad", "s1", "human"),
    ("happy", "happy", "neutral", "s2", "human"),
    ("angry", "happy", "happy", "s2", "human"),
    ("sad", "happy", "happy", "s3", "tts"),
    ("neutral", "sad", "sad", "s3", "tts"),
    ("happy", "sad", "happy", "s4", "tts"),
    ("happy", "angry", "neutral", "s4", "tts"),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    table = tmp_path / "said.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["u", "voice", "words", "reply", "speaker", "synthesis"])
        for i, (voice, words, reply, speaker, synthesis) in enumerate(TABLE):
            writer.writerow([f"u{i}", voice, words, reply, speaker, synthesis])
    columns = parse_map(
        "utterance=u,gold=voice,gold2=words,reply=reply,speaker=speaker,synthesis=synthesis"
    )
    import_predictions(table, columns, tmp_path / "run", labels=LABELS)
    return tmp_path / "run"


def test_congruent_and_incongruent(run: Path) -> None:
    result = score_run(run, multiverse=False).tasks["imported"]
    assert result.probes is not None
    found = result.probes.incongruence
    assert found is not None
    assert (found.n_congruent, found.n_incongruent) == (3, 5)
    assert found.voice_congruent.value == pytest.approx(2 / 3, abs=1e-12)
    assert found.voice_incongruent.value == pytest.approx(1 / 5, abs=1e-12)
    assert found.text_incongruent.value == pytest.approx(3 / 5, abs=1e-12)
    assert found.drop.value == pytest.approx(2 / 3 - 1 / 5, abs=1e-12)
    assert found.errors_follow_text.value == pytest.approx(3 / 4, abs=1e-12)
    assert found.by_chance == pytest.approx(1 / 3, abs=1e-12)
    interval = found.drop.interval
    assert interval is not None
    assert interval.cluster == "speaker"


def test_human_against_synthesised(run: Path) -> None:
    groups = score_run(run, multiverse=False).tasks["imported"].groups["synthesis"].rates["wa"]
    values = {group.group: group.value for group in groups.groups}
    assert values == {"human": 0.5, "tts": 0.25}


def test_emis_tells_words_from_voice(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "emis"
    root.mkdir()
    noise = np.random.default_rng(1).normal(0, 0.1, 8_000)
    for name in ("05_sad_implicit_neutral_0012_STYLE", "06_happy_explicit_happy_0013_COSY"):
        soundfile.write(root / f"{name}.wav", noise, 16_000)
    prepare("emis", root, progress=False)
    rows = {u.utterance_id: u for u in prepared("emis").manifest().utterances()}
    one = rows["05_sad_implicit_neutral_0012_STYLE"]
    assert (one.label, one.text_label, one.synthesis) == ("neutral", "sad", "STYLE")


def test_the_words_of_a_corpus() -> None:
    labels = LabelSet("four", ("angry", "happy", "neutral", "sad"), {"excited": "happy"})
    found = describe(
        Utterance("u", "u.wav", label="sad", text_label="excited", synthesis="tts"), labels
    )
    assert (found["label"], found["label2"], found["synthesis"]) == ("sad", "happy", "tts")
    other = describe(Utterance("u", "u.wav", label="sad", text_label="shame"), labels)
    assert other["label2"] == "shame"  # outside the menu: incongruent, and not to be answered
    assert "label2" not in describe(Utterance("u", "u.wav", label="sad"), labels)
