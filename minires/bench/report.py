"""The text and the tables that `minires bench` prints."""

from rich.table import Table

from minires.models import input_size
from minires.tables import number_columns

MEASURES = {  # title: (key of the measure, key of its ratio, how it is written)
    "training, images/s": ("train_images_per_s", "train", lambda value: f"{value:,.0f}"),
    "inference, images/s": ("infer_images_per_s", "infer", lambda value: f"{value:,.0f}"),
    "peak memory of training": ("peak_bytes", "memory", lambda value: f"{value / 2**20:,.0f} MiB"),
}


def describe(report, repeats):
    """A line on the measurement and the machine, and two tables, to be printed with rich."""
    return headline(report, repeats), speed_table(report), operations_table(report["operations"])


def headline(report, repeats):
    """The net, the batch, the threads, the machine and the versions."""
    machine = report["machine"]
    versions = [f"Python {machine['python']}", f"NumPy {machine['numpy']}"]
    versions += [f"PyTorch {machine['pytorch']}"] if "pytorch" in machine else []
    threads = f"{report['threads']} thread{'s' if report['threads'] > 1 else ''}"
    side = input_size(report["model"])
    return (
        f"{report['model']}, {report['batch_size']} images of {side} x {side}, float32, {threads}, "
        f"medians of {repeats}; {machine['processor']}, {machine['system']}, {', '.join(versions)}"
    )


def speed_table(report):
    """Speed and memory of each library, side by side."""
    libraries = [name for name in ("minires", "pytorch") if name in report]
    compared = "ratio" in report
    table = Table("", *number_columns(*libraries, *(["ratio"] if compared else [])))
    for title, (key, ratio_key, formatted) in MEASURES.items():
        figures = [report[name][key] for name in libraries]
        cells = ["unknown" if figure is None else formatted(figure) for figure in figures]
        if compared:
            cells.append("" if report["ratio"][ratio_key] is None else f"{report['ratio'][ratio_key]:.2f}")
        table.add_row(title, *cells)
    return table


def operations_table(operations):
    """Milliseconds of a training step by operation."""
    table = Table("operation", *number_columns("calls", "forward, ms", "backward, ms"))
    for row in operations:
        calls = f"{row['calls']}" if row["calls"] else ""
        backward = f"{row['backward_ms']:.1f}" if row["calls"] else ""
        table.add_row(row["operation"], calls, f"{row['forward_ms']:.1f}", backward)
    return table
