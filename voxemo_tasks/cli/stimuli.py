"""The manipulation check of a run: after its replies, before its scores."""

from __future__ import annotations

import json
from pathlib import Path

from ..corpora import prepared
from ..errors import VoxEmoError
from ..home import write_atomically
from ..records import Json
from ..results.probes.asked import by_condition
from ..results.probes.block import read_stimuli, stimuli_file
from ..store import read_run
from ..tasks.stimuli import measured


def check_stimuli(folder: Path) -> list[str]:
    """Measure the stimuli of every counterfactual task of a run folder that are not measured yet.

    The findings are written into the run folder, where scores look for them. The corpus must be
    prepared here.

    Returns:
        A line for each task: how many failed.
    """
    run = read_run(folder)
    lines = []
    for task, digest in sorted({(row.task, row.documents) for row in run.asked}):
        header, _ = run.documents(digest)
        if not header.get("claims"):
            continue
        rows = [r for r in run.asked if (r.task, r.documents) == (task, digest)]
        asked = {
            (row.utterance_id, condition)
            for condition, several in by_condition(header, rows).items()
            if condition not in ("clean", "claims")
            for row in several
        }
        try:
            lines.append(f"{task}: {_check(folder, header, digest, asked)}")
        except VoxEmoError as error:
            lines.append(f"{task}: stimuli are not checked, and none is left out: {error}")
    run.close()
    return lines


def _check(folder: Path, header: Json, digest: str, asked: set[tuple[str, str]]) -> str:
    known = read_stimuli(folder, digest) or {}
    missing = sorted(asked - set(known))
    path = stimuli_file(folder, digest)
    if missing:
        manifest = prepared(header["corpus"]["id"]).manifest()
        place = {uid: row for row, uid in enumerate(manifest.column("utterance_id"))}
        clips = {uid: manifest.audio_ref(place[uid]) for uid, _ in missing}
        before = path.read_bytes() if path.exists() else b""
        made = "".join(json.dumps(row) + "\n" for row in measured(clips, missing))
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, before + made.encode())
    found = read_stimuli(folder, digest) or {}
    failed = sum(bool(criteria) for criteria in found.values())
    return f"{failed} of {len(found)} stimuli do not do what they should, and are left out"
