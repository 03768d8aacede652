"""Every language: its table of cases, its words, its prompts and its names of labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks import registry
from voxemo_tasks.labels import CANONICAL
from voxemo_tasks.specs import VerbalizerLanguage
from voxemo_tasks.verbalize import Verbalizer, compiled_words, verbalize

SPEC, _ = registry.lexical("closed_set")
CASES = Path(__file__).parents[1] / "data" / "verbalizer_cases"
LANGUAGES = sorted(path.stem for path in CASES.glob("*.jsonl"))
ROWS = {
    language: [
        json.loads(line)
        for line in (CASES / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for language in LANGUAGES
}
BASIC = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
FEWER = {"qu"}
"""Languages of which the authors are not sure enough for eight forms a label."""

CONCEPTS = {
    **{"angry": "anger", "happy": "joy", "sad": "sadness", "amused": "amusement"},
    **{"anxious": "anxiety", "apologetic": "apology", "concerned": "concern"},
    **{"encouraging": "encouragement", "enthusiastic": "enthusiasm", "frustrated": "frustration"},
    **{"sarcastic": "sarcasm", "worried": "worry"},
}
"""Canonical label → its concept, where that has another name."""

NAMELESS = {"no-agreement", "other", "unknown", "poker", "breath", "assertive"}
COMPOUND = {"disappointment, disapproval", "pain, groan"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_cases(language: str) -> None:
    wrong = []
    for number, row in enumerate(ROWS[language], start=1):
        verdict = verbalize(row["reply"], row["menu"], SPEC)
        agrees = (verdict.status, set(verdict.labels)) == (row["status"], set(row["labels"]))
        # Rows marked unread are what the grammar cannot do yet; they are to fail until it can.
        if agrees == bool(row.get("unread")):
            wrong.append((number, row["reply"], row["status"], row["labels"], verdict))
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_covers_the_statuses_and_holds_each_case_once(language: str) -> None:
    rows = ROWS[language]
    assert {"answered", "multiple", "off_menu", "abstained", "unparsed"} <= {
        row["status"] for row in rows
    }
    assert len({(row["reply"], tuple(row["menu"])) for row in rows}) == len(rows)
    assert len(rows) >= 60
    assert sum(bool(row.get("unread")) for row in rows) <= 0.06 * len(rows)


def words_of(language: str) -> VerbalizerLanguage:
    words = SPEC.languages[language]
    assert isinstance(words, VerbalizerLanguage)
    return words


@pytest.mark.parametrize("language", [x for x in SPEC.languages if x not in FEWER])
def test_eight_forms_for_each_of_the_basic_seven(language: str) -> None:
    words = words_of(language)
    few = {c: len(words.concepts.get(c, [])) for c in BASIC if len(words.concepts.get(c, [])) < 8}
    assert few == {}


def test_every_corpus_language_has_words_prompts_and_names() -> None:
    spoken = {tag.partition("-")[0] for card in registry.corpora() for tag in card.languages}
    spoken = {{"quz": "qu"}.get(tag, tag) for tag in spoken} - {"mul"}
    missing = {
        (kind, language)
        for language in spoken
        for kind, has in (
            ("words", language in SPEC.languages),
            ("names", any(w.language == language for w in registry.wordings())),
            *(
                (tier, any(p.tier == tier and p.language == language for p in registry.prompts()))
                for tier in ("direct", "open", "reason")
            ),
        )
        if not has
    }
    assert missing == set()


@pytest.mark.parametrize("spec", registry.wordings(), ids=lambda spec: spec.language)
def test_a_menu_in_any_language_is_read_back(spec: Any) -> None:
    """Each word of a menu answers its own label, bare and in the language's final answer."""
    for form in ("adjective", "noun"):
        labels = [x for x in spec.labels if x not in NAMELESS | COMPOUND]
        menu = [getattr(spec.labels[x], form) for x in labels]
        for label, word in zip(labels, menu, strict=True):
            verdict = verbalize(word, menu, SPEC)
            assert (label, verdict.status, verdict.labels) == (label, "answered", (word,))


@pytest.mark.parametrize("spec", registry.wordings(), ids=lambda spec: spec.language)
def test_the_names_of_labels_are_forms_of_their_concepts(spec: Any) -> None:
    """A reply in the language answers an English menu."""
    assert set(spec.labels) == set(CANONICAL)
    if spec.language in FEWER:
        return
    strange = []
    for label, words in spec.labels.items():
        if label in NAMELESS | COMPOUND:
            continue
        for word in (words.adjective, words.noun):
            read = compiled_words(SPEC, ["none of these", "at all"])
            form = read.lexicon.vocabulary.forms.get(read.fold.form(word))
            if form is None or form.concept != CONCEPTS.get(label, label):
                strange.append((label, word, form and form.concept))
    assert strange == []


def test_a_languages_operators_do_not_act_in_another() -> None:
    read = Verbalizer(SPEC, ("angry", "happy", "sad"))
    assert read("The die is cast, and she is sad.").labels == ("sad",)
    assert read("I come to say: happy").labels == ("happy",)


def test_what_no_native_speaker_has_checked_says_so() -> None:
    assert SPEC.reviewed["en"] is True
    assert not any(done for tag, done in SPEC.reviewed.items() if tag != "en")
    for prompt in registry.prompts():
        assert prompt.reviewed == (prompt.language == "en")
        assert (prompt.translated_by is None) == (prompt.language == "en")
