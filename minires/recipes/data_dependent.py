"""The parts of a recipe that depend on the data set: the length of an epoch, and the augmentation."""

from numbers import Integral

from minires.data import usual_scale
from minires.errors import OptionError
from minires.models import input_size
from minires.recipes.recipe import Recipe

# Data sets of which a mirrored image means something else.
NOT_AUGMENTED = ("digits", "svhn")


def epoch_length(dataset, batch_size):
    """Batches in an epoch, a smaller last one included."""
    if not isinstance(batch_size, Integral):
        raise OptionError(f"recipe: batch_size must be a whole number, not {batch_size!r}")
    if batch_size < 1:
        raise OptionError(f"recipe: batch_size must be at least 1, not {batch_size}")
    return -(-len(dataset.train) // batch_size)


def in_epochs(model, dataset, options, *, epochs, batch_size, drops=(), **protocol):
    """The Recipe of a protocol whose length and drops are given in epochs, evaluated after each epoch."""
    batch_size = options.get("batch_size", batch_size)
    epoch = epoch_length(dataset, batch_size)
    steps = {
        "batch_size": batch_size,
        "iterations": epochs * epoch,
        "drops": tuple(drop * epoch for drop in drops),
        "evaluate_every": epoch,
        "log_every": min(100, epoch),
    }
    return Recipe(model=model, data=dataset.name, **steps | protocol | options)


def augmentation(model, dataset):
    """Pad 4, crop and flip for pictures of one size; for photos a random crop of the network's size and flip.

    The photo's shorter side is 8/7 of the crop, as 256 is of 224, and the crop lies in its central square.
    Data sets in NOT_AUGMENTED have no augmentation.
    """
    if dataset.name in NOT_AUGMENTED:
        return {}
    if dataset.train.of_one_size:
        return {"crop_padding": 4, "flip": True}
    size = input_size(model)
    return {"crop_size": size, "crop_scales": (usual_scale(size),) * 2, "flip": True}
