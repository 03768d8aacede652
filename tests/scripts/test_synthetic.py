"""The synthetic assets: what the mini corpus promises, and that the tiny model answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts" / "synthetic"
MINI = ROOT / "voxemo_tasks" / "assets" / "mini"
TINY = ROOT / "voxemo_tasks" / "assets" / "voxemo-tiny"
EMOTIONS = {"angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"}
OFFLINE = os.environ | {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "passive",
}


def needs(*modules: str) -> None:
    """Skip the test where a package is missing."""
    for name in modules:
        pytest.importorskip(name, reason=f"needs {name}: pip install {name.replace('_', '-')}")


def folder_size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import texts

    return texts


@pytest.fixture
def speech(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    needs("espeakng_loader", "soxr")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import speech

    return speech


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    lines = (MINI / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


# The parts -----------------------------------------------------------------------------------


def test_parts_share_no_sentence_and_no_voice(texts: ModuleType) -> None:
    sentences = [s for lang in texts.LANGUAGES.values() for p in lang.sentences.values() for s in p]
    voices = [v for part in texts.VOICES.values() for v in part]
    assert len(sentences) == len(set(sentences))
    assert len(voices) == len(set(voices))
    assert {len(lang.sentences["train"]) for lang in texts.LANGUAGES.values()} == {12}
    assert {len(lang.sentences["mini"]) for lang in texts.LANGUAGES.values()} == {3}


def test_a_drawn_menu_holds_the_gold_labels_once(texts: ModuleType) -> None:
    import random

    rng = random.Random(0)
    sizes = set()
    for _ in range(500):
        gold = rng.sample(texts.EMOTIONS, rng.choice((1, 2)))
        menu = texts.draw_menu(rng, gold)
        assert set(gold) <= set(menu) <= EMOTIONS
        assert len(menu) == len(set(menu))
        sizes.add(len(menu))
    assert {4, 7} <= sizes


def test_held_out_questions_are_not_composed(texts: ModuleType) -> None:
    import random

    rng = random.Random(0)
    composed = {texts.compose_question(rng) for _ in range(5000)}
    assert texts.DEFAULT_QUESTION in composed
    for question in texts.HELD_OUT_QUESTIONS:
        first = question.split("{")[0].strip()
        assert not any(first in other for other in composed)


# The mini corpus -----------------------------------------------------------------------------


def test_mini_is_small_and_complete(rows: list[dict[str, Any]]) -> None:
    assert folder_size(MINI) <= 4_000_000
    assert (MINI / "README.md").exists()
    assert len({r["utterance_id"] for r in rows}) == len(rows) >= 140
    assert {p.relative_to(MINI).as_posix() for p in MINI.rglob("*.flac")} == {
        r["path"] for r in rows
    }


def test_mini_clips_are_16_khz_mono_pcm16(rows: list[dict[str, Any]]) -> None:
    needs("soundfile")
    import soundfile

    for row in rows:
        info = soundfile.info(MINI / row["path"])
        assert (info.samplerate, info.channels, info.format, info.subtype) == (
            16_000,
            1,
            "FLAC",
            "PCM_16",
        )
        assert 0.6 <= info.duration <= 3.0


def test_mini_is_balanced(rows: list[dict[str, Any]]) -> None:
    emotions = Counter(r["raw_label"] for r in rows)
    assert set(emotions) == EMOTIONS
    assert max(emotions.values()) == min(emotions.values())
    assert len({r["language"] for r in rows}) >= 5
    speakers, genders = defaultdict(set), defaultdict(set)
    for row in rows:
        speakers[row["language"]].add(row["speaker"])
        genders[row["language"]].add(row["gender"])
    assert all(len(s) >= 2 for s in speakers.values())
    assert all(g == {"female", "male"} for g in genders.values())
    ambiguous = sum(len(r["blend"]) == 2 for r in rows) / len(rows)
    assert 0.2 <= ambiguous <= 0.3


def test_mini_votes_add_up(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert Counter(row["rater_votes"].values()) == row["votes"]
        assert 5 <= sum(row["votes"].values()) <= 10
        assert set(row["votes"]) | set(row["blend"]) <= EMOTIONS
        assert abs(sum(row["blend"].values()) - 1) < 1e-9
        assert row["blend"][row["raw_label"]] == max(row["blend"].values()) <= 1.0
        assert all(1 <= row[k] <= 5 for k in ("valence", "arousal", "dominance"))


def test_mini_votes_follow_the_blend(rows: list[dict[str, Any]]) -> None:
    share = {True: [], False: []}
    for row in rows:
        share[len(row["blend"]) == 1].append(
            row["votes"].get(row["raw_label"], 0) / sum(row["votes"].values())
        )
    clear, mixed = (sum(share[k]) / len(share[k]) for k in (True, False))
    assert clear > 0.6 > mixed > 0.25


def test_mini_speaker_folds_are_disjoint(rows: list[dict[str, Any]]) -> None:
    sides: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    tested: Counter[str] = Counter()
    for row in rows:
        assert {"protocol": "all", "fold": 1, "role": "test"} in row["splits"]
        for split in row["splits"]:
            if split["protocol"] == "speakers":
                sides[split["fold"]][split["role"]].add(row["speaker"].split("_")[1])
                tested[row["utterance_id"]] += split["role"] == "test"
    assert len(sides) >= 2
    for side in sides.values():
        assert side["train"]
        assert side["test"]
        assert not side["train"] & side["test"]
    assert set(tested.values()) == {1}


def test_mini_is_held_out_from_training(rows: list[dict[str, Any]], texts: ModuleType) -> None:
    for row in rows:
        code, voice = row["speaker"].split("_")
        language = texts.LANGUAGES[code]
        assert row["language"] == language.tag
        assert row["culture"] == language.country
        assert row["transcript"] in language.sentences["mini"]
        assert row["transcript"] not in language.sentences["train"] + language.sentences["test"]
        assert voice not in texts.VOICES["train"]
        assert voice not in texts.VOICES["test"]
        assert row["gender"] == texts.VOICES["mini"][voice]


def test_mini_comes_out_the_same(
    speech: ModuleType, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """One run against the shipped metadata, and two against each other byte for byte."""
    needs("soundfile")
    for name in ("one", "two"):
        subprocess.run(
            [sys.executable, SCRIPTS / "make_mini.py", "--out", tmp_path / name],
            check=True,
            capture_output=True,
            timeout=120,
        )
    first, second = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
        for n in ("one", "two")
    )
    assert first == second
    made = (tmp_path / "one" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in made] == rows


# Speech --------------------------------------------------------------------------------------


def test_speech_does_not_depend_on_what_was_said_before(speech: ModuleType) -> None:
    import numpy as np

    synthesizer = speech.Synthesizer()
    first = synthesizer.say("The door is made of wood.", "en", "f5", {"angry": 1.0}, seed=1)
    synthesizer.say("Die Tür ist aus Holz.", "de", "m6", {"sad": 1.0}, seed=2)
    again = speech.Synthesizer().say("The door is made of wood.", "en", "f5", {"angry": 1}, seed=1)
    other = synthesizer.say("The door is made of wood.", "en", "f5", {"angry": 1.0}, seed=3)
    assert first.dtype == np.float32
    assert first.ndim == 1
    assert np.array_equal(first, again)
    assert not (len(first) == len(other) and np.array_equal(first, other))


def test_a_blend_lies_between_its_emotions(speech: ModuleType) -> None:
    synthesizer = speech.Synthesizer()
    length = {
        name: len(synthesizer.say("Dinner is at seven.", "en", "m6", blend, seed=0, jitter=0))
        for name, blend in {
            "angry": {"angry": 1.0},
            "sad": {"sad": 1.0},
            "both": {"angry": 0.5, "sad": 0.5},
        }.items()
    }
    assert length["angry"] < length["both"] < length["sad"]


def test_unknown_emotions_and_voices_are_refused(speech: ModuleType) -> None:
    with pytest.raises(speech.SpeechError, match="surprise"):
        speech.blended({"joy": 1.0})
    with pytest.raises(speech.SpeechError, match="nobody"):
        speech.Synthesizer().raw("Hello.", "en-us+nobody", speech.PROSODY["sad"])


# The tiny model ------------------------------------------------------------------------------


def test_tiny_is_small_and_its_card_has_its_figures() -> None:
    assert folder_size(TINY) <= 2_500_000
    metrics = json.loads((TINY / "metrics.json").read_text(encoding="utf-8"))
    card = (TINY / "README.md").read_text(encoding="utf-8")
    for name in ("held_out_sentences", "held_out_sentences_and_voices"):
        assert metrics[name]["uar"] > 3 * metrics["chance_uar"]
        assert f"{100 * metrics[name]['uar']:.1f} %" in card
    assert metrics["mini"]["unambiguous"]["n"] + metrics["mini"]["ambiguous"]["n"] >= 140
    assert "never for reporting" in card
    assert "@" not in card


LISTEN = """
import json, sys, warnings
import numpy as np, soundfile
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration
from transformers.utils import logging
folder, question, *paths = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder)
model, report = Qwen2AudioForConditionalGeneration.from_pretrained(
    folder, dtype="float32", output_loading_info=True
)
clips = [soundfile.read(p, dtype="float32")[0] for p in paths]
content = [{"type": "audio", "audio": clips[0]}, {"type": "text", "text": question}]
text = processor.apply_chat_template(
    [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
)
inputs = processor(
    text=[text] * len(clips), audio=clips, sampling_rate=16000, return_tensors="pt", padding=True
)
ids = model.generate(**inputs, max_new_tokens=8, do_sample=False)
replies = processor.batch_decode(ids[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
print(json.dumps({
    "replies": replies, "text": text, "side": processor.tokenizer.padding_side,
    "keys": [sorted(map(str, report[k])) for k in ("missing_keys", "unexpected_keys")],
    "frames": int(inputs["input_features"].shape[-1]),
}))
"""


@pytest.fixture(scope="module")
def heard(rows: list[dict[str, Any]]) -> SimpleNamespace:
    """Ten unambiguous clips in a fresh process without network."""
    needs("torch", "transformers", "soundfile")
    clear = [r for r in rows if len(r["blend"]) == 1][::11][:10]
    question = (
        "What emotion does the speaker's voice express? Choose one of: angry, disgust, fear, "
        "happy, neutral, sad, surprise. Answer with that one word only."
    )
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, TINY, question, *(MINI / r["path"] for r in clear)],
        env=OFFLINE,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    return SimpleNamespace(golds=[r["raw_label"] for r in clear], stderr=done.stderr, **out)


def test_tiny_loads_cleanly(heard: SimpleNamespace) -> None:
    assert heard.keys == [[], []]
    assert "newly initialized" not in heard.stderr
    assert "MISSING" not in heard.stderr
    assert heard.side == "left"
    assert heard.frames == 3000


def test_tiny_prompt_is_qwen2_audio_s(heard: SimpleNamespace) -> None:
    assert heard.text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")
    assert "user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\nWhat emotion" in heard.text
    assert heard.text.endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_tiny_answers_in_the_seven_words(heard: SimpleNamespace) -> None:
    assert set(heard.replies) <= EMOTIONS
    hits = sum(a == b for a, b in zip(heard.golds, heard.replies, strict=True))
    assert hits >= 4, f"{heard.golds} heard as {heard.replies}"  # chance: 1.4 of 10


def test_quick_training_runs(speech: ModuleType, tmp_path: Path) -> None:
    needs("torch", "transformers", "soundfile")
    out = tmp_path / "tiny"
    done = subprocess.run(
        [sys.executable, SCRIPTS / "train_tiny.py", "--quick", "--out", out],
        env=OFFLINE,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    training = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["training"]
    assert training["window_check"]["same"] == training["window_check"]["clips"] > 0
    assert 0 < training["final_answer_loss"] < 20
    assert {p.name for p in TINY.iterdir()} - {"README.md"} == {p.name for p in out.iterdir()}


def test_quick_training_does_not_replace_the_shipped_model() -> None:
    needs("torch", "transformers", "soundfile")
    done = subprocess.run(
        [sys.executable, SCRIPTS / "train_tiny.py", "--quick"],
        env=OFFLINE,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--out" in done.stderr
