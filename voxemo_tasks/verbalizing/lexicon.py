"""The words of a spec, bound to one menu, and the search for them.

A menu may name its concepts in any form and any order (``anger`` or ``angry``; ``happiness`` or
``joy``). Binding finds the concept of each menu label, so that every form of the concept answers
that label; a label of no known concept is a concept of its own, with light inflection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import ahocorasick

from ..specs import VerbalizerSpec
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


_FIELDS: dict[str, Role] = {
    "negators_before": Role.NEGATES_NEXT,
    "negators_after": Role.NEGATES_LAST,
    "barriers": Role.BARRIER,
    "hedges_before": Role.HEDGES_NEXT,
    "hedges_after": Role.HEDGES_LAST,
    "rankers": Role.RANKS,
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
_LETTERED = re.compile(r"^\s*\(?([A-Za-z])[).:]\s*(\S.*)$", re.S)
_PARTS = re.compile(r"\s*[,/;|]\s*")


@dataclass(frozen=True, slots=True)
class Sense:
    """What a form means under one menu.

    Attributes:
        concept: Id of its concept, or ``menu:<label>``.
        labels: Menu labels that it answers; empty where it is off the menu.
        form: The folded form.
    """

    concept: str
    labels: tuple[str, ...]
    form: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A form found in a folded text.

    Attributes:
        start: Offset of its first folded character.
        end: Offset after its last one.
        roles: All that it may do.
        sense: Its meaning, where it is an emotion.
    """

    start: int
    end: int
    roles: frozenset[Role]
    sense: Sense | None


@dataclass(slots=True)
class _Entry:
    roles: set[Role] = field(default_factory=set)
    sense: Sense | None = None


@dataclass(frozen=True, slots=True)
class Menu:
    """A menu as it was given, its labels bound to concepts.

    Attributes:
        labels: The menu's own forms, distinct, in its order.
        letters: Option letter → label, where the menu was offered with letters; else empty.
        senses: Folded form → its meaning under this menu.
    """

    labels: tuple[str, ...]
    letters: dict[str, str]
    senses: dict[str, Sense]


class Lexicon:
    """Finds the forms of a spec and of one menu in folded texts.

    The search is a single Aho-Corasick pass; of overlapping forms the leftmost longest counts.
    """

    def __init__(self, spec: VerbalizerSpec, menu: Sequence[str], fold: Folder) -> None:
        self.fold = fold
        self.sets: dict[str, frozenset[str]] = {
            name: frozenset(
                fold.form(word) for lang in spec.vocabularies for word in getattr(lang, name)
            )
            for name in _WORD_SETS
        }
        self.split = Splitter(word for words in self.sets.values() for word in words)
        entries: dict[str, _Entry] = {}
        for language in spec.vocabularies:
            for name, role in _FIELDS.items():
                for form in getattr(language, name):
                    entries.setdefault(fold.form(form), _Entry()).roles.add(role)
        known, alone = _concepts(spec, fold)
        self.menu = bind(menu, known | alone, spec, fold)
        for form, sense in self.menu.senses.items():
            entry = entries.setdefault(form, _Entry())
            solitary = form in alone and form not in known
            if sense.labels:
                # The menu's own words mean the menu's label, whatever else they may mean.
                entry.roles = {Role.ALONE if solitary else Role.CONCEPT}
            elif Role.ABSTAINS not in entry.roles:
                entry.roles.add(Role.ALONE if solitary else Role.CONCEPT)
            else:
                continue
            entry.sense = sense
        self._automaton = ahocorasick.Automaton()
        for form, entry in entries.items():
            if form:
                self._automaton.add_word(form, (form, frozenset(entry.roles), entry.sense))
        self._automaton.make_automaton()

    def find(self, text: str) -> tuple[list[Hit], list[Hit]]:
        """All forms of a folded text.

        Returns:
            The forms that do something in their sentence, leftmost-longest and without overlaps;
            and those that mark regions or frames, which may overlap anything.
        """
        found: list[Hit] = []
        free: list[Hit] = []
        for last, (form, roles, sense) in self._automaton.iter(text):
            start, end = last - len(form) + 1, last + 1
            if not _whole(text, form, start, end):
                continue
            if roles & _FREE:
                free.append(Hit(start, end, roles & _FREE, None))
            if roles - _FREE:
                found.append(Hit(start, end, roles - _FREE, sense))
        return list(_leftmost_longest(found)), free


def _whole(text: str, form: str, start: int, end: int) -> bool:
    """Whether a match stands as words of its own, and not inside other words."""
    first, last = form[0], form[-1]
    left = start == 0 or not in_word(first) or spaceless(first) or not in_word(text[start - 1])
    right = end == len(text) or not in_word(last) or spaceless(last) or not in_word(text[end])
    return left and right


def _leftmost_longest(hits: list[Hit]) -> Iterator[Hit]:
    hits.sort(key=lambda h: (h.start, -h.end))
    reach = 0
    for hit in hits:
        if hit.start >= reach:
            reach = hit.end
            yield hit


def _concepts(spec: VerbalizerSpec, fold: Folder) -> tuple[dict[str, str], dict[str, str]]:
    """Folded form → concept: the ordinary forms, and those that count only alone."""
    known: dict[str, str] = {}
    alone: dict[str, str] = {}
    for language in spec.vocabularies:
        for source, target in ((language.concepts, known), (language.alone, alone)):
            for concept, forms in source.items():
                for form in forms:
                    target.setdefault(fold.form(form), concept)
    return known, alone


def bind(menu: Sequence[str], known: dict[str, str], spec: VerbalizerSpec, fold: Folder) -> Menu:
    """Give each menu label its concept, and each form its labels.

    Two labels of one concept (``happy`` beside ``joy``) stay apart: a form that is itself a label
    answers that label, another form the label it shares the longest beginning with, and a form that
    resembles neither answers both.
    """
    labels = tuple(dict.fromkeys(menu))
    lettered = [_LETTERED.match(label) for label in labels]
    letters: dict[str, str] = {}
    bare = dict(zip(labels, labels, strict=True))
    if len(labels) > 1 and all(lettered):
        names = [m[1].casefold() for m in lettered if m]
        if len(set(names)) == len(labels):
            letters = dict(zip(names, labels, strict=True))
            bare = {label: m[2] for label, m in zip(labels, lettered, strict=True) if m}
    own: dict[str, list[str]] = {}  # folded part → labels
    of_concept: dict[str, list[tuple[str, str]]] = {}  # concept → (part, label)
    inflected: dict[str, list[str]] = {}
    for label, name in bare.items():
        whole = fold.form(name)
        for part in dict.fromkeys([whole, *(fold.form(p) for p in _PARTS.split(name))]):
            if not part:
                continue
            own.setdefault(part, []).append(label)
            concept = known.get(part)
            if concept is None:
                concept = f"menu:{part}"
                for form in inflections(part):
                    inflected.setdefault(form, []).append(part)
            of_concept.setdefault(concept, []).append((part, label))
    mapped = _mapped(spec, of_concept)
    senses: dict[str, Sense] = {}
    for form, concept in known.items():
        parts = of_concept.get(concept) or mapped.get(concept) or []
        senses[form] = Sense(concept, _nearest(form, own, parts), form)
    for form, names in inflected.items():
        if form not in senses and len(set(names)) == 1:
            concept = f"menu:{names[0]}"
            senses[form] = Sense(concept, _nearest(form, own, of_concept[concept]), form)
    return Menu(labels, letters, senses)


def _mapped(
    spec: VerbalizerSpec, of_concept: dict[str, list[tuple[str, str]]]
) -> dict[str, list[tuple[str, str]]]:
    if spec.on_neighbour != "map":
        return {}
    return {
        concept: of_concept[target]
        for concept, target in spec.neighbours.items()
        if concept not in of_concept and target in of_concept
    }


def _nearest(
    form: str, own: dict[str, list[str]], parts: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    if form in own:
        return tuple(dict.fromkeys(own[form]))
    candidates = list(parts)
    if len({label for _, label in candidates}) > 1:
        shared = {part: _shared_prefix(form, part) for part, _ in candidates}
        best = max(shared.values())
        if best >= 3:
            candidates = [(part, label) for part, label in candidates if shared[part] == best]
    return tuple(dict.fromkeys(label for _, label in candidates))


def _shared_prefix(one: str, other: str) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def inflections(word: str) -> tuple[str, ...]:
    """Light inflections of a menu word that no concept knows, itself first.

    Example:
        >>> inflections("grumble")[:4]
        ('grumble', 'grumbles', 'grumbled', 'grumbling')
        >>> inflections("zesty")[-2:]
        ('zestily', 'zestiness')
    """
    if " " in word or not word.isalpha() or not word.isascii():
        return (word,)
    if word.endswith("e"):
        endings = (word + "s", word + "d", word[:-1] + "ing", word + "ly", word + "ness")
    elif word.endswith("y") and word[-2:-1] not in "aeiou":
        stem = word[:-1] + "i"
        endings = (stem + "es", stem + "ed", word + "ing", stem + "ly", stem + "ness")
    else:
        endings = (word + "s", word + "ed", word + "ing", word + "ly", word + "ness")
    return (word, *endings)
