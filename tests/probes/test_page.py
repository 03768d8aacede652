"""The page for linguists: every number of the probes' JSON is explained in its own section."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from voxemo_tasks.results.basics import Interval, Model, Value
from voxemo_tasks.results.judge_model import Measured
from voxemo_tasks.results.probes.model import Probes

PAGE = (Path(__file__).resolve().parents[2] / "docs/probes.md").read_text("utf-8")
EXPLAINED_ONCE = (Interval, Value, Measured)
"""What every number has: `value`, `n`, `interval` (docs/results.md)."""


def sections() -> dict[str, str]:
    """Block → the sections whose heading names it, with what stands below them."""
    found: dict[str, str] = {}
    for part in re.split(r"^(?=## )", PAGE, flags=re.MULTILINE):
        for block in re.findall(r"`(\w+)`", part.splitlines()[0]):
            found[block] = found.get(block, "") + part
    return found


def models(annotation: object) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models(part)


def names(model: type[Model]) -> Iterator[str]:
    if model in EXPLAINED_ONCE:
        return
    for name, field in model.model_fields.items():
        yield name
        for inner in models(field.annotation):
            yield from names(inner)


def said(section: str) -> set[str]:
    """Words that stand as code or in bold."""
    marked = re.findall(r"`([^`\n]+)`", section) + re.findall(r"\*\*([^*\n]+)\*\*", section)
    return {word for text in marked for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("block", list(Probes.model_fields))
def test_every_field_is_explained_in_the_section_of_its_block(block: str) -> None:
    section = sections().get(block)
    assert section is not None, f"docs/probes.md has no section on `{block}`"
    wanted = {name for m in models(Probes.model_fields[block].annotation) for name in names(m)}
    assert not wanted - said(section)


def test_the_walk_goes_down_to_the_leaves() -> None:
    walked = set(names(Probes))
    assert {"page_p", "preference", "rendered", "above_zero", "gain", "severity"} <= walked
    assert said("the `drop` of **uar**, `a b`") == {"drop", "uar", "a", "b"}
