"""The judge pass: items → any lm-eval text model → judgements in the run folder.

A judge is whatever lm-eval can generate with (``hf``, ``vllm``, ``local-chat-completions`` …), asked
greedily, one item a call. What it writes is read by :mod:`voxemo_tasks.adjudicate`; an answer that
cannot be used is asked for once more and is then a failed judgement. Judgements are stored as they
come and found by content, so that a pass that was killed goes on where it was.

Before it judges anything, each judge gets the **canaries**: material with a known answer and an
attack in it. A judge that falls for more than ``MOST_FOOLED`` of them is dropped. Of the items, a
seeded share is judged twice, with the options the other way round (the flip rate), and a share in
the reply's own language where the rubric is written in it.
"""

from .asking import CHUNK, LANGUAGE_SHARE, SWAPPED_SHARE, Settings, ToJudge
from .checks import CANARY_SHARE, LEAST_SAMPLE, sample_of
from .engines import BROKEN_AFTER, Judge, context_of, generate
from .loading import STRUCTURED, family_of, load_judge
from .panels import MOST_FOOLED, JudgeReport, panel_flags, run_pass

__all__ = [
    "BROKEN_AFTER",
    "CANARY_SHARE",
    "CHUNK",
    "LANGUAGE_SHARE",
    "LEAST_SAMPLE",
    "MOST_FOOLED",
    "STRUCTURED",
    "SWAPPED_SHARE",
    "Judge",
    "JudgeReport",
    "Settings",
    "ToJudge",
    "context_of",
    "family_of",
    "generate",
    "load_judge",
    "panel_flags",
    "run_pass",
    "sample_of",
]
