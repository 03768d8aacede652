"""What the audio transforms cost, and how many stimuli the manipulation check refuses.

    OMP_NUM_THREADS=1 python benchmarks/prosody.py [--seconds 20] [--repeats 3] [FILE ...]
    OMP_NUM_THREADS=1 python benchmarks/prosody.py --attrition [--urdu FOLDER] [--clips 100] [--jobs 2]

The first prints milliseconds of one core per second of audio. Without files, on a voice made up on
the spot (F0 glides, pauses, hiss) at 16 and at 44.1 kHz; with files, on their sound at their own
rate. The fastest of the repeats counts; the goal for a prosodic change is 30 ms, and the last column
is the time against that goal.

The second prints, for every change and dose of the counterfactual protocol and its controls, the
share of clips that fail the check, and which measure they fail: on a draw (seed 0) of the clips of the
URDU corpus where its folder is given, and on the synthetic speech of the tests (espeak-ng, ten
languages, two voices; by language, too).
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

from voxemo_tasks.audio.catalogue import TRANSFORM_SPECS
from voxemo_tasks.audio.manipulation import check_manipulation, target_of
from voxemo_tasks.audio.pitch import track_pitch
from voxemo_tasks.audio.transforms import TRANSFORMS
from voxemo_tasks.records import Transform, parse_transform
from voxemo_tasks.tasks.operations import DOSES

Samples = NDArray[np.float32]
GOAL_MS = 30.0
NEEDED = {
    "prosody_f0": {"factor": 1.3},
    "prosody_range": {"factor": 1.5},
    "prosody_rate": {"factor": 0.8},
    "prosody_contour": {"factor": 0.5},
    "prosody_energy": {"gain_db": 6},
    "prosody_round_trip": {"op": "f0", "factor": 1.3},
}


def voice(rate: int, seconds: float) -> Samples:
    """Vowels of moving F0 and formants between pauses and hiss; no language."""
    rng = np.random.default_rng(1)
    t = np.arange(round(rate * seconds)) / rate
    hz = 150.0 * 2.0 ** (0.3 * np.sin(2 * np.pi * 0.7 * t))
    phase = np.cumsum(hz) / rate
    source = np.diff(np.floor(phase), prepend=0.0)
    for place in (600.0, 1400.0, 2500.0):
        r = np.exp(-np.pi * 90 / rate)
        resonance = [1.0, -2 * r * np.cos(2 * np.pi * place / rate), r * r]
        source = signal.lfilter([1.0 - r], resonance, source)
    source /= np.abs(source).max()
    on = np.sin(2 * np.pi * 1.3 * t) > -0.5
    return np.asarray(0.3 * source * on + 0.003 * rng.standard_normal(len(t)), dtype=np.float32)


def cost_ms(work: Callable[[], object], seconds: float, repeats: int) -> float:
    best = np.inf
    for _ in range(repeats):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return 1000.0 * best / seconds


def table(x: Samples, rate: int, repeats: int) -> None:
    seconds = len(x) / rate
    print(f"\n{seconds:.1f} s at {rate} Hz        ms per s of audio   of {GOAL_MS:g} ms")

    def line(name: str, work: Callable[[], object]) -> None:
        ms = cost_ms(work, seconds, repeats)
        print(f"{name:28s} {ms:18.2f} {ms / GOAL_MS:10.2f}", flush=True)

    line("F0 track (both passes)", lambda: track_pitch(x, rate))
    changed = TRANSFORMS["prosody_f0"](x, rate, {"factor": 1.3}, 0)
    line("manipulation check", lambda: check_manipulation(x, changed, rate))
    for spec in TRANSFORM_SPECS.values():
        if spec.name == "code_switch":
            continue
        parameters = spec.severities[2] if spec.severities else NEEDED.get(spec.name, {})
        t = Transform(spec.name, dict(parameters))
        line(str(t), lambda t=t: TRANSFORMS[t.name](x, rate, t.parameters, 0))


CONTROLS = (
    "prosody_sham",
    "prosody_round_trip(op=f0, factor=1.26)",
    "prosody_round_trip(op=range, factor=1.5)",
    "prosody_round_trip(op=rate, factor=1.25)",
)
CHANGES = {**{name: str(t) for name, t in DOSES.items()}, **{text: text for text in CONTROLS}}
Clip = tuple[str, Samples, int]


def urdu(folder: Path, clips: int) -> Iterator[Clip]:
    files = sorted(folder.glob("*/*.wav"))
    for file in sorted(random.Random(0).sample(files, min(clips, len(files)))):
        x, rate = soundfile.read(file, dtype="float32", always_2d=True)
        yield "urdu", np.ascontiguousarray(x.mean(axis=1)), rate


def synthetic() -> Iterator[Clip]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "audio"))
    from clips import RATE, VOICES, spoken

    for name in VOICES:
        yield name.partition("+")[0], np.array(spoken(name)), RATE


def refused(clip: Clip) -> list[tuple[str, str, tuple[str, ...]]]:
    """(language, change, measures that failed) of one clip."""
    language, x, rate = clip
    rows = []
    for name, text in CHANGES.items():
        t = parse_transform(text)
        changed = TRANSFORMS[t.name](x, rate, t.parameters, 0)
        check = check_manipulation(x, changed, rate, target_of(t))
        rows.append((language, name, tuple(c.name for c in check.criteria if not c.passed)))
    return rows


def attrition(title: str, clips: Iterator[Clip], jobs: int) -> None:
    with Pool(jobs) as pool:
        rows = [row for found in pool.imap(refused, clips) for row in found]
    print(
        f"\n{title}: {len(rows) // len(CHANGES)} clips{'':12s}fail %   measures that failed, in %"
    )
    for name in CHANGES:
        mine = [failed for _, change, failed in rows if change == name]
        why = Counter(measure for failed in mine for measure in failed)
        parts = ", ".join(f"{m} {100 * n / len(mine):.0f}" for m, n in why.most_common())
        print(f"{name:42s} {100 * sum(map(bool, mine)) / len(mine):5.1f}   {parts}", flush=True)
    languages = sorted({language for language, _, _ in rows})
    if len(languages) > 1:
        share = {
            one: [bool(failed) for language, _, failed in rows if language == one]
            for one in languages
        }
        parts = ", ".join(f"{k} {sum(v)} of {len(v)}" for k, v in share.items())
        print(f"by language, over all changes: {parts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--attrition", action="store_true")
    parser.add_argument("--urdu", type=Path, help="folder of the URDU corpus")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    if args.attrition:
        if args.urdu:
            attrition("URDU", urdu(args.urdu, args.clips), args.jobs)
        attrition("espeak-ng", synthetic(), args.jobs)
        return
    for path in args.files:
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        table(np.ascontiguousarray(x[:, 0]), rate, args.repeats)
    if not args.files:
        for rate in (16_000, 44_100):
            table(voice(rate, args.seconds), rate, args.repeats)


if __name__ == "__main__":
    main()
