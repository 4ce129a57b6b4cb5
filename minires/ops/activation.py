"""Nonlinearities, element by element, and dropout."""

import numpy as np

from minires.backend import floating_dtype, kernels
from minires.engine import Function, Tensor
from minires.errors import OptionError
from minires.ops.elementwise import refuse_truth_values
from minires.options import check_flags, refuse_unless_default


class Relu(Function):
    """y = max(x, 0)        gx = 0 where y <= 0, else gy"""

    def forward(self, x):
        refuse_truth_values("relu", x)
        self.saved = y = kernels.relu(x)
        return y

    def backward(self, gy):
        return kernels.relu_gradient(gy, self.saved)


class Sigmoid(Function, computes_in=floating_dtype):
    """y = 1 / (1 + e^-x)        gx = gy y (1 - y)"""

    def forward(self, x):
        # y = e^(-log(1 + e^-x)): the plain formula overflows where x is very negative
        self.saved = y = self.xp.exp(-self.xp.logaddexp(0, -x))
        return y

    def backward(self, gy):
        y = self.saved
        return gy * y * (1 - y)


class Tanh(Function, computes_in=floating_dtype):
    """y = tanh(x)        gx = gy (1 - y^2)"""

    def forward(self, x):
        self.saved = y = self.xp.tanh(x)
        return y

    def backward(self, gy):
        y = self.saved
        return gy * (1 - y * y)


class Dropout(Function, computes_in=floating_dtype):
    """y = x m / (1 - p)        gx = gy m / (1 - p)        m: 1 with probability 1 - p, else 0

    Inverted dropout: dividing by 1 - p in training keeps the expectation, so that evaluation changes nothing.
    Source: Srivastava et al. 2014.
    """

    def __init__(self, p, generator):
        self.p, self.generator = float(p), generator

    def forward(self, x):
        self.saved = keep = self.xp.asarray(self.generator.random(x.shape, dtype=np.float32) >= self.p)
        return kernels.select(keep, x) / (1 - self.p)

    def backward(self, gy):
        return kernels.select(self.saved, gy) / (1 - self.p)


def relu(input, inplace=False):
    """max(input, 0)."""
    refuse_unless_default("relu", inplace=(inplace, False))
    return Relu()(input)


def sigmoid(input):
    """1 / (1 + e^-input)."""
    return Sigmoid()(input)


def tanh(input):
    """The hyperbolic tangent."""
    return Tanh()(input)


def dropout(input, p=0.5, training=True, inplace=False, *, generator=None):
    """Set each element to 0 with probability p and divide the rest by 1 - p.

    In evaluation the result is `input` itself.

    generator: a numpy.random.Generator; a fresh, unseeded one if left out.
    """
    check_flags(training=training)
    refuse_unless_default("dropout", inplace=(inplace, False))
    if not 0 <= p < 1:
        raise OptionError(f"dropout: p must be at least 0 and below 1, not {p}")
    if not training or p == 0:
        return input if isinstance(input, Tensor) else Tensor(input)
    return Dropout(p, generator or np.random.default_rng())(input)
