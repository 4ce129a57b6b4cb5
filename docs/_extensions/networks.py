"""The directive `networks`: a table of all named networks with their parameters and multiply-adds."""

from sphinx.util.docutils import SphinxDirective

from minires import models
from minires.nn.init import skip_init

COUNTS = ("parameters", "multiply_adds")
HEAD = """\
| name | parameters | multiply-adds | from | error in the paper |
| --- | ---: | ---: | --- | --- |
"""


def setup(app):
    app.add_directive("networks", Networks)
    return {"parallel_read_safe": True}


class Networks(SphinxDirective):
    """A table in a Markdown page: the networks for pictures of 32 x 32 or, with 224, of 224 x 224 pixels."""

    required_arguments = 1

    def run(self):
        side = int(self.arguments[0])
        names = [name for name in models.names() if models.input_size(name) == side]
        return self.parse_text_to_nodes(HEAD + "\n".join(map(row, names)))


def row(name):
    with skip_init():
        layers = models.summarize(models.create(name))
    parameters, multiply_adds = (sum(getattr(layer, count) for layer in layers) for count in COUNTS)
    paper = models.published(name)
    cited = (paper.source, paper.error) if paper else ("", "")
    cells = (f"`{name}`", f"{parameters:,}", f"{multiply_adds:,}", *(text or "" for text in cited))
    return f"| {' | '.join(cells)} |"
