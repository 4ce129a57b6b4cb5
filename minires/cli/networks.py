"""Commands about networks and operations: what they consist of, whether their gradients are right."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from minires import models
from minires.cli.common import Threads, console, parse_options
from minires.errors import CheckpointError, GradientError
from minires.nn.init import skip_init
from minires.tables import numeric


def summary(
    name: Annotated[
        str | None, typer.Argument(help="A network, for example resnet20; all their names if left out.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="A network's option, such as shortcut=B.")] = None,
):
    """List a network's layers: output shapes, parameters, multiply-adds, beside the published figures."""
    if name is None:
        console.print(known_networks())
        return
    options = parse_options(option)
    with skip_init():
        rows = models.summarize(models.create(name, **options))
    table = Table(Column("layer", overflow="fold"), "kind", *numeric("output", "parameters", "multiply-adds"))
    for row in rows:
        shape = " x ".join(map(str, row.output_shape)) or "in training"
        table.add_row(row.name, row.kind, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}")
    table.add_section()
    totals = (sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows))
    table.add_row(name, "", "", *(f"{total:,}" for total in totals))
    published = models.PUBLISHED.get(name) if not options else None  # another net has other figures
    if published is not None:
        table.add_row("published", "", "", published.parameters or "", published.multiply_adds or "")
    console.print(table)
    if published is not None:
        error = f"Published error: {published.error}. " if published.error else ""
        console.print(f"{error}Source: {published.source}")


def known_networks():
    """A table of all networks that have names, with what the papers say of them."""
    columns = "network", *numeric("parameters", "multiply-adds"), "error", "source"
    table = Table(*columns, title="Networks by name, and what was published of them")
    for name in models.names():
        found = models.PUBLISHED.get(name, models.Published(""))
        table.add_row(
            name, found.parameters or "", found.multiply_adds or "", found.error or "", found.source
        )
    return table


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Weights as safetensors or .npz.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The safetensors file to write.")],
    renames: Annotated[
        list[str] | None,
        typer.Option("--rename", help="OLD=NEW: a regular expression in the names, and what it becomes."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The network that the weights are for.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="A network's option, such as shortcut=B.")] = None,
):
    """Write weights under the names of a network here, and list what does not fit it.

    Tensors that the network does not have are left out. Nothing is written if some are missing or have
    another shape. Without a network, all tensors are written as they are called.
    """
    state = models.rename(models.read_weights(source), renames or [])
    if model is not None:
        with skip_init():
            network = models.create(model, **parse_options(option))
        misfits = network.misfits(state)
        for problem in (problem for kind in misfits.values() for problem in kind):
            console.print(problem)
        if misfits["missing"] or misfits["reshaped"]:
            raise CheckpointError(
                f"{source} does not fit {model}: {len(misfits['missing'])} tensors are missing and "
                f"{len(misfits['reshaped'])} have another shape; nothing is written. Names are changed by "
                "--rename OLD=NEW"
            )
        state = {name: state[name] for name in network.state_dict()}
    models.write_weights(state, target)
    fitting = f", which fit {model}" if model else ", not compared with a network (give --model)"
    console.print(f"Written to {target}: {len(state)} tensors{fitting}", soft_wrap=True)


def gradcheck(
    names: Annotated[
        list[str] | None, typer.Argument(help="Operations or networks; all if left out.")
    ] = None,
    threads: Threads = None,
):
    """Compare gradients with finite differences in float64."""
    from minires.lab.gradients import CASES, check

    results = [check(name) for name in names or [*CASES, "resnet20"]]
    table = Table(
        "checked", *numeric("numbers"), "nudged", *numeric("relative error", "tolerance"), "gradient"
    )
    for r in results:
        verdict = "right" if r.passed else "WRONG"
        table.add_row(r.name, f"{r.numbers:,}", r.nudged, f"{r.error:.1e}", f"{r.tolerance:.0e}", verdict)
    console.print(table)
    wrong = [r.name for r in results if not r.passed]
    if wrong:
        raise GradientError(f"gradients that disagree with finite differences: {', '.join(wrong)}")
