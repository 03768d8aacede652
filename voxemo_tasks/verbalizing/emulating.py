"""What other suites would have made of the very same replies.

Each rule is written from the observed behaviour of such a parser, not from its code, and is labelled
an emulation wherever it shows up. None of them is recommended: they are here so that a published
number can be set beside ours.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence

from ..records import Verdict

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)

Rule = Callable[[str, Sequence[str]], tuple[str, int, int] | None]
"""Reply and menu → the label that counts, and the span of its evidence; ``None`` for none."""


def _strict(text: str, menu: Sequence[str]) -> tuple[str, int, int] | None:
    start = len(text) - len(text.lstrip())
    bare = text.strip()
    return (bare, start, start + len(bare)) if bare in menu else None


def _equal_after(clean: Callable[[str], str]) -> Rule:
    def rule(text: str, menu: Sequence[str]) -> tuple[str, int, int] | None:
        wanted = clean(text)
        for label in menu:
            if wanted and clean(label) == wanted:
                return label, 0, len(text)
        return None

    return rule


def _plain(text: str) -> str:
    return text.lower().translate(_PUNCTUATION).strip()


def _quasi(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _prefix(text: str, menu: Sequence[str]) -> tuple[str, int, int] | None:
    start = len(text) - len(text.lstrip())
    bare = text[start:].lower()
    fitting = [label for label in menu if label and bare.startswith(label.lower())]
    best = max(fitting, key=len, default=None)
    return None if best is None else (best, start, start + len(best))


def _first_letter(text: str, menu: Sequence[str]) -> tuple[str, int, int] | None:
    letters = string.ascii_uppercase[: len(menu)]
    for at, character in enumerate(text):
        if character in letters:
            return menu[letters.index(character)], at, at + 1
    return None


def _places(text: str, menu: Sequence[str]) -> list[tuple[int, int, str]]:
    found = []
    for label in menu:
        pattern = re.compile(re.escape(label), re.I) if label else None
        for match in pattern.finditer(text) if pattern else ():
            found.append((match.start(), match.end(), label))
    return found


def _first_substring(text: str, menu: Sequence[str]) -> tuple[str, int, int] | None:
    found = min(_places(text, menu), default=None, key=lambda p: (p[0], -p[1]))
    return None if found is None else (found[2], found[0], found[1])


def _last_substring(text: str, menu: Sequence[str]) -> tuple[str, int, int] | None:
    found = max(_places(text, menu), default=None, key=lambda p: (p[0], p[1]))
    return None if found is None else (found[2], found[0], found[1])


def _label_order(text: str, menu: Sequence[str]) -> tuple[str, int, int] | None:
    found = _places(text, menu)
    for label in menu:
        for start, end, one in found:
            if one == label:
                return label, start, end
    return None


RULES: dict[str, Rule] = {
    "strict_exact": _strict,
    "exact": _equal_after(_plain),
    "quasi_exact": _equal_after(_quasi),
    "prefix": _prefix,
    "first_letter": _first_letter,
    "first_substring": _first_substring,
    "last_substring": _last_substring,
    "label_order_substring": _label_order,
}
"""Name → rule; the files in ``verbalizers/emulations`` say what each stands for."""


def emulate(text: str, menu: Sequence[str], rule: str, *, cut: bool = False) -> Verdict:
    """The verdict of a simple parser.

    Returns:
        ``answered``, ``empty`` (nothing but white space), else ``unparsed``, or ``truncated`` for
        such a reply that was cut.

    Example:
        >>> menu = ("angry", "happy", "sad")
        >>> emulate("The speaker is unhappy.", menu, "first_substring").labels
        ('happy',)
        >>> emulate("Both.", menu, "first_letter").labels
        ('happy',)
    """
    found = RULES[rule](text, menu)
    if found is None:
        if cut:
            return Verdict("truncated", rule="cut", cut=True)
        status = "unparsed" if text.strip() else "empty"
        return Verdict(status, rule=status)  # type: ignore[arg-type]  # one of two literals
    label, start, end = found
    return Verdict("answered", (label,), span=(start, end), rule=f"emulation.{rule}", cut=cut)
