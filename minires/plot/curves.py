"""Error curves of runs: training error thin, test error bold, as in the ResNet paper's Figure 6."""

from minires.plot.style import color, draw, new_figure, save

THIN, BOLD = {"linewidth": 0.9}, {"linewidth": 2.4}


def plot_runs(histories, path):
    """Compare runs: {name: History} -> a PNG at `path`, one colour for each run."""
    figure, (axes,) = new_figure(width=7)
    for i, (name, history) in enumerate(histories.items()):
        colour = color(i, len(histories))
        draw(axes, *history.series("train_error"), color=colour, **THIN)
        draw(axes, *history.series("test_error"), color=colour, label=name, **BOLD)
    axes.set_xlabel("step")
    axes.set_ylabel("error (%)")
    axes.set_ylim(bottom=0)
    axes.set_title("thin: training error, bold: test error", fontsize=10, loc="left", color="0.35")
    axes.legend(frameon=False)
    return save(figure, path)


def plot_run(history, name, path):
    """One run: error on the left, loss on the right (logarithmic), as a PNG at `path`."""
    figure, (errors, losses) = new_figure(columns=2, width=5)
    for axes, train, test, quantity in (
        (errors, "train_error", "test_error", "error"),
        (losses, "loss", "test_loss", "loss"),
    ):
        draw(axes, *history.series(train), color=color(0, 2), label=f"training {quantity}", **THIN)
        draw(axes, *history.series(test), color=color(1, 2), label=f"test {quantity}", marker=".", **BOLD)
        axes.set_xlabel("step")
        axes.legend(frameon=False)
    errors.set_ylabel("error (%)")
    errors.set_ylim(bottom=0)
    losses.set_ylabel("cross-entropy")
    losses.set_yscale("log")
    figure.suptitle(name)
    return save(figure, path)
