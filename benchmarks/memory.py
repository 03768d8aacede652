"""Peak memory of `voxemo run` must not grow with the corpus.

    python benchmarks/memory.py [--small 15] [--large 147]

Runs the built-in tiny model on the built-in mini corpus twice, each in a process of its own, and
prints the ratio of their peak resident memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile


def peak_mib(limit: int, home: str) -> float:
    """Peak resident memory of a run over some utterances, in MiB."""
    with tempfile.TemporaryDirectory() as out:
        argv = [sys.executable, "-m", "voxemo_tasks.cli", "demo", "--limit", str(limit)]
        code = (
            "import resource, subprocess, sys\n"
            f"subprocess.run({[*argv, '--output_path', out]!r}, check=True, "
            "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        )
        environment = os.environ | {"VOXEMO_HOME": home}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    return int(done.stdout) / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", type=int, default=15)
    parser.add_argument("--large", type=int, default=147)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        small, large = (peak_mib(n, home) for n in (args.small, args.large))
    print(f"{args.small} clips: {small:.0f} MiB, {args.large} clips: {large:.0f} MiB")
    print(f"ratio {large / small:.3f} for {args.large / args.small:.1f} times the clips")


if __name__ == "__main__":
    main()
