"""Make the mini corpus: synthetic speech with votes, for trying and testing, never for reporting.

    python scripts/synthetic/make_mini.py             # the shipped folder, about half a minute

Seven languages x seven emotions x three sentences = 147 clips. Sentences and voice variants are
held out from the tiny model's training (part ``mini`` of ``texts.py``). Everything is drawn from
``SEED``: two runs give the same bytes.

Conventions
-----------
raw_label      the first component of ``blend``; at 50:50 it is the one named first
ambiguous      two components, 50:50 to 60:40; the pair is one whose mixture lies nearer to both of
               its emotions than to any third
votes          from an annotator model, not from people: a rater of reliability r names a component
               of the blend, by weight, with probability r, else another emotion, the nearer in
               prosody the likelier
speakers       one voice variant in one language; fold k of the protocol ``speakers`` tests the k-th
               variant in all languages, so that no variant is on both sides either
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from speech import JITTER, PROSODY, SAMPLING_RATE_HZ, Prosody, Synthesizer, blended
from texts import EMOTIONS, LANGUAGES, VOICES

SEED = 7
OUT_FOLDER = Path(__file__).resolve().parents[2] / "voxemo_tasks" / "assets" / "mini"
_CARD_TEMPLATE = Path(__file__).with_name("mini_template.md")

AFFECT: dict[str, tuple[float, float, float]] = {
    "angry": (1.6, 4.4, 4.2),
    "disgust": (1.7, 2.9, 3.3),
    "fear": (1.8, 4.1, 1.7),
    "happy": (4.5, 3.9, 3.7),
    "neutral": (3.0, 2.3, 3.0),
    "sad": (1.7, 1.6, 1.9),
    "surprise": (3.6, 4.3, 2.8),
}
"""Valence, arousal, dominance on a scale of 1 to 5, about which the raters scatter."""

_RATERS_PER_LANGUAGE = 12


@dataclass(frozen=True, slots=True)
class Rater:
    """A synthetic annotator.

    Attributes:
        name: Rater id.
        reliability: Probability of going by the blend.
        offset: Constant shift of this rater's ratings.
    """

    name: str
    reliability: float
    offset: float


def prosodic_distance(one: Prosody, other: Prosody) -> float:
    """Euclidean distance in units of the clip-to-clip variation."""
    return math.sqrt(
        ((one.pitch - other.pitch) / JITTER.pitch) ** 2
        + ((one.pitch_range - other.pitch_range) / JITTER.pitch_range) ** 2
        + (math.log(one.rate_wpm / other.rate_wpm) / JITTER.rate_wpm) ** 2
        + (math.log(one.volume / other.volume) / JITTER.volume) ** 2
        + ((one.tilt - other.tilt) / JITTER.tilt) ** 2
    )


def partners(emotion: str) -> list[str]:
    """Emotions whose even mixture with this one is nearer to both than to any third."""
    found = []
    for other in EMOTIONS:
        if other == emotion:
            continue
        middle = blended({emotion: 0.5, other: 0.5})
        distance = {e: prosodic_distance(middle, PROSODY[e]) for e in EMOTIONS}
        nearest = sorted(EMOTIONS, key=lambda e: distance[e])[:2]
        if set(nearest) == {emotion, other}:
            found.append(other)
    return found


def is_ambiguous(language: int, emotion: int, sentence: int) -> bool:
    """Five clips of each emotion and of each language: 35 of 147, 24 %."""
    return sentence == (emotion + language) % 3 and (language - emotion) % 7 < 5


def draw_vote(blend: dict[str, float], rater: Rater, rng: random.Random) -> str:
    """What one rater names."""
    if rng.random() < rater.reliability:
        return rng.choices(list(blend), weights=list(blend.values()))[0]
    setting = blended(blend)
    others = [e for e in EMOTIONS if e not in blend]
    weights = [math.exp(-prosodic_distance(setting, PROSODY[e]) / 4.0) for e in others]
    return rng.choices(others, weights=weights)[0]


def draw_ratings(
    blend: dict[str, float], raters: list[Rater], rng: random.Random
) -> tuple[float, float, float]:
    """Mean valence, arousal and dominance over raters who each mark whole points from 1 to 5."""
    means = []
    for axis in range(3):
        centre = sum(w * AFFECT[e][axis] for e, w in blend.items())
        marks = [
            min(5, max(1, round(centre + rater.offset + rng.gauss(0.0, 0.6)))) for rater in raters
        ]
        means.append(round(sum(marks) / len(marks), 3))
    return means[0], means[1], means[2]


def splits(fold: int) -> list[dict[str, Any]]:
    """Protocol ``all`` and the leave-speakers-out folds, seen from a clip of voice ``fold``."""
    rows: list[dict[str, Any]] = [{"protocol": "all", "fold": 1, "role": "test"}]
    for number in range(1, len(VOICES["mini"]) + 1):
        role = "test" if number == fold else "train"
        rows.append({"protocol": "speakers", "fold": number, "role": role})
    return rows


def make(out: Path) -> list[dict[str, Any]]:
    """Synthesize the clips and write clips, metadata and card.

    Args:
        out: Folder to write; replaced if it exists.

    Returns:
        The metadata rows.
    """
    synthesizer = Synthesizer()
    variants = list(VOICES["mini"].items())
    rows: list[dict[str, Any]] = []
    shutil.rmtree(out, ignore_errors=True)
    for place, (code, language) in enumerate(LANGUAGES.items()):
        (out / code).mkdir(parents=True)
        rng = random.Random(f"mini/{SEED}/{code}")
        crew = [
            Rater(f"r_{code}_{n + 1:02d}", rng.uniform(0.50, 0.90), rng.gauss(0.0, 0.2))
            for n in range(_RATERS_PER_LANGUAGE)
        ]
        cells = [(e, s) for s in range(3) for e in range(len(EMOTIONS))]
        for number, (emotion, sentence) in enumerate(rng.sample(cells, len(cells)), start=1):
            fold = (emotion + sentence + place) % len(variants) + 1
            variant, gender = variants[fold - 1]
            label = EMOTIONS[emotion]
            blend = {label: 1.0}
            if is_ambiguous(place, emotion, sentence):
                weight = rng.choice((0.5, 0.55, 0.6))
                blend = {label: weight, rng.choice(partners(label)): round(1.0 - weight, 2)}
            name = f"mini_{code}_{number:03d}"
            text = language.sentences["mini"][sentence]
            audio = synthesizer.say(text, code, variant, blend, seed=f"{SEED}/{name}")
            soundfile.write(
                out / code / f"{name}.flac",
                audio,
                SAMPLING_RATE_HZ,
                subtype="PCM_16",
                compression_level=1.0,
            )
            raters = sorted(rng.sample(crew, rng.randint(5, 10)), key=lambda r: r.name)
            rater_votes = {r.name: draw_vote(blend, r, rng) for r in raters}
            votes = Counter(rater_votes.values())
            valence, arousal, dominance = draw_ratings(blend, raters, rng)
            rows.append(
                {
                    "utterance_id": name,
                    "path": f"{code}/{name}.flac",
                    "raw_label": label,
                    "transcript": text,
                    "language": language.tag,
                    "culture": language.country,
                    "speaker": f"{code}_{variant}",
                    "gender": gender,
                    "blend": blend,
                    "votes": {e: votes[e] for e in EMOTIONS if votes[e]},
                    "rater_votes": rater_votes,
                    "valence": valence,
                    "arousal": arousal,
                    "dominance": dominance,
                    "splits": splits(fold),
                }
            )
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (out / "metadata.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    write_card(out, rows)
    return rows


def write_card(out: Path, rows: list[dict[str, Any]]) -> None:
    """Fill ``mini_template.md`` with what was made."""
    durations = [soundfile.info(out / row["path"]).duration for row in rows]
    agreed = [max(row["votes"], key=row["votes"].__getitem__) == row["raw_label"] for row in rows]
    clear = [a for a, row in zip(agreed, rows, strict=True) if len(row["blend"]) == 1]
    size = sum((out / row["path"]).stat().st_size for row in rows)
    languages = []
    for code, language in LANGUAGES.items():
        own = [r for r in rows if r["path"].startswith(f"{code}/")]
        female = sum(r["gender"] == "female" for r in own)
        languages.append(
            f"| {language.tag} | {len(own)} | {female} / {len(own) - female} "
            f"| {', '.join(sorted({r['speaker'] for r in own}))} |"
        )
    values = {
        "CLIPS": len(rows),
        "AMBIGUOUS": len(rows) - len(clear),
        "SHORTEST": f"{min(durations):.1f}",
        "LONGEST": f"{max(durations):.1f}",
        "MEAN": f"{sum(durations) / len(durations):.1f}",
        "MEGABYTES": f"{size / 1e6:.1f}",
        "SEED": SEED,
        "LANGUAGES": "\n".join(languages),
        "MODAL": f"{sum(clear)} of {len(clear)}",
        "MODAL_AMBIGUOUS": f"{sum(agreed) - sum(clear)} of {len(rows) - len(clear)}",
        "PAIRS": "; ".join(f"{e}: {', '.join(partners(e))}" for e in EMOTIONS),
    }
    text = _CARD_TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    (out / "README.md").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT_FOLDER, help="folder to write")
    arguments = parser.parse_args()
    rows = make(arguments.out)
    print(f"wrote {len(rows)} clips to {arguments.out}")


if __name__ == "__main__":
    main()
