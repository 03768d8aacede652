"""Speech for the prosody tests: espeak-ng in ten languages and two voices, and resonators."""

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


# F1, F2 and F3 of [i e a o u] and schwa, in Hz.
_VOWELS = np.array(
    [
        [280.0, 2250.0, 2900.0],
        [400.0, 2000.0, 2550.0],
        [700.0, 1250.0, 2500.0],
        [500.0, 900.0, 2450.0],
        [320.0, 750.0, 2300.0],
        [550.0, 1700.0, 2500.0],
    ]
)
_BANDS_HZ, _STRENGTHS = np.array([70.0, 90.0, 130.0, 200.0]), np.array([1.0, 0.5, 0.25, 0.1])


@lru_cache(maxsize=256)
def uttered(
    seed: int,
    median_hz: float,
    *,
    times_f0: float = 1.0,
    speed: float = 1.0,
    times_formants: float = 1.0,
    devoiced_s: float = 0.0,
    seconds: float = 2.5,
) -> Samples:
    """Vowels, pauses and hiss whose F0, formants and voicing are known, so that it can be had again
    with any of them changed and all else exactly as it was: an ideal manipulation.

    Every glottal pulse sets off four resonators that ring at the formants of its moment.
    """
    rng = np.random.default_rng(seed)
    tract = rng.uniform(0.95, 1.05) * (1.0 if median_hz < 170 else 1.17)
    spans: list[tuple[float, float]] = []
    at = 0.08
    while at < seconds - 0.2:
        length = rng.uniform(0.12, 0.4)
        spans.append((at, min(at + length, seconds - 0.05)))
        at += length + rng.uniform(0.05, 0.15)
    hissing = rng.random(len(spans)) < 0.6
    knots = np.arange(0.0, seconds + 0.3, 0.12)
    places = _VOWELS[rng.integers(0, len(_VOWELS), len(knots))] * tract * times_formants
    melody = 0.2 * rng.standard_normal(len(knots))
    jitter = 0.006 * rng.standard_normal(10_000)
    total, ring = int(seconds / speed * RATE), int(0.03 * RATE)
    out = np.zeros(total + RATE)
    hiss = rng.standard_normal(total + RATE)
    pulse = 0
    for begin, end in spans:
        at = begin
        while at < end:
            hz = median_hz * times_f0 * np.exp(np.interp(at, knots, melody)) * (1 + jitter[pulse])
            pulse += 1
            if at >= spans[0][0] + devoiced_s:
                formants = [np.interp(at, knots, places[:, k]) for k in range(3)]
                formants.append(3500.0 * tract * times_formants)
                where = at / speed * RATE
                first = int(np.ceil(where))
                t = (np.arange(ring) + first - where) / RATE
                tones = np.sin(2 * np.pi * np.array(formants)[:, None] * t)
                damped = _STRENGTHS[:, None] * np.exp(-np.pi * _BANDS_HZ[:, None] * t) * tones
                loud = np.sqrt(max(0.0, np.sin(np.pi * (at - begin) / (end - begin)))) + 0.05
                out[first : first + ring] += loud * damped.sum(axis=0) / np.sqrt(hz / 100.0)
            at += speed / hz
    out += 0.003 * hiss
    for (_, begin), (end, _), rough in zip(spans[:-1], spans[1:], hissing, strict=False):
        if rough:
            low, high = int(begin / speed * RATE), int(end / speed * RATE)
            out[low:high] += 0.08 * np.diff(hiss[low : high + 1])
    if devoiced_s:
        low, high = (int(t / speed * RATE) for t in (spans[0][0], spans[0][0] + devoiced_s))
        out[low:high] += 0.3 * hiss[low:high]
    out = out[:total]
    made: Samples = np.asarray(0.1 * out / np.sqrt(np.mean(out**2)), dtype=np.float32)
    made.setflags(write=False)
    return made
