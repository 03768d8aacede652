"""``vllm-audiolm`` through a real vLLM engine, on a CPU or a GPU.

Runs where vllm can be imported: on a CPU ``scripts/vllm_cpu_env.sh`` makes such an environment.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile

# Before vllm is imported: a small cache, the engine in this process, no look at the network.
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_HOST_IP", "127.0.0.1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

from voxemo_tasks.backends.vllm_engine import Ask, Engine, Setup, import_vllm
from voxemo_tasks.errors import ModelError

try:
    vllm = import_vllm()
except ModelError as error:
    pytest.skip(f"no vLLM: {error}", allow_module_level=True)

import torch

from voxemo_tasks import registry
from voxemo_tasks.audio import decode
from voxemo_tasks.backends.families import qwen2_audio_tokens
from voxemo_tasks.backends.hf import HfAudioLM
from voxemo_tasks.backends.requests import Job
from voxemo_tasks.backends.vllm import VllmAudioLM
from voxemo_tasks.records import AudioRef, Decoding, Json, Request
from voxemo_tasks.render import Frame, Menu, schema_of
from voxemo_tasks.rooms import PACKAGE
from voxemo_tasks.store import read_run

TINY = PACKAGE / "assets" / "voxemo-tiny"
SAMPLED = Decoding(max_new_tokens=6, temperature=1.5, seed=7)
SMALL: Json = {
    "dtype": "float32",
    "max_model_len": 1100,
    "max_num_seqs": 16,
    "enforce_eager": True,
}
FEW_BLOCKS = {"num_gpu_blocks_override": 256}
LABELS = ["angry", "happy", "neutral", "sad", "surprise", "ang"]

Fresh = Callable[..., VllmAudioLM]

alive: list[Any] = []
"""vLLM engines of one process share globals: the first to be freed would take the others along."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmAudioLM]:
    """One engine for most tests: starting one takes seconds."""
    folder = tmp_path_factory.mktemp("vllm")
    options = SMALL | {"engine_options": FEW_BLOCKS}
    options["canaries"] = "off"
    model = VllmAudioLM("voxemo-tiny", store=str(folder), logprobs=True, **options)
    yield model
    model.close()


@pytest.fixture
def fresh(loaded: VllmAudioLM, tmp_path: Path) -> Fresh:
    """The same engine with a run folder of its own."""

    def make(run: str = "run", batch: int | None = None, **attributes: Any) -> VllmAudioLM:
        model = copy.copy(loaded)
        model._store, model._place = None, (str(tmp_path / run), None)
        model._effective, model._successes, model._failures = {}, 0, 0
        model.batch = batch or model.batch
        for name, value in attributes.items():
            setattr(model, name, value)
        return model

    return make


@pytest.fixture(scope="module")
def voices() -> list[AudioRef]:
    """Synthetic speech of the built-in corpus, to which the tiny model says different things."""
    files = sorted((PACKAGE / "assets" / "mini").rglob("*.flac"))[::13]
    return [AudioRef(str(p), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]


def job_of(instance: Any, **changes: Any) -> Job:
    request, _ = Request.from_arguments(instance.args)
    return Job(changes.get("request", request), "key", changes.get("missing", [0]))


def errors_of(replies: list[str]) -> list[str | None]:
    return [getattr(reply, "error", None) for reply in replies]


def texts(replies: list[str]) -> list[str]:
    assert errors_of(replies) == [None] * len(replies)
    return [str(reply) for reply in replies]


# --- replies ------------------------------------------------------------------------------------


def test_greedy_replies_are_those_of_transformers(
    voices: list[AudioRef], instance: Any, fresh: Fresh, tmp_path: Path
) -> None:
    asked = [
        instance(voice, f"What emotion? Choose one of: {menu}.")
        for voice in voices
        for menu in ("angry, happy, neutral, sad", "sad, surprise, disgust")
    ]
    hf = HfAudioLM("voxemo-tiny", store=str(tmp_path / "hf"), device="cpu", dtype="fp32")
    ours = texts(fresh().generate_until(asked, True))
    assert ours == texts(hf.generate_until(asked, True))
    assert len(set(ours)) > 2


def test_replies_do_not_depend_on_the_batch(clip: Any, instance: Any, fresh: Fresh) -> None:
    asked = [instance(clip(f"c{i}", 0.3 + 0.7 * i)) for i in range(5)]
    together = texts(fresh("five").generate_until(asked, True))
    assert texts(fresh("one", batch=1).generate_until(asked, True)) == together


def test_sampled_replies_depend_on_their_seed_alone(
    voices: list[AudioRef], instance: Any, fresh: Fresh
) -> None:
    refs = voices[:3]

    def queue(*chosen: AudioRef, samples: int = 4) -> list[Any]:
        made = (instance(ref, decoding=SAMPLED, samples=samples) for ref in chosen)
        return [one for one in made for _ in range(samples)]

    together = texts(fresh("a").generate_until(queue(*refs), True))
    assert texts(fresh("b", batch=1).generate_until(queue(*refs), True)) == together
    assert texts(fresh("c").generate_until(queue(refs[1]), True)) == together[4:8]
    assert len(set(together)) > 3  # it does sample
    # A run that has two samples of each and is continued asks for the other two alone.
    texts(fresh("d").generate_until(queue(*refs, samples=2), True))
    continued = fresh("d")
    assert texts(continued.generate_until(queue(*refs), True)) == together
    assert (continued.store.reused, continued.store.written) == (6, 6)


def test_vllm_numbers_the_seeds_of_n_samples_upwards(
    loaded: VllmAudioLM, voices: list[AudioRef], instance: Any
) -> None:
    """Why a sample is a request of its own: n=K could not give samples 1 and 3 alone."""
    llm = loaded._engine._llm  # type: ignore[attr-defined]
    said = {"temperature": 1.5, "max_tokens": 6}
    job = job_of(instance(voices[1]))
    data = {"audio": [(decode(voices[1], 16_000), 16_000)]}
    prompt = {"prompt": loaded._prompt(job, ()), "multi_modal_data": data}
    (several,) = llm.generate(prompt, vllm.SamplingParams(n=4, seed=11, **said), use_tqdm=False)
    single = [vllm.SamplingParams(n=1, seed=11 + i, **said) for i in range(4)]
    ones = llm.generate([prompt] * 4, single, use_tqdm=False)
    assert [o.text for o in several.outputs] == [o.outputs[0].text for o in ones]
    assert len({o.text for o in several.outputs}) > 1


def test_all_prompts_and_samples_of_a_clip_share_its_prefix(
    clip: Any, instance: Any, fresh: Fresh
) -> None:
    model = fresh()
    before = model.engine_facts()
    asked = [instance(clip("shared", 12.0), f"Prompt {p}.", SAMPLED, samples=4) for p in range(5)]
    texts(model.generate_until([one for one in asked for _ in range(4)], True))
    after = model.engine_facts()
    prompt, cached = (
        after[name] - before[name] for name in ("prompt_tokens", "prompt_tokens_cached")
    )
    # 20 prompts of at least 300 audio tokens, of which all but the first find whole blocks.
    block = after["kv_block_tokens"]
    assert prompt > 20 * 300
    assert cached >= 19 * (300 // block) * block


def test_greedy_samples_are_made_once_and_copied(clip: Any, instance: Any, fresh: Fresh) -> None:
    one = instance(clip("once", 0.5), samples=3)
    model = fresh()
    before = model.engine_facts()["prompt_tokens"]
    replies = texts(model.generate_until([one] * 3, True))
    assert len(set(replies)) == 1
    assert model.store.written == 3
    assert model.engine_facts()["prompt_tokens"] - before < 200


def test_the_token_limit_is_a_length_finish_and_stops_are_cut(
    clip: Any, instance: Any, fresh: Fresh
) -> None:
    model, ref = fresh(), clip("a", 0.5)
    (whole,) = model.generate_until([instance(ref)], True)
    assert whole.finish_reason == "stop"
    stored = read_run(Path(whole.store)).reply(whole.key)
    tokens = model._tokenizer(str(whole), add_special_tokens=False).input_ids
    assert stored is not None
    assert stored.n_tokens == len(tokens)  # the end token is none of the reply's
    (cut,) = model.generate_until([instance(ref, decoding=Decoding(max_new_tokens=1))], True)
    assert cut.finish_reason == "length"
    stop = Decoding(max_new_tokens=8, stop=(str(whole)[1:],))
    (stopped,) = model.generate_until([instance(ref, decoding=stop)], True)
    assert (str(stopped), stopped.finish_reason) == (str(whole)[0], "stop")


# --- what goes wrong ----------------------------------------------------------------------------


def test_audio_that_does_not_arrive_stops_the_run(
    clip: Any, instance: Any, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "_prompt", lambda self, ask: {"prompt": ask.prompt})
    with pytest.raises(ModelError, match=r"audio did not reach.* 1 audio tokens where .* make 25"):
        fresh().generate_until([instance(clip("a", 1.0))], True)


def test_the_guard_agrees_with_vllm(loaded: VllmAudioLM, instance: Any, clip: Any) -> None:
    job = job_of(instance(clip("a")))
    lengths = (1120, 1121, 1599, 1600, 16_000, 123_457, 479_999, 480_000, 500_000)
    said = {"max_tokens": 1, "temperature": 0.0}
    text = loaded._prompt(job, ())
    asks = [Ask(text, (np.zeros(n, np.float32),), (f"zeros {n}",), said) for n in lengths]
    found = [answer.audio_tokens for answer in loaded._engine.answer(asks)]
    assert found == [qwen2_audio_tokens(n, 480_000) for n in lengths]


def test_clips_beyond_the_window_and_below_the_minimum(
    clip: Any, instance: Any, fresh: Fresh, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [instance(clip(n, s)) for n, s in (("long", 31.0), ("short", 0.03), ("b", 0.08))]
    replies = fresh().generate_until(asked, True)
    stored = [read_run(Path(r.store)).reply(r.key) for r in replies]
    assert [r and r.seconds_heard for r in stored] == [30.0, None, 0.08]
    assert "longer than the 30 s" in caplog.text
    assert "0.030 s is shorter than the 0.070 s" in str(errors_of(replies)[1])


def write(path: Path, samples: np.ndarray, rate: int) -> AudioRef:
    soundfile.write(path, samples, rate)
    return AudioRef(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


def test_clips_of_any_shape_are_heard_as_16_khz_mono(
    voices: list[AudioRef], instance: Any, fresh: Fresh, tmp_path: Path
) -> None:
    """Eight channels, 384 kHz and no samples at all, among clips that are as they should be."""
    sound, rate = soundfile.read(voices[1].path)
    eight = write(tmp_path / "eight.wav", np.tile(sound[:, None], (1, 8)), rate)
    fast = write(tmp_path / "fast.wav", np.repeat(sound, 384_000 // rate), 384_000)
    empty = write(tmp_path / "empty.wav", sound[:0], rate)
    gone = AudioRef(str(tmp_path / "gone.wav"), "0" * 64)
    asked = [instance(ref) for ref in (voices[1], eight, fast, empty, gone, voices[2])]
    replies = fresh().generate_until(asked, True)
    errors = errors_of(replies)
    assert [error is None for error in errors] == [True, True, True, False, False, True]
    assert "empty.wav" in str(errors[3])
    assert "gone.wav" in str(errors[4])
    assert replies[1] == replies[0]
    heard = [read_run(Path(r.store)).reply(r.key).seconds_heard for r in replies]  # type: ignore[union-attr]
    assert heard[1] == heard[0]
    assert heard[2] == pytest.approx(heard[0], abs=1e-3)
    assert heard[3:5] == [None, None]


def test_a_clip_that_the_processor_rejects_costs_one_row(
    clip: Any, instance: Any, fresh: Fresh
) -> None:
    """Nobody looked at the length before: vLLM's own processing of the clip fails."""
    refs = [clip(f"c{i}", 0.4) for i in range(3)]
    good = texts(fresh("good").generate_until([instance(ref) for ref in refs], True))
    careless = fresh("bad")
    careless._card = careless._card.model_copy(update={"min_audio_s": 0.0})
    asked = [instance(ref) for ref in (refs[0], clip("nothing", 0.005), *refs[1:])]
    replies = careless.generate_until(asked, True)
    assert [error is None for error in errors_of(replies)] == [True, False, True, True]
    assert [str(reply) for reply in (replies[0], *replies[2:])] == good


def test_one_request_that_vllm_refuses_costs_one_row(
    clip: Any, instance: Any, fresh: Fresh
) -> None:
    refs = [clip(f"c{i}", 0.4) for i in range(5)]
    good = texts(fresh("good").generate_until([instance(ref) for ref in refs], True))
    asked = [instance(ref) for ref in refs]
    asked[2] = instance(refs[2], "Listen to the voice. " * 400)  # over max_model_len
    replies = fresh("bad").generate_until(asked, True)
    assert [error is None for error in errors_of(replies)] == [True, True, False, True, True]
    assert "1100" in str(errors_of(replies)[2])
    assert [str(r) for i, r in enumerate(replies) if i != 2] == good[:2] + good[3:]


def test_an_engine_that_fails_midway_leaves_nothing_behind(
    clip: Any, instance: Any, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [instance(clip(f"c{i}", 0.4 + 0.2 * i), decoding=SAMPLED) for i in range(4)]
    undisturbed = texts(fresh("good").generate_until(asked, True))
    model = fresh("bad")
    engine = model._engine._llm.llm_engine  # type: ignore[attr-defined]
    real, steps = engine.step, []

    def failing() -> Any:
        steps.append(None)
        if len(steps) == 2:
            raise RuntimeError("out of memory, say")
        return real()

    monkeypatch.setattr(engine, "step", failing)
    assert texts(model.generate_until(asked, True)) == undisturbed
    assert len(steps) > 2
    assert not engine.has_unfinished_requests()


# --- settings -----------------------------------------------------------------------------------


def test_as_lm_eval_makes_it_and_without_the_checkpoints_generation_config(
    clip: Any, instance: Any, fresh: Fresh, tmp_path: Path
) -> None:
    from lm_eval.api.registry import get_model

    from voxemo_tasks.tasks.register import register_models

    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(TINY, checkpoint)
    path = checkpoint / "generation_config.json"
    settings = json.loads(path.read_text())
    settings |= {"do_sample": True, "temperature": 9.0, "top_k": 3, "repetition_penalty": 5.0}
    settings |= {"max_new_tokens": 1, "no_repeat_ngram_size": 1}
    path.write_text(json.dumps(settings))
    asked = [instance(clip(f"c{i}", 0.6)) for i in range(4)]
    plain = texts(fresh().generate_until(asked, True))
    register_models()
    said = ",".join(f"{name}={value}" for name, value in SMALL.items())
    nasty = get_model("vllm-audiolm").create_from_arg_string(
        f"pretrained={checkpoint},store={tmp_path / 'nasty'},structured=off,{said}",
        {"batch_size": 1, "max_batch_size": None, "device": None},
    )
    alive.append(nasty)
    assert texts(nasty.generate_until(asked, True)) == plain
    facts = nasty.engine_facts()
    assert facts["batch_size"] == 256  # lm-eval's own default of 1 is nobody's wish
    (effective,) = facts["effective_decoding"]
    assert effective["repetition_penalty"] == 1.0
    assert (effective["max_tokens"], effective["temperature"]) == (8, 0.0)
    assert facts["end_token_ids"] == [0, 2]
    identity = nasty.fingerprint()
    assert (identity["model"], identity["structured"]) == ("checkpoint", "off")
    assert identity["revision"] != fresh().fingerprint()["revision"]
    assert not nasty.synthetic


def test_the_engine_and_what_took_effect_are_recorded(
    clip: Any, instance: Any, fresh: Fresh
) -> None:
    model = fresh()
    texts(model.generate_until([instance(clip("a"), decoding=SAMPLED)], True))
    assert model.fingerprint() == {
        "model": "voxemo-tiny",
        "revision": model.fingerprint()["revision"],
        "adapter": None,
        "engine": "vllm",
        "engine_version": vllm.__version__,
        "dtype": "float32",
    }
    facts = model.engine_facts()
    assert (facts["max_model_len"], facts["max_num_seqs"]) == (1100, 16)
    assert facts["prefix_caching"] is True
    assert facts["kv_cache_blocks"] > 0
    (effective,) = facts["effective_decoding"]
    assert (effective["temperature"], effective["top_p"], effective["top_k"]) == (1.5, 1.0, 0)
    assert json.loads(json.dumps(facts)) == facts
    assert model.synthetic
    assert model.clips_ahead == 64


# --- schemas and log-probabilities --------------------------------------------------------------


def held_job(clip: AudioRef, instance: Any, schema: Json, decoding: Decoding, n: int = 1) -> Job:
    request = replace(job_of(instance(clip, decoding=decoding)).request, schema=schema)
    job = job_of(instance(clip), request=request, missing=list(range(n)))
    job.audio.append(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
    return job


def test_a_schema_holds_the_reply_to_it(clip: Any, instance: Any, fresh: Fresh) -> None:
    schema = {
        "type": "object",
        "properties": {"emotion": {"enum": ["angry", "happy", "neutral"]}},
        "required": ["emotion"],
        "additionalProperties": False,
    }
    decoding = Decoding(max_new_tokens=96, temperature=1.0, seed=3)
    job = held_job(clip("a"), instance, schema, decoding, 3)
    plain = replace(job, request=replace(job.request, schema=None))
    (held,) = fresh().generate([job])
    assert len(held) == 3
    for reply in held:
        assert json.loads(reply.text)["emotion"] in ("angry", "happy", "neutral")
    for model, one in ((fresh(), plain), (fresh(_structured=False), job)):
        (free,) = model.generate([one])
        assert not any(reply.text.lstrip().startswith("{") for reply in free)


def schemas() -> list[tuple[str, int, Json]]:
    """Each registered prompt that asks for JSON: id, token limit and schema."""
    menu = Menu.plain(["angry", "happy", "neutral", "sad"])
    frame = Frame(dimensions=("valence", "arousal"), scale=(1.0, 5.0))
    prompts = [one for one in registry.prompts() if one.json_only]
    made = ((p.id, p.decoding.max_new_tokens, schema_of(p, menu, frame)) for p in prompts)
    return [(name, limit, schema) for name, limit, schema in made if schema is not None]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(("name", "limit", "schema"), schemas(), ids=lambda x: str(x)[:20])
def test_json_of_every_registered_prompt_is_valid_or_cut(
    name: str, limit: int, schema: Json, temperature: float, clip: Any, instance: Any, fresh: Fresh
) -> None:
    """Free white space was all that this model wrote when greedy, up to each prompt's limit."""
    model = fresh()
    setting = model.engine_facts()["structured_outputs"]
    assert setting == {"backend": "xgrammar", "disable_any_whitespace": True}
    decoding = Decoding(max_new_tokens=limit, temperature=temperature, seed=3)
    (replies,) = model.generate([held_job(clip("a"), instance, schema, decoding, 4)])
    whole = [reply for reply in replies if reply.finish_reason == "stop"]
    for reply in whole:
        jsonschema.validate(json.loads(reply.text), schema)
        assert not set(reply.text) & set("\n\t")
    for reply in replies:  # a number may have as many digits as the model likes to write
        if reply not in whole:
            assert (reply.finish_reason, reply.n_tokens) == ("length", limit)
            with pytest.raises(json.JSONDecodeError):
                json.loads(reply.text)
    numbers_without_end = "distribution" in name and temperature == 0.0
    assert bool(whole) is not numbers_without_end


def test_json_that_is_cut_says_so(clip: Any, instance: Any, fresh: Fresh) -> None:
    _, _, schema = schemas()[0]
    (replies,) = fresh().generate([held_job(clip("a"), instance, schema, Decoding(5))])
    assert (replies[0].finish_reason, replies[0].n_tokens) == ("length", 5)
    assert replies[0].text.startswith("{")


def teacher_forced(job: Job, text: str, end: bool) -> float:
    """Log-probability of a text by a plain forward pass of transformers."""
    from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

    from voxemo_tasks.backends.families import chat_messages

    processor = AutoProcessor.from_pretrained(TINY)
    model = Qwen2AudioForConditionalGeneration.from_pretrained(TINY, dtype=torch.float32).eval()
    prompt = processor.apply_chat_template(
        chat_messages(job.request.messages), tokenize=False, add_generation_prompt=True
    )
    clip = decode(job.request.audio[0], 16_000)
    start, whole = (
        processor(text=[t], audio=[clip], sampling_rate=16_000, return_tensors="pt")
        for t in (prompt, prompt + text + ("<|im_end|>" if end else ""))
    )
    with torch.inference_mode():
        logits = model(**whole).logits[0].log_softmax(-1)
    ids = whole["input_ids"][0]
    places = range(start["input_ids"].shape[1], len(ids))
    return float(sum(logits[i - 1, ids[i]] for i in places))


def test_the_logprob_of_a_reply_is_the_models(clip: Any, instance: Any, fresh: Fresh) -> None:
    """At temperature 1.5 too: it is the model's log-probability, not the sampler's."""
    for decoding in (Decoding(max_new_tokens=8), Decoding(8, temperature=1.5, seed=2)):
        asked = instance(clip("a", 1.2), decoding=decoding)
        (reply,) = fresh().generate_until([asked], True)
        assert reply.finish_reason == "stop"
        stored = read_run(Path(reply.store)).reply(reply.key)
        assert stored is not None
        assert stored.logprob == pytest.approx(
            teacher_forced(job_of(asked), str(reply), end=True), abs=2e-3
        )
    (silent,) = fresh("off", _logprobs=False).generate_until([asked], True)
    stored = read_run(Path(silent.store)).reply(silent.key)
    assert stored is not None
    assert stored.logprob is None


def test_scores_are_those_of_a_forward_pass_and_of_prompt_logprobs(
    clip: Any, instance: Any, fresh: Fresh
) -> None:
    model = fresh()
    jobs = [job_of(instance(clip(f"c{i}", 0.5 + i))) for i in range(2)]
    scores = model.score(jobs, [LABELS, ["", *LABELS[:2]]], ended=False)
    for job, found in zip(jobs, (scores[0], scores[1][1:]), strict=True):
        for text, value in zip(LABELS, found, strict=False):
            assert value == pytest.approx(teacher_forced(job, text, end=False), abs=2e-3)
    assert scores[1][0] == 0.0
    assert len(scores[0]) == len(LABELS)
    # Ending there costs something, and never more than the end token that ends it.
    whole = model.score(jobs[:1], [LABELS])[0]
    for text, value, begun in zip(LABELS, whole, scores[0], strict=True):
        assert begun > value
        assert value >= teacher_forced(jobs[0], text, end=True) - 2e-3
    # The other road of vLLM itself.
    start = tuple(model._tokenizer(model._prompt(jobs[0], ())).input_ids)
    silence = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    clips = (decode(jobs[0].request.audio[0], 16_000),)
    ends = [model._tokens(text) for text in LABELS]
    asks = [Ask(start + end, clips, ("other road",), silence) for end in ends]
    for value, end, answer in zip(scores[0], ends, model._engine.answer(asks), strict=True):
        assert answer.prompt_logprobs is not None
        assert value == pytest.approx(sum(answer.prompt_logprobs[-len(end) :]), abs=2e-3)


def test_scores_refuse_what_does_not_fit(clip: Any, instance: Any, fresh: Fresh) -> None:
    with pytest.raises(ValueError, match="1 jobs and continuations for 2"):
        fresh().score([job_of(instance(clip("a")))], [["a"], ["b"]])
    assert fresh().score([], []) == []


# --- a family that is asked in tokens -----------------------------------------------------------


@pytest.mark.slow
def test_voxtral_in_mistrals_format_is_that_of_transformers(
    voices: list[AudioRef], clip: Any, instance: Any, tmp_path: Path
) -> None:
    """Clips below and beyond its window of 30 s: replies, likelihoods, JSON."""
    pytest.importorskip("mistral_common", reason="Voxtral is tokenized with mistral-common")
    import checkpoints

    folder = checkpoints.build("voxtral", tmp_path / "voxtral", mistral=True)
    options = SMALL | {"max_model_len": 2048, "canaries": "off"}
    ours = VllmAudioLM(
        str(folder), store=str(tmp_path / "vllm"), engine_options=FEW_BLOCKS, **options
    )
    alive.append(ours)
    hf = HfAudioLM(
        str(folder), store=str(tmp_path / "hf"), device="cpu", dtype="fp32", canaries="off"
    )
    refs = [*voices[:3], clip("long", 35.0)]
    asked = [instance(ref, f"What emotion? {n}") for n in range(2) for ref in refs]
    replies = [texts(model.generate_until(asked, True)) for model in (ours, hf)]
    # These are random bytes: at the end vLLM keeps back those that are no character yet.
    assert len({text.rstrip("\ufffd") for text in replies[0]}) > 2
    for one, other in zip(*replies, strict=True):
        assert one.rstrip("\ufffd") == other.rstrip("\ufffd")
    jobs = [job_of(one) for one in asked[:4]]
    for job in jobs:
        job.audio.append(decode(job.request.audio[0], 16_000))
    found = ours.score(jobs, [LABELS] * 4)
    assert np.abs(np.array(found) - hf.score(jobs, [LABELS] * 4)).max() < 2e-3
    _, limit, schema = next(one for one in schemas() if "dimension" in one[0])
    (held,) = ours.generate([held_job(clip("a"), instance, schema, Decoding(limit))])
    jsonschema.validate(json.loads(held[0].text), schema)


OMNI_TORCHVISION = (
    "this vLLM's processors of Qwen-Omni import torchvision, which cannot be imported"
)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen25_omni", "qwen3_omni"])
def test_a_whole_omni_checkpoint_is_its_thinker_in_transformers(
    family: str,
    clip: Any,
    instance: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """vLLM looks at its models in a process of its own, so torchvision must import unaided.

    The engine has one too: a mixture of experts cannot follow another model in the same process.
    """
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    found = subprocess.run([sys.executable, "-c", "import torchvision"], check=False)
    if found.returncode:
        pytest.skip(OMNI_TORCHVISION)
    import checkpoints

    folder = checkpoints.build(family, tmp_path / family, whole=True)
    options = SMALL | {"max_model_len": 2048, "canaries": "off"}
    ours = VllmAudioLM(
        str(folder), store=str(tmp_path / "vllm"), engine_options=FEW_BLOCKS, **options
    )
    hf = HfAudioLM(
        str(folder), store=str(tmp_path / "hf"), device="cpu", dtype="fp32", canaries="off"
    )
    # Whole hops of 10 ms: vLLM fills a clip for Qwen3-Omni up to one, transformers mirrors its end.
    refs = [clip(f"c{seconds}", seconds) for seconds in (1.0, 2.3, 5.0, 35.0)]
    asked = [instance(ref, f"What emotion? {n}") for n in range(2) for ref in refs]
    replies = [texts(model.generate_until(asked, True)) for model in (ours, hf)]
    assert len({text.rstrip("\ufffd") for text in replies[0]}) > 2
    for one, other in zip(*replies, strict=True):
        assert one.rstrip("\ufffd") == other.rstrip("\ufffd")
    jobs = [job_of(one) for one in asked[:4]]
    for job in jobs:
        job.audio.append(decode(job.request.audio[0], 16_000))
    found_scores = ours.score(jobs, [LABELS] * 4)
    ours.close()
    expected = [hf.score([job], [LABELS])[0] for job in jobs]
    assert np.abs(np.array(found_scores) - np.array(expected)).max() < 2e-3


# --- adapters, replicas -------------------------------------------------------------------------


def rename(file: Path, old: str, new: str) -> None:
    """Transformers 5.19 names the layers of Audio Flamingo 3 as neither the hub nor vLLM does."""
    from safetensors.torch import load_file, save_file

    weights = {name.replace(old, new): one for name, one in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})


def test_an_adapter_acts_on_every_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the adapter vLLM gives what it gives for weights with the adapter merged in."""
    peft = pytest.importorskip("peft", reason="the adapter is written with peft")
    import checkpoints
    from transformers import AudioFlamingo3ForConditionalGeneration, AutoProcessor

    # vLLM's attention on a CPU knows heads of 32 and more.
    sizes = checkpoints.WHISPER_QWEN2["tiny"]
    wide = dataclasses.replace(sizes, text=sizes.text | {"hidden_size": 128})
    monkeypatch.setitem(checkpoints.WHISPER_QWEN2, "tiny", wide)
    base = checkpoints.build("audio_flamingo3", tmp_path / "base")
    plain = AudioFlamingo3ForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(0)
    target = r".*language_model.*\.(q_proj|v_proj|down_proj)"
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=target, init_lora_weights=False)
    adapted = peft.get_peft_model(plain, config)
    adapted.save_pretrained(tmp_path / "lora")
    merged = shutil.copytree(base, tmp_path / "merged")
    adapted.merge_and_unload().save_pretrained(merged)
    for folder in (base, merged):
        rename(folder / "model.safetensors", ".model.model.", ".model.")
    lora = shutil.copytree(tmp_path / "lora", tmp_path / "lora_of_vllm")
    rename(lora / "adapter_model.safetensors", "model.language_model.", "language_model.model.")
    processor = AutoProcessor.from_pretrained(base)
    tokenizer = processor.tokenizer
    text = "<|im_start|>user\n<sound>What emotion?<|im_end|>\n<|im_start|>assistant\n"
    clips = [np.random.default_rng(i).normal(0, 0.1, 16_000).astype(np.float32) for i in range(3)]
    ids = list(range(40, 60))
    said = {"max_tokens": 1, "temperature": 0.0, "logprob_token_ids": ids}
    asks = [Ask(text, (clip,), (f"af3 {i}",), said) for i, clip in enumerate(clips)]
    options = SMALL | FEW_BLOCKS | {"limit_mm_per_prompt": {"audio": 1}}

    def answers(folder: Path, lora: Path | None) -> np.ndarray:
        more = {} if lora is None else {"enable_lora": True, "max_lora_rank": 8}
        sound = tokenizer.convert_tokens_to_ids("<sound>")
        setup = Setup(str(folder), options | more, 16_000, sound, lora and str(lora))
        engine = Engine(setup)
        alive.append(engine)
        found = engine.answer(asks)
        assert all(answer.audio_tokens == 25 for answer in found)
        return np.array([[(answer.first or {})[token] for token in ids] for answer in found])

    without, with_it = answers(base, None), answers(base, lora)
    expected = answers(merged, None)
    assert np.abs(with_it - expected).max() < 1e-3
    assert np.abs(without - expected).max() > 0.2
    with pytest.raises(ModelError, match="loaded the adapter and it changes nothing") as refused:
        answers(base, tmp_path / "lora")
    alive.append(refused)  # its frames hold the engine


OF_THE_HUB = """
import json, sys
from voxemo_tasks.backends.vllm import VllmAudioLM
model = VllmAudioLM(sys.argv[1], store=sys.argv[2], canaries="off", **json.loads(sys.argv[3]))
llm = model._engine._llm.llm_engine.vllm_config.model_config
print("FOUND", json.dumps([model.fingerprint(), llm.revision, llm.tokenizer_revision]))
model.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("pinned", [True, False])
def test_the_commit_that_was_loaded_is_the_runs(pinned: bool, tmp_path: Path) -> None:
    """A hub id from the hub's cache: the card's pin, or the default branch with a warning."""
    name = "Qwen/Qwen2-Audio-7B-Instruct" if pinned else "someone/tiny"
    commit = registry.model_named(name)[0].pretrained[name] if pinned else "ab" * 20
    place = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(TINY, place / "snapshots" / str(commit))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("cd" * 20 if pinned else str(commit))
    given = [name, str(tmp_path / "run"), json.dumps(SMALL | {"engine_options": FEW_BLOCKS})]
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OF_THE_HUB, *given],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("FOUND")] or [done.stderr]
    identity, of_weights, of_tokenizer = json.loads(line.removeprefix("FOUND"))
    assert (identity["model"], identity["revision"]) == (name, commit)
    assert (of_weights, of_tokenizer) == (commit, commit)
    assert ("no revision was said" in done.stderr) is not pinned


SPREAD = """
import json, pickle, sys
if __name__ == "__main__":  # the workers import this file
    from voxemo_tasks.backends.vllm import VllmAudioLM
    given, jobs = pickle.load(open(sys.argv[1], "rb"))
    model = VllmAudioLM("voxemo-tiny", tensor_parallel_size=2, **given)
    made = [[(r.text, r.logprob) for r in several] for several in model.generate(jobs)]
    print("FOUND", json.dumps([made, model.engine_facts()["tensor_parallel_size"]]))
    model.close()
"""


@pytest.mark.slow
def test_an_engine_over_two_devices_answers_as_one(
    voices: list[AudioRef], instance: Any, fresh: Fresh, tmp_path: Path
) -> None:
    """Two GPUs, or two processes on the cores of a CPU."""
    cores = sorted(os.sched_getaffinity(0))
    if torch.cuda.is_available():
        if torch.cuda.device_count() < 2:
            pytest.skip("tensor parallelism over 2 needs two GPUs; this machine has one")
    elif len(cores) < 2:
        pytest.skip("tensor parallelism over 2 needs two cores; this process may use one")
    jobs = [
        job_of(instance(voice, decoding=decoding), missing=[0, 1])
        for voice in voices[:4]
        for decoding in (SAMPLED, Decoding(6))
    ]
    for job in jobs:
        job.audio.append(decode(job.request.audio[0], 16_000))
    alone = fresh().generate(jobs)
    given = SMALL | {"canaries": "off", "logprobs": True, "store": str(tmp_path / "run")}
    (tmp_path / "jobs").write_bytes(pickle.dumps((given, jobs)))
    (tmp_path / "spread.py").write_text(SPREAD)
    # On one NUMA node vLLM does not divide the cores by itself.
    environment = {"VLLM_CPU_OMP_THREADS_BIND": f"{cores[0]}|{cores[-1]}"} | os.environ
    done = subprocess.run(
        [sys.executable, str(tmp_path / "spread.py"), str(tmp_path / "jobs")],
        env=environment | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("FOUND")] or [done.stderr]
    made, size = json.loads(line.removeprefix("FOUND"))
    assert size == 2
    for several, expected in zip(made, alone, strict=True):
        for (text, logprob), one in zip(several, expected, strict=True):
            assert text == one.text
            assert logprob == pytest.approx(one.logprob, abs=2e-3)


@pytest.mark.slow
def test_two_replicas_answer_as_one(
    voices: list[AudioRef], instance: Any, fresh: Fresh, tmp_path: Path
) -> None:
    refs = voices[:4]
    asked = [instance(ref, decoding=SAMPLED, samples=2) for ref in refs]
    asked[1] = instance(refs[1], "Listen to the voice. " * 400)
    queue = [one for one in asked for _ in range(2)]
    alone = fresh().generate_until(queue, True)
    two = VllmAudioLM(
        "voxemo-tiny", store=str(tmp_path / "two"), data_parallel_size=2, canaries="off", **SMALL
    )
    try:
        assert two.fingerprint() == fresh().fingerprint()
        assert two.batch == 512
        replies = two.generate_until(queue, True)
        assert [str(r) for r in replies] == [str(r) for r in alone]
        assert [e is None for e in errors_of(replies)] == [True] * 2 + [False] * 2 + [True] * 4
        two._engine._processes[0].kill()  # type: ignore[attr-defined]
        job = job_of(queue[0])
        job.audio.append(decode(refs[0], 16_000))
        with pytest.raises(ModelError, match="ended without a word"):
            two.generate([job])
    finally:
        two.close()
