"""From what the words of a region assert to one status.

The firmest words decide: a ranked one before a plain one, a plain one before a hedged one. Menu
labels on equal terms are ``multiple``; a menu label and an off-menu word on equal terms are the menu
label. Nothing is ever guessed: what asserts nothing is ``unparsed``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..records import Status
from ..specs import VerbalizerSpec
from .folding import spaceless
from .lexicon import Hit, Lexicon, Sense
from .reading import Level, Mention, Reading
from .vocabulary import Role


@dataclass(slots=True)
class Decision:
    """What a region comes to.

    Attributes:
        status: ``unparsed`` where it says nothing.
        labels: Menu labels, in text order.
        off_menu: Other emotion words that are asserted, as they stand in the folded text.
        span: The evidence, in the folded text.
        reason: Second part of the verdict's rule id.
    """

    status: Status
    labels: tuple[str, ...] = ()
    off_menu: tuple[str, ...] = ()
    span: tuple[int, int] | None = None
    reason: str = "nothing"


NOTHING = Decision("unparsed")
_REASONS = {Level.MAIN: "ranked", Level.HEDGED: "hedged", Level.WEAK: "weak"}

_SCORE_AFTER = re.compile(
    r"[\"')\]]{0,2} ?(?:\(|:|=|-|,|at|with|is)? ?(?:about |approximately |around )?"
    r"(\d{1,3}(?:\.\d+)?) ?(%|percent\b)|[\"']? ?[:=(] ?(0?\.\d+|1\.0+|0|1)(?![\d%.])"
    # {"label": "joy", "score": 0.9}
    r"|[\"'] ?, ?[\"'](?:score|confidence|probability|prob|p|share|weight|value)[\"'] ?: ?"
    r"[\"']?(\d{1,3}(?:\.\d+)?)"
)
_SCORE_BEFORE = re.compile(
    r"(\d{1,3}(?:\.\d+)?) ?(?:%|percent) ?(?:of |chance of |likely |confident |sure )?$"
    r"|% ?(\d{1,3}(?:\.\d+)?) $"
)
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"^\W*([1-9][0-9]?)\W*$", re.M)
_NUMBER_ENDS = re.compile(r"[ \])]*(?:$|\n|[,:;]|\.(?!\d))")
_LETTER = re.compile(r"\(([a-z])\)|^\W*([a-z])\W*$|(?<!\w)([a-z])[).:](?!\w)", re.M)


@dataclass(slots=True)
class _Firmest:
    """The firmest mentions of one kind."""

    level: float = 99.0
    mentions: list[Mention] = field(default_factory=list)


class Decider:
    """Decides regions under one spec and menu, in one Latin-script language."""

    def __init__(self, spec: VerbalizerSpec, lexicon: Lexicon, tongue: str) -> None:
        self.menu = lexicon.menu
        self.vocabulary = lexicon.vocabulary
        self.sets = self.vocabulary.sets(tongue)
        self.split = self.vocabulary.split
        self.generic = frozenset(spec.generic)
        self.absence = self.menu.labels_of(spec.absence)
        self.typos = spec.typos
        self.never = frozenset(map(self.vocabulary.fold.form, spec.typos.never))

    def __call__(
        self, text: str, reading: Reading, spans: Sequence[tuple[int, int]], free: Sequence[Hit]
    ) -> Decision:
        """Decide one region."""
        if len(reading.mentions) == 1:
            # The commonest reply by far: one emotion word, which answers one label. What follows
            # comes to the same for it, by a longer way.
            only = reading.mentions[0]
            if len(only.sense.labels) == 1 and not only.dropped:
                return self.alone(text, only)
        scored = _DIGIT.search(text) is not None and self._score(text, reading.mentions)
        echoed = [] if scored else self._drop_option_lists(text, reading.mentions)
        live = [m for m in reading.mentions if not m.dropped]
        _set_text_against_voice(live, reading.contrasts)
        if not reading.mentions and self._solitary(text, reading, spans):
            live = reading.alone
        off_words = tuple(dict.fromkeys(self._surface(text, m) for m in live if not m.sense.labels))
        on = self._firmest(m for m in live if m.sense.labels)
        off = self._firmest(
            m
            for m in live
            if not m.sense.labels
            and not (reading.abstentions and m.level in (Level.EXPLAINING, Level.WEAK))
        )
        specific = [m for m in off.mentions if m.sense.concept not in self.generic]
        if on.mentions and (on.level <= off.level or not specific):
            return self._labelled(on.mentions, off_words, reading)
        if reading.absences and not (
            reading.abstentions and reading.abstentions[0][0] < reading.absences[0]
        ):
            return self._absent(reading.absences[0], off_words)
        if off.mentions:
            return Decision("off_menu", (), off_words, _span(off.mentions), "off_menu")
        if on.mentions:
            return self._labelled(on.mentions, off_words, reading)
        if reading.abstentions:
            return Decision("abstained", span=reading.abstentions[0][0], reason="abstention")
        if echoed:
            return Decision("abstained", span=_span(echoed), reason="option_list")
        return self._last_resorts(text, reading, spans, free)

    def alone(self, text: str, mention: Mention) -> Decision:
        """The decision on a mention that nothing else in the reply touches."""
        span = (mention.hit.start, mention.hit.end)
        if not mention.sense.labels:
            return Decision("off_menu", (), (self._surface(text, mention),), span, "off_menu")
        reason = _REASONS.get(mention.level, "asserted")
        return Decision("answered", mention.sense.labels, (), span, reason)

    def _surface(self, text: str, mention: Mention) -> str:
        """An off-menu word as it stands, without the verb of a form such as ``is content``."""
        words = text[mention.hit.start : mention.hit.end].split()
        while len(words) > 1 and words[0] in self.sets["linking"]:
            words = words[1:]
        return " ".join(words)

    def _solitary(self, text: str, reading: Reading, spans: Sequence[tuple[int, int]]) -> bool:
        """Whether a region says nothing but forms that count only alone."""
        inside = {(m.hit.start, m.hit.end) for m in reading.alone}
        if not 0 < len(inside) <= 3 or reading.words > 8:
            return False
        allowed = self.sets["fillers"] | self.sets["linking"] | self.sets["voice"]
        return all(
            m[0] in allowed or m[0].isdigit() or any(a <= m.start() < b for a, b in inside)
            for start, end in spans
            for m in self.split.iter_words(text, start, end)
        )

    # --- labels -----------------------------------------------------------------------------

    def _firmest(self, mentions: Iterable[Mention]) -> _Firmest:
        best = _Firmest()
        for mention in mentions:
            # A reason's word comes second to a menu label, and equal to an off-menu word.
            if mention.level < best.level:
                best = _Firmest(mention.level, [mention])
            elif mention.level == best.level:
                best.mentions.append(mention)
        if best.level == Level.EXPLAINING:
            best.level = float(Level.PLAIN)
        return best

    def _labelled(
        self, mentions: list[Mention], off_words: tuple[str, ...], reading: Reading
    ) -> Decision:
        labels = tuple(dict.fromkeys(label for m in mentions for label in m.sense.labels))
        if len(labels) > 1 and reading.abstentions:
            (at, _), sentence = reading.abstentions[-1]
            after = at > mentions[-1].hit.start
            tentative = all(m.level >= Level.HEDGED for m in mentions)
            same = any(m.sentence == sentence for m in mentions)
            if (after and (tentative or same)) or (tentative and len(labels) > 2):
                return Decision("abstained", span=reading.abstentions[-1][0], reason="undecided")
        status: Status = "answered" if len(labels) == 1 else "multiple"
        return Decision(
            status, labels, off_words, _span(mentions), _REASONS.get(mentions[0].level, "asserted")
        )

    def _absent(self, span: tuple[int, int], off_words: tuple[str, ...]) -> Decision:
        if len(self.absence) == 1:
            return Decision("answered", self.absence, off_words, span, "no_emotion")
        if self.absence:
            return Decision("multiple", self.absence, off_words, span, "no_emotion")
        return Decision("off_menu", (), ("no emotion", *off_words), span, "no_emotion")

    # --- scores and option lists ------------------------------------------------------------

    def _score(self, text: str, mentions: list[Mention]) -> bool:
        """``sad 70%, angry 30%``: the highest score ranks first, the others second."""
        for scores in (self._scores(text, mentions, False), self._scores(text, mentions, True)):
            if len({m.sense.concept for m, _ in scores}) > 1:
                best = max(score for _, score in scores)
                for mention, score in scores:
                    mention.level = Level.MAIN if score == best else Level.HEDGED
                    mention.dropped = "" if score > 0 else "scored 0"
                return True
        return False

    def _scores(
        self, text: str, mentions: list[Mention], before: bool
    ) -> list[tuple[Mention, float]]:
        found: list[tuple[Mention, float]] = []
        for mention in mentions:
            if mention.word < 0 or mention.dropped:
                continue
            if before:
                window = text[max(0, mention.hit.start - 30) : mention.hit.start]
                match = _SCORE_BEFORE.search(window)
            else:
                match = _SCORE_AFTER.match(text, mention.hit.end)
            if match:
                found.append((mention, float(next(g for g in match.groups() if g))))
        return found

    def _drop_option_lists(self, text: str, mentions: list[Mention]) -> list[Mention]:
        """Drop every enumeration of the whole menu: it repeats the question and chooses nothing."""
        if len(self.menu.labels) < 3:
            return []
        dropped: list[Mention] = []
        for run in self._enumerations(text, mentions):
            held = {label for m in run for label in m.sense.labels}
            if len(held) == len(self.menu.labels):
                for mention in run:
                    mention.dropped = mention.dropped or "option list"
                dropped.extend(run)
        return dropped

    def _enumerations(self, text: str, mentions: list[Mention]) -> Iterable[list[Mention]]:
        run: list[Mention] = []
        for mention in mentions:
            if run:
                gap = text[run[-1].hit.end : mention.hit.start]
                full = {
                    label for m in run[-2 * len(self.menu.labels) :] for label in m.sense.labels
                }
                done = len(full) == len(self.menu.labels)
                if len(gap) > 40 or not self._listing(gap) or (done and "\n" in gap):
                    yield run
                    run = []
            run.append(mention)
        if run:
            yield run

    def _listing(self, gap: str) -> bool:
        if any(c in gap for c in ".!?") and not re.fullmatch(r"[^.!?]*\b\w{1,2}\.[^.!?]*", gap):
            return False
        return all(
            w in self.sets["connectives"]
            or w in self.sets["fillers"]
            or (len(w) == 1 and not spaceless(w))
            for w in self.split.words(gap)
        )

    # --- last resorts -----------------------------------------------------------------------

    def _last_resorts(
        self, text: str, reading: Reading, spans: Sequence[tuple[int, int]], free: Sequence[Hit]
    ) -> Decision:
        """Where no emotion word stands: an option letter or number, a misspelling, an unlisted word."""
        if reading.mentions:
            return NOTHING
        return (
            self._sign(text, spans)
            or self._typo(text, spans, reading.words)
            or self._framed(text, spans, free)
            or NOTHING
        )

    def _sign(self, text: str, spans: Sequence[tuple[int, int]]) -> Decision | None:
        """The option letters or numbers that a reply gives in the place of a label."""
        signs = self.menu.signs
        if not signs:
            return None
        numbered = next(iter(signs)).isdigit()
        found: dict[str, tuple[int, int]] = {}
        for start, end in spans:
            part = text[start:end]
            for match in (_NUMBER if numbered else _LETTER).finditer(part):
                sign = next(g for g in match.groups() if g)
                found.setdefault(sign, (start + match.start(), start + match.end()))
            words = [(m[0], m.start(), m.end()) for m in self.split.iter_words(part, 0, len(part))]
            for (option, _, _), (sign, a, b) in pairwise(words):
                if option in self.sets["options"] and (
                    self._number_ends(part, b) if numbered else len(sign) == 1
                ):
                    found.setdefault(sign, (start + a, start + b))
            joining = self.sets["connectives"]
            if words and all(
                (w in signs if numbered else len(w) == 1) or w in joining for w, _, _ in words
            ):
                if not (numbered and "/" in part):  # "2/4" is a score
                    for sign, a, b in words:
                        found.setdefault(sign, (start + a, start + b))
            elif numbered and words and words[0][0] in signs and start > 0:
                sign, a, b = words[0]  # after "the answer is"
                if self._number_ends(part, b):
                    found.setdefault(sign, (start + a, start + b))
        chosen = {k: v for k, v in found.items() if k in signs}
        if not chosen:
            return None
        labels = tuple(signs[sign] for sign in chosen)
        span = next(iter(chosen.values()))
        if 2 < len(labels) == len(signs):
            return Decision("abstained", span=span, reason="option_list")
        reason = "number" if numbered else "letter"
        return Decision("answered" if len(labels) == 1 else "multiple", labels, (), span, reason)

    def _number_ends(self, part: str, end: int) -> bool:
        """Whether nothing is counted: ``the answer is 2`` names an option, ``it is 2 of 3`` not."""
        if _NUMBER_ENDS.match(part, end):
            return True
        following = next(self.split.iter_words(part, end, len(part)), None)
        if following is None or part[end : following.start()].strip():
            return False
        form = self.vocabulary.forms.get(following[0])
        return form is not None and Role.EXPLAINS in form.roles

    def _typo(self, text: str, spans: Sequence[tuple[int, int]], n_words: int) -> Decision | None:
        if n_words > self.typos.max_words:
            return None
        for start, end in spans:
            for match in self.split.iter_words(text, start, end):
                word = match[0]
                if len(word) < self.typos.min_letters or self._is_word(word):
                    continue
                near = [s for s in self._spellings(word) if resembles(word, s.form)]
                if len({s.concept for s in near}) != 1:
                    continue
                labels = tuple(dict.fromkeys(label for s in near for label in s.labels))
                if len(labels) == 1:
                    return Decision("answered", labels, (), match.span(), "typo")
                if not labels:
                    return Decision("off_menu", (), (word,), match.span(), "typo")
        return None

    def _is_word(self, word: str) -> bool:
        if word in self.never or word in self.menu.own_forms:
            return True
        form = self.vocabulary.forms.get(word)
        return form is not None and form.concept is not None

    def _spellings(self, word: str) -> Iterable[Sense]:
        """Emotion words that a word may be a misspelling of."""
        shortest = self.typos.min_letters
        for form in self.vocabulary.like(word):
            sense = self.menu.sense(form)
            if sense is not None and len(form.text) >= shortest:
                yield sense
        for text, sense in self.menu.own_forms.items():
            if len(text) >= shortest and " " not in text:
                yield sense

    def _framed(
        self, text: str, spans: Sequence[tuple[int, int]], free: Sequence[Hit]
    ) -> Decision | None:
        """``a sense of whimsy``: an unlisted word where an emotion is named."""
        for hit in free:
            if Role.FRAME not in hit.roles:
                continue
            if not any(a <= hit.start and hit.end <= b for a, b in spans):
                continue
            for match in self.split.iter_words(text, hit.end, hit.end + 60):
                word = match[0]
                if word in self.sets["intensifiers"] or word in {"a", "an"}:
                    continue
                if len(word) > 3 and word not in self.sets["frame_stops"] and word.isalpha():
                    return Decision("off_menu", (), (word,), match.span(), "frame")
                break
        return None


def _set_text_against_voice(live: list[Mention], contrasts: set[int]) -> None:
    """``the text is sad but the voice is neutral``: where both are named, the voice counts.

    A model that has only the text to go by (``the words suggest sadness``) is taken at its word.
    """
    voiced = {m.sentence for m in live if not m.said and m.level <= Level.EXPLAINING}
    contrasted = bool(voiced & contrasts)
    for mention in live:
        if mention.said and (contrasted or mention.sentence in voiced):
            mention.weaken(Level.WEAK)


def _span(mentions: list[Mention]) -> tuple[int, int]:
    first = mentions[0]
    return (first.hit.start, first.hit.end)


def resembles(word: str, form: str) -> bool:
    """Whether two words begin alike and are at most one edit apart (Damerau–Levenshtein).

    Edits are one letter added, left out or replaced, or two neighbours swapped.

    Example:
        >>> resembles("anrgy", "angry"), resembles("sadnes", "sadness"), resembles("hungry", "angry")
        (True, True, False)
    """
    if not word or word[:1] != form[:1] or abs(len(word) - len(form)) > 1:
        return False
    at = 0
    while at < min(len(word), len(form)) and word[at] == form[at]:
        at += 1
    if word[at:] == form[at:]:
        return True
    added = word[at + 1 :] == form[at:]
    missing = word[at:] == form[at + 1 :]
    replaced = word[at + 1 :] == form[at + 1 :]
    swapped = word[at : at + 2] == form[at : at + 2][::-1] and word[at + 2 :] == form[at + 2 :]
    return added or missing or replaced or swapped
