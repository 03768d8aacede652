"""Probes in lines of text, below the table of a terminal."""

from __future__ import annotations

from ..basics import Value
from ..judge_model import RationaleUpdate
from .model import Counterfactual, Probes

NOT_CHECKED = "stimuli not checked (voxemo score RUN --check-stimuli)"


def points(value: Value | None, sign: str = "+") -> str:
    """A difference in percentage points with its interval; a dash where there is none.

    Example:
        >>> points(Value(value=0.25, n=4)), points(None)
        ('+25.0', '-')
    """
    if value is None or value.value is None:
        return "-"
    reach = ""
    if value.interval is not None and value.interval.low is not None:
        low, high = value.interval.low, value.interval.high or 0.0
        reach = f" [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
    return f"{100 * value.value:{sign}.1f}{reach}"


def share(value: Value | None) -> str:
    """A share in percent with its interval.

    Example:
        >>> share(Value(value=0.25, n=4))
        '25.0'
    """
    return points(value, "")


def probe_lines(probes: Probes) -> list[str]:
    """What a reader wants to see first of each probe."""
    lines = []
    gate = probes.validity
    if gate is not None and any(c.difference is not None for c in gate.comparisons):
        shown = "; ".join(
            f"audio less {c.control} {points(c.difference)} points of UAR" for c in gate.comparisons
        )
        lines.append(f"validity gate: {gate.status} ({shown})")
    curved = {level.condition for curve in probes.severity for level in curve.levels}
    for result in probes.conditions:
        told_below = result.n and result.condition["kind"] in ("context", "wrong_context")
        if result.condition["id"] in curved or told_below:
            continue
        if not result.n:
            lines.append(f"{result.condition['id']}: not asked ({next(iter(result.skipped), '-')})")
            continue
        lines.append(
            f"{result.condition['id']}: drop of WA {points(result.drop['wa'])}, answers changed "
            f"{share(result.changed)}, n {result.n}"
        )
    for curve in probes.severity:
        rates = ", ".join(
            f"{level.severity}: {'-' if level.wa is None else f'{100 * level.wa:.1f}'}"
            for level in curve.levels
        )
        lines.append(f"{curve.family}, WA by severity: {rates}")
    for gain in probes.context:
        said = gain.factors.removeprefix("context:")
        lines.append(f"context {said}: gain of WA {points(gain.gain['wa'])}, n {gain.n}")
    if probes.wrong_context is not None:
        lines.append(f"right less wrong context: WA {points(probes.wrong_context['wa'])}")
    if probes.counterfactual is not None:
        lines += _counterfactual(probes.counterfactual)
    words = probes.incongruence
    if words is not None:
        lines.append(
            f"voice against words: accuracy {share(words.voice_congruent)} where they agree, "
            f"{share(words.voice_incongruent)} where not (there the words': "
            f"{share(words.text_incongruent)}); errors that follow the words "
            f"{share(words.errors_follow_text)}"
        )
    for pair in probes.pairs:
        lines.append(
            f"minimal pairs, {pair.dimension}: answered differently {share(pair.differs)}, "
            f"{pair.pairs} pairs"
        )
        confounds = {name: n for name, told in pair.stimuli.items() if (n := told.get("other"))}
        for name in ("speaker", "language"):
            if confounds.get(name):
                lines.append(f"  {confounds[name]} of these pairs differ in their {name} too")
    return lines


def _counterfactual(found: Counterfactual) -> list[str]:
    failed = sum(one.failed for one in found.attrition.values())
    rendered = sum(one.rendered for one in found.attrition.values())
    judged = found.rationale_update
    checked = f"{failed} of {rendered} stimuli unfit" if found.checked else NOT_CHECKED
    lines = [
        f"counterfactual: claim effect {points(found.claim_effect)} (flips {share(found.flip)}, "
        f"placebo {share(found.placebo_flip)}, sham {share(found.sham_flip)}), target hit "
        f"{share(found.target_hit)}, {found.trials} trials of {found.n} utterances, "
        f"{found.unreadable} unreadable, {checked}"
    ]
    return lines if judged is None else lines + update_lines(judged)


def update_lines(judged: RationaleUpdate) -> list[str]:
    """Rationale update minus sham, and why it is no headline."""
    return [
        f"rationale update minus sham: {points(judged.difference)} (updated after the claimed change "
        f"{share(judged.claimed)}, after the sham {share(judged.sham)}), {judged.pairs} pairs, "
        f"{judged.failed} failed, {judged.flagged} flagged",
        *(f"  no headline: {reason}" for reason in judged.reasons),
    ]
