"""``voxemo run``: lm-eval with our models and task tree, then the scorecard.

The flags are lm-eval's own. What can be wrong is looked at before a model is loaded: names, options,
corpora that are not prepared, an output path that cannot be written.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import registry
from ..corpora import prepared, prepared_ids
from ..corpora.registered import command
from ..errors import NotPreparedError, OptionError, RunFailedError, StoreError, UnknownNameError
from ..home import home
from ..results import score_run, table_of, write_results
from ..results.preregistration import JUDGE_MISSING
from . import prereg
from .configured import lay_under

RESULTS = "results.json"


def run(argv: Sequence[str]) -> int:
    """Evaluate, score, print; returns the exit status."""
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    from ..backends import base
    from ..tasks import register_models, task
    from ..tasks.tree import tree

    setup_logging()
    register_models()
    own, argv = own_flags(argv)
    harness = HarnessCLI()
    args = parse(harness._parser, argv)
    names = check_before(args)
    if own.prereg is not None:
        prereg.check_before(own.prereg, own.departures, args, names, check_options(args))
    folder = str(tree())
    args.include_path = [folder, args.include_path] if args.include_path else folder
    args.tasks = names
    base.kept, task.kept = [], []
    failure: RunFailedError | None = None
    try:
        harness.execute(args)
    except RunFailedError as error:
        failure = error  # the replies are stored: say in the JSON what happened
    except ValueError as error:
        if not refused_by_lm_eval(error):
            raise
        raise OptionError(f"lm-eval: {error}") from error
    if failure is not None and any(model.world_size > 1 for model in base.kept):
        raise failure  # the others are elsewhere: what there is cannot be scored together
    predict_only = bool(getattr(args, "predict_only", False))
    status = conclude(
        predict_only=predict_only,
        multiverse=not own.no_sensitivity,
        stimuli=not own.no_stimuli_check,
        check_again=0 if failure else own.determinism_check,
        plan=own.prereg,
        departures=own.departures,
    )
    if failure is not None:
        raise failure
    return status


def own_flags(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags of this suite, and what is left for lm-eval.

    Example:
        >>> own, rest = own_flags(["--tasks", "voxemo_mini_direct", "--no-sensitivity"])
        >>> own.no_sensitivity, rest
        (True, ['--tasks', 'voxemo_mini_direct'])
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--no-sensitivity", action="store_true")
    parser.add_argument("--no-stimuli-check", action="store_true")
    parser.add_argument("--determinism-check", default="0", metavar="N")
    prereg.add_flags(parser)
    own, rest = parser.parse_known_args(list(argv))
    own.determinism_check = count_of("--determinism-check", own.determinism_check)
    return own, rest


def count_of(flag: str, given: str) -> int:
    """A number of things, 0 for none.

    Raises:
        OptionError: For anything else.
    """
    if not (given.isascii() and given.isdigit()):
        raise OptionError(f"{flag} {given}: expected a whole number, 0 or more")
    return int(given)


OWN_HELP = """flags of voxemo beside those of lm-eval:
  --no-sensitivity   leave out how the scores move under other readings of the replies
  --no-stimuli-check   do not measure the changed clips of a counterfactual task
  --determinism-check N   ask again for N stored replies in other batches, and compare
  --prereg FILE      hold to this locked plan (voxemo prereg)
  --departures MODE  refuse what departs from it (default), or mark it in the results
"""


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """lm-eval's flags, and below them the keys of its ``--config``.

    Its help speaks of ``voxemo run`` and lists our own flags too.

    Raises:
        OptionError: For a file of ``--config`` that cannot be used.
    """
    parser.prog = "voxemo"
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    ours = commands.choices["run"]
    ours.prog = "voxemo run"
    ours.usage = ours.usage and ours.usage.replace("lm-eval", "voxemo")
    ours.epilog = OWN_HELP
    ours.formatter_class = argparse.RawDescriptionHelpFormatter
    args = parser.parse_args(["run", *argv])
    lay_under(args, ours)
    return args


def refused_by_lm_eval(error: ValueError) -> bool:
    """Whether lm-eval itself raised this on looking at the command line (not a bug further down)."""
    frames = traceback.extract_tb(error.__traceback__)
    file = Path(frames[-1].filename) if frames else Path()
    return "lm_eval" in file.parts and (
        "config" in file.parts or file.name in ("evaluator.py", "manager.py")
    )


def conclude(
    *,
    predict_only: bool,
    multiverse: bool = True,
    stimuli: bool = True,
    check_again: int = 0,
    plan: Path | None = None,
    departures: str = "refuse",
) -> int:
    """Score every run folder that this process wrote; print tables and where the JSON is.

    Of several processes the first one does, for all of them, once all have written their last row.
    """
    from ..backends import base
    from ..tasks import task
    from ..tasks.planning import COUNTERFACTUAL
    from .stimuli import check_stimuli

    instances = [i for one in task.kept or [] for i in one.instances or [] if i.resps]
    failed = False
    for model in base.kept or []:
        if not model.has_store:
            continue
        model.adopt(instances)
        if check_again and model.rank == 0:
            ask_again(model, instances, check_again)
        model.store.finish()
        model.store.close()
        folder = model.store.folder
        sessions = model.ranks.gather(model.store.session)
        if sessions is None:
            continue
        if predict_only:
            print(f"\nreplies: {folder}")
            continue
        if stimuli and any(one.plan.tier == COUNTERFACTUAL for one in task.kept or []):
            print("\n" + "\n".join(check_stimuli(folder)))
        results = score_run(folder, sessions=sessions, multiverse=multiverse)
        stored = f"the replies are stored ({folder}), no results were written"
        results = prereg.held(results, plan, departures, stored, {JUDGE_MISSING})
        path = write_results(results, folder / RESULTS)
        print(f"\n{table_of(results)}\n\nresults: {path}")
        failed |= any("failed" in reason for t in results.tasks.values() for reason in t.reasons)
    return 3 if failed else 0


def ask_again(model: Any, instances: Sequence[Any], n: int) -> None:
    """``--determinism-check``: compare, record with the engine's facts, print."""
    from ..backends import determinism

    report = determinism.check(model, instances, n)
    model.store.note({"engine": model.engine_facts() | {"determinism": report}})
    print(f"\ndeterminism: {determinism.sentence(report)}")
    for one in report["examples"]:
        print(f"  {one['utterance_id']}, {one['prompt']}: {one['before']!r}, now {one['again']!r}")


def check_before(args: Any) -> list[str]:
    """Look at everything that can be wrong before a model is loaded.

    Returns:
        The task names.

    Raises:
        UnknownNameError, OptionError, NotPreparedError, StoreError: As the case may be.
    """
    names = task_names(args)
    check_model(args)
    if args.model == "api-audiolm":  # here already: lm-eval logs the arguments of a model
        from ..backends.api_arguments import refuse_keys

        refuse_keys(dict(args.model_args or {}))
    options = check_options(args)
    ours = check_names(names)
    check_prepared(ours, options)
    place = check_output(getattr(args, "output_path", None))
    if args.model in _our_models():
        if not getattr(args, "device", None):
            args.device = "auto"  # lm-eval's own default is cuda:0, GPU or not
        if not isinstance(args.model_args, dict):
            args.model_args = dict(args.model_args or {})
        if place is not None and "store" not in args.model_args:
            args.model_args.setdefault("store_parent", str(place))
    return names


def _our_models() -> Sequence[str]:
    from ..tasks.register import MODELS

    return tuple(MODELS)


def task_names(args: Any) -> list[str]:
    """``--tasks`` as a list.

    Raises:
        OptionError: For none.
    """
    given = args.tasks
    listed = (
        given.split(",")
        if isinstance(given, str)
        else [t for x in given or [] for t in x.split(",")]
    )
    names = [name.strip() for name in listed if name.strip()]
    if not names:
        raise OptionError(
            "--tasks names nothing; e.g. --tasks voxemo_mini_direct. `voxemo tasks ls`"
        )
    return names


def check_model(args: Any) -> None:
    """Raise for a model that is not given, or that lm-eval does not know."""
    from lm_eval.api.registry import model_registry

    if not args.model:
        raise OptionError(
            f"--model is missing; of this suite: {', '.join(_our_models())}; e.g. --model hf-audiolm "
            "--model_args pretrained=voxemo-tiny"
        )
    if args.model not in model_registry:
        raise UnknownNameError("model (--model)", args.model, list(model_registry))


def check_options(args: Any) -> Any:
    """``--metadata``, strictly; returns the options."""
    from lm_eval.utils import simple_parse_args_string

    from ..tasks.options import parse_options

    given = getattr(args, "metadata", None)
    if isinstance(given, str):
        given = simple_parse_args_string(given)
    return parse_options(given or {}, strict=True)


def check_names(names: Sequence[str]) -> list[str]:
    """Names (or globs) that are ours; raises for one that looks like ours and is not."""
    from ..tasks.tree import known_names, known_tags

    known = [*known_names(), *known_tags()]
    ours: list[str] = []
    for name in names:
        if name.endswith(".yaml"):
            if not Path(name).is_file():
                raise OptionError(f"--tasks: there is no file {name}")
            ours.append(Path(name).stem)
            continue
        matches = fnmatch.filter(known, name)
        if not matches and name.startswith("voxemo"):
            raise UnknownNameError("task", name, known, "`voxemo tasks ls` shows all.")
        ours += matches
    return ours


def check_prepared(names: Sequence[str], options: Any) -> None:
    """Raise for all corpora at once that are not prepared; then look at their options."""
    from ..tasks.documents import select
    from ..tasks.planning import Plan
    from ..tasks.tree import PREPARED, known_tags, members, task_name, tiers_of

    wanted = members(list(names))
    ready = set(prepared_ids())
    missing = [corpus for corpus in wanted if corpus not in ready]
    if missing:
        lines = "\n".join(f"  {command(registry.corpus(corpus)[0])}" for corpus in missing)
        raise NotPreparedError(
            f"{len(missing)} of {len(wanted)} corpora of this run are not prepared. Prepare them:\n"
            f"{lines}\nor run the group voxemo_prepared, which holds what is prepared"
        )
    if not wanted and any(name.startswith(PREPARED) for name in names):
        raise NotPreparedError(
            "voxemo_prepared is empty: no corpus is prepared yet; try `voxemo corpora prepare mini`"
        )
    all_tags = known_tags()
    for corpus in wanted:
        entry = prepared(corpus)
        entry.require_root()
        for tier in tiers_of(entry.card):
            task = task_name(corpus, tier)
            named = [n for n in names if n in (task, "voxemo") or task in all_tags.get(n, [])]
            ready_too = PREPARED in names or f"{PREPARED}_{tier}" in names
            if named or ready_too:
                plan = Plan.of(entry.card, tier, options)
                manifest = entry.manifest()
                selection = select(entry.card, manifest, plan.label_set, options)
                plan.shots(manifest, selection)


def check_output(output_path: str | None) -> Path | None:
    """Prove that the output path can be written, before the run and not after it.

    Returns:
        The folder for run folders; ``None`` for the default below ``$VOXEMO_HOME``.
    """
    place = home() / "runs"
    if output_path:
        place = Path(output_path).expanduser()
        if place.suffix == ".json":
            place = place.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        raise StoreError(
            f"--output_path {place} cannot be written: {error.strerror or error}; choose another"
        ) from error
    return place.absolute() if output_path else None


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
