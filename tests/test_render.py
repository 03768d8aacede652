"""Menus in every order, form and style, and what stands around a question."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxemo_tasks import registry
from voxemo_tasks.errors import LabelSetError, OptionError
from voxemo_tasks.records import AudioRef, Verdict
from voxemo_tasks.render import (
    Frame,
    Menu,
    Shot,
    decoding_of,
    menu_from,
    menu_of,
    order_of,
    render,
)
from voxemo_tasks.specs import PromptSpec

LABELS = ("angry", "fear", "happy", "neutral", "sad")
CLIP = AudioRef(path="a.wav", sha256="0" * 64)


def ask(ref: str, menu: Menu | None, frame: Frame | None = None) -> Any:
    prompt, digest = registry.prompt(ref)
    return render(prompt, digest, menu, CLIP, decoding_of(prompt), frame)


@given(
    st.sampled_from(["registered", "rotated", "rotated_3", "permuted"]),
    st.text(max_size=8),
    st.integers(0, 5),
)
def test_every_order_is_a_permutation_that_only_its_inputs_decide(
    order: str, uid: str, seed: int
) -> None:
    places = order_of(LABELS, order, uid, seed)
    assert sorted(places) == list(range(5))
    assert places == order_of(LABELS, order, uid, seed)


def test_rotations_turn_and_permutations_spread() -> None:
    assert order_of(LABELS, "rotated_2", "u") == [2, 3, 4, 0, 1]
    assert order_of(LABELS, "rotated_5", "u") == [0, 1, 2, 3, 4]
    ids = [f"u{i}" for i in range(2000)]
    first = Counter(order_of(LABELS, "rotated", uid)[0] for uid in ids)
    assert all(320 < first[i] < 480 for i in range(5))  # 400 each; five standard deviations: 90
    permuted = Counter(tuple(order_of(LABELS, "permuted", uid)) for uid in ids)
    assert len(permuted) == 120
    other = [order_of(LABELS, "permuted", uid, 1) for uid in ids[:50]]
    assert other != [order_of(LABELS, "permuted", uid, 0) for uid in ids[:50]]
    with pytest.raises(OptionError, match="allowed: registered, rotated"):
        order_of(LABELS, "backwards", "u")


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("comma", "sad, angry, fear"),
        ("json", '["sad", "angry", "fear"]'),
        ("lettered", "\nA. sad\nB. angry\nC. fear\n"),
        ("numbered", "\n1. sad\n2. angry\n3. fear\n"),
        ("bullets", "\n- sad\n- angry\n- fear\n"),
    ],
)
def test_styles(style: Any, text: str) -> None:
    menu = menu_of(["angry", "fear", "sad"], "u", order="rotated_2", style=style)
    assert menu.text().replace("\x00", "") == text
    read_as = {
        "lettered": ["B. angry", "C. fear", "A. sad"],
        "numbered": ["2. angry", "3. fear", "1. sad"],
    }
    assert menu.read_as() == read_as.get(style, ["angry", "fear", "sad"])


def test_a_list_of_lines_swallows_the_full_stop_after_it() -> None:
    menu = menu_of(["angry", "sad"], "u", style="bullets")
    text = ask("direct_en@1", menu).text
    assert text.endswith("Choose one of: \n- angry\n- sad\nAnswer with the label only.")
    assert "\x00" not in text


def test_forms_and_languages() -> None:
    english, _ = registry.wording("en")
    assert menu_of(["angry", "fear"], "u", form="noun", wording=english).shown == ("anger", "fear")
    assert menu_of(["angry", "fear"], "u", form="adjective", wording=english).shown == (
        "angry",
        "fearful",
    )
    assert menu_of(["angry", "fear"], "u", wording=english).shown == ("angry", "fear")
    chinese, _ = registry.wording("zh-CN")
    shown = menu_of(["angry", "fear"], "u", wording=chinese).shown
    assert all(ord(word[0]) > 0x3000 for word in shown)
    with pytest.raises(LabelSetError, match="at least two"):
        menu_of(["angry"], "u")
    with pytest.raises(LabelSetError, match="26 letters for 27"):
        menu_of([f"l{i}" for i in range(27)], "u", style="lettered")


def test_verdicts_come_back_in_the_label_sets_names() -> None:
    chinese, _ = registry.wording("zh")
    menu = menu_of(LABELS, "u", order="permuted", wording=chinese)
    said = Verdict(
        "multiple",
        (menu.shown[4], menu.shown[0]),
        distribution={menu.shown[4]: 0.5, menu.shown[0]: 0.5},
        detail={"after": {"louder": menu.shown[0]}},
    )
    back = menu.canonical(said)
    assert back.labels == ("sad", "angry")
    assert back.distribution == {"sad": 0.5, "angry": 0.5}
    assert back.detail == {"after": {"louder": "angry"}}


@pytest.mark.parametrize(
    ("order", "style"),
    itertools.product(["registered", "rotated", "permuted"], ["comma", "lettered"]),
)
def test_a_scorer_makes_the_same_menu_again(order: str, style: Any) -> None:
    for uid in ("u1", "u2", "u3"):
        menu = menu_of(LABELS, uid, order=order, style=style, seed=4)
        member = {"label_order": order, "label_style": style, "shown": list(menu.shown)}
        again = menu_from(json.loads(json.dumps(member)), LABELS, uid, 4)
        assert again.read_as() == menu.read_as()


def test_shots_come_before_the_question_and_repetitions_in_it() -> None:
    menu = Menu.plain(LABELS)
    one, two = (AudioRef(path=f"{i}.wav", sha256=str(i) * 64) for i in (1, 2))
    frame = Frame(shots=(Shot(one, "sad"), Shot(two, "angry")), repeat_question=2, repeat_audio=3)
    request = ask("direct_en@1", menu, frame)
    assert [m["role"] for m in request.messages] == [
        *("user", "assistant", "user", "assistant", "user")
    ]
    assert request.messages[1]["content"] == [{"type": "text", "text": "sad"}]
    assert request.audio == (one, two, CLIP, CLIP, CLIP)
    last = request.messages[-1]["content"]
    assert [part.get("index") for part in last] == [2, 3, 4, None]
    question = request.messages[0]["content"][-1]["text"]
    assert question.count("Answer with the label only.") == 2
    assert last[-1]["text"] == question


def test_context_is_said_where_it_is_known_and_leaves_no_trace_where_not() -> None:
    menu = Menu.plain(LABELS)
    plain = ask("context_en@1", menu).text
    assert plain.startswith("What emotion")
    said = ask("context_en@1", menu, Frame(context={"language": "Urdu", "setting": ""})).text
    assert said == "The language is Urdu.\n" + plain


def test_ratings_are_asked_on_the_corpuss_scale() -> None:
    frame = Frame(dimensions=("valence", "arousal"), scale=(-3, 3))
    text = ask("dimensional_en@1", None, frame).text
    assert "Valence: from -3 (" in text
    assert "Dominance" not in text
    assert text.endswith("number keys valence, arousal.")
    with pytest.raises(OptionError, match="has no scale"):
        ask("dimensional_en@1", None)
    with pytest.raises(LabelSetError, match="needs a menu"):
        ask("direct_en@1", None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": "Which? {label}"}, "unknown placeholder"),
        ({"text": "Which?"}, "must use {labels}"),
        ({"text": "Which? {labels} {scales}"}, "has no place"),
        ({"text": "{context} {labels}"}, "belong together"),
        ({"text": "{labels}", "context": {"language": "It is said."}}, "belong together"),
        ({"text": "{context}{labels}", "context": {"language": "It is."}}, "must use {value}"),
        ({"text": "{labels} {"}, "doubled"),
        ({"text": "{labels}", "changes": {"louder": "x"}}, "belong together"),
    ],
)
def test_a_prompt_that_asks_wrongly_is_refused(changes: dict[str, Any], words: str) -> None:
    good = registry.prompt("direct_en@1")[0].model_dump(by_alias=True)
    with pytest.raises(ValueError, match=words.replace("{", r"\{")):
        PromptSpec.model_validate({**good, **changes})


def test_no_label_stands_in_a_prompt() -> None:
    """A menu comes from the label set alone."""
    for prompt in registry.prompts():
        words = set(prompt.text.casefold().replace(",", " ").replace(".", " ").split())
        assert not words & {"angry", "anger", "happy", "happiness", "sad", "sadness", "disgust"}


def test_every_ensemble_has_members_that_differ() -> None:
    sizes = {e.id: (len(e.members), e.samples) for e in registry.ensembles()}
    assert sizes == {"five_tiers": (5, 1), "paraphrase_8": (16, 1), "sample_10": (1, 10)}
    texts = {
        registry.prompt(m.prompt)[0].text for m in registry.ensemble("paraphrase_8")[0].members
    }
    assert len(texts) == 8
