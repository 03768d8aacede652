"""The exported table as LaTeX itself reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from made_runs import make_run, right

from voxemo_tasks.results import read_results
from voxemo_tasks.results.exporting import to_latex
from voxemo_tasks.results.exporting.latex import NARROWEST, NOT_LATIN, STYLES, Style

SPECIAL = 'M_1 5 % & #1 ~"x"|<y> $z$ {w} ^v \\u [é]'
DOCUMENT = r"""\documentclass{article}
\usepackage[%s]{fontenc}
\usepackage{booktabs}
\begin{document}
\noindent\input{table.tex}
\end{document}
"""


def table(tmp_path: Path, style: Style, metrics: list[str]) -> str:
    paths = [make_run(tmp_path / name, right(24, wrong=n)) for name, n in (("a", 2), ("b", 9))]
    several = [read_results(path) for path in paths]
    return to_latex(several, [None, None], metrics, style=style, names=[SPECIAL, "second"])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("encoding", ["OT1", "T1"])
@pytest.mark.parametrize("style", STYLES)
def test_the_table_compiles(tmp_path: Path, style: Style, encoding: str) -> None:
    metrics = ["uar"] if style == "brackets" else ["uar", "wa"]  # as much as a column of text holds
    (tmp_path / "table.tex").write_text(table(tmp_path, style, metrics), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(DOCUMENT % encoding)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert "Overfull" not in log
    assert "Missing character" not in log


def test_notes_are_no_wider_than_the_table(tmp_path: Path) -> None:
    task = "a_task_whose_name_goes_on_and_on"
    paths = [make_run(tmp_path / n, right(24, wrong=k), task=task) for n, k in (("a", 2), ("b", 9))]
    several = [read_results(path) for path in paths]
    text = to_latex(several, [None, None], style="none", names=["first", "second"])
    notes = [line for line in text.splitlines() if "footnotesize" in line]
    said = [line.split("\\footnotesize ")[1].removesuffix("} \\\\") for line in notes]
    assert max(map(len, said)) <= NARROWEST
    assert " ".join(said).endswith("(the run folder of model is not here).")
    assert len(said) == 3


def test_names_beyond_latin_say_what_sets_them(tmp_path: Path) -> None:
    results = read_results(make_run(tmp_path / "a", right(24)))
    text = to_latex([results], [None], names=["情感 عربي"])
    assert NOT_LATIN in text.splitlines()
    assert "情感 عربي & " in text
    assert NOT_LATIN not in to_latex([results], [None], names=["Modèle – 2"])
