"""Hard-label rates: a golden table, scikit-learn, the formulas rewritten, and laws."""

from __future__ import annotations

import itertools
import json
import pickle
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
)

from voxemo_tasks.errors import LabelSetError, OptionError, UnknownNameError
from voxemo_tasks.metrics import hard
from voxemo_tasks.metrics.hard import HARD_METRICS, Confusion, bounds, chance, majority

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data" / "golden_hard.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
POLICIES = ("strict", "answered")
NAMES = ["uar", "wa", "macro_f1", "weighted_f1", "micro_f1", "macro_precision", "coverage"]
TIGHT = 1e-12


def labels_of(size):
    return tuple(f"label{i}" for i in range(size))


@st.composite
def confusions(draw, min_size=1, max_size=5, most=12):
    """Tables with many zeros, so that labels are absent, unsaid or wholly unanswered."""
    size = draw(st.integers(min_size, max_size))
    cells = st.one_of(st.just(0), st.integers(0, most))
    counts = draw(arrays(np.int64, (size, size + 1), elements=cells))
    for row in range(size):
        if draw(st.integers(0, 4)) == 0:
            counts[row] = 0
    if draw(st.integers(0, 9)) == 0:
        counts[:, :-1] = 0
    return Confusion(labels_of(size), counts)


def as_pairs(confusion):
    """The utterances behind a table."""
    names = [*confusion.labels, None]
    gold, predicted = [], []
    for (row, column), n in np.ndenumerate(confusion.counts):
        gold += [names[row]] * int(n)
        predicted += [names[column]] * int(n)
    return gold, predicted


def same(ours, theirs):
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - float(theirs)) <= TIGHT


# ---- golden table


@pytest.mark.parametrize("row", GOLDEN, ids=[row["name"] for row in GOLDEN])
@pytest.mark.parametrize("part", ["strict", "answered", "best", "majority", "uniform", "prior"])
def test_golden_table(row, part):
    c = Confusion(tuple(row["labels"]), np.array(row["counts"]))
    got = {
        "strict": lambda: {name: rate(c) for name, rate in HARD_METRICS.items()},
        "answered": lambda: {name: rate(c, "answered") for name, rate in HARD_METRICS.items()},
        "best": lambda: {name: bounds(c, name)[1] for name in HARD_METRICS},
        "majority": lambda: majority(c),
        "uniform": lambda: chance(c),
        "prior": lambda: chance(c, guess="prior"),
    }[part]()
    for name, value in row.get(part, {}).items():
        expected = None if value is None else Fraction(value)
        assert same(got[name], expected), (name, got[name], value)


def test_golden_table_is_complete():
    for row in GOLDEN:
        assert row["comment"]
        for part in ("strict", "answered"):
            assert list(row[part]) == NAMES, row["name"]


def test_registry_has_the_names_of_the_results():
    assert list(HARD_METRICS) == NAMES
    c = Confusion.empty(("angry", "sad"))
    assert list(majority(c)) == list(chance(c)) == NAMES


# ---- scikit-learn


@pytest.mark.parametrize("policy", POLICIES)
@given(c=confusions())
@settings(max_examples=300, deadline=None)
def test_equals_scikit_learn(c, policy):
    gold, predicted = as_pairs(c)
    if policy == "answered":
        kept = [(g, p) for g, p in zip(gold, predicted, strict=True) if p is not None]
        gold, predicted = [g for g, _ in kept], [p for _, p in kept]
    if not gold:
        for name, rate in HARD_METRICS.items():
            assert name == "coverage" or rate(c, policy) is None
        return
    said = ["(no answer)" if p is None else p for p in predicted]
    every = list(c.labels)
    occurring = [label for label in every if label in set(gold)]

    def sk(score, average, labels):
        return score(gold, said, average=average, labels=labels, zero_division=0)

    expected = {
        "uar": sk(recall_score, "macro", occurring),
        "wa": accuracy_score(gold, said),
        "macro_f1": sk(f1_score, "macro", occurring),
        "weighted_f1": sk(f1_score, "weighted", every),
        "micro_f1": sk(f1_score, "micro", every),
        "macro_precision": sk(precision_score, "macro", occurring),
    }
    for name, value in expected.items():
        assert same(HARD_METRICS[name](c, policy), value), name
    # Per label, with None exactly where scikit-learn has nothing to divide by.
    for ours, score in (
        (hard.recalls(c, policy), recall_score),
        (hard.precisions(c, policy), precision_score),
        (hard.f1s(c, policy), f1_score),
    ):
        theirs = score(gold, said, average=None, labels=every, zero_division=np.nan)
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine is None and np.isnan(other)) or same(mine, other)


@given(c=confusions(min_size=2))
@settings(max_examples=100, deadline=None)
def test_uar_is_balanced_accuracy_where_all_is_answered(c):
    counts = c.counts.copy()
    counts[:, -1] = 0
    c = Confusion(c.labels, counts)
    gold, predicted = as_pairs(c)
    if not gold:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "y_pred contains classes not in y_true"
        assert same(hard.uar(c), balanced_accuracy_score(gold, predicted))


# ---- the formulas, from the utterances


def by_utterance(c, policy):
    """The definitions as loops over utterances, with exact fractions."""
    pairs = list(zip(*as_pairs(c), strict=True))
    everything = len(pairs)
    answered = sum(p is not None for _, p in pairs)
    if policy == "answered":
        pairs = [(g, p) for g, p in pairs if p is not None]
    occurring = [x for x in c.labels if any(g == x for g, _ in pairs)]
    out = {"coverage": Fraction(answered, everything) if everything else None}
    if not pairs:
        return out | dict.fromkeys(NAMES[:-1])
    recall, precision, f1, support = {}, {}, {}, {}
    for x in c.labels:
        tp = sum(g == x and p == x for g, p in pairs)
        fn = sum(g == x and p != x for g, p in pairs)
        fp = sum(g != x and p == x for g, p in pairs)
        support[x] = tp + fn
        recall[x] = Fraction(tp, tp + fn) if tp + fn else Fraction(0)
        precision[x] = Fraction(tp, tp + fp) if tp + fp else Fraction(0)
        total = precision[x] + recall[x]
        f1[x] = 2 * precision[x] * recall[x] / total if total else Fraction(0)
    right = sum(g == p for g, p in pairs)
    wrong_said = sum(p is not None and g != p for g, p in pairs)
    k = len(occurring)
    return out | {
        "uar": sum(recall[x] for x in occurring) / k,
        "wa": Fraction(right, len(pairs)),
        "macro_f1": sum(f1[x] for x in occurring) / k,
        "weighted_f1": sum(support[x] * f1[x] for x in c.labels) / len(pairs),
        "micro_f1": Fraction(2 * right, 2 * right + wrong_said + (len(pairs) - right)),
        "macro_precision": sum(precision[x] for x in occurring) / k,
    }


@pytest.mark.parametrize("policy", POLICIES)
@given(c=confusions())
@settings(max_examples=200, deadline=None)
def test_equals_the_formula_over_utterances(c, policy):
    expected = by_utterance(c, policy)
    for name, rate in HARD_METRICS.items():
        assert same(rate(c, policy), expected[name]), name


# ---- laws


@given(c=confusions())
@settings(max_examples=200, deadline=None)
def test_rates_lie_between_zero_and_one_and_bounds_hold(c):
    for name, rate in HARD_METRICS.items():
        for policy in POLICIES:
            value = rate(c, policy)
            assert value is None or 0 <= value <= 1
        worst, best = bounds(c, name)
        assert worst == rate(c)
        assert (worst is None) == (best is None) == (c.n() == 0)
        assert worst is None or worst <= best + TIGHT
        if c.n("answered") == c.n():
            assert worst == best


@given(c=confusions())
@settings(max_examples=200, deadline=None)
def test_answered_lies_within_the_bounds_of_recall_and_accuracy(c):
    for name in ("uar", "wa", "micro_f1"):
        worst, best = bounds(c, name)
        value = HARD_METRICS[name](c, "answered")
        assert value is None or worst - TIGHT <= value <= best + TIGHT


@given(c=confusions(min_size=2, max_size=3, most=2))
@settings(max_examples=60, deadline=None)
def test_no_way_of_filling_in_beats_the_best_bound(c):
    """Every assignment of a label to every non-answer of a small table."""
    size = len(c.labels)
    silent = [row for row in range(size) for _ in range(int(c.counts[row, -1]))][:5]
    start = c.counts.copy()
    start[:, -1] = 0
    for row in silent:
        start[row, -1] += 1
    c = Confusion(c.labels, start)
    tops = {name: bounds(c, name)[1] for name in HARD_METRICS}
    bottoms = {name: bounds(c, name)[0] for name in ("uar", "wa")}
    for said in itertools.product(range(size), repeat=len(silent)):
        counts = start.copy()
        counts[:, -1] = 0
        for row, column in zip(silent, said, strict=True):
            counts[row, column] += 1
        filled = Confusion(c.labels, counts)
        for name, top in tops.items():
            value = HARD_METRICS[name](filled)
            assert value is None or value <= top + TIGHT, name
        for name, bottom in bottoms.items():
            value = HARD_METRICS[name](filled)
            assert value is None or value >= bottom - TIGHT, name


@given(c=confusions(), order=st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_order_and_names_of_labels_do_not_matter(c, order):
    size = len(c.labels)
    to = list(range(size))
    order.shuffle(to)
    counts = c.counts[to][:, [*to, size]]
    other = Confusion(tuple(f"renamed{i}" for i in to), counts)
    for name, rate in HARD_METRICS.items():
        for policy in POLICIES:
            assert same(rate(c, policy), rate(other, policy)), name
        assert same(majority(c)[name], majority(other)[name])
        assert same(chance(c)[name], chance(other)[name])
    assert [hard.recalls(c)[i] for i in to] == hard.recalls(other)


@given(c=confusions())
@settings(max_examples=100, deadline=None)
def test_perfect_is_one_and_silence_is_zero(c):
    support = c.counts.sum(axis=1)
    if not support.any():
        return
    size = len(c.labels)
    perfect = np.zeros((size, size + 1), dtype=np.int64)
    perfect[np.diag_indices(size)] = support
    silent = np.zeros((size, size + 1), dtype=np.int64)
    silent[:, -1] = support
    for name, rate in HARD_METRICS.items():
        assert same(rate(Confusion(c.labels, perfect)), 1), name
        assert rate(Confusion(c.labels, silent)) == 0, name
        if name != "coverage":
            assert rate(Confusion(c.labels, silent), "answered") is None


@given(c=confusions())
@settings(max_examples=100, deadline=None)
def test_an_unused_label_changes_nothing(c):
    size = len(c.labels)
    wider = np.zeros((size + 1, size + 2), dtype=np.int64)
    wider[:size, :size] = c.counts[:, :-1]
    wider[:size, -1] = c.counts[:, -1]
    other = Confusion((*c.labels, "unused"), wider)
    for name, rate in HARD_METRICS.items():
        for policy in POLICIES:
            assert same(rate(c, policy), rate(other, policy)), name
    assert hard.recalls(other)[-1] is hard.precisions(other)[-1] is hard.f1s(other)[-1] is None


@given(c=confusions(), factor=st.integers(2, 7))
@settings(max_examples=100, deadline=None)
def test_rates_do_not_depend_on_the_amount(c, factor):
    more = Confusion(c.labels, c.counts * factor)
    for name, rate in HARD_METRICS.items():
        assert same(rate(c), rate(more)), name


def test_answering_can_lower_the_answered_macro_precision_bound():
    """Why the docstrings claim bounds on ``answered`` only for recall and accuracy."""
    row = next(r for r in GOLDEN if r["name"] == "label that occurs only unanswered")
    c = Confusion(tuple(row["labels"]), np.array(row["counts"]))
    assert hard.macro_precision(c, "answered") > bounds(c, "macro_precision")[1]


# ---- guessing


@given(c=confusions())
@settings(max_examples=200, deadline=None)
def test_majority_is_the_rates_of_that_confusion(c):
    for policy in POLICIES:
        support = (c.counts if policy == "strict" else c.counts[:, :-1]).sum(axis=1)
        always = np.zeros_like(c.counts)
        always[:, int(support.argmax())] = support
        table = Confusion(c.labels, always)
        for name, value in majority(c, policy).items():
            expected = HARD_METRICS[name](table)
            assert same(value, expected), name
        if support.any():
            top = Fraction(int(support.max()), int(support.sum()))
            k = int((support > 0).sum())
            assert same(majority(c, policy)["wa"], top)
            assert same(majority(c, policy)["uar"], Fraction(1, k))
            assert same(majority(c, policy)["macro_f1"], 2 * top / (1 + top) / k)


@given(c=confusions())
@settings(max_examples=200, deadline=None)
def test_chance_is_the_rates_of_the_expected_counts(c):
    """Uniform: counts s_c / C, made whole by scaling with C. Prior: s_c s_j / N, with N."""
    support = c.counts.sum(axis=1)
    if not support.any():
        assert set(chance(c).values()) == {None}
        return
    size = len(c.labels)
    uniform = np.zeros_like(c.counts)
    uniform[:, :-1] = support[:, None]
    prior = np.zeros_like(c.counts)
    prior[:, :-1] = np.outer(support, support)
    for guess, table in (("uniform", uniform), ("prior", prior)):
        for name, value in chance(c, guess=guess).items():
            assert same(value, HARD_METRICS[name](Confusion(c.labels, table))), (guess, name)
    assert same(chance(c)["uar"], Fraction(1, size))
    assert same(chance(c)["wa"], Fraction(1, size))


def test_chance_is_what_random_answers_score():
    rng = np.random.default_rng(3)
    support = np.array([60_000, 30_000, 10_000])
    gold = np.repeat(np.arange(3), support)
    for guess, weights in (("uniform", np.full(3, 1 / 3)), ("prior", support / support.sum())):
        said = rng.choice(3, size=len(gold), p=weights)
        cells = np.bincount(gold * 4 + said, minlength=12).reshape(3, 4)
        c = Confusion(labels_of(3), cells)
        for name, value in chance(c, guess=guess).items():
            assert HARD_METRICS[name](c) == pytest.approx(value, abs=0.01), (guess, name)


# ---- the confusion


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_pooling_is_the_sum(data):
    labels = labels_of(3)
    pair = st.tuples(st.sampled_from(labels), st.sampled_from([*labels, None]))
    first, second = data.draw(st.lists(pair)), data.draw(st.lists(pair))

    def count(pairs):
        return Confusion.from_pairs(labels, [g for g, _ in pairs], [p for _, p in pairs])

    pooled = count(first) + count(second)
    assert pooled == count(first + second)
    assert sum([count(first), count(second)], start=Confusion.empty(labels)) == pooled
    assert pooled.n() == len(first) + len(second)
    assert pooled.n("answered") == sum(p is not None for _, p in first + second)


def test_from_pairs_puts_the_order_of_the_set_first():
    c = Confusion.from_pairs(("sad", "angry"), ["angry", "sad", "angry"], ["angry", None, "sad"])
    assert c.counts.tolist() == [[0, 0, 1], [1, 1, 0]]
    assert c.counts.dtype == np.int64


def test_counts_are_copied_and_read_only():
    given_counts = np.array([[1, 0, 0], [0, 1, 0]])
    c = Confusion(("angry", "sad"), given_counts)
    given_counts[0, 0] = 99
    assert c.counts[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        c.counts[0, 0] = 5
    assert c == pickle.loads(pickle.dumps(c))
    assert c != Confusion(("sad", "angry"), c.counts)
    assert c != "a confusion"


@pytest.mark.parametrize(
    ("labels", "counts", "says"),
    [
        ((), np.zeros((0, 1), int), "at least one"),
        (("sad", "sad"), np.zeros((2, 3), int), "distinct"),
        (("sad", "angry"), np.zeros((2, 2), int), r"\(2, 2\)"),
        (("sad", "angry"), np.zeros((3, 2), int), r"\(3, 2\)"),
        (("sad", "angry"), np.zeros(6, int), r"\(6,\)"),
        (("sad", "angry"), np.zeros((2, 3)), "float64"),
        (("sad", "angry"), np.array([[1, 0, 0], [0, -1, 0]]), "-1"),
        (("sad", "angry"), np.array([["a"] * 3] * 2), "whole numbers"),
        (("sad", "angry"), np.array([[True] * 3] * 2), "bool"),
    ],
)
def test_bad_counts_are_refused(labels, counts, says):
    with pytest.raises(LabelSetError, match=says):
        Confusion(labels, counts)


@pytest.mark.parametrize(
    ("gold", "predicted", "says"),
    [
        (["sad"], [], "1 gold labels and 0 predictions"),
        (["fear"], ["sad"], "gold label 'fear' is not one of angry, sad"),
        ([None], ["sad"], "gold label None"),
        (["sad"], ["joy"], "predicted label 'joy'.*pass None"),
        (["sad"], [""], "predicted label ''"),
    ],
)
def test_bad_pairs_are_refused(gold, predicted, says):
    with pytest.raises(LabelSetError, match=says):
        Confusion.from_pairs(("angry", "sad"), gold, predicted)


def test_confusions_over_different_labels_do_not_add():
    a = Confusion.empty(("angry", "sad"))
    for other in (("sad", "angry"), ("angry", "sad", "fear"), ("angry", "happy")):
        with pytest.raises(LabelSetError, match="cannot pool"):
            a + Confusion.empty(other)


def test_unknown_names_are_refused():
    c = Confusion.empty(("angry", "sad"))
    for name, rate in HARD_METRICS.items():
        with pytest.raises(OptionError, match="no policy is called 'lenient'"):
            rate(c, "lenient")
        assert name
    with pytest.raises(OptionError, match="no guess is called 'coin'"):
        chance(c, guess="coin")
    with pytest.raises(UnknownNameError, match="macro_f1"):
        bounds(c, "macrof1")
