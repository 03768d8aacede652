"""Speech and audio codecs, through libsndfile and in memory.

Each codec runs at a rate that it has: 8 kHz for telephony, else the lowest of its own that is not
below the clip's. Encoding and decoding add no delay (a test measures it), so that original and
coded clip stay aligned: the decoders of Opus, Vorbis and most MP3 files take their own delay off,
and where an MP3 frame is too small for the tag that says it, it is taken off here. Levels are left
as the codec leaves them; Opus also takes a constant offset (DC) away.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .resampling import fitted, resampled

Samples = NDArray[np.float32]

TELEPHONE_HZ = 8000
OPUS_HZ = (8000, 12_000, 16_000, 24_000, 48_000)
MP3_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_HEADROOM = 0.99
_MP3_DELAY = 1105
"""LAME's encoder delay (576 samples) and the decoder's (529): what a file without a tag keeps."""
_LOWEST_MP3 = 0.9999  # libsndfile 1.2.2 refuses 1


def codec_mulaw(samples: Samples, rate: int) -> Samples:
    """ITU-T G.711 mu-law at 8 kHz."""
    return _through(samples, rate, TELEPHONE_HZ, format="WAV", subtype="ULAW")


def codec_alaw(samples: Samples, rate: int) -> Samples:
    """ITU-T G.711 A-law at 8 kHz."""
    return _through(samples, rate, TELEPHONE_HZ, format="WAV", subtype="ALAW")


def codec_gsm(samples: Samples, rate: int) -> Samples:
    """GSM 06.10 full rate, at 8 kHz."""
    return _through(samples, rate, TELEPHONE_HZ, format="WAV", subtype="GSM610")


def codec_opus(samples: Samples, rate: int, *, kbps: float) -> Samples:
    """Opus at a (variable) bit rate.

    libsndfile takes a compression level c and asks the encoder for 6 + 250 (1 - c) kbit/s.
    """
    level = min(max(1.0 - (kbps - 6.0) / 250.0, 0.0), 1.0)
    at = _not_below(rate, OPUS_HZ)
    return _through(samples, rate, at, format="OGG", subtype="OPUS", compression_level=level)


def codec_mp3(samples: Samples, rate: int, *, kbps: float) -> Samples:
    """MP3 at a constant bit rate.

    libsndfile maps its compression level onto 320 to 32 kbit/s (MPEG-1: 32 kHz and above), 160 to 8
    (MPEG-2: 16 to 24 kHz) or 64 to 8 (MPEG-2.5: 12 kHz and below); a bit rate outside becomes the
    nearest of these. Below 32 kbit/s a clip of a higher sampling rate is coded at 24 kHz.
    """
    at = _not_below(rate if kbps >= 32 else min(rate, 24_000), MP3_HZ)
    low, high = (32, 320) if at >= 32_000 else (8, 160) if at >= 16_000 else (8, 64)
    level = min(max((high - kbps) / (high - low), 0.0), _LOWEST_MP3)
    return _through(
        samples,
        rate,
        at,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=level,
        bitrate_mode="CONSTANT",
    )


def codec_vorbis(samples: Samples, rate: int, *, quality: float) -> Samples:
    """Ogg Vorbis at a quality from 0 to 1."""
    return _through(
        samples, rate, rate, format="OGG", subtype="VORBIS", compression_level=1.0 - quality
    )


def encoded(samples: NDArray[np.floating], rate: int, **how: Any) -> bytes:
    """The file that a codec makes of the samples."""
    import soundfile

    memory = io.BytesIO()
    with soundfile.SoundFile(memory, "w", samplerate=rate, channels=1, **how) as file:
        file.write(np.asarray(samples, dtype=np.float32))
    return memory.getvalue()


def _through(samples: Samples, rate: int, at: int, **how: Any) -> Samples:
    import soundfile

    inside = resampled(samples, rate, at)
    # Codecs clip at full scale, and a float file may exceed it.
    peak = float(np.abs(inside).max(initial=0.0))
    scale = _HEADROOM / peak if peak > _HEADROOM else 1.0
    decoded, _ = soundfile.read(io.BytesIO(encoded(inside * scale, at, **how)), dtype="float64")
    coded = fitted(decoded, len(inside))
    if how["format"] == "MP3":
        # Only small frames have no tag, and no fact in the file tells; the waveform does.
        late = fitted(decoded[_MP3_DELAY:], len(inside))
        coded = max(coded, late, key=lambda y: float(np.dot(y, inside)))
    back = resampled(coded / scale, at, rate)
    return np.asarray(fitted(back, len(samples)), dtype=np.float32)


def _not_below(rate: int, rates: tuple[int, ...]) -> int:
    return next((r for r in rates if r >= rate), rates[-1])
