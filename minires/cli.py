"""The `minires` command. Every command hands its options to the library and shows what comes back."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from minires import data as data_sets
from minires import models, set_num_threads
from minires.errors import GradientError, MiniresError, OptionError, TrainingInterrupted, UnknownNameError
from minires.tables import numeric

app = typer.Typer(
    help="Plain and residual networks on NumPy: train them, check them, see the degradation problem.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(markup=False, highlight=False)  # what is printed may hold brackets


def use_threads(threads: int | None):
    """What --threads does, for every command that has it."""
    if threads is not None:
        set_num_threads(threads)
    return threads


DataDir = Annotated[
    Path | None, typer.Option(help="Folder or archive with the CIFAR files, instead of a download.")
]
Data = Annotated[str, typer.Option(help=f"Data set: {', '.join(data_sets.DATASETS)}.")]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, callback=use_threads, help="Threads to compute with; MINIRES_THREADS or all cores if left out."
    ),
]
Seed = Annotated[int, typer.Option(help="Decides the weights, the order and the augmentation.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start anew in a folder that holds a run.")]


@app.command()
def degradation(
    data: Annotated[str, typer.Option(help="digits, shapes or cifar10.")] = "digits",
    depths: Annotated[str, typer.Option(help="Depths 6n + 2, separated by commas.")] = "20,56",
    out: Annotated[Path, typer.Option(help="Folder for all results.")] = Path("runs/degradation"),
    seed: Seed = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the data set's own number.")] = None,
    data_dir: DataDir = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
):
    """Train plain and residual nets and see which get worse with depth (the ResNet paper's Figure 6)."""
    from minires.lab import degradation as run_degradation
    from minires.train.progress import TrainingProgress

    try:
        numbers = [int(depth) for depth in depths.split(",")]
    except ValueError as error:
        raise OptionError(f"--depths must be whole numbers separated by commas, not {depths!r}") from error
    with TrainingProgress(console) as progress:
        results = run_degradation(
            data,
            numbers,
            out,
            seed=seed,
            epochs=epochs,
            data_dir=data_dir,
            resume=resume,
            overwrite=overwrite,
            follow=progress.line,
        )
    table = Table("net", *numeric("parameters", "training error", "test error", "seconds"))
    for name, net in results["nets"].items():
        errors = (f"{net[kind][-1]:.2f} %" for kind in ("train_error", "test_error"))
        table.add_row(name, f"{net['parameters']:,}", *errors, f"{net['seconds']:.0f}")
    console.print(table)
    for family in ("plain", "residual"):
        worse = "train worse" if results["verdict"][f"{family}_degrades"] else "do not train worse"
        console.print(f"The deeper {family} nets {worse} than the shallower ones.")
    console.print(f"Figure: {out / 'degradation.png'}", soft_wrap=True)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A network, for example resnet20 or plain56.")],
    data: Data = "digits",
    data_dir: DataDir = None,
    recipe: Annotated[
        str,
        typer.Option(help="quick: ten epochs; paper: as in the network's own paper; or one, as wide-cifar."),
    ] = "quick",
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME-DATA if left out.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Stretch the recipe to this length.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="The schedule's first learning rate.")] = None,
    seed: Seed = 0,
    option: Annotated[
        list[str] | None, typer.Option(help="A network's option, as shortcut=B or widths=8,16,32.")
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
    resume: Resume = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
):
    """Train a network and keep the run in a folder."""
    from minires.train import RECIPES
    from minires.train import train as run_training
    from minires.train.progress import TrainingProgress

    if recipe not in RECIPES:
        raise UnknownNameError("recipe", recipe, RECIPES)
    model_options = parse_options(option)
    models.create(name, **model_options)  # a wrong name is said now, not after a download
    options = {} if data_dir is None else {"data_dir": str(data_dir)}
    chosen = {"batch_size": batch_size, "learning_rate": lr}
    chosen = {field: value for field, value in chosen.items() if value is not None}
    dataset = data_sets.load(data, **options)
    plan = RECIPES[recipe](
        name, dataset, seed=seed, model_options=model_options, data_options=options, **chosen
    )
    plan = plan if iterations is None else plan.shortened(iterations)
    out = out or Path("runs") / f"{name}-{data}"
    with TrainingProgress(console) as progress:
        run = run_training(
            plan,
            out,
            dataset=dataset,
            resume=resume,
            overwrite=overwrite,
            on_step=progress.follow(name, plan.iterations),
            checkpoint_every=checkpoint_every,
        )
    history = run.history
    console.print(
        f"{name} after {plan.iterations:,} steps: training error {history.last('train_error'):.2f} %, "
        f"test error {history.last('test_error'):.2f} %. The run is in {out}",
        soft_wrap=True,
    )


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data_dir: DataDir = None,
    threads: Threads = None,
):
    """The loss and the error of a run's latest checkpoint on the test images."""
    from minires.train import evaluate_run

    step, loss, error = evaluate_run(run, data_dir)
    console.print(
        f"{run} after step {step:,}: test loss {loss:.4f}, test error {error:.2f} %", soft_wrap=True
    )


@app.command()
def plot(
    runs: Annotated[list[Path], typer.Argument(help="Runs, or folders of runs.")],
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("runs.png"),
):
    """Compare the error curves of runs in one figure."""
    from minires.plot import plot_runs
    from minires.train import History, RunFolder

    runs = runs_in(runs)
    short = len({run.name for run in runs}) == len(runs)
    histories = {run.name if short else str(run): History.load(RunFolder(run).metrics_file) for run in runs}
    console.print(f"Figure: {plot_runs(histories, out)}", soft_wrap=True)


@app.command()
def summary(
    name: Annotated[str, typer.Argument(help="A network, for example resnet20.")],
    option: Annotated[list[str] | None, typer.Option(help="A network's option, such as shortcut=B.")] = None,
):
    """List a network's layers: output shapes, parameters, multiply-adds."""
    rows = models.summarize(models.create(name, **parse_options(option)))
    table = Table(Column("layer", overflow="fold"), "kind", *numeric("output", "parameters", "multiply-adds"))
    for row in rows:
        shape = " x ".join(map(str, row.output_shape))
        table.add_row(row.name, row.kind, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}")
    table.add_section()
    totals = (sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows))
    table.add_row(name, "", "", *(f"{total:,}" for total in totals))
    console.print(table)


@app.command()
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


@app.command()
def bench(
    model: Annotated[
        str, typer.Option(help="A CIFAR network, for example resnet20 or plain56.")
    ] = "resnet20",
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


@app.command()
def doctor():
    """What this machine can do: versions, threads, GPU, caches."""
    from minires.doctor import machine_report

    table = Table("what", "found", show_header=False)
    for what, found in machine_report().items():
        table.add_row(what, found)
    console.print(table)


def parse_options(options):
    """["shortcut=B", "widths=8,16,32"] -> {"shortcut": "B", "widths": [8, 16, 32]}."""
    parsed = {}
    for option in options or []:
        key, equals, value = option.partition("=")
        if not equals:
            raise OptionError(f"--option must be NAME=VALUE, not {option!r}")
        try:
            parsed[key] = json.loads(f"[{value}]" if "," in value and "[" not in value else value)
        except ValueError:
            parsed[key] = value  # a plain word
    return parsed


def runs_in(paths):
    """The runs at the paths: a run's folder itself, or each run in a folder of runs."""
    found = []
    for path in paths:
        inside = sorted(file.parent for file in path.glob("*/metrics.jsonl"))
        found += inside if inside and not (path / "metrics.jsonl").exists() else [path]
    return found


def main():
    """Run the command line: exit code 2 and one line for an expected error, 130 after Ctrl-C."""
    try:
        app()
    except TrainingInterrupted as stop:
        words = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
        again = shlex.join(["minires", *words, "--resume"])
        print(f"minires: {stop}. Go on with: {again}", file=sys.stderr)
        sys.exit(130)
    except MiniresError as error:
        print(f"minires: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
