"""Speech for the prosody tests: espeak-ng in ten languages and two voices, and what measures it."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

RATE = 16_000
SENTENCES = {
    "en-us": "She had your dark suit in greasy wash water all year, and nobody asked her why.",
    "de": "Gestern Abend haben wir lange auf den letzten Bus gewartet.",
    "fr": "Je ne savais pas que tu viendrais demain matin avec ta soeur.",
    "es": "Mañana por la mañana iremos todos juntos al mercado.",
    "it": "Domani andiamo al mare con tutta la famiglia.",
    "ru": "Сегодня вечером мы пойдём гулять в большой парк.",
    "tr": "Yarın sabah erkenden annemle pazara gideceğiz.",
    "hi": "आज शाम को हम सब बाज़ार जाएँगे और खाना खाएँगे।",
    "ur": "آج شام ہم سب بازار جائیں گے۔",
    "cmn": "我今天早上在公园里看见了你的妹妹。",
}
VOICES = [f"{language}+{variant}" for language in SENTENCES for variant in ("m3", "f2")]

Samples = NDArray[np.float32]


@lru_cache(maxsize=1)
def _synthesizer() -> tuple[Any, Any]:
    pytest.importorskip(
        "espeakng_loader", reason="needs espeakng_loader: pip install espeakng-loader"
    )
    folder = str(Path(__file__).resolve().parents[2] / "scripts" / "synthetic")
    sys.path.insert(0, folder)
    try:
        from speech import Prosody, Synthesizer
    finally:
        sys.path.remove(folder)
    return Synthesizer(), Prosody


@lru_cache(maxsize=64)
def spoken(voice: str) -> Samples:
    """A sentence in a voice such as ``"de+f2"``, at 16 kHz and half of full scale."""
    synthesizer, prosody = _synthesizer()
    setting = prosody(pitch=50, pitch_range=50, rate_wpm=165, volume=100, tilt=0)
    made: Samples = synthesizer.raw(SENTENCES[voice.partition("+")[0]], voice, setting)
    made = np.asarray(0.5 * made, dtype=np.float32)
    made.setflags(write=False)
    return made


def pulses(hz: float, seconds: float = 1.0, rate: int = RATE) -> Samples:
    """A buzz with 1/k harmonics up to 3 kHz: a voice of known F0, without formants."""
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, max(2, int(3000 / hz))))
    return np.asarray(0.2 * wave, dtype=np.float32)
