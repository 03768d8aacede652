"""Which revision of a hub's repository is loaded, and which one it was.

A hub id alone names whatever the repository's default branch holds on the day: a run that recorded no
more could not be made again. So, in this order: what the user said (``revision=``); the commit that
the model's card pins; the default branch. Whatever it was, the *commit* that was loaded is what the
run records and what all parts of the checkpoint (weights, tokenizer, adapter) are then loaded at;
and where it was not said by its full hash, a warning says how to get the same again.

The commit is read from the path of ``config.json`` in the hub's cache. (transformers reported it in
the configuration, and no longer does.)
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from .. import registry
from ..errors import ModelError
from ..specs import ModelCard
from .loading import Checkpoint, load

log = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")


def pin_of(checkpoint: Checkpoint) -> str | None:
    """The commit that a card pins for a hub id; ``None`` for a folder and where none is pinned.

    Example:
        >>> pin_of(Checkpoint("Qwen/Qwen2-Audio-7B", "Qwen/Qwen2-Audio-7B", False, False))
        'dd84470756e6277a71d4d7188773a43cde92696e'
        >>> pin_of(Checkpoint("me/mine", "me/mine", False, False)) is None
        True
    """
    if checkpoint.local:
        return None
    pins = (card.pretrained.get(checkpoint.asked) for card in registry.models())
    return next((pin for pin in pins if pin), None)


def load_at(
    checkpoint: Checkpoint, said: str | None, trust_remote_code: bool
) -> tuple[Any, Any, ModelCard, str, str | None]:
    """Config, processor, family card, the card's digest, and the revision for all that follows.

    Args:
        checkpoint: Where the model comes from.
        said: ``revision=`` of the user.
        trust_remote_code: As in transformers.

    Returns:
        As :func:`~voxemo_tasks.backends.loading.load`, and the commit that was loaded, by which
        weights and adapters are to be loaded and the run is to be recorded; ``None`` for a folder,
        whose bytes are its identity.

    Raises:
        ModelError: As :func:`~voxemo_tasks.backends.loading.load`; where the card's pin was asked
            for, with how to do without it.
        UnknownNameError: Where no card knows the architecture.
    """
    wanted = said or pin_of(checkpoint)
    commit = None if checkpoint.local else _commit_of(checkpoint.source, wanted) or wanted
    try:
        config, processor, card, digest = load(checkpoint, commit, trust_remote_code)
    except ModelError as error:
        if wanted == said:
            raise
        raise ModelError(
            f"{error}. Asked for was revision {wanted}, which the model's card pins; revision=main "
            "takes the repository's default branch, as the hub or this disk has it"
        ) from error
    if not checkpoint.local and not _is_commit(wanted):
        log.warning("%s", _unpinned(checkpoint.asked, said, commit))
    return config, processor, card, digest, commit


def _is_commit(revision: str | None) -> bool:
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def _commit_of(source: str, revision: str | None) -> str | None:
    """The commit that a revision of a hub's repository is now, online or in the cache."""
    if _is_commit(revision):
        return revision
    try:
        from huggingface_hub import hf_hub_download

        folder = Path(hf_hub_download(source, "config.json", revision=revision)).parent.name
    except Exception:  # the hub's client raises many kinds; loading follows, and says what is wrong
        return None
    return folder if _is_commit(folder) else None


def _unpinned(asked: str, said: str | None, commit: str | None) -> str:
    name = f"revision={said}" if said else "no revision was said and no card pins one"
    start = f"pretrained={asked}: {name}, so what is loaded is what the hub holds at the time"
    if not _is_commit(commit):
        return (
            f"{start}; which commit that is could not be found out, and the run cannot record it. "
            "Say revision=, with the full hash of a commit"
        )
    return f"{start}: this time commit {commit}, which the run records; revision={commit} gets it again"
