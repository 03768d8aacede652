"""How conditions are written, and what a model is asked under them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_models import LABELS, after, utterances

from voxemo_tasks import registry
from voxemo_tasks.corpora import Manifest, prepared
from voxemo_tasks.corpora.manifest import table_of
from voxemo_tasks.errors import OptionError, UnknownNameError
from voxemo_tasks.records import AudioRef, Reply, Request
from voxemo_tasks.results.model import TaskResult
from voxemo_tasks.tasks import VoxEmoTask
from voxemo_tasks.tasks.conditions import (
    SETS,
    Condition,
    expanded,
    parse_condition,
    parse_conditions,
)
from voxemo_tasks.tasks.donors import Donors, derangement
from voxemo_tasks.tasks.options import parse_options

Ask = Callable[..., TaskResult]


def make(metadata: dict[str, Any] | None = None, tier: str = "direct") -> VoxEmoTask:
    return VoxEmoTask(
        config={
            "task": f"voxemo_mini_{tier}",
            "dataset_kwargs": {"corpus": "mini", "tier": tier},
            "test_split": "test",
            "output_type": "generate_until",
            "generation_kwargs": {"until": []},
            "num_fewshot": 0,
            "metadata": metadata or {},
        }
    )


def requests(task: VoxEmoTask, number: int) -> dict[str, Request]:
    document = task.test_docs()[number]
    members = task.plan.members(document)
    asked = task._requests(document)
    return {m.condition.id: r for m, r in zip(members, asked, strict=True)}


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "id_", "kind"),
    [
        ("clean", "clean", "clean"),
        ("telephone", "telephone(low_hz=300.0, high_hz=3400.0)", "transform"),
        ("noise@2", "noise(kind=white, snr_db=15.0)", "transform"),
        ("babble@1", "babble(snr_db=20.0)", "babble"),
        ("code_switch", "code_switch(place=after, gap_s=0.1)", "code_switch"),
        ("gain@1 + codec_gsm", "gain(gain_db=-6.0) + codec_gsm()", "transform"),
        ("pitch_up.large", "pitch_up.large", "dose"),
        ("context:culture+language", "context:language+culture", "context"),
        ("context:none", "context:none", "context"),
    ],
)
def test_reading_a_condition(written: str, id_: str, kind: str) -> None:
    condition = parse_condition(written)
    assert (condition.id, condition.kind) == (id_, kind)
    assert parse_condition(condition.id) == condition


@pytest.mark.parametrize("name", sorted(SETS))
def test_all_of_a_set_can_be_read_and_read_again(name: str) -> None:
    conditions = parse_conditions([name])
    assert [c.id for c in conditions[1:]] == [parse_condition(x).id for x in SETS[name]]
    assert parse_conditions([c.id for c in conditions]) == conditions


def test_the_levels_of_a_transform() -> None:
    found = [parse_condition(x) for x in expanded("severities:noise(kind=pink)")]
    assert [c.severity for c in found] == [1, 2, 3, 4, 5]
    assert {c.family for c in found} == {"noise(kind=pink)"}
    assert {parse_condition(x).family for x in expanded("severities:babble")} == {"babble"}
    # Written out, it is the level that it is.
    assert parse_condition("noise(snr_db=0)").severity == 5
    assert parse_condition("noise(snr_db=1)").severity is None


@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        ("noize(snr_db=3)", UnknownNameError, "noise"),
        ("noise(snr_db=999)", OptionError, "out of range"),
        ("noise@6", OptionError, "1 to 5"),
        ("telephone@1", OptionError, "no severity levels"),
        ("babble(snr_db=3) + gain@1", OptionError, "stand alone"),
        ("context:weather", OptionError, "factors"),
        ("severities:nose", UnknownNameError, "noise"),
    ],
)
def test_what_is_no_condition(written: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_conditions([written])


def test_conditions_as_options() -> None:
    options = parse_options({"conditions": "shuffled; noise(snr_db=10)"}, strict=True)
    assert options.conditions == ("clean", "shuffled", "noise(kind=white, snr_db=10.0)")
    assert parse_options({"transform": "noise@3"}, strict=True).transform == (
        "noise(kind=white, snr_db=10.0)"
    )
    with pytest.raises(OptionError, match="is a condition and no change of the clip"):
        parse_options({"transform": "shuffled"}, strict=True)
    with pytest.raises(OptionError, match="must be a list of conditions"):
        parse_options({"conditions": [3]}, strict=True)
    # A run without them has the header that it had before there were any.
    assert not {"transform", "conditions", "pairs"} & set(parse_options({}, strict=True).to_json())


# --- donors -------------------------------------------------------------------------------------


@given(st.integers(2, 40), st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4))
def test_a_derangement_is_a_permutation_without_what_is_bad(
    n: int, seed: int, speakers: int, labels: int
) -> None:
    who = [(i % speakers, i // speakers % labels) for i in range(n)]

    def alike(i: int, j: int) -> bool:
        return who[i] == who[j]

    def itself(i: int, j: int) -> bool:
        return i == j

    found = derangement(n, alike, seed, itself)
    assert sorted(g for g in found if g is not None) == list(range(n))
    most = max(Counter(who).values())
    if 2 * most < n:  # room to swap out of every conflict (checked: greedy swaps find it)
        assert not any(alike(i, g) for i, g in enumerate(found) if g is not None)


def test_what_is_lent(mini_home: Path) -> None:
    task = make({"conditions": ["shuffled", "same_speaker", "wrong_transcript", "babble@1"]})
    documents = {d["utterance_id"]: d for d in task.test_docs()}
    known = {u.utterance_id: u for u in utterances()}
    for kind in ("shuffled", "same_speaker", "wrong_transcript"):
        lent = [d["donor_ids"][kind] for d in documents.values() if kind in d["donor_ids"]]
        assert len(set(lent)) == len(lent) == len(documents)  # each gives once
    for uid, document in documents.items():
        ids = document["donor_ids"]
        own, shuffled = known[uid], known[ids["shuffled"]]
        assert (own.speaker, own.label) != (shuffled.speaker, shuffled.label)
        assert known[ids["same_speaker"]].speaker == own.speaker
        assert ids["same_speaker"] != uid
        assert known[ids["wrong_transcript"]].transcript != own.transcript
        voices = {known[v].speaker for v in ids["babble"]}
        assert len(voices) == 4
        assert own.speaker not in voices
    again = make({"conditions": ["shuffled"], "conditions_seed": 1}).test_docs()
    assert any(d["donor_ids"]["shuffled"] != documents[d["utterance_id"]]["donor_ids"]["shuffled"]
               for d in again)  # fmt: skip


# --- asking -------------------------------------------------------------------------------------


def test_an_ordinary_run_is_what_it_was(mini_home: Path) -> None:
    task = make()
    assert [m.id for m in task.plan.all_members()] == ["direct_en@1"]
    assert not {"conditions", "claims"} & set(task._header())
    assert set(requests(task, 0)) == {"clean"}


def test_what_is_asked_under_each_condition(mini_home: Path) -> None:
    task = make(
        {
            "conditions": [
                *("noise(snr_db=10)", "shuffled", "transcript_only", "right_transcript"),
                *("wrong_transcript", "babble@2", "code_switch", "control_silence() + gain@1"),
            ]
        }
    )
    document = task.test_docs()[3]
    found = requests(task, 3)
    clean = found["clean"].audio[0]
    question = found["clean"].text
    known = {u.utterance_id: u for u in utterances()}
    noisy = found["noise(kind=white, snr_db=10.0)"].audio[0]
    assert [t.name for t in noisy.transforms] == ["noise"]
    assert noisy.content() != clean.content()
    assert noisy.sha256 == clean.sha256
    shuffled = found["shuffled"].audio[0]
    assert shuffled.path.endswith(known[document["donor_ids"]["shuffled"]].path)
    assert found["transcript_only"].audio == ()
    words = known[document["utterance_id"]].transcript
    assert found["transcript_only"].text == f"“{words}”\n\n{question}"
    assert all(part["type"] == "text" for part in found["transcript_only"].messages[-1]["content"])
    assert found["right_transcript"].text == found["transcript_only"].text
    assert found["right_transcript"].audio == found["clean"].audio
    other = known[document["donor_ids"]["wrong_transcript"]].transcript
    assert found["wrong_transcript"].text == f"“{other}”\n\n{question}"
    (babble,) = found["babble(snr_db=15.0)"].audio[0].transforms
    assert str(babble.parameters["path"]).count("|") == 3
    assert "path" not in babble.content()["parameters"]  # wherever the files lie
    assert AudioRef.from_json(found["babble(snr_db=15.0)"].audio[0].to_json()).transforms == (
        babble,
    )
    chain = found["control_silence() + gain(gain_db=-6.0)"].audio[0]
    assert [t.name for t in chain.transforms] == ["control_silence", "gain"]
    for request in found.values():
        assert request.text.endswith(question)


def test_noise_differs_from_utterance_to_utterance(mini_home: Path) -> None:
    task = make({"conditions": ["noise@3"]})
    seeds = [requests(task, i)["noise(kind=white, snr_db=10.0)"].audio[0].transforms[0].seed
             for i in range(5)]  # fmt: skip
    assert len(set(seeds)) == 5
    fixed = make({"conditions": ["noise@3(seed=7)"]})
    request = requests(fixed, 0)["noise(kind=white, snr_db=10.0, seed=7)"]
    assert request.audio[0].transforms[0].seed == 7


def test_a_condition_that_cannot_be_had_is_left_out_with_its_reason(mini_home: Path) -> None:
    task = make({"conditions": ["round_trip"]})
    skipped = task._header()["conditions_skipped"]["round_trip"]
    (reason,) = skipped
    assert reason == "asked of 20% of the utterances"
    asked = sum("skipped" not in d for d in task.test_docs())
    assert asked == len(task.test_docs()) - skipped[reason]
    for number, document in enumerate(task.test_docs()[:20]):
        assert ("round_trip" in requests(task, number)) == ("skipped" not in document)
    assert 0.1 < asked / len(task.test_docs()) < 0.3


def test_context_needs_prompts_that_say_it(mini_home: Path) -> None:
    with pytest.raises(OptionError, match="run the task of tier 'context'"):
        make({"conditions": ["factors"]})
    task = make({"conditions": ["factors"]}, "context")
    found = requests(task, 0)
    own = found["clean"].text
    wrong = found["wrong_context"].text
    assert "The language is" in own
    assert "The language is" in wrong
    assert own != wrong
    assert "The language is" not in found["context:none"].text
    assert "The speaker is from" not in found["context:language"].text


def test_lm_evals_table_is_of_the_clip_as_it_is(mini_home: Path) -> None:
    task = make({"conditions": ["shuffled", "transcript_only"]})
    document = task.test_docs()[0]
    found = task.process_results(document, [[Reply("sad")], [Reply("angry")], [Reply("angry")]])
    assert found["wa"] == [document["label"], "sad"]


def test_transform_excludes_conditions(mini_home: Path) -> None:
    with pytest.raises(OptionError, match="transform changes every clip"):
        make({"transform": "telephone", "conditions": ["shuffled"]})
    found = requests(make({"transform": "telephone + codec_gsm"}), 0)
    assert [t.name for t in found["clean"].audio[0].transforms] == ["telephone", "codec_gsm"]


# --- scoring ------------------------------------------------------------------------------------


def by_id(result: TaskResult) -> dict[str, Any]:
    assert result.probes is not None
    return {c.condition["id"]: c for c in result.probes.conditions}


def test_a_listener_passes_the_gate(ask: Ask) -> None:
    rows = [
        {"transform": "control_silence", "reply": "neutral"},
        {"heard": False, "reply": "neutral"},
        *({"path": u.path, "reply": u.label} for u in utterances()),
    ]
    kept = ["control_silence()", "shuffled", "transcript_only", "wrong_transcript"]
    result = ask(rows, metadata={"conditions": kept}, limit=60)
    assert result.hard["wa"].strict.value == 1.0
    found = by_id(result)
    assert list(found) == kept
    assert found["transcript_only"].drop["uar"].value == pytest.approx(1 - 1 / 7)
    assert found["shuffled"].follows_donor.value == 1.0
    assert found["wrong_transcript"].changed.value == 0.0
    # Documents hold every utterance, asked or not, so that a donor's label is known.
    assert found["wrong_transcript"].follows_donor.value == 0.0
    assert result.probes is not None
    assert result.probes.validity is not None
    assert result.validity == result.probes.validity.status == "passed"
    assert set(found["transcript_only"].by) == {"culture", "language"}
    # The same control, as the baseline of every hard rate.
    words = result.transcript_baseline
    assert words is not None
    assert (words.source, words.condition, words.n) == ("control", "transcript_only", 60)
    drop = found["transcript_only"].drop["uar"]
    assert words.hard["uar"]["strict"].difference.value == pytest.approx(drop.value, abs=1e-12)
    assert words.hard["uar"]["strict"].own == result.hard["uar"].strict  # of the same utterances
    assert words.hard["uar"]["strict"].baseline.value == pytest.approx(1 / 7)
    assert words.hard["uar"]["strict"].own.value == 1.0


def test_a_reader_fails_the_gate(ask: Ask) -> None:
    """Whatever is heard, it answers by the words (here: by the utterance's question)."""
    words = {str(u.transcript): str(u.label) for u in utterances()}
    rows = [
        *({"contains": f"“{text}”", "reply": label} for text, label in words.items()),
        *({"path": u.path, "reply": words[str(u.transcript)]} for u in utterances()),
    ]
    result = ask(rows, metadata={"conditions": ["shuffled", "transcript_only"]}, limit=60)
    assert result.probes is not None
    assert result.probes.validity is not None
    assert result.probes.validity.status == "failed"
    assert not result.headline
    assert any("transcript_only" in reason for reason in result.reasons)


def test_the_gate_without_one_of_its_controls(ask: Ask) -> None:
    rows = [{"path": u.path, "reply": u.label} for u in utterances()]
    result = ask(rows, metadata={"conditions": ["shuffled"]}, limit=40)
    assert result.probes is not None
    assert result.probes.validity is not None
    assert result.probes.validity.status == "not examined"
    assert result.probes.validity.comparisons[0].reason == "not asked"
    assert not any("beat" in reason for reason in result.reasons)


def test_a_run_without_conditions_has_no_probes(ask: Ask) -> None:
    result = ask([{"path": u.path, "reply": u.label} for u in utterances()], limit=10)
    assert result.probes is None
    assert result.validity == "not examined"


def test_a_severity_curve(ask: Ask) -> None:
    """Right without noise; at 10 dB wrong for the half of the clips, at 0 dB for all."""
    rows: list[dict[str, Any]] = []
    for i, u in enumerate(utterances()):
        wrong = after(str(u.label), 1)
        rows.append({"path": u.path, "transform": "noise(snr_db=0)", "reply": wrong})
        if i % 2:
            rows.append({"path": u.path, "transform": "noise(snr_db=10)", "reply": wrong})
        rows.append({"path": u.path, "reply": u.label})
    result = ask(rows, metadata={"conditions": ["noise@1", "noise@3", "noise@5"]}, limit=50)
    assert result.probes is not None
    (curve,) = result.probes.severity
    assert curve.family == "noise(kind=white)"
    assert [level.severity for level in curve.levels] == [0, 1, 3, 5]
    half = curve.levels[2].wa
    assert [curve.levels[i].wa for i in (0, 1, 3)] == [1.0, 1.0, 0.0]
    assert half is not None
    assert 0.3 < half < 0.7
    assert curve.reversals == 0
    assert curve.mean_drop == pytest.approx((0 + (1 - half) + 1) / 3)
    interval = curve.levels[2].drop["wa"].interval
    assert interval is not None
    assert interval.low is not None
    assert interval.low > 0


def test_context_gains(ask: Ask) -> None:
    """Helped by the culture alone; misled by a wrong one."""
    rows: list[dict[str, Any]] = []
    for u in utterances():
        rows.append({"path": u.path, "contains": "The language is", "reply": "neutral"})
    for u in utterances():
        rows.append({"path": u.path, "contains": "The speaker is from", "reply": u.label})
        rows.append({"path": u.path, "reply": "neutral"})
    metadata = {"context": "culture", "conditions": ["factors"]}
    result = ask(rows, "context", metadata=metadata, limit=30)
    assert result.probes is not None
    gains = {g.factors: g for g in result.probes.context}
    assert gains["context:culture"].gain["wa"].value is not None
    assert gains["context:culture"].gain["wa"].value > 0.5
    assert gains["context:language"].gain["wa"].value == 0.0
    assert gains["culture (the run's own)"].gain == gains["context:culture"].gain
    assert set(gains["context:culture"].by) == {"culture", "language"}
    # The scripted model looks at whether a culture is said and not at which.
    assert result.probes.wrong_context is not None


def test_every_clip_through_a_transform(ask: Ask) -> None:
    rows = [{"transform": "telephone", "reply": "sad"}, {"reply": "angry"}]
    result = ask(rows, metadata={"transform": "telephone"}, limit=10)
    assert result.counts.replies == 10
    table = result.confusion
    assert table is not None
    assert sum(row[LABELS.index("sad")] for row in table.counts) == 10
    assert not result.headline
    assert any("telephone(low_hz=300.0" in reason for reason in result.reasons)


def test_the_share_of_a_condition() -> None:
    with_share = Condition("x", "round_trip", share=0.2)
    assert with_share.to_json()["share"] == 0.2


# --- what cannot be had -------------------------------------------------------------------------


def donors_of(changes: dict[str, Any], written: list[str], keep: int | None = None) -> Donors:
    """Donors of the mini corpus with some facts changed."""
    manifest = prepared("mini").manifest()
    table = table_of(replace(u, **changes) for u in utterances()[:keep])
    changed = Manifest(manifest.path, manifest.facts, manifest.root, table)
    card = registry.corpus("mini")[0]
    rows = range(len(changed))
    return Donors(card, changed, rows, card.label_set(None), parse_conditions(written), 0)


def test_a_corpus_without_transcripts(mini_home: Path) -> None:
    donors = donors_of({"transcript": None}, ["transcript_only", "wrong_transcript", "shuffled"])
    assert donors.skipped(range(147)) == {
        "transcript_only": {"no transcript": 147},
        "wrong_transcript": {"no transcript": 147},
    }
    same = donors_of({"transcript": "Kids are talking."}, ["wrong_transcript", "right_transcript"])
    assert same.skipped(range(147)) == {
        "wrong_transcript": {"no other utterance to take it from": 147}
    }


def test_a_corpus_of_one_language_and_one_utterance(mini_home: Path) -> None:
    written = ["code_switch", "babble@1", "shuffled", "same_speaker"]
    alone = donors_of({"language": "en"}, written, keep=1)
    assert alone.skipped([0]) == {
        "babble(snr_db=20.0)": {"fewer than 4 other speakers with whole files": 1},
        "code_switch(place=after, gap_s=0.1)": {"no clip in another language": 1},
        "same_speaker": {"no other utterance to take it from": 1},
        "shuffled": {"no other utterance to take it from": 1},
    }


def test_an_unknown_factor_is_not_asked(mini_home: Path) -> None:
    donors = donors_of({"culture": None}, ["context:culture", "context:language", "context:none"])
    assert donors.skipped(range(147)) == {"context:culture": {"the factor is not known": 147}}


def test_code_switches_are_into_another_language(mini_home: Path) -> None:
    donors = donors_of({}, ["code_switch"])
    languages = {u.utterance_id: str(u.language)[:2] for u in utterances()}
    for utterance in utterances()[:40]:
        (other,) = donors.of(utterance)["donor_ids"]["code_switch"]
        assert languages[other] != languages[utterance.utterance_id]
