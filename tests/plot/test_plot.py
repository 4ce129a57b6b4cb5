"""Figures: the lines that they draw, read back from the axes, and that the files are pictures."""

import numpy as np
import pytest
from PIL import Image

from minires import plot
from minires.errors import OptionError
from minires.plot import curves, degradation
from minires.train import History


def history(scale):
    rows = History()
    for step in (10, 20, 30):
        rows.append(step=step, loss=scale / step, train_error=scale * 100 / step)
        rows.append(step=step, test_loss=2 * scale / step, test_error=scale * 150 / step)
    return rows


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn; the files are written as well."""
    drawn = []

    def record_figures_of(module):
        save = module.save
        monkeypatch.setattr(module, "save", lambda figure, path: drawn.append(figure) or save(figure, path))

    record_figures_of(curves)
    record_figures_of(degradation)
    return drawn


def lines_of(axes):
    return [np.array(line.get_ydata()).tolist() for line in axes.get_lines()]


def test_a_run_shows_errors_and_losses(tmp_path, figures):
    plot.plot_run(history(1), "resnet20", tmp_path / "run.png")
    errors, losses = figures[0].axes
    assert lines_of(errors) == [history(1).series("train_error")[1], history(1).series("test_error")[1]]
    assert lines_of(losses) == [history(1).series("loss")[1], history(1).series("test_loss")[1]]
    with Image.open(tmp_path / "run.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 10, "not an empty page"


def test_compared_runs_have_a_colour_and_a_label_each(tmp_path, figures):
    runs = {f"run {i}": history(i) for i in range(1, 10)}
    plot.plot_runs(runs, tmp_path / "runs.png")
    (axes,) = figures[0].axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(runs)
    assert len({str(line.get_color()) for line in axes.get_lines()}) == 9


def test_a_figure_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OptionError, match="cannot write the figure"):
        plot.plot_runs({"one": history(1)}, tmp_path / "nowhere" / "runs.png")


def test_degradation_has_plain_nets_left_and_residual_nets_right(tmp_path, figures):
    nets = {
        f"{family}{depth}": {"train_error": [50.0, depth / 10], "test_error": [60.0, depth / 5]}
        for family in ("plain", "resnet")
        for depth in (20, 56)
    }
    plot.plot_degradation({"data": "digits", "seed": 0, "nets": nets}, tmp_path / "degradation.png")
    for axes, family in zip(figures[0].axes, ("plain", "resnet"), strict=True):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"{family}-20", f"{family}-56"]
        thin, bold = axes.get_lines()[:2]
        assert bold.get_linewidth() > thin.get_linewidth()
        assert list(thin.get_ydata()) == [50.0, 2.0]
        assert list(bold.get_ydata()) == [60.0, 4.0]


def test_a_single_point_is_visible(tmp_path, figures):
    single = History()
    single.append(step=5, loss=1.0, train_error=40.0)
    single.append(step=5, test_loss=1.0, test_error=50.0)
    plot.plot_runs({"short": single}, tmp_path / "runs.png")
    assert [line.get_marker() for line in figures[0].axes[0].get_lines()] == ["o", "o"]
