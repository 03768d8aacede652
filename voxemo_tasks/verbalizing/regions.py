"""Where in a reply the answer stands: wrappers, tags, JSON keys, answer markers, conclusions.

Everything here works on positions. Text that is no part of the answer (a model's thoughts, chat
template tokens, what is struck through) is blanked with spaces before folding, so that offsets stay
those of the reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..specs import VerbalizerSpec
from .folding import Folder
from .lexicon import Hit
from .vocabulary import Role

MOST_MARKERS = 8
"""Markers that are tried, from the last backwards; bounds the work on degenerate replies."""

_TEMPLATE = re.compile(
    r"<\|(?:im_|audio|vision|end|begin|start|eot|eom|bos|eos|sep|pad|reserved)\w{0,40}\|>"
    r"|</?s>|\[/?INST\]|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>",
    re.I,
)
_STRUCK = re.compile(r"~~(?=\S)[^~\n]{1,200}~~")
_SPEAKER = re.compile(r"\A\s*(?:assistant|model)[ \t]*[:\n]", re.I)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\}){0,400})\}")
_TEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)\b")
_QUOTED = re.compile(r'"([^"\n]*)(?:"|$)|(?<!\w)\'([^\n]*?)(?:\'(?!\w)|$)')
_VALUE_END = re.compile(r"[,}\]\n]")


@dataclass(slots=True)
class Region:
    """A part of the folded text that is read by itself.

    Attributes:
        name: Which rule found it; the first part of a verdict's rule id.
        spans: Its parts in text order, each read as sentences of its own.
    """

    name: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Unwrapper:
    """Blanks what is no part of the answer, and finds tagged answers in the original text."""

    open_thought: re.Pattern[str]
    close_thought: re.Pattern[str]
    answers: re.Pattern[str]
    keys: tuple[str, ...]
    key: re.Pattern[str]

    @classmethod
    def of(cls, spec: VerbalizerSpec, fold: Folder) -> Unwrapper:
        thought = "|".join(map(re.escape, spec.thought_tags)) or "(?!)"
        answer = "|".join(map(re.escape, spec.answer_tags)) or "(?!)"
        foreign = [
            fold.form(marker)
            for tag, words in spec.languages.items()
            if tag != "en" and not isinstance(words, str)
            for marker in words.answer_markers
        ]
        named = list(dict.fromkeys([*spec.json_keys, *foreign]))
        keys = "|".join(re.escape(k) for k in sorted(named, key=len, reverse=True))
        return cls(
            open_thought=re.compile(rf"<({thought})>", re.I),
            close_thought=re.compile(rf"</({thought})>", re.I),
            answers=re.compile(rf"<({answer})>([^<]{{0,2000}})(?:</\1>|\Z)", re.I),
            keys=tuple(named),
            key=re.compile(rf"(?:[\"'] ?({keys}) ?[\"']|(?<=[{{,]) ?({keys})) ?:[ \n]?"),
        )

    def blank(self, text: str) -> str:
        """The text with thoughts and template tokens as spaces, its length unchanged.

        A thought that never ends leaves nothing; what stands before a closing tag without an
        opening one is a thought whose opening tag was part of the prompt.
        """
        if "<" in text or "[" in text:
            text = _TEMPLATE.sub(_spaces, text)
            text = self._without_thoughts(text)
        if "~~" in text:  # struck through: taken back, unless nothing else is said
            left = _STRUCK.sub(_spaces, text)
            text = left if left.strip() else text
        return _SPEAKER.sub(_spaces, text)

    def _without_thoughts(self, text: str) -> str:
        tags = [(m.start(), m.end(), True) for m in self.open_thought.finditer(text)]
        tags += [(m.start(), m.end(), False) for m in self.close_thought.finditer(text)]
        if not tags:
            return text
        pieces: list[str] = []
        kept, depth = 0, 0
        for start, end, opens in sorted(tags):
            if opens:
                if depth == 0:
                    pieces.append(text[kept:start])
                    kept = start
                depth += 1
            elif depth:
                depth -= 1
                if depth == 0:
                    pieces.append(" " * (end - kept))
                    kept = end
            else:
                pieces = [" " * end]
                kept = end
        pieces.append(" " * (len(text) - kept) if depth else text[kept:])
        return "".join(pieces)

    def tagged(self, text: str) -> tuple[int, int] | None:
        """The last ``\\boxed{…}`` or answer tag of the original text, as a span of it."""
        last: tuple[int, int] | None = None
        if "\\boxed" in text:
            for match in _BOXED.finditer(text):
                last = match.span(1)
        if "<" in text:
            for match in self.answers.finditer(text):
                if last is None or match.start(2) > last[0]:
                    last = match.span(2)
        return last

    def json_values(self, text: str) -> Region | None:
        """The values of the best answer key of a JSON object in the folded text, whole or cut."""
        if ":" not in text:
            return None
        best: dict[int, list[tuple[int, int]]] = {}
        for match in self.key.finditer(text):
            rank = self.keys.index(match[1] or match[2])
            spans = best.setdefault(rank, [])
            if len(spans) < 64:
                spans.append(_value(text, match.end()))
        for rank in sorted(best):
            spans = [(a, b) for a, b in best[rank] if text[a:b].strip()]
            if spans:
                return Region("json", tuple(spans))
        return None


def strip_tex(text: str) -> str:
    """Blank the LaTeX commands of a boxed answer, its length unchanged."""
    return _TEX.sub(_spaces, text) if "\\" in text else text


def _spaces(match: re.Match[str]) -> str:
    return " " * (match.end() - match.start())


def _value(text: str, at: int) -> tuple[int, int]:
    """The span of one JSON value; an object or list that never closes ends with the text."""
    opener = text[at : at + 1]
    if opener in ("[", "{"):
        depth = 0
        for index in range(at, min(len(text), at + 2000)):
            depth += (text[index] in "[{") - (text[index] in "]}")
            if depth == 0:
                return (at + 1, index)
        return (at + 1, min(len(text), at + 2000))
    quoted = _QUOTED.match(text, at)
    if quoted:
        return quoted.span(1) if quoted[1] is not None else quoted.span(2)
    end = _VALUE_END.search(text, at)
    return (at, end.start() if end else len(text))


def marked(text: str, free: list[Hit], hits: list[Hit]) -> Iterator[Region]:
    """The lines after answer markers, last first; ``secondary emotion:`` marks no answer.

    ``answer`` needs a colon or equals sign after it, or a line of its own (a heading);
    ``the answer is`` does not.
    """
    tried = 0
    ends = {h.end for h in hits if Role.HEDGES_NEXT in h.roles}
    for hit in reversed(free):
        if tried >= MOST_MARKERS:
            return
        start = None
        if hit.end in ends:
            continue
        if Role.CHOOSES in hit.roles:
            start = hit.end
        elif Role.MARKS_ANSWER in hit.roles:
            start = _after_colon(text, hit)
        if start is None:
            continue
        tried += 1
        begin, end = _line(text, start)
        if begin < end:
            yield Region("marker", ((begin, end),))


_COLON = re.compile(r" ?(?:is|was)? ?(?::|=|\n)[ \n]*")


def _after_colon(text: str, hit: Hit) -> int | None:
    match = _COLON.match(text, hit.end)
    if match is None:
        return None
    if "\n" in match[0] and not any(c in match[0] for c in ":="):
        line_start = text.rfind("\n", max(0, hit.start - 80), hit.start) + 1
        if text[line_start : hit.start].strip(" -.0123456789"):
            return None
    return match.end()


def _line(text: str, start: int) -> tuple[int, int]:
    while start < len(text) and text[start] in " \n":
        start += 1
    end = text.find("\n", start)
    return (start, len(text) if end < 0 else end)


_SENTENCE_END = re.compile(r"[.!?\n](?!\d)")


def concluding(text: str, free: list[Hit]) -> Iterator[Region]:
    """The sentences that begin with a concluding word, last first."""
    tried = 0
    for hit in reversed(free):
        if Role.CONCLUDES not in hit.roles:
            continue
        before = text[max(0, hit.start - 3) : hit.start].strip(" ")
        if before and before[-1] not in ".!?\n:;-":
            continue
        tried += 1
        if tried > MOST_MARKERS:
            return
        end = _SENTENCE_END.search(text, hit.end)
        yield Region("conclusion", ((hit.end, end.start() if end else len(text)),))
