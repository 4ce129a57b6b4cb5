"""The console and the options that several commands share."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from minires import data as data_sets
from minires import set_num_threads
from minires.errors import OptionError

console = Console(markup=False, highlight=False)  # texts with brackets are printed as they are


def use_threads(threads: int | None):
    """Set the number of threads, where --threads is given: the callback of that option."""
    if threads is not None:
        set_num_threads(threads)
    return threads


DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder or archive with the CIFAR files, instead of a download; for the data set 'folder', the "
        "folder of the photos."
    ),
]
Data = Annotated[str, typer.Option(help=f"Data set: {', '.join(data_sets.DATASETS)}.")]
Option = Annotated[
    list[str] | None,
    typer.Option(
        help="An option of the network, for example shortcut=B or widths=8,16,32; may be given several times."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        callback=use_threads,
        help="Number of threads; if left out, the environment variable MINIRES_THREADS decides, or else the "
        "number of cores.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, or cuda for an NVIDIA GPU.")]
Rung = Annotated[
    str | None,
    typer.Option(
        help="On a GPU: explicit, implicit or fused kernels; if left out, the fastest that the GPU can run."
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(help="On a GPU: fp32, tf32 or bf16; if left out, tf32 where the GPU has it, else fp32."),
]
Seed = Annotated[int, typer.Option(help="Random seed of initial weights, batches and augmentation.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder given by --out.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Delete earlier results in the folder given by --out; start anew.")
]


def numbers(name, text, number_type=float):
    """The numbers in "0.5,0.25" as a list; None for None. For other text, OptionError names the option."""
    if text is None:
        return None
    try:
        return [number_type(word) for word in text.split(",")]
    except ValueError as error:
        expected = "whole numbers" if number_type is int else "numbers"
        raise OptionError(f"{name} must be {expected} separated by commas, not {text!r}") from error


def parse_options(options):
    """["shortcut=B", "widths=8,16,32"] -> {"shortcut": "B", "widths": [8, 16, 32]}."""
    parsed = {}
    for option in options or []:
        key, equals, value = option.partition("=")
        if not equals:
            raise OptionError(f"an option must be NAME=VALUE, not {option!r}")
        try:
            value = value.lower() if value.lower() in ("true", "false") else value  # True and False, too
            parsed[key] = json.loads(f"[{value}]" if "," in value and "[" not in value else value)
        except ValueError:
            parsed[key] = value  # plain text, not JSON
    return parsed
