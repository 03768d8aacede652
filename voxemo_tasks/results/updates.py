"""Whether a model's reasons change as its own claims say: pairs for judges, and what these said.

A *pair* is one reply to the base question about the clip as it is, and the same question's replies
after a change that the model claimed would move it, and after the sham (the same processing, nothing
changed). Both are shown to the judge with the same description of the change, so that what a judge
sees in any two replies cancels out::

    update = share "updated" after the claimed change - share "updated" after the sham

Stimuli that failed their check, and shams that did, are left out as for every other number of the
protocol. Pairs with instruction-like text go to no judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..adjudicate import Item, consensus, leave_one_out, suspicious
from ..errors import OptionError
from ..records import Json
from ..registry import prompt
from ..specs import JudgeSpec
from ..store import Asked, read_judgements, read_run
from .asking import AskedTask, read_task
from .collecting import Texts, collect
from .judge_model import RationaleUpdate
from .judged import Panel
from .probes.answers import Answers
from .probes.asked import CLAIMS, CLEAN
from .probes.block import read_stimuli
from .probes.counterfactual import SHAM, Protocol, rationales, read_claims
from .rubrics import FAVOURED, Kin, mean_of, own_family

WORDING = "counterfactual_en@1"
"""The prompt whose words say what a change is: the rubric is English, whatever the question was."""

UPDATED = FAVOURED["rationale_update"]
AFTER = "share of pairs whose reasons take up the claimed change, in its direction"
MINUS = "share updated after the claimed change less share updated after the sham, same pairs"


@dataclass(frozen=True, slots=True)
class Pair:
    """Three replies of a model to one question.

    Attributes:
        task: Of the run.
        utterance_id: Of the clip.
        operation: That the model claimed would change its answer.
        prompt: The base question.
        sample: Number of the sample.
        before: Reply to the clip as it is.
        claimed: After the operation.
        sham: After the sham.
        document: The utterance's facts.
    """

    task: str
    utterance_id: str
    operation: str
    prompt: str
    sample: int
    before: str
    claimed: str
    sham: str
    document: Json

    @property
    def change(self) -> str:
        """What was changed, in the words of the registered prompt."""
        spec, _ = prompt(WORDING)
        return (
            f"the same words by the same speaker, with one change: {spec.changes[self.operation]}"
        )

    def item(self, after: str) -> Item:
        """What a judge compares: the reply before, and one after."""
        return Item({"change": self.change, "before": self.before, "after": after})

    def items(self) -> tuple[Item, Item]:
        """What is judged: after the claimed change, and after the sham."""
        return self.item(self.claimed), self.item(self.sham)

    @property
    def flagged(self) -> bool:
        """Whether one of the replies holds instruction-like text."""
        return any(suspicious(text) is not None for text in (self.before, self.claimed, self.sham))


def pairs_of(folder: Path, seed: int, verbalizer: str | None = None) -> list[Pair]:
    """All pairs of a run: utterances × claimed operations × samples.

    Args:
        folder: The run folder.
        seed: Only names the protocol's; no number of it is drawn here.
        verbalizer: Read the answers with this one; default: the run's own.

    Raises:
        StoreError: Where it is no run folder.
        OptionError: Where no task of the run asked for claims and for reasons.
    """
    run = read_run(folder)
    by_task: dict[str, list[Asked]] = {}
    for row in sorted(run.asked, key=lambda r: r.session):
        by_task.setdefault(row.task, []).append(row)
    asked = [read_task(run, task, by_task[task], verbalizer) for task in sorted(by_task)]
    fit = [one for one in asked if one.header.get("claims") and rationales(one.header)]
    if not fit:
        raise OptionError(
            f"{folder}: no task of this run asked both for claims and for reasons, so that no reasons "
            'can be compared; run tier counterfactual with --metadata \'{"base_tier": "reason"}\''
        )
    found = []
    for one in fit:
        collectors = {name: one.collector(name) for name in one.conditions if name != CLAIMS}
        texts = {name: Texts(rows) for name, rows in one.conditions.items()}
        collect(run, [*collectors.values(), *texts.values()])
        answers = {name: Answers.of(c.tally()) for name, c in collectors.items()}
        if {CLEAN, SHAM} <= answers.keys() and CLAIMS in texts:
            stimuli = read_stimuli(folder, one.digest)
            found += _of_task(one, answers, texts, stimuli, seed)
    run.close()
    return found


def _of_task(
    one: AskedTask,
    answers: Mapping[str, Answers],
    texts: Mapping[str, Texts],
    stimuli: Mapping[tuple[str, str], Sequence[str]] | None,
    seed: int,
) -> list[Pair]:
    labels = one.reading.labels
    claims, _ = read_claims(one.header, texts[CLAIMS], labels)
    p = Protocol(one.header, labels, answers, claims, stimuli, seed)
    said = {name: _by_question(texts[name]) for name in answers}
    out = []
    for uid, claim in p.claims.items():
        for operation in claim.flips:
            name = f"{operation}.{p.size}"
            if p.said(uid, name) is None:
                continue
            for (asked, sample), before in sorted(said[CLEAN].get(uid, {}).items()):
                after = said[name].get(uid, {}).get((asked, sample))
                sham = said[SHAM].get(uid, {}).get((asked, sample))
                if after is not None and sham is not None:
                    out.append(
                        Pair(one.task, uid, operation, asked, sample, before, after, sham,
                             p.documents[uid])
                    )  # fmt: skip
    return out


def _by_question(texts: Texts) -> dict[str, dict[tuple[str, int], str]]:
    """Utterance id → base question and number of the sample → reply."""
    out: dict[str, dict[tuple[str, int], str]] = {}
    for row, sample, text in texts.numbered():
        asked = row.prompt.partition("|")[0]
        out.setdefault(row.utterance_id, {})[asked, sample] = text
    return out


def recorded(pairs: Sequence[Pair], spec: JudgeSpec) -> dict[str, list[Json]]:
    """Task → its pairs as the record of a pass keeps them: by the digests of what was judged."""
    out: dict[str, list[Json]] = {}
    for one in pairs:
        out.setdefault(one.task, []).append(
            {
                "utterance_id": one.utterance_id,
                "operation": one.operation,
                "sample": one.sample,
                "speaker": one.document.get("speaker"),
                "flagged": one.flagged,
                "claimed": one.item(one.claimed).id(spec),
                "sham": one.item(one.sham).id(spec),
            }
        )
    return out


def rationale_update(folder: Path, task: str, seed: int) -> RationaleUpdate | None:
    """What the newest complete pass says of a task's pairs; ``None`` where there is none.

    Args:
        folder: The run folder.
        task: The task.
        seed: Of the intervals.
    """
    rows, passes = read_judgements(folder)
    mine = [p for p in passes if p.get("finished") and task in p.get("pairs", {})]
    if not mine:
        return None
    record = mine[-1]
    panel = Panel.of(record, rows)
    told: list[Json] = record["pairs"][task]
    shown = [one for one in told if not one["flagged"]]
    sides = [[_said(panel, one[side]) for one in shown] for side in ("claimed", "sham")]
    rule = panel.spec.panel_rule
    heard = [[consensus(rule, answers).answer for answers in side] for side in sides]
    kept = [i for i in range(len(shown)) if heard[0][i] is not None and heard[1][i] is not None]
    failed = len(shown) - len(kept)
    reasons = list(record.get("flags", ()))
    if failed > panel.spec.max_failed_share * len(shown):
        reasons.append(
            f"the judges failed on {failed} of {len(shown)} pairs (limit of {panel.spec.ref}: "
            f"{panel.spec.max_failed_share:.0%})"
        )
    if not kept:
        reasons.append(_why_none(told, shown))
    hits = [[float(side[i] == UPDATED) for i in kept] for side in heard]
    who = [shown[i]["speaker"] for i in kept]
    judges = [j for j in record["judges"] if j["used"]]
    kin = Kin({j["name"]: bool(j["own_family"]) for j in judges}, record.get("judged_family"))
    worth = [
        {j: None if a is None else float(a == UPDATED) for j, a in answers.items()}
        for answers in sides[0]
    ]
    return RationaleUpdate(
        rubric=record["rubric"],
        judges=[j["name"] for j in judges],
        headline=not reasons,
        reasons=reasons,
        pairs=len(told),
        flagged=len(told) - len(shown),
        failed=failed,
        answers={
            side: dict(sorted(Counter(str(heard[at][i]) for i in kept).items()))
            for at, side in enumerate(("claimed", "sham"))
        },
        claimed=mean_of(hits[0], who, seed, AFTER, high=1.0),
        sham=mean_of(hits[1], who, seed, AFTER.replace("claimed change", "sham"), high=1.0),
        difference=mean_of(
            [a - b for a, b in zip(*hits, strict=True)], who, seed, MINUS, low=-1.0, high=1.0
        ),
        without={name: _without(rule, sides, name) for name in panel.judges.values()}
        if len(panel.judges) > 1
        else {},
        own_family=own_family(kin, worth, [one["speaker"] for one in shown], seed),
    )


def _said(panel: Panel, item: str) -> dict[str, str | int | None]:
    rows = panel.said.get(item, {})
    return {
        name: rows[digest].answer if digest in rows else None
        for digest, name in panel.judges.items()
    }


def _without(
    rule: str, sides: Sequence[Sequence[Mapping[str, str | int | None]]], judge: str
) -> float | None:
    """The difference as the panel without one of its judges sees it."""
    both = [
        [leave_one_out(rule, answers)[judge].answer for answers in pair]
        for pair in zip(*sides, strict=True)
    ]
    known = [pair for pair in both if None not in pair]
    if not known:
        return None
    return sum((a == UPDATED) - (b == UPDATED) for a, b in known) / len(known)


def _why_none(told: Sequence[Json], shown: Sequence[Json]) -> str:
    if not told:
        return "the model claimed no change that was asked about"
    if not shown:
        return f"all {len(told)} pairs hold instruction-like text"
    return f"the judges failed on all {len(shown)} pairs"


__all__ = ["Pair", "pairs_of", "rationale_update", "recorded"]
