"""Measure the tiny model's folder and write its figures and its card.

    python scripts/synthetic/measure_tiny.py          # again, on the shipped folder

What is measured is the folder as it ships: loaded by ``from_pretrained`` in float32, 30 s window,
greedy decoding. The training facts in ``metrics.json`` are kept; everything else in it and the
whole card (``README.md``) are written anew.

Conventions
-----------
uar       mean recall over the emotions; a reply that is none of the seven words misses
coverage  share of replies that are one of the seven words, and nothing else
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from speech import Audio, Synthesizer
from texts import (
    DEFAULT_QUESTION,
    EMOTIONS,
    HELD_OUT_QUESTIONS,
    LANGUAGES,
    VOICES,
    Part,
    fill,
)
from tiny_model import answers
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

ASSETS = Path(__file__).resolve().parents[2] / "voxemo_tasks" / "assets"
MODEL_FOLDER = ASSETS / "voxemo-tiny"
MINI_FOLDER = ASSETS / "mini"
_CARD_TEMPLATE = Path(__file__).with_name("card_template.md")


@dataclass(frozen=True, slots=True)
class Item:
    """One clip to be asked about."""

    audio: Audio
    emotion: str
    language: str


def make_items(sentences: Part, voices: Part, per_cell: int, seed: int) -> list[Item]:
    """Clean clips, the same number for each language and emotion, sentences and voices in turn."""
    synthesizer = Synthesizer()
    items: list[Item] = []
    for language, facts in LANGUAGES.items():
        for emotion in EMOTIONS:
            rng = random.Random(f"items/{sentences}/{voices}/{seed}/{language}/{emotion}")
            pairs = [(s, v) for s in facts.sentences[sentences] for v in VOICES[voices]]
            for number, (sentence, voice) in enumerate(rng.sample(pairs, per_cell)):
                name = f"{sentences}/{voices}/{seed}/{language}/{emotion}/{number}"
                audio = synthesizer.say(sentence, language, voice, {emotion: 1.0}, seed=name)
                items.append(Item(audio, emotion, language))
    return items


def scored(golds: Sequence[str], replies: Sequence[str]) -> dict[str, Any]:
    """Recall of each emotion, UAR, accuracy and coverage."""
    recall = {}
    for emotion in EMOTIONS:
        own = [r == emotion for g, r in zip(golds, replies, strict=True) if g == emotion]
        recall[emotion] = round(sum(own) / len(own), 4) if own else None
    known = [r for r in recall.values() if r is not None]
    hits = sum(g == r for g, r in zip(golds, replies, strict=True))
    return {
        "n": len(golds),
        "uar": round(sum(known) / len(known), 4),
        "accuracy": round(hits / len(golds), 4),
        "coverage": round(sum(r in EMOTIONS for r in replies) / len(golds), 4),
        "recall": recall,
    }


class Subject:
    """The model under measurement.

    Args:
        folder: What ``save_pretrained`` wrote.
        dtype: Precision of the weights.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        self._processor = AutoProcessor.from_pretrained(folder)
        self._model = Qwen2AudioForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()

    def replies(
        self, items: Sequence[Item], question: str, menus: Sequence[Sequence[str]] | None = None
    ) -> list[str]:
        """Replies to one wording, with all seven labels on offer or with one menu for each item."""
        offered = menus if menus is not None else [EMOTIONS] * len(items)
        questions = [fill(question, menu) for menu in offered]
        return answers(self._model, self._processor, [i.audio for i in items], questions)

    def scored(self, items: Sequence[Item], question: str = DEFAULT_QUESTION) -> dict[str, Any]:
        """``scored`` for one wording."""
        return scored([i.emotion for i in items], self.replies(items, question))


def by_language(items: Sequence[Item], replies: Sequence[str]) -> dict[str, float]:
    """UAR of each language."""
    out = {}
    for language in sorted({i.language for i in items}):
        rows = [
            (i.emotion, r) for i, r in zip(items, replies, strict=True) if i.language == language
        ]
        out[language] = scored([g for g, _ in rows], [r for _, r in rows])["uar"]
    return out


def held_out(subject: Subject, items: Sequence[Item]) -> dict[str, Any]:
    """The standard question on one set of clips, in full."""
    replies = subject.replies(items, DEFAULT_QUESTION)
    golds = [i.emotion for i in items]
    confusion = Counter(zip(golds, replies, strict=True))
    return scored(golds, replies) | {
        "uar_by_language": by_language(items, replies),
        "most_confused": [
            {"gold": gold, "reply": reply, "clips": count}
            for (gold, reply), count in confusion.most_common()
            if gold != reply
        ][:5],
    }


def levelled(items: Sequence[Item], rms: float = 0.04) -> list[Item]:
    """The same clips, all at one level (-28 dBFS)."""
    return [
        Item(
            (i.audio * (rms / float(np.sqrt(np.mean(i.audio**2))))).astype(np.float32),
            i.emotion,
            i.language,
        )
        for i in items
    ]


def on_menus(subject: Subject, items: Sequence[Item], size: int, seed: int) -> dict[str, Any]:
    """Menus of ``size`` labels in random order, gold always among them."""
    rng = random.Random(f"menus/{size}/{seed}")
    menus = []
    for item in items:
        others = rng.sample([e for e in EMOTIONS if e != item.emotion], size - 1)
        menu = [item.emotion, *others]
        rng.shuffle(menu)
        menus.append(menu)
    replies = subject.replies(items, DEFAULT_QUESTION, menus)
    off = sum(r not in menu for r, menu in zip(replies, menus, strict=True))
    result = scored([i.emotion for i in items], replies)
    return {"n": len(items), "uar": result["uar"], "off_menu": round(off / len(items), 4)}


def on_mini(subject: Subject, folder: Path) -> dict[str, Any]:
    """The mini corpus, unambiguous and ambiguous clips apart.

    For the ambiguous ones ``top_two`` is the share of replies that name either component.
    """
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    out: dict[str, Any] = {}
    for name, wanted in (("unambiguous", 1), ("ambiguous", 2)):
        chosen = [r for r in rows if len(r["blend"]) == wanted]
        items = [
            Item(
                np.asarray(soundfile.read(folder / r["path"], dtype="float32")[0]),
                r["raw_label"],
                r["utterance_id"].split("_")[1],
            )
            for r in chosen
        ]
        replies = subject.replies(items, DEFAULT_QUESTION)
        out[name] = scored([i.emotion for i in items], replies)
        either = sum(reply in r["blend"] for reply, r in zip(replies, chosen, strict=True))
        out[name]["top_two"] = round(either / len(chosen), 4)
        if name == "unambiguous":
            out[name]["uar_by_language"] = by_language(items, replies)
    return out


def measure_folder(folder: Path, mini: Path, per_cell: int) -> dict[str, Any]:
    """Measure a model folder; write ``metrics.json`` and the card into it.

    Args:
        folder: A folder whose ``metrics.json`` holds the training facts.
        mini: The mini corpus; its figures are left out where it has not been made.
        per_cell: Clips of each (language, emotion) cell; 0 = load, ask once, measure nothing.
    """
    training = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["training"]
    seed = training["seed"]
    subject = Subject(folder)
    metrics: dict[str, Any] = {
        "chance_uar": round(1 / len(EMOTIONS), 4),
        "question": DEFAULT_QUESTION,
        "training": training,
    }
    if per_cell == 0:
        subject.scored(make_items("test", "test", 1, seed)[:2])
        write_metrics(folder, metrics)
        return metrics
    sentences = make_items("test", "train", per_cell, seed)
    voices = make_items("test", "test", per_cell, seed)
    few = make_items("test", "test", max(1, per_cell // 3), seed + 1)
    metrics["held_out_sentences"] = held_out(subject, sentences)
    metrics["held_out_sentences_and_voices"] = held_out(subject, voices)
    metrics["held_out_wordings"] = [
        {"question": question} | {k: result[k] for k in ("n", "uar", "coverage")}
        for question in (DEFAULT_QUESTION, *HELD_OUT_QUESTIONS)
        for result in [subject.scored(few, question)]
    ]
    rng = random.Random(f"orders/{seed}")
    orders = [rng.sample(EMOTIONS, len(EMOTIONS)) for _ in few]
    standard = subject.replies(few, DEFAULT_QUESTION)
    shuffled = subject.replies(few, DEFAULT_QUESTION, orders)
    metrics["shuffled_options"] = {
        "n": len(few),
        "uar": scored([i.emotion for i in few], shuffled)["uar"],
        "same_reply": round(
            float(np.mean([a == b for a, b in zip(standard, shuffled, strict=True)])), 4
        ),
    }
    flat = subject.scored(levelled(few))
    metrics["levelled"] = {k: flat[k] for k in ("n", "uar", "coverage")}
    metrics["menus_of_four"] = on_menus(subject, few, 4, seed)
    half = Subject(folder, torch.bfloat16).replies(few, DEFAULT_QUESTION)
    metrics["bfloat16"] = {
        "n": len(few),
        "same_reply": round(
            float(np.mean([a == b for a, b in zip(standard, half, strict=True)])), 4
        ),
    }
    if (mini / "metadata.jsonl").exists():
        metrics["mini"] = on_mini(subject, mini)
    write_metrics(folder, metrics)
    write_card(folder, metrics)
    return metrics


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Write ``metrics.json``."""
    text = json.dumps(metrics, indent=2, ensure_ascii=False) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8")


def percent(value: float | None) -> str:
    """A rate as the card prints it."""
    return "–" if value is None else f"{100 * value:.1f} %"


def write_card(folder: Path, metrics: dict[str, Any]) -> None:
    """Fill ``card_template.md`` with the measured figures."""
    seen, unseen = metrics["held_out_sentences"], metrics["held_out_sentences_and_voices"]
    rows = [
        ("held-out sentences, training voices", seen["n"], seen["uar"], seen["coverage"]),
        ("held-out sentences and voices", unseen["n"], unseen["uar"], unseen["coverage"]),
    ]
    for name, result in metrics.get("mini", {}).items():
        rows.append((f"mini corpus, {name}", result["n"], result["uar"], result["coverage"]))
    headline = [f"| {a} | {n} | {percent(u)} | {percent(c)} |" for a, n, u, c in rows]
    recall = [
        f"| {e} | {percent(seen['recall'][e])} | {percent(unseen['recall'][e])} |" for e in EMOTIONS
    ]
    languages = [
        f"| {LANGUAGES[code].tag} | {percent(seen['uar_by_language'][code])} "
        f"| {percent(unseen['uar_by_language'][code])} |"
        for code in LANGUAGES
    ]
    wordings = [
        f"| {w['question'].replace(chr(10), ' / ')} | {percent(w['uar'])} "
        f"| {percent(w['coverage'])} |"
        for w in metrics["held_out_wordings"]
    ]
    training = metrics["training"]
    values = {
        "HEADLINE": "\n".join(headline),
        "RECALL": "\n".join(recall),
        "LANGUAGES": "\n".join(languages),
        "WORDINGS": "\n".join(wordings),
        "CONFUSED": "; ".join(
            f"{c['gold']} heard as {c['reply']} ({c['clips']})" for c in unseen["most_confused"]
        ),
        "N_WORDINGS": metrics["held_out_wordings"][0]["n"],
        "SHUFFLED": percent(metrics["shuffled_options"]["uar"]),
        "SHUFFLED_SAME": percent(metrics["shuffled_options"]["same_reply"]),
        "FOUR": percent(metrics["menus_of_four"]["uar"]),
        "FOUR_OFF": percent(metrics["menus_of_four"]["off_menu"]),
        "LEVELLED": percent(metrics["levelled"]["uar"]),
        "HALF_SAME": percent(metrics["bfloat16"]["same_reply"]),
        "TOP_TWO": percent(metrics.get("mini", {}).get("ambiguous", {}).get("top_two")),
        "PARAMETERS": f"{training['parameters']:,}",
        "CHANCE": percent(metrics["chance_uar"]),
        "WINDOW_SAME": training["window_check"]["same"],
        "WINDOW_CLIPS": training["window_check"]["clips"],
        "VERSIONS": ", ".join(f"{k} {v}" for k, v in training["versions"].items()),
        "MINUTES": f"{training['training_s'] / 60:.0f}",
    } | {
        k.upper(): training[k]
        for k in (
            "seed",
            "clips",
            "steps",
            "batch_size",
            "peak_lr",
            "window_s",
            "synthesis_s",
            "threads",
            "python",
        )
    }
    text = _CARD_TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    (folder / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--mini", type=Path, default=MINI_FOLDER)
    parser.add_argument("--per-cell", type=int, default=10)
    arguments = parser.parse_args()
    measure_folder(arguments.model, arguments.mini, arguments.per_cell)


if __name__ == "__main__":
    main()
