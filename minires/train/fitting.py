"""What a recipe takes from its data set: the length of an epoch, and an augmentation that suits it."""

from minires.errors import OptionError
from minires.models import input_size
from minires.train.recipe import Recipe


def epoch_length(dataset, batch_size):
    """Batches in an epoch, a smaller last one included."""
    if batch_size < 1:
        raise OptionError(f"recipe: batch_size must be at least 1, not {batch_size}")
    return -(-len(dataset.train) // batch_size)


def in_epochs(model, dataset, options, *, epochs, batch_size, drops=(), **protocol):
    """A protocol whose `epochs` and `drops` count epochs, with an evaluation after each, as a Recipe."""
    epoch = epoch_length(dataset, options.setdefault("batch_size", batch_size))
    steps = {
        "iterations": epochs * epoch,
        "drops": tuple(drop * epoch for drop in drops),
        "evaluate_every": epoch,
        "log_every": min(100, epoch),
    }
    return Recipe(model=model, data=dataset.name, **steps | protocol | options)


def is_small(dataset):
    """Whether the pictures are in memory and at most 32 x 32, as CIFAR's; if not, they are photos."""
    images = getattr(dataset.train, "images", None)
    return images is not None and max(images.shape[2:]) <= 32


def augmentation(model, dataset):
    """Pad 4, crop and flip for small pictures; a random crop of the network's size and flip for photos.

    The photo's shorter side is 8/7 of the crop, as 256 is of 224. Nothing for digits, whose mirror images
    mean something else.
    """
    if dataset.name in ("digits", "svhn"):
        return {}
    if is_small(dataset):
        return {"crop_padding": 4, "flip": True}
    size = input_size(model)
    return {"crop_size": size, "crop_scales": (round(size * 8 / 7),) * 2, "flip": True}
