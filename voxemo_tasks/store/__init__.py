"""A run on disk: what was asked and replied; written as produced, read without a GPU."""

from .judgements import Judgement, JudgementStore, read_judgements
from .keys import reply_key, request_key, sample_seed
from .reading import Asked, RunData, is_failed, read_run, writers_of
from .writing import RunStore

__all__ = [
    "Asked",
    "Judgement",
    "JudgementStore",
    "RunData",
    "RunStore",
    "is_failed",
    "read_judgements",
    "read_run",
    "reply_key",
    "request_key",
    "sample_seed",
    "writers_of",
]
