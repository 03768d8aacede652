"""Replies that hold more than a label: shares, ratings, what a change would do.

They are asked for as JSON, and models write it with single quotes, percent signs, comments, as
plain lines, or are cut in the middle. What is read is the key-value pairs of the last object in the
reply that holds any, else of the whole reply; which label a key means is for the word lists to say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..records import Json, Verdict
from ..specs import StructuredSpec

Read = Callable[[str], Verdict]
"""A word or phrase → its verdict under the menu."""

SUM_SLACK = 0.02
"""Shares whose sum is this near 1 are taken as they are but for the rounding."""

_NUMBER = r"[-+]?(?:\d+(?:[.,]\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_PAIR = re.compile(
    rf"""["'“”]?(?P<key>[^"'“”{{}}\[\]:=,;\n]{{1,60}}?)["'“”]?\s*[:=]\s*["'“”]?\s*"""
    rf"""(?P<value>{_NUMBER})\s*(?P<percent>%)?(?!\w)"""
)
_TEXT_PAIR = re.compile(
    r"""["'“”](?P<key>[^"'“”{}\[\]:,;\n]{1,60})["'“”]\s*:\s*["'“”](?P<value>[^"“”\n]{0,200}?)["'“”]\s*(?=[,}\n]|$)"""
)
_MOST = 400  # pairs; bounds the work on a reply that repeats itself


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and its value, with where the pair stands."""

    key: str
    value: str
    percent: bool
    start: int
    end: int

    @property
    def number(self) -> float:
        return float(self.value.replace(",", "."))


def objects(text: str) -> list[tuple[int, int]]:
    """Spans of the outermost ``{…}``; one that never closes ends with the text."""
    spans = []
    depth, start = 0, 0
    for match in re.finditer(r"[{}]", text):
        if match[0] == "{":
            if depth == 0:
                start = match.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                spans.append((start, match.end()))
    if depth:
        spans.append((start, len(text)))
    return spans


def pairs(text: str, pattern: re.Pattern[str] = _PAIR) -> list[Pair]:
    """The pairs of the last object that holds any, else of the whole text."""
    for start, end in [*reversed(objects(text)), (0, len(text))]:
        found = []
        for match in pattern.finditer(text, start, end):
            groups = match.groupdict()
            key = groups["key"].strip(" \t*_-•`")
            if key:
                percent = bool(groups.get("percent"))
                found.append(Pair(key, groups["value"], percent, match.start(), match.end()))
            if len(found) >= _MOST:
                break
        if found:
            return found
    return []


def distribution(
    text: str, menu: Sequence[str], read: Read, ignored: Sequence[str] = ()
) -> Verdict:
    """Shares over the menu; the label with the largest share is the answer.

    Shares may be fractions or percentages. They are divided by their sum, labels that are not named
    have none, and what goes to emotions outside the menu stays outside: the shares of the menu then
    add up to less than 1. Keys such as ``confidence`` or ``total`` are no emotions (``ignored``).
    A tie at the top is ``multiple``. Negative or vanishing shares, or none,
    are no distribution; the reply may still name a label, and is then read as any other.

    Returns:
        A verdict with ``distribution`` where there is one, and ``detail`` with the ``total`` as
        written and the share ``outside``.
    """
    shares = dict.fromkeys(menu, 0.0)
    seen: dict[str, tuple[str | None, float]] = {}
    off: list[str] = []
    spans: list[tuple[int, int]] = []
    percent = False
    for pair in pairs(text):
        if pair.key.casefold() in ignored:
            continue
        verdict = read(pair.key)
        if verdict.status not in ("answered", "off_menu"):
            continue
        seen[pair.key.casefold()] = (verdict.answer, pair.number)
        percent |= pair.percent
        spans.append((pair.start, pair.end))
        if verdict.answer is None:
            off.append(pair.key)
    values = [value for _, value in seen.values()]
    if not any(label is not None for label, _ in seen.values()):
        return _without(read(text), "no_distribution")
    if min(values) < 0 or sum(values) <= 0:
        return _without(read(text), "no_distribution", f"shares {values}")
    scale = 100.0 if percent or max(values) > 1 else 1.0
    total = sum(values) / scale
    outside = 0.0
    for label, value in seen.values():
        if label is None:
            outside += value / scale / total
        else:
            shares[label] += value / scale / total
    top = max(shares.values())
    labels = tuple(label for label, share in shares.items() if abs(share - top) < 1e-9)
    answered = len(labels) == 1
    return Verdict(
        "answered" if answered else "multiple",
        labels,
        tuple(dict.fromkeys(off)),
        (spans[0][0], spans[-1][1]),
        "distribution.sums" if abs(total - 1) <= SUM_SLACK else "distribution.renormalised",
        distribution=shares,
        detail={"total": round(total, 6), "outside": round(outside, 6)},
    )


def likelihood(text: str, menu: Sequence[str]) -> Verdict:
    """How likely a model finds each label, as a backend writes it; the likeliest is the answer.

    Shares are divided by their sum over the menu. A tie is ``multiple``.

    Returns:
        A verdict with ``distribution``, and ``detail`` with the probability ``outside`` the menu.
        Any text but the backend's JSON is ``unparsed``.
    """
    try:
        found = json.loads(text)["log_likelihood"]
        logs = {word: float(found[word]) for word in menu if found[word] is not None}
    except (ValueError, TypeError, KeyError, RecursionError):
        status = "unparsed" if text.strip() else "empty"
        return Verdict(status, rule=status)  # type: ignore[arg-type]  # one of two literals
    if not logs or not all(math.isfinite(x) for x in logs.values()):
        return Verdict("unparsed", rule="unparsed")
    top = max(logs.values())
    over_top = {word: math.exp(x - top) for word, x in logs.items()}
    total = sum(over_top.values())
    labels = tuple(word for word, x in logs.items() if x == top)
    inside = min(1.0, sum(math.exp(x) for x in logs.values()))
    return Verdict(
        "answered" if len(labels) == 1 else "multiple",
        labels,
        (),
        (0, len(text)),
        "likelihood.likeliest",
        distribution={word: over_top.get(word, 0.0) / total for word in menu},
        detail={"outside": round(1.0 - inside, 9)},
    )


def ratings(
    text: str,
    names: Mapping[str, Sequence[str]],
    wanted: Sequence[str],
    scale: tuple[float, float] | None,
) -> Verdict:
    """Numbers on the corpus's scales, by dimension.

    A dimension that is rated twice with different numbers is none; one that lies off the scale is
    left out (``off_menu`` where none remains), and nothing is moved to the scale's end.

    Returns:
        A verdict with ``values`` where a wanted dimension has one.
    """
    of_name = {name.casefold(): dim for dim, several in names.items() for name in (dim, *several)}
    found: dict[str, set[float]] = {}
    spans: list[tuple[int, int]] = []
    for pair in pairs(text):
        dim = of_name.get(" ".join(pair.key.casefold().split()))
        if dim in wanted:
            found.setdefault(str(dim), set()).add(pair.number)
            spans.append((pair.start, pair.end))
    if not found:
        status = "unparsed" if text.strip() else "empty"
        return Verdict(status, rule=status)  # type: ignore[arg-type]  # one of two literals
    single = {dim: next(iter(v)) for dim, v in found.items() if len(v) == 1}
    low, high = scale or (float("-inf"), float("inf"))
    values = {dim: single[dim] for dim in wanted if dim in single and low <= single[dim] <= high}
    span = (spans[0][0], spans[-1][1])
    if not values:
        if single:
            off = tuple(f"{dim} {value:g}" for dim, value in single.items())
            return Verdict("off_menu", (), off, span, "ratings.off_scale")
        return Verdict("multiple", tuple(found), (), span, "ratings.contradictory")
    rule = "ratings.all" if len(values) == len(wanted) else "ratings.some"
    return Verdict("answered", tuple(values), (), span, rule, values=values)


def counterfactual(
    text: str, read: Read, answer_keys: Sequence[str], changes: Mapping[str, Sequence[str]]
) -> Verdict:
    """An answer, and the label that each prosodic change would lead to.

    Returns:
        The verdict on the answer. ``detail["after"]`` has the label after each change that was read
        (the answer again where it makes no difference), ``detail["unread"]`` the changes whose
        value names no one label of the menu.
    """
    of_name = {name.casefold(): c for c, several in changes.items() for name in (c, *several)}
    answer: Verdict | None = None
    after: dict[str, str] = {}
    unread: list[str] = []
    for pair in pairs(text, _TEXT_PAIR):
        key = " ".join(pair.key.casefold().replace("_", " ").split())
        change = of_name.get(key) or of_name.get(key.replace(" ", "_"))
        if change is not None:
            label = read(pair.value).answer
            if label is None:
                unread.append(change)
            else:
                after[change] = label
        elif key in answer_keys:
            start = pair.end - 1 - len(pair.value)
            verdict = read(pair.value)
            span = verdict.span
            where = None if span is None else (start + span[0], start + span[1])
            answer = replace(verdict, span=where)
    verdict = answer if answer is not None else read(text)
    if not after and not unread:
        return _without(verdict, "no_changes")
    detail: Json = {"after": after, "unread": list(dict.fromkeys(unread))}
    return replace(verdict, detail=detail, rule=f"counterfactual.{verdict.rule}")


def _without(verdict: Verdict, rule: str, why: str | None = None) -> Verdict:
    detail = None if why is None else {"why": why}
    return replace(verdict, rule=f"{rule}.{verdict.rule}", detail=detail)


def read_structured(
    text: str,
    menu: Sequence[str],
    spec: StructuredSpec,
    read: Read,
    scale: tuple[float, float] | None,
) -> Verdict:
    """Read by the kind of a spec; the text is without thoughts already."""
    if spec.kind == "distribution":
        return distribution(text, menu, read, spec.ignored_keys)
    if spec.kind == "likelihood":
        return likelihood(text, menu)
    if spec.kind == "ratings":
        return ratings(text, spec.names, menu, scale)
    return counterfactual(text, read, spec.answer_keys, spec.names)
