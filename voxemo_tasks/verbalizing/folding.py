"""One spelling for every reply, with the way back to the original characters.

Folding works character by character, so that each folded character knows the original one it came
from: evidence spans are given in the reply as it was received, never in the folded text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

_QUOTES = dict.fromkeys("‘’‚‛ʼ´′＇", "'") | dict.fromkeys("“”„‟«»″「」『』", '"')
_DASHES = dict.fromkeys("‐‑‒–−", "-") | dict.fromkeys("—―", " - ")
_STOPS = {
    **{"。": ".", "！": "!", "？": "?", "，": ",", "、": "/", "；": ";", "：": ":"},
    **{"।": ".", "॥": ".", "۔": ".", "؟": "?", "،": ",", "؛": ";"},
    **{"።": ".", "፣": ",", "፥": ",", "፤": ";", "፡": " ", "፧": "?", "፨": ".", "፦": ":"},
    **{"٪": "%", "％": "%"},
}
_MARKDOWN = {"*": "", "`": "", "_": " ", "#": " ", ">": " ", "|": " ", "~": " ", "\\": " "}
_ARABIC = {
    **dict.fromkeys("يى", "ی"),
    **dict.fromkeys("أإآٱ", "ا"),
    "ك": "ک",
    "ة": "ه",
    "ۀ": "ه",
    "ـ": "",
}
_HARAKAT = re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed]")
_MARK = re.compile("[\u0300-\u036f]")
_WORD_HYPHEN = re.compile(r"(?<=[^\W_])-(?=[^\W_])")
_NO_SPACES = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_SPACELESS = re.compile(f"[{_NO_SPACES}]")
_FACES = "\u2639\u263a\U0001f300-\U0001faff"
"""Emoji: each is a word."""

# Vowel signs and the like, which Python's \\w leaves out of words.
_SIGNS = (
    "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
)


def _compatibility(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _casefold(text: str) -> str:
    return text.casefold()


def _marks(text: str) -> str:
    """Drop the marks of Latin, Greek and Cyrillic letters; Indic vowels and Hangul stay whole."""
    if (text and text[0] < "\u0530") or "\u1e00" <= text[:1] <= "\u1fff":
        return _MARK.sub("", unicodedata.normalize("NFD", text)).replace("ς", "σ")
    return text


def _arabic(text: str) -> str:
    return "".join(_ARABIC.get(c, c) for c in _HARAKAT.sub("", text.replace("\u200c", " ")))


def _turkish_i(text: str) -> str:
    return "i" if text in {"İ", "I", "ı"} else text


def _punctuation(text: str) -> str:
    return _QUOTES.get(text) or _DASHES.get(text) or _STOPS.get(text) or text


def _markdown(text: str) -> str:
    return _MARKDOWN.get(text, text)


STEPS: dict[str, Callable[[str], str]] = {
    "punctuation": _punctuation,
    "markdown": _markdown,
    "compatibility": _compatibility,
    "turkish_i": _turkish_i,
    "casefold": _casefold,
    "marks": _marks,
    "arabic": _arabic,
}
"""Name → folding of one character; a spec lists them in the order in which they apply."""


@dataclass(slots=True)
class Folded:
    """A folded reply.

    Attributes:
        text: Folded text: single spaces, hyphens inside words turned into spaces.
        offsets: Index of the original character of each folded character.
    """

    text: str
    offsets: Sequence[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original reply that a span of the folded text covers."""
        if not self.offsets or start >= end:
            return (0, 0)
        last = min(end, len(self.offsets)) - 1
        return (self.offsets[min(start, last)], self.offsets[last] + 1)


class Folder(dict[str, str]):
    """Folds texts by a spec's steps; remembers each character it has seen.

    Example:
        >>> fold = Folder(("punctuation", "markdown", "compatibility", "casefold", "marks"))
        >>> fold("**Anger**  — self-made").text
        'anger - self made'
        >>> fold.form("Wüt")
        'wut'
    """

    def __init__(self, steps: Sequence[str]) -> None:
        super().__init__()
        self._steps = [STEPS[name] for name in steps]
        # Most replies are a plain ASCII line, each character of which folds to one: these are
        # translated in one go.
        plain = {c: self[c] for c in map(chr, range(32, 127))}
        self._plain = {
            ord(c): f for c, f in plain.items() if len(f) == 1 and (f != " " or c == " ")
        }
        odd = "".join(re.escape(c) for c in map(chr, range(128)) if ord(c) not in self._plain)
        self._odd = re.compile(f"[{odd}]")

    def __missing__(self, character: str) -> str:
        if character in "\n\v\f\x85\u2028\u2029":
            folded = "\n"
        elif character.isspace() or unicodedata.category(character) == "Cc":
            folded = " "
        else:
            folded = character
            for step in self._steps:
                folded = step(folded)
            if unicodedata.category(character) == "Cf" and folded == character:
                folded = ""
        self[character] = folded
        return folded

    def __call__(self, text: str) -> Folded:
        """Fold a whole text in linear time."""
        if (
            text.isascii()
            and "  " not in text
            and text[:1] != " "
            and self._odd.search(text) is None
        ):
            plain = text.translate(self._plain)
            if "-" in plain:
                plain = _WORD_HYPHEN.sub(" ", plain)
            return Folded(plain, range(len(text)))
        pieces: list[str] = []
        offsets: list[int] = []
        before = "\n"
        for index, character in _clusters(text):
            folded = self[character]
            for piece in folded:
                if piece in " \n" and before in " \n":
                    if piece == "\n" and before == " ":
                        pieces[-1] = before = "\n"
                    continue
                if "\u0300" <= piece <= "\u036f" and (before < "\u0530" and before.isalpha()):
                    continue
                pieces.append(piece)
                offsets.append(index)
                before = piece
        return Folded(_WORD_HYPHEN.sub(" ", "".join(pieces)), offsets)

    def form(self, text: str) -> str:
        """A form of the lexicon in the same spelling as the replies."""
        return self(text).text.strip()


_COMPOSED = re.compile(
    "[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?|[\u3040-\u30ff\uff66-\uff9d][\u3099\u309a\uff9e\uff9f]"
)
"""Hangul syllables and voiced kana that are spelt in parts: each is one character."""


def _clusters(text: str) -> Iterable[tuple[int, str]]:
    """Offset and character of each character; what is spelt in parts comes composed."""
    if text.isascii() or _COMPOSED.search(text) is None:
        yield from enumerate(text)
        return
    at = 0
    for match in _COMPOSED.finditer(text):
        yield from zip(range(at, match.start()), text[at : match.start()], strict=True)
        yield match.start(), unicodedata.normalize("NFKC", match[0])
        at = match.end()
    yield from zip(range(at, len(text)), text[at:], strict=True)


PUNCTUATION = ".!?;:,()\n…\"'-[]{}/&%"
_MARKS = "[" + re.escape(PUNCTUATION) + "]"
_ASCII_WORD = r"[^\W_]+(?:'[^\W_]+)*"


class Splitter:
    """Cuts folded texts into words.

    Where a script sets no spaces between its words, the words of the lexicon's lists are words, and
    any other character is one of its own: reaches then count characters.

    Example:
        >>> split = Splitter(["或者"])
        >>> split.words("He's sad, 悲伤或者害怕")
        ["He's", 'sad', '悲', '伤', '或者', '害', '怕']
    """

    def __init__(self, listed: Iterable[str]) -> None:
        joined = sorted({w for w in listed if w and spaceless(w[0])}, key=lambda w: (-len(w), w))
        letter = rf"(?:[^\W_{_NO_SPACES}]|[{_SIGNS}])"
        word = "|".join(
            [
                *map(re.escape, joined),
                rf"[{_NO_SPACES}][{_SIGNS}]*",
                f"[{_FACES}]",
                rf"{letter}+(?:'{letter}+)*",
            ]
        )
        self._counts: dict[str, int] = {}
        self._words = (re.compile(_ASCII_WORD), re.compile(word))
        self._tokens = (
            re.compile(f"{_ASCII_WORD}|{_MARKS}"),
            re.compile(f"{word}|{_MARKS}"),
        )

    def words(self, text: str) -> list[str]:
        """The words alone."""
        return self._words[not text.isascii()].findall(text)

    def count(self, text: str) -> int:
        """The number of words of a form of the lexicon; remembered."""
        n = self._counts.get(text)
        if n is None:
            n = self._counts[text] = len(self.words(text))
        return n

    def iter_words(self, text: str, start: int, end: int) -> Iterator[re.Match[str]]:
        """The words of a part, with their places."""
        return self._words[not text.isascii()].finditer(text, start, end)

    def iter_tokens(self, text: str, start: int, end: int) -> Iterator[re.Match[str]]:
        """The words and the punctuation of a part, with their places."""
        return self._tokens[not text.isascii()].finditer(text, start, end)


def spaceless(character: str) -> bool:
    """Whether words of this character's script are not set apart by spaces."""
    return _SPACELESS.match(character) is not None


def in_word(character: str) -> bool:
    """Whether a character continues a word: a letter, a digit or a combining mark."""
    return character.isalnum() or unicodedata.category(character) in {"Mn", "Mc"}
