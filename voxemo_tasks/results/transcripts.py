"""What is said in the clips, for rubrics that set reasons against the evidence.

A run folder holds no transcripts: they are the corpus's, and a run folder is passed on. So they are
looked up where the corpus is prepared, in the very manifest that the run was made with. A judge gets
them as one more field of the fenced material; it never gets a gold label or sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..corpora import prepared
from ..errors import VoxEmoError
from ..records import Json


@dataclass(frozen=True, slots=True)
class Transcripts:
    """The transcripts that a task's utterances have here.

    Attributes:
        of: Utterance id → what is said.
        reason: Why there are none; ``None`` where there are.
    """

    of: dict[str, str] = field(default_factory=dict)
    reason: str | None = None


def transcripts(corpus: Json) -> Transcripts:
    """Transcripts of a corpus, by the facts that a run keeps of it.

    Args:
        corpus: ``id`` and ``manifest_sha256`` from the header of a task's documents.

    Returns:
        None, with the reason, where the corpus is not prepared here, is prepared otherwise than it
        was for the run, or has none.
    """
    name, manifest_sha256 = str(corpus.get("id")), corpus.get("manifest_sha256")
    try:
        known = prepared(name)
        if known.digest != manifest_sha256:
            return Transcripts(
                reason=f"corpus {name!r} is prepared here with another manifest "
                f"({known.digest[:12]}) than the run's ({str(manifest_sha256)[:12]})"
            )
        manifest = known.manifest()
        ids, texts = manifest.column("utterance_id"), manifest.column("transcript")
    except VoxEmoError as error:
        return Transcripts(reason=str(error).splitlines()[0])
    found = {uid: str(text) for uid, text in zip(ids, texts, strict=True) if text}
    return Transcripts(found, None if found else f"corpus {name!r} has no transcripts")
