"""Classifier: a trained network together with the size and the normalization of its input."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minires.data import CentreCrop, Normalization, TenCrops, as_pixels, class_names, usual_scale
from minires.errors import OptionError
from minires.models import create, read_weights
from minires.nn import Module
from minires.nn.init import skip_init
from minires.train.evaluation import load_run
from minires.train.prediction import for_inference, probabilities

# Means and deviations of the channels in 0..1: of ImageNet's training images, as most trained networks expect
# them, and of CIFAR-10's (Zagoruyko and Komodakis 2016).
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.4914, 0.4824, 0.4467), (0.2471, 0.2435, 0.2616)


@dataclass(frozen=True)
class Classifier:
    """A network for inference, the side of its input in pixels, its normalization, the names of its classes.

    normalize: called on uint8 (N, C, H, W), returns float32. scale: the shorter side to which a photo is
    scaled before the input is cut out of it; if left out, the input's side, or data.usual_scale of it for
    ten crops. channels: 1 for grey images, or 3.
    """

    model: Module
    size: int
    normalize: Any
    classes: tuple[str, ...]
    scale: int | None = None
    channels: int = 3

    @classmethod
    def from_weights(cls, name, path, options=None, mean=None, std=None, classes=None, device="cpu"):
        """The network called `name` with the weights in a file.

        options: those of the network. mean, std: of the channels in 0..1, ImageNet's or CIFAR's if left out.
        classes: a text file with the names of the classes; see data.class_names.
        Raises OptionError if mean or std do not fit the network, CheckpointError if the weights do not.
        """
        state, options = read_weights(path), dict(options or {})
        if name == "googlenet" and not any(key.startswith("aux") for key in state):
            options.setdefault("heads", False)  # libraries remove the heads from trained weights
        with skip_init():
            model = create(name, **options)
        model.load_state_dict(state)
        weights = [p for p in model.parameters() if p.ndim > 1]
        channels, count = weights[0].shape[1], len(weights[-1])
        usual_mean, usual_std = IMAGENET if model.input_size == 224 else CIFAR
        normalize = Normalization(
            per_channel("mean", usual_mean if mean is None else mean, channels),
            per_channel("std", usual_std if std is None else std, channels),
        )
        size = model.input_size
        scale = usual_scale(size) if size == 224 else None  # small pictures have no border to cut off
        return cls(
            for_inference(model.to(device)), size, normalize, class_names(count, classes), scale, channels
        )

    @classmethod
    def from_run(cls, path, device="cpu"):
        """The network of a run's latest checkpoint, with the input and the classes of its training."""
        run = load_run(path, device=device)
        size, normalize = run.input_format.size, run.input_format.normalize
        classes, scale, channels = run.input_format.classes, run.input_format.scale, run.input_format.channels
        return cls(for_inference(run.model), size, normalize, classes, scale, channels)

    def __call__(self, photo, crops=1):
        """The probability of each class, (classes,), for a Pillow image; the mean over its 1 or 10 crops."""
        if crops not in (1, 10):
            raise OptionError(f"crops must be 1 or 10, not {crops!r}")
        if crops == 10:
            images = as_pixels(TenCrops(self.size, self.scale or usual_scale(self.size))(photo))
        else:
            images = as_pixels([CentreCrop(self.size, self.scale or self.size)(photo)])
        if self.channels == 1:
            images = grey(images)
        return probabilities(self.model, self.normalize(images)[None])[0]


def grey(images):
    """RGB uint8 (N, 3, H, W) -> luminance uint8 (N, 1, H, W), with the weights of ITU-R 601 as in Pillow."""
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    return np.rint((images * weights).sum(axis=1, keepdims=True)).astype(np.uint8)


def per_channel(name, values, channels):
    """The values as float32 (channels, 1, 1); OptionError for another number or values out of range."""
    array = np.asarray(values, np.float32)
    valid = np.isfinite(array).all() and (name != "std" or (array > 0).all())
    if array.shape != (channels,) or not valid:
        numbers = "positive numbers" if name == "std" else "numbers"
        raise OptionError(f"{name} must be {channels} {numbers}, one for each channel, not {values}")
    return array[:, None, None]
