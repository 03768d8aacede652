"""Labelled clips before the question: which ones, by what rule.

They come from the train part of the very fold that tests the utterance, never from its own speaker,
and have the label that the run's target rule gives them.
One order, drawn by a seed, goes round the labels; every utterance takes the first that it may, so
that nearly all prompts of a fold share their beginning (and an engine its key-value prefix).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ..corpora import Manifest
from ..errors import OptionError
from ..labels import LabelSet
from ..records import Json, Split, Utterance
from ..specs import CorpusCard
from .gold import gold_of
from .options import RunOptions

LONGEST_S = 15.0
"""Longer clips are no examples, since several of them fill a model's window; nor are clips of unknown
length."""


class Shots:
    """Chooses the examples of utterances.

    Args:
        card: The corpus.
        manifest: Its manifest.
        splits: Roles of every row under the protocol.
        label_set: Menu; an example's label is in it.
        protocol: The protocol.
        fold: Fold, or ``all`` (each utterance then has its own).
        options: How many, and the seed.

    Raises:
        OptionError: Where the protocol has no train part, or too few clips of other speakers.
    """

    def __init__(
        self,
        card: CorpusCard,
        manifest: Manifest,
        splits: Sequence[Sequence[Split]],
        label_set: LabelSet,
        protocol: str,
        fold: int | str,
        options: RunOptions,
    ) -> None:
        self._manifest = manifest
        self._label_set = label_set
        self._where = f"corpus {card.id!r}, protocol {protocol!r}, fold {fold!r}"
        self._k = options.shots
        self._gold: dict[int, str] = {}
        self._unknown_length: set[int] = set()
        named = ("utterance_id", "label", "votes", "speaker", "error", "duration_s")
        columns = (manifest.column(c) for c in named)
        by_fold: dict[int, dict[str, list[tuple[str, int]]]] = {}
        self._fold_of: dict[str, int] = {}
        trained = False
        self._speaker: dict[int, str | None] = {}
        rows = zip(*columns, splits, strict=True)
        for row, (uid, label, votes, speaker, error, duration_s, roles) in enumerate(rows):
            own = gold_of(label, votes, label_set, options.target)
            for split in roles:
                if split.protocol != protocol or (fold != "all" and split.fold != fold):
                    continue
                if split.role == options.role:
                    self._fold_of.setdefault(uid, split.fold)
                if split.role != "train" or own is None or error:
                    continue
                trained = True
                if duration_s is None:
                    self._unknown_length.add(row)
                elif duration_s <= LONGEST_S:
                    self._gold[row] = own
                    drawn = hashlib.sha256(f"{options.shots_seed}:{uid}".encode()).hexdigest()
                    by_fold.setdefault(split.fold, {}).setdefault(own, []).append((drawn, row))
                    self._speaker[row] = speaker
        if not trained:
            raise OptionError(
                f"--metadata: shots={self._k}: {self._where} has no train part with a gold label "
                f"({options.target}) to take examples from; choose a protocol that has one (e.g. emobox, "
                "or loso with a fold)"
            )
        self._orders = {number: self._round(found) for number, found in by_fold.items()}

    def _round(self, by_label: dict[str, list[tuple[str, int]]]) -> list[int]:
        """Rows label by label in turn, each label's in the drawn order."""
        queues = [
            [row for _, row in sorted(by_label[x])] for x in self._label_set.labels if x in by_label
        ]
        longest = max(map(len, queues))
        return [queue[i] for i in range(longest) for queue in queues if i < len(queue)]

    def of(self, utterance: Utterance) -> Json:
        """Ids, labels and references of an utterance's examples.

        Raises:
            OptionError: Where there are too few of other speakers.
        """
        order = self._orders.get(self._fold_of.get(utterance.utterance_id, -1), [])
        chosen: list[int] = []
        for row in order:
            if len(chosen) == self._k:
                break
            same = utterance.speaker is None or self._speaker[row] in (None, utterance.speaker)
            if not same:
                chosen.append(row)
        if len(chosen) < self._k:
            raise OptionError(
                f"--metadata: shots={self._k}: {self._where} has {len(chosen)} train clip(s) of up "
                f"to {LONGEST_S:g} s by another known speaker than that of "
                f"{utterance.utterance_id!r}; {len(self._unknown_length)} of unknown length were left out"
            )
        clips = {row: self._manifest.row(row) for row in chosen}
        return {
            "shot_ids": [clip.utterance_id for clip in clips.values()],
            "shots": [
                {"label": self._gold[row], "audio": self._manifest.audio_ref(clip).to_json()}
                for row, clip in clips.items()
            ],
        }
