"""Audits: replies that people read, so that the readers (verbalizer, judges) can be measured.

``draw`` picks replies of a run and keeps how likely each was to be picked; what people get shows no
prediction. ``take_in`` stores what they said, and ``report`` sets the readers against them:
agreement of the people among themselves, each reader's confusion matrix against them, and the rates
that people would have found on all replies (prediction-powered), with intervals that hold the
readers' own error. A run folder then has::

    RUN/audits/<audit>.json             what was drawn, how, with what probability
    RUN/audits/<audit>/<writer>.json    what was read in
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError
from ..home import write_atomically
from ..metrics.agreement import Agreement, gwet_ac, krippendorff_alpha
from ..metrics.misclassification import proportion_limits, row_limits
from ..metrics.prediction_powered import powered_rate
from ..metrics.sampling import AuditSample, farthest_first, random_sample, stratified_sample
from ..records import OURS, Json, digest_of
from ..store.reading import read_run_file
from ..store.writing import now, writer_id
from .audit_store import SCHEMA as SCHEMA
from .audit_store import Coded as Coded
from .audit_store import code_of, consensus_of, records_of
from .audit_store import said_in as said_in
from .judgeable import JudgedReply, replies_of
from .judged import Panel
from .sensitivity import StoredReply

NO_ANSWER = "no answer"
RATES = ("uar", "wa", "macro_f1", "coverage")
STRATA = ("status", "language", "culture", "task", "label")
OTHERS = ("multiple", "off_menu", "none")
"""What a person can say beside the menu's labels; all of it is no answer."""


def item_id(reply: JudgedReply) -> str:
    """Short id of a reply in an audit; says nothing of its label."""
    return digest_of([reply.task, reply.utterance_id, reply.key])[:16]


def draw(
    folder: Path,
    size: int,
    *,
    by: str = "stratified",
    strata: Sequence[str] = ("status",),
    minimum: int = 2,
    seed: int = 0,
    verbalizer: str | None = None,
) -> tuple[str, list[Json]]:
    """Draw replies to be read by people, and record the draw in the run folder.

    Args:
        folder: The run folder.
        size: How many.
        by: ``random``, ``stratified``, or ``farthest`` (replies unlike each other; no rate can be
            estimated from these).
        strata: For ``stratified``: of ``status``, ``language``, ``culture``, ``task`` and ``label``
            (the gold label, which rates over labels need).
        minimum: Replies per stratum, at least.
        seed: Of the draw.
        verbalizer: Whose statuses; default: the run's own.

    Returns:
        Name of the audit, and a row per drawn reply: ``item_id``, ``text``, ``options``,
        ``language``, ``sampled_prob``.

    Raises:
        OptionError: For a size or stratum that does not exist.
        StoreError: Where it is no run folder.
    """
    replies = {
        item_id(r): r for r in replies_of(folder, verbalizer) if r.menu is not None and r.text
    }
    if not replies:
        raise OptionError(f"{folder}: holds no reply to a question with a menu; nothing to audit")
    if unknown := sorted(set(strata) - set(STRATA)):
        raise OptionError(f"--strata {','.join(unknown)}; allowed: {', '.join(STRATA)}")
    sample = _sample(replies, size, by, strata, minimum, seed)
    drawn = {
        i: {
            "task": replies[i].task,
            "utterance_id": replies[i].utterance_id,
            "key": replies[i].key,
            "options": [*_menu(replies[i]), *OTHERS],
            "probability": None if sample.probabilities is None else sample.probabilities[i],
        }
        for i in sample.ids
    }
    record: Json = {
        "schema": SCHEMA,
        "created": now(),
        "by": by,
        "strata": list(strata) if by == "stratified" else [],
        "seed": seed,
        "of": len(replies),
        "drawn": drawn,
    }
    name = digest_of({k: v for k, v in record.items() if k != "created"})[:12]
    path = folder / "audits" / f"{name}.json"
    write_atomically(path, json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")
    rows = [
        {
            "audit": name,
            "item_id": i,
            "text": replies[i].text,
            "options": drawn[i]["options"],
            "language": replies[i].document.get("language"),
            "sampled_prob": drawn[i]["probability"],
        }
        for i in sorted(drawn)
    ]
    return name, rows


def _menu(reply: JudgedReply) -> tuple[str, ...]:
    return () if reply.menu is None else reply.menu.labels


def _sample(
    replies: Mapping[str, JudgedReply],
    size: int,
    by: str,
    strata: Sequence[str],
    minimum: int,
    seed: int,
) -> AuditSample:
    if by == "random":
        return random_sample(list(replies), size, seed=seed)
    if by == "farthest":
        return farthest_first({i: r.text for i, r in replies.items()}, size, seed=seed)
    if by != "stratified":
        raise OptionError(f"--by {by}; allowed: random, stratified, farthest")

    def stratum(reply: JudgedReply) -> tuple[str, ...]:
        known = {"status": reply.verdict.status, "task": reply.task}
        return tuple(str(known.get(s, reply.document.get(s))) for s in strata)

    groups = {i: stratum(r) for i, r in replies.items()}
    return stratified_sample(groups, size, minimum=minimum, seed=seed)


def take_in(folder: Path, coded: Sequence[Coded]) -> tuple[str, Path]:
    """Store what people said.

    Returns:
        Name of the audit that the items belong to, and the file.

    Raises:
        OptionError: For nothing, items of no audit or of several, answers that do not say which of
            several audits they are for, or an answer that was not offered.
    """
    read_run_file(folder)
    if not coded:
        raise OptionError("the file holds no answer; fill in the column 'answer'")
    records = records_of(folder)
    name = _audit_of(folder, coded, records)
    drawn = records[name]["drawn"]
    for one in coded:
        if one.answer not in drawn[one.item]["options"]:
            raise OptionError(
                f"item {one.item}: {one.answer!r} was not offered; allowed: "
                f"{', '.join(drawn[one.item]['options'])}"
            )
    answers: dict[tuple[str, str], str] = {}
    for one in coded:
        before = answers.setdefault((one.item, one.rater), one.answer)
        if before != one.answer:
            raise OptionError(
                f"item {one.item}: rater {one.rater!r} says {before!r} and {one.answer!r} in one file; "
                "keep one of the two rows"
            )
    path = folder / "audits" / name / f"{writer_id()}.json"
    rows = [asdict(one) for one in coded]
    write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False).encode() + b"\n")
    return name, path


def _audit_of(folder: Path, coded: Sequence[Coded], records: Mapping[str, Json]) -> str:
    """The audit that answers are for: a reply may be in several, each with another chance."""
    named = sorted({one.audit for one in coded if one.audit is not None})
    if len(named) > 1:
        raise OptionError(
            f"rows of audits {', '.join(named)} in one file; import one audit at a time"
        )
    if named and named[0] not in records:
        raise OptionError(
            f"{folder} has no audit {named[0]!r} (column 'audit'); there: "
            f"{', '.join(records) or 'none'}; import a sheet into the run it was exported from"
        )
    if named:
        drawn = records[named[0]]["drawn"]
        if strangers := sorted({one.item for one in coded} - drawn.keys()):
            raise OptionError(
                f"item {strangers[0]!r} ({len(strangers)} in all) is not of audit {named[0]}; leave "
                "the column item_id as it was exported"
            )
        return named[0]
    items = {one.item for one in coded}
    owners = [name for name, record in records.items() if items <= record["drawn"].keys()]
    if not owners:
        raise OptionError(
            f"{coded[0].item!r} and the other items are of no one audit of {folder}; import the "
            "sheet of one `voxemo audit export` at a time, into the run it was exported from"
        )
    if len(owners) > 1:
        raise OptionError(
            f"these items are in {len(owners)} audits ({', '.join(owners)}), each drawn with another "
            "chance; say which in a column 'audit', as `voxemo audit export` writes it"
        )
    return owners[0]


# ---- the readers against the people


def report(
    folder: Path, audit: str, *, verbalizer: str | None = None, seed: int = 20260501
) -> Json:
    """What an audit says of the people and of the readers, per task.

    Args:
        folder: The run folder.
        audit: Its name.
        verbalizer: Measure this one; default: the run's own.
        seed: Of the bootstrap.

    Raises:
        OptionError: For an audit that is not there.
    """
    records = records_of(folder)
    if audit not in records:
        raise OptionError(f"{folder} has no audit {audit!r}; there: {', '.join(records) or 'none'}")
    record, said = records[audit], said_in(folder, audit)
    by_task: dict[str, list[JudgedReply]] = {}
    for reply in replies_of(folder, verbalizer):
        if reply.menu is not None and reply.text:
            by_task.setdefault(reply.task, []).append(reply)
    tasks = {
        task: _task_report(folder, task, replies, record, said, seed)
        for task, replies in by_task.items()
        if any(item_id(r) in said for r in replies)
    }
    return {
        "schema": "voxemo-audit-report/1",
        "audit": audit,
        "by": record["by"],
        "drawn": len(record["drawn"]),
        "read": len(said),
        "tasks": tasks,
    }


def _task_report(
    folder: Path,
    task: str,
    replies: Sequence[JudgedReply],
    record: Json,
    said: Mapping[str, Mapping[str, Coded]],
    seed: int,
) -> Json:
    labels = list(_menu(replies[0]))
    people = {item_id(r): consensus_of(said.get(item_id(r), {}), labels) for r in replies}
    readers: dict[str, list[int | None]] = {
        "rules": [code_of(r.verdict.answer, labels) for r in replies]
    }
    panel = Panel.newest(folder, task)
    if panel is not None:
        readers["rules and judge"] = [_read_by(panel, r, labels) for r in replies]
    chances = record["drawn"]
    return {
        "labels": labels,
        "raters": sorted({rater for one in said.values() for rater in one}),
        "read": sum(item_id(r) in said for r in replies),
        "no_consensus": sum(people[item_id(r)] is None for r in replies if item_id(r) in said),
        "agreement": _agreement(said, replies, labels, seed),
        "readers": {
            name: _reader_report(codes, replies, people, chances, labels)
            for name, codes in readers.items()
        },
        "cultures": _cultures(replies, said, labels),
    }


def _read_by(panel: Panel, reply: JudgedReply, labels: Sequence[str]) -> int | None:
    """As the scorecard's rules and judge read it; ``None`` where the judges failed."""
    if reply.menu is None or reply.verdict.status not in panel.spec.residue:
        return code_of(reply.verdict.answer, labels)
    stored = StoredReply(reply.text, "stop", reply.menu, reply.key)
    verdict = panel.hear(stored, reply.verdict)
    if verdict is None:
        return code_of(reply.verdict.answer, labels)
    return None if verdict.status in OURS else code_of(verdict.answer, labels)


def _reader_report(
    codes: Sequence[int | None],
    replies: Sequence[JudgedReply],
    people: Mapping[str, int | None],
    chances: Mapping[str, Json],
    labels: Sequence[str],
) -> Json:
    size = len(labels) + 1
    table = np.zeros((size, size), dtype=np.int64)
    gold, truth, read, probability, speakers = [], [], [], [], []
    for code, reply in zip(codes, replies, strict=True):
        if code is None:
            continue
        key = item_id(reply)
        person = people[key]
        if person is not None:
            table[person, code] += 1
        gold.append(code_of(reply.document.get("label"), labels))
        truth.append(-1 if person is None else person)
        read.append(code)
        chance = chances.get(key, {}).get("probability")
        probability.append(1.0 if chance is None else float(chance))
        speakers.append(reply.document.get("speaker"))
    n, right = int(table.sum()), int(np.trace(table))
    limits = proportion_limits(right, n) if n else None
    out: Json = {
        "confusion": {
            "rows": [*labels, NO_ANSWER],
            "columns": [*labels, NO_ANSWER],
            "counts": table.tolist(),
            "limits": row_limits(table),
        },
        "n": n,
        "failed": sum(code is None for code in codes),
        "agrees": right / n if n else None,
        "low": None if limits is None else limits[0],
        "high": None if limits is None else limits[1],
        "rates": {},
        "reason": None,
    }
    if any(chances[i]["probability"] is None for i in chances):
        out["reason"] = "drawn farthest first: such replies stand for no others, so no rate"
        return out
    clusters = speakers if all(s is not None for s in speakers) else None
    for metric in RATES:
        rate = powered_rate(
            gold,
            truth,
            read,
            len(labels),
            metric,
            probabilities=probability,
            clusters=clusters,
        )
        kept = ("value", "low", "high", "people", "judge", "n_audited", "n", "gain", "reason")
        found = {name: getattr(rate, name) for name in kept}
        found["reader"] = found.pop("judge")
        out["rates"][metric] = found
    return out


def _agreement(
    said: Mapping[str, Mapping[str, Coded]],
    replies: Sequence[JudgedReply],
    labels: Sequence[str],
    seed: int,
) -> Json | None:
    raters = sorted({rater for one in said.values() for rater in one})
    if len(raters) < 2:
        return None
    options = [*labels, *OTHERS]
    table = np.array(
        [
            [
                float(options.index(said[item_id(r)][rater].answer))
                if rater in said[item_id(r)]
                else np.nan
                for rater in raters
            ]
            for r in replies
            if item_id(r) in said
        ]
    )
    several = (
        krippendorff_alpha(table, "nominal", seed=seed),
        gwet_ac(table, range(len(options)), seed=seed),
    )
    return {one.coefficient: _coefficient(one) for one in several}


def _coefficient(one: Agreement) -> Json:
    return {
        "value": one.value,
        "low": one.interval.low,
        "high": one.interval.high,
        "raw": one.raw,
        "n": one.n_units,
        "reason": one.reason,
    }


def _cultures(
    replies: Sequence[JudgedReply], said: Mapping[str, Mapping[str, Coded]], labels: Sequence[str]
) -> Json:
    """Share of ratings that agree with the rules, by whether the rater shares the culture."""
    counts = {"matched": [0, 0], "unmatched": [0, 0]}
    for reply in replies:
        culture = reply.document.get("culture")
        for one in said.get(item_id(reply), {}).values():
            if culture is None or one.culture is None:
                continue
            cell = counts["matched" if one.culture == culture else "unmatched"]
            cell[0] += code_of(one.answer, labels) == code_of(reply.verdict.answer, labels)
            cell[1] += 1
    out: Json = {}
    for name, (agree, n) in counts.items():
        limits = proportion_limits(agree, n) if n else None
        out[name] = {
            "n": n,
            "agrees_with_rules": agree / n if n else None,
            "low": None if limits is None else limits[0],
            "high": None if limits is None else limits[1],
        }
    return out


def rater_rows(rows: Sequence[Mapping[str, Any]], where: str) -> list[Coded]:
    """Rows with ``item_id``, ``rater_id``, ``culture``, ``answer``, and ``audit`` if they have it.

    Rows without an answer are left out.

    Raises:
        OptionError: With the row, where item or rater is missing.
    """
    coded = []
    for number, row in enumerate(rows, start=1):
        answer = str(row.get("answer") or "").strip()
        if not answer:
            continue
        item, rater = (str(row.get(k) or "").strip() for k in ("item_id", "rater_id"))
        if not item or not rater:
            raise OptionError(f"{where}, row {number}: needs item_id, rater_id and answer")
        culture = str(row.get("culture") or "").strip() or None
        audit = str(row.get("audit") or "").strip() or None
        coded.append(Coded(item, rater, culture, answer, audit))
    return coded
