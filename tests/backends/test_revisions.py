"""Which revision of a hub's repository is loaded, and what a run says of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks import registry
from voxemo_tasks.backends import revisions
from voxemo_tasks.backends.loading import Checkpoint, find
from voxemo_tasks.backends.revisions import load_at, pin_of
from voxemo_tasks.errors import ModelError
from voxemo_tasks.rooms import PACKAGE

NAME = "Qwen/Qwen2-Audio-7B-Instruct"
PIN = "0a095220c30b7b31434169c3086508ef3ea5bf0a"
OTHER = "ab" * 20


def hub(name: str) -> Checkpoint:
    return Checkpoint(name, name, False, False)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Loading without transformers or a hub: there, what moves is at OTHER."""
    asked: list[Any] = []

    def load(checkpoint: Checkpoint, revision: str | None, trust: bool) -> tuple[Any, ...]:
        asked.append(revision)
        if revision == "gone" or (revision == PIN and checkpoint.source == "lost"):
            raise ModelError(f"pretrained={checkpoint.asked}: no configuration could be loaded")
        return "config", "processor", "card", "digest"

    def download(source: str, file: str, revision: str | None) -> str:
        if source == "away/mine" or revision not in (None, "main", "v1"):
            raise OSError("not in the hub")
        return f"/cache/models--x--y/snapshots/{OTHER}/{file}"

    monkeypatch.setattr(revisions, "load", load)
    hub = pytest.importorskip("huggingface_hub", reason="commits are looked up with it")
    monkeypatch.setattr(hub, "hf_hub_download", download)
    return asked


def test_every_pin_is_the_full_hash_of_a_commit() -> None:
    pins = {hub: pin for card in registry.models() for hub, pin in card.pretrained.items()}
    assert len(pins) >= 16
    assert [hub for hub, pin in pins.items() if pin is None] == [
        "microsoft/Phi-4-multimodal-instruct"
    ]
    assert all(re.fullmatch("[0-9a-f]{40}", pin) for pin in pins.values() if pin)
    assert len({pin for pin in pins.values() if pin}) == len(pins) - 1


@pytest.mark.parametrize(
    ("name", "said", "asked", "loaded", "warning"),
    [
        (NAME, None, PIN, PIN, None),
        (NAME, OTHER, OTHER, OTHER, None),
        (NAME, "main", OTHER, OTHER, f"revision=main, so .* this time commit {OTHER}"),
        ("me/mine", None, OTHER, OTHER, f"no card pins one.*; revision={OTHER} gets it again"),
        ("me/mine", "v1", OTHER, OTHER, "revision=v1, so what is loaded"),
        ("me/mine", "nameless", "nameless", "nameless", "which commit that is could not be found"),
        ("away/mine", None, None, None, "which commit that is could not be found"),
    ],
)
def test_what_is_loaded_and_what_is_said_of_it(
    loads: list[Any],
    caplog: pytest.LogCaptureFixture,
    name: str,
    said: str | None,
    asked: str | None,
    loaded: str | None,
    warning: str | None,
) -> None:
    *_, commit = load_at(hub(name), said, False)
    assert (loads, commit) == ([asked], loaded)
    assert len(caplog.records) == (warning is not None)
    assert warning is None or re.search(warning, caplog.text)


def test_a_folder_has_no_revision(loads: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    *_, commit = load_at(find("voxemo-tiny"), None, False)
    assert (commit, caplog.text) == (None, "")
    assert pin_of(Checkpoint(NAME, "/models/x", True, False)) is None


def test_a_pin_that_is_not_there_says_how_to_do_without(loads: list[Any]) -> None:
    lost = Checkpoint(NAME, "lost", False, False)
    with pytest.raises(ModelError, match=rf"could be loaded\. Asked for was revision {PIN}.*=main"):
        load_at(lost, None, False)
    with pytest.raises(ModelError, match=r"could be loaded$"):
        load_at(lost, "gone", False)


OF_THE_HUB = """
import json, sys
from voxemo_tasks.backends.loading import find
from voxemo_tasks.backends.revisions import load_at
print("FOUND", json.dumps([load_at(find(x), None, False)[-1] for x in sys.argv[1:]]))
"""


def test_the_commit_of_the_hubs_cache_is_found(tmp_path: Path) -> None:
    """With transformers itself, from a cache as the hub's client lays it out, without a network."""
    pytest.importorskip("transformers", reason="checkpoints are loaded with transformers")
    pytest.importorskip("torch", reason="checkpoints are loaded with torch")
    for name, commit, main in ((NAME, PIN, OTHER), ("me/mine", OTHER, OTHER)):
        place = tmp_path / f"models--{name.replace('/', '--')}"
        shutil.copytree(PACKAGE / "assets" / "voxemo-tiny", place / "snapshots" / commit)
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(main)
    done = subprocess.run(
        [sys.executable, "-c", OF_THE_HUB, NAME, "me/mine"],
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.split("FOUND")[1]) == [PIN, OTHER]
    assert done.stderr.count("so what is loaded is what the hub holds") == 1
