"""Audit samples: sizes, probabilities, order, growth; unlike replies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxemo_tasks.errors import OptionError
from voxemo_tasks.metrics.prediction_powered import powered_mean
from voxemo_tasks.metrics.sampling import farthest_first, random_sample, stratified_sample

IDS = [f"u{i:03}" for i in range(100)]
GOLDEN = ("u008", "u068", "u082")
OUTCOME = {
    name: "abstained" if i < 6 else "off_menu" if i < 26 else "answered"
    for i, name in enumerate(IDS)
}


def test_a_random_sample_is_fixed_by_its_seed():
    """The draw is part of a registration: it may not change with a release."""
    assert random_sample(IDS, 3, seed=1).ids == random_sample(IDS[::-1], 3, seed=1).ids
    assert random_sample(IDS, 3, seed=1).ids == GOLDEN
    assert random_sample(IDS, 3, seed=2).ids != GOLDEN


@given(size=st.integers(1, 100), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_a_larger_audit_holds_the_smaller(size, seed):
    for draw in (
        lambda n: random_sample(IDS, n, seed=seed),
        lambda n: stratified_sample(OUTCOME, n, minimum=1, seed=seed),
    ):
        small, large = draw(max(3, size - 1)), draw(max(3, size))
        assert set(small.ids) <= set(large.ids)
        assert len(large.ids) == max(3, size)


def test_all_replies_are_drawn_alike():
    """Each of 100 in about a tenth of 2,000 draws: the most extreme of 100 within 5 errors."""
    times = dict.fromkeys(IDS, 0)
    for seed in range(2000):
        for name in random_sample(IDS, 10, seed=seed).ids:
            times[name] += 1
    spread = math.sqrt(2000 * 0.1 * 0.9)
    assert max(abs(n - 200) for n in times.values()) < 5 * spread
    assert set(random_sample(IDS, 10, seed=1).probabilities.values()) == {0.1}


@pytest.mark.parametrize(
    ("size", "minimum", "drawn"),
    [
        (30, 10, (6, 11, 13)),  # 6, 10, 10 and four of 64, 64/3, 64/5, 10 (and not 64/7)
        (26, 10, (6, 10, 10)),
        (100, 10, (6, 20, 74)),
        (10, 0, (1, 2, 7)),
    ],
)
def test_strata_get_their_minimum_and_the_rest_in_proportion(size, minimum, drawn):
    s = stratified_sample(OUTCOME, size, minimum=minimum, seed=1)
    got = tuple(s.strata[k][0] for k in ("abstained", "off_menu", "answered"))
    there = tuple(s.strata[k][1] for k in ("abstained", "off_menu", "answered"))
    assert (sum(got), there) == (size, (6, 20, 74))
    assert got == drawn
    for name, stratum in OUTCOME.items():
        assert s.probabilities[name] == s.strata[stratum][0] / s.strata[stratum][1]
    counted = [sum(OUTCOME[i] == k for i in s.ids) for k in ("abstained", "off_menu", "answered")]
    assert tuple(counted) == got


def test_a_stratum_that_got_nothing_takes_the_probabilities():
    assert stratified_sample(OUTCOME, 2, minimum=0, seed=1).probabilities is None
    assert random_sample(IDS, 0, seed=1).probabilities is None
    assert random_sample([], 0, seed=1).ids == ()
    assert stratified_sample({}, 0, minimum=3, seed=1).ids == ()


def test_strata_may_be_combined_keys():
    keys = {name: (OUTCOME[name], "de" if i % 2 else "en") for i, name in enumerate(IDS)}
    s = stratified_sample(keys, 40, minimum=3, seed=1)
    assert len(s.strata) == 6
    assert min(drawn for drawn, _ in s.strata.values()) == 3


def test_the_probabilities_make_the_estimate_right():
    """Rare outcomes are drawn more often: with the weights the mean of many audits is the truth."""
    truth = {name: float(OUTCOME[name] == "answered") for name in IDS}
    found = []
    for seed in range(200):
        s = stratified_sample(OUTCOME, 30, minimum=6, seed=seed)
        seen = set(s.ids)
        people = [truth[i] if i in seen else None for i in IDS]
        chance = [s.probabilities[i] for i in IDS]
        found.append(powered_mean(people, [0.0] * 100, probabilities=chance).value)
    assert found == pytest.approx([0.74] * 200, abs=1e-9)


# ---- unlike replies

REPLIES = {
    "a": "The speaker sounds angry.",
    "b": "the speaker  sounds ANGRY.",
    "c": "The speaker sounds angry!",
    "d": "我不知道",
    "e": "I am sorry, but as a language model I cannot listen to audio.",
    "f": "The speaker sounds angry.",
    "g": "",
}


def cosine_distance(a, b):
    def grams(text):
        padded = f"\x02{' '.join(text.casefold().split())}\x03"
        return [padded[i : i + 3] for i in range(max(1, len(padded) - 2))]

    x, y = grams(a), grams(b)
    dot = sum(x.count(g) * y.count(g) for g in set(x))
    norm = math.prod(math.sqrt(sum(t.count(g) ** 2 for g in set(t))) for t in (x, y))
    return 1 - dot / norm


def test_farthest_first_is_greedy():
    """The same choice from distances worked out one by one, without hashing."""
    names = ["a", "b", "c", "d", "e", "g"]
    got = farthest_first(REPLIES, 6, seed=3).ids
    chosen = [got[0]]
    while len(chosen) < len(names):
        rest = {
            n: round(min(cosine_distance(REPLIES[n], REPLIES[c]) for c in chosen), 9)
            for n in names
            if n not in chosen
        }
        chosen.append(max(sorted(rest), key=lambda n: rest[n]))
    assert list(got) == chosen


@pytest.mark.parametrize("seed", range(5))
def test_unlike_replies_come_before_copies(seed):
    got = farthest_first(REPLIES, 4, seed=seed).ids
    assert {"d", "e", "g"} < set(got)
    assert farthest_first(REPLIES, 6, seed=seed).ids[:4] == got
    assert farthest_first(dict(reversed(REPLIES.items())), 4, seed=seed).ids == got


def test_the_same_text_counts_once_and_the_start_is_by_seed():
    assert "f" not in farthest_first(REPLIES, 6, seed=1).ids
    assert len({farthest_first(REPLIES, 1, seed=s).ids for s in range(40)}) > 3
    assert farthest_first(REPLIES, 3, seed=1).probabilities is None
    assert farthest_first({}, 0, seed=1).ids == ()


def test_it_covers_groups_that_a_random_sample_misses():
    rng = np.random.default_rng(1)
    common = {f"u{i:04}": f"angry {rng.integers(100)}" for i in range(500)}
    odd = {"v1": "No emotion is conveyed here.", "v2": "sadness / grief", "v3": "喜び"}
    found = set(farthest_first(common | odd, 6, seed=1).ids)
    assert set(odd) <= found


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: random_sample(["a", "a"], 1, seed=1), "1 ids stand twice, e.g. 'a'"),
        (lambda: random_sample(["a"], 2, seed=1), "there are 1 replies"),
        (lambda: random_sample(["a"], -1, seed=1), "size is -1"),
        (lambda: stratified_sample(OUTCOME, 20, minimum=10, seed=1), "need 26"),
        (lambda: stratified_sample(OUTCOME, 101, minimum=1, seed=1), "there are 100 replies"),
        (lambda: stratified_sample(OUTCOME, 5, minimum=-1, seed=1), "minimum is -1"),
        (lambda: farthest_first(REPLIES, 7, seed=1), "there are 6 different texts"),
        (lambda: farthest_first(REPLIES, -1, seed=1), "size is -1"),
        (lambda: farthest_first(REPLIES, 2, seed=1, n=0), "n is 0"),
    ],
)
def test_refused(call, says):
    with pytest.raises(OptionError) as caught:
        call()
    assert says in str(caught.value)
