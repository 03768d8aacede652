"""The ceiling that raters leave, and intervals for other speakers and other sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imported_runs import imported

from voxemo_tasks.home import write_json_lines
from voxemo_tasks.metrics.crossed import crossed_interval
from voxemo_tasks.metrics.reliability import reliability, reliability_interval
from voxemo_tasks.results import score_run, table_of, write_results
from voxemo_tasks.results.verifying import verify_results

LABELS = ("angry", "happy", "neutral", "sad")


def with_facts(run: Path, facts: Any, header: Any = None) -> Path:
    """Change what the documents of a run say (facts: utterance id → more of them)."""
    import gzip

    (path,) = run.glob("documents/*.gz")
    head, *rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    head |= header or {}
    write_json_lines(path, [head, *({**row, **facts(row["utterance_id"])} for row in rows)])
    return run


# --- the ceiling --------------------------------------------------------------------------------


def rated(tmp_path: Path, n: int = 60, raters: int = 3) -> tuple[Path, list[list[float]]]:
    rng = np.random.default_rng(4)
    truth = rng.normal(4, 1, n)
    given = np.clip(truth[:, None] + rng.normal(0, 1, (n, raters)), 1, 7)
    rows = [
        {
            **{"utterance": f"u{i}", "valence": float(given[i].mean())},
            **{"predicted_valence": float(np.clip(truth[i], 1, 7)), "speaker": f"s{i % 6}"},
        }
        for i in range(n)
    ]
    return imported(tmp_path / "run", rows, labels=(), scale=(1, 7)), given.tolist()


def test_the_ceiling_is_of_the_raters_own_ratings(tmp_path: Path) -> None:
    run, given = rated(tmp_path)
    with_facts(run, lambda uid: {
        "rater_ratings": {f"r{j}": {"valence": x, "arousal": 1.0}
                          for j, x in enumerate(given[int(uid[1:])])}
    })  # fmt: skip
    results = score_run(run)
    one = results.tasks["imported"].dimensional["valence"]
    assert one.ceiling is not None
    found = reliability(given)
    assert one.ceiling.ccc.value == pytest.approx(found.ccc_true_score, abs=1e-12)
    assert (one.ceiling.ccc.n, one.ceiling.n_ratings, one.ceiling.reason) == (60, 180, None)
    assert one.ceiling.ccc.interval is not None
    assert one.ceiling.ccc.interval.cluster == "speaker"
    assert one.ceiling.ccc.interval.n_clusters == 6
    # Known truth: variances 1 and 1, three raters; the prediction is the true score.
    assert one.ceiling.ccc.value == pytest.approx(2 / (2 + 1 / 3), abs=0.05)
    assert one.ceiling.of_ceiling == pytest.approx(1.0, abs=0.08)
    assert "ceiling 0.8" in table_of(results)
    assert verify_results(write_results(results, run / "results.json")).holds


def test_means_alone_have_no_ceiling_and_say_so(tmp_path: Path) -> None:
    run, _ = rated(tmp_path)
    ceiling = score_run(run).tasks["imported"].dimensional["valence"].ceiling
    assert ceiling is not None
    assert (ceiling.ccc.value, ceiling.of_ceiling, ceiling.n_ratings) == (None, None, 0)
    assert ceiling.reason == "only mean ratings are known, not each rater's own"
    assert ceiling.ccc.interval is not None
    assert (ceiling.ccc.interval.low, ceiling.ccc.interval.method) == (None, "none")


def test_the_interval_of_a_ceiling_covers_and_is_that_of_its_sums() -> None:
    """Redrawing utterances and calculating anew gives the same spread as the sums do."""
    rng = np.random.default_rng(5)
    truth = rng.normal(0, 1, 120)
    ratings = [list(t + rng.normal(0, 1.2, rng.integers(1, 5))) for t in truth]
    for measure in ("icc1", "ccc_true_score", "ccc_one_annotator", "ccc_limit", "icc1_mean"):
        found = reliability_interval(ratings, measure, seed=1, replicates=2000)
        anew = []
        for _ in range(600):
            drawn = reliability([ratings[i] for i in rng.integers(0, 120, 120)])
            anew.append(getattr(drawn, measure))
        low, high = np.quantile(anew, [0.025, 0.975])
        assert found.method == "cluster_bootstrap_percentile"
        assert found.low == pytest.approx(low, abs=0.03)
        assert found.high == pytest.approx(high, abs=0.03)


def test_no_reliability_has_no_interval() -> None:
    one = reliability_interval([[1.0], [2.0], [3.0]], "ccc_true_score", seed=1)
    assert (one.low, one.high, one.method) == (None, None, "none")
    assert one.reason is not None
    assert "no utterance has two ratings" in one.reason


# --- crossed ------------------------------------------------------------------------------------


def acted(tmp_path: Path, **columns: Any) -> Path:
    """8 speakers × 5 sentences × 4 emotions, all with their sentence."""
    rng = np.random.default_rng(6)
    hard = rng.uniform(0.2, 0.9, 5)
    rows = []
    for s in range(8):
        for t in range(5):
            for gold in LABELS:
                reply = gold if rng.random() < hard[t] else str(rng.choice([*LABELS, "hm"]))
                rows.append({"utterance": f"{s}-{t}-{gold}", "reply": reply, "gold": gold,
                             "speaker": f"s{s}", "sentence": f"t{t}"})  # fmt: skip
    return imported(tmp_path / "acted", [{**row, **columns} for row in rows])


def test_crossed_intervals_are_named_and_beside_the_speakers_own(tmp_path: Path) -> None:
    run = acted(tmp_path)
    results = score_run(run, multiverse=False)
    task = results.tasks["imported"]
    data = [json.loads(line) for line in (tmp_path / "acted.imported.jsonl").open()]
    for policy in ("strict", "answered"):
        number = getattr(task.hard["uar"], policy)
        assert number.interval.method == "cluster_bootstrap_t"
        assert number.interval.cluster == "speaker"
        crossed = number.crossed
        assert crossed is not None
        assert (crossed.interval.method, crossed.interval.cluster) == (
            *("two_way", "speaker x sentence"),
        )
        assert (crossed.n_speakers, crossed.n_sentences, crossed.n_both) == (8, 5, 40)
        expected = crossed_interval(
            *(LABELS, [d["gold"] for d in data]),
            [d["reply"] if d["reply"] in LABELS else None for d in data],
            *([d["speaker"] for d in data], [d["sentence"] for d in data], "uar"),
            policy=policy,  # type: ignore[arg-type]
        ).interval
        assert (crossed.interval.low, crossed.interval.high) == (expected.low, expected.high)
    # Sentences differ here by far more than speakers: other sentences would move the rate.
    strict = task.hard["uar"].strict
    assert strict.crossed is not None
    assert strict.interval.low > strict.crossed.interval.low  # type: ignore[operator]
    text = json.loads(write_results(results, run / "results.json").read_text())
    shown = text["tasks"]["imported"]["hard"]["wa"]["strict"]["crossed"]["interval"]
    assert shown["method"] == "two_way"
    assert verify_results(run / "results.json").holds


def test_crossed_only_where_it_is_said_and_known(tmp_path: Path) -> None:
    run = acted(tmp_path)
    with_facts(run, lambda uid: {}, {"corpus": {"id": "acted"}})
    assert score_run(run).tasks["imported"].hard["uar"].strict.crossed is None
    with_facts(
        run,
        lambda uid: {"sentence": None} if uid.startswith("0-0") else {},
        {"corpus": {"id": "acted", "crossed": "speaker_sentence"}},
    )
    crossed = score_run(run).tasks["imported"].hard["uar"].strict.crossed
    assert crossed is not None
    assert crossed.interval.low is None
    assert crossed.interval.reason == "speaker or sentence is not known of 4 utterances"


@pytest.mark.parametrize(
    ("corpus", "name", "sentence"),
    [
        ("cremad", "AudioWAV/1001_DFA_ANG_XX.wav", "DFA"),
        ("ravdess", "Actor_18/03-01-05-01-02-01-18.wav", "02"),
        ("emodb", "wav/03a01Fa.wav", "a01"),
        ("subesco", "F_01_OISHI_S_1_ANGRY_1.wav", "1"),
        ("cafe", "Anger/01-C-1-6.wav", "6"),
    ],
)
def test_cards_that_say_crossed_read_the_sentence(corpus: str, name: str, sentence: str) -> None:
    import re

    from voxemo_tasks import registry

    card, _ = registry.corpus(corpus)
    assert card.crossed == "speaker_sentence"
    match = re.search(rf"(?:^|/)(?:{card.reader.options['pattern']})$", name.removesuffix(".wav"))
    assert match is not None
    assert match["sentence"] == sentence
