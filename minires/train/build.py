"""From a recipe and its data to the model and the batches."""

import numpy as np

from minires.data import CentreCrop, Compose, CropAndFlip, Loader, RandomAreaCrop, RandomCrop, usual_scale
from minires.data.randomness import WEIGHT_STREAM
from minires.errors import OptionError
from minires.models import create, input_size
from minires.train.input_format import InputFormat


def build_model(recipe, channels, classes):
    """The recipe's model for so many channels and classes; the recipe's seed determines its weights."""
    sizes = {"in_channels": channels, "classes": classes}
    generator = np.random.default_rng((recipe.seed, WEIGHT_STREAM))
    return create(recipe.model, generator=generator, **sizes | recipe.model_options)


def measure_input(recipe, dataset):
    """The InputFormat of a data set, with its photos in the recipe's views."""
    train, test = with_views(recipe, dataset)
    scale = None if test.of_one_size else test.view.scale
    return InputFormat.measured(train, scale, recipe.normalization, dataset.classes)


def build_loaders(recipe, dataset, input_format=None):
    """Two Loaders: the shuffled, augmented training batches and the plain test batches.

    input_format: what measure_input returned; measured anew if left out.
    Raises OptionError if the recipe's crops do not fit the data.
    """
    train, test = with_views(recipe, dataset)
    input_format = input_format or measure_input(recipe, dataset)
    augmentations = []
    if recipe.crop_padding or (recipe.flip and recipe.crop_size is None):
        augmentations.append(CropAndFlip(recipe.crop_padding, recipe.flip, recipe.padding_mode))
    if recipe.colour_noise:
        augmentations.append(input_format.colour_noise(recipe.colour_noise))
    augment = Compose(tuple(augmentations)) if augmentations else None
    size, seed, normalize = recipe.batch_size, recipe.seed, input_format.normalize
    return (
        Loader(train, size, normalize=normalize, augment=augment, seed=seed),
        # Without a backward pass four times as many images need no more memory; but photos are large.
        Loader(test, 4 * size if train.of_one_size else min(size, 32), normalize=normalize, shuffle=False),
    )


def with_views(recipe, dataset):
    """(training split, test split); photos are seen through the views that the recipe asks for.

    Without a crop_size photos are treated like small pictures: all of them get the network's size.
    """
    size, train, test = recipe.crop_size, dataset.train, dataset.test
    if train.of_one_size:
        if size is not None:
            raise OptionError(
                f"the recipe for {recipe.model} cuts crops of {size} out of photos (--data folder), but "
                f"the pictures of {dataset.name} have one size"
            )
        return train, test
    as_pictures = size is None
    size = input_size(recipe.model) if as_pictures else size
    data_size = recipe.data_options.get("crop_size", size)
    if data_size != size:
        raise OptionError(f"the data's crop_size {data_size} is not the recipe's, {size}; leave it out")
    if as_pictures:
        view = CentreCrop(size, usual_scale(size))
    elif recipe.crop_area:
        view = RandomAreaCrop(size, flip=recipe.flip)
    else:
        view = RandomCrop(size, recipe.crop_scales, central_square=recipe.central_square, flip=recipe.flip)
    return train.with_view(view), test.with_view(CentreCrop(size, usual_scale(size)))
