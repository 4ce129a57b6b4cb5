"""Docstrings are plain text, written to be read in the source. This turns them into reStructuredText.

After the first paragraph, a summary, there are three kinds of paragraphs: `name: what it is`, which becomes a
list of definitions; formulas, recognized by their indentation or by gaps of several spaces, which keep their
lines; and text.
"""

import re

DEFINITION = re.compile(r"([\w*]+(?:, [\w*]+)*): (.+)")
FORMULA = re.compile(r"\S {3,}\S|^ {2,}\S")
NEXT_FORMULA = re.compile(r"(?<=\S) {3,}(?=\w+ +=)")
CODE = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"([\\*|_])")


def setup(app):
    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True}


def convert(app, what, name, obj, options, lines):
    """Replace `lines`, as autodoc hands them over, by reStructuredText."""
    first, *rest = paragraphs(lines) or [[]]
    blocks = [formula(first) or text(first)]
    blocks += [definition(paragraph) or formula(paragraph) or text(paragraph) for paragraph in rest]
    lines[:] = [line for block in blocks for line in (*block, "")]


def paragraphs(lines):
    """Lists of lines. A blank line ends a paragraph; a definition also ends at the next or at a capital."""
    found = [[]]
    for line in lines:
        among_definitions = found[-1] and DEFINITION.match(found[-1][0])
        if not line.strip():
            found.append([])
        elif among_definitions and (DEFINITION.match(line) or line[0].isupper()):
            found.append([line])
        else:
            found[-1].append(line)
    return [paragraph for paragraph in found if paragraph]


def definition(paragraph):
    """`names: what they are`, continued by indented lines, as an item of a list; None for anything else."""
    match = DEFINITION.match(paragraph[0])
    if not match or not all(line.startswith("    ") for line in paragraph[1:]):
        return None
    names, first = match.groups()
    terms = ", ".join(f"``{name}``" for name in names.split(", "))
    return [terms, *(f"    {escaped(line.strip())}" for line in (first, *paragraph[1:]))]


def formula(paragraph):
    """A code block with one formula per line; None where no line is indented or has gaps."""
    if not any(FORMULA.search(line) for line in paragraph):
        return None
    lines = [line for formulas in paragraph for line in NEXT_FORMULA.split(formulas)]
    return [".. code-block:: text", "", *(f"    {line}" for line in lines)]


def text(paragraph):
    return [escaped(line) for line in paragraph]


def escaped(text):
    """`code` as ``code``; in the rest, characters that are special in reStructuredText are escaped."""
    parts = CODE.split(text)  # text and code in turn
    parts[::2] = [SPECIAL.sub(r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"\\ ``{part}``\\ " for part in parts[1::2]]  # an escaped space separates and is not shown
    return "".join(parts)
