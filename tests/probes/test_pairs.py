"""Minimal pairs: the file, what is asked, what is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from probe_models import after, utterances

from voxemo_tasks import registry
from voxemo_tasks.corpora import Manifest, prepared
from voxemo_tasks.corpora.manifest import table_of
from voxemo_tasks.errors import OptionError
from voxemo_tasks.results.model import TaskResult
from voxemo_tasks.results.probes.lines import probe_lines
from voxemo_tasks.results.probes.pairs import _by
from voxemo_tasks.tasks.documents import select
from voxemo_tasks.tasks.options import parse_options
from voxemo_tasks.tasks.pairs import read_pairs

HEAD = "pair,dimension,variant,utterance\n"


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_both_ways_of_writing_are_one(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", HEAD + "p1,irony,literal,u1\np1,irony,ironic,u2\n")
    line = {"pair": "p1", "dimension": "irony", "utterances": {"literal": "u1", "ironic": "u2"}}
    lines = write(tmp_path / "a.jsonl", json.dumps(line) + "\n\n")
    found = read_pairs(table)
    assert found.digest == read_pairs(lines).digest
    assert found.of["u2"] == ({"pair": "p1", "dimension": "irony", "variant": "ironic", "size": 2},)
    listed = write(
        tmp_path / "b.jsonl",
        '{"pair": "p", "dimension": "laughter", "utterances": ["x", "y", "z"]}',
    )
    assert [read_pairs(listed).of[u][0]["variant"] for u in "xyz"] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", HEAD + "p1,irony,literal,u1\n", "one member"),
        ("a.csv", HEAD + "p1,,x,u1\n", "line 2: dimension is missing"),
        ("a.csv", HEAD + "p1,irony,x,u1\np1,irony,x,u2\n", "line 3.*variant 'x'"),
        ("a.csv", HEAD + "p1,irony,x,u1\np1,irony,y,u1\n", "line 3.*'u1' already"),
        ("a.csv", HEAD, "holds no pair"),
        ("a.jsonl", "[1]", "expected an object"),
        ("a.jsonl", "{", "line 1: not JSON"),
        ("a.jsonl", '{"pair": "p", "dimension": "d", "utterances": 3}', "must be an object"),
        ("a.txt", "x", "must end in"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_pairs(write(tmp_path / name, text))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        read_pairs(str(tmp_path / "none.csv"))


def test_pairs_of_mini(ask: Callable[..., TaskResult], tmp_path: Path) -> None:
    """Ten pairs by speaker; the model hears the difference in those of even number."""
    found = utterances()
    rows, said = [HEAD], []
    for i in range(10):
        a, b = found[2 * i], found[2 * i + 1]
        rows += [f"p{i},irony,literal,{a.utterance_id}\n", f"p{i},irony,ironic,{b.utterance_id}\n"]
        first = str(a.label)
        said += [
            {"path": a.path, "reply": first},
            {"path": b.path, "reply": after(first, 1) if i % 2 == 0 else first},
        ]
    file = write(tmp_path / "pairs.csv", "".join(rows))
    some = ask(said, metadata={"pairs": file}, limit=6, name="some")
    assert some.probes is not None
    assert (some.probes.pairs[0].pairs, some.probes.pairs[0].incomplete) == (3, 0)
    result = ask(said, metadata={"pairs": file})
    assert result.counts.asked == 20
    assert result.probes is not None
    (dimension,) = result.probes.pairs
    assert (dimension.dimension, dimension.pairs, dimension.incomplete) == ("irony", 10, 0)
    assert dimension.differs.value == dimension.shift.value == 0.5
    assert sum(dimension.moves.values()) == 10
    right = [
        found[2 * i + 1].label == (after(str(found[2 * i].label), 1) if i % 2 == 0 else found[2 * i].label)
        for i in range(10)
    ]  # fmt: skip
    assert dimension.both_right is not None
    assert dimension.both_right.value == sum(right) / 10


def test_half_a_pair_is_not_counted(ask: Callable[..., TaskResult], tmp_path: Path) -> None:
    found = utterances()
    ids = [u.utterance_id for u in found[:4]]
    file = write(
        tmp_path / "p.csv",
        HEAD + "".join(f"p{i // 2},laughter,{i % 2},{uid}\n" for i, uid in enumerate(ids)),
    )
    said: list[dict[str, Any]] = [{"path": found[3].path, "error": "broken"}, {"reply": "sad"}]
    result = ask(said, metadata={"pairs": file})
    assert result.probes is not None
    (dimension,) = result.probes.pairs
    assert (dimension.pairs, dimension.incomplete) == (1, 1)
    assert dimension.differs.value == 0.0


def test_pairs_of_utterances_that_are_not_there(
    ask: Callable[..., TaskResult], tmp_path: Path
) -> None:
    file = write(tmp_path / "p.csv", HEAD + "p,irony,a,nobody\np,irony,b,noone\n")
    with pytest.raises(OptionError, match=r"2 of 2 utterances are not in the corpus, e.g. nobody"):
        ask([{"reply": "sad"}], metadata={"pairs": file})


def test_members_of_pairs_need_no_gold_label(mini_home: Path, tmp_path: Path) -> None:
    manifest = prepared("mini").manifest()
    table = table_of(replace(u, label=None, raw_label=None) for u in utterances())
    unlabelled = Manifest(manifest.path, manifest.facts, manifest.root, table)
    card = registry.corpus("mini")[0]
    ids = [u.utterance_id for u in utterances()[:2]]
    file = write(tmp_path / "p.csv", HEAD + "".join(f"p,irony,{u},{u}\n" for u in ids))
    options = parse_options({"pairs": file}, strict=True)
    selection = select(card, unlabelled, card.label_set(None), options)
    assert [unlabelled.row(row).utterance_id for row in sorted(selection.rows)] == ids
    with pytest.raises(OptionError, match="selects no utterance"):
        select(card, unlabelled, card.label_set(None), parse_options({}, strict=True))


def test_what_members_share_is_counted_when_the_task_is_built(
    ask: Callable[..., TaskResult], tmp_path: Path
) -> None:
    """Under plain lm-eval as under our own command: it stands in the header of the documents."""
    by_words: dict[str, list[Any]] = {}
    for u in utterances():
        by_words.setdefault(str(u.transcript), []).append(u)
    two = next(us for us in by_words.values() if len({u.speaker for u in us}) > 1)
    first = two[0]
    other = next(u for u in two if u.speaker != first.speaker)
    foreign = next(u for u in utterances() if u.language != first.language)
    file = tmp_path / "pairs.csv"
    lines = [f"p1,irony,a,{first.utterance_id}", f"p1,irony,b,{other.utterance_id}"]
    lines += [f"p2,irony,a,{first.utterance_id}", f"p2,irony,b,{foreign.utterance_id}"]
    file.write_text("pair,dimension,variant,utterance\n" + "\n".join(lines) + "\n")
    result = ask([{"reply": "sad"}], metadata={"pairs": str(file)})
    assert result.probes is not None
    (found,) = result.probes.pairs
    assert found.stimuli == {
        "words": {"same": 1, "other": 1, "unknown": 0},
        "speaker": {"same": 0, "other": 2, "unknown": 0},
        "language": {"same": 1, "other": 1, "unknown": 0},
    }
    lines = probe_lines(result.probes)
    assert "  2 of these pairs differ in their speaker too" in lines
    assert "  1 of these pairs differ in their language too" in lines


def test_words_are_compared_without_capitals_and_marks(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(
        "pair,dimension,variant,utterance\np,irony,a,u1\np,irony,b,u2\nq,irony,a,u1\nq,irony,b,u3\n"
    )
    facts = {
        "utterance_id": ["u1", "u2", "u3"],
        "transcript": ["Oh, great!", "oh great", None],
        "speaker": ["s", "s", "s"],
        "language": [None, None, None],
    }
    assert read_pairs(str(file)).shared(facts)["irony"] == {
        "words": {"same": 1, "other": 0, "unknown": 1},
        "speaker": {"same": 2, "other": 0, "unknown": 0},
        "language": {"same": 0, "other": 0, "unknown": 2},
    }


def test_cultures_of_one_speaker_each_give_no_interval_of_the_interaction() -> None:
    documents = [{"culture": c, "speaker": s} for c, s in (("DE", "a"), ("DE", "b"), ("US", "c"))]
    _, interaction = _by([1.0, 0.0, 0.0], documents, seed=1)
    found = interaction["culture"]
    assert (found.value, found.n) == (0.5, 3)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high, found.interval.method) == (None, None, "none")
    assert found.interval.reason is not None
    assert "in US;" in found.interval.reason


def test_pairs_without_speakers_are_redrawn_one_by_one() -> None:
    documents = [{"culture": "DE" if i < 12 else "US"} for i in range(24)]
    differs = [1.0] * 8 + [0.0] * 4 + [1.0] * 2 + [0.0] * 10
    found = _by(differs, documents, seed=1)[1]["culture"]
    assert found.value == pytest.approx(0.5)
    assert found.interval is not None
    assert found.interval.low is not None
    assert found.interval.high is not None
    assert found.interval.low < 0.4 < 0.6 < found.interval.high
    assert (found.interval.cluster, found.interval.n_clusters) == (None, 24)
