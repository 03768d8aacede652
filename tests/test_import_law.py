"""The import law: which room may import which, what pure rooms may not touch, what costs nothing.

A room is a module or folder directly under ``voxemo_tasks``. ``MAY_IMPORT`` is the table of the
design, and is transitive. Every import counts, also inside functions and under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

PACKAGE = "voxemo_tasks"
FOLDER = Path(__file__).resolve().parent.parent / PACKAGE

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "labels": {"errors"},
    "home": {"errors"},
    "records": {"labels"},
    "rooms": {"records"},
    "specs": {"labels"},
    "registry": {"home", "rooms", "records", "specs"},
    "tables": {"records"},
    "audio": {"records"},
    "corpora": {"registry", "audio", "home"},
    "tally": {"records", "render", "verbalize"},
    "render": {"registry"},
    "hygiene": {"registry"},
    "verbalize": {"registry", "hygiene"},
    "adjudicate": {"registry", "hygiene"},
    "metrics": {"labels"},
    "store": {"records", "home"},
    "backends": {"registry", "audio", "store", "tables"},
    "judging": {"adjudicate", "store"},
    "tasks": {"corpora", "render", "verbalize", "metrics", "tally"},
    "results": {
        "store",
        "metrics",
        "verbalize",
        "registry",
        "corpora",
        "tally",
        "render",
        "tables",
        "adjudicate",
    },
    "sweep": {"tasks", "backends", "judging", "results"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT)

PART_OF = {
    "registering": "registry",
    "verbalizing": "verbalize",
    "adjudicating": "adjudicate",
    "__main__": "cli",
}
"""Modules that belong to a room of another name."""

PURE = {"render", "hygiene", "verbalize", "adjudicate", "metrics", "tally"}
"""No I/O, no clock, no randomness but a seeded generator, no network."""

IMPURE_MODULES = {
    *("os", "pathlib", "io", "shutil", "tempfile", "glob", "fileinput", "gzip", "zipfile"),
    *("subprocess", "multiprocessing", "sqlite3", "logging"),
    *("time", "datetime", "random", "secrets", "uuid"),
    *("socket", "ssl", "http", "urllib", "requests", "httpx", "aiohttp", "ftplib"),
}
IMPURE_CALLS = {"open", "input", "print", "exec", "eval"}
IMPURE_METHODS = {
    *("open", "read_text", "write_text", "read_bytes", "write_bytes", "unlink", "mkdir"),
    *("load", "loadtxt", "genfromtxt", "fromfile", "memmap", "save", "savez", "savetxt", "tofile"),
}
SEEDED = {"default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64", "Philox"}

HEAVY = ("torch", "transformers", "datasets", "vllm", "lm_eval")
FREE = [
    *("errors", "labels", "home", "records", "rooms", "specs", "registry"),
    *("render", "hygiene", "verbalize", "adjudicate", "metrics", "tally"),
]
"""Rooms whose import pulls in nothing heavy."""


def closure(room: str) -> set[str]:
    """The room itself, what it may import, and what those may."""
    seen: set[str] = set()
    todo = [room]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen.add(at)
            todo += MAY_IMPORT[at]
    return seen


def room_of(module: str) -> str:
    """``voxemo_tasks.store.reading`` → ``store``; the package itself → ``""``."""
    part = [*module.split("."), ""][1]
    return PART_OF.get(part, part)


def modules() -> dict[str, Path]:
    """Dotted name → file, of every module of the package."""
    found = {}
    for path in sorted(FOLDER.rglob("*.py")):
        parts = path.relative_to(FOLDER).with_suffix("").parts
        dotted = ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))
        found[dotted] = path
    return found


def imported(tree: ast.Module, module: str, is_package: bool) -> list[tuple[int, str]]:
    """(line, absolute dotted name) of everything that a module imports.

    ``from .a import b`` gives ``<here>.a.b``, whether ``b`` is a module or a name in one.
    """
    found: list[tuple[int, str]] = []
    here = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            found += [(node.lineno, ".".join([*stem, alias.name])) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            if (
                name in ("import_module", "__import__")
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                dots = len(first.value) - len(first.value.lstrip("."))
                base = here[: len(here) - dots + 1] if dots else []
                found.append((node.lineno, ".".join([*base, first.value.lstrip(".")])))
    return found


def breaches(text: str, module: str, is_package: bool = False) -> list[str]:
    """What a module does against the law, one line each."""
    tree = ast.parse(text)
    room = room_of(module)
    found = []
    imports = imported(tree, module, is_package)
    if room and room not in MAY_IMPORT:
        return [f"{module} is in no room of the design's table"]
    allowed = closure(room) if room else set()
    for line, name in imports:
        top = name.split(".")[0]
        if top == PACKAGE:
            target = room_of(name)
            # `from . import __version__` names the package itself, which imports nothing.
            if target and target not in allowed and not target.startswith("__"):
                found.append(f"{module}:{line} imports {name}: {room or PACKAGE} may not")
        elif room in PURE and top in IMPURE_MODULES:
            found.append(f"{module}:{line} imports {name}: {room} is pure")
        elif (
            room == "metrics"
            and top not in sys.stdlib_module_names
            and top not in ("numpy", "scipy")
        ):
            found.append(f"{module}:{line} imports {name}: metrics is numpy and scipy only")
    if room in PURE:
        found += [f"{module}:{line} calls {what}: {room} is pure" for line, what in impure(tree)]
    return found


def impure(tree: ast.Module) -> list[tuple[int, str]]:
    """Calls that touch files, the console, or a generator without a seed."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        last = called.rpartition(".")[2]
        if (isinstance(node.func, ast.Name) and last in IMPURE_CALLS) or (
            isinstance(node.func, ast.Attribute) and last in IMPURE_METHODS
        ):
            found.append((node.lineno, f"{called}()"))
        elif last == "default_rng" and not (node.args or node.keywords):
            found.append((node.lineno, f"{called}() without a seed"))
        elif ".random." in f".{called}" and called.startswith("np.") and last not in SEEDED:
            found.append((node.lineno, f"{called}(), which has a hidden state"))
    return found


@pytest.mark.parametrize("module", list(modules()))
def test_every_module_keeps_the_law(module):
    path = modules()[module]
    found = breaches(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    assert not found, "\n".join(found)


def test_the_table_names_rooms_only_and_has_no_circle():
    for room, others in MAY_IMPORT.items():
        assert others <= set(MAY_IMPORT)
        for other in closure(room) - {room}:
            assert room not in closure(other), f"{room} and {other} may import each other"
    assert closure("metrics") == {"metrics", "labels", "errors"}
    assert closure("cli") == set(MAY_IMPORT)


def test_the_package_itself_imports_nothing_of_its_own():
    text = (FOLDER / "__init__.py").read_text(encoding="utf-8")
    assert imported(ast.parse(text), PACKAGE, True) == []


@pytest.mark.parametrize(
    ("module", "text", "says"),
    [
        ("metrics.hard", "from ..records import Verdict", "metrics may not"),
        ("metrics.hard", "from .. import registry", "metrics may not"),
        ("metrics.hard", "import voxemo_tasks.store.reading", "metrics may not"),
        ("metrics.hard", "from voxemo_tasks import home", "metrics may not"),
        ("metrics.hard", "def f():\n    from ..store import read_run", ":2 imports"),
        (
            "records",
            "if TYPE_CHECKING:\n    from .specs import PromptSpec",
            "records may not",
        ),
        ("backends.hf", "from ..tasks.task import VoxEmoTask", "backends may not"),
        ("backends.hf", "import importlib\nimportlib.import_module('voxemo_tasks.metrics')", ":2"),
        ("backends.hf", "__import__('voxemo_tasks.cli')", "backends may not"),
        ("backends.hf", "import_module('..metrics.hard', __package__)", "backends may not"),
        ("errors", "from .labels import CANONICAL", "errors may not"),
        ("store", "from ..registry import corpus", "store may not"),
        ("verbalizing.rules", "from ..store import read_run", "verbalize may not"),
        ("registering.files", "from ..corpora import prepare", "registry may not"),
        ("helpers", "", "in no room"),
        ("utils.text", "import os", "in no room"),
        ("metrics.hard", "import os.path", "metrics is pure"),
        ("verbalize", "from pathlib import Path", "verbalize is pure"),
        ("verbalizing.rules", "import random", "verbalize is pure"),
        ("adjudicate", "def f():\n    import httpx", "adjudicate is pure"),
        ("render", "from urllib.request import urlopen", "render is pure"),
        ("metrics.hard", "import sklearn.metrics", "numpy and scipy only"),
        ("render", "def f(p):\n    with open(p) as s:\n        return s", ":2 calls open()"),
        ("render", "def f(p):\n    return p.read_text()", "calls p.read_text()"),
        ("metrics.hard", "rng = np.random.default_rng()", "without a seed"),
        ("metrics.hard", "x = np.random.rand(3)", "hidden state"),
        ("metrics.hard", "np.random.seed(0)", "hidden state"),
        ("metrics.hard", "x = np.load('votes.npy')", "calls np.load()"),
    ],
)
def test_the_checker_sees_a_breach(module, text, says):
    found = breaches(text, f"{PACKAGE}.{module}", module == "store")
    assert len(found) == 1, found
    assert says in found[0]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("metrics.hard", "from ..errors import LabelSetError\nfrom ..labels import LabelSet"),
        ("metrics.hard", "from . import confusion\nfrom .confusion import Confusion"),
        ("metrics.hard", "import numpy as np\nrng = np.random.default_rng(7)\nfrom scipy import x"),
        ("render", "from .specs import PromptSpec\nfrom .registry import prompt\nimport re"),
        ("verbalizing.rules", "from ..verbalize import read\nfrom .. import __version__"),
        ("store", "from .reading import read_run\nfrom ..home import home"),
        ("cli.run", "import os\nfrom ..sweep import plan\nopen('x')"),
        ("corpora.urdu", "import os\nfrom ..audio import probe\nfrom ..home import home"),
    ],
)
def test_the_checker_passes_what_is_allowed(module, text):
    assert breaches(text, f"{PACKAGE}.{module}", module == "store") == []


def test_every_breach_counts():
    text = "import os\nfrom ..store import x\nopen('y')"
    assert len(breaches(text, f"{PACKAGE}.metrics.hard")) == 3


def test_importing_costs_nothing():
    """In a fresh interpreter, one module after another; the first one to blame is named."""
    names = [PACKAGE] + [m for m in modules() if room_of(m) in FREE]
    assert f"{PACKAGE}.metrics.hard" in names
    script = (
        "import importlib, json, sys\n"
        f"heavy = {HEAVY!r}\n"
        "blamed = {}\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "    for module in heavy:\n"
        "        if module in sys.modules:\n"
        "            blamed.setdefault(module, name)\n"
        "print(json.dumps(blamed))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: socket.create_connection(("voxemo.invalid", 80), timeout=1),
        lambda: socket.getaddrinfo(b"voxemo.invalid", 80),
        lambda: socket.socket().connect(("192.0.2.1", 80)),
        lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
        lambda: urllib.request.urlopen("http://192.0.2.1/", timeout=1),
    ],
)
def test_the_network_is_closed_in_tests(reach):
    with pytest.raises(RuntimeError, match="the network is closed in tests"):
        reach()


def test_this_machine_can_be_reached_in_tests():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1])) as client:
            client.sendall(b"x")
        assert server.accept()[0].recv(1) == b"x"


def test_home_is_this_tests_own(home, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from voxemo_tasks.home import home; print(home())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == home == tmp_path
