"""The degradation problem: deeper plain nets train worse, deeper residual nets do not.

Source: He et al. 2015, Figures 1 and 6. For each depth a plain and a residual net are trained with the same
recipe and the same seed; they have the same parameters, and differ by the shortcuts alone. What counts is the
training error: it shows that the deeper plain net is not overfitting but is harder to optimize.
"""

import json
from pathlib import Path

from minires.data import load
from minires.errors import CheckpointError, OptionError, UnknownNameError
from minires.models import create
from minires.models.blocks import blocks_per_stage
from minires.models.registry import NOT_BUILT
from minires.nn.init import skip_init
from minires.plot import plot_degradation
from minires.recipes import augmentation, epoch_length
from minires.train import History, Recipe, RunFolder, build_model, train_side_by_side
from minires.train.files import write_atomically

FAMILIES = ("plain", "resnet")

# The paper's protocol, with its drops of the learning rate at 1/2 and 3/4 of the run, but small enough for a
# laptop.
SETTINGS = {
    "digits": {"epochs": 20, "batch_size": 64, "learning_rate": 0.05, "widths": (8, 16, 32)},
    "shapes": {"epochs": 20, "batch_size": 64, "learning_rate": 0.05, "widths": (8, 16, 32)},
    "cifar10": {"epochs": 20, "batch_size": 128, "learning_rate": 0.1, "widths": (16, 32, 64)},
}

# The percentage points by which the training error must grow with depth to be called degradation. In the
# three recorded runs (results/degradation) it grows by over 30 for plain nets, by less than 0.1 for residual
# nets.
MARGIN = 1.0


def degradation(
    data="digits",
    depths=(20, 56),
    out="runs/degradation",
    *,
    seed=0,
    epochs=None,
    data_dir=None,
    resume=False,
    overwrite=False,
    follow=None,
    device="cpu",
):
    """Train plain and residual nets of each depth, write OUT/results.json and OUT/degradation.png.

    data: "digits", "shapes" or "cifar10" (with `data_dir`, see data.cifar10); depths: 6n + 2 each.
    epochs: how long, instead of the data set's default.
    follow: called as follow(name, steps) for each net before the first starts; the function that it returns
        is called with that net's train.Report after each step, on a GPU at most ten times a second. For
        example train.progress.TrainingProgress.line.
    device: "cpu" or "cuda".
    Each net's run is kept in OUT/NAME. As many nets train at a time as there are threads; on a GPU, only one.
    Returns the contents of results.json, a dict.
    """
    if data not in SETTINGS:
        raise UnknownNameError("data set", data, SETTINGS)
    check_depths(depths)  # now, not after a download or hours of training
    names = [f"{family}{depth}" for family in FAMILIES for depth in sorted(depths)]
    options = {} if data_dir is None else {"data_dir": str(data_dir)}
    dataset = load(data, **options)
    recipes = {name: recipe(name, dataset, seed, epochs, options) for name in names}
    out = Path(out)
    prepare(out, resume, overwrite)
    # The deepest first: they take longest, and at the end none of them should train alone.
    order = [f"{family}{depth}" for depth in sorted(depths, reverse=True) for family in FAMILIES]
    train_side_by_side(
        {name: recipes[name] for name in order}, out, resume=resume, follow=follow, device=device
    )
    nets = {
        name: measurements(
            build_model(recipes[name], dataset.train.channels, len(dataset.classes)), RunFolder(out / name)
        )
        for name in names
    }
    results = {"data": data, "seed": seed, "nets": nets, "verdict": verdict(nets)}
    write_atomically(out / "results.json", json.dumps(results, indent=2) + "\n")
    plot_degradation(results, out / "degradation.png")
    return results


def check_depths(depths):
    """OptionError unless these are two or more depths 6n + 2 whose names (resnet20) stand for CIFAR nets."""
    if len(set(depths)) != len(depths) or len(depths) < 2:
        raise OptionError(f"degradation: depths must be two or more different numbers, not {tuple(depths)}")
    for depth in depths:
        blocks_per_stage(depth, 6)  # its error names the nearest depths
        if f"resnet{depth}" in NOT_BUILT or not have_the_same_parameters(depth):
            raise OptionError(
                f"degradation: resnet{depth} is the name of another network than the CIFAR ResNet of that "
                f"depth; take {depth - 6} or {depth + 6}"
            )


def have_the_same_parameters(depth):
    """Whether the plain and the residual net of this depth have parameters of the same shapes."""
    with skip_init():
        nets = [create(f"{family}{depth}") for family in FAMILIES]
    plain, residual = ([p.shape for p in net.parameters()] for net in nets)
    return plain == residual


def prepare(out, resume, overwrite):
    """Refuse a folder that holds runs, unless to resume them; with `overwrite`, delete them."""
    runs = [RunFolder(file.parent) for file in sorted(out.glob("*/recipe.json"))]
    if resume and overwrite:
        raise OptionError("give --resume or --overwrite, not both")
    if runs and not (resume or overwrite):
        raise CheckpointError(
            f"{out} already holds runs ({', '.join(run.path.name for run in runs)}); add --resume to go on "
            "with them, --overwrite to start anew, or choose another folder with --out"
        )
    if overwrite:
        for run in runs:
            run.clear()
        for name in ("results.json", "degradation.png"):
            (out / name).unlink(missing_ok=True)


def recipe(model, dataset, seed, epochs, data_options):
    """The recipe of one net; only `model` differs between the nets."""
    settings = SETTINGS[dataset.name]
    epoch = epoch_length(dataset, settings["batch_size"])
    iterations = epoch * (epochs or settings["epochs"])
    return Recipe(
        model=model,
        model_options={"widths": list(settings["widths"])},
        data=dataset.name,
        data_options=data_options,
        seed=seed,
        iterations=iterations,
        batch_size=settings["batch_size"],
        learning_rate=settings["learning_rate"],
        drops=(iterations // 2, iterations * 3 // 4),
        log_every=epoch,
        evaluate_every=epoch,
        **augmentation(model, dataset),
    )


def measurements(model, folder):
    """The entry of results.json for one net. Errors in percent, one per epoch."""
    history = History.load(folder.metrics_file)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_error": history.series("train_error")[1],
        "test_error": history.series("test_error")[1],
        "seconds": history.last("seconds"),
    }


def verdict(nets):
    """Which family degrades: its deepest net has over MARGIN more training error than its shallowest."""
    return {"plain_degrades": degrades(nets, "plain"), "residual_degrades": degrades(nets, "resnet")}


def degrades(nets, family):
    """The verdict on one family. `nets` is in the order of depth."""
    errors = [net["train_error"][-1] for name, net in nets.items() if name.startswith(family)]
    return errors[-1] - errors[0] > MARGIN
