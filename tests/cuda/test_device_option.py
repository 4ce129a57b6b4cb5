"""--device cuda at the command line: what it prints, what it writes, and its errors, one line each."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from minires import data as data_sets
from minires.cli.app import app
from minires.data import Dataset, Split

TRAIN = ("train", "resnet8", "--option", "widths=2,3,4", "--iterations", "4", "--batch-size", "4")


def minires(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=True)


@pytest.fixture(autouse=True)
def six_images(monkeypatch):
    """Six images of 8 x 8 in place of any data set."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (6, 3, 8, 8), np.uint8), rng.integers(0, 3, 6))
    dataset = Dataset("digits", split, split, ("a", "b", "c"))
    monkeypatch.setattr(data_sets, "load", lambda name, **options: dataset)
    for module in ("minires.train.trainer", "minires.train.evaluation"):
        target = "load_data" if module.endswith("trainer") else "load"
        monkeypatch.setattr(f"{module}.{target}", lambda name, **options: dataset)


def test_train_says_how_and_evaluate_takes_the_run(cupy, tmp_path):
    result = minires(*TRAIN, "--device", "cuda", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert ", rung fused, precision tf32, each step one CUDA graph" in result.output
    assert "resnet8 after 4 steps: training error" in result.output
    environment = json.loads((tmp_path / "run" / "recipe.json").read_text())["environment"]
    assert environment["rung"] == "fused"
    assert environment["precision"] == "tf32"
    assert environment["recorded"] is True
    errors = [
        minires("evaluate", tmp_path / "run", "--device", device).output.split("test error")[1]
        for device in ("cpu", "cuda")
    ]
    assert errors[0] == errors[1]
    tables = [
        minires("evaluate", tmp_path / "run", tmp_path / "run", "--device", device).output
        for device in ("cpu", "cuda")
    ]
    assert "ensemble of 2" in tables[0]
    assert tables[0] == tables[1]


def test_doctor_names_the_gpu_and_tries_a_kernel(cupy):
    output = minires("doctor").output
    for text in ("GiB, compute capability", "compile and run", "multiply TF32", "fused, of explicit"):
        assert text in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "tpu"), "unknown device 'tpu'; use 'cpu' or 'cuda'"),
        (("--precision", "tf32"), "--precision tf32 is for a GPU; add --device cuda"),
        (("--rung", "fused"), "--rung fused is for a GPU; add --device cuda"),
        (("--device", "cuda", "--precision", "tf23"), "unknown precision 'tf23'; did you mean tf32"),
        (("--device", "cuda", "--rung", "implict"), "unknown rung 'implict'; did you mean implicit"),
        (("--device", "cuda", "--rung", "explicit", "--precision", "bf16"), "use --precision tf32"),
    ],
)
def test_wrong_options(cupy, arguments, message):
    result = minires(*TRAIN, *arguments)
    assert message in str(result.exception)


def broken_cupy(tmp_path, code):
    """Environment variables with which importing CuPy runs this code."""
    (tmp_path / "cupy.py").write_text(code)
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": paths}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "raise ModuleNotFoundError('no module named cupy', name='cupy')",
            "needs CuPy, which is not installed; on a machine with an NVIDIA GPU run pip install 'cupy",
        ),
        pytest.param(
            "raise ImportError('libcuda.so.1: cannot open')",
            "does not load (libcuda.so.1: cannot open); on a machine with an NVIDIA GPU run pip install",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "class cuda:\n    is_available = staticmethod(lambda: False)",
            "sees no NVIDIA GPU; check the driver with nvidia-smi, or use --device cpu",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_without_a_gpu_there_is_one_line(tmp_path, code, message):
    command = [sys.executable, "-m", "minires.cli", *TRAIN, "--device", "cuda"]
    result = subprocess.run(
        command, capture_output=True, text=True, env=broken_cupy(tmp_path, code), cwd=tmp_path, timeout=60
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not (tmp_path / "runs").exists()
