"""A corpus nobody has heard of: one table whose columns are those of a manifest.

CSV, TSV, JSON Lines or Parquet, told by its ending; it lies in the root, and its paths are relative
to the root. docs/corpora.md has the columns. ``path`` is required, and ``raw_label`` or ``label``;
an empty cell is "not known". Without ``utterance_id`` the path without extension is the id. Columns
of another name are fitted by the card's ``reader.options.columns``.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, model_validator

from ...audio import shown
from ...errors import CorpusError
from ...records import Utterance
from ...specs import CorpusCard, Spec
from ..manifest import COLUMNS, leaves_root
from ..traces import dealt, read_traces
from .base import Problem, audio_files_below, options, require_root, wrong_layout
from .cells import CONVERT, splits, text

FILES = ("manifest.csv", "manifest.tsv", "manifest.jsonl", "manifest.parquet")
"""What the table is called where the card does not say."""

TRACES = "traces.csv"

MEASURED = ("duration_s", "sampling_rate_hz", "sha256", "error")
"""Columns of a manifest that ``prepare`` reads from the files themselves; passed over."""

SPLIT = ("protocol", "fold", "role")
FIELDS: tuple[str, ...] = tuple(name for name in COLUMNS if name not in MEASURED) + SPLIT
"""What a column can be."""

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_CELL = 2**27  # votes of a thousand raters are one cell


class Options(Spec):
    """``reader.options`` of this family."""

    file: str | None = Field(
        default=None, description=f"Path of the table below the root; else {', '.join(FILES)}."
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Field → the column that holds it; columns that are not named are left out.",
    )
    extra: list[str] = Field(
        default_factory=list, description="Columns that are no fields, and left out."
    )
    encoding: str = Field(default="utf-8-sig", description="Of CSV, TSV and JSON Lines.")
    delimiter: str | None = Field(default=None, description="Of CSV and TSV; else by the ending.")
    traces: str | None = Field(
        default=None,
        description=f"Path of a table of time-continuous ratings below the root; else {TRACES}, where "
        "it is there.",
    )
    folder: str = Field(default="", description="Folder below the root that paths are relative to.")

    @model_validator(mode="after")
    def _fields_are_known(self) -> Options:
        if unknown := sorted(self.columns.keys() - set(FIELDS)):
            raise ValueError(
                f"columns: {', '.join(unknown)}: no such field; known: {', '.join(FIELDS)}"
            )
        if self.columns and "path" not in self.columns:
            raise ValueError("columns: does not name path")
        return self


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from the lines of the table.

    Yields:
        An utterance for each line, whether its file exists or not; a problem for each file that
        looks like audio and stands on no line.

    Raises:
        CorpusError: For a root without the table; an encoding, column, number, vote, split or path
            that cannot be used, an id that stands twice (each with file and line).
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    require_root(card, root)
    file = _file(card, root, wanted)
    lines: dict[str, str] = {}
    named: set[str] = set()
    below = list(audio_files_below(root))
    files = {path for path in below if isinstance(path, str)}
    spelt = {_nfc(path): path for path in sorted(files)}
    windows: list[Utterance] = []
    traces = wanted.traces or (TRACES if (root / TRACES).is_file() else None)
    for where, row in _rows(file, wanted, bool(card.labels)):
        utterance = _utterance(card, row, where, wanted)
        if utterance.path not in files:
            # A table made on another system may spell é with other code points than the disk.
            utterance = replace(utterance, path=spelt.get(_nfc(utterance.path), utterance.path))
        if "\\" in utterance.path and not (root / utterance.path).exists():
            raise CorpusError(
                f"{where}: the path {utterance.path!r} has backslashes; paths are written with '/'"
            )
        first = lines.setdefault(utterance.utterance_id, where)
        if first != where:
            raise CorpusError(
                f"{where}: the id {utterance.utterance_id!r} stands twice (first at {first}); each "
                "must be unique: name a column utterance_id"
            )
        named.add(utterance.path)
        if traces is None:
            yield utterance
        else:
            windows.append(utterance)
    if not lines:
        raise CorpusError(f"{shown(file)}: has no line below its header")
    if traces is not None:
        yield from dealt(windows, read_traces(root / traces), traces)
    for path in below:
        if isinstance(path, Problem):
            yield path
        elif path not in named:
            yield Problem(shown(path), f"stands on no line of {file.name}")


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _file(card: CorpusCard, root: Path, wanted: Options) -> Path:
    names = [wanted.file] if wanted.file is not None else FILES
    found = [root / name for name in names if (root / name).is_file()]
    if not found:
        raise wrong_layout(card, root, f"the table {' or '.join(names)} in the root itself")
    if len(found) > 1:
        raise CorpusError(
            f"{shown(root)}: holds {' and '.join(f.name for f in found)}; say which one it is in "
            "the card: reader.options.file"
        )
    return found[0]


Row = tuple[str, Mapping[str, Any]]


def _rows(file: Path, wanted: Options, labelled: bool) -> Iterator[Row]:
    """Where each row stands (file and line), and its cells by column."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(file, wanted, labelled)
        return
    rows = _json_rows if suffix in _JSON_LINES else _csv_rows
    if suffix not in (*_JSON_LINES, *_DELIMITERS):
        raise CorpusError(
            f"{shown(file)}: ends in {suffix!r}; a table is "
            + ", ".join([*_DELIMITERS, *_JSON_LINES, ".parquet"])
        )
    try:
        yield from rows(file, wanted, labelled)
    except UnicodeError as error:
        raise CorpusError(
            f"{shown(file)}{_undecodable(file, wanted.encoding)}: is not {wanted.encoding} "
            f"({error}); save it as UTF-8, or name its encoding in the card: "
            "reader.options.encoding"
        ) from error
    except LookupError as error:
        raise CorpusError(
            f"corpus card, key reader.options.encoding: {wanted.encoding!r} is no encoding"
        ) from error
    except OSError as error:
        raise CorpusError(f"{shown(file)}: cannot be read ({error.strerror or error})") from error


def _undecodable(file: Path, encoding: str) -> str:
    """``:<line>`` of the first line that does not decode by itself; empty where none does."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return f":{number}"
    return ""


def _csv_rows(file: Path, wanted: Options, labelled: bool) -> Iterator[Row]:
    delimiter = wanted.delimiter or _DELIMITERS[file.suffix.lower()]
    limit = csv.field_size_limit(_CELL)
    number = 0
    try:
        with file.open(encoding=wanted.encoding, newline="") as stream:
            lines = csv.reader(stream, delimiter=delimiter, strict=True)
            header = next(lines, [])
            _require_columns(header, f"{shown(file)}:1", wanted, labelled)
            number = lines.line_num
            for cells in lines:
                where, number = f"{shown(file)}:{number + 1}", lines.line_num
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise CorpusError(
                        f"{where}: has {len(cells)} cell(s), the header {len(header)}; is a cell "
                        f"that holds {delimiter!r} not in quotes?"
                    )
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise CorpusError(f"{shown(file)}:{number + 1}: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _json_rows(file: Path, wanted: Options, labelled: bool) -> Iterator[Row]:
    with file.open(encoding=wanted.encoding) as stream:
        for number, line in enumerate(stream, start=1):
            where = f"{shown(file)}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise CorpusError(
                    f"{where}: is not JSON ({error.msg}, column {error.colno})"
                ) from error
            if not isinstance(row, dict):
                raise CorpusError(f"{where}: is not an object ({{…}})")
            _require_known([*row], where, wanted)
            yield where, row


def _parquet_rows(file: Path, wanted: Options, labelled: bool) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with file.open("rb") as stream, pq.ParquetFile(stream) as table:
            _require_columns(table.schema_arrow.names, shown(file), wanted, labelled)
            for batch in table.iter_batches(4096):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{shown(file)}, row {number}", row
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise CorpusError(f"{shown(file)}: is not a readable Parquet file ({reason})") from error


def _require_known(header: list[str], where: str, wanted: Options) -> None:
    if wanted.columns:
        return
    if unknown := sorted(set(header) - {*FIELDS, *MEASURED, *wanted.extra}):
        raise CorpusError(
            f"{where}: unknown column(s) {', '.join(unknown)}; known: {', '.join(FIELDS)}. Fit "
            "them in the card with reader.options.columns, or leave them out with "
            f"reader.options.extra{_separated(header)}"
        )


def _separated(header: list[str]) -> str:
    """A hint for a head that is one cell and holds another separator."""
    signs = [sign for sign in ";\t|," if len(header) == 1 and sign in header[0]]
    return f". Is it separated by {signs[0]!r}? reader.options.delimiter" if signs else ""


def _require_columns(header: list[str], where: str, wanted: Options, labelled: bool) -> None:
    """Refuse the header of a table that has one."""
    has = f"it has {', '.join(header) or 'none'}"
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise CorpusError(f"{where}: the column(s) {', '.join(twice)} stand twice; {has}")
    _require_known(header, where, wanted)
    if absent := sorted(set(wanted.columns.values()) - set(header)):
        raise CorpusError(
            f"{where}: has no column {', '.join(absent)}, which the card names "
            f"(reader.options.columns); {has}"
        )
    fields = wanted.columns.keys() or set(header)
    if "path" not in fields:
        raise CorpusError(f"{where}: has no column path; {has}")
    if labelled and not {"raw_label", "label"} & fields:
        raise CorpusError(f"{where}: has neither a column raw_label nor label; {has}")


def _utterance(card: CorpusCard, row: Mapping[str, Any], where: str, wanted: Options) -> Utterance:
    names = wanted.columns or {name: name for name in FIELDS}
    values: dict[str, Any] = {}
    for field, column in names.items():
        value = row.get(column)
        if value is None or value == "":
            continue
        convert: Callable[[Any], Any] = CONVERT.get(field, text)
        try:
            values[field] = convert(value)
        except ValueError as error:
            raise CorpusError(f"{where}, column {column}: {error}") from error
    if "path" not in values:
        raise CorpusError(f"{where}: has no path")
    path = (PurePosixPath(wanted.folder) / values["path"]).as_posix()
    if leaves_root(path):
        raise CorpusError(
            f"{where}: the path {path!r} points outside the corpus root, and is refused; paths are "
            "relative to the root and have no '..'"
        )
    split = [values.pop(name, None) for name in SPLIT]
    if any(part is not None for part in split):
        if "splits" in values or None in split:
            raise CorpusError(
                f"{where}: a split is protocol, fold and role, or stands in splits; got "
                f"{dict(zip(SPLIT, split, strict=True))}"
            )
        try:
            values["splits"] = splits([dict(zip(SPLIT, split, strict=True))])
        except ValueError as error:
            raise CorpusError(f"{where}: {error}") from error
    values["raw_label"] = _raw_label(card, values, where)
    values.setdefault("utterance_id", PurePosixPath(path).with_suffix("").as_posix())
    values["utterance_id"] = _nfc(values["utterance_id"])
    return Utterance(**{**values, "path": path, "label": None})


def _raw_label(card: CorpusCard, values: Mapping[str, Any], where: str) -> str | None:
    """The raw label, where need be from the canonical one; what fits none is left to the card."""
    raw, label = values.get("raw_label"), values.get("label")
    if raw is not None:
        if label is not None and card.labels.get(raw, label) != label:
            raise CorpusError(
                f"{where}: says raw_label {raw!r} and label {label!r}; on the card {raw!r} is "
                f"{card.labels[raw]!r}"
            )
        return str(raw)
    if label is None or card.labels.get(label) == label:
        return label
    meant = [r for r, canonical in card.labels.items() if canonical == label]
    if len(meant) > 1:
        raise CorpusError(
            f"{where}: the label {label!r} may be {' or '.join(meant)}; give raw_label instead"
        )
    return meant[0] if meant else label
