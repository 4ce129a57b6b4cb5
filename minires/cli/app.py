"""The command line as a whole: its commands in the order of the help, and how it reports errors."""

import shlex
import sys

import typer

from minires.cli.machine import bench, doctor
from minires.cli.networks import gradcheck, summary
from minires.cli.training import degradation, evaluate, plot, shift, train
from minires.cli.weights import convert, predict
from minires.errors import MiniresError, TrainingInterrupted

COMMANDS = (degradation, shift, train, evaluate, plot, summary, convert, predict, gradcheck, bench, doctor)

app = typer.Typer(
    help="Plain and residual networks on NumPy, with the networks before and after them: list their layers, "
    "train them, check their gradients, classify photos, reproduce the degradation problem.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for function in COMMANDS:
    app.command()(function)


def main():
    """Run the command line: exit code 2 and one line for an expected error, 130 after Ctrl-C."""
    try:
        app()
    except TrainingInterrupted as stop:
        arguments = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
        command = shlex.join(["minires", *arguments, "--resume"])
        print(f"minires: {stop}. Go on with: {command}", file=sys.stderr)
        sys.exit(130)
    except MiniresError as error:
        print(f"minires: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
