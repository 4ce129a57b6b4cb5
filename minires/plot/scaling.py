"""How the cost of a training step grows: a figure of the results of benchmarks/scaling.py."""

from minires.plot.style import color, new_figure, save


def plot_scaling(results, path):
    """Three panels: time per image against the batch size, time per step against the depth, and peak memory
    against the batch size.

    results: {"batch": rows, "depth": rows}, each row {"model", "batch_size", "threads", "seconds",
    "peak_bytes"}; path: of the PNG.
    """
    figure, (batch, depth, memory) = new_figure(columns=3, width=4.2, height=3.6)
    counts = sorted({row["threads"] for row in results["batch"]})
    for i, threads in enumerate(counts):
        rows = [row for row in results["batch"] if row["threads"] == threads]
        sizes = [row["batch_size"] for row in rows]
        times = [1e3 * row["seconds"] / row["batch_size"] for row in rows]
        label = f"{threads} thread{'s' if threads > 1 else ''}"
        batch.plot(sizes, times, marker="o", color=color(i, len(counts)), label=label)
    batch.legend(frameon=False)
    batch.set_ylabel("milliseconds an image")

    depths = [int(row["model"].removeprefix("resnet")) for row in results["depth"]]
    seconds = [row["seconds"] for row in results["depth"]]
    depth.plot(depths, seconds, marker="o", color=color(0, 1))
    depth.set_xticks(depths)
    depth.set_xlabel("layers")
    depth.set_ylabel("seconds a step")
    depth.set_title(
        f"batch {results['depth'][0]['batch_size']}, {results['depth'][0]['threads']} threads", loc="left"
    )

    rows = [row for row in results["batch"] if row["threads"] == counts[-1]]
    memory.plot(sizes, [row["peak_bytes"] / 2**20 for row in rows], marker="o", color=color(0, 1))
    memory.set_ylabel("peak memory, MiB")
    memory.set_yscale("log", base=2)
    memory.yaxis.set_major_formatter("{x:.0f}")
    for axes in (batch, memory):
        axes.set_title(results["batch"][0]["model"], loc="left")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("images in a batch")
    for axes in (batch, depth):
        axes.set_ylim(bottom=0)
    return save(figure, path)
