"""Runs compared two by two: the same numbers as the metric modules, and refusals that count."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from imported_runs import LABELS, fail, hard_rows, imported, merged
from scipy import stats

from voxemo_tasks.cli import main
from voxemo_tasks.errors import OptionError, StoreError, UnknownNameError
from voxemo_tasks.metrics import paired_tests
from voxemo_tasks.metrics.paired import pair
from voxemo_tasks.metrics.random_effects import random_effects
from voxemo_tasks.results.comparing import compare_runs
from voxemo_tasks.results.comparison_model import Comparison
from voxemo_tasks.results.score import score_run
from voxemo_tasks.results.sensitivity import rank_stability

UIDS = [f"u{i:02}" for i in range(24)]
GOLD = {uid: LABELS[i % 4] for i, uid in enumerate(UIDS)}


def speaker(uid: str) -> str:
    return f"s{int(uid[1:]) // 4}"


def answers(seed: int, share: float) -> dict[str, str]:
    """Right with this probability, else any label or no answer."""
    rng = np.random.default_rng(seed)
    said = {}
    for uid in UIDS:
        other = (*LABELS, "I cannot tell")[rng.integers(5)]
        said[uid] = GOLD[uid] if rng.random() < share else other
    return said


def made(folder: Path, seed: int = 1, share: float = 0.6, task: str = "imported") -> Path:
    return imported(folder, hard_rows(answers(seed, share), GOLD, speaker=speaker), task=task)


def taken(said: dict[str, str]) -> dict[str, str | None]:
    return {uid: label if label in LABELS else None for uid, label in said.items()}


def test_numbers_are_those_of_the_metric_modules(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", 1, 0.9), made(tmp_path / "b", 2, 0.4)
    found = compare_runs([a, b], metrics=["uar", "wa"], margin=0.1, seed=5)
    counts = pair(
        LABELS,
        GOLD,
        taken(answers(1, 0.9)),
        taken(answers(2, 0.4)),
        {uid: speaker(uid) for uid in UIDS},
    )
    for one, metric in zip(found.differences, ("uar", "wa"), strict=True):
        direct = paired_tests.compare(counts, metric, margin=0.1, seed=5)
        assert (one.first, one.second, one.metric, one.policy) == ("a", "b", metric, "strict")
        assert one.difference == direct.difference
        assert (one.value_first, one.value_second) == (direct.first, direct.second)
        assert (one.interval.low, one.interval.high) == (direct.interval.low, direct.interval.high)
        assert (one.interval.cluster, one.n_clusters) == ("speaker", 6)
        assert one.sign_flip.p_value == direct.sign_flip.p_value
        assert one.detectable == direct.detectable
        assert one.equivalence is not None
        assert direct.equivalence is not None
        assert one.equivalence.p_value == direct.equivalence.p_value
    assert [one.family for one in found.differences] == ["primary", "secondary"]


def test_the_difference_and_its_tests_by_hand(tmp_path: Path) -> None:
    """wa: the sum over speakers of what each adds; every sign pattern of them; binomial McNemar."""
    said = answers(1, 0.9), answers(2, 0.4)
    a, b = (
        imported(tmp_path / n, hard_rows(s, GOLD, speaker=speaker))
        for n, s in zip("ab", said, strict=True)
    )
    (one,) = compare_runs([a, b], metrics=["wa"], multiverse=False).differences
    right = [np.array([x[uid] == GOLD[uid] for uid in UIDS]) for x in said]
    gains = (right[0].astype(int) - right[1]).reshape(6, 4).sum(axis=1)
    assert one.difference == pytest.approx(gains.sum() / 24, abs=1e-12)
    moves = [abs(np.dot(signs, gains)) for signs in itertools.product((-1, 1), repeat=6)]
    assert one.sign_flip.p_value == np.mean([move >= abs(gains.sum()) for move in moves])
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert (one.mcnemar.only_first, one.mcnemar.only_second) == only
    exact = stats.binomtest(only[0], sum(only)).pvalue
    assert one.mcnemar.p_exact == pytest.approx(exact, abs=1e-12)
    half = 0.5 * stats.binom.pmf(only[0], sum(only), 0.5)
    assert one.mcnemar.p_mid == pytest.approx(exact - 2 * half, abs=1e-12)


def test_swapping_the_runs_swaps_the_sign(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", 1, 0.9), made(tmp_path / "b", 2, 0.4)
    (one,) = compare_runs([a, b], multiverse=False).differences
    (two,) = compare_runs([b, a], multiverse=False).differences
    assert one.difference is not None
    assert two.difference == pytest.approx(-one.difference, abs=1e-12)
    assert two.interval.low == pytest.approx(-(one.interval.high or 0), abs=1e-12)
    assert two.sign_flip.p_value == one.sign_flip.p_value
    assert (two.mcnemar.only_first, two.mcnemar.p_mid) == (
        one.mcnemar.only_second,
        one.mcnemar.p_mid,
    )


def test_answered_policy_leaves_each_runs_non_answers_out(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", 1, 0.9), made(tmp_path / "b", 2, 0.2)
    (one,) = compare_runs([a, b], metrics=["wa"], policy="answered", multiverse=False).differences
    for value, said in ((one.value_first, answers(1, 0.9)), (one.value_second, answers(2, 0.2))):
        heard = [uid for uid in UIDS if said[uid] in LABELS]
        assert value == pytest.approx(np.mean([said[uid] == GOLD[uid] for uid in heard]))


def test_equal_runs_are_equivalent_and_have_no_order(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a"), made(tmp_path / "b")
    found = compare_runs([a, b])
    (one,) = found.differences
    assert one.difference == 0
    assert one.sign_flip.p_value == one.p_adjusted == 1
    assert one.equivalence is not None
    assert one.equivalence.equivalent
    assert one.same_documents is False  # each header names its own file
    assert found.ranks[0].stability is None
    assert "no order" in (found.ranks[0].reason or "")


def test_without_speakers_utterances_are_redrawn(tmp_path: Path) -> None:
    runs = [
        imported(tmp_path / name, hard_rows(answers(seed, 0.6), GOLD))
        for name, seed in (("a", 1), ("b", 2))
    ]
    (one,) = compare_runs(runs, multiverse=False).differences
    assert (one.n_clusters, one.interval.cluster) == (1, None)
    assert one.interval.method == "iid_bootstrap_percentile"


# --- what is refused ------------------------------------------------------------------------


def other(change: Callable[[list[dict[str, object]]], None]) -> list[dict[str, object]]:
    rows = hard_rows(answers(2, 0.5), GOLD, speaker=speaker)
    change(rows)
    return rows


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.pop(), "23 asked in both, 1 in a only, 0 in b only"),
        (lambda r: r[0].update(utterance="x"), "23 asked in both, 1 in a only, 1 in b only"),
        (lambda r: r[0].update(gold="sad"), "gold label of 1 of 24 utterances differs.*u00.*angry"),
        (lambda r: r[0].update(speaker="s9"), "speaker of 1 of 24 utterances differs"),
    ],
)
def test_other_utterances_are_refused_with_counts(
    tmp_path: Path, change: Callable[[list[dict[str, object]]], None], says: str
) -> None:
    a, b = made(tmp_path / "a"), imported(tmp_path / "b", other(change))
    with pytest.raises(OptionError, match=rf"nothing can be compared: imported, a and b.*{says}"):
        compare_runs([a, b])


def test_other_label_sets_and_ratings_are_refused(tmp_path: Path) -> None:
    a = made(tmp_path / "a")
    rows = hard_rows(answers(1, 0.6), GOLD, speaker=speaker)
    b = imported(tmp_path / "b", rows, labels=(*LABELS, "fear"))
    with pytest.raises(OptionError, match=r"label sets differ.*sad and .*fear"):
        compare_runs([a, b])
    rated = [{"utterance": u, "valence": 3, "predicted_valence": 4} for u in UIDS]
    c = imported(tmp_path / "c", rated, labels=(), scale=(1, 5))
    with pytest.raises(OptionError, match="asks for ratings"):
        compare_runs([a, c])


def test_the_same_labels_in_another_order_are_the_same(tmp_path: Path) -> None:
    a = made(tmp_path / "a", 1)
    rows = hard_rows(answers(2, 0.4), GOLD, speaker=speaker)
    straight = imported(tmp_path / "b", rows)
    turned = imported(tmp_path / "c", rows, labels=LABELS[::-1])
    values = [compare_runs([a, x], multiverse=False).differences[0] for x in (straight, turned)]
    assert values[0].difference == values[1].difference
    assert values[0].interval == values[1].interval


def test_a_task_of_one_run_only_is_told_beside_the_others(tmp_path: Path) -> None:
    one = merged(tmp_path / "a", [made(tmp_path / "1"), made(tmp_path / "2", task="more")])
    found = compare_runs([one, made(tmp_path / "b", 3)], multiverse=False)
    assert [d.task for d in found.differences] == ["imported"]
    assert [(r.task, r.reason) for r in found.refused] == [("more", "asked in a only")]
    with pytest.raises(OptionError, match=r"primary task more cannot be compared.*in a only"):
        compare_runs([one, tmp_path / "b"], primary=["more"])
    with pytest.raises(UnknownNameError, match="importd"):
        compare_runs([one, tmp_path / "b"], primary=["importd"])


def test_what_was_lost_on_our_side_is_left_out_of_both_and_counted(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", 1), made(tmp_path / "b", 2)
    fail(a, ["u00", "u01"])
    fail(b, ["u01", "u05"])
    (one,) = compare_runs([a, b], metrics=["wa"], multiverse=False).differences
    u = one.utterances
    assert (u.asked, u.lost_first, u.lost_second, u.compared) == (24, 2, 2, 21)
    kept = [uid for uid in UIDS if uid not in ("u00", "u01", "u05")]
    right = [np.mean([answers(s, 0.6)[x] == GOLD[x] for x in kept]) for s in (1, 2)]
    assert one.difference == pytest.approx(right[0] - right[1], abs=1e-12)


def test_nothing_left_is_a_reason(tmp_path: Path) -> None:
    a, b = fail(made(tmp_path / "a"), UIDS), made(tmp_path / "b")
    with pytest.raises(OptionError, match="of 24 utterances, 0 have a reply in both"):
        compare_runs([a, b])


@pytest.mark.parametrize("n", [0, 1])
def test_one_run_is_no_comparison(tmp_path: Path, n: int) -> None:
    with pytest.raises(OptionError, match="needs at least two"):
        compare_runs([tmp_path] * n)


def test_a_run_twice_no_run_and_an_unknown_metric(tmp_path: Path) -> None:
    a = made(tmp_path / "a")
    with pytest.raises(OptionError, match="twice"):
        compare_runs([a, tmp_path / "x" / ".." / "a"])
    with pytest.raises(StoreError, match=r"no run\.json"):
        compare_runs([a, tmp_path])
    with pytest.raises(UnknownNameError, match="uar"):
        compare_runs([a, tmp_path], metrics=["uarr"])


# --- families, corpora, order ---------------------------------------------------------------


def several(tmp_path: Path, tasks: int, shares: dict[str, float]) -> list[Path]:
    out = []
    for k, (name, share) in enumerate(shares.items()):
        parts = [
            made(tmp_path / f"{name}{t}", 10 * k + t, share, task=f"task{t}") for t in range(tasks)
        ]
        out.append(merged(tmp_path / "runs" / name, parts))
    return out


def test_holm_in_the_primary_family_and_bh_elsewhere(tmp_path: Path) -> None:
    runs = several(tmp_path, 2, {"a": 0.9, "b": 0.5, "c": 0.3})
    found = compare_runs(runs, metrics=["uar", "wa"], primary=["task0"], multiverse=False)
    assert len(found.differences) == 3 * 2 * 2
    primary = [d for d in found.differences if d.family == "primary"]
    assert {(d.task, d.metric, d.adjustment) for d in primary} == {("task0", "uar", "holm")}
    assert [(d.first, d.second) for d in primary] == [("a", "b"), ("a", "c"), ("b", "c")]
    p = np.array([d.sign_flip.p_value for d in primary], dtype=float)
    order = np.argsort(p)
    steps = np.maximum.accumulate(np.minimum(1, p[order] * [3, 2, 1]))
    for rank, i in enumerate(order):
        assert primary[i].p_adjusted == pytest.approx(steps[rank], abs=1e-12)
    rest = [d for d in found.differences if d.family == "secondary"]
    q = [d.sign_flip.p_value for d in rest]
    assert [d.p_adjusted for d in rest] == pytest.approx(stats.false_discovery_control(q))


def test_differences_over_corpora(tmp_path: Path) -> None:
    found = compare_runs(several(tmp_path, 4, {"a": 0.9, "b": 0.5}), multiverse=False)
    (over,) = found.over_tasks
    y = np.array([d.difference for d in found.differences], dtype=float)
    s = np.array([d.standard_error for d in found.differences], dtype=float)
    direct = random_effects(y, s)
    assert over.effects is not None
    assert (over.effects.k, over.effects.mean) == (4, direct.mean)
    assert over.effects.prediction_low == direct.prediction_low
    assert over.effects.tau == pytest.approx((direct.tau2 or 0) ** 0.5)
    assert over.tasks == ["task0", "task1", "task2", "task3"]


def test_a_task_without_an_error_is_left_out_of_the_summary(tmp_path: Path) -> None:
    parts = [made(tmp_path / f"a{t}", t, 0.9, task=f"task{t}") for t in range(3)]
    others = [made(tmp_path / f"b{t}", 9 + t, 0.5, task=f"task{t}") for t in (0, 1)]
    others.append(made(tmp_path / "b2", 2, 0.9, task="task2"))  # answers as a does: no variance
    runs = [merged(tmp_path / "a", parts), merged(tmp_path / "b", others)]
    (over,) = compare_runs(runs, multiverse=False).over_tasks
    assert (over.tasks, over.left_out) == (["task0", "task1"], ["task2"])
    assert over.effects is not None
    assert over.effects.prediction_low is None
    assert "three" in (over.reason or "")


def test_rank_stability_is_that_of_the_scorecards(tmp_path: Path) -> None:
    runs = several(tmp_path, 1, {"a": 0.9, "b": 0.6, "c": 0.2})
    (rank,) = compare_runs(runs).ranks
    varied = {run.name: score_run(run).tasks["task0"].sensitivity for run in runs}
    assert None not in varied.values()
    assert rank.stability == rank_stability(varied)  # type: ignore[arg-type]
    assert rank.n == 24


# --- the command ----------------------------------------------------------------------------


def test_the_command_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = several(tmp_path, 3, {"a": 0.9, "b": 0.4})
    out = tmp_path / "comparison.json"
    status = main(["compare", *map(str, runs), "--metric", "uar,wa", "--out", str(out)])
    text = capsys.readouterr().out
    assert status == 0
    assert "primary family: uar on task0, task1, task2" in text
    assert "a less b, uar over imported tasks (3): mean" in text
    assert "Kendall's tau" in text
    assert text.count("uar*") == 3
    again = Comparison.model_validate_json(out.read_bytes())
    assert again.metrics == ["uar", "wa"]
    assert json.loads(out.read_text())["schema"] == "voxemo-comparison/1"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "at least two"),
        (["{b}", "--metric", "f1"], "no hard metric is called 'f1'"),
        (["{b}", "--margin", "-1"], "margin is -1"),
        (["{b}", "--primary", "nope"], "'nope'"),
    ],
)
def test_a_wrong_call_is_a_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    a, b = made(tmp_path / "a"), made(tmp_path / "b", 2)
    words = [word.format(b=b) for word in more]
    assert main(["compare", str(a), *words, "--no-sensitivity"]) == 2
    assert says in capsys.readouterr().err
