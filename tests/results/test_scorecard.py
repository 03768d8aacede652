"""The scorecard as a whole: every block against the same number computed from the rows themselves."""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from imported_runs import LABELS, fail, hard_rows, imported, merged
from scipy import stats
from sklearn import metrics as sk

from voxemo_tasks.metrics import soft_scores
from voxemo_tasks.metrics.brier import brier_decomposition
from voxemo_tasks.metrics.calibration import l2_error, signed_gap
from voxemo_tasks.metrics.confidence import leave_one_out, soft_hits
from voxemo_tasks.metrics.confusion import Confusion
from voxemo_tasks.metrics.floors import fit_dirichlet, oracle_floor
from voxemo_tasks.metrics.gaps import rate_gaps
from voxemo_tasks.metrics.intervals import bootstrap_interval
from voxemo_tasks.metrics.prompt_sensitivity import entropy_split
from voxemo_tasks.metrics.random_effects import random_effects
from voxemo_tasks.metrics.votes import Predicted, Votes
from voxemo_tasks.records import OURS, STATUSES, Verdict
from voxemo_tasks.results import kinds, score_run
from voxemo_tasks.results import model as m
from voxemo_tasks.results.collecting import _pluralities
from voxemo_tasks.results.writing import read_results, write_results
from voxemo_tasks.tally import plurality

SEED = 7
UIDS = [f"u{i:03}" for i in range(120)]
GOLD = {uid: LABELS[i % 4] for i, uid in enumerate(UIDS)}
NONE = "I cannot tell"


def speaker(uid: str) -> str:
    return f"s{int(uid[1:]) // 12}"


def culture(uid: str) -> str:
    return "AB"[int(uid[1:]) // 12 % 2]


def drawn(seed: int, share: float = 0.6) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    menu = (*LABELS, NONE)
    return {u: GOLD[u] if rng.random() < share else menu[rng.integers(5)] for u in UIDS}


def scored(folder: Path, **options: Any) -> m.TaskResult:
    results = score_run(folder, seed=SEED, **({"multiverse": False} | options))
    return next(iter(results.tasks.values()))


def codes(said: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Gold and answer as numbers; a non-answer is 4."""
    index = {label: i for i, label in enumerate(LABELS)}
    return (
        np.array([index[GOLD[u]] for u in said]),
        np.array([index.get(text, 4) for text in said.values()]),
    )


# --- one reply an utterance -----------------------------------------------------------------


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> m.TaskResult:
    rows = hard_rows(
        drawn(1), GOLD, speaker=speaker, culture=culture, gold2=lambda u: "ab"[int(u[1:]) % 2]
    )
    return scored(imported(tmp_path_factory.mktemp("hard") / "run", rows), multiverse=True)


def test_strict_rates_are_scikit_learns(hard: m.TaskResult) -> None:
    gold, said = codes(drawn(1))
    every = {"labels": range(4), "zero_division": 0}
    expected = {
        "uar": sk.recall_score(gold, said, average="macro", **every),
        "wa": sk.accuracy_score(gold, said),
        "macro_f1": sk.f1_score(gold, said, average="macro", **every),
        "weighted_f1": sk.f1_score(gold, said, average="weighted", **every),
        "micro_f1": sk.f1_score(gold, said, average="micro", **every),
        "macro_precision": sk.precision_score(gold, said, average="macro", **every),
        "coverage": np.mean(said < 4),
    }
    assert set(hard.hard) == set(expected)
    for name, value in expected.items():
        assert hard.hard[name].strict.value == pytest.approx(value, abs=1e-12)
        assert hard.hard[name].strict.n == 120
    recalls = sk.recall_score(gold, said, average=None, **every)
    assert [one.recall for one in hard.per_label] == pytest.approx(list(recalls), abs=1e-12)
    table = sk.confusion_matrix(gold, said, labels=range(5))
    assert hard.confusion is not None
    assert hard.confusion.counts == table[:4].tolist()


def test_answered_rates_and_bounds(hard: m.TaskResult) -> None:
    gold, said = codes(drawn(1))
    some = said < 4
    value = sk.recall_score(gold[some], said[some], labels=range(4), average="macro")
    assert hard.hard["uar"].answered.value == pytest.approx(value, abs=1e-12)
    assert hard.hard["uar"].answered.n == some.sum() < 120
    best = sk.recall_score(gold, np.where(some, said, gold), average="macro")
    assert hard.hard["uar"].best == pytest.approx(best, abs=1e-12)
    assert hard.hard["uar"].worst == hard.hard["uar"].strict.value
    assert hard.baselines["chance"]["uar"] == pytest.approx(1 / 4)
    assert hard.baselines["majority"]["wa"] == pytest.approx(30 / 120)


def by_speaker(said: dict[str, str], uids: list[str]) -> list[Confusion]:
    names = sorted({speaker(u) for u in uids})
    return [
        Confusion.from_pairs(
            LABELS,
            [GOLD[u] for u in uids if speaker(u) == s],
            [said[u] if said[u] in LABELS else None for u in uids if speaker(u) == s],
        )
        for s in names
    ]


def test_intervals_are_over_speakers(hard: m.TaskResult) -> None:
    for policy in ("strict", "answered"):
        direct = bootstrap_interval(by_speaker(drawn(1), UIDS), "uar", policy=policy, seed=SEED)
        interval = getattr(hard.hard["uar"], policy).interval
        assert (interval.low, interval.high) == (direct.low, direct.high)
        assert (interval.cluster, interval.n_clusters, interval.seed) == ("speaker", 10, SEED)


def test_groups_are_their_own_scorecards(hard: m.TaskResult) -> None:
    said = drawn(1)
    parts = {g: [u for u in UIDS if culture(u) == g] for g in "AB"}
    direct = rate_gaps({g: by_speaker(said, us) for g, us in parts.items()}, "uar", seed=SEED)
    found = hard.groups["culture"].rates["uar"]
    for one, other in zip(found.groups, direct.groups, strict=True):
        gold, answer = codes({u: said[u] for u in parts[one.group]})
        value = sk.recall_score(gold, answer, labels=range(4), average="macro", zero_division=0)
        assert one.value == pytest.approx(value, abs=1e-12)
        assert one.difference_from_rest == other.difference
        assert (one.n, one.n_clusters) == (60, 5)
    assert (found.worst, found.gap) == (direct.worst, direct.gap)
    assert found.gap_interval.high == direct.gap_interval.high
    refused = hard.groups["culture"].rates["refusal"]
    for one in refused.groups:
        share = np.mean([said[u] == NONE for u in parts[one.group]])
        assert one.value == pytest.approx(share, abs=1e-12)


def test_association_is_scipys(hard: m.TaskResult) -> None:
    said = drawn(1)
    for name, gold in (("gold", GOLD), ("gold2", {u: "ab"[int(u[1:]) % 2] for u in UIDS})):
        pairs = Counter((said[u], gold[u]) for u in UIDS)
        kinds = sorted(set(said.values())), sorted(set(gold.values()))
        table = np.array([[pairs[a, b] for b in kinds[1]] for a in kinds[0]])
        value = stats.contingency.association(table, method="cramer")
        assert hard.association[name].cramers_v["strict"].value == pytest.approx(value, abs=1e-12)
        kept = table[[kind != NONE for kind in kinds[0]]]
        value = stats.contingency.association(kept, method="cramer")
        assert hard.association[name].cramers_v["answered"].value == pytest.approx(value, abs=1e-12)
    right = np.mean([said[u] == GOLD[u] for u in UIDS])
    assert hard.association["gold"].agreement == pytest.approx(right, abs=1e-12)


def test_choices_widen_the_interval_by_the_variance_over_readings(hard: m.TaskResult) -> None:
    assert hard.sensitivity is not None
    interval = hard.hard["uar"].strict.interval
    sampling = ((interval.high or 0) - (interval.low or 0)) / 2 / stats.norm.ppf(0.975)
    total = np.hypot(sampling, np.std(np.array(hard.sensitivity.values, dtype=float), ddof=1))
    reach = stats.norm.ppf(0.975) * total
    both = hard.with_choices["uar"]
    assert (both.high - both.low) / 2 == pytest.approx(reach, abs=1e-12)
    assert set(hard.with_choices) == {"uar"}


def test_what_there_is_not_has_a_reason(hard: m.TaskResult) -> None:
    absent = {"prompt_sensitivity", "soft", "calibration", "dimensional", "judged"}
    absent |= {"continuous", "transcript_baseline"}
    assert set(hard.absent) == absent
    assert hard.absent["soft"] == "no scored utterance has votes"
    assert hard.soft is hard.calibration is hard.prompt_sensitivity is None


# --- prompts and samples --------------------------------------------------------------------

PROMPTS, SAMPLES = ("p0", "p1", "p2"), 4


def vote_counts(uid: str) -> np.ndarray:
    rng = np.random.default_rng(int(uid[1:]))
    share = np.full(4, 0.15)
    share[LABELS.index(GOLD[uid])] = 0.55
    return rng.multinomial(5, share)


def said_often() -> np.ndarray:
    """Answers as numbers, shape (N, P, M); 4 is none."""
    rng = np.random.default_rng(3)
    gold = np.array([LABELS.index(GOLD[u]) for u in UIDS])[:, None, None]
    other = rng.integers(5, size=(120, 3, SAMPLES))
    return np.where(rng.random(other.shape) < [[[0.7], [0.5], [0.3]]], gold, other)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> m.TaskResult:
    said = said_often()
    rows = []
    for i, uid in enumerate(UIDS):
        votes = dict(zip(LABELS, vote_counts(uid).tolist(), strict=True))
        facts = {"utterance": uid, "gold": GOLD[uid], "votes": json.dumps(votes)}
        facts |= {"speaker": speaker(uid), "culture": culture(uid)}
        rows += [
            {**facts, "prompt": p, "sample": k, "reply": (*LABELS, NONE)[said[i, j, k]]}
            for j, p in enumerate(PROMPTS)
            for k in range(SAMPLES)
        ]
    return scored(imported(tmp_path_factory.mktemp("ensemble") / "run", rows))


def generated() -> np.ndarray:
    return np.stack([(said_often() == c).sum(axis=2) for c in range(5)], axis=2)


def test_the_answer_is_the_plurality_of_all_replies(ensemble: m.TaskResult) -> None:
    counts = generated().sum(axis=1)[:, :4]
    gold = np.array([LABELS.index(GOLD[u]) for u in UIDS])
    top = counts.max(axis=1)
    single = (counts == top[:, None]).sum(axis=1) == 1
    right = single & (counts.argmax(axis=1) == gold)
    assert ensemble.hard["wa"].strict.value == pytest.approx(right.mean(), abs=1e-12)
    assert ensemble.counts.statuses["multiple"] == (~single & (top > 0)).sum() > 0
    assert ensemble.counts.replies == 120 * 12
    assert ensemble.counts.reply_statuses["abstained"] == (said_often() == 4).sum()


def test_prompts(ensemble: m.TaskResult) -> None:
    found = ensemble.prompt_sensitivity
    assert found is not None
    counts = generated()
    gold = np.array([LABELS.index(GOLD[u]) for u in UIDS])
    top = counts[:, :, :4].max(axis=2)
    single = (counts[:, :, :4] == top[:, :, None]).sum(axis=2) == 1
    outcome = np.where(single & (top > 0), counts[:, :, :4].argmax(axis=2), 4)
    rates = [
        sk.recall_score(gold, outcome[:, j], labels=range(4), average="macro", zero_division=0)
        for j in range(3)
    ]
    assert list(found.rates["uar"].values.values()) == pytest.approx(rates, abs=1e-12)
    assert found.rates["uar"].spread == pytest.approx(max(rates) - min(rates), abs=1e-12)
    assert found.rates["uar"].standard_deviation == pytest.approx(np.std(rates, ddof=1), abs=1e-12)
    assert found.rates["uar"].worst == PROMPTS[int(np.argmin(rates))]
    pairs = list(itertools.combinations(range(3), 2))
    differ = np.mean([outcome[:, a] != outcome[:, b] for a, b in pairs])
    assert found.disagreement.value == pytest.approx(differ, abs=1e-12)
    right = outcome == gold[:, None]
    one = np.mean([right[:, a] != right[:, b] for a, b in pairs])
    assert found.prompt_sensi_score is not None
    assert found.prompt_sensi_score.value == pytest.approx(one, abs=1e-12)
    assert found.entropy_bits is not None
    split = entropy_split(counts, correction="miller_madow")
    assert (found.entropy_bits.total, found.entropy_bits.between) == (split.total, split.between)


def test_soft_metrics_are_those_of_votes_and_generations(ensemble: m.TaskResult) -> None:
    found = ensemble.soft
    assert found is not None
    votes = Votes(np.array([vote_counts(u) for u in UIDS]))
    said = Predicted("replayed", counts=generated().sum(axis=1))
    speakers = [speaker(u) for u in UIDS]
    for name in soft_scores.SOFT_METRICS:
        for policy in ("extra_class", "answered", "uniform"):
            one = found.metrics[name].policies[policy]
            direct = soft_scores.soft_value(name, votes, said, policy)
            assert one.value == pytest.approx(direct.value, abs=1e-12)
            assert (one.n, one.n_unscored) == (direct.n, direct.n_unscored)
        between = soft_scores.soft_interval(name, votes, said, speakers, seed=SEED)
        limits = found.metrics[name].policies["extra_class"].interval
        assert (limits.low, limits.high) == (between.low, between.high)
    p = votes.counts / 5
    q = generated().sum(axis=1) / 12
    tvd = (np.abs(p - q[:, :4]).sum(axis=1) + q[:, 4]) / 2
    assert found.metrics["tvd"].policies["extra_class"].value == pytest.approx(tvd.mean())
    floor = oracle_floor(votes, fit_dirichlet(votes), m=np.full(120, 12), draws=10, seed=SEED)
    assert found.metrics["tvd"].floors["oracle"] == floor["tvd"].value
    assert found.generations_per_utterance == m.Spread(least=12, mean=12, most=12)


def test_calibration_is_of_the_left_out_generation(ensemble: m.TaskResult) -> None:
    found = ensemble.calibration
    assert found is not None
    confidence = leave_one_out(generated().sum(axis=1))
    hits = soft_hits(np.array([vote_counts(u) for u in UIDS]), confidence.weights)
    overall = found.overall
    assert (found.confidence, found.target, found.n) == (confidence.kind, "votes", 120)
    assert overall.gap.value == pytest.approx(confidence.values.mean() - hits.mean(), abs=1e-12)
    speakers = [speaker(u) for u in UIDS]
    gap = signed_gap(confidence.values, hits, speakers, seed=SEED)
    assert (overall.gap.interval.low, overall.gap.standard_error) == (
        gap.interval.low,
        gap.standard_error,
    )
    assert overall.l2_error == l2_error(confidence.values, hits).value
    parts = brier_decomposition(confidence.values, hits)
    assert parts is not None
    assert overall.brier == parts.brier
    for one in found.by["culture"].groups:
        rows = [i for i, u in enumerate(UIDS) if culture(u) == one.group]
        direct = confidence.values[rows].mean() - hits[rows].mean()
        assert one.gap.value == pytest.approx(direct, abs=1e-12)
    assert {fit.kind for fit in found.temperature} == {"pooled", "group", "shrunk"}


# --- probabilities --------------------------------------------------------------------------


def test_probabilities(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    shares = rng.dirichlet(np.ones(4), 120)
    rows = []
    for uid, share in zip(UIDS, shares, strict=True):
        row = {"utterance": uid, "gold": GOLD[uid], "speaker": speaker(uid)}
        row |= {f"p.{x}": float(v) for x, v in zip(LABELS, share, strict=True)}
        row["votes"] = json.dumps(dict(zip(LABELS, vote_counts(uid).tolist(), strict=True)))
        rows.append(row)
    found = scored(imported(tmp_path / "run", rows))
    gold = np.array([LABELS.index(GOLD[u]) for u in UIDS])
    top = shares.argmax(axis=1)
    uar = sk.recall_score(gold, top, average="macro")
    assert found.hard["uar"].strict.value == pytest.approx(uar, abs=1e-12)
    votes = np.array([vote_counts(u) for u in UIDS])
    assert found.soft is not None
    mse = found.soft.metrics["tvd"].policies["answered"].value
    assert mse == pytest.approx((np.abs(votes / 5 - shares).sum(axis=1) / 2).mean(), abs=1e-9)
    assert found.soft.generations_per_utterance is None
    assert found.calibration is not None
    hits = votes[np.arange(120), top] / 5
    gap = shares.max(axis=1).mean() - hits.mean()
    assert found.calibration.overall.gap.value == pytest.approx(gap, abs=1e-9)


def test_failed_replies_are_no_generations(tmp_path: Path) -> None:
    rows = [
        {"utterance": u, "sample": k, "gold": "sad", "votes": '{"sad": 3}', "reply": "sad"}
        for u in UIDS[:8]
        for k in range(3)
    ]
    run = imported(tmp_path / "run", rows)
    (shard,) = run.glob("replies/*")
    replies = [json.loads(line) for line in shard.read_text().splitlines()]
    for row in replies:
        if row["sample"] == 2:
            row |= {"text": "", "finish_reason": "error", "error": "lost"}
    shard.write_text("".join(json.dumps(row) + "\n" for row in replies))
    found = scored(run)
    assert found.soft is not None
    assert found.soft.generations_per_utterance == m.Spread(least=2, mean=2, most=2)
    assert found.soft.metrics["tvd"].policies["extra_class"].value == pytest.approx(0, abs=1e-12)


def test_shares_of_failed_replies_are_no_share_outside_the_menu(tmp_path: Path) -> None:
    """Two prompts, one lost on our side: the other's shares stand alone."""
    rows: list[dict[str, Any]] = []
    for uid in UIDS[:20]:
        for p, share in (("p0", 0.7), ("p1", 0.1)):
            row = {"utterance": uid, "prompt": p, "gold": "angry", "p.angry": share}
            rows.append(row | {"p.happy": 1 - share, "votes": '{"angry": 7, "happy": 3}'})
    run = imported(tmp_path / "run", rows, labels=("angry", "happy"))
    asked = [json.loads(x) for p in run.glob("asked/*") for x in p.read_text().splitlines()]
    lost = {row["request"] for row in asked if row["prompt"] == "p1"}
    (shard,) = run.glob("replies/*")
    replies = [json.loads(line) for line in shard.read_text().splitlines()]
    for row in replies:
        if row["key"].partition(":")[0] in lost:
            row |= {"text": "", "finish_reason": "error", "error": "lost"}
    shard.write_text("".join(json.dumps(row) + "\n" for row in replies))
    found = scored(run)
    assert found.soft is not None
    assert found.soft.metrics["tvd"].policies["extra_class"].value == pytest.approx(0, abs=1e-9)
    assert found.counts.reply_statuses["engine_error"] == 20


# --- ratings --------------------------------------------------------------------------------


def test_ratings(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    gold = rng.uniform(1, 7, 60)
    said = np.clip(gold + rng.normal(0, 1, (3, 60)), 1, 7)
    rows = [
        {"utterance": u, "speaker": speaker(u), "sample": k, "valence": gold[i]}
        | {"predicted_valence": None if i < 6 else said[k, i]}
        for i, u in enumerate(UIDS[:60])
        for k in range(3)
    ]
    found = scored(imported(tmp_path / "run", rows, labels=(), scale=(1, 7)))
    x, y = gold[6:], said[:, 6:].mean(axis=0)
    one = found.dimensional["valence"]
    assert (one.n, one.n_answered) == (60, 54)
    values = {name: value.value for name, value in one.metrics.items()}
    covariance = np.mean((x - x.mean()) * (y - y.mean()))
    ccc = 2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert values["ccc"] == pytest.approx(ccc, abs=1e-9)
    assert values["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert values["bias"] == pytest.approx(np.mean(y - x), abs=1e-9)
    assert values["mae"] == pytest.approx(np.mean(np.abs(x - y)), abs=1e-9)
    assert values["coverage"] == pytest.approx(0.9)
    assert found.counts.statuses["answered"] == 54
    assert found.counts.statuses["multiple"] == 0
    assert found.hard == {}
    assert "ratings" in found.absent["hard"]


def test_two_dimensions_and_two_samples_are_answered_not_multiple(tmp_path: Path) -> None:
    rows = [
        {"utterance": u, "sample": k, "valence": 3, "arousal": 3}
        | {"predicted_valence": 2 + k, "predicted_arousal": 4}
        for u in UIDS[:5]
        for k in range(2)
    ]
    found = scored(imported(tmp_path / "run", rows, labels=(), scale=(1, 5)))
    assert found.counts.statuses["answered"] == 5
    assert found.dimensional["valence"].metrics["mae"].value == pytest.approx(0.5)
    assert found.dimensional["arousal"].metrics["mae"].value == pytest.approx(1)


# --- several tasks --------------------------------------------------------------------------


def test_pooled_counts_and_random_effects_over_corpora(tmp_path: Path) -> None:
    said = [drawn(10 + t, 0.3 + 0.2 * t) for t in range(3)]
    parts = [
        imported(tmp_path / f"r{t}", hard_rows(s, GOLD, speaker=speaker), task=f"task{t}")
        for t, s in enumerate(said)
    ]
    results = score_run(merged(tmp_path / "run", parts), seed=SEED, multiverse=False)
    (pooled,) = results.pooled
    both = [codes(s) for s in said]
    gold, answer = (np.concatenate([pair[i] for pair in both]) for i in (0, 1))
    uar = sk.recall_score(gold, answer, labels=range(4), average="macro", zero_division=0)
    assert pooled.hard["uar"].strict.value == pytest.approx(uar, abs=1e-12)
    assert pooled.hard["uar"].strict.interval.n_clusters == 30  # s0 of two tasks is two speakers
    assert (pooled.n, pooled.tasks) == (360, ["task0", "task1", "task2"])
    over = {one.metric: one for one in results.over_corpora}["uar"]
    numbers = [results.tasks[name].hard["uar"].strict for name in over.tasks]
    t9 = stats.t.ppf(0.975, 9)  # ten speakers
    errors = [(n.interval.high - n.value) / t9 for n in numbers]  # type: ignore[operator]
    values = [n.value for n in numbers]
    direct = random_effects(np.array(values, dtype=float), np.array(errors))
    assert over.effects.mean == pytest.approx(direct.mean, abs=1e-12)
    assert over.effects.prediction_low == pytest.approx(direct.prediction_low, abs=1e-9)
    assert results.absent == {}


def test_one_task_has_nothing_to_pool(tmp_path: Path) -> None:
    run = imported(tmp_path / "run", hard_rows(drawn(1), GOLD))
    results = score_run(run, multiverse=False)
    assert results.pooled == results.over_corpora == []
    assert set(results.absent) == {"pooled", "over_corpora"}


# --- degenerate runs ------------------------------------------------------------------------


def few(n: int, reply: str | None = None, **facts: Any) -> list[dict[str, Any]]:
    said = {u: GOLD[u] if reply is None else reply for u in UIDS[:n]}
    return [row | facts for row in hard_rows(said, GOLD)]


DEGENERATE = {
    "one utterance": few(1),
    "one utterance with a vote": few(1, votes='{"sad": 1}', speaker="s", culture="A"),
    "two utterances": few(2, votes='{"sad": 2, "happy": 1}', gold2="x"),
    "all non-answers": few(12, NONE, votes='{"sad": 3}', speaker="s", gold2="x"),
    "all empty": few(12, "", votes='{"sad": 3}'),
    "one gold label": [row | {"gold": "sad", "votes": '{"sad": 2}'} for row in few(12)],
    "one answer": few(12, "sad", votes='{"sad": 1, "angry": 1}'),
    "no gold but votes": [row | {"gold": None, "votes": '{"sad": 2}'} for row in few(6)],
    "one speaker": few(12, speaker="s", votes='{"sad": 1}'),
    "groups of one": [row | {"culture": row["utterance"]} for row in few(5)],
    "two samples of one": [row | {"sample": k} for row in few(1) for k in (0, 1)],
    "two prompts, no answer": [row | {"prompt": p} for row in few(3, NONE) for p in "ab"],
    "zero shares": [
        {"utterance": u, "gold": "sad", "votes": '{"sad": 1}'} | {f"p.{x}": 0 for x in LABELS}
        for u in UIDS[:3]
    ],
    "one-hot shares": [
        {"utterance": u, "gold": "sad", "votes": '{"sad": 1}'}
        | {f"p.{x}": int(x == "sad") for x in LABELS}
        for u in UIDS[:3]
    ],
    "no shares": [
        {"utterance": u, "gold": "sad", "votes": '{"sad": 1}'} | {f"p.{x}": None for x in LABELS}
        for u in UIDS[:3]
    ],
}
BLOCKS = ("prompt_sensitivity", "soft", "calibration", "association", "groups", "with_choices")


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_run_is_scored(
    tmp_path: Path, name: str, lost: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No block fails; what is empty has a reason; the JSON has no NaN and is read again."""
    run = imported(tmp_path / "run", DEGENERATE[name])
    if lost:
        fail(run, UIDS)
    with caplog.at_level(logging.WARNING):
        results = score_run(run, seed=SEED, multiverse=name == "all non-answers")
    assert not caplog.records
    task = results.tasks["imported"]
    for block in (*BLOCKS, "sensitivity", "dimensional"):
        assert bool(getattr(task, block)) != (block in task.absent)
    path = write_results(results, tmp_path / "results.json")
    assert read_results(path) == results
    if lost:
        assert (task.counts.scored, task.counts.failed) == (0, task.counts.asked)
        assert task.hard["uar"].strict.value is None
        assert not task.headline
        assert "no utterance was scored" in task.reasons
    if name == "no gold but votes" and not lost:
        assert task.reasons == ["no scored utterance has a gold label, so there is no hard rate"]


@pytest.mark.parametrize("predicted", [None, 3.0])
def test_degenerate_ratings(tmp_path: Path, predicted: float | None) -> None:
    rows = [{"utterance": u, "valence": 3.0, "predicted_valence": predicted} for u in UIDS[:4]]
    found = scored(imported(tmp_path / "run", rows, labels=(), scale=(1, 5)))
    values = found.dimensional["valence"].metrics
    assert values["ccc"].value is None or values["ccc"].value == 1  # no variance on either side
    assert values["coverage"].value == (predicted is not None)
    off = [row | {"valence": 9.0} for row in rows]
    found = scored(imported(tmp_path / "off", off, labels=(), scale=(1, 5)))
    assert found.dimensional == {}
    assert "gold rating on the scale" in found.absent["dimensional"]


def test_one_speaker_is_no_cluster(tmp_path: Path) -> None:
    found = scored(imported(tmp_path / "run", few(12, speaker="s")))
    interval = found.hard["wa"].strict.interval
    assert (interval.method, interval.cluster) == ("iid_bootstrap_percentile", None)


def test_refusals_of_unknown_speakers_are_no_speaker(tmp_path: Path) -> None:
    rows = [
        row | {"culture": "AB"[i % 2], "speaker": f"s{i % 3}" if i < 30 else None}
        for i, row in enumerate(hard_rows(drawn(1), GOLD))
    ]
    found = scored(imported(tmp_path / "run", rows))
    for one in found.groups["culture"].rates["refusal"].groups:
        assert (one.n_clusters, one.interval.cluster) == (1, None)


def test_a_block_that_fails_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = few(12, votes='{"sad": 1}', gold2="x")
    run = imported(tmp_path / "run", rows)
    whole = scored(run)

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(kinds, "soft_block", broken)
    found = scored(run)
    assert found.soft is None
    assert found.absent["soft"] == "could not be computed: ZeroDivisionError: by nothing"
    assert "soft could not be computed" in caplog.text
    assert found.hard == whole.hard
    assert found.association == whole.association != {}


# --- the columns ----------------------------------------------------------------------------

VERDICTS = [Verdict("answered", (label,)) for label in LABELS] + [
    Verdict(status) for status in STATUSES if status != "answered"
]


@example([[Verdict("engine_error"), Verdict("engine_error"), Verdict("abstained")]])
@given(
    st.lists(st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=7), min_size=1, max_size=5)
)
def test_the_columns_decide_as_plurality_does(several: list[list[Verdict]]) -> None:
    of_reply, outcome = [], []
    for i, verdicts in enumerate(several):
        for v in verdicts:
            of_reply.append(i)
            known = v.answer is not None
            outcome.append(LABELS.index(v.labels[0]) if known else 4 + STATUSES.index(v.status))
    answers, statuses = _pluralities(np.array(of_reply), np.array(outcome), len(several), 4)
    for answer, status, verdicts in zip(answers, statuses, several, strict=True):
        expected = plurality(verdicts)
        assert (None if answer < 0 else LABELS[answer]) == expected.answer
        if all(v.status in OURS for v in verdicts):
            assert STATUSES[status] in OURS
        else:
            assert STATUSES[status] == expected.status


def test_a_failed_row_never_hides_a_good_one_and_the_first_good_one_counts(tmp_path: Path) -> None:
    run = imported(tmp_path / "run", few(3))
    (shard,) = run.glob("replies/*")
    rows = [json.loads(line) for line in shard.read_text().splitlines()]
    failed = [row | {"text": "", "finish_reason": "error", "error": "no"} for row in rows]
    later = [row | {"text": "sad"} for row in rows]
    lines = [json.dumps(row) + "\n" for row in (*failed, *rows, *later, *failed)]
    shard.write_text("".join(lines) + '{"key": "torn')
    results = score_run(run, multiverse=False)
    task = results.tasks["imported"]
    assert task.hard["wa"].strict.value == 1
    assert task.counts.reply_statuses["engine_error"] == 0
    assert results.damaged_lines == 1
    assert results.sessions[0].replies_written == 12
