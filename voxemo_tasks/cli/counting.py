"""What a set of tasks asks: requests, clips, tokens; before a model is loaded or a clip decoded.

A prepared corpus is counted utterance by utterance, with the lengths of its texts taken from its
first documents (they come in a hash order, so these are a fair sample). Of a corpus that is not
prepared the card's published counts are taken, for the whole corpus, and it is said so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..backends.estimating import ENCODER_POSITIONS_A_SECOND, Work
from ..corpora import prepared, prepared_ids
from ..labels import DIMENSIONS
from ..records import AudioRef, Json, Request
from ..render import decoding_of, render
from ..specs import CorpusCard

if TYPE_CHECKING:
    from ..tasks.options import RunOptions
    from ..tasks.planning import Plan

SAMPLE = 200
"""Documents of a corpus whose texts are written out."""

ASSUMED_CLIP_S = 4.0
"""Length of a clip where the card has no hours."""

SHORT_ANSWER = 4
LONG_SHARE = 0.4
"""Expected length of a reply: a bare label is some 4 tokens; else this share of its limit."""


@dataclass(frozen=True, slots=True)
class Ears:
    """How a model counts tokens.

    Attributes:
        audio: Seconds of a clip → its audio tokens.
        text: Request → its tokens but those of the audio.
        window_s: Seconds that its encoder is padded to; ``None`` where it is not.
    """

    audio: Callable[[float], float]
    text: Callable[[Request], float]
    window_s: float | None = None

    def positions(self, seconds: float) -> float:
        return ENCODER_POSITIONS_A_SECOND * max(seconds, self.window_s or 0.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """One task, counted.

    Attributes:
        task: Its name.
        corpus: Its corpus.
        basis: ``prepared``, ``published counts``, or ``not known``.
        clips: Utterance → seconds; made-up names where the corpus is not prepared.
        questions: Question → what it takes, without what is the clips' own.
        notes: What the reader must know.
    """

    task: str
    corpus: str
    basis: str
    clips: Mapping[str, float]
    questions: Mapping[str, Work]
    notes: Sequence[str] = ()

    @property
    def work(self) -> Work:
        """What is to be done for this task alone."""
        return total_of([self])

    def to_json(self) -> Json:
        return {
            "task": self.task,
            "corpus": self.corpus,
            "basis": self.basis,
            "notes": list(self.notes),
            **self.work.to_json(),
        }


@dataclass(slots=True)
class Mean:
    """A task's members, by what their texts were seen to be."""

    text: list[float] = field(default_factory=list)
    audio: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def factor(self) -> float:
        """Audio tokens of a request over those of its clip: more than 1 with examples."""
        return sum(self.audio) / sum(self.bare) if sum(self.bare) else 1.0


def wanted(names: Sequence[str]) -> list[tuple[CorpusCard, str, str]]:
    """Card, tier and name of the tasks behind task, group and tag names."""
    from .. import registry
    from ..tasks.tree import PREPARED, known_tags, task_name, tiers_of

    all_tags = known_tags()
    ready = set(prepared_ids())
    found = []
    for card in registry.corpora():
        for tier in tiers_of(card):
            task = task_name(card.id, tier)
            named = any(n in (task, "voxemo") or task in all_tags.get(n, []) for n in names)
            of_ready = card.id in ready and {PREPARED, f"{PREPARED}_{tier}"} & set(names)
            if named or of_ready:
                found.append((card, tier, task))
    return found


def count(
    card: CorpusCard,
    tier: str,
    task: str,
    options: RunOptions,
    ears: Ears,
    *,
    limit: float | None = None,
    gen_kwargs: Mapping[str, Any] | None = None,
) -> Counted:
    """Count one task.

    Args:
        card: Its corpus.
        tier: Its tier.
        task: Its name.
        options: The run's options.
        ears: How the model counts.
        limit: As lm-eval's: a number of utterances, or below 1 a share of them.
        gen_kwargs: As lm-eval's.

    Raises:
        OptionError, UnknownNameError, LabelSetError: For options that this corpus cannot meet.
    """
    from ..tasks.planning import Plan

    plan = Plan.of(card, tier, options)
    if card.id in prepared_ids():
        return _count_prepared(card, task, plan, ears, limit, gen_kwargs or {})
    return _count_published(card, task, plan, ears, limit, gen_kwargs or {})


def limited(n: int, limit: float | None) -> int:
    """How many of n utterances lm-eval asks about.

    Example:
        >>> limited(147, 12), limited(147, 0.1), limited(5, 12), limited(5, None)
        (12, 15, 5, 5)
    """
    if limit is None:
        return n
    return min(n, math.ceil(n * limit) if limit < 1 else int(limit))


def _count_prepared(
    card: CorpusCard,
    task: str,
    plan: Plan,
    ears: Ears,
    limit: float | None,
    gen_kwargs: Mapping[str, Any],
) -> Counted:
    from ..tasks.documents import Documents, select

    manifest = prepared(card.id).manifest()
    selection = select(card, manifest, plan.label_set, plan.options)
    plan.require(manifest, selection)
    languages = manifest.column("language")
    plan = plan.speaking(languages[row] for row in selection.rows)
    dimensions, scale = plan.scale(manifest, selection.rows)
    shots = plan.shots(manifest, selection)
    donors = plan.donors(manifest, selection)
    rows = selection.rows[: limited(len(selection.rows), limit)]
    shown = Documents(
        card.id, manifest, plan.label_set, rows[:SAMPLE], plan.options.target, shots, donors
    )
    asked = _Asking(plan, ears, dimensions, scale, gen_kwargs)
    for document in shown:
        asked.look_at(document)
    ids, seconds = manifest.column("utterance_id"), manifest.column("duration_s")
    for row in rows:
        left_out = {} if donors is None else donors.of(manifest.row(row)).get("skipped", {})
        asked.take(languages[row], float(seconds[row] or ASSUMED_CLIP_S), left_out)
    clips = {ids[row]: float(seconds[row] or ASSUMED_CLIP_S) for row in rows}
    return Counted(task, card.id, "prepared", clips, asked.questions())


def _count_published(
    card: CorpusCard,
    task: str,
    plan: Plan,
    ears: Ears,
    limit: float | None,
    gen_kwargs: Mapping[str, Any],
) -> Counted:
    notes = ["not prepared: the card's published counts of the whole corpus, whatever the fold"]
    n = card.expected.utterances
    if n is None:
        lacking = "the card has no published count of utterances: left out of the totals"
        return Counted(task, card.id, "not known", {}, {}, [lacking])
    if card.expected.hours is None:
        seconds = ASSUMED_CLIP_S
        notes.append(f"the card has no hours: {ASSUMED_CLIP_S:g} s a clip assumed")
    else:
        seconds = 3600 * card.expected.hours / n
    scale = None if card.dimensions is None else (card.dimensions.low, card.dimensions.high)
    asked = _Asking(plan, ears, DIMENSIONS, scale, gen_kwargs)
    language = card.languages[0]
    audio = AudioRef("(the utterance's audio)", "", duration_s=seconds).to_json()
    asked.look_at({"utterance_id": "", "language": language, "audio": audio})
    if plan.options.shots:
        notes.append("examples (shots) are not counted: they are chosen once it is prepared")
    clips = {str(i): seconds for i in range(limited(n, limit))}
    for _ in clips:
        asked.take(language, seconds)
    return Counted(task, card.id, "published counts", clips, asked.questions(), notes)


SUMS = ("requests", "text", "audio", "encoder", "made", "limit", "longest")


class _Asking:
    """Adds up what a task asks."""

    def __init__(
        self,
        plan: Plan,
        ears: Ears,
        dimensions: tuple[str, ...],
        scale: tuple[float, float] | None,
        gen_kwargs: Mapping[str, Any],
    ) -> None:
        from ..tasks.asking import BARE, sampling_of

        self._plan = plan
        self._ears = ears
        self._frame = (dimensions, scale)
        self._gen_kwargs = gen_kwargs
        self._bare = BARE
        self._samples, self._temperature, _ = sampling_of(plan.options)
        self._seen: dict[str, Mean] = {}
        self._longest_text = 0.0
        self._sums: dict[str, dict[str, float]] = {}

    def look_at(self, document: Json) -> None:
        """Write out the requests of a document."""
        audio = AudioRef.from_json(document["audio"])
        of_clip = self._ears.audio(audio.duration_s or ASSUMED_CLIP_S)
        for member in self._plan.members(document):
            menu = member.menu(
                self._plan.label_set, document["utterance_id"], self._plan.options.order_seed
            )
            frame = self._plan.frame(member, menu, document, *self._frame)
            decoding = decoding_of(member.prompt, temperature=self._temperature)
            request = render(member.prompt, member.digest, menu, audio, decoding, frame)
            seen = self._seen.setdefault(member.id, Mean())
            seen.text.append(self._ears.text(request))
            heard = [self._ears.audio(r.duration_s or ASSUMED_CLIP_S) for r in request.audio]
            seen.audio.append(sum(heard))
            seen.bare.append(of_clip)
            self._longest_text = max(self._longest_text, seen.text[-1])

    def take(
        self, language: str | None, seconds: float, skipped: Mapping[str, str] | None = None
    ) -> None:
        """Count the requests of one utterance, but for conditions that cannot be had."""
        for member in self._plan.members({"language": language, "skipped": skipped}):
            seen = self._seen.get(member.id)
            if seen is None:  # a language that is rare: as the others
                text = _mean([x for m in self._seen.values() for x in m.text])
                factor = 1.0
            else:
                text, factor = _mean(seen.text), seen.factor
            audio = factor * self._ears.audio(seconds)
            most = self._limit(member)
            sums = self._sums.setdefault(member.id, dict.fromkeys(SUMS, 0.0))
            sums["requests"] += 1
            sums["text"] += text
            sums["audio"] += audio
            sums["encoder"] += factor * self._ears.positions(seconds)
            sums["limit"] += most
            bare = member.prompt.tier in self._bare
            sums["made"] += min(most, SHORT_ANSWER) if bare else LONG_SHARE * most
            sums["longest"] = max(sums["longest"], audio + most)

    def _limit(self, member: Any) -> int:
        decoding = decoding_of(member.prompt, temperature=self._temperature)
        return decoding.with_gen_kwargs(self._gen_kwargs).max_new_tokens

    def questions(self) -> dict[str, Work]:
        """What each question takes."""
        k = self._samples
        return {
            name: Work(
                requests=sums["requests"],
                replies=sums["requests"] * k,
                encoder_replies=sums["encoder"] * k,
                audio_replies=sums["audio"] * k,
                text_requests=sums["text"],
                text_replies=sums["text"] * k,
                generated=sums["made"] * k,
                generated_limit=sums["limit"] * k,
                longest=sums["longest"] + self._longest_text,
            )
            for name, sums in self._sums.items()
        }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def total_of(tasks: Sequence[Counted]) -> Work:
    """The work of tasks in one run.

    A question that two tasks put to a corpus (an ensemble under several tiers) is asked once, and a
    clip that several ask about is encoded once for all of them.
    """
    questions: dict[tuple[str, str], Work] = {}
    clips: dict[tuple[str, str], tuple[float, float, float]] = {}
    for counted in tasks:
        for name, work in counted.questions.items():
            old = questions.get((counted.corpus, name))
            if old is None or old.requests < work.requests:
                questions[counted.corpus, name] = work
        mine = sum(counted.questions.values(), Work())
        audio, encoder = (
            x / (mine.replies or 1.0) for x in (mine.audio_replies, mine.encoder_replies)
        )
        scale = sum(counted.clips.values()) / (len(counted.clips) or 1) or 1.0
        for name, seconds in counted.clips.items():
            of_clip = (seconds, audio * seconds / scale, encoder * seconds / scale)
            clips[counted.corpus, name] = max(of_clip, clips.get((counted.corpus, name), of_clip))
    total = sum(questions.values(), Work())
    return replace(
        total,
        clips=len(clips),
        audio_s=sum(c[0] for c in clips.values()),
        audio_clips=sum(c[1] for c in clips.values()),
        encoder_clips=sum(c[2] for c in clips.values()),
    )
