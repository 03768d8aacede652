"""``voxemo plan``: what a run will ask and cost, before it is started. No weights are loaded.

The flags are those of ``voxemo run``, and what is wrong with them is said in the same words. What a
run only finds out later is no error here: a corpus may be unprepared, a checkpoint elsewhere.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import registry
from ..backends import estimating as est
from ..errors import ModelError, OptionError
from ..records import Json, Request
from ..results.table import align
from ..specs import ModelCard
from . import counting
from .run import check_model, check_names, check_options, parse, task_names

log = logging.getLogger(__name__)

DESCRIPTION = (
    "Say what a run will ask and cost before it is started: requests, replies, audio, tokens, time, "
    "memory. An estimate: no weights are loaded and nothing is downloaded. All flags of `voxemo run` "
    "are taken (--model, --model_args, --tasks, --metadata, --limit, --gen_kwargs, --batch_size)."
)


def run(argv: Sequence[str]) -> int:
    """Count, estimate, print; returns the exit status."""
    own, rest = own_flags(argv)
    from lm_eval._cli import HarnessCLI

    from ..tasks import register_models

    register_models()
    plan = plan_of(parse(HarnessCLI()._parser, rest), own)
    print(json.dumps(plan, indent=2, ensure_ascii=False) if own.json else shown(plan))
    return 0


def own_flags(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags of this command, and those of a run."""
    parser = argparse.ArgumentParser("voxemo plan", description=DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    presets = ", ".join(est.DEVICES)
    add("--on", default="h100", metavar="DEVICE", help=f"where: {presets} (default: h100)")
    add("--tflops", type=float, help="10^12 operations a second at the run's precision")
    add("--device-memory-gb", type=float, help="memory, in 10^9 bytes")
    add("--bandwidth-gb-s", type=float, help="memory bandwidth, in 10^9 bytes a second")
    add(
        "--efficiency",
        type=float,
        default=est.EFFICIENCY,
        help=f"share of the peak that is reached (default: {est.EFFICIENCY:g}, a convention)",
    )
    add("--parameters-b", type=float, help="parameters in 10^9, where they cannot be found")
    add("--json", action="store_true", help="JSON in place of a table")
    return parser.parse_known_args(list(argv))


def plan_of(args: Any, own: argparse.Namespace) -> Json:
    """The plan, JSON-safe.

    Raises:
        OptionError, UnknownNameError, ModelError: For what a run would refuse too.
    """
    names = task_names(args)
    check_model(args)
    options = check_options(args)
    ours = check_names(names)
    device = est.device_of(
        own.on,
        tflops=own.tflops,
        memory_gb=own.device_memory_gb,
        bandwidth_gb_s=own.bandwidth_gb_s,
    )
    if getattr(args, "samples", None):
        raise OptionError("--samples: a plan counts whole tasks; use --limit")
    tasks = counting.wanted(ours)
    if not tasks:
        raise OptionError(f"--tasks {', '.join(names)}: none is a task of this suite, or all empty")
    subject = subject_of(args, own)
    gen_kwargs = dict(getattr(args, "gen_kwargs", None) or {})
    counted = [
        counting.count(
            card, tier, task, options, subject.ears, limit=args.limit, gen_kwargs=gen_kwargs
        )
        for card, tier, task in tasks
    ]
    total = counting.total_of(counted)
    plan: Json = {
        "schema": "voxemo-plan/1",
        "estimate": True,
        "model": subject.facts,
        "tasks": [one.to_json() for one in counted],
        "total": total.to_json(),
        "rests_on": list(subject.notes),
    }
    plan["rests_on"] += [
        f"expected length of a reply: {counting.SHORT_ANSWER} tokens for a bare label, "
        f"{counting.LONG_SHARE:g} of the prompt's limit else (an assumption)",
        f"text lengths: the first {counting.SAMPLE} utterances of a prepared corpus",
        "replies that are stored already are not taken off",
    ]
    unknown = [one.corpus for one in counted if one.basis == "not known"]
    if unknown:
        plan["rests_on"].append(f"left out, of unknown size: {', '.join(sorted(set(unknown)))}")
    if subject.size is not None and total.replies:
        plan |= _resources(total, subject.size, device, args, own)
    return plan


def _resources(
    total: est.Work, size: est.Size, device: est.Device, args: Any, own: argparse.Namespace
) -> Json:
    """Time and memory, both ways."""
    from ..backends.requests import parse_batch_size

    model_args = _model_args(args)
    given = model_args.get("batch_size", getattr(args, "batch_size", None) or 1)
    batch, _ = parse_batch_size(given)
    width = _bytes_a_value(model_args, device, args)
    shape: Json = {"batch": batch, "bytes_a_value": width}
    costs = {
        name: est.cost_of(
            total, size, device, shared=shared, efficiency=own.efficiency, **shape
        ).to_json()
        for name, shared in (("with_sharing", True), ("without_sharing", False))
    }
    return {
        "device": {
            "name": device.name,
            "tflops": device.tflops(width),
            "memory_gb": device.memory_gb,
            "bandwidth_gb_s": device.bandwidth_gb_s,
            "efficiency": own.efficiency,
            "batch_size": batch,
            "bytes_a_value": width,
        },
        "cost": costs,
        "memory": est.memory_of(total, size, device, **shape).to_json(),
    }


# --- the model ------------------------------------------------------------------------------


@dataclass(slots=True)
class Subject:
    """What is known of a model without its weights."""

    facts: Json
    ears: counting.Ears
    size: est.Size | None
    notes: list[str] = field(default_factory=list)


def _model_args(args: Any) -> Json:
    given = args.model_args
    return given if isinstance(given, dict) else dict(given or {})


def _bytes_a_value(model_args: Mapping[str, Any], device: est.Device, args: Any) -> int:
    from ..backends.loading import DTYPES

    asked = str(model_args.get("dtype", "auto"))
    name = DTYPES.get(asked.removeprefix("torch."))
    if name is None:
        raise OptionError(f"dtype={asked!r}: expected one of {', '.join(DTYPES)}")
    on_cpu = device.name == "cpu" or str(getattr(args, "device", None)) == "cpu"
    if name == "auto":
        return 4 if on_cpu else 2
    return 4 if name == "float32" else 2


def subject_of(args: Any, own: argparse.Namespace) -> Subject:
    """The model of a run: from its checkpoint where it is on this disk, else from its card and name.

    Raises:
        ModelError, UnknownNameError: For a checkpoint that a run could not use either.
    """
    model_args = _model_args(args)
    pretrained = model_args.get("pretrained")
    if pretrained:
        subject = _checkpoint(str(pretrained), model_args)
    elif args.model == "hf-audiolm":
        raise OptionError(
            "--model_args of hf-audiolm needs pretrained=: a folder, a hub id, or voxemo-tiny"
        )
    else:
        name = str(model_args.get("model") or args.model)
        card = next((c for c in registry.models() if c.api and name in c.api.models), None)
        subject = _by_card(name, card, None)
        subject.notes.append("no weights here: no time and no memory (an API, or a script)")
    if own.parameters_b is not None:
        if not (math.isfinite(own.parameters_b) and own.parameters_b > 0):
            raise OptionError(f"--parameters-b {own.parameters_b:g}: expected a number above 0")
        old = subject.size
        subject.size = est.Size(
            int(own.parameters_b * 1e9),
            0 if old is None else min(old.encoder, int(own.parameters_b * 1e9)),
            None if old is None else old.kv_values,
            "--parameters-b",
        )
    if subject.size is not None:
        subject.facts["size"] = {
            "parameters": subject.size.parameters,
            "encoder_parameters": subject.size.encoder,
            "kv_values_a_token": subject.size.kv_values,
            "basis": subject.size.basis,
        }
        subject.notes.append(f"parameters from {subject.size.basis}")
    return subject


def _checkpoint(pretrained: str, model_args: Mapping[str, Any]) -> Subject:
    from ..backends.loading import Checkpoint, find, load
    from ..backends.revisions import pin_of

    found = find(pretrained)
    revision = model_args.get("revision") or pin_of(found)
    folder = Path(found.source) if found.local else _snapshot(pretrained, revision)
    if folder is None:
        card = next((c for c in registry.models() if pretrained in c.pretrained), None)
        parameters = est.named_parameters(pretrained)
        size = None
        if parameters is not None:
            encoder = est.WHISPER_ENCODER if _padded(card, 30.0) is not None else 0
            size = est.Size(parameters, encoder, None, f"the name {pretrained!r}")
        subject = _by_card(pretrained, card, size)
        subject.notes.append(f"{pretrained} is not on this disk; its card and name were used")
        if size is not None and size.encoder:
            subject.notes.append("its audio encoder is taken to be Whisper large's: 0.64 x 10^9")
        elif size is not None:
            subject.notes.append("the size of its audio encoder is not known: its work is left out")
        else:
            subject.notes.append("its size is not known: say --parameters-b for time and memory")
        return subject
    local = Checkpoint(pretrained, str(folder), found.local, found.synthetic)
    _, processor, card, _ = load(local, None, bool(model_args.get("trust_remote_code")))
    return Subject(
        {"name": pretrained, "card": card.id, "tokens": "its own tokenizer"},
        _own_ears(pretrained, card, processor, str(model_args.get("chat_format", "auto"))),
        size_on_disk(folder),
        [f"audio tokens: rule {card.audio_tokens!r} of the card; text: the model's own tokenizer"],
    )


def _snapshot(pretrained: str, revision: str | None) -> Path | None:
    """The folder of a hub id in this machine's cache; nothing is downloaded."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        folder = Path(snapshot_download(pretrained, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None
    return folder if (folder / "config.json").is_file() else None


def _audio_rule(card: ModelCard | None, window_s: float | None) -> Callable[[float], float]:
    from ..backends.families import AUDIO_TOKENS

    rule = AUDIO_TOKENS[card.audio_tokens or "some"] if card is not None else None
    if card is None or rule is None:
        return lambda seconds: est.AUDIO_TOKENS_A_SECOND * seconds
    rate = card.sampling_rate_hz
    window = int((window_s or 1e9) * rate)
    return lambda seconds: rule(int(seconds * rate), window)


def _padded(card: ModelCard | None, window_s: float | None) -> float | None:
    """Families with Whisper's encoder pad every clip to its whole window."""
    whisper = card is not None and card.audio_tokens in ("qwen2_audio", "voxtral")
    return min(window_s, 30.0) if whisper and window_s is not None else None


def _by_card(name: str, card: ModelCard | None, size: est.Size | None) -> Subject:
    window = card.max_audio_s if card is not None else None

    def text(request: Request) -> float:
        return est.TEMPLATE_TOKENS + est.text_tokens(request.text)

    rule = card.audio_tokens if card is not None and card.audio_tokens != "some" else None
    heard = f"rule {rule!r} of the card" if rule else f"{est.AUDIO_TOKENS_A_SECOND:g} a second"
    return Subject(
        {"name": name, "card": card and card.id, "tokens": "estimated"},
        counting.Ears(_audio_rule(card, window), text, _padded(card, window)),
        size,
        [f"audio tokens: {heard}; text: a token per 4 ASCII characters or 1 other, and "
         f"{est.TEMPLATE_TOKENS} for the template"],
    )  # fmt: skip


def _own_ears(pretrained: str, card: ModelCard, processor: Any, chat_format: str) -> counting.Ears:
    from ..backends.families import choose_chat, prompt_text, window_of

    chat = card.chat_formats.get(choose_chat(card, pretrained, processor, chat_format))
    tokenizer = processor.tokenizer
    marker = tokenizer.convert_tokens_to_ids(card.audio_token)

    def text(request: Request) -> float:
        ids = tokenizer(prompt_text(processor, chat, request.messages))["input_ids"]
        return float(sum(token != marker for token in ids))

    window = window_of(card, processor)
    return counting.Ears(_audio_rule(card, window), text, _padded(card, window))


def size_on_disk(folder: Path) -> est.Size | None:
    """Size of a checkpoint from the headers of its safetensors files; no weight is read.

    Raises:
        ModelError: For a header that cannot be read.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shapes: dict[str, list[int]] = {}
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        try:
            with file.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(min(length, 1 << 28)))
            shapes |= {k: v["shape"] for k, v in header.items() if k != "__metadata__"}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{file}: is no safetensors file ({error})") from error
    if not shapes:
        return None
    total, encoder = est.count_tensors(shapes)
    basis = f"the header(s) of {len(files)} safetensors file(s)"
    return est.Size(total, encoder, est.kv_values(config), basis)


# --- printing -------------------------------------------------------------------------------


def shown(plan: Json) -> str:
    """The plan for a terminal."""
    head = [
        "task",
        "clips",
        "audio h",
        "requests",
        "replies",
        "prompt tokens",
        "generated",
        "basis",
    ]
    rows = [[*_row(one), one["basis"]] for one in plan["tasks"]]
    rows.append([*_row({"task": "all in one run", **plan["total"]}), ""])
    lines = [
        f"ESTIMATE for {plan['model']['name']} (card {plan['model']['card'] or 'none'}): nothing was "
        "loaded or run",
        "",
        align([head, *rows]),
    ]
    for one in plan["tasks"]:
        lines += [f"  {one['task']}: {note}" for note in one["notes"]]
    if "cost" in plan:
        lines += ["", *_shown_resources(plan)]
    lines += ["", "It rests on:", *(f"  - {note}" for note in plan["rests_on"])]
    return "\n".join(lines)


def _row(work: Json) -> list[str]:
    read = work["audio_replies"] + work["text_replies"]
    return [
        work["task"],
        f"{work['clips']:,.0f}",
        f"{work['audio_s'] / 3600:,.2f}",
        f"{work['requests']:,.0f}",
        f"{work['replies']:,.0f}",
        f"{read:,.0f}",
        f"{work['generated']:,.0f} (limit {work['generated_limit']:,.0f})",
    ]


def _shown_resources(plan: Json) -> list[str]:
    device, memory = plan["device"], plan["memory"]
    head = [
        "a clip's prefix is",
        "tokens read",
        "10^12 operations",
        "time",
        "if all replies ran long",
    ]
    rows = [head]
    for name, words in (("with_sharing", "shared"), ("without_sharing", "read anew each time")):
        cost = plan["cost"][name]
        rows.append(
            [
                words,
                f"{cost['prefill_tokens']:,.0f}",
                f"{cost['flops'] / 1e12:,.3g}",
                duration(cost["seconds"]),
                duration(cost["seconds_if_every_reply_ran_to_its_limit"]),
            ]
        )
    kv = memory["kv"]
    cache = "not known" if kv is None else size_text(kv)
    most = memory["largest_batch"]
    return [
        align(rows),
        "",
        f"on {device['name']}: {device['tflops']:g} TFLOPS, {device['bandwidth_gb_s']:g} GB/s, "
        f"{device['memory_gb']:g} GB, of which {device['efficiency']:g} of the speed is reached; "
        f"batches of {device['batch_size']}, {device['bytes_a_value']} bytes a value",
        f"memory: weights {size_text(memory['weights'])}, keys and values of the longest batch "
        f"{cache}, with working space {size_text(memory['total'])}: "
        + ("fits" if memory["fits"] else "DOES NOT FIT")
        + ("" if most is None else f" (largest batch about {most:,})"),
        "time is an order of magnitude; decoding of audio, scheduling and start-up come on top",
    ]


def duration(seconds: float) -> str:
    """Seconds for people.

    Example:
        >>> duration(0.31), duration(75), duration(8000), duration(400000)
        ('< 1 s', '1.2 min', '2.2 h', '4.6 d')
    """
    if seconds < 1:
        return "< 1 s"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= (1.5 * size if unit == "d" else size):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def size_text(number: float) -> str:
    """Bytes for people, in powers of ten.

    Example:
        >>> size_text(2_228_736), size_text(16.4e9), size_text(100)
        ('2.2 MB', '16.4 GB', '0.0 MB')
    """
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
