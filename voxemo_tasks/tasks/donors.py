"""What other utterances lend to a condition: a clip, words, a voice in the babble, a context.

Every utterance that can gives and takes once (a derangement): over the corpus the swapped clips are
the same clips as before, only not where they belong. Drawn by a seed; ``--limit`` changes nothing,
because donors are drawn over all that the task selects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from .. import registry
from ..corpora import Manifest
from ..labels import LabelSet
from ..records import Json, Utterance
from ..specs import CorpusCard
from .asking import context_of
from .conditions import WORDED, Condition, drawn, in_share
from .gold import gold_of

BABBLE_VOICES = 4
TRIES = 2000
"""Partners that are looked at for a swap; who finds none among so many keeps what was drawn."""


def derangement(
    n: int, bad: Callable[[int, int], bool], seed: int, never: Callable[[int, int], bool]
) -> list[int | None]:
    """A seeded permutation in which nobody gets what is bad for them, as far as that can be had.

    Args:
        n: How many give and take.
        bad: ``bad(taker, giver)``: to be avoided where possible.
        seed: Of the permutation.
        never: ``never(taker, giver)``: to be avoided always.

    Returns:
        Giver of each; ``None`` for whom only one that must never be is left.

    Example:
        >>> same = lambda i, j: i == j
        >>> given = derangement(5, same, 1, same)
        >>> sorted(given), any(i == j for i, j in enumerate(given))
        ([0, 1, 2, 3, 4], False)
        >>> derangement(1, same, 1, same)
        [None]
    """
    rng = np.random.default_rng(seed)
    giver: list[int] = rng.permutation(n).tolist()
    for avoided in (bad, never):
        for i in range(n):
            if not avoided(i, giver[i]):
                continue
            start = int(rng.integers(n))
            for step in range(min(n, TRIES)):
                j = (start + step) % n
                if not avoided(i, giver[j]) and not avoided(j, giver[i]):
                    giver[i], giver[j] = giver[j], giver[i]
                    break
    return [None if never(i, g) else g for i, g in enumerate(giver)]


class Donors:
    """Donors of the utterances of a task, and why a condition cannot be asked of one.

    Args:
        card: The corpus.
        manifest: Its manifest.
        rows: The rows that the task asks about.
        label_set: Menu, if there is one.
        conditions: What is asked.
        seed: Of all draws.
        target: Rule of the gold label.
    """

    def __init__(
        self,
        card: CorpusCard,
        manifest: Manifest,
        rows: Sequence[int],
        label_set: LabelSet | None,
        conditions: Sequence[Condition],
        seed: int,
        target: str = "released",
    ) -> None:
        self._card = card
        self._manifest = manifest
        self._rows = list(rows)
        self._seed = seed
        self._place = {row: place for place, row in enumerate(self._rows)}
        self._conditions = [c for c in conditions if c.kind != "clean"]
        columns = {
            name: manifest.column(name)
            for name in ("utterance_id", "speaker", "language", "transcript", "path", "start_s")
        }
        self._of = {name: [values[row] for row in self._rows] for name, values in columns.items()}
        raw, votes = manifest.column("label"), manifest.column("votes")
        self._label = [gold_of(raw[r], votes[r], label_set, target) for r in self._rows]
        self._uid_row = {uid: p for p, uid in enumerate(self._of["utterance_id"])}
        self._giver: dict[str, list[int | None]] = {}
        for kind in {c.kind for c in self._conditions}:
            if kind == "shuffled":
                self._giver[kind] = self._shuffled()
            elif kind == "same_speaker":
                self._giver[kind] = self._same_speaker()
            elif kind == "wrong_transcript":
                self._giver[kind] = self._other_words()

    # --- who gives to whom ------------------------------------------------------------------

    def _shuffled(self) -> list[int | None]:
        speaker, label = self._of["speaker"], self._label

        def alike(i: int, j: int) -> bool:
            return i == j or (
                speaker[i] is not None and speaker[i] == speaker[j] and label[i] == label[j]
            )

        seed = drawn(self._seed, "shuffled")
        return derangement(len(self._rows), alike, seed, lambda i, j: i == j)

    def _same_speaker(self) -> list[int | None]:
        groups: dict[str, list[int]] = {}
        for place, speaker in enumerate(self._of["speaker"]):
            if speaker is not None:
                groups.setdefault(str(speaker), []).append(place)
        giver: list[int | None] = [None] * len(self._rows)
        for speaker, places in groups.items():
            seed = drawn(self._seed, "same_speaker", speaker)
            found = derangement(len(places), lambda i, j: i == j, seed, lambda i, j: i == j)
            for place, from_place in zip(places, found, strict=True):
                giver[place] = None if from_place is None else places[from_place]
        return giver

    def _other_words(self) -> list[int | None]:
        words = [None if not t else str(t).casefold().strip() for t in self._of["transcript"]]
        spoken = [place for place, text in enumerate(words) if text]

        def same(i: int, j: int) -> bool:
            return words[spoken[i]] == words[spoken[j]]

        found = derangement(len(spoken), same, drawn(self._seed, "wrong_transcript"), same)
        giver: list[int | None] = [None] * len(self._rows)
        for place, from_place in zip(spoken, found, strict=True):
            giver[place] = None if from_place is None else spoken[from_place]
        return giver

    def _clips(self, place: int, kind: str) -> list[int]:
        """Whole files of others: four other speakers', or one in another language."""
        wanted = BABBLE_VOICES if kind == "babble" else 1
        of, n = self._of, len(self._rows)
        fact = "speaker" if kind == "babble" else "language"
        if len(set(of[fact])) <= wanted:  # none can be found: no need to look through a corpus
            return []
        start = drawn(self._seed, kind, of["utterance_id"][place]) % n
        chosen: list[int] = []
        voices: set[object] = {of["speaker"][place]}
        for step in range(n):
            other = (start + step) % n
            whole = of["start_s"][other] is None and "|" not in of["path"][other]
            if kind == "babble":
                fits = of["speaker"][other] is not None and of["speaker"][other] not in voices
            else:
                own, its = of["language"][place], of["language"][other]
                fits = None not in (own, its) and str(own)[:2] != str(its)[:2]
            if whole and fits:
                chosen.append(other)
                voices.add(of["speaker"][other])
            if len(chosen) == wanted:
                break
        return chosen if len(chosen) == wanted else []

    # --- what is handed over ----------------------------------------------------------------

    def of(self, utterance: Utterance) -> Json:
        """``donors``, ``donor_ids``, ``transcript``, ``wrong_context``, ``skipped`` of an utterance;
        what it does not need is left out."""
        place = self._uid_row[utterance.utterance_id]
        donors: Json = {}
        ids: Json = {}
        skipped: dict[str, str] = {}
        out: Json = {}
        for condition in self._conditions:
            kind = condition.kind
            reason = self._why_not(condition, utterance)
            if reason is None and kind in self._giver:
                from_place = self._giver[kind][place]
                if from_place is None:
                    reason = "no other utterance to take it from"
                else:
                    giver = self._manifest.row(self._rows[from_place])
                    donors[kind] = {
                        "audio": self._manifest.audio_ref(giver).to_json(),
                        "transcript": giver.transcript,
                    }
                    ids[kind] = giver.utterance_id
            elif reason is None and kind in ("babble", "code_switch"):
                clips = self._clips(place, kind)
                if not clips:
                    reason = (
                        f"fewer than {BABBLE_VOICES} other speakers with whole files"
                        if kind == "babble"
                        else "no clip in another language"
                    )
                else:
                    refs = [self._manifest.audio_ref(self._rows[c]).to_json() for c in clips]
                    donors[kind] = {"clips": refs}
                    ids[kind] = [self._of["utterance_id"][c] for c in clips]
            elif reason is None and kind == "wrong_context":
                out["wrong_context"] = self._wrong_context(utterance)
                if not out["wrong_context"]:
                    reason = "no factor of the context is known"
            if reason is not None:
                skipped[condition.id] = reason
        if any(c.kind in WORDED for c in self._conditions) and utterance.transcript:
            out["transcript"] = utterance.transcript
        if donors:
            out |= {"donors": donors, "donor_ids": ids}
        if skipped:
            out["skipped"] = skipped
        return out

    def _why_not(self, condition: Condition, utterance: Utterance) -> str | None:
        if condition.kind in WORDED and not utterance.transcript:
            return "no transcript"
        if not in_share(condition, utterance.utterance_id, self._seed):
            return f"asked of {condition.share:.0%} of the utterances"
        if condition.kind == "context" and condition.context:
            known = context_of(self._card, utterance.to_json(), condition.context)
            if not known:
                return "the factor is not known"
        return None

    def _wrong_context(self, utterance: Utterance) -> dict[str, str]:
        """Each known factor with a value that is another one: a language or culture of our own
        words, else what another utterance of the corpus has."""
        words, _ = registry.wording("en")
        out = {}
        own = utterance.to_json()
        for factor, value in context_of(self._card, own, _ALL).items():
            if factor in ("language", "culture"):
                named = words.languages if factor == "language" else words.cultures
                others = sorted({name for name in named.values() if name != value})
            else:
                found = {v for v in self._manifest.column(factor) if v}
                others = sorted(found - {value})
            if others:
                out[factor] = others[drawn(self._seed, factor, own["utterance_id"]) % len(others)]
        return out

    def skipped(self, rows: Sequence[int]) -> dict[str, dict[str, int]]:
        """Condition → reason → utterances of which it is not asked."""
        counts: dict[str, Counter[str]] = {}
        for utterance in self._manifest.utterances(rows):
            for condition, reason in self.of(utterance).get("skipped", {}).items():
                counts.setdefault(condition, Counter())[reason] += 1
        return {condition: dict(sorted(found.items())) for condition, found in counts.items()}


_ALL = ("language", "culture", "relationship", "formality", "setting")
