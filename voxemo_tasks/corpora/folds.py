"""Who is heard in which part of which fold: whether a protocol tests speakers that it also trains."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from ..records import Json


@dataclass(frozen=True, slots=True)
class FoldSpeakers:
    """Whether a fold tests speakers that its train or valid part has, too.

    Attributes:
        protocol: The protocol.
        fold: The fold.
        train: Utterances; likewise ``valid`` and ``test``.
        speakers: Distinct speakers of the test part.
        shared: Those of them that stand in the train or valid part.
        unknown: Utterances of the fold without a speaker.
    """

    protocol: str
    fold: int
    train: int
    valid: int
    test: int
    speakers: int
    shared: int
    unknown: int

    @property
    def disjoint(self) -> bool | None:
        """``None`` where it cannot be told: one part alone, or speakers that are not known."""
        if not self.test or not self.train + self.valid:
            return None
        return False if self.shared else None if self.unknown else True

    def to_json(self) -> Json:
        return asdict(self) | {"speaker_disjoint": self.disjoint}


def fold_speakers(table: Any) -> list[FoldSpeakers]:
    """Every fold of every protocol of a manifest's table, sorted."""
    heard: dict[tuple[str, int], dict[str, Counter[str | None]]] = {}
    columns = (table["splits"].to_pylist(), table["speaker"].to_pylist())
    for splits, speaker in zip(*columns, strict=True):
        for split in splits:
            roles = heard.setdefault((split["protocol"], split["fold"]), {})
            roles.setdefault(split["role"], Counter())[speaker] += 1
    folds = []
    for (protocol, fold), roles in sorted(heard.items()):
        train, valid, test = (roles.get(role, Counter()) for role in ("train", "valid", "test"))
        tested = test.keys() - {None}
        folds.append(
            FoldSpeakers(
                protocol=protocol,
                fold=fold,
                train=train.total(),
                valid=valid.total(),
                test=test.total(),
                speakers=len(tested),
                shared=len(tested & (train.keys() | valid.keys())),
                unknown=train[None] + valid[None] + test[None],
            )
        )
    return folds
