"""Several judges → one answer.

A mean can be pulled anywhere by one broken judge; a plurality of at least two and a median cannot
(Verga et al. 2024, arXiv 2404.18796, on panels; the notes on RoPoLL, arXiv 2606.30931).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..specs import JudgeAnswer


@dataclass(frozen=True, slots=True)
class Consensus:
    """What a panel says.

    Attributes:
        answer: ``None`` where it says nothing.
        agreeing: Judges that gave this very answer (of a median: that gave a score).
        voting: Judges whose judgement could be used.
        problem: Why there is no answer.
    """

    answer: JudgeAnswer | float | None
    agreeing: int
    voting: int
    problem: str | None = None


def consensus(rule: str, answers: Mapping[str, JudgeAnswer | None]) -> Consensus:
    """The panel's answer.

    Args:
        rule: ``plurality_of_two``: the commonest answer, given by at least two judges and by more
            than any other. ``median``: of the scores of at least two judges; an answer that is no
            score where at least half of the judges give it. ``single``: of one judge.
            Whatever the rule, a panel of one says what its judge says.
        answers: Judge → its answer; ``None`` where its judgement failed. A failed judgement has no
            vote.

    Example:
        >>> consensus("plurality_of_two", {"a": "sad", "b": "sad", "c": "angry"}).answer
        'sad'
        >>> consensus("plurality_of_two", {"a": "sad", "b": None, "c": "angry"}).problem
        'no two judges agree'
        >>> consensus("median", {"a": 1, "b": 4, "c": 5}).answer
        4
    """
    given = [answer for answer in answers.values() if answer is not None]
    if not given:
        return Consensus(None, 0, 0, "every judge failed")
    if len(answers) == 1 or rule == "single":
        return Consensus(given[0], 1, len(given))
    if rule == "median":
        return _median(given)
    (best, n), *others = Counter(given).most_common(2)
    if n < 2:
        return Consensus(None, 0, len(given), "no two judges agree")
    if others and others[0][1] == n:
        return Consensus(None, n, len(given), "the judges are divided")
    return Consensus(best, n, len(given))


def _median(given: list[JudgeAnswer]) -> Consensus:
    if len(given) < 2:
        return Consensus(None, 0, len(given), "only one judge of the panel could be used")
    scores = [answer for answer in given if not isinstance(answer, str)]
    texts = Counter(answer for answer in given if isinstance(answer, str))
    if texts:
        commonest, n = texts.most_common(1)[0]
        if 2 * n >= len(given):
            return Consensus(commonest, n, len(given))
    middle = statistics.median(scores)
    return Consensus(int(middle) if middle == int(middle) else middle, len(scores), len(given))


def leave_one_out(rule: str, answers: Mapping[str, JudgeAnswer | None]) -> dict[str, Consensus]:
    """Judge → what the panel says without it; empty for a panel of one.

    Example:
        >>> without = leave_one_out("median", {"a": 1, "b": 4, "c": 5})
        >>> {judge: said.answer for judge, said in without.items()}
        {'a': 4.5, 'b': 3, 'c': 2.5}
    """
    if len(answers) < 2:
        return {}
    return {
        judge: consensus(rule, {other: a for other, a in answers.items() if other != judge})
        for judge in answers
    }
