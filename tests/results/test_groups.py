"""Rates of groups: what their intervals say that they were drawn over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voxemo_tasks.results import score_run
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
