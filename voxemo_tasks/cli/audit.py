"""``voxemo audit``: let people read a sample of the replies, and measure the readers by them."""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..home import write_atomically
from ..records import Json
from ..results import audits
from ..results.table import align, percent

COLUMNS = [
    "audit",
    "item_id",
    "language",
    "text",
    "options",
    "sampled_prob",
    "rater_id",
    "culture",
    "answer",
]

CONFIG = """<View>
  <Header value="Which emotion of the speaker does this reply assert?"/>
  <Text name="text" value="$text"/>
  <Choices name="answer" toName="text" choice="single-radio" value="$options"/>
  <TextArea name="culture" toName="text" rows="1" placeholder="your country code" required="false"/>
</View>
"""
"""Label Studio's labelling interface; the options come with each task."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("audit")
    commands = parser.add_subparsers(dest="what", metavar="COMMAND", required=True)
    export = commands.add_parser(
        "export",
        help="a sheet for people: CSV, or tasks for Label Studio (by the ending of --out)",
        description="Draws replies and writes them without any prediction. Fill in rater_id, "
        "culture (of the rater) and answer: a label of the menu, multiple, off_menu or none.",
    )
    export.add_argument("run", metavar="RUN", type=Path, help="run folder")
    export.add_argument("--out", type=Path, required=True, help="FILE.csv or FILE.json")
    export.add_argument("--size", type=int, default=200, help="replies to read (default 200)")
    export.add_argument("--by", default="stratified", help="random, stratified (default), farthest")
    export.add_argument(
        "--strata", default="status", help=f"by commas, of {', '.join(audits.STRATA)}"
    )
    export.add_argument("--minimum", type=int, default=2, help="replies per stratum, at least")
    export.add_argument("--seed", type=int, default=0, help="of the draw")
    export.add_argument("--verbalizer", help="statuses of this one, not of the run's own")
    export.set_defaults(func=_export)
    take_in = commands.add_parser(
        "import", help="what people said, and what it says of the readers"
    )
    take_in.add_argument("run", metavar="RUN", type=Path, help="run folder")
    take_in.add_argument("file", metavar="FILE", type=Path, help="filled CSV, or Label Studio JSON")
    take_in.add_argument("--out", type=Path, help="report (default: audit.json in the run folder)")
    take_in.add_argument("--verbalizer", help="measure this one, not the run's own")
    take_in.set_defaults(func=_import)


def _export(args: argparse.Namespace) -> int:
    if args.out.suffix not in (".csv", ".json"):
        raise OptionError(f"--out {args.out}: the name must end in .csv or .json (Label Studio)")
    name, rows = audits.draw(
        args.run,
        args.size,
        by=args.by,
        strata=[s.strip() for s in args.strata.split(",") if s.strip()],
        minimum=args.minimum,
        seed=args.seed,
        verbalizer=args.verbalizer,
    )
    if args.out.suffix == ".csv":
        write_atomically(args.out, sheet(rows).encode("utf-8-sig", "backslashreplace"))
        more = ""
    else:
        tasks = json.dumps(label_studio(rows), indent=1, ensure_ascii=True)
        write_atomically(args.out, tasks.encode() + b"\n")
        config = args.out.with_suffix(".xml")
        write_atomically(config, CONFIG.encode())
        more = f"; labelling interface in {config}"
    print(f"audit {name}: {len(rows)} replies to read in {args.out}{more}")
    return 0


def sheet(rows: list[Json]) -> str:
    """The CSV; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        text = str(row["text"])
        safe = f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
        writer.writerow(row | {"text": safe, "options": " | ".join(row["options"])})
    return out.getvalue()


def label_studio(rows: list[Json]) -> list[Json]:
    """Tasks for Label Studio, without predictions."""
    return [
        {"data": row | {"options": [{"value": option} for option in row["options"]]}}
        for row in rows
    ]


def _import(args: argparse.Namespace) -> int:
    name, path = audits.take_in(args.run, read_sheet(args.file))
    found = audits.report(args.run, name, verbalizer=args.verbalizer)
    out = args.out or args.run / "audit.json"
    text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(out, text.encode() + b"\n")
    print(f"audit {name}: {found['read']} of {found['drawn']} replies read; stored in {path}")
    for task, one in found["tasks"].items():
        print(f"\n{task}: {_people(one)}\n\n{_readers(one)}")
    print(f"\nreport: {out}")
    return 0


def read_sheet(path: Path) -> list[audits.Coded]:
    """What people said, from a filled CSV or an export of Label Studio (JSON).

    Raises:
        OptionError: For a file that is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: cannot be read ({error})") from error
    if path.suffix != ".json":
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if missing := sorted({"item_id", "rater_id", "answer"} - set(rows.fieldnames or ())):
            raise OptionError(f"{path}: has no column {', '.join(missing)}")
        return audits.rater_rows(list(rows), str(path))
    try:
        tasks = json.loads(text)
        found = [row for task in tasks for row in _annotations(task)]
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise OptionError(
            f"{path}: is not an export of Label Studio in JSON ({type(error).__name__}: {error})"
        ) from error
    return audits.rater_rows(found, str(path))


def _annotations(task: Json) -> list[Json]:
    rows = []
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        values: Json = {}
        for result in annotation["result"]:
            value = result["value"]
            values[result["from_name"]] = (value.get("choices") or value.get("text") or [""])[0]
        by = annotation.get("completed_by")
        rater = by.get("email", by.get("id")) if isinstance(by, dict) else by
        rows.append(
            {
                "audit": task["data"].get("audit"),
                "item_id": task["data"]["item_id"],
                "rater_id": "" if rater is None else str(rater),
                "culture": values.get("culture"),
                "answer": values.get("answer"),
            }
        )
    return rows


def _people(one: Json) -> str:
    told = f"{one['read']} replies read by {len(one['raters'])} ({', '.join(one['raters'][:5])})"
    if one["no_consensus"]:
        told += f", {one['no_consensus']} without consensus"
    for name, found in (one["agreement"] or {}).items():
        if found["value"] is not None:
            told += f"; {name} {found['value']:.2f}"
    return told


def _readers(one: Json) -> str:
    rows = [["reader", "agrees with people", *audits.RATES]]
    for name, reader in one["readers"].items():
        agrees = (
            f"{percent(reader['agrees'])} [{percent(reader['low'])}, {percent(reader['high'])}]"
        )
        cells = []
        for metric in audits.RATES:
            rate = reader["rates"].get(metric)
            if rate is None or rate["value"] is None:
                cells.append("-")
            else:
                reach = f"[{percent(rate['low'])}, {percent(rate['high'])}]"
                cells.append(f"{percent(rate['value'])} {reach} (read {percent(rate['reader'])})")
        rows.append([name, f"{agrees} of {reader['n']}", *cells])
    reasons = {
        reason
        for reader in one["readers"].values()
        for reason in (reader["reason"], *(r["reason"] for r in reader["rates"].values()))
        if reason
    }
    return "\n".join([align(rows), *(f"no rate: {reason}" for reason in sorted(reasons))])
