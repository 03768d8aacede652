"""What lines and amplifiers do: band, clipping, gain, lost packets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from .levels import active_level_db, matched
from .resampling import fitted, resampled

Samples = NDArray[np.float32]

TELEPHONE_HZ = 8000
_TAPS = 401
_FADE = 0.5  # of a repeated packet against the one before


def telephone(samples: Samples, rate: int, *, low_hz: float, high_hz: float) -> Samples:
    """Narrow-band telephony: a linear-phase band-pass at 8 kHz (ITU-T G.712's band by default).

    The edges are where the filter is 6 dB down; 100 Hz beyond it is more than 40 dB down. A file
    below 8 kHz is filtered at its own rate. The active level is restored.

    Returns:
        Shape ``(n,)``, at the clip's own rate, without delay.
    """
    narrow = min(rate, TELEPHONE_HZ)
    high = min(high_hz, 0.475 * narrow)
    taps = signal.firwin(_TAPS, [low_hz, high], pass_zero=False, fs=narrow)
    low_rate = resampled(samples, rate, narrow)
    # Full convolution and cut, because "same" keeps the longer of the two.
    filtered = signal.fftconvolve(low_rate, taps)[_TAPS // 2 :][: len(low_rate)]
    back = fitted(resampled(filtered, narrow, rate), len(samples))
    return matched(back, rate, active_level_db(samples, rate))


def clipping(samples: Samples, rate: int, *, threshold_db: float) -> Samples:
    """Everything beyond a threshold (dB below the clip's peak) cut off, then the level restored.

    Returns:
        Shape ``(n,)``; silence stays silence.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    limit = np.float32(peak * 10.0 ** (threshold_db / 20.0))
    return matched(np.clip(samples, -limit, limit), rate, active_level_db(samples, rate))


def gain(samples: Samples, rate: int, *, gain_db: float) -> Samples:
    """All samples times ``10 ** (gain_db / 20)``; nothing is clipped."""
    return np.asarray(samples * 10.0 ** (gain_db / 20.0), dtype=np.float32)


def packet_loss(
    samples: Samples,
    rate: int,
    *,
    loss: float,
    burst: float,
    frame_ms: float,
    concealment: str,
    seed: int,
) -> Samples:
    """Packets lost in bursts.

    Args:
        samples: Mono, shape ``(n,)``.
        rate: Sampling rate in Hz.
        loss: Share of packets lost, in [0, 1); met to the nearest packet.
        burst: Mean length of a burst in packets (geometric).
        frame_ms: Length of a packet.
        concealment: ``zero``: silence; ``repeat``: the last packet that came, each time 6 dB
            fainter, and silence before the first.
        seed: Draws which packets.

    Returns:
        Shape ``(n,)``.
    """
    size = max(1, round(frame_ms / 1000.0 * rate))
    packets = -(-len(samples) // size)
    lost = lost_packets(packets, loss, burst, np.random.default_rng(seed))
    out = samples.copy()
    strength = 0.0
    last = np.zeros(size, dtype=np.float32)
    for k in range(packets):
        place = slice(k * size, min((k + 1) * size, len(samples)))
        length = place.stop - place.start
        if not lost[k]:
            last[:length] = samples[place]
            last[length:] = 0.0
            strength = 1.0
        elif concealment == "repeat":
            strength *= _FADE
            out[place] = strength * last[:length]
        else:
            out[place] = 0.0
    return out


def lost_packets(
    packets: int, share: float, burst: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which packets are lost: ``round(share * packets)`` of them, in bursts of a mean length.

    Lengths of bursts are geometric, the last one is cut to meet the number; the places of the
    bursts are drawn, any two at least one packet apart where there are packets enough for that.
    """
    number = round(share * packets)
    lengths: list[int] = []
    while sum(lengths) < number:
        lengths.append(min(int(rng.geometric(1.0 / burst)), number - sum(lengths)))
    rng.shuffle(lengths)
    came = packets - number
    apart = len(lengths) <= came + 1
    places = np.sort(rng.choice(came + 1, len(lengths), replace=not apart))
    lost = np.zeros(packets, dtype=bool)
    before = 0
    for place, length in zip(places, lengths, strict=True):
        lost[place + before : place + before + length] = True
        before += length
    return lost
