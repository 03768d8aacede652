"""The manifest: the utterances of one local copy of a corpus, as a Parquet file.

Conventions
-----------
rows       one per ``Utterance``, sorted by ``utterance_id`` (by code point); null is "not known"
columns    the fields of ``Utterance``, in their order (``COLUMNS``)
metadata   JSON under the schema's key ``voxemo`` (``Facts``)
digest     SHA-256 over the rows, see ``digest_of_rows``; the same wherever the corpus lies and
           whenever it was prepared
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..audio import shown
from ..errors import CorpusError
from ..records import AudioRef, Json, Split, Utterance, canonical_json
from ..rooms import PACKAGE

KEY = b"voxemo"
FORMAT = "voxemo-manifest/1"
COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(Utterance))

LATER = frozenset({"text_label", "synthesis", "sentence", "rater_ratings", "traces"})
"""Columns that manifests of the first releases lack: not known, there."""

_DIGEST_ROWS = 8192
_BATCH_ROWS = 4096
_ROW_GROUP = 32_768
_ESCAPES = r"^/|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)"
"""Paths that leave their root: absolute ones, and those with a ``..`` component."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a manifest says about itself.

    Attributes:
        corpus: Id of the corpus card.
        card_digest: SHA-256 of the card that it was prepared with.
        root: Absolute folder that ``path`` is relative to, on the machine that prepared it.
        digest: ``digest_of_rows`` when it was written.
        prepared_with: Version of the package.
        created: When, in ISO 8601 (UTC).
        asset: Folder under the package's ``assets`` where it was read from, if it was.
        report: Counts, and what could not be used (see ``PrepareReport.to_json``).
    """

    corpus: str
    card_digest: str
    root: str
    digest: str
    prepared_with: str
    created: str
    asset: str | None = None
    report: Json = field(default_factory=dict)


def arrow_schema() -> Any:
    """The Arrow types of the columns."""
    import pyarrow as pa

    text, number, whole = pa.string(), pa.float64(), pa.int64()
    special = {
        "start_s": number,
        "end_s": number,
        "channel": whole,
        "votes": pa.map_(text, whole),
        "rater_votes": pa.map_(text, pa.list_(text)),
        "valence": number,
        "arousal": number,
        "dominance": number,
        "rater_ratings": pa.map_(text, pa.map_(text, number)),
        "traces": pa.map_(text, pa.map_(text, pa.list_(pa.list_(number)))),
        "splits": pa.list_(
            pa.struct([("protocol", text), ("fold", whole), ("role", text)]),
        ),
        "duration_s": number,
        "sampling_rate_hz": whole,
    }
    return pa.schema([(name, special.get(name, text)) for name in COLUMNS])


def _cell(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in ("votes", "rater_votes"):
        return [(key, value[key]) for key in sorted(value)]
    if name in ("rater_ratings", "traces"):
        return [(key, sorted(value[key].items())) for key in sorted(value)]
    if name == "splits":
        ordered = sorted(value, key=lambda s: (s.protocol, s.fold, s.role))
        return [{"protocol": s.protocol, "fold": s.fold, "role": s.role} for s in ordered]
    return value


def _python(array: Any) -> list[Any]:
    """Arrow values as Python ones, several times faster than ``to_pylist`` on nested types.

    Maps become dicts, lists become tuples, structs become tuples of their fields.
    """
    import pyarrow as pa

    kind = array.type
    if not pa.types.is_nested(kind):
        plain: list[Any] = array.to_pylist()
        return plain
    if pa.types.is_struct(kind):
        return list(zip(*(_python(child) for child in array.flatten()), strict=True))
    ends = array.offsets.to_pylist()
    first, length = ends[0], ends[-1] - ends[0]
    spans = [(start - first, end - first) for start, end in pairwise(ends)]
    rows: list[Any]
    if pa.types.is_map(kind):
        keys = _python(array.keys.slice(first, length))
        items = _python(array.items.slice(first, length))
        rows = [dict(zip(keys[i:j], items[i:j], strict=True)) for i, j in spans]
    else:
        values = _python(array.values.slice(first, length))
        rows = [tuple(values[i:j]) for i, j in spans]
    if array.null_count:
        valid = array.is_valid().to_pylist()
        rows = [row if known else None for row, known in zip(rows, valid, strict=True)]
    return rows


def _cells(column: Any) -> list[Any]:
    return [cell for chunk in column.chunks for cell in _python(chunk)]


_split = cache(Split)  # a corpus has a handful of distinct ones


def _values(table: Any, name: str) -> list[Any]:
    """A column as ``Utterance`` has it."""
    cells = _cells(table[name])
    if name == "splits":
        return [tuple(_split(*split) for split in cell or ()) for cell in cells]
    return cells


def table_of(utterances: Iterable[Utterance]) -> Any:
    """An Arrow table of utterances, sorted by id; holds them compactly while they stream in.

    Raises:
        CorpusError: For an id that stands twice, a path that leaves the root, or text that has no
            UTF-8 form.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = arrow_schema()
    batches: list[Any] = []
    waiting: list[Utterance] = []

    def flush() -> None:
        columns = [[_cell(name, getattr(row, name)) for row in waiting] for name in COLUMNS]
        try:
            arrays = [pa.array(cells, type=schema.field(i).type) for i, cells in enumerate(columns)]
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"{shown(waiting[0].path)} or one of the {len(waiting) - 1} rows after it holds "
                f"text that has no UTF-8 form: {error.object!a}; mend it in the corpus's metadata"
            ) from error
        batches.append(pa.record_batch(arrays, schema=schema))
        waiting.clear()

    for utterance in utterances:
        waiting.append(utterance)
        if len(waiting) == _BATCH_ROWS:
            flush()
    if waiting:
        flush()
    table = pa.Table.from_batches(batches, schema=schema).combine_chunks()
    table = table.take(pc.sort_indices(table["utterance_id"])).combine_chunks()
    _require_distinct(table)
    _require_inside(table, "this corpus")
    return table


def _require_distinct(table: Any) -> None:
    import pyarrow.compute as pc

    ids = table["utterance_id"]
    same = pc.equal(ids[1:], ids[:-1]).to_pylist()
    twice = [i for i, equal in enumerate(same) if equal]
    if twice:
        paths = table["path"]
        lines = [f"  {ids[i]}: {paths[i]} and {paths[i + 1]}" for i in twice[:10]]
        raise CorpusError(
            f"{len(twice)} utterance id(s) stand twice; each must be unique:\n"
            + "\n".join(lines)
            + "\nIs the corpus unpacked twice below this root?"
        )


def leaves_root(path: str) -> bool:
    """Whether a path is absolute or has a ``..`` component.

    Example:
        >>> leaves_root("a/../../b.wav"), leaves_root("a/..b.wav")
        (True, False)
    """
    return re.search(_ESCAPES, path) is not None


def _require_inside(table: Any, where: str) -> None:
    import pyarrow.compute as pc

    bad = pc.match_substring_regex(table["path"], _ESCAPES)
    if pc.any(bad).as_py():
        first = table.filter(bad)["path"][0].as_py()
        raise CorpusError(
            f"{where}: the path {first!r} points outside the corpus root; paths are relative to "
            "the root and have no '..'"
        )


def digest_of_rows(table: Any) -> str:
    """The manifest digest: SHA-256 over canonical JSON of the rows, 8192 at a time.

    Each part is an object from column name to the list of its values (a split is the list of its
    protocol, fold and role), without the columns that are null throughout the part, so that a
    column which a later release adds changes nothing.
    ``duration_s`` is left out and ``error`` counts as true or null: both depend on the decoder
    installed, and the files' own ``sha256`` stands for them.
    """
    total = hashlib.sha256()
    for start in range(0, table.num_rows, _DIGEST_ROWS):
        part = table.slice(start, _DIGEST_ROWS)
        content: Json = {}
        for name in part.column_names:
            column = part[name]
            if name == "duration_s" or column.null_count == len(column):
                continue
            values = _cells(column)
            if name == "error":
                values = [None if v is None else True for v in values]
            content[name] = values
        total.update(canonical_json(content))
    return total.hexdigest()


def to_parquet(table: Any, facts: Facts) -> bytes:
    """The bytes of the manifest file (zstd, row groups of 32,768)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # ASCII escapes, so that a root with bytes that are not UTF-8 survives.
    said = json.dumps({"format": FORMAT, **{f.name: getattr(facts, f.name) for f in fields(facts)}})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({KEY: said.encode("ascii")}),
        sink,
        compression="zstd",
        row_group_size=_ROW_GROUP,
        write_page_checksum=True,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_facts(path: Path) -> tuple[Facts, int]:
    """What a manifest says about itself, and its number of rows, from the footer alone.

    Raises:
        CorpusError: For a file that is missing, damaged, or not a manifest.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            return _facts(path, file.schema_arrow), int(file.metadata.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CorpusError:
    if isinstance(error, FileNotFoundError):
        return CorpusError(
            f"{shown(path)}: there is no such manifest; `voxemo corpora prepare` writes it"
        )
    return CorpusError(
        f"{shown(path)}: is not a readable Parquet file ({str(error).splitlines()[0]}); if it is "
        "a manifest it is damaged: write it again with `voxemo corpora prepare`"
    )


def _facts(path: Path, schema: Any) -> Facts:
    again = "write it again with `voxemo corpora prepare`"
    raw = (schema.metadata or {}).get(KEY)
    try:
        said = json.loads(raw) if raw is not None else None
        if not isinstance(said, dict) or said.pop("format", None) != FORMAT:
            raise CorpusError(
                f"{shown(path)}: is a Parquet file, but not a manifest of this package (its "
                f"metadata key 'voxemo' does not say {FORMAT}); {again}"
            )
        facts = Facts(**said)
        texts = [getattr(facts, f.name) for f in fields(facts) if f.name not in ("asset", "report")]
        if not all(isinstance(text, str) for text in [*texts, facts.asset or ""]):
            raise TypeError("a value that should be text is not")
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise CorpusError(
            f"{shown(path)}: its metadata cannot be read ({error}); {again}"
        ) from error
    wanted = arrow_schema()
    wrong = [
        name
        for name in COLUMNS
        if (name in schema.names or name not in LATER)
        and (name not in schema.names or schema.field(name).type != wanted.field(name).type)
    ]
    if wrong:
        raise CorpusError(
            f"{shown(path)}: the columns {', '.join(wrong)} are missing or have another type than "
            f"this package writes; {again}"
        )
    return facts


class Manifest:
    """A manifest in memory: Arrow columns, and utterances built when they are asked for.

    Attributes:
        path: The file.
        facts: What it says about itself.
        root: Absolute folder that the paths are relative to.
        table: The Arrow table.

    Example:
        >>> manifest = load_manifest(Path("urdu.parquet"))     # doctest: +SKIP
        >>> manifest.column("label")[:2], manifest.row(0).speaker    # doctest: +SKIP
        (['angry', 'angry'], 'SF10')
    """

    def __init__(self, path: Path, facts: Facts, root: str, table: Any) -> None:
        self.path = path
        self.facts = facts
        self.root = root
        self.table = table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def digest(self) -> str:
        """The digest that was stored when it was written; ``verify`` compares it."""
        return self.facts.digest

    def column(self, name: str) -> list[Any]:
        """All values of a column, as ``Utterance`` has them.

        Raises:
            CorpusError: For a name that is not a column.
        """
        if name not in COLUMNS:
            raise CorpusError(f"a manifest has no column {name!r}; it has {', '.join(COLUMNS)}")
        return _values(self.table, name)

    def row(self, index: int) -> Utterance:
        """The utterance at a 0-based position.

        Raises:
            IndexError: For a position that there is not.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of a manifest with {len(self)} rows")
        return next(_utterances(self.table.slice(index % len(self), 1)))

    def utterances(self, indices: Sequence[int] | None = None) -> Iterator[Utterance]:
        """All utterances, or those at some positions, in that order; built in batches."""
        table = self.table if indices is None else self.table.take(list(indices))
        for start in range(0, table.num_rows, _BATCH_ROWS):
            yield from _utterances(table.slice(start, _BATCH_ROWS))

    def audio_ref(self, row: Utterance | int) -> AudioRef:
        """The sound of an utterance (or of the row at a position).

        Raises:
            CorpusError: For a row whose file could not be used when the corpus was prepared.
        """
        utterance = self.row(row) if isinstance(row, int) else row
        if utterance.error is not None or utterance.sha256 is None:
            raise CorpusError(
                f"{utterance.utterance_id}: has no usable audio ({utterance.error}); such rows "
                "cannot be asked"
            )
        return AudioRef(
            path=os.path.join(self.root, utterance.path),  # noqa: PTH118 (a hot path)
            sha256=utterance.sha256,
            start_s=utterance.start_s or 0.0,
            end_s=utterance.end_s,
            channel=utterance.channel,
            duration_s=utterance.duration_s,
        )

    def verify(self) -> None:
        """Hold the rows to the digest that was stored with them.

        Raises:
            CorpusError: Where they differ: the file was edited after it was written.
        """
        found = digest_of_rows(self.table)
        if found != self.digest:
            raise CorpusError(
                f"{shown(self.path)}: its rows are not those that were written (digest {found}, "
                f"stored {self.digest}); it was edited: write it again with `voxemo corpora "
                f"prepare {self.facts.corpus}`"
            )


def _utterances(table: Any) -> Iterator[Utterance]:
    for values in zip(*(_values(table, name) for name in COLUMNS), strict=True):
        yield Utterance(*values)


def load_manifest(path: Path | str, root: Path | str | None = None) -> Manifest:
    """Read a manifest.

    Args:
        path: The Parquet file.
        root: Where the corpus lies, if not where it was when it was prepared.

    Raises:
        CorpusError: For a file that is missing, damaged or not a manifest, or whose paths leave
            the root. Rows that somebody edited are found by ``Manifest.verify``, which takes
            several times as long as loading.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    try:
        # One open file, not a path: Arrow would open it twice, and `prepare` may replace it between.
        with (
            path.open("rb") as stream,
            pq.ParquetFile(stream, page_checksum_verification=True) as file,
        ):
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    facts = _facts(path, table.schema)
    _require_inside(table, shown(path))
    for name in LATER - set(table.schema.names):
        kind = arrow_schema().field(name)
        table = table.append_column(kind, pa.nulls(table.num_rows, kind.type))
    # Columns of a later release are left out.
    return Manifest(path, facts, root_of(facts, root), table.select(list(COLUMNS)))


def root_of(facts: Facts, root: Path | str | None = None) -> str:
    """The folder that paths are relative to: as given, in the package, or as prepared."""
    if root is not None:
        return str(Path(root).expanduser().absolute())
    if facts.asset is not None:  # a package that moved took its own corpus with it
        return str(PACKAGE / "assets" / facts.asset)
    return facts.root
