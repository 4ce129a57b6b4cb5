"""Layers one after the other, in as few sweeps as possible. A sweep goes over a whole map in memory once."""

from itertools import count

from minires.backend import kernels
from minires.engine import Tensor
from minires.errors import OptionError, OptionTypeError
from minires.nn.batch_norm import BatchNorm2d
from minires.nn.folding import FoldedBatchNorm2d
from minires.nn.functional import relu
from minires.nn.layers import Conv2d, Identity, ReLU
from minires.nn.members import dotted, values_in
from minires.nn.module import Module, is_plain
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
    """Modules one after the other, a chain: Sequential(layer, layer) or Sequential({"conv": layer, ...}).

    The names are "0", "1", ..., or those of the dict. A list, tuple or dict among the layers becomes a
    Sequential. A slice of a Sequential is one with the same layers under the same names.
    """

    def __init__(self, *args):
        is_named = len(args) == 1 and isinstance(args[0], dict)
        layers = args[0] if is_named else dict(zip(map(str, range(len(args))), args, strict=True))
        for keys, layer in values_in(layers):
            check_layer(dotted(keys), layer)
        for name, layer in layers.items():
            self.add_module(name, as_module(layer))

    def _layers(self):
        """{name: layer}, in order."""
        return dict(self.named_members(Module))

    def forward(self, x):
        return chain(x, *self)

    def __len__(self):
        return len(self._layers())

    def __iter__(self):
        return iter(self._layers().values())

    def __getitem__(self, i):
        if not isinstance(i, slice):
            return list(self)[i]
        part = Sequential()
        for name, layer in list(self._layers().items())[i]:
            setattr(part, name, layer)
        return part

    def __setitem__(self, i, module):
        if isinstance(i, slice):
            raise OptionError(
                "Sequential: net[i] = layer replaces one layer; i must be a number, not a slice"
            )
        name = list(self._layers())[i]
        check_layer(name, module)
        self.add_module(name, module)

    def append(self, module):
        """Put a layer at the end; return the Sequential."""
        name = next(name for name in map(str, count(len(self))) if not hasattr(self, name))
        check_layer(name, module)
        self.add_module(name, module)
        return self

    def extend(self, sequential):
        """Put the layers of a Sequential, or of another iterable, at the end; return the Sequential."""
        for module in list(sequential):
            self.append(module)
        return self

    def insert(self, index, module):
        """Put a layer before the one at `index`, and number all layers anew; return the Sequential.

        Raises OptionError where the layers have names of their own instead of numbers.
        """
        names, layers = list(self._layers()), list(self)
        if names != list(map(str, range(len(names)))):
            raise OptionError(f"Sequential: insert() is for numbered layers, not for {', '.join(names)}")
        if not -len(names) <= index <= len(names):
            raise IndexError(f"Sequential: there is no place {index} among {len(names)} layers")
        check_layer(index, module)
        layers.insert(index, module)
        for i, layer in enumerate(layers):
            setattr(self, str(i), layer)
        return self


def check_layer(name, layer):
    """OptionTypeError unless the layer is a Module."""
    if not isinstance(layer, Module):
        raise OptionTypeError(
            f"Sequential: layer {name} is {layer!r}, not a Module; take ReLU() instead of relu, and "
            "nn.chain for other functions"
        )


def as_module(layer):
    """A module as it is; the layers of a list, tuple or dict as a Sequential."""
    if isinstance(layer, dict):
        return Sequential(layer)
    return Sequential(*layer) if isinstance(layer, (list, tuple)) else layer


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
        if starts_with(steps, is_usual_norm_in_training, is_relu, is_conv_without_bias):
            bn, _, conv, *steps = steps
            x, statistics = normalized_conv2d(x, statistics, bn.arguments, conv.weight, *conv.geometry)
        elif starts_with(steps, is_conv_without_bias, is_usual_norm_in_training):
            conv, *steps = steps
            x, statistics = conv2d_and_statistics(x, conv.weight, *conv.geometry)
        else:
            options = {"statistics": statistics} if is_usual_norm_in_training(steps[0]) else {}
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


def is_usual_norm_in_training(step):
    return is_plain(step, BatchNorm2d) and step.training and step.is_usual


def is_conv_without_bias(step):
    return is_conv(step) and step.bias is None
