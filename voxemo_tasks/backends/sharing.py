"""When a clip's prefix is shared, and when not: grouping, the check on the first batch, fallback."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ModelError
from ..records import Json, digest_of
from .base import Generated
from .loading import tolerance_of
from .prefix import CannotShareError, Group, PrefixSharer, Row, State, chunks
from .requests import Job, by_audio

log = logging.getLogger(__name__)

CHECKED_ROWS = 4


class Sharing:
    """Answers the jobs of a batch that share a clip; leaves the others to the plain path.

    Args:
        sharer: Runs the model.
        mode: ``auto`` falls back where the model forbids it, ``on`` refuses instead.
        dtype: Name of the model's dtype, for the tolerance of the check.
        clips_at_once: Clips encoded together; ``None`` is as many as replies are decoded.
        texts: Rendered prompts of jobs.
        inputs: The processor's output for jobs.
        plain_logits: Next-token logits of jobs, asked plainly.
        reply: A reply from its tokens.
        decode_text: Text of tokens, for stop strings.
    """

    def __init__(
        self,
        sharer: PrefixSharer,
        mode: str,
        dtype: str,
        *,
        clips_at_once: int | None,
        texts: Callable[[Sequence[Job]], list[str]],
        inputs: Callable[[Sequence[Job]], Any],
        plain_logits: Callable[[Sequence[Job]], Any],
        reply: Callable[[list[int], Any], Generated],
        decode_text: Callable[[list[int]], str],
    ) -> None:
        self.sharer = sharer
        self._must = mode == "on"
        self._tolerance = tolerance_of(dtype)
        self._clips_at_once = clips_at_once
        self._texts = texts
        self._inputs = inputs
        self._plain_logits = plain_logits
        self._reply = reply
        self._decode_text = decode_text
        self._checked = 0
        self._difference = 0.0
        self._not_shared: dict[str, int] = {}
        self.off_because: str | None = None

    def facts(self) -> Json:
        """For the session record."""
        return {
            "used": self.off_because is None and self.sharer.work.encoded > 0,
            "off_because": self.off_because,
            "not_shared": dict(self._not_shared),
            "checked_rows": self._checked,
            "largest_difference": self._difference,
            "work": self.sharer.work.to_json(),
        }

    # --- generation -------------------------------------------------------------------------

    def answer(self, jobs: Sequence[Job], rows_at_once: int) -> dict[int, list[Generated]]:
        """Replies of the jobs that share a clip, by index of the job.

        Args:
            jobs: A batch.
            rows_at_once: Replies decoded at once.

        Raises:
            ModelError: With ``share_prefix=on``, where the model forbids it.
        """
        sets = self._groups(jobs)
        if not sets:
            return {}
        try:
            return self._answer(jobs, sets, rows_at_once)
        except CannotShareError as error:
            self._turn_off(str(error))
            return {}

    def _groups(self, jobs: Sequence[Job]) -> list[list[int]]:
        """Indices of jobs with the same audio, where more than one reply is asked of it."""
        if self.off_because is not None:
            return []
        return [
            numbers
            for numbers in by_audio(jobs).values()
            if len(numbers) > 1
            or (len(jobs[numbers[0]].missing) > 1 and not jobs[numbers[0]].request.decoding.greedy)
        ]

    def _prepare(
        self, jobs: Sequence[Job], sets: Sequence[Sequence[int]]
    ) -> list[tuple[Group, Sequence[int]]]:
        """Groups whose prompts can be cut after the audio, each with its jobs."""
        kept = []
        for numbers in sets:
            inputs = self._inputs([jobs[numbers[0]]])
            group = Group(self._texts([jobs[n] for n in numbers]), dict(inputs.items()))
            try:
                self.sharer.cut(group)
            except CannotShareError as error:
                if self._must:
                    raise
                reason = str(error)
                self._not_shared[reason] = self._not_shared.get(reason, 0) + 1
                continue
            kept.append((group, numbers))
        return kept

    def _answer(
        self, jobs: Sequence[Job], sets: Sequence[Sequence[int]], rows_at_once: int
    ) -> dict[int, list[Generated]]:
        kept = self._prepare(jobs, sets)
        out: dict[int, list[Generated]] = {}
        clips = self._clips_at_once or rows_at_once
        for start in range(0, len(kept), clips):
            part = kept[start : start + clips]
            prefix = self.sharer.prefix([group for group, _ in part])
            by_decoding: dict[str, list[tuple[int, int, int]]] = {}
            for g, (_, numbers) in enumerate(part):
                for p, number in enumerate(numbers):
                    key = digest_of(jobs[number].request.decoding.to_json())
                    by_decoding.setdefault(key, []).append((g, p, number))
            for same in by_decoding.values():
                self._answer_alike(jobs, part, prefix, same, rows_at_once, out)
        return out

    def _answer_alike(
        self,
        jobs: Sequence[Job],
        part: Sequence[tuple[Group, Sequence[int]]],
        prefix: State,
        asked: Sequence[tuple[int, int, int]],
        rows_at_once: int,
        out: dict[int, list[Generated]],
    ) -> None:
        """Answer prompts of one decoding; ``asked`` holds (group, prompt, job)."""
        decoding = jobs[asked[0][2]].request.decoding
        seeds = [jobs[number].draws() for _, _, number in asked]
        # By length, so that prompts of a chunk need little padding.
        order = sorted(
            range(len(asked)), key=lambda i: len(part[asked[i][0]][0].suffixes[asked[i][1]])
        )
        for chunk in chunks([len(seeds[i]) for i in order], rows_at_once):
            places = [order[i] for i in chunk]
            texts = [(asked[i][0], part[asked[i][0]][0].suffixes[asked[i][1]]) for i in places]
            state = self.sharer.suffix(prefix, texts)
            if not self._checked:
                self._check([jobs[asked[i][2]] for i in places], state)
            rows = [
                (at, Row(asked[i][0], asked[i][1], seed, decoding))
                for at, i in enumerate(places)
                for seed in seeds[i]
            ]
            made: dict[int, list[Generated]] = {}
            for start in range(0, len(rows), rows_at_once):
                some = rows[start : start + rows_at_once]
                replies = self.sharer.decode(state, some, self._stopped)
                for (at, _), ids in zip(some, replies, strict=True):
                    made.setdefault(at, []).append(self._reply(ids, decoding))
            for at, i in enumerate(places):
                number = asked[i][2]
                out[number] = jobs[number].filled(made[at])

    def _stopped(self, ids: list[int], row: Row) -> bool:
        if not row.decoding.stop:
            return False
        text = self._decode_text(ids)
        return any(stop in text for stop in row.decoding.stop)

    # --- likelihood -------------------------------------------------------------------------

    def score(
        self,
        jobs: Sequence[Job],
        ids: Sequence[Sequence[list[int]]],
        rows_at_once: int,
        *,
        ended: bool = True,
    ) -> list[list[float]] | None:
        """Log-probability of continuations of each job; ``None`` where sharing is not possible."""
        if self.off_because is not None:
            return None
        out: list[list[float]] = [[] for _ in jobs]
        try:
            kept = self._prepare(jobs, list(by_audio(jobs).values()))
            if sum(len(numbers) for _, numbers in kept) < len(jobs):
                return None
            for group, numbers in kept:
                prefix = self.sharer.prefix([group])
                for p, number in enumerate(numbers):
                    state = self.sharer.suffix(prefix, [(0, group.suffixes[p])])
                    if not self._checked:
                        self._check([jobs[number]], state)
                    rows = [(0, continuation) for continuation in ids[number]]
                    for start in range(0, len(rows), rows_at_once):
                        some = rows[start : start + rows_at_once]
                        found = self.sharer.continuations(state, some)
                        out[number] += [sum(x if ended else x[:-1]) for x in found]
        except CannotShareError as error:
            self._turn_off(str(error))
            return None
        return out

    # --- the check --------------------------------------------------------------------------

    def _check(self, jobs: Sequence[Job], state: State) -> None:
        """Hold the first batch against the plain path."""
        rows = list(range(min(CHECKED_ROWS, len(jobs))))
        plain = self._plain_logits([jobs[row] for row in rows])
        self._difference = self.sharer.difference(state, rows, plain)
        self._checked = len(rows)
        if not self._difference <= self._tolerance:
            raise CannotShareError(
                f"next-token logits differ by {self._difference:.2g} of their scale from the plain "
                f"path's (at most {self._tolerance:g})"
            )

    def _turn_off(self, reason: str) -> None:
        if self._must:
            raise ModelError(
                f"share_prefix=on: this model's prefix cannot be shared ({reason}); leave it at auto"
            )
        self.off_because = reason
        log.warning("a clip's prefix cannot be shared between prompts here: %s", reason)
