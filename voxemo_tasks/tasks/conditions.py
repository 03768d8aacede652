"""Conditions: the ways in which a question is put about one utterance.

A *condition* is the clip as it is, a changed clip, another clip, words in its place, or another
context. All conditions of an utterance are asked in one pass; the id of a question says which one
it is of (``direct_en@1|control_silence()``). Headline rates are of the reference condition alone.

How they are written::

    clean                        the clip as it is
    noise(snr_db=10)             an audio transform; several in a row joined by `` + ``
    noise@3(kind=pink)           a transform at one of its severity levels, 1 to 5
    babble(snr_db=10)            noise of four other speakers of the corpus
    code_switch                  a clip in another language joined on
    shuffled, same_speaker       another clip in its place: of the corpus, of the same speaker
    transcript_only              the words and no sound
    right_transcript             the sound, and its words
    wrong_transcript             the sound, and the words of another utterance
    context:none, context:language+culture, wrong_context    (prompts of tier ``context``)
    sham, round_trip, pitch_up.large …    of the counterfactual protocol (``operations``)

and sets of them: ``controls``, ``robustness``, ``severities:noise``, ``factors``, ``doses``.

Words are put before the question as a quotation, in no language of our own, so that the question
itself stays what it is. Transforms that draw at random draw anew for every utterance.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ..audio import TRANSFORM_SPECS, at_severity, resolved
from ..errors import OptionError, UnknownNameError
from ..records import AudioRef, Json, Request, Transform, parse_transform
from ..specs import FACTORS
from .operations import DOSES, ROUND_TRIP, ROUND_TRIP_SHARE, SHAM

Kind = Literal[
    "clean",
    "transform",
    "babble",
    "code_switch",
    "shuffled",
    "same_speaker",
    "transcript_only",
    "right_transcript",
    "wrong_transcript",
    "context",
    "wrong_context",
    "sham",
    "round_trip",
    "dose",
    "claims",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

SWAPS: frozenset[Kind] = frozenset({"shuffled", "same_speaker"})
WORDED: frozenset[Kind] = frozenset({"transcript_only", "right_transcript", "wrong_transcript"})
NEEDS_DONOR: frozenset[Kind] = frozenset({*SWAPS, "wrong_transcript", "babble", "code_switch"})

CONTROLS = (
    *("control_silence()", "control_noise()", "control_flat()", "shuffled", "same_speaker"),
    *("transcript_only", "right_transcript", "wrong_transcript"),
)
ROBUSTNESS = (
    *(f"noise@{level}(kind={kind})" for kind in ("white", "pink") for level in (1, 3, 5)),
    *(f"babble@{level}" for level in (1, 3, 5)),
    *("telephone()", "codec_mulaw()", "codec_gsm()", "codec_opus@4", "codec_mp3@3"),
    *("reverb@3", "far_field@3", "clipping@3", "gain@3", "packet_loss@3", "code_switch"),
)
FACTOR_SET = ("context:none", *(f"context:{factor}" for factor in FACTORS), "wrong_context")
SETS: dict[str, tuple[str, ...]] = {
    "controls": CONTROLS,
    "robustness": ROBUSTNESS,
    "factors": FACTOR_SET,
    "doses": tuple(DOSES),
}
CHAIN = " + "
MARK = "|"
"""Between the question and the condition in the id of a member."""

_LEVELLED = re.compile(r"(?P<name>[a-z]\w*)@(?P<level>[0-9]+)(?:\((?P<inside>.*)\))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        id: As it is written, with defaults filled in.
        kind: What is changed.
        transforms: Of the clip, in order.
        family: What a severity curve joins: the transform without its severity.
        severity: Level of a single transform, 1 to 5, where it is one.
        context: Factors that the prompt says; ``None``: those of the run.
        share: Of the utterances that are asked about.
    """

    id: str
    kind: Kind
    transforms: tuple[Transform, ...] = ()
    family: str | None = None
    severity: int | None = None
    context: tuple[str, ...] | None = None
    share: float = 1.0

    def to_json(self) -> Json:
        data: Json = {"id": self.id, "kind": self.kind}
        if self.transforms:
            data["transforms"] = [str(t) for t in self.transforms]
        if self.severity is not None:
            data |= {"family": self.family, "severity": self.severity}
        if self.context is not None:
            data["context"] = list(self.context)
        if self.share < 1:
            data["share"] = self.share
        return data

    def audio(self, document: Mapping[str, Any], seed: int) -> AudioRef:
        """The clip that an utterance is asked about with."""
        donors = document.get("donors", {})
        own = AudioRef.from_json(document["audio"])
        if self.kind in SWAPS:
            return AudioRef.from_json(donors[self.kind]["audio"])
        if not self.transforms:
            return own
        made = []
        for transform in self.transforms:
            parameters = dict(transform.parameters)
            if self.kind in ("babble", "code_switch"):
                clips = [AudioRef.from_json(d) for d in donors[self.kind]["clips"]]
                parameters["path"] = "|".join(c.path for c in clips)
                parameters["sha256"] = "|".join(c.sha256 for c in clips)
            number = transform.seed
            if TRANSFORM_SPECS[transform.name].seeded and not number:
                number = drawn(seed, self.family or transform.name, document["utterance_id"])
            made.append(resolved(Transform(transform.name, parameters, number)))
        return replace(own, transforms=(*own.transforms, *made))

    def worded(self, request: Request, document: Mapping[str, Any]) -> Request:
        """The request with words before the question, or in the place of its clip."""
        if self.kind not in WORDED:
            return request
        text = document["transcript"]
        if self.kind == "wrong_transcript":
            text = document["donors"][self.kind]["transcript"]
        last = request.messages[-1]
        parts = list(last["content"])
        if self.kind == "transcript_only":
            parts = [part for part in parts if part["type"] != "audio"]
        at = next(i for i, part in enumerate(parts) if part["type"] == "text")
        parts[at] = {**parts[at], "text": f"“{text}”\n\n{parts[at]['text']}"}
        messages = (*request.messages[:-1], {**last, "content": parts})
        used = sum(p["type"] == "audio" for one in messages for p in one["content"])
        return replace(request, messages=messages, audio=request.audio[:used])


CLEAN = Condition("clean", "clean")
CLAIMS = Condition("claims", "claims")


def drawn(seed: int, *what: str) -> int:
    """A number from 1 to 2**31 - 1 that depends on nothing but its arguments."""
    said = ":".join([str(seed), *what]).encode("utf-8", "surrogatepass")
    return 1 + int.from_bytes(hashlib.sha256(said).digest()[:4], "big") % (2**31 - 1)


def in_share(condition: Condition, utterance_id: str, seed: int) -> bool:
    """Whether an utterance is among those that a condition is asked of."""
    if condition.share >= 1:
        return True
    return drawn(seed, "share", condition.id, utterance_id) < condition.share * 2**31


def parse_conditions(written: Iterable[str]) -> tuple[Condition, ...]:
    """Conditions from how they are written, sets expanded, each once, ``clean`` first.

    Raises:
        OptionError, UnknownNameError: For one that is no condition, with what is allowed.

    Example:
        >>> [c.id for c in parse_conditions(["noise(snr_db=10)", "shuffled"])]
        ['clean', 'noise(kind=white, snr_db=10.0)', 'shuffled']
    """
    found: dict[str, Condition] = {CLEAN.id: CLEAN}
    for text in written:
        for one in expanded(text):
            condition = parse_condition(one)
            found.setdefault(condition.id, condition)
    return tuple(found.values())


def expanded(text: str) -> tuple[str, ...]:
    """The members of a set, or the text itself."""
    name = text.strip()
    if name in SETS:
        return SETS[name]
    what, colon, of = name.partition(":")
    if what == "severities" and colon:
        noise = "noise" if of.startswith("babble") else of.partition("(")[0]
        if noise not in TRANSFORM_SPECS:
            having = [n for n, s in TRANSFORM_SPECS.items() if s.severities]
            raise UnknownNameError("transform with severity levels", noise, [*having, "babble"])
        head, bracket, inside = of.partition("(")
        return tuple(f"{head}@{level}{bracket}{inside}" for level in range(1, 6))
    return (name,)


def parse_condition(text: str) -> Condition:
    """One condition; see the head of the module.

    Raises:
        OptionError, UnknownNameError: For what is none.

    Example:
        >>> c = parse_condition("noise@3(kind=pink)")
        >>> c.id, c.family, c.severity
        ('noise(kind=pink, snr_db=10.0)', 'noise(kind=pink)', 3)
    """
    name = text.strip()
    if name == "clean":
        return CLEAN
    if name in ("shuffled", "same_speaker", *WORDED, "wrong_context"):
        kind: Kind = name
        return Condition(name, kind)
    if name == "sham":
        return Condition(name, "sham", (resolved(SHAM),))
    if name == "round_trip":
        return Condition(name, "round_trip", (resolved(ROUND_TRIP),), share=ROUND_TRIP_SHARE)
    if name in DOSES:
        return Condition(name, "dose", (resolved(DOSES[name]),))
    if name.startswith("context:"):
        return _context(name)
    steps = [_transform(step) for step in name.split(CHAIN)]
    if len(steps) == 1:
        return steps[0]
    if any(step.kind != "transform" for step in steps):
        raise OptionError(f"condition {text!r}: babble and code_switch stand alone, in no chain")
    transforms = tuple(t for step in steps for t in step.transforms)
    return Condition(CHAIN.join(str(t) for t in transforms), "transform", transforms)


def _context(name: str) -> Condition:
    said = name.partition(":")[2]
    factors = {"none": (), "all": FACTORS}.get(said, tuple(said.split("+")))
    if not set(factors) <= set(FACTORS):
        raise OptionError(
            f"condition {name!r}: factors joined by '+', all or none; factors: {', '.join(FACTORS)}"
        )
    ordered = tuple(factor for factor in FACTORS if factor in factors)
    shown = "all" if ordered == FACTORS else "+".join(ordered) or "none"
    return Condition(f"context:{shown}", "context", context=ordered)


def _transform(text: str) -> Condition:
    levelled = _LEVELLED.fullmatch(text.strip())
    head = levelled["name"] if levelled else text.partition("(")[0].strip()
    if head not in TRANSFORM_SPECS and head != "babble":
        known = [*TRANSFORM_SPECS, "babble", *SETS, *(k for k in KINDS if k != "claims"), *DOSES]
        raise UnknownNameError("condition", head, known)
    transform = parse_transform(f"{head}({levelled['inside'] or ''})" if levelled else text)
    level = int(levelled["level"]) if levelled else None
    kind: Kind = "transform"
    given = dict(transform.parameters)
    donors = head in ("babble", "code_switch") and "path" not in given
    if head == "babble":
        if not donors:
            raise OptionError(
                "babble takes its clips from the corpus; for your own: noise(kind=babble …)"
            )
        kind, transform = "babble", Transform("noise", {"kind": "babble", **given}, transform.seed)
    elif donors:
        kind = "code_switch"
    stand_in = {"path": "-", "sha256": "-"} if donors else {}
    parameters = {**transform.parameters, **stand_in}
    if level is not None:
        transform = at_severity(transform.name, level, parameters, transform.seed)
    else:
        transform = resolved(replace(transform, parameters=parameters))
    kept = {k: v for k, v in transform.parameters.items() if k not in stand_in}
    transform = replace(transform, parameters=kept)
    severity, family = _severity(transform)
    shown = str(transform)
    if kind == "babble":
        shown = shown.replace("noise(kind=babble, ", "babble(")
        family = "babble"
    return Condition(shown, kind, (transform,), family, severity)


def _severity(transform: Transform) -> tuple[int | None, str | None]:
    """Level of a transform, and the transform without it."""
    levels = TRANSFORM_SPECS[transform.name].severities
    values = transform.parameters
    for level, wanted in enumerate(levels, start=1):
        if all(values.get(key) == value for key, value in wanted.items()):
            rest = {k: v for k, v in values.items() if k not in wanted}
            return level, str(replace(transform, parameters=rest))
    return None, None
