"""Predictions that were made elsewhere, written as a run, so that they enter the same scorecards.

Nothing is guessed: a gold label that is not on the menu, a prediction twice, a column that is not
there, class numbers where the menu has names are errors, and an utterance without a gold label is left
out and counted. Ids, labels and facts are taken in NFC, and ``3.0`` is the label ``3``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__, registry
from ..corpora.traces import read_traces
from ..errors import OptionError, StoreError, UnknownNameError
from ..home import DOCUMENTS, write_json_lines
from ..labels import DIMENSIONS, LabelSet
from ..records import Json, Response, Traces, digest_of
from ..specs import StructuredSpec, TracesSpec
from ..store import Asked, RunStore, reply_key
from ..tables import cell, read_rows
from ..verbalize import verbalize

TASK = "imported"
PROMPT = "imported@1"
GOLD = ("gold", "gold2", "votes", *DIMENSIONS)
DESCRIBING = (
    "speaker",
    "group",
    "gender",
    "age",
    "language",
    "culture",
    "dialogue",
    "sentence",
    "synthesis",
)
PREDICTED = ("reply", *(f"predicted_{name}" for name in DIMENSIONS))
TIMES = ("start", "end")
"""Of a window of a recording with time-continuous ratings, in seconds; ``dialogue`` names it."""
FIELDS = ("utterance", *PREDICTED, *GOLD, *DESCRIBING, *TIMES, "prompt", "sample")
SHARE = "p."
"""``p.LABEL=COLUMN`` maps a column of probabilities."""

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_NUMBER = re.compile(r"\s*[+-]?\d+(?:\.\d+)?\s*")


@dataclass
class Imported:
    """What an import found.

    Attributes:
        folder: The run folder.
        utterances: Number of utterances.
        replies: Number of replies.
        without_gold: Utterances left out because they have no gold label.
        read_as: Gold label as written → label of the menu, where they differ.
    """

    folder: Path
    utterances: int
    replies: int
    without_gold: int = 0
    read_as: dict[str, str] = field(default_factory=dict)


def parse_map(text: str) -> dict[str, str]:
    """``--map``: which column holds what.

    Raises:
        OptionError: For a field that is not known or is named twice.

    Example:
        >>> parse_map("reply=answer,gold=label")
        {'reply': 'answer', 'gold': 'label'}
    """
    out: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = part.partition("=")
        name, column = name.strip(), column.strip()
        if not equals or not column:
            raise OptionError(f"--map: {part!r} must be field=column; fields: {', '.join(FIELDS)}")
        if name not in FIELDS and not name.startswith(SHARE):
            raise UnknownNameError("field of --map", name, [*FIELDS, f"{SHARE}LABEL"])
        if name in out:
            raise OptionError(f"--map: {name} is named twice")
        out[name] = column
    return out


def parse_labels(text: str) -> tuple[str, ...]:
    """``--labels``: the menu in its order, separated by commas, or a JSON list.

    Example:
        >>> parse_labels("happy, sad"), parse_labels('["pain, groan", "sad"]')
        (('happy', 'sad'), ('pain, groan', 'sad'))
    """
    listed: Any = text.split(",")
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except ValueError as error:
            raise OptionError(f"--labels: not a JSON list ({error})") from error
    labels = tuple(unicodedata.normalize("NFC", str(label)).strip() for label in listed)
    if not all(labels):
        raise OptionError(f"--labels: one of {list(labels)} is empty")
    LabelSet("imported", labels, {})  # raises for fewer than two, or one twice
    return labels


def import_predictions(
    file: Path,
    columns: Mapping[str, str],
    out: Path,
    *,
    labels: Sequence[str] = (),
    scale: tuple[float, float] | None = None,
    model: str | None = None,
    task: str = TASK,
    verbalizer: str | None = None,
    traces: Path | None = None,
    annotator_delay_s: float | None = None,
    synthetic: bool = False,
) -> Imported:
    """Write a run from a table of predictions.

    Args:
        file: CSV, TSV, JSON lines, JSON or Parquet.
        columns: Field → column; see ``FIELDS``. ``reply`` may hold a list: samples of one prompt.
            Without ``utterance`` rows are numbered. ``p.LABEL`` are columns of probabilities.
        out: The run folder to make.
        labels: The menu in order; none where dimensions are rated.
        scale: Lowest and highest rating, where dimensions are rated.
        model: What the model is called; default: the file's name.
        task: Name of the task.
        verbalizer: Reads the replies; default: ``closed_set``, ``distribution_json`` for
            probabilities, ``vad`` for ratings.
        traces: Table of time-continuous ratings (``corpora.traces``); rows are then windows, and
            need ``dialogue``, ``start`` and ``end`` in place of a gold rating.
        annotator_delay_s: Lag of the annotators, kept with the run; default: not stated.
        synthetic: Whether results of who predicted are no results (a script, the tiny model).

    Raises:
        OptionError: For a file, column or value that cannot be used, with its line.
        CorpusError: For a table of traces that cannot be used.
        StoreError: Where the folder cannot be written, or holds a run already.
    """
    plan = _Plan.of(columns, labels, scale, verbalizer, traced=traces is not None)
    recordings = {} if traces is None else read_traces(traces)
    if annotator_delay_s is not None and traces is None:
        raise OptionError(
            "--annotator-delay is of time-continuous ratings; give them with --traces"
        )
    rows = _Rows(file, plan)
    for number, row in read_rows(file):
        rows.add(number, row)
    if not rows.documents:
        raise OptionError(f"{file}: no row with a gold label")
    rows.require_words()
    if (out / "run.json").exists():
        raise StoreError(f"{out} holds a run already; choose another --out")
    fingerprint = {
        "model": model or file.stem,
        "revision": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}",
        "adapter": None,
        "engine": "imported",
        "engine_version": __version__,
        "dtype": None,
    }
    header = _header(task, plan, rows, file)
    if traces is not None:
        header["traces"] = _traces(traces, recordings, rows, annotator_delay_s)
    documents = [header, *rows.documents.values()]
    digest = digest_of(documents)
    with RunStore(out, fingerprint, synthetic=synthetic) as store:
        write_json_lines(store.folder / "documents" / f"{digest}.jsonl.gz", documents)
        written: list[Response] = []
        for (utterance, prompt), samples in rows.replies.items():
            key = digest_of([fingerprint, task, utterance, prompt])
            store.ask(Asked(task, digest, utterance, prompt, key, len(samples), store.session))
            for sample, text in enumerate(samples.values()):
                written.append(Response(reply_key(key, sample), text, "stop", sample))
            if len(written) >= 1000:
                store.write(*written)
                written = []
        store.write(*written)
        store.finish()
    n_replies = sum(map(len, rows.replies.values()))
    return Imported(out, len(rows.documents), n_replies, len(rows.without_gold), rows.read_as)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is in the table and how it is read."""

    columns: Mapping[str, str]
    labels: tuple[str, ...]
    dimensions: tuple[str, ...]
    scale: tuple[float, float] | None
    shares: dict[str, str]
    verbalizer: Any
    verbalizer_digest: str
    traced: bool = False

    @classmethod
    def of(
        cls,
        columns: Mapping[str, str],
        labels: Sequence[str],
        scale: tuple[float, float] | None,
        verbalizer: str | None,
        *,
        traced: bool = False,
    ) -> _Plan:
        shares = {k.removeprefix(SHARE): c for k, c in columns.items() if k.startswith(SHARE)}
        rated = tuple(name for name in DIMENSIONS if f"predicted_{name}" in columns)
        if traced and not ({"dialogue", *TIMES} <= columns.keys() and rated):
            raise OptionError(
                "--traces needs predicted ratings of windows: --map predicted_valence=… (or another "
                "dimension), dialogue=…, start=…, end=…"
            )
        if rated:
            missing = [name for name in rated if name not in columns and not traced]
            if missing or labels or scale is None:
                raise OptionError(
                    "ratings need --scale LOW,HIGH, a gold column for each predicted dimension "
                    f"(missing: {', '.join(missing) or 'none'}) and no --labels"
                )
        elif "gold" not in columns and "votes" not in columns:
            raise OptionError("--map needs gold=COLUMN (or votes=COLUMN)")
        elif not labels:
            raise OptionError(
                "--labels is missing: the menu, in order, e.g. --labels angry,happy,sad"
            )
        if not rated and ("reply" in columns) == bool(shares):
            raise OptionError(
                "--map needs reply=COLUMN, or p.LABEL=COLUMN for each label, and not both"
            )
        if shares and set(shares) != set(labels):
            raise OptionError(
                f"--map: probabilities for {', '.join(sorted(shares))}; the labels are "
                f"{', '.join(labels)}"
            )
        default = "vad" if rated else "distribution_json" if shares else "closed_set"
        spec, digest = registry.verbalizer(verbalizer or default)
        return cls(columns, tuple(labels), rated, scale, shares, spec, digest, traced)


class _Rows:
    """The rows as they come, with everything that can be wrong looked at."""

    def __init__(self, file: Path, plan: _Plan) -> None:
        self.file = file
        self.plan = plan
        self.documents: dict[str, Json] = {}
        self.replies: dict[tuple[str, str], dict[int, str]] = {}
        self.without_gold: set[str] = set()
        self.read_as: dict[str, str] = {}
        self._lines: dict[str, int] = {}
        self._exact = {label: label for label in plan.labels}
        self._folded = {label.casefold().strip(): label for label in plan.labels}

    def add(self, number: int, row: Json) -> None:
        """Take a row.

        Raises:
            OptionError: With its line.
        """
        utterance = str(number)
        if "utterance" in self.plan.columns:
            found = self._text(number, row, "utterance")
            if found is None:
                raise self._error(number, "utterance", "is empty")
            utterance = found
        document = self._document(number, row, utterance)
        known = self.documents.get(utterance)
        if known if document is None else utterance in self.without_gold:
            raise self._error(
                number,
                "utterance",
                f"{utterance!r} stands in line {self._lines[utterance]} too, with another gold label: "
                "one of the two rows has none",
            )
        self._lines.setdefault(utterance, number)
        if document is None:
            self.without_gold.add(utterance)
            return
        if known is None:
            self.documents[utterance] = document
        elif known != document:
            differs = [k for k in {*known, *document} if known.get(k) != document.get(k)]
            raise self._error(
                number,
                "utterance",
                f"{utterance!r} stands in line {self._lines[utterance]} too, with another "
                f"{', '.join(sorted(differs))}",
            )
        prompt = self._text(number, row, "prompt") or PROMPT
        samples = self.replies.setdefault((utterance, prompt), {})
        for sample, text in self._predicted(number, row, len(samples)):
            text = self._whole(text)
            if sample in samples or ("sample" not in self.plan.columns and known and sample):
                raise self._error(
                    number,
                    "utterance",
                    f"{utterance!r} has a prediction in line {self._lines[utterance]} already; map "
                    "prompt= or sample= where there are several, or utterance= to what is unique",
                )
            samples[sample] = text

    def _whole(self, text: str) -> str:
        """``3.0`` as the label ``3``: a data frame writes whole numbers so beside empty cells."""
        found = _WHOLE.fullmatch(text.strip())
        if found and text.strip() not in self._exact and found[1] in self._exact:
            return found[1]
        return text

    def require_words(self) -> None:
        """Refuse class numbers as replies where the menu has names, since nothing says which is which.

        Raises:
            OptionError: Where every reply that is not empty is a number, and no label has a digit.
        """
        plan = self.plan
        if plan.dimensions or plan.shares or re.search(r"\d", "".join(plan.labels)):
            return
        texts = [text for several in self.replies.values() for text in several.values()]
        given = [text for text in texts if text.strip()]
        if given and all(map(_NUMBER.fullmatch, given)):
            raise OptionError(
                f"{self.file}, column {plan.columns['reply']!r} (reply): every reply is a number (e.g. "
                f"{given[0].strip()!r}), and the menu has names ({', '.join(plan.labels)}); write the names "
                "into the column, or the numbers into --labels and gold"
            )

    def _document(self, number: int, row: Json, utterance: str) -> Json | None:
        document: Json = {"utterance_id": utterance}
        for name in DESCRIBING:
            value = self._text(number, row, name)
            if value is not None:
                document[name] = value
        gold = self._text(number, row, "gold")
        if gold is not None:
            document["raw_label"] = gold
        document["label"] = None if gold is None else self._menu_label(number, gold)
        second = self._text(number, row, "gold2")
        if second is not None:
            document["label2"] = second
        votes = self._votes(number, row)
        if votes:
            document["votes"] = votes
        for name in self.plan.dimensions:
            rating = self._number(number, row, name)
            if rating is not None:
                document[name] = rating
        rated = any(name in document for name in self.plan.dimensions) or self.plan.traced
        if self.plan.traced:
            document |= self._window(number, row)
        return document if document["label"] is not None or votes or rated else None

    def _window(self, number: int, row: Json) -> Json:
        """The recording and the times of a window."""
        recording = self._text(number, row, "dialogue")
        start, end = (self._number(number, row, name) for name in TIMES)
        if recording is None or start is None or end is None:
            raise self._error(number, "start", "a window needs dialogue, start and end")
        if not 0 <= start < end:
            raise self._error(number, "start", f"the window runs from {start:g} to {end:g} s")
        return {"recording": recording, "start_s": start, "end_s": end}

    def _menu_label(self, number: int, gold: str) -> str:
        gold = unicodedata.normalize("NFC", gold)
        label = self._exact.get(self._whole(gold)) or self._folded.get(gold.casefold().strip())
        if label is None:
            label = self.read_as.get(gold)
        if label is None and not isinstance(self.plan.verbalizer, StructuredSpec):
            label = verbalize(gold, self.plan.labels, self.plan.verbalizer).answer
        if label is None:
            raise self._error(
                number,
                "gold",
                f"{gold!r} is not on the menu ({', '.join(self.plan.labels)}); add it to --labels, or "
                "empty the cell where the utterance has no gold label",
            )
        if label != gold:
            self.read_as[gold] = label
        return label

    def _votes(self, number: int, row: Json) -> dict[str, int]:
        value = self._cell(number, row, "votes")
        if value is None:
            return {}
        try:
            found = json.loads(value) if isinstance(value, str) else value
            votes = [
                (self._menu_label(number, k), v) for k, v in dict(found).items() if v is not None
            ]
        except (ValueError, TypeError) as error:
            if isinstance(error, OptionError):
                raise
            raise self._error(number, "votes", f"{value!r} is no JSON object of counts") from error
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for _, v in votes):
            raise self._error(number, "votes", f"{value!r}: votes are whole numbers from 0")
        total: dict[str, int] = {}
        for label, n in votes:  # two words of one label add up
            total[label] = total.get(label, 0) + n
        return {label: n for label, n in total.items() if n}

    def _predicted(self, number: int, row: Json, so_far: int) -> list[tuple[int, str]]:
        plan = self.plan
        if plan.dimensions:
            values = {n: self._number(number, row, f"predicted_{n}") for n in plan.dimensions}
            given = {n: v for n, v in values.items() if v is not None}
            return [(self._sample(number, row, so_far), json.dumps(given) if given else "")]
        if plan.shares:
            shares = {label: self._share(number, row, label) for label in plan.labels}
            given = {label: v for label, v in shares.items() if v is not None}
            return [(self._sample(number, row, so_far), json.dumps(given) if given else "")]
        value = self._cell(number, row, "reply")
        if isinstance(value, list) and value:
            return [(i, _said(x)) for i, x in enumerate(value)]
        return [(self._sample(number, row, so_far), _said(None if value == [] else value))]

    def _sample(self, number: int, row: Json, so_far: int) -> int:
        value = self._text(number, row, "sample")
        if value is None:
            return so_far
        found = _WHOLE.fullmatch(value)
        value = found[1] if found else value
        if not value.isdecimal():
            raise self._error(number, "sample", f"{value!r} is no whole number from 0")
        return int(value)

    # --- cells ------------------------------------------------------------------------------

    def _cell(self, number: int, row: Json, name: str) -> Any:
        column = self.plan.columns.get(name)
        if column is None:
            return None
        try:
            return cell(row, column)
        except KeyError:
            raise UnknownNameError(
                f"column (--map {name}=) in {self.file}, line {number}", column, list(row)
            ) from None

    def _text(self, number: int, row: Json, name: str) -> str | None:
        value = self._cell(number, row, name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, list | dict):
            raise self._error(number, name, f"{value!r} is no single value")
        return unicodedata.normalize("NFC", _plain(value)).strip() or None

    def _number(self, number: int, row: Json, name: str) -> float | None:
        value = self._text(number, row, name)
        if value is None:
            return None
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise self._error(number, name, f"{value!r} is no finite number")
        return found

    def _share(self, number: int, row: Json, label: str) -> float | None:
        value = self._number(number, row, f"{SHARE}{label}")
        if value is not None and value < 0:
            raise self._error(number, f"{SHARE}{label}", f"{value} is no probability")
        return value

    def _error(self, number: int, name: str, what: str) -> OptionError:
        column = self.plan.columns.get(name, name)
        return OptionError(f"{self.file}, line {number}, column {column!r} ({name}): {what}")


def _said(value: Any) -> str:
    """A reply as text; nothing, and the "not a number" of a data frame, is an empty one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return _plain(value)


def _plain(value: Any) -> str:
    """A value as text; a float that is a whole number as that number."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _traces(
    file: Path, recordings: Mapping[str, Traces], rows: _Rows, delay_s: float | None
) -> Json:
    asked = {str(document["recording"]) for document in rows.documents.values()}
    if unknown := sorted(asked - recordings.keys()):
        raise OptionError(
            f"{file}: has no trace of {unknown[0]!r} (and {len(unknown) - 1} more recordings of the "
            f"predictions); it has {', '.join(sorted(recordings)[:5])} …"
        )
    spec = TracesSpec(delay_s=delay_s).model_dump() | {
        "chosen_by": "the import (--annotator-delay)"
    }
    return {"recordings": {name: recordings[name] for name in sorted(asked)}, "options": spec}


def _header(task: str, plan: _Plan, rows: _Rows, file: Path) -> Json:
    samples = max((len(several) for several in rows.replies.values()), default=1)
    prompts = list(dict.fromkeys(prompt for _, prompt in rows.replies))
    return {
        "schema": DOCUMENTS,
        "task": task,
        "tier": "imported",
        "corpus": {
            **{"id": task, "name": file.name, "synthetic": False},
            # Naming both says that they were crossed.
            **(
                {"crossed": "speaker_sentence"}
                if {"speaker", "sentence"} <= {*plan.columns}
                else {}
            ),
        },
        "label_set": {"id": "imported", "labels": list(plan.labels), "merge": {}}
        if plan.labels
        else None,
        "dimensions": list(plan.dimensions),
        "scale": None if plan.scale is None else list(plan.scale),
        "protocol": "all",
        "fold": 1,
        "role": "test",
        "excluded": {"no gold label": len(rows.without_gold)},
        "gold_read_as": dict(sorted(rows.read_as.items())),
        "prompts": [{"id": prompt, "sha256": None, "language": None} for prompt in prompts],
        "members": [],
        "ensemble": None,
        "decoding": {},
        "samples": samples,
        "verbalizer": {"id": plan.verbalizer.ref, "sha256": plan.verbalizer_digest},
        "options": {"replayed": True, "answer": "distribution" if plan.shares else "label"},
        "n_utterances": len(rows.documents),
    }
