"""Colours, axes, lines and files of all figures."""

from matplotlib import colormaps
from matplotlib.figure import Figure

from minires.errors import OptionError

# Colours that stay apart for colour-blind readers and in print (Okabe and Ito).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def color(i, count):
    """The i-th of `count` colours."""
    return COLORS[i] if count <= len(COLORS) else colormaps["viridis"](i / (count - 1))


def new_figure(columns=1, width=6.4, height=4.2, **options):
    """A figure with a row of axes, light grid, no box: (figure, list of axes)."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    rows = figure.subplots(1, columns, squeeze=False, **options)
    for axes in rows[0]:
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(rows[0])


def draw(axes, steps, values, **style):
    """A line; a dot for a single point, of which a line would show nothing."""
    style.setdefault("marker", "o" if len(values) == 1 else None)
    axes.plot(steps, values, **style)


def save(figure, path):
    """Write a PNG of 150 dots per inch; returns its path."""
    try:
        figure.savefig(path, dpi=150, format="png")
    except OSError as error:
        raise OptionError(f"cannot write the figure {path}: {error.strerror}") from error
    return path
