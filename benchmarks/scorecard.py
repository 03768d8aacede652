"""A scorecard of many replies against the plain way, and the cluster bootstrap against a loop.

    python benchmarks/scorecard.py [--utterances 25000] [--prompts 8] [--samples 5]

1. Interval of the UAR by cluster bootstrap (N = 70,000 utterances, C = 8, B = 1,000): ours against
   scikit-learn's ``recall_score`` on the redrawn utterances, timed on 20 replicates.
2. The full scorecard of a synthetic run (a million replies as it stands; no multiverse): time and
   peak memory of a process of its own, against the plain per-item way: a reply is found by its
   offset, parsed into an object, read by the verbalizer and put in a list; a rate is scikit-learn's
   on the redrawn utterances; a soft metric is a Python loop over utterances. Both parts of the plain
   way are timed on a subset and multiplied up, and only as many bootstrap intervals are charged to
   it as the scorecard holds for hard rates and soft metrics.

One core; ratios of one run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from voxemo_tasks import registry
from voxemo_tasks.home import write_atomically
from voxemo_tasks.metrics.confusion import Confusion
from voxemo_tasks.metrics.intervals import bootstrap_interval
from voxemo_tasks.records import Response, digest_of
from voxemo_tasks.store import Asked, RunStore, read_run, reply_key
from voxemo_tasks.verbalize import compiled

LABELS = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
SENTENCES = (
    "{}",
    "{}.",
    "The emotion is {}.",
    "The speaker sounds {}, because of the pitch and the pace of the voice.",
    "I would say that this person is {}",
)
VOTES = 5
REPLICATES = 1000


# --- 1. the bootstrap -----------------------------------------------------------------------


def bootstrap(n: int, replicates: int, loops: int) -> None:
    """Ours against scikit-learn in a loop, on the same utterances."""
    rng = np.random.default_rng(1)
    gold = rng.integers(len(LABELS), size=n)
    said = np.where(rng.random(n) < 0.5, gold, rng.integers(len(LABELS) + 1, size=n))
    speaker = rng.integers(200, size=n)
    width = len(LABELS) + 1

    def ours() -> Any:
        flat = (speaker * len(LABELS) + gold) * width + said
        counts = np.bincount(flat, minlength=200 * len(LABELS) * width)
        tables = counts.reshape(200, len(LABELS), width)
        speakers = [Confusion(LABELS, table) for table in tables]
        return bootstrap_interval(speakers, "uar", replicates=replicates, seed=1)

    members = [np.flatnonzero(speaker == s) for s in range(200)]
    mine, interval = timed(ours)
    theirs, rates = timed(lambda: [recall(gold, said, redrawn(members, rng)) for _ in range(loops)])
    plain = theirs / loops * replicates
    print(
        f"bootstrap: N={n:,}, C={len(LABELS)}, B={replicates:,}, 200 speakers: {mine:.3f} s, "
        f"scikit-learn in a loop {plain:.1f} s ({loops} replicates, multiplied): x {plain / mine:.0f}; "
        f"[{interval.low:.4f}, {interval.high:.4f}] around {np.mean(rates):.4f}"
    )


def redrawn(members: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Utterances of speakers drawn with replacement."""
    return np.concatenate([members[s] for s in rng.integers(len(members), size=len(members))])


def recall(gold: np.ndarray, said: np.ndarray, rows: np.ndarray) -> float:
    from sklearn.metrics import recall_score

    labels = range(len(LABELS))
    return float(
        recall_score(gold[rows], said[rows], labels=labels, average="macro", zero_division=0)
    )


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


# --- 2. the scorecard -----------------------------------------------------------------------


def write_run(folder: Path, utterances: int, prompts: int, samples: int, distinct: float) -> None:
    """A run of one task; a share of the replies says something that no other does."""
    rng = np.random.default_rng(2)
    spec, digest = registry.verbalizer("closed_set")
    names = [f"p{j}@1" for j in range(prompts)]
    header = {
        "schema": "voxemo-documents/1",
        "task": "synthetic",
        "tier": "direct",
        "corpus": {"id": "synthetic", "synthetic": True},
        "label_set": {"id": "native", "labels": list(LABELS), "merge": {}},
        "protocol": "all",
        "fold": 1,
        "role": "test",
        "excluded": {},
        "prompts": [{"id": name, "sha256": None, "language": None} for name in names],
        "decoding": {},
        "verbalizer": {"id": spec.ref, "sha256": digest},
        "options": {},
    }
    gold = rng.integers(len(LABELS), size=utterances)
    documents = [
        {
            "utterance_id": f"u{i:06}",
            "label": LABELS[g],
            "speaker": f"s{i % 300}",
            "culture": "abcde"[i % 5],
            "gender": "fm"[i % 2],
            "votes": votes(rng, g),
        }
        for i, g in enumerate(gold)
    ]
    sha = digest_of([header, len(documents)])
    data = "".join(json.dumps(row) + "\n" for row in [header, *documents])
    fingerprint = {"model": "synthetic", "engine": "none"}
    with RunStore(folder, fingerprint, synthetic=True) as store:
        write_atomically(folder / "documents" / f"{sha}.jsonl.gz", gzip.compress(data.encode(), 1))
        for i, document in enumerate(documents):
            uid, rows = str(document["utterance_id"]), []
            for j, name in enumerate(names):
                key = digest_of([i, j])
                store.ask(Asked("synthetic", sha, uid, name, key, samples, store.session))
                for k in range(samples):
                    text = reply(rng, gold[i], distinct, f"{i}.{j}.{k}")
                    rows.append(Response(reply_key(key, k), text, "stop", k, 4.0, 4.0, 3))
            store.write(*rows)
        store.finish()


def votes(rng: np.random.Generator, gold: int) -> dict[str, int]:
    chosen = [gold if rng.random() < 0.6 else rng.integers(len(LABELS)) for _ in range(VOTES)]
    return {LABELS[int(c)]: chosen.count(c) for c in chosen}


def reply(rng: np.random.Generator, gold: int, distinct: float, mark: str) -> str:
    drawn = rng.random(4)
    label = LABELS[gold if drawn[0] < 0.5 else int(drawn[1] * len(LABELS))]
    if drawn[2] < 0.03:
        return "I cannot tell."
    sentence = SENTENCES[int(drawn[2] * len(SENTENCES))].format(label)
    return f"{sentence} (clip {mark})" if drawn[3] < distinct else sentence


ONE_PROCESS = """
import json, resource, sys, time
from pathlib import Path
from voxemo_tasks.results.score import score_run
from voxemo_tasks.results.writing import write_results
started = time.perf_counter()
results = score_run(Path(sys.argv[1]), multiverse=False)
write_results(results, Path(sys.argv[1]) / "results.json")
took = time.perf_counter() - started
print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def ours_of(folder: Path) -> tuple[float, float]:
    """Seconds and peak GiB of the scorecard, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ONE_PROCESS, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    took, peak = json.loads(done.stdout)
    return took, peak / (2**20 if sys.platform != "darwin" else 2**30)


def plain_reading(folder: Path, replies: int) -> float:
    """Seconds a reply: found by offset, an object each, read by the verbalizer."""
    run = read_run(folder)
    run.has("")  # the index is not what is timed
    read = compiled(registry.verbalizer("closed_set")[0], LABELS)
    keys = [reply_key(row.request, k) for row in run.asked for k in range(row.samples)]
    step = max(1, len(keys) // replies)

    def loop() -> list[Any]:
        verdicts = []
        for key in keys[::step]:
            response = run.reply(key)
            assert response is not None
            verdicts.append(read(response.text, finish_reason="stop"))
        return verdicts

    took, verdicts = timed(loop)
    run.close()
    return took / len(verdicts)


def plain_intervals(folder: Path, utterances: int, loops: int) -> tuple[float, float, int, int]:
    """Seconds of a hard and of a soft replicate, and how many intervals the scorecard holds."""
    task = json.loads((folder / "results.json").read_text())["tasks"]["synthetic"]
    hard = sum(1 for text in json.dumps(task["hard"]).split('"replicates": ')[1:] if text[0] != "0")
    for group in task["groups"].values():
        hard += sum(len(gaps["groups"]) for gaps in group["rates"].values())
    soft = sum(len(metric["policies"]) for metric in task["soft"]["metrics"].values())
    rng = np.random.default_rng(3)
    n, c = utterances, len(LABELS)
    gold, said = rng.integers(c, size=n), rng.integers(c + 1, size=n)
    members = [np.arange(s, n, 300) for s in range(min(300, n))]
    a, _ = timed(lambda: [recall(gold, said, redrawn(members, rng)) for _ in range(loops)])
    p, q = rng.dirichlet(np.ones(c), n), rng.dirichlet(np.ones(c), n)
    b, _ = timed(lambda: [distance(p, q, redrawn(members, rng)) for _ in range(max(1, loops // 4))])
    return a / loops, b / max(1, loops // 4), hard, soft


def distance(p: np.ndarray, q: np.ndarray, rows: np.ndarray) -> float:
    """A soft metric item by item."""
    return sum(float(np.abs(p[i] - q[i]).sum()) / 2 for i in rows) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--utterances", type=int, default=25_000)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--distinct", type=float, default=0.1, help="share of unique replies")
    parser.add_argument("--loops", type=int, default=20, help="replicates of the plain way")
    parser.add_argument("--n", type=int, default=70_000, help="utterances of the bootstrap")
    parser.add_argument("--folder", type=Path, help="keep the run here, and use it again")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    bootstrap(args.n, REPLICATES, args.loops)
    with tempfile.TemporaryDirectory() as place:
        folder = args.folder or Path(place) / "run"
        if not folder.exists():
            shape = (args.utterances, args.prompts, args.samples, args.distinct)
            took, _ = timed(lambda: write_run(folder, *shape))
            print(f"run written in {took:.0f} s")
        took, peak = ours_of(folder)
        replies = args.utterances * args.prompts * args.samples
        each = plain_reading(folder, 20_000)
        a, b, hard, soft = plain_intervals(folder, args.utterances, args.loops)
    reading, rates = each * replies, REPLICATES * (a * hard + b * soft)
    print(
        f"scorecard: {replies:,} replies in {took:.1f} s, peak {peak:.2f} GiB; plain way: reading "
        f"{reading:.0f} s, {hard} hard and {soft} soft intervals {rates:.0f} s: "
        f"x {(reading + rates) / took:.0f} (of reading alone the whole scorecard is x "
        f"{reading / took:.1f})"
    )


if __name__ == "__main__":
    main()
