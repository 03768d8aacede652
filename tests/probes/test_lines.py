"""What a terminal shows of probes."""

from __future__ import annotations

from collections.abc import Callable

from probe_models import utterances

from voxemo_tasks.results.basics import Value
from voxemo_tasks.results.model import TaskResult
from voxemo_tasks.results.probes.lines import points, probe_lines, share


def test_numbers() -> None:
    assert points(Value(value=-0.125, n=8)) == "-12.5"
    assert share(Value(value=0.5, n=2)) == "50.0"
    assert points(Value(value=None, n=0)) == share(None) == "-"


def test_the_lines_of_a_context_probe(ask: Callable[..., TaskResult]) -> None:
    rows = [{"path": u.path, "reply": u.label} for u in utterances()]
    result = ask(
        rows, "context", metadata={"conditions": ["factors", "noise@1", "noise@2"]}, limit=4
    )
    assert result.probes is not None
    lines = probe_lines(result.probes)
    assert "context:setting: not asked (the factor is not known)" in lines
    assert "context culture: gain of WA +0.0 [+0.0, +0.0], n 4" in lines
    assert "noise(kind=white), WA by severity: 0: 100.0, 1: 100.0, 2: 100.0" in lines
    assert not any(line.startswith(("context:culture:", "noise(kind=white, snr")) for line in lines)
    assert not any("validity gate" in line for line in lines)
