"""What a task asks: ensembles, ways of offering labels, examples, languages, ratings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from voxemo_tasks import registry
from voxemo_tasks.corpora import Manifest, load_manifest, prepare, prepared
from voxemo_tasks.corpora.manifest import table_of as to_table
from voxemo_tasks.errors import LabelSetError, OptionError
from voxemo_tasks.results import score_run, table_of
from voxemo_tasks.tasks.options import parse_options
from voxemo_tasks.tasks.planning import Plan
from voxemo_tasks.tasks.shots import Shots
from voxemo_tasks.tasks.task import VoxEmoTask
from voxemo_tasks.tasks.tree import tree


def make(tier: str = "direct", corpus: str = "mini", **metadata: Any) -> VoxEmoTask:
    return VoxEmoTask(
        config={
            "task": f"voxemo_{corpus}_{tier}",
            "dataset_kwargs": {"corpus": corpus, "tier": tier},
            "test_split": "test",
            "output_type": "generate_until",
            "generation_kwargs": {"until": []},
            "num_fewshot": 0,
            "metadata": metadata,
        }
    )


def run(script: Path, store: Path, task: str, **metadata: Any) -> Any:
    manager = TaskManager(include_path=str(tree()), include_defaults=False, metadata=metadata)
    return simple_evaluate(
        model="scripted-audiolm",
        model_args={"replies": str(script), "store": str(store)},
        tasks=[task],
        task_manager=manager,
        bootstrap_iters=0,
    )


def write_script(path: Path, reply: Any) -> Path:
    """A script with a reply per clip of mini: a text, or a function of the utterance."""
    rows = []
    for utterance in prepared("mini").manifest().utterances():
        text = reply(utterance) if callable(reply) else reply
        rows.append({"path": utterance.path, "reply": text})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_five_tiers_are_five_votes(mini_home: Path, tmp_path: Path) -> None:
    task = make(ensemble="five_tiers")
    ids = [m.id for m in task.plan.all_members()]
    tiers = ("direct", "transcribe", "acoustic", "transcribe_acoustic", "reason")
    assert ids == [f"{t}_en@1" for t in tiers]
    script = write_script(tmp_path / "s.jsonl", lambda u: f"Emotion: {u.label}")
    out = run(script, tmp_path / "run", "voxemo_mini_direct", ensemble="five_tiers")
    assert out["results"]["voxemo_mini_direct"]["uar,none"] == 1.0
    scored = score_run(tmp_path / "run").tasks["voxemo_mini_direct"]
    assert scored.ensemble is not None
    assert scored.ensemble["id"] == "five_tiers@1"
    assert scored.counts.replies == 5 * scored.counts.asked
    assert scored.hard["uar"].strict.value == 1.0


def test_sixteen_members_and_ten_samples(mini_home: Path) -> None:
    members = make(ensemble="paraphrase_8").plan.all_members()
    assert len({m.id for m in members}) == 16
    assert {m.order for m in members} == {"registered", "rotated"}
    task = make(ensemble="sample_10")
    assert (task.samples, task.temperature) == (10, 0.7)
    assert make(ensemble="sample_10", temperature=1.0).temperature == 1.0
    for options, words in (
        ({"prompts": ["direct_en"]}, "exclude one another"),
        ({"prompt_language": "de"}, "has no effect"),
    ):
        with pytest.raises(OptionError, match=words):
            make(ensemble="sample_10", **options)


@pytest.mark.parametrize("style", ["lettered", "numbered", "bullets", "json"])
@pytest.mark.parametrize("order", ["permuted", "rotated"])
def test_a_score_reads_the_menu_that_each_utterance_had(
    mini_home: Path, tmp_path: Path, style: str, order: str
) -> None:
    """Every reply is the right word, letter or number as *this* utterance's menu has it."""
    options = {"label_style": style, "label_order": order, "label_form": "noun"}
    task = make(**options)
    right: dict[str, str] = {}
    for doc in task.test_docs():
        (member,) = task.plan.members(doc)
        menu = member.menu(task.label_set, doc["utterance_id"], 0)
        assert menu is not None
        word = menu.read_as()[menu.labels.index(doc["label"])]
        right[doc["utterance_id"]] = word[0] if style in ("lettered", "numbered") else word
    script = write_script(tmp_path / "s.jsonl", lambda u: right.get(u.utterance_id, ""))
    out = run(script, tmp_path / "run", "voxemo_mini_direct", **options)
    assert out["results"]["voxemo_mini_direct"]["uar,none"] == 1.0
    scored = score_run(tmp_path / "run").tasks["voxemo_mini_direct"]
    assert scored.hard["wa"].strict.value == 1.0
    assert scored.members[0]["shown"][0] == "anger"


def test_examples_are_of_the_train_part_and_of_other_speakers(mini_home: Path) -> None:
    task = make(shots=3, protocol="speakers", fold=1)
    manifest = prepared("mini").manifest()
    rows = {u.utterance_id: u for u in manifest.utterances()}
    for doc in task.test_docs():
        shots = [rows[uid] for uid in doc["shot_ids"]]
        assert len(shots) == 3
        assert len({shot.label for shot in shots}) == 3  # a label a turn
        for shot in shots:
            assert shot.speaker != doc["speaker"]
            assert ("speakers", 1, "train") in {(s.protocol, s.fold, s.role) for s in shot.splits}
    request = task._requests(task.test_docs()[0])[0]
    assert len(request.audio) == 4
    assert (
        make(shots=3, shots_seed=1, protocol="speakers", fold=1).test_docs()[0]["shot_ids"]
        != (task.test_docs()[0]["shot_ids"])
    )
    with pytest.raises(OptionError, match="has no train part"):
        make(shots=3)
    with pytest.raises(OptionError, match="shows a bare label"):
        make("reason", shots=3, protocol="speakers", fold=1)


def shots_of(target: str = "released", **changes: Any) -> Shots:
    """Examples from the mini corpus with some facts changed."""
    manifest = prepared("mini").manifest()
    table = to_table(replace(u, **changes) for u in manifest.utterances())
    changed = Manifest(manifest.path, manifest.facts, manifest.root, table)
    card = registry.corpus("mini")[0]
    options = parse_options(
        {"shots": 3, "protocol": "speakers", "fold": 1, "target": target}, strict=True
    )
    label_set = card.label_set(None)
    return Shots(card, changed, changed.column("splits"), label_set, "speakers", 1, options)


def test_examples_have_the_label_of_the_target_rule(mini_home: Path) -> None:
    """All annotators hear sadness: an example is sad under ``majority``, whatever was acted."""
    tested = next(
        u
        for u in prepared("mini").manifest().utterances()
        if ("speakers", 1, "test") in {(s.protocol, s.fold, s.role) for s in u.splits}
    )
    sad = next(x for x in registry.corpus("mini")[0].label_set(None).labels if x.startswith("sad"))
    by_votes = shots_of("majority", votes={sad: 5}).of(tested)["shots"]
    assert [shot["label"] for shot in by_votes] == [sad, sad, sad]
    released = shots_of(votes={sad: 5}).of(tested)["shots"]
    assert len({shot["label"] for shot in released}) == 3
    with pytest.raises(OptionError, match=r"no train part with a gold label \(majority\)"):
        shots_of("majority", votes=None)


def test_a_clip_of_unknown_length_is_no_example(mini_home: Path) -> None:
    shots = shots_of(duration_s=None)
    with pytest.raises(
        OptionError, match=r"has 0 train clip.*[1-9]\d* of unknown length were left"
    ):
        shots.of(next(iter(prepared("mini").manifest().utterances())))


def test_every_utterance_in_its_own_language(mini_home: Path, tmp_path: Path) -> None:
    task = make(prompt_language="corpus")
    said = {}
    for doc in task.test_docs():
        (member,) = task.plan.members(doc)
        said[doc["language"]] = member
    for language, member in said.items():
        assert member.prompt.language == language.partition("-")[0]
    german = next(m for language, m in said.items() if language.startswith("de"))
    menu = german.menu(task.label_set, "u", 0)
    assert menu is not None
    assert "wütend" in menu.shown
    script = write_script(
        tmp_path / "s.jsonl",
        lambda u: (
            said[u.language]
            .menu(task.label_set, u.utterance_id, 0)
            .shown[task.label_set.labels.index(u.label)]
        ),
    )
    run(script, tmp_path / "run", "voxemo_mini_direct", prompt_language="corpus")
    scored = score_run(tmp_path / "run").tasks["voxemo_mini_direct"]
    assert scored.hard["uar"].strict.value == 1.0
    assert len(scored.members) >= 5
    told = {p["language"]: p["reviewed"] for p in scored.prompts}
    assert told["en"] is True
    assert told["de"] is False
    assert scored.verbalizer["reviewed"]["de"] is False
    shown = table_of(score_run(tmp_path / "run"))
    assert "reviewed by no native speaker" in shown
    english = make(prompt_language="de", label_language="en")
    assert "angry" in english._requests(english.test_docs()[0])[0].text


def test_an_utterance_that_does_not_say_its_language_speaks_that_of_its_corpus(home: Path) -> None:
    card, _ = registry.corpus("urdu")
    options = parse_options({"prompt_language": "corpus"}, strict=True)
    plan = Plan.of(card, "direct", options).speaking([None])
    (member,) = plan.members({"utterance_id": "a"})
    assert member.prompt.language == "ur"
    assert [m.prompt.language for m in plan.all_members()] == ["ur"]
    mixed = Plan.of(card, "direct", options).speaking(["ur-PK", "xx"])
    assert {m.prompt.language for m in mixed.all_members()} == {"ur", "en"}


def test_an_ensemble_of_another_tier_is_refused(home: Path) -> None:
    options = parse_options({"ensemble": "sample_10"}, strict=True)
    with pytest.raises(OptionError, match=r"asks tier\(s\) direct, the task asks tier 'reason'"):
        Plan.of(registry.corpus("mini")[0], "reason", options)


def test_a_prompt_is_asked_once_however_it_is_named(home: Path) -> None:
    with pytest.raises(OptionError, match="a prompt stands twice"):
        Plan.of(
            registry.corpus("mini")[0],
            "direct",
            parse_options({"prompts": "direct_en+direct_en@1"}, strict=True),
        )


def test_ratings(mini_home: Path, tmp_path: Path) -> None:
    task = make("dimensional")
    assert task.dimensions == ("valence", "arousal", "dominance")
    assert task.scale == (1.0, 5.0)
    text = task._requests(task.test_docs()[0])[0].text
    assert "from 1 (very calm) to 5 (very excited)" in text
    script = write_script(tmp_path / "s.jsonl", '{"valence": 2, "arousal": 9}')
    out = run(script, tmp_path / "run", "voxemo_mini_dimensional")
    assert out["results"]["voxemo_mini_dimensional"]["coverage,none"] == 1.0
    scored = score_run(tmp_path / "run").tasks["voxemo_mini_dimensional"]
    assert scored.dimensions == ["valence", "arousal", "dominance"]
    assert scored.hard == {}
    assert scored.confusion is None
    assert scored.counts.statuses["answered"] == scored.counts.asked


def test_corpora_are_asked_what_they_have(home: Path) -> None:
    uudb, _ = registry.corpus("uudb")
    urdu, _ = registry.corpus("urdu")
    options = parse_options({}, strict=True)
    with pytest.raises(LabelSetError, match="'uudb' has no classes"):
        Plan.of(uudb, "direct", options)
    with pytest.raises(OptionError, match="'urdu' has no ratings"):
        Plan.of(urdu, "dimensional", options)
    assert Plan.of(uudb, "dimensional", options).label_set is None


def test_one_switch_per_factor(mini_home: Path) -> None:
    def first(**metadata: Any) -> str:
        task = make("context", **metadata)
        doc = next(d for d in task.test_docs() if d["language"].startswith("de"))
        return task._requests(doc)[0].text

    everything, nothing = first(), first(context="none")
    assert nothing.startswith("What emotion")
    language, culture = first(context="language"), first(context="culture")
    assert "German" in language
    assert "Germany" in culture
    assert "Germany" not in language.replace("German.", "")
    assert len(everything) >= max(len(language), len(culture)) > len(nothing)
    task = make("context")
    known = task.plan.context_known(task.test_docs())
    assert known is not None
    assert known["language"] == len(task.test_docs())


def test_a_verbalizer_that_reads_something_else_is_refused(home: Path) -> None:
    urdu, _ = registry.corpus("urdu")
    uudb, _ = registry.corpus("uudb")
    for card, tier, verbalizer in (
        (urdu, "direct", "prosody"),
        (urdu, "direct", "vad"),
        (uudb, "dimensional", "closed_set"),
    ):
        options = parse_options({"verbalizer": verbalizer}, strict=True)
        with pytest.raises(OptionError, match="cannot read this task"):
            Plan.of(card, tier, options)


def test_a_label_without_words_is_told_before_a_run(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    card, _ = registry.corpus("pavoque")
    Plan.of(card, "direct", parse_options({}, strict=True))
    assert "has no words for the label(s) poker" in caplog.text


def test_mini_is_what_the_tests_take_it_for(home: Path, tmp_path: Path) -> None:
    prepare("mini", out=tmp_path / "m.parquet", progress=False)
    manifest = load_manifest(tmp_path / "m.parquet")
    assert len({x.partition("-")[0] for x in manifest.column("language") if x}) >= 5
