"""``voxemo judge``: let LLM judges read what rules could not, and measure the judges."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import registry
from ..errors import OptionError
from ..judging import (
    MOST_FOOLED,
    JudgeReport,
    Settings,
    ToJudge,
    family_of,
    load_judge,
    panel_flags,
    run_pass,
)
from ..records import Json
from ..results.judgeable import SAMPLE, Chosen, JudgedReply, choose, replies_of
from ..results.probes.lines import update_lines
from ..results.rubrics import Kin, summaries
from ..results.table import align, percent
from ..results.updates import Pair, pairs_of, rationale_update, recorded
from ..rooms import read_yaml
from ..specs import JudgeSpec
from ..store import JudgementStore
from ..store.reading import read_run_file

MODEL_KEYS = ("pretrained", "model", "replies")
"""Arguments that name the model, of which --panel gives further values."""

PANEL_KEYS = {"name", "model", "model_args", "family"}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "judge",
        description="A second pass over the stored replies of a run. Judges are any text models of "
        "lm-eval, named as for `lm-eval --model … --model_args …`. `voxemo score` then shows rules "
        "only, rules and judge, and judge only side by side.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("--judge", default="adjudicate_label", help="rubric (voxemo judges ls)")
    parser.add_argument("--model", help="lm-eval model: hf, vllm, local-chat-completions …")
    parser.add_argument("--model_args", default="", help="its arguments, key=value,…")
    parser.add_argument(
        "--panel",
        help="a YAML file of judges, or further checkpoints for the same --model, by commas",
    )
    parser.add_argument(
        "--rows",
        help="residue (default, for labels), all (default, else), or sample:N utterances",
    )
    parser.add_argument("--seed", type=int, default=0, help="of option orders and samples")
    parser.add_argument("--verbalizer", help="the residue of this one, not the run's own")
    parser.add_argument("--batch_size", help="as for lm-eval")
    parser.add_argument(
        "--structured",
        choices=("auto", "off"),
        default="auto",
        help="hold judges to the schema where the engine can (default auto)",
    )
    parser.add_argument(
        "--transcripts",
        choices=("auto", "off"),
        default="auto",
        help="show the rubrics that ask for it what is said in the clips, where the corpus is prepared "
        "here and has it (default auto)",
    )
    parser.add_argument(
        "--own_family",
        choices=("flag", "exclude"),
        default="flag",
        help="judges of the judged model's own family (default flag)",
    )
    parser.set_defaults(func=judge)


def judge(args: argparse.Namespace) -> int:
    from ..tasks.register import register_models

    spec, digest = registry.judge(args.judge)
    rows = args.rows or ("residue" if spec.residue else "all")
    fingerprint = read_run_file(args.run).get("fingerprint", {})
    words = "transcript" in spec.fields and args.transcripts == "auto"
    pairs: list[Pair] = []
    if spec.task == "rationale_update":
        if rows != "all":
            raise OptionError(f"--rows {rows}: rubric {spec.ref} judges all pairs of replies")
        pairs = pairs_of(args.run, args.seed, args.verbalizer)
        chosen = of_pairs(pairs)
    else:
        chosen = choose(replies_of(args.run, args.verbalizer, words=words), spec, rows, args.seed)
    register_models()
    judges = [
        load_judge(**one, structured=args.structured, batch_size=args.batch_size)
        for one in panel_of(args.model, args.model_args, args.panel)
    ]
    settings = Settings(
        seed=args.seed,
        judged_family=family_of(str(fingerprint.get("model", ""))),
        own_family=args.own_family,
    )
    with JudgementStore(args.run) as store:
        store.note(_identity(spec, digest, chosen, args.seed))
        todo = [
            ToJudge(item, reply.document.get("language"))
            for reply in chosen.replies
            for item in reply.items(spec)
        ]
        todo += [
            ToJudge(item, one.document.get("language"))
            for one in pairs
            if not one.flagged
            for item in one.items()
        ]
        reports = run_pass(store, spec, digest, todo, judges, settings)
        flags = panel_flags(reports) if spec.task != "emulation" else []
        record: Json = {
            "judges": [report.facts | {"used": report.used} for report in reports],
            "flags": flags,
            "tasks": list(chosen.tasks),
            "judged_family": settings.judged_family,
        }
        if "transcript" in spec.fields:
            record["transcripts"] = shown_words(chosen.replies, asked_for=words)
        if rows.startswith(SAMPLE):
            record["sampled"] = sorted({reply.key for reply in chosen.replies})
        if spec.task == "rationale_update":
            record["pairs"] = recorded(pairs, spec)
        elif spec.task != "adjudicate_label":
            said = {
                r.name: {item: row.answer for item, row in r.answers.items()}
                for r in reports
                if r.used
            }
            own = {r.name: bool(r.facts["own_family"]) for r in reports if r.used}
            kin = Kin(own, settings.judged_family)
            record["summaries"] = summaries(spec, chosen.replies, said, kin, seed=args.seed)
        store.note(record)
        store.finish()
    print(_printed(spec, chosen, reports, flags, record))
    for task in record.get("pairs", {}):
        update = rationale_update(args.run, task, args.seed)
        if update is not None:
            print(f"{task}:", *update_lines(update), sep="\n  ")
    return 0


def of_pairs(pairs: Sequence[Pair]) -> Chosen:
    """Pairs of replies counted as replies are; none of these is judged by itself."""
    flagged = sum(one.flagged for one in pairs)
    return Chosen("all", [], [], len(pairs), tuple(sorted({one.task for one in pairs})), flagged)


def shown_words(replies: Sequence[JudgedReply], *, asked_for: bool) -> Json:
    """For the record of a pass: how many judged replies went with a transcript, and why not all."""
    n = sum(reply.transcript is not None for reply in replies)
    why = Counter(r.no_transcript for r in replies if r.no_transcript is not None)
    if not asked_for:
        why = Counter({"--transcripts off": len(replies)})
    return {"shown": n, "replies": len(replies), "why_not": dict(why.most_common())}


def _identity(spec: JudgeSpec, digest: str, chosen: Chosen, seed: int) -> Json:
    _, hygiene = registry.hygiene()
    return {
        "rubric": {"id": spec.ref, "sha256": digest, "task": spec.task, "reviewed": spec.reviewed},
        "hygiene_sha256": hygiene,
        "seed": seed,
        "rows": chosen.rows,
        "replies": {
            "all": chosen.of,
            "chosen": chosen.n + chosen.n_flagged,
            "flagged": chosen.n_flagged,
        },
    }


def panel_of(model: str | None, model_args: str, panel: str | None) -> list[dict[str, Any]]:
    """The judges that a command line names, as arguments of ``load_judge``.

    Raises:
        OptionError: For no judge, or a panel that cannot be read so.
        DataRoomError: For a panel file that is no good YAML.

    Example:
        >>> [j["model_args"] for j in panel_of("hf", "pretrained=a/b,dtype=auto", "c/d")]
        ['pretrained=a/b,dtype=auto', 'pretrained=c/d,dtype=auto']
    """
    judges: list[dict[str, Any]] = []
    if model is not None:
        judges.append({"model": model, "model_args": model_args})
    if panel is not None and panel.endswith((".yaml", ".yml")):
        judges += _from_file(Path(panel))
    elif panel is not None:
        if model is None:
            raise OptionError("--panel with names of checkpoints needs --model and --model_args")
        parts = [part.partition("=") for part in model_args.split(",") if part]
        key = next((k for k, _, _ in parts if k in MODEL_KEYS), None)
        if key is None:
            raise OptionError(
                f"--panel {panel}: --model_args names no model; it needs one of "
                f"{', '.join(MODEL_KEYS)}"
            )
        for name in (n.strip() for n in panel.split(",") if n.strip()):
            changed = ",".join(f"{k}={name if k == key else v}" for k, _, v in parts)
            judges.append({"model": model, "model_args": changed})
    if not judges:
        raise OptionError("no judge: give --model (and --model_args), or --panel FILE.yaml")
    return [one | _checkpoint(one["model_args"]) for one in judges]


def _from_file(path: Path) -> list[dict[str, Any]]:
    data = read_yaml(path).data
    listed = data.get("judges")
    expected = "judges: a list of {model, model_args, name, family}"
    if set(data) != {"judges"} or not isinstance(listed, list) or not listed:
        raise OptionError(f"{path}: expected {expected}")
    for number, one in enumerate(listed, start=1):
        if (
            not isinstance(one, dict)
            or set(one) - PANEL_KEYS
            or not all(isinstance(v, str) for v in one.values())
            or "model" not in one
        ):
            raise OptionError(f"{path}, judge {number}: expected {expected}; got {one!r}")
    return [{"model_args": "", **one} for one in listed]


def _checkpoint(model_args: str) -> dict[str, Any]:
    """The digest of a local checkpoint, which its folder's name does not tell."""
    from ..backends.loading import digest_of_folder

    for part in model_args.split(","):
        key, _, value = part.partition("=")
        folder = Path(value).expanduser() if value else None
        if key == "pretrained" and folder is not None and (folder / "config.json").is_file():
            return {"identity": {"checkpoint_sha256": digest_of_folder(folder)}}
    return {}


def _printed(
    spec: JudgeSpec, chosen: Chosen, reports: Sequence[JudgeReport], flags: list[str], record: Json
) -> str:
    head = ["judge", "family", "items", "asked", "stored", "retried", "failed", "canaries"]
    rows = [[*head, "flips", "other language", "used"]]
    for report in reports:
        facts = report.facts
        canaries = facts.get("canaries") or {}
        rows.append(
            [
                report.name,
                facts["family"] or "?",
                *(
                    str(facts.get(k, "-"))
                    for k in ("items", "asked", "reused", "retried", "failed")
                ),
                f"{canaries['fooled']}/{canaries['n']}" if canaries else "-",
                _share(facts.get("swapped")),
                _share(facts.get("language")),
                "yes" if report.used else f"no: {facts['dropped']}",
            ]
        )
    lines = [
        f"rubric {spec.ref}, rows {chosen.rows}: {chosen.n} of {chosen.of} "
        f"{'pairs of replies' if 'pairs' in record else 'replies'} to judge, {chosen.n_flagged} more "
        "flagged as instruction-like",
        "",
        align(rows),
    ]
    used = [report for report in reports if report.used]
    if len(used) > 1:
        lines += ["", f"agreement of {len(used)} judges: {_agreement(used)}"]
    for task, several in record.get("summaries", {}).items():
        for one in several:
            lines.append(_summary(task, one))
    problems = [f"{r.name}: {n} × {why}" for r in used for why, n in r.facts["problems"].items()]
    lines += ["", "failed judgements:", *problems] if problems else []
    lines += ["", *(f"no headline: {flag}" for flag in flags)] if flags else []
    if spec.task != "emulation":
        lines += ["", f"canaries: a judge that falls for more than {MOST_FOOLED:.0%} is dropped"]
    if "transcripts" in record:
        told = record["transcripts"]
        lines.append(
            f"transcripts: shown with {told['shown']} of {told['replies']} replies"
            + "".join(f"; {n} without: {why}" for why, n in told["why_not"].items())
        )
    lines.append("next: voxemo score RUN" if spec.task == "adjudicate_label" else "")
    return "\n".join(lines).rstrip()


def _summary(task: str, one: Json) -> str:
    what, mean = one["dimension"] or "all", one["mean"]
    left = f"({one['failed']} of {one['replies']} failed)"
    if mean["value"] is None:
        shares = [
            f"{answer} {percent(share['value'])} %{_reach(share, 100, 1)}"
            for answer, share in one["shares"].items()
            if share["value"]
        ]
        return f"{task} {what}: {', '.join(shares) or 'nothing'} {left}"
    return f"{task} {what}: mean {mean['value']:.2f}{_reach(mean, 1, 2)} over {mean['n']} {left}"


def _reach(number: Json, times: int, digits: int) -> str:
    interval = number["interval"]
    if interval is None or interval["low"] is None:
        return ""
    low, high = (f"{times * interval[k]:.{digits}f}" for k in ("low", "high"))
    return f" [{low}, {high}]"


def _share(compared: Json | None) -> str:
    if not compared or compared["share"] is None:
        return "-"
    return f"{percent(compared['share'])} % of {compared['n']}"


def _agreement(used: Sequence[JudgeReport]) -> str:
    items = sorted(set.intersection(*(set(report.answers) for report in used)))
    rows = [[report.answers[i].answer for report in used] for i in items]
    pairs = [
        row[a] == row[b]
        for row in rows
        for a in range(len(row))
        for b in range(a)
        if row[a] is not None and row[b] is not None
    ]
    if not pairs:
        return "no item that two judges read"
    return f"{percent(sum(pairs) / len(pairs))} % of {len(pairs)} pairs of judgements are alike"
