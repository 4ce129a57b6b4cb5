"""The figure of errors on shifted images."""

from minires.plot.style import color, draw, new_figure, save

LABELS = {"mlp": "MLP", "convnet": "convolutional net"}
GUESSING_ERROR = 90  # error in percent with ten classes


def plot_shift(results, path):
    """The test error against the shift, a line for each net, and the error of random guessing.

    results: what lab.shift_experiment returns; path: of the PNG.
    """
    figure, (axes,) = new_figure()
    nets = results["nets"]
    axes.axhline(GUESSING_ERROR, color="0.6", linewidth=1, linestyle="--")
    axes.annotate("guessing", (0, GUESSING_ERROR), (0, 4), textcoords="offset points", color="0.4")
    for i, (name, net) in enumerate(nets.items()):
        label = f"{LABELS[name]}, {net['parameters']:,} parameters"
        style = {"color": color(i, len(nets)), "marker": "o", "linewidth": 2.6, "label": label}
        draw(axes, results["shifts"], net["test_error"], **style)
    axes.set_xticks(results["shifts"])
    axes.set_xlabel("shift (pixels)")
    axes.set_ylabel("test error (%)")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.88))
    figure.suptitle(
        f"{results['data']}, seed {results['seed']}. Trained unshifted, mean over four directions",
        fontsize=10,
    )
    return save(figure, path)
