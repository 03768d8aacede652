"""The list of commands: quick to show, and whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import voxemo_tasks.cli
from voxemo_tasks.cli import COMMANDS, main

HEAVY = ("numpy", "scipy", "pyarrow", "lm_eval", "torch", "transformers", "jsonschema", "yaml")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_list_of_commands_imports_nothing_heavy(argument: str) -> None:
    code = (
        "import sys\n"
        "from voxemo_tasks.cli import main\n"
        "try:\n"
        f"    main([{argument!r}])\n"
        "finally:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in COMMANDS) or argument == "--version"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_its_flags(command: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: voxemo {command}")


def test_every_module_with_a_command_is_in_the_list() -> None:
    folder = Path(voxemo_tasks.cli.__file__).parent
    defining = {
        file.stem for file in folder.glob("*.py") if "def add_parser(subparsers" in file.read_text()
    }
    assert defining == {m for m, _ in COMMANDS.values()} - {"run", "plan", "probe"}


@pytest.mark.parametrize("arguments", [["scor"], [], ["--", "scor"]])
def test_no_such_command(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
