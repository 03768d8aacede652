"""The probes of a result, and the verdict of the validity gate on its headline."""

from __future__ import annotations

from ..store import RunData
from . import model as m
from .asking import AskedTask
from .attempts import Attempts
from .counting import Tally
from .judged import JUDGINGS
from .probes.block import Takers, probes_block, read_stimuli
from .probes.conditions import why_no_headline
from .probes.model import Probes
from .updates import rationale_update

NOT_ASKED = (
    "no control was asked; ask under the conditions transcript_only and shuffled (voxemo probe "
    "controls)"
)


def probed(
    result: m.TaskResult,
    run: RunData,
    one: AskedTask,
    tally: Tally,
    takers: Takers,
    seed: int,
    tried: Attempts,
) -> m.TaskResult:
    """The result with its probes; a score that failed the validity gate is no headline."""
    # Not part of the attempt: a damaged file is for the user to put right.
    stimuli = read_stimuli(run.folder, one.digest)
    probes = tried.block(
        "probes",
        lambda: probes_block(one, takers, tally, stimuli, seed),
        why="nothing but the clip as it is was asked about, and neither pairs nor the emotion of the "
        "words (label2) are known",
    )
    if probes is not None:
        probes = _with_judges(probes, run, one.task, seed)
        return gated(result.model_copy(update={"probes": probes}), probes.validity, NOT_ASKED)
    if not one.header.get("conditions"):
        return gated(result, None, NOT_ASKED)
    # Conditions were asked: that they came to nothing is a failure of the examination, not its lack.
    return gated(result, None, tried.absent["probes"], broken=True)


def _with_judges(probes: Probes, run: RunData, task: str, seed: int) -> Probes:
    """Probes with what judges said of the reasons; not an attempt, as with every word of a judge."""
    found = probes.counterfactual
    if found is None or not (run.folder / JUDGINGS).is_dir():
        return probes
    update = rationale_update(run.folder, task, seed)
    return probes.model_copy(
        update={"counterfactual": found.model_copy(update={"rationale_update": update})}
    )


def gated(
    result: m.TaskResult, gate: m.Validity | None, why: str, *, broken: bool = False
) -> m.TaskResult:
    """A result with the verdict of the validity gate.

    Args:
        result: Without.
        gate: What was found.
        why: There is no gate.
        broken: Whether it should be there: a score whose examination broke off has no headline.

    Returns:
        ``headline_eligible`` only where the gate is passed and nothing else stands against it.
    """
    reasons = [*result.reasons, *why_no_headline(gate)]
    if broken:
        reasons.append(f"the validity gate could not be examined: {why}")
    status = "not examined" if gate is None else gate.status
    return result.model_copy(
        update={
            "validity": status,
            "validity_reason": why if gate is None else gate.reason,
            "reasons": reasons,
            "headline": not reasons,
            "headline_eligible": not reasons and status == "passed",
        }
    )
