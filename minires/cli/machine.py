"""Commands about this machine: how fast it is, and what is installed on it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from minires.cli.common import Threads, console


def bench(
    model: Annotated[str, typer.Option(help="A network, for example resnet20 or alexnet.")] = "resnet20",
    batch_size: Annotated[int, typer.Option(min=2, help="Images in a batch.")] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="Measured rounds; their median is shown.")] = 10,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write results to this JSON file.")] = None,
    threads: Threads = None,
):
    """Measure speed, peak memory and the time of each operation; compare with PyTorch if it is installed."""
    from minires.bench import benchmark, describe, record

    with console.status("") as status:
        report = benchmark(model, batch_size, repeats, lambda name: status.update(f"measuring {name}"))
    for part in describe(report, repeats):
        console.print(part)
    if "pytorch" not in report:
        console.print(
            "No comparison: PyTorch is not installed, or minires lacks a PyTorch version of this net."
        )
    if json_file is not None:
        record.write(report, json_file)
        console.print(f"Written to {json_file}", soft_wrap=True)


def doctor():
    """Show what this machine offers: versions, threads, GPU, downloaded data."""
    from minires.doctor import machine_report

    table = Table("item", "finding", show_header=False)
    for item, finding in machine_report().items():
        table.add_row(item, finding)
    console.print(table)
