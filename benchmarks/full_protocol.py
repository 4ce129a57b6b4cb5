"""The ResNet paper's Figure 6 in full: plain and residual nets on CIFAR-10, 64,000 steps, several seeds.

    python benchmarks/full_protocol.py --data-dir CIFAR --device cuda

Runs are kept in runs/full_protocol, one folder each. Repeat the command to go on with runs that are not
finished; --minutes stops after that time, Ctrl-C at any time. The histories, the table and the figure are
written to results/cifar10 after every run. --label names the images where they are not the original ones.
"""

import argparse
import json
import shutil
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import mean, stdev

from rich.console import Console
from rich.table import Table

import minires
from minires.data import load
from minires.errors import TrainingInterrupted
from minires.plot import plot_runs
from minires.recipes import paper
from minires.tables import name_column, number_columns
from minires.train import Hardware, History, RunFolder, train
from minires.train.progress import TrainingProgress
from minires.train.run_folder import environment

NETS = ("plain20", "plain56", "resnet20", "resnet56")


def runs_of(options):
    """(net, seed, folder) of every run, seed by seed, so that the figure of one seed is complete early."""
    return [(net, seed, options.runs / f"{net}-seed{seed}") for seed in options.seeds for net in options.nets]


def train_all(options, dataset, hardware, progress, on_run_end):
    """Train every run that is not finished; TrainingInterrupted once the time is up."""
    deadline = time.monotonic() + 60 * options.minutes
    for net, seed, folder in runs_of(options):
        if is_finished(folder):
            continue
        recipe = paper(net, dataset, seed=seed, data_options={"data_dir": str(options.data_dir)})
        recipe = recipe if options.iterations is None else recipe.shortened(options.iterations)
        show = progress.follow(f"{net} {seed}", recipe.iterations)

        def on_step(trainer, show=show):
            show(trainer)
            if time.monotonic() > deadline:
                trainer.stop()

        train(recipe, folder, dataset=dataset, resume=True, hardware=hardware, on_step=on_step)
        on_run_end()


def gather(options):
    """{net: {"seeds", "train_error", "test_error", "seconds"}}: of each finished run; errors in percent."""
    nets = {net: {"seeds": [], "train_error": [], "test_error": [], "seconds": []} for net in options.nets}
    for net, seed, folder in runs_of(options):
        if not is_finished(folder):
            continue
        history = History.load(RunFolder(folder).metrics_file)
        nets[net]["seeds"].append(seed)
        for column in ("train_error", "test_error", "seconds"):
            nets[net][column].append(history.last(column))
    return nets


def is_finished(folder):
    latest = RunFolder(folder).latest() if folder.exists() else None
    return latest is not None and int(latest.name.split("-")[1]) == RunFolder(folder).recipe().iterations


def save(options, hardware, nets):
    """Write the table, the histories and the figure of the finished runs into the folder of results."""
    options.out.mkdir(parents=True, exist_ok=True)
    report = {
        "data": options.label,
        "date": date.today().isoformat(),
        "environment": environment(hardware) | versions(),
        "nets": nets,
    }
    finished = [(net, seed, folder) for net, seed, folder in runs_of(options) if is_finished(folder)]
    if finished:
        shared = RunFolder(finished[0][2]).recipe().to_json()
        report["recipe"] = {k: v for k, v in shared.items() if k not in ("model", "seed", "data_options")}
    (options.out / "results.json").write_text(json.dumps(report, indent=2) + "\n")
    for net, seed, folder in finished:
        shutil.copy(RunFolder(folder).metrics_file, options.out / f"{net}-seed{seed}.jsonl")
    drawn = {net: folder for net, seed, folder in finished if seed == options.seeds[0]}
    if drawn:
        histories = {net: History.load(RunFolder(folder).metrics_file) for net, folder in drawn.items()}
        plot_runs(histories, options.out / "errors.png")


def versions():
    """{package: version} of minires, and of the installed packages that decide about numbers on a GPU."""
    installed = {"minires": minires.__version__}
    for package in ("cupy-cuda13x", "cupy-cuda12x"):
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def table_of(nets, label):
    table = Table(
        name_column("net"), *number_columns("seeds", "training error", "test error", "seconds"), title=label
    )
    for net, runs in nets.items():
        if runs["seeds"]:
            errors = (mean_and_deviation(runs[column]) for column in ("train_error", "test_error"))
            table.add_row(net, str(len(runs["seeds"])), *errors, f"{mean(runs['seconds']):,.0f}")
    return table


def mean_and_deviation(values):
    """Mean and standard deviation, in percent."""
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f} %" if len(values) > 1 else " %")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the CIFAR-10 files")
    parser.add_argument("--label", default="CIFAR-10")
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--iterations", type=int, help="stretch or shorten the protocol to this many steps")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many minutes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rung")
    parser.add_argument("--precision")
    parser.add_argument("--runs", type=Path, default=Path("runs/full_protocol"))
    parser.add_argument("--out", type=Path, default=Path("results/cifar10"))
    options = parser.parse_args(arguments)
    hardware = Hardware.choose(options.device, options.rung, options.precision)
    dataset, console = load("cifar10", data_dir=options.data_dir), Console()
    try:
        with TrainingProgress(console) as progress:
            train_all(options, dataset, hardware, progress, lambda: save(options, hardware, gather(options)))
    except TrainingInterrupted as stop:
        console.print(f"{stop}. Repeat the command to go on.", soft_wrap=True)
    nets = gather(options)
    save(options, hardware, nets)
    console.print(table_of(nets, options.label))


if __name__ == "__main__":
    main()
