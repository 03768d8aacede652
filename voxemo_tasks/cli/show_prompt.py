"""``voxemo prompts show``: exactly what a model gets for an utterance."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .. import registry
from ..corpora import prepared
from ..errors import OptionError, UnknownNameError
from ..labels import DIMENSIONS
from ..records import AudioRef, Json
from ..render import decoding_of, render


def add_parser(commands: Any) -> None:
    show = commands.add_parser("show", help="exactly what a model gets")
    show.add_argument("id", help="prompt id, or id@version")
    show.add_argument("--corpus", required=True, help="whose menu and utterance")
    show.add_argument("--utterance", help="utterance id (default: an utterance of no context)")
    show.add_argument("--label_set", help="default: the card's own")
    show.add_argument(
        "--metadata",
        default="{}",
        help='options of a run as JSON, e.g. \'{"label_style": "lettered", "label_order": "rotated"}\'',
    )
    show.set_defaults(func=show_prompt)


def show_prompt(args: argparse.Namespace) -> int:
    # The task side imports lm-eval, which takes seconds; the other commands need not wait for it.
    from ..tasks.documents import Documents, select
    from ..tasks.options import parse_options
    from ..tasks.planning import Plan

    try:
        given = json.loads(args.metadata)
    except ValueError as error:
        raise OptionError(f"--metadata: not JSON ({error})") from error
    if not isinstance(given, dict):
        raise OptionError(f"--metadata: expected an object {{…}}, got {args.metadata}")
    if args.label_set:
        given["label_set"] = args.label_set
    options = parse_options({**given, "prompts": [args.id]}, strict=True)
    prompt, digest = registry.prompt(args.id)
    card, _ = registry.corpus(args.corpus)
    plan = Plan.of(card, prompt.tier, options)
    member = plan.members({})[0]  # the prompt itself stands first
    dimensions: tuple[str, ...] = DIMENSIONS
    scale = None if card.dimensions is None else (card.dimensions.low, card.dimensions.high)
    document: Json = {"utterance_id": args.utterance or ""}
    audio = AudioRef(path="(the utterance's audio)", sha256="")
    if args.utterance:
        manifest = prepared(args.corpus).manifest()
        ids = manifest.column("utterance_id")
        if args.utterance not in ids:
            raise UnknownNameError(f"utterance of {args.corpus}", args.utterance, ids)
        selection = select(card, manifest, plan.label_set, options)
        dimensions, scale = plan.scale(manifest, selection.rows)
        shots = plan.shots(manifest, selection)
        rows = [ids.index(args.utterance)]
        documents = Documents(card.id, manifest, plan.label_set, rows, options.target, shots)
        document = documents[0]
        audio = AudioRef.from_json(document["audio"])
    elif options.shots:
        raise OptionError("shots differ by utterance: give --utterance too")
    menu = member.menu(plan.label_set, document["utterance_id"], options.order_seed)
    frame = plan.frame(member, menu, document, dimensions, scale)
    decoding = decoding_of(prompt, temperature=options.temperature)
    request = render(prompt, digest, menu, audio, decoding, frame)
    shown: Json = {
        "prompt": prompt.ref,
        "sha256": digest,
        "messages": list(request.messages),
        "audio": [ref.to_json() for ref in request.audio] if args.utterance else [],
        "decoding": request.decoding.to_json(),
    }
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0
