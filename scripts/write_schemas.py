"""Write the JSON Schemas of data rooms, cards and results from their classes.

Run after changing one in ``voxemo_tasks/specs`` or a model of ``voxemo_tasks/results``::

    python scripts/write_schemas.py

A test fails when a checked-in schema differs from its spec.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from voxemo_tasks import registry, specs
from voxemo_tasks.results.comparison_model import Comparison
from voxemo_tasks.results.model import Results

ROOT = Path(__file__).resolve().parent.parent
PLACES = {
    ROOT / "prompts" / "prompt.schema.json": specs.PromptSpec,
    ROOT / "prompts" / "wording.schema.json": specs.WordingSpec,
    ROOT / "prompts" / "ensemble.schema.json": specs.EnsembleSpec,
    ROOT / "verbalizers" / "verbalizer.schema.json": specs.VerbalizerSpec,
    ROOT / "verbalizers" / "words.schema.json": specs.WordsSpec,
    ROOT / "verbalizers" / "emulation.schema.json": specs.EmulationSpec,
    ROOT / "verbalizers" / "structured.schema.json": specs.StructuredSpec,
    ROOT / "verbalizers" / "cues.schema.json": specs.CuesSpec,
    ROOT / "judges" / "judge.schema.json": specs.JudgeSpec,
    ROOT / "judges" / "hygiene.schema.json": specs.HygieneSpec,
    ROOT / "voxemo_tasks" / "corpora" / "cards" / "card.schema.json": specs.CorpusCard,
    ROOT / "voxemo_tasks" / "backends" / "cards" / "card.schema.json": specs.ModelCard,
    ROOT / "voxemo_tasks" / "results" / "results.schema.json": Results,
    ROOT / "voxemo_tasks" / "results" / "comparison.schema.json": Comparison,
}


def rendered(spec: type[BaseModel]) -> str:
    """The text of a schema file."""
    return json.dumps(registry.schema_of(spec), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    for path, spec in PLACES.items():
        path.write_text(rendered(spec), encoding="utf-8", newline="\n")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
