"""The whole site, with every tutorial executed."""

import pytest
from browsing import SCREENS, faults_of
from site_builds import build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(for_all_workers):
    return build(for_all_workers / "site")


def test_every_tutorial_has_its_output(site):
    pages = [path for path in (site / "tutorials").rglob("*.html") if path.stem != "index"]
    assert len(pages) == 26
    assert [path.stem for path in pages if "sphx-glr-script-out" not in path.read_text()] == []


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_opens_without_a_fault(browser, site, screen):
    assert faults_of(browser, site, screen) == []
