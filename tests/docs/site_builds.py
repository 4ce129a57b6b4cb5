"""Builds of the site as `sphinx-build docs site` makes them, each in a folder of its own."""

import importlib.util
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("furo", "myst_parser", "sphinx", "sphinx_copybutton", "sphinx_gallery", "sphinx-mathjax-offline")


def can_build():
    return all(importlib.util.find_spec(module) for module in NEEDED)


@cache
def build(*options):
    """The Build with these options of Sphinx, begun at the first call; a skip where Sphinx is missing."""
    if not can_build():
        pytest.skip("needs pip install -e '.[docs]'")
    return Build(*options)


class Build:
    """Sphinx at work in a process of its own, on a copy of what it reads. A warning is an error."""

    def __init__(self, *options):
        self.folder = TemporaryDirectory(prefix="minires-site-", ignore_cleanup_errors=True)
        self.path = Path(self.folder.name)
        for folder in ("docs", "tutorials", "results"):
            made = shutil.ignore_patterns("__pycache__", *({"tutorials"} if folder == "docs" else ()))
            shutil.copytree(ROOT / folder, self.path / folder, ignore=made)
        shutil.copy(ROOT / "README.md", self.path)
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", *options, "docs", "site"]
        with (self.path / "log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=self.path, stdout=log, stderr=subprocess.STDOUT)

    def site(self):
        """The folder of the site, when it is built."""
        assert self.process.wait() == 0, (self.path / "log").read_text()
        return self.path / "site"
