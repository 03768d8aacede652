"""The multiverse: its design, its shares of variance, and whether models keep their order."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from voxemo_tasks import registry
from voxemo_tasks.render import Menu
from voxemo_tasks.results.model import Sensitivity
from voxemo_tasks.results.sensitivity import (
    FACTORS,
    StoredReply,
    _kinds,
    rank_stability,
    sensitivity,
)

SPEC, _ = registry.lexical("closed_set")
LABELS = ("angry", "happy", "neutral", "sad")
MENU = Menu.plain(LABELS)


def varied(pairs: list[tuple[str, str]]) -> Sensitivity:
    """The sensitivity of one reply an utterance: (gold, reply)."""
    replies = [[StoredReply(text, "stop", MENU)] for _, text in pairs]
    found = sensitivity(LABELS, [gold for gold, _ in pairs], replies, SPEC)
    assert found is not None
    return found


def test_nothing_moves_where_every_reply_is_a_bare_label() -> None:
    found = varied([(label, label) for label in LABELS] + [("sad", "happy")])
    n = np.prod([len(levels) for levels in FACTORS.values()])
    assert found.n_readings == len(found.values) == n == 216
    assert found.registered == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert set(found.values) == {found.registered}
    assert found.low == found.high == found.registered
    assert all(effect.share is None for effect in found.factors.values())


@pytest.mark.parametrize(
    ("reply", "factor", "better"),
    [
        ("irritated", "neighbours", "map"),
        ("愤怒", "words", "all"),
        ("not happy, angry", "negation", "on"),
        ("anrgy", "typos", "on"),
        ("angry and sad", "several", "first"),
        ("It rains.", "non_answer", "dropped"),
    ],
)
def test_the_choice_that_matters_gets_the_variance(reply: str, factor: str, better: str) -> None:
    found = varied([(label, label) for label in LABELS] + [("angry", reply)])
    shares = {name: effect.share or 0.0 for name, effect in found.factors.items()}
    if factor != "non_answer":  # what becomes of a non-answer always matters, too
        shares.pop("non_answer")
    assert max(shares, key=lambda name: shares[name]) == factor
    means = found.factors[factor].means
    assert max(means, key=lambda level: means[level]) == better


def test_shares_are_the_main_effects_of_a_full_factorial() -> None:
    """Against the definition, written again over the design's own order."""
    found = varied(
        [
            *((label, label) for label in LABELS),
            *(("angry", "irritated"), ("sad", "sad and angry"), ("happy", "not sad but happy")),
            *(("neutral", "I cannot tell"), ("sad", "悲伤"), ("angry", "anrgy")),
        ]
    )
    values = np.array(found.values, dtype=float)
    cells = list(itertools.product(*FACTORS.values()))
    total = ((values - values.mean()) ** 2).sum()
    for position, (name, levels) in enumerate(FACTORS.items()):
        between = 0.0
        for level in levels:
            group = values[[cell[position] == level for cell in cells]]
            between += len(group) * (group.mean() - values.mean()) ** 2
            assert found.factors[name].means[level] == pytest.approx(group.mean(), abs=1e-12)
        assert found.factors[name].share == pytest.approx(between / total, abs=1e-12)
    assert sum(effect.share or 0 for effect in found.factors.values()) <= 1 + 1e-12
    assert found.low is not None
    assert found.high is not None
    assert found.low <= (found.registered or 0) <= found.high


def test_emulations_score_the_same_replies() -> None:
    found = varied([("angry", "Angry."), ("sad", "unhappy"), ("happy", "happy"), ("neutral", "?")])
    emulated = found.emulations
    assert emulated["strict_exact@1"].uar == pytest.approx(1 / 4)
    assert emulated["exact_match@1"].uar == pytest.approx(2 / 4)
    assert emulated["first_substring@1"].coverage == pytest.approx(3 / 4)
    assert emulated["first_letter@1"].wa == pytest.approx(1 / 4)  # "Angry" begins with option A


def test_equal_replies_are_read_once_and_counted_each() -> None:
    """Equal is: the same words, as often, under the same menus; the order of replies is none of it."""
    turned = replace(MENU, order=(3, 2, 1, 0), style="lettered")
    a, b = StoredReply("A", "stop", MENU, "1"), StoredReply("sad", "stop", MENU, "2")
    other = StoredReply("A", "stop", turned, "3")
    again = StoredReply("A", "stop", MENU, "4")
    kinds, which = _kinds([[a, b], [b, again], [a, b, b], [other, b], [a]])
    assert which.tolist() == [0, 0, 1, 2, 3]
    assert kinds == [[a, b], [a, b, b], [other, b], [a]]
    found = sensitivity(LABELS, ["sad"] * 3 + ["angry"], [[b], [b], [a], [b]], SPEC)
    assert found is not None
    assert found.registered == pytest.approx((2 / 3 + 0) / 2)
    assert {one.wa for name, one in found.emulations.items() if "substring" in name} == {0.5}


def test_no_neutral_no_neutral_fallback() -> None:
    labels = ("angry", "sad")
    replies = [[StoredReply("angry", "stop", Menu.plain(labels))]]
    found = sensitivity(labels, ["angry"], replies, SPEC)
    assert found is not None
    assert found.n_readings == 144
    assert set(found.factors["non_answer"].means) == {"wrong", "dropped"}


def test_other_readers_have_no_such_choices() -> None:
    spec, _ = registry.verbalizer("distribution_json")
    assert sensitivity(LABELS, ["sad"], [[StoredReply("sad", "stop", MENU)]], spec) is None
    assert sensitivity(LABELS, [], [], SPEC) is None


def made(values: list[float | None]) -> Any:
    found = varied([("angry", "angry")])
    return found.model_copy(update={"values": values, "registered": values[0]})


def test_rank_stability() -> None:
    """Three models over four readings: the same order, one swap, the reverse, one without a rate.

    Kendall's tau over three pairs: 1, (2 - 1) / 3 = 1/3, -1; the fourth reading is left out.
    """
    stable = rank_stability(
        {
            "a": made([0.3, 0.3, 0.1, 0.5]),
            "b": made([0.2, 0.1, 0.2, 0.5]),
            "c": made([0.1, 0.2, 0.3, None]),
        }
    )
    assert stable is not None
    assert (stable.n_readings, stable.models) == (3, ["a", "b", "c"])
    assert stable.tau_median == pytest.approx(1 / 3)
    assert stable.tau_min == pytest.approx(-1)
    assert stable.same_winner == pytest.approx(2 / 3)
    assert rank_stability({"a": made([0.3])}) is None
    assert rank_stability({"a": made([0.3]), "b": made([0.3])}) is None
