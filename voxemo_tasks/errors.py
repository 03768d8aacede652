"""The errors of the package: one small tree.

A message is a letter to the user. It says what was got, what is allowed, which file and key, and
what to do. Nothing here is raised for a model's behaviour: a reply that cannot be read is a status,
never an exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VoxEmoError(Exception):
    """Base of every error that a user can cause or mend."""


class UnknownNameError(VoxEmoError, LookupError):
    """A name that nothing is registered under.

    Attributes:
        kind: What was looked up, e.g. ``"corpus"``.
        name: What was asked for.
        nearest: Registered names that resemble it, best first.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        self._given = (kind, name, names, hint)
        self.kind = kind
        self.name = name
        self.nearest = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
        if self.nearest:
            advice = f"did you mean {' or '.join(repr(n) for n in self.nearest)}?"
        elif len(names) <= 20:
            advice = f"known: {', '.join(names) if names else 'none'}."
        else:
            advice = f"{len(names)} are known, the first are {', '.join(names[:10])}."
        super().__init__(f"no {kind} is called {name!r}; {advice}{' ' + hint if hint else ''}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str], str]]:
        return type(self), self._given


class DataRoomError(VoxEmoError, ValueError):
    """A file of a data room that cannot be used: YAML, schema, digest or reference."""


class BrokenInstallError(VoxEmoError):
    """A file that every installation carries is not there."""


class LabelSetError(VoxEmoError, ValueError):
    """Labels outside their set, or two label sets that should be one."""


class OptionError(VoxEmoError, ValueError):
    """A run option (``--metadata``, ``--model_args``) that is unknown or out of range."""


class CorpusError(VoxEmoError):
    """A local copy of a corpus that cannot be read as that corpus."""


class NotPreparedError(CorpusError):
    """A corpus that this user has not prepared yet."""


class AudioError(VoxEmoError):
    """A clip that cannot be decoded, or a segment that is not in it."""


class ModelError(VoxEmoError):
    """A checkpoint, processor or engine that cannot be used."""


class StoreError(VoxEmoError):
    """A run folder that cannot be written, or that holds something else than was expected."""


class RunFailedError(VoxEmoError):
    """A run whose own failures (not the model's) exceed the registered limit."""


class PlanError(VoxEmoError):
    """A plan that cannot be locked, was changed after it was locked, or was departed from."""
