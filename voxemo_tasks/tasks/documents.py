"""The utterances that a task asks about, and the file that describes them to a scorer.

A run folder must be scored without the corpus and without lm-eval, so each task writes what a score
needs (gold label, votes, speaker, culture …; no audio, no transcript) into one compressed file,
named by its digest. Backends copy it into the run folder unread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..corpora import Manifest, Prepared
from ..corpora.traces import recording_of, together
from ..errors import OptionError
from ..home import DOCUMENTS, home, write_json_lines
from ..labels import LabelSet
from ..records import Json, Split, Utterance, digest_of
from ..specs import CorpusCard, TracesSpec
from .donors import Donors
from .gold import gold_of
from .options import RunOptions
from .pairs import SHARED, Pairs, read_pairs
from .shots import Shots

LOSO = "loso"
"""A protocol that every corpus with speakers has: leave one speaker out."""

KEPT = (
    "utterance_id",
    "raw_label",
    "votes",
    "rater_votes",
    "rater_ratings",
    "valence",
    "arousal",
    "dominance",
    "speaker",
    "gender",
    "age",
    "language",
    "culture",
    "sentence",
    "dialogue",
    "setting",
    "relationship",
    "formality",
    "channel_type",
    "synthesis",
    "duration_s",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a manifest a task asks about.

    Attributes:
        rows: Row numbers in the fixed order of the task.
        protocol: Protocol that was applied.
        fold: Fold, or ``all``.
        role: Role within the fold.
        excluded: Reason → number of utterances of that part that are not asked about.
    """

    rows: tuple[int, ...]
    protocol: str
    fold: int | str
    role: str
    excluded: dict[str, int]


def leave_one_speaker_out(
    card: CorpusCard, manifest: Manifest, fold: int | str
) -> list[tuple[Split, ...]]:
    """Splits of protocol ``loso``: fold k tests the k-th speaker by name, the others train.

    Args:
        card: The corpus, for messages.
        manifest: Its manifest.
        fold: The fold that is wanted; ``all`` tests every speaker in a fold of its own.

    Raises:
        OptionError: Where some utterance has no known speaker, or for a fold that there is not.
    """
    speakers = manifest.column("speaker")
    unknown = sum(speaker is None for speaker in speakers)
    if unknown:
        raise OptionError(
            f"--metadata: protocol={LOSO!r} needs the speaker of every utterance; corpus {card.id!r} "
            f"has {unknown} utterances without one"
        )
    number = {speaker: fold for fold, speaker in enumerate(sorted(set(speakers)), start=1)}
    if fold == "all":
        return [(Split(LOSO, number[speaker], "test"),) for speaker in speakers]
    if fold not in number.values():
        raise OptionError(
            f"--metadata: fold={fold!r}: protocol {LOSO!r} of corpus {card.id!r} has folds 1 to "
            f"{len(number)}, one a speaker"
        )
    tested, trained = Split(LOSO, int(fold), "test"), Split(LOSO, int(fold), "train")
    return [(tested if number[speaker] == fold else trained,) for speaker in speakers]


def hash_order(corpus: str, utterance_id: str) -> str:
    """Sort key of an utterance within its task.

    Fixed and unrelated to labels and speakers, so that ``--limit 60`` is a fair sample of the
    corpus and not its first sixty angry clips.
    """
    return hashlib.sha256(f"{corpus}:{utterance_id}".encode("utf-8", "surrogatepass")).hexdigest()


def divide(
    card: CorpusCard, manifest: Manifest, options: RunOptions
) -> tuple[str, int | str, Sequence[Sequence[Split]]]:
    """Protocol and fold of a run, and the roles of every row.

    Raises:
        OptionError: For a protocol that neither card nor manifest has.
    """
    protocol = options.protocol or card.default_protocol
    known = card.protocols.get(protocol)
    # Folds that only the manifest knows (EmoBox's) are pooled unless one is asked for.
    default: int | str = "all" if known is None else known.default_fold
    fold = options.fold if options.fold is not None else default
    splits = manifest.column("splits")
    if protocol == LOSO and known is None:
        splits = leave_one_speaker_out(card, manifest, fold)
    elif known is None:
        # A manifest may hold more than its card knows, e.g. folds added by --emobox-root.
        present = {split.protocol for row in splits for split in row}
        if protocol not in present:
            allowed = sorted({*present, *card.protocols, LOSO})
            raise OptionError(
                f"--metadata: protocol={protocol!r} is none of corpus {card.id!r}; allowed: "
                f"{', '.join(allowed)}"
            )
    return protocol, fold, splits


RATINGS = ("valence", "arousal", "dominance")


def select(
    card: CorpusCard, manifest: Manifest, label_set: LabelSet | None, options: RunOptions
) -> Selection:
    """Rows of the wanted fold and role whose label is in the label set, in hash order.

    Without a label set: those that have a rating on some dimension, or are windows of a recording
    with time-continuous ratings.

    Raises:
        OptionError: For a protocol or fold that the corpus does not have, or an empty selection.
    """
    protocol, fold, splits = divide(card, manifest, options)
    excluded = {"label outside the label set": 0, "no label": 0, "file unusable": 0}
    voting = options.target != "released" and label_set is not None
    if label_set is None:
        excluded = {"no rating": 0, "file unusable": 0}
    if voting:
        excluded |= {"no votes": 0, f"no {options.target} of the votes": 0}
    paired = None
    if options.pairs is not None:
        pairs = read_pairs(options.pairs)
        pairs.require(manifest.column("utterance_id"))
        paired = pairs.of
    chosen: list[tuple[str, int]] = []
    folds: set[int] = set()
    ratings = list(zip(*(manifest.column(c) for c in RATINGS), strict=True))
    traced = [label_set is None and traces is not None for traces in manifest.column("traces")]
    columns = (manifest.column(c) for c in ("utterance_id", "label", "votes", "error"))
    for row, (uid, label, votes, error, roles) in enumerate(zip(*columns, splits, strict=True)):
        mine = [split for split in roles if split.protocol == protocol]
        folds.update(split.fold for split in mine)
        if not any(s.role == options.role and fold in ("all", s.fold) for s in mine):
            continue
        if paired is not None and uid not in paired:
            continue
        if error is not None:
            excluded["file unusable"] += 1
        elif paired is not None:  # what is asked of a pair needs no gold label
            first = paired[uid][0]  # members of a pair stand together, so that --limit keeps pairs
            chosen.append((hash_order(card.id, f"{first['dimension']}:{first['pair']}"), row))
        elif label_set is None:
            if all(rating is None for rating in ratings[row]) and not traced[row]:
                excluded["no rating"] += 1
            else:
                chosen.append((hash_order(card.id, uid), row))
        elif voting:
            if not votes:
                excluded["no votes"] += 1
            elif gold_of(label, votes, label_set, options.target) is None:
                excluded[f"no {options.target} of the votes"] += 1
            else:
                chosen.append((hash_order(card.id, uid), row))
        elif label is None:
            excluded["no label"] += 1
        elif label_set.of(label) is None:
            excluded["label outside the label set"] += 1
        else:
            chosen.append((hash_order(card.id, uid), row))
    if not chosen:
        raise OptionError(
            f"corpus {card.id!r}: protocol {protocol!r}, fold {fold!r}, role {options.role!r}, label "
            f"set {label_set and label_set.id!r} selects no utterance; the protocol has folds "
            f"{sorted(folds) or 'none'}; left out: {excluded}"
        )
    return Selection(
        tuple(row for _, row in sorted(chosen)), protocol, fold, options.role, excluded
    )


UNWRITTEN = frozenset({"audio", "shots", "donors", "transcript"})
"""What a question needs and a score does not."""


class Documents(Sequence[Json]):
    """The documents of a task: one per utterance, made when looked at.

    lm-eval takes it for a dataset, of which it only asks ``features``, length and items.
    """

    features: dict[str, Any]

    def __init__(
        self,
        corpus: str,
        manifest: Manifest,
        label_set: LabelSet | None,
        rows: Sequence[int],
        target: str = "released",
        shots: Shots | None = None,
        donors: Donors | None = None,
        pairs: Pairs | None = None,
    ) -> None:
        self.features = {}
        self._corpus = corpus
        self._manifest = manifest
        self._label_set = label_set
        self._rows = rows
        self._target = target
        self._shots = shots
        self._donors = donors
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        utterance = self._manifest.row(self._rows[index])
        return self._document(utterance)

    def __iter__(self) -> Iterator[Json]:
        return map(self._document, self._manifest.utterances(self._rows))

    def _document(self, utterance: Utterance) -> Json:
        document = describe(utterance, self._label_set, self._target) | {
            "audio": self._manifest.audio_ref(utterance).to_json()
        }
        if self._shots is not None:
            document |= self._shots.of(utterance)
        if self._donors is not None:
            document |= self._donors.of(utterance)
        if self._pairs is not None:
            document["pairs"] = list(self._pairs.of[utterance.utterance_id])
        return document

    def shared_by(self, pairs: Pairs) -> Json:
        """What the members of pairs have in common; see ``Pairs.shared``."""
        columns = ("utterance_id", *SHARED.values())
        return dict(pairs.shared({name: self._manifest.column(name) for name in columns}))

    def skipped(self) -> dict[str, dict[str, int]]:
        """Condition → reason → utterances of which it is not asked."""
        return {} if self._donors is None else self._donors.skipped(self._rows)


def describe(utterance: Utterance, label_set: LabelSet | None, target: str = "released") -> Json:
    """What a score needs to know of an utterance; nulls left out."""
    data = utterance.to_json()
    kept = {key: data[key] for key in KEPT if data[key] is not None}
    gold = gold_of(utterance.label, utterance.votes, label_set, target)
    if utterance.traces is not None:  # a window: its gold is worked out from the recording's traces
        kept |= {"start_s": data["start_s"], "end_s": data["end_s"]}
        kept["recording"] = recording_of(utterance.dialogue, utterance.path)
    words = utterance.text_label
    if words is not None and label_set is not None:
        kept["label2"] = label_set.of(words) or words
    return kept | {"label": gold}


def write_documents(header: Json, documents: Documents) -> tuple[Path, str]:
    """Write the description of a task's documents below ``$VOXEMO_HOME/documents``.

    Returns:
        Path, and digest of header and rows (which is also the file's name).

    Raises:
        StoreError: Where it cannot be written.
    """
    rows = [{k: v for k, v in doc.items() if k not in UNWRITTEN} for doc in documents]
    head = {"schema": DOCUMENTS, **header, "n_utterances": len(rows)}
    lines = [head, *rows]
    digest = digest_of(lines)
    path = home() / "documents" / f"{digest}.jsonl.gz"
    if not path.exists():
        write_json_lines(path, lines)
    return path, digest


def traces_of(card: CorpusCard, manifest: Manifest, rows: Sequence[int]) -> Json:
    """Traces of the recordings of which some rows are windows, for the header; nothing without any.

    The windows that are not asked about lend their samples: an annotator's answer to one window lies,
    by the delay, with the next.
    """
    traces = manifest.column("traces")
    if not any(traces[row] for row in rows):
        return {}
    names = [
        recording_of(dialogue, path)
        for dialogue, path in zip(manifest.column("dialogue"), manifest.column("path"), strict=True)
    ]
    asked = {names[row] for row in rows if traces[row] is not None}
    found = together(
        (name, one) for name, one in zip(names, traces, strict=True) if one and name in asked
    )
    spec = (card.dimensions and card.dimensions.traces) or TracesSpec()
    return {"traces": {"recordings": found, "options": spec.model_dump()}}


def corpus_facts(prepared: Prepared, card_digest: str) -> Json:
    """Identity of the corpus for the results."""
    return {
        "id": prepared.card.id,
        "name": prepared.card.name,
        "card_sha256": card_digest,
        "manifest_sha256": prepared.digest,
        "synthetic": prepared.card.synthetic,
        "licence": prepared.card.licence,
        "hard_target": prepared.card.hard_target,
        **({"crossed": prepared.card.crossed} if prepared.card.crossed else {}),
        **({"cluster": prepared.card.cluster} if prepared.card.cluster != "speaker" else {}),
    }
