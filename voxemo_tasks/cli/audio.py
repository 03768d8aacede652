"""``voxemo audio``: what changes of a clip there are, and what one sounds like."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, UnknownNameError
from ..records import Json, Transform
from ..results.table import align

if TYPE_CHECKING:
    from ..audio.parameters import TransformSpec


def add_parser(subparsers: Any) -> None:
    """Add ``audio`` and its sub-commands to the subparsers of the ``voxemo`` command."""
    parser = subparsers.add_parser("audio")
    commands = parser.add_subparsers(dest="audio_command", metavar="COMMAND", required=True)

    transforms = commands.add_parser("transforms", help="all transforms and their parameters")
    transforms.add_argument("--json", action="store_true", help="as JSON")
    transforms.set_defaults(func=_transforms)

    render = commands.add_parser("render", help="write an utterance as a model would hear it")
    render.add_argument("utterance", metavar="UTT", help="utterance id")
    render.add_argument("--corpus", required=True, help="a prepared corpus")
    render.add_argument(
        "--transform",
        action="append",
        default=[],
        metavar="EXPR",
        help="as a condition of a run: 'prosody_f0(semitones=4)', 'noise@3(kind=pink)', 'telephone + "
        "gain@3', 'pitch_up.large'; several are applied in the order given",
    )
    render.add_argument(
        "--rate", type=int, metavar="HZ", help="sampling rate (default: the file's)"
    )
    render.add_argument("--out", required=True, metavar="FILE", help="a WAV or FLAC file to write")
    render.add_argument(
        "--check",
        action="store_true",
        help="measure what one prosodic transform did, and fail where it is not what was asked",
    )
    render.set_defaults(func=_render)


def _transforms(args: argparse.Namespace) -> int:
    from ..audio import TRANSFORM_SPECS

    if args.json:
        print(json.dumps([_spec(s) for s in TRANSFORM_SPECS.values()], indent=2))
        return 0
    for spec in TRANSFORM_SPECS.values():
        changed = [what for what in ("length", "level") if getattr(spec, what) == "changed"]
        note = f"  [changes {' and '.join(changed)}]" if changed else ""
        print(f"{spec.name}: {spec.summary}{note}")
        rows = []
        for p in spec.parameters:
            if p.required:
                needed = "required"
            elif p.name in spec.one_of:
                needed = "one of " + ", ".join(spec.one_of)
            else:
                needed = "-" if p.default is None else f"default {p.default}"
            rows.append([f"    {p.name}", p.allowed, needed, p.meaning])
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
        for *cells, meaning in rows:
            print(*(c.ljust(w) for c, w in zip(cells, widths, strict=True)), meaning, sep="  ")
        if spec.severities:
            levels = [
                ", ".join(
                    f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in s.items()
                )
                for s in spec.severities
            ]
            print(f"    severity 1 to 5: {' | '.join(levels)}")
    return 0


def _spec(spec: TransformSpec) -> Json:
    return {
        "name": spec.name,
        "summary": spec.summary,
        "length": spec.length,
        "level": spec.level,
        "seeded": spec.seeded,
        "one_of": list(spec.one_of),
        "parameters": [
            {
                "name": p.name,
                "meaning": p.meaning,
                "kind": p.kind,
                "allowed": p.allowed,
                "unit": p.unit,
                "default": p.default,
                "required": p.required,
            }
            for p in spec.parameters
        ],
        "severities": [dict(s) for s in spec.severities],
    }


def _steps(text: str) -> tuple[Transform, ...]:
    """The transforms of a condition that changes the clip by itself."""
    from ..tasks.conditions import parse_condition

    condition = parse_condition(text)
    if condition.kind not in ("transform", "dose", "sham", "round_trip"):
        raise OptionError(
            f"--transform {text}: this is made of other clips or words of a run, not of this clip alone; "
            "for clips of your own: 'noise(kind=babble, path=…, sha256=…, snr_db=…)', "
            "'code_switch(path=…, sha256=…)'"
        )
    return condition.transforms


def _render(args: argparse.Namespace) -> int:
    from dataclasses import replace

    import soundfile

    from ..audio import decode, probe
    from ..corpora import prepared

    transforms = tuple(one for text in args.transform for one in _steps(text))
    out = Path(args.out)
    if out.suffix.lower() not in (".wav", ".flac"):
        raise OptionError(f"--out {args.out}: writes WAV and FLAC only; name it *.wav")
    if args.check and len(transforms) != 1:
        raise OptionError("--check measures one prosodic --transform; give exactly one")
    manifest = prepared(args.corpus).manifest()
    ids = manifest.column("utterance_id")
    if args.utterance not in ids:
        raise UnknownNameError(f"utterance of {args.corpus}", args.utterance, ids)
    ref = manifest.audio_ref(ids.index(args.utterance))
    rate = args.rate or probe(ref.path).sampling_rate_hz
    samples = decode(replace(ref, transforms=transforms), rate)
    try:
        # Float where the format has it: a gain may go beyond full scale, and is not to be clipped.
        subtype = "FLOAT" if out.suffix.lower() == ".wav" else "PCM_24"
        soundfile.write(out, samples, rate, subtype=subtype)
    except (OSError, soundfile.LibsndfileError) as error:
        raise OptionError(f"--out {args.out}: cannot be written ({error})") from error
    shown = " then ".join(str(t) for t in transforms) or "unchanged"
    print(f"{out}: {len(samples) / rate:.3f} s at {rate} Hz, {shown}")
    if not args.check:
        return 0
    from ..audio.manipulation import check_manipulation, target_of

    check = check_manipulation(decode(ref, rate), samples, rate, target_of(transforms[0]))
    rows = [["criterion", "measured", "wanted", "limit", ""]]
    for c in check.criteria:
        value = "-" if c.value is None else f"{c.value:.4f}"
        verdict = "pass" if c.passed else "FAIL"
        rows.append([c.name, value, f"{c.wanted:.4f}", f"{c.limit:g}", verdict])
    print(align(rows))
    return 0 if check.passed else 1
