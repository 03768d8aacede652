"""The ``voxemo`` command: parse, call, print. One module per sub-command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import RunFailedError, VoxEmoError

FAILED = 3
"""Exit status of a run that failed on our side; 2 is a wrong call or unusable input."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands but those whose flags are lm-eval's own."""
    from . import (
        audio,
        audit,
        compare,
        corpora,
        demo,
        export,
        imports,
        judge,
        models,
        prereg,
        rooms,
        score,
        tasks,
        verbalize,
    )
    from . import verify as verifying

    parser = argparse.ArgumentParser(
        prog="voxemo",
        description="Evaluate speech LLMs on emotional speech, and measure the measurement.",
    )
    parser.add_argument("--version", action="version", version=f"voxemo-tasks {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    demo.add_parser(subparsers)
    subparsers.add_parser(
        "run", help="evaluate a model: lm-eval's own flags, then the scorecard", add_help=False
    )
    subparsers.add_parser(
        "plan", help="what a run will ask and cost, before it is started", add_help=False
    )
    subparsers.add_parser(
        "probe", help="ask in other ways, to see whether the model hears", add_help=False
    )
    judge.add_parser(subparsers)
    audit.add_parser(subparsers)
    score.add_parser(subparsers)
    compare.add_parser(subparsers)
    verifying.add_parser(subparsers)
    export.add_parser(subparsers)
    prereg.add_parser(subparsers)
    imports.add_parser(subparsers)
    corpora.add_parser(subparsers)
    audio.add_parser(subparsers)
    tasks.add_parser(subparsers)
    models.add_parser(subparsers)
    rooms.add_parsers(subparsers)
    verbalize.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        if arguments[:1] == ["run"]:
            from .run import run

            return run(arguments[1:])
        if arguments[:1] == ["plan"]:
            from . import plan

            return plan.run(arguments[1:])
        if arguments[:1] == ["probe"]:
            from .probe import probe

            return probe(arguments[1:])
        options = build_parser().parse_args(arguments)
        return int(options.func(options) or 0)
    except RunFailedError as error:
        print(f"voxemo: {error}", file=sys.stderr)
        return FAILED
    except VoxEmoError as error:
        print(f"voxemo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("voxemo: stopped; what was stored stays stored", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
