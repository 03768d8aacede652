"""Looking up what is stored already: each shard opened once and read forwards, against once a reply.

    python benchmarks/resume.py [--replies 20000] [--shards 8]

One run folder, the same keys in the same mixed order both ways; medians of five turns, taken in
turn. On a network file system, where opening a file asks the server, the ratio is larger.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from voxemo_tasks.records import Response
from voxemo_tasks.store import RunStore

TURNS = 5


def written(folder: Path, replies: int, shards: int) -> list[str]:
    """Fill a run folder; returns its keys, mixed."""
    keys = [f"{i:064x}:0" for i in range(replies)]
    for shard in range(shards):
        with RunStore(folder, {"model": "m"}, synthetic=True) as store:
            store.write(
                *(Response(key, "The speaker sounds sad.", "stop") for key in keys[shard::shards])
            )
    random.Random(0).shuffle(keys)
    return keys


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = written(folder, args.replies, args.shards)
        store = RunStore(folder, {"model": "m"}, synthetic=True)

        def once() -> None:
            assert len(store.find_all(keys)) == len(keys)
            store.close()

        def reopened() -> None:
            for key in keys:
                shard, offset = store._index[key]
                with store._shards[shard].open("rb") as stream:
                    stream.seek(offset)
                    Response.from_json(json.loads(stream.readline()))

        turns = [(seconds(once), seconds(reopened)) for _ in range(TURNS)]
    fast, slow = (statistics.median(column) for column in zip(*turns, strict=True))
    print(
        f"{args.replies:,} replies in {args.shards} shards: opened once {fast:.2f} s, opened for each "
        f"reply {slow:.2f} s: ratio {slow / fast:.2f}"
    )


if __name__ == "__main__":
    main()
