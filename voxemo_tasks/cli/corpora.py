"""``voxemo corpora``: what corpora there are, and preparing and checking local copies."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CorpusError, NotPreparedError

if TYPE_CHECKING:
    from ..corpora import PrepareReport
    from ..corpora.folds import FoldSpeakers
    from ..specs import CorpusCard

_NAMED = 10
_FOLDS = 12


def add_parser(subparsers: Any) -> None:
    """Add ``corpora`` and its sub-commands to the subparsers of the ``voxemo`` command."""
    parser: argparse.ArgumentParser = subparsers.add_parser("corpora")
    commands = parser.add_subparsers(dest="corpora_command", metavar="COMMAND", required=True)

    ls = commands.add_parser("ls", help="list all corpora, and which are prepared")
    ls.add_argument("--json", action="store_true", help="as JSON")
    ls.set_defaults(func=_ls)

    show = commands.add_parser("show", help="the facts of one corpus")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(func=_show)

    ontology = commands.add_parser(
        "ontology",
        help="the canonical labels in the plane of valence and arousal, mapping rules; or the notes "
        "on a culture",
    )
    ontology.add_argument("--culture", action="append", default=[], metavar="CODE")
    ontology.add_argument("--language", action="append", default=[], metavar="TAG")
    ontology.add_argument("--json", action="store_true", help="as JSON")
    ontology.set_defaults(func=_ontology)

    prepare = commands.add_parser(
        "prepare", help="read a local copy and write its manifest; downloads nothing"
    )
    prepare.add_argument("id", metavar="ID")
    prepare.add_argument("--root", metavar="DIR", help="folder of the local copy (mini needs none)")
    prepare.add_argument(
        "--out", metavar="FILE", help="write the manifest here (Parquet) and register nothing"
    )
    prepare.add_argument(
        "--emobox-root",
        metavar="DIR",
        help="folder of EmoBox's corpus folders: adds its folds, as protocol emobox",
    )
    prepare.add_argument(
        "--allow-missing",
        action="store_true",
        help="record files that cannot be used instead of failing",
    )
    prepare.add_argument("--workers", type=int, metavar="N", help="threads that read files")
    prepare.add_argument("--no-progress", action="store_true", help="no progress bar")
    prepare.set_defaults(func=_prepare)

    check = commands.add_parser(
        "check", help="verify files, digests and decodability of a prepared corpus"
    )
    check.add_argument("id", metavar="ID")
    check.add_argument(
        "--expect", action="store_true", help="compare with the published counts, too"
    )
    check.add_argument("--workers", type=int, metavar="N", help="threads that read files")
    check.add_argument("--no-progress", action="store_true", help="no progress bar")
    check.set_defaults(func=_check)


def _ls(args: argparse.Namespace) -> int:
    from .. import registry

    rows = [_summary(card) for card in registry.corpora()]
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    cells = [["ID", "NAME", "LANGUAGES", "UTTERANCES", "VERIFIED ON", "PREPARED"]]
    for row in rows:
        state = row["prepared"]
        cells.append(
            [
                row["id"],
                row["name"],
                _few(row["languages"], 3),
                _or_dash(row["utterances"]),
                row["verified_on"],
                state["error"] if state and "error" in state else f"{state['n']}" if state else "-",
            ]
        )
    print(_aligned(cells, right=(3,)))
    return 0


def _summary(card: CorpusCard) -> dict[str, Any]:
    return {
        "id": card.id,
        "name": card.name,
        "synthetic": card.synthetic,
        "languages": card.languages,
        "utterances": card.expected.utterances,
        "licence": card.licence,
        "access": card.access,
        "verified_on": card.verified_on,
        "prepared": _state(card.id),
    }


def _state(corpus_id: str) -> dict[str, Any] | None:
    from ..audio import shown
    from ..corpora import prepared

    try:
        entry = prepared(corpus_id)
    except NotPreparedError:
        return None
    except CorpusError as error:
        return {"error": "damaged", "reason": str(error)}
    return {
        "n": entry.n,
        "root": shown(entry.root),
        "manifest": shown(entry.path),
        "digest": entry.digest,
        "card_changed": entry.card_changed,
    }


def _show(args: argparse.Namespace) -> int:
    from .. import registry

    card, digest = registry.corpus(args.id)
    state = _state(card.id)
    if args.json:
        facts = {**card.model_dump(by_alias=True), "card_sha256": digest, "prepared": state}
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    expected = card.expected
    facts = {
        "name": card.name,
        "languages": ", ".join(card.languages),
        "culture": _or_dash(card.culture),
        "elicitation": card.elicitation,
        "labels": ", ".join(f"{raw} → {label}" for raw, label in card.labels.items()) or "-",
        "label rule": _label_rules(card),
        "hard target": _hard_target(card),
        "label sets": "; ".join(
            f"{name} ({len(spec.labels)}): {', '.join(spec.labels)}"
            for name, spec in card.label_sets.items()
        )
        or "none: dimensional ratings only",
        "protocols": "; ".join(
            f"{name}{' (default)' if name == card.default_protocol else ''}: {spec.description}"
            for name, spec in card.protocols.items()
        ),
        "utterances": _or_dash(expected.utterances),
        "speakers": _or_dash(expected.speakers),
        "hours": _or_dash(expected.hours),
        "votes": _or_dash(card.votes),
        "dimensions": f"{card.dimensions.low:g} to {card.dimensions.high:g}"
        if card.dimensions
        else "-",
        "context": "; ".join(
            f"{name.replace('_', ' ')}: {value}"
            for name, value in card.context.model_dump().items()
            if value is not None
        )
        or "-",
        "contamination": "not known"
        if card.contamination is None
        else "; ".join(
            f"{c.model}{f' ({c.part})' if c.part else ''}, says {c.source}"
            for c in card.contamination
        )
        or "none known",
        "licence": card.licence,
        "access": card.access,
        "url": _or_dash(card.url),
        "citation": _or_dash(card.citation),
        "layout": card.layout,
        "known defects": "; ".join(card.known_defects) or "-",
        "membership": _or_dash(card.membership)
        + (f" [{card.membership_grade}]" if card.membership_grade else ""),
        "verified on": card.verified_on,
        "notes": _or_dash(card.notes),
        "prepared": "no"
        if state is None
        else state.get("reason") or f"{state['n']} rows from {state['root']}",
    }
    print(f"{card.id}{'  (synthetic, not a result)' if card.synthetic else ''}")
    width = max(map(len, facts))
    for name, value in facts.items():
        lead = f"  {name:<{width}}  "
        print(
            textwrap.fill(
                value,
                100,
                initial_indent=lead,
                subsequent_indent=" " * len(lead),
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    return 0


def _label_rules(card: CorpusCard) -> str:
    if not card.labels:
        return "-"
    exceptions = [f"{raw}: {rule}" for raw, rule in card.label_rules.items()]
    rest = f"; except {', '.join(exceptions)}" if exceptions else ""
    return f"{card.label_rule or 'not stated'}{rest}"


def _hard_target(card: CorpusCard) -> str:
    from ..labels import HARD_TARGETS

    if card.hard_target is None:
        return "-"
    return f"{card.hard_target}: {HARD_TARGETS[card.hard_target]}"


def _ontology(args: argparse.Namespace) -> int:
    from .. import registry

    ontology = registry.ontology()
    notes = registry.culture_notes(args.culture, args.language)
    if args.culture or args.language:
        if args.json:
            said = {k: {**n.model_dump(), "source": source} for k, (n, source) in notes.items()}
            print(json.dumps(said, indent=2, ensure_ascii=False))
            return 0
        for name, (note, source) in notes.items():
            print(f"{name} ({note.topic}; {', '.join(note.cultures)}): {note.note}\n    {source}")
        if not notes:
            print("no note")
        return 0
    if args.json:
        print(json.dumps(ontology.model_dump(by_alias=True), indent=2, ensure_ascii=False))
        return 0
    cells = [["LABEL", "VALENCE", "AROUSAL", "VALUES", "SOURCE"]]
    for label, placed in ontology.labels.items():
        values = ", ".join(f"{k[0].upper()} {v:g}" for k, v in (placed.values or {}).items())
        cells.append(
            [
                label,
                _or_dash(placed.valence),
                _or_dash(placed.arousal),
                values or "-",
                _or_dash(placed.source),
            ]
        )
    print(_aligned(cells))
    for title, entries in (("rules", ontology.rules), ("sources", ontology.sources)):
        print(f"\n{title}")
        for name, text in entries.items():
            print(
                textwrap.fill(f"{name}: {text}", 100, initial_indent="  ", subsequent_indent="    ")
            )
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from .. import corpora

    report = corpora.prepare(
        args.id,
        args.root,
        out=args.out,
        emobox_root=args.emobox_root,
        allow_missing=args.allow_missing,
        workers=args.workers,
        progress=not args.no_progress,
    )
    _print_prepared(report)
    return 0


def _print_prepared(report: PrepareReport) -> None:
    from ..audio import shown

    print(
        f"{report.corpus_id}: {report.usable} utterances, {report.hours:.3f} h, "
        f"from {shown(report.root)} in {report.seconds:.1f} s"
    )
    print(f"manifest  {shown(report.path)}{'' if report.registered else ' (not registered)'}")
    print(f"digest    {report.digest}")
    _print_folds(report)
    if report.lost_folds:
        print(
            f"note      the manifest before this one had the protocol(s) "
            f"{', '.join(report.lost_folds)}, which are gone; --emobox-root adds EmoBox's"
        )
    _print_named("recorded as unusable", list(map(str, report.unusable)), " file(s)")
    outside = list(map(str, report.not_in_corpus))
    _print_named("left out, not part of the corpus", outside, " file(s)")
    if report.differences:
        print("differs from the counts on the card:")
        for difference in report.differences:
            print(f"  {difference}")


def _print_folds(report: PrepareReport) -> None:
    met = report.emobox
    if met is not None:
        print(f"emobox    {met.matched} of {report.n} utterances have a role in its folds")
        _print_named("lines of EmoBox without an utterance", met.lines)
        _print_named("utterances without a line of EmoBox", met.utterances)
        _print_named("files in its fold folders that are no fold files", met.passed_over)
        _print_named("utterances whose length is not EmoBox's", met.lengths)
    divided = [fold for fold in report.folds if fold.train + fold.valid]
    for fold in divided[:_FOLDS]:
        parts = (("train", fold.train), ("valid", fold.valid), ("test", fold.test))
        sizes = ", ".join(f"{n} {role}" for role, n in parts if n)
        print(f"fold      {fold.protocol} {fold.fold}: {sizes}; {_speakers(fold)}")
    if len(divided) > _FOLDS:
        print(f"  … and {len(divided) - _FOLDS} more folds")


def _speakers(fold: FoldSpeakers) -> str:
    if fold.disjoint:
        return "speaker-disjoint"
    if fold.disjoint is False:
        of = f"{fold.shared} of the {fold.speakers} tested speakers"
        return f"NOT speaker-disjoint ({of} are in its other parts)"
    if not fold.test:
        return "no test part"
    return f"speaker-disjointness unknown ({fold.unknown} utterances without a speaker)"


def _print_named(title: str, names: Sequence[str], what: str = "") -> None:
    if not names:
        return
    print(f"{title}: {len(names)}{what}")
    for name in names[:_NAMED]:
        print(f"  {name}")
    if len(names) > _NAMED:
        print(f"  … and {len(names) - _NAMED} more")


def _check(args: argparse.Namespace) -> int:
    from .. import corpora

    report = corpora.check(args.id, workers=args.workers, progress=not args.no_progress)
    print(report.table())
    wrong = not report.ok
    if args.expect:
        entry = corpora.prepared(args.id)
        differences = corpora.expect(entry.manifest(), entry.card)
        for difference in differences:
            print(f"  {difference}")
        if differences and entry.card.known_defects:
            print("known defects of the corpus:")
            for defect in entry.card.known_defects:
                print(f"  {defect}")
        print("counts differ from the card" if differences else "counts are those of the card")
        wrong = wrong or bool(differences)
    return int(wrong)


def _or_dash(value: object) -> str:
    return "-" if value is None else f"{value}"


def _few(names: Sequence[str], limit: int) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" +{more}" if more > 0 else "")


def _aligned(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Columns of text, two spaces apart; ``right`` are aligned right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    ends = set(right)
    lines = [
        "  ".join(
            cell.rjust(width) if i in ends else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
