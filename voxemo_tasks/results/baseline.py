"""What the words alone reach: a transcript-only system on the same utterances, and the difference.

Conventions
-----------
own         this run's answers to the clip as it is
baseline    those of a system that was given the words and no sound: of another run folder
            (``voxemo score RUN --transcript-baseline RUN2``), else of the run's own control
            ``transcript_only``
shared      utterances that both sides scored, with a gold label; both rates and their difference are
            of these, so that neither side is helped by what the other lost
task        of the other run: the one of the same name, else the only one that asks about any of the
            same utterances with the same labels
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError
from ..metrics.confusion import Confusion, Policy
from ..metrics.hard import HARD_METRICS
from ..metrics.paired import PairedCounts, difference, difference_interval
from ..records import Json
from ..store import RunData, read_run
from . import model as m
from .asking import AskedTask, asked_by_task, read_task
from .attempts import Attempts
from .blocks import REPLICATES, interval_of, number
from .collecting import collect
from .counting import Tally
from .probes.answers import Answers, joint
from .probes.asked import CLEAN
from .probes.block import Takers

CONTROL = "transcript_only"
POLICIES: tuple[Policy, ...] = ("strict", "answered")


@dataclass(frozen=True, slots=True)
class Words:
    """Answers that were given to the words alone, and whose they are.

    Attributes:
        answers: By utterance.
        labels: The menu that they were given.
        task: Task that asked for them.
        condition: ``transcript_only`` where it is a control, else ``clean``.
        verbalizer: What read them.
        model: Fingerprint of the model.
        fingerprint: Its SHA-256.
        documents: SHA-256 of what was asked about.
        own_run: Whether it is a control of the run itself.
    """

    answers: Answers
    labels: tuple[str, ...]
    task: str
    condition: str
    verbalizer: Json
    model: Json
    fingerprint: str
    documents: str
    own_run: bool


def read_baseline(folder: Path, without: Collection[str] = ()) -> list[Words]:
    """Every task of a run folder that asked for labels, as a transcript-only system.

    Where the run asked under the control ``transcript_only``, those answers; else those to what it
    was given.

    Args:
        folder: The run folder.
        without: Writers to leave out.

    Raises:
        StoreError: Where the folder is no run folder.
        OptionError: Where no task in it asked for labels.
    """
    run = read_run(folder, without=without)
    found = []
    for task, rows in sorted(asked_by_task(run).items()):
        one = read_task(run, task, rows)
        if not one.reading.labels:
            continue
        condition = CONTROL if CONTROL in one.conditions else CLEAN
        collector = one.collector(condition)
        collect(run, [collector])
        found.append(_words(run, one, collector.tally(), condition, own_run=False))
    if not found:
        raise OptionError(
            f"--transcript-baseline: {folder} holds no task that asks for labels, so nothing to "
            "compare with"
        )
    return found


def control_of(run: RunData, one: AskedTask, tally: Tally) -> Words:
    """The run's own control as a baseline."""
    return _words(run, one, tally, CONTROL, own_run=True)


def _words(run: RunData, one: AskedTask, tally: Tally, condition: str, *, own_run: bool) -> Words:
    return Words(
        answers=Answers.of(tally),
        labels=one.reading.labels,
        task=one.task,
        condition=condition,
        verbalizer=one.reader,
        model=run.run["fingerprint"],
        fingerprint=run.run["fingerprint_digest"],
        documents=one.digest,
        own_run=own_run,
    )


def choose(task: str, labels: Sequence[str], own: Answers, given: Sequence[Words]) -> Words | None:
    """The baseline of a task among those of another run; ``None`` where there is none.

    Raises:
        OptionError: Where several would do.
    """
    fitting = [
        words
        for words in given
        if set(words.labels) == set(labels) and own.answer.keys() & words.answers.answer.keys()
    ]
    named = [words for words in fitting if words.task == task]
    if len(named or fitting) > 1:
        raise OptionError(
            f"--transcript-baseline: {', '.join(w.task for w in fitting)} all ask about utterances "
            f"of {task}; give a run folder in which one of them does"
        )
    return next(iter(named or fitting), None)


def baseline_block(
    labels: Sequence[str], own: Answers, words: Words, seed: int
) -> m.TranscriptBaseline | None:
    """Both sides on the shared utterances; ``None`` where they share none with a gold label.

    Raises:
        OptionError: Where the two runs have another gold label for the same utterance.
    """
    _require_same_gold(own.document, words)
    # Speakers in the order of their names, as in the hard rates: the same draws, the same intervals.
    ids = sorted(own.answer, key=lambda uid: str(own.document[uid].get("speaker")))
    counts = joint(labels, own, words.answers, ids)
    if not counts.n:
        return None
    gold = sum(d.get("label") is not None for d in own.document.values())
    return m.TranscriptBaseline(
        source="control" if words.own_run else "run",
        task=words.task,
        condition=words.condition,
        model=words.model,
        fingerprint_sha256=words.fingerprint,
        verbalizer=words.verbalizer,
        documents_sha256=words.documents,
        n=counts.n,
        n_without_baseline=gold - counts.n,
        hard={
            name: {policy: _compared(counts, name, policy, seed) for policy in POLICIES}
            for name in HARD_METRICS
        },
    )


def _require_same_gold(documents: Mapping[str, Json], words: Words) -> None:
    for uid, other in words.answers.document.items():
        gold, theirs = documents.get(uid, {}).get("label"), other.get("label")
        if gold is not None and theirs is not None and gold != theirs:
            raise OptionError(
                f"--transcript-baseline: the gold label of {uid!r} is {gold!r} in this run and "
                f"{theirs!r} in the baseline's task {words.task}; make both from the same corpus, "
                "label set and target"
            )


def _compared(counts: PairedCounts, name: str, policy: Policy, seed: int) -> m.AgainstWords:
    cluster = "speaker" if counts.n_clusters > 1 else None
    sides = []
    for system, tables in enumerate(counts.tables()):
        several = [Confusion(counts.labels, table) for table in tables]
        sides.append(number(name, counts.confusion(system), several, cluster, policy, seed))
    found = difference_interval(counts, name, policy=policy, replicates=REPLICATES, seed=seed)
    return m.AgainstWords(
        own=sides[0],
        baseline=sides[1],
        difference=m.Value(
            value=difference(counts, name, policy),
            n=counts.n,
            interval=interval_of(found, cluster, seed),
        ),
    )


def beside_words(
    result: m.TaskResult,
    run: RunData,
    one: AskedTask,
    tally: Tally,
    takers: Takers,
    given: Sequence[Words] | None,
    seed: int,
    tried: Attempts,
) -> m.TaskResult:
    """The result with what the words alone reach, of another run or of the run's own control."""
    own = Answers.of(tally)
    if given is not None:
        words = choose(one.task, tally.labels, own, given)
        why = "no task of the transcript baseline has these labels and any of these utterances"
    else:
        control = takers.collectors.get(CONTROL)
        words = None if control is None else control_of(run, one, control.tally())
        why = f"no transcript baseline was given, and the control {CONTROL} was not asked"
    block = None if words is None else baseline_block(tally.labels, own, words, seed)
    if block is None:
        tried.absent["transcript_baseline"] = (
            why if words is None else "no utterance with a gold label was scored on both sides"
        )
    return result.model_copy(update={"transcript_baseline": block})
