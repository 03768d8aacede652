"""Run options: what ``--metadata`` may say, validated and recorded.

lm-eval mixes ``--model_args`` into the metadata of every task, so that keys that are not options
are only refused where they look like a misspelt one; ``voxemo run`` checks ``--metadata`` alone and
refuses every unknown key.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ..errors import OptionError
from ..records import Json
from ..specs import FACTORS, LabelForm, LabelStyle
from .conditions import CHAIN, parse_condition, parse_conditions

ROLES = ("train", "valid", "test")
TARGETS = ("released", "majority", "plurality")
_TEXTS = (
    *("protocol", "label_set", "verbalizer", "ensemble", "prompt_language", "role", "target"),
    *("label_order", "label_form", "label_style", "label_language", "readout", "transform"),
    *("pairs", "base_tier"),
)
_CHOICES: dict[str, tuple[str, ...]] = {
    "role": ROLES,
    "target": TARGETS,
    "label_form": get_args(LabelForm),
    "label_style": get_args(LabelStyle),
    "label_language": ("prompt", "en"),
    "readout": ("text", "likelihood"),
    "base_tier": ("direct", "open", "reason"),
}
_ORDER = re.compile(r"registered|permuted|rotated(_[1-9][0-9]?)?")


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
        ensemble: A registered set of prompts, in place of ``prompts``.
        prompt_language: Language of the tier's prompt, or ``corpus``: each utterance's own (English
            where the tier has no prompt in it).
        label_order: ``registered``, ``rotated``, ``rotated_K`` or ``permuted``.
        order_seed: Of rotations and permutations.
        label_form: ``registered``, ``adjective`` or ``noun``.
        label_style: ``comma``, ``lettered``, ``numbered``, ``bullets`` or ``json``.
        label_language: ``prompt`` (labels in the prompt's language) or ``en``.
        context: Factors that a prompt of tier ``context`` says, joined by ``+``; ``all`` or ``none``.
        shots: Labelled clips before the question, from the train part, never of the same speaker.
        shots_seed: Of their choice.
        repeat_question: How often the question stands in its message.
        repeat_audio: How often the clip stands before it.
        transform: Every clip of the run is heard through this (transforms joined by `` + ``); such a
            run has no headline.
        conditions: Asked beside the clip as it is; see ``conditions``.
        conditions_seed: Of everything that is drawn for them.
        base_tier: Tier of the question that the counterfactual protocol puts about every dose.
        pairs: File of minimal pairs; only their utterances are asked about.
        verbalizer: Verbalizer; default: the one that the prompt registers.
        readout: ``text`` (what the model writes) or ``likelihood`` (how likely it finds each label).
        structured: Hold replies of JSON tiers to their schema, where the engine can.
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
    ensemble: str | None = None
    prompt_language: str = "en"
    label_order: str = "registered"
    order_seed: int = 0
    label_form: LabelForm = "registered"
    label_style: LabelStyle = "comma"
    label_language: str = "prompt"
    context: tuple[str, ...] = FACTORS
    shots: int = 0
    shots_seed: int = 0
    repeat_question: int = 1
    repeat_audio: int = 1
    transform: str | None = None
    conditions: tuple[str, ...] = ()
    conditions_seed: int = 0
    base_tier: str = "direct"
    pairs: str | None = None
    verbalizer: str | None = None
    readout: str = "text"
    structured: bool = False
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    given: tuple[str, ...] = field(default=(), compare=False)

    def to_json(self) -> Json:
        data = asdict(self)
        data.pop("given")
        data["prompts"] = list(self.prompts)
        data["context"] = list(self.context)
        data["conditions"] = list(self.conditions)
        for name in _LATER:  # a run that does not use them is the same run as before they were
            if data[name] == _LATER[name]:
                del data[name]
        return data


_LATER: dict[str, Any] = {
    "transform": None,
    "conditions": [],
    "conditions_seed": 0,
    "base_tier": "direct",
    "pairs": None,
}

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
    for key in _TEXTS:
        if key in values and not isinstance(values[key], str):
            raise OptionError(f"--metadata: {key}={values[key]!r} must be text")
    for key, allowed in _CHOICES.items():
        if key in values and values[key] not in allowed:
            raise OptionError(f"--metadata: {key}={values[key]!r}; allowed: {', '.join(allowed)}")
    if "label_order" in values and not _ORDER.fullmatch(values["label_order"]):
        raise OptionError(
            f"--metadata: label_order={values['label_order']!r}; allowed: registered, rotated, "
            "rotated_1 …, permuted"
        )
    if "context" in values:
        values["context"] = _context(values["context"])
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
    if "transform" in values:
        values["transform"] = _single(values["transform"])
    if "conditions" in values:
        values["conditions"] = _conditions(values["conditions"])
    if "structured" in values and not isinstance(values["structured"], bool):
        raise OptionError(f"--metadata: structured={values['structured']!r} must be true or false")
    if "fold" in values:
        values["fold"] = _fold(values["fold"])
    values |= _numbers(values)
    options = RunOptions(**values, given=given)
    own = options.ensemble is None or "temperature" in given  # else the ensemble may give one
    if own and options.samples > 1 and options.temperature == 0:
        raise OptionError(
            f"--metadata: samples={options.samples} with temperature 0: greedy samples are all the "
            "same reply; give a temperature above 0, or leave samples at 1"
        )
    if options.readout == "likelihood" and (options.samples > 1 or options.verbalizer):
        raise OptionError(
            "--metadata: readout=likelihood takes one number a label: no samples, and no verbalizer of "
            "your own"
        )
    return options


def _context(value: Any) -> tuple[str, ...]:
    named = value.split("+") if isinstance(value, str) else value
    if named == ["all"]:
        return FACTORS
    if named == ["none"]:
        return ()
    if not isinstance(named, list | tuple) or not named or any(x not in FACTORS for x in named):
        raise OptionError(
            f"--metadata: context={value!r}; factors joined by '+', all or none; factors: "
            f"{', '.join(FACTORS)}"
        )
    return tuple(factor for factor in FACTORS if factor in named)


def _single(text: str) -> str:
    condition = parse_condition(text)
    if condition.kind != "transform":
        raise OptionError(
            f"--metadata: transform={text!r} is a condition and no change of the clip; ask it with "
            "conditions"
        )
    return CHAIN.join(str(t) for t in condition.transforms)


def _conditions(value: Any) -> tuple[str, ...]:
    listed = [part.strip() for part in value.split(";")] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(x, str) for x in listed):
        raise OptionError(
            f"--metadata: conditions={value!r} must be a list of conditions (or one text, joined by "
            "';')"
        )
    return tuple(condition.id for condition in parse_conditions(listed))


def _fold(value: Any) -> int | Literal["all"]:
    if value == "all":
        return "all"
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 1:
        raise OptionError(f"--metadata: fold={value!r} must be a number from 1, or 'all'")
    return int(value)


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, convert, low, high in (
        ("samples", int, 1, 1000),
        ("shots", int, 0, 64),
        ("shots_seed", int, 0, 2**31),
        ("order_seed", int, 0, 2**31),
        ("conditions_seed", int, 0, 2**31),
        ("repeat_question", int, 1, 16),
        ("repeat_audio", int, 1, 16),
        ("temperature", float, 0, 10),
        ("top_p", float, 1e-6, 1),
    ):
        if key not in values:
            continue
        try:
            number = convert(values[key])
            whole = convert is float or number == float(values[key])  # 2.7 is not 2
        except (TypeError, ValueError, OverflowError):
            number, whole = None, False
        if (
            number is None
            or not whole
            or isinstance(values[key], bool)
            or not low <= number <= high
        ):
            raise OptionError(
                f"--metadata: {key}={values[key]!r} must be a {'whole ' if convert is int else ''}number "
                f"from {low} to {high}"
            )
        out[key] = number
    return out
