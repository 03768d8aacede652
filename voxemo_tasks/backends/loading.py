"""Finding and loading a checkpoint with transformers, with errors that say what to do."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from .. import registry
from ..errors import ModelError, UnknownNameError
from ..rooms import PACKAGE
from ..specs import ModelCard
from .families import check_facts, extractor_of

DTYPES = {
    "auto": "auto",
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp16": "float16",
    "float16": "float16",
    "fp32": "float32",
    "float32": "float32",
}

SAMPLED_BYTES = 1 << 20
PIECES = 256
PIECE_BYTES = 1 << 16
WHOLE_BELOW = 16 << 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a model comes from.

    Attributes:
        asked: As the user said it.
        source: Hub id or absolute folder to load from.
        local: Whether ``source`` is a folder.
        synthetic: Whether it is a built-in model for trying and testing only.
    """

    asked: str
    source: str
    local: bool
    synthetic: bool


def find(pretrained: str) -> Checkpoint:
    """Resolve ``pretrained=``: a built-in name, a folder, or a hub id.

    Raises:
        ModelError: For a path that is not there, or a name that can be none of them.
    """
    for card in registry.models():
        if pretrained in card.alias_of_asset:
            folder = PACKAGE / "assets" / card.alias_of_asset[pretrained]
            if not (folder / "config.json").is_file():
                raise ModelError(f"broken install: {folder} has no config.json; reinstall")
            return Checkpoint(pretrained, str(folder), True, pretrained in card.synthetic_aliases)
    path = Path(pretrained).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            found = ", ".join(sorted(p.name for p in path.iterdir())[:10]) or "nothing"
            raise ModelError(
                f"pretrained={pretrained}: the folder has no config.json (found {found})"
            )
        return Checkpoint(pretrained, str(path.absolute()), True, False)
    aliases = [name for card in registry.models() for name in card.alias_of_asset]
    looks_local = pretrained.startswith((".", "/", "~")) or pretrained.count("/") != 1
    if looks_local:
        hubs = [name for card in registry.models() for name in card.pretrained]
        raise UnknownNameError(
            "model (a folder, a hub id 'owner/name', or a built-in)", pretrained, [*aliases, *hubs]
        )
    return Checkpoint(pretrained, pretrained, False, False)


def digest_of_folder(folder: Path) -> str:
    """Identity of a local checkpoint: SHA-256 over names, sizes and content.

    Files of 16 MiB and more count with their first and last MiB and 256 pieces of 64 KiB at equal
    distances, so that a checkpoint of many GB is identified in about a second. First and last MiB
    alone would not do: a merged LoRA changes attention weights all over the file and may leave both
    ends as they were. A change confined to less than a 256th of a file may go unseen.
    """
    total = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix != ".md"):
        size = file.stat().st_size
        total.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size < WHOLE_BELOW:
                total.update(stream.read())
            else:
                total.update(stream.read(SAMPLED_BYTES))
                for piece in range(1, PIECES):
                    stream.seek(size * piece // PIECES)
                    total.update(stream.read(PIECE_BYTES))
                stream.seek(-SAMPLED_BYTES, 2)
                total.update(stream.read())
    return total.hexdigest()


def check_versions(card: ModelCard) -> None:
    """Refuse library versions that are known to break a family.

    Raises:
        ModelError: Naming the version and the range.
    """
    for text in card.known_bad:
        requirement = Requirement(text)
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:  # another engine's library
            continue
        if requirement.specifier.contains(version, prereleases=True):
            raise ModelError(
                f"{card.name} is known to fail under {requirement.name} {version} ({text}); install "
                "another version. What was seen is in the notes of the model's card"
            )


def check_needs(card: ModelCard) -> None:
    """Refuse to start where a package that the family's processor imports is missing.

    Raises:
        ModelError: Naming the package and what to install.
    """
    for name in card.needs:
        requirement = Requirement(name)
        try:
            importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError as error:
            raise ModelError(
                f"the processor of {card.name} needs {requirement.name}, which is not installed: "
                f"pip install '{name}'"
            ) from error


def class_for(card: ModelCard, config: Any, engine: str) -> str:
    """Name of the class that an engine loads: the card's, else the one in ``config.json``."""
    return card.classes.get(engine) or str(config.architectures[0])


def check_engine(card: ModelCard, engine: str, version: str) -> None:
    """Refuse an engine, or a version of it, that cannot run the family.

    Raises:
        ModelError: With the range that can.
    """
    allowed = card.engines.get(engine)
    if allowed is None:
        able = ", ".join(card.engines) or "none"
        raise ModelError(f"{card.name} does not run in {engine}; engines that can: {able}")
    if not SpecifierSet(allowed).contains(version, prereleases=True):
        raise ModelError(
            f"{card.name} needs {engine} {allowed}, this is {version}; install another version"
        )


def load(
    checkpoint: Checkpoint, revision: str | None, trust_remote_code: bool
) -> tuple[Any, Any, ModelCard, str]:
    """Config, processor, family card and the card's digest.

    Raises:
        ModelError: Where config or processor cannot be loaded, a package or version is wrong, or
            the card does not fit the checkpoint.
        UnknownNameError: Where no card knows the architecture.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            f"hf-audiolm needs transformers and torch ({error}): pip install 'voxemo-tasks[hf]'"
        ) from error
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint.source, **options)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"pretrained={checkpoint.asked}: no configuration could be loaded ({first_line(error)}). "
            "Give a folder with a checkpoint, a hub id that this machine has or can reach, or "
            "voxemo-tiny"
        ) from error
    architectures = list(config.architectures or [])
    if not architectures:
        raise ModelError(f"pretrained={checkpoint.asked}: its config.json names no architecture")
    card, digest = registry.model_for(architectures[0])
    check_versions(card)
    check_needs(card)
    try:
        processor = transformers.AutoProcessor.from_pretrained(checkpoint.source, **options)
        if extractor_of(processor) is None or not hasattr(processor, "tokenizer"):
            raise ValueError(f"found a {type(processor).__name__}, which is not an audio processor")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise ModelError(
            f"pretrained={checkpoint.asked}: the checkpoint has no usable processor "
            f"({first_line(error)}). A speech LLM needs its tokenizer files and "
            "preprocessor_config.json (or processor_config.json) beside the weights; copy them from "
            "the model it was made from"
        ) from error
    check_facts(card, processor, checkpoint.asked)
    return config, processor, card, digest


def first_line(error: BaseException, limit: int = 300) -> str:
    """First line of an error's text, shortened."""
    text = str(error).strip().split("\n")[0] or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


TOLERANCE = {"float32": 1e-3, "float16": 3e-2, "bfloat16": 6e-2}
"""Largest difference of next-token logits, over the largest logit, at which two paths are one."""


def tolerance_of(dtype: object) -> float:
    """The tolerance of a dtype, given as torch has it or by name.

    Example:
        >>> tolerance_of("torch.float32")
        0.001
    """
    return TOLERANCE[str(dtype).removeprefix("torch.")]
