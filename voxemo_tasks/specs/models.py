"""The card of a family of speech LLMs: what a backend must know of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .common import Identifier, Spec


class ChatFormat(Spec):
    """How messages are written out, where the processor has no chat template or must not use it."""

    turn: str = Field(description="One message; {role} and {content} are filled in.")
    audio: str = Field(description="What stands for a clip in the text; {number} counts from 1.")
    reply: str = Field(description="What the model goes on from, e.g. the opening of its turn.")
    notes: str | None = None

    @model_validator(mode="after")
    def _content(self) -> ChatFormat:
        if "{content}" not in self.turn:
            raise ValueError("turn must hold {content}")
        return self


class AdapterFacts(Spec):
    """A LoRA adapter that comes with a checkpoint and without which it does not hear well."""

    name: Identifier
    folder: str = Field(description="Folder of the adapter inside the checkpoint.")


class ApiFacts(Spec):
    """A model behind an OpenAI-compatible endpoint."""

    base_url: str | None = Field(
        default=None, description="Without a trailing slash; null: the user says."
    )
    key_variable: str = Field(description="Environment variable that holds the key.")
    models: list[str] = Field(min_length=1, description="Names as the endpoint knows them.")
    audio_formats: list[Literal["wav", "mp3", "flac"]] = Field(min_length=1)
    max_request_mb: float | None = Field(
        default=None, description="Largest request; null: unknown."
    )
    accepts: dict[Literal["temperature", "top_p", "seed", "stop", "n", "logprobs"], bool | None] = (
        Field(default_factory=dict, description="What it takes; null or absent: not known.")
    )


class TrainedOn(Spec):
    """A corpus that the makers of a model say they trained on."""

    corpus: str = Field(description="Id of a corpus card, or the corpus's own name.")
    source: str = Field(description="Where they say so.")


AudioTokenRule = Literal[
    "qwen2_audio", "qwen3_omni", "phi4", "granite_speech", "gemma3n", "voxtral", "some"
]
ProcessorCall = Literal["standard", "text_kwargs_padding", "chat_template_only"]


class ModelCard(Spec):
    """Facts of one family of speech LLMs that a backend needs.

    **A model of a known family needs no code.** A checkpoint whose `config.json` names one of
    `architectures` runs as it is, from a folder or by its hub id; adding it to `pretrained` makes
    it appear in `voxemo models ls` and takes its name as correct. A *new* family of which the parts
    are known is a new file here:

    1. `architectures`: all names that `config.json` may hold; `classes` where an engine must load
       another class than the one named (the thinker of a talking model, say).
    2. How it is asked: `processor_call`; `chat_formats` where its processor has no chat template.
    3. What the encoder does: `sampling_rate_hz`, `min_audio_s`, `max_audio_s` with `beyond_max`,
       `audio_token`, and the rule `audio_tokens` (`some` where none fits: then it is only checked
       that there are any). A wrong rule is found at the first clip: the run stops.
    4. `batch_exact: false` unless replies in a batch equal single ones with clips of different
       length. `tests/backends/test_families.py` checks all of it on random weights.
    5. `engines` with the versions that run it, `known_bad`, `verified_on`, `training_corpora` with
       sources (null: the makers do not say), `licence`.
    """

    schema_: Literal["voxemo-model/1"] = Field(alias="schema")
    id: Identifier
    name: str
    architectures: list[str] = Field(
        default_factory=list,
        description="`architectures` of the checkpoint's config.json; none for an API.",
    )
    classes: dict[str, str] = Field(
        default_factory=dict,
        description="Engine → class to load, where it is not the one that config.json names.",
    )
    pretrained: dict[str, str | None] = Field(
        default_factory=dict, description="Hub id → pinned revision, null where none is pinned."
    )
    alias_of_asset: dict[str, str] = Field(
        default_factory=dict, description="Name → folder under voxemo_tasks/assets."
    )
    synthetic_aliases: list[str] = Field(default_factory=list)
    api: ApiFacts | None = None
    sampling_rate_hz: int
    min_audio_s: float = Field(description="Shorter clips crash the model or yield no token.")
    max_audio_s: float | None = Field(description="Seconds that it can hear; null: no limit.")
    max_audio_from: Literal["card", "extractor", "processor"] = Field(
        default="card",
        description="Where a checkpoint says its own limit: n_samples of its feature extractor, or "
        "max_audio_len of its processor.",
    )
    beyond_max: Literal["truncated", "chunked", "error"] | None = None
    audios_per_request: int | None = Field(default=None, description="null: no limit.")
    audio_token: str | None = Field(default=None, description="The token that stands for sound.")
    audio_tokens: AudioTokenRule | None = Field(
        default=None, description="Rule that gives the number of audio tokens of a clip."
    )
    processor_call: ProcessorCall = Field(
        default="standard",
        description="standard: processor(text=, audio=, padding=True). text_kwargs_padding: padding "
        "for the text only. chat_template_only: messages with the audio inside.",
    )
    chat_formats: dict[Identifier, ChatFormat] = Field(
        default_factory=dict,
        description="Written formats; the first serves where the processor has no template.",
    )
    chat_format_of: dict[str, Identifier] = Field(
        default_factory=dict, description="Hub id → the format it wants instead of its template."
    )
    adapter: AdapterFacts | None = None
    batch_exact: bool = Field(
        default=True,
        description="Whether replies in a batch equal single ones when clips differ in length; if "
        "not, only clips of equal length share a batch.",
    )
    engines: dict[str, str] = Field(description="Engine → version range that can run it.")
    known_bad: list[str] = Field(default_factory=list)
    needs: list[str] = Field(
        default_factory=list, description="Packages that the processor needs beside transformers."
    )
    training_corpora: list[TrainedOn] | None = Field(
        default=None, description="Emotion corpora that the makers name; null: not known."
    )
    licence: str | None = None
    verified_on: Literal["full weights", "tiny random weights", "tiny trained weights", "not run"]
    notes: str | None = None

    @model_validator(mode="after")
    def _kinds(self) -> ModelCard:
        if self.api is None:
            if not self.architectures:
                raise ValueError("a model with weights needs architectures")
            if self.audio_token is None or self.audio_tokens is None:
                raise ValueError("a model with weights needs audio_token and audio_tokens")
        elif self.architectures or self.pretrained:
            raise ValueError("a model behind an API has neither architectures nor pretrained")
        unknown = set(self.chat_format_of.values()) - self.chat_formats.keys()
        if unknown:
            raise ValueError(f"chat_format_of names no format of chat_formats: {sorted(unknown)}")
        unknown = set(self.classes) - self.engines.keys()
        if unknown:
            raise ValueError(f"classes of engines that cannot run it: {sorted(unknown)}")
        return self
