"""A local copy of a corpus → its manifest.

The reader's utterances stream through threads that read each file's header and digest, into compact
Arrow columns; at most a few hundred utterances are Python objects at a time.
"""

from __future__ import annotations

import math
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..audio import shown
from ..errors import BrokenInstallError, CorpusError, StoreError
from ..home import write_atomically
from ..records import Json, Split, Utterance
from ..registry import corpus
from ..rooms import PACKAGE
from ..specs import CorpusCard
from . import emobox
from .expect import Difference, expect
from .folds import FoldSpeakers, fold_speakers
from .manifest import Facts, Manifest, digest_of_rows, leaves_root, read_facts, table_of, to_parquet
from .measuring import measured
from .readers import Problem, audio_root, reader
from .registered import command, register, registered_path

_NAMED = 10
_RECORDED = 1000


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What ``prepare`` found and wrote.

    Attributes:
        corpus_id: The corpus.
        root: Where it was read from.
        path: The manifest.
        registered: Whether it now is this user's copy of the corpus (not with ``out``).
        digest: The manifest's digest.
        n: Rows.
        unusable: Files that are missing, unreadable, empty or not audio; rows with ``error``.
        not_in_corpus: Files that look like audio and do not follow the layout, or whose label the
            card does not know; no rows.
        differences: From the card's published counts.
        hours: Length of the usable rows.
        seconds: Wall time.
        folds: Size and speakers of every fold of every protocol.
        emobox: How EmoBox's folds met the utterances, where they were asked for.
        lost_folds: Protocols that the manifest before this one had, and this one has not.
    """

    corpus_id: str
    root: Path
    path: Path
    registered: bool
    digest: str
    n: int
    unusable: tuple[Problem, ...]
    not_in_corpus: tuple[Problem, ...]
    differences: tuple[Difference, ...]
    hours: float
    seconds: float
    folds: tuple[FoldSpeakers, ...] = ()
    emobox: emobox.Matching | None = None
    lost_folds: tuple[str, ...] = ()

    @property
    def usable(self) -> int:
        return self.n - len(self.unusable)

    def to_json(self) -> Json:
        """Counts and problems as the manifest records them (at most 1000 of each kind)."""
        return _report_json(self.n, self.unusable, self.not_in_corpus, self.folds, self.emobox)


def _report_json(
    n: int,
    unusable: Iterable[Problem],
    not_in_corpus: Iterable[Problem],
    folds: Iterable[FoldSpeakers],
    matching: emobox.Matching | None,
) -> Json:
    report: Json = {"n": n, "folds": [fold.to_json() for fold in folds]}
    if matching is not None:
        report["emobox"] = matching.to_json()
    for name, problems in (("unusable", list(unusable)), ("not_in_corpus", list(not_in_corpus))):
        report[f"n_{name}"] = len(problems)
        report[name] = [{"path": p.path, "reason": p.reason} for p in problems[:_RECORDED]]
    return report


def prepare(
    corpus_id: str,
    root: Path | str | None = None,
    *,
    out: Path | str | None = None,
    emobox_root: Path | str | None = None,
    allow_missing: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> PrepareReport:
    """Read a local copy of a corpus and write its manifest.

    Args:
        corpus_id: Id of a corpus card.
        root: Folder of the local copy; not needed where the package carries the corpus.
        out: Write the manifest here and register nothing. By default it becomes this user's
            prepared copy, in place of an earlier one.
        emobox_root: The folder that holds EmoBox's corpus folders: its folds are added to the
            splits, under the protocol ``emobox``.
        allow_missing: Record files that cannot be used as rows with ``error`` instead of failing.
        workers: Threads that read files; by default four more than CPUs, at most 32.
        progress: Show a progress bar on the standard error stream, if that is a terminal.

    Returns:
        What was found and written.

    Raises:
        UnknownNameError: For a corpus without a card.
        CorpusError: For a root of the wrong layout, files that cannot be used (unless
            ``allow_missing``), an id that stands twice, a path that leaves the root, folds of
            EmoBox that cannot be read or fit no utterance.
        StoreError: For an ``out`` or home that cannot be written, before anything is read.
        OptionError: For ``workers`` below 1.

    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = prepare("mini", out=f"{folder}/mini.parquet", progress=False)
        >>> report.registered, report.usable == report.n
        (False, True)
    """
    started = time.monotonic()
    card, card_digest = corpus(corpus_id)
    source = _root(card, root)
    target = registered_path(corpus_id) if out is None else Path(out).expanduser().absolute()
    before = _protocols_before(target)
    _require_writable(target)
    folds = None
    if emobox_root is not None:
        folds = emobox.read_folds(corpus_id, Path(emobox_root).expanduser().absolute())

    source = audio_root(card, source)

    unusable: list[Problem] = []
    not_in_corpus: list[Problem] = []
    found = reader(card.reader.family)(card, source)
    rows = measured(source, _completed(card, found, not_in_corpus), workers)
    table = table_of(_noting(_shown_progress(rows, card, progress), unusable))
    if not table.num_rows:
        raise CorpusError(
            f"{shown(source)}: no file of {card.name} could be taken; the first ones:"
            + _listing(not_in_corpus)
        )
    unusable.sort(key=lambda p: (p.path, p.reason))
    if len(unusable) == table.num_rows or (unusable and not allow_missing):
        raise CorpusError(
            f"{len(unusable)} of the {table.num_rows} utterances of {card.name} have no usable "
            f"file below {shown(source)}:{_listing(unusable)}\n"
            "Fetch these files again, or record them as missing with --allow-missing."
        )
    matching = None
    if folds is not None:
        table, matching = _with_folds(table, corpus_id, folds)
    speakers = tuple(fold_speakers(table))
    facts = Facts(
        corpus=corpus_id,
        card_digest=card_digest,
        root=str(source),
        asset=card.reader.asset if root is None else None,
        digest=digest_of_rows(table),
        prepared_with=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        report=_report_json(table.num_rows, unusable, not_in_corpus, speakers, matching),
    )
    data = to_parquet(table, facts)
    if out is None:
        register(facts, data, table.num_rows)
    else:
        write_atomically(target, data)
    manifest = Manifest(target, facts, str(source), table)
    lengths = zip(manifest.column("duration_s"), manifest.column("error"), strict=True)
    return PrepareReport(
        corpus_id=corpus_id,
        root=source,
        path=target,
        registered=out is None,
        digest=facts.digest,
        n=table.num_rows,
        unusable=tuple(unusable),
        not_in_corpus=tuple(not_in_corpus),
        differences=tuple(expect(manifest, card)),
        hours=sum(s or 0.0 for s, error in lengths if error is None) / 3600,
        seconds=time.monotonic() - started,
        folds=speakers,
        emobox=matching,
        lost_folds=tuple(sorted(before - {fold.protocol for fold in speakers})),
    )


def _protocols_before(target: Path) -> set[str]:
    """Protocols of the manifest that is about to be replaced; none where it cannot be read."""
    try:
        facts, _ = read_facts(target)
    except CorpusError:
        return set()
    return {fold["protocol"] for fold in facts.report.get("folds", [])}


def _with_folds(table: Any, corpus_id: str, folds: emobox.Folds) -> tuple[Any, emobox.Matching]:
    """The rows with EmoBox's splits, in place of those that the reader may have given them."""
    import pyarrow as pa

    ids, paths, starts, ends, durations, splits = (
        table[name].to_pylist()
        for name in ("utterance_id", "path", "start_s", "end_s", "duration_s", "splits")
    )
    segments = list(zip(starts, ends, strict=True))
    found, matching = emobox.match(folds, corpus_id, ids, paths, segments, durations)
    cells = []
    for had, new in zip(splits, found, strict=True):
        both = [s for s in had if s["protocol"] != emobox.PROTOCOL] + [asdict(s) for s in new]
        cells.append(sorted(both, key=lambda s: (s["protocol"], s["fold"], s["role"])))
    at = table.column_names.index("splits")
    field = table.schema.field(at)
    return table.set_column(at, field, pa.array(cells, type=field.type)), matching


def _root(card: CorpusCard, root: Path | str | None) -> Path:
    if root is not None:
        return Path(root).expanduser().absolute()
    if card.reader.asset is None:
        raise CorpusError(
            f"corpus {card.id!r} needs the folder of a local copy: {command(card)}\n"
            f"It looks like this: {card.layout}"
        )
    inside = PACKAGE / "assets" / card.reader.asset
    if not inside.is_dir():
        raise BrokenInstallError(
            f"broken install: {inside}, which every installation carries, is missing; reinstall "
            "voxemo-tasks"
        )
    return inside


def _require_writable(target: Path) -> None:
    if target.is_dir():
        raise StoreError(f"{shown(target)}: is a folder; name the manifest's file, e.g. x.parquet")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        in_the_way = isinstance(error, (FileExistsError, NotADirectoryError))
        reason = "a folder on the way is a file" if in_the_way else error.strerror or error
        raise StoreError(
            f"cannot write {shown(target)}: {reason}; choose another place "
            "(--out, or the environment variable VOXEMO_HOME)"
        ) from error


def _listing(problems: list[Problem]) -> str:
    lines = "".join(f"\n  {problem}" for problem in problems[:_NAMED])
    more = len(problems) - _NAMED
    return lines + (f"\n  … and {more} more ({len(problems)} in all)" if more > 0 else "")


def _completed(
    card: CorpusCard, found: Iterable[Utterance | Problem], not_in_corpus: list[Problem]
) -> Iterator[Utterance]:
    """The reader's utterances with canonical labels and what the card says of all of them."""
    language = card.languages[0] if len(card.languages) == 1 else None
    for utterance in found:
        if isinstance(utterance, Problem):
            not_in_corpus.append(utterance)
            continue
        if leaves_root(utterance.path):
            raise CorpusError(
                f"{utterance.utterance_id}: the path {utterance.path!r} points outside the corpus "
                "root, and is refused; paths are relative to the root and have no '..'"
            )
        _require_finite(utterance)
        try:
            label = _canonical(card, utterance.raw_label)
            votes = _canonical_votes(card, utterance)
            raters = utterance.rater_votes
            rater_votes = raters and {
                rater: tuple(_on_card(card, raw) for raw in chosen)
                for rater, chosen in raters.items()
            }
        except KeyError as error:
            known = ", ".join(sorted(card.labels))
            reason = f"its label {error.args[0]!r} is not on the card; known: {known}"
            not_in_corpus.append(Problem(shown(utterance.path), reason))
            continue
        yield replace(
            utterance,
            label=label,
            text_label=card.labels.get(utterance.text_label or "", utterance.text_label),
            votes=votes,
            rater_votes=rater_votes,
            language=utterance.language or language,
            culture=utterance.culture or card.culture,
            splits=_splits(card, utterance),
        )


def _require_finite(utterance: Utterance) -> None:
    for name in ("start_s", "end_s", "valence", "arousal", "dominance"):
        value = getattr(utterance, name)
        if value is not None and not math.isfinite(value):
            raise CorpusError(
                f"{utterance.utterance_id}: {name} is {value}, which no manifest can hold; leave it "
                "out of the corpus's metadata where it is not known"
            )


def _canonical(card: CorpusCard, raw: str | None) -> str | None:
    return None if raw is None or not card.labels else _on_card(card, raw)


def _on_card(card: CorpusCard, raw: str) -> str:
    """The canonical label; ``é`` spelt with one code point or with two is the same raw label.

    Raises:
        KeyError: For a raw label that is not on the card.
    """
    known = card.labels.get(raw) or card.labels.get(unicodedata.normalize("NFC", raw))
    if known is None:
        raise KeyError(raw)
    return known


def _canonical_votes(card: CorpusCard, utterance: Utterance) -> dict[str, int] | None:
    if utterance.votes is None:
        return None
    votes: Counter[str] = Counter()
    for raw, n in utterance.votes.items():
        votes[_on_card(card, raw)] += n
    return dict(votes)


def _splits(card: CorpusCard, utterance: Utterance) -> tuple[Split, ...]:
    for split in utterance.splits:
        if split.protocol not in card.protocols:
            raise CorpusError(
                f"{utterance.utterance_id}: the protocol {split.protocol!r} is not on the card of "
                f"{card.id!r}; known: {', '.join(card.protocols)}"
            )
        folds = card.protocols[split.protocol].folds
        if not 1 <= split.fold <= folds:
            raise CorpusError(
                f"{utterance.utterance_id}: fold {split.fold} of protocol {split.protocol!r}; on the "
                f"card of {card.id!r} it has folds 1 to {folds}"
            )
    splits = utterance.splits
    if "all" in card.protocols and all(s.protocol != "all" for s in splits):
        splits = (Split("all", 1, "test"), *splits)
    return splits


def _noting(rows: Iterable[Utterance], unusable: list[Problem]) -> Iterator[Utterance]:
    for row in rows:
        if row.error is not None:
            unusable.append(Problem(shown(row.path), row.error))
        yield row


def _shown_progress(
    rows: Iterable[Utterance], card: CorpusCard, progress: bool
) -> Iterable[Utterance]:
    from tqdm import tqdm

    # None: only where the standard error stream is a terminal.
    bar: Iterable[Utterance] = tqdm(
        rows,
        desc=f"prepare {card.id}",
        total=card.expected.utterances,
        unit="utt",
        disable=None if progress else True,
    )
    return bar
