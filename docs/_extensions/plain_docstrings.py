"""Docstrings here are plain text, written to be read in the source. This turns them into what Sphinx expects.

Three kinds of paragraphs: `name: what it is`, which becomes a list of definitions; formulas, recognized by
their indentation or by gaps of several spaces, which keep their lines; and text.
"""

import re

DEFINITION = re.compile(r"([\w*]+(?:, [\w*]+)*): (.+)")
CODE = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"([\\*|_])")


def setup(app):
    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True}


def convert(app, what, name, obj, options, lines):
    """Replace `lines`, as autodoc hands them over, by reStructuredText."""
    lines[:] = [line for paragraph in paragraphs(lines) for line in (*converted(paragraph), "")]


def paragraphs(lines):
    """Lists of lines that no blank line separates; a definition starts a new one."""
    found = [[]]
    for line in lines:
        if not line.strip():
            found.append([])
        elif DEFINITION.match(line) and (not found[-1] or DEFINITION.match(found[-1][0])):
            found.append([line])
        else:
            found[-1].append(line)
    return [paragraph for paragraph in found if paragraph]


def converted(paragraph):
    definition = DEFINITION.match(paragraph[0])
    if definition and all(line.startswith("    ") for line in paragraph[1:]):
        names, first = definition.groups()
        terms = ", ".join(f"``{name}``" for name in names.split(", "))
        return [terms, *(f"    {escaped(line.strip())}" for line in (first, *paragraph[1:]))]
    if any(re.search(r"\S {3,}\S|^ {2,}\S", line) for line in paragraph):
        return ["::", "", *(f"    {line}" for line in paragraph)]
    return [escaped(line) for line in paragraph]


def escaped(text):
    """`code` as ``code``; elsewhere, characters that mean something to Sphinx mean themselves."""
    parts = CODE.split(text)  # text and code in turn
    parts[::2] = [SPECIAL.sub(r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{part}``" for part in parts[1::2]]
    return "".join(parts)
