"""``voxemo audit``: sheets without predictions, and what people's answers say of the readers."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks.cli import main
from voxemo_tasks.cli.audit import CONFIG, label_studio, read_sheet, sheet
from voxemo_tasks.errors import OptionError
from voxemo_tasks.records import Response
from voxemo_tasks.results import audits
from voxemo_tasks.results.judgeable import replies_of
from voxemo_tasks.store import Asked, RunStore

LABELS = ["angry", "happy", "sad"]
TEXTS = {
    **{"angry": "angry", "happy": "happy", "sad": "sad"},
    **{"own": "Utterly joyzzz.", "none": "It rains.", "formula": "=1+1 is what I hear"},
}


def make_run(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    """A run folder of (speaker, gold, reply), as plain as can be."""
    import gzip

    header = {
        "schema": "voxemo-documents/1",
        "label_set": {"id": "native", "labels": LABELS},
        "verbalizer": {"id": "closed_set@2", "sha256": _digest()},
        "options": {},
        "corpus": {"id": "made"},
        **{"protocol": "native", "fold": "all", "role": "test", "tier": "direct"},
        **{"prompts": [], "decoding": {}, "excluded": {}},
    }
    documents = [
        {
            **{"utterance_id": f"u{i}", "label": gold, "speaker": speaker},
            **{"culture": "DE" if i % 2 else "US", "language": "en"},
        }
        for i, (speaker, gold, _) in enumerate(rows)
    ]
    digest = "d" * 64
    (folder / "documents").mkdir(parents=True)
    with gzip.open(folder / "documents" / f"{digest}.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in (header, *documents))
    with RunStore(folder, {"model": "m"}, synthetic=False) as store:
        for i, (_, _, text) in enumerate(rows):
            store.ask(Asked("made_direct", digest, f"u{i}", "direct_en@1", f"k{i}", 1, ""))
            store.write(Response(f"k{i}:0", text, "stop"))
    return folder


def _digest() -> str:
    from voxemo_tasks import registry

    return registry.verbalizer("closed_set@2")[1]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """120 replies of 12 speakers; the rules read no ``joyzzz``, which people call happy."""
    rows = []
    for i in range(120):
        gold = LABELS[i % 3]
        kind = "none" if i % 10 == 9 else "own" if gold == "happy" and i % 2 else gold
        rows.append((f"s{i % 12}", gold, TEXTS[kind]))
    return make_run(tmp_path / "run", rows)


def person(text: str) -> str:
    if "joyzzz" in text:
        return "happy"
    return next((label for label in LABELS if label in text), "none")


def fill(rows: list[dict[str, Any]], rater: str, culture: str = "") -> list[audits.Coded]:
    return [
        audits.Coded(row["item_id"], rater, culture or None, person(row["text"])) for row in rows
    ]


def test_a_sheet_shows_no_prediction_and_no_gold(run: Path) -> None:
    _, rows = audits.draw(run, 30, by="random", seed=1)
    assert len(rows) == 30
    assert set(rows[0]) == {"audit", "item_id", "text", "options", "language", "sampled_prob"}
    assert {row["sampled_prob"] for row in rows} == {0.25}
    assert rows[0]["options"] == [*LABELS, "multiple", "off_menu", "none"]
    assert rows == audits.draw(run, 30, by="random", seed=1)[1]
    assert rows != audits.draw(run, 30, by="random", seed=2)[1]
    tasks = label_studio(rows)
    assert all(set(task) == {"data"} for task in tasks)
    assert tasks[0]["data"]["options"][0] == {"value": "angry"}
    for variable in ("$text", "$options"):
        assert variable in CONFIG


def test_strata_are_kept_with_their_probabilities(run: Path) -> None:
    _, rows = audits.draw(run, 40, by="stratified", strata=["status", "label"], minimum=4)
    replies = {audits.item_id(r): r for r in replies_of(run)}
    total: dict[Any, int] = {}
    drawn: dict[Any, int] = {}
    chance: dict[Any, float] = {}
    for i, reply in replies.items():
        stratum = (reply.verdict.status, reply.document["label"])
        total[stratum] = total.get(stratum, 0) + 1
        for row in rows:
            if row["item_id"] == i:
                drawn[stratum] = drawn.get(stratum, 0) + 1
                chance[stratum] = row["sampled_prob"]
    assert set(drawn) == set(total)
    assert min(drawn.values()) >= 4
    for stratum, n in drawn.items():
        assert chance[stratum] == pytest.approx(n / total[stratum])


def test_what_people_say_of_the_rules(run: Path) -> None:
    name, rows = audits.draw(run, 60, by="stratified", strata=["label"], minimum=10, seed=3)
    assert audits.take_in(run, fill(rows, "anna", "DE"))[0] == name
    audits.take_in(run, fill(rows, "bo", "US"))
    found = audits.report(run, name)["tasks"]["made_direct"]
    rules = found["readers"]["rules"]
    own = sum("joyzzz" in row["text"] for row in rows)
    counts = rules["confusion"]["counts"]
    assert sum(map(sum, counts)) == rules["n"] == 60
    assert counts[LABELS.index("happy")][-1] == own > 0
    assert rules["agrees"] == pytest.approx((60 - own) / 60)
    assert rules["low"] < rules["agrees"] < rules["high"]
    # What everybody would find, were all read by people.
    replies = list(replies_of(run))
    truth = {
        label: [person(r.text) == label for r in replies if r.document["label"] == label]
        for label in LABELS
    }
    uar = sum(sum(hits) / len(hits) for hits in truth.values()) / 3
    estimate = rules["rates"]["uar"]
    assert estimate["low"] <= uar <= estimate["high"]
    assert estimate["reader"] < estimate["low"]  # the rules alone are sure, and wrong
    assert (estimate["n_audited"], estimate["n"]) == (60, 120)
    assert found["agreement"]["alpha nominal"]["value"] == 1.0
    assert (found["no_consensus"], found["read"]) == (0, 60)
    cultures = found["cultures"]
    assert cultures["matched"]["n"] + cultures["unmatched"]["n"] == 120
    assert "rules and judge" not in found["readers"]


def test_replies_drawn_more_often_weigh_less(run: Path) -> None:
    """Hajek's mean within each gold label, worked out again from the sheet."""
    name, rows = audits.draw(run, 40, by="stratified", strata=["status"], minimum=18, seed=5)
    assert len({row["sampled_prob"] for row in rows}) == 2
    audits.take_in(run, fill(rows, "anna"))
    found = audits.report(run, name)["tasks"]["made_direct"]["readers"]["rules"]["rates"]["uar"]
    gold = {audits.item_id(r): r.document["label"] for r in replies_of(run)}
    recalls = []
    for label in LABELS:
        mine = [row for row in rows if gold[row["item_id"]] == label]
        weights = [1 / row["sampled_prob"] for row in mine]
        hits = [person(row["text"]) == label for row in mine]
        recalls.append(sum(w * h for w, h in zip(weights, hits, strict=True)) / sum(weights))
    assert found["people"] == pytest.approx(sum(recalls) / 3, abs=1e-9)


def test_divided_people_have_no_consensus_and_the_last_word_counts(run: Path) -> None:
    name, rows = audits.draw(run, 60, by="random")
    audits.take_in(run, fill(rows, "anna"))
    one = rows[0]["item_id"]
    other = "none" if person(rows[0]["text"]) != "none" else "sad"
    audits.take_in(run, [audits.Coded(one, "bo", None, other)])
    found = audits.report(run, name)["tasks"]["made_direct"]
    assert found["no_consensus"] == 1
    assert found["readers"]["rules"]["n"] == 59
    audits.take_in(run, [audits.Coded(one, "bo", None, person(rows[0]["text"]))])
    found = audits.report(run, name)["tasks"]["made_direct"]
    assert found["no_consensus"] == 0


def test_replies_that_are_farthest_apart_carry_no_rate(run: Path) -> None:
    name, rows = audits.draw(run, 4, by="farthest")
    assert len({row["text"] for row in rows}) == 4
    assert {row["sampled_prob"] for row in rows} == {None}
    audits.take_in(run, fill(rows, "anna"))
    rules = audits.report(run, name)["tasks"]["made_direct"]["readers"]["rules"]
    assert rules["rates"] == {}
    assert "farthest" in rules["reason"]
    assert rules["n"] == 4


def test_by_csv_from_the_command_line(run: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "sheet.csv"
    assert main(["audit", "export", str(run), "--out", str(out), "--size", "50"]) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8-sig"), newline="")))
    assert len(rows) == 50
    for row in rows:
        row |= {"rater_id": "anna", "answer": person(row["text"])}
    rows[0]["answer"] = ""  # not everybody reads everything
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert main(["audit", "import", str(run), str(out)]) == 0
    printed = capsys.readouterr().out
    assert "49 of 50 replies read" in printed
    assert "(read " in printed
    found = json.loads((run / "audit.json").read_text())
    assert found["read"] == 49


def test_by_label_studio(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "tasks.json"
    argv = ["audit", "export", str(run), "--out", str(out), "--size", "20", "--by", "random"]
    assert main(argv) == 0
    assert out.with_suffix(".xml").read_text() == CONFIG
    tasks = json.loads(out.read_text())
    for number, task in enumerate(tasks):
        answer = {"from_name": "answer", "value": {"choices": [person(task["data"]["text"])]}}
        culture = {"from_name": "culture", "value": {"text": ["DE"]}}
        by: Any = {"id": 7, "email": "anna@example.org"} if number % 2 else 7
        task["annotations"] = [
            {"completed_by": by, "result": [answer, culture]},
            {"completed_by": 8, "result": [answer], "was_cancelled": True},
        ]
    out.write_text(json.dumps(tasks))
    coded = read_sheet(out)
    assert len(coded) == 20
    assert {one.rater for one in coded} == {"7", "anna@example.org"}
    assert {one.culture for one in coded} == {"DE"}
    assert main(["audit", "import", str(run), str(out), "--out", str(tmp_path / "r.json")]) == 0


def test_a_reply_that_looks_like_a_formula_is_none() -> None:
    rows = [
        {"item_id": "i", "text": TEXTS["formula"], "options": ["sad"], "language": "en"},
        {"item_id": "j", "text": 'says "x",\n- and y', "options": ["sad"], "language": "en"},
    ]
    first, second = csv.DictReader(io.StringIO(sheet(rows), newline=""))
    assert first["text"] == "'=1+1 is what I hear"
    assert second["text"] == 'says "x",\n- and y'


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("a,b\n1,2\n", "x.csv", "no column answer, item_id, rater_id"),
        ("item_id,rater_id,answer\nnone,anna,sad\n", "x.csv", "of no one audit"),
        ("item_id,rater_id,answer\n{item},,sad\n", "x.csv", "row 1: needs item_id"),
        ("item_id,rater_id,answer\n{item},anna,joyful\n", "x.csv", "'joyful' was not offered"),
        ("item_id,rater_id,answer\n{item},anna,\n", "x.csv", "holds no answer"),
        ("[1]", "x.json", "not an export of Label Studio"),
        ("{{", "x.json", "not an export of Label Studio"),
    ],
)
def test_sheets_that_cannot_be_read(
    run: Path, tmp_path: Path, text: str, name: str, says: str, capsys: Any
) -> None:
    _, rows = audits.draw(run, 5, by="random")
    file = tmp_path / name
    file.write_text(text.replace("{item}", rows[0]["item_id"]).replace("{{", "{"))
    assert main(["audit", "import", str(run), str(file)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--out", "x.txt"], "must end in .csv or .json"),
        (["--out", "x.csv", "--size", "9999"], "size is 9999"),
        (["--out", "x.csv", "--by", "taste"], "allowed: random, stratified, farthest"),
        (["--out", "x.csv", "--strata", "mood"], "--strata mood"),
    ],
)
def test_exports_that_cannot_be(run: Path, argv: list[str], says: str, capsys: Any) -> None:
    assert main(["audit", "export", str(run), *argv]) == 2
    assert says in capsys.readouterr().err


def test_a_report_on_no_audit(run: Path) -> None:
    from voxemo_tasks.errors import OptionError

    with pytest.raises(OptionError, match="has no audit 'x'"):
        audits.report(run, "x")


def test_real_replies_as_an_audit_set(shared: Path, tmp_path: Path) -> None:
    """The coders of these were language models, not people: this shows the machinery only."""
    rows = [
        json.loads(line)
        for line in (shared / "data/replies/replies.jsonl").read_text("utf-8").splitlines()
    ]
    from voxemo_tasks import registry
    from voxemo_tasks.verbalize import verbalize

    spec, _ = registry.verbalizer("closed_set")
    wrong = []
    for row in rows:
        verdict = verbalize(row["reply"], row["menu"], spec)
        if (verdict.status, sorted(verdict.labels)) != (row["status"], sorted(row["labels"])):
            wrong.append((row["reply"], verdict.status))
    assert len(wrong) <= 0.05 * len(rows), wrong


def test_a_sheet_goes_back_to_the_audit_it_was_drawn_for(run: Path, tmp_path: Path) -> None:
    first, few = audits.draw(run, 20, by="random", seed=1)
    second, all_of_them = audits.draw(run, 120, by="random", seed=1)
    assert first != second
    csv_file = tmp_path / "few.csv"
    table = list(csv.DictReader(io.StringIO(sheet(few), newline="")))
    with csv_file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(row | {"rater_id": "p", "answer": person(row["text"])} for row in table)
    assert audits.take_in(run, read_sheet(csv_file))[0] == first
    tasks = [
        task
        | {
            "annotations": [
                {"completed_by": 1, "result": [{"from_name": "answer", "value": {"text": ["sad"]}}]}
            ]
        }
        for task in label_studio(few)
    ]
    json_file = tmp_path / "few.json"
    json_file.write_text(json.dumps(tasks))
    assert audits.take_in(run, read_sheet(json_file))[0] == first
    # Without the column both could be meant, and the chance of being drawn differs: no guess.
    with pytest.raises(OptionError, match=f"2 audits .*{second}.*column 'audit'"):
        audits.take_in(run, fill(few, "p"))
    mixed = [audits.Coded(row["item_id"], "p", None, "sad", audit=first) for row in few]
    other = audits.Coded(few[0]["item_id"], "q", None, "sad", audit=second)
    with pytest.raises(OptionError, match="one audit at a time"):
        audits.take_in(run, [*mixed, other])
    with pytest.raises(OptionError, match="has no audit 'gone'"):
        audits.take_in(run, [audits.Coded(few[0]["item_id"], "p", None, "sad", audit="gone")])
    beyond = next(row for row in all_of_them if row["item_id"] not in {r["item_id"] for r in few})
    with pytest.raises(OptionError, match="not of audit"):
        audits.take_in(run, [audits.Coded(beyond["item_id"], "p", None, "sad", audit=first)])


def test_two_answers_of_one_person_in_one_file_are_no_answer(run: Path) -> None:
    _, rows = audits.draw(run, 5, by="random", seed=1)
    said = fill(rows, "p")
    other = replace(said[0], answer="none" if said[0].answer != "none" else "sad")
    with pytest.raises(OptionError, match=f"item {said[0].item}: rater 'p' says"):
        audits.take_in(run, [*said, other])
    assert audits.take_in(run, [*said, said[0]])
