"""The tree of task files that lm-eval reads, written from the registry into a cache folder.

A folder per digest of its content under ``$VOXEMO_HOME/tasks``: a reader of an older tree is never
disturbed, and two processes that write the same tree write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from .. import __version__, registry
from ..corpora import prepared_ids
from ..errors import StoreError, UnknownNameError
from ..home import home
from ..specs import CorpusCard

KEEP = 5
"""Older trees beyond this many are removed."""

REGISTER = "register"


def task_name(corpus: str, tier: str) -> str:
    """Name of a task.

    Example:
        >>> task_name("urdu", "direct")
        'voxemo_urdu_direct'
    """
    return f"voxemo_{corpus}_{tier}"


def tags(card: CorpusCard, tier: str) -> list[str]:
    """Tags of a task: its corpus, its tier, its languages (full tag and primary subtag)."""
    languages = {tag for lang in card.languages for tag in (lang, lang.partition("-")[0])}
    return [f"voxemo_{card.id}", f"voxemo_{tier}", *sorted(f"voxemo_lang_{x}" for x in languages)]


DIMENSIONAL = "dimensional"
PREPARED = "voxemo_prepared"
"""Group of the tasks of prepared corpora; with a tier's name after it, of that tier alone."""


def tiers_of(card: CorpusCard) -> list[str]:
    """The tiers that can be asked of a corpus: classes need a menu, ratings a scale."""
    return [
        tier
        for tier in registry.tiers()
        if (card.dimensions is not None if tier == DIMENSIONAL else card.label_sets)
    ]


def files() -> dict[str, str]:
    """Relative path → content of every file of the tree, a function of registry and home alone."""
    out: dict[str, str] = {}
    everything: list[str] = []
    ready: list[str] = []
    ready_of: dict[str, list[str]] = {tier: [] for tier in registry.tiers()}
    prepared_now = set(prepared_ids())
    for card in registry.corpora():
        for tier in tiers_of(card):
            name = task_name(card.id, tier)
            everything.append(name)
            if card.id in prepared_now:
                ready.append(name)
                ready_of[tier].append(name)
            out[f"{card.id}/{name}.yaml"] = _task(card, tier, name)
    out["groups/voxemo.yaml"] = _group("voxemo", everything)
    out["groups/voxemo_prepared.yaml"] = _group("voxemo_prepared", ready)
    for tier in registry.tiers():
        name = f"{PREPARED}_{tier}"
        out[f"groups/{name}.yaml"] = _group(name, ready_of[tier])
    out[f"{REGISTER}.yaml"] = (
        "# First in --tasks, it makes the suite's models known to a plain lm-eval.\n"
        "group: voxemo_register\n"
        "task: []\n"
        "metadata:\n"
        "  models: !function voxemo_tasks.tasks.models\n"
    )
    return out


def _task(card: CorpusCard, tier: str, name: str) -> str:
    listed = "\n".join(f"  - {json.dumps(tag)}" for tag in tags(card, tier))
    return (
        f"# Written by `voxemo tasks path` (voxemo-tasks {__version__}); edits are lost.\n"
        f"task: {name}\n"
        "class: !function voxemo_tasks.tasks.VoxEmoTask\n"
        f"tag:\n{listed}\n"
        "dataset_kwargs:\n"
        f"  corpus: {json.dumps(card.id)}\n"
        f"  tier: {json.dumps(tier)}\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        "generation_kwargs:\n"
        "  until: []\n"
        "num_fewshot: 0\n"
        "metadata:\n"
        "  version: 1\n"
    )


def _group(name: str, members: list[str]) -> str:
    listed = "".join(f"  - {member}\n" for member in members)
    return (
        f"# Written by `voxemo tasks path` (voxemo-tasks {__version__}); edits are lost.\n"
        f"group: {name}\n" + (f"task:\n{listed}" if members else "task: []\n") + "metadata:\n"
        "  version: 1\n"
    )


def tree() -> Path:
    """The current tree; written where it is not there yet.

    Raises:
        StoreError: Where it cannot be written.
    """
    content = files()
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    parent = home() / "tasks"
    target = parent / digest
    if _complete(target, content):
        _touch(target)
        return target
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix=".tree."))
        try:
            for name, text in content.items():
                file = temporary / name
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
            temporary.chmod(0o755)
            if target.exists() and not _complete(target, content):
                shutil.rmtree(target, ignore_errors=True)  # somebody edited or thinned it
            try:
                temporary.rename(target)
            except OSError:
                if not _complete(target, content):  # another process was quicker: same bytes
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _remove_old(parent, keep=target)
    except OSError as error:
        raise StoreError(
            f"cannot write the task tree below {parent}: {error.strerror or error}; set VOXEMO_HOME "
            "to a folder that can be written"
        ) from error
    return target


def _complete(target: Path, content: dict[str, str]) -> bool:
    try:
        return all(
            (target / name).read_text(encoding="utf-8") == text for name, text in content.items()
        )
    except OSError:
        return False


def _touch(target: Path) -> None:
    try:
        os.utime(target)
    except OSError:
        return  # read-only homes are fine: the time only orders what is removed first


def _remove_old(parent: Path, keep: Path) -> None:
    others = [
        p for p in parent.iterdir() if p.is_dir() and p != keep and not p.name.startswith(".")
    ]
    others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for old in others[KEEP - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def known_names() -> dict[str, Path]:
    """Every task and group name → its file in the current tree; ``register`` too."""
    root = tree()
    names = {Path(name).stem: root / name for name in files()}
    return dict(sorted(names.items()))


def known_tags() -> dict[str, list[str]]:
    """Tag → names of its tasks."""
    out: dict[str, list[str]] = {}
    for card in registry.corpora():
        for tier in tiers_of(card):
            for tag in tags(card, tier):
                out.setdefault(tag, []).append(task_name(card.id, tier))
    return dict(sorted(out.items()))


def path_of(name: str) -> Path:
    """The file of a task, a group, or ``register``.

    Raises:
        UnknownNameError: With the nearest names.
    """
    names = known_names()
    if name not in names:
        raise UnknownNameError("task file", name, names, "`voxemo tasks ls` shows all.")
    return names[name]


def members(names: list[str]) -> list[str]:
    """Corpora behind task, group and tag names; names of other suites are left out."""
    wanted: set[str] = set()
    all_tags = known_tags()
    prepared_now = set(prepared_ids())
    for card in registry.corpora():
        for tier in tiers_of(card):
            task = task_name(card.id, tier)
            for name in names:
                if (
                    name in (task, "voxemo")
                    or task in all_tags.get(name, [])
                    or (name in (PREPARED, f"{PREPARED}_{tier}") and card.id in prepared_now)
                ):
                    wanted.add(card.id)
    return sorted(wanted)
