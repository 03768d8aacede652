"""``voxemo plan``: what a run will ask, against what it does ask; and the same refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from voxemo_tasks import registry
from voxemo_tasks.backends.requests import Job, fold
from voxemo_tasks.cli import main
from voxemo_tasks.cli.plan import size_on_disk
from voxemo_tasks.corpora import prepared
from voxemo_tasks.errors import ModelError
from voxemo_tasks.rooms import PACKAGE
from voxemo_tasks.specs import CorpusCard

TINY = ["--model", "hf-audiolm", "--model_args", "pretrained=voxemo-tiny"]
HUB = ["--model", "hf-audiolm", "--model_args", "pretrained=Qwen/Qwen2-Audio-7B-Instruct"]


@pytest.fixture
def plan(capsys: Any) -> Any:
    def make(*flags: str, model: list[str] = TINY) -> Any:
        capsys.readouterr()
        assert main(["plan", *model, *flags, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return make


def options(**given: Any) -> list[str]:
    return ["--metadata", json.dumps(given)]


def test_a_plan_of_a_prepared_corpus_is_what_a_run_asks(
    mini_home: Path, tmp_path: Path, plan: Any
) -> None:
    """Requests, clips and every single prompt token, against the real processor's inputs."""
    pytest.importorskip("torch")
    from lm_eval.tasks import TaskManager

    from voxemo_tasks.audio import decode
    from voxemo_tasks.backends.hf import HfAudioLM
    from voxemo_tasks.tasks import register_models
    from voxemo_tasks.tasks.tree import tree

    flags = ["--tasks", "voxemo_mini_direct", "--limit", "12", *options(ensemble="paraphrase_8")]
    got = plan(*flags)
    register_models()
    manager = TaskManager(
        include_path=str(tree()), include_defaults=False, metadata={"ensemble": "paraphrase_8"}
    )
    loaded = manager.load(["voxemo_mini_direct"])
    (task,) = loaded["tasks"].values()
    task.build_all_requests(limit=12, rank=0, world_size=1)
    asked = [f.request for f in fold(task.instances).values()]
    total = got["total"]
    assert total["requests"] == len(asked) == total["replies"]
    clips = {request.audio[0].sha256: request.audio[0] for request in asked}
    assert total["clips"] == len(clips) == 12
    seconds = sum(c.duration_s or 0 for c in clips.values())
    assert total["audio_s"] == pytest.approx(seconds, abs=1e-3)
    assert total["generated_limit"] == sum(r.decoding.max_new_tokens for r in asked)
    model = HfAudioLM("voxemo-tiny", store=str(tmp_path / "run"), device="cpu")
    read = 0
    for request in asked:
        job = Job(request, "", [0], [decode(ref, 16_000) for ref in request.audio])
        read += int(model._inputs([job])["input_ids"].shape[1])
    # the texts are a mean over the 12 documents: the sum is exact, the rest is rounding of samples
    assert total["audio_replies"] + total["text_replies"] == pytest.approx(read, abs=len(asked))


def test_samples_multiply_replies_and_sharing_saves_their_prefixes(
    mini_home: Path, plan: Any
) -> None:
    got = plan("--tasks", "voxemo_mini_direct", *options(ensemble="sample_10"))
    total, n = got["total"], len(prepared("mini").manifest())
    assert (total["clips"], total["requests"], total["replies"]) == (n, n, 10 * n)
    assert total["audio_replies"] == pytest.approx(10 * total["audio_clips"])
    shared, anew = got["cost"]["with_sharing"], got["cost"]["without_sharing"]
    assert anew["prefill_tokens"] == pytest.approx(10 * shared["prefill_tokens"])
    assert anew["seconds"] > shared["seconds"]
    assert shared["decode_s"] == anew["decode_s"]


def test_tasks_that_share_clips_count_them_once(mini_home: Path, plan: Any) -> None:
    both = plan("--tasks", "voxemo_mini_direct,voxemo_mini_open")
    one = plan("--tasks", "voxemo_mini_direct")
    assert [task["task"] for task in both["tasks"]] == ["voxemo_mini_direct", "voxemo_mini_open"]
    assert both["total"]["clips"] == one["total"]["clips"] == 147
    assert both["total"]["requests"] == 2 * one["total"]["requests"]
    assert both["total"]["audio_clips"] == pytest.approx(one["total"]["audio_clips"])
    assert both["total"]["audio_replies"] == pytest.approx(2 * one["total"]["audio_replies"])


def test_a_question_that_two_tasks_put_is_asked_once(mini_home: Path, plan: Any) -> None:
    """An ensemble of several tiers, under two of them: the store answers the second task."""
    chosen = options(ensemble="five_tiers")
    both = plan("--tasks", "voxemo_mini_direct,voxemo_mini_reason", *chosen)
    one = plan("--tasks", "voxemo_mini_direct", *chosen)
    assert both["total"] == one["total"]
    assert both["tasks"][0]["requests"] == both["tasks"][1]["requests"]


def test_examples_and_repeats_make_prompts_longer(mini_home: Path, plan: Any) -> None:
    flags = ["--tasks", "voxemo_mini_direct", "--limit", "20"]
    plain = plan(*flags)["total"]
    twice = plan(*flags, *options(repeat_audio=2))["total"]
    assert twice["audio_replies"] == pytest.approx(2 * plain["audio_replies"])
    shown = plan(*flags, *options(shots=2, protocol="speakers", fold=1))["total"]
    assert shown["audio_replies"] > 2 * plain["audio_replies"]
    assert shown["text_replies"] > 2 * plain["text_replies"]


def test_gen_kwargs_move_the_limit(mini_home: Path, plan: Any) -> None:
    flags = ["--tasks", "voxemo_mini_direct", "--limit", "10"]
    assert plan(*flags)["total"]["generated_limit"] == 320
    assert plan(*flags, "--gen_kwargs", "max_gen_toks=2")["total"]["generated_limit"] == 20
    assert plan(*flags, "--gen_kwargs", "max_gen_toks=2")["total"]["generated"] == 20


def test_what_is_not_prepared_is_counted_by_its_card(home: Path, plan: Any) -> None:
    got = plan("--tasks", "voxemo_urdu_direct")
    (task,) = got["tasks"]
    expected = registry.corpus("urdu")[0].expected
    assert (task["basis"], task["clips"]) == ("published counts", expected.utterances)
    assert expected.hours is not None
    assert task["audio_s"] == pytest.approx(3600 * expected.hours)
    assert "not prepared" in task["notes"][0]
    # 0.277 h over 400 clips: 2.493 s each, 62 tokens of 40 ms
    assert task["audio_clips"] == 400 * 62
    assert plan("--tasks", "voxemo_urdu_direct", "--limit", "7")["total"]["clips"] == 7


def test_a_card_without_hours_or_counts_says_so(home: Path, plan: Any) -> None:
    hours = next(c for c in registry.corpora() if c.expected.utterances and not c.expected.hours)
    nothing = next(c for c in registry.corpora() if c.expected.utterances is None and c.label_sets)

    def of(card: CorpusCard) -> Any:
        return plan("--tasks", f"voxemo_{card.id}_direct")

    (task,) = of(hours)["tasks"]
    assert any("has no hours" in note for note in task["notes"])
    got = of(nothing)
    assert got["tasks"][0]["basis"] == "not known"
    assert got["total"]["requests"] == 0
    assert any(f"of unknown size: {nothing.id}" in line for line in got["rests_on"])
    assert "cost" not in got


def test_the_checkpoint_itself_is_measured_where_it_is_on_disk(mini_home: Path, plan: Any) -> None:
    got = plan("--tasks", "voxemo_mini_direct")
    size = got["model"]["size"]
    assert size["parameters"] == 1_114_368  # as its README says
    assert size["kv_values_a_token"] == 2 * 2 * 2 * 32
    assert got["memory"]["weights"] == 2 * 1_114_368
    assert (
        plan("--tasks", "voxemo_mini_direct", "--on", "cpu")["memory"]["weights"] == 4 * 1_114_368
    )
    assert got["model"]["tokens"] == "its own tokenizer"


def test_a_hub_id_that_is_not_here_is_taken_by_card_and_name(mini_home: Path, plan: Any) -> None:
    got = plan("--tasks", "voxemo_mini_direct", model=HUB)
    assert got["model"]["card"] == "qwen2_audio"
    assert got["model"]["size"]["parameters"] == 7e9
    assert got["memory"]["kv"] is None
    assert any("is not on this disk" in note for note in got["rests_on"])
    mine = plan("--tasks", "voxemo_mini_direct", "--parameters-b", "3", model=HUB)
    assert mine["memory"]["weights"] == 6e9


def test_a_model_without_weights_has_no_time(mini_home: Path, plan: Any, script: Any) -> None:
    model = ["--model", "scripted-audiolm", "--model_args", f"replies={script({'reply': 'x'})}"]
    got = plan("--tasks", "voxemo_mini_direct", model=model)
    assert got["total"]["requests"] == 147
    assert "cost" not in got
    assert "memory" not in got


def test_a_device_of_ones_own_is_reckoned_with(mini_home: Path, plan: Any) -> None:
    flags = ["--tasks", "voxemo_mini_direct"]
    slow = plan(*flags, "--tflops", "1", "--bandwidth-gb-s", "1", "--device-memory-gb", "0.001")
    fast = plan(*flags, "--tflops", "2", "--bandwidth-gb-s", "2")
    for name in ("with_sharing", "without_sharing"):
        assert slow["cost"][name]["seconds"] == pytest.approx(2 * fast["cost"][name]["seconds"])
    assert (slow["memory"]["fits"], fast["memory"]["fits"]) == (False, True)


def test_it_says_that_it_is_an_estimate_and_what_it_rests_on(mini_home: Path, capsys: Any) -> None:
    assert main(["plan", *TINY, "--tasks", "voxemo_mini_direct,voxemo_urdu_direct"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("ESTIMATE for voxemo-tiny (card qwen2_audio)")
    for part in ("all in one run", "published counts", "It rests on:", "shared", "fits"):
        assert part in printed, part


def test_no_weights_are_loaded(mini_home: Path) -> None:
    argv = ["plan", *TINY, "--tasks", "voxemo_mini_direct", "--limit", "2"]
    script = (
        "import sys\nfrom voxemo_tasks.cli import main\n"
        "import transformers\n"
        "def refuse(*a, **k): raise SystemExit('weights were loaded')\n"
        "transformers.PreTrainedModel.from_pretrained = classmethod(refuse)\n"
        f"sys.exit(main({argv!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (mini_home / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tasks", "voxemo_mini_dirct"], "did you mean 'voxemo_mini_direct'"),
        (["--tasks", ""], "--tasks names nothing"),
        (["--metadata", '{"protocl": "x"}'], "did you mean 'protocol'"),
        (["--metadata", '{"prompts": ["direct_enn"]}'], "no prompt is called 'direct_enn'"),
        (["--metadata", '{"label_set": "five"}'], "label set of corpus 'mini'"),
        (["--model", "hf-audiolmm"], "did you mean 'hf-audiolm'"),
        (["--model_args", "dtype=fp32"], "needs pretrained="),
        (["--model_args", "pretrained=voxemo-tiny,dtype=int8"], "dtype='int8'"),
        (["--model_args", "pretrained=/not/there"], "/not/there"),
        (["--batch_size", "none"], "positive integer"),
        (["--gen_kwargs", "colour=1"], "--gen_kwargs: 'colour'"),
        (["--on", "h1000"], "did you mean 'h100'"),
        (["--efficiency", "2"], "--efficiency 2"),
        (["--parameters-b", "-1"], "--parameters-b -1"),
        (["--samples", '{"voxemo_mini_direct": [1]}'], "use --limit"),
    ],
)
def test_it_refuses_what_a_run_refuses(
    mini_home: Path, capsys: Any, flags: list[str], message: str
) -> None:
    default = {"--model": "hf-audiolm", "--model_args": "pretrained=voxemo-tiny"}
    default |= {"--tasks": "voxemo_mini_direct", flags[0]: flags[1]}
    assert main(["plan", *(x for pair in default.items() for x in pair)]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert size_on_disk(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"no header at all, just some text")
    with pytest.raises(ModelError, match=r"model\.safetensors: is no safetensors file"):
        size_on_disk(tmp_path)
    whole = size_on_disk(PACKAGE / "assets" / "voxemo-tiny")
    assert whole is not None
    assert whole.decoder + whole.encoder == 1_114_368
