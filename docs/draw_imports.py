"""Draw how the parts of minires import each other, from the imports: `python docs/draw_imports.py`.

It writes docs/_static/imports.svg, the picture in CONTRIBUTING.md.
"""

import ast
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "_static" / "imports.svg"

# The parts that are drawn: the column of each, and what it holds. The small files errors, options and tables
# are left out.
PARTS = {
    "backend": (0, "arrays and kernels"),
    "engine": (0, "tensors and gradients"),
    "ops": (0, "operations"),
    "nn": (0, "modules and layers"),
    "models": (0, "networks"),
    "optim": (-1.9, "SGD and schedules"),
    "data": (1.9, "data sets and batches"),
    "recipes": (0, "training runs as data"),
    "plot": (-3.6, "figures"),
    "train": (-0.4, "the training loop"),
    "lab": (-1.6, "experiments"),
    "bench": (-0.4, "speed and memory"),
    "doctor": (3.2, "what this machine has"),
    "cli": (0, "the command line"),
}


def direct_imports():
    """{part: the parts that its files import}, of the parts that are drawn."""
    imports = {}
    for part in PARTS:
        path = ROOT / "minires" / part
        files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
        modules = {module for file in files for module in imported_modules(file)}
        imports[part] = {module.split(".")[1] for module in modules} & PARTS.keys() - {part}
    return imports


def imported_modules(file):
    """Full names of the modules of minires that a file imports, `from minires import ops` as minires.ops."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("minires."))


def reachable(imports, part):
    """All parts that a part imports, directly or through others."""
    return set().union(*({other} | reachable(imports, other) for other in imports[part]))


def arrows(imports):
    """The pairs (part, other) to draw: the imports that do not also follow from other arrows."""
    return [
        (part, other)
        for part, others in imports.items()
        for other in sorted(others)
        if not any(other in reachable(imports, between) for between in others - {other})
    ]


def level(imports, part):
    """The height of a part: one above the highest part that it imports."""
    return max((level(imports, other) + 1 for other in imports[part]), default=0)


def draw(imports):
    """A figure with a box for each part and an arrow for each import; an arrow's id in the SVG names both."""
    places = {part: (x, level(imports, part)) for part, (x, _) in PARTS.items()}
    figure, axes = plt.subplots(figsize=(10, 7))
    figure.subplots_adjust(0, 0, 1, 1)
    axes.axis("off")
    boxes = {}
    for part, (_, contents) in PARTS.items():
        boxes[part] = axes.text(
            *places[part],
            f"{part}\n{contents}",
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.5", "facecolor": "#eef3f8", "edgecolor": "#3b6ea5"},
        )
    figure.canvas.draw()  # only then the boxes have their sizes
    for part, other in arrows(imports):
        ends = {"patchA": boxes[part].get_bbox_patch(), "patchB": boxes[other].get_bbox_patch()}
        arrow = axes.annotate(
            "",
            xy=places[other],
            xytext=places[part],
            arrowprops={"arrowstyle": "-|>", "color": "#555555", "shrinkA": 0, "shrinkB": 0} | ends,
        )
        arrow.arrow_patch.set_gid(f"{part}-imports-{other}")
    x, y = zip(*places.values(), strict=True)
    axes.set_xlim(min(x) - 0.5, max(x) + 0.8)
    axes.set_ylim(min(y) - 0.5, max(y) + 0.5)
    return figure


if __name__ == "__main__":
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "minires", "font.family": "sans-serif"}
    draw(direct_imports()).savefig(PICTURE, metadata={"Date": None})
    print(PICTURE.relative_to(ROOT))
