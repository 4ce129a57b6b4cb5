"""Commands about networks and operations: what they consist of, whether their gradients are right."""

from itertools import zip_longest
from typing import Annotated

import typer
from rich.table import Table

from minires import models
from minires.cli.common import Option, Threads, console, parse_options
from minires.errors import GradientError
from minires.nn.init import skip_init
from minires.tables import name_column, number_columns


def summary(
    name: Annotated[
        str | None, typer.Argument(help="A network, for example resnet20; all are listed if left out.")
    ] = None,
    option: Option = None,
):
    """List a network's layers: output shapes, parameters, multiply-adds, and the published figures."""
    if name is None:
        console.print(known_networks())
        return
    options = parse_options(option)
    with skip_init():
        rows = models.summarize(models.create(name, **options))
    table = Table(name_column("layer"), "kind", *number_columns("output", "parameters", "multiply-adds"))
    for row in rows:
        shape = " x ".join(map(str, row.output_shape)) or "training only"
        table.add_row(row.name, row.kind, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}")
    table.add_section()
    totals = (sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows))
    table.add_row(name, "", "", *(f"{total:,}" for total in totals))
    figures = models.published(name, options)
    if figures is not None:
        table.add_row("published", "", "", figures.parameters or "", figures.multiply_adds or "")
    console.print(table)
    if figures is not None:
        error = f"Published error: {figures.error}. " if figures.error else ""
        console.print(f"{error}Source: {figures.source}", soft_wrap=True)


def known_networks():
    """A table of all networks that have names, with their published figures."""
    columns = name_column("network"), *number_columns("parameters", "multiply-adds"), "error", "source"
    table = Table(*columns, title="Networks by name, with their published figures")
    for name in models.names():
        figures = models.published(name)
        cells = (figures.parameters, figures.multiply_adds, figures.error, figures.source) if figures else ()
        table.add_row(name, *(cell or "" for cell in cells))
    return table


def gradcheck(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Operations, blocks or networks; if left out, all operations, all blocks and resnet20."
        ),
    ] = None,
    threads: Threads = None,
):
    """Compare gradients with finite differences in float64."""
    from minires.lab.gradients import BLOCKS, OPERATIONS, check

    results = []
    with console.status("") as status:  # shown on a terminal only
        for name in names or [*OPERATIONS, *BLOCKS, "resnet20"]:
            status.update(f"checking {name}")
            results.append(check(name))
    columns = [
        name_column("checked"),
        *number_columns("numbers"),
        "nudged",
        *number_columns("error", "tolerance"),
        "gradient",
    ]
    table = Table(*columns, title="Relative errors of gradients")
    for result, following in zip_longest(results, results[1:]):
        table.add_row(
            result.name,
            f"{result.numbers:,}",
            result.nudged,
            f"{result.error:.1e}",
            f"{result.tolerance:.0e}",
            "right" if result.passed else "WRONG",
            end_section=following is None or following.kind != result.kind,
        )
    console.print(table)
    wrong = [r.name for r in results if not r.passed]
    if wrong:
        raise GradientError(f"gradients that disagree with finite differences: {', '.join(wrong)}")
