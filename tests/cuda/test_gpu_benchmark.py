"""benchmarks/gpu.py runs to its end, and writes what it prints. Only a real GPU can give useful times."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from minires.data import Dataset, Split

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module, with four images of 8 x 8."""
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (4, 3, 8, 8), np.uint8), rng.integers(0, 10, 4))
    monkeypatch.setattr(module, "noise", lambda: Dataset("noise", split, split, tuple("0123456789")))
    monkeypatch.setattr(module, "WARM_UP", 3)
    return module


@pytest.mark.slow
def test_it_measures_prints_and_writes(cupy, benchmark, tmp_path, capsys):
    file = tmp_path / "gpu" / "bench.json"
    short = ("--models", "resnet8", "--rungs", "explicit", "fused", "--batch-size", "2")
    benchmark.main([*short, "--steps", "1", "--rounds", "1", "--skip-tests", "--json", str(file)])
    report = json.loads(file.read_text())
    assert (report["batch_size"], report["cupy"]) == (2, cupy.__version__)
    measured = report["nets"]["resnet8"]
    names = ["minires explicit fp32", "minires explicit tf32", "minires fused tf32"]
    assert [name for name in measured if name.startswith("minires")] == names
    assert all(row["ms"] > 0 and row["MiB"] > 0 for row in measured.values())
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
