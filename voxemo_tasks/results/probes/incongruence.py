"""Voice and words: answers where the two say the same emotion, and where they do not.

The gold label is the voice's; the words' is ``label2`` of the documents (``gold2`` of an import, the
text emotion of a corpus).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...metrics.clusters import cluster_sums
from ...metrics.resampling import statistic_interval
from ..basics import Value
from ..blocks import REPLICATES, interval_of
from .answers import Answers, Floats, share_of, speakers
from .model import Incongruence


def incongruence_block(labels: Sequence[str], answers: Answers, seed: int) -> Incongruence | None:
    """``None`` where no utterance has both an emotion of its voice and one of its words.

    Words whose emotion is outside the menu are incongruent with every voice, and can be followed by
    no answer.
    """
    ids = [
        u
        for u, d in answers.document.items()
        if d.get("label") is not None and d.get("label2") is not None
    ]
    if not ids:
        return None
    documents = [answers.document[u] for u in ids]
    said = [answers.answer[u] for u in ids]
    voice = np.array([a == d["label"] for a, d in zip(said, documents, strict=True)])
    words = np.array([a == d["label2"] for a, d in zip(said, documents, strict=True)])
    congruent = np.array([d["label"] == d["label2"] for d in documents])
    error = ~voice & ~congruent & np.array([a is not None for a in said])

    def over(mask: np.ndarray, hits: np.ndarray) -> Value:
        some = [d for d, m in zip(documents, mask, strict=True) if m]
        return share_of(hits[mask].astype(float).tolist(), some, seed)

    followable = [d for d, e in zip(documents, error, strict=True) if e and d["label2"] in labels]
    chance = None
    if error.any():
        chance = len(followable) / int(error.sum()) / (len(labels) - 1)
    return Incongruence(
        n_congruent=int(congruent.sum()),
        n_incongruent=int((~congruent).sum()),
        voice_congruent=over(congruent, voice),
        voice_incongruent=over(~congruent, voice),
        text_incongruent=over(~congruent, words),
        drop=_drop(voice, congruent, speakers(documents), seed),
        errors_follow_text=over(error, words),
        by_chance=chance,
    )


def _drop(voice: np.ndarray, congruent: np.ndarray, who: list[str] | None, seed: int) -> Value:
    columns = np.column_stack([voice & congruent, congruent, voice & ~congruent, ~congruent])
    components = columns.astype(np.float64)

    def function(sums: Floats) -> Floats:
        rates = [
            np.divide(
                sums[:, i], sums[:, i + 1], out=np.full(len(sums), np.nan), where=sums[:, i + 1] > 0
            )
            for i in (0, 2)
        ]
        return np.asarray(rates[0] - rates[1])

    interval = statistic_interval(
        cluster_sums(components, who),
        function,
        replicates=REPLICATES,
        seed=seed,
        low=-1.0,
        high=1.0,
    )
    value = float(function(components.sum(axis=0, keepdims=True))[0])
    return Value(
        value=None if np.isnan(value) else value,
        n=len(voice),
        interval=interval_of(interval, "speaker" if who else None, seed),
    )
