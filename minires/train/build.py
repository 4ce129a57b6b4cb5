"""From a recipe and its data to the model and the batches."""

import numpy as np

from minires.data import (
    NORMALIZATIONS,
    CentreCrop,
    ColourNoise,
    Compose,
    CropAndFlip,
    ImageFolder,
    Loader,
    RandomAreaCrop,
    RandomCrop,
    principal_components,
)
from minires.errors import OptionError
from minires.models import create


def build_model(recipe, dataset):
    """The recipe's model for this data set, its weights drawn from the recipe's seed."""
    fitting = {"in_channels": dataset.train.channels, "classes": len(dataset.classes)}
    generator = np.random.default_rng((recipe.seed, 2))
    return create(recipe.model, generator=generator, **fitting | recipe.model_options)


def build_loaders(recipe, dataset):
    """The shuffled, augmented training batches and the plain test batches.

    Raises OptionError where the recipe asks for what this kind of data does not have.
    """
    train, test = seen_by(recipe, dataset)
    photos, sample = isinstance(train, ImageFolder), train.sample()
    normalize = NORMALIZATIONS[recipe.normalization](sample)
    augmentations = []
    if recipe.crop_padding or (recipe.flip and not photos):
        augmentations.append(CropAndFlip(recipe.crop_padding, recipe.flip, recipe.padding_mode))
    if recipe.colour_noise:
        noise = ColourNoise(*principal_components(sample), recipe.colour_noise, normalize.std)
        augmentations.append(noise)
    augment = Compose(tuple(augmentations)) if augmentations else None
    size, seed = recipe.batch_size, recipe.seed
    return (
        Loader(train, size, normalize=normalize, augment=augment, seed=seed),
        # Without gradients to come, four times as many images need no more memory; but photos are large.
        Loader(test, min(size, 32) if photos else 4 * size, normalize=normalize, shuffle=False),
    )


def seen_by(recipe, dataset):
    """The data set's two parts; photos through the views that the recipe asks for, if it asks for some."""
    size = recipe.crop_size
    if not isinstance(dataset.train, ImageFolder):
        if size is not None:
            raise OptionError(
                f"recipe: crop_size {size} is for photos in folders; {dataset.name} has pictures of one size"
            )
        return dataset.train, dataset.test
    if recipe.crop_padding:
        raise OptionError("recipe: crop_padding is for small pictures; photos have crop_size")
    if size is None:
        return dataset.train, dataset.test
    if recipe.crop_area:
        view = RandomAreaCrop(size, flip=recipe.flip)
    else:
        scales = recipe.crop_scales
        # AlexNet's one scale comes with its central square.
        square = scales is not None and scales[0] == scales[1]
        view = RandomCrop(size, scales, central_square=square, flip=recipe.flip)
    return dataset.train.seen_through(view), dataset.test.seen_through(CentreCrop(size, round(size * 8 / 7)))
