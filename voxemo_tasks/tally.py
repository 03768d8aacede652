"""From the verdicts on single replies to one per utterance, and the limit on our own failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .errors import OptionError
from .records import OURS, STATUSES, Status, Verdict
from .render import Menu
from .specs import AnyVerbalizer, CuesSpec, StructuredSpec
from .verbalize import FinishReason, verbalize

FAILURE_LIMIT = 0.05
"""Share of replies that may fail on our side (engine, judge) before a run fails."""

FAILURE_FLOOR = 1
"""So many failures never fail a run by themselves: one bad clip costs one row."""


def require_fitting(spec: AnyVerbalizer, *, ratings: bool) -> None:
    """Refuse a verbalizer that reads something else than was asked for.

    Raises:
        OptionError: For one that gives no labels where labels were asked for, or no ratings where
            ratings were.
    """
    rates = isinstance(spec, StructuredSpec) and spec.kind == "ratings"
    if rates != ratings or isinstance(spec, CuesSpec):
        wanted = "ratings on dimensions" if ratings else "labels"
        raise OptionError(
            f"verbalizer {spec.ref} ({spec.title}) cannot read this task, which asked for {wanted}"
        )


def read_reply(
    text: str,
    finish_reason: str,
    menu: Menu | None,
    spec: AnyVerbalizer,
    dimensions: Sequence[str] = (),
    scale: tuple[float, float] | None = None,
) -> Verdict:
    """The verdict on the text of a reply, in the label set's own names."""
    reason: FinishReason = "length" if finish_reason == "length" else "stop"
    if menu is None:
        return verbalize(text, dimensions, spec, finish_reason=reason, scale=scale)
    return menu.canonical(verbalize(text, menu.read_as(), spec, finish_reason=reason))


def too_many_failures(failed: int, total: int) -> bool:
    """Whether our own failures are beyond the registered limit.

    Example:
        >>> too_many_failures(1, 4), too_many_failures(2, 4), too_many_failures(4, 100)
        (False, True, False)
    """
    return failed > FAILURE_FLOOR and failed > FAILURE_LIMIT * total


def plurality(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on an utterance from those on its replies (prompts × samples).

    Each reply votes with its answer, a non-answer votes for its status, our own failures do not
    vote. The label with most votes wins. A tie between labels is ``multiple``: it is not broken by
    order or chance. Non-answers win only where no reply answered; then their commonest status is
    the utterance's (ties by the order of ``STATUSES``). Ratings have no label to vote for: one reply
    that rates makes the utterance ``answered`` (its rating is the mean of those that do).

    Args:
        verdicts: At least one.

    Returns:
        The single verdict itself where there is only one; ``engine_error`` where all failed on our
        side.

    Example:
        >>> a, s = Verdict("answered", ("angry",)), Verdict("answered", ("sad",))
        >>> plurality([a, s, a]).answer
        'angry'
        >>> plurality([a, s]).status
        'multiple'
    """
    if len(verdicts) == 1:
        return verdicts[0]
    voting = [v for v in verdicts if v.status not in OURS]
    if not voting:
        return verdicts[0]
    votes = Counter(v.answer for v in voting if v.answer is not None)
    cut = any(v.cut for v in voting)
    if votes:
        most = max(votes.values())
        winners = tuple(label for label, n in votes.items() if n == most)
        status: Status = "answered" if len(winners) == 1 else "multiple"
        return Verdict(status, winners, rule="plurality", cut=cut)
    counts = Counter(v.status for v in voting)
    if counts["answered"]:
        return Verdict("answered", rule="plurality", cut=cut)
    commonest = max(STATUSES, key=lambda s: counts.get(s, 0))
    return Verdict(commonest, rule="plurality", cut=cut)


def count_statuses(verdicts: Iterable[Verdict]) -> Mapping[str, int]:
    """Number of verdicts of every status, zeros included."""
    counts = Counter(v.status for v in verdicts)
    return {status: counts.get(status, 0) for status in STATUSES}
