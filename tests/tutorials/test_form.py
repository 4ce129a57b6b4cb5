"""Every tutorial has the same form, uses public names only, and is executed by a test."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "tutorials").glob("[0-9]*.py"))
SOLUTIONS = sorted((ROOT / "tutorials" / "solutions").glob("[0-9]*.py"))
FOR_EACH_FILE = pytest.mark.parametrize("path", PAGES + SOLUTIONS, ids=lambda path: path.stem)
FOR_EACH_PAGE = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)

HEAD = re.compile(
    r"""\d+\.\ .+\n=+\n\n                    # the title with its number
    \*\*You\ build\*\*\ .+?\n\n
    \*\*You\ need\*\*\ .+?\n\n
    \*\*It\ takes\*\*\ less\ than\ (\d+)\ seconds\ on\ two\ cores""",
    re.VERBOSE | re.DOTALL,
)


def docstring(path):
    return ast.get_docstring(ast.parse(path.read_text()))


def seconds_at_most(path):
    """The seconds that the page's head promises."""
    return int(HEAD.match(docstring(path))[1])


def test_pages_are_numbered_from_1_without_a_gap():
    assert [int(path.name[:2]) for path in PAGES] == list(range(1, len(PAGES) + 1))


@FOR_EACH_PAGE
def test_the_head_says_what_is_built_what_is_needed_and_how_long_it_takes(path):
    head = HEAD.match(docstring(path))
    assert head, docstring(path)[:300]
    assert int(head[1]) <= 120


@FOR_EACH_PAGE
def test_a_page_ends_with_exercises_that_have_solutions(path):
    solutions = path.parent / "solutions" / f"{path.stem}_solutions.py"
    assert solutions in SOLUTIONS
    text = path.read_text()
    exercises = text[text.index("# Exercises\n# ---") :]
    assert f":doc:`The solutions <solutions/{solutions.stem}>`" in " ".join(exercises.split("\n# "))
    numbers = re.findall(r"^# (\d+)\. ", exercises, re.MULTILINE)
    solved = re.findall(r"^# (\d+)\. .+\n# -{3,}", solutions.read_text(), re.MULTILINE)
    assert numbers == solved != []


@FOR_EACH_FILE
def test_only_public_names_are_used(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "minires":
            module = importlib.import_module(node.module)
            public = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
            parts = pkgutil.iter_modules(getattr(module, "__path__", ()))
            packages = [part.name for part in parts if part.ispkg]
            assert {alias.name for alias in node.names} <= {*public, *packages}
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr.startswith("__")


@FOR_EACH_FILE
def test_a_test_executes_it(path):
    name = path.relative_to(ROOT / "tutorials").with_suffix("").as_posix()
    number = path.name[:2]
    (test,) = Path(__file__).parent.glob(f"test_{number}_*.py")
    assert f'run_page("{name}"' in test.read_text()
