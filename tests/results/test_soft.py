"""A model's distribution from its replies: whose doing each share is."""

from __future__ import annotations

import numpy as np

from voxemo_tasks.records import Verdict
from voxemo_tasks.results.counting import Tally
from voxemo_tasks.results.soft import shares_of


def test_a_failure_of_ours_is_no_share_outside_the_menu() -> None:
    tally = Tally(("angry", "sad"))
    tally.documents, tally.statuses, tally.answers = [{"utterance_id": "a"}], [0], ["sad"]
    given = Verdict("answered", ("sad",), distribution={"angry": 0.25, "sad": 0.75})
    tally._add(0, 0, 0, given)
    tally._add(0, 1, 0, Verdict("engine_error"))
    tally._add(0, 2, 0, Verdict("unparsed"))  # the model's own: outside the menu
    np.testing.assert_allclose(shares_of(tally), [[0.125, 0.375, 0.5]], atol=1e-12)
