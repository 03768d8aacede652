"""A model whose replies depend on their neighbours is found out; one whose do not is not accused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from voxemo_tasks.backends import determinism
from voxemo_tasks.backends.base import Generated
from voxemo_tasks.backends.requests import Job
from voxemo_tasks.backends.scripted import ScriptedAudioLM
from voxemo_tasks.records import Decoding

SAMPLED = Decoding(8, temperature=1.0)


class Batched(ScriptedAudioLM):
    """A scripted model that remembers its batches and may let them change what it says."""

    says: Callable[[Sequence[Job], int], str] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.batches: list[list[str]] = []

    def generate(self, jobs: Sequence[Job]) -> list[list[Generated]]:
        self.batches.append([Path(job.request.audio[0].path).stem for job in jobs])
        said = super().generate(jobs)
        if type(self).says is None:
            return said
        return [[Generated(type(self).says(jobs, i))] for i in range(len(jobs))]


class BySize(Batched):
    says = staticmethod(lambda jobs, i: f"angry {len(jobs)}")  # type: ignore[assignment]


class Seeded(Batched):
    seeds_each_row: ClassVar[bool] = True


@pytest.fixture
def ran(clip: Any, instance: Any, script: Any, tmp_path: Path) -> Any:
    """Run a model on clips, and give lm-eval's instances their replies as lm-eval does."""

    def make(
        kind: type[Batched] = Batched,
        clips: int = 6,
        rows: Sequence[dict[str, Any]] = ({"reply": "sad"},),
        decoding: Decoding | None = None,
        samples: int = 1,
        **options: Any,
    ) -> tuple[Any, list[Any]]:
        model = kind(str(script(*rows)), store=str(tmp_path / "run"), **options)
        asked = [
            instance(clip(f"c{i}", 0.2), decoding=decoding, samples=samples) for i in range(clips)
        ]
        queue = [one for one in asked for _ in range(samples)]
        for one, reply in zip(queue, model.generate_until(queue, True), strict=True):
            one.resps.append(reply)
        model.batches.clear()
        return model, asked

    return make


def test_a_model_that_says_the_same_agrees_and_nothing_is_stored(ran: Any) -> None:
    model, asked = ran(batch_size=3)
    written = model.store.written
    report = determinism.check(model, asked, 4)
    assert (report["drawn"], report["n"], report["equal"], report["share"]) == (4, 4, 4, 1.0)
    assert (report["greedy"], report["sampled"], report["failed"]) == (4, 0, 0)
    assert report["examples"] == []
    assert (report["batch_size"], report["batch_size_again"]) == (3, 1)
    assert [len(batch) for batch in model.batches] == [1, 1, 1, 1]
    assert model.store.written == written
    assert model.batch == 3


@pytest.mark.parametrize(("batch", "again", "sizes"), [(1, 4, [4, 2]), (2, 1, [1] * 6)])
def test_a_model_whose_replies_depend_on_the_batch_is_found_out(
    ran: Any, batch: int, again: int, sizes: list[int]
) -> None:
    model, asked = ran(BySize, batch_size=batch)
    report = determinism.check(model, asked, 100)
    assert [len(b) for b in model.batches] == sizes
    assert (report["n"], report["equal"], report["share"]) == (6, 0, 0.0)
    assert report["batch_size_again"] == again
    assert len(report["examples"]) == 5
    example = report["examples"][0]
    assert (example["before"], example["again"]) == (f"angry {batch}", f"angry {again}")
    assert example["differs_at"] == len("angry ")
    assert "0 of 6 replies are the same" in determinism.sentence(report)


def test_only_what_differs_is_counted_as_different(ran: Any, monkeypatch: Any) -> None:
    model, asked = ran(batch_size=2)
    fickle = asked[2].args[2]["audio"][0]["path"]
    monkeypatch.setattr(
        Batched,
        "says",
        staticmethod(lambda jobs, i: "sad!" if jobs[i].request.audio[0].path == fickle else "sad"),
    )
    report = determinism.check(model, asked, 6)
    assert (report["n"], report["equal"], report["share"]) == (6, 5, 5 / 6)
    (example,) = report["examples"]
    assert (example["before"], example["again"], example["differs_at"]) == ("sad", "sad!", 3)


def test_the_draw_is_seeded_and_the_order_is_another(ran: Any) -> None:
    model, asked = ran(clips=8, batch_size=8)
    seen = []
    for seed in (0, 0, 1):
        model.batches.clear()
        determinism.check(model, asked, 5, seed)
        seen.append([name for batch in model.batches for name in batch])
    assert seen[0] == seen[1]
    assert set(seen[0]) != set(seen[2]) or seen[0] != seen[2]
    assert len(set(seen[0])) == 5
    model.batches.clear()
    determinism.check(model, asked, 8)
    assert [b[0] for b in model.batches] != [f"c{i}" for i in range(8)]


def test_sampled_replies_are_compared_only_where_each_row_has_its_seed(ran: Any) -> None:
    rows = [{"replies": ["s0", "s1", "s2"]}]
    model, asked = ran(rows=rows, decoding=SAMPLED, samples=3, batch_size=2)
    report = determinism.check(model, asked, 6)
    assert (report["n"], report["share"], report["left_out"]) == (0, None, 6)
    assert "6 sampled ones are left out" in determinism.sentence(report)
    assert model.batches == []


def test_a_sampled_reply_is_compared_with_its_own_sample(ran: Any) -> None:
    rows = [{"replies": ["s0", "s1", "s2"]}]
    model, asked = ran(Seeded, rows=rows, decoding=SAMPLED, samples=3, batch_size=2)
    report = determinism.check(model, asked, 6)
    assert (report["n"], report["sampled"], report["equal"], report["left_out"]) == (6, 6, 6, 0)


def test_failures_are_outside_the_rate(ran: Any, monkeypatch: Any, tmp_path: Path) -> None:
    rows = [{"path": "c0.wav", "error": "no"}, {"reply": "sad"}]
    model, asked = ran(rows=rows, batch_size=1)
    (tmp_path / "c1.wav").unlink()

    def says(jobs: Sequence[Job], i: int) -> str:
        if jobs[i].request.audio[0].path.endswith("c2.wav"):
            raise RuntimeError("out of memory")
        return "sad"

    monkeypatch.setattr(Batched, "says", staticmethod(says))
    report = determinism.check(model, asked, 6)
    # c0 had no reply to compare with, c1 cannot be heard now, c2 fails now
    assert (report["drawn"], report["failed"], report["n"], report["equal"]) == (5, 2, 3, 3)
    assert "2 failed this time" in determinism.sentence(report)


def test_nothing_answered_is_nothing_compared(ran: Any) -> None:
    model, asked = ran()
    for one in asked:
        one.resps.clear()
    report = determinism.check(model, asked, 3)
    assert (report["n"], report["share"]) == (0, None)
    assert determinism.sentence(report) == "no reply could be asked for again"


def test_two_tasks_that_share_a_request_draw_it_once(ran: Any) -> None:
    model, asked = ran(clips=3)
    assert determinism.check(model, [*asked, *asked], 10)["drawn"] == 3
