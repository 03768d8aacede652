"""What a scorecard says of rubrics and judges beside the score: length, kin, people, transcripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_audit import LABELS, TEXTS, fill, make_run, person

from voxemo_tasks.cli import main
from voxemo_tasks.metrics.confusion import Confusion
from voxemo_tasks.metrics.covariates import rank_association
from voxemo_tasks.metrics.misclassification import correct_rate
from voxemo_tasks.results import audits, score_run
from voxemo_tasks.results.rubrics import Kin, own_family
from voxemo_tasks.store import read_judgements, read_run

TASK = "made_direct"
FAMILIES = {"a": "qwen", "b": "llama", "c": "gpt"}


def said(answer: Any, quote: str) -> str:
    return json.dumps({"quote": quote, "answer": answer})


@pytest.fixture
def panel(tmp_path: Path) -> Any:
    def make(**rows: list[dict[str, Any]]) -> Path:
        lines = ["judges:\n"]
        for name in rows:
            path = tmp_path / f"{name}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows[name]))
            lines.append(
                f"  - {{name: {name}, model: scripted-judge, family: {FAMILIES[name]}, "
                f'model_args: "replies={path},name={name}"}}\n'
            )
        file = tmp_path / "panel.yaml"
        file.write_text("".join(lines))
        return file

    return make


def of_qwen(folder: Path) -> None:
    """The judged model becomes one of a known family."""
    path = folder / "run.json"
    data = json.loads(path.read_text())
    data["fingerprint"]["model"] = "Qwen/Qwen2-Audio-7B-Instruct"
    path.write_text(json.dumps(data))


# ---- entailment, from the command line to the scorecard

REASONS = ("She laughs, so she is happy", "The voice is there, so it is happy", "Just happy")
WEIGHT = (14, 6, 4)
ENTAILS = [
    {"contains": '"label": "sad"', "reply": said("contradicts", "laughs loudly")},
    {"contains": "She laughs, so", "reply": said("entails", "She laughs")},
    {"contains": "voice is there", "reply": said("neutral", "The voice is there")},
    {"reply": said("insufficient_evidence", "")},
]


@pytest.fixture
def reasons(tmp_path: Path) -> Path:
    texts = [text for text, n in zip(REASONS, WEIGHT, strict=True) for _ in range(n)]
    rows = [(f"s{i % 6}", "happy", text) for i, text in enumerate(texts)]
    return make_run(tmp_path / "reasons", rows)


def test_entailment_has_its_rate_with_an_interval(reasons: Path, panel: Any, capsys: Any) -> None:
    file = panel(a=ENTAILS, b=ENTAILS, c=ENTAILS)
    assert main(["judge", str(reasons), "--judge", "entailment", "--panel", str(file)]) == 0
    assert "made_direct all: contradicts" not in capsys.readouterr().out
    (report,) = score_run(reasons, multiverse=False).tasks[TASK].rubrics
    assert (report.replies, report.failed, report.headline) == (24, 0, True)
    assert report.answers == {"entails": 14, "insufficient_evidence": 4, "neutral": 6}
    entails = report.shares["entails"]
    assert (entails.value, entails.n) == (pytest.approx(14 / 24), 24)
    assert entails.interval is not None
    assert entails.interval.cluster == "speaker"
    assert entails.interval.low is not None
    assert 0 <= entails.interval.low < 14 / 24 < (entails.interval.high or 0) <= 1
    assert "share of the replies" in entails.method
    assert report.shares["contradicts"].value == 0.0  # offered, and never given
    assert (report.mean.value, report.length.value) == (None, None)


def test_judges_that_fail_beyond_the_limit_are_no_headline(reasons: Path, panel: Any) -> None:
    """Two of 24 are 8 %, the limit of the rubric is 5 %; one of 24 is 4 %."""
    mute = [{"contains": "Just happy", "reply": "?"}, *ENTAILS]
    file = panel(a=mute, b=mute, c=mute)
    assert main(["judge", str(reasons), "--judge", "entailment", "--panel", str(file)]) == 0
    (report,) = score_run(reasons, multiverse=False).tasks[TASK].rubrics
    assert (report.failed, report.headline) == (4, False)
    assert report.reasons == ["the judges failed on 4 of 24 replies (limit of entailment@1: 5%)"]
    assert report.shares["entails"].n == 20


# ---- length and kin


def test_scores_that_go_with_length(tmp_path: Path, panel: Any) -> None:
    """Every judge gives the length its score, but for one reply; the panel's is the median's."""
    texts = ["happy " + "very " * k for k in range(1, 6)]
    run = make_run(tmp_path / "run", [(f"s{i % 5}", "happy", texts[i % 5]) for i in range(20)])
    scores = {"very " * k: min(5, k) for k in range(1, 6)}
    rows: list[dict[str, Any]] = [
        {"contains": ["Sad.", '"label": "sad"'], "reply": said(1, "Sad")},
        {"contains": "shouts with joy", "reply": said(1, "shouts with joy")},
    ]
    rows += [
        {"contains": f'"happy {words}"', "reply": said(score, "happy")}
        for words, score in scores.items()
    ]
    assert main(["judge", str(run), "--judge", "rationale", "--panel",
                 str(panel(a=rows, b=rows, c=rows))]) == 0  # fmt: skip
    reports = {r.dimension: r for r in score_run(run, multiverse=False).tasks[TASK].rubrics}
    length = reports["specificity"].length
    assert (length.value, length.n) == (pytest.approx(1.0), 20)
    assert "characters" in length.method
    assert length.interval is not None
    assert length.interval.cluster == "speaker"


@pytest.mark.parametrize("seed", range(5))
def test_the_rank_correlation_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(1, 6, 60).astype(float)
    lengths = np.round(scores * 3 + rng.normal(0, 8, 60))
    found = rank_association(scores, lengths, clusters=rng.integers(0, 12, 60).tolist(), seed=1)
    assert found.value == pytest.approx(stats.spearmanr(scores, lengths).statistic, abs=1e-12)
    assert found.interval.low is not None
    assert found.interval.low < found.value < (found.interval.high or 0)
    turned = rank_association(-scores, lengths, seed=1)
    assert turned.value == pytest.approx(-found.value, abs=1e-12)
    grown = rank_association(scores, np.exp(lengths / 10), seed=1)
    assert grown.value == pytest.approx(found.value, abs=1e-12)


def test_a_judge_of_the_judged_models_family_against_the_others(tmp_path: Path, panel: Any) -> None:
    run = make_run(tmp_path / "run", [(f"s{i % 4}", "sad", f"sad, {i}") for i in range(12)])
    of_qwen(run)
    kind, strict = (
        [
            {"contains": "shouts with joy", "reply": said(1, "shouts with joy")},
            {"contains": '"reply": "Sad. ', "reply": said(1, "Sad")},
            {"reply": said(score, "sad")},
        ]
        for score in (5, 3)
    )
    assert main(["judge", str(run), "--judge", "rationale", "--panel",
                 str(panel(a=kind, b=strict, c=strict))]) == 0  # fmt: skip
    report = score_run(run, multiverse=False).tasks[TASK].rubrics[0]
    kin = report.own_family
    assert (kin.judges, kin.others) == (["a"], ["b", "c"])
    assert (kin.own, kin.rest, kin.preference.value) == (5.0, 3.0, 2.0)
    assert (kin.preference.n, kin.preference.reason) == (12, None)
    assert kin.preference.interval is not None
    assert kin.preference.interval.n_clusters == 4
    assert report.mean.value == 3.0  # the median is not moved by one


def test_kin_where_it_cannot_be_told() -> None:
    worth: list[dict[str, float | None]] = [{"a": 1.0, "b": 0.0}, {"a": None, "b": 1.0}]
    for kin, says in (
        (Kin({"a": False, "b": False}), "family is not known"),
        (Kin({"a": False, "b": False}, "qwen"), "no judge of the panel is of"),
        (Kin({"a": True, "b": True}, "qwen"), "every judge of the panel is of"),
    ):
        found = own_family(kin, worth, ["s", "s"], 1)
        assert found.preference.value is None
        assert says in str(found.preference.reason)
    found = own_family(Kin({"a": True, "b": False}, "qwen"), worth, [None, None], 1)
    assert (found.preference.value, found.preference.n) == (1.0, 1)  # both judged one reply only
    nothing = own_family(Kin({"a": True, "b": False}, "qwen"), worth[1:], ["s"], 1)
    assert "no reply has a usable judgement" in str(nothing.preference.reason)


# ---- labels: kin, and rates with the readers' error undone


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = []
    for i in range(120):
        gold = LABELS[i % 3]
        kind = "none" if i % 10 == 9 else "own" if gold == "happy" and i % 2 else gold
        rows.append((f"s{i % 12}", gold, TEXTS[kind]))
    return make_run(tmp_path / "run", rows)


def reader() -> list[dict[str, Any]]:
    """Reads canaries right and ``joyzzz`` as happy."""
    carriers = ("The speaker sounds {}", "The emotion in this clip is {}", "that the voice is {}")
    rows: list[dict[str, Any]] = [
        {"contains": c.format(label), "reply": said(label, c.format(label))}
        for label in LABELS
        for c in carriers
    ]
    return [*rows, {"contains": '"Utterly joyzzz', "reply": said("happy", "joyzzz")},
            {"reply": said("none", "")}]  # fmt: skip


def judged(run: Path, panel: Any, *more: str) -> Any:
    file = panel(a=reader(), b=reader(), c=reader())
    assert main(["judge", str(run), "--panel", str(file), *more]) == 0
    return score_run(run, multiverse=False).tasks[TASK].judged


def test_rates_with_the_rules_error_against_people_undone(run: Path, panel: Any) -> None:
    before = judged(run, panel)
    assert before.corrected == {}
    assert "no audit of this task" in before.corrected_reason
    _, rows = audits.draw(run, 100, by="random", seed=4)
    audits.take_in(run, fill(rows, "anna"))
    found = score_run(run, multiverse=False).tasks[TASK].judged
    assert found is not None
    assert found.corrected_reason is None
    by = {one.metric: one for one in found.corrected["rules"]}
    assert set(by) == {"uar", "wa", "macro_f1", "coverage"}
    uar = by["uar"]
    assert uar.read == pytest.approx(found.rules.rates["uar"].value)
    assert uar.n_calibration == 100
    # The same by hand, from the sheet and the texts.
    errors = np.zeros((4, 4), dtype=np.int64)
    for row in rows:
        plain = row["text"] if row["text"] in LABELS else None
        errors[code(person(row["text"])), code(plain)] += 1
    texts = read_texts(run)
    clusters = []
    for speaker in sorted({s for s, _, _ in texts}):
        mine = [(gold, text) for s, gold, text in texts if s == speaker]
        clusters.append(
            Confusion.from_pairs(
                LABELS, [g for g, _ in mine], [t if t in LABELS else None for _, t in mine]
            )
        )
    wanted = correct_rate(clusters, errors, "uar", seed=20260501)
    assert uar.corrected.value == pytest.approx(wanted.value, abs=1e-12)
    assert uar.corrected.interval is not None
    assert uar.corrected.interval.low == pytest.approx(wanted.interval.low, abs=1e-12)
    # Rules miss one label's own words; undone, the rate is what rules and judge read at once.
    assert uar.read < found.rules_and_judge.rates["uar"].value
    assert uar.corrected.value == pytest.approx(found.rules_and_judge.rates["uar"].value, abs=0.05)
    both = {one.metric: one for one in found.corrected["rules_and_judge"]}
    assert both["uar"].corrected.value == pytest.approx(both["uar"].read, abs=1e-9)


def code(answer: str | None) -> int:
    return LABELS.index(answer) if answer in LABELS else len(LABELS)


def read_texts(run: Path) -> list[tuple[str, str, str]]:
    data = read_run(run)
    _, documents = data.documents(data.asked[0].documents)
    by = {d["utterance_id"]: d for d in documents}
    out = []
    for row in data.asked:
        response = data.reply(f"{row.request}:0")
        assert response is not None
        document = by[row.utterance_id]
        out.append((document["speaker"], document["label"], response.text))
    data.close()
    return out


def test_a_sample_drawn_by_status_corrects_nothing(run: Path, panel: Any) -> None:
    """Its rows are those of the reading: what people say was drawn by what rules said."""
    _, rows = audits.draw(run, 40, by="stratified", strata=["status"], minimum=18, seed=5)
    audits.take_in(run, fill(rows, "anna"))
    found = judged(run, panel)
    assert found.corrected == {}
    assert "--by random" in found.corrected_reason


def test_kin_of_label_judges_is_the_share_read_right(run: Path, panel: Any) -> None:
    of_qwen(run)
    found = judged(run, panel)
    kin = found.own_family
    assert (kin.judges, kin.others) == (["a"], ["b", "c"])
    own = sum("joyzzz" in text for _, _, text in read_texts(run))
    residue = sum(text not in LABELS for _, _, text in read_texts(run))
    assert kin.own == kin.rest == pytest.approx(own / residue)
    assert kin.preference.value == 0.0


# ---- transcripts


@pytest.fixture
def mini_run(mini_home: Path, tmp_path: Path) -> Path:
    """A run on the prepared mini corpus, through lm-eval."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from voxemo_tasks.tasks.tree import tree

    script = tmp_path / "speech.jsonl"
    script.write_text(json.dumps({"reply": "sad, a low voice"}) + "\n")
    store = tmp_path / "mini-run"
    simple_evaluate(
        model="scripted-audiolm",
        model_args={"replies": str(script), "store": str(store), "batch_size": 8},
        tasks=["voxemo_mini_direct"],
        task_manager=TaskManager(include_path=str(tree()), include_defaults=False),
        bootstrap_iters=0,
        limit=3,
    )
    return store


BLANK = [
    {"contains": '"reply": "Sad. ', "reply": said(1, "Sad")},
    {"contains": "shouts with joy", "reply": said(1, "shouts with joy")},
    {"reply": said("insufficient_evidence", "")},
]


def asked_of(run: Path, panel: Any, monkeypatch: pytest.MonkeyPatch, *more: str) -> list[str]:
    """The questions that the first judge got about the run's own replies."""
    from voxemo_tasks.backends.scripted_judge import ScriptedJudge

    judges: list[ScriptedJudge] = []
    start = ScriptedJudge.__init__

    def kept(self: ScriptedJudge, *args: Any, **kwargs: Any) -> None:
        start(self, *args, **kwargs)
        judges.append(self)

    monkeypatch.setattr(ScriptedJudge, "__init__", kept)
    file = panel(a=BLANK, b=BLANK, c=BLANK)
    assert main(["judge", str(run), "--judge", "rationale", "--panel", str(file), *more]) == 0
    return [q for q in judges[0].asked if "sad, a low voice" in q]


def test_a_judge_is_shown_what_is_said_and_it_is_recorded(
    mini_run: Path, panel: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from voxemo_tasks.corpora import prepared

    spoken = {u.utterance_id: u.transcript for u in prepared("mini").manifest().utterances()}
    questions = asked_of(mini_run, panel, monkeypatch)
    assert "transcripts: shown with 3 of 3 replies" in capsys.readouterr().out
    material = [q.split("\nEND ")[0] for q in questions]
    seen = [
        text for text in spoken.values() if any(f'"transcript": "{text}"' in m for m in material)
    ]
    assert seen
    # Inside the fence, before the rubric; and neither gold nor sound in it.
    assert all('"gold"' not in m and ".flac" not in m for m in material)
    rows, passes = read_judgements(mini_run)
    main_rows = [row for row in rows.values() if row.purpose == "main"]
    assert {row.shown for row in main_rows} == {
        ("reply", "label", "transcript", "language", "culture")
    }
    assert passes[-1]["transcripts"] == {"shown": 3, "replies": 3, "why_not": {}}
    report = score_run(mini_run, multiverse=False).tasks["voxemo_mini_direct"].rubrics[0]
    assert report.transcripts == passes[-1]["transcripts"]


def test_transcripts_can_be_kept_back(
    mini_run: Path, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = asked_of(mini_run, panel, monkeypatch, "--transcripts", "off")
    assert all('"transcript": null' in q for q in questions)
    rows, passes = read_judgements(mini_run)
    assert passes[-1]["transcripts"]["why_not"] == {"--transcripts off": 3}
    assert not any("transcript" in row.shown for row in rows.values())


def test_a_corpus_that_is_not_prepared_here(
    mini_run: Path, panel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VOXEMO_HOME", str(tmp_path / "elsewhere"))
    questions = asked_of(mini_run, panel, monkeypatch)
    assert questions
    assert all('"transcript": null' in q for q in questions)
    (why,) = read_judgements(mini_run)[1][-1]["transcripts"]["why_not"]
    assert "not prepared" in why


def test_a_corpus_that_is_prepared_otherwise(
    mini_run: Path, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest's digest is that of the run, or its transcripts may be of other clips."""
    from voxemo_tasks.results import transcripts

    monkeypatch.setattr(
        transcripts, "prepared", lambda corpus: type("P", (), {"digest": "0" * 64})()
    )
    asked_of(mini_run, panel, monkeypatch)
    (why,) = read_judgements(mini_run)[1][-1]["transcripts"]["why_not"]
    assert "another manifest" in why
