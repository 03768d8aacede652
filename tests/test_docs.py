"""Documents that are written from data are what the data says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from voxemo_tasks import registry

ROOT = Path(__file__).resolve().parent.parent


def test_the_table_of_corpora_is_current() -> None:
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TABLE.read_text(encoding="utf-8") == module.rendered()


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert len(targets) >= 5
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_the_readme_counts_the_cards_right() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    cards = [card for card in registry.corpora() if not card.synthetic]
    kinds = ("real files", "metadata", "nothing")
    real, metadata, nothing = (sum(c.verified_on == kind for c in cards) for kind in kinds)
    assert f"{len(cards)} corpora" in text
    assert f"{real} on real files, {metadata} on metadata, {nothing} on nothing but" in text
