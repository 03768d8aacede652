"""The ``voxemo`` command: parse, call, print. One module per sub-command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..errors import RunFailedError, VoxEmoError

FAILED = 3
"""Exit status of a run that failed on our side; 2 is a wrong call or unusable input."""


COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "evaluate the built-in tiny model on the built-in mini corpus"),
    "run": ("run", "evaluate a model: lm-eval's own flags, then the scorecard"),
    "plan": ("plan", "what a run will ask and cost, before it is started"),
    "probe": ("probe", "ask in other ways, to see whether the model hears"),
    "judge": ("judge", "let LLM judges read stored replies"),
    "audit": ("audit", "let people read a sample of the replies"),
    "score": ("score", "score run folders from their stored replies"),
    "compare": ("compare", "compare runs of the same utterances, two by two"),
    "verify": ("verify", "compute every number of a results JSON again and compare"),
    "export": ("export", "results JSON in another format"),
    "prereg": ("prereg", "lock a plan before the first reply is seen"),
    "import": ("imports", "write predictions made elsewhere as a run"),
    "corpora": ("corpora", "list, prepare and check corpora"),
    "audio": ("audio", "changes of a clip: list them, render one"),
    "tasks": ("tasks", "the lm-eval task tree"),
    "models": ("models", "model families with a card"),
    "prompts": ("rooms", "the prompts room: ls, lint, lock"),
    "verbalizers": ("rooms", "the verbalizers room: ls, lint, lock"),
    "judges": ("rooms", "the judges room: ls, lint, lock"),
    "verbalize": ("verbalize", "read replies by a verbalizer"),
}
"""Sub-command → its module, and what the list of commands says of it."""


def build_parser(command: str) -> argparse.ArgumentParser:
    """The parser of one sub-command, beside the names of the others.

    Only its module is imported: the others bring libraries that take seconds.
    """
    parser = argparse.ArgumentParser(
        prog="voxemo",
        description="Evaluate speech LLMs on emotional speech, and measure the measurement.",
    )
    parser.add_argument("--version", action="version", version=f"voxemo-tasks {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        if name != command:
            subparsers.add_parser(name, help=summary, add_help=False)
        elif module == "rooms":
            from . import rooms

            rooms.add_parser(subparsers, name)
        else:
            import_module(f".{module}", __package__).add_parser(subparsers)
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
        command = next((one for one in arguments if not one.startswith("-")), "")
        options = build_parser(command).parse_args(arguments)
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
