"""What several commands share: the console, and options of the same meaning."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from minires import data as data_sets
from minires import set_num_threads
from minires.errors import OptionError

console = Console(markup=False, highlight=False)  # what is printed may hold brackets


def use_threads(threads: int | None):
    """What --threads does, for every command that has it."""
    if threads is not None:
        set_num_threads(threads)
    return threads


DataDir = Annotated[
    Path | None,
    typer.Option(
        help="The CIFAR files, as folder or archive, instead of a download; the photos of 'folder'."
    ),
]
Data = Annotated[str, typer.Option(help=f"Data set: {', '.join(data_sets.DATASETS)}.")]
Option = Annotated[
    list[str] | None, typer.Option(help="A network's option, as shortcut=B or widths=8,16,32.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, callback=use_threads, help="Threads to compute with; MINIRES_THREADS or all cores if left out."
    ),
]
Device = Annotated[str, typer.Option(help="cpu, or cuda for an NVIDIA GPU.")]
Rung = Annotated[
    str | None, typer.Option(help="On a GPU: explicit, implicit or fused kernels; the fastest if left out.")
]
Precision = Annotated[
    str | None, typer.Option(help="On a GPU: fp32, tf32 or bf16; tf32 if left out and the GPU has it.")
]
Seed = Annotated[int, typer.Option(help="Decides the weights, the order and the augmentation.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start anew in a folder that holds a run.")]


def numbers(name, text, kind=float):
    """The numbers in "0.5,0.25" as a list; None for None. OptionError, naming the option, for other words."""
    if text is None:
        return None
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError as error:
        what = "whole numbers" if kind is int else "numbers"
        raise OptionError(f"{name} must be {what} separated by commas, not {text!r}") from error


def parse_options(options):
    """["shortcut=B", "widths=8,16,32"] -> {"shortcut": "B", "widths": [8, 16, 32]}."""
    parsed = {}
    for option in options or []:
        key, equals, value = option.partition("=")
        if not equals:
            raise OptionError(f"an option must be NAME=VALUE, not {option!r}")
        try:
            value = value.lower() if value.lower() in ("true", "false") else value  # as Python writes them
            parsed[key] = json.loads(f"[{value}]" if "," in value and "[" not in value else value)
        except ValueError:
            parsed[key] = value  # a plain word
    return parsed
