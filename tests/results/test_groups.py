"""Rates of groups: what their intervals say that they were drawn over."""

from __future__ import annotations

import pytest

from voxemo_tasks.records import STATUSES
from voxemo_tasks.results.blocks import groups_block
from voxemo_tasks.results.counting import Tally


@pytest.mark.parametrize("known", [True, False])
def test_an_interval_says_speaker_only_where_speakers_are_known(known: bool) -> None:
    tally = Tally(("angry", "sad"))
    for n in range(80):
        document = {"utterance_id": str(n), "label": "sad", "culture": "XY"[n % 2]}
        if known or n % 4:  # half of culture X is without a speaker
            document["speaker"] = f"s{n % 10}"
        tally.documents.append(document)
        tally.statuses.append(STATUSES.index("answered" if n % 5 else "abstained"))
        tally.answers.append("sad" if n % 5 else None)
    rates = groups_block(tally, ["culture"], seed=1)["culture"].rates
    for metric in ("wa", "refusal"):
        x, y = rates[metric].groups
        assert y.interval.cluster == "speaker"
        assert x.interval.cluster == ("speaker" if known else None)
        assert x.interval.n_clusters == (5 if known else 1)
        assert rates[metric].gap_interval.cluster == ("speaker" if known else None)
