"""How often a nominal 95 % interval holds the truth, on simulated acted corpora.

    python benchmarks/coverage.py [--simulations 2000] [--seed 1] [--replicates 1000]

Speakers differ: each has a skill of its own, and a skill for each emotion. The truth is the rate of
the population of speakers that a corpus is drawn from, from the mean shares of a million of them.
The first table draws speakers (4, 10, 24, 91: SAVEE, EmoDB, RAVDESS, CREMA-D) and uses the
package's cluster bootstrap, beside the same bootstrap over utterances. The second draws speakers
*and* sentences, and compares redrawing speakers alone with two-way clusters. The goal is .93 to
.965; the standard error of a coverage of .95 is printed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from voxemo_tasks.metrics.confusion import Confusion
from voxemo_tasks.metrics.crossed import crossed_interval
from voxemo_tasks.metrics.intervals import bootstrap_interval, table_rates

Floats = NDArray[np.float64]
LABELS = ("neutral", "happy", "sad", "angry", "fear", "disgust")
BASE = np.array([1.4, 0.6, 0.9, 1.6, 0.2, 0.0])  # log odds of being right
SILENT = 0.03
PER_CLASS = 10
SKILL_SD, EMOTION_SD, SENTENCE_SD = 0.6, 0.5, 0.5
METRICS = ("macro_f1", "uar")


def shares(logits: Floats) -> Floats:
    """Outcome shares, shape (..., C, C + 1), from the log odds of being right, (..., C).

    Wrong answers fall on the next label twice as often as on each other one.
    """
    size = len(LABELS)
    right = (1 - SILENT) / (1 + np.exp(-logits))
    wrong = np.ones((size, size)) + np.eye(size, k=1) + np.eye(size, k=1 - size)
    np.fill_diagonal(wrong, 0.0)
    wrong /= wrong.sum(axis=1, keepdims=True)
    out = np.empty((*logits.shape, size + 1))
    out[..., :size] = (1 - SILENT - right)[..., None] * wrong
    out[..., np.arange(size), np.arange(size)] = right
    out[..., size] = SILENT
    return out


def speaker_logits(rng: np.random.Generator, n: int) -> Floats:
    skill = rng.normal(0, SKILL_SD, (n, 1))
    return np.asarray(BASE + skill + rng.normal(0, EMOTION_SD, (n, len(LABELS))))


def truth(seed: int, sentences: bool) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    total = np.zeros((len(LABELS), len(LABELS) + 1))
    for _ in range(20):
        logits = speaker_logits(rng, 50_000)
        if sentences:
            logits += rng.normal(0, SENTENCE_SD, logits.shape)
        total += shares(logits).sum(axis=0)
    return {metric: float(table_rates(total, metric)) for metric in METRICS}


def one_way(groups: int, simulations: int, replicates: int, seed: int) -> None:
    true = truth(seed, sentences=False)
    rng = np.random.default_rng([seed, groups])
    held = {(metric, kind): 0 for metric in METRICS for kind in ("clusters", "utterances")}
    width = dict.fromkeys(METRICS, 0.0)
    started = time.perf_counter()
    for simulation in range(simulations):
        sizes = rng.poisson(PER_CLASS, (groups, len(LABELS))) + 1
        counts = rng.multinomial(sizes, shares(speaker_logits(rng, groups)))
        clusters = [Confusion(LABELS, c) for c in counts]
        pooled = [Confusion(LABELS, counts.sum(axis=0))]
        for metric in METRICS:
            for kind, given in (("clusters", clusters), ("utterances", pooled)):
                got = bootstrap_interval(given, metric, replicates=replicates, seed=simulation)
                if got.low is None or got.high is None:
                    raise SystemExit(f"no interval: {got.reason}")
                held[metric, kind] += got.low <= true[metric] <= got.high
                if kind == "clusters":
                    width[metric] += got.high - got.low
    cells = [
        f"{held[metric, 'clusters'] / simulations:.3f}   {width[metric] / simulations:.3f}   "
        f"{held[metric, 'utterances'] / simulations:.3f}"
        for metric in METRICS
    ]
    spent = time.perf_counter() - started
    print(f"{groups:8d}   {'      '.join(cells)}   ({spent:.0f} s)", flush=True)


def two_way(speakers: int, sentences: int, simulations: int, replicates: int, seed: int) -> None:
    true = truth(seed, sentences=True)
    size = len(LABELS)
    rng = np.random.default_rng([seed, speakers, sentences])
    who = np.repeat(np.arange(speakers), sentences * size).tolist()
    what = np.tile(np.repeat(np.arange(sentences), size), speakers).tolist()
    gold = [LABELS[i] for i in np.tile(np.arange(size), speakers * sentences)]
    said = [*LABELS, None]
    names, lines = [f"s{i}" for i in who], [f"t{i}" for i in what]
    held = {(metric, kind): 0 for metric in METRICS for kind in ("speakers", "both")}
    raised = 0
    started = time.perf_counter()
    for simulation in range(simulations):
        logits = speaker_logits(rng, speakers)[:, None] + rng.normal(
            0, SENTENCE_SD, (1, sentences, size)
        )
        drawn = rng.multinomial(1, shares(logits))  # (speakers, sentences, C, C + 1)
        predicted = [said[i] for i in drawn.argmax(axis=-1).ravel()]
        clusters = [Confusion(LABELS, c) for c in drawn.sum(axis=1)]
        for metric in METRICS:
            alone = bootstrap_interval(clusters, metric, replicates=replicates, seed=simulation)
            crossed = crossed_interval(LABELS, gold, predicted, names, lines, metric)
            raised += crossed.raised
            for kind, got in (("speakers", alone), ("both", crossed.interval)):
                if got.low is None or got.high is None:
                    raise SystemExit(f"no interval: {got.reason}")
                held[metric, kind] += got.low <= true[metric] <= got.high
    cells = [
        f"{held[metric, 'speakers'] / simulations:.3f}      {held[metric, 'both'] / simulations:.3f}"
        for metric in METRICS
    ]
    spent = time.perf_counter() - started
    print(
        f"{speakers:3d} x {sentences:2d}   {'       '.join(cells)}     "
        f"{raised / len(METRICS) / simulations:.3f}   ({spent:.0f} s)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    error = (0.95 * 0.05 / args.simulations) ** 0.5
    print(f"{args.simulations} corpora a row, {args.replicates} replicates, seed {args.seed};")
    print(f"coverage of nominal 95 % intervals, standard error {error:.4f}")
    print("\n           macro-F1                         UAR")
    print("speakers   cover   width   by utterance     cover   width   by utterance")
    for groups in (4, 10, 24, 91):
        one_way(groups, args.simulations, args.replicates, args.seed)
    print("\nspeakers   macro-F1               UAR")
    print("x lines    speakers   two-way     speakers   two-way   raised")
    for speakers, sentences in ((10, 10), (24, 2), (91, 12)):
        two_way(speakers, sentences, args.simulations, args.replicates, args.seed)


if __name__ == "__main__":
    main()
