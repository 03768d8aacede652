"""What intervals redraw: speakers, dialogues where the card says so or speakers are not known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from imported_runs import LABELS, hard_rows, imported

from voxemo_tasks.results.asking import asked_by_task, read_task
from voxemo_tasks.results.collecting import collect
from voxemo_tasks.results.counting import Tally
from voxemo_tasks.results.reading import Reading
from voxemo_tasks.results.score import score_run
from voxemo_tasks.store import read_run

UIDS = [f"u{i:02d}" for i in range(24)]
GOLD = {uid: LABELS[i % 4] for i, uid in enumerate(UIDS)}
SAID = {uid: LABELS[(i + (i % 5 == 0)) % 4] for i, uid in enumerate(UIDS)}


def speaker(uid: str) -> str:
    return f"s{int(uid[1:]) % 3}"


def dialogue(uid: str) -> str:
    return f"d{int(uid[1:]) // 4}"


def tally_of(folder: Path, **corpus: str) -> Tally:
    """The tally of a run whose card said something more."""
    run = read_run(folder)
    ((task, rows),) = asked_by_task(run).items()
    one = read_task(run, task, rows)
    header = one.header | {"corpus": one.header["corpus"] | corpus}
    one = replace(one, reading=Reading.of(header, one.reading.labels, one.reading.spec))
    collector = one.collector()
    collect(run, [collector])
    return collector.tally()


@pytest.mark.parametrize(
    ("facts", "unit", "clusters"),
    [
        ({"speaker": speaker, "dialogue": dialogue}, "speaker", 3),
        ({"dialogue": dialogue}, "dialogue", 6),
        ({"speaker": lambda u: speaker(u) if u != "u07" else None, "dialogue": dialogue},
         "dialogue", 6),
        ({}, None, 1),
    ],
)  # fmt: skip
def test_the_unit_and_its_number_are_in_every_interval(
    tmp_path: Path, facts: dict[str, Any], unit: str | None, clusters: int
) -> None:
    rows = hard_rows(SAID, GOLD, gender=lambda u: "fm"[int(u[1:]) % 2], **facts)
    result = score_run(imported(tmp_path / "run", rows)).tasks["imported"]
    for name in ("uar", "wa", "coverage"):
        interval = result.hard[name].strict.interval
        assert interval is not None
        assert (interval.cluster, interval.n_clusters) == (unit, clusters)
    assert {gaps.gap_interval.cluster for gaps in result.groups["gender"].rates.values()} == {unit}


def test_a_card_may_ask_for_dialogues(tmp_path: Path) -> None:
    rows = hard_rows(SAID, GOLD, speaker=speaker, dialogue=dialogue)
    folder = imported(tmp_path / "run", rows)
    plain, asked = tally_of(folder), tally_of(folder, cluster="dialogue")
    assert (plain.unit, len(plain.confusions()[0])) == ("speaker", 3)
    assert (asked.unit, len(asked.confusions()[0])) == ("dialogue", 6)
    assert (plain.confusion().counts == asked.confusion().counts).all()


def test_equal_limits_are_no_certainty(tmp_path: Path) -> None:
    rows = hard_rows(SAID, GOLD, speaker=speaker)
    hard = score_run(imported(tmp_path / "run", rows)).tasks["imported"].hard
    coverage, uar = hard["coverage"].strict.interval, hard["uar"].strict.interval
    assert coverage is not None
    assert (coverage.low, coverage.high) == (1.0, 1.0)
    assert "the same value" in (coverage.reason or "")
    assert uar is not None
    assert uar.low != uar.high
    assert uar.reason is None
