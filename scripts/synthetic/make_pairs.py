"""Make the synthetic minimal pairs, for trying the probe, never for reporting.

    python scripts/synthetic/make_pairs.py        # the shipped folder, seconds

Six dimensions x three languages, a pair each: the members have the same voice and setting, and the
same words but for the marker that is the dimension (rewrites, for ``directness``; the setting, for
``irony``). Two runs give the same bytes. No claim is made that a listener would hear irony.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from speech import SAMPLING_RATE_HZ, Audio, Synthesizer
from texts import LANGUAGES

OUT_FOLDER = Path(__file__).resolve().parents[2] / "voxemo_tasks" / "assets" / "mini_pairs"
SEED = 7
VOICES = {"en": "f2", "de": "m4", "es": "f2"}
OTHER = {"en": "es", "de": "en", "es": "en"}
"""Language of the second half of a code-switch."""

TEXTS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "back_channel": ("They arrive on Monday.", "Mhm. They arrive on Monday."),
        "honorific": ("The window is still open.", "Sir, the window is still open."),
        "irony": ("That is a wonderful idea.", "That is a wonderful idea."),
        "code_switch": ("The book is on the table.", "The book is on the table."),
        "laughter": ("My brother works in town.", "Ha ha ha. My brother works in town."),
        "directness": ("Close the window.", "It is rather cold with the window open."),
    },
    "de": {
        "back_channel": ("Sie kommen am Montag an.", "Mhm. Sie kommen am Montag an."),
        "honorific": ("Das Fenster ist noch offen.", "Mein Herr, das Fenster ist noch offen."),
        "irony": ("Das ist eine wunderbare Idee.", "Das ist eine wunderbare Idee."),
        "code_switch": ("Das Buch liegt auf dem Tisch.", "Das Buch liegt auf dem Tisch."),
        "laughter": (
            "Mein Bruder arbeitet in der Stadt.",
            "Ha ha ha. Mein Bruder arbeitet in der Stadt.",
        ),
        "directness": ("Mach das Fenster zu.", "Bei offenem Fenster ist es recht kalt."),
    },
    "es": {
        "back_channel": ("Llegan el lunes.", "Ajá. Llegan el lunes."),
        "honorific": ("La ventana está abierta.", "Señor, la ventana está abierta."),
        "irony": ("Es una idea maravillosa.", "Es una idea maravillosa."),
        "code_switch": ("El libro está en la mesa.", "El libro está en la mesa."),
        "laughter": (
            "Mi hermano trabaja en la ciudad.",
            "Ja ja ja. Mi hermano trabaja en la ciudad.",
        ),
        "directness": ("Cierra la ventana.", "Hace bastante frío con la ventana abierta."),
    },
}
HALVES = {
    "en": ("The book is", "on the table."),
    "de": ("Das Buch liegt", "auf dem Tisch."),
    "es": ("El libro está", "en la mesa."),
}
VARIANTS = {
    "back_channel": ("without", "with"),
    "honorific": ("without", "with"),
    "irony": ("literal", "ironic"),
    "code_switch": ("one_language", "two_languages"),
    "laughter": ("without", "with"),
    "directness": ("direct", "indirect"),
}


def make(out: Path) -> list[dict[str, Any]]:
    """Write clips, ``metadata.jsonl`` and ``pairs.csv``.

    Returns:
        The rows of ``metadata.jsonl``.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    synthesizer = Synthesizer()
    rows: list[dict[str, Any]] = []
    pairs: list[tuple[str, str, str, str]] = []
    for code, dimensions in TEXTS.items():
        language = LANGUAGES[code]
        for dimension, texts in dimensions.items():
            for variant, text in zip(VARIANTS[dimension], texts, strict=True):
                name = f"pair_{code}_{dimension}_{variant}"
                label = {"literal": "happy", "ironic": "disgust"}.get(variant, "neutral")
                audio, said = _speak(synthesizer, code, text, variant, label)
                file = out / f"{name}.flac"
                soundfile.write(
                    file, audio, SAMPLING_RATE_HZ, subtype="PCM_16", compression_level=1.0
                )
                pairs.append((f"{code}_{dimension}", dimension, variant, name))
                rows.append(
                    {
                        "utterance_id": name,
                        "path": file.name,
                        "raw_label": label,
                        "transcript": said,
                        "language": language.tag,
                        "culture": language.country,
                        "speaker": f"{code}_{VOICES[code]}",
                        "gender": "female" if VOICES[code].startswith("f") else "male",
                        "synthesis": "espeak-ng",
                    }
                )
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (out / "metadata.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    with (out / "pairs.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["pair", "dimension", "variant", "utterance"])
        writer.writerows(pairs)
    (out / "README.md").write_text(_README, encoding="utf-8", newline="\n")
    return rows


def _speak(
    synthesizer: Synthesizer, code: str, text: str, variant: str, label: str
) -> tuple[Audio, str]:
    def say(words: str, language: str) -> Audio:
        return synthesizer.say(
            words, language, VOICES[code], {label: 1.0}, seed=f"{SEED}/{code}", jitter=0.0
        )

    if variant not in VARIANTS["code_switch"]:
        return say(text, code), text
    # Both members are two halves, so that the seam is no difference between them.
    first = HALVES[code][0]
    second = OTHER[code] if variant == "two_languages" else code
    words = HALVES[second][1]
    gap = np.zeros(round(0.05 * SAMPLING_RATE_HZ), dtype=np.float32)
    return np.concatenate([say(first, code), gap, say(words, second)]), f"{first} {words}"


_README = """# Synthetic minimal pairs

36 clips of a rule-based synthesizer (espeak-ng): six dimensions in three languages, a pair each.
Made by `scripts/synthetic/make_pairs.py`; `pairs.csv` says what belongs together. For trying the
probe, never for reporting: nobody was asked whether the ironic ones sound ironic. Labels are the
setting of the synthesizer. Licence: CC0-1.0 or Apache-2.0.
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT_FOLDER, help="folder to write")
    arguments = parser.parse_args()
    print(f"wrote {len(make(arguments.out))} clips to {arguments.out}")


if __name__ == "__main__":
    main()
