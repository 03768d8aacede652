"""How an LLM is asked to read a reply, and how its answer is read. Pure.

An :class:`Item` is what is judged: texts, and a menu where labels are asked for. ``ask`` makes the
request of a registered rubric from it: the material first, as JSON within a fence of its own
(:mod:`voxemo_tasks.adjudicating.fencing`), then the rubric, the options in an order that a seed and
the item decide. ``hear`` reads the judge's reply (:mod:`voxemo_tasks.adjudicating.reading`), and
``verdict_of`` makes a :class:`~voxemo_tasks.records.Verdict` of what a panel said
(:mod:`voxemo_tasks.adjudicating.panel`). A judge never sees a gold label or sound: it maps text to
the menu, code compares. The emulations of other suites' judges are the one, labelled exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .adjudicating.attacks import Canary, attack_text, canaries
from .adjudicating.fencing import blinded, fenced, nonce_of
from .adjudicating.panel import Consensus, consensus, leave_one_out
from .adjudicating.reading import Judged, read_emulated, read_json, schema_with
from .errors import LabelSetError, OptionError
from .hygiene import suspicious
from .records import Json, Status, Verdict, digest_of
from .specs import JudgeExample, JudgeSpec

__all__ = [
    "Canary",
    "Consensus",
    "Item",
    "JudgeRequest",
    "Judged",
    "ask",
    "attack_text",
    "blinded",
    "canaries",
    "consensus",
    "failing_examples",
    "hear",
    "leave_one_out",
    "schema_for_engine",
    "suspicious",
    "verdict_of",
]


@dataclass(frozen=True, slots=True)
class Item:
    """What is judged.

    Attributes:
        data: Field → text, ``None`` where it is not known; what the rubric does not use is ignored.
        labels: The menu, where labels are asked for.
        offered: What each label was called in the question, where it had another name there.
        dimension: What is to be rated, of a rubric that has several.
    """

    data: Mapping[str, str | None]
    labels: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    dimension: str | None = None

    def id(self, spec: JudgeSpec) -> str:
        """Digest of what a rubric sees of the item; equal items are judged once."""
        return digest_of(
            {
                "data": {name: self.data.get(name) for name in spec.fields},
                "labels": list(self.labels),
                "offered": list(self.offered),
                "dimension": self.dimension,
            }
        )


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One question to a judge.

    Attributes:
        item: Id of the item.
        messages: Chat messages with text content.
        options: Answers in the order in which they are shown.
        schema: JSON Schema of the answer; ``None`` of an emulation.
        data: The material as shown.
        decoding: Length and stops; always greedy.
    """

    item: str
    messages: tuple[dict[str, str], ...]
    options: tuple[str, ...]
    schema: Json | None
    data: Mapping[str, str | None]
    decoding: Json = field(default_factory=dict)

    def key(self, judge: str, rubric: str) -> str:
        """Key of the judgement: judge's fingerprint + rubric's digest + text + decoding."""
        return digest_of(
            {
                "judge": judge,
                "rubric": rubric,
                "messages": list(self.messages),
                "decoding": self.decoding,
            }
        )

    def again(self, spec: JudgeSpec, problem: str) -> JudgeRequest:
        """The same question after an answer that could not be used.

        The unusable answer is not shown: it may hold what the judged text made the judge say.
        """
        last = self.messages[-1]
        said = (spec.retry or "").format(problem=problem)
        messages = (*self.messages[:-1], {**last, "content": f"{last['content']}\n\n{said}"})
        return JudgeRequest(
            self.item, messages, self.options, self.schema, self.data, self.decoding
        )


def ask(
    spec: JudgeSpec,
    digest: str,
    item: Item,
    *,
    seed: int = 0,
    swap: bool = False,
    families: Mapping[str, Sequence[str]] | None = None,
) -> JudgeRequest:
    """The request that a rubric makes of an item.

    Args:
        spec: The rubric.
        digest: SHA-256 of its file.
        item: What is judged.
        seed: Of the order of options, and of the nonce. The same input gives the same bytes.
        swap: Show the options the other way round, to see whether their order decides.
        families: Names of models that are blinded in the material; see
            :func:`~voxemo_tasks.adjudicating.fencing.blinded`.

    Raises:
        LabelSetError: For a rubric that offers labels and an item without, or a menu that has a
            label of the same name as one of the rubric's own options.
        OptionError: For a dimension that the rubric does not have, or an emulation without gold.

    Example:
        >>> from voxemo_tasks import registry
        >>> spec, digest = registry.judge("adjudicate_label")
        >>> request = ask(spec, digest, Item({"reply": "Gloomy."}, ("happy", "sad")))
        >>> sorted(request.options)
        ['happy', 'multiple', 'none', 'off_menu', 'sad']
        >>> hear(spec, request, '{"quote": "Gloomy", "answer": "sad"}').answer
        'sad'
    """
    decoding: Json = {
        "max_new_tokens": spec.decoding.max_new_tokens,
        "stop": list(spec.decoding.stop),
    }
    item_id = item.id(spec)
    raw = {name: item.data.get(name) for name in spec.fields}
    if spec.task == "emulation":
        if raw.get("gold") is None:
            raise OptionError(f"rubric {spec.ref} shows the judge a gold label; the item has none")
        text = spec.text.format(**raw).strip()
        return JudgeRequest(item_id, ({"role": "user", "content": text},), (), None, raw, decoding)
    data = {
        name: None if text is None else blinded(text, families or {}) for name, text in raw.items()
    }
    _require_menu(spec, item)
    options = _ordered([*item.labels, *spec.options], f"{seed}:{item_id}", swap)
    values = {
        "data": fenced(data),
        "nonce": nonce_of(seed, digest, item_id, data),
        "options": "\n".join(_line(option, spec, item) for option in options),
    }
    if spec.dimensions:
        values |= _rated(spec, item, f"{seed}:{item_id}", swap)
    messages = [{"role": "user", "content": spec.text.format(**values).strip()}]
    if spec.system is not None:
        messages.insert(0, {"role": "system", "content": spec.system.strip()})
    schema = schema_with(spec.output_schema, item.labels)
    return JudgeRequest(item_id, tuple(messages), tuple(options), schema, data, decoding)


def _require_menu(spec: JudgeSpec, item: Item) -> None:
    if (spec.task == "adjudicate_label") != bool(item.labels):
        wanted = "needs a menu" if not item.labels else "offers no labels"
        raise LabelSetError(f"rubric {spec.ref} {wanted}; the item has the labels {item.labels}")
    if both := sorted(set(item.labels) & spec.options.keys()):
        raise LabelSetError(f"rubric {spec.ref} has an option of its own called {', '.join(both)}")


def _ordered(options: Sequence[str], salt: str, swap: bool) -> list[str]:
    def draw(option: str) -> str:
        return hashlib.sha256(f"{salt}:{option}".encode()).hexdigest()

    return sorted(options, key=draw, reverse=swap)


def _line(option: str, spec: JudgeSpec, item: Item) -> str:
    if option in spec.options:
        return f'- "{option}": {spec.options[option]}'
    offered = dict(zip(item.labels, item.offered, strict=False)).get(option, option)
    called = f" (in the question: {offered})" if offered != option else ""
    return f'- "{option}"{called}'


def _rated(spec: JudgeSpec, item: Item, salt: str, swap: bool) -> dict[str, str]:
    if item.dimension not in spec.dimensions:
        raise OptionError(
            f"rubric {spec.ref} rates {', '.join(spec.dimensions)}, one a call; got {item.dimension!r}"
        )
    rated = spec.dimensions[item.dimension]
    falling = (int(hashlib.sha256(salt.encode()).hexdigest(), 16) % 2 == 1) != swap
    anchors = [f"{score}: {text}" for score, text in sorted(rated.anchors.items(), reverse=falling)]
    return {
        "dimension": item.dimension.replace("_", " "),
        "question": rated.question,
        "anchors": "\n".join(anchors),
    }


def hear(spec: JudgeSpec, request: JudgeRequest, text: str) -> Judged:
    """Read what a judge wrote."""
    if request.schema is None:
        return read_emulated(text, spec.reads)
    return read_json(text, request.schema, spec, request.data)


_STATUS: dict[str, Status] = {"multiple": "multiple", "off_menu": "off_menu"}


def verdict_of(
    said: Consensus, ref: str, text: str, quote: str = "", read: Verdict | None = None
) -> Verdict:
    """What a panel says of a reply, as a verdict.

    Args:
        said: Its answer.
        ref: ``id@version`` of the rubric.
        text: The reply.
        quote: The words that a judge of the majority quoted.
        read: The verbalizer's verdict; says which kind of non-answer ``none`` is, and whether the
            reply was cut.

    Returns:
        ``judge_failed`` where the panel says nothing: our failure, and no status of the model's.

    Example:
        >>> verdict_of(Consensus("sad", 2, 3), "adjudicate_label@1", "So gloomy!", "gloomy").span
        (3, 9)
    """
    cut = read is not None and read.cut
    rule = f"judge:{ref}"
    if said.answer is None:
        return Verdict("judge_failed", rule=f"{rule}: {said.problem}", cut=cut)
    answer = str(said.answer)
    at = text.find(quote) if quote else -1
    span = (at, at + len(quote)) if at >= 0 else None
    if answer in _STATUS:
        return Verdict(_STATUS[answer], span=span, rule=rule, cut=cut)
    if answer == "none":
        kept = read.status if read is not None else "unparsed"
        status: Status = kept if kept in ("abstained", "empty", "truncated") else "unparsed"
        return Verdict(status, rule=rule, cut=cut)
    return Verdict("answered", (answer,), span=span, rule=rule, cut=cut)


def failing_examples(spec: JudgeSpec, digest: str) -> list[tuple[JudgeExample, Judged]]:
    """Examples of a rubric's own file that are not read as they say."""
    failing = []
    for example in spec.examples:
        item = Item(example.data, tuple(example.menu), dimension=example.dimension)
        judged = hear(spec, ask(spec, digest, item), example.reply)
        wrong = judged.answer != example.answer or (example.problem or "") not in (
            judged.problem or ""
        )
        if wrong:
            failing.append((example, judged))
    return failing


def schema_for_engine(schema: Json) -> dict[str, Any]:
    """``response_format`` of an OpenAI-compatible engine that can hold a reply to a schema."""
    return {
        "type": "json_schema",
        "json_schema": {"name": "judgement", "strict": True, "schema": schema},
    }
