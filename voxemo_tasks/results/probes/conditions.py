"""Controls, robustness, context: every condition against the clip as it is, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ...metrics.hard import HARD_METRICS
from ...metrics.paired import PairedCounts
from ...records import Json
from ...tally import too_many_failures
from ..basics import Value
from .answers import Answers, difference_of, groups_of, joint, share_of
from .asked import CLEAN
from .model import (
    Comparison,
    ConditionResult,
    FactorGain,
    SeverityCurve,
    SeverityLevel,
    Validity,
)

RATES = ("uar", "wa")
GATE = ("transcript_only", "shuffled")
"""A score is a listener's only where the audio beats both: the words alone, and another clip."""
NO_CONTEXT = "context:none"
LENDING = frozenset({"shuffled", "same_speaker", "wrong_transcript"})
OF_PROTOCOL = frozenset({"claims", "sham", "round_trip", "dose"})


def condition_results(
    header: Json, labels: Sequence[str], answers: Mapping[str, Answers], seed: int
) -> list[ConditionResult]:
    """One result per condition that was asked, in the order of the header."""
    reference = answers.get(CLEAN)
    if reference is None:
        return []
    skipped = header.get("conditions_skipped", {})
    out = []
    for condition in header.get("conditions", ()):
        name = condition["id"]
        if name == CLEAN or condition["kind"] in OF_PROTOCOL:
            continue
        under = answers.get(name)
        if under is None and name not in skipped:
            continue  # asked of nobody: the run was limited or stopped
        out.append(_result(condition, labels, reference, under, dict(skipped.get(name, {})), seed))
    return out


def _result(
    condition: Json,
    labels: Sequence[str],
    reference: Answers,
    under: Answers | None,
    skipped: dict[str, int],
    seed: int,
) -> ConditionResult:
    if under is None:
        nothing = Value(value=None, n=0)
        return ConditionResult(
            condition=condition,
            n=0,
            failed=0,
            missing=0,
            skipped=skipped,
            rates={},
            reference={},
            drop=dict.fromkeys(RATES, nothing),
            by={},
            changed=nothing,
        )
    counts = joint(labels, reference, under)
    both = [u for u in reference.answer if u in under.answer]
    by = {
        fact: {
            group: difference_of(joint(labels, reference, under, ids), "wa", seed)
            for group, ids in groups.items()
        }
        for fact, groups in groups_of({u: reference.document[u] for u in both}).items()
    }
    return ConditionResult(
        condition=condition,
        n=counts.n,
        failed=under.failed,
        missing=under.missing,
        skipped=skipped,
        rates=_rates(counts, 1),
        reference=_rates(counts, 0),
        drop={metric: difference_of(counts, metric, seed) for metric in RATES},
        by=by,
        changed=share_of(
            [float(reference.answer[u] != under.answer[u]) for u in both],
            [reference.document[u] for u in both],
            seed,
        ),
        follows_donor=_follows_donor(condition["kind"], reference, under, seed),
    )


def _rates(counts: PairedCounts, system: int) -> dict[str, float | None]:
    if not counts.n:
        return {}
    confusion = counts.confusion(system)
    return {name: HARD_METRICS[name](confusion, "strict") for name in (*RATES, "coverage")}


def _follows_donor(kind: str, reference: Answers, under: Answers, seed: int) -> Value | None:
    if kind not in LENDING:
        return None
    gold = {u: d.get("label") for u, d in reference.document.items()}
    hits, documents = [], []
    for uid, answer in under.answer.items():
        document = under.document[uid]
        lent = gold.get(document.get("donor_ids", {}).get(kind))
        if lent is not None and document.get("label") not in (None, lent):
            hits.append(float(answer == lent))
            documents.append(document)
    return share_of(hits, documents, seed)


def validity(results: Sequence[ConditionResult]) -> Validity:
    """The gate: the audio must beat the words alone and the shuffled audio.

    It is failed where one comparison was made and its interval does not lie above 0, passed where
    both were made and both do, and else not examined. A control that was asked and lost (failures of
    the engine, replies that are not stored) decides nothing: what is left of it is no fair sample.
    """
    found = {result.condition["id"]: result for result in results}
    comparisons = [_comparison(control, found.get(control)) for control in GATE]
    verdicts = [c.above_zero for c in comparisons]
    status = "failed" if False in verdicts else "not examined" if None in verdicts else "passed"
    why = "; ".join(_why(c) for c in comparisons if c.above_zero is not True)
    return Validity.model_validate(
        {"status": status, "comparisons": comparisons, "reason": why or None}
    )


def _comparison(control: str, result: ConditionResult | None) -> Comparison:
    if result is None:
        return Comparison(control=control, difference=None, above_zero=None, reason="not asked")
    gone = result.failed + result.missing
    if too_many_failures(gone, result.n + gone):
        return Comparison(
            control=control,
            difference=result.drop["uar"] if result.n else None,
            above_zero=None,
            lost=True,
            reason=f"asked, but of {result.n + gone} utterances {result.failed} failed and "
            f"{result.missing} have no stored reply",
        )
    if not result.n:
        why = "; ".join(f"{n} without: {reason}" for reason, n in result.skipped.items())
        return Comparison(
            control=control,
            difference=None,
            above_zero=None,
            reason=why or "no utterance with a gold label was asked both ways",
        )
    value = result.drop["uar"]
    low = None if value.interval is None else value.interval.low
    none = (value.interval.reason if value.interval else None) or "it has no interval"
    return Comparison(
        control=control,
        difference=value,
        above_zero=None if low is None else low > 0,
        reason=None if low is not None else f"no interval: {none}",
    )


def _why(c: Comparison) -> str:
    if c.above_zero is False:
        return (
            f"the audio does not beat the control {c.control!r} (interval of the difference in UAR "
            "does not lie above 0)"
        )
    return f"control {c.control!r}: {c.reason}"


def why_no_headline(gate: Validity | None) -> list[str]:
    """Reasons against a headline that the gate gives: controls not beaten, or asked and lost."""
    if gate is None:
        return []
    return [_why(c) for c in gate.comparisons if c.above_zero is False or c.lost]


def severity_curves(results: Sequence[ConditionResult]) -> list[SeverityCurve]:
    """Transforms that were asked at two levels or more; level 0 is the clip as it is."""
    families: dict[str, list[ConditionResult]] = {}
    for result in results:
        if result.condition.get("severity") is not None and result.n:
            families.setdefault(result.condition["family"], []).append(result)
    out = []
    for family, several in families.items():
        if len(several) < 2:
            continue
        several.sort(key=lambda r: r.condition["severity"])
        levels = [
            SeverityLevel(
                severity=0,
                condition=CLEAN,
                n=several[0].n,
                uar=several[0].reference["uar"],
                wa=several[0].reference["wa"],
                drop={},
            )
        ]
        levels += [
            SeverityLevel(
                severity=result.condition["severity"],
                condition=result.condition["id"],
                n=result.n,
                uar=result.rates["uar"],
                wa=result.rates["wa"],
                drop=result.drop,
            )
            for result in several
        ]
        drops = [v for r in several if (v := r.drop["wa"].value) is not None]
        rates = [level.wa for level in levels if level.wa is not None]
        out.append(
            SeverityCurve(
                family=family,
                levels=levels,
                mean_drop=sum(drops) / len(drops) if drops else None,
                reversals=sum(b > a for a, b in pairwise(rates)),
            )
        )
    return out


def context_gains(
    header: Json, labels: Sequence[str], answers: Mapping[str, Answers], seed: int
) -> tuple[list[FactorGain], dict[str, Value] | None]:
    """What each factor adds to no context, the run's own context too; and right less wrong."""
    base, own = answers.get(NO_CONTEXT), answers.get(CLEAN)
    wrong = answers.get("wrong_context")
    gains = []
    said = "+".join(header["options"].get("context", ())) or "none"
    for condition in header.get("conditions", ()):
        name = condition["id"]
        under = answers.get(name)
        if (
            base is None
            or under is None
            or condition["kind"]
            not in (
                CLEAN,
                "context",
                "wrong_context",
            )
        ):
            continue
        if name == NO_CONTEXT:
            continue
        counts = joint(labels, under, base)
        gains.append(
            FactorGain(
                factors=f"{said} (the run's own)" if name == CLEAN else name,
                n=counts.n,
                gain={metric: difference_of(counts, metric, seed) for metric in RATES},
                by={
                    fact: {
                        group: difference_of(joint(labels, under, base, ids), "wa", seed)
                        for group, ids in groups.items()
                    }
                    for fact, groups in groups_of(under.document).items()
                },
            )
        )
    against_wrong = None
    if own is not None and wrong is not None:
        counts = joint(labels, own, wrong)
        against_wrong = {metric: difference_of(counts, metric, seed) for metric in RATES}
    return gains, against_wrong
