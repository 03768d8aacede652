"""A task's plan: its label set, questions, reader and frame, from card, tier and options.

Made before a model is loaded, so that whatever is wrong with the options is said at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .. import registry
from ..corpora import Manifest
from ..errors import OptionError
from ..labels import DIMENSIONS, LabelSet
from ..records import AudioRef, Json
from ..render import Frame, Menu, Shot
from ..specs import AnyVerbalizer, CorpusCard
from ..tally import require_fitting
from ..verbalize import unknown_labels
from .asking import BARE, Member, context_of, count_known, members_of, sampling_of, verbalizer_of
from .conditions import CLAIMS, CLEAN, Condition, parse_conditions
from .documents import Selection, divide
from .donors import Donors
from .operations import PROTOCOL
from .options import RunOptions
from .shots import Shots

log = logging.getLogger(__name__)

COUNTERFACTUAL = "counterfactual"
"""The tier whose task runs the whole protocol: claims, and the base question about every dose."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a task asks of a corpus, and how.

    Attributes:
        card: The corpus.
        tier: The tier.
        options: The run's options.
        label_set: Menu; ``None`` where ratings are asked for.
        by_language: Questions by language of the utterance; ``None`` for every other one.
        verbalizer: Reader of the replies, with its digest.
        ensemble: Id and digest of the ensemble, if there is one.
        conditions: What is asked of each utterance; just ``clean`` in an ordinary run.
    """

    card: CorpusCard
    tier: str
    options: RunOptions
    label_set: LabelSet | None
    by_language: dict[str | None, tuple[Member, ...]]
    verbalizer: tuple[AnyVerbalizer, str]
    ensemble: Json | None = None
    conditions: tuple[Condition, ...] = (CLEAN,)

    @classmethod
    def of(cls, card: CorpusCard, tier: str, options: RunOptions) -> Plan:
        """The plan before the utterances are known.

        Raises:
            OptionError, UnknownNameError, LabelSetError: For options that cannot be met.
        """
        conditions = conditions_of(tier, options)
        by_language = questions_of(tier, options, card.languages, conditions)
        members = [m for several in by_language.values() for m in several]
        answers = {member.prompt.answer for member in members}
        if "dimensions" in answers and len(answers) > 1:
            raise OptionError(f"{tier}: one task asks for ratings or for labels, not for both")
        ratings = "dimensions" in answers
        if ratings and card.dimensions is None:
            raise OptionError(f"corpus {card.id!r} has no ratings on dimensions to ask for")
        label_set = None if ratings else card.label_set(options.label_set)
        if options.shots and not all(member.prompt.tier in BARE for member in members):
            raise OptionError(
                f"--metadata: shots={options.shots}: an example shows a bare label, and tier {tier!r} "
                f"answers with more; tiers with examples: {', '.join(sorted(BARE))}"
            )
        if options.structured and not any(member.prompt.json_only for member in members):
            raise OptionError(
                f"--metadata: structured=true: no prompt of tier {tier!r} asks for JSON and nothing "
                "else, so there is no schema to hold its replies to"
            )
        sampling_of(options)  # raises
        _require_context(tier, members, conditions)
        reader = verbalizer_of([m for m in members if m.condition != CLAIMS], options)
        require_fitting(reader[0], ratings=ratings)
        for member in members:
            menu = member.menu(label_set, "", options.order_seed)
            unknown = [] if menu is None else unknown_labels(menu.read_as(), reader[0])
            if unknown:
                log.warning(
                    "corpus %s: verbalizer %s has no words for the label(s) %s as prompt %s offers "
                    "them; only these very words answer them",
                    card.id,
                    reader[0].ref,
                    ", ".join(unknown),
                    member.prompt.ref,
                )
        spec = None
        if options.ensemble is not None:
            found, digest = registry.ensemble(options.ensemble)
            spec = {"id": found.ref, "sha256": digest}
        return cls(card, tier, options, label_set, by_language, reader, spec, conditions)

    def speaking(self, languages: Iterable[str | None]) -> Plan:
        """The plan for the languages that the utterances really have."""
        if self.options.prompt_language != "corpus":
            return self
        spoken = {x or self._only_language for x in languages}
        found = questions_of(self.tier, self.options, spoken, self.conditions)
        if spoken <= found.keys() - {None}:
            # Nobody is asked in English for want of a prompt: it is not of this run.
            del found[None]
        return replace(self, by_language=found)

    @property
    def _only_language(self) -> str | None:
        """What is spoken where an utterance does not say, in a corpus of one language."""
        return self.card.languages[0] if len(self.card.languages) == 1 else None

    def members(self, document: Json) -> tuple[Member, ...]:
        """The questions to an utterance."""
        language = document.get("language") or self._only_language
        found = self.by_language[language if language in self.by_language else None]
        skipped = document.get("skipped")
        if not skipped:
            return found
        return tuple(member for member in found if member.condition.id not in skipped)

    def all_members(self) -> list[Member]:
        """Every question once."""
        return list({m.id: m for several in self.by_language.values() for m in several}.values())

    def require(self, manifest: Manifest, selection: Selection) -> None:
        """Raise for what only the utterances show: that the files of the copy are gone, say."""
        if not selection.rows:
            raise OptionError(f"corpus {self.card.id!r}: nothing is selected")

    def scale(
        self, manifest: Manifest, rows: Sequence[int]
    ) -> tuple[tuple[str, ...], tuple[float, float] | None]:
        """The dimensions on which the selected utterances are rated, and their scale."""
        if self.label_set is not None or self.card.dimensions is None:
            return (), None
        columns = {name: manifest.column(name) for name in DIMENSIONS}
        traces = manifest.column("traces")
        rated = tuple(
            name
            for name, column in columns.items()
            if any(column[row] is not None or name in (traces[row] or ()) for row in rows)
        )
        return rated, (self.card.dimensions.low, self.card.dimensions.high)

    def shots(self, manifest: Manifest, selection: Selection) -> Shots | None:
        """The chooser of labelled examples, where they are asked for."""
        if not self.options.shots:
            return None
        assert self.label_set is not None
        protocol, fold, splits = divide(self.card, manifest, self.options)
        return Shots(self.card, manifest, splits, self.label_set, protocol, fold, self.options)

    def donors(self, manifest: Manifest, selection: Selection) -> Donors | None:
        """What other utterances lend, where there are conditions."""
        if self.conditions == (CLEAN,):
            return None
        return Donors(
            self.card,
            manifest,
            selection.rows,
            self.label_set,
            self.conditions,
            self.options.conditions_seed,
            self.options.target,
        )

    def frame(
        self,
        member: Member,
        menu: Menu | None,
        document: Json,
        dimensions: tuple[str, ...],
        scale: tuple[float, float] | None,
    ) -> Frame:
        """What stands around a question to an utterance."""
        words: dict[str, str] = {}
        if menu is not None:
            words = dict(zip(menu.labels, menu.read_as(), strict=True))
        return Frame(
            context=self._context(member, document),
            dimensions=dimensions,
            scale=scale,
            shots=tuple(
                Shot(AudioRef.from_json(shot["audio"]), words[shot["label"]])
                for shot in document.get("shots", ())
            ),
            repeat_question=self.options.repeat_question,
            repeat_audio=self.options.repeat_audio,
        )

    def _context(self, member: Member, document: Json) -> dict[str, str]:
        if not member.prompt.context:
            return {}
        if member.condition.kind == "wrong_context":
            return dict(document.get("wrong_context", {}))
        factors = member.condition.context
        said = self.options.context if factors is None else factors
        return context_of(self.card, document, said)

    def context_known(self, documents: Iterable[Json]) -> dict[str, int] | None:
        """For how many utterances each factor is known; ``None`` where no prompt says any."""
        members = [m for m in self.all_members() if m.prompt.context]
        if not members:
            return None
        contexts = (self._context(members[0], document) for document in documents)
        return count_known(contexts, self.options.context)


def conditions_of(tier: str, options: RunOptions) -> tuple[Condition, ...]:
    """The conditions of a task: those asked for, or the whole of the counterfactual protocol."""
    written = options.conditions
    if tier == COUNTERFACTUAL and not written:
        written = PROTOCOL
    conditions = parse_conditions(written)
    if options.transform is None:
        return conditions
    if len(conditions) > 1:
        raise OptionError(
            "--metadata: transform changes every clip of the run, and so excludes conditions (and the "
            "counterfactual protocol); chain them in one condition, e.g. 'telephone() + gain@3'"
        )
    only = parse_conditions([options.transform])[1]
    return (replace(only, id=CLEAN.id),)


def questions_of(
    tier: str,
    options: RunOptions,
    languages: Iterable[str | None],
    conditions: Sequence[Condition],
) -> dict[str | None, tuple[Member, ...]]:
    """The questions of a task under its conditions, by language of the utterance.

    Where the tier is ``counterfactual`` they are the claims (a turn of its own, which states the base
    question) and the base question, of tier ``base_tier``, under every condition.
    """
    asked = members_of(tier, options, languages)
    if tier != COUNTERFACTUAL:
        return {
            language: tuple(m.under(c) for c in conditions for m in several)
            for language, several in asked.items()
        }
    base = members_of(options.base_tier, replace(options, prompts=(), ensemble=None), languages)
    return {
        language: (
            *(m.under(CLAIMS) for m in several),
            *(m.under(c) for c in conditions for m in base.get(language, base[None])),
        )
        for language, several in asked.items()
    }


def _require_context(tier: str, members: Sequence[Member], conditions: Sequence[Condition]) -> None:
    wanted = [c.id for c in conditions if c.kind in ("context", "wrong_context")]
    if wanted and not all(member.prompt.context for member in members):
        raise OptionError(
            f"--metadata: conditions {', '.join(wanted)}: prompts of tier {tier!r} say no context; run "
            "the task of tier 'context'"
        )
