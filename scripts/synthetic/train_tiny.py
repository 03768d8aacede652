"""Train the tiny speech LLM on synthetic emotional speech, measure it, and write its folder.

    python scripts/synthetic/train_tiny.py            # the shipped model: minutes on two cores
    python scripts/synthetic/train_tiny.py --quick --out DIR     # a smoke test: seconds

The model hears five seconds while it learns and thirty when it is shipped: its encoder positions
are sinusoids, so that the longer table extends the shorter one without changing a row. The loss is
on the answer only (one label word and the end of the turn), plus a seven-way auxiliary loss on the
mean of the audio embeddings, whose head is thrown away.

Everything is drawn from ``--seed``; the same seed and package versions on the same machine give the
same data, and nearly the same weights (sums over threads may differ in the last bits).
"""

from __future__ import annotations

import argparse
import math
import platform
import random
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from measure_tiny import MINI_FOLDER, MODEL_FOLDER, measure_folder, write_metrics
from numpy.typing import NDArray
from speech import SAMPLING_RATE_HZ, Synthesizer, augmented
from texts import (
    EMOTIONS,
    LANGUAGES,
    SYSTEM_PROMPTS,
    VOICES,
    compose_question,
    draw_menu,
    fill,
)
from tiny_model import (
    AUDIO_SLOT,
    FRAMES_PER_S,
    SHIPPED_WINDOW_S,
    TURN_END,
    answers,
    build_model,
    build_processor,
    build_tokenizer,
    feature_extractor,
    prompt_text,
    save,
    with_window,
)
from torch.nn import functional
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

TRAINING_WINDOW_S = 5
_BLENDED_SHARE = 0.10
_AUXILIARY_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    Attributes:
        clips: Training clips.
        steps: Optimiser steps.
        batch_size: Clips a step.
        peak_lr: Learning rate after warm-up; cosine decay to 2 % of it.
        measured: Clips of each (language, emotion) cell in the held-out sets.
    """

    clips: int = 6860
    steps: int = 2400
    batch_size: int = 32
    peak_lr: float = 2e-3
    measured: int = 10


QUICK = Plan(clips=56, steps=4, batch_size=8, measured=0)


@dataclass(slots=True)
class TrainingClip:
    """One clip, ready for the encoder.

    Attributes:
        features: Log-mel, float16, shape ``(128, 500)``.
        frames: Frames that carry audio.
        blend: What was asked of the synthesizer.
    """

    features: NDArray[np.float16]
    frames: int
    blend: dict[str, float]

    @property
    def audio_tokens(self) -> int:
        """Embeddings after the encoder's stride of 2 and its pooling by 2."""
        return ((self.frames - 1) // 2 + 1 - 2) // 2 + 1


def make_training_clips(count: int, seed: int) -> list[TrainingClip]:
    """Draw and synthesize clips: languages and emotions in turn, the rest at random.

    One in ten is a blend of two emotions (60:40 to 50:50); its label is drawn anew, by weight, each
    time the clip is seen, so that the model learns to hesitate where the setting does.
    """
    synthesizer, extractor = Synthesizer(), feature_extractor(TRAINING_WINDOW_S)
    rng, noise = random.Random(f"clips/{seed}"), np.random.default_rng(seed)
    clips: list[TrainingClip] = []
    for index in range(count):
        language = list(LANGUAGES)[index % len(LANGUAGES)]
        emotion = EMOTIONS[index // len(LANGUAGES) % len(EMOTIONS)]
        blend = {emotion: 1.0}
        if rng.random() < _BLENDED_SHARE:
            weight = rng.uniform(0.5, 0.6)
            other = rng.choice([e for e in EMOTIONS if e != emotion])
            blend = {emotion: weight, other: 1.0 - weight}
        audio = synthesizer.say(
            rng.choice(LANGUAGES[language].sentences["train"]),
            language,
            rng.choice(list(VOICES["train"])),
            blend,
            seed=f"train/{seed}/{index}",
        )
        audio = augmented(audio, noise)[: TRAINING_WINDOW_S * SAMPLING_RATE_HZ]
        out = extractor(
            audio,
            sampling_rate=SAMPLING_RATE_HZ,
            padding="max_length",
            return_attention_mask=True,
            return_tensors="np",
        )
        frames = int(out["attention_mask"].sum())
        clips.append(TrainingClip(out["input_features"][0].astype(np.float16), frames, blend))
    return clips


def make_batch(
    clips: list[TrainingClip],
    processor: Qwen2AudioProcessor,
    rng: random.Random,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """A wording, a menu and an answer for each clip.

    Returns:
        Model inputs with ``labels`` (-100 but on the answer), and the label indices.
    """
    texts, prompts, golds = [], [], []
    for clip in clips:
        gold = rng.choices(list(clip.blend), weights=list(clip.blend.values()))[0]
        question = fill(compose_question(rng), draw_menu(rng, list(clip.blend)))
        prompt = prompt_text(processor, question, rng.choice(SYSTEM_PROMPTS))
        prompt = prompt.replace(AUDIO_SLOT, AUDIO_SLOT * clip.audio_tokens)
        golds.append(gold)
        prompts.append(prompt)
        texts.append(prompt + gold + TURN_END)
    batch = processor.tokenizer(texts, padding=True, return_tensors="pt")
    labels = torch.full_like(batch["input_ids"], -100)
    for row, (text, prompt) in enumerate(zip(texts, prompts, strict=True)):
        answer = len(processor.tokenizer(text[len(prompt) :])["input_ids"])
        labels[row, -answer:] = batch["input_ids"][row, -answer:]
    features = torch.from_numpy(np.stack([c.features for c in clips])).float()
    gains = torch.tensor([rng.uniform(-2.0, 2.0) for _ in clips]) / 40.0  # dB in log-mel units
    frames = torch.tensor([c.frames for c in clips])
    mask = torch.arange(features.shape[-1])[None, :] < frames[:, None]
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "input_features": features + gains[:, None, None],
        "feature_attention_mask": mask.long(),
        "labels": labels,
    }
    return inputs, torch.tensor([EMOTIONS.index(g) for g in golds])


class Auxiliary(torch.nn.Module):
    """Seven-way classifier on the mean audio embedding; shortens training, is not shipped."""

    def __init__(self, model: Qwen2AudioForConditionalGeneration) -> None:
        super().__init__()
        self.head = torch.nn.Linear(model.config.text_config.hidden_size, len(EMOTIONS))
        self._embeddings: torch.Tensor | None = None
        model.model.multi_modal_projector.register_forward_hook(self._keep)

    def _keep(self, _module: object, _inputs: object, output: torch.Tensor) -> None:
        self._embeddings = output

    def loss(self, clips: list[TrainingClip], targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy for the batch that the model has just seen."""
        if self._embeddings is None:
            raise RuntimeError("run the model on the batch before asking for its auxiliary loss")
        lengths = torch.tensor([c.audio_tokens for c in clips])
        mask = (torch.arange(self._embeddings.shape[1])[None, :] < lengths[:, None]).float()
        mean = (self._embeddings * mask[:, :, None]).sum(1) / lengths[:, None]
        return functional.cross_entropy(self.head(mean), targets)


def train(
    model: Qwen2AudioForConditionalGeneration,
    processor: Qwen2AudioProcessor,
    clips: list[TrainingClip],
    plan: Plan,
    seed: int,
) -> float:
    """Train in place.

    Returns:
        Mean answer loss over the last fifth of the steps.
    """
    torch.manual_seed(seed)
    rng = random.Random(f"training/{seed}")
    auxiliary = Auxiliary(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    parameters += list(auxiliary.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=plan.peak_lr, weight_decay=0.05)
    warm_up = max(1, plan.steps // 20)

    def rate(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        done = (step - warm_up) / max(1, plan.steps - warm_up)
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    losses: list[float] = []
    order: list[int] = []
    started = time.monotonic()
    for step in range(plan.steps):
        while len(order) < plan.batch_size:
            order += rng.sample(range(len(clips)), len(clips))
        chosen = [clips[order.pop()] for _ in range(plan.batch_size)]
        inputs, targets = make_batch(chosen, processor, rng)
        answer_loss = model(**inputs).loss
        loss = answer_loss + _AUXILIARY_WEIGHT * auxiliary.loss(chosen, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(float(answer_loss.detach()))
        if (step + 1) % 100 == 0:
            recent = sum(losses[-100:]) / 100
            seconds = time.monotonic() - started
            print(f"step {step + 1}/{plan.steps}  loss {recent:.3f}  {seconds:.0f} s", flush=True)
    model.eval()
    tail = losses[-max(1, plan.steps // 5) :]
    return sum(tail) / len(tail)


def check_windows(
    short: Qwen2AudioForConditionalGeneration,
    long: Qwen2AudioForConditionalGeneration,
    processors: tuple[Qwen2AudioProcessor, Qwen2AudioProcessor],
    count: int,
    seed: int,
) -> dict[str, int]:
    """Answers with the short and with the long window, on held-out sentences."""
    synthesizer, rng = Synthesizer(), random.Random(f"windows/{seed}")
    clips = []
    for index in range(count):
        language = list(LANGUAGES)[index % len(LANGUAGES)]
        clips.append(
            synthesizer.say(
                rng.choice(LANGUAGES[language].sentences["test"]),
                language,
                rng.choice(list(VOICES["test"])),
                {EMOTIONS[index // len(LANGUAGES) % len(EMOTIONS)]: 1.0},
                seed=f"windows/{seed}/{index}",
            )
        )
    question = fill("How does the speaker feel? Options: {options}.", EMOTIONS)
    first = answers(short, processors[0], clips, question)
    second = answers(long, processors[1], clips, question)
    return {"clips": count, "same": sum(a == b for a, b in zip(first, second, strict=True))}


def run(plan: Plan, seed: int, out: Path, mini: Path) -> None:
    """Data, training, window, folder, figures, card."""
    started = time.monotonic()
    clips = make_training_clips(plan.clips, seed)
    synthesized = time.monotonic()
    print(f"{len(clips)} clips in {synthesized - started:.0f} s", flush=True)

    tokenizer = build_tokenizer(seed=seed)
    processor = build_processor(tokenizer, TRAINING_WINDOW_S)
    model = build_model(tokenizer, TRAINING_WINDOW_S, seed)
    final_loss = train(model, processor, clips, plan, seed)
    trained = time.monotonic()

    model = model.to(torch.bfloat16).float()  # what the file will hold
    shipped = with_window(model, tokenizer, SHIPPED_WINDOW_S)
    shipped_processor = build_processor(tokenizer, SHIPPED_WINDOW_S)
    windows = check_windows(
        model, shipped, (processor, shipped_processor), max(7, 7 * plan.measured), seed
    )
    if plan.measured and windows["same"] != windows["clips"]:
        raise RuntimeError(f"the {SHIPPED_WINDOW_S} s window changed answers: {windows}")

    training = {
        "seed": seed,
        "clips": plan.clips,
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "peak_lr": plan.peak_lr,
        "window_s": TRAINING_WINDOW_S,
        "frames_per_s": FRAMES_PER_S,
        "final_answer_loss": round(final_loss, 4),
        "synthesis_s": round(synthesized - started),
        "training_s": round(trained - synthesized),
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in shipped.parameters()),
        "window_check": windows,
        "python": platform.python_version(),
        "versions": {
            name: version(name)
            for name in (
                "torch",
                "transformers",
                "tokenizers",
                "safetensors",
                "numpy",
                "soxr",
                "espeakng-loader",
            )
        },
    }
    partial = out.with_name(out.name + ".partial")  # a failed run leaves the old folder alone
    shutil.rmtree(partial, ignore_errors=True)
    save(shipped, shipped_processor, partial)
    write_metrics(partial, {"training": training})
    measure_folder(partial, mini, plan.measured)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    print(f"wrote {out}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="folder to write")
    parser.add_argument("--mini", type=Path, default=MINI_FOLDER, help="mini corpus to measure on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=Plan().steps)
    parser.add_argument("--clips", type=int, default=Plan().clips)
    parser.add_argument("--quick", action="store_true", help="a few steps, for a smoke test")
    arguments = parser.parse_args()
    if arguments.quick and arguments.out == MODEL_FOLDER:
        parser.error("--quick would replace the shipped model by an untrained one: give --out DIR")
    plan = QUICK if arguments.quick else Plan(clips=arguments.clips, steps=arguments.steps)
    run(plan, arguments.seed, arguments.out, arguments.mini)


if __name__ == "__main__":
    main()
