"""Synthetic emotional speech from espeak-ng, through its library and no command line.

An *emotion* here is a setting of five prosodic controls and nothing more: no claim is made that a
listener would call the result angry or sad. What it gives is speech with a known, learnable label.

Conventions
-----------
pitch, pitch_range   espeak-ng scale, 0 to 100, on top of the voice variant's own register
rate_wpm             words a minute, 80 to 450
volume               espeak-ng scale, 100 = normal
tilt                 spectral balance in [-1, 1]: above 0 brighter (pressed voice), below 0 darker
                     (soft voice); a first-order filter that keeps the clip's energy
blend                emotion -> weight; the setting is the weighted mean of the emotions' settings
audio                float32, mono, 16 kHz, in [-1, 1]

The same sentence, language, variant, blend, jitter and seed give the same samples, in any order of
calls: the library is unloaded and loaded again for every clip (about 4 ms), because espeak-ng
carries phase over from one utterance to the next, past its own re-initialisation.
"""

from __future__ import annotations

import _ctypes
import ctypes
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from texts import EMOTIONS, LANGUAGES

SAMPLING_RATE_HZ = 16_000

Audio = NDArray[np.float32]


class SpeechError(RuntimeError):
    """The synthesizer is missing or refused what it was asked."""


@dataclass(frozen=True, slots=True)
class Prosody:
    """One setting of the controls (units: module docstring)."""

    pitch: float
    pitch_range: float
    rate_wpm: float
    volume: float
    tilt: float


PROSODY: dict[str, Prosody] = {
    "angry": Prosody(pitch=46, pitch_range=70, rate_wpm=208, volume=150, tilt=0.7),
    "disgust": Prosody(pitch=20, pitch_range=62, rate_wpm=138, volume=112, tilt=0.1),
    "fear": Prosody(pitch=78, pitch_range=22, rate_wpm=220, volume=72, tilt=-0.1),
    "happy": Prosody(pitch=66, pitch_range=84, rate_wpm=186, volume=112, tilt=0.3),
    "neutral": Prosody(pitch=44, pitch_range=42, rate_wpm=168, volume=92, tilt=0.0),
    "sad": Prosody(pitch=30, pitch_range=14, rate_wpm=130, volume=58, tilt=-0.6),
    "surprise": Prosody(pitch=90, pitch_range=98, rate_wpm=158, volume=128, tilt=0.1),
}
"""The seven emotions: directions after the usual findings on vocal expression (Banse & Scherer
1996; Juslin & Laukka 2003), distances chosen so that a tiny model can learn them."""

JITTER = Prosody(pitch=6.0, pitch_range=9.0, rate_wpm=0.06, volume=0.10, tilt=0.15)
"""Standard deviation of the clip-to-clip variation at ``jitter=1``; for ``rate_wpm`` and
``volume`` a fraction of the value."""


def blended(blend: Mapping[str, float]) -> Prosody:
    """Weighted mean of the emotions' settings.

    Args:
        blend: Emotion -> weight; weights are normalised by their sum.

    Raises:
        SpeechError: An unknown emotion, or weights that do not add up to more than 0.

    Example:
        >>> blended({"angry": 0.5, "sad": 0.5}).pitch
        38.0
    """
    unknown = sorted(set(blend) - set(EMOTIONS))
    total = sum(blend.values())
    if unknown or total <= 0 or min(blend.values()) < 0:
        raise SpeechError(
            f"cannot blend {dict(blend)}: known emotions are {', '.join(EMOTIONS)}; weights must "
            "not be negative and must have a positive sum"
        )
    settings = {e: asdict(PROSODY[e]) for e in blend}
    return Prosody(
        **{k: sum(w * settings[e][k] for e, w in blend.items()) / total for k in asdict(JITTER)}
    )


def jittered(setting: Prosody, rng: random.Random, jitter: float = 1.0) -> Prosody:
    """One clip's setting: Gaussian variation around the emotion's, at most two deviations off."""

    def step(scale: float) -> float:
        return jitter * scale * max(-2.0, min(2.0, rng.gauss(0.0, 1.0)))

    return Prosody(
        pitch=setting.pitch + step(JITTER.pitch),
        pitch_range=setting.pitch_range + step(JITTER.pitch_range),
        rate_wpm=setting.rate_wpm * math.exp(step(JITTER.rate_wpm)),
        volume=setting.volume * math.exp(step(JITTER.volume)),
        tilt=setting.tilt + step(JITTER.tilt),
    )


def tilted(audio: Audio, tilt: float) -> Audio:
    """Shift the spectral balance and keep the energy.

    A one-pole filter splits the clip at about 1 kHz; the upper part is weighted by ``2**(2 tilt)``,
    the lower one by the inverse, and the sum is scaled back to the clip's energy.
    """
    if not len(audio):
        return audio
    pole = math.exp(-2 * math.pi * 1000.0 / SAMPLING_RATE_HZ)
    taps = (1 - pole) * pole ** np.arange(64)
    low = np.convolve(audio, taps)[: len(audio)]
    weight = 2.0 ** (2.0 * max(-1.0, min(1.0, tilt)))
    mixed = weight * (audio - low) + low / weight
    energy = float(np.sqrt(np.mean(mixed**2))) or 1.0
    return (mixed * (float(np.sqrt(np.mean(audio**2))) / energy)).astype(np.float32)


class Synthesizer:
    """espeak-ng as a function from text and prosody to audio; not for several threads at once.

    Raises:
        SpeechError: ``espeakng_loader`` is not installed, or its data cannot be loaded.
    """

    _RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
    _RETRIEVAL, _UTF8 = 1, 1

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise SpeechError(
                "synthetic speech needs espeak-ng; install it with 'pip install espeakng-loader'"
            ) from error
        self._path = espeakng_loader.get_library_path()
        self._data = espeakng_loader.get_data_path().encode()
        self._variants = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
        self._chunks: list[NDArray[np.int16]] = []
        callback_type = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self._callback = callback_type(self._collect)  # kept: ctypes holds no reference

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: int) -> int:
        if count > 0 and samples:
            self._chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    @contextmanager
    def _engine(self) -> Iterator[tuple[ctypes.CDLL, int]]:
        """The library in the state of a fresh process, and its sampling rate; gone afterwards."""
        lib = ctypes.CDLL(self._path)
        try:
            rate_hz = int(lib.espeak_Initialize(self._RETRIEVAL, 0, self._data, 0))
            if rate_hz <= 0:
                raise SpeechError(f"espeak-ng did not start with the data in {self._path}")
            lib.espeak_ng_SetRandSeed(ctypes.c_long(1))  # it starts with the clock otherwise
            lib.espeak_SetSynthCallback(self._callback)
            self._chunks.clear()
            yield lib, rate_hz
        finally:
            lib.espeak_Terminate()
            unload = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary  # type: ignore[attr-defined]
            unload(lib._handle)

    def raw(self, text: str, voice: str, setting: Prosody) -> Audio:
        """Speak one sentence.

        Args:
            text: The sentence.
            voice: espeak-ng voice name, with a variant after ``+``: ``"en-us+f2"``.
            setting: Controls; each is clipped to the engine's range.

        Returns:
            Audio at 16 kHz.
        """
        variant = voice.partition("+")[2]
        if variant and not (self._variants / variant).is_file():  # espeak-ng itself says nothing
            raise SpeechError(f"espeak-ng has no voice variant {variant!r} (asked for {voice!r})")
        with self._engine() as (lib, rate_hz):
            if lib.espeak_SetVoiceByName(voice.encode()) != 0:
                raise SpeechError(f"espeak-ng has no voice {voice!r}; name it as 'en-us+f2'")
            for parameter, value, lowest, highest in (
                (self._RATE, setting.rate_wpm, 80, 450),
                (self._VOLUME, setting.volume, 0, 200),
                (self._PITCH, setting.pitch, 0, 99),
                (self._RANGE, setting.pitch_range, 0, 99),
            ):
                lib.espeak_SetParameter(parameter, round(max(lowest, min(highest, value))), 0)
            data = text.encode()
            lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, self._UTF8, None, None)
            lib.espeak_Synchronize()
        if not self._chunks:
            raise SpeechError(f"espeak-ng said nothing for {text!r} with the voice {voice!r}")
        samples = np.concatenate(self._chunks).astype(np.float32) / 32768.0
        return soxr.resample(samples, rate_hz, SAMPLING_RATE_HZ).astype(np.float32)

    def say(
        self,
        sentence: str,
        language: str,
        variant: str,
        blend: Mapping[str, float],
        *,
        seed: int | str,
        jitter: float = 1.0,
    ) -> Audio:
        """Speak one sentence with an emotion or a blend of emotions.

        Args:
            sentence: What is said.
            language: Short code, a key of ``texts.LANGUAGES``.
            variant: Voice variant, such as ``"f2"``.
            blend: Emotion -> weight, such as ``{"sad": 1}`` or ``{"angry": .5, "sad": .5}``.
            seed: Fixes the jitter.
            jitter: Size of the clip-to-clip variation; 0 = none.

        Returns:
            Audio at 16 kHz, trimmed of silence at both ends, 12 dB below the engine's level
            (room for the loud settings; the level is a cue, so nothing is normalised).
        """
        setting = jittered(blended(blend), random.Random(f"prosody/{seed}"), jitter)
        audio = self.raw(sentence, f"{LANGUAGES[language].engine}+{variant}", setting)
        audio = trimmed(tilted(audio, setting.tilt))
        return np.clip(np.float32(0.25) * audio, -1.0, 1.0)


def trimmed(audio: Audio, floor: float = 0.004, keep_s: float = 0.05) -> Audio:
    """Cut the silence at both ends, but for ``keep_s`` seconds."""
    loud = np.flatnonzero(np.abs(audio) > floor)
    if not len(loud):
        return audio
    keep = int(keep_s * SAMPLING_RATE_HZ)
    return audio[max(0, loud[0] - keep) : loud[-1] + 1 + keep]


def augmented(audio: Audio, rng: np.random.Generator) -> Audio:
    """A mild recording condition: gain of ±3 dB, silence at both ends, sometimes some noise.

    Args:
        audio: A clip.
        rng: Seeded source.

    Returns:
        The clip with up to 0.5 s of silence on either side, and in half the cases white noise
        15 to 40 dB below the speech.
    """
    gain = 10.0 ** (rng.uniform(-3.0, 3.0) / 20.0)
    lead, trail = (rng.uniform(0.0, 0.5, size=2) * SAMPLING_RATE_HZ).astype(int)
    out = np.concatenate([np.zeros(lead), audio * gain, np.zeros(trail)])
    if rng.random() < 0.5:
        level = float(np.sqrt(np.mean(audio**2))) * gain * 10.0 ** (-rng.uniform(15.0, 40.0) / 20.0)
        out = out + rng.normal(0.0, level, size=len(out))
    return np.clip(out, -1.0, 1.0).astype(np.float32)
