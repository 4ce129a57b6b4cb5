"""Programs that run on the CPU never import CuPy, whether it is installed or not."""

import os
import subprocess
import sys
import textwrap

import pytest

RUN = """
import numpy as np

from minires.data import Dataset, Split
from minires.train import Recipe, load_run, train

split = Split(np.random.default_rng(0).integers(0, 256, (8, 3, 8, 8), np.uint8), np.arange(8) % 2)
dataset = Dataset("noise", split, split, ("a", "b"))
recipe = Recipe(
    "resnet8", "noise", 2, model_options={"widths": [4, 4, 4]}, batch_size=4, crop_padding=1, flip=True
)
run = train(recipe, "run", dataset=dataset, checkpoint_every=1)
assert run.state.step == 2
assert np.isfinite(run.history.last("test_loss"))
train(recipe, "run", dataset=dataset, resume=True)
load_run("run")
"""

IMPORTS = """
from importlib import import_module
from pkgutil import walk_packages

import minires

names = {module.name for module in walk_packages(minires.__path__, "minires.")}
for name in sorted(names - {"minires.__main__", "minires.cli.__main__", "minires.bench.pytorch"}):
    import_module(name)
assert "minires.backend.cuda.launch" in names
"""


@pytest.fixture
def python(tmp_path):
    """A function that runs a program where importing CuPy is an error."""
    (tmp_path / "cupy.py").write_text("raise AssertionError('CuPy was imported')", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def run(program):
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_training_evaluation_and_checkpoints(python):
    result = python(RUN)
    assert result.returncode == 0, result.stderr


def test_every_module(python):
    result = python(IMPORTS)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("program", ["import cupy", "import minires; minires.Tensor([1.0]).to('cuda')"])
def test_an_import_would_be_noticed(python, program):
    assert "AssertionError: CuPy was imported" in python(program).stderr
