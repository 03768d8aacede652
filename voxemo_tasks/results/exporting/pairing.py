"""Two runs on the same utterances, from their folders: what a paired test needs.

A results JSON holds counts, and counts of two runs cannot be paired; the replies can. Runs are
paired where both were asked about the same utterances with the same gold labels and menu (prompts
and readings may differ), and each is read as its results say.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import LabelSetError, VoxEmoError
from ...metrics.paired import PairedCounts, pair
from ...store import read_run
from ..asking import asked_by_task, read_task
from ..collecting import collect
from ..counting import Tally
from ..model import Results
from ..verifying import inferred_scoring


class Unpaired(Exception):
    """Why two runs cannot be paired; never leaves the exports."""


def tally_again(results: Results, folder: Path, task: str) -> Tally:
    """The columns of a task, read as the results say.

    Raises:
        StoreError: Where the folder is no run folder, or does not hold the task.
        DataRoomError: Where a registered file has other bytes than the run was made with.
    """
    scoring = results.scoring or inferred_scoring(results)
    run = read_run(folder)
    try:
        rows = asked_by_task(run, scoring.sessions).get(task, [])
        if not rows:
            raise Unpaired(f"{folder} was not asked {task}")
        collector = read_task(run, task, rows, scoring.verbalizer).collector()
        collect(run, [collector])
        return collector.tally()
    finally:
        run.close()


def paired(
    task: str, first: tuple[Results, Path | None], second: tuple[Results, Path | None]
) -> PairedCounts:
    """Joint counts of two runs on the utterances that neither lost to a failure of its own.

    Args:
        task: The task that both were asked.
        first: Results and run folder.
        second: The same of the other.

    Raises:
        Unpaired: Where a folder is not there, or the two were not asked the same, with the reason.
    """
    answers: list[dict[str, str | None]] = []
    tallies: list[Tally] = []
    for results, folder in (first, second):
        if folder is None:
            raise Unpaired(f"the run folder of {results.model.get('model')} is not here")
        try:
            tally = tally_again(results, folder, task)
        except VoxEmoError as error:
            raise Unpaired(str(error)) from error
        tallies.append(tally)
        answers.append(
            {str(tally.documents[i]["utterance_id"]): tally.answers[i] for i in tally.scored}
        )
    gold = [
        {str(doc["utterance_id"]): doc.get("label") for doc in tally.documents} for tally in tallies
    ]
    if gold[0] != gold[1] or tallies[0].labels != tallies[1].labels:
        raise Unpaired("the runs were not asked about the same utterances with the same labels")
    ids = [uid for uid, label in gold[0].items() if label is not None]
    ids = [uid for uid in ids if uid in answers[0] and uid in answers[1]]
    if not ids:
        raise Unpaired("the runs have no utterance in common")
    known = {doc["utterance_id"]: doc.get("speaker") for doc in tallies[0].documents}
    speakers = {uid: known[uid] for uid in ids}
    try:
        return pair(
            tallies[0].labels,
            {uid: str(gold[0][uid]) for uid in ids},
            {uid: answers[0][uid] for uid in ids},
            {uid: answers[1][uid] for uid in ids},
            None if None in speakers.values() else {uid: str(s) for uid, s in speakers.items()},
        )
    except LabelSetError as error:
        raise Unpaired(str(error)) from error
