"""Which questions a task asks of an utterance, and how their answers are read.

A *member* is one question: a prompt with its way of offering the labels. The plain case has one
member, a list of prompts or an ensemble several, and a run in the corpus's own language one set per
language. What a scorer needs to read the answers again stands in the header of the documents.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .. import registry
from ..errors import OptionError, UnknownNameError
from ..labels import LabelSet
from ..records import Json, Reply, Verdict
from ..render import Menu, menu_of, shown_words
from ..specs import (
    AnyVerbalizer,
    CorpusCard,
    EnsembleSpec,
    LabelForm,
    LabelStyle,
    PromptSpec,
    WordingSpec,
)
from ..tally import read_reply
from .conditions import CLEAN, MARK, Condition
from .options import RunOptions

log = logging.getLogger(__name__)

BARE = frozenset({"direct", "context", "open"})
"""Tiers whose whole answer is a label, so that a labelled example can show one."""


LIKELIHOOD = "likelihood"
"""Verbalizer of the likelihoods of labels."""


@dataclass(frozen=True, slots=True)
class Member:
    """One question of a task.

    Attributes:
        id: Unique within the task: ``prompt@version``, with what differs from the run's options.
        prompt: What is asked.
        digest: SHA-256 of the prompt's file.
        order: Order of the labels.
        form: Their form.
        style: How they are listed.
        wording: Their words, where they are not the label set's own names.
        condition: What is done to utterance or question.
    """

    id: str
    prompt: PromptSpec
    digest: str
    order: str
    form: LabelForm
    style: LabelStyle
    wording: WordingSpec | None
    condition: Condition = CLEAN

    def under(self, condition: Condition) -> Member:
        """The same question under a condition."""
        if condition.kind == "clean":
            return self
        return replace(self, id=f"{self.id}{MARK}{condition.id}", condition=condition)

    def menu(self, label_set: LabelSet | None, utterance_id: str, seed: int) -> Menu | None:
        """The labels as this question offers them to an utterance."""
        if label_set is None:
            return None
        return menu_of(
            label_set.labels,
            utterance_id,
            order=self.order,
            form=self.form,
            style=self.style,
            separator=self.prompt.labels_separator,
            wording=self.wording,
            seed=seed,
        )

    def to_json(self, label_set: LabelSet | None) -> Json:
        """What a scorer needs: see :func:`~voxemo_tasks.render.menu_from`."""
        shown = None
        if label_set is not None:
            shown = list(shown_words(label_set.labels, self.form, self.wording))
        changed = {} if self.condition.kind == "clean" else {"condition": self.condition.id}
        return {
            "id": self.id,
            "prompt": self.prompt.ref,
            "answer": self.prompt.answer,
            "label_order": self.order,
            "label_form": self.form,
            "label_style": self.style,
            "wording": None
            if self.wording is None
            else {"id": self.wording.ref, "reviewed": self.wording.reviewed},
            "shown": shown,
            **changed,
        }


def members_of(
    tier: str, options: RunOptions, languages: Iterable[str | None] = ()
) -> dict[str | None, tuple[Member, ...]]:
    """The questions of a task, by language of the utterance; ``None`` is every other language.

    Args:
        tier: The task's tier.
        options: The run's options.
        languages: Languages of the utterances, for ``prompt_language=corpus``.

    Raises:
        OptionError: For a prompt of another tier, or options that exclude one another.
        UnknownNameError: For a prompt, ensemble or language that is not registered.
    """
    if options.ensemble is not None:
        spec, _ = registry.ensemble(options.ensemble)
        members = _of_ensemble(spec, options)
        tiers = sorted({member.prompt.tier for member in members})
        if tier not in tiers:  # the results would name a tier that was not asked
            raise OptionError(
                f"--metadata: ensemble {spec.ref!r} asks tier(s) {', '.join(tiers)}, the task asks tier "
                f"{tier!r}; run the task of one of those"
            )
        return {None: members}
    if options.prompts:
        chosen = [registry.prompt(ref) for ref in options.prompts]
        refs = [prompt.ref for prompt, _ in chosen]
        if len(set(refs)) < len(refs):  # e.g. once with its version and once without
            raise OptionError(f"--metadata: prompts={list(options.prompts)}: a prompt stands twice")
        for prompt, _ in chosen:
            if prompt.tier != tier:
                raise OptionError(
                    f"--metadata: prompt {prompt.ref!r} is of tier {prompt.tier!r}, the task asks "
                    f"tier {tier!r}; run the task of that tier"
                )
        return {None: tuple(_member(p, digest, options) for p, digest in chosen)}
    if options.prompt_language != "corpus":
        return {None: (_default(tier, options.prompt_language, options),)}
    found: dict[str | None, tuple[Member, ...]] = {None: (_default(tier, "en", options),)}
    for language in sorted({x for x in languages if x}):
        try:
            found[language] = (_default(tier, language, options),)
        except UnknownNameError:
            log.warning("tier %s has no prompt in %s: asking in English", tier, language)
    return found


def _default(tier: str, language: str, options: RunOptions) -> Member:
    prompt, digest = registry.prompt(registry.default_prompt(tier, language).ref)
    return _member(prompt, digest, options)


def _member(
    prompt: PromptSpec,
    digest: str,
    options: RunOptions,
    *,
    order: str | None = None,
    form: LabelForm | None = None,
    style: LabelStyle | None = None,
) -> Member:
    language = prompt.language if options.label_language == "prompt" else "en"
    form = form or options.label_form
    plain = form == "registered" and language.partition("-")[0] == "en"
    changed = [x for x in (order, form if form != options.label_form else None, style) if x]
    return Member(
        id="/".join([prompt.ref, *changed]),
        prompt=prompt,
        digest=digest,
        order=order or options.label_order,
        form=form,
        style=style or options.label_style,
        wording=None if plain else registry.wording(language)[0],
    )


def _of_ensemble(spec: EnsembleSpec, options: RunOptions) -> tuple[Member, ...]:
    if options.prompts:
        raise OptionError("--metadata: prompts and ensemble exclude one another")
    if options.prompt_language != "en":
        raise OptionError(
            f"--metadata: ensemble={spec.ref!r} names its prompts; prompt_language has no effect"
        )
    return tuple(
        _member(
            *registry.prompt(member.prompt),
            options,
            order=member.label_order,
            form=member.label_form,
            style=member.label_style,
        )
        for member in spec.members
    )


def sampling_of(options: RunOptions) -> tuple[int, float, float]:
    """Samples, temperature and top-p: the run's, or where it says nothing the ensemble's."""
    if options.ensemble is None:
        return options.samples, options.temperature, options.top_p
    spec, _ = registry.ensemble(options.ensemble)
    values = {"samples": spec.samples, "temperature": spec.temperature, "top_p": spec.top_p}
    values |= {name: getattr(options, name) for name in values if name in options.given}
    if values["samples"] > 1 and values["temperature"] == 0:
        raise OptionError(
            f"--metadata: ensemble={spec.ref!r} takes {values['samples']} samples; they need a "
            "temperature above 0"
        )
    if options.readout == LIKELIHOOD and values["samples"] > 1:
        raise OptionError(
            f"--metadata: readout=likelihood takes one number a label; ensemble={spec.ref!r} takes "
            f"{values['samples']} samples: say samples=1, or choose another ensemble"
        )
    return int(values["samples"]), float(values["temperature"]), float(values["top_p"])


def verbalizer_of(members: Sequence[Member], options: RunOptions) -> tuple[AnyVerbalizer, str]:
    """The verbalizer of a task, with its digest.

    Raises:
        OptionError: Where the prompts register different ones and none was chosen.
    """
    if options.readout == "likelihood":
        bare = {member.prompt.tier for member in members} - BARE
        if bare:
            raise OptionError(
                f"--metadata: readout=likelihood: tier {', '.join(sorted(bare))} answers with more than "
                f"a label; tiers whose answer is one: {', '.join(sorted(BARE))}"
            )
        return registry.verbalizer(LIKELIHOOD)
    if options.verbalizer is not None:
        return registry.verbalizer(options.verbalizer)
    registered = sorted({member.prompt.verbalizer for member in members})
    if len(registered) > 1:
        raise OptionError(
            f"the prompts register different verbalizers ({', '.join(registered)}); choose one with "
            "--metadata '{\"verbalizer\": …}'"
        )
    return registry.verbalizer(registered[0])


def verdict_on(
    reply: str,
    menu: Menu | None,
    spec: AnyVerbalizer,
    dimensions: Sequence[str] = (),
    scale: tuple[float, float] | None = None,
) -> Verdict:
    """The verdict on a reply as lm-eval hands it back."""
    error = getattr(reply, "error", None)
    if error is not None:
        return Verdict("engine_error", rule=str(error))
    text = str.__str__(reply) if isinstance(reply, Reply) else reply
    return read_reply(text, getattr(reply, "finish_reason", "stop"), menu, spec, dimensions, scale)


def context_of(
    card: CorpusCard, document: Mapping[str, object], factors: Iterable[str]
) -> dict[str, str]:
    """Factor → what is known of it, in English words: of the utterance, else of the corpus.

    A language or culture without a name in ``wording_en`` is left out, never shown as a code.
    """
    words, _ = registry.wording("en")
    only = card.languages[0] if len(card.languages) == 1 else None
    language = document.get("language") or only
    culture = document.get("culture") or card.culture
    known = {
        "language": _name(words.languages, language),
        "culture": _name(words.cultures, culture),
        "relationship": document.get("relationship") or card.context.relationship,
        "formality": document.get("formality") or card.context.formality,
        "setting": document.get("setting") or card.context.setting,
    }
    return {name: str(known[name]) for name in factors if known[name]}


def _name(names: Mapping[str, str], tag: object) -> str | None:
    if not isinstance(tag, str):
        return None
    return names.get(tag) or names.get(tag.partition("-")[0])


def count_known(contexts: Iterable[Mapping[str, str]], factors: Sequence[str]) -> dict[str, int]:
    """For how many utterances each factor is known."""
    counts: Counter[str] = Counter()
    for context in contexts:
        counts.update(context.keys())
    return {factor: counts[factor] for factor in factors}
