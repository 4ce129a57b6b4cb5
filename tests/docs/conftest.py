"""The browser that opens the site's pages."""

import shutil

import pytest


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium without a window; skips the test if it is missing."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    options = [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-quic",
        "--no-sandbox",
    ]
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()
