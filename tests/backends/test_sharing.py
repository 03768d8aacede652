"""One encoding for all prompts and samples of a clip: the same replies, less work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("torch", reason="hf-audiolm needs the extra 'hf'")

import torch
from checkpoints import build

from voxemo_tasks.audio import decode
from voxemo_tasks.backends.hf import HfAudioLM
from voxemo_tasks.backends.prefix import PrefixSharer, chunks
from voxemo_tasks.backends.requests import Job, parse_share
from voxemo_tasks.errors import ModelError, OptionError
from voxemo_tasks.records import Decoding, Request

PROMPTS = [
    "What emotion? Choose one of: angry, happy, neutral, sad.",
    "Name it.",
    "Which of these emotions does the speaker of this rather short clip express: sad or angry?",
]
GREEDY = Decoding(max_new_tokens=7)
SAMPLED = Decoding(max_new_tokens=7, temperature=1.5, seed=3)


@pytest.fixture(autouse=True)
def few_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture
def asked(clip: Any, instance: Any) -> Callable[..., list[Any]]:
    """Every prompt of three clips, as lm-eval queues them: prompt by prompt, copies for samples."""

    def make(decoding: Decoding, samples: int = 1, prompts: list[str] = PROMPTS) -> list[Any]:
        refs = [clip(f"c{i}", 0.4 + 1.3 * i) for i in range(3)]
        queue = []
        for prompt in prompts:
            for number, ref in enumerate(refs):
                one = instance(ref, prompt, decoding=decoding, samples=samples, doc_id=number)
                queue += [one] * samples
        return queue

    return make


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: Any) -> Path:
    """A model that says something else to every clip and prompt."""
    return build("qwen2_audio", tmp_path_factory.mktemp("random"), window_s=5)


@pytest.fixture
def answers(tmp_path: Path, random_weights: Path) -> Callable[..., tuple[list[str], Any]]:
    def ask(queue: list[Any], mode: str, batch: int = 9) -> tuple[list[str], Any]:
        return answered(random_weights, tmp_path, queue, mode, batch)

    return ask


def answered(
    pretrained: Path, tmp_path: Path, queue: list[Any], mode: str, batch: int
) -> tuple[list[str], Any]:
    model = HfAudioLM(
        str(pretrained),
        store=str(tmp_path / uuid4().hex),
        device="cpu",
        batch_size=batch,
        share_prefix=mode,
        canaries="off",
    )
    replies = model.generate_until(queue, True)
    assert [getattr(r, "error", None) for r in replies] == [None] * len(queue)
    return [str(r) for r in replies], model


def jobs_of(queue: list[Any]) -> list[Job]:
    jobs = []
    for number, one in enumerate(queue):
        request, _ = Request.from_arguments(one.args)
        job = Job(request, f"key{number}", [0])
        job.audio = [decode(ref, 16_000) for ref in request.audio]
        jobs.append(job)
    return jobs


@pytest.mark.parametrize("batch", [1, 4, 9, 64])
@pytest.mark.parametrize(
    ("decoding", "samples"),
    [(GREEDY, 1), (GREEDY, 2), (SAMPLED, 4)],
    ids=["1", "copied", "sampled"],
)
def test_shared_replies_are_the_plain_ones(
    asked: Any, answers: Any, decoding: Decoding, samples: int, batch: int
) -> None:
    queue = asked(decoding, samples)
    plain, _ = answers(queue, "off")
    shared, model = answers(queue, "on", batch)
    assert shared == plain
    assert len(set(plain)) > 1
    facts = model.engine_facts()["shared_prefix"]
    assert facts["used"]
    assert facts["off_because"] is None
    assert facts["largest_difference"] < 1e-4
    assert facts["work"]["encoded"] == 3


def test_one_prompt_with_samples_is_shared_and_one_greedy_reply_is_not(
    asked: Any, answers: Any
) -> None:
    _, several = answers(asked(SAMPLED, 4, PROMPTS[:1]), "auto")
    assert several.engine_facts()["shared_prefix"]["work"]["encoded"] == 3
    _, single = answers(asked(GREEDY, 1, PROMPTS[:1]), "auto")
    assert single.engine_facts()["shared_prefix"]["work"]["encoded"] == 0


def test_prompts_of_different_decoding_share_their_clip(
    clip: Any, instance: Any, answers: Any
) -> None:
    ref = clip("c", 1.0)
    long = Decoding(max_new_tokens=12)
    queue = [instance(ref, PROMPTS[0], decoding=GREEDY), instance(ref, PROMPTS[1], decoding=long)]
    plain, _ = answers(queue, "off")
    shared, model = answers(queue, "on")
    assert shared == plain
    assert model.engine_facts()["shared_prefix"]["work"]["encoded"] == 1


def test_stop_strings_end_shared_replies(asked: Any, answers: Any) -> None:
    whole, _ = answers(asked(GREEDY), "off")
    stop = next(r for r in whole if len(r) > 2)[1:3]
    queue = asked(Decoding(max_new_tokens=7, stop=(stop,)))
    plain, _ = answers(queue, "off")
    shared, _ = answers(queue, "on")
    assert shared == plain
    assert not any(stop in reply for reply in shared)


def test_a_model_that_gives_other_logits_falls_back(
    asked: Any, answers: Any, monkeypatch: Any
) -> None:
    queue = asked(GREEDY)
    plain, _ = answers(queue, "off")
    monkeypatch.setattr(PrefixSharer, "difference", lambda *_: 0.3)
    replies, model = answers(queue, "auto")
    assert replies == plain
    assert "differ by 0.3" in model.engine_facts()["shared_prefix"]["off_because"]
    with pytest.raises(ModelError, match="share_prefix=on"):
        answers(queue, "on")


def test_wrong_positions_are_noticed(asked: Any, answers: Any, monkeypatch: Any) -> None:
    """The check on the first batch can fail: count positions from the padding."""
    monkeypatch.setattr(
        "voxemo_tasks.backends.prefix._positions",
        lambda mask: torch.arange(mask.shape[1]).expand_as(mask) + 40,
    )
    _, model = answers(asked(GREEDY), "auto")
    assert "differ by" in model.engine_facts()["shared_prefix"]["off_because"]


def test_prompts_that_differ_before_the_audio_are_asked_plainly(
    clip: Any, instance: Any, answers: Any
) -> None:
    ref = clip("c", 1.0)
    queue = [instance(ref, text) for text in PROMPTS[:2]]
    for one in queue:  # the text before the audio
        one.arguments[2]["messages"][0]["content"].reverse()
    plain, _ = answers(queue, "off")
    replies, model = answers(queue, "auto")
    assert replies == plain
    reasons = model.engine_facts()["shared_prefix"]["not_shared"]
    assert list(reasons.values()) == [1]


def test_likelihoods_are_the_same_on_both_ways(asked: Any, answers: Any) -> None:
    queue = asked(GREEDY)
    words = [["angry", "sad", "happy and calm"], ["neutral"]]
    scores = {}
    for mode in ("on", "off"):
        _, model = answers(queue, mode)
        scores[mode] = model.score(jobs_of(queue[:2]), words)
    assert [len(s) for s in scores["on"]] == [3, 1]
    for a, b in zip(scores["on"], scores["off"], strict=True):
        assert a == pytest.approx(b, abs=1e-4)
        assert all(x < 0 for x in a)


def test_no_option_but_three() -> None:
    with pytest.raises(OptionError, match="share_prefix='maybe'"):
        parse_share("maybe")


def test_chunks_hold_the_limit() -> None:
    assert list(chunks([1, 1, 1], 2)) == [[0, 1], [2]]
    assert list(chunks([], 2)) == []
