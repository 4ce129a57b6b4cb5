"""Nonlinearities, element by element, and dropout."""

import numpy as np

from minires.backend import kernels
from minires.engine import Function, Tensor
from minires.errors import OptionError


class Relu(Function):
    """y = max(x, 0)        gx = gy where y > 0, else 0"""

    def forward(self, x):
        self.saved = y = kernels.relu(x)
        return y

    def backward(self, gy):
        return kernels.relu_gradient(gy, self.saved)


class Sigmoid(Function):
    """y = 1 / (1 + e^-x)        gx = gy y (1 - y)"""

    def forward(self, x):
        # y = e^(-log(1 + e^-x)): the plain formula overflows where x is very negative
        self.saved = y = self.xp.exp(-self.xp.logaddexp(0, -x))
        return y

    def backward(self, gy):
        y = self.saved
        return gy * y * (1 - y)


class Tanh(Function):
    """y = tanh(x)        gx = gy (1 - y^2)"""

    def forward(self, x):
        self.saved = y = self.xp.tanh(x)
        return y

    def backward(self, gy):
        y = self.saved
        return gy * (1 - y * y)


class Dropout(Function):
    """y = x m / (1 - p)        gx = gy m / (1 - p)        m: 1 with probability 1 - p, else 0

    Inverted dropout: dividing by 1 - p in training keeps the expectation, so that evaluation changes nothing.
    Source: Srivastava et al. 2014.
    """

    def __init__(self, p, generator):
        self.p, self.generator = p, generator

    def forward(self, x):
        keep = self.generator.random(x.shape, dtype=np.float32) >= self.p
        self.saved = mask = self.xp.asarray(keep, x.dtype) / (1 - self.p)
        return x * mask

    def backward(self, gy):
        return gy * self.saved


def relu(x):
    """max(x, 0)."""
    return Relu()(x)


def sigmoid(x):
    """1 / (1 + e^-x)."""
    return Sigmoid()(x)


def tanh(x):
    """The hyperbolic tangent."""
    return Tanh()(x)


def dropout(x, p=0.5, training=True, generator=None):
    """Set each element to 0 with probability p and divide the rest by 1 - p; in evaluation, return x itself.

    generator: a numpy.random.Generator; a fresh, unseeded one if left out.
    """
    if not 0 <= p < 1:
        raise OptionError(f"dropout: p must be at least 0 and below 1, not {p}")
    if not training or p == 0:
        return x if isinstance(x, Tensor) else Tensor(x)
    return Dropout(p, generator or np.random.default_rng())(x)
