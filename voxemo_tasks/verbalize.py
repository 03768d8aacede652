"""How a free-text reply becomes a verdict.

A reply is read in five steps, each a module of :mod:`voxemo_tasks.verbalizing`:

1. **Fold** to one spelling, keeping the way back to the reply's own characters.
2. **Find the answer**: ``\\boxed{…}`` or ``<answer>``, a JSON key, the line after the last answer
   marker, a concluding sentence, else the whole reply; thoughts (``<think>``) are no part of it.
   The first of these that holds a verdict decides.
3. **Find the words**: every form of every concept in one pass; the menu's own words win.
4. **Read**: which words are asserted, ranked, hedged; which are negated, quoted, supposed, or
   somebody else's.
5. **Decide**: the firmest menu labels are the answer; see the coding rules in
   ``docs`` and the file's own examples.

Every word and every reach stands in the pre-registered file (``verbalizers/<id>.v<n>.yaml``); the
grammar stands here. All of it is pure: the same text, menu and file always give the same verdict.
A verdict never fails: any string has one, in time linear in its length.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from . import registry
from .hygiene import suspicious
from .records import Verdict, digest_of
from .specs import (
    AnyVerbalizer,
    CuesSpec,
    EmulationSpec,
    StructuredExample,
    StructuredSpec,
    VerbalizerExample,
    VerbalizerSpec,
)
from .verbalizing.cues import CueReader
from .verbalizing.deciding import Decider, Decision
from .verbalizing.emulating import emulate
from .verbalizing.folding import Folded, Folder
from .verbalizing.lexicon import Hit, Lexicon, Menu
from .verbalizing.quick import only_mention
from .verbalizing.reading import Level, Mention, Reader, Reading
from .verbalizing.regions import Region, Unwrapper, concluding, marked, strip_tex
from .verbalizing.structured import read_structured
from .verbalizing.vocabulary import Vocabulary

FinishReason = Literal["stop", "length"]

REMEMBERED_REPLIES = 65_536
"""Replies per verbalizer and menu whose verdict is kept; the oldest goes first."""

LONGEST_REMEMBERED = 2_000
"""Characters; longer replies hardly repeat and are read anew."""

_REMEMBERED_MENUS = 256
_REMEMBERED_SPECS = 64


Words = Literal["all", "en", "own"]
Neighbours = Literal["off_menu", "map"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A reading that differs from the registered one, to see what a choice is worth.

    Attributes:
        words: ``all`` languages, English only, or only the menu's ``own`` words.
        neighbours: What a neighbouring concept does to a menu without it; ``None``: as registered.
        negation: Whether negated words are left out.
        typos: Whether misspelt words are read.
    """

    words: Words = "all"
    neighbours: Neighbours | None = None
    negation: bool = True
    typos: bool = True


REGISTERED = Variant()


@dataclass(frozen=True, slots=True)
class Trace:
    """How a verdict came about.

    Attributes:
        normalised: The folded text that the rules saw.
        region: Which part of it was decided.
        text: The text of that part.
        mentions: Emotion words there, the dropped ones with the reason.
        abstentions: Phrases that abstain.
        verdict: The outcome.
    """

    normalised: str
    region: str
    text: str
    mentions: tuple[Mention, ...]
    abstentions: tuple[str, ...]
    verdict: Verdict


class Verbalizer:
    """A spec compiled for one menu; call it with a reply.

    Example:
        >>> from voxemo_tasks import registry
        >>> spec, _ = registry.verbalizer("closed_set")
        >>> read = Verbalizer(spec, ("anger", "joy", "sadness"))
        >>> read("The speaker is not angry but sad.").labels
        ('sadness',)
        >>> read("It sounds cheerful, with a hint of anger.").answer
        'joy'
    """

    def __init__(
        self, spec: VerbalizerSpec, menu: Sequence[str], variant: Variant = REGISTERED
    ) -> None:
        changes: dict[str, object] = {}
        if variant.neighbours is not None:
            changes["on_neighbour"] = variant.neighbours
        if not variant.typos:
            changes["typos"] = spec.typos.model_copy(update={"max_words": 0})
        vocabulary, self.unwrap = _shared(_spec_key(spec), variant.words)
        self.spec = spec = spec.model_copy(update=changes) if changes else spec
        self.fold = vocabulary.fold
        self._negation = variant.negation
        self.lexicon = Lexicon(vocabulary, Menu(menu, vocabulary, spec))
        self._tongues: dict[str, tuple[Reader, Decider]] = {}
        self._remembered = lru_cache(maxsize=REMEMBERED_REPLIES)(self._verdict)

    def __call__(self, text: str, *, finish_reason: FinishReason = "stop") -> Verdict:
        """The verdict of a reply; see :func:`verbalize`."""
        text = str.__str__(text)  # a reply that carries more than its text is read as its text
        if len(text) > LONGEST_REMEMBERED:
            return self._verdict(text, finish_reason)
        return self._remembered(text, finish_reason)

    def trace(self, text: str, *, finish_reason: FinishReason = "stop") -> Trace:
        """The verdict of a reply and how it came about."""
        region, decision, reading, folded = self._read(text)
        return Trace(
            normalised=folded.text,
            region=region.name,
            text=" … ".join(folded.text[a:b] for a, b in region.spans),
            mentions=tuple(reading.mentions + reading.alone),
            abstentions=tuple(folded.text[a:b] for (a, b), _ in reading.abstentions),
            verdict=_verdict_of(region, decision, folded, finish_reason),
        )

    def _verdict(self, text: str, finish_reason: FinishReason) -> Verdict:
        region, decision, _, folded = self._read(text, quick=True)
        return _verdict_of(region, decision, folded, finish_reason)

    def _read(self, reply: str, *, quick: bool = False) -> tuple[Region, Decision, Reading, Folded]:
        blanked = self.unwrap.blank(reply)
        tagged = self.unwrap.tagged(blanked)
        folded = self.fold(strip_tex(blanked))
        text = folded.text
        whole = Region("whole", ((0, len(text)),))
        if not text or text.isspace():
            return whole, Decision("empty"), Reading(), folded
        hits, free, tongue = self.lexicon.find(text)
        read, decide = self._in(tongue)
        if free:
            free.sort(key=lambda h: h.start)
        regions = self._regions(folded, tagged, hits, free)
        if quick and len(regions) == 1:
            mention = only_mention(text, hits, read)
            if mention is not None:
                return whole, decide.alone(text, mention), Reading([mention]), folded
        undecided: tuple[Region, Decision, Reading, Folded] | None = None
        for region in regions:
            if undecided is not None and region.name != undecided[0].name:
                break
            reading = read(text, hits, region.spans)
            if not self._negation:
                for mention in reading.mentions:
                    if mention.dropped in ("negated", "denied"):
                        mention.dropped = ""
            decision = decide(text, reading, region.spans, free)
            outcome = (region, decision, reading, folded)
            if decision.status in _SETTLED[region.name]:
                if decision.status == "answered" and _steered(reply, hits, decision):
                    return self._on_equal_terms(folded, hits, free, tongue)
                return outcome
            if decision.status == "abstained" and region.name == "marker":
                # An earlier marker may still hold a label.
                undecided = undecided or outcome
        return undecided or outcome

    def _on_equal_terms(
        self, folded: Folded, hits: list[Hit], free: list[Hit], tongue: str
    ) -> tuple[Region, Decision, Reading, Folded]:
        """The whole reply, with no word ranked above another."""
        read, decide = self._in(tongue)
        region = Region("whole", ((0, len(folded.text)),))
        reading = read(folded.text, hits, region.spans)
        for mention in reading.mentions:
            if mention.level is Level.MAIN:
                mention.level = Level.PLAIN
        return region, decide(folded.text, reading, region.spans, free), reading, folded

    def _in(self, tongue: str) -> tuple[Reader, Decider]:
        if tongue not in self._tongues:
            reader = Reader(self.lexicon.vocabulary, tongue, self.spec.scopes)
            self._tongues[tongue] = (reader, Decider(self.spec, self.lexicon, tongue))
        return self._tongues[tongue]

    def _regions(
        self, folded: Folded, tagged: tuple[int, int] | None, hits: list[Hit], free: list[Hit]
    ) -> list[Region]:
        """Where the answer may stand, best first; at last the whole reply."""
        text = folded.text
        regions = [] if tagged is None else [Region("tag", (_folded_span(folded, tagged),))]
        values = self.unwrap.json_values(text)
        if values is not None:
            regions.append(values)
        if free:
            regions += marked(text, free, hits)
            regions += concluding(text, free)
        regions.append(Region("whole", ((0, len(text)),)))
        return regions


_LABELLED = frozenset({"answered", "multiple"})
_STATED = _LABELLED | {"off_menu", "abstained"}
# Region → statuses that settle the matter there; any other lets the next region try.
_SETTLED: dict[str, frozenset[str]] = {
    "tag": _STATED,
    "json": _STATED,
    "marker": _LABELLED | {"off_menu"},
    "conclusion": _LABELLED,
    "whole": _STATED | {"unparsed"},
}


def _steered(reply: str, hits: Sequence[Hit], decision: Decision) -> bool:
    """Whether an answer stands in a reply that gives its reader instructions and says more.

    Then nothing in it outranks the rest: an "answer:" may be the instruction's.
    """
    named = {hit.sense.concept for hit in hits if hit.sense is not None}
    return len(named) > len(decision.labels) and suspicious(reply) is not None


def _folded_span(folded: Folded, span: tuple[int, int]) -> tuple[int, int]:
    return (bisect_left(folded.offsets, span[0]), bisect_left(folded.offsets, span[1]))


def _verdict_of(
    region: Region, decision: Decision, folded: Folded, finish_reason: FinishReason
) -> Verdict:
    cut = finish_reason == "length"
    status = decision.status
    if cut and status in ("unparsed", "empty"):
        return Verdict("truncated", rule="cut", cut=True)
    span = None if decision.span is None else folded.original(*decision.span)
    rule = status if status in ("unparsed", "empty") else f"{region.name}.{decision.reason}"
    return Verdict(status, decision.labels, decision.off_menu, span, rule, cut)


class _SpecKey:
    """A spec that hashes by its digest, so that compiled verbalizers can be kept by content."""

    __slots__ = ("digest", "spec")

    def __init__(self, spec: AnyVerbalizer) -> None:
        self.spec = spec
        self.digest = digest_of(spec.model_dump(mode="json", by_alias=True))

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SpecKey) and other.digest == self.digest


_keys: dict[int, _SpecKey] = {}


def _spec_key(spec: AnyVerbalizer) -> _SpecKey:
    key = _keys.get(id(spec))
    if key is None or key.spec is not spec:
        if len(_keys) >= _REMEMBERED_SPECS:
            _keys.clear()
        key = _keys[id(spec)] = _SpecKey(spec)
    return key


@lru_cache(maxsize=_REMEMBERED_SPECS)
def _shared(key: _SpecKey, words: Words) -> tuple[Vocabulary, Unwrapper]:
    """What all menus of a spec share."""
    assert isinstance(key.spec, VerbalizerSpec)
    fold = Folder(key.spec.normalise)
    return Vocabulary(key.spec, fold, words), Unwrapper.of(key.spec, fold)


@lru_cache(maxsize=_REMEMBERED_MENUS)
def _compiled(key: _SpecKey, menu: tuple[str, ...]) -> Verbalizer | OtherReader:
    if isinstance(key.spec, VerbalizerSpec):
        return Verbalizer(key.spec, menu)
    return OtherReader(key, menu)


class OtherReader:
    """An emulation, a structured reader or a reader of cues, compiled for one menu."""

    def __init__(self, key: _SpecKey, menu: tuple[str, ...]) -> None:
        self._spec = key.spec
        self._menu = menu
        self._cues = CueReader(key.spec) if isinstance(key.spec, CuesSpec) else None
        self._words: Verbalizer | None = None
        if isinstance(key.spec, StructuredSpec):
            self._words = compiled_words(registry.lexical(key.spec.reads_with)[0], menu)
        self._remembered = lru_cache(maxsize=REMEMBERED_REPLIES)(self._verdict)

    def __call__(
        self,
        text: str,
        *,
        finish_reason: FinishReason = "stop",
        scale: tuple[float, float] | None = None,
    ) -> Verdict:
        """The verdict of a reply; see :func:`verbalize`."""
        text = str.__str__(text)
        read = self._verdict if len(text) > LONGEST_REMEMBERED else self._remembered
        return read(text, finish_reason, scale)

    def _verdict(
        self, text: str, finish_reason: FinishReason, scale: tuple[float, float] | None
    ) -> Verdict:
        cut = finish_reason == "length"
        spec = self._spec
        if isinstance(spec, EmulationSpec):
            return emulate(text, self._menu, spec.rule, cut=cut)
        if self._cues is not None:
            verdict = self._cues(text)
        else:
            assert isinstance(spec, StructuredSpec)
            assert self._words is not None
            blanked = self._words.unwrap.blank(text)
            verdict = read_structured(blanked, self._menu, spec, self._words, scale)
        if cut and verdict.status in ("unparsed", "empty"):
            return Verdict("truncated", rule="cut", cut=True)
        return replace(verdict, cut=cut)


def compiled(spec: AnyVerbalizer, menu: Sequence[str]) -> Verbalizer | OtherReader:
    """The reader of a spec and a menu; compiled once and kept.

    Equal specs share one, whichever object they are.
    """
    return _compiled(_spec_key(spec), tuple(menu))


def compiled_variant(spec: VerbalizerSpec, menu: Sequence[str], variant: Variant) -> Verbalizer:
    """A verbalizer that reads otherwise than registered; compiled once and kept."""
    return _compiled_variant(_spec_key(spec), tuple(menu), variant)


@lru_cache(maxsize=_REMEMBERED_MENUS)
def _compiled_variant(key: _SpecKey, menu: tuple[str, ...], variant: Variant) -> Verbalizer:
    assert isinstance(key.spec, VerbalizerSpec)
    return Verbalizer(key.spec, menu, variant)


def compiled_words(spec: VerbalizerSpec, menu: Sequence[str]) -> Verbalizer:
    """As :func:`compiled`, for a verbalizer with word lists, which can also trace."""
    reader = compiled(spec, menu)
    assert isinstance(reader, Verbalizer)
    return reader


def verbalize(
    text: str,
    menu: Sequence[str],
    spec: AnyVerbalizer,
    *,
    finish_reason: FinishReason = "stop",
    scale: tuple[float, float] | None = None,
) -> Verdict:
    """Read a reply against a menu.

    Args:
        text: The reply as the engine gave it; any string.
        menu: The labels that were offered, in the words that were offered, in any order. Labels
            that are lettered (``A. angry``) let a bare letter answer, numbered ones (``1. angry``) a
            bare number; no other menu does. Where ratings were asked for, the dimensions.
        spec: The registered rules.
        finish_reason: ``length`` where the token limit cut the reply.
        scale: Lowest and highest rating, where ratings were asked for.

    Returns:
        A verdict whose ``labels`` are menu labels in the menu's own forms, in the order in which
        the reply asserts them: one where ``answered``, two or more where ``multiple``, else none.
        ``off_menu`` holds other emotion words that are asserted, ``span`` the evidence's characters
        in ``text``, ``rule`` the region and the reason. ``truncated`` is only what was cut before
        anything was said; ``cut`` is set on every cut reply.

    Example:
        >>> from voxemo_tasks import registry
        >>> spec, _ = registry.verbalizer("closed_set")
        >>> menu = ("neutral", "joy", "sadness", "anger")
        >>> verdict = verbalize("She sounds **delighted**, not angry.", menu, spec)
        >>> verdict.status, verdict.labels, verdict.span, verdict.rule
        ('answered', ('joy',), (13, 22), 'whole.asserted')
        >>> verbalize("sad and angry", menu, spec).labels
        ('sadness', 'anger')
        >>> verbalize("The voice is calm.", menu, spec).off_menu
        ('calm',)
        >>> verbalize("It cannot be determined.", menu, spec).status
        'abstained'
        >>> verbalize("The audio is ab", menu, spec, finish_reason="length").status
        'truncated'
    """
    reader = compiled(spec, menu)
    if isinstance(reader, Verbalizer):
        return reader(text, finish_reason=finish_reason)
    return reader(text, finish_reason=finish_reason, scale=scale)


def unknown_labels(menu: Sequence[str], spec: AnyVerbalizer) -> list[str]:
    """Labels of a menu for which a verbalizer has no words but their own, lightly inflected.

    Example:
        >>> from voxemo_tasks import registry
        >>> unknown_labels(["angry", "zesty"], registry.verbalizer("closed_set")[0])
        ['zesty']
    """
    if isinstance(spec, StructuredSpec):
        spec = registry.lexical(spec.reads_with)[0]
    if not isinstance(spec, VerbalizerSpec):
        return []
    return compiled_words(spec, menu).lexicon.menu.unknown()


@dataclass(frozen=True, slots=True)
class FailingExample:
    """An example of a file that the file's own rules read differently."""

    index: int
    example: VerbalizerExample | StructuredExample
    verdict: Verdict


def failing_examples(spec: AnyVerbalizer) -> list[FailingExample]:
    """The examples of a spec that it does not satisfy; empty for a spec that can be registered.

    Labels are compared as a set: their order is the reply's, and says nothing. Numbers are compared
    to 1e-9.

    Example:
        >>> from voxemo_tasks import registry
        >>> failing_examples(registry.verbalizer("closed_set")[0])
        []
    """
    failing: list[FailingExample] = []
    examples: Sequence[VerbalizerExample | StructuredExample] = spec.examples
    for index, example in enumerate(examples):
        if isinstance(example, VerbalizerExample):
            verdict = verbalize(
                example.reply, example.menu, spec, finish_reason=example.finish_reason
            )
            good = True
        else:
            scale = None if example.scale is None else (example.scale[0], example.scale[1])
            verdict = verbalize(example.reply, example.menu, spec, scale=scale)
            good = (
                _same(verdict.distribution, example.distribution)
                and _same(verdict.values, example.values)
                and (example.detail is None or verdict.detail == example.detail)
            )
        labels = isinstance(example, VerbalizerExample) or bool(example.labels)
        same = not labels or set(verdict.labels) == set(example.labels)
        if verdict.status != example.status or not same or not good:
            failing.append(FailingExample(index, example, verdict))
    return failing


def _same(got: Mapping[str, float] | None, wanted: Mapping[str, float] | None) -> bool:
    if got is None or wanted is None:
        return got is wanted
    return all(abs(got.get(k, 0.0) - wanted.get(k, 0.0)) < 1e-9 for k in {*got, *wanted})
