"""The table of all transforms: names, parameters, ranges, severity levels. No code.

Lengths are kept (to the sample) and levels are kept (active speech level, ITU-T P.56) but where the
table says "changed". Severity levels are a convention of this package, not of a standard; prosodic
changes have doses instead, which a probe chooses.
"""

from __future__ import annotations

from .parameters import Parameter, TransformSpec

SPEAKER_F0 = Parameter(
    "speaker_f0_hz",
    "median F0 of the speaker, from which the tracker's floor (0.6 x) and ceiling (3 x) follow; "
    "measured in the clip where it is not given",
    low=40,
    high=600,
    unit="Hz",
)

PSOLA = Parameter(
    "psola",
    "revision of the resynthesis; it goes up when the sound changes, and is not for choosing",
    "integer",
    low=2,
    high=2,
    default=2,
    revision=True,
)


def _factor(low: float, high: float, meaning: str, required: bool = True) -> Parameter:
    return Parameter("factor", meaning, low=low, high=high, required=required)


def _decibels(name: str, low: float, high: float, meaning: str) -> Parameter:
    return Parameter(name, meaning, low=low, high=high, unit="dB", required=True)


def _kbps(low: float, high: float) -> Parameter:
    return Parameter("kbps", "bit rate", low=low, high=high, unit="kbit/s", required=True)


_FILES = (
    Parameter("path", "audio file, or several joined by '|'", "text"),
    Parameter("sha256", "digest of each file's bytes, joined by '|' in the same order", "text"),
)

_COLOUR = Parameter("kind", "spectrum", "text", default="white", choices=("white", "pink"))

_ALL = (
    TransformSpec(
        "prosody_f0",
        "mean F0 up or down, formants and tempo kept (PSOLA)",
        "prosody",
        (
            _factor(0.7, 1.5, "new F0 over old", required=False),
            Parameter("semitones", "new F0 against old", low=-6.17, high=7.01, unit="st"),
            SPEAKER_F0,
            PSOLA,
        ),
        one_of=("factor", "semitones"),
    ),
    TransformSpec(
        "prosody_range",
        "F0 excursions about their mean (in log F0) wider or flatter (PSOLA)",
        "prosody",
        (_factor(0.0, 2.0, "new deviation from the mean log F0 over old"), SPEAKER_F0, PSOLA),
    ),
    TransformSpec(
        "prosody_rate",
        "speaking rate, F0 and formants kept (PSOLA)",
        "prosody",
        (_factor(0.7, 1.4, "new rate over old; above 1 is faster"), SPEAKER_F0, PSOLA),
        length="changed",
    ),
    TransformSpec(
        "prosody_contour",
        "intensity contour (dB envelope of the speech) livelier or flatter",
        "prosody",
        (_factor(0.4, 1.6, "new standard deviation of the envelope in dB over old"),),
    ),
    TransformSpec(
        "prosody_energy",
        "loudness of the whole clip",
        "prosody",
        (_decibels("gain_db", -30, 30, "gain; samples beyond full scale are not clipped"),),
        level="changed",
    ),
    TransformSpec(
        "prosody_sham",
        "analysis and resynthesis with a dose of zero (control of the PSOLA changes)",
        "prosody",
        (SPEAKER_F0, PSOLA),
    ),
    TransformSpec(
        "prosody_round_trip",
        "a change and then its inverse (control as harsh as the change itself)",
        "prosody",
        (
            Parameter(
                "op",
                "which change",
                "text",
                required=True,
                choices=("f0", "range", "rate", "contour"),
            ),
            _factor(0.5, 2.0, "dose of the first of the two, within the limits of that change"),
            SPEAKER_F0,
            PSOLA,
        ),
    ),
    TransformSpec(
        "noise",
        "added noise at a signal-to-noise ratio (speech: active level; noise: its own level)",
        "noise",
        (
            Parameter(
                "kind",
                "spectrum; babble is speech of others and wants path and sha256",
                "text",
                default="white",
                choices=("white", "pink", "babble"),
            ),
            _decibels("snr_db", -20, 60, "signal-to-noise ratio"),
            *_FILES,
        ),
        severities=tuple({"snr_db": snr} for snr in (20.0, 15.0, 10.0, 5.0, 0.0)),
        seeded=True,
        level="changed",
    ),
    TransformSpec(
        "telephone",
        "telephone band: band-pass, and 8 kHz on the way",
        "channel",
        (
            Parameter("low_hz", "lower edge (-6 dB)", low=50, high=1000, unit="Hz", default=300.0),
            Parameter(
                "high_hz", "upper edge (-6 dB)", low=1500, high=3800, unit="Hz", default=3400.0
            ),
        ),
    ),
    TransformSpec("codec_mulaw", "G.711 mu-law, 8 kHz, 64 kbit/s", "codecs", level="changed"),
    TransformSpec("codec_alaw", "G.711 A-law, 8 kHz, 64 kbit/s", "codecs", level="changed"),
    TransformSpec("codec_gsm", "GSM 06.10 full rate, 8 kHz, 13 kbit/s", "codecs", level="changed"),
    TransformSpec(
        "codec_opus",
        "Opus, variable bit rate",
        "codecs",
        (_kbps(6, 256),),
        severities=tuple({"kbps": k} for k in (32.0, 24.0, 16.0, 10.0, 6.0)),
        level="changed",
    ),
    TransformSpec(
        "codec_mp3",
        "MP3, constant bit rate (the nearest that MPEG audio has at the sampling rate)",
        "codecs",
        (_kbps(8, 320),),
        severities=tuple({"kbps": k} for k in (64.0, 48.0, 32.0, 24.0, 16.0)),
        level="changed",
    ),
    TransformSpec(
        "codec_vorbis",
        "Ogg Vorbis, variable bit rate",
        "codecs",
        (Parameter("quality", "encoder quality", low=0.0, high=1.0, required=True),),
        severities=tuple({"quality": q} for q in (0.6, 0.4, 0.2, 0.1, 0.0)),
        level="changed",
    ),
    TransformSpec(
        "reverb",
        "reverberation: direct sound and an exponentially decaying tail of noise",
        "rooms",
        (
            Parameter(
                "t60_s", "time to decay by 60 dB", low=0.1, high=5.0, unit="s", required=True
            ),
            Parameter(
                "drr_db",
                "direct-to-reverberant energy ratio",
                low=-20,
                high=40,
                unit="dB",
                default=0.0,
            ),
        ),
        severities=tuple(
            {"t60_s": t, "drr_db": d}
            for t, d in ((0.2, 9.0), (0.4, 6.0), (0.6, 3.0), (0.9, 0.0), (1.5, -3.0))
        ),
        seeded=True,
    ),
    TransformSpec(
        "far_field",
        "a distant microphone: reverberation by distance, noise, and attenuation",
        "rooms",
        (
            Parameter(
                "distance_m", "from mouth to microphone", low=0.3, high=20, unit="m", required=True
            ),
            Parameter("t60_s", "as for reverb", low=0.1, high=5.0, unit="s", default=0.6),
            Parameter(
                "snr_db",
                "of the reverberant speech over pink noise",
                low=-20,
                high=60,
                unit="dB",
                default=10.0,
            ),
        ),
        severities=tuple(
            {"distance_m": d, "t60_s": t, "snr_db": s}
            for d, t, s in (
                (1.0, 0.3, 20.0),
                (2.0, 0.5, 15.0),
                (3.0, 0.6, 10.0),
                (5.0, 0.8, 5.0),
                (8.0, 1.0, 0.0),
            )
        ),
        seeded=True,
        level="changed",
    ),
    TransformSpec(
        "clipping",
        "amplitude clipping, level restored afterwards",
        "channel",
        (_decibels("threshold_db", -40, 0, "where it clips, against the clip's peak"),),
        severities=tuple({"threshold_db": t} for t in (-3.0, -6.0, -12.0, -18.0, -24.0)),
    ),
    TransformSpec(
        "gain",
        "gain of the whole clip",
        "channel",
        (_decibels("gain_db", -60, 30, "gain; samples beyond full scale are not clipped"),),
        severities=tuple({"gain_db": g} for g in (-6.0, -12.0, -18.0, -24.0, -30.0)),
        level="changed",
    ),
    TransformSpec(
        "packet_loss",
        "lost packets, in bursts",
        "channel",
        (
            Parameter(
                "loss", "share of packets lost, met to the packet", low=0, high=0.9, required=True
            ),
            Parameter("burst", "mean length of a burst, in packets", low=1, high=50, default=1.0),
            Parameter("frame_ms", "length of a packet", low=5, high=100, unit="ms", default=20.0),
            Parameter(
                "concealment",
                "what is played instead",
                "text",
                default="zero",
                choices=("zero", "repeat"),
            ),
        ),
        severities=tuple(
            {"loss": r, "burst": b}
            for r, b in ((0.02, 1.0), (0.05, 1.5), (0.1, 2.0), (0.2, 2.5), (0.3, 3.0))
        ),
        seeded=True,
        level="changed",
    ),
    TransformSpec(
        "code_switch",
        "another clip joined on, at the same active level",
        "joining",
        (
            Parameter("path", "audio file of the other clip", "text", required=True),
            Parameter("sha256", "digest of the file's bytes", "text", required=True),
            Parameter(
                "place", "where it goes", "text", default="after", choices=("after", "before")
            ),
            Parameter("gap_s", "silence between the two", low=0, high=5, unit="s", default=0.1),
        ),
        length="changed",
    ),
    TransformSpec("control_silence", "nothing to hear: zeros", "controls", level="changed"),
    TransformSpec(
        "control_noise",
        "noise alone, its level the active level of the speech",
        "controls",
        (_COLOUR,),
        seeded=True,
    ),
    TransformSpec(
        "control_flat",
        "pitch and intensity without contour",
        "controls",
        (
            Parameter("pitch", "1: one F0 throughout", "integer", low=0, high=1, default=1),
            Parameter("energy", "1: an even dB envelope", "integer", low=0, high=1, default=1),
            SPEAKER_F0,
            PSOLA,
        ),
    ),
    TransformSpec("control_reverse", "time-reversed", "controls"),
)

TRANSFORM_SPECS: dict[str, TransformSpec] = {spec.name: spec for spec in _ALL}
"""Name → what the transform may be told; the one home of ranges, defaults and severities."""
