"""Prompt × utterance → request. Pure: the same inputs give the same bytes.

Label names never stand in a prompt file; ``{labels}`` becomes the menu of the utterance. Audio comes
before text in every message, so that an engine can reuse the audio's encoding and key-value prefix
for all prompts of a clip.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .errors import LabelSetError, OptionError
from .records import AudioRef, Decoding, Json, Request, Verdict
from .specs import FACTORS, LabelForm, LabelStyle, PromptSpec, WordingSpec

_END = "\x00"
_AFTER_LIST = re.compile(f"{_END}[.,;:]? *\n?")
"""A list of lines ends its sentence by itself: the full stop after it would be a line of its own."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def order_of(labels: Sequence[str], order: str, utterance_id: str, seed: int = 0) -> list[int]:
    """Positions of the labels in the order in which they are offered.

    Args:
        labels: The menu in its registered order.
        order: ``registered``; ``rotated_K`` (K places to the left); ``rotated`` (a rotation per
            utterance, each equally likely); ``permuted`` (a permutation per utterance).
        utterance_id: Decides the rotation or permutation, with the seed; nothing else does.
        seed: For another draw.

    Raises:
        OptionError: For another order.

    Example:
        >>> order_of(["angry", "happy", "sad"], "rotated_1", "u1")
        [1, 2, 0]
        >>> sorted(order_of(["angry", "happy", "sad"], "permuted", "u1"))
        [0, 1, 2]
    """
    n = len(labels)
    if order == "registered":
        return list(range(n))
    if order == "permuted":
        return sorted(range(n), key=lambda i: _draw(seed, utterance_id, labels[i]))
    name, _, places = order.partition("_")
    if name != "rotated" or (places and not places.isdecimal()):
        raise OptionError(
            f"label_order={order!r}; allowed: registered, rotated, rotated_1 …, permuted"
        )
    k = int(places) if places else int(_draw(seed, utterance_id, "rotation"), 16)
    return [(i + k) % n for i in range(n)]


def _draw(seed: int, utterance_id: str, what: str) -> str:
    said = f"{seed}:{utterance_id}:{what}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Menu:
    """The labels as one prompt offers them to one utterance.

    Attributes:
        labels: The label set, in its registered order.
        shown: What each is called in the prompt, in the same order.
        order: Positions in the order in which they are offered.
        style: How they are listed.
        separator: Between labels, where they stand in a line.
    """

    labels: tuple[str, ...]
    shown: tuple[str, ...]
    order: tuple[int, ...]
    style: LabelStyle = "comma"
    separator: str = ", "

    @classmethod
    def plain(cls, labels: Sequence[str], separator: str = ", ") -> Menu:
        """The labels under their own names, in their own order, in a line."""
        names = tuple(labels)
        return cls(names, names, tuple(range(len(names))), "comma", separator)

    def offered(self) -> list[str]:
        """The menu's words in the order of the prompt, with their option letters if it has any."""
        words = [self.shown[i] for i in self.order]
        if self.style == "lettered":
            return [f"{LETTERS[n]}. {word}" for n, word in enumerate(words)]
        return words

    def read_as(self) -> list[str]:
        """The menu's words as a verbalizer needs them, in registered order.

        Example:
            >>> replace(Menu.plain(["angry", "sad"]), order=(1, 0), style="numbered").read_as()
            ['2. angry', '1. sad']
        """
        words = self.offered()
        if self.style == "numbered":  # a bare number then answers, as a bare letter does
            words = [f"{n}. {word}" for n, word in enumerate(words, start=1)]
        offered = dict(zip(self.order, words, strict=True))
        return [offered[i] for i in range(len(self.labels))]

    def text(self) -> str:
        """As it stands in the prompt.

        In a line, a label that contains the separator's comma is quoted, so that a menu cannot be
        read as having more labels than it has.

        Example:
            >>> Menu.plain(["pain, groan", "sad"]).text()
            '"pain, groan", sad'
            >>> replace(Menu.plain(["angry", "sad"]), style="json").text()
            '["angry", "sad"]'
        """
        words = self.offered()
        if self.style == "json":
            return json.dumps(words, ensure_ascii=False)
        if self.style == "comma":
            mark = self.separator.strip() or self.separator
            return self.separator.join(f'"{x}"' if mark in x else x for x in words)
        signs = {"lettered": "{w}", "numbered": "{n}. {w}", "bullets": "- {w}"}
        line = signs[self.style]
        listed = "\n".join(line.format(n=n, w=w) for n, w in enumerate(words, start=1))
        return f"\n{listed}\n{_END}"

    def candidates(self) -> dict[str, tuple[str, ...]]:
        """Word as offered → the texts that say it: as it stands, with a capital, with a full stop.

        Example:
            >>> Menu.plain(["angry", "sad"]).candidates()["sad"]
            ('sad', 'Sad', 'sad.', 'Sad.')
        """
        out = {}
        for word, shown in zip(self.read_as(), self.shown, strict=True):
            says = [shown] if word == shown else [word, word.partition(".")[0], shown]
            says = [t for text in says for t in (text, text[:1].upper() + text[1:])]
            out[word] = tuple(dict.fromkeys([*says, *(f"{text}." for text in says)]))
        return out

    def canonical(self, verdict: Verdict) -> Verdict:
        """A verdict in the menu's words → the same in the label set's names."""
        name = dict(zip(self.read_as(), self.labels, strict=True))
        shares = verdict.distribution
        detail = verdict.detail
        if detail is not None and isinstance(detail.get("after"), dict):
            after = {change: name.get(word, word) for change, word in detail["after"].items()}
            detail = {**detail, "after": after}
        return replace(
            verdict,
            labels=tuple(name.get(word, word) for word in verdict.labels),
            distribution=shares and {name.get(word, word): p for word, p in shares.items()},
            detail=detail,
        )


def menu_of(
    labels: Sequence[str],
    utterance_id: str,
    *,
    order: str = "registered",
    form: LabelForm = "registered",
    style: LabelStyle = "comma",
    separator: str = ", ",
    wording: WordingSpec | None = None,
    seed: int = 0,
) -> Menu:
    """The menu that an utterance is offered.

    Args:
        labels: The label set in its registered order.
        utterance_id: For orders that differ by utterance.
        order: See :func:`order_of`.
        form: ``registered`` (the label set's own names; in another language than that of the
            names: adjectives), ``adjective``, ``noun``.
        style: ``comma`` (in a line), ``lettered``, ``numbered``, ``bullets`` (a line each), ``json``.
        separator: Between labels in a line.
        wording: Words of a language; not needed for the registered form.
        seed: See :func:`order_of`.

    Raises:
        LabelSetError: For fewer than two labels, more than there are letters, a label that the
            wording does not have, or two that it calls alike.
    """
    if len(labels) < 2:
        raise LabelSetError(f"a menu needs at least two labels, got {list(labels)}")
    if style == "lettered" and len(labels) > len(LETTERS):
        raise LabelSetError(f"label_style=lettered has {len(LETTERS)} letters for {len(labels)}")
    places = tuple(order_of(labels, order, utterance_id, seed))
    return Menu(tuple(labels), shown_words(labels, form, wording), places, style, separator)


def shown_words(
    labels: Sequence[str], form: LabelForm, wording: WordingSpec | None
) -> tuple[str, ...]:
    """What labels are called; see :func:`menu_of`."""
    if wording is None or (form == "registered" and wording.language == "en"):
        if form != "registered":
            raise LabelSetError(f"label_form={form!r} needs the words of a language")
        return tuple(labels)
    missing = [label for label in labels if label not in wording.labels]
    if missing:
        raise LabelSetError(
            f"wording {wording.ref} has no word for {', '.join(missing)}; ask with "
            "label_language=en and label_form=registered, or add a version of it"
        )
    noun = form == "noun"
    words = [wording.labels[label] for label in labels]
    return tuple(w.noun if noun else w.adjective for w in words)


def menu_from(member: Json, labels: Sequence[str], utterance_id: str, seed: int) -> Menu:
    """The menu that a question of a stored run offered to an utterance.

    Args:
        member: The question, from the header of the run's documents.
        labels: The label set.
        utterance_id: The utterance.
        seed: The run's ``order_seed``.
    """
    order = order_of(labels, member["label_order"], utterance_id, seed)
    shown = tuple(member["shown"] or labels)
    return Menu(tuple(labels), shown, tuple(order), member["label_style"])


@dataclass(frozen=True, slots=True)
class Shot:
    """A labelled clip that a prompt shows before the question.

    Attributes:
        audio: The clip.
        answer: What the model is shown to have answered.
    """

    audio: AudioRef
    answer: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a question.

    Attributes:
        context: Factor → value, for prompts that say it; a factor without a value is left out.
        dimensions: Those that are asked about.
        scale: Lowest and highest rating.
        shots: Labelled clips shown before.
        repeat_question: How often the question stands in its message.
        repeat_audio: How often the clip stands before it.
    """

    context: Mapping[str, str] = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    shots: tuple[Shot, ...] = ()
    repeat_question: int = 1
    repeat_audio: int = 1


def schema_of(prompt: PromptSpec, menu: Menu | None, frame: Frame) -> Json | None:
    """The JSON Schema of a prompt's reply; ``None`` for one that is not JSON.

    A tier that reasons before its JSON has none: a schema would forbid the reasoning.

    Example:
        >>> from voxemo_tasks import registry
        >>> prompt, _ = registry.prompt("direct_en")
        >>> schema_of(prompt, Menu.plain(["angry", "sad"]), Frame()) is None
        True
    """
    if not prompt.json_only:
        return None
    if prompt.answer == "distribution" and menu is not None:
        return _object_of({word: {"type": "number", "minimum": 0} for word in menu.offered()})
    if prompt.answer == "dimensions" and frame.scale is not None:
        low, high = frame.scale
        number = {"type": "number", "minimum": low, "maximum": high}
        return _object_of(dict.fromkeys(frame.dimensions, number))
    if prompt.answer == "counterfactual" and menu is not None:
        word = {"type": "string", "enum": menu.offered()}
        changes = _object_of(dict.fromkeys(prompt.changes, word))
        return _object_of({"answer": word, "changes": changes})
    return None


def _object_of(properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def decoding_of(prompt: PromptSpec, *, temperature: float = 0.0, seed: int = 0) -> Decoding:
    """The decoding that a prompt registers, sampled at a temperature (0 is greedy)."""
    return Decoding(
        max_new_tokens=prompt.decoding.max_new_tokens,
        temperature=temperature,
        stop=tuple(prompt.decoding.stop),
        seed=seed,
    )


def fill(text: str, prompt: PromptSpec, menu: Menu | None, frame: Frame) -> str:
    """Put menu, context, scales and changes into a prompt's text; doubled braces become single."""
    values = {
        "labels": "" if menu is None else menu.text(),
        "context": "\n".join(
            prompt.context[factor].format(value=frame.context[factor])
            for factor in FACTORS
            if factor in prompt.context and frame.context.get(factor)
        ),
        "changes": "\n".join(f"{name}: {what}" for name, what in prompt.changes.items()),
        "scales": "",
        "keys": ", ".join(frame.dimensions),
    }
    if prompt.scales and frame.scale is not None:
        low, high = (f"{x:g}" for x in frame.scale)
        lines = [prompt.scales[d].format(low=low, high=high) for d in frame.dimensions]  # type: ignore[index]
        values["scales"] = "\n".join(lines)
    return _AFTER_LIST.sub("", text.format(**values)).strip()


def render(
    prompt: PromptSpec,
    prompt_digest: str,
    menu: Menu | None,
    audio: AudioRef,
    decoding: Decoding,
    frame: Frame | None = None,
) -> Request:
    """What the model gets for one utterance.

    Args:
        prompt: The registered prompt.
        prompt_digest: SHA-256 of its file.
        menu: The labels as they are offered; ``None`` for a prompt that offers none.
        audio: The clip.
        decoding: Explicit decoding parameters.
        frame: Context, scale, labelled examples and repetitions.

    Returns:
        A request whose messages hold the audio part first, then the text; labelled examples are
        turns before the question.

    Raises:
        LabelSetError: For a prompt that needs a menu and has none.
        OptionError: For a prompt that asks for ratings where no scale is given.
    """
    frame = frame or Frame()
    if menu is None and prompt.answer in ("label", "distribution", "counterfactual"):
        raise LabelSetError(f"prompt {prompt.ref} offers labels; it needs a menu")
    if prompt.answer == "dimensions" and (frame.scale is None or not frame.dimensions):
        raise OptionError(f"prompt {prompt.ref} asks for ratings; the corpus has no scale")
    messages: list[Json] = []
    if prompt.system is not None:
        system = fill(prompt.system, prompt, menu, frame)
        messages.append({"role": "system", "content": [{"type": "text", "text": system}]})
    question = "\n\n".join([fill(prompt.text, prompt, menu, frame)] * frame.repeat_question)
    heard: list[AudioRef] = []

    def ask(clip: AudioRef, times: int) -> None:
        parts: list[Json] = []
        for _ in range(times):
            parts.append({"type": "audio", "index": len(heard)})
            heard.append(clip)
        parts.append({"type": "text", "text": question})
        messages.append({"role": "user", "content": parts})

    for shot in frame.shots:
        ask(shot.audio, 1)
        answer = [{"type": "text", "text": shot.answer}]
        messages.append({"role": "assistant", "content": answer})
    ask(audio, frame.repeat_audio)
    return Request(prompt.ref, prompt_digest, tuple(messages), tuple(heard), decoding)
