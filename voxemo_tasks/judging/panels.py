"""A pass: every judge of a panel over every item, what each did, and what the panel lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import OptionError
from ..records import Json
from ..specs import JudgeSpec
from ..store import Judgement, JudgementStore
from .asking import Asking, Settings, ToJudge
from .checks import try_canaries, try_language, try_swapped
from .engines import Judge

MOST_FOOLED = 0.02
"""Share of canaries that a judge may fall for."""


@dataclass
class JudgeReport:
    """What one judge did in a pass.

    Attributes:
        answers: Item id → its judgement.
        facts: For the record of the pass, JSON-safe.
        used: Whether its judgements count.
    """

    name: str
    digest: str
    answers: dict[str, Judgement]
    facts: Json
    used: bool


def run_pass(
    store: JudgementStore,
    spec: JudgeSpec,
    digest: str,
    items: Iterable[ToJudge],
    judges: Sequence[Judge],
    settings: Settings | None = None,
) -> list[JudgeReport]:
    """Let every judge of a panel judge every item; equal items once.

    Args:
        store: Where judgements are looked up and written.
        spec: The rubric.
        digest: SHA-256 of its file.
        items: What is judged.
        judges: The panel.
        settings: How.

    Raises:
        OptionError: For a panel of two judges of the same name or identity.
        RunFailedError: Where a judge's engine never answers.
    """
    settings = settings or Settings()
    for what in ("name", "digest"):
        several = Counter(getattr(judge, what) for judge in judges)
        if (twice := several.most_common(1)) and twice[0][1] > 1:
            raise OptionError(f"two judges of the panel have the same {what}: {twice[0][0]}")
    unique = {one.item.id(spec): one for one in items}
    return [_one_judge(store, spec, digest, unique, judge, settings) for judge in judges]


def _one_judge(
    store: JudgementStore,
    spec: JudgeSpec,
    digest: str,
    items: Mapping[str, ToJudge],
    judge: Judge,
    settings: Settings,
) -> JudgeReport:
    own = judge.family is not None and judge.family == settings.judged_family
    facts: Json = {
        "name": judge.name,
        "digest": judge.digest,
        "family": judge.family,
        "own_family": own,
        "fingerprint": {**judge.fingerprint, "structured": judge.structured},
        "dropped": None,
    }
    report = JudgeReport(judge.name, judge.digest, {}, facts, used=False)
    if own and settings.own_family == "exclude":
        facts["dropped"] = f"of the judged model's own family ({judge.family})"
        return report
    asking = Asking(store, spec, digest, judge, settings)
    if spec.task != "emulation":
        facts["canaries"] = try_canaries(asking, items)
        share = facts["canaries"]["fooled_share"]
        if share is not None and share > MOST_FOOLED:
            facts["dropped"] = f"fell for {share:.1%} of the canaries (limit {MOST_FOOLED:.0%})"
            facts |= asking.counts()
            return report
    report.answers = asking.judge(items, "main")
    report.used = True
    if spec.task != "emulation":
        facts["swapped"] = try_swapped(asking, items, report.answers)
        facts["language"] = try_language(asking, items, report.answers)
    failed = [j for j in report.answers.values() if j.answer is None]
    facts["items"] = len(report.answers)
    facts["failed"] = len(failed)
    facts["problems"] = dict(Counter(j.problem or "no reply" for j in failed).most_common())
    facts |= asking.counts()
    return report


def panel_flags(reports: Sequence[JudgeReport]) -> list[str]:
    """Why a panel is less than three judges of disjoint families, none of them the judged model's."""
    used = [report for report in reports if report.used]
    flags = [f"judge {r.name} dropped: {r.facts['dropped']}" for r in reports if not r.used]
    if len(used) < 3:
        flags.append(f"{len(used)} judge(s); a panel has three or more")
    families = Counter(r.facts["family"] for r in used)
    unknown = families.pop(None, 0)
    if unknown:
        flags.append(f"{unknown} judge(s) of unknown family; name it in the panel file")
    for family, n in families.items():
        if n > 1:
            flags.append(f"{n} judges of one family ({family})")
    flags += [
        f"judge {r.name} is of the judged model's own family ({r.facts['family']})"
        for r in used
        if r.facts["own_family"]
    ]
    return flags
