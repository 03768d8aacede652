"""The verbalizer against its table of cases, its own examples, laws, and independent replies."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voxemo_tasks import registry
from voxemo_tasks.cli.verbalize import read
from voxemo_tasks.errors import OptionError
from voxemo_tasks.records import STATUSES
from voxemo_tasks.verbalize import compiled_words, failing_examples, verbalize

SPEC, _ = registry.verbalizer("closed_set")
CASES = Path(__file__).parents[1] / "data" / "verbalizer_cases_en.jsonl"
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
EXAMPLES = int(os.environ.get("VOXEMO_FUZZ", "300"))
"""Texts to try; 100,000 a night."""
MENU = ["neutral", "joy", "disgust", "sadness", "surprise", "anger", "fear"]


def outcome(reply: str, menu: list[str], reason: Any = "stop") -> tuple[str, set[str]]:
    verdict = verbalize(reply, menu, SPEC, finish_reason=reason)
    return verdict.status, set(verdict.labels)


@pytest.mark.parametrize("row", ROWS, ids=[f"{i}-{row['tag']}" for i, row in enumerate(ROWS)])
def test_case(row: dict[str, Any]) -> None:
    assert outcome(row["reply"], row["menu"]) == (row["status"], set(row["labels"]))


def test_the_table_covers_every_status() -> None:
    assert {row["status"] for row in ROWS} == {
        "answered",
        "multiple",
        "off_menu",
        "abstained",
        "unparsed",
        "empty",
    }
    assert len({(row["reply"], tuple(row["menu"])) for row in ROWS}) == len(ROWS) >= 200


def test_registered_examples_hold() -> None:
    for spec in registry.verbalizers():
        assert failing_examples(spec) == []
    assert len(SPEC.examples) >= 60


def test_an_example_that_fails_is_found() -> None:
    wrong = SPEC.examples[0].model_copy(update={"status": "empty", "labels": []})
    spec = SPEC.model_copy(update={"examples": [*SPEC.examples, wrong]})
    (failing,) = failing_examples(spec)
    assert failing.index == len(SPEC.examples)


def test_replies_of_speech_llms_that_nobody_here_wrote(shared: Path) -> None:
    """Agreement of (status, label set) with independently coded replies: at least .97."""
    file = shared / "data" / "replies" / "replies.jsonl"
    if not file.is_file():
        pytest.skip(f"no independent replies: {file} is missing")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    wrong = [
        row["reply"]
        for row in rows
        if outcome(row["reply"], row["menu"]) != (row["status"], set(row["labels"]))
    ]
    assert len(rows) >= 50
    assert len(wrong) <= 0.03 * len(rows), wrong


@pytest.mark.parametrize(
    ("reply", "reason", "status"),
    [
        ("The audio is ab", "length", "truncated"),
        ("The emotion is sadness because the sp", "length", "answered"),
        ("", "length", "truncated"),
        ("", "stop", "empty"),
        (" \n\t ", "stop", "empty"),
        ("I cannot tell, as the", "length", "abstained"),
    ],
)
def test_a_cut_reply_is_truncated_only_without_an_answer(
    reply: str, reason: Any, status: str
) -> None:
    verdict = verbalize(reply, MENU, SPEC, finish_reason=reason)
    assert verdict.status == status
    assert verdict.cut is (reason == "length")


PIECES = st.sampled_from(
    [
        *("angry", "sad", "joyful", "not", "no", ".", ",", "but", "or", "neither", "nor", "calm"),
        *("<think>", "</think>", "{", "}", '"', "emotion", ":", "[", "]", "\\boxed{", "A", "(B)"),
        *("I cannot", "\n", " ", "’", "\u202e", "\ud800", "\x00", "ی", "不", "😡", "80%", "more"),
    ]
)
TEXTS = st.text() | st.lists(PIECES).map(" ".join) | st.lists(PIECES).map("".join)


@given(TEXTS, st.permutations(MENU), st.sampled_from(["stop", "length"]))
@example("{" * 5000, MENU, "stop")
@example("not " * 5000 + "sad", MENU, "stop")
@settings(max_examples=EXAMPLES, deadline=None)
def test_any_text_has_a_verdict(text: str, menu: list[str], reason: Any) -> None:
    verdict = verbalize(text, menu, SPEC, finish_reason=reason)
    assert verdict.status in STATUSES
    assert set(verdict.labels) <= set(menu)
    expected = {"answered": (1, 1), "multiple": (2, len(menu))}.get(verdict.status, (0, 0))
    assert expected[0] <= len(verdict.labels) <= expected[1]
    if verdict.span is not None:
        assert 0 <= verdict.span[0] < verdict.span[1] <= len(text)
    assert verdict.rule
    # The menu's order is no evidence.
    again = verbalize(text, MENU, SPEC, finish_reason=reason)
    assert (again.status, set(again.labels)) == (verdict.status, set(verdict.labels))


OPERATORS = (
    *(
        "not",
        "might be",
        "slightly",
        "overall",
        "mainly",
        "but",
        "because",
        "the text",
        "the voice",
    ),
    *("The speaker", "sounds", "is", "if", "absent", "no", "emotion", "the listener", "or", "and"),
    *("perhaps", "is ruled out", "nicht", "kein", "ist", "no se puede", "tone", "1", "a", "the"),
    *("cannot be determined", "talks about", "says", "I am", "happy to help", "Answer:", "loud"),
    *("dominant", "is the dominant emotion", "to a lesser extent", "secondary", "low"),
)
MARKS = (
    " ",
    " ",
    " ",
    " ",
    ", ",
    ". ",
    ": ",
    " - ",
    "; ",
    "! ",
    "? ",
    "\n",
    ' "',
    " (",
    ") ",
    "'s ",
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*OPERATORS, *OPERATORS, "sad", "angry", "calm", "wütend", "joyful"]),
            st.sampled_from(MARKS),
        ),
        min_size=1,
        max_size=9,
    )
)
@settings(max_examples=int(os.environ.get("VOXEMO_FUZZ", "1000")), deadline=None)
def test_the_short_way_says_what_the_long_way_says(parts: list[tuple[str, str]]) -> None:
    """The trace always takes the long way."""
    reply = "".join(word + mark for word, mark in parts)
    read = compiled_words(registry.lexical("closed_set")[0], tuple(MENU))
    assert read(reply) == read.trace(reply).verdict


def test_both_ways_agree_on_the_case_tables() -> None:
    tables = [CASES, *sorted((CASES.parent / "verbalizer_cases").glob("*.jsonl"))]
    rows = [json.loads(x) for f in tables for x in f.read_text(encoding="utf-8").splitlines() if x]
    assert len(rows) > 1000
    spec = registry.lexical("closed_set")[0]
    for row in rows:
        read = compiled_words(spec, row["menu"])
        assert read(row["reply"]) == read.trace(row["reply"]).verdict, row


def test_case_and_surrounding_space_do_not_matter() -> None:
    rng = random.Random(0)
    plain = [r for r in ROWS if r["tag"] in ("plain", "hedge", "multiple", "off_menu")]
    for row in rng.sample(plain, 30):
        wanted = (row["status"], set(row["labels"]))
        assert outcome(f"\n  {row['reply']} \t", row["menu"]) == wanted
        assert outcome(row["reply"].lower(), row["menu"]) == wanted


def test_a_megabyte_is_read_in_linear_time() -> None:
    import time

    def seconds(n: int) -> float:
        text = "The speaker does not sound sad, nor angry; " * n
        begin = time.perf_counter()
        verbalize(text, MENU, SPEC)
        return time.perf_counter() - begin

    seconds(100)
    one, eight = seconds(3000), seconds(24000)  # 1 MB
    assert eight < 24 * one + 0.5  # 8 × where linear, 64 × where quadratic


def test_jsonl_in_jsonl_out() -> None:
    lines = [
        json.dumps({"reply": "sounds sad", "menu": MENU, "id": 7}).encode(),
        b"",
        json.dumps({"reply": "", "menu": ["a", "b"]}).encode(),
    ]
    first, second = read(lines, SPEC)
    assert (first["id"], first["status"], first["labels"]) == (7, "answered", ["sadness"])
    assert "sounds sad"[slice(*first["span"])] == "sad"
    assert second["status"] == "empty"


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"reply": 3, "menu": ["a"]}', b'{"reply": "a"}'])
def test_a_bad_line_is_named(line: bytes) -> None:
    with pytest.raises(OptionError, match="line 2"):
        list(read(io.BytesIO(b'{"reply": "a", "menu": ["a", "b"]}\n' + line + b"\n"), SPEC))


def test_the_commands() -> None:
    command = [sys.executable, "-m", "voxemo_tasks.cli", "verbalize"]
    row = json.dumps({"reply": "She is furious", "menu": MENU})
    done = subprocess.run([*command, "run"], input=row, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["labels"] == ["anger"]
    shown = subprocess.run(
        [*command, "explain", "not sad but angry", "--menu", "sad,angry"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "verdict     answered angry" in shown.stdout


def test_a_scale_that_is_no_pair_of_numbers_is_told_with_its_line() -> None:
    line = b'{"reply": "sad", "menu": ["sad", "angry"], "scale": ["a", "b"]}'
    with pytest.raises(OptionError, match="standard input, line 1: scale is"):
        list(read([line], registry.verbalizer("closed_set")[0]))
