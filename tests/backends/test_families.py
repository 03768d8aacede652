"""Every family that has a card, through ``hf-audiolm``: toy checkpoints of the real classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="hf-audiolm needs the extra 'hf'")

import checkpoints
import torch
from lm_eval.api.instance import Instance

from voxemo_tasks import registry
from voxemo_tasks.backends import adapters, families, loading
from voxemo_tasks.backends.hf import HfAudioLM
from voxemo_tasks.backends.requests import Job
from voxemo_tasks.errors import ModelError, OptionError, UnknownNameError
from voxemo_tasks.records import AudioRef, Decoding, Request
from voxemo_tasks.specs import ChatFormat, ModelCard
from voxemo_tasks.store import read_run

FAMILIES = list(checkpoints.BUILDERS)
WHOLE = ["qwen25_omni", "qwen3_omni"]
RATE = 16_000
TEXT = "What emotion? Choose one of: angry, happy, neutral, sad."


@pytest.fixture(autouse=True)
def few_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A family's checkpoint, built once; skips where a library is missing."""
    made: dict[str, Path] = {}

    def build(name: str, **options: Any) -> Path:
        key = f"{name}-{json.dumps(options, sort_keys=True)}"
        if key not in made:
            try:
                made[key] = checkpoints.build(
                    name, tmp_path_factory.mktemp("checkpoints") / name, **options
                )
            except ImportError as error:
                pytest.skip(f"{name}: {error}")
        return made[key]

    return build


def load(folder: Path, tmp_path: Path, run: str = "run", **options: Any) -> Any:
    try:
        options.setdefault("canaries", "off")  # toy weights say toy things
        return HfAudioLM(str(folder), store=str(tmp_path / run), device="cpu", **options)
    except ModelError as error:
        if "which is not installed" in str(error):
            pytest.skip(str(error))
        raise


def noise(seconds: float, seed: int = 0) -> Any:
    drawn = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))
    return drawn.astype(np.float32)


def message(text: str = TEXT, clips: int = 1) -> dict[str, Any]:
    sounds = [{"type": "audio", "index": i} for i in range(clips)]
    return {"role": "user", "content": [*sounds, {"type": "text", "text": text}]}


def job(*clips: Any, text: str = TEXT) -> Job:
    refs = tuple(AudioRef(f"clip{i}.wav", "0" * 64) for i in range(len(clips)))
    request = Request(
        "direct_en@1", "0" * 64, (message(text, len(clips)),), refs, Decoding(max_new_tokens=6)
    )
    return Job(request, "key", [0], audio=list(clips), seconds=sum(map(len, clips)) / RATE)


def logits(model: Any, *jobs: Job) -> Any:
    """Logits of the first new token, a row a job."""
    with torch.inference_mode():
        return model._model(**model._inputs(jobs)).logits[:, -1]


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def with_card(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> ModelCard:
    """Have the registry give a family's card with other facts."""
    (card,) = [card for card in registry.models() if card.id == name]
    other = card.model_copy(update=changes)
    monkeypatch.setattr(registry, "model_for", lambda architecture: (other, "0" * 64))
    return other


# --- each family ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_replies_in_a_batch_equal_single_ones(
    name: str, built: Any, clip: Any, instance: Any, tmp_path: Path
) -> None:
    asked = [instance(clip(f"c{i}", 0.4 + 0.3 * i)) for i in range(4)]
    asked.append(instance(asked_again(asked[0]), "Name the emotion in one word."))
    folder = built(name)
    alone = load(folder, tmp_path, "one", batch_size=1)
    assert alone.fingerprint()["engine"] == "transformers"
    assert alone.engine_facts()["model_card"]["id"] == name
    replies = alone.generate_until(asked, True)
    assert [reply.error for reply in replies] == [None] * 5
    together = load(folder, tmp_path, "five", batch_size=5).generate_until(asked, True)
    assert [str(r) for r in together] == [str(r) for r in replies]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_shared_prefix_gives_the_plain_replies_or_is_given_up(
    name: str, built: Any, clip: Any, instance: Any, tmp_path: Path
) -> None:
    """Whatever a family does with positions, adapters and masks, ``auto`` changes no reply."""
    refs = [clip(f"s{i}", 0.5 + 0.4 * i) for i in range(2)]
    asked = [instance(ref, text) for text in ("What emotion?", "Sad or angry?") for ref in refs]
    folder = built(name)
    plain = load(folder, tmp_path, "plain", batch_size=4, share_prefix="off")
    shared = load(folder, tmp_path, "shared", batch_size=4)
    wanted = [str(reply) for reply in plain.generate_until(asked, True)]
    assert [str(reply) for reply in shared.generate_until(asked, True)] == wanted
    facts = shared.engine_facts()["shared_prefix"]
    if facts is None:
        assert shared._card.processor_call == "chat_template_only"
    else:
        assert facts["used"] or facts["off_because"] or facts["not_shared"]


def asked_again(first: Instance) -> AudioRef:
    return Request.from_arguments(first.args)[0].audio[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_audio_matters(name: str, built: Any, tmp_path: Path) -> None:
    model = load(built(name), tmp_path)
    first, second = (logits(model, job(noise(1.0, seed))) for seed in (1, 2))
    assert (first - second).abs().max() > 1e-3
    silent = logits(model, job(np.zeros(RATE, np.float32)))
    assert (first - silent).abs().max() > 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_the_card_says_whether_padding_changes_replies(
    name: str, built: Any, tmp_path: Path
) -> None:
    model = load(built(name), tmp_path)
    jobs = [job(noise(seconds, seed)) for seed, seconds in enumerate((1.0, 2.5, 1.56))]
    gap = (logits(model, *jobs) - torch.cat([logits(model, one) for one in jobs])).abs().max()
    assert (gap < 1e-4) == model._card.batch_exact, gap
    same = [job(noise(1.56, seed), text=TEXT[: 20 + 9 * seed]) for seed in range(3)]
    gap = (logits(model, *same) - torch.cat([logits(model, one) for one in same])).abs().max()
    assert gap < 1e-4  # of equal length, any family can be batched, whatever the texts


@pytest.mark.parametrize("name", FAMILIES)
def test_the_rule_for_audio_tokens_is_the_processors(name: str, built: Any, tmp_path: Path) -> None:
    model = load(built(name), tmp_path)
    shortest = round(model.min_audio_s * RATE)
    for samples in (shortest, shortest + 1, 3_999, 16_000, 16_001, 123_457, 479_999, 500_000):
        sound = np.zeros(samples, np.float32)
        found = int((model._inputs([job(sound)])["input_ids"] == model._audio_id).sum())
        assert found == families.expected_tokens(model._card, [sound], model.max_audio_s), samples
        assert found > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_the_shortest_clip_is_answered_and_a_shorter_one_is_an_engine_error(
    name: str, built: Any, clip: Any, instance: Any, tmp_path: Path
) -> None:
    model = load(built(name), tmp_path, batch_size=3)
    least = model.min_audio_s
    lengths = (0.5, least, least - 0.005)
    replies = model.generate_until([instance(clip(f"c{s}", s)) for s in lengths], True)
    assert [reply.error is None for reply in replies] == [True, True, False]
    assert f"is shorter than the {least:.3f} s" in str(replies[2].error)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_clip_beyond_the_limit_is_dealt_with_as_the_card_says(
    name: str, built: Any, clip: Any, instance: Any, tmp_path: Path
) -> None:
    folder = built(name)
    if "flamingo" in name:  # a minute instead of ten
        folder = copy_of(folder, tmp_path)
        edit(folder / "processor_config.json", max_audio_len=60)
    model = load(folder, tmp_path)
    limit = model.max_audio_s
    seconds = 35.0 if limit is None else limit + 1
    (reply,) = model.generate_until([instance(clip("long", seconds))], True)
    stored = read_run(tmp_path / "run").reply(reply.key)
    assert stored is not None
    assert reply.error is None
    assert stored.seconds_heard == (seconds if limit is None else limit)
    if limit is not None:
        assert model._card.beyond_max == "truncated"
        sound = noise(limit + 1)
        cut = sound[: round(limit * RATE)]
        assert torch.equal(logits(model, job(sound)), logits(model, job(cut)))


@pytest.mark.parametrize("name", WHOLE)
def test_the_thinker_is_loaded_from_the_whole_model_too(
    name: str, built: Any, tmp_path: Path
) -> None:
    whole = load(built(name, whole=True), tmp_path)
    assert "Thinker" in type(whole._model).__name__
    clips = [noise(1.0, seed) for seed in (1, 2)]
    first, second = (logits(whole, job(sound)) for sound in clips)
    assert (first - second).abs().max() > 1e-3


# --- what a card can get wrong --------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_a_checkpoint_of_another_sampling_rate_is_refused(
    name: str, built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built(name)
    load(folder, tmp_path)
    with_card(monkeypatch, name, sampling_rate_hz=22_050)
    with pytest.raises(ModelError, match=r"works at 16000 Hz, the card of .* says 22050 Hz"):
        load(folder, tmp_path)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_wrong_audio_token_or_rule_is_found(
    name: str, built: Any, clip: Any, instance: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = built(name)
    with_card(monkeypatch, name, audio_token="<|no such|>")
    with pytest.raises(ModelError, match=r"its tokenizer has no '<\|no such\|>'"):
        load(folder, tmp_path)
    wrong = "gemma3n" if name != "gemma3n" else "qwen2_audio"
    with_card(monkeypatch, name, audio_tokens=wrong)
    with pytest.raises(ModelError, match="the audio did not reach the model"):
        load(folder, tmp_path).generate_until([instance(clip("a", 1.0))], True)
    with_card(monkeypatch, name, audio_tokens="some")
    (reply,) = load(folder, tmp_path, "some").generate_until([instance(clip("a", 1.0))], True)
    assert reply.error is None


def test_a_class_or_version_that_is_not_there_is_refused(
    built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built("qwen2_audio")
    with_card(monkeypatch, "qwen2_audio", classes={"transformers": "Qwen9ForEverything"})
    with pytest.raises(ModelError, match="has no Qwen9ForEverything"):
        load(folder, tmp_path)
    with_card(monkeypatch, "qwen2_audio", engines={"transformers": "<1"})
    with pytest.raises(ModelError, match="Qwen2-Audio needs transformers <1, this is"):
        load(folder, tmp_path)
    with_card(monkeypatch, "qwen2_audio", engines={"vllm": ">=0"})
    with pytest.raises(ModelError, match="does not run in transformers; engines that can: vllm"):
        load(folder, tmp_path)
    with_card(monkeypatch, "qwen2_audio", needs=["no-such-package[audio]"])
    with pytest.raises(ModelError, match=r"pip install 'no-such-package\[audio\]'"):
        HfAudioLM(str(folder), store=str(tmp_path / "run"), device="cpu")


def test_more_clips_than_a_family_takes_are_an_engine_error(
    built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(built("audio_flamingo3"), tmp_path)
    two = job(noise(1.0), noise(1.0, 1))
    with pytest.raises(OptionError, match=r"takes 1 clip\(s\) a request, this one has 2"):
        model.generate([two])
    assert load(built("qwen2_audio"), tmp_path, "two").generate([two])[0][0].error is None
    card = with_card(monkeypatch, "qwen2_audio", beyond_max="error")
    with pytest.raises(OptionError, match=r"clips up to 30 s, this one has 31\.000 s"):
        families.check_clips(card, [noise(31.0)], RATE)


def test_clips_of_equal_length_share_a_batch_where_padding_matters(
    built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_card(monkeypatch, "qwen2_audio", batch_exact=False)
    model = load(built("qwen2_audio"), tmp_path, batch_size=3)
    assert model.engine_facts()["batches_of"] == "clips of equal length"
    seen: list[list[int]] = []
    forward = model._forward

    def spy(rows: Any, seeds: Any, decoding: Any) -> Any:
        seen.append([len(row.audio[0]) for row in rows])
        return forward(rows, seeds, decoding)

    monkeypatch.setattr(model, "_forward", spy)
    lengths = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0]
    made = model.generate([job(noise(s, i)) for i, s in enumerate(lengths)])
    assert [len(part) for part in seen] == [3, 1, 2, 1]
    assert all(len(set(part)) == 1 for part in seen)
    assert len(made) == 7


@pytest.mark.parametrize("name", FAMILIES)
def test_replies_are_cut_at_a_stop_and_sampled_by_their_seeds(
    name: str, built: Any, tmp_path: Path
) -> None:
    model = load(built(name), tmp_path, batch_size=2)
    (whole,) = model.generate([job(noise(1.0))])[0]
    letters = [c for c in whole.text if c.isascii() and c.isalpha()]
    stop = letters[0] if letters else whole.text[2:4]  # toy models also say broken bytes
    (cut,) = model.generate([decoded(job(noise(1.0)), stop=(stop,))])[0]
    assert (cut.text, cut.finish_reason) == (whole.text[: whole.text.index(stop)], "stop")
    if letters and name != "voxtral":  # whose tokenizer cannot stop generation
        assert cut.n_tokens < whole.n_tokens
    hot = decoded(job(noise(1.0)), temperature=2.0, seed=3)
    hot.missing = [0, 1, 2]
    texts = [reply.text for reply in model.generate([hot])[0]]
    assert len(set(texts)) > 1
    assert [reply.text for reply in model.generate([hot])[0]] == texts


def decoded(one: Job, **changes: Any) -> Job:
    one.request = replace(one.request, decoding=Decoding(max_new_tokens=6, **changes))
    return one


def test_token_types_go_to_the_models_that_take_them_only(built: Any, tmp_path: Path) -> None:
    model = load(built("qwen2_audio"), tmp_path)
    model._processor.tokenizer.model_input_names += ["token_type_ids"]  # as in transformers 4
    assert "token_type_ids" in model._processor.tokenizer("angry")
    assert model.generate([job(noise(1.0))])[0][0].error is None


# --- adapters -------------------------------------------------------------------------------


def test_the_speech_adapter_is_applied_named_and_at_work(built: Any, tmp_path: Path) -> None:
    folder = built("phi4_multimodal")
    on, off = (load(folder, tmp_path, how, adapter=how) for how in ("auto", "none"))
    assert on.fingerprint()["adapter"].startswith("speech_lora:sha256:")
    assert off.fingerprint()["adapter"] is None
    asked = job(noise(1.0))
    assert (logits(on, asked) - logits(off, asked)).abs().max() > 1e-2
    by_hand = load(folder, tmp_path, "folder", adapter=str(folder / "speech-lora"))
    assert torch.equal(logits(by_hand, asked), logits(on, asked))
    assert (
        by_hand.fingerprint()["adapter"].split(":")[2] == on.fingerprint()["adapter"].split(":")[2]
    )


def test_an_adapter_that_is_missing_or_does_nothing_is_refused(built: Any, tmp_path: Path) -> None:
    folder = copy_of(built("phi4_multimodal"), tmp_path)
    from safetensors.torch import load_file, save_file

    weights = folder / "speech-lora" / "adapter_model.safetensors"
    zeros = {key: torch.zeros_like(value) for key, value in load_file(weights).items()}
    save_file(zeros, weights)
    with pytest.raises(ModelError, match="changes no logit: it is not at work"):
        load(folder, tmp_path)
    shutil.rmtree(folder / "speech-lora")
    with pytest.raises(ModelError, match=r"speech-lora has no adapter_config\.json.*adapter=none"):
        load(folder, tmp_path)
    with pytest.raises(ModelError, match="auto, none, or the folder of a LoRA adapter"):
        load(folder, tmp_path, adapter=str(tmp_path))


def test_an_adapter_of_ones_own(built: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="adapters need peft")
    from checkpoints_more import speech_lora
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

    folder = built("qwen2_audio")
    config = Qwen2AudioConfig.from_pretrained(folder)
    own = tmp_path / "tuned"
    speech_lora(own, Qwen2AudioForConditionalGeneration, config, 3, r".*layers\.\d+\..*[qv]_proj")
    plain, tuned = load(folder, tmp_path), load(folder, tmp_path, "own", adapter=str(own))
    assert tuned.fingerprint()["adapter"].startswith("own:sha256:")
    asked = job(noise(1.0))
    assert (logits(plain, asked) - logits(tuned, asked)).abs().max() > 1e-2


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a checkpoint where the hub's client keeps what it fetched; returns its hub id."""
    constants = pytest.importorskip("huggingface_hub.constants")
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

    def put(folder: Path, commit: str = COMMIT) -> str:
        repository = cache / f"models--someone--{folder.name}"
        shutil.copytree(folder, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
        return f"someone/{folder.name}"

    return put


def test_the_commit_that_a_branch_was_at_is_recorded_and_said_once(
    built: Any, hub: Any, tmp_path: Path, caplog: Any
) -> None:
    name = hub(built("qwen2_audio"))
    model = load(name, tmp_path)
    assert model.fingerprint()["model"] == name
    assert model.fingerprint()["revision"] == COMMIT
    said = [r.getMessage() for r in caplog.records if "no card pins one" in r.getMessage()]
    assert len(said) == 1
    assert f"this time commit {COMMIT}, which the run records; revision={COMMIT} gets" in said[0]
    assert model.generate([job(noise(1.0))])[0][0].error is None
    caplog.clear()
    pinned = load(name, tmp_path, "pinned", revision=COMMIT)
    assert pinned.fingerprint() == model.fingerprint()
    assert COMMIT not in caplog.text
    load(name, tmp_path, "branch", revision="main")
    assert "revision=main, so what is loaded" in caplog.text


def test_an_adapter_revision_that_nobody_knows_is_null(caplog: Any) -> None:
    assert adapters.identity_of(("speech_lora", "x/y", "speech-lora"), None) == "speech_lora@null"
    assert "the adapter speech_lora of x/y: nobody says which revision" in caplog.text
    caplog.clear()
    assert adapters.identity_of(("a", "x/y", "b"), COMMIT) == f"a@{COMMIT}"
    assert not caplog.text


def test_the_hubs_adapter_goes_by_its_commit(
    built: Any, hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft", reason="adapters need peft")
    from checkpoints_more import speech_lora
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

    from voxemo_tasks.backends import hf
    from voxemo_tasks.backends.vllm_setup import local_adapter

    folder = copy_of(built("qwen2_audio"), tmp_path)
    config = Qwen2AudioConfig.from_pretrained(folder)
    weights = r".*layers\.\d+\..*[qv]_proj"
    speech_lora(folder / "lora", Qwen2AudioForConditionalGeneration, config, 3, weights)
    name = hub(folder)
    chosen = ("its_lora", name, "lora")
    monkeypatch.setattr(hf, "adapter_of", lambda *asked: chosen)  # as a card that names one
    assert load(name, tmp_path).fingerprint()["adapter"] == f"its_lora@{COMMIT}"
    identity, place = local_adapter(chosen, None)
    assert identity == f"its_lora@{COMMIT}"
    assert (place / "adapter_config.json").is_file()


def test_without_an_adapter_in_card_or_arguments_there_is_none() -> None:
    card, _ = registry.model_for("Qwen2AudioForConditionalGeneration")
    checkpoint = loading.Checkpoint("x/y", "x/y", False, False)
    assert adapters.adapter_of(card, checkpoint, "auto") is None
    phi4, _ = registry.model_for("Phi4MultimodalForCausalLM")
    assert adapters.adapter_of(phi4, checkpoint, "auto") == ("speech_lora", "x/y", "speech-lora")
    assert adapters.adapter_of(phi4, checkpoint, "none") is None


# --- chat formats ---------------------------------------------------------------------------


def test_the_base_model_is_asked_without_a_chat(built: Any, tmp_path: Path) -> None:
    folder = built("qwen2_audio")
    plain = load(folder, tmp_path, "plain", chat_format="plain")
    chat = load(folder, tmp_path, "chat")
    assert plain.fingerprint()["chat_format"] == "plain"
    assert "chat_format" not in chat.fingerprint()
    asked = job(noise(1.0))
    ids = plain._inputs([asked])["input_ids"][0].tolist()
    text = plain._processor.tokenizer.decode(ids)
    assert text == "<|audio_bos|>" + "<|AUDIO|>" * 25 + "<|audio_eos|>" + TEXT
    assert not torch.equal(logits(plain, asked), logits(chat, asked))
    with pytest.raises(UnknownNameError, match="chat format of Qwen2-Audio"):
        load(folder, tmp_path, "plane", chat_format="plane")


def test_which_chat_format_a_checkpoint_gets() -> None:
    class Processor:
        chat_template: str | None = "x"

    card, _ = registry.model_for("Qwen2AudioForConditionalGeneration")
    processor = Processor()
    choose = families.choose_chat
    assert choose(card, "Qwen/Qwen2-Audio-7B", processor, "auto") == "plain"
    assert choose(card, "Qwen/Qwen2-Audio-7B", processor, "template") == "template"
    assert choose(card, "Qwen/Qwen2-Audio-7B-Instruct", processor, "auto") == "template"
    processor.chat_template = None
    phi4, _ = registry.model_for("Phi4MultimodalForCausalLM")
    assert choose(phi4, "any/where", processor, "auto") == "phi4"
    voxtral, _ = registry.model_for("VoxtralForConditionalGeneration")
    assert choose(voxtral, "any/where", processor, "auto") == "template"
    flamingo, _ = registry.model_for("AudioFlamingo3ForConditionalGeneration")
    with pytest.raises(ModelError, match="has no chat template"):
        choose(flamingo, "any/where", processor, "auto")


def test_written_messages_keep_order_and_count_clips() -> None:
    chat = ChatFormat(turn="[{role}]{content}|", audio="<a{number}>", reply="[model]")
    system = {"role": "system", "content": [{"type": "text", "text": "Be {role}."}]}
    assert families.written([system, message("Hm?", 2)], chat) == (
        "[system]Be {role}.|[user]<a1><a2>Hm?|[model]"
    )
    with pytest.raises(ValueError, match=r"turn must hold \{content\}"):
        ChatFormat(turn="x", audio="y", reply="z")


def test_sound_inside_messages_loses_nothing() -> None:
    import base64
    import io

    import soundfile

    clips = [noise(0.1, 1), noise(0.2, 2)]
    (out,) = families.with_sound([message("?", 2)], clips, RATE)
    assert [part["type"] for part in out["content"]] == ["audio", "audio", "text"]
    for part, sound in zip(out["content"][:2], clips, strict=True):
        samples, rate = soundfile.read(
            io.BytesIO(base64.b64decode(part["base64"])), dtype="float32"
        )
        assert (rate, samples.tolist()) == (RATE, sound.tolist())


# --- the cards ------------------------------------------------------------------------------


def test_each_family_with_weights_has_a_toy_checkpoint_and_its_own_architectures() -> None:
    cards = [card for card in registry.models() if card.api is None]
    assert sorted(card.id for card in cards) == sorted(FAMILIES)
    names = [name for card in cards for name in card.architectures]
    assert len(names) == len(set(names))
    assert len({hub for card in cards for hub in card.pretrained}) == sum(
        len(card.pretrained) for card in cards
    )


def test_cards_do_not_claim_what_was_not_seen() -> None:
    corpora = {card.id for card in registry.corpora()}
    for card in registry.models():
        assert card.verified_on != "full weights"
        if None in card.pretrained.values():
            assert "pinned" in str(card.notes), card.id
        for trained in card.training_corpora or []:
            assert trained.source
            assert trained.corpus in corpora or trained.corpus == "OMGEmotion"
        assert (card.beyond_max in ("truncated", "error")) == (card.max_audio_s is not None), (
            card.id
        )


def test_a_model_is_found_by_its_name() -> None:
    assert registry.model_named("Qwen/Qwen2.5-Omni-7B")[0].id == "qwen25_omni"
    assert registry.model_named("voxemo-tiny")[0].id == "qwen2_audio"
    assert registry.model_named("gpt-4o-audio-preview")[0].api is not None
    with pytest.raises(UnknownNameError, match=r"did you mean 'gemini-2\.5-flash'"):
        registry.model_named("gemini-2.5-flush")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": []}, "needs architectures"),
        ({"audio_token": None}, "needs audio_token and audio_tokens"),
        ({"chat_format_of": {"a/b": "nothing"}}, "names no format"),
        ({"classes": {"sglang": "X"}}, "engines that cannot run it"),
        (
            {"api": {"key_variable": "K", "models": ["m"], "audio_formats": ["wav"]}},
            "neither architectures nor pretrained",
        ),
    ],
)
def test_cards_that_contradict_themselves(changes: dict[str, Any], message: str) -> None:
    card, _ = registry.model_for("Qwen2AudioForConditionalGeneration")
    whole = card.model_dump(by_alias=True)
    ModelCard.model_validate(whole)
    with pytest.raises(ValueError, match=message):
        ModelCard.model_validate(whole | changes)
