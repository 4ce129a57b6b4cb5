"""CUDA's compute-sanitizer watches a tiny run on a real GPU: accesses to memory, races, barriers."""

import shutil
import subprocess
import sys

import pytest

TINY = """
import numpy as np
from minires.data import Dataset, Split
from minires.train import Hardware, Recipe, train

rng = np.random.default_rng(0)
split = Split(rng.integers(0, 256, (5, 3, 9, 9), np.uint8), rng.integers(0, 3, 5))
dataset = Dataset("noise", split, split, ("a", "b", "c"))
for rung, precision in (("explicit", "fp32"), ("implicit", "fp32"), ("fused", "tf32"), ("fused", "bf16")):
    recipe = Recipe(
        "resnet8", "noise", 2, batch_size=3, crop_padding=1, flip=True, model_options={"widths": [4, 6, 8]}
    )
    train(recipe, dataset=dataset, hardware=Hardware.choose("cuda", rung, precision))
"""


@pytest.mark.gpu
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_a_tiny_run(tool, tmp_path):
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    if shutil.which("compute-sanitizer") is None:
        pytest.skip("needs compute-sanitizer, which comes with CUDA's toolkit")
    script = tmp_path / "tiny.py"
    script.write_text(TINY)
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", sys.executable, str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if "Device not supported" in result.stdout:
        pytest.skip("compute-sanitizer does not support this device")
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
