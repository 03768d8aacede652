"""Write the table of corpora in ``docs/corpora_table.md`` from the cards.

Run after changing a card::

    python scripts/write_docs.py

A test fails when the checked-in table differs from the cards.
"""

from __future__ import annotations

from pathlib import Path

from voxemo_tasks import registry

TABLE = Path(__file__).resolve().parent.parent / "docs" / "corpora_table.md"

HEAD = """# The corpora

Written by `python scripts/write_docs.py` from the cards; `voxemo corpora show ID` has the rest.

*Verified on* says what the reader was held to: **real files**; **metadata** (file names, labels or
annotation tables of the real release, without its audio); **nothing** (written from descriptions).
*Membership* says how VoxEmo's corpus list is known to hold it; no primary list could be read.

| id | name | languages | utterances | classes | votes | dimensions | verified on | licence | membership |
|---|---|---|---|---|---|---|---|---|---|
"""


def cell(value: object) -> str:
    """A table cell: one line, no bars."""
    text = "" if value is None else str(value)
    return " ".join(text.replace("|", "/").split())


def rendered() -> str:
    """The whole file."""
    rows = []
    for card in registry.corpora():
        scale = card.dimensions
        rows.append(
            [
                f"`{card.id}`",
                card.name,
                ", ".join(card.languages),
                card.expected.utterances,
                len(card.label_set().labels) if card.label_sets else "",
                "yes" if card.votes else "",
                f"{scale.low:g} to {scale.high:g}" if scale else "",
                card.verified_on,
                card.licence,
                card.membership,
            ]
        )
    return HEAD + "".join("| " + " | ".join(map(cell, row)) + " |\n" for row in rows)


def main() -> None:
    TABLE.write_text(rendered(), encoding="utf-8", newline="\n")
    print(TABLE)


if __name__ == "__main__":
    main()
