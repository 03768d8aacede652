"""Corpora annotated in JSON, in one of three shapes that the card's ``layout`` names.

dialogues      one file: group → dialogue → ``{"SpeakerInfo": {…}, "Dialog": {utterance: {…}}}``,
               the answers in ``EmoAnnotation`` (as M3ED); lists of groups give the split
per_utterance  a file beside or below each clip, with ``emotion_result`` and the annotators' answers
               in ``data`` (as EmotionTalk)
by_file        one file: clip → ``[{"annotated": [[class, …] per annotator]}]`` (as THAI-SER), with
               no hard label: it follows from the answers by a named rule, or is not known

An annotator may choose several classes. What is not one of these shapes is a problem; the structure
inside ``data`` is not documented, so that only texts, lists of texts and objects with the key that
the card names are read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, model_validator

from ...audio import shown
from ...records import Split, Utterance
from ...specs import CorpusCard, Spec
from .annotations import Roles, Tree, json_of, lines, splits_of, stem_of
from .base import Problem, options, wrong_layout
from .votes import Book


class Consensus(Spec):
    """A hard label from answers: the class whose mean share is large enough, if it is alone.

    The share of a class is the mean over annotators of their multi-hot answers, each normalised to
    1; an annotator who chose nothing but skipped classes counts with zeros.
    """

    min_share: float = Field(gt=0, le=1)
    skip: list[str] = Field(default_factory=list, description="Answers that are no candidates.")


class HeldOut(Spec):
    """A fold: a run of numbered places; the first half of them is valid, the second test."""

    place: str
    first: int = Field(ge=1)
    last: int = Field(ge=1)


class Options(Spec):
    """``reader.options`` of this family. Patterns are over a clip's name without extension."""

    layout: Literal["dialogues", "per_utterance", "by_file"]
    files: list[str] = Field(
        default_factory=list, description="Endings of the file's path, best first."
    )
    modality: str | None = Field(
        default=None, description="per_utterance: folder of the files, beside other modalities'."
    )
    modalities: list[str] = Field(default_factory=list, description="All such folders.")
    pattern: str | None = Field(
        default=None, description="Regular expression; groups can be used in templates."
    )
    path: str = Field(description="Template of a clip's path, or of its end.")
    or_path: str | None = Field(default=None, description="Another, where no such clip is there.")
    folder: str = Field(default="", description="Where the release has its clips.")
    speaker: str | None = Field(default=None, description="Template.")
    dialogue: str | None = Field(default=None, description="Template.")
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Group or key → what is written → what it means."
    )
    label: str = Field(default="", description="Key of the hard label.")
    raters: str = Field(default="", description="Regular expression of annotators' keys, or a key.")
    answer: str = Field(default="emotion", description="Key of an annotator's answer.")
    several: str = Field(default=",", description="What separates several classes in a text.")
    no_answer: list[str] = Field(
        default_factory=list, description="Answers that are for no class, and no votes."
    )
    consensus: Consensus | None = None
    lists: dict[str, Roles] = Field(
        default_factory=dict, description="dialogues: file of groups → protocol → role."
    )
    splits: dict[str, Roles] = Field(
        default_factory=dict, description="Value of the group `split` → roles; '*' is the others."
    )
    folds: list[HeldOut] = Field(
        default_factory=list, description="Folds of `official` over groups place and number."
    )
    extensions: list[str] = Field(min_length=1, description="Best first, without the dot.")
    ignore: list[str] = Field(default_factory=list, description="Shell patterns of other audio.")

    @model_validator(mode="after")
    def _is_complete(self) -> Options:
        try:
            re.compile(self.pattern or "")
            re.compile(self.raters)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        if (self.layout == "per_utterance") == bool(self.files):
            raise ValueError("files belong to the layouts dialogues and by_file, and only there")
        if bool(self.label) == (self.consensus is not None):
            raise ValueError("needs either label (a key) or consensus (a rule)")
        return self


Entry = tuple[str, dict[str, str], dict[str, Any], Mapping[str, Any]]
"""Where; what templates can use; fields; answers by annotator."""


def read(card: CorpusCard, root: Path) -> Iterator[Utterance | Problem]:
    """Utterances from JSON annotations.

    Yields:
        An utterance for each entry, whether its clip is there or not; a problem for each that
        cannot be read, and for clips without an entry.

    Raises:
        CorpusError: For a root without the annotation; a file that cannot be read as a whole.
        DataRoomError: For options of the card that cannot be used.
    """
    wanted = options(card, Options)
    tree = Tree(card, root, wanted.extensions, {"json", "txt"}, wanted.ignore)
    book = Book(card)
    shapes = {"dialogues": _dialogues, "per_utterance": _per_utterance, "by_file": _by_file}
    for entry in shapes[wanted.layout](tree, wanted):
        found = entry if isinstance(entry, Problem) else _utterance(tree, wanted, book, entry)
        yield book.give(found) if isinstance(found, Utterance) else found
    yield from book.leftovers()
    yield from tree.leftovers(" or ".join(wanted.files) or "the JSON files")


# --- shapes ---------------------------------------------------------------------------------------


def _dialogues(tree: Tree, wanted: Options) -> Iterator[Entry | Problem]:
    path = tree.required(wanted.files)
    roles, problems = _listed(tree, wanted)
    yield from problems
    for group, dialogues in json_of(path, dict).items():
        if wanted.lists and group not in roles:
            yield Problem(f"{path.name}: {shown(group)}", "is in no list of a split")
        for name, dialogue in _items(dialogues):
            people = dialogue.get("SpeakerInfo") if isinstance(dialogue, dict) else None
            turns = dialogue.get("Dialog") if isinstance(dialogue, dict) else None
            if not isinstance(turns, dict):
                yield Problem(f"{path.name}: {shown(name)}", "has no Dialog")
                continue
            for key, turn in turns.items():
                where = f"{path.name}: {shown(key)}"
                answers = turn.get("EmoAnnotation") if isinstance(turn, dict) else None
                if not isinstance(answers, dict):
                    yield Problem(where, "has no EmoAnnotation")
                    continue
                letter = str(turn.get("Speaker") or "")
                person = people.get(letter) if isinstance(people, dict) else None
                person = person if isinstance(person, dict) else {}
                known = {"utterance": key, "group": group, "dialogue": name, "letter": letter}
                if person.get("Name"):
                    known["name"] = str(person["Name"])
                fields = {
                    "utterance_id": key,
                    "transcript": _known(turn.get("Text")),
                    "gender": _known(person.get("Gender")),
                    "age": _known(person.get("Age")),
                    "raw_label": _known(answers.get(wanted.label)),
                    "splits": splits_of(roles.get(group, {})),
                }
                raters = {k: v for k, v in answers.items() if re.fullmatch(wanted.raters, k)}
                yield where, known, fields, raters


def _listed(tree: Tree, wanted: Options) -> tuple[dict[str, Roles], list[Problem]]:
    """Group → roles, from lists of groups."""
    found: dict[str, Roles] = {}
    problems: list[Problem] = []
    for name, roles in wanted.lists.items():
        path = tree.text([name])
        if path is None:
            problems.append(Problem(name, "is not there: nothing is known of this split"))
            continue
        for number, line in lines(path):
            group = line.strip()
            if group and found.setdefault(group, roles) != roles:
                found[group] = {}
                reason = f"{group!r} is in two splits; it is taken in none"
                problems.append(Problem(f"{name}:{number}", reason))
    return found, problems


def _per_utterance(tree: Tree, wanted: Options) -> Iterator[Entry | Problem]:
    files = [p for p in tree.texts if p.lower().endswith(".json")]
    folders = {folder.casefold() for folder in wanted.modalities}
    placed = {p: folders & set(p.casefold().split("/")[:-1]) for p in files}
    if any(placed.values()):
        mine = (wanted.modality or "").casefold()
        files = [p for p in files if placed[p] == {mine}]
    if not files:
        where = f" in a folder {wanted.modality}" if wanted.modality else ""
        raise wrong_layout(tree.card, tree.root, f"a JSON file per clip{where}")
    for path in files:
        content = json_of(tree.root / path, dict)
        key = PurePosixPath(path).stem
        answers = content.get(wanted.raters)
        if isinstance(answers, list):
            answers = {f"{i}": answer for i, answer in enumerate(answers, start=1)}
        fields = {
            "utterance_id": key,
            "raw_label": _known(content.get(wanted.label)),
            "transcript": _known(content.get("content")),
        }
        known = {k: v for k, v in content.items() if isinstance(v, str)} | {"utterance": key}
        yield path, known, fields, answers if isinstance(answers, dict) else {"": answers}


def _by_file(tree: Tree, wanted: Options) -> Iterator[Entry | Problem]:
    path = tree.required(wanted.files)
    for name, entries in json_of(path, dict).items():
        where = f"{path.name}: {shown(name)}"
        if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
            yield Problem(where, "is not a list of one object")
            continue
        answers = entries[0].get(wanted.raters)
        if not isinstance(answers, list) or not answers:
            yield Problem(where, f"has no list {wanted.raters!r}")
            continue
        key = stem_of(name)
        raters = {f"{i}": answer for i, answer in enumerate(answers, start=1)}
        yield where, {"utterance": key}, {"utterance_id": key}, raters


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _known(value: Any) -> str | None:
    return None if value is None else str(value).strip() or None


# --- one utterance --------------------------------------------------------------------------------


def _utterance(tree: Tree, wanted: Options, book: Book, entry: Entry) -> Utterance | Problem:
    where, known, fields, raters = entry
    key = fields["utterance_id"]
    splits: tuple[Split, ...] = fields.pop("splits", ())
    if wanted.pattern:
        match = re.fullmatch(wanted.pattern, key)
        if match is None:
            return Problem(where, f"{key!r} does not follow the corpus's grammar")
        captured = {k: v for k, v in match.groupdict().items() if v is not None}
        known |= {k: wanted.values.get(k, {}).get(v, v) for k, v in captured.items()}
        if wanted.splits:
            roles = wanted.splits.get(captured.get("split", ""), wanted.splits.get("*", {}))
            splits += splits_of(roles)
        if wanted.folds:
            splits += _folds(wanted.folds, known["place"], int(known["number"]))
    for field, value in fields.items():
        if isinstance(value, str):
            fields[field] = wanted.values.get(field, {}).get(value, value)
    if wanted.consensus or raters:
        answers = _answers(wanted, book, key, where, raters)
        if wanted.consensus:
            fields["raw_label"] = answers and consensus(answers, wanted.consensus)
    try:
        place, folder = wanted.path.format_map(known), wanted.folder.format_map(known)
    except KeyError as error:
        return Problem(where, f"has no {error.args[0]}")
    path = tree.audio(place, folder)
    if wanted.or_path and isinstance(path, str) and not tree.has(path):
        other = tree.audio(wanted.or_path.format_map(known), folder)
        path = other if isinstance(other, Problem) or tree.has(other) else path
    if isinstance(path, Problem):
        return path
    return Utterance(
        path=path,
        speaker=_template(wanted.speaker, known),
        dialogue=_template(wanted.dialogue, known),
        splits=splits,
        **fields,
    )


def _template(template: str | None, known: Mapping[str, str]) -> str | None:
    try:
        return template and template.format_map(known)
    except KeyError:
        return None


def _answers(
    wanted: Options, book: Book, key: str, where: str, raters: Mapping[str, Any]
) -> list[tuple[str, ...]] | None:
    """Each annotator's classes, noted as votes; ``None`` where one cannot be read."""
    read: list[tuple[str, ...]] = []
    for rater, answer in raters.items():
        words = _words(answer, wanted)
        if words is None:
            book.refuse(key, where, f"the answer {answer!r} cannot be read")
            return None
        read.append(words)
        no = {word.casefold() for word in wanted.no_answer}
        if votes := tuple(word for word in words if word.casefold() not in no):
            book.answer(key, where, rater, votes)
        elif not words:
            book.refuse(key, where, f"annotator {rater} has no answer")
    return read


def _words(answer: Any, wanted: Options) -> tuple[str, ...] | None:
    if isinstance(answer, dict):
        answer = answer.get(wanted.answer)
    if isinstance(answer, str):
        answer = answer.split(wanted.several)
    if not isinstance(answer, list) or not all(isinstance(word, str) for word in answer):
        return None
    return tuple(word.strip() for word in answer if word.strip())


def consensus(answers: Sequence[Sequence[str]], rule: Consensus) -> str | None:
    """The class that a rule makes of the annotators' answers, if any.

    Example:
        >>> rule = Consensus(min_share=0.7, skip=["Other"])
        >>> consensus([["Sad"], ["Sad"], ["Sad", "Angry"]], rule)  # (1 + 1 + 1/2) / 3 = 0.83
        'Sad'
        >>> consensus([["Sad"], ["Other"]], rule) is None  # (1 + 0) / 2
        True
    """
    skip = {word.casefold() for word in rule.skip}
    shares: Counter[str] = Counter()
    for chosen in answers:
        classes = [word for word in chosen if word.casefold() not in skip]
        for word in classes:
            shares[word] += 1 / len(classes) / len(answers)  # type: ignore[assignment]  # a share
    best = shares.most_common(2)
    if not best or best[0][1] < rule.min_share - 1e-12:
        return None
    return None if len(best) > 1 and best[1][1] == best[0][1] else best[0][0]


def _folds(folds: Sequence[HeldOut], place: str, number: int) -> tuple[Split, ...]:
    splits: list[Split] = []
    for fold, held in enumerate(folds, start=1):
        if held.place != place or not held.first <= number <= held.last:
            splits.append(Split("official", fold, "train"))
            continue
        half = (held.last - held.first + 1) // 2
        role: Literal["valid", "test"] = "valid" if number < held.first + half else "test"
        splits.append(Split("official", fold, role))
    return tuple(splits)
