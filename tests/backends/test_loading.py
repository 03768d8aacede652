"""The identity of a local checkpoint."""

from __future__ import annotations

from pathlib import Path

from voxemo_tasks.backends.loading import WHOLE_BELOW, digest_of_folder


def test_weights_that_differ_in_the_middle_are_another_model(tmp_path: Path) -> None:
    """A merged adapter leaves size, header and the ends of the file as they were."""
    weights, size = tmp_path / "model.safetensors", 3 * WHOLE_BELOW
    weights.write_bytes(bytes(size))
    before = digest_of_folder(tmp_path)
    with weights.open("r+b") as stream:
        stream.seek(size // 2 + 12345)
        stream.write(b"\1" * (size // 200))
    assert digest_of_folder(tmp_path) != before
