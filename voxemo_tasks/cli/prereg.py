"""``voxemo prereg``: lock a plan; and hold runs and results to a locked one (``--prereg``)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__, registry
from ..errors import PlanError
from ..home import write_atomically
from ..results import preregistration as pre
from ..results.model import Departure, Results

MODES = ("refuse", "mark")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "prereg",
        description="Makes every choice of a plan explicit and writes it with the digests of all "
        "registered files. `voxemo run` and `voxemo score` hold to it with --prereg.",
    )
    parser.add_argument("plan", type=Path, metavar="PLAN", help="the plan (YAML)")
    parser.add_argument("--out", type=Path, help="default: PLAN with .locked.yaml at its end")
    parser.set_defaults(func=prereg)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of commands that hold to a plan."""
    parser.add_argument("--prereg", type=Path, metavar="FILE", help="hold to this locked plan")
    parser.add_argument(
        "--departures",
        choices=MODES,
        default="refuse",
        help="what departs from the plan: refuse (default), or mark in the results",
    )


def prereg(args: argparse.Namespace) -> int:
    out = args.out or args.plan.with_name(f"{args.plan.stem}.locked.yaml")
    if out.exists():
        raise PlanError(
            f"{out} exists: a locked plan is never overwritten; lock under another name (--out)"
        )
    plan = pre.read_plan(args.plan)
    locked = pre.lock(
        plan,
        planned_tasks(plan),
        locked=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
    )
    write_atomically(out, pre.to_yaml(locked).encode())
    _, digest = pre.read_locked(out)
    print(
        f"locked: {out}\nSHA-256 of the file: {digest}\nSHA-256 of the plan: {locked.plan_sha256}"
    )
    for task in locked.tasks:
        prompts = ", ".join(prompt.id for prompt in task.prompts)
        print(f"  {task.task}: {task.protocol}, fold {task.fold}, {task.role}; {prompts}")
    print("Publish the file or its digest (a registry, a tag) before the first reply is seen.")
    return 0


def planned_tasks(plan: pre.PlanSpec) -> list[pre.LockedTask]:
    """The tasks of a plan with every choice made.

    Raises:
        PlanError: For a task that is planned twice.
        UnknownNameError, OptionError, LabelSetError: For names and options that cannot be met.
    """
    from ..tasks.options import parse_options

    tasks: list[pre.LockedTask] = []
    for part in plan.corpora:
        given = {
            **plan.options,
            **{"protocol": part.protocol, "fold": part.fold, "role": part.role},
            **{"label_set": part.label_set, "prompts": plan.prompts or None},
            **{"ensemble": plan.ensemble, "verbalizer": plan.verbalizer},
        }
        given = {key: value for key, value in given.items() if value is not None}
        options = parse_options(given, strict=True)
        tasks += [made(part.corpus, tier, options) for tier in part.tiers]
    names = [task.task for task in tasks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PlanError(f"{', '.join(twice)} is planned twice; a plan holds each task once")
    return tasks


def made(corpus: str, tier: str, options: Any) -> pre.LockedTask:
    """A task with every choice made, from card, tier and options."""
    from ..render import decoding_of
    from ..tasks.asking import sampling_of
    from ..tasks.planning import Plan
    from ..tasks.tree import task_name

    card, card_digest = registry.corpus(corpus)
    plan = Plan.of(card, tier, options)
    protocol = options.protocol or card.default_protocol
    known = card.protocols.get(protocol)
    fold: Any = options.fold
    if fold is None:
        fold = "all" if known is None else known.default_fold
    prompts = {m.prompt.ref: (m.prompt, m.digest) for m in plan.all_members()}
    _, temperature, top_p = sampling_of(options)
    decoding = {}
    for ref, (prompt, _) in prompts.items():
        settings = decoding_of(prompt, temperature=temperature).to_json()
        keep = ("max_new_tokens", "temperature", "stop")
        decoding[ref] = {key: settings[key] for key in keep if key in settings}
        if temperature and top_p < 1:
            decoding[ref]["top_p"] = top_p
    labels = plan.label_set
    reader, digest = plan.verbalizer
    return pre.LockedTask(
        task=task_name(corpus, tier),
        corpus=card.id,
        card_sha256=card_digest,
        labels=[] if labels is None else list(labels.labels),
        merge={} if labels is None else dict(labels.merge),
        protocol=protocol,
        fold=fold,
        role=options.role,
        prompts=[pre.Registered(id=ref, sha256=d) for ref, (_, d) in prompts.items()],
        ensemble=None if plan.ensemble is None else pre.Registered(**plan.ensemble),
        verbalizer=pre.Registered(id=reader.ref, sha256=digest),
        decoding=decoding,
        options={k: v for k, v in options.to_json().items() if k not in pre.RESOLVED},
    )


def check_before(file: Path, mode: str, args: Any, names: Sequence[str], options: Any) -> None:
    """Look at a command line before a model is loaded: nothing that shows already is run.

    Planned tasks that this command leaves out are looked for when the run folder is scored: it may
    hold them already.

    Raises:
        PlanError: For departures, where they are to be refused.
    """
    from ..tasks.tree import known_tags, members, task_name, tiers_of

    locked, _ = pre.read_locked(file)
    found: list[Departure] = []
    all_tags = known_tags()
    tasks = []
    for corpus in members(list(names)):
        for tier in tiers_of(registry.corpus(corpus)[0]):
            name = task_name(corpus, tier)
            groups = ("voxemo", "voxemo_prepared", f"voxemo_prepared_{tier}", name)
            if any(n in groups or name in all_tags.get(n, []) for n in names):
                tasks.append(made(corpus, tier, options))
    given = args.model_args if isinstance(args.model_args, Mapping) else {}
    pretrained = given.get("pretrained")
    if pretrained is not None and Path(str(pretrained)).name not in locked.models:
        found += pre.model_departures(locked, str(pretrained))
    found += pre.task_departures(locked, tasks)
    limit = getattr(args, "limit", None)
    if limit is not None and (locked.limit is None or float(limit) != locked.limit):
        found.append(
            Departure(
                kind="utterances",
                task=None,
                planned=locked.limit,
                done=limit,
                text=f"--limit: planned {locked.limit or 'all utterances'}, done {limit:g}",
            )
        )
    if found:
        refuse_or_say(file, mode, found, "nothing was run")


def held(
    results: Results,
    file: Path | None,
    mode: str,
    unwritten: str,
    to_come: Collection[str] = (),
) -> Results:
    """Results held to a plan, where one is given.

    Args:
        results: What was scored.
        file: The locked plan.
        mode: ``refuse`` or ``mark``.
        unwritten: What the error says has become of it.
        to_come: Kinds of departures that a later command may still put right: on record, and said,
            but not refused.

    Raises:
        PlanError: For departures, where they are to be refused.
    """
    if file is None:
        return results
    locked, digest = pre.read_locked(file)
    marked = pre.hold(locked, digest, results)
    assert marked.preregistration is not None
    found = marked.preregistration.departures
    if found:
        pending = all(one.kind in to_come for one in found)
        refuse_or_say(file, "mark" if pending else mode, found, unwritten)
    else:
        print(f"pre-registration: as planned ({locked.title}, locked {locked.locked})")
    return marked


def refuse_or_say(file: Path, mode: str, found: Sequence[Departure], unwritten: str) -> None:
    """Raise, or print what departs."""
    lines = [f"  {one.task + ': ' if one.task else ''}{one.text}" for one in found]
    if mode == "refuse":
        text = "\n".join(lines)
        raise PlanError(
            f"{len(found)} departure(s) from the plan {file}:\n{text}\n{unwritten}; follow the plan, "
            "or put the departures on record with --departures mark"
        )
    print(f"pre-registration: {len(found)} departure(s) from {file}:", file=sys.stderr)
    for line in lines:
        print(line, file=sys.stderr)
