"""The words of a spec, whatever the menu: what each form may do, in which language.

Emotion words count in every language at once, since the reply's language is not known beforehand.
The small words around them do not: ``die``, ``son`` or ``come`` mean something else in English. Of
the languages in Latin script a reply is taken to be in the one that most of its known forms belong
to (a tie goes to the one that stands first in the file), and only that language's operators act;
languages of other scripts cannot be mistaken for one another here, and always act.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache, lru_cache

import ahocorasick

from ..specs import VerbalizerLanguage, VerbalizerSpec
from .folding import Folder, Splitter, in_word, spaceless


class Role(IntEnum):
    """What a form of the lexicon does in a sentence."""

    CONCEPT = 0
    ALONE = 1
    NEGATES_NEXT = 2
    NEGATES_LAST = 3
    BARRIER = 4
    HEDGES_NEXT = 5
    HEDGES_LAST = 6
    RANKS = 7
    EXPLAINS = 8
    SUPPOSES = 9
    SAID = 10
    VOICE = 11
    OTHER = 12
    TOPIC = 13
    QUOTES = 14
    FIRST_PERSON = 15
    INABILITY = 16
    DISCERNS = 17
    ABSTAINS = 18
    BLOCKED = 19
    FRAME = 20
    CONCLUDES = 21
    MARKS_ANSWER = 22
    CHOOSES = 23
    EMOTION_NOUN = 24
    RANKS_LAST = 25


_FIELDS: dict[str, Role] = {
    "negators_before": Role.NEGATES_NEXT,
    "negators_after": Role.NEGATES_LAST,
    "barriers": Role.BARRIER,
    "hedges_before": Role.HEDGES_NEXT,
    "hedges_after": Role.HEDGES_LAST,
    "rankers": Role.RANKS,
    "rankers_after": Role.RANKS_LAST,
    "explanations": Role.EXPLAINS,
    "hypotheticals": Role.SUPPOSES,
    "said": Role.SAID,
    "voice": Role.VOICE,
    "others": Role.OTHER,
    "topics": Role.TOPIC,
    "quoting": Role.QUOTES,
    "first_person": Role.FIRST_PERSON,
    "inability": Role.INABILITY,
    "discerning": Role.DISCERNS,
    "abstentions": Role.ABSTAINS,
    "blocklist": Role.BLOCKED,
    "frames": Role.FRAME,
    "conclusions": Role.CONCLUDES,
    "answer_markers": Role.MARKS_ANSWER,
    "choices": Role.CHOOSES,
    "emotion_nouns": Role.EMOTION_NOUN,
}
_WORD_SETS = (
    "indefinite",
    "expressing",
    "possessive",
    "connectives",
    "alternatives",
    "fillers",
    "linking",
    "voice",
    "intensifiers",
    "possible",
    "undisclosed",
    "frame_stops",
    "denials",
    "options",
)
# A region may begin in the middle of what these find, so they never hide a shorter match.
_FREE = frozenset({Role.CONCLUDES, Role.MARKS_ANSWER, Role.CHOOSES, Role.FRAME})


@dataclass(slots=True)
class Form:
    """A folded form and all that it may be.

    Attributes:
        text: The folded form.
        roles: What it does → in which languages.
        concept: The emotion that it names, if it names one.
        solitary: Whether it names it only where it is the whole answer.
        languages: All languages that have it.
        gated: Whether what it does depends on the reply's language.
    """

    text: str
    roles: dict[Role, set[str]] = field(default_factory=dict)
    concept: str | None = None
    solitary: bool = False
    languages: set[str] = field(default_factory=set)
    gated: bool = False


class Vocabulary:
    """The forms and word lists of a spec, folded once and shared by all menus.

    Args:
        spec: The verbalizer.
        fold: Its folding.
        words: ``all``; ``en``: those of English alone; ``own``: no emotion words but the menu's.
    """

    def __init__(self, spec: VerbalizerSpec, fold: Folder, words: str = "all") -> None:
        self.fold = fold
        languages = {
            tag: listed
            for tag, listed in spec.languages.items()
            if isinstance(listed, VerbalizerLanguage) and (words != "en" or tag == "en")
        }
        self.latin = tuple(tag for tag, listed in languages.items() if _is_latin(listed))
        self.forms: dict[str, Form] = {}
        self._sets: dict[str, dict[str, frozenset[str]]] = {
            tag: {name: frozenset(map(fold.form, getattr(listed, name))) for name in _WORD_SETS}
            for tag, listed in languages.items()
        }
        self.split = Splitter(w for sets in self._sets.values() for ws in sets.values() for w in ws)
        for tag, listed in languages.items():
            for name, role in _FIELDS.items():
                for text in getattr(listed, name):
                    form = self._form(text, tag)
                    form.roles.setdefault(role, set()).add(tag)
            if words == "own":
                continue
            for source, solitary in ((listed.alone, True), (listed.concepts, False)):
                for concept, texts in source.items():
                    for text in texts:
                        form = self._form(text, tag)
                        if form.concept is None or form.solitary:
                            form.concept, form.solitary = concept, solitary
        latin = set(self.latin)
        voting = self._voting(languages)
        self.forms.pop("", None)
        for form in self.forms.values():
            bound = [tags for role, tags in form.roles.items() if role not in _FREE]
            bound.append(voting.get(form.text, latin))
            form.gated = any(tags <= latin and tags != latin for tags in bound)
        self.automaton = ahocorasick.Automaton()
        for text, form in self.forms.items():
            self.automaton.add_word(text, (len(text) - 1, form))
        self.automaton.make_automaton()
        self.by_shape: dict[tuple[str, int], list[Form]] = {}
        for form in self.forms.values():
            if form.concept is not None and " " not in form.text:
                self.by_shape.setdefault((form.text[0], len(form.text)), []).append(form)
        self.tongues: tuple[str, ...] = self.latin or ("",)
        self.sets = cache(self._sets_of)
        self.roles = cache(self._roles_of)

    def _voting(self, languages: Mapping[str, VerbalizerLanguage]) -> dict[str, set[str]]:
        """Words for "or" of the Latin-script languages, as forms that do nothing but tell the language.

        A list of labels (``nötr, mutlu veya öfkeli``) may hold no other word that does.
        """
        found: dict[str, set[str]] = {}
        for tag in self.latin:
            listed = languages[tag]
            for text in listed.alternatives:
                form = self._form(text, tag)
                if len(form.text) > 1:
                    found.setdefault(form.text, set()).add(tag)
        return found

    def _form(self, text: str, tag: str) -> Form:
        folded = self.fold.form(text)
        form = self.forms.setdefault(folded, Form(folded))
        form.languages.add(tag)
        return form

    def _acting(self, tongue: str) -> set[str]:
        return {tag for tag in self._sets if tag == tongue or tag not in self.latin}

    def _sets_of(self, tongue: str) -> dict[str, frozenset[str]]:
        """The word lists that act in a reply whose Latin-script language is ``tongue``."""
        acting = self._acting(tongue)
        return {
            name: frozenset().union(*(s[name] for tag, s in self._sets.items() if tag in acting))
            for name in _WORD_SETS
        }

    def _roles_of(self, text: str, tongue: str) -> tuple[frozenset[Role], frozenset[Role]]:
        """What a form does in such a reply: within sentences, and in marking regions."""
        acting = self._acting(tongue)
        roles = self.forms[text].roles
        free = frozenset(role for role in roles if role in _FREE)
        return frozenset(r for r, tags in roles.items() if r not in _FREE and tags & acting), free

    def matches(self, text: str) -> list[tuple[int, int, Form]]:
        """Every form of a folded text that stands as words of its own, in order of its end."""
        found = []
        past = len(text)
        for last, (back, form) in self.automaton.iter(text):
            start, end = last - back, last + 1
            # What `whole` says, without a call for the usual case of a space or a full stop.
            if (
                not start or text[start - 1] in _EDGES or not _joins(text[start - 1], form.text[0])
            ) and (end == past or text[end] in _EDGES or not _joins(form.text[-1], text[end])):
                found.append((start, end, form))
        return found

    def tongue(self, matches: Sequence[tuple[int, int, Form]]) -> str:
        """The Latin-script language that most of the matches belong to."""
        first = self.tongues[0]
        for _, _, form in matches:
            if form.gated and first not in form.languages:
                break
        else:
            return first  # it has as many as any other, or nothing depends on it
        votes: Counter[str] = Counter()
        for _, _, form in matches:
            votes.update(form.languages)
        return max(self.tongues, key=lambda tag: (votes[tag], -self.tongues.index(tag)))

    def like(self, word: str) -> Iterator[Form]:
        """Forms that begin as a word does and are about as long."""
        for length in (len(word) - 1, len(word), len(word) + 1):
            yield from self.by_shape.get((word[0], length), ())


def _is_latin(words: VerbalizerLanguage) -> bool:
    sample = next((f for forms in words.concepts.values() for f in forms if f.strip()), "a")
    return unicodedata.name(sample.strip()[0], "").startswith("LATIN")


def whole(text: str, form: str, start: int, end: int) -> bool:
    """Whether a match stands as words of its own, and not inside other words."""
    if start and text[start - 1] not in _EDGES and _joins(text[start - 1], form[0]):
        return False
    if (
        form[0].isdigit()
        and text[start - 1 : start] == "."
        and text[start - 2 : start - 1].isdigit()
    ):
        return False  # of "3.0", neither half
    if form[-1].isdigit() and text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit():
        return False
    return end == len(text) or text[end] in _EDGES or not _joins(form[-1], text[end])


_EDGES = frozenset(" \n.,:;!?\"'()-")


@lru_cache(maxsize=16_384)
def _joins(one: str, other: str) -> bool:
    """Whether two neighbouring characters belong to the same word.

    Scripts without spaces join nothing, and a Latin word that stands in Hangul ends there.
    """
    if not in_word(one) or not in_word(other) or spaceless(one) or spaceless(other):
        return False
    return _is_hangul(one) == _is_hangul(other)


def _is_hangul(character: str) -> bool:
    return "\uac00" <= character <= "\ud7a3" or "\u1100" <= character <= "\u11ff"
