"""The task class inside lm-eval: documents, requests, verdicts, rates; against scikit-learn."""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from sklearn.metrics import f1_score, precision_score, recall_score

from voxemo_tasks.corpora import load_manifest, prepare, prepared, registered
from voxemo_tasks.errors import NotPreparedError, OptionError, RunFailedError
from voxemo_tasks.results import score_run
from voxemo_tasks.tasks import VoxEmoTask
from voxemo_tasks.tasks.documents import hash_order
from voxemo_tasks.tasks.tree import tree

LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
NONE = "(no answer)"


def make(metadata: dict[str, Any] | None = None, corpus: str = "mini") -> VoxEmoTask:
    return VoxEmoTask(
        config={
            "task": f"voxemo_{corpus}_direct",
            "class": "whatever led here",
            "dataset_kwargs": {"corpus": corpus, "tier": "direct"},
            "test_split": "test",
            "output_type": "generate_until",
            "generation_kwargs": {"until": []},
            "num_fewshot": 0,
            "metadata": metadata or {},
        }
    )


def evaluate(script: Path, store: Path, **options: Any) -> Any:
    metadata = options.pop("metadata", {})
    manager = TaskManager(include_path=str(tree()), include_defaults=False, metadata=metadata)
    return simple_evaluate(
        model="scripted-audiolm",
        model_args={"replies": str(script), "store": str(store)},
        tasks=options.pop("tasks", ["voxemo_mini_direct"]),
        task_manager=manager,
        bootstrap_iters=0,
        **options,
    )


def mixed(manifest_path: Path) -> list[dict[str, Any]]:
    """A script that is right, wrong or no answer, by a rule that the test knows."""
    manifest = load_manifest(manifest_path)
    rows = []
    for i, utterance in enumerate(manifest.utterances()):
        assert utterance.label is not None
        wrong = LABELS[(LABELS.index(utterance.label) + 1 + i % 3) % 7]
        reply = [utterance.label, wrong, "I cannot tell.", utterance.label][i % 4]
        rows.append({"path": utterance.path, "reply": reply})
    return rows


def test_documents_are_all_utterances_in_hash_order(mini_home: Path) -> None:
    documents = list(make().test_docs())
    ids = [d["utterance_id"] for d in documents]
    assert sorted(ids) == sorted(prepared("mini").manifest().column("utterance_id"))
    assert ids == sorted(ids, key=lambda uid: hash_order("mini", uid))
    # The order is fixed, and says nothing of the label: a head of it is a fair sample.
    head = collections.Counter(d["label"] for d in documents[:70])
    assert len(head) == 7
    assert max(head.values()) < 25


def test_documents_hold_references_and_no_sound(mini_home: Path) -> None:
    document = make().test_docs()[0]
    assert set(document["audio"]) >= {"path", "sha256", "start_s", "end_s", "channel"}
    assert "transcript" not in document
    assert len(json.dumps(document)) < 4096


def test_the_fold_of_a_protocol(mini_home: Path) -> None:
    speakers: dict[int, set[str]] = {}
    for fold in (1, 2):
        found = make({"protocol": "speakers", "fold": fold}).test_docs()
        speakers[fold] = {d["speaker"] for d in found}
    assert not speakers[1] & speakers[2]
    with pytest.raises(OptionError, match=r"fold 99.*has folds \[1, 2"):
        make({"protocol": "speakers", "fold": 99})
    with pytest.raises(
        OptionError, match=r"'sessions' is none of corpus 'mini'; allowed: all, loso, sp"
    ):
        make({"protocol": "sessions"})


def test_the_gold_label_by_votes(mini_home: Path) -> None:
    """Mini's votes disagree with its acted labels for some clips."""
    released = make()
    counts = {}
    for target in ("plurality", "majority"):
        voted_task = make({"target": target})
        counts[target] = len(voted_task.test_docs())
        excluded = voted_task.selection.excluded
        assert counts[target] + excluded["no votes"] + excluded[f"no {target} of the votes"] == len(
            released.test_docs()
        )
        for doc in voted_task.test_docs():
            votes = dict(doc["votes"])
            top = max(votes.values())
            assert votes[doc["label"]] == top
            assert list(votes.values()).count(top) == 1
            assert target == "plurality" or 2 * top > sum(votes.values())
    assert 0 < counts["majority"] <= counts["plurality"]
    other = {doc["utterance_id"]: doc["label"] for doc in make({"target": "plurality"}).test_docs()}
    kept = [d for d in released.test_docs() if d["utterance_id"] in other]
    same = [other[d["utterance_id"]] == d["label"] for d in kept]
    assert not all(same)


def test_leave_one_speaker_out(mini_home: Path) -> None:
    speakers = sorted(set(prepared("mini").manifest().column("speaker")))
    tested = make({"protocol": "loso", "fold": 2}).test_docs()
    assert {d["speaker"] for d in tested} == {speakers[1]}
    trained = make({"protocol": "loso", "fold": 2, "role": "train"}).test_docs()
    assert {d["speaker"] for d in trained} == set(speakers) - {speakers[1]}
    with pytest.raises(OptionError, match="has folds 1 to 28, one a speaker"):
        make({"protocol": "loso", "fold": 29})
    everybody = make({"protocol": "loso", "fold": "all"}).test_docs()
    assert len(everybody) == len(prepared("mini").manifest())


def test_rates_in_lm_evals_table_equal_scikit_learns(
    mini_home: Path, script: Any, tmp_path: Path
) -> None:
    file = script(*mixed(prepared("mini").path))
    out = evaluate(file, tmp_path / "run", log_samples=True)
    table = out["results"]["voxemo_mini_direct"]
    samples = out["samples"]["voxemo_mini_direct"]
    gold = [s["target"] for s in samples]
    said = [s["coverage"]["labels"][0] if s["coverage"]["labels"] else NONE for s in samples]
    assert len(gold) == len(prepared("mini").manifest())
    assert NONE in said
    options: dict[str, Any] = {"labels": LABELS, "zero_division": 0}
    right = sum(g == s for g, s in zip(gold, said, strict=True))
    expected = {
        "uar": recall_score(gold, said, average="macro", **options),
        "wa": right / len(gold),
        "macro_f1": f1_score(gold, said, average="macro", **options),
        "weighted_f1": f1_score(gold, said, average="weighted", **options),
        "micro_f1": f1_score(gold, said, average="micro", **options),
        "macro_precision": precision_score(gold, said, average="macro", **options),
        "coverage": 1 - said.count(NONE) / len(said),
    }
    for name, value in expected.items():
        assert isinstance(table[f"{name},none"], float)
        assert table[f"{name},none"] == pytest.approx(value, abs=1e-12), name
    # The scorecard from the stored replies says the same.
    scored = score_run(tmp_path / "run").tasks["voxemo_mini_direct"]
    for name, value in expected.items():
        assert scored.hard[name].strict.value == pytest.approx(value, abs=1e-12), name
    answered = [(g, s) for g, s in zip(gold, said, strict=True) if s != NONE]
    assert scored.hard["uar"].answered.value == pytest.approx(
        recall_score(*zip(*answered, strict=True), average="macro", **options), abs=1e-12
    )
    assert scored.counts.statuses["abstained"] == said.count(NONE)
    assert scored.notice == "synthetic, not a result"
    assert scored.headline is False
    assert "synthetic, not a result" in table["alias"]


def test_limit_and_samples(mini_home: Path, script: Any, tmp_path: Path) -> None:
    file = script({"reply": "angry"})
    everything = [d["utterance_id"] for d in make().test_docs()]

    def asked(**options: Any) -> list[str]:
        out = evaluate(file, tmp_path / "run", log_samples=True, **options)
        return [s["doc"]["utterance_id"] for s in out["samples"]["voxemo_mini_direct"]]

    assert asked(limit=5) == everything[:5]
    assert asked(limit=0.1) == everything[: -(-len(everything) // 10)]
    assert asked(samples={"voxemo_mini_direct": [2, 7]}) == [everything[2], everything[7]]


def test_logged_samples_are_json_and_hold_no_sound(
    mini_home: Path, script: Any, tmp_path: Path
) -> None:
    out = evaluate(script({"reply": "angry"}), tmp_path / "run", log_samples=True, limit=3)
    (sample, *_) = out["samples"]["voxemo_mini_direct"]
    text = json.dumps(sample)
    assert len(text) < 8192
    assert sample["coverage"]["store"] == str(tmp_path / "run")
    assert sample["uar"] == [sample["target"], "angry"]


def test_predict_only(mini_home: Path, script: Any, tmp_path: Path) -> None:
    file = script({"reply": "angry"})
    out = evaluate(file, tmp_path / "run", limit=4, predict_only=True, log_samples=True)
    assert set(out["results"]["voxemo_mini_direct"]) >= {"bypass,none"}
    assert "uar,none" not in out["results"]["voxemo_mini_direct"]
    assert [s["resps"] for s in out["samples"]["voxemo_mini_direct"]] == [[["angry"]]] * 4


def test_use_cache_asks_once_and_counts_the_same(
    mini_home: Path, script: Any, tmp_path: Path
) -> None:
    file = script(*mixed(prepared("mini").path))
    cache = str(tmp_path / "cache" / "lm")
    first = evaluate(file, tmp_path / "one", use_cache=cache)
    second = evaluate(file, tmp_path / "two", use_cache=cache)
    assert first["results"] == second["results"]


def test_a_cache_of_another_model_is_refused(mini_home: Path, script: Any, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    evaluate(script({"reply": "angry"}), tmp_path / "one", use_cache=cache, limit=3)
    other = script({"reply": "sad"})
    with pytest.raises(OptionError, match=r"--use_cache: .*cache_rank0\.db holds the replies of"):
        evaluate(other, tmp_path / "two", use_cache=cache, limit=3)


def test_a_failure_in_the_cache_is_asked_again(
    mini_home: Path, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache = script({"reply": "angry"}), str(tmp_path / "cache")

    def fail(*_: Any) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as broken:
        broken.setattr("voxemo_tasks.backends.scripted.ScriptedAudioLM._say", fail)
        evaluate(file, tmp_path / "one", use_cache=cache, limit=1)
    out = evaluate(file, tmp_path / "two", use_cache=cache, limit=1)
    assert out["results"]["voxemo_mini_direct"]["coverage,none"] == 1.0


def test_samples_are_all_kept_and_vote(mini_home: Path, script: Any, tmp_path: Path) -> None:
    file = script({"replies": ["angry", "sad", "angry"]})
    out = evaluate(
        file,
        tmp_path / "run",
        metadata={"samples": 3, "temperature": 0.7},
        log_samples=True,
        limit=4,
    )
    for sample in out["samples"]["voxemo_mini_direct"]:
        assert [str(r) for r in sample["resps"][0]] == ["angry", "sad", "angry"]
        assert sample["coverage"]["labels"] == ["angry"]
        assert sample["coverage"]["rule"] == "plurality"
        (arguments,) = sample["arguments"]
        assert arguments[1]["do_sample"] is True
        assert arguments[1]["temperature"] == 0.7


def test_gen_kwargs_do_not_make_samples_greedy_in_silence(
    mini_home: Path, script: Any, tmp_path: Path
) -> None:
    metadata = {"samples": 3, "temperature": 0.7}
    with pytest.raises(OptionError, match="3 samples are asked for, and greedy samples"):
        evaluate(
            script({"reply": "sad"}),
            tmp_path / "run",
            metadata=metadata,
            gen_kwargs={"do_sample": False},
            limit=2,
        )


def test_requests_that_lm_eval_caches_are_never_those_of_another_prompt(
    mini_home: Path, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path / "requests"))
    file = script({"prompt": "direct_en@1", "reply": "sad"}, {"reply": "angry"})
    said = []
    for prompt in ("direct_en@1", "direct_p1@1"):
        out = evaluate(
            file,
            tmp_path / "run",
            metadata={"prompts": prompt},
            cache_requests=True,
            log_samples=True,
            limit=1,
        )
        said.append(out["samples"]["voxemo_mini_direct"][0]["resps"])
    assert said == [[["sad"]], [["angry"]]]


def test_seed_reaches_sampling(mini_home: Path, script: Any, tmp_path: Path) -> None:
    seeds = set()
    for seed in (1, 2):
        out = evaluate(
            script({"reply": "sad"}),
            tmp_path / f"run{seed}",
            metadata={"temperature": 0.7},
            log_samples=True,
            limit=1,
            fewshot_random_seed=seed,
        )
        seeds.add(out["samples"]["voxemo_mini_direct"][0]["arguments"][0][1]["seed"])
    assert seeds == {1, 2}


def test_gen_kwargs_override_the_prompt(mini_home: Path, script: Any, tmp_path: Path) -> None:
    out = evaluate(
        script({"reply": "sad"}),
        tmp_path / "run",
        log_samples=True,
        limit=1,
        gen_kwargs={"max_gen_toks": 5, "until": ["\n"]},
    )
    arguments = out["samples"]["voxemo_mini_direct"][0]["arguments"][0][1]
    assert (arguments["max_gen_toks"], arguments["until"]) == (5, ["\n"])
    decoding = score_run(tmp_path / "run").tasks["voxemo_mini_direct"].decoding
    assert decoding["direct_en@1"]["max_new_tokens"] == 5
    with pytest.raises(OptionError, match="'beams' is not known"):
        evaluate(script({"reply": "x"}), tmp_path / "r2", limit=1, gen_kwargs={"beams": 5})


def test_a_failed_reply_is_excluded_and_counted(
    mini_home: Path, script: Any, tmp_path: Path
) -> None:
    rows = mixed(prepared("mini").path)
    rows[0] = {"path": rows[0]["path"], "error": "one bad clip"}
    out = evaluate(script(*rows), tmp_path / "run", log_samples=True)
    pairs = [s["wa"] for s in out["samples"]["voxemo_mini_direct"]]
    assert pairs.count(None) == 1
    known = [p for p in pairs if p is not None]
    table = out["results"]["voxemo_mini_direct"]
    assert table["wa,none"] == pytest.approx(sum(g == p for g, p in known) / len(known), abs=1e-12)
    scored = score_run(tmp_path / "run").tasks["voxemo_mini_direct"]
    assert scored.counts.statuses["engine_error"] == 1
    assert scored.counts.scored == len(known)
    assert scored.hard["wa"].strict.value == pytest.approx(table["wa,none"], abs=1e-12)


def test_too_many_failures_fail_the_run_and_keep_the_replies(
    mini_home: Path, script: Any, tmp_path: Path
) -> None:
    rows = mixed(prepared("mini").path)
    rows[:15] = [{"path": row["path"], "error": "cannot"} for row in rows[:15]]
    with pytest.raises(RunFailedError, match=r"15 of \d+ replies failed in the engine.*cannot"):
        evaluate(script(*rows), tmp_path / "run")
    scored = score_run(tmp_path / "run").tasks["voxemo_mini_direct"]
    assert scored.headline is False
    assert any("engine or judge failed on 15" in reason for reason in scored.reasons)


def test_failures_are_counted_in_replies_also_where_an_ensemble_hides_them(
    mini_home: Path, script: Any, tmp_path: Path
) -> None:
    file = script({"prompt": "direct_en@1", "error": "no memory"}, {"reply": "sad"})
    metadata = {"prompts": "direct_en@1+direct_p1@1"}
    with pytest.raises(RunFailedError, match="10 of 20 replies failed in the engine"):
        evaluate(file, tmp_path / "run", metadata=metadata, limit=10)
    task = score_run(tmp_path / "run", multiverse=False).tasks["voxemo_mini_direct"]
    assert task.counts.failed == 0
    assert task.counts.reply_statuses["engine_error"] == 10
    assert any("failed on 10 of 20 replies" in reason for reason in task.reasons)


def test_an_utterance_is_pooled_once(mini_home: Path, script: Any, tmp_path: Path) -> None:
    """Two tiers ask about the same speakers: no pool may take them for twice as many."""
    tasks = ["voxemo_mini_direct", "voxemo_mini_open"]
    evaluate(script({"reply": "sad"}), tmp_path / "run", tasks=tasks, limit=20)
    assert score_run(tmp_path / "run", multiverse=False).pooled == []


def test_all_corpora_that_are_not_prepared_are_told_at_once(
    home: Path, script: Any, tmp_path: Path
) -> None:
    with pytest.raises(NotPreparedError) as caught:
        evaluate(script({"reply": "x"}), tmp_path / "run", tasks=["voxemo"])
    assert "voxemo corpora prepare mini\n" in str(caught.value)
    assert "voxemo corpora prepare urdu --root DIR" in str(caught.value)
    # The same process goes on with what it has: nothing is left over.
    prepare("mini", None, progress=False)
    out = evaluate(script({"reply": "x"}), tmp_path / "run", limit=2)
    assert out["results"]["voxemo_mini_direct"]["coverage,none"] == 0.0


def test_a_system_instruction_is_refused(mini_home: Path, script: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="prompts are pre-registered"):
        evaluate(script({"reply": "x"}), tmp_path / "run", limit=1, system_instruction="Be nice.")


def test_prompts_of_a_run(mini_home: Path) -> None:
    task = make({"prompts": ["direct_en@1"], "verbalizer": "closed_set"})
    assert [m.prompt.ref for m in task.plan.all_members()] == ["direct_en@1"]
    with pytest.raises(LookupError, match="no prompt is called 'direct_enn'"):
        make({"prompts": ["direct_enn"]})
    with pytest.raises(LookupError, match="label set of corpus 'mini'"):
        make({"label_set": "nine"})
    with pytest.raises(LookupError, match="language of prompt tier 'direct'"):
        make({"prompt_language": "tlh"})


def test_a_card_that_changed_since_prepare_is_told(
    mini_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make()
    assert "another one than it was prepared with" not in caplog.text
    card, _ = registered.corpus("mini")
    monkeypatch.setattr(registered, "corpus", lambda name: (card, "another digest"))
    make()
    assert "another one than it was prepared with" in caplog.text
