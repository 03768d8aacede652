"""Counterfactual validity of a run: claims, trials, placebos matched afterwards, and their scores.

Trial
-----
One utterance and one operation that the model claimed would change its answer, at the largest dose
asked. Its *placebo* is an operation at the same dose that the model did not claim, of those that it
said would not matter where there is one; which, is drawn by utterance and operation, the same in
every scoring, and no placebo serves two trials of an utterance while another is left. The sham (the
same engine, nothing changed) is the reference of every flip. A stimulus that was measured and did not
do what it should is left out, and with it its trials; how many is the attrition.

What the numbers are: ``voxemo_tasks.metrics.counterfactual``, ``foresight``, ``doses``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...metrics.counterfactual import (
    CounterfactualRates,
    Estimate,
    by_operation,
    counterfactual_rates,
    generality,
    graded_effect,
)
from ...metrics.doses import dose_response
from ...metrics.foresight import foresight
from ...records import Json
from ...registry import verbalizer
from ...verbalize import verbalize
from ..basics import Value
from ..blocks import REPLICATES
from ..collecting import Texts
from ..reading import Reading
from .answers import Answers, Floats, share_of, speakers, value_of
from .asked import CLAIMS, CLEAN
from .model import Attrition, ByOperation, Counterfactual, DoseCurve, Rationale

SHAM, ROUND_TRIP = "sham", "round_trip"
SIZES = ("small", "large")
CUES: dict[str, tuple[str, str]] = {
    "pitch_up": ("pitch", "high"),
    "pitch_down": ("pitch", "low"),
    "range_wide": ("pitch_range", "wide"),
    "range_flat": ("pitch_range", "narrow"),
    "faster": ("rate", "fast"),
    "slower": ("rate", "slow"),
    "louder": ("loudness", "high"),
    "softer": ("loudness", "low"),
}
"""Operation → the cue and direction that a rationale should come to mention."""

Stimuli = Mapping[tuple[str, str], Sequence[str]]
"""(utterance id, condition) → criteria that the stimulus failed; empty where it is fit."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a model said of one utterance.

    Attributes:
        answer: Its answer beside the claims.
        after: Operation → the answer that it would give after it.
    """

    answer: str
    after: Mapping[str, str]

    @property
    def flips(self) -> list[str]:
        """Operations that would change the answer."""
        return [op for op, label in self.after.items() if label != self.answer]

    @property
    def keeps(self) -> list[str]:
        """Operations that would not."""
        return [op for op, label in self.after.items() if label == self.answer]


def read_claims(header: Json, texts: Texts, labels: Sequence[str]) -> tuple[dict[str, Claim], int]:
    """Claims by utterance id, and of how many utterances none could be read.

    Of several replies the first that names an answer and a change counts.
    """
    spec, _ = verbalizer(header["claims"]["verbalizer"]["id"])
    reading = Reading.of(header, labels, spec)
    found: dict[str, Claim] = {}
    for row, text, finish_reason in texts.stored():
        if row.utterance_id in found:
            continue
        verdict = reading.of_text(text, finish_reason, reading.menu(row.prompt, row.utterance_id))
        after = (verdict.detail or {}).get("after") or {}
        if verdict.answer is not None and after:
            found[row.utterance_id] = Claim(verdict.answer, dict(after))
    return found, len({row.utterance_id for row in texts.rows}) - len(found)


@dataclass
class Trials:
    """Trials in columns."""

    uid: list[str] = field(default_factory=list)
    operation: list[str] = field(default_factory=list)
    placebo: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    without_placebo: int = 0


class Protocol:
    """The answers of a run of the protocol.

    Args:
        header: Of its documents.
        labels: The label set.
        answers: Condition → answers.
        claims: Of each utterance.
        stimuli: What failed its check; ``None`` where nothing was checked.
        seed: Of the bootstrap.
    """

    def __init__(
        self,
        header: Json,
        labels: Sequence[str],
        answers: Mapping[str, Answers],
        claims: Mapping[str, Claim],
        stimuli: Stimuli | None,
        seed: int,
    ) -> None:
        self.header = header
        self.labels = list(labels)
        self.answers = answers
        self.stimuli = stimuli or {}
        self.checked = stimuli is not None
        self.seed = seed
        self.named: list[str] = list(header["claims"]["named"])
        clean = answers[CLEAN]
        self.documents = clean.document
        known = [u for u in claims if u in clean.answer]
        self.claims = {u: claims[u] for u in known if self.said(u, SHAM) is not None}
        self.without_sham = len(known) - len(self.claims)
        asked = {size: [f"{op}.{size}" in answers for op in self.named] for size in SIZES}
        self.size = next((size for size in reversed(SIZES) if any(asked[size])), SIZES[-1])

    def said(self, uid: str, condition: str) -> int | None:
        """Code of the answer (-1: none given); ``None`` where it was not asked, failed, or unfit."""
        under = self.answers.get(condition)
        if under is None or uid not in under.answer or self.stimuli.get((uid, condition)):
            return None
        answer = under.answer[uid]
        return -1 if answer is None else self.labels.index(answer)

    def shares(self, uid: str, condition: str) -> Floats:
        return self.answers[condition].shares[uid]

    def trials(self) -> Trials:
        """All trials, placebos matched."""
        out = Trials()
        operations = list(self.header["claims"]["operations"])
        for uid, claim in self.claims.items():
            used: set[str] = set()
            given = [o for o in operations if self.said(uid, f"{o}.{self.size}") is not None]
            for operation in claim.flips:
                if operation not in given:
                    continue
                placebo = placebo_of(uid, operation, claim, given, used)
                if placebo is None:
                    out.without_placebo += 1
                    continue
                used.add(placebo)
                out.uid.append(uid)
                out.operation.append(operation)
                out.placebo.append(placebo)
                out.target.append(claim.after[operation])
        return out

    def codes(self, uids: Sequence[str], conditions: Sequence[str]) -> list[int]:
        """Answers that are known to be there."""
        found = [self.said(u, c) for u, c in zip(uids, conditions, strict=True)]
        return [-1 if code is None else code for code in found]

    def who(self, uids: Iterable[str]) -> list[str] | None:
        return speakers(self.documents[u] for u in uids)

    def value(self, estimate: Estimate, who: object) -> Value:
        return value_of(estimate.value, estimate.interval, estimate.n, who, self.seed)


def placebo_of(
    uid: str, operation: str, claim: Claim, given: Sequence[str], used: set[str]
) -> str | None:
    """The placebo of a trial; ``None`` where the model claims all that was asked.

    Example:
        >>> claim = Claim("sad", {"pitch_up": "happy", "slower": "sad"})
        >>> placebo_of("u1", "pitch_up", claim, ["pitch_up", "slower", "contour_flat"], set())
        'slower'
        >>> placebo_of("u1", "pitch_up", claim, ["pitch_up", "contour_flat"], set())
        'contour_flat'
    """
    kept = [op for op in given if op in claim.keeps]
    pool = kept or [op for op in given if op not in claim.flips]
    fresh = [op for op in pool if op not in used] or pool
    if not fresh:
        return None
    return min(fresh, key=lambda op: hashlib.sha256(f"{uid}:{operation}:{op}".encode()).hexdigest())


def counterfactual_block(
    header: Json,
    labels: Sequence[str],
    answers: Mapping[str, Answers],
    texts: Mapping[str, Texts],
    stimuli: Stimuli | None,
    seed: int,
) -> Counterfactual | None:
    """``None`` for a run without claims."""
    if not header.get("claims") or CLAIMS not in texts or CLEAN not in answers:
        return None
    claims, unreadable = read_claims(header, texts[CLAIMS], labels)
    p = Protocol(header, labels, answers, claims, stimuli, seed)
    trials = p.trials()
    who = p.who(trials.uid)
    claimed = [f"{o}.{p.size}" for o in trials.operation]
    rates = counterfactual_rates(
        p.codes(trials.uid, [CLEAN] * len(trials.uid)),
        p.codes(trials.uid, [SHAM] * len(trials.uid)),
        p.codes(trials.uid, claimed),
        p.codes(trials.uid, [f"{o}.{p.size}" for o in trials.placebo]),
        [p.labels.index(t) for t in trials.target],
        clusters=who,
        replicates=REPLICATES,
        seed=seed,
    )
    said = Counter(op for claim in p.claims.values() for op in claim.flips)
    counts = {op: said.get(op, 0) for op in p.named}
    uids = list(p.claims)
    both = [u for u in uids if p.said(u, ROUND_TRIP) is not None]
    by_language, by_op = _attrition(p)
    return Counterfactual(
        n=len(p.claims),
        unreadable=unreadable,
        without_sham=p.without_sham,
        same_base=share_of(
            [float(p.claims[u].answer == answers[CLEAN].answer[u]) for u in uids],
            [p.documents[u] for u in uids],
            seed,
        ),
        claims=counts,
        trials=rates.n,
        without_placebo=trials.without_placebo,
        checked=p.checked,
        attrition=by_language,
        attrition_by_operation=by_op,
        p_value=rates.p_value,
        **{
            name: p.value(getattr(rates, name), who)
            for name in (
                *("claim_effect", "target_hit", "flip", "placebo_flip", "sham_flip"),
                "sham_corrected",
            )
        },
        round_trip_flip=share_of(
            [float(p.said(u, ROUND_TRIP) != p.said(u, SHAM)) for u in both],
            [p.documents[u] for u in both],
            seed,
        ),
        flips=_flips(p),
        **_foresight(p),
        graded_effect=_graded(p, trials, claimed, who),
        generality=generality(counts),
        dose=_dose(p, trials),
        rationale=_rationale(p, texts),
        rationale_update=None,
        by_operation=_by_operation(p, trials, rates),
    )


def _flips(p: Protocol) -> dict[str, Value]:
    """Of every dose, over all utterances with a sham; needs no claim."""
    shams = {u: s for u in p.documents if (s := p.said(u, SHAM)) is not None}
    out = {}
    for operation, sizes in p.header["claims"]["operations"].items():
        for size in sizes:
            name = f"{operation}.{size}"
            codes = {u: c for u in shams if (c := p.said(u, name)) is not None}
            if codes:
                out[name] = share_of(
                    [float(code != shams[u]) for u, code in codes.items()],
                    [p.documents[u] for u in codes],
                    p.seed,
                )
    return out


def _foresight(p: Protocol) -> dict[str, Value]:
    uids, predicted, observed, shift = [], [], [], []
    for uid, claim in p.claims.items():
        sham = p.said(uid, SHAM)
        noise = _distance(p.shares(uid, CLEAN), p.shares(uid, SHAM))
        for operation in p.named:
            name = f"{operation}.{p.size}"
            code = p.said(uid, name)
            if operation not in claim.after or code is None:
                continue
            uids.append(uid)
            predicted.append(float(operation in claim.flips))
            observed.append(code != sham)
            shift.append(_distance(p.shares(uid, name), p.shares(uid, SHAM)) - noise)
    who = p.who(uids)
    found = foresight(predicted, observed, shift, clusters=who, replicates=REPLICATES, seed=p.seed)
    names = ("balanced_accuracy", "mcc", "invariance", "cct")
    return {name: p.value(getattr(found, name), who) for name in names}


def _distance(a: Floats, b: Floats) -> float:
    return float(np.abs(a - b).sum() / 2)


def _graded(
    p: Protocol, trials: Trials, claimed: Sequence[str], who: Sequence[str] | None
) -> Value:
    width = len(p.labels) + 1
    pairs = list(zip(trials.uid, claimed, strict=True))
    after = np.array([p.shares(u, c) for u, c in pairs]).reshape(-1, width)
    before = np.array([p.shares(u, SHAM) for u, _ in pairs]).reshape(-1, width)
    targets = [p.labels.index(t) for t in trials.target]
    found = graded_effect(after, before, targets, clusters=who, replicates=REPLICATES, seed=p.seed)
    return p.value(found, who)


def _dose(p: Protocol, trials: Trials) -> DoseCurve | None:
    """Announced label's share under sham, small and large dose; trials with all three."""
    uids, table = [], []
    for uid, operation, target in zip(trials.uid, trials.operation, trials.target, strict=True):
        names = [SHAM, *(f"{operation}.{size}" for size in SIZES)]
        if all(p.said(uid, name) is not None for name in names):
            at = p.labels.index(target)
            uids.append(uid)
            table.append([p.shares(uid, name)[at] for name in names])
    if not uids:
        return None
    who = p.who(uids)
    found = dose_response(np.array(table), clusters=who, replicates=REPLICATES, seed=p.seed)
    page = found.p_value
    return DoseCurve(
        n=found.n,
        n_flat=found.n_flat,
        doses=[SHAM, *SIZES],
        rank_correlation=p.value(found.rank_correlation, who),
        violations=p.value(found.violations, who),
        page_p=None if page is None or np.isnan(page) else page,
        fitted=None if found.fitted is None else list(found.fitted),
        misfit=found.misfit,
    )


def _by_operation(p: Protocol, trials: Trials, rates: CounterfactualRates) -> list[ByOperation]:
    if not rates.n:
        return []
    groups, flips, placebos = [], [], []
    for uid, operation, placebo in zip(trials.uid, trials.operation, trials.placebo, strict=True):
        sham = p.said(uid, SHAM)
        groups.append((operation, str(p.documents[uid].get("language") or "")))
        flips.append(p.said(uid, f"{operation}.{p.size}") != sham)
        placebos.append(p.said(uid, f"{placebo}.{p.size}") != sham)
    found = by_operation(groups, flips, placebos)
    out = []
    for operation, language in sorted(set(groups)):
        effect, adjusted, n = found[operation, language]
        out.append(
            ByOperation(
                operation=operation,
                language=language or None,
                n=n,
                claim_effect=effect,
                p_adjusted=adjusted,
            )
        )
    return out


def _attrition(p: Protocol) -> tuple[dict[str, Attrition], dict[str, Attrition]]:
    """By language and by operation, over all stimuli that were checked."""
    cells: tuple[dict[str, list[Sequence[str]]], dict[str, list[Sequence[str]]]] = ({}, {})
    for (uid, condition), failed in p.stimuli.items():
        language = p.documents.get(uid, {}).get("language")
        cells[0].setdefault(str(language or "unknown"), []).append(failed)
        cells[1].setdefault(condition, []).append(failed)
    made = [
        {
            key: Attrition(
                rendered=len(several),
                failed=sum(bool(failed) for failed in several),
                reasons=dict(sorted(Counter(r for failed in several for r in failed).items())),
            )
            for key, several in sorted(cell.items())
        }
        for cell in cells
    ]
    return made[0], made[1]


def _rationale(p: Protocol, texts: Mapping[str, Texts]) -> Rationale | None:
    """Mentions of cues after a change less those after the sham, over utterances and operations."""
    if not rationales(p.header) or SHAM not in texts:
        return None
    sham = _mentions(texts[SHAM])
    update, other, documents = [], [], []
    for operation in p.named:
        name = f"{operation}.{p.size}"
        if operation not in CUES or name not in p.answers:
            continue
        after = _mentions(texts[name])
        for uid, mentioned in after.items():
            if uid not in sham or uid not in p.documents or p.said(uid, name) is None:
                continue
            if p.said(uid, SHAM) is None:
                continue
            rise = {op: mentioned[op] - sham[uid][op] for op in CUES}
            update.append(rise.pop(operation))
            other.append(float(np.mean(list(rise.values()))))
            documents.append(p.documents[uid])
    if not update:
        return None
    return Rationale(
        update=share_of(update, documents, p.seed, low=-1.0),
        other=share_of(other, documents, p.seed, low=-1.0),
    )


def rationales(header: Json) -> bool:
    """Whether the model was asked for its reasons."""
    return bool(header["options"].get("base_tier") == "reason")


def _mentions(texts: Texts) -> dict[str, dict[str, float]]:
    """Utterance id → operation → share of its replies that mention the operation's cue."""
    spec, _ = verbalizer("prosody")
    found: dict[str, list[dict[str, list[str]]]] = {}
    for row, text, _ in texts.stored():
        verdict = verbalize(text, ["any"], spec)
        found.setdefault(row.utterance_id, []).append(verdict.detail or {})
    return {
        uid: {
            op: float(np.mean([way in detail.get(cue, ()) for detail in details]))
            for op, (cue, way) in CUES.items()
        }
        for uid, details in found.items()
    }
