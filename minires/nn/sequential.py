"""Layers one after the other, in as few sweeps as possible. A sweep goes over a whole map in memory once."""

from minires.backend import kernels
from minires.engine import Tensor
from minires.errors import OptionError
from minires.nn.folding import FoldedBatchNorm2d
from minires.nn.functional import relu
from minires.nn.layers import BatchNorm2d, Conv2d, Identity, ReLU
from minires.nn.module import Module, is_plain, named_values
from minires.ops.conv import conv2d_and_statistics
from minires.ops.normalized_conv import normalized_conv2d


def chain(x, *steps):
    """Send x through the steps, one after the other: modules, or functions of one tensor. This computes

        for step in steps:
            x = step(x)

    That loop writes a whole map for every batch norm, addition and ReLU, which the next step reads again, and
    memory is slower than arithmetic. So a convolution or a batch norm also does the addition (Plus) and the
    ReLU behind it, where that is faster: `layer(x, add=z, relu=True)`. A convolution and the
    FoldedBatchNorm2d behind it are called as one convolution. A layer with a hook, or of a subclass, is
    called as in the loop.
    """
    steps = list(flattened(steps))
    if isinstance(x, Tensor) and kernels.reads_through_batch_norm(x.data):
        return chain_on_gpu(x, steps)
    while steps:
        x, steps = next_call(x, steps)
    return x


class Plus:
    """A step of a chain: x -> x + z."""

    def __init__(self, z):
        if z is None:
            raise OptionError("Plus: there is nothing to add; does the shortcut return its result?")
        self.z = z

    def __call__(self, x):
        return x + self.z


class Sequential(Module):
    """Modules one after the other, a chain; named "0", "1", ..."""

    def __init__(self, *modules):
        for name, module in named_values("", modules):
            if not isinstance(module, Module):
                raise OptionError(
                    f"Sequential: layer {name} is {module!r}, not a Module; take ReLU() instead of relu, and "
                    "nn.chain for other functions"
                )
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def _layers(self):
        return [module for _, module in self.named_members(Module)]

    def forward(self, x):
        return chain(x, *self._layers())

    def __len__(self):
        return len(self._layers())

    def __getitem__(self, i):
        layers = self._layers()[i]
        return Sequential(*layers) if isinstance(i, slice) else layers

    def __iter__(self):
        return iter(self._layers())


def flattened(steps):
    """The steps, with the layers of each Sequential in its place, and without Identity."""
    for step in steps:
        if is_plain(step, Sequential):
            yield from flattened(step)
        elif not is_plain(step, Identity):
            yield step


def next_call(x, steps, **options):
    """Call the first step, together with the next steps that it can include: (result, remaining steps).

    options: further arguments of that call.
    """
    step, *rest = steps
    takes_add_and_relu = is_conv(step) or is_plain(step, BatchNorm2d) or is_folded(step)
    if starts_with(steps, is_conv, is_folded) and rest[0].conv is step:
        folded, *rest = rest
        step = folded.convolve_and_normalize
    if takes_add_and_relu:
        if rest and type(rest[0]) is Plus and not adds_apart(step, x):
            plus, *rest = rest
            options["add"] = plus.z
        if rest and is_relu(rest[0]):
            _, *rest = rest
            options["relu"] = True
    return step(x, **options), rest


def adds_apart(step, x):
    """Whether an addition stays a sweep of its own: on a CPU, behind a convolution in training.

    If the convolution adds, a training step of a pre-activated net takes about 5 % longer on two threads.
    """
    return is_conv(step) and step.training and not (isinstance(x, Tensor) and kernels.is_on_gpu(x.data))


def chain_on_gpu(x, steps):
    """A chain on a GPU at the rung "fused", where two more sweeps are saved between two convolutions.

    The first convolution computes the statistics of its result while it writes the result. The second one
    applies the batch norm and the ReLU between them while it reads: the normalized map is never stored.
    """
    statistics = None  # of x, if they have been computed
    while steps:
        if starts_with(steps, is_norm_in_training, is_relu, is_conv_without_bias):
            bn, _, conv, *steps = steps
            x, statistics = normalized_conv2d(x, statistics, bn.arguments, conv.weight, *conv.geometry)
        elif starts_with(steps, is_conv_without_bias, is_norm_in_training):
            conv, *steps = steps
            x, statistics = conv2d_and_statistics(x, conv.weight, *conv.geometry)
        else:
            options = {"statistics": statistics} if is_norm_in_training(steps[0]) else {}
            x, steps = next_call(x, steps, **options)
            statistics = None
    return x


def starts_with(steps, *checks):
    """Whether the first steps pass these checks, functions of a step, one after the other."""
    return len(steps) >= len(checks) and all(check(step) for check, step in zip(checks, steps, strict=False))


def is_relu(step):
    return step is relu or is_plain(step, ReLU)


def is_conv(step):
    return is_plain(step, Conv2d)


def is_folded(step):
    return is_plain(step, FoldedBatchNorm2d)


def is_norm_in_training(step):
    return is_plain(step, BatchNorm2d) and step.training


def is_conv_without_bias(step):
    return is_conv(step) and step.bias is None
