"""lm-eval's sample logs (``samples_<task>_<time>.jsonl``, from ``--log_samples``) as runs.

A log of a task of this suite says which documents it asked about; where their file is still below
``$VOXEMO_HOME``, everything that a run folder would tell is known (menus, gold, votes, speakers). A
log of any other task holds a target and replies: with a menu given, that makes a run too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import OptionError, StoreError
from ..home import home, write_atomically
from ..records import Json, Response, digest_of
from ..store import Asked, RunStore, reply_key
from ..tables import read_rows
from .importing import Imported, import_predictions


def import_samples(file: Path, out: Path, *, labels: Sequence[str] = ()) -> Imported:
    """Write a run from a sample log.

    Args:
        file: The log.
        out: The run folder to make.
        labels: The menu, for a task that is not of this suite (or whose documents are gone).

    Raises:
        OptionError: For a log that cannot be used, with the line.
        StoreError: Where the folder cannot be written, or holds a run already.
    """
    if (out / "run.json").exists():
        raise StoreError(f"{out} holds a run already; choose another folder")
    synthetic = any(_of_synthetic_model(row) for _, row in read_rows(file))
    if labels:
        columns = {"utterance": "doc_id", "reply": "resps.0", "gold": "target"}
        return import_predictions(
            file, columns, out, labels=labels, task=_task_of(file), synthetic=synthetic
        )
    fingerprint = {
        "model": file.stem,
        "revision": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}",
        "adapter": None,
        "engine": "lm-eval samples",
        "engine_version": __version__,
        "dtype": None,
    }
    utterances: set[str] = set()
    n_replies = 0
    rows = list(_rows(file))
    if not rows:
        raise OptionError(f"{file} has no rows")
    sources = {row[1]: _documents_file(file, row[0], row[1], row[2]) for row in rows}
    with RunStore(out, fingerprint, synthetic=synthetic) as store:
        for digest, source in sources.items():
            target = store.folder / "documents" / f"{digest}.jsonl.gz"
            write_atomically(target, source.read_bytes())
        for _, digest, _, provenance, replies in rows:
            utterance, prompt = str(provenance["utterance_id"]), str(provenance["prompt"])
            task = str(provenance["task"])
            key = digest_of([fingerprint, task, digest, utterance, prompt])
            store.ask(Asked(task, digest, utterance, prompt, key, len(replies), store.session))
            store.write(
                *(Response(reply_key(key, i), text, "stop", i) for i, text in enumerate(replies))
            )
            utterances.add(utterance)
            n_replies += len(replies)
        store.finish()
    return Imported(out, len(utterances), n_replies)


def _task_of(file: Path) -> str:
    """The task in a log's name."""
    return file.stem.removeprefix("samples_").rpartition("_")[0] or file.stem


def _rows(file: Path) -> Iterator[tuple[int, str, str, Json, list[str]]]:
    """Line, digest and path of the documents, provenance, replies: one of each question."""
    for number, row in read_rows(file):
        try:
            asked = [row["arguments"][f"gen_args_{i}"]["arg_2"] for i in range(len(row["resps"]))]
            found = [one["provenance"] for one in asked]
            documents = [one["documents"] for one in found]
        except (KeyError, TypeError) as error:
            raise OptionError(
                f"{file}, line {number}: not a log of a task of this suite (it lacks {error}); give the "
                "menu with --labels a,b,c to read its `target` and `resps`"
            ) from None
        for provenance, place, replies in zip(found, documents, row["resps"], strict=True):
            texts = [_text(one) for one in (replies if isinstance(replies, list) else [replies])]
            yield number, str(place["sha256"]), str(place["path"]), provenance, texts


def _of_synthetic_model(row: Json) -> bool:
    """Whether the task wrote beside its verdict that a model said this whose results are none."""
    verdict = row.get("coverage")
    return isinstance(verdict, dict) and verdict.get("synthetic") is True


def _text(reply: Any) -> str:
    return "" if reply is None else str(reply)


def _documents_file(file: Path, number: int, digest: str, path: str) -> Path:
    for place in (Path(path), home() / "documents" / f"{digest}.jsonl.gz"):
        if place.is_file():
            return place
    raise OptionError(
        f"{file}, line {number}: the documents that were asked about ({digest[:12]}…) are not on this "
        "machine any more; score the run folder instead, or give the menu with --labels to read the "
        "log's `target` and `resps` alone (without votes and speakers)"
    )
