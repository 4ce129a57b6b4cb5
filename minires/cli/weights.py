"""Commands that use trained weights: rename their tensors for a network of minires, classify photos."""

import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from minires import models
from minires.cli.common import Device, Option, Threads, console, numbers, parse_options
from minires.errors import CheckpointError, OptionError
from minires.nn.init import skip_init
from minires.tables import name_column, number_columns


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Weights as safetensors or .npz.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The safetensors file to write.")],
    renames: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            help="OLD=NEW: in the tensors' names, replace what the regular expression OLD matches by NEW; "
            "may be given several times.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The network that the weights are for.")] = None,
    option: Option = None,
):
    """Rename the tensors of a weights file for a network of minires, and list those that do not fit.

    Tensors that the network does not have are left out. Nothing is written if some are missing or have
    another shape. Without --model, all tensors are written under their new names.
    """
    state = models.rename(models.read_weights(source), renames or [])
    if option and model is None:
        raise OptionError("--option is for a network; name the network, for example --model resnet50")
    if model is not None:
        with skip_init():
            network = models.create(model, **parse_options(option))
        misfits = network.misfits(state)
        for problem in (problem for problems in misfits.values() for problem in problems):
            console.print(problem)
        unsuitable = misfits["reshaped"] + misfits["unusable"]
        if misfits["missing"] or unsuitable:
            raise CheckpointError(
                f"{source} does not fit {model}: {len(misfits['missing'])} tensors are missing and "
                f"{len(unsuitable)} have another shape or dtype; nothing is written. Change names "
                "with --rename OLD=NEW"
            )
        state = {name: state[name] for name in network.state_dict()}
        print_notes(model, option)  # now: the written file does not say any more where its weights are from
    models.write_weights(state, target)
    fitting = f", which fit {model}" if model else ", not compared with a network (give --model)"
    console.print(f"Written to {target}: {len(state)} tensors{fitting}", soft_wrap=True)


def predict(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Photos, in any format that Pillow reads.")
    ],
    weights: Annotated[
        Path, typer.Option(help="Weights as safetensors or .npz, or the folder of a run of minires train.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="The network that the weights are for; leave it out for a run."),
    ] = None,
    option: Option = None,
    crops: Annotated[
        int, typer.Option(help="1: the centre; 10: mean over corners and centre, each also mirrored.")
    ] = 1,
    classes: Annotated[
        Path | None,
        typer.Option(help="Text file with a class name per line; ImageNet's or CIFAR's names if left out."),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Mean of each channel, for pixels in 0..1, for example 0.5,0.5,0.5.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Standard deviation of each channel, likewise.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw photos and probabilities into this PNG file.")
    ] = None,
    device: Device = "cpu",
    threads: Threads = None,
):
    """Classify photos with a trained network: print the five most probable classes of each."""
    from minires.data import open_photo
    from minires.plot import plot_guesses
    from minires.train import Classifier, guesses

    if weights.is_dir():
        if model or option or mean or std or classes:
            raise OptionError(
                f"{weights} is a run, which has a network, statistics and class names of its own; leave out "
                "--model, --option, --mean, --std and --classes"
            )
        classifier = Classifier.from_run(weights, device)
    elif model is None:
        raise OptionError("give the network that the weights are for, as --model resnet50")
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", models.WeightsWarning)  # the notes below say the same
            classifier = Classifier.from_weights(
                model,
                weights,
                parse_options(option),
                numbers("--mean", mean),
                numbers("--std", std),
                classes,
                device,
            )
        print_notes(model, option)
    photos = {str(image): open_photo(image) for image in images}
    predictions = [guesses(classifier(photo, crops), classifier.classes) for photo in photos.values()]
    table = Table(name_column("image"), "class", *number_columns("probability"))
    for image, best in zip(photos, predictions, strict=True):
        for i, guess in enumerate(best):
            table.add_row("" if i else image, guess.name, f"{100 * guess.probability:.2f} %")
        table.add_section()
    console.print(table)
    if picture is not None:
        console.print(f"Picture: {plot_guesses(photos, predictions, picture)}", soft_wrap=True)


def print_notes(model, option):
    """Print in which way weights of other libraries may not be meant for this network."""
    for note in models.notes_on_weights(model, parse_options(option)):
        console.print(f"Note: {note}", soft_wrap=True)
