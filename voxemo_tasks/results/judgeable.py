"""What of a run folder can be judged: its replies, how they were read, and items for a rubric."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..adjudicate import Item, suspicious
from ..errors import OptionError, StoreError
from ..records import Json, Verdict
from ..render import Menu
from ..specs import JudgeSpec
from ..store import Asked, RunData, read_run, reply_key
from ..tally import read_reply, require_fitting
from .probes.asked import CLEAN, by_condition
from .reading import Reading, choose_verbalizer
from .transcripts import Transcripts, transcripts

RESIDUE, ALL, SAMPLE = "residue", "all", "sample"


@dataclass(frozen=True, slots=True)
class JudgedReply:
    """A stored reply and all that a rubric may need to know of it.

    Attributes:
        key: Of the reply.
        text: The reply.
        verdict: How the verbalizer read it.
        menu: How the question offered the labels; ``None`` where ratings were asked for.
        document: The utterance's facts; holds the gold label, which only emulations look at.
        transcript: What is said in the clip, where that was looked up and is known.
        no_transcript: Why it is not known, where it was looked up.
    """

    task: str
    utterance_id: str
    key: str
    text: str
    finish_reason: str
    verdict: Verdict
    menu: Menu | None
    document: Json
    transcript: str | None = None
    no_transcript: str | None = None

    def items(self, spec: JudgeSpec) -> list[Item]:
        """What a rubric asks about the reply; one item per dimension that it rates.

        Empty for a reply that says nothing, or one without the label or menu that the rubric needs.
        """
        if not self.text.strip():
            return []
        if spec.task == "adjudicate_label":
            return [] if self.menu is None else [label_item(self.text, self.menu)]
        if spec.task == "emulation":
            gold = self.document.get("label")
            return [] if gold is None else [Item({"reply": self.text, "gold": str(gold)})]
        if spec.task == "entailment" and self.verdict.answer is None:
            return []
        known = {name: self.document.get(name) for name in ("language", "culture")}
        data = {"reply": self.text, "label": self.verdict.answer, "transcript": self.transcript}
        data |= known
        return [Item(data, dimension=name) for name in spec.dimensions or [None]]


def label_item(text: str, menu: Menu) -> Item:
    """The item of a reply for a rubric that asks which label it asserts."""
    return Item({"reply": text}, menu.labels, tuple(menu.read_as()))


def replies_of(
    folder: Path, verbalizer: str | None = None, *, words: bool = False
) -> Iterator[JudgedReply]:
    """All stored replies of a run, task by task, as the scorecard reads them.

    Args:
        folder: The run folder.
        verbalizer: Read with this one; default: the one each task was run with.
        words: Look up what is said in the clips, where their corpus is prepared here.

    Raises:
        StoreError: Where it is no run folder, or nothing was asked in it.
    """
    run = read_run(folder)
    by_task: dict[str, list[Asked]] = {}
    for row in sorted(run.asked, key=lambda r: r.session):
        by_task.setdefault(row.task, []).append(row)
    if not by_task:
        raise StoreError(
            f"{folder}: nothing was asked in this run yet, so there is nothing to judge"
        )
    for task, rows in sorted(by_task.items()):
        yield from _of_task(run, task, rows, verbalizer, words=words)
    run.close()


def _of_task(
    run: RunData, task: str, rows: Sequence[Asked], verbalizer: str | None, *, words: bool
) -> Iterator[JudgedReply]:
    digest = rows[-1].documents
    header, documents = run.documents(digest)
    spec, _ = choose_verbalizer(header, verbalizer)
    labels = list((header["label_set"] or {}).get("labels", ()))
    require_fitting(spec, ratings=not labels)
    rows = by_condition(header, rows).get(CLEAN, [])  # what the scorecard's rates are made of
    reading = Reading.of(header, labels, spec)
    described = {document["utterance_id"]: document for document in documents}
    spoken = transcripts(header["corpus"]) if words else Transcripts()
    seen: set[str] = set()
    for row in rows:
        for sample in range(row.samples):
            key = reply_key(row.request, sample)
            response = run.reply(key)
            if row.documents != digest or response is None or response.error is not None:
                continue
            mark = f"{row.utterance_id}\0{row.prompt}\0{sample}"
            if mark in seen:
                continue
            seen.add(mark)
            menu = reading.menu(row.prompt, row.utterance_id)
            verdict = read_reply(
                response.text,
                response.finish_reason,
                menu,
                spec,
                reading.dimensions,
                reading.scale,
            )
            yield JudgedReply(
                task,
                row.utterance_id,
                key,
                response.text,
                response.finish_reason,
                verdict,
                menu,
                described[row.utterance_id],
                spoken.of.get(row.utterance_id),
                None
                if not words or row.utterance_id in spoken.of
                else spoken.reason or "the utterance has none",
            )


@dataclass(frozen=True, slots=True)
class Chosen:
    """Replies that go to the judges.

    Attributes:
        rows: ``residue``, ``all`` or ``sample:N``, as asked for.
        replies: They.
        flagged: Replies that were chosen and hold instruction-like text; they go to no judge.
        of: All replies there are.
        tasks: Tasks that these belong to.
        pairs_flagged: Of pairs of replies, which are not listed here: those with such text.
    """

    rows: str
    replies: list[JudgedReply]
    flagged: list[JudgedReply]
    of: int
    tasks: tuple[str, ...]
    pairs_flagged: int | None = None

    @property
    def n(self) -> int:
        """Replies, or pairs of replies, that go to the judges."""
        return len(self.replies) if self.pairs_flagged is None else self.of - self.pairs_flagged

    @property
    def n_flagged(self) -> int:
        return len(self.flagged) if self.pairs_flagged is None else self.pairs_flagged


def choose(replies: Iterable[JudgedReply], spec: JudgeSpec, rows: str, seed: int) -> Chosen:
    """The replies that a rubric is to judge.

    Args:
        replies: All of a run.
        spec: The rubric; ``residue`` are the replies whose verdict's status it names.
        rows: ``residue``; ``all``; ``sample:N``, all replies to N utterances drawn by the seed.
        seed: Of the draw, with nothing else but the task and the utterance's id.

    Raises:
        OptionError: For another choice, or the residue of a rubric that names none.
    """
    every = list(replies)
    name, _, number = rows.partition(":")
    if name == RESIDUE and not number:
        if not spec.residue:
            raise OptionError(f"--rows residue: rubric {spec.ref} judges all replies, or a sample")
        kept = [reply for reply in every if reply.verdict.status in spec.residue]
    elif name == ALL and not number:
        kept = every
    elif name == SAMPLE and number.isdecimal() and int(number) > 0:
        utterances = {(r.task, r.utterance_id) for r in every}
        drawn = set(sorted(utterances, key=lambda u: _draw(seed, *u))[: int(number)])
        kept = [reply for reply in every if (reply.task, reply.utterance_id) in drawn]
    else:
        raise OptionError(f"--rows {rows}: expected residue, all, or sample:N with N above 0")
    clean: list[JudgedReply] = []
    flagged: list[JudgedReply] = []
    for reply in kept:
        (clean if suspicious(reply.text) is None else flagged).append(reply)
    return Chosen(rows, clean, flagged, len(every), tuple(sorted({r.task for r in every})))


def _draw(seed: int, task: str, utterance_id: str) -> str:
    said = f"{seed}:{task}:{utterance_id}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
