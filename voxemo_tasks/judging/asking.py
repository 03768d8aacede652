"""One judge under one rubric: items → judgements, looked up or asked, twice where an answer is unusable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .. import registry
from ..adjudicate import Item, JudgeRequest, ask, hear
from ..records import Json
from ..specs import HygieneSpec, JudgeSpec
from ..store import Judgement, JudgementStore
from .engines import Judge, first_line

SWAPPED_SHARE = 0.10
LANGUAGE_SHARE = 0.10

CHUNK = 64
"""Requests that are handed to the engine at once; what a killed pass loses at most."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a pass is made.

    Attributes:
        seed: Of option orders, nonces and samples.
        swapped_share: Share of items that are judged again with the options the other way round.
        language_share: Share of items that are judged again in their own language.
        judged_family: Family of the judged model.
        own_family: What becomes of a judge of that family: ``flag`` or ``exclude``.
        chunk: Requests a call.
    """

    seed: int = 0
    swapped_share: float = SWAPPED_SHARE
    language_share: float = LANGUAGE_SHARE
    judged_family: str | None = None
    own_family: str = "flag"
    chunk: int = CHUNK


@dataclass(frozen=True, slots=True)
class ToJudge:
    """An item with the language of its text, where that is known."""

    item: Item
    language: str | None = None


@dataclass
class Asking:
    """One judge under one rubric.

    Attributes:
        store: Where judgements are looked up and written.
        spec: The rubric.
        digest: SHA-256 of its file.
        judge_: The judge.
        settings: How.
        asked: Requests so far, second attempts included.
        reused: Judgements that the store had.
        retried: Second attempts.
        errors: Judgements that the engine failed on.
        hygiene: Attacks and families.
    """

    store: JudgementStore
    spec: JudgeSpec
    digest: str
    judge_: Judge
    settings: Settings
    asked: int = 0
    reused: int = 0
    retried: int = 0
    errors: int = 0
    hygiene: HygieneSpec = field(default_factory=lambda: registry.hygiene()[0])

    def counts(self) -> Json:
        """What was asked so far, JSON-safe."""
        return {
            "asked": self.asked,
            "reused": self.reused,
            "retried": self.retried,
            "errors": self.errors,
        }

    def judge(
        self, items: Mapping[str, ToJudge], purpose: str, *, in_language: bool = False
    ) -> dict[str, Judgement]:
        """Item id → judgement; from the store, or asked."""
        found: dict[str, Judgement] = {}
        todo: list[tuple[str, str, JudgeSpec, str, JudgeRequest]] = []
        for item_id, one in items.items():
            spec, digest = self.spec, self.digest
            if in_language:
                spec, digest = registry.judge_in(spec.task, str(one.language))
            request = ask(
                spec,
                digest,
                one.item,
                seed=self.settings.seed,
                swap=purpose == "swapped",
                families=self.hygiene.families,
            )
            key = request.key(self.judge_.digest, digest)
            known = self.store.find(key)
            if known is not None:
                found[item_id] = known
                self.reused += 1
            else:
                todo.append((item_id, key, spec, digest, request))
        for at in range(0, len(todo), self.settings.chunk):
            part = todo[at : at + self.settings.chunk]
            judged = self._chunk(part, purpose)
            self.store.write(*judged)
            found.update(zip((item_id for item_id, *_ in part), judged, strict=True))
        return found

    def _chunk(
        self, part: Sequence[tuple[str, str, JudgeSpec, str, JudgeRequest]], purpose: str
    ) -> list[Judgement]:
        requests = [request for *_, request in part]
        said = self.judge_.say(requests)
        self.asked += len(requests)
        out: list[Judgement] = []
        again: list[int] = []
        for (item_id, key, spec, digest, request), text in zip(part, said, strict=True):
            row = Judgement(
                key,
                item_id,
                self.judge_.digest,
                spec.ref,
                digest,
                purpose,
                self.settings.seed,
                None,
                tuple(name for name, text in request.data.items() if text is not None),
            )
            out.append(_heard(row, spec, request, text))
            if out[-1].problem is not None:
                again.append(len(out) - 1)
        if again:
            self.retried += len(again)
            self.asked += len(again)
            retries = [requests[i].again(part[i][2], out[i].problem or "") for i in again]
            for i, request, text in zip(again, retries, self.judge_.say(retries), strict=True):
                blank = replace(out[i], problem=None, attempts=2)
                out[i] = _heard(blank, part[i][2], request, text)
        self.errors += sum(row.error is not None for row in out)
        return out


def _heard(
    row: Judgement, spec: JudgeSpec, request: JudgeRequest, text: str | Exception
) -> Judgement:
    if isinstance(text, Exception):
        return replace(row, error=first_line(text))
    judged = hear(spec, request, text)
    return replace(
        row, answer=judged.answer, quote=judged.quote, problem=judged.problem, text=text[:4000]
    )
