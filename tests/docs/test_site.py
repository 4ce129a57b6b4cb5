"""The site: every link has a target, nothing comes from another server, pages open without an error."""

from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from browsing import faults_of
from site_builds import build

from minires import models

pytestmark = pytest.mark.slow

WITHOUT_RUNNING = ("-D", "plot_gallery=0")  # the tutorials' text and code, without figures and output

# Files that a browser loads by itself. Other addresses are links, which a reader follows.
LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("source", "src"), ("iframe", "src")}
# A <link> of one of these relations describes the page; its address is not loaded.
RELATIONS = {"canonical", "next", "prev", "index", "search", "author"}


class Page(HTMLParser):
    """The ids of a page, what it loads, and where its links lead."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.loaded, self.links = set(), set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        for name in ("src", "href"):
            if attributes.get(name) is None:
                continue
            loaded = (tag, name) in LOADED and attributes.get("rel") not in RELATIONS
            (self.loaded if loaded else self.links).add(attributes[name])


@pytest.fixture(scope="module")
def site(for_all_workers):
    return build(for_all_workers / "site-without-running", *WITHOUT_RUNNING)


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


@pytest.mark.slow
def test_the_site_has_its_parts(site):
    for name in ("index", "networks", "speed", "api/nn", "tutorials/index", "tutorials/01_arrays"):
        assert (site / f"{name}.html").is_file()
    assert "<h1>How fast, and why" in (site / "speed.html").read_text()


@pytest.mark.slow
def test_the_home_page_opens_with_the_figure_and_the_command(site):
    text = (site / "index.html").read_text()
    figure, command = text.index("degradation.png"), text.index('minires<span class="w"> </span>degradation')
    assert text.index("<h1>") < figure < command < text.index("<h2>")


def has_target(link, path, pages):
    """Whether a link on the page `path` leads to a file and, if it names an id, to that element."""
    parts = urlsplit(link)
    if parts.netloc or parts.scheme in ("https", "mailto", "data"):
        return True  # on another server, which cannot be checked offline
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not parts.fragment or target not in pages:
        return target.is_file()
    return unquote(parts.fragment) in pages[target].ids


@pytest.mark.slow
def test_every_link_leads_to_a_page_and_a_place_in_it(pages):
    assert sum(len(page.links) for page in pages.values()) > 1000
    for path, page in pages.items():
        assert [link for link in page.links | page.loaded if not has_target(link, path, pages)] == []


@pytest.mark.slow
def test_nothing_is_loaded_from_another_server(pages):
    for page in pages.values():
        assert [link for link in page.loaded if urlsplit(link).netloc] == []


@pytest.mark.slow
def test_the_table_has_every_network(pages, site):
    text = (site / "networks.html").read_text()
    assert [name for name in models.names() if f">{name}<" not in text] == []
    assert "269,722" in text


@pytest.mark.slow
def test_every_page_opens_without_a_fault(browser, site):
    assert faults_of(browser, site, "phone") == []


def test_faults_are_found(browser, tmp_path):
    (tmp_path / "page.html").write_text(
        '<img src="none.png"><span class="math">x^2</span><div style="width: 5000px">wide</div>'
        "<script>undefinedFunction()</script>"
    )
    faults = "\n".join(faults_of(browser, tmp_path, "phone"))
    for fault in (
        "failed to load",
        "missing image",
        "unrendered formula x^2",
        "wider than the screen",
        "undefinedFunction",
    ):
        assert fault in faults
