"""Files of predictions as people have them: each gives plain pandas and scikit-learn's numbers."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats.contingency import association
from sklearn.metrics import accuracy_score, f1_score, recall_score

from voxemo_tasks.errors import VoxEmoError
from voxemo_tasks.results import score_run
from voxemo_tasks.results.import_plan import parse_labels, parse_map
from voxemo_tasks.results.importing import import_predictions
from voxemo_tasks.results.model import TaskResult

LABELS = ("angry", "happy", "neutral", "sad")
MAP = "utterance=id,reply=said,gold=gold"
TELLS_NOT = "I cannot tell."
Rows = list[dict[str, str]]


def made(n: int = 120) -> Rows:
    rng = np.random.default_rng(7)
    gold = rng.choice(LABELS, n, p=[0.4, 0.3, 0.2, 0.1])
    said = np.where(rng.random(n) < 0.6, gold, rng.choice(LABELS, n)).astype(object)
    said[rng.random(n) < 0.1] = TELLS_NOT
    other = rng.choice(["calm", "words off the menu", "sad"], n)
    return [
        {
            "id": f"u{i}",
            "gold": g,
            "said": s,
            "speaker": f"s{i % 7}",
            "sex": "mf"[i % 2],
            "second": o,
        }
        for i, (g, s, o) in enumerate(zip(gold, said, other, strict=True))
    ]


ROWS = made()


def written(
    path: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8", **how: object
) -> Path:
    with path.open("w", newline="", encoding=encoding) as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter, **how)  # type: ignore[arg-type]
        writer.writeheader()
        writer.writerows(rows)
    return path


def json_lines(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def parquet(path: Path, rows: Rows, make: Callable[[list[str]], object]) -> Path:
    pq.write_table(pa.table({name: make([row[name] for row in rows]) for name in rows[0]}), path)
    return path


def changed(rows: Rows, **cells: Callable[[str], str]) -> Rows:
    return [{k: cells[k](v) if k in cells else v for k, v in row.items()} for row in rows]


def require_equal(
    task: TaskResult, gold: Sequence[str], said: Sequence[str], labels: Sequence[str] = LABELS
) -> None:
    """Accuracy, recall and F1 under both policies, against scikit-learn; a non-answer is a class."""
    truth, guess = np.array(gold), np.array(said)
    read = np.isin(guess, labels)
    for policy, t, p in (
        ("strict", truth, np.where(read, guess, "none")),
        ("answered", truth[read], guess[read]),
    ):
        wanted = {
            "wa": accuracy_score(t, p),
            "uar": recall_score(t, p, labels=labels, average="macro", zero_division=0),
            "macro_f1": f1_score(t, p, labels=labels, average="macro", zero_division=0),
        }
        for name, value in wanted.items():
            number = getattr(task.hard[name], policy)
            assert number.value == pytest.approx(value, abs=1e-12), (name, policy)
            assert number.n == len(t)


def scored(
    file: Path, columns: str = MAP, labels: Sequence[str] = LABELS, **how: object
) -> TaskResult:
    out = file.with_suffix(".run")
    import_predictions(file, parse_map(columns), out, labels=parse_labels(",".join(labels)))
    return score_run(out, multiverse=False, **how).tasks["imported"]  # type: ignore[arg-type]


FILES: dict[str, Callable[[Path], Path]] = {
    "plain": lambda d: written(d / "a.csv", ROWS),
    "byte order mark": lambda d: written(d / "a.csv", ROWS, encoding="utf-8-sig"),
    "semicolons": lambda d: written(d / "a.csv", ROWS, ";"),
    "tabs": lambda d: written(d / "a.tsv", ROWS, "\t"),
    "tabs in a csv": lambda d: written(d / "a.csv", ROWS, "\t"),
    "bars": lambda d: written(d / "a.csv", ROWS, "|"),
    "a comma in a head of semicolons": lambda d: written(
        d / "a.csv", [{"a,b": "x", **row} for row in ROWS], ";"
    ),
    "a semicolon in a quoted head": lambda d: written(
        d / "a.csv", [{"a;b;c;d;e;f;g;h;i": "x", **r} for r in ROWS], quoting=csv.QUOTE_ALL
    ),
    "blanks in the head": lambda d: written(
        d / "a.csv", [{f" {k} ": v for k, v in row.items()} for row in ROWS]
    ),
    "quoted line ends": lambda d: written(
        d / "a.csv",
        changed(ROWS, said=lambda s: s if s == TELLS_NOT else f'Emotion:\n"{s}", I think'),
    ),
    "blanks around cells": lambda d: written(
        d / "a.csv", changed(ROWS, gold=lambda g: f"{g}  ", said=lambda s: f"\t{s} \n")
    ),
    "case": lambda d: written(d / "a.csv", changed(ROWS, gold=str.upper, said=str.title)),
    "json lines": lambda d: json_lines(d / "a.jsonl", ROWS),
    "json": lambda d: json_lines(d / "a.json", [ROWS]),
    "strings": lambda d: parquet(d / "a.parquet", ROWS, pa.array),
    "large strings": lambda d: parquet(
        d / "a.parquet", ROWS, lambda v: pa.array(v, pa.large_string())
    ),
    "bytes": lambda d: parquet(
        d / "a.parquet", ROWS, lambda v: pa.array([x.encode() for x in v], pa.binary())
    ),
    "a dictionary": lambda d: parquet(
        d / "a.parquet", ROWS, lambda v: pa.array(v).dictionary_encode()
    ),
    "ids in two spellings": lambda d: written(
        d / "a.csv",
        changed(
            ROWS, id=lambda u: unicodedata.normalize("NFD" if u[-1] in "02468" else "NFC", f"é{u}")
        ),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_numbers_are_scikit_learns(tmp_path: Path, name: str) -> None:
    file = FILES[name](tmp_path)
    if name == "json":
        file.write_text(json.dumps(ROWS))
    require_equal(scored(file), [r["gold"] for r in ROWS], [r["said"] for r in ROWS])
    if name == "bytes":
        documents = json.dumps([p.read_text() for p in file.with_suffix(".run").glob("asked/*")])
        assert "u0" in documents
        assert "b'u0'" not in documents


def test_cramers_v_with_both_gold_columns(tmp_path: Path) -> None:
    task = scored(
        written(tmp_path / "a.csv", ROWS),
        MAP + ",gold2=second,speaker=speaker,group=sex",
        by=["group"],
    )
    read = [row for row in ROWS if row["said"] in LABELS]
    for name, column in (("gold", "gold"), ("gold2", "second")):
        for policy, rows in (("strict", ROWS), ("answered", read)):
            levels = sorted({r["said"] for r in rows}), sorted({r[column] for r in rows})
            table = np.zeros([len(x) for x in levels], dtype=int)
            for r in rows:
                table[levels[0].index(r["said"]), levels[1].index(r[column])] += 1
            value = association(table, method="cramer")
            got = task.association[name].cramers_v[policy]
            assert got.value == pytest.approx(value, abs=1e-12)
            assert got.n == len(rows)
    assert {rate.group for rate in task.groups["group"].rates["wa"].groups} == {"m", "f"}


NUMBERS = {label: str(i) for i, label in enumerate(LABELS)}


@pytest.mark.parametrize("as_float", [False, True])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_class_numbers_also_as_a_data_frame_writes_them(
    tmp_path: Path, kind: str, as_float: bool
) -> None:
    """An empty cell makes a column of whole numbers one of floats: 3.0 is the label 3, not 3 and 0."""
    gold = [int(NUMBERS[row["gold"]]) for row in ROWS]
    said = [None if r["said"] == TELLS_NOT else int(NUMBERS[r["said"]]) for r in ROWS]
    turn = float if as_float else int
    cells = [
        {"id": row["id"], "gold": turn(g), "said": None if s is None else turn(s)}
        for row, g, s in zip(ROWS, gold, said, strict=True)
    ]
    file = tmp_path / f"a.{kind}"
    if kind == "csv":
        written(file, [{k: "" if v is None else str(v) for k, v in row.items()} for row in cells])
    elif kind == "jsonl":
        json_lines(file, cells)
    else:
        pq.write_table(pa.table({k: [row[k] for row in cells] for k in cells[0]}), file)
    task = scored(file, labels=tuple(NUMBERS.values()))
    require_equal(task, list(map(str, gold)), list(map(str, said)), tuple(NUMBERS.values()))


def test_gold_and_menu_in_other_code_points(tmp_path: Path) -> None:
    french = dict(zip(LABELS, ("colère", "joie", "neutre", "tristesse"), strict=True))
    apart = lambda text: unicodedata.normalize("NFD", french.get(text, text))  # noqa: E731
    rows = changed(ROWS, gold=apart, said=apart)
    rows = [{unicodedata.normalize("NFD", f"é{k}"): v for k, v in row.items()} for row in rows]
    file = written(tmp_path / "a.csv", rows)
    task = scored(file, "utterance=éid,reply=ésaid,gold=égold", tuple(french.values()))
    require_equal(
        task,
        [french[r["gold"]] for r in ROWS],
        [french.get(r["said"], r["said"]) for r in ROWS],
        tuple(french.values()),
    )


def test_an_utterance_without_gold_is_left_out_and_an_empty_reply_is_not(tmp_path: Path) -> None:
    rows = [dict(row) for row in ROWS]
    for i in (3, 4):
        rows[i]["gold"] = ""
    for i in (7, 8, 9):
        rows[i]["said"] = ""
    task = scored(written(tmp_path / "a.csv", rows))
    kept = [row for row in rows if row["gold"]]
    require_equal(task, [r["gold"] for r in kept], [r["said"] for r in kept])
    assert task.counts.excluded == {"no gold label": 2}
    assert task.counts.statuses["empty"] == 3


@pytest.mark.parametrize("listed", [False, True])
def test_samples_in_rows_or_in_a_list(tmp_path: Path, listed: bool) -> None:
    """Three samples, two of them alike: the plurality is theirs."""
    if listed:
        rows = [{**r, "said": [r["said"], "happy", r["said"]]} for r in ROWS if r["said"] in LABELS]
        file, columns = json_lines(tmp_path / "a.jsonl", rows), MAP
    else:
        several = [
            {**r, "said": "happy" if k == 1 else r["said"], "k": f"{k}.0"}
            for k in (2, 0, 1)
            for r in ROWS
            if r["said"] in LABELS
        ]
        file, columns = written(tmp_path / "a.csv", several), MAP + ",sample=k"
    task = scored(file, columns)
    kept = [row for row in ROWS if row["said"] in LABELS]
    require_equal(task, [r["gold"] for r in kept], [r["said"] for r in kept])
    assert task.counts.replies == 3 * len(kept)


def test_speakers_of_some_only_give_no_cluster_interval(tmp_path: Path) -> None:
    rows = [row | ({"speaker": ""} if i % 9 == 0 else {}) for i, row in enumerate(ROWS)]
    task = scored(written(tmp_path / "a.csv", rows), MAP + ",speaker=speaker")
    require_equal(task, [r["gold"] for r in ROWS], [r["said"] for r in ROWS])
    assert task.hard["wa"].strict.interval.cluster is None


FIRST = ROWS[0]
WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "gold off the menu": (
        lambda d: written(d / "a.csv", [FIRST | {"gold": "excited"}]),
        r"line 2, column 'gold' \(gold\): 'excited' is not on the menu",
    ),
    "numbers for names": (
        lambda d: written(d / "a.csv", changed(ROWS, said=lambda s: NUMBERS.get(s, ""))),
        r"column 'said' \(reply\): every reply is a number .* the menu has names",
    ),
    "bytes that are no text": (
        lambda d: parquet(d / "a.parquet", [FIRST], lambda v: pa.array([b"\xff"], pa.binary())),
        r"row 1, column 'id': .* is no UTF-8 text",
    ),
    "the same row twice": (lambda d: written(d / "a.csv", [FIRST, FIRST]), "line 3.* already"),
    "the same utterance, another reply": (
        lambda d: written(d / "a.csv", [FIRST | {"said": "sad"}, FIRST | {"said": "happy"}]),
        "line 3.*'u0' has a prediction in line 2 already",
    ),
    "the same utterance in other code points": (
        lambda d: written(d / "a.csv", [FIRST | {"id": "\xe9"}, FIRST | {"id": "e\u0301"}]),
        "line 3.* has a prediction in line 2 already",
    ),
    "another encoding": (
        lambda d: written(d / "a.csv", [FIRST | {"said": "é"}], encoding="latin-1"),
        "is not UTF-8",
    ),
    "names twice": (
        lambda d: written(d / "a.csv", [FIRST | {" id ": "x"}]),
        "two columns have the same name",
    ),
    "no such column": (
        lambda d: written(d / "a.csv", [{"id": "x", "gold": "sad", "sayd": "sad"}]),
        "'said'; did you mean 'sayd'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_used_says_where(tmp_path: Path, name: str) -> None:
    make, message = WRONG[name]
    with pytest.raises(VoxEmoError, match=message):
        scored(make(tmp_path))


def test_every_name_on_the_menu_answers_itself(tmp_path: Path) -> None:
    """Codes of corpora, letters, numbers, words that mean something else in a reply."""
    for number, menu in enumerate(
        (
            "hap,exc,neu,ang,sad,fru,xxx,oth",
            "W,L,E,A,F,T,N",
            "01,02,03,04,05,06,07,08",
            "1.0,2.0,3.5",
            "none,unknown,other,mixed",
            "not sad,sad",
            "positive,negative,neutral",
            "happy,very happy,unhappy",
        )
    ):
        labels = menu.split(",")
        rows = [{"id": f"u{i}", "gold": label, "said": label} for i, label in enumerate(labels)]
        task = scored(written(tmp_path / f"{number}.csv", rows), labels=labels)
        assert task.hard["wa"].strict.value == 1, menu
