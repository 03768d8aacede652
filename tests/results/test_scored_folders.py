"""Which folder is scored, what it may be divided by, and what may be put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from imported_runs import LABELS, imported, merged

from voxemo_tasks.cli import main
from voxemo_tasks.errors import OptionError
from voxemo_tasks.results import score_run, table_of

GOLD = {f"u{i}": LABELS[i % 4] for i in range(40)}


def rows(
    seed: int, speaker: Callable[[int], str | None] = lambda i: f"s{i % 8}"
) -> list[dict[str, object]]:
    said = np.random.default_rng(seed).choice(LABELS, len(GOLD))
    return [
        {
            "utterance": uid,
            "gold": gold,
            "reply": gold if i % 3 else str(said[i]),
            "speaker": speaker(i),
        }
        for i, (uid, gold) in enumerate(GOLD.items())
    ]


def test_a_folder_that_holds_one_run_stands_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path / "out" / "model", rows(1))
    assert main(["score", str(tmp_path / "out"), "--no-sensitivity"]) == 0
    assert (tmp_path / "out" / "model" / "results.json").is_file()
    imported(tmp_path / "out" / "other", rows(2))
    capsys.readouterr()
    assert main(["score", str(tmp_path / "out"), "--no-sensitivity"]) != 0
    said = capsys.readouterr().err
    assert "holds 2 run folders" in said
    assert str(tmp_path / "out" / "model") in said
    assert str(tmp_path / "out" / "other") in said


def test_dividing_by_what_nobody_has_lists_what_there_is(tmp_path: Path) -> None:
    run = imported(
        tmp_path / "run", [row | {"group": "ab"[i % 2]} for i, row in enumerate(rows(1))]
    )
    with pytest.raises(OptionError, match=r"'nosuch' is known of no .*allowed: .*group, .*speaker"):
        score_run(run, by=["group", "nosuch"], multiverse=False)
    assert set(score_run(run, by=["group"], multiverse=False).tasks["imported"].groups) == {"group"}


def test_the_table_counts_utterances_and_replies_apart(tmp_path: Path) -> None:
    several = [{**row, "reply": [row["reply"], row["gold"], "hm"]} for row in rows(1)]
    table = table_of(score_run(imported(tmp_path / "run", several), multiverse=False))
    assert "utterances:\n" in table
    assert "replies:\n" not in table
    assert "of 120 replies: 80 answered, 40 unparsed" in table


def test_a_rating_is_not_outvoted_by_silence(tmp_path: Path) -> None:
    made = [
        {
            "utterance": f"u{i}",
            "sample": str(k),
            "arousal": 1 + i % 7,
            "predicted_arousal": 1 + i % 7 if k == 1 else None,
        }
        for i in range(20)
        for k in range(3)
    ]
    run = imported(tmp_path / "run", made, labels=(), scale=(1.0, 7.0))
    task = score_run(run, multiverse=False).tasks["imported"]
    assert task.counts.statuses["answered"] == task.dimensional["arousal"].n_answered == 20


def together(tmp_path: Path, seeds: range, **how: Callable[[int], str | None]) -> Path:
    parts = [imported(tmp_path / f"r{t}", rows(t, **how), task=f"task{t}") for t in seeds]
    return merged(tmp_path / "run", parts)


def test_pooling_without_speakers_says_why_its_intervals_are_narrow(tmp_path: Path) -> None:
    run = together(tmp_path, range(2), speaker=lambda i: None if i == 3 else f"s{i % 8}")
    (pooled,) = score_run(run, multiverse=False).pooled
    assert pooled.hard["wa"].strict.interval.cluster is None
    (note,) = pooled.notes
    assert "the speaker of some is not known in task0, task1" in note
    (named,) = score_run(together(tmp_path / "b", range(2)), multiverse=False).pooled
    assert (named.notes, named.hard["wa"].strict.interval.cluster) == ([], "speaker")


def test_a_task_without_a_headline_is_no_corpus_of_the_summary(tmp_path: Path) -> None:
    run = together(tmp_path, range(4))
    everything = score_run(run, multiverse=False)
    assert [len(one.tasks) for one in everything.over_corpora] == [4, 4]
    lost = next(p for p in sorted((run / "replies").iterdir()))
    lines = lost.read_text().splitlines(keepends=True)
    lost.write_text("".join(lines[:-2]))  # replies that are gone: the run is incomplete
    results = score_run(run, multiverse=False)
    (gone,) = [name for name, task in results.tasks.items() if not task.headline]
    for one in results.over_corpora:
        assert gone not in one.tasks
        assert len(one.tasks) == 3
        assert any(
            n.startswith(f"{gone} is left out, it has no headline: 2 replies") for n in one.notes
        )
    assert any(note.startswith(f"{gone} has no headline") for note in results.pooled[0].notes)
