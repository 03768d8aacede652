"""LoRA adapters: applied through peft, named in the fingerprint, and checked to be at work."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..specs import ModelCard
from .loading import Checkpoint, digest_of_folder, first_line

log = logging.getLogger(__name__)

OWN = "own"


def adapter_of(card: ModelCard, checkpoint: Checkpoint, asked: str) -> tuple[str, str, str] | None:
    """Which adapter to apply.

    Args:
        card: The family; its own adapter is taken under ``auto``.
        checkpoint: Where the weights come from.
        asked: ``auto``, ``none``, or a folder with ``adapter_config.json``.

    Returns:
        Name, source (folder or hub id) and subfolder inside it (empty for a folder); ``None`` for
        no adapter.

    Raises:
        ModelError: Where the folder has no adapter.
    """
    if asked == "none" or (asked == "auto" and card.adapter is None):
        return None
    if asked == "auto" and card.adapter is not None:
        if not checkpoint.local:
            return card.adapter.name, checkpoint.source, card.adapter.folder
        name, folder = card.adapter.name, Path(checkpoint.source) / card.adapter.folder
        hint = (
            f"{card.name} hears through this adapter; copy it from the model, or say adapter=none "
            "to run without it (results then carry that)"
        )
    else:
        name, folder = OWN, Path(asked).expanduser().absolute()
        hint = "adapter= is auto, none, or the folder of a LoRA adapter"
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(f"{folder} has no adapter_config.json: {hint}")
    return name, str(folder), ""


def apply_adapter(
    model: Any, tokenizer: Any, adapter: tuple[str, str, str], revision: str | None
) -> str:
    """Load an adapter into a model and check that it changes what the model says.

    Args:
        model: The loaded model.
        tokenizer: Its tokenizer.
        adapter: As :func:`adapter_of` gives it.
        revision: Of the hub's repository, as the model itself was loaded.

    Returns:
        Its identity (:func:`identity_of`).

    Raises:
        ModelError: Where it cannot be loaded, or changes nothing.
    """
    name, source, subfolder = adapter
    place: dict[str, Any] = {}
    if subfolder:
        place = {"subfolder": subfolder} | ({"revision": revision} if revision else {})
    try:
        import peft  # noqa: F401  # transformers would say so less plainly
    except ImportError as error:
        raise ModelError(f"the adapter {name} needs peft: pip install peft") from error
    try:
        model.load_adapter(source, adapter_name=name, adapter_kwargs=place)
        model.set_adapter(name)
    except Exception as error:  # peft, safetensors and the hub each raise their own
        raise ModelError(
            f"the adapter {name} from {source} cannot be applied ({first_line(error)})"
        ) from error
    if not changes_logits(model, tokenizer):
        raise ModelError(
            f"the adapter {name} from {source} was loaded but changes no logit: it is not at work. "
            "Its weights may be zero or made for other modules"
        )
    return identity_of(adapter, revision)


def identity_of(adapter: tuple[str, str, str], revision: str | None) -> str:
    """What the fingerprint calls an adapter.

    Args:
        adapter: As :func:`adapter_of` gives it.
        revision: Of the hub's repository, as it was loaded.

    Returns:
        ``name:sha256:digest`` of a folder's content; ``name@revision`` of a repository, or
        ``name@null``, with a warning, where nobody knows which revision was loaded.
    """
    name, source, subfolder = adapter
    if not subfolder:
        return f"{name}:sha256:{digest_of_folder(Path(source))}"
    if revision is None:
        log.warning(
            "the adapter %s of %s: nobody says which revision of it was loaded; the record of this run "
            "holds null for it. Give revision=",
            name,
            source,
        )
    return f"{name}@{revision or 'null'}"


def changes_logits(model: Any, tokenizer: Any) -> bool:
    """Whether the logits of a short text differ with the adapter on and off."""
    import torch

    ids = torch.tensor([tokenizer.encode("angry", add_special_tokens=False)], device=model.device)
    with torch.inference_mode():
        on = model(input_ids=ids).logits
        model.disable_adapters()
        try:
            off = model(input_ids=ids).logits
        finally:
            model.enable_adapters()
    return not torch.equal(on, off)
