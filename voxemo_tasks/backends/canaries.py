"""Canaries: a few fixed clips that are asked about before the first batch of a run.

A broken engine rarely says so. A checkpoint under the wrong version of a library was seen to emit
its audio marker and nothing else, a speech adapter to be loaded and never applied; hours later the
scores are chance. So the engine is first asked two plain questions (which emotion, which words)
about clips that are made here: a second of silence, of a 440 Hz tone, and of vowel-like sound. All
are equally long, so that nothing but the sound differs between two requests.

The rule
--------
*flawed*    a reply that is empty, or nothing but markers such as ``<|audio_bos|>``, or mostly
            control and replacement characters, or cut by the token limit while it repeats one
            unit; or the engine failed
*stops*     every reply is flawed; or the adapter changes no logit on a clip; or *deaf*
*deaf*      the replies to one question are the same for all clips, and the engine's log-probabilities
            of two texts are equal to the last bit for all of them. Where the engine gives none: the
            replies to all clips and both questions are one sentence (more than
            :data:`LABEL_CHARACTERS` characters), which then rests on neither
*warned*    some replies are flawed; or all are one short reply. That alone is no proof: a model that
            was trained on a closed set may rightly call all three ``neutral``, whatever is asked

The replies are never stored as replies and never counted; questions, replies, verdicts and seconds
go to the session's record.
"""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, OptionError
from ..records import AudioRef, Decoding, Json, Request, digest_of
from .requests import Job, Samples

if TYPE_CHECKING:
    from .base import AudioLM, Generated

Flaw = Literal["empty", "markers", "unreadable", "stuck", "error"]

MODES = ("auto", "on", "off")
QUESTIONS = {
    "emotion": "Which emotion does the speaker express? Answer with one word.",
    "words": "Write down the words that are spoken.",
}
ASKED = (
    ("speech", "emotion"),
    ("silence", "words"),
    ("silence", "emotion"),
    ("tone", "emotion"),
    ("speech", "words"),
)
"""Clip and question, most telling first: the first two differ in both."""

MOST_TOKENS = 32
LABEL_CHARACTERS = 40
OTHER_TEXT = "sad"
SHOWN = 200

_MARKER = re.compile(r"<\|[^<>]*\|>|</?[A-Za-z_][^<>\s]{0,40}>|\[/?[A-Z_]{3,20}\]")
_LONGEST_UNIT = 20
_SYLLABLES = ((120.0, 700.0, 1200.0), (150.0, 300.0, 2300.0), (135.0, 500.0, 1000.0))
"""Fundamental and two formants, in Hz, of three vowels."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary and what came of it.

    Attributes:
        clip: ``silence``, ``tone`` or ``speech``.
        question: ``emotion`` or ``words``.
        reply: What the engine said.
        flaw: What is wrong with the reply; ``None`` where nothing is.
        seconds: How long it took.
        error: The engine's failure, if it failed.
    """

    clip: str
    question: str
    reply: str
    flaw: Flaw | None
    seconds: float
    error: str | None = None

    def to_json(self) -> Json:
        return {
            "clip": self.clip,
            "question": self.question,
            "reply": self.reply[:SHOWN],
            "verdict": self.flaw or "fine",
            "seconds": round(self.seconds, 3),
            "error": self.error and self.error[:SHOWN],
        }


@dataclass(slots=True)
class Verdict:
    """What the canaries say of an engine.

    Attributes:
        asked: Each canary.
        stop: Why the run must not start; ``None`` where it may.
        warnings: What is odd and no proof.
    """

    asked: list[Canary] = field(default_factory=list)
    stop: str | None = None
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        return {
            "verdict": "stopped" if self.stop else "warned" if self.warnings else "fine",
            "reason": self.stop,
            "warnings": list(self.warnings),
            "questions": dict(QUESTIONS),
            "asked": [canary.to_json() for canary in self.asked],
        }


def parse_canaries(value: object) -> str:
    """``canaries=``.

    Raises:
        OptionError: For anything but ``auto``, ``on``, ``off``.

    Example:
        >>> parse_canaries("auto"), parse_canaries(False), parse_canaries("True")
        ('auto', 'off', 'on')
    """
    mode = {True: "on", False: "off", "True": "on", "False": "off"}.get(value, value)
    if mode not in MODES:
        raise OptionError(f"canaries={value!r}: expected one of {', '.join(MODES)}")
    return str(mode)


# --- clips ----------------------------------------------------------------------------------


def clip_of(name: str, sampling_rate_hz: int) -> Samples:
    """One second of ``silence``, ``tone`` (440 Hz) or ``speech`` (three vowel-like syllables).

    Returns:
        Samples in [-1, 1], mono; the same on every machine to rounding.

    Example:
        >>> tone = clip_of("tone", 16_000)
        >>> tone.shape, round(float(abs(tone).max()), 2), float(clip_of("silence", 8_000).max())
        ((16000,), 0.3, 0.0)
    """
    seconds = np.arange(sampling_rate_hz) / sampling_rate_hz
    if name == "silence":
        wave = np.zeros(sampling_rate_hz)
    elif name == "tone":
        wave = 0.3 * np.sin(2 * np.pi * 440.0 * seconds)
    else:
        wave = _vowels(seconds)
    return wave.astype(np.float32)


def _vowels(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Harmonics of a gliding fundamental, weighted by formants, in three swells."""
    each = len(seconds) // len(_SYLLABLES)
    parts = []
    for number, (fundamental, *formants) in enumerate(_SYLLABLES):
        last = number == len(_SYLLABLES) - 1
        t = seconds[: len(seconds) - each * number if last else each]
        phase = 2 * np.pi * (fundamental * t + 20.0 * t**2)
        wave = np.zeros_like(t)
        for harmonic in range(1, 25):
            at = harmonic * fundamental
            weight = sum(np.exp(-(((at - formant) / 150.0) ** 2)) for formant in formants)
            wave += (weight + 0.02) / np.sqrt(harmonic) * np.sin(harmonic * phase)
        parts.append(wave * np.sin(np.pi * t / t[-1]))
    whole = np.concatenate(parts)
    return np.asarray(0.3 * whole / np.abs(whole).max())


def job_of(clip: str, question: str, decoding: Decoding, sampling_rate_hz: int) -> Job:
    """A canary as a backend gets any other request, decoded already."""
    samples = clip_of(clip, sampling_rate_hz)
    ref = AudioRef(
        path=f"canary:{clip}",
        sha256=hashlib.sha256(samples.tobytes()).hexdigest(),
        duration_s=1.0,
    )
    text = QUESTIONS[question]
    content = [{"type": "audio", "index": 0}, {"type": "text", "text": text}]
    message = {"role": "user", "content": content}
    request = Request(f"canary_{question}@1", digest_of(text), (message,), (ref,), decoding)
    return Job(request, f"canary:{clip}:{question}", [0], [samples], 1.0)


# --- replies --------------------------------------------------------------------------------


def flaw_of(text: str, finish_reason: str = "stop") -> Flaw | None:
    r"""What is wrong with a reply, whatever was asked.

    Args:
        text: The reply.
        finish_reason: ``length`` where it was cut by the token limit.

    Example:
        >>> flaw_of(" \n"), flaw_of("<|audio_bos|><|audio_bos|>"), flaw_of("\ufffd\ufffd\x00 a")
        ('empty', 'markers', 'unreadable')
        >>> flaw_of("!!!!!!!!", "length"), flaw_of("Neutral."), flaw_of("No no no no!")
        ('stuck', None, None)
    """
    if not text.strip():
        return "empty"
    if not _MARKER.sub("", text).strip():
        return "markers"
    seen = [c for c in text if not c.isspace()]
    if 2 * sum(_unreadable(c) for c in seen) > len(seen):
        return "unreadable"
    if finish_reason == "length" and _repeats(text.strip()):
        return "stuck"
    return None


def _unreadable(character: str) -> bool:
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs")


def _repeats(text: str) -> bool:
    """Whether a text is one short unit four times or more, the last one perhaps cut."""
    return any(
        text == (text[:size] * (len(text) // size + 1))[: len(text)]
        for size in range(1, min(_LONGEST_UNIT, (len(text) - 1) // 3) + 1)
    )


def normal(text: str) -> str:
    """A reply without case, outer punctuation and repeated space, for comparing two."""
    return " ".join(text.casefold().split()).strip(" .!\"'")


# --- asking ---------------------------------------------------------------------------------


def ask(model: AudioLM, like: Decoding, at_most: int) -> Verdict:
    """Put the canaries to a model, one at a time.

    Args:
        model: A backend that is ready to generate.
        like: Decoding of the run, of which length and stops are taken; the canaries are greedy.
        at_most: How many of :data:`ASKED`.

    Returns:
        The verdict by the rule above. Where the engine says itself that it cannot go on
        (``ModelError``), its words are the reason.
    """
    verdict = Verdict()
    length = min(like.max_new_tokens, MOST_TOKENS)
    decoding = Decoding(length, stop=like.stop)
    jobs = [job_of(c, q, decoding, model.sampling_rate_hz) for c, q in ASKED[:at_most]]
    for job, (clip, question) in zip(jobs, ASKED, strict=False):
        started = time.monotonic()
        try:
            canary = _canary(clip, question, model.generate([_copy(job)])[0][0])
        except ModelError as error:
            canary = Canary(clip, question, "", "error", 0.0, str(error))
            verdict.stop = str(error)
        except Exception as error:  # an engine can raise anything; the record says what it was
            model.after_failure(error)
            reason = f"{type(error).__name__}: {error}"
            canary = Canary(clip, question, "", "error", 0.0, reason)
        verdict.asked.append(replace(canary, seconds=time.monotonic() - started))
        if verdict.stop:
            return verdict
    _judge(verdict, model, jobs)
    return verdict


def _copy(job: Job) -> Job:
    """For an engine that lets go of a job's audio once it has answered."""
    return replace(job, audio=list(job.audio))


def _canary(clip: str, question: str, reply: Generated) -> Canary:
    if reply.error is not None:
        return Canary(clip, question, "", "error", 0.0, reply.error)
    return Canary(clip, question, reply.text, flaw_of(reply.text, reply.finish_reason), 0.0)


def _judge(verdict: Verdict, model: AudioLM, jobs: Sequence[Job]) -> None:
    asked = verdict.asked
    flawed = [canary for canary in asked if canary.flaw is not None]
    if len(flawed) == len(asked):
        kinds = ", ".join(sorted({str(canary.flaw) for canary in flawed}))
        shown = flawed[0].error or repr(flawed[0].reply[:SHOWN])
        verdict.stop = f"all {len(asked)} replies are useless ({kinds}), e.g. {shown}"
        return
    if model.adapter_at_work(jobs[0]) is False:
        verdict.stop = "the adapter is loaded but changes no logit on a clip: it is not at work"
        return
    if flawed:
        listed = ", ".join(f"{c.clip}/{c.question}: {c.flaw}" for c in flawed)
        verdict.warnings.append(f"{len(flawed)} of {len(asked)} replies are useless ({listed})")
    _judge_sameness(verdict, model, jobs)


def _judge_sameness(verdict: Verdict, model: AudioLM, jobs: Sequence[Job]) -> None:
    places = [i for i, canary in enumerate(verdict.asked) if canary.question == "emotion"]
    to_one_question = {normal(verdict.asked[i].reply) for i in places}
    to_all = {normal(canary.reply) for canary in verdict.asked}
    reply = verdict.asked[places[0]].reply.strip()
    failed = any(verdict.asked[i].error for i in places)
    if len(places) > 1 and len(to_one_question) == 1 and not failed:
        scores = _scores(model, [jobs[i] for i in places], reply)
        if scores is not None and all(row == scores[0] for row in scores):
            verdict.stop = (
                f"{len(places)} different clips give the same reply {reply[:SHOWN]!r} with the same "
                f"log-probability ({scores[0][0]:.6g}): the sound does not reach the model"
            )
            return
        if scores is not None:
            verdict.warnings.append(f"every clip gives the reply {reply[:SHOWN]!r} (but is heard)")
            return
    if len(to_all) == 1 and len(verdict.asked) > 1:  # nor is it empty: see above
        if len(reply) > LABEL_CHARACTERS:
            verdict.stop = (
                f"different clips and different questions all give the reply {reply[:SHOWN]!r}: "
                "neither sound nor question can have reached the model"
            )
            return
        verdict.warnings.append(f"every clip and question gives the reply {reply[:SHOWN]!r}")


def _scores(model: AudioLM, jobs: Sequence[Job], reply: str) -> list[list[float]] | None:
    """Log-probabilities of the reply and of another text, by clip; ``None`` without any.

    Two texts, because that of a reply that is certain can be 0 for every clip.
    """
    score = getattr(model, "score", None)
    if score is None:
        return None
    try:
        texts = [text for text in (reply, OTHER_TEXT) if text]
        return [list(score([_copy(job)], [texts])[0]) for job in jobs]
    except (ModelError, NotImplementedError):  # an engine without log-probabilities
        return None
