"""The shapes of everything registered: one pydantic class per kind of file.

The JSON Schemas beside the data files are written from these classes (``scripts/write_schemas.py``)
and forbid unknown keys, so that no file of a data room can be taken for an lm-eval task.

``prompts``      what the model is asked: prompts, wordings, ensembles
``verbalizers``  how text becomes a label
``judges``       rubrics, and the hygiene of what judges read
``corpora``      the card of a corpus
``ontology``     the canonical labels' placement, and notes on cultures
``models``       the card of a family of speech LLMs
``common``       what they share
"""

from __future__ import annotations

from .common import BCP47, Bcp47, Identifier, PromptDecoding, Spec
from .corpora import (
    ContaminationSpec,
    ContextSpec,
    CorpusCard,
    DimensionsSpec,
    ExpectedSpec,
    LabelSetSpec,
    ProtocolSpec,
    ReaderSpec,
    TracesSpec,
)
from .judges import (
    JUDGE_PLACEHOLDERS,
    Attack,
    HygieneSpec,
    JudgeAnswer,
    JudgeCanary,
    JudgeDimension,
    JudgeExample,
    JudgeSpec,
    JudgeTask,
)
from .models import (
    AdapterFacts,
    ApiFacts,
    AudioTokenRule,
    ChatFormat,
    ModelCard,
    ProcessorCall,
    TrainedOn,
)
from .ontology import CultureNote, CultureNotes, LabelOntology, LabelPlacement
from .prompts import (
    FACTORS,
    NEEDED,
    PLACEHOLDERS,
    Answer,
    EnsembleMember,
    EnsembleSpec,
    Factor,
    LabelForm,
    LabelOrder,
    LabelStyle,
    LabelWords,
    PromptSpec,
    WordingSpec,
)
from .verbalizers import (
    AnyVerbalizer,
    CuesSpec,
    EmulationSpec,
    StructuredExample,
    StructuredSpec,
    VerbalizerExample,
    VerbalizerLanguage,
    VerbalizerScopes,
    VerbalizerSpec,
    VerbalizerTypos,
    WordsRef,
    WordsSpec,
)

__all__ = [
    "BCP47",
    "FACTORS",
    "JUDGE_PLACEHOLDERS",
    "NEEDED",
    "PLACEHOLDERS",
    "AdapterFacts",
    "Answer",
    "AnyVerbalizer",
    "ApiFacts",
    "Attack",
    "AudioTokenRule",
    "Bcp47",
    "ChatFormat",
    "ContaminationSpec",
    "ContextSpec",
    "CorpusCard",
    "CuesSpec",
    "CultureNote",
    "CultureNotes",
    "DimensionsSpec",
    "EmulationSpec",
    "EnsembleMember",
    "EnsembleSpec",
    "ExpectedSpec",
    "Factor",
    "HygieneSpec",
    "Identifier",
    "JudgeAnswer",
    "JudgeCanary",
    "JudgeDimension",
    "JudgeExample",
    "JudgeSpec",
    "JudgeTask",
    "LabelForm",
    "LabelOntology",
    "LabelOrder",
    "LabelPlacement",
    "LabelSetSpec",
    "LabelStyle",
    "LabelWords",
    "ModelCard",
    "ProcessorCall",
    "PromptDecoding",
    "PromptSpec",
    "ProtocolSpec",
    "ReaderSpec",
    "Spec",
    "StructuredExample",
    "StructuredSpec",
    "TracesSpec",
    "TrainedOn",
    "VerbalizerExample",
    "VerbalizerLanguage",
    "VerbalizerScopes",
    "VerbalizerSpec",
    "VerbalizerTypos",
    "WordingSpec",
    "WordsRef",
    "WordsSpec",
]
