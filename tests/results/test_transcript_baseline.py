"""What the words alone reach: shared utterances, both rates, the paired difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imported_runs import imported

from voxemo_tasks.cli import main
from voxemo_tasks.errors import OptionError, StoreError
from voxemo_tasks.results import read_results, score_run, table_of
from voxemo_tasks.results.exporting.values import measured
from voxemo_tasks.results.verifying import verify_results

LABELS = ("angry", "sad")
GOLD = ["angry", "angry", "angry", "angry", "sad", "sad", "sad", "sad"]
HEARD = ["angry", "angry", "angry", "sad", "sad", "sad", "sad", "hm"]
READ = ["angry", "sad", "hm", "sad", "sad", "angry", "sad", "sad"]


def rows(said: list[str], which: range = range(8), **changes: Any) -> list[dict[str, Any]]:
    return [
        {"utterance": f"u{i}", "reply": said[i], "gold": GOLD[i], "speaker": f"s{i % 4}"} | changes
        for i in which
    ]


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    return imported(tmp_path / "heard", rows(HEARD), labels=LABELS)


@pytest.fixture
def read(tmp_path: Path) -> Path:
    """Without u7: it was not asked of the words."""
    return imported(tmp_path / "read", rows(READ, range(7)), labels=LABELS[::-1], task="text")


def test_both_rates_and_the_difference_are_of_the_shared_utterances(
    heard: Path, read: Path
) -> None:
    results = score_run(heard, transcript_baseline=read, multiverse=False)
    task = results.tasks["imported"]
    block = task.transcript_baseline
    assert block is not None
    assert (block.source, block.task, block.condition) == ("run", "text", "clean")
    assert block.model["model"] == "read"
    assert (block.n, block.n_without_baseline) == (7, 1)
    # u0 to u6: heard 3 of 4 angry and 3 of 3 sad; read 1 of 4 (one no answer) and 2 of 3.
    uar = block.hard["uar"]["strict"]
    assert uar.own.value == pytest.approx((3 / 4 + 3 / 3) / 2)
    assert uar.baseline.value == pytest.approx((1 / 4 + 2 / 3) / 2)
    assert uar.difference.value == pytest.approx((3 / 4 + 1) / 2 - (1 / 4 + 2 / 3) / 2)
    # Answered: one angry of the words' has no answer, 1 of 3.
    answered = block.hard["uar"]["answered"]
    assert answered.baseline.value == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert (answered.baseline.n, answered.own.n) == (6, 7)
    for both in (uar, answered, block.hard["wa"]["strict"]):
        interval = both.difference.interval
        assert interval is not None
        assert (interval.method, interval.cluster) == ("cluster_bootstrap_t", "speaker")
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low <= both.difference.value <= interval.high  # type: ignore[operator]
    # The headline itself is of all eight, and does not change.
    alone = score_run(heard, multiverse=False).tasks["imported"]
    assert alone.hard == task.hard
    assert alone.transcript_baseline is None
    assert "no transcript baseline was given" in alone.absent["transcript_baseline"]
    assert "words alone (read): uar 45.8" in table_of(results)
    numbers = {(one.metric, one.policy): one.value for one in measured(results)}
    assert numbers["over_words.uar", "strict"] == uar.difference.value
    assert numbers["words.uar", "strict"] == uar.baseline.value


def test_the_interval_is_the_paired_one(heard: Path, tmp_path: Path) -> None:
    """Redrawing the speakers with both their answers, as the formula says."""
    other = imported(tmp_path / "words", rows(READ), labels=LABELS)
    block = score_run(heard, transcript_baseline=other, multiverse=False).tasks["imported"]
    assert block.transcript_baseline is not None
    wa = block.transcript_baseline.hard["wa"]["strict"].difference
    assert wa.interval is not None
    hits = np.array([(h == g) - float(r == g) for h, r, g in zip(HEARD, READ, GOLD, strict=True)])
    by_speaker = np.array([hits[i::4].sum() for i in range(4)])
    draws = np.random.default_rng(1).multinomial(4, [1 / 4] * 4, 200_000)
    error = (draws @ by_speaker / 8).std() * (4 / 3) ** 0.5
    reach = wa.value - wa.interval.low  # type: ignore[operator]  # the other side is clipped to 1
    assert reach == pytest.approx(3.182 * error, rel=0.06)  # t(3), 1000 replicates


def test_what_does_not_fit_is_a_letter(heard: Path, tmp_path: Path) -> None:
    others = imported(
        tmp_path / "others", [r | {"utterance": f"x{i}"} for i, r in enumerate(rows(READ))],
        labels=LABELS,
    )  # fmt: skip
    with pytest.raises(OptionError, match="matched by their id"):
        score_run(heard, transcript_baseline=others)
    menu = imported(tmp_path / "menu", rows(READ), labels=(*LABELS, "happy"))
    with pytest.raises(OptionError, match="matched by their id"):
        score_run(heard, transcript_baseline=menu)
    gold = imported(tmp_path / "gold", rows(READ, gold="sad"), labels=LABELS)
    with pytest.raises(OptionError, match="gold label of 'u0' is 'angry' in this run and 'sad'"):
        score_run(heard, transcript_baseline=gold)
    with pytest.raises(StoreError, match="not a run folder"):
        score_run(heard, transcript_baseline=tmp_path)


def test_the_command_and_verify(
    heard: Path, read: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["score", str(heard), "--no-sensitivity", "--transcript-baseline", str(read)]
    assert main(argv) == 0
    assert "words alone (read)" in capsys.readouterr().out
    path = heard / "results.json"
    assert verify_results(path).holds

    # A number of the block is verified like any other.
    text = path.read_text()
    data = json.loads(text)
    data["tasks"]["imported"]["transcript_baseline"]["hard"]["wa"]["strict"]["baseline"]["n"] = 6
    path.write_text(json.dumps(data))
    (one,) = verify_results(path).differences
    assert one.path.endswith("transcript_baseline.hard.wa.strict.baseline.n")
    path.write_text(text)

    moved = tmp_path / "elsewhere"
    read.rename(moved)
    with pytest.raises(StoreError, match="--transcript-baseline"):
        verify_results(path)
    assert main(["verify", str(path), "--transcript-baseline", str(moved)]) == 0
    stored = read_results(path).scoring
    assert stored is not None
    assert stored.transcript_baseline is not None
    assert stored.transcript_baseline.run == str(read)
    # What is written into the baseline's folder later is left out.
    later = imported(tmp_path / "later", rows(HEARD), labels=LABELS, task="second")
    for source in later.rglob("*.json*"):
        target = moved / source.relative_to(later)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    with pytest.raises(OptionError, match="all ask about utterances"):
        score_run(heard, transcript_baseline=moved)
    assert verify_results(path, transcript_baseline=moved).holds
