"""How Sphinx builds the site: `sphinx-build docs site`. It runs every tutorial, which takes some minutes."""

import sys
from pathlib import Path

import minires

sys.path.append(str(Path(__file__).parent / "_extensions"))

project = "minires"
version = release = minires.__version__
html_title = "minires"
html_show_copyright = html_show_sphinx = False
language = "en"

extensions = [
    "myst_parser",  # pages in Markdown
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",  # every function links to its source, highlighted
    "sphinx-mathjax-offline",  # MathJax and its fonts beside the pages
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "plain_docstrings",
    "defined_names",
    "networks",
]
exclude_patterns = ["_extensions"]
myst_enable_extensions = ["deflist", "dollarmath"]
nitpicky = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = html_logo = "_static/icon.svg"
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "extra_repr"}
autodoc_typehints = "none"

copybutton_selector = "div.highlight-Python pre, div.highlight-python pre, div.highlight-sh pre"

sphinx_gallery_conf = {
    "examples_dirs": "../tutorials",
    "gallery_dirs": "tutorials",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": True,
    "abort_on_example_error": True,
    "image_srcset": ["2x"],
    "default_thumb_file": str(Path(__file__).parent / "_static" / "thumb.png"),
    "remove_config_comments": True,
    "min_reported_time": 1e9,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "reset_modules": ("matplotlib",),
    "capture_repr": (),
}
suppress_warnings = ["config.cache"]
