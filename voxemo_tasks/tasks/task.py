"""The one task class: a corpus × a prompt tier, as lm-eval sees it.

Every task file of the tree names this class; what differs stands in the file's ``dataset_kwargs``
(corpus, tier) and in the run's ``--metadata``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from .. import registry
from ..corpora import prepared
from ..corpora.registered import command
from ..errors import NotPreparedError, OptionError, RunFailedError
from ..labels import LabelSet
from ..metrics.confusion import Confusion
from ..metrics.hard import HARD_METRICS
from ..records import OURS, Json, Request, Verdict
from ..render import Menu, decoding_of, render, schema_of
from ..tally import plurality, too_many_failures
from .asking import Member, sampling_of, verdict_on
from .conditions import CLAIMS, CLEAN
from .documents import Documents, corpus_facts, select, traces_of, write_documents
from .operations import operations
from .options import RunOptions, parse_options
from .pairs import Pairs, read_pairs
from .planning import Plan

METRICS = tuple(HARD_METRICS)
"""What stands in lm-eval's table, strict; the full scorecard is computed from the run folder."""

log = logging.getLogger(__name__)

SYNTHETIC = "synthetic, not a result"

_constructed: WeakSet[VoxEmoTask] = WeakSet()


kept: list[VoxEmoTask] | None = None
"""Set to a list by `voxemo run`, which looks at the replies of its tasks afterwards."""


class VoxEmoTask(ConfigurableTask):  # type: ignore[misc]  # lm-eval is untyped
    """A corpus asked with a prompt tier; one document per utterance, one request per prompt.

    Args:
        config: The task file as lm-eval read it, with the run's metadata merged in.

    Raises:
        OptionError: For an option that is wrong for this corpus. A corpus that is not prepared is
            no error yet: lm-eval builds the tasks of a group one by one, and the user wants to hear
            of all that are missing at once, so it is raised when the first requests are built.
    """

    MULTIMODAL = True

    def __init__(self, config: Mapping[str, Any] | None = None, **_: Any) -> None:
        settings = dict(config or {})
        settings.pop("class", None)  # TaskConfig does not know the key that led here
        kwargs = dict(settings.get("dataset_kwargs") or {})
        if set(kwargs) != {"corpus", "tier"}:
            raise OptionError(
                "a VoxEmo task file needs dataset_kwargs with corpus and tier, got "
                f"{kwargs or 'none'}; `voxemo tasks path` writes the right files"
            )
        self.card, self._card_digest = registry.corpus(str(kwargs["corpus"]))
        self.tier = str(kwargs["tier"])
        self.options: RunOptions = parse_options(settings.get("metadata") or {}, strict=False)
        self.samples, self.temperature, self.top_p = sampling_of(self.options)
        self.plan = Plan.of(self.card, self.tier, self.options)
        self.label_set: LabelSet | None = self.plan.label_set
        self.verbalizer, self._verbalizer_digest = self.plan.verbalizer
        self.dimensions: tuple[str, ...] = ()
        self.scale: tuple[float, float] | None = None
        self.seed = 0
        self.missing: str | None = None
        self._documents_file: tuple[Path, str] | None = None
        settings["metric_list"] = []
        settings["process_results"] = "voxemo_tasks"
        settings["repeats"] = self.samples
        self._read_corpus()
        super().__init__(config=settings)
        self.metrics = METRICS if self.label_set is not None else ("coverage",)
        for name in self.metrics:
            self._metric_fn_list[name] = None
            self._metric_fn_kwargs[name] = {}
            self._aggregation_list[name] = self._aggregator(name)
            self._higher_is_better[name] = True
        self.config.metric_list = [
            {"metric": name, "aggregation": "rate of pooled counts, strict"}
            for name in self.metrics
        ]
        if self.card.synthetic:
            self._mark_synthetic()
        _constructed.add(self)
        if kept is not None:
            kept.append(self)

    # --- data -------------------------------------------------------------------------------

    def _read_corpus(self) -> None:
        """Documents of the wanted part of the corpus, or a stand-in where it is not prepared."""
        try:
            self._prepared = prepared(self.card.id)
        except NotPreparedError:
            self.missing = command(self.card)
            self._documents: Sequence[Json] = _StandIn()
            return
        if self._prepared.card_changed:
            log.warning(
                "the card of corpus %s is another one than it was prepared with; prepare it again "
                "so that labels and splits are the card's: %s",
                self.card.id,
                command(self.card),
            )
        manifest = self._prepared.manifest()
        self.selection = select(self.card, manifest, self.label_set, self.options)
        self.plan.require(manifest, self.selection)
        languages = manifest.column("language")
        self.plan = self.plan.speaking(languages[row] for row in self.selection.rows)
        self.dimensions, self.scale = self.plan.scale(manifest, self.selection.rows)
        shots = self.plan.shots(manifest, self.selection)
        donors = self.plan.donors(manifest, self.selection)
        self._documents = Documents(
            self.card.id,
            manifest,
            self.label_set,
            self.selection.rows,
            self.options.target,
            shots,
            donors,
            self._pairs(),
        )

    def _pairs(self) -> Pairs | None:
        return None if self.options.pairs is None else read_pairs(self.options.pairs)

    def download(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is downloaded: the documents are those of the prepared manifest."""
        self.dataset = {"test": self._documents}

    def has_training_docs(self) -> bool:
        return False

    def has_validation_docs(self) -> bool:
        return False

    def has_test_docs(self) -> bool:
        return True

    def test_docs(self) -> Sequence[Json]:
        return self._documents

    def fewshot_docs(self) -> None:
        """None: in-context examples of speech carry audio and are an option of a prompt set."""

    def set_fewshot_seed(self, seed: int | None = None) -> None:
        """The last of lm-eval's ``--seed`` values; the base of all sampling seeds here."""
        super().set_fewshot_seed(seed)
        self.seed = int(seed or 0)

    # --- asking -----------------------------------------------------------------------------

    def doc_to_text(self, doc: Json, *args: Any) -> str:
        return "" if self.missing else self._requests(doc)[0].text

    def doc_to_target(self, doc: Json, *args: Any) -> str:
        return str(doc.get("label"))

    def fewshot_context(self, doc: Json, *args: Any, **kwargs: Any) -> str:
        if kwargs.get("system_instruction"):
            raise OptionError(
                "--system_instruction: prompts are pre-registered here, so that results can name "
                "them; put the instruction into a prompt file (key `system`) and ask with it"
            )
        return self.doc_to_text(doc)

    def build_all_requests(self, **kwargs: Any) -> None:
        if self.missing:
            raise_if_unprepared()
        self._documents_file = None  # --gen_kwargs may have changed since
        self._require_samples_to_differ()
        if kwargs.get("cache_requests"):
            log.warning(
                "--cache_requests has no effect on %s: lm-eval's key of a cached request knows neither "
                "prompt nor --metadata, and would hand out the questions of another run",
                self.config.task,
            )
            kwargs["cache_requests"] = False
        super().build_all_requests(**kwargs)

    def _require_samples_to_differ(self) -> None:
        if self.samples == 1:
            return
        for member in self.plan.all_members():
            decoding = decoding_of(member.prompt, temperature=self.temperature, seed=self.seed)
            if decoding.with_gen_kwargs(self._gen_kwargs()).greedy:
                raise OptionError(
                    f"--gen_kwargs {self._gen_kwargs()}: {self.samples} samples are asked for, and "
                    "greedy samples are all the same reply; leave temperature and do_sample to "
                    "--metadata, or take one sample"
                )

    def construct_requests(self, doc: Json, ctx: str, **kwargs: Any) -> list[Instance]:
        path, digest = self._described()
        instances = []
        asked = zip(self.plan.members(doc), self._requests(doc), strict=True)
        for number, (member, request) in enumerate(asked):
            provenance = {
                "task": self.config.task,
                "utterance_id": doc["utterance_id"],
                "prompt": member.id,
                "documents": {"path": str(path), "sha256": digest},
            }
            instances.append(
                Instance(
                    request_type="loglikelihood" if request.candidates else "generate_until",
                    doc=doc,
                    arguments=request.to_arguments(provenance),
                    idx=number,
                    metadata=(self.config.task, kwargs["metadata"][1], self.samples),
                )
            )
        return instances

    def _requests(self, doc: Json) -> list[Request]:
        draw = self.options.conditions_seed
        out = []
        for member in self.plan.members(doc):
            decoding = decoding_of(
                member.prompt, temperature=self.temperature, seed=self.seed
            ).with_gen_kwargs(self._gen_kwargs())
            menu = self._menu(member, doc)
            frame = self.plan.frame(member, menu, doc, self.dimensions, self.scale)
            audio = member.condition.audio(doc, draw)
            request = render(member.prompt, member.digest, menu, audio, decoding, frame)
            request = member.condition.worded(request, doc)
            likelihood = self.options.readout == "likelihood" and member.condition != CLAIMS
            if likelihood and menu is not None:
                request = replace(request, candidates=menu.candidates())
            if self.options.structured:
                request = replace(request, schema=schema_of(member.prompt, menu, frame))
            out.append(request)
        return out

    def _menu(self, member: Member, doc: Json) -> Menu | None:
        return member.menu(self.label_set, doc["utterance_id"], self.options.order_seed)

    def _gen_kwargs(self) -> Json:
        """What the user laid over the prompts' decoding; the task file itself holds nothing."""
        given = {k: v for k, v in (self.config.generation_kwargs or {}).items() if v != []}
        if self.temperature and self.top_p < 1:
            given.setdefault("top_p", self.top_p)
        return given

    def _described(self) -> tuple[Path, str]:
        if self._documents_file is None:
            assert isinstance(self._documents, Documents)
            self._documents_file = write_documents(self._header(), self._documents)
        return self._documents_file

    def _header(self) -> Json:
        members = self.plan.all_members()
        gen_kwargs = self._gen_kwargs()
        prompts = {m.prompt.ref: (m.prompt, m.digest) for m in members}
        return {
            "task": self.config.task,
            "tier": self.tier,
            "corpus": corpus_facts(self._prepared, self._card_digest),
            "label_set": self.label_set
            and {
                "id": self.label_set.id,
                "labels": list(self.label_set.labels),
                "merge": self.label_set.merge,
            },
            "dimensions": list(self.dimensions),
            "scale": None if self.scale is None else list(self.scale),
            "protocol": self.selection.protocol,
            "fold": self.selection.fold,
            "role": self.selection.role,
            "excluded": self.selection.excluded,
            "prompts": [
                {
                    "id": prompt.ref,
                    "sha256": digest,
                    "language": prompt.language,
                    "reviewed": prompt.reviewed,
                }
                for prompt, digest in prompts.values()
            ],
            "members": [member.to_json(self.label_set) for member in members],
            "ensemble": self.plan.ensemble,
            "context_known": self.plan.context_known(self._documents),
            "decoding": {
                ref: decoding_of(prompt, temperature=self.temperature, seed=self.seed)
                .with_gen_kwargs(gen_kwargs)
                .to_json()
                for ref, (prompt, _) in prompts.items()
            },
            "samples": self.samples,
            "verbalizer": {"id": self.verbalizer.ref, "sha256": self._verbalizer_digest},
            "options": self.options.to_json(),
            **self._conditions(),
            **self._paired(),
            **self._traces(),
        }

    def _traces(self) -> Json:
        if self.label_set is not None:
            return {}
        return traces_of(self._prepared.card, self._prepared.manifest(), self.selection.rows)

    def _paired(self) -> Json:
        pairs = self._pairs()
        if pairs is None or not isinstance(self._documents, Documents):
            return {}
        stimuli = self._documents.shared_by(pairs)
        return {"pairs": {"file": pairs.name, "sha256": pairs.digest, "stimuli": stimuli}}

    def _conditions(self) -> Json:
        """What the header says of the conditions; nothing for an ordinary run."""
        if self.plan.conditions == (CLEAN,):
            return {}
        assert isinstance(self._documents, Documents)
        claims = [m for m in self.plan.all_members() if m.condition == CLAIMS]
        reader = registry.verbalizer(claims[0].prompt.verbalizer) if claims else None
        return {
            "conditions": [c.to_json() for c in self.plan.conditions],
            "conditions_skipped": self._documents.skipped(),
            "claims": None
            if reader is None
            else {
                "members": [m.id for m in claims],
                "verbalizer": {"id": reader[0].ref, "sha256": reader[1]},
                "named": list(claims[0].prompt.changes),
                "operations": operations(),
            },
        }

    # --- scoring ----------------------------------------------------------------------------

    def apply_filters(self) -> list[Instance]:
        """Keep all K replies; lm-eval's own default keeps the first."""
        instances: list[Instance] = self._instances or []
        for instance in instances:
            instance.filtered_resps["none"] = list(instance.resps)
        return instances

    def process_results(self, doc: Json, results: Sequence[Any]) -> Json:
        """One value per metric: ``[gold, predicted]``, and for coverage the verdict itself."""
        grouped = [one if isinstance(one, list) else [one] for one in results]
        replies = [reply for one in grouped for reply in one]
        if any(getattr(reply, "synthetic", False) for reply in replies):
            self._mark_synthetic()
        if "bypass" in self._metric_fn_list:
            return {"bypass": 999}
        members = self.plan.members(doc)
        if len(grouped) != len(members):  # another harness flattened them: samples of one member
            grouped = [replies]
        verdicts = [
            self.read(reply, self._menu(member, doc))
            for member, several in zip(members, grouped, strict=True)
            for reply in several
            if member.condition.id == CLEAN.id  # the others are for the scorecard
        ]
        verdict = plurality(verdicts)
        counted = verdict.status not in OURS
        counted = counted and doc.get("label") is not None  # members of pairs may have none
        pair = [doc.get("label"), verdict.answer] if counted else None
        detail = verdict.to_json() | {
            "replies": [getattr(reply, "key", None) for reply in replies],
            "store": next((getattr(reply, "store", None) for reply in replies), None),
            "read": len(verdicts),
            "failed": [one.rule for one in verdicts if one.status in OURS],
            "synthetic": any(getattr(reply, "synthetic", False) for reply in replies),
        }
        return {name: (detail if name == "coverage" else pair) for name in self.metrics}

    def read(self, reply: str, menu: Menu | None) -> Verdict:
        """The verdict on one reply."""
        return verdict_on(reply, menu, self.verbalizer, self.dimensions, self.scale)

    def _aggregator(self, name: str) -> Callable[[list[Any]], float | None]:
        def aggregate(items: list[Any]) -> float | None:
            if name == "coverage":
                lost = [rule for item in items for rule in item["failed"]]
                total = sum(item["read"] for item in items)
                if too_many_failures(len(lost), total):
                    reasons = sorted(set(lost))
                    raise RunFailedError(
                        f"{self.config.task}: {len(lost)} of {total} replies failed in the engine "
                        f"({'; '.join(reasons[:3])}). That is above the registered limit, so there "
                        "is no score; the good replies are stored, and the same command asks again "
                        "for the failed ones only"
                    )
                counted = len(items) - sum(item["status"] in OURS for item in items)
                answered = sum(item["status"] == "answered" for item in items)
                return answered / counted if counted else None
            assert self.label_set is not None
            pairs = [item for item in items if item is not None]
            confusion = Confusion.from_pairs(
                self.label_set.labels, [p[0] for p in pairs], [p[1] for p in pairs]
            )
            return HARD_METRICS[name](confusion, "strict")

        return aggregate

    def _mark_synthetic(self) -> None:
        self.config.task_alias = f"{self.config.task} ({SYNTHETIC})"


class _StandIn(Sequence[Json]):
    """One empty document, so that lm-eval can build a task whose corpus is not there."""

    features: dict[str, Any] = {}  # noqa: RUF012  # what lm-eval asks of a dataset

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        return {"utterance_id": "", "label": None}


def raise_if_unprepared() -> None:
    """Raise for all tasks of this process whose corpus is not prepared, in one message.

    Raises:
        NotPreparedError: With a command per corpus.
    """
    commands = sorted({task.missing for task in _constructed if task.missing})
    if commands:
        _constructed.clear()  # a later run of this process is not to hear of these again
        lines = "\n".join(f"  {command}" for command in commands)
        raise NotPreparedError(
            f"{len(commands)} corpus/corpora of this run are not prepared. Prepare them:\n{lines}\n"
            "or run the group voxemo_prepared, which holds what is prepared"
        )
