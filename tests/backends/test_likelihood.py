"""P(label | audio, prompt): the sum over a label's forms, and what lies outside the menu."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxemo_tasks import registry
from voxemo_tasks.backends.likelihood import as_reply, flat
from voxemo_tasks.errors import ModelError
from voxemo_tasks.records import Request
from voxemo_tasks.render import Menu
from voxemo_tasks.store import request_key
from voxemo_tasks.verbalize import verbalize


def test_forms_of_a_label_add_up() -> None:
    candidates = {"sad": ("sad", "Sad"), "calm": ("calm",)}
    reply = as_reply(candidates, [math.log(0.1), math.log(0.2), math.log(0.3)])
    logs = json.loads(reply)["log_likelihood"]
    assert logs["sad"] == pytest.approx(math.log(0.3), abs=1e-6)
    spec, _ = registry.verbalizer("likelihood")
    verdict = verbalize(reply, ["sad", "calm"], spec)
    assert verdict.status == "multiple"  # a tie is not broken
    assert verdict.detail == {"outside": pytest.approx(0.4, abs=1e-5)}


@given(st.lists(st.floats(-40, 0), min_size=4, max_size=4))
def test_shares_are_the_softmax_over_the_menu(scores: list[float]) -> None:
    candidates = {"sad": ("sad", "Sad"), "calm": ("calm", "Calm")}
    spec, _ = registry.verbalizer("likelihood")
    shares = verbalize(as_reply(candidates, scores), ["sad", "calm"], spec).distribution
    assert shares is not None
    raw = [math.exp(scores[0]) + math.exp(scores[1]), math.exp(scores[2]) + math.exp(scores[3])]
    assert shares["sad"] == pytest.approx(raw[0] / sum(raw), abs=1e-5)


def test_a_label_that_cannot_be_said_has_no_likelihood() -> None:
    assert as_reply({"sad": ("sad",)}, [-math.inf]) == '{"log_likelihood": {"sad": null}}'


@pytest.mark.parametrize("text", ["angry", "[]", '{"log_likelihood": 3}', '{"log_likelihood": {}}'])
def test_what_no_backend_wrote_is_unparsed(text: str) -> None:
    spec, _ = registry.verbalizer("likelihood")
    assert verbalize(text, ["sad", "calm"], spec).status == "unparsed"


def test_lettered_labels_have_letters_among_their_forms() -> None:
    menu = Menu(("angry", "sad"), ("angry", "sad"), (1, 0), "lettered")
    candidates = menu.candidates()
    assert set(candidates) == {"B. angry", "A. sad"}
    assert {"A", "A.", "sad", "Sad.", "A. sad"} <= set(candidates["A. sad"])
    assert len(set(flat(candidates))) == len(list(flat(candidates)))


def test_the_key_knows_the_candidates(clip: Any, instance: Any) -> None:
    request, _ = Request.from_arguments(instance(clip("c", 0.5)).args)
    asked = Request(
        request.prompt_id,
        request.prompt_digest,
        request.messages,
        request.audio,
        request.decoding,
        {"sad": ("sad",)},
    )
    again, _ = Request.from_arguments(asked.to_arguments({}))
    assert again == asked
    assert request_key({}, asked) != request_key({}, request)


def test_a_backend_without_log_probabilities_says_so(
    clip: Any, instance: Any, tmp_path: Path
) -> None:
    from voxemo_tasks.backends.scripted import ScriptedAudioLM

    script = tmp_path / "s.jsonl"
    script.write_text('{"reply": "sad"}\n')
    one = instance(clip("c", 0.5))
    one.arguments[2]["candidates"] = {"sad": ["sad"]}
    model = ScriptedAudioLM(str(script), store=str(tmp_path / "run"))
    with pytest.raises(ModelError, match="no log-probabilities"):
        model.loglikelihood([one], True)


def test_probabilities_of_all_replies_of_one_token_add_up(
    clip: Any, instance: Any, tmp_path: Path
) -> None:
    """Every text of one token and an end: with those of no token, the whole mass of such replies."""
    pytest.importorskip("torch", reason="hf-audiolm needs the extra 'hf'")
    import torch
    from test_sharing import jobs_of

    from voxemo_tasks.backends.hf import HfAudioLM

    model = HfAudioLM("voxemo-tiny", store=str(tmp_path / "run"), device="cpu", batch_size=64)
    jobs = jobs_of([instance(clip("c", 0.5))])
    prefix = model._sharing
    assert prefix is not None
    vocabulary = int(model._model.get_output_embeddings().weight.shape[0])
    ids = [[token] for token in range(vocabulary) if token not in model._end_ids]
    with torch.inference_mode():
        scores = prefix.score(jobs, [ids], 64)
        first = model._next_logits(jobs).log_softmax(-1)[0]
    assert scores is not None
    at_once = sum(float(first[token].exp()) for token in model._end_ids)
    total = sum(map(math.exp, scores[0]))
    assert 0 < total <= 1 - at_once + 1e-5
    # One token's own score, by hand from two plain passes.
    best = max(range(len(ids)), key=lambda i: scores[0][i])
    text = model._processor.tokenizer.decode(ids[best])
    assert model.score(jobs, [[text]])[0][0] == pytest.approx(scores[0][best], abs=1e-4)
