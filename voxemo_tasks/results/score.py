"""Scoring a run folder: stored replies → verdicts → counts → rates. No engine, no corpus.

The result depends on the run folder, the verbalizer and the seed of the bootstrap alone, so that
the same folder gives the same numbers wherever and whenever it is scored.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from .. import __version__
from ..errors import OptionError, StoreError
from ..records import Json, Verdict
from ..store import RunData, read_run, writers_of
from ..tally import read_reply
from . import model as m
from .asking import AskedTask, asked_by_task, read_task
from .attempts import Attempts
from .baseline import Words, beside_words, read_baseline
from .blocks import GROUPED_BY
from .collecting import collect
from .counted import SYNTHETIC, counted_result
from .counting import Tally
from .judged import JUDGINGS, attach
from .kinds import RATINGS, labelled, rated
from .pooling import over_corpora, pooled
from .probes.block import Takers
from .sensitivity import StoredReply
from .validity import gated, probed
from .wanted import SEED, Wanted


def score_run(
    folder: Path,
    *,
    verbalizer: str | None = None,
    by: Sequence[str] | None = None,
    sessions: Iterable[str] | None = None,
    seed: int = SEED,
    multiverse: bool = True,
    without: Collection[str] = (),
    transcript_baseline: Path | None = None,
    baseline_without: Collection[str] = (),
    annotator_delay_s: float | None = None,
) -> m.Results:
    """Score a run folder.

    Args:
        folder: The run folder.
        verbalizer: Read the replies with this one; default: the one each task was run with.
        by: Facts of the utterances to divide by (culture, language, gender …).
        sessions: Tasks that these writers asked about are scored on what they asked; other tasks,
            and by default all, on everything that was asked. Where the options of a task changed
            between sessions, the newest version of it is scored.
        seed: Of the bootstrap.
        multiverse: Read the replies in every other way too, and report what that changes.
        without: Writers to leave out, as if they had never written into the folder.
        transcript_baseline: Run folder of a system that was given the words alone; without, the run's
            own control is taken where it was asked.
        baseline_without: Writers of that folder to leave out.
        annotator_delay_s: Lag of the annotators of time-continuous ratings; default: the card's.

    Raises:
        StoreError: Where a folder is no run folder, or nothing was asked in it.
        OptionError: Where the baseline shares no utterance with any task, or has other gold labels.
        DataRoomError: Where a verbalizer's registered bytes are not those the run was made with.
        OptionError: For a fact to divide by that no utterance has.
    """
    run = read_run(folder, without=without)
    by_task = asked_by_task(run, sessions)
    if not by_task:
        raise StoreError(
            f"{folder}: nothing was asked in this run yet, so there is nothing to score"
        )
    wanted = Wanted(
        verbalizer, None if by is None else tuple(by), seed, multiverse, annotator_delay_s
    )
    if annotator_delay_s is not None and not math.isfinite(annotator_delay_s):
        raise OptionError(f"--annotator-delay is {annotator_delay_s}; it is a number of seconds")
    words = None
    if transcript_baseline is not None:
        words = read_baseline(transcript_baseline, baseline_without)
    asked = {task: read_task(run, task, by_task[task], verbalizer) for task in sorted(by_task)}
    if annotator_delay_s is not None and not any("traces" in a.header for a in asked.values()):
        raise OptionError(
            f"--annotator-delay: no task of {folder} has time-continuous ratings; leave it out"
        )
    require_known(by or (), asked)
    is_judged = (folder / JUDGINGS).is_dir()
    collectors = {
        task: one.collector(
            keep=(multiverse or is_judged) and bool(one.reading.labels), keyed=is_judged
        )
        for task, one in asked.items()
    }
    probing = {task: Takers.of(one) for task, one in asked.items()}
    collect(run, [*collectors.values(), *(t for one in probing.values() for t in one.all())])
    scored = {
        task: _score_task(
            run,
            one,
            len(collectors[task].asked),
            collectors[task].tally(),
            probing[task],
            wanted,
            words,
        )
        for task, one in asked.items()
    }
    tasks = {task: result for task, (result, _) in scored.items()}
    if words is not None and not any(t.transcript_baseline for t in tasks.values()):
        raise OptionError(
            f"--transcript-baseline: no task of {transcript_baseline} "
            f"({', '.join(w.task for w in words)}) has the labels of a task here and a scored "
            "utterance of it; utterances are matched by their id"
        )
    tried = Attempts(str(folder))
    synthetic = bool(run.run.get("synthetic_model")) or any(t.notice for t in tasks.values())
    return m.Results(
        schema="voxemo-results/1",
        voxemo_tasks=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notice=SYNTHETIC if synthetic else None,
        run=str(folder.absolute()),
        model=run.run["fingerprint"],
        fingerprint_sha256=run.run["fingerprint_digest"],
        damaged_lines=run.damaged,
        sessions=[_session(name, s, run.written.get(name, 0)) for name, s in run.sessions.items()],
        tasks=tasks,
        pooled=tried.block(
            "pooled",
            lambda: pooled(scored, seed),
            why="no two tasks have the same menu",
        )
        or [],
        over_corpora=tried.block(
            "over_corpora",
            lambda: over_corpora(tasks),
            why="no tier has three tasks with a headline whose rate has an interval",
        )
        or [],
        absent=tried.absent,
        scoring=m.Scoring(
            verbalizer=verbalizer,
            by=None if by is None else list(by),
            sessions=sorted(set(sessions or ())),
            seed=seed,
            multiverse=multiverse,
            annotator_delay_s=annotator_delay_s,
            transcript_baseline=None
            if transcript_baseline is None
            else m.BaselineRun(
                run=str(transcript_baseline.absolute()),
                sessions=sorted(
                    name
                    for name in writers_of(transcript_baseline)
                    if name not in set(baseline_without)
                ),
            ),
        ),
    )


def require_known(by: Sequence[str], asked: Mapping[str, AskedTask]) -> None:
    """Refuse to divide by what no utterance of a run has.

    Raises:
        OptionError: With the facts that there are.
    """
    known = set(GROUPED_BY)
    for one in asked.values():
        for document in one.documents:
            known.update(k for k, value in document.items() if not isinstance(value, list | dict))
    known.discard("utterance_id")
    for key in by:
        if key not in known:
            raise OptionError(
                f"--by: {key!r} is known of no utterance of this run; allowed: {', '.join(sorted(known))}"
            )


def _score_task(
    run: RunData,
    one: AskedTask,
    asked: int,
    tally: Tally,
    takers: Takers,
    wanted: Wanted,
    words: Sequence[Words] | None,
) -> tuple[m.TaskResult, Tally]:
    header, reading = one.header, one.reading
    result = counted_result(run, one, asked, tally, wanted.seed)
    tried = Attempts(one.task)
    if reading.labels:
        result = result.model_copy(
            update=labelled(header, tally, reading.spec, result, wanted, tried)
        )
        # Not an attempt: a rubric whose bytes were changed is for the user to put right.
        result = _of_judges(result, run, tally, one, wanted.seed)
        if result.judged is None:
            tried.absent["judged"] = "no judge was asked for labels"
        result = probed(result, run, one, tally, takers, wanted.seed, tried)
        # Nor is this: a baseline of other utterances or other gold labels is the user's to mend.
        result = beside_words(result, run, one, tally, takers, words, wanted.seed, tried)
    else:
        result = result.model_copy(update=rated(header, tally, reading.scale, wanted, tried))
        result = gated(result, None, f"{RATINGS}; the gate compares rates of labels")
    return result.model_copy(update={"absent": tried.absent}), tally


def _of_judges(
    result: m.TaskResult, run: RunData, tally: Tally, one: AskedTask, seed: int
) -> m.TaskResult:
    """The result with what judges said, where any was asked."""
    if not (run.folder / JUDGINGS).is_dir():
        return result
    gold, speakers = tally.column("label"), tally.column("speaker")
    known = [i for i, label in enumerate(gold) if label is not None] if tally.replies else []

    def read(reply: StoredReply) -> Verdict:
        return read_reply(reply.text, reply.finish_reason, reply.menu, one.reading.spec)

    replies = [tally.replies[i] for i in known]
    return attach(
        result,
        run.folder,
        tally.labels,
        [gold[i] for i in known],
        [speakers[i] for i in known],
        replies,
        read,
        seed,
    )


def _session(name: str, session: Json, written: int) -> m.Session:
    return m.Session(
        id=name,
        started=session.get("started"),
        finished=session.get("finished"),
        wall_s=session.get("wall_s"),
        replies_written=written,
        replies_reused=session.get("replies_reused", 0),
        engine=session.get("engine") or {},
    )
