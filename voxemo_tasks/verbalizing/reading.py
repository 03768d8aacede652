"""What each emotion word of a region asserts.

One pass over the words, sentence by sentence. Operators (a negator, a hedge, ``if``, ``because``)
set a state that the next emotion word meets; a barrier (``but``, a comma for some) ends it. Words
joined on equal terms (``angry or sad``) form a run, and share what was said of the first.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache

from ..specs import VerbalizerScopes
from .folding import PUNCTUATION, Splitter, spaceless
from .lexicon import Hit, Sense
from .vocabulary import Role, Vocabulary

_SENTENCE_ENDS = frozenset(".!?;\n…")
SEGMENT_ENDS = frozenset(".!?;\n…:-(){}[]")
_PUNCTUATION = frozenset(PUNCTUATION)
_NEVER = 1 << 60
_LONGEST_RUN = 40  # mentions; bounds the work on a reply that repeats itself
_TOPIC_ENDS = frozenset({"in", "with", "using", "while"})


class Level(IntEnum):
    """How firmly a word is asserted; lower is firmer."""

    MAIN = 0
    PLAIN = 1
    EXPLAINING = 2
    HEDGED = 3
    WEAK = 4


@dataclass(slots=True)
class Mention:
    """An emotion word, and what the sentence does with it.

    Attributes:
        hit: Where it stands, and its meaning.
        level: How firmly it is asserted.
        dropped: Why it is not asserted at all; empty where it is.
        said: Whether it is said of the text and not of the voice.
        sentence: Number of its sentence within the region.
        word: Index of its first word within the region.
        after: Index of the word after it.
    """

    hit: Hit
    sense: Sense
    sentence: int
    word: int
    after: int
    level: Level = Level.PLAIN
    dropped: str = ""
    said: bool = False

    def weaken(self, level: Level) -> None:
        self.level = max(self.level, level)


@dataclass(slots=True)
class Reading:
    """What one region holds.

    Attributes:
        mentions: Emotion words in text order, dropped ones too.
        alone: Forms that count only as a whole answer.
        absences: Spans of "no particular emotion".
        abstentions: (span, sentence) of each "cannot be determined".
        contrasts: Numbers of the sentences that hold a ``but`` or the like.
        words: Number of words.
    """

    mentions: list[Mention] = field(default_factory=list)
    alone: list[Mention] = field(default_factory=list)
    absences: list[tuple[int, int]] = field(default_factory=list)
    abstentions: list[tuple[tuple[int, int], int]] = field(default_factory=list)
    contrasts: set[int] = field(default_factory=set)
    words: int = 0


_Token = tuple[str, int, int, bool]
"""Text, start, index of this word (or of the next one for punctuation), whether it is a word."""


@dataclass(slots=True)
class _State:
    """What holds at one point of a sentence. Word indices are those right after the operator."""

    negated: int | None = None
    hedged: int | None = None
    hedging_back: Mention | None = None
    ranked: int | None = None
    unable: int | None = None
    first_person: int | None = None
    said: bool = False
    other: bool = False
    topic: bool = False
    unsure: bool = False  # within the reach of an abstention
    explaining: bool = False
    explaining_first: bool = False  # a reason before its statement ends with a comma
    supposed: bool = False
    quoting: bool = False
    quoted: bool = False
    run: list[Mention] = field(default_factory=list)


class Reader:
    """Reads regions of folded texts with one vocabulary, in one Latin-script language."""

    def __init__(self, vocabulary: Vocabulary, tongue: str, scopes: VerbalizerScopes) -> None:
        self.sets = vocabulary.sets(tongue)
        self.split = vocabulary.split
        self.scopes = scopes

    def __call__(self, text: str, hits: Sequence[Hit], spans: Sequence[tuple[int, int]]) -> Reading:
        """Read the parts of a region, each as sentences of its own."""
        reading = Reading()
        for start, end in spans:
            inside = hits if start == 0 and end == len(text) else _within(hits, start, end)
            _Pass(self, reading, text, inside, start, end).run()
        return reading


class _Pass:
    """One pass over one span."""

    def __init__(
        self,
        reader: Reader,
        reading: Reading,
        text: str,
        hits: Sequence[Hit],
        start: int,
        end: int,
    ) -> None:
        self.sets = reader.sets
        self.scopes = reader.scopes
        self.reading = reading
        self.text = text
        self.hits = hits
        self.split = reader.split
        self.tokens = _tokens(self.split, text, start, end, reading.words)
        self.words = {word: said for said, _, word, is_word in self.tokens if is_word}
        self.connectives = reader.sets["connectives"]
        self.fillers = reader.sets["fillers"]
        self.quotes = _quotes(text, start, end)
        self.state = _State()
        self.sentence = reading.mentions[-1].sentence + 1 if reading.mentions else 0
        self.asks = "?" in text  # only a question can be denied by the sentence after it
        self.sentence_words: list[str] = []
        self.sentence_mentions: list[Mention] = []
        self.questioned: list[Mention] = []
        self.segment: list[Mention] = []
        self.segment_bare = True
        self.segment_inner = False
        self.sentence_first = True

    def run(self) -> None:
        pointer, skip_to = 0, -1
        quote = 0
        hits, quotes = self.hits, self.quotes
        n_hits, n_quotes = len(hits), len(quotes)
        next_hit = hits[0].start if hits else _NEVER
        for token in self.tokens:
            text, start, _, is_word = token
            while next_hit < start:
                pointer += 1
                next_hit = hits[pointer].start if pointer < n_hits else _NEVER
            if n_quotes:
                while quote < n_quotes and quotes[quote][1] <= start:
                    quote += 1
                if quote < n_quotes and quotes[quote][0] <= start:
                    begin, end = quotes[quote]
                    if start == begin and not self._transparent(begin, end):
                        self._pass_quote(begin, end)
                        skip_to = end
            if start < skip_to:
                continue
            inside = start + max(1, len(text))
            while next_hit < inside:
                hit = hits[pointer]
                pointer += 1
                next_hit = hits[pointer].start if pointer < n_hits else _NEVER
                self._hit(hit, token)
                skip_to = hit.end
            if start < skip_to:
                if is_word and self.asks:
                    self.sentence_words.append(text)
            elif is_word:
                self._word(token)
            else:
                self._mark(text, start)
        self._end_sentence("")
        self.reading.words += len(self.words)

    # --- quotations -------------------------------------------------------------------------

    def _transparent(self, begin: int, end: int) -> bool:
        """Whether a quotation only sets off a label (``"sad"``) and quotes nobody."""
        if self.state.quoting:
            return False
        inner = _within(self.hits, begin, end)
        if not any(h.sense for h in inner):
            return False
        left = self.text[begin:end]
        for hit in reversed(inner):
            if hit.sense:
                left = left[: hit.start - begin] + left[hit.end - begin :]
        return all(w in self.sets["fillers"] for w in self.split.words(left))

    def _pass_quote(self, begin: int, end: int) -> None:
        self.state.quoted = True
        self.segment_bare = False
        for hit in _within(self.hits, begin, end):
            if hit.sense and Role.CONCEPT in hit.roles:
                mention = Mention(hit, hit.sense, self.sentence, -1, -1, dropped="quoted")
                self.reading.mentions.append(mention)

    # --- plain tokens -----------------------------------------------------------------------

    def _word(self, token: _Token) -> None:
        text = token[0]
        state = self.state
        if self.asks:
            self.sentence_words.append(text)
        self.sentence_first = False
        if state.topic and text in _TOPIC_ENDS:
            state.topic = False
        if text in self.connectives:
            if state.unsure and self._starts_clause(token[2] + 1):
                state.unsure = False
        else:
            if state.quoted:
                state.quoting = False
            if self.segment_bare and text not in self.fillers and not _numbering(text):
                self.segment_bare = False

    def _mark(self, mark: str, start: int) -> None:
        if mark == "." and _between_digits(self.text, start):
            return
        if mark in ",:()-":
            self._pause()
        if mark in SEGMENT_ENDS:
            self._end_segment(mark)
        if mark in _SENTENCE_ENDS:
            self._end_sentence(mark)

    def _pause(self) -> None:
        """A comma or its like: what reaches over words does not reach over it."""
        state = self.state
        state.negated = state.unable = None
        state.said = state.topic = state.other = state.unsure = False
        if state.explaining_first:
            state.explaining = state.explaining_first = False

    def _end_segment(self, mark: str) -> None:
        if self.segment_bare and not self.segment_inner and mark != "?":
            for mention in self.segment:
                if not mention.dropped and mention.level < Level.HEDGED:
                    mention.level = Level.MAIN
        self.segment = []
        self.segment_bare = True
        self.segment_inner = mark == "("

    def _end_sentence(self, mark: str) -> None:
        self._look_back()
        self._end_segment(mark)
        if self.questioned and self.sentence_words:
            if " ".join(self.sentence_words) in self.sets["denials"]:
                for mention in self.questioned:
                    mention.dropped = "denied"
            self.questioned = []
        if mark == "?":
            for mention in self.sentence_mentions:
                mention.weaken(Level.WEAK)
            self.questioned = self.sentence_mentions
        self.state = _State()
        self.sentence += 1
        self.sentence_words = []
        self.sentence_mentions = []
        self.sentence_first = True

    # --- hits -------------------------------------------------------------------------------

    def _hit(self, hit: Hit, token: _Token) -> None:
        _, _, word, is_word = token
        n_words = self.split.count(self.text[hit.start : hit.end])
        after = word + n_words
        roles = hit.roles
        if not is_word:
            self._pause()
        if hit.sense and Role.CONCEPT in roles:
            self._mention(hit, word, after)
            self.sentence_first = False
            return
        if hit.sense and Role.ALONE in roles:
            mention = Mention(hit, hit.sense, self.sentence, word, after)
            self.reading.alone.append(mention)
        for handle in _handlers_of(roles):
            handle(self, hit, word, after)
        if self.segment_bare:
            filler = self.text[hit.start : hit.end] in self.fillers
            if not roles <= QUIET or (Role.VOICE in roles and not filler):
                self.segment_bare = False
        self.sentence_first = False

    def _mention(self, hit: Hit, word: int, after: int) -> None:
        assert hit.sense is not None
        state = self.state
        mention = Mention(hit, hit.sense, self.sentence, word, after)
        link = self._link(mention)
        if link is None:
            self.state.run = []
        before = state.run[-1] if state.run else None
        mention.dropped = self._dropped(mention, before, link or "")
        mention.said = state.said
        if not mention.dropped and state.topic:
            if self.words.get(word - 1) in self.sets["possessive"]:
                mention.weaken(Level.WEAK)
            else:
                mention.dropped = "topic"
        if state.explaining:
            mention.weaken(Level.EXPLAINING)
        hedged = state.hedged is not None and word - state.hedged <= self.scopes.hedge
        ranked = state.ranked is not None and word - state.ranked <= self.scopes.rank
        joined = link == "linked" and before is not None
        if ranked or (joined and before and before.level == Level.MAIN and not hedged):
            if mention.level < Level.WEAK:
                mention.level = Level.MAIN
        elif hedged or (before is not None and before.level == Level.HEDGED):
            mention.weaken(Level.HEDGED)
        if not mention.dropped:
            state.ranked = None
        state.negated = state.hedged = state.first_person = state.hedging_back = None
        state.run = [*state.run[-_LONGEST_RUN:], mention]
        self.segment.append(mention)
        self.sentence_mentions.append(mention)
        self.reading.mentions.append(mention)

    def _dropped(self, mention: Mention, before: Mention | None, link: str) -> str:
        state = self.state
        word = mention.word
        if state.negated is not None and word - state.negated <= self.scopes.negation:
            between = [self.words.get(i, "") for i in range(state.negated, word)]
            if not self._new_clause(between):
                return "negated"
        if state.first_person is not None:
            between = [self.words.get(i, "") for i in range(state.first_person, word)]
            if all(w in self.sets["intensifiers"] for w in between):
                return "first person"
        if state.supposed:
            return "supposed"
        if state.other:
            return "somebody else"
        if state.unsure:
            return "undecided"
        if before is None:
            return ""
        if link == "linked" and before.dropped in {"negated", "first person", "topic"}:
            return before.dropped
        if before.dropped in {"undecided", "somebody else"}:
            return before.dropped
        if link == "linked" and self._alternative(before, mention):
            head = next((m for m in reversed(state.run) if m.dropped == "negated"), None)
            if head is not None:
                for other in state.run[state.run.index(head) :]:
                    other.dropped = other.dropped or "negated"
                return "negated"
        return ""

    def _new_clause(self, words: list[str]) -> bool:
        """``not loud and sounds sad``: a joining word and a verb start anew."""
        for index, word in enumerate(words):
            if word in self.sets["connectives"]:
                return any(w in self.sets["linking"] for w in words[index + 1 :])
        return False

    def _starts_clause(self, word: int) -> bool:
        return self.words.get(word, "") in self.sets["linking"]

    def _between(self, before: Mention, mention: Mention) -> list[str]:
        return [self.words.get(i, "") for i in range(before.after, mention.word)]

    def _alternative(self, before: Mention, mention: Mention) -> bool:
        return any(w in self.sets["alternatives"] for w in self._between(before, mention))

    def _link(self, mention: Mention) -> str | None:
        """How a mention joins the one before: ``linked`` by a word, by a ``comma``, or not."""
        if not self.state.run:
            return None
        before = self.state.run[-1]
        if mention.word - before.after > 6:
            return None
        gap = self.text[before.hit.end : mention.hit.start]
        if any(c in gap for c in "():-"):
            return None
        between = self._between(before, mention)
        joining = self.sets["connectives"]
        if any(w not in joining and w not in self.sets["fillers"] for w in between):
            hedged = self.state.hedged is not None
            words = [w for w in between if w in joining or w in self.sets["fillers"]]
            if not (hedged and words):
                return None
        if any(w in joining for w in between) or "/" in gap or "&" in gap:
            return "linked"
        return "comma" if "," in gap else None

    # --- operators --------------------------------------------------------------------------

    def _negates_next(self, hit: Hit, word: int, after: int) -> None:
        self.state.negated = after

    def _negates_last(self, hit: Hit, word: int, after: int) -> None:
        run = self.state.run
        if not run or word - run[-1].after > self.scopes.denial:
            return
        # A list ends with a joining word ("anger, fear and joy are absent"); a comma alone does not
        # make one ("sadness is there, anger is absent").
        joined = False
        for before, mention in zip([None, *run[:-1]][::-1], run[::-1], strict=True):
            mention.dropped = mention.dropped or "negated"
            joined = joined or (before is not None and self._joined(before, mention))
            if not joined:
                return

    def _joined(self, before: Mention, mention: Mention) -> bool:
        gap = self.text[before.hit.end : mention.hit.start]
        joining = self.sets["connectives"]
        return any(w in joining for w in self._between(before, mention)) or "/" in gap

    def _ranks_last(self, hit: Hit, word: int, after: int) -> None:
        run = self.state.run
        if run and word - run[-1].after <= self.scopes.denial and run[-1].level < Level.WEAK:
            run[-1].level = Level.MAIN

    def _barrier(self, hit: Hit, word: int, after: int) -> None:
        self._look_back()
        self.reading.contrasts.add(self.sentence)
        state = self.state
        kept = (state.supposed, state.explaining, state.quoting, state.quoted)
        self.state = _State()
        self.state.supposed, self.state.explaining = kept[0], kept[1]
        self.state.quoting, self.state.quoted = kept[2], kept[3]

    def _hedges_next(self, hit: Hit, word: int, after: int) -> None:
        self.state.hedged = after

    def _hedges_last(self, hit: Hit, word: int, after: int) -> None:
        run = self.state.run
        if not run or word - run[-1].after > 2:
            return
        if Role.HEDGES_NEXT in hit.roles:  # "to a lesser extent" looks back if nothing follows
            self.state.hedging_back = run[-1]
        else:
            run[-1].weaken(Level.HEDGED)

    def _ranks(self, hit: Hit, word: int, after: int) -> None:
        self.state.ranked = after

    def _look_back(self) -> None:
        """``sadness is the dominant emotion``: nothing followed, so it ranks what stood before."""
        state = self.state
        if state.hedging_back is not None:
            state.hedging_back.weaken(Level.HEDGED)
            state.hedging_back = None
        if state.ranked is None or not state.run:
            return
        last = state.run[-1]
        if state.ranked - last.after <= self.scopes.rank:
            for mention in state.run:
                if not mention.dropped and mention.level < Level.WEAK:
                    mention.level = Level.MAIN
        state.ranked = None

    def _explains(self, hit: Hit, word: int, after: int) -> None:
        self.state.explaining_first = self.sentence_first
        self.state.explaining = True

    def _supposes(self, hit: Hit, word: int, after: int) -> None:
        self.state.supposed = True

    def _said(self, hit: Hit, word: int, after: int) -> None:
        run = self.state.run
        if run and run[-1].after == word and self.text[run[-1].hit.end : hit.start] == " ":
            run[-1].said = True  # "a happy story in a sad voice"
        else:
            self.state.said = True

    def _voice(self, hit: Hit, word: int, after: int) -> None:
        self.state.said = self.state.other = False

    def _other(self, hit: Hit, word: int, after: int) -> None:
        following = self.words.get(after, "")
        self.state.other = following in self.sets["linking"] or following == ""

    def _topic(self, hit: Hit, word: int, after: int) -> None:
        self.state.topic = True

    def _quotes(self, hit: Hit, word: int, after: int) -> None:
        self.state.quoting, self.state.quoted = True, False

    def _first_person(self, hit: Hit, word: int, after: int) -> None:
        self.state.first_person = after

    def _inability(self, hit: Hit, word: int, after: int) -> None:
        self.state.unable = after

    def _discerns(self, hit: Hit, word: int, after: int) -> None:
        unable = self.state.unable
        if unable is not None and word - unable <= self.scopes.inability:
            self._abstains(hit, word, after)
            self.state.unable = self.state.negated = None

    def _abstains(self, hit: Hit, word: int, after: int) -> None:
        self.reading.abstentions.append(((hit.start, hit.end), self.sentence))
        self.state.unsure = True

    def _emotion_noun(self, hit: Hit, word: int, after: int) -> None:
        state = self.state
        negated = state.negated
        if negated is None or word - negated > self.scopes.negation:
            return
        between = [self.words.get(i, "") for i in range(negated, word)]
        owned = any(w in self.sets["possessive"] for w in between)
        vague = self.sets["indefinite"] | self.sets["expressing"] | self.sets["possessive"]
        if not all(w in vague for w in between):
            return
        following = [self.words.get(i, "") for i in range(after, after + 6)]
        if following[0] == "of":
            return
        withheld = any(w in self.sets["possible"] for w in following)
        withheld = withheld or any(w in self.sets["undisclosed"] for w in following[:3])
        state.negated = after  # "no strong emotion such as joy" negates the joy too
        if owned or withheld:
            self.reading.abstentions.append(((hit.start, hit.end), self.sentence))
        else:
            self.reading.absences.append((hit.start, hit.end))


_Handler = Callable[[_Pass, Hit, int, int], None]
# A hit may play several parts; these come in this order (a barrier clears before others set).
_HANDLERS: dict[Role, _Handler] = {
    Role.BARRIER: _Pass._barrier,
    Role.EMOTION_NOUN: _Pass._emotion_noun,
    Role.NEGATES_LAST: _Pass._negates_last,
    Role.NEGATES_NEXT: _Pass._negates_next,
    Role.INABILITY: _Pass._inability,
    Role.DISCERNS: _Pass._discerns,
    Role.ABSTAINS: _Pass._abstains,
    Role.HEDGES_LAST: _Pass._hedges_last,
    Role.HEDGES_NEXT: _Pass._hedges_next,
    Role.RANKS: _Pass._ranks,
    Role.RANKS_LAST: _Pass._ranks_last,
    Role.EXPLAINS: _Pass._explains,
    Role.SUPPOSES: _Pass._supposes,
    Role.SAID: _Pass._said,
    Role.VOICE: _Pass._voice,
    Role.OTHER: _Pass._other,
    Role.TOPIC: _Pass._topic,
    Role.QUOTES: _Pass._quotes,
    Role.FIRST_PERSON: _Pass._first_person,
}


@cache
def _handlers_of(roles: frozenset[Role]) -> tuple[_Handler, ...]:
    """What the roles of a hit do, in the order of the table."""
    return tuple(handler for role, handler in _HANDLERS.items() if role in roles)


QUIET = frozenset({Role.EMOTION_NOUN, Role.VOICE, Role.ALONE})


def _tokens(split: Splitter, text: str, start: int, end: int, first_word: int) -> list[_Token]:
    tokens: list[_Token] = []
    word = first_word
    for match in split.iter_tokens(text, start, end):
        said = match[0]
        is_word = said not in _PUNCTUATION
        tokens.append((said, match.start(), word, is_word))
        word += is_word
    return tokens


def _numbering(word: str) -> bool:
    return word.isdigit() or (len(word) == 1 and not spaceless(word))


def _between_digits(text: str, at: int) -> bool:
    return text[at + 1 : at + 2].isdigit() and text[max(0, at - 1) : at].isdigit()


def _quotes(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans of quotations, marks included; none where the whole span is one quotation or JSON."""
    if '"' not in text and "'" not in text:
        return []
    body = text[start:end].strip()
    if body[:1] in ("{", "["):
        return []
    spans: list[tuple[int, int]] = []
    opened: dict[str, int] = {}
    for match in re.finditer(r"[\"'\n]", text[start:end]):
        at, mark = start + match.start(), match[0]
        if mark == "\n":
            if '"' in opened:
                spans.append((opened['"'], at))
            opened = {}
            continue
        left, right = text[at - 1 : at] if at > start else "", text[at + 1 : at + 2]
        if mark == '"':
            if mark in opened:
                spans.append((opened.pop(mark), at + 1))
            else:
                opened[mark] = at
        elif '"' not in opened:
            if mark not in opened and not left.isalnum() and right.strip():
                opened[mark] = at
            elif mark in opened and left.strip() and not right.isalnum():
                spans.append((opened.pop(mark), at + 1))
    if '"' in opened:
        spans.append((opened['"'], end))
    kept: list[tuple[int, int]] = []
    for begin, stop in sorted(spans):
        covers_all = stop - begin >= len(body)
        if not covers_all and (not kept or begin >= kept[-1][1]):
            kept.append((begin, stop))
    return kept


def _within(hits: Sequence[Hit], start: int, end: int) -> list[Hit]:
    """The hits that lie wholly between two offsets; hits are in text order and do not overlap."""
    first = bisect_left(hits, start, key=lambda h: h.start)
    last = bisect_left(hits, end, key=lambda h: h.start)
    return [h for h in hits[first:last] if h.end <= end]
