"""The rows of a table of predictions, with everything that can be wrong in them looked at.

Nothing is guessed: a gold label that is not on the menu, a prediction twice, a column that is not
there, class numbers where the menu has names are errors, and an utterance without a gold label is left
out and counted. Ids, labels and facts are taken in NFC, and ``3.0`` is the label ``3``.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from pathlib import Path
from typing import Any

from ..errors import OptionError, UnknownNameError
from ..records import Json
from ..specs import StructuredSpec
from ..tables import cell
from ..verbalize import verbalize
from .import_plan import DESCRIBING, SHARE, TIMES, Plan

PROMPT = "imported@1"

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_NUMBER = re.compile(r"\s*[+-]?\d+(?:\.\d+)?\s*")


class Rows:
    """The rows as they come, with everything that can be wrong looked at.

    Attributes:
        documents: Utterance → what is known of it; those with a gold label, votes or a rating alone.
        replies: (utterance, prompt) → sample → reply.
        without_gold: Utterances left out because they have no gold label.
        read_as: Gold label as written → label of the menu, where they differ.
    """

    def __init__(self, file: Path, plan: Plan) -> None:
        self.file = file
        self.plan = plan
        self.documents: dict[str, Json] = {}
        self.replies: dict[tuple[str, str], dict[int, str]] = {}
        self.without_gold: set[str] = set()
        self.read_as: dict[str, str] = {}
        self._lines: dict[str, int] = {}
        self._exact = {label: label for label in plan.labels}
        self._folded = {label.casefold().strip(): label for label in plan.labels}

    def add(self, number: int, row: Json) -> None:
        """Take a row.

        Raises:
            OptionError: With its line.
        """
        utterance = str(number)
        if "utterance" in self.plan.columns:
            found = self._text(number, row, "utterance")
            if found is None:
                raise self._error(number, "utterance", "is empty")
            utterance = found
        document = self._document(number, row, utterance)
        known = self.documents.get(utterance)
        if known if document is None else utterance in self.without_gold:
            raise self._error(
                number,
                "utterance",
                f"{utterance!r} stands in line {self._lines[utterance]} too, with another gold label: "
                "one of the two rows has none",
            )
        self._lines.setdefault(utterance, number)
        if document is None:
            self.without_gold.add(utterance)
            return
        if known is None:
            self.documents[utterance] = document
        elif known != document:
            differs = [k for k in {*known, *document} if known.get(k) != document.get(k)]
            raise self._error(
                number,
                "utterance",
                f"{utterance!r} stands in line {self._lines[utterance]} too, with another "
                f"{', '.join(sorted(differs))}",
            )
        prompt = self._text(number, row, "prompt") or PROMPT
        samples = self.replies.setdefault((utterance, prompt), {})
        before = len(samples)
        for sample, text in self._predicted(number, row, before):
            text = self._whole(text)
            if sample in samples or ("sample" not in self.plan.columns and before):
                raise self._error(
                    number,
                    "utterance",
                    f"{utterance!r} has a prediction in line {self._lines[utterance]} already; map "
                    "prompt= or sample= where there are several, or utterance= to what is unique",
                )
            samples[sample] = text

    def _whole(self, text: str) -> str:
        """``3.0`` as the label ``3``: a data frame writes whole numbers so beside empty cells."""
        found = _WHOLE.fullmatch(text.strip())
        if found and text.strip() not in self._exact and found[1] in self._exact:
            return found[1]
        return text

    def require_words(self) -> None:
        """Refuse class numbers as replies where the menu has names, since nothing says which is which.

        Raises:
            OptionError: Where every reply that is not empty is a number, and no label has a digit.
        """
        plan = self.plan
        if plan.dimensions or plan.shares or re.search(r"\d", "".join(plan.labels)):
            return
        texts = [text for several in self.replies.values() for text in several.values()]
        given = [text for text in texts if text.strip()]
        if given and all(map(_NUMBER.fullmatch, given)):
            raise OptionError(
                f"{self.file}, column {plan.columns['reply']!r} (reply): every reply is a number (e.g. "
                f"{given[0].strip()!r}), and the menu has names ({', '.join(plan.labels)}); write the names "
                "into the column, or the numbers into --labels and gold"
            )

    def _document(self, number: int, row: Json, utterance: str) -> Json | None:
        document: Json = {"utterance_id": utterance}
        for name in DESCRIBING:
            value = self._text(number, row, name)
            if value is not None:
                document[name] = value
        gold = self._text(number, row, "gold")
        if gold is not None:
            document["raw_label"] = gold
        document["label"] = None if gold is None else self._menu_label(number, gold)
        second = self._text(number, row, "gold2")
        if second is not None:
            document["label2"] = second
        votes = self._votes(number, row)
        if votes:
            document["votes"] = votes
        for name in self.plan.dimensions:
            rating = self._number(number, row, name)
            if rating is not None:
                document[name] = rating
        rated = any(name in document for name in self.plan.dimensions) or self.plan.traced
        if self.plan.traced:
            document |= self._window(number, row)
        return document if document["label"] is not None or votes or rated else None

    def _window(self, number: int, row: Json) -> Json:
        """The recording and the times of a window."""
        recording = self._text(number, row, "dialogue")
        start, end = (self._number(number, row, name) for name in TIMES)
        if recording is None or start is None or end is None:
            raise self._error(number, "start", "a window needs dialogue, start and end")
        if not 0 <= start < end:
            raise self._error(number, "start", f"the window runs from {start:g} to {end:g} s")
        return {"recording": recording, "start_s": start, "end_s": end}

    def _menu_label(self, number: int, gold: str) -> str:
        gold = unicodedata.normalize("NFC", gold)
        label = self._exact.get(self._whole(gold)) or self._folded.get(gold.casefold().strip())
        if label is None:
            label = self.read_as.get(gold)
        if label is None and not isinstance(self.plan.verbalizer, StructuredSpec):
            label = verbalize(gold, self.plan.labels, self.plan.verbalizer).answer
        if label is None:
            raise self._error(
                number,
                "gold",
                f"{gold!r} is not on the menu ({', '.join(self.plan.labels)}); add it to --labels, or "
                "empty the cell where the utterance has no gold label",
            )
        if label != gold:
            self.read_as[gold] = label
        return label

    def _votes(self, number: int, row: Json) -> dict[str, int]:
        value = self._cell(number, row, "votes")
        if value is None:
            return {}
        try:
            found = json.loads(value) if isinstance(value, str) else value
            votes = [
                (self._menu_label(number, k), v) for k, v in dict(found).items() if v is not None
            ]
        except (ValueError, TypeError) as error:
            if isinstance(error, OptionError):
                raise
            raise self._error(number, "votes", f"{value!r} is no JSON object of counts") from error
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for _, v in votes):
            raise self._error(number, "votes", f"{value!r}: votes are whole numbers from 0")
        total: dict[str, int] = {}
        for label, n in votes:  # two words of one label add up
            total[label] = total.get(label, 0) + n
        return {label: n for label, n in total.items() if n}

    def _predicted(self, number: int, row: Json, so_far: int) -> list[tuple[int, str]]:
        plan = self.plan
        if plan.dimensions:
            values = {n: self._number(number, row, f"predicted_{n}") for n in plan.dimensions}
            given = {n: v for n, v in values.items() if v is not None}
            return [(self._sample(number, row, so_far), json.dumps(given) if given else "")]
        if plan.shares:
            shares = {label: self._share(number, row, label) for label in plan.labels}
            given = {label: v for label, v in shares.items() if v is not None}
            return [(self._sample(number, row, so_far), json.dumps(given) if given else "")]
        value = self._cell(number, row, "reply")
        if isinstance(value, list) and value:
            return [(i, _said(x)) for i, x in enumerate(value)]
        return [(self._sample(number, row, so_far), _said(None if value == [] else value))]

    def _sample(self, number: int, row: Json, so_far: int) -> int:
        value = self._text(number, row, "sample")
        if value is None:
            return so_far
        found = _WHOLE.fullmatch(value)
        value = found[1] if found else value
        if not value.isdecimal():
            raise self._error(number, "sample", f"{value!r} is no whole number from 0")
        return int(value)

    # --- cells ------------------------------------------------------------------------------

    def _cell(self, number: int, row: Json, name: str) -> Any:
        column = self.plan.columns.get(name)
        if column is None:
            return None
        try:
            return cell(row, column)
        except KeyError:
            raise UnknownNameError(
                f"column (--map {name}=) in {self.file}, line {number}", column, list(row)
            ) from None

    def _text(self, number: int, row: Json, name: str) -> str | None:
        value = self._cell(number, row, name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, list | dict):
            raise self._error(number, name, f"{value!r} is no single value")
        return unicodedata.normalize("NFC", _plain(value)).strip() or None

    def _number(self, number: int, row: Json, name: str) -> float | None:
        value = self._text(number, row, name)
        if value is None:
            return None
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise self._error(number, name, f"{value!r} is no finite number")
        return found

    def _share(self, number: int, row: Json, label: str) -> float | None:
        value = self._number(number, row, f"{SHARE}{label}")
        if value is not None and value < 0:
            raise self._error(number, f"{SHARE}{label}", f"{value} is no probability")
        return value

    def _error(self, number: int, name: str, what: str) -> OptionError:
        column = self.plan.columns.get(name, name)
        return OptionError(f"{self.file}, line {number}, column {column!r} ({name}): {what}")


def _said(value: Any) -> str:
    """A reply as text; nothing, and the "not a number" of a data frame, is an empty one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return _plain(value)


def _plain(value: Any) -> str:
    """A value as text; a float that is a whole number as that number."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)
