"""A run on disk: what was asked and replied; written as produced, read without a GPU."""

from .keys import reply_key, request_key, sample_seed
from .reading import Asked, RunData, is_failed, read_run
from .writing import RunStore

__all__ = [
    "Asked",
    "RunData",
    "RunStore",
    "is_failed",
    "read_run",
    "reply_key",
    "request_key",
    "sample_seed",
]
