"""The tree of task files: deterministic, complete, regenerated when stale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from voxemo_tasks import registry
from voxemo_tasks.corpora import prepare
from voxemo_tasks.errors import StoreError, UnknownNameError
from voxemo_tasks.tasks import tree as trees
from voxemo_tasks.tasks.tree import files, known_names, known_tags, path_of, tree


def test_every_file_is_indexed_by_lm_eval(home: Path) -> None:
    """lm-eval skips a broken YAML at debug level: count files against its index."""
    from lm_eval.tasks._index import TaskIndex

    root = tree()
    index = TaskIndex.build([root])
    written = sorted(p.stem for p in root.rglob("*.yaml"))
    named = {"voxemo_register" if stem == "register" else stem for stem in written}
    assert named == {name for name, entry in index.items() if entry.yaml_path is not None}
    tagged = {name for name, entry in index.items() if entry.yaml_path is None}
    assert tagged == set(known_tags())


def test_corpus_times_tier(home: Path) -> None:
    names = set(known_names())
    for card in registry.corpora():
        for tier in registry.tiers():
            asked = bool(card.label_sets) if tier != "dimensional" else card.dimensions is not None
            assert (f"voxemo_{card.id}_{tier}" in names) == asked
    assert {"voxemo", "voxemo_prepared", "register"} <= names


def test_tags(home: Path) -> None:
    tags = known_tags()
    tiers = [tier for tier in registry.tiers() if tier != "dimensional"]
    assert tags["voxemo_urdu"] == [f"voxemo_urdu_{tier}" for tier in tiers]
    assert tags["voxemo_direct"] == [
        f"voxemo_{c.id}_direct" for c in registry.corpora() if c.label_sets
    ]
    assert "voxemo_urdu_direct" in tags["voxemo_lang_ur-PK"]
    assert "voxemo_urdu_direct" in tags["voxemo_lang_ur"]


def test_writing_is_deterministic_and_stable(home: Path) -> None:
    first = tree()
    stamps = {p: p.stat().st_mtime_ns for p in first.rglob("*.yaml")}
    assert tree() == first
    assert {p: p.stat().st_mtime_ns for p in first.rglob("*.yaml")} == stamps
    assert first.is_absolute()


def test_a_damaged_tree_is_written_again(home: Path) -> None:
    root = tree()
    file = path_of("voxemo_urdu_direct")
    whole = file.read_text()
    file.write_text("task: mine\n")
    assert tree() == root
    assert file.read_text() == whole
    shutil.rmtree(root / "urdu")
    assert path_of("voxemo_urdu_direct").read_text() == whole


def test_preparing_a_corpus_changes_the_tree(home: Path) -> None:
    before = tree()
    assert "voxemo_mini_direct" not in (before / "groups/voxemo_prepared.yaml").read_text()
    prepare("mini", None, progress=False)
    after = tree()
    assert after != before
    assert "voxemo_mini_direct" in (after / "groups/voxemo_prepared.yaml").read_text()
    assert before.is_dir()  # whoever reads the old one is not disturbed


def test_old_trees_are_removed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(trees.KEEP + 3):
        monkeypatch.setattr(trees, "__version__", f"0.0.{number}")
        newest = tree()
    kept = list((home / "tasks").iterdir())
    assert len(kept) == trees.KEEP
    assert newest in kept


def test_unknown_names(home: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'voxemo_urdu_direct'"):
        path_of("voxemo_urdu_dirct")


def test_a_home_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VOXEMO_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="set VOXEMO_HOME"):
        tree()


def test_files_do_not_depend_on_place_or_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = []
    for name in ("a", "b"):
        monkeypatch.setenv("VOXEMO_HOME", str(tmp_path / name))
        contents.append(files())
    assert contents[0] == contents[1]
