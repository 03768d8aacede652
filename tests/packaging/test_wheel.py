"""The data rooms, cards and assets are found in a wheel, an editable install and a bare checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.packaging

PROBE = """
import site, sys
place, before = sys.argv[1], list(sys.path)
site.addsitedir(place)
# Ahead of the environment's own install of the project, which must not be what is found.
sys.path[:0] = [place, *(p for p in sys.path if p not in before)]
import voxemo_tasks
from voxemo_tasks import registry
from voxemo_tasks.rooms import PACKAGE, room_path, ROOMS
for room in ROOMS:
    print(room, room_path(room))
assert registry.prompts() and registry.verbalizers() and registry.corpora() and registry.models()
assert (PACKAGE / "assets" / "voxemo-tiny" / "config.json").is_file()
assert (PACKAGE / "assets" / "mini" / "metadata.jsonl").is_file()
assert (PACKAGE / "py.typed").is_file()
print("package", PACKAGE)
"""


def probe(place: Path, cwd: Path) -> dict[str, Path]:
    """Import the package from ``place`` alone, somewhere else; where did it find its rooms?"""
    run = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, str(place)], cwd=cwd, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return {name: Path(path) for name, path in (x.split(" ", 1) for x in run.stdout.splitlines())}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the project is made of, as in a fresh clone."""
    target = tmp_path_factory.mktemp("checkout") / "project"
    target.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".git", "*_cache")
    for name in ("voxemo_tasks", "prompts", "verbalizers", "judges"):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, checkout],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


def test_wheel(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    found = probe(place, tmp_path)
    assert found["package"] == place / "voxemo_tasks"
    assert found["prompts"] == place / "voxemo_tasks" / "data" / "prompts"


def test_editable_install(checkout: Path, tmp_path: Path) -> None:
    code = "import hatchling.build as b, sys; print(b.build_editable(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    )
    place = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / built.stdout.strip().splitlines()[-1]) as archive:
        archive.extractall(place)
    found = probe(place, tmp_path)
    assert found["package"] == checkout / "voxemo_tasks"
    assert found["prompts"] == checkout / "prompts"


def test_bare_checkout(checkout: Path, tmp_path: Path) -> None:
    found = probe(checkout, tmp_path)
    assert found["judges"] == checkout / "judges"


def test_a_wheel_without_its_rooms_says_broken_install(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    shutil.rmtree(place / "voxemo_tasks" / "data" / "prompts")
    run = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, str(place)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert "BrokenInstallError" in run.stderr
    assert "reinstall" in run.stderr


def test_wheel_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(n for n in names if n.endswith(".dist-info/METADATA"))
        entry = next(n for n in names if n.endswith(".dist-info/entry_points.txt"))
        text = archive.read(metadata).decode()
        entries = archive.read(entry).decode()
    assert not [n for n in names if n.startswith(("tests", "scripts")) or "__pycache__" in n]
    core = [
        line.removeprefix("Requires-Dist: ")
        for line in text.splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert not [need for need in core if need.startswith(("torch", "transformers", "vllm", "ray"))]
    from voxemo_tasks.tasks.register import MODELS

    for name, target in MODELS.items():
        assert f"{name} = {target}" in entries
    assert wheel.stat().st_size < 10_000_000
