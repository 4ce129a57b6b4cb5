"""The distribution: its name, and what its installation contains."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import minires

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def tracked_files():
    """The files that a clone has, as paths from the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a clone: git lists no files here")
    return [name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()]


def test_the_name_is_not_that_of_another_project():
    """On the Python package index minires is a reservoir simulator."""
    assert PROJECT["name"] == "minires-deep-learning"
    assert PROJECT["version"] == minires.__version__
    assert PROJECT["scripts"] == {"minires": "minires.cli:main"}, "the command that users type stays short"


def test_no_text_tells_users_to_install_the_other_project():
    text_files = [
        name for name in tracked_files() if name.endswith((".md", ".rst", ".py", ".toml", ".sh", ".yml"))
    ]
    assert len(text_files) > 300
    for name in text_files:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"pip install (-\w+ )*['\"]?minires(?!-deep-learning)\b", text), name


@pytest.mark.slow
def test_a_wheel_of_a_clean_clone_runs_the_degradation_experiment(tmp_path):
    for name in tracked_files():
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "clone" / name)

    def pip(*words):
        subprocess.run([sys.executable, "-m", "pip", "--quiet", *words], check=True, cwd=tmp_path)

    pip("wheel", "--no-deps", "--wheel-dir", "wheels", "./clone")
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert wheel.name == f"minires_deep_learning-{PROJECT['version']}-py3-none-any.whl"
    pip("install", "--no-deps", "--target", "installed", str(wheel))
    shutil.rmtree(tmp_path / "clone")

    def run(*words):
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    location = run("-c", "import minires; print(minires.__file__)")
    assert Path(location.strip()).is_relative_to(tmp_path / "installed")
    output = run("-m", "minires.cli", "degradation", "--depths", "8,14", "--epochs", "1", "--out", "results")
    assert "resnet14" in output
    assert (tmp_path / "results" / "degradation.png").exists()
    kernels = {
        file.name for file in (ROOT / "minires" / "backend" / "cuda").iterdir() if file.suffix != ".py"
    }
    installed = {file.name for file in (tmp_path / "installed" / "minires" / "backend" / "cuda").iterdir()}
    assert kernels - {"__pycache__"} <= installed
