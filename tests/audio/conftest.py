"""Sound for the audio tests: known signals, and files of every kind written on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

Encode = Callable[..., Path]


@pytest.fixture
def encode(tmp_path: Path) -> Encode:
    """A function that writes samples through FFmpeg."""
    import av

    def write(
        name: str, samples: NDArray[np.float32], rate: int, codec: str, layout: str, kind: str
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            change = av.AudioResampler(format=kind, layout=layout, rate=rate)
            planar = np.ascontiguousarray(samples.T)
            for start in range(0, planar.shape[1], 1024):
                part = np.ascontiguousarray(planar[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
                frame.sample_rate, frame.pts = rate, start
                for changed in change.resample(frame):
                    container.mux(stream.encode(changed))
            container.mux(stream.encode(None))
        return path

    return write
