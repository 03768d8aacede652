"""What tests do so that torchvision imports beside a CPU build of torch.

The torchvision on PyPI is built for CUDA: beside a CPU torch its import fails, since the operators
it decorates are missing. Speech models need only its image transforms, through their processors.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import torch

_kept: list[Any] = []


def torchvision() -> None:
    """Import torchvision, with its missing operators declared where they are missing.

    Raises:
        ImportError: Where it is not installed, or cannot be imported all the same.
    """
    if importlib.util.find_spec("torchvision") is None:
        raise ImportError("torchvision is not installed: pip install torchvision")
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise ImportError(f"torchvision cannot be imported: {error}") from error
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(f"nms{arguments}")
        library.define(f"qnms{arguments}")
        _kept.append(library)
        importlib.import_module("torchvision")


def torchaudio() -> None:
    """Import torchaudio.

    Raises:
        ImportError: Where it is not installed, or its libraries do not fit this torch.
    """
    try:
        importlib.import_module("torchaudio.transforms")
    except ModuleNotFoundError as error:
        raise ImportError("torchaudio is not installed: pip install torchaudio") from error
    except (OSError, RuntimeError) as error:
        raise ImportError(f"torchaudio cannot be imported: {error}") from error


def package(name: str, pip_name: str) -> None:
    """Import any other package.

    Raises:
        ImportError: Where it is not installed.
    """
    if importlib.util.find_spec(name) is None:
        raise ImportError(f"{pip_name} is not installed: pip install '{pip_name}'")
