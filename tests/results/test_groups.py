"""Rates of groups: what their intervals say that they were drawn over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from imported_runs import imported

from voxemo_tasks.results import score_run, table_of
from voxemo_tasks.results.importing import import_predictions


@pytest.mark.parametrize("known", [True, False])
def test_an_interval_says_speaker_only_where_speakers_are_known(
    known: bool, tmp_path: Path
) -> None:
    rows = []
    for n in range(80):
        said = "sad" if n % 5 else "I cannot tell."
        row = {"id": str(n), "gold": ("sad", "angry")[n % 3 == 0], "culture": "XY"[n % 2]}
        # Half of culture X may be without a speaker.
        rows.append(row | {"reply": said, "speaker": f"s{n % 10}" if known or n % 4 else None})
    table = tmp_path / "t.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"utterance": "id", **{k: k for k in ("gold", "reply", "culture", "speaker")}}
    import_predictions(table, columns, tmp_path / "run", labels=("angry", "sad"))
    (task,) = score_run(tmp_path / "run", by=["culture"], multiverse=False).tasks.values()
    rates = task.groups["culture"].rates
    for metric in ("wa", "refusal"):
        x, y = rates[metric].groups
        assert y.interval.cluster == "speaker"
        assert x.interval.cluster == ("speaker" if known else None)
        assert x.interval.n_clusters == (5 if known else 1)
        assert rates[metric].gap_interval.cluster == ("speaker" if known else None)


def test_human_against_synthesised_speech_is_in_the_table(tmp_path: Path) -> None:
    rows = [
        {
            "utterance": f"u{i}",
            "gold": "sad" if i % 2 else "happy",
            "reply": "sad" if i % 2 or i in (4, 12, 20, 128) else "happy",
            "speaker": f"s{i % 5}",
            "synthesis": "human" if i < 120 else "tts",
        }
        for i in range(180)
    ]
    results = score_run(imported(tmp_path / "run", rows, labels=("happy", "sad")))
    uar = results.tasks["imported"].groups["synthesis"].rates["uar"]
    human = next(one for one in uar.groups if one.group == "human")
    rate = (1 + 57 / 60) / 2  # of 60 happy clips 4, 12 and 20 are taken for sad
    other = (1 + 29 / 30) / 2  # of 30 the clip 128
    assert human.value == pytest.approx(rate)
    assert human.difference_from_rest == pytest.approx(rate - other)
    line = next(x for x in table_of(results).splitlines() if "synthesised" in x)
    assert f"uar {100 * rate:.1f} human (of 120), {100 * other:.1f} tts (of 60)" in line
    assert f"human less the rest {100 * (rate - other):.1f} [" in line
