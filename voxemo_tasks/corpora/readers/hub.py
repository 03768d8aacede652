"""Datasets of the Hugging Face hub that lie on the disk; nothing is downloaded.

The root is a folder that ``Dataset.save_to_disk`` wrote, or one with Parquet or Arrow files
anywhere below it: a clone of the repository, its folder in the hub's cache
(``…/hub/datasets--amu-cai--CAMEO``), or that of the datasets library. Without options the columns
are CAMEO's.

Audio that is embedded in the dataset is written to ``$VOXEMO_HOME/corpora/<id>/audio/``, named by
the digest of its bytes, as they are: nothing is decoded. That folder is then the root of the
manifest (``audio_root``). Where the dataset names files instead, these must lie below the root.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, model_validator

from ...audio import AUDIO_SUFFIXES, shown
from ...errors import CorpusError
from ...home import home, write_atomically
from ...records import Split, Utterance
from ...specs import CorpusCard, Spec
from .base import Problem, options, require_root, wrong_layout

CAMEO: dict[str, str] = {
    "utterance_id": "file_id",
    "raw_label": "emotion",
    "transcript": "transcription",
    "speaker": "speaker_id",
    "gender": "gender",
    "age": "age",
}
"""Field → column. CAMEO's ``language`` is a name, not a tag: the card says the language."""

NUMBERS = ("start_s", "end_s", "valence", "arousal", "dominance")
FIELDS: tuple[str, ...] = (
    *("utterance_id", "raw_label", "transcript", "speaker", "gender", "age", "language"),
    *("culture", "dialogue", "setting", "relationship", "formality", "channel_type"),
    *("sentence", "text_label", "synthesis"),
    *NUMBERS,
)
"""What a column can be."""

SOURCE = "source.json"
"""In the audio folder: which dataset it was written from, so that it can be read again."""

_SHARD = re.compile(r"(?P<split>.+?)(-[0-9]{5}-of-[0-9]{5}(-[0-9a-f]+)?)?")
_MAGIC = (
    (b"RIFF", ".wav"),
    (b"fLaC", ".flac"),
    (b"OggS", ".ogg"),
    (b"ID3", ".mp3"),
    (b"\xff\xfb", ".mp3"),
    (b"\x1aE\xdf\xa3", ".webm"),
)


class Options(Spec):
    """``reader.options`` of this family."""

    audio: str = Field(default="audio", description="Column that holds the audio.")
    columns: dict[str, str] = Field(
        default_factory=lambda: dict(CAMEO), description="Field → column; by default CAMEO's."
    )
    hub_splits: list[str] = Field(
        default_factory=list,
        description="The dataset's own splits that are the corpus (CAMEO: one); else all.",
    )
    where: dict[str, list[str]] = Field(
        default_factory=dict, description="Column → values; only rows that have one of them."
    )
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Field → what the column says → what that means."
    )
    roles: dict[str, str] = Field(
        default_factory=dict,
        description="The dataset's split → train, valid or test of protocol `official`.",
    )

    @model_validator(mode="after")
    def _fields_are_known(self) -> Options:
        if unknown := sorted({*self.columns, *self.values} - set(FIELDS)):
            raise ValueError(f"{', '.join(unknown)}: no such field; known: {', '.join(FIELDS)}")
        if "raw_label" not in self.columns:
            raise ValueError("columns: does not name raw_label")
        if wrong := sorted(set(self.roles.values()) - {"train", "valid", "test"}):
            raise ValueError(f"roles: {', '.join(wrong)}: a role is train, valid or test")
        return self


def audio_root(card: CorpusCard, root: Path) -> Path:
    """The folder that the paths of the utterances are relative to.

    Returns:
        The audio folder of this user's home where the dataset embeds its audio, else the root.

    Raises:
        CorpusError: As ``read``.
        StoreError: For a home that cannot be written.
    """
    if (root / SOURCE).is_file():
        return root
    wanted = options(card, Options)
    for _, rows in _datasets(card, root, wanted):
        for row in rows:
            audio = row.get(wanted.audio) or {}
            if audio.get("bytes") is None:
                if audio.get("path"):
                    return root
                continue  # a row without any audio tells nothing
            folder = _audio_folder(card)
            said = json.dumps({"root": str(root)}) + "\n"
            write_atomically(folder / SOURCE, said.encode("ascii"))
            return folder
    return root


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from the rows of the dataset.

    A root that is an audio folder of ours is read from the dataset that it was written from.

    Yields:
        An utterance for each row; a problem for a row without audio, whether embedded or named.

    Raises:
        CorpusError: For a root without a dataset, a split or column that it does not have, a value
            that cannot be used (with split and row).
        DataRoomError: For options of the card that cannot be used.
        StoreError: For a home that cannot be written.
    """
    wanted = options(card, Options)
    embedded = (root / SOURCE).is_file()
    folder = root if embedded else _audio_folder(card)
    source = _source(root) if embedded else root
    if embedded and not source.exists():
        return  # its audio is all here, and nothing can have been added
    for split, rows in _datasets(card, source, wanted):
        for number, row in enumerate(rows, start=1):
            where = f"{shown(source)}, split {split}, row {number}"
            if any(str(row.get(column)) not in kept for column, kept in wanted.where.items()):
                continue
            uid = f"{split}-{number:06}"
            path = _path(row.get(wanted.audio) or {}, source, folder, embedded, where)
            if isinstance(path, Problem):
                yield path
            else:
                yield _utterance(row, uid, path, split, where, wanted)


def _audio_folder(card: CorpusCard) -> Path:
    return home() / "corpora" / card.id / "audio"


def _source(folder: Path) -> Path:
    try:
        return Path(json.loads((folder / SOURCE).read_text(encoding="ascii"))["root"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{shown(folder / SOURCE)}: cannot be read ({error}); prepare the corpus again"
        ) from error


def _datasets(
    card: CorpusCard, root: Path, wanted: Options
) -> Iterator[tuple[str, Iterable[Mapping[str, Any]]]]:
    """Split → rows, with audio undecoded and class labels by name."""
    require_root(card, root)
    found = _on_disk(root) or _in_files(root)
    if not found:
        raise wrong_layout(
            card, root, "a folder of save_to_disk, or Parquet or Arrow files anywhere below"
        )
    if missing := sorted(set(wanted.hub_splits or wanted.roles) - found.keys()):
        raise CorpusError(
            f"{shown(root)}: has no split {', '.join(missing)}; it has {', '.join(sorted(found))}"
        )
    for split in sorted(wanted.hub_splits or found):
        yield split, _rows(found[split], f"{shown(root)}, split {split}", wanted)


def _on_disk(root: Path) -> dict[str, Any]:
    """What ``save_to_disk`` wrote; nothing where it did not."""
    if not (root / "dataset_dict.json").is_file() and not (root / "state.json").is_file():
        return {}
    import datasets

    try:
        loaded = datasets.load_from_disk(str(root))
    except (OSError, ValueError, KeyError) as error:
        raise CorpusError(f"{shown(root)}: `datasets` cannot load it ({error})") from error
    if isinstance(loaded, datasets.DatasetDict):
        return dict(loaded)
    return {str(loaded.split or "all"): loaded}


def _in_files(root: Path) -> dict[str, Any]:
    """Streams of Parquet or Arrow files, by the split that their names say."""
    import datasets

    below = _snapshot(root)
    for kind in ("parquet", "arrow"):
        shards: dict[str, list[str]] = {}
        for file in sorted(below.rglob(f"*.{kind}")):
            match = _SHARD.fullmatch(file.stem)
            if match is not None and not file.name.startswith("."):
                shards.setdefault(match["split"], []).append(str(file))
        if shards:
            try:
                return {
                    split: datasets.load_dataset(
                        kind, data_files=files, split="train", streaming=True
                    )
                    for split, files in shards.items()
                }
            except (OSError, ValueError) as error:
                raise CorpusError(f"{shown(root)}: cannot be read ({error})") from error
    return {}


def _snapshot(root: Path) -> Path:
    """The revision to read in a folder of the hub's cache; elsewhere the root itself."""
    snapshots = root / "snapshots"
    if not snapshots.is_dir():
        return root
    names = sorted(p.name for p in snapshots.iterdir())
    main = root / "refs" / "main"
    wanted = main.read_text(encoding="utf-8").strip() if main.is_file() else None
    if wanted in names:
        return snapshots / str(wanted)
    if len(names) == 1:
        return snapshots / names[0]
    raise CorpusError(
        f"{shown(root)}: holds the revisions {', '.join(names) or 'none'}; give one of them: "
        f"--root {shown(snapshots / (names[0] if names else 'REVISION'))}"
    )


def _rows(dataset: Any, where: str, wanted: Options) -> Iterator[Mapping[str, Any]]:
    import datasets
    import pyarrow as pa

    features = dataset.features or dataset._resolve_features().features
    needed = {wanted.audio, *wanted.columns.values(), *wanted.where}
    if absent := sorted(needed - features.keys()):
        raise CorpusError(
            f"{where}: has no column {', '.join(absent)}; it has {', '.join(features)}. Fit them "
            "in the card: reader.options.columns and .audio"
        )
    dataset = dataset.select_columns(sorted(needed))
    if not isinstance(features[wanted.audio], dict):
        dataset = dataset.cast_column(wanted.audio, datasets.Audio(decode=False))
    classes = {
        name: features[name].names
        for name in needed
        if isinstance(features[name], datasets.ClassLabel)
    }
    try:
        for row in dataset:
            for name, names in classes.items():
                if isinstance(row[name], int):
                    row[name] = names[row[name]] if row[name] >= 0 else None
            yield row
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CorpusError(f"{where}: cannot be read ({error}); fetch it again") from error


def _path(
    audio: Mapping[str, Any], source: Path, folder: Path, embedded: bool, where: str
) -> str | Problem:
    data, named = audio.get("bytes"), audio.get("path")
    if data is not None:
        if not embedded:
            return Problem(where, "embeds its audio, and the first rows name files")
        return _written(data, named, folder)
    if not named:
        return Problem(where, "has no audio")
    if embedded:
        return Problem(where, f"names the file {named!r}, and the first rows embed their audio")
    path = Path(named)
    if path.is_absolute():
        if not path.is_relative_to(source):
            return Problem(where, f"its file {shown(named)} lies outside the root")
        path = path.relative_to(source)
    return path.as_posix()


def _written(data: bytes, named: str | None, folder: Path) -> str:
    digest = hashlib.sha256(data).hexdigest()
    suffix = PurePosixPath(named or "").suffix.lower()
    if suffix not in AUDIO_SUFFIXES:
        suffix = next((s for magic, s in _MAGIC if data.startswith(magic)), ".audio")
    path = f"{digest[:2]}/{digest}{suffix}"
    file = folder / path
    if not file.is_file() or file.stat().st_size != len(data):
        write_atomically(file, data)
    return path


def _utterance(
    row: Mapping[str, Any], uid: str, path: str, split: str, where: str, wanted: Options
) -> Utterance:
    values: dict[str, Any] = {}
    for field, column in wanted.columns.items():
        value = row[column]
        if value is None or value == "":
            continue
        if field in NUMBERS:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise CorpusError(f"{where}, column {column}: {value!r} is not a number")
            values[field] = float(value)
            continue
        if not isinstance(value, str | int):
            raise CorpusError(f"{where}, column {column}: {value!r} is not text")
        values[field] = wanted.values.get(field, {}).get(str(value), str(value))
    values.setdefault("utterance_id", uid)
    role = wanted.roles.get(split)
    splits = () if role is None else (Split("official", 1, role),)  # type: ignore[arg-type]
    return Utterance(path=path, splits=splits, **values)
