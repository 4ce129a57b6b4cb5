"""The site, built in a folder of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def build_site(tmp_path_factory):
    """build_site(options): the site's folder, as `sphinx-build docs site` makes it; a warning is an error."""
    for module in ("sphinx", "sphinx_gallery", "furo", "myst_parser"):
        pytest.importorskip(module, reason="needs pip install -e '.[docs]'")

    def build(*options):
        copy = tmp_path_factory.mktemp("project")
        for folder in ("docs", "tutorials", "results"):
            made = shutil.ignore_patterns("__pycache__", *({"tutorials"} if folder == "docs" else ()))
            shutil.copytree(ROOT / folder, copy / folder, ignore=made)
        shutil.copy(ROOT / "README.md", copy)
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", *options, "docs", "site"]
        result = subprocess.run(command, cwd=copy, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return copy / "site"

    return build


@pytest.fixture(scope="session")
def site(build_site):
    """The site with the tutorials' text and code, which are not executed: no figures, no output."""
    return build_site("-D", "plot_gallery=0")


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium without a window, or a skip."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    quiet = [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-quic",
        "--no-sandbox",
    ]
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=quiet)
        yield browser
        browser.close()
