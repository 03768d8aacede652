"""Run options: what ``--metadata`` may say, validated and recorded.

lm-eval mixes ``--model_args`` into the metadata of every task, so that keys that are not options
are only refused where they look like a misspelt one; ``voxemo run`` checks ``--metadata`` alone and
refuses every unknown key.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..errors import OptionError
from ..records import Json

ROLES = ("train", "valid", "test")
TARGETS = ("released", "majority", "plurality")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run; ``None`` leaves the choice to the card or the prompt.

    Attributes:
        protocol: How the corpus is divided; default: the card's.
        fold: Fold of the protocol, or ``all``.
        role: Which part of the fold is asked about.
        label_set: Menu; default: the card's.
        target: What the one gold label is: ``released`` (the corpus's own label, by the rule that
            its card names) or ``majority`` or ``plurality`` of the votes within the label set.
        prompts: Prompt ids (``id`` or ``id@version``); default: the tier's own.
        prompt_language: Language of the tier's prompt.
        verbalizer: Verbalizer; default: the one that the prompt registers.
        samples: Replies per prompt; more than one needs a temperature.
        temperature: 0 is greedy.
        top_p: Nucleus mass when sampling.
    """

    protocol: str | None = None
    fold: int | Literal["all"] | None = None
    role: str = "test"
    label_set: str | None = None
    target: str = "released"
    prompts: tuple[str, ...] = ()
    prompt_language: str = "en"
    verbalizer: str | None = None
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    given: tuple[str, ...] = field(default=(), compare=False)

    def to_json(self) -> Json:
        data = asdict(self)
        data.pop("given")
        data["prompts"] = list(self.prompts)
        return data


NAMES = tuple(name for name in RunOptions.__slots__ if name != "given")


def parse_options(metadata: Mapping[str, Any], *, strict: bool) -> RunOptions:
    """Options from lm-eval's metadata.

    Args:
        metadata: What lm-eval hands the task (or ``--metadata`` alone).
        strict: Refuse every unknown key; else only those that look like a misspelt option.

    Raises:
        OptionError: Naming the key, what was got and what is allowed.

    Example:
        >>> parse_options({"fold": 2, "pretrained": "voxemo-tiny"}, strict=False).fold
        2
    """
    for key in metadata:
        if key in NAMES:
            continue
        near = difflib.get_close_matches(str(key), NAMES, n=1, cutoff=0.8)
        if strict or near:
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise OptionError(
                f"--metadata: {key!r} is no option; {hint}allowed: {', '.join(NAMES)}"
            )
    values: dict[str, Any] = {k: metadata[k] for k in NAMES if metadata.get(k) is not None}
    given = tuple(sorted(values))
    for key in ("protocol", "label_set", "verbalizer", "prompt_language", "role", "target"):
        if key in values and not isinstance(values[key], str):
            raise OptionError(f"--metadata: {key}={values[key]!r} must be text")
    if "role" in values and values["role"] not in ROLES:
        raise OptionError(f"--metadata: role={values['role']!r}; allowed: {', '.join(ROLES)}")
    if "target" in values and values["target"] not in TARGETS:
        raise OptionError(f"--metadata: target={values['target']!r}; allowed: {', '.join(TARGETS)}")
    if "prompts" in values:
        listed = values["prompts"]
        listed = listed.split("+") if isinstance(listed, str) else listed
        if not isinstance(listed, list | tuple) or not all(isinstance(p, str) for p in listed):
            raise OptionError(
                f"--metadata: prompts={values['prompts']!r} must be a list of prompt ids (or one "
                "text, ids joined by '+')"
            )
        if len(set(listed)) != len(listed) or not listed:
            raise OptionError(f"--metadata: prompts={listed!r} is empty or names a prompt twice")
        values["prompts"] = tuple(listed)
    if "fold" in values:
        values["fold"] = _fold(values["fold"])
    values |= _numbers(values)
    options = RunOptions(**values, given=given)
    if options.samples > 1 and options.temperature == 0:
        raise OptionError(
            f"--metadata: samples={options.samples} with temperature 0: greedy samples are all the "
            "same reply; give a temperature above 0, or leave samples at 1"
        )
    return options


def _fold(value: Any) -> int | Literal["all"]:
    if value == "all":
        return "all"
    if isinstance(value, bool) or not str(value).isdigit() or int(value) < 1:
        raise OptionError(f"--metadata: fold={value!r} must be a number from 1, or 'all'")
    return int(value)


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, convert, low, high in (
        ("samples", int, 1, 1000),
        ("temperature", float, 0, 10),
        ("top_p", float, 1e-6, 1),
    ):
        if key not in values:
            continue
        try:
            number = convert(values[key])
        except (TypeError, ValueError):
            number = None
        if number is None or isinstance(values[key], bool) or not low <= number <= high:
            raise OptionError(
                f"--metadata: {key}={values[key]!r} must be a number from {low} to {high}"
            )
        out[key] = number
    return out
