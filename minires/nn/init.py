"""How weights are initialized."""

import math
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from minires.errors import OptionError

_skipping = ContextVar("skipping", default=False)


@contextmanager
def skip_init():
    """Inside of `with skip_init():` new layers leave their weights at 0, for weights that are loaded anyway.

    Drawing VGG-19's 144 million numbers takes longer than reading them from a file.
    """
    token = _skipping.set(True)
    try:
        yield
    finally:
        _skipping.reset(token)


def fan_in(shape):
    """How many inputs one output sums over: C/G * KH * KW for (O, C/G, KH, KW), I for (O, I)."""
    return math.prod(shape[1:])


def he_normal(shape, generator, dtype="float32"):
    """N(0, 2 / fan_in), which keeps the variance of activations through ReLU layers.

    Source: He et al. 2015b (PReLU), equation 10.
    """
    return (generator.standard_normal(shape) * math.sqrt(2 / fan_in(shape))).astype(dtype)


def as_generator(generator):
    """A numpy.random.Generator as it is, one seeded by a whole number, or a fresh one for None."""
    try:
        if isinstance(generator, bool):  # which NumPy takes for the seeds 0 and 1
            raise TypeError("a truth value is no seed")
        return np.random.default_rng(generator)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"generator must be a numpy.random.Generator or a seed, not {generator!r}"
        ) from error


def initialize(module, generator):
    """Draw the weights of all layers in `module` from `generator`, in definition order; return `module`."""
    generator = as_generator(generator)
    if not _skipping.get():
        for layer in module.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters(generator)
    return module
