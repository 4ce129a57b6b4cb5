"""Data sets of images and labels, real and synthetic, and the batches that a network is trained on."""

import inspect

from minires.data.augment import (
    NORMALIZATIONS,
    Compose,
    CropAndFlip,
    Normalization,
    channel_mean_std,
    pixel_mean,
    unit_range,
)
from minires.data.cifar import cifar10, cifar100
from minires.data.class_names import class_names
from minires.data.colour_noise import ColourNoise, principal_components
from minires.data.dataset import Dataset, Split
from minires.data.device_loader import on_device
from minires.data.digits import digits
from minires.data.image_folder import ImageFolder, image_folder
from minires.data.loader import Loader
from minires.data.photo_crops import (
    CentreCrop,
    RandomAreaCrop,
    RandomCrop,
    TenCrops,
    Whole,
    ten_crops,
    usual_scale,
)
from minires.data.photo_decoding import as_pixels, open_photo
from minires.data.shapes import shapes
from minires.errors import OptionError, UnknownNameError

DATASETS = {
    "digits": digits,
    "shapes": shapes,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "folder": image_folder,
}


def load(name, **options):
    """The data set called `name`; options are those of its function (`data_dir` for CIFAR and folder, ...).

    Raises UnknownNameError for an unknown name, OptionError for an option that is unknown, missing or has a
    bad value, and DataError for files that are missing or bad.
    """
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    try:
        inspect.signature(DATASETS[name]).bind(**options)
    except TypeError as error:
        known = ", ".join(inspect.signature(DATASETS[name]).parameters) or "none"
        raise OptionError(f"data set {name!r}: {error}; its options: {known}") from error
    return DATASETS[name](**options)


__all__ = [
    "DATASETS",
    "NORMALIZATIONS",
    "CentreCrop",
    "ColourNoise",
    "Compose",
    "CropAndFlip",
    "Dataset",
    "ImageFolder",
    "Loader",
    "Normalization",
    "RandomAreaCrop",
    "RandomCrop",
    "Split",
    "TenCrops",
    "Whole",
    "as_pixels",
    "channel_mean_std",
    "cifar10",
    "cifar100",
    "class_names",
    "digits",
    "image_folder",
    "load",
    "on_device",
    "open_photo",
    "pixel_mean",
    "principal_components",
    "shapes",
    "ten_crops",
    "unit_range",
    "usual_scale",
]
