"""Layers: an operation together with its parameters and options, with PyTorch's names and arguments.

Conv2d and Linear take a `generator` (a numpy.random.Generator, or a seed) to draw their weights from, Dropout
takes one to draw its masks from; without it, they draw from a fresh, unseeded one. Weights start with He's
initialization, biases with 0. Batch norm, pooling and the losses have files of their own.
"""

from numbers import Integral, Real

import numpy as np

from minires.backend import to_device
from minires.backend.window import Window
from minires.errors import OptionError
from minires.nn import functional as F
from minires.nn.arguments import check_real, check_window
from minires.nn.init import as_generator, he_normal, initialize
from minires.nn.module import Module
from minires.nn.parameter import Parameter
from minires.ops.checks import pair
from minires.ops.shape import flatten
from minires.options import check_whole, refuse_unless_default


class WeightedLayer(Module):
    """A layer with a weight, and a bias if asked for."""

    def _set_weights(self, shape, bias, generator, device, dtype):
        self.weight = Parameter(np.zeros(shape, np.float32))
        self.register_parameter("bias", Parameter(np.zeros(shape[0], np.float32)) if bias else None)
        initialize(self, generator)
        self.to(device, dtype)

    def reset_parameters(self, generator):
        """Draw the weight anew: He's initialization; the bias becomes 0."""
        weight = he_normal(self.weight.shape, generator)
        self.weight.overwrite(to_device(weight, self.weight.device))
        if self.bias is not None:
            self.bias.overwrite(0)


class Conv2d(WeightedLayer):
    """Convolution: (N, in_channels, H, W) -> (N, out_channels, OH, OW). See ops/conv.py.

    Called as conv(x, add=z, relu=True), it computes max(conv(x) + z, 0); without `relu` no maximum is taken,
    without `add` nothing is added.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        device=None,
        dtype=None,
        *,
        generator=None,
    ):
        refuse_unless_default("Conv2d", padding_mode=(padding_mode, "zeros"))
        check_whole("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        check_window("Conv2d", kernel_size, stride, padding, dilation)
        if in_channels % groups or out_channels % groups:
            raise OptionError(
                f"Conv2d: groups={groups} must divide {in_channels} and {out_channels} channels"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair(kernel_size, "Conv2d: kernel_size")
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        shape = out_channels, in_channels // groups, *self.kernel_size
        self._set_weights(shape, bias, generator, device, dtype)

    @property
    def geometry(self):
        """stride, padding, dilation and groups, as conv2d takes them."""
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def window(self):
        """The geometry of the window, a backend.window.Window."""
        return Window(self.weight.shape[2:], *(pair(value, "Conv2d") for value in self.geometry[:3]))

    def forward(self, input, *, add=None, relu=False):
        return F.conv2d(input, self.weight, self.bias, *self.geometry, add=add, relu=relu)

    def extra_repr(self):
        O, C, *size = self.weight.shape
        return (
            f"{C * self.groups}, {O}, kernel_size={tuple(size)}, stride={self.stride}, padding={self.padding}"
        )


class Linear(WeightedLayer):
    """y = x W^T + b: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features, out_features, bias=True, device=None, dtype=None, *, generator=None):
        check_whole("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self._set_weights((out_features, in_features), bias, generator, device, dtype)

    def forward(self, input):
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self):
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


class Identity(Module):
    """y = x. Arguments are ignored, as in PyTorch, so that it can stand in for any layer."""

    def __init__(self, *args, **kwargs):
        pass

    def forward(self, input):
        return input


class ReLU(Module):
    """max(x, 0)."""

    def __init__(self, inplace=False):
        refuse_unless_default("ReLU", inplace=(inplace, False))

    def forward(self, input):
        return F.relu(input)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, input):
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input):
        return F.tanh(input)


class Flatten(Module):
    """(N, C, H, W) -> (N, C*H*W)."""

    def __init__(self, start_dim=1, end_dim=-1):
        for name, dim in {"start_dim": start_dim, "end_dim": end_dim}.items():
            if not isinstance(dim, Integral):
                raise OptionError(f"Flatten: {name} must be a whole number, not {dim!r}")
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input):
        return flatten(input, self.start_dim, self.end_dim)


class Dropout(Module):
    """In training, each element becomes 0 with probability p and the rest is divided by 1 - p."""

    def __init__(self, p=0.5, inplace=False, *, generator=None):
        refuse_unless_default("Dropout", inplace=(inplace, False))
        if not isinstance(p, Real) or not 0 <= p < 1:
            raise OptionError(f"Dropout: p must be a number, at least 0 and below 1, not {p!r}")
        self.p = p
        self.generator = as_generator(generator)

    def reset_parameters(self, generator):
        """Seed the layer's own generator from the network's, so that one seed decides all random numbers."""
        self.generator = np.random.default_rng(generator.integers(2**63))

    def forward(self, input):
        return F.dropout(input, p=self.p, training=self.training, generator=self.generator)

    def extra_repr(self):
        return f"p={self.p}"


class LocalResponseNorm(Module):
    """x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta. See ops/norm.py."""

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1.0):
        check_whole("LocalResponseNorm", size=size)
        check_real("LocalResponseNorm", alpha=alpha, beta=beta, k=k)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input):
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)
