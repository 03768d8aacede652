"""The two kinds of task: those that ask for labels, those that ask for ratings, and the blocks of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..records import Json
from ..specs import AnyVerbalizer, VerbalizerSpec
from . import model as m
from .attempts import Attempts
from .blocks import (
    HEADLINE,
    association_block,
    dimensional_block,
    group_keys,
    groups_block,
    prompt_block,
    with_choices,
)
from .calibrated import MOST_SMOOTHED, calibration_block, hard_votes
from .continuous import continuous_block
from .counting import Tally
from .sensitivity import sensitivity
from .soft import Gold, given_shares, gold_of, soft_block
from .wanted import Wanted

SWITCHED_OFF = "switched off"
RATINGS = "the task asks for ratings, not labels"
LABELS = "the task asks for labels, not ratings"
NO_GROUPS = "culture, language and gender are not known or do not differ"


def labelled(
    header: Json,
    tally: Tally,
    spec: AnyVerbalizer,
    result: m.TaskResult,
    wanted: Wanted,
    tried: Attempts,
) -> Json:
    """The blocks of a task that asked for labels."""
    varied = tried.block(
        "sensitivity",
        lambda: _varied(tally, spec) if wanted.multiverse else None,
        why=_why_not_varied(wanted.multiverse, spec),
    )
    keys, seed, n = group_keys(tally, wanted.by), wanted.seed, len(tally.scored)
    tried.absent["dimensional"] = tried.absent["continuous"] = LABELS
    prompts = tried.block(
        "prompt_sensitivity",
        lambda: prompt_block(tally, seed),
        why="one prompt" if n else "no utterance was scored",
    )
    gold = tried.block("soft", lambda: gold_of(tally, header), why=_why_no_gold(tally))
    soft = None
    if gold is not None:
        soft = tried.block("soft", lambda: soft_block(gold, seed), why="no votes")
    found = tried.block(
        "calibration",
        lambda: _calibrated(header, tally, gold, keys, seed),
        why="no confidence: one reply an utterance without shares, or no gold label",
    )
    if found is not None and found.overall.smooth_error is None:
        tried.absent["calibration.smooth_error"] = (
            f"{found.n} utterances; it is computed for at least two and at most {MOST_SMOOTHED}"
        )
    return {
        "sensitivity": varied,
        "with_choices": tried.block(
            "with_choices",
            lambda: _choices(result, varied, prompts),
            why="neither prompts nor readings were varied, or the rate has no interval",
        )
        or {},
        "prompt_sensitivity": prompts,
        "groups": tried.block("groups", lambda: groups_block(tally, keys, seed), why=NO_GROUPS)
        or {},
        "soft": soft,
        "calibration": found,
        "association": tried.block(
            "association",
            lambda: association_block(tally, seed),
            why="no second gold column (label2)",
        )
        or {},
    }


def _varied(tally: Tally, spec: AnyVerbalizer) -> m.Sensitivity | None:
    gold = tally.column("label")
    known = [i for i, label in enumerate(gold) if label is not None]
    return sensitivity(
        tally.labels, [gold[i] for i in known], [tally.replies[i] for i in known], spec
    )


def _why_not_varied(keep: bool, spec: AnyVerbalizer) -> str:
    if not keep:
        return SWITCHED_OFF
    if not isinstance(spec, VerbalizerSpec):
        return f"{spec.ref} reads without word lists; there are no other readings to try"
    return "no utterance with a gold label and a reply"


def _why_no_gold(tally: Tally) -> str:
    if any(tally.column("votes")):
        return "no scored utterance has both votes within the label set and a reply"
    return "no scored utterance has votes"


def _choices(
    result: m.TaskResult, varied: m.Sensitivity | None, prompts: m.PromptSensitivity | None
) -> dict[str, m.WithChoices]:
    choices = {}
    for name in HEADLINE:
        spread = None if prompts is None else prompts.rates.get(name)
        readings = varied if varied is not None and varied.metric == name else None
        if spread is None and readings is None:
            continue
        both = with_choices(result.hard[name], readings, spread)
        if both is not None:
            choices[name] = both
    return choices


def _calibrated(
    header: Json, tally: Tally, gold: Gold | None, keys: Sequence[str], seed: int
) -> m.Calibration | None:
    given = given_shares(header, tally)
    if gold is not None:
        target, places, votes = "votes", gold.places, gold.votes.counts
    else:
        target, (places, votes) = "label", hard_votes(tally)
    if not places:
        return None
    shares = None if given is None else given[places]
    return calibration_block(tally, np.asarray(votes), places, shares, keys, target, seed)


def rated(
    header: Json,
    tally: Tally,
    scale: tuple[float, float] | None,
    wanted: Wanted,
    tried: Attempts,
) -> Json:
    """The blocks of a task that asked for ratings."""
    for name in ("hard", "sensitivity", "with_choices", "prompt_sensitivity", "soft"):
        tried.absent[name] = RATINGS
    for name in ("calibration", "association", "probes", "transcript_baseline"):
        tried.absent[name] = RATINGS
    keys = group_keys(tally, wanted.by)
    return {
        "dimensional": tried.block(
            "dimensional",
            lambda: dimensional_block(tally, tally.dimensions, scale, wanted.seed),
            why="no scored utterance has a gold rating on the scale",
        )
        or {},
        "continuous": tried.block(
            "continuous",
            lambda: continuous_block(tally, header, scale, wanted.delay_s, wanted.seed),
            why="no scored utterance is a window of a recording with time-continuous ratings",
        )
        or {},
        "groups": tried.block(
            "groups", lambda: groups_block(tally, keys, wanted.seed), why=NO_GROUPS
        )
        or {},
    }
