"""Rows of a table that somebody else made: CSV, TSV, JSON lines, JSON, Parquet.

A cell is text, a number, a list or nothing; an empty cell and a null are the same. Cells of nested
JSON are named by their path: ``doc.id``, ``resps.0.0``. A ``.csv`` is separated by whichever of comma,
semicolon, tab and bar its head has most of; blanks around the names in its head are no part of them.
Bytes in Parquet are UTF-8.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import OptionError
from .records import Json

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def read_rows(path: Path) -> Iterator[tuple[int, Json]]:
    """Rows with their numbers: lines of a text file, else counted from 1.

    Raises:
        OptionError: For a file that is missing or no such table, with the line.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    try:
        if suffix == ".parquet":
            yield from _parquet(path)
        elif suffix in (".csv", ".tsv"):
            yield from _csv(path, "\t" if suffix == ".tsv" else None)
        elif suffix == ".json":
            yield from _json(path)
        else:
            yield from _json_lines(path)
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise OptionError(
            f"{path} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); convert it, "
            "e.g. with iconv -t UTF-8"
        ) from error


def _csv(path: Path, delimiter: str | None) -> Iterator[tuple[int, Json]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if delimiter is None:
            head = _QUOTED.sub("", stream.readline())
            delimiter = max(_DELIMITERS, key=head.count)  # the first of several: the comma
            stream.seek(0)
        reader = csv.DictReader(stream, delimiter=delimiter, strict=True)
        reader.fieldnames = names = [name.strip() for name in reader.fieldnames or []]
        if len(set(names)) < len(names):
            raise OptionError(f"{path}: two columns have the same name ({', '.join(names)})")
        try:
            for row in reader:
                if None in row or None in row.values():
                    got = sum(v is not None for k, v in row.items() if k is not None)
                    got += len(row.get(None) or ())
                    raise OptionError(
                        f"{path}, line {reader.line_num}: {got} cells where the head has {len(names)}"
                    )
                yield reader.line_num, dict(row)
        except csv.Error as error:
            raise OptionError(f"{path}, line {reader.line_num}: {error}") from error


def _json_lines(path: Path) -> Iterator[tuple[int, Json]]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise OptionError(f"{path}, line {number}: not JSON ({error})") from error
            yield number, _object(row, path, number)


def _json(path: Path) -> Iterator[tuple[int, Json]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise OptionError(f"{path}: not JSON ({error})") from error
    if not isinstance(rows, list):
        raise OptionError(f"{path}: expected a list of objects, got {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        yield number, _object(row, path, number)


def _object(row: Any, path: Path, number: int) -> Json:
    if not isinstance(row, dict):
        raise OptionError(f"{path}, row {number}: expected an object, got {type(row).__name__}")
    return row


def _parquet(path: Path) -> Iterator[tuple[int, Json]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, {name: _text(v, path, number, name) for name, v in row.items()}
    except pa.ArrowInvalid as error:
        raise OptionError(f"{path} is no Parquet file ({error})") from error


def _text(value: Any, path: Path, number: int, name: str) -> Any:
    """A cell of Parquet, its bytes as text."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise OptionError(
                f"{path}, row {number}, column {name!r}: {value[:20]!r} is no UTF-8 text"
            ) from error
    if isinstance(value, list):
        return [_text(v, path, number, name) for v in value]
    if isinstance(value, dict):
        return {k: _text(v, path, number, name) for k, v in value.items()}
    return value


def cell(row: Mapping[str, Any], column: str) -> Any:
    """A cell by its column, or by its path in nested JSON; an empty text is ``None``.

    A name that is spelt with other code points (``é`` as one or as two) is the same name.

    Raises:
        KeyError: Where there is no such column.

    Example:
        >>> cell({"doc": {"id": "a"}, "resps": [["sad"]]}, "resps.0.0")
        'sad'
        >>> cell({"a.b": ""}, "a.b") is None
        True
    """
    if column in row:
        value: Any = row[column]
    else:
        value = row
        for part in column.split("."):
            if isinstance(value, Mapping) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                return cell(row, _spelt(row, column))
    return None if value == "" else value


def _spelt(row: Mapping[str, Any], column: str) -> str:
    """The column of a row that is the same text in other code points."""
    if not column.isascii():
        plain = unicodedata.normalize("NFC", column)
        for name in row:
            if name != column and unicodedata.normalize("NFC", name) == plain:
                return name
    raise KeyError(column)
