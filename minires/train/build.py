"""From a recipe and its data to the model and the batches."""

import numpy as np

from minires.data import NORMALIZATIONS, CropAndFlip, Loader
from minires.errors import OptionError
from minires.models import create

# What a recipe can ask for and nothing here can do yet, with the value that asks for nothing.
MISSING = {
    "padding_mode": "zero",
    "crop_size": None,
    "crop_scales": None,
    "crop_area": False,
    "colour_noise": 0.0,
}


def build_model(recipe, dataset):
    """The recipe's model for this data set, its weights drawn from the recipe's seed."""
    fitting = {"in_channels": dataset.train.images.shape[1], "classes": len(dataset.classes)}
    generator = np.random.default_rng((recipe.seed, 2))
    return create(recipe.model, generator=generator, **fitting | recipe.model_options)


def build_loaders(recipe, dataset):
    """The shuffled, augmented training batches and the plain test batches."""
    for name, nothing in MISSING.items():
        if getattr(recipe, name) != nothing:
            raise OptionError(f"recipe: {name} {getattr(recipe, name)!r} is not built yet; use {nothing!r}")
    normalize = NORMALIZATIONS[recipe.normalization](dataset.train.images)
    augment = CropAndFlip(recipe.crop_padding, recipe.flip) if recipe.crop_padding or recipe.flip else None
    size, seed = recipe.batch_size, recipe.seed
    return (
        Loader(dataset.train, size, normalize=normalize, augment=augment, seed=seed),
        # Without gradients to come, four times as many images need no more memory.
        Loader(dataset.test, 4 * size, normalize=normalize, shuffle=False),
    )
