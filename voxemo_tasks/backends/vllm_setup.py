"""What must hold before vLLM is started: versions, families, adapters, options."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from ..errors import ModelError, OptionError
from ..records import Json
from ..specs import ModelCard
from .adapters import identity_of
from .loading import Checkpoint, check_engine, first_line


def check_vllm(card: ModelCard, version: str) -> None:
    """Refuse a family that vLLM does not run, and versions that are known to break it.

    The version is that of the module: a CPU build goes by another name than ``vllm`` as a package.

    Raises:
        ModelError: Naming the version and the range.
    """
    check_engine(card, "vllm", version)
    for text in card.known_bad:
        bad = Requirement(text)
        if bad.name == "vllm" and bad.specifier.contains(version, prereleases=True):
            raise ModelError(
                f"{card.name} is known to fail under vllm {version} ({text}); install another "
                "version. What was seen is in the notes of the model's card"
            )


def read_options(options: Mapping[str, Any] | str | None) -> Json:
    """``engine_options`` as a mapping.

    Raises:
        OptionError: For text that is no JSON object.

    Example:
        >>> read_options('{"block_size": 32}')
        {'block_size': 32}
    """
    if isinstance(options, str):
        try:
            options = json.loads(options)
        except json.JSONDecodeError as error:
            raise OptionError(f"engine_options={options!r}: not JSON ({error})") from error
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise OptionError(f"engine_options={options!r}: expected an object of vLLM's keywords")
    return dict(options)


def compact_json() -> Json:
    """Options of the engine under which JSON that is held to a schema has no free white space.

    By default a grammar for JSON lets the model write as much white space as it likes between two
    parts, and small models were seen to write nothing else up to the token limit. vLLM can forbid it
    only where the library that holds replies to a schema is named; xgrammar is its own first choice.

    Returns:
        Keywords of ``vllm.LLM``; none where this vLLM cannot, or its library is not there.
    """
    try:
        config = importlib.import_module("vllm.config").StructuredOutputsConfig
    except (ImportError, AttributeError):
        return {}
    if "disable_any_whitespace" not in inspect.signature(config).parameters:
        return {}
    libraries = (("xgrammar", "xgrammar"), ("guidance", "llguidance"))
    backend = next((name for name, module in libraries if find_spec(module) is not None), None)
    if backend is None:
        return {}
    return {"structured_outputs_config": {"backend": backend, "disable_any_whitespace": True}}


def mistral_format(checkpoint: Checkpoint) -> Json:
    """Options of the engine for a family of Mistral's that vLLM reads in Mistral's own format.

    Raises:
        ModelError: For a folder without that form of the checkpoint.
    """
    if checkpoint.local:
        folder = Path(checkpoint.source)
        wanted = ("params.json", "consolidated*.safetensors", "tekken.json")
        missing = [name for name in wanted if not any(folder.glob(name))]
        if missing:
            raise ModelError(
                f"{folder} has no {' and no '.join(missing)}: vLLM reads this family in Mistral's "
                f"own format ({', '.join(wanted)}) and not in that of transformers. The hub's "
                "repository holds both; take the files from there, or use hf-audiolm"
            )
    return dict.fromkeys(("config_format", "load_format", "tokenizer_mode"), "mistral")


def require_chosen_tokens(vllm: Any) -> None:
    """Refuse a vLLM that gives no log-probabilities of tokens that are named to it.

    Raises:
        ModelError: Naming the version.
    """
    if "logprob_token_ids" not in inspect.signature(vllm.SamplingParams).parameters:
        raise ModelError(
            f"readout=likelihood asks for the log-probabilities of chosen tokens, which vLLM "
            f"{vllm.__version__} does not give (0.32 does); install a newer one, or use hf-audiolm"
        )


def local_adapter(adapter: tuple[str, str, str], revision: str | None) -> tuple[str, Path]:
    """Identity of an adapter and its folder on this machine, fetched from the hub where it is there.

    Args:
        adapter: Name, source and subfolder, as :func:`~voxemo_tasks.backends.adapters.adapter_of`
            gives them.
        revision: Of the hub's repository.

    Raises:
        ModelError: Where the hub has none.
    """
    name, source, subfolder = adapter
    if not subfolder:
        return identity_of(adapter, None), Path(source)
    import huggingface_hub

    try:
        snapshot = huggingface_hub.snapshot_download(
            source, revision=revision, allow_patterns=[f"{subfolder}/*"]
        )
    except Exception as error:  # the hub's client raises many kinds
        raise ModelError(
            f"the adapter {name} of {source} could not be fetched ({first_line(error)})"
        ) from error
    # The hub's client keeps each commit in a folder of its name.
    commit = Path(snapshot).name if Path(snapshot).parent.name == "snapshots" else revision
    return identity_of(adapter, commit), Path(snapshot) / subfolder


def adapter_rank(folder: Path) -> int:
    """Rank of an adapter, rounded up to one that vLLM takes.

    Raises:
        ModelError: For an ``adapter_config.json`` without a rank.
    """
    file = folder / "adapter_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        ranks = [int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file}: no rank 'r' could be read ({error})") from error
    allowed = (8, 16, 32, 64, 128, 256, 320, 512)
    fitting = next((rank for rank in allowed if rank >= max(ranks)), None)
    if fitting is None:
        raise ModelError(f"{file}: rank {max(ranks)}; vLLM takes up to {allowed[-1]}")
    return fitting


def end_ids(source: str, revision: str | None, tokenizer: Any) -> list[int]:
    """End tokens of the checkpoint: what ``generation_config="vllm"`` would lose."""
    from transformers import GenerationConfig

    try:
        ids = GenerationConfig.from_pretrained(source, revision=revision).eos_token_id
    except (OSError, ValueError):
        ids = None
    if ids is None:
        ids = tokenizer.eos_token_id
    return sorted({ids} if isinstance(ids, int) else set(ids or ()))


def positive(name: str, value: Any) -> int:
    """A model argument as an integer of at least 1.

    Raises:
        OptionError: For anything else.

    Example:
        >>> positive("max_num_seqs", "16")
        16
    """
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise OptionError(f"{name}={value!r}: expected a positive integer")
    return number
