"""Votes restricted to a label set, and the one label that votes give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxemo_tasks import registry
from voxemo_tasks.errors import LabelSetError
from voxemo_tasks.labels import CANONICAL, LabelSet, voted

FOUR = LabelSet("four", ("angry", "happy", "neutral", "sad"), {"excited": "happy"})
VOTES = st.dictionaries(st.sampled_from([*FOUR.labels, "excited", "fear"]), st.integers(0, 9))


def test_votes_are_merged_and_dropped_never_spread() -> None:
    assert FOUR.of_votes({"excited": 2, "happy": 1, "fear": 4, "sad": 0}) == ({"happy": 3}, 4)
    assert FOUR.of_votes({}) == ({}, 0)


@given(VOTES)
def test_no_vote_is_lost(votes: dict[str, int]) -> None:
    kept, dropped = FOUR.of_votes(votes)
    assert sum(kept.values()) + dropped == sum(votes.values())
    assert list(kept) == [label for label in FOUR.labels if label in kept]


@pytest.mark.parametrize(
    ("votes", "plurality", "majority"),
    [
        ({}, None, None),
        ({"sad": 0}, None, None),
        ({"sad": 1}, "sad", "sad"),
        ({"sad": 2, "angry": 2}, None, None),
        ({"sad": 2, "angry": 1, "happy": 1}, "sad", None),
        ({"sad": 3, "angry": 1, "happy": 1}, "sad", "sad"),
    ],
)
def test_voted(votes: dict[str, int], plurality: str | None, majority: str | None) -> None:
    assert voted(votes, "plurality") == plurality
    assert voted(votes, "majority") == majority


def test_another_rule_is_refused() -> None:
    with pytest.raises(LabelSetError, match="'mode'"):
        voted({"sad": 1}, "mode")


def test_every_label_is_placed_and_every_mapping_has_a_rule() -> None:
    ontology = registry.ontology()
    assert tuple(ontology.labels) == CANONICAL
    for card in registry.corpora():
        for raw in card.labels:
            assert card.label_rules.get(raw, card.label_rule) in ontology.rules, (card.id, raw)


def test_basic_placements() -> None:
    placed = registry.ontology().labels
    assert (placed["angry"].valence, placed["angry"].arousal) == ("negative", "high")
    assert (placed["sad"].valence, placed["sad"].arousal) == ("negative", "low")
    assert placed["happy"].valence == "positive"
    assert placed["no-agreement"].valence is None


def test_notes_meet_cultures_and_languages() -> None:
    notes = registry.culture_notes(["JP"])
    assert notes
    assert all({"JP", "world"} & set(note.cultures) for note, _ in notes.values())
    assert any("world" in note.cultures for note, _ in notes.values())
    assert all(source for _, source in notes.values())
    assert set(notes) & set(registry.culture_notes(languages=["ja-JP"]))
    assert registry.culture_notes() == {}
