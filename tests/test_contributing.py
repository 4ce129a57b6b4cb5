"""CONTRIBUTING is complete: its four additions, applied to a copy as they stand there, pass its commands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from test_structure import FILES, part_of, parts_imported, tree_of

from minires.backend.kernels import FAST_FROM_ELEMENTS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (Add [^\n]+)\n(.*?)(?=^## )", TEXT, re.DOTALL | re.MULTILINE)
ADDITIONS = [title for title, _ in SECTIONS]

COMMANDS = {"minires": ["-m", "minires.cli"], "pytest": ["-m", "pytest"]}


def blocks(section):
    """(path above the block or "", language, lines) of every code block of a section."""
    for path, language, code in re.findall(
        r"(?:^`(\S+)`\n\n)?^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.M
    ):
        yield path, language, code.splitlines()


def added_lines(section):
    """The lines that a reader adds, blank ones aside."""
    for _, language, lines in blocks(section):
        if language == "python":
            yield from filter(str.strip, lines)
        if language == "diff":
            yield from (line for line in lines if re.match(r"\+(?!\+\+ )", line))


def apply(section, root):
    """Make the section's additions in the copy of the project at `root`."""
    for path, language, lines in blocks(section):
        if language == "python":
            is_new = not (root / path).exists()
            with (root / path).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in (lines if is_new else ["", "", *lines]))
        if language == "diff":
            for path, *hunks in changes_by_file(lines):
                text = (root / path).read_text(encoding="utf-8")
                for hunk in hunks:
                    text = changed(text, hunk)
                (root / path).write_text(text, encoding="utf-8")


def changes_by_file(lines):
    """[path, hunk, hunk, ...] for each file of a diff: "+++ path" begins a file, "@@" another hunk."""
    files = []
    for line in lines:
        if line.startswith("+++ "):
            files.append([line.removeprefix("+++ "), []])
        elif line == "@@":
            files[-1].append([])
        else:
            files[-1][-1].append(line)
    return files


def changed(text, hunk):
    """The text with a hunk's old lines, which must occur once, replaced by its new ones."""
    old = "".join(f"{line[1:]}\n" for line in hunk if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in hunk if line[0] in " +")
    assert f"\n{text}".count(f"\n{old}") == 1, f"not there, or not once:\n{old}"
    return f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]


def run(command, root):
    """Run a line of a `sh` block in the copy."""
    name, *arguments = shlex.split(command)
    line = [sys.executable, *COMMANDS[name], *arguments]
    environment = os.environ | {"PYTHONPATH": str(root)}
    result = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def run_commands(section, root):
    """Run all `sh` blocks of a section in the copy."""
    commands = [line for _, language, lines in blocks(section) if language == "sh" for line in lines]
    assert commands
    for command in commands:
        run(command, root)


@pytest.fixture
def copy_of_project(tmp_path):
    for part in ("minires", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("addition", ADDITIONS)
def test_an_addition_works_as_it_stands_on_the_page(addition, copy_of_project):
    """After those before it: the kernel computes the operation that was added first."""
    position = ADDITIONS.index(addition)
    for _, section in SECTIONS[: position + 1]:
        apply(section, copy_of_project)
    run_commands(section, copy_of_project)
    run("pytest tests/test_structure.py", copy_of_project)
    assert_in_style(copy_of_project)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("addition", "right", "wrong"),
    [
        ("Add an operation", "(y > 0) & (y < 6)", "y > 0"),
        ("Add a network", "Conv2d(6, 16, 5)", "Conv2d(6, 16, 5, bias=False)"),
        ("Add a kernel", "np.clip(x, 0, 6, out=y)", "np.clip(x, 0, 60, out=y)"),
        ("Add a kernel", "x > 6 ? 6 : x", "x > 60 ? 60 : x"),
    ],
)
def test_its_commands_fail_where_the_addition_is_wrong(addition, right, wrong, copy_of_project):
    position = ADDITIONS.index(addition)
    for title, section in SECTIONS[: position + 1]:
        assert title != addition or section.count(right) == 1
        apply(section.replace(right, wrong) if title == addition else section, copy_of_project)
    with pytest.raises(AssertionError, match=r"failed|wrong|disagree"):
        run_commands(section, copy_of_project)


def assert_in_style(root):
    """Ruff finds nothing to say about the additions and their form."""
    for arguments in (["check"], ["format", "--check"]):
        line = [sys.executable, "-m", "ruff", *arguments, "--quiet", "."]
        result = subprocess.run(line, cwd=root, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("addition", ADDITIONS)
def test_an_addition_takes_less_than_thirty_lines(addition):
    assert len(list(added_lines(dict(SECTIONS)[addition]))) < 30


def test_the_page_says_from_which_size_on_the_fast_kernels_compute():
    assert f"from {FAST_FROM_ELEMENTS:,} elements on" in TEXT


def test_there_are_four_additions():
    assert ADDITIONS == ["Add an operation", "Add a network", "Add a data set", "Add a kernel"]


def test_the_picture_shows_the_imports():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import draw_imports
    finally:
        sys.path.pop(0)
    drawn = {
        element.get("id")
        for element in ElementTree.parse(draw_imports.PICTURE).iter()
        if "-imports-" in element.get("id", "")
    }
    imports = draw_imports.direct_imports()
    for part in draw_imports.PARTS:
        files = [file for file in FILES if part_of(file) == part]
        expected = set().union(*(parts_imported(tree_of(file)) for file in files))
        assert imports[part] == expected & draw_imports.PARTS.keys() - {part}
    assert drawn == {f"{part}-imports-{other}" for part, other in draw_imports.arrows(imports)}
    assert len(drawn) > 10
