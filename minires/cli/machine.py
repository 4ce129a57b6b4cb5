"""Commands about this machine: how fast it is, and what it has."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from minires.cli.common import Threads, console


def bench(
    model: Annotated[str, typer.Option(help="A network, for example resnet20 or alexnet.")] = "resnet20",
    batch_size: Annotated[int, typer.Option(min=2, help="Images in a batch.")] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds to take the median of.")] = 10,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")] = None,
    threads: Threads = None,
):
    """Images per second, peak memory and the time of each operation; beside PyTorch's if it is installed."""
    from minires.bench import benchmark, describe, record

    with console.status("") as status:
        report = benchmark(model, batch_size, repeats, lambda what: status.update(f"measuring {what}"))
    for part in describe(report, repeats):
        console.print(part)
    if "pytorch" not in report:
        console.print("No comparison: PyTorch is not installed, or has no twin of this network here.")
    if json_file is not None:
        record.write(report, json_file)
        console.print(f"Written to {json_file}", soft_wrap=True)


def doctor():
    """What this machine can do: versions, threads, GPU, caches."""
    from minires.doctor import machine_report

    table = Table("what", "found", show_header=False)
    for what, found in machine_report().items():
        table.add_row(what, found)
    console.print(table)
