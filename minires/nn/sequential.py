"""Layers one after the other, in as few sweeps over their maps as that takes."""

from itertools import pairwise

from minires.backend import kernels
from minires.engine import Tensor
from minires.nn.functional import relu
from minires.nn.layers import BatchNorm2d, Conv2d, Identity, ReLU
from minires.nn.module import Module
from minires.ops.conv import conv2d_and_statistics
from minires.ops.normalized_conv import normalized_conv2d


def chain(x, *steps):
    """x through the steps, one after the other: modules, or any functions of one tensor. What it computes is

        for step in steps:
            x = step(x)

    That loop writes a whole map for every batch norm, addition and ReLU, which the next step reads again, and
    memory is slower than arithmetic. So a convolution or a batch norm is asked to do the addition (Plus) and
    the ReLU behind it as well: `layer(x, add=z, relu=True)`. A layer that is watched by a hook, or of a class
    derived from ours, is called as in the loop.
    """
    steps = list(flattened(steps))
    if isinstance(x, Tensor) and kernels.reads_through_batch_norm(x.data):
        return read_through(x, steps)
    while steps:
        x, steps = advanced(x, steps)
    return x


class Plus:
    """A step of a chain that adds what goes another way: y -> y + f(x)."""

    def __init__(self, f, x):
        self.f, self.x = f, x

    def __call__(self, y):
        return y + self.f(self.x)


class Sequential(Module):
    """Modules one after the other, a chain; named "0", "1", ..."""

    def __init__(self, *modules):
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def _layers(self):
        return [module for _, module in self.named_members(Module)]

    def forward(self, x):
        return chain(x, *self._layers())

    def conv_bn_pairs(self):
        """Each convolution with the batch norm right behind it."""
        neighbours = pairwise(self.named_members(Module))
        kinds = (Conv2d, BatchNorm2d)
        return [(a, b) for (a, conv), (b, bn) in neighbours if (type(conv), type(bn)) == kinds]

    def __len__(self):
        return len(self._layers())

    def __getitem__(self, i):
        layers = self._layers()[i]
        return Sequential(*layers) if isinstance(i, slice) else layers

    def __iter__(self):
        return iter(self._layers())


def flattened(steps):
    """The steps with those of a Sequential in its place, and without Identity."""
    for step in steps:
        if is_plain(step, Sequential):
            yield from flattened(step)
        elif not is_plain(step, Identity):
            yield step


def advanced(x, steps, **options):
    """(what one call makes of x, the steps that are left); `options` are for the call of the first step."""
    step, *rest = steps
    if is_plain(step, Conv2d) or is_plain(step, BatchNorm2d):
        if rest and isinstance(rest[0], Plus):
            plus, *rest = rest
            options["add"] = plus.f(plus.x)
        if rest and is_relu(rest[0]):
            _, *rest = rest
            options["relu"] = True
    return step(x, **options), rest


def read_through(x, steps):
    """The same on a GPU, where two more sweeps are saved between two convolutions.

    The first one takes the statistics of its result while it writes it. The second one does the batch norm
    and the ReLU between them while it reads it: the normalized map never exists.
    """
    statistics = None  # of x, where they have been taken
    while steps:
        if begin(steps, is_measuring, is_relu, has_no_bias):
            bn, _, conv, *steps = steps
            x, statistics = normalized_conv2d(x, statistics, bn.arguments, conv.weight, *conv.geometry)
        elif begin(steps, has_no_bias, is_measuring):
            conv, *steps = steps
            x, statistics = conv2d_and_statistics(x, conv.weight, *conv.geometry)
        else:
            known = {"statistics": statistics} if is_measuring(steps[0]) else {}
            x, steps = advanced(x, steps, **known)
            statistics = None
    return x


def begin(steps, *kinds):
    """Whether the first steps are of these kinds, functions that tell, one after the other."""
    return len(steps) >= len(kinds) and all(kind(step) for kind, step in zip(kinds, steps, strict=False))


def is_plain(step, kind):
    """Whether a step is a module of this very class, with the forward of its class and no hooks."""
    return type(step) is kind and not step._forward_hooks and "forward" not in vars(step)


def is_relu(step):
    return step is relu or is_plain(step, ReLU)


def is_measuring(step):
    return is_plain(step, BatchNorm2d) and step.training


def has_no_bias(step):
    return is_plain(step, Conv2d) and step.bias is None
