"""Preparing and loading a corpus of a quarter of a million utterances: memory must not follow it.

    python benchmarks/manifest.py [--small 26200] [--large 262000]

Lays out two corpora as ESD is released (hard links to a few tiny valid files), prepares each in a
process of its own, then loads the manifests. Prints the ratio of the peak memories and of the time
per row, and how long loading 100,000 rows takes beside reading the same Parquet file with pyarrow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

EMOTIONS = ("Neutral", "Angry", "Happy", "Sad", "Surprise")
PER_SOURCE = 50_000  # links to one file; file systems allow some 65,000

PREPARE = """
import resource, sys, time
from voxemo_tasks.corpora import prepare
started = time.perf_counter()
report = prepare("esd", sys.argv[1], out=sys.argv[2], progress=False)
print(report.n, time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

LOAD = """
import sys, time
import pyarrow.parquet as pq
from voxemo_tasks.corpora import load_manifest
pq.read_table(sys.argv[1])
started = time.perf_counter()
pq.read_table(sys.argv[1])
plain = time.perf_counter() - started
started = time.perf_counter()
manifest = load_manifest(sys.argv[1])
loaded = time.perf_counter() - started
labels = manifest.column("label")
first = time.perf_counter() - started
print(len(labels), plain, loaded, first)
"""


def lay_out(root: Path, n: int) -> None:
    """``n`` files named as ESD's are, over its twenty speakers and five emotions."""
    root.mkdir()
    cells = [(f"{s:04d}", e) for s in range(1, 21) for e in EMOTIONS]
    for speaker, emotion in cells:
        (root / speaker / emotion).mkdir(parents=True)
    source = root
    for i in range(n):
        if i % PER_SOURCE == 0:
            source = root.parent / f"{root.name}-{i}.wav"
            with wave.open(str(source), "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(16_000)
                sound.writeframes(bytes(320 + 2 * (i // PER_SOURCE)))
        speaker, emotion = cells[i % len(cells)]
        os.link(source, root / speaker / emotion / f"{speaker}_{i:06d}.wav")


def run(code: str, *arguments: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return [float(x) for x in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", type=int, default=26_200)
    parser.add_argument("--large", type=int, default=262_000)
    args = parser.parse_args()
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    with tempfile.TemporaryDirectory() as folder:
        measured = []
        for name, n in (("small", args.small), ("large", args.large)):
            root, out = Path(folder) / name, Path(folder) / f"{name}.parquet"
            lay_out(root, n)
            rows, seconds, peak = run(PREPARE, str(root), str(out))
            measured.append((rows, seconds, peak / unit))
            print(f"prepare {rows:,.0f} rows: {seconds:.1f} s, peak {peak / unit:.0f} MiB")
        small, large = measured
        print(
            f"peak memory x {large[2] / small[2]:.2f} for x {large[0] / small[0]:.1f} rows; "
            f"time per row x {large[1] / large[0] / (small[1] / small[0]):.2f}"
        )
        rows, plain, loaded, first = run(LOAD, str(out))
        print(
            f"load {rows:,.0f} rows: {loaded:.2f} s ({loaded / rows * 1e5:.2f} s per 100,000), "
            f"x {loaded / plain:.1f} pyarrow's own read; with the labels as Python text {first:.2f} s"
        )


if __name__ == "__main__":
    main()
