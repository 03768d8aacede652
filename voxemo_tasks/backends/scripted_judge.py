"""``scripted-judge``: a deterministic text model fed from a file, for tests and for trying things.

The file is JSONL. A row says which questions it answers and with what::

    {"contains": "gloomy", "reply": "{\\"quote\\": \\"gloomy\\", \\"answer\\": \\"sad\\"}"}
    {"contains": ["BEGIN", "ignore the rubric"], "replies": ["not JSON", "{...}"]}
    {"matches": "never .{0,20} seen", "error": "the engine fell over"}
    {"reply": "I cannot judge this."}

``contains`` is a part of the question (of a list, all must stand in it), ``matches`` a regular
expression. The first row all of whose conditions hold answers. ``replies`` gives the n-th text to
the n-th question that the row answers with one and the same material, the last one again beyond its
end. In a reply, ``{quote}`` and ``{last}`` stand for the first and last words of the judged
material, ``{option:N}`` for the N-th option as it was shown.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from ..errors import ModelError, OptionError
from ..records import Json, digest_of
from .scripts import read_script

CONDITIONS = ("contains", "matches")

_MATERIAL = re.compile(r"^BEGIN (\w+)$\n(.*?)^END \1$", re.MULTILINE | re.DOTALL)
_OPTION = re.compile(r'^- "(.+?)"', re.MULTILINE)
_PLACE = re.compile(r"\{(quote|last|option:\d+)\}")


class ScriptedJudge(LM):  # type: ignore[misc]  # lm-eval is untyped
    """A text model that says what its file says.

    Args:
        replies: The JSONL file.
        name: What it is called in the record of a pass; default: the file's name.

    Raises:
        ModelError: For a file that is missing or has a bad row (with its line).
    """

    def __init__(
        self,
        replies: str = "",
        *,
        name: str | None = None,
        batch_size: int | str | None = None,
        device: str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if not replies:
            raise OptionError("--model_args of scripted-judge needs replies=FILE")
        self._file = Path(replies).expanduser()
        self._rows = read_script(self._file, CONDITIONS)
        self._name = name or self._file.stem
        self._seen: Counter[tuple[int, str]] = Counter()
        self.asked: list[str] = []

    def fingerprint(self) -> Json:
        """What its judgements depend on."""
        return {"model": f"scripted-{self._name}", "revision": f"sha256:{digest_of(self._rows)}"}

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        return "\n".join(f"{turn['role']}\n{turn['content']}" for turn in chat_history)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return [self._say(str(request.args[0])) for request in requests]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise ModelError("scripted-judge has no log-probabilities")

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise ModelError("scripted-judge has no log-probabilities")

    def _say(self, question: str) -> str:
        self.asked.append(question)
        found = _MATERIAL.search(question)
        material = found[2] if found else question
        for number, row in enumerate(self._rows):
            if not matches(row, question):
                continue
            if "error" in row:
                raise RuntimeError(row["error"])
            texts = row["replies"] if "replies" in row else [row["reply"]]
            turn = self._seen[number, material]
            self._seen[number, material] += 1
            return _filled(texts[min(turn, len(texts) - 1)], question, material)
        raise LookupError(f"{self._file}: no row answers {question[:200]!r}")


def _filled(text: str, question: str, material: str) -> str:
    def place(match: re.Match[str]) -> str:
        if match[1] in ("quote", "last"):
            words = _first_text(material).split()
            return json.dumps(" ".join(words[:3] if match[1] == "quote" else words[-3:]))[1:-1]
        options = _OPTION.findall(question)
        return str(options[int(match[1].partition(":")[2])])

    return _PLACE.sub(place, text)


def _first_text(material: str) -> str:
    try:
        values = [v for v in json.loads(material).values() if isinstance(v, str)]
    except ValueError:
        return material
    return values[0] if values else ""


def matches(row: Json, question: str) -> bool:
    """Whether all conditions of a row hold for a question."""
    parts = row.get("contains", [])
    parts = [parts] if isinstance(parts, str) else parts
    return all(part in question for part in parts) and (
        "matches" not in row or re.search(row["matches"], question, re.DOTALL) is not None
    )
