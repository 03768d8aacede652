"""The corpora that this user has prepared: ``$VOXEMO_HOME/corpora/<id>/``.

The manifest decides: it carries all facts itself and is replaced by one rename, so that two
``prepare`` at once, or one that is killed, leave a whole manifest of one or the other.
``corpus.json`` beside it says the same for people and other programs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..audio import shown
from ..errors import CorpusError, NotPreparedError
from ..home import home, write_atomically
from ..registry import corpora, corpus
from ..specs import CorpusCard
from .manifest import Facts, Manifest, load_manifest, read_facts, root_of

MANIFEST = "manifest.parquet"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared corpus.

    Attributes:
        card: Its card as it is now.
        card_digest: SHA-256 of the card as it is now.
        root: Absolute folder of the local copy; it may be gone (``require_root``).
        digest: The manifest's digest.
        path: The manifest.
        n: Its rows, unusable ones included.
        facts: What the manifest says about itself.
    """

    card: CorpusCard
    card_digest: str
    root: Path
    digest: str
    path: Path
    n: int
    facts: Facts

    @property
    def card_changed(self) -> bool:
        """Whether the card is another one than the manifest was prepared with."""
        return self.facts.card_digest != self.card_digest

    def manifest(self) -> Manifest:
        """The manifest, loaded.

        Raises:
            CorpusError: As ``load_manifest``.
        """
        return load_manifest(self.path)

    def require_root(self) -> Path:
        """The root, where it is still there.

        Raises:
            CorpusError: Where it is not: moved, deleted, or on a disk that is not mounted.
        """
        if not self.root.is_dir():
            raise CorpusError(
                f"corpus {self.card.id!r} was prepared from {shown(self.root)}, which is not there "
                f"now; mount it, or prepare again: {command(self.card)}"
            )
        return self.root


def command(card: CorpusCard) -> str:
    """The command line that prepares a corpus."""
    root = "" if card.reader.asset else " --root DIR"
    return f"voxemo corpora prepare {card.id}{root}"


def registered_path(corpus_id: str) -> Path:
    """Where the manifest of a corpus is registered, whether it exists or not."""
    return home() / "corpora" / corpus_id / MANIFEST


def register(facts: Facts, data: bytes, n: int) -> Path:
    """Write a manifest, then ``corpus.json``, each whole or not at all.

    Raises:
        StoreError: Where the home cannot be written.
    """
    path = registered_path(facts.corpus)
    write_atomically(path, data)
    said = {
        "id": facts.corpus,
        "root": facts.root,
        "manifest_digest": facts.digest,
        "card_digest": facts.card_digest,
        "n": n,
        "prepared_with": facts.prepared_with,
    }
    text = json.dumps(said, indent=2) + "\n"  # ASCII escapes: a root may not be UTF-8
    write_atomically(path.with_name("corpus.json"), text.encode("ascii"))
    return path


def prepared(corpus_id: str) -> Prepared:
    """A corpus that was prepared; reads the manifest's footer only.

    Raises:
        UnknownNameError: For an id without a card.
        NotPreparedError: With the command that prepares it.
        CorpusError: For a manifest that is damaged.
    """
    card, digest = corpus(corpus_id)
    path = registered_path(corpus_id)
    if not path.is_file():
        where = "" if card.reader.asset else f"\nDIR is your local copy: {card.layout}"
        raise NotPreparedError(
            f"corpus {corpus_id!r} is not prepared; run:\n  {command(card)}{where}"
        )
    facts, n = read_facts(path)
    if facts.corpus != corpus_id:
        raise CorpusError(
            f"{shown(path)}: is the manifest of corpus {facts.corpus!r}; prepare {corpus_id!r} "
            f"again: {command(card)}"
        )
    return Prepared(card, digest, Path(root_of(facts)), facts.digest, path, n, facts)


def prepared_ids() -> list[str]:
    """Ids of all corpora that have a card and a registered manifest, sorted."""
    return [card.id for card in corpora() if registered_path(card.id).is_file()]
