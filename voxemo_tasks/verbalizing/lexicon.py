"""A vocabulary bound to one menu, and the search for both.

A menu may name its concepts in any form and any order (``anger`` or ``angry``; ``happiness`` or
``joy``). Binding finds the concept of each menu label, so that every form of the concept answers
that label; a label of no known concept is a concept of its own, with light inflection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ahocorasick

from ..specs import VerbalizerSpec
from .vocabulary import Form, Role, Vocabulary, whole

_LETTERED = re.compile(r"^\s*\(?([A-Za-z])[).:]\s*(\S.*)$", re.S)
_NUMBERED = re.compile(r"^\s*\(?([1-9][0-9]?)[).:](?!\d)\s*(\S.*)$", re.S)
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


@dataclass(slots=True)  # not frozen: made by the thousand, and three times as quickly so
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


class Menu:
    """A menu as it was given, its labels bound to concepts.

    Two labels of one concept (``happy`` beside ``joy``) stay apart: a form that is itself a label
    answers that label, another form the label it shares the longest beginning with, and a form that
    resembles neither answers both.

    Attributes:
        labels: The menu's own forms, distinct, in its order.
        signs: Option letter or number → label, where the menu was offered with such; else empty.
        own_forms: Forms that only this menu has, with their senses.
    """

    def __init__(self, menu: Sequence[str], vocabulary: Vocabulary, spec: VerbalizerSpec) -> None:
        self.labels = tuple(dict.fromkeys(menu))
        self.signs: dict[str, str] = {}
        self.own_forms: dict[str, Sense] = {}
        self._vocabulary = vocabulary
        self._senses: dict[str, Sense] = {}
        self._own: dict[str, list[str]] = {}  # folded part → labels
        self._of_concept: dict[str, list[tuple[str, str]]] = {}  # concept → (part, label)
        inflected: dict[str, list[str]] = {}
        for label, name in self._bare().items():
            folded = vocabulary.fold.form(name)
            parts = [folded, *(vocabulary.fold.form(p) for p in _PARTS.split(name))]
            for part in dict.fromkeys(parts):
                if not part:
                    continue
                self._own.setdefault(part, []).append(label)
                form = vocabulary.forms.get(part)
                concept = None if form is None else form.concept
                if concept is None:
                    concept = f"menu:{part}"
                    for inflection in inflections(part):
                        inflected.setdefault(inflection, []).append(part)
                self._of_concept.setdefault(concept, []).append((part, label))
        self._mapped = self._neighbours(spec)
        for text, names in inflected.items():
            form = vocabulary.forms.get(text)
            if (form is None or form.concept is None) and len(set(names)) == 1:
                concept = f"menu:{names[0]}"
                labels = _nearest(text, self._own, self._of_concept[concept])
                self.own_forms[text] = Sense(concept, labels, text)

    def _bare(self) -> dict[str, str]:
        """Label → its name without an option letter or number."""
        for pattern in (_LETTERED, _NUMBERED):
            found = [m for m in map(pattern.match, self.labels) if m]
            signs = [m[1].casefold() for m in found]
            if len(self.labels) > 1 and len(set(signs)) == len(self.labels):
                self.signs = dict(zip(signs, self.labels, strict=True))
                return {lab: m[2] for lab, m in zip(self.labels, found, strict=True)}
        return dict(zip(self.labels, self.labels, strict=True))

    def _neighbours(self, spec: VerbalizerSpec) -> dict[str, list[tuple[str, str]]]:
        if spec.on_neighbour != "map":
            return {}
        mapped = {}
        for concept in spec.neighbours:
            if concept not in self._of_concept:
                known = [t for t in spec.targets(concept) if t in self._of_concept]
                if known:
                    mapped[concept] = self._of_concept[known[0]]
        return mapped

    def labels_of(self, concept: str) -> tuple[str, ...]:
        """Labels of a concept; empty where the menu lacks it."""
        return tuple(dict.fromkeys(label for _, label in self._of_concept.get(concept, ())))

    def unknown(self) -> list[str]:
        """Labels of which no part names a concept of the vocabulary."""
        known = {
            label
            for concept, parts in self._of_concept.items()
            if not concept.startswith("menu:")
            for _, label in parts
        }
        return [label for label in self.labels if label not in known]

    def sense(self, form: Form) -> Sense | None:
        """What a form of the vocabulary means here; ``None`` where it names no emotion."""
        own = self.own_forms.get(form.text)
        if own is not None:
            return own
        if form.concept is None:
            return None
        known = self._senses.get(form.text)
        if known is None:
            parts = self._of_concept.get(form.concept) or self._mapped.get(form.concept) or []
            labels = _nearest(form.text, self._own, parts)
            known = self._senses[form.text] = Sense(form.concept, labels, form.text)
        return known


class Lexicon:
    """Finds the forms of a vocabulary and of one menu in folded texts.

    The search is a single Aho-Corasick pass; of overlapping forms the leftmost longest counts.
    """

    def __init__(self, vocabulary: Vocabulary, menu: Menu) -> None:
        self.vocabulary = vocabulary
        self.menu = menu
        self._meaning: dict[
            str, dict[str, tuple[frozenset[Role], frozenset[Role], Sense | None]]
        ] = {}
        self._extra: ahocorasick.Automaton | None = None
        extra = {text: sense for text, sense in menu.own_forms.items() if text}
        unknown = [text for text in extra if text not in vocabulary.forms]
        if unknown:
            self._extra = ahocorasick.Automaton()
            for text in unknown:
                self._extra.add_word(text, (text, extra[text]))
            self._extra.make_automaton()

    def find(self, text: str) -> tuple[list[Hit], list[Hit], str]:
        """All forms of a folded text.

        Returns:
            The forms that do something in their sentence, leftmost-longest and without overlaps;
            those that mark regions or frames, which may overlap anything; and the Latin-script
            language that the text was taken for.
        """
        matches = self.vocabulary.matches(text)
        tongue = self.vocabulary.tongue(matches)
        found: list[Hit] = []
        free: list[Hit] = []
        known = self._meaning.setdefault(tongue, {})
        for start, end, form in matches:
            meaning = known.get(form.text)
            if meaning is None:
                meaning = known[form.text] = self._means(form, tongue)
            roles, marks, sense = meaning
            if marks:
                free.append(Hit(start, end, marks, None))
            if roles:
                found.append(Hit(start, end, roles, sense))
        if self._extra is not None:
            for last, (form_text, sense) in self._extra.iter(text):
                start, end = last - len(form_text) + 1, last + 1
                if whole(text, form_text, start, end):
                    found.append(Hit(start, end, frozenset({Role.CONCEPT}), sense))
        return _leftmost_longest(found), free, tongue

    def _means(
        self, form: Form, tongue: str
    ) -> tuple[frozenset[Role], frozenset[Role], Sense | None]:
        roles, marks = self.vocabulary.roles(form.text, tongue)
        sense = self.menu.sense(form)
        if sense is None:
            return roles, marks, None
        solitary = form.solitary and form.text not in self.menu.own_forms
        emotion = Role.ALONE if solitary else Role.CONCEPT
        if sense.labels:
            # The menu's own words mean the menu's label, whatever else they may mean.
            return frozenset({emotion}), frozenset(), sense
        if Role.ABSTAINS in roles:
            return roles, marks, None
        return roles | {emotion}, marks, sense


def _leftmost_longest(hits: list[Hit]) -> list[Hit]:
    if len(hits) > 1:
        hits.sort(key=_place)
    reach = 0
    kept = []
    for hit in hits:
        if hit.start >= reach:
            reach = hit.end
            kept.append(hit)
    return kept


def _place(hit: Hit) -> tuple[int, int]:
    return (hit.start, -hit.end)


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
