"""The directive `networks`: every network by its name, with parameters and multiply-adds, counted."""

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

from minires import models
from minires.nn.init import skip_init


def setup(app):
    app.add_directive("networks", Networks)
    return {"parallel_read_safe": True}


class Networks(SphinxDirective):
    """A table of those networks whose pictures have the size of the argument, in pixels: 32 or 224."""

    required_arguments = 1

    def run(self):
        size = int(self.arguments[0])
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
        rows = [row(name) for name in models.names() if models.input_size(name) == size]
        for cells in [("name", "parameters", "multiply-adds"), *rows]:
            lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(cells)]
        node = nodes.container(classes=["numbers"])
        nested_parse_with_titles(self.state, StringList(lines, source="networks"), node)
        return [node]


def row(name):
    with skip_init():
        layers = models.summarize(models.create(name))
    counts = (sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers))
    return f"``{name}``", *(f"{count:,}" for count in counts)
