"""``voxemo probe NAME --corpus … --model …``: a probe, as the run of a task that it is."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError
from ..records import Json


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe by name.

    Attributes:
        summary: What it asks, in a line.
        tier: The tier whose task it runs, where the user names none.
        conditions: Its conditions.
        needs: A flag that must be given.
    """

    summary: str
    tier: str = "direct"
    conditions: tuple[str, ...] = ()
    needs: str | None = None


PROBES: dict[str, Probe] = {
    "controls": Probe(
        "silence, noise, flattened speech, other clips, words: is the score a listener's?",
        conditions=("controls",),
    ),
    "robustness": Probe(
        "noise, babble, telephone, codecs, rooms, loss: what is left of the score?",
        conditions=("robustness",),
    ),
    "severity": Probe("a transform at its five levels (--transform)", needs="transform"),
    "context": Probe(
        "each factor of the context by itself, all, none, and a wrong one",
        tier="context",
        conditions=("factors",),
    ),
    "counterfactual": Probe(
        "does what the model says would change its answer change it?", tier="counterfactual"
    ),
    "incongruence": Probe("voice against words, for corpora that tell the emotion of both"),
    "pairs": Probe("minimal pairs of one dimension (--pairs FILE)", needs="pairs"),
}


def probe(argv: Sequence[str]) -> int:
    """Run a probe; returns the exit status."""
    from .run import run

    arguments = as_run(argv)
    print(f"voxemo run {' '.join(_quoted(a) for a in arguments)}\n", flush=True)
    for line in silent(argv):
        print(f"note: {line}\n", flush=True)
    return run(arguments)


def _quoted(text: str) -> str:
    return f"'{text}'" if set(text) & set(' {}"|()') else text


def parser() -> argparse.ArgumentParser:
    """Our own flags; all others are those of ``voxemo run``."""
    listed = "\n".join(f"  {name:<16}{one.summary}" for name, one in PROBES.items())
    made = argparse.ArgumentParser(
        prog="voxemo probe",
        description="Ask a corpus in other ways, to see whether the model hears.",
        epilog=f"probes:\n{listed}\n\nEverything else (--model, --model_args, --limit, --batch_size, "
        "--output_path …) is as in `voxemo run`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("name", metavar="NAME", choices=sorted(PROBES), help="which probe")
    made.add_argument("--corpus", required=True, help="a prepared corpus, or several by commas")
    made.add_argument("--tier", help="how it is asked (default: as the probe has it)")
    made.add_argument("--transform", help="of `severity`, e.g. noise(kind=pink), babble, reverb")
    made.add_argument(
        "--pairs", help="of `pairs`: CSV, TSV or JSON Lines (default: pairs.csv of the corpus)"
    )
    made.add_argument("--metadata", help="further options, as JSON")
    return made


def as_run(argv: Sequence[str]) -> list[str]:
    """The arguments of ``voxemo run`` that are this probe.

    Raises:
        OptionError: For a flag that the probe needs and does not have, or has and does not take.

    Example:
        >>> as_run(["controls", "--corpus", "mini", "--limit", "5"])
        ['--tasks', 'voxemo_mini_direct', '--metadata', '{"conditions": ["controls"]}', '--limit', '5']
    """
    args, rest = parser().parse_known_args(list(argv))
    wanted = PROBES[args.name]
    if wanted.needs == "pairs" and not args.pairs:
        args.pairs = own_pairs(args.corpus)
    for flag in ("transform", "pairs"):
        given = getattr(args, flag)
        if wanted.needs == flag and not given:
            raise OptionError(f"voxemo probe {args.name} needs --{flag}")
        if given and wanted.needs != flag:
            raise OptionError(f"voxemo probe {args.name} takes no --{flag}")
    metadata: Json = {}
    if args.metadata:
        try:
            metadata = json.loads(args.metadata)
        except ValueError as error:
            raise OptionError(f"--metadata: not JSON ({error})") from error
        if not isinstance(metadata, dict):
            raise OptionError(f"--metadata: expected an object {{…}}, got {args.metadata}")
    conditions = wanted.conditions
    if args.transform:
        conditions = (f"severities:{args.transform}",)
    if conditions:
        metadata.setdefault("conditions", list(conditions))
    if args.pairs:
        metadata["pairs"] = args.pairs
    tier = args.tier or wanted.tier
    if wanted.tier in ("context", "counterfactual") and tier != wanted.tier:
        raise OptionError(f"voxemo probe {args.name} runs tier {wanted.tier!r} only")
    tasks = ",".join(f"voxemo_{corpus.strip()}_{tier}" for corpus in args.corpus.split(","))
    said = ["--metadata", json.dumps(metadata, ensure_ascii=False)] if metadata else []
    return ["--tasks", tasks, *said, *rest]


def silent(argv: Sequence[str]) -> list[str]:
    """Why ``incongruence`` will have nothing to say of a corpus: it tells no emotion of the words."""
    from ..corpora import prepared, prepared_ids

    args, _ = parser().parse_known_args(list(argv))
    if args.name != "incongruence":
        return []
    known = set(prepared_ids())
    out = []
    for corpus in (name.strip() for name in args.corpus.split(",")):
        if corpus in known and not any(prepared(corpus).manifest().column("text_label")):
            out.append(
                f"corpus {corpus!r} tells no emotion of the words (column text_label), so there will "
                "be no incongruence block; rates and gaps between groups and corpora are there"
            )
    return out


def own_pairs(corpus: str) -> str | None:
    """The file of pairs that a corpus brings along: ``pairs.csv`` in its root."""
    from ..corpora import prepared, prepared_ids

    if corpus not in prepared_ids():
        return None
    file = Path(prepared(corpus).manifest().root) / "pairs.csv"
    return str(file) if file.is_file() else None


if __name__ == "__main__":
    sys.exit(probe(sys.argv[1:]))
