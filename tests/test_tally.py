"""One verdict per utterance from those on its replies; the limit on our own failures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxemo_tasks.records import STATUSES, Verdict
from voxemo_tasks.tally import count_statuses, plurality, too_many_failures

ANGRY, SAD = Verdict("answered", ("angry",)), Verdict("answered", ("sad",))
FAILED = Verdict("engine_error", rule="broken")


@pytest.mark.parametrize(
    ("verdicts", "status", "labels"),
    [
        ([ANGRY], "answered", ("angry",)),
        ([ANGRY, SAD, SAD], "answered", ("sad",)),
        ([ANGRY, SAD], "multiple", ("angry", "sad")),
        ([Verdict("abstained"), Verdict("abstained"), SAD], "answered", ("sad",)),
        ([Verdict("empty"), Verdict("abstained"), Verdict("empty")], "empty", ()),
        ([Verdict("empty"), Verdict("abstained")], "abstained", ()),  # order of STATUSES
        ([FAILED, SAD], "answered", ("sad",)),
        ([FAILED, FAILED], "engine_error", ()),
        ([Verdict("multiple", ("angry", "sad")), SAD], "answered", ("sad",)),
    ],
)
def test_plurality(verdicts: list[Verdict], status: str, labels: tuple[str, ...]) -> None:
    verdict = plurality(verdicts)
    assert (verdict.status, verdict.labels) == (status, labels)


RATED = Verdict("answered", values={"arousal": 3.0})


@pytest.mark.parametrize("others", ["unparsed", "multiple", "empty"])
def test_one_reply_that_rates_is_an_answer(others: str) -> None:
    """Ratings have no label, so most votes of a status must not outvote a rating."""
    silent = Verdict(others)  # type: ignore[arg-type]
    assert plurality([silent, RATED, silent]).status == "answered"
    assert plurality([silent, silent]).status == others


answers = st.sampled_from(["angry", "sad", "happy"]).map(lambda x: Verdict("answered", (x,)))
others = st.sampled_from(["abstained", "empty", "off_menu"]).map(lambda s: Verdict(s))


@given(st.lists(answers | others, min_size=1, max_size=9), st.randoms())
def test_the_order_of_replies_does_not_matter(verdicts: list[Verdict], random: object) -> None:
    shuffled = list(verdicts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = plurality(verdicts), plurality(shuffled)
    assert (one.status, set(one.labels)) == (two.status, set(two.labels))


def test_counts_hold_every_status() -> None:
    assert count_statuses([ANGRY, SAD, FAILED]) == dict.fromkeys(STATUSES, 0) | {
        "answered": 2,
        "engine_error": 1,
    }


@pytest.mark.parametrize(
    ("failed", "total", "too_many"),
    [(0, 1, False), (1, 1, False), (1, 2, False), (2, 39, True), (2, 40, False), (6, 100, True)],
)
def test_the_limit(failed: int, total: int, too_many: bool) -> None:
    assert too_many_failures(failed, total) is too_many
