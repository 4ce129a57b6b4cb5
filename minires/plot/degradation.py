"""The degradation figure."""

from matplotlib.ticker import MaxNLocator

from minires.plot.style import color, draw, new_figure, save

PANELS = {"plain": "plain nets", "resnet": "residual nets"}


def plot_degradation(results, path):
    """Two panels as in the ResNet paper's Figure 6: plain nets left, residual nets right, a colour per depth.

    results: what lab.degradation returns; path: of the PNG.
    """
    figure, panels = new_figure(columns=2, width=3.5, height=4, sharey=True)
    depths = sorted({int(name.removeprefix("plain").removeprefix("resnet")) for name in results["nets"]})
    for axes, (family, title) in zip(panels, PANELS.items(), strict=True):
        for i, depth in enumerate(depths):
            net, colour = results["nets"][f"{family}{depth}"], color(i, len(depths))
            epochs = range(1, len(net["train_error"]) + 1)
            draw(axes, epochs, net["train_error"], color=colour, linewidth=1)
            draw(axes, epochs, net["test_error"], color=colour, linewidth=2.6, label=f"{family}-{depth}")
        axes.set_title(title, loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(frameon=False, loc="upper right")
    panels[0].set_ylabel("error (%)")
    panels[0].set_ylim(0, 100)
    figure.suptitle(
        f"{results['data']}, seed {results['seed']}. Thin: training error, bold: test error", fontsize=10
    )
    return save(figure, path)
