"""Commands that train, and commands that evaluate and plot runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from minires import data as data_sets
from minires import models
from minires.cli.common import (
    Data,
    DataDir,
    Device,
    Option,
    Overwrite,
    Precision,
    Resume,
    Rung,
    Seed,
    Threads,
    console,
    numbers,
    parse_options,
)
from minires.nn.init import skip_init
from minires.tables import name_column, number_columns


def degradation(
    data: Annotated[str, typer.Option(help="Data set: digits, shapes or cifar10.")] = "digits",
    depths: Annotated[str, typer.Option(help="Depths, each 6n + 2, separated by commas.")] = "20,56",
    out: Annotated[Path, typer.Option(help="Folder for all results.")] = Path("runs/degradation"),
    seed: Seed = 0,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the training images; the data set's default if left out."),
    ] = None,
    data_dir: DataDir = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "cpu",
    threads: Threads = None,
):
    """Train plain and residual nets and see which get worse with depth (the ResNet paper's Figure 6)."""
    from minires.lab import degradation as run_degradation
    from minires.train.progress import TrainingProgress

    with TrainingProgress(console) as progress:
        results = run_degradation(
            data,
            numbers("--depths", depths, int),
            out,
            seed=seed,
            epochs=epochs,
            data_dir=data_dir,
            resume=resume,
            overwrite=overwrite,
            follow=progress.line,
            device=device,
        )
    table = Table(
        name_column("net"), *number_columns("parameters", "training error", "test error", "seconds")
    )
    for name, net in results["nets"].items():
        errors = (f"{net[column][-1]:.2f} %" for column in ("train_error", "test_error"))
        table.add_row(name, f"{net['parameters']:,}", *errors, f"{net['seconds']:.0f}")
    console.print(table)
    for family in ("plain", "residual"):
        outcome = "train worse" if results["verdict"][f"{family}_degrades"] else "do not train worse"
        console.print(f"The deeper {family} nets {outcome} than the shallower ones.")
    console.print(f"Figure: {out / 'degradation.png'}", soft_wrap=True)


def shift(
    out: Annotated[Path, typer.Option(help="Folder for all results.")] = Path("runs/shift"),
    seed: Seed = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the digits.")] = 15,
    threads: Threads = None,
):
    """Train an MLP and a convolutional net and test them on digits shifted by a few pixels."""
    from minires.lab import shift_experiment
    from minires.train.progress import TrainingProgress

    with TrainingProgress(console) as progress:
        results = shift_experiment(out, seed, epochs, follow=progress.line)
    table = Table(
        "net", *number_columns("parameters", *(f"shift {n}" for n in results["shifts"])), title="Test error"
    )
    for name, net in results["nets"].items():
        table.add_row(name, f"{net['parameters']:,}", *(f"{error:.2f} %" for error in net["test_error"]))
    console.print(table)
    console.print(results["found"], soft_wrap=True)
    console.print(f"Figure: {out / 'shift.png'}", soft_wrap=True)


def train(
    name: Annotated[str, typer.Argument(help="A network, for example resnet20 or plain56.")],
    data: Data = "digits",
    data_dir: DataDir = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="quick: ten epochs; paper: the protocol of the network's paper; or a protocol's name, for "
            "example wide-cifar."
        ),
    ] = "quick",
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME-DATA if left out.")] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Steps of training, to which the recipe is stretched or shortened.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images in a batch; the recipe's number if left out.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Initial learning rate, after any warm-up; the recipe's if left out.")
    ] = None,
    seed: Seed = 0,
    option: Option = None,
    data_option: Annotated[
        list[str] | None,
        typer.Option(help="An option of the data set, for example bad_files=skip for folder."),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(min=1, help="Steps between checkpoints; if left out, 100 on the CPU, 2000 on a GPU."),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "cpu",
    rung: Rung = None,
    precision: Precision = None,
    threads: Threads = None,
):
    """Train a network and keep the run in a folder."""
    from minires.recipes import build, protocol_called
    from minires.train import Hardware
    from minires.train import train as run_training
    from minires.train.progress import TrainingProgress

    protocol_called(recipe)  # an unknown name is refused before a download; so is the network's below
    model_options = parse_options(option)
    hardware = Hardware.choose(device, rung, precision)
    with skip_init():
        model = models.create(name, **model_options)
    if device != "cpu":
        console.print(f"On {hardware.for_model(model)}", soft_wrap=True)
    options = parse_options(data_option)
    if data_dir is not None:
        options["data_dir"] = str(data_dir)
    dataset = data_sets.load(data, **options)
    plan = build(
        recipe,
        name,
        dataset,
        iterations=iterations,
        seed=seed,
        model_options=model_options,
        data_options=options,
        batch_size=batch_size,
        learning_rate=lr,
    )
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
            hardware=hardware,
        )
    history = run.history
    console.print(
        f"{name} after {plan.iterations:,} steps: training error {history.last('train_error'):.2f} %, "
        f"test error {history.last('test_error'):.2f} %. The run is in {out}",
        soft_wrap=True,
    )


def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    crops: Annotated[int, typer.Option(help="For photos: 1, the centre, or the mean over 10 crops.")] = 1,
    scales: Annotated[
        str | None,
        typer.Option(
            help="For photos: lengths of the shorter side, for example 224,256,384,480,640. Whole photos are "
            "evaluated in each of these sizes, and the probabilities averaged."
        ),
    ] = None,
    data_dir: DataDir = None,
    device: Device = "cpu",
    threads: Threads = None,
):
    """Measure the test error of each run's latest checkpoint and, for several runs, of their ensemble."""
    from minires.train import evaluate_run, evaluate_together

    if len(runs) == 1 and crops == 1 and scales is None:
        step, loss, error = evaluate_run(runs[0], data_dir, device)
        console.print(
            f"{runs[0]} after step {step:,}: test loss {loss:.4f}, test error {error:.2f} %", soft_wrap=True
        )
        return
    scales = numbers("--scales", scales, int) or ()
    results, ensemble_score = evaluate_together(runs, data_dir, crops, scales, device)
    table = Table(name_column("run"), *number_columns("step", "test loss", "test error", "top-5 error"))
    rows = [(str(path), f"{step:,}", score) for path, step, score in results]
    if len(runs) > 1:
        rows.append((f"ensemble of {len(runs)}", "", ensemble_score))
    for name, step, score in rows:
        table.add_row(name, step, f"{score.loss:.4f}", f"{score.error:.2f} %", f"{score.top5_error:.2f} %")
    console.print(table)


def plot(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or folders with several of them.")],
    out: Annotated[Path, typer.Option(help="The PNG file to write.")] = Path("runs.png"),
):
    """Compare the error curves of runs in one figure."""
    from minires.plot import plot_runs
    from minires.train import History, RunFolder

    runs = run_folders_in(runs)
    unique = len({run.name for run in runs}) == len(runs)
    histories = {run.name if unique else str(run): History.load(RunFolder(run).metrics_file) for run in runs}
    console.print(f"Figure: {plot_runs(histories, out)}", soft_wrap=True)


def run_folders_in(paths):
    """The runs at the paths: a run's folder itself, or each run in a folder of runs."""
    found = []
    for path in paths:
        subfolders = sorted(file.parent for file in path.glob("*/metrics.jsonl"))
        found += subfolders if subfolders and not (path / "metrics.jsonl").exists() else [path]
    return found
