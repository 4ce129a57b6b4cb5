"""Builds of the site as by `sphinx-build docs site`, each built once for all workers."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
NEEDED = ("furo", "myst_parser", "sphinx", "sphinx_copybutton", "sphinx_gallery", "sphinx-mathjax-offline")


def build(folder, *options):
    """The site, built in `folder` from copied sources with these options of Sphinx; or a skipped test."""
    if not all(importlib.util.find_spec(module) for module in NEEDED):
        pytest.skip("needs pip install -e '.[docs]'")
    with FileLock(f"{folder}.lock"):  # another worker may be building it
        if not folder.exists():
            copy_sources(folder)
            run_sphinx(folder, options)
    result, text = (folder / "result").read_text(), (folder / "log").read_text()
    assert result == "0", text
    return folder / "site"


def copy_sources(folder):
    for name in ("docs", "tutorials", "results"):
        ignored = shutil.ignore_patterns("__pycache__", *({"tutorials"} if name == "docs" else ()))
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "README.md", folder)


def run_sphinx(folder, options):
    """Sphinx treats a warning as an error."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", *options, "docs", "site"]
    with (folder / "log").open("w") as log:
        process = subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=False)
    (folder / "result").write_text(str(process.returncode))
