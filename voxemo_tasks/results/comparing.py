"""Runs compared two by two, task by task, on the utterances that they have in common.

Two runs are compared on a task where both asked about the same utterances: documents of one digest,
or the same utterance ids with the same gold labels, label set and speakers. Anything else is refused
with counts, never cut down to what fits. Utterances that were lost on our side in either run (no
reply stored, engine or judge failed) are left out of both and counted; a model's non-answer is an
answer like another.

Families of tests
-----------------
primary     the first metric on the tasks named beforehand (default: all), over all pairs of runs;
            adjusted by Holm, which holds the family-wise error
secondary   everything else; adjusted by Benjamini and Hochberg, which holds the false discovery rate

The p-value is that of the cluster sign-flip test. What the numbers are stands in
``metrics.paired_tests``, ``metrics.decisions`` and ``metrics.random_effects``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import OptionError, UnknownNameError
from ..metrics.confusion import Policy
from ..metrics.decisions import benjamini_hochberg, holm
from ..metrics.hard import HARD_METRICS
from ..metrics.paired import PairedCounts, pair
from ..metrics.paired_tests import Comparison, compare
from ..metrics.random_effects import random_effects
from ..records import Json
from ..specs import AnyVerbalizer
from ..store import RunData, read_run
from . import comparison_model as c
from . import model as m
from .asking import asked_by_task, read_task
from .blocks import REPLICATES, effects_of, interval_of
from .collecting import collect
from .counted import SYNTHETIC
from .counting import OURS_CODES, Tally
from .sensitivity import StoredReply, rank_stability, sensitivity
from .wanted import SEED

ALPHA = 0.05
FLIPS = 20_000
MARGIN = 0.02
"""The registered margin of equivalence: a difference of two points is taken not to matter."""


@dataclass(slots=True)
class _Columns:
    """What a run has on a task.

    Attributes:
        digest: Of its documents.
        tier: Of its task.
        spec: What read the replies.
        tally: Its columns.
        asked: Utterances that were asked about.
        rows: Utterance id → its place in the tally, where it was not lost on our side.
        gold: Utterance id → gold label, or ``None``.
        synthetic: Whether its numbers are results.
    """

    digest: str
    tier: str
    spec: AnyVerbalizer
    tally: Tally
    asked: set[str]
    rows: dict[str, int]
    gold: dict[str, str | None]
    synthetic: bool

    def speakers(self, uids: Sequence[str]) -> dict[str, str] | None:
        """Speaker of each; ``None`` where one is not known."""
        found = {uid: self.tally.documents[self.rows[uid]].get("speaker") for uid in uids}
        return None if None in found.values() else {u: str(s) for u, s in found.items()}

    def answers(self, uids: Sequence[str]) -> dict[str, str | None]:
        return {uid: self.tally.answers[self.rows[uid]] for uid in uids}

    def replies(self) -> dict[str, list[StoredReply]]:
        """Kept replies by utterance id."""
        kept = [self.tally.documents[i]["utterance_id"] for i in self.tally.scored]
        return dict(zip(kept, self.tally.replies, strict=True))


@dataclass(slots=True)
class _Pair:
    """Two runs on a task that they can be compared on."""

    task: str
    first: str
    second: str
    counts: PairedCounts
    clustered: bool
    utterances: c.Utterances
    same_documents: bool
    verbalizers: list[str]
    tier: str


def compare_runs(
    folders: Sequence[Path],
    *,
    metrics: Sequence[str] = ("uar",),
    policy: Policy = "strict",
    margin: float | None = MARGIN,
    primary: Sequence[str] | None = None,
    alpha: float = ALPHA,
    replicates: int = REPLICATES,
    flips: int = FLIPS,
    seed: int = SEED,
    multiverse: bool = True,
) -> c.Comparison:
    """Compare run folders two by two.

    Args:
        folders: Run folders, at least two, each once.
        metrics: Names of ``HARD_METRICS``; the first is that of the primary family.
        policy: How non-answers count.
        margin: Largest difference that does not matter; ``None`` for no test of equivalence.
        primary: Tasks of the primary family; default: all that can be compared.
        alpha: Level of the tests; intervals have 1 - alpha.
        replicates: Of the bootstrap.
        flips: Of the sign-flip test.
        seed: Of both.
        multiverse: Read the replies in every other way too, and say whether the runs keep their
            order.

    Returns:
        Every comparison that can be made, and every one that cannot with the reason.

    Raises:
        StoreError: Where a folder is no run folder.
        UnknownNameError: For a metric or a primary task that is not known.
        OptionError: For fewer than two runs, one twice, an option out of range, nothing that can be
            compared, or a primary task that some pair cannot be compared on.
        DataRoomError: Where a verbalizer's registered bytes are not those a run was made with.
    """
    _check(folders, metrics)
    runs = dict(zip(_names(folders), map(read_run, folders), strict=True))
    columns = {name: _columns(run, keep=multiverse) for name, run in runs.items()}
    pairs: list[_Pair] = []
    refused: list[c.Refused] = []
    for first, second in itertools.combinations(runs, 2):
        for task in sorted({*columns[first], *columns[second]}):
            sides = columns[first].get(task), columns[second].get(task)
            found = _paired(task, first, second, *sides)
            (pairs if isinstance(found, _Pair) else refused).append(found)  # type: ignore[arg-type]
    if not pairs:
        told = "; ".join(f"{r.task}, {r.first} and {r.second}: {r.reason}" for r in refused)
        raise OptionError(f"nothing can be compared: {told or 'nothing was asked in these runs'}")
    chosen = _primary(primary, pairs, refused)
    differences = _differences(
        pairs, metrics, policy, margin, chosen, alpha, replicates, flips, seed
    )
    synthetic = any(one.synthetic for tasks in columns.values() for one in tasks.values())
    return c.Comparison(
        schema="voxemo-comparison/1",
        voxemo_tasks=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notice=SYNTHETIC if synthetic else None,
        runs=[
            c.ComparedRun(
                name=name,
                run=str(run.folder.absolute()),
                model=run.run["fingerprint"],
                fingerprint_sha256=run.run["fingerprint_digest"],
            )
            for name, run in runs.items()
        ],
        metrics=list(metrics),
        policy=policy,
        margin=margin,
        alpha=alpha,
        replicates=replicates,
        flips=flips,
        seed=seed,
        primary=sorted(chosen),
        differences=differences,
        refused=refused,
        over_tasks=_over_tasks(differences, {p.task: p.tier for p in pairs}),
        ranks=_ranks(columns, pairs) if multiverse else [],
    )


def _check(folders: Sequence[Path], metrics: Sequence[str]) -> None:
    if len(folders) < 2:
        raise OptionError(f"{len(folders)} run(s) given; a comparison needs at least two")
    places = [folder.resolve() for folder in folders]
    twice = {str(f) for f, place in zip(folders, places, strict=True) if places.count(place) > 1}
    if twice:
        raise OptionError(f"{', '.join(sorted(twice))}: the same run twice; name each run once")
    for metric in metrics:
        if metric not in HARD_METRICS:
            raise UnknownNameError("hard metric", metric, HARD_METRICS)
    if not metrics or len(set(metrics)) < len(metrics):
        raise OptionError(f"metrics are {list(metrics)}; name at least one, and each once")


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as make all of them differ."""
    parts = [folder.resolve().parts for folder in folders]
    for n in range(1, max(map(len, parts))):
        names = ["/".join(p[-n:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder.resolve()) for folder in folders]


# --- a run's side ---------------------------------------------------------------------------


def _columns(run: RunData, *, keep: bool) -> dict[str, _Columns]:
    """Task → what the run has on it; tasks that ask for ratings have no label."""
    tasks = {task: read_task(run, task, rows) for task, rows in asked_by_task(run).items()}
    collectors = {
        task: one.collector(keep=keep and bool(one.reading.labels)) for task, one in tasks.items()
    }
    collect(run, collectors.values())
    out = {}
    for task, one in tasks.items():
        tally = collectors[task].tally()
        out[task] = _Columns(
            digest=one.digest,
            tier=one.header["tier"],
            spec=one.reading.spec,
            tally=tally,
            asked=set(collectors[task].asked),
            rows={
                document["utterance_id"]: i
                for i, document in enumerate(tally.documents)
                if tally.statuses[i] not in OURS_CODES
            },
            gold={document["utterance_id"]: document.get("label") for document in one.documents},
            synthetic=_synthetic(run, one.header),
        )
    return out


def _synthetic(run: RunData, header: Json) -> bool:
    return bool(header["corpus"].get("synthetic")) or bool(run.run.get("synthetic_model"))


# --- a pair ---------------------------------------------------------------------------------


def _paired(
    task: str, first: str, second: str, one: _Columns | None, two: _Columns | None
) -> _Pair | c.Refused:
    """The joint counts of two runs on a task, or why there are none."""

    def refuse(reason: str) -> c.Refused:
        return c.Refused(task=task, first=first, second=second, reason=reason)

    if one is None or two is None:
        return refuse(f"asked in {second if one is None else first} only")
    if not one.tally.labels or not two.tally.labels:
        return refuse("asks for ratings; what is compared is labels")
    if set(one.tally.labels) != set(two.tally.labels):
        sides = " and ".join(", ".join(side.tally.labels) for side in (one, two))
        return refuse(f"the label sets differ: {sides}")
    only_first, only_second = len(one.asked - two.asked), len(two.asked - one.asked)
    both = one.asked & two.asked
    if only_first or only_second:
        return refuse(
            f"not the same utterances: {len(both)} asked in both, {only_first} in {first} only, "
            f"{only_second} in {second} only; score the same corpus, protocol, fold and --limit"
        )
    other = sorted(uid for uid in both if one.gold[uid] != two.gold[uid])
    if other:
        return refuse(
            f"the gold label of {len(other)} of {len(both)} utterances differs (e.g. {other[0]!r}: "
            f"{one.gold[other[0]]} and {two.gold[other[0]]})"
        )
    heard = [uid for uid in one.rows if uid in two.rows]
    kept = [uid for uid in heard if one.gold[uid] is not None]
    if not kept:
        return refuse(
            f"of {len(both)} utterances, {len(heard)} have a reply in both runs and none of these "
            "a gold label"
        )
    speakers = [side.speakers(kept) for side in (one, two)]
    if None not in speakers and speakers[0] != speakers[1]:
        moved = sum(speakers[0][u] != speakers[1][u] for u in kept)  # type: ignore[index]
        return refuse(f"the speaker of {moved} of {len(kept)} utterances differs")
    clusters = speakers[0] or speakers[1]
    gold = {uid: str(one.gold[uid]) for uid in kept}
    counts = pair(one.tally.labels, gold, one.answers(kept), two.answers(kept), clusters)
    return _Pair(
        task,
        first,
        second,
        counts,
        clusters is not None and counts.n_clusters > 1,  # one speaker: utterances are redrawn
        c.Utterances(
            asked=len(both),
            lost_first=len(both) - len(one.rows),
            lost_second=len(both) - len(two.rows),
            without_gold=len(heard) - len(kept),
            compared=len(kept),
        ),
        one.digest == two.digest,
        [one.spec.ref, two.spec.ref],
        one.tier,
    )


def _primary(
    asked: Sequence[str] | None, pairs: Sequence[_Pair], refused: Sequence[c.Refused]
) -> set[str]:
    compared = {p.task for p in pairs}
    if asked is None:
        return compared
    for task in asked:
        failed = [r for r in refused if r.task == task]
        if failed:
            raise OptionError(
                f"primary task {task} cannot be compared for {failed[0].first} and "
                f"{failed[0].second}: {failed[0].reason}"
            )
        if task not in compared:
            raise UnknownNameError("task of these runs", task, compared)
    return set(asked)


# --- differences ----------------------------------------------------------------------------


def _differences(
    pairs: Sequence[_Pair],
    metrics: Sequence[str],
    policy: Policy,
    margin: float | None,
    primary: set[str],
    alpha: float,
    replicates: int,
    flips: int,
    seed: int,
) -> list[c.Difference]:
    made: list[tuple[_Pair, Comparison, bool]] = []
    for one in pairs:
        for metric in metrics:
            found = compare(
                one.counts,
                metric,
                policy=policy,
                margin=margin,
                alpha=alpha,
                replicates=replicates,
                flips=flips,
                seed=seed,
            )
            made.append((one, found, metric == metrics[0] and one.task in primary))
    adjusted: dict[bool, list[float | None]] = {}
    for family, adjust in ((True, holm), (False, benjamini_hochberg)):
        adjusted[family] = adjust([x.sign_flip.p_value for _, x, f in made if f is family])
    values = {family: iter(several) for family, several in adjusted.items()}
    return [_difference(one, x, f, next(values[f]), seed) for one, x, f in made]


def _difference(
    one: _Pair, found: Comparison, primary: bool, adjusted: float | None, seed: int
) -> c.Difference:
    flip, pairs, alike = found.sign_flip, found.mcnemar, found.equivalence
    return c.Difference(
        task=one.task,
        first=one.first,
        second=one.second,
        metric=found.metric,
        policy=found.policy,
        family="primary" if primary else "secondary",
        value_first=found.first,
        value_second=found.second,
        difference=found.difference,
        interval=interval_of(found.interval, "speaker" if one.clustered else None, seed),
        standard_error=found.standard_error,
        sign_flip=c.SignFlip(
            p_value=flip.p_value,
            method=flip.method,
            n_differ=flip.n_differ,
            flips=flip.flips,
            least=flip.least,
        ),
        p_adjusted=adjusted,
        adjustment="holm" if primary else "benjamini_hochberg",
        mcnemar=c.McNemar(
            only_first=pairs.only_first,
            only_second=pairs.only_second,
            p_exact=pairs.p_exact,
            p_mid=pairs.p_mid,
        ),
        detectable=found.detectable,
        equivalence=None
        if alike is None
        else c.Equivalence(
            p_value=alike.p_value,
            equivalent=alike.equivalent,
            margin=alike.margin,
            low=alike.low,
            high=alike.high,
        ),
        utterances=one.utterances,
        n_clusters=found.n_clusters,
        same_documents=one.same_documents,
        verbalizers=one.verbalizers,
    )


def _over_tasks(differences: Sequence[c.Difference], tiers: Mapping[str, str]) -> list[c.OverTasks]:
    """The differences of two runs over the corpora of a tier; tiers share utterances, corpora not."""
    groups: dict[tuple[str, str, str, str], list[c.Difference]] = {}
    for one in differences:
        groups.setdefault((one.first, one.second, tiers[one.task], one.metric), []).append(one)
    out = []
    for (first, second, tier, metric), several in groups.items():
        if len(several) < 2:
            continue
        known = [x for x in several if x.difference is not None and x.standard_error]
        effects: m.RandomEffects | None = None
        reason: str | None = "fewer than two tasks with a standard error above 0"
        if len(known) > 1:
            found = random_effects(
                np.array([x.difference for x in known], dtype=np.float64),
                np.array([x.standard_error for x in known], dtype=np.float64),
            )
            effects, reason = effects_of(found), found.reason
        out.append(
            c.OverTasks(
                first=first,
                second=second,
                tier=tier,
                metric=metric,
                tasks=[x.task for x in known],
                left_out=[x.task for x in several if x not in known],
                effects=effects,
                reason=reason,
            )
        )
    return out


# --- order ----------------------------------------------------------------------------------


def _ranks(
    columns: Mapping[str, Mapping[str, _Columns]], pairs: Sequence[_Pair]
) -> list[c.TaskRanks]:
    """Whether the runs keep their order, on the utterances that all of them have."""
    out = []
    for task in dict.fromkeys(p.task for p in pairs):
        of = [p for p in pairs if p.task == task]
        names = list(dict.fromkeys(name for p in of for name in (p.first, p.second)))
        sides = {name: columns[name][task] for name in names}
        if len(of) < len(names) * (len(names) - 1) // 2:
            reason = "not all of these runs can be compared with each other"
            out.append(c.TaskRanks(task=task, n=0, stability=None, reason=reason))
            continue
        one = sides[names[0]]
        common = [
            uid
            for uid in one.rows
            if one.gold[uid] is not None and all(uid in side.rows for side in sides.values())
        ]
        varied: dict[str, m.Sensitivity] = {}
        for name, side in sides.items():
            replies = side.replies()
            found = sensitivity(
                one.tally.labels,
                [str(one.gold[uid]) for uid in common],
                [replies[uid] for uid in common],
                side.spec,
            )
            if found is not None:
                varied[name] = found
        stability, why = None, "replies that are not read by word lists have no other readings"
        if len(varied) == len(sides):
            stability = rank_stability(varied)
            why = "the runs are equal as registered, so there is no order"
        out.append(
            c.TaskRanks(
                task=task,
                n=len(common),
                stability=stability,
                reason=None if stability is not None else why,
            )
        )
    return out
