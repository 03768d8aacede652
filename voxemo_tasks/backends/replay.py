"""``replay-audiolm``: says what a table of earlier predictions says, utterance by utterance.

So that a specialist's or another suite's output on a prepared corpus enters the same scorecard as a
speech LLM's, with the corpus's own gold labels, votes and speakers. (Where there is no prepared
corpus, ``voxemo import predictions`` makes a run from the table alone.)

The table is CSV, TSV, JSON lines, JSON or Parquet. A row names its utterance, and holds a reply, or a
probability for each label (``p.angry``), or ratings (``valence`` …); probabilities and ratings
become JSON replies, for ``--metadata '{"verbalizer": "distribution_json"}'`` and for the tier
``dimensional``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..records import Json, Request, digest_of
from ..tables import cell, read_rows
from .base import AudioLM, Generated
from .requests import Job

FIELDS = ("utterance", "reply", "prompt", "sample")
SHARE = "p."


class ReplayAudioLM(AudioLM):
    """A model that repeats predictions.

    Args:
        predictions: The table.
        map: ``field:column`` pairs joined by ``+``, where columns are called otherwise; fields are
            ``utterance``, ``reply``, ``prompt``, ``sample``, ``p.LABEL``, ``valence``, ``arousal``,
            ``dominance``.
        name: What the model is called; default: the file's name.
        options: Those of :class:`~voxemo_tasks.backends.base.AudioLM`.

    Raises:
        OptionError: For a table that cannot be used, with the line.
    """

    canary_requests = 0
    seeds_each_row = True

    def __init__(
        self,
        predictions: str = "",
        map: str = "",
        *,
        name: str | None = None,
        device: str | None = None,
        max_batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not predictions:
            raise OptionError("--model_args of replay-audiolm needs predictions=FILE")
        self._file = Path(str(predictions)).expanduser()
        self._name = str(name) if name else self._file.stem
        self._columns = columns_of(map)
        self._replies = self._read()
        self._digest = hashlib.sha256(self._file.read_bytes()).hexdigest()

    @property
    def name(self) -> str:
        return self._name

    def fingerprint(self) -> Json:
        return {
            "model": self._name,
            "revision": f"sha256:{self._digest}",
            "adapter": None,
            "engine": "replay",
            "engine_version": "1",
            "dtype": None,
        }

    def key_of(self, request: Request, provenance: Json) -> str:
        """Two utterances of equal sound are two here: their predictions may differ."""
        return digest_of([super().key_of(request, provenance), provenance.get("utterance_id")])

    def needs_audio(self) -> bool:
        return False

    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        return [[self._say(job, sample) for sample in job.missing] for job in jobs]

    def _say(self, job: Job, sample: int) -> Generated:
        utterance = job.utterance_id
        if utterance is None:
            raise LookupError("the request says no utterance id; replay needs tasks of this suite")
        for prompt in (job.request.prompt_id, None):
            found = self._replies.get((utterance, prompt))
            if found is not None:
                break
        else:
            return Generated("", error=f"{self._file.name} has no row for utterance {utterance!r}")
        if sample not in found:
            return Generated(
                "", error=f"{self._file.name}: utterance {utterance!r} has no sample {sample}"
            )
        return Generated(found[sample])

    def _read(self) -> dict[tuple[str, str | None], dict[int, str]]:
        found: dict[tuple[str, str | None], dict[int, str]] = {}
        for number, row in read_rows(self._file):
            utterance = self._cell(number, row, "utterance", needed=True)
            prompt = self._cell(number, row, "prompt")
            replies = found.setdefault(
                (str(utterance), None if prompt is None else str(prompt)), {}
            )
            said = self._prediction(number, row)
            first = self._cell(number, row, "sample")
            if first is not None and not str(first).isdigit():
                raise OptionError(
                    f"{self._file}, line {number}: sample {first!r} is no whole number"
                )
            start = len(replies) if first is None else int(first)
            for sample, text in enumerate(said, start=start):
                if sample in replies:
                    raise OptionError(
                        f"{self._file}, line {number}: utterance {utterance!r}, sample {sample} stands "
                        "there twice"
                    )
                replies[sample] = text
        if not found:
            raise OptionError(f"{self._file} has no rows")
        return found

    def _prediction(self, number: int, row: Json) -> list[str]:
        reply = self._cell(number, row, "reply")
        if isinstance(reply, list):
            return ["" if one is None else str(one) for one in reply]
        if reply is not None or self._columns.get("reply", "reply") in row:
            return ["" if reply is None else str(reply)]
        numbers: dict[str, float] = {}
        named = {k: c for k, c in self._columns.items() if k not in FIELDS}
        named = named or {k: k for k in row if k.startswith(SHARE) or k in DIMENSIONS}
        for key, column in named.items():
            value = row.get(column)
            if value in (None, ""):
                continue
            try:
                numbers[key.removeprefix(SHARE)] = float(value)
            except (TypeError, ValueError) as error:
                raise OptionError(
                    f"{self._file}, line {number}, column {column!r}: {value!r} is no number"
                ) from error
        if not named:
            raise OptionError(
                f"{self._file}, line {number}: no column `reply`, `p.LABEL`, `valence` …; say with map= "
                f"what the columns are ({', '.join(map(str, row))})"
            )
        return [json.dumps(numbers, ensure_ascii=False) if numbers else ""]

    def _cell(self, number: int, row: Json, name: str, *, needed: bool = False) -> Any:
        column = self._columns.get(name, name)
        try:
            value = cell(row, column)
        except KeyError:
            if needed or name in self._columns:
                raise OptionError(
                    f"{self._file}, line {number}: no column {column!r} for {name}; there are "
                    f"{', '.join(map(str, row))}. Say map={name}:COLUMN"
                ) from None
            return None
        if needed and value is None:
            raise OptionError(f"{self._file}, line {number}, column {column!r}: is empty")
        return value


DIMENSIONS = ("valence", "arousal", "dominance")


def columns_of(text: str) -> dict[str, str]:
    """``map=``: which column holds what.

    Raises:
        OptionError: For anything but ``field:column`` pairs joined by ``+``.

    Example:
        >>> columns_of("utterance:file+reply:answer")
        {'utterance': 'file', 'reply': 'answer'}
    """
    out: dict[str, str] = {}
    for part in filter(None, str(text).split("+")):
        field, colon, column = part.partition(":")
        known = field in FIELDS or field in DIMENSIONS or field.startswith(SHARE)
        if not colon or not column or not known or field in out:
            raise OptionError(
                f"map={text!r}: {part!r} must be field:column, joined by '+'; fields: "
                f"{', '.join((*FIELDS, *DIMENSIONS))}, p.LABEL"
            )
        out[field] = column
    return out
