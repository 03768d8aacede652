"""Tables of predictions from elsewhere: nothing dropped, nothing overwritten, nothing guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from imported_runs import imported

from voxemo_tasks.errors import OptionError
from voxemo_tasks.results import score_run, table_of
from voxemo_tasks.results.importing import Imported, import_predictions
from voxemo_tasks.store import read_run

LABELS = ("angry", "happy", "sad")


def bring(tmp_path: Path, rows: list[dict[str, Any]], **columns: str) -> Imported:
    file = tmp_path / "predictions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"utterance": "id", "reply": "said", "gold": "gold"} | columns
    return import_predictions(file, columns, tmp_path / "run", labels=LABELS)


def test_votes_for_two_words_of_one_label_add_up(tmp_path: Path) -> None:
    votes = {"anger": 2, "angry": 1, "sad": 1}
    bring(tmp_path, [{"id": "a", "said": "sad", "gold": "angry", "v": votes}], votes="v")
    run = read_run(tmp_path / "run")
    _, (document,) = run.documents(run.asked[0].documents)
    assert document["votes"] == {"angry": 3, "sad": 1}


@pytest.mark.parametrize("golds", [("sad", None), (None, "sad")])
def test_a_gold_label_in_some_rows_of_an_utterance_only_is_an_error(
    tmp_path: Path, golds: tuple[str | None, str | None]
) -> None:
    rows = [{"id": "a", "said": "sad", "gold": gold, "n": n} for n, gold in enumerate(golds)]
    with pytest.raises(OptionError, match=r"line 2, .*'a' stands in line 1 too, with another"):
        bring(tmp_path, rows, sample="n")


@pytest.mark.parametrize("nothing", [None, "", [], float("nan")])
def test_no_reply_is_an_empty_one_and_not_a_row_less(tmp_path: Path, nothing: Any) -> None:
    rows = [{"id": "a", "said": nothing, "gold": "sad"}, {"id": "b", "said": "sad", "gold": "sad"}]
    bring(tmp_path, rows)
    task = score_run(tmp_path / "run", multiverse=False).tasks["imported"]
    assert task.counts.scored == 2
    assert task.counts.statuses["empty"] == 1
    assert task.hard["wa"].strict.value == 0.5


def test_a_reply_that_is_an_object_stays_json(tmp_path: Path) -> None:
    bring(tmp_path, [{"id": "a", "said": {"emotion": "sad"}, "gold": "sad"}])
    run = read_run(tmp_path / "run")
    reply = run.reply(f"{run.asked[0].request}:0")
    assert reply is not None
    assert json.loads(reply.text) == {"emotion": "sad"}


def test_the_table_says_how_answers_go_with_both_gold_columns(tmp_path: Path) -> None:
    table = tmp_path / "two.csv"
    rows = [("sad", "sad", "angry"), ("angry", "angry", "angry"), ("dunno", "sad", "sad")] * 8
    table.write_text("said,one,two\n" + "\n".join(",".join(row) for row in rows) + "\n")
    columns = {"reply": "said", "gold": "one", "gold2": "two"}
    import_predictions(table, columns, tmp_path / "run", labels=("angry", "sad"))
    results = score_run(tmp_path / "run", multiverse=False)
    second = results.tasks["imported"].association["gold2"].cramers_v["strict"]
    text = table_of(results)
    assert "answers and gold: Cramér's V 1.000" in text
    assert f"answers and gold2: Cramér's V {second.value:.3f}" in text


def test_lists_of_samples_under_several_prompts(tmp_path: Path) -> None:
    rows = [
        {"utterance": "u0", "gold": "sad", "prompt": prompt, "reply": said}
        for prompt, said in (("a", ["sad", "sad"]), ("b", ["sad", "happy"]))
    ]
    counts = score_run(imported(tmp_path / "run", rows)).tasks["imported"].counts
    assert counts.reply_statuses["answered"] == 4
    with pytest.raises(OptionError, match="has a prediction in line 1 already"):
        imported(tmp_path / "twice", [rows[0], rows[0]])
