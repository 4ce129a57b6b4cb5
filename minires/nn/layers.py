"""Layers: an operation together with its parameters and options, with PyTorch's names and arguments.

Conv2d and Linear take a `generator` (a numpy.random.Generator, or a seed) to draw their weights from, Dropout
takes one to draw its masks from; without it, they draw from a fresh, unseeded one. Weights start with He's
initialization, biases with 0.
"""

from numbers import Real

import numpy as np

from minires.backend import to_device
from minires.backend.window import Window
from minires.errors import OptionError
from minires.nn import functional as F
from minires.nn.init import as_generator, he_normal, initialize
from minires.nn.module import Buffer, Module, Parameter
from minires.ops.checks import pair
from minires.ops.shape import flatten


class WeightedLayer(Module):
    """A layer with a weight, and a bias if asked for."""

    def _set_weights(self, shape, bias, generator):
        self.weight = Parameter(np.zeros(shape, np.float32))
        self.bias = Parameter(np.zeros(shape[0], np.float32)) if bias else None
        initialize(self, generator)

    def reset_parameters(self, generator):
        """Draw the weight anew: He's initialization; the bias becomes 0."""
        weight = he_normal(self.weight.shape, generator)
        self.weight.data[...] = to_device(weight, self.weight.device)
        if self.bias is not None:
            self.bias.data[...] = 0


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
        generator=None,
    ):
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise OptionError(
                f"Conv2d: groups={groups} must divide {in_channels} and {out_channels} channels"
            )
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        kernel_size = pair(kernel_size, "Conv2d: kernel_size")
        self._set_weights((out_channels, in_channels // groups, *kernel_size), bias, generator)

    @property
    def geometry(self):
        """stride, padding, dilation and groups, as conv2d takes them."""
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def window(self):
        """The geometry of the window, a backend.window.Window."""
        return Window(self.weight.shape[2:], *(pair(value, "Conv2d") for value in self.geometry[:3]))

    def forward(self, x, add=None, relu=False):
        return F.conv2d(x, self.weight, self.bias, *self.geometry, add=add, relu=relu)

    def extra_repr(self):
        O, C, *size = self.weight.shape
        return (
            f"{C * self.groups}, {O}, kernel_size={tuple(size)}, stride={self.stride}, padding={self.padding}"
        )


class Linear(WeightedLayer):
    """y = x W^T + b: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features, out_features, bias=True, generator=None):
        self._set_weights((out_features, in_features), bias, generator)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self):
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


class BatchNorm2d(Module):
    """Batch normalization of (N, C, H, W) per channel. See ops/norm.py.

    Called as bn(x, add=z, relu=True), it computes max(bn(x) + z, 0); without `relu` no maximum is taken,
    without `add` nothing is added. `statistics` are those of x, if the convolution before has computed them.

    weight (gamma, 1 at the start) and bias (beta, 0) are trained; running_mean (0) and running_var (1) follow
    the batches' statistics with weight `momentum` on the newest.
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps, self.momentum = eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32))
        self.bias = Parameter(np.zeros(num_features, np.float32))
        self.running_mean = Buffer(np.zeros(num_features, np.float32))
        self.running_var = Buffer(np.ones(num_features, np.float32))

    def reset_parameters(self, generator):
        """Back to the start: gamma 1, beta 0, running mean 0, running variance 1. Nothing is random here."""
        self.weight.data[...] = self.running_var.data[...] = 1
        self.bias.data[...] = self.running_mean.data[...] = 0

    def forward(self, x, add=None, relu=False, statistics=None):
        options = {"training": self.training, "add": add, "relu": relu, "statistics": statistics}
        return F.batch_norm(x, **self.arguments, **options)

    @property
    def arguments(self):
        """{name: value} of F.batch_norm's arguments that belong to the layer."""
        names = "running_mean", "running_var", "weight", "bias", "momentum", "eps"
        return {name: getattr(self, name) for name in names}

    def extra_repr(self):
        return f"{self.weight.shape[0]}"


class BatchNorm1d(BatchNorm2d):
    """Batch normalization of (N, C)."""


class Identity(Module):
    """y = x."""

    def forward(self, x):
        return x


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x):
        return F.relu(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, x):
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x):
        return F.tanh(x)


class MaxPool2d(Module):
    """The largest pixel under each window: (N, C, H, W) -> (N, C, OH, OW)."""

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False):
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode

    def forward(self, x):
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode)

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of the pixels under each window: (N, C, H, W) -> (N, C, OH, OW)."""

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x):
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The means over OH x OW windows, `output_size`: (N, C, H, W) -> (N, C, OH, OW)."""

    def __init__(self, output_size):
        self.output_size = output_size

    def forward(self, x):
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self):
        return f"output_size={self.output_size}"


class GlobalAvgPool2d(Module):
    """The mean over each whole map: (N, C, H, W) -> (N, C)."""

    def forward(self, x):
        return F.global_avg_pool2d(x)


class Flatten(Module):
    """(N, C, H, W) -> (N, C*H*W)."""

    def __init__(self, start_dim=1, end_dim=-1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x):
        return flatten(x, self.start_dim, self.end_dim)


class Dropout(Module):
    """In training, each element becomes 0 with probability p and the rest is divided by 1 - p."""

    def __init__(self, p=0.5, generator=None):
        if not isinstance(p, Real) or not 0 <= p < 1:
            raise OptionError(f"Dropout: p must be a number, at least 0 and below 1, not {p!r}")
        self.p = p
        self.generator = as_generator(generator)

    def reset_parameters(self, generator):
        """Seed the layer's own generator from the network's, so that one seed decides all random numbers."""
        self.generator = np.random.default_rng(generator.integers(2**63))

    def forward(self, x):
        return F.dropout(x, self.p, self.training, generator=self.generator)

    def extra_repr(self):
        return f"p={self.p}"


class LocalResponseNorm(Module):
    """x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta. See ops/norm.py."""

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1.0):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x):
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)


class CrossEntropyLoss(Module):
    """-log softmax(logits)[label]; reduction "mean", "sum" or "none"."""

    def __init__(self, reduction="mean"):
        self.reduction = reduction

    def forward(self, logits, labels):
        return F.cross_entropy(logits, labels, reduction=self.reduction)


class MSELoss(Module):
    """(x - target)^2; reduction "mean", "sum" or "none"."""

    def __init__(self, reduction="mean"):
        self.reduction = reduction

    def forward(self, x, target):
        return F.mse_loss(x, target, reduction=self.reduction)
