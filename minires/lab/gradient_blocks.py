"""Every block of the networks, as small as possible: the second table of gradients.py.

Most come in two sizes: one keeps the size and the channels of its input, one has stride 2 and more channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from minires.models.blocks import BasicBlock, Bottleneck
from minires.models.convnet import ConvNet
from minires.models.inception import AuxiliaryHead, Convolution, Inception
from minires.models.nin import mlpconv
from minires.models.preact import ORDERS, Unit
from minires.models.resnext import PathsBlock
from minires.models.shortcuts import SHORTCUTS
from minires.nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)


@dataclass(frozen=True)
class Case:
    """make() returns the block; shape: that of its input; run(block, x) is differentiated.

    zero_gradients: names of parameters whose effect the next batch norm removes. Their gradient is 0, and an
        error relative to rounding errors would mean nothing, so they are not nudged.
    all_at_once: whether all numbers are nudged at once, because they are too many to be nudged one by one.
    """

    make: Callable
    shape: tuple
    run: Callable = Module.__call__
    zero_gradients: tuple = ()
    all_at_once: bool = False


def same_size(block, expansion=1, **options):
    """The case in which the block keeps the size and the channels of its input."""
    return Case(partial(block, 2 * expansion, 2, **options), (2, 2 * expansion, 2, 3))


def half_size(block, expansion=1, zero_gradients=(), **options):
    """The case in which the block halves the size, rounded up, and has more channels."""
    channels = 3 if expansion == 1 else 2
    return Case(partial(block, 2, channels, 2, **options), (3, 2, 4, 3), zero_gradients=zero_gradients)


def both_sizes(block, expansion=1, **options):
    return [same_size(block, expansion, **options), half_size(block, expansion, **options)]


def unit_cases(order, bottleneck):
    """A unit of Identity Mappings with either shortcut, and with dropout as in Wide ResNet."""
    unit, expansion = partial(Unit, order=order, bottleneck=bottleneck), 4 if bottleneck else 1
    zero_gradients = ("shortcut.1.bias",) if order == "bn_after_addition" else ()
    return [
        same_size(unit, expansion),
        half_size(unit, expansion, shortcut="A"),
        half_size(unit, expansion, zero_gradients, shortcut="B", dropout=0.4),
    ]


def in_evaluation(block, *sizes, **options):
    """The block in evaluation mode, where batch norm uses running statistics and other code."""
    return block(*sizes, **options).eval()


def micro_network():
    """A convolution of NiN and the 1 x 1 convolutions behind it."""
    return Sequential(*mlpconv(3, 2, 3, 4, 3))


def small_convnet():
    """A small net built like AlexNet and VGG: features averaged to 2 x 2, two fully connected layers."""
    features = Sequential(Conv2d(2, 3, 3, padding=1), ReLU(), MaxPool2d(2))
    return ConvNet(features, 2, Sequential(Linear(12, 4), ReLU(), Dropout(0.4), Linear(4, 3)), generator=None)


GROUPS = {"groups": 2, "width_per_group": 64}
INCEPTION = (3, 2, 2, 3, 2, 2, 2)  # input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection

# name: cases
BLOCKS = {
    **{f"basic_{shortcut}": both_sizes(BasicBlock, shortcut=shortcut) for shortcut in SHORTCUTS},
    **{f"bottleneck_{shortcut}": both_sizes(Bottleneck, 4, shortcut=shortcut) for shortcut in SHORTCUTS},
    "basic_evaluated": both_sizes(partial(in_evaluation, BasicBlock), shortcut="C"),
    "bottleneck_evaluated": [half_size(partial(in_evaluation, Bottleneck), 4)],
    "bottleneck_stride_in_3x3": [half_size(Bottleneck, 4, stride_in_1x1=False)],
    "bottleneck_grouped": both_sizes(Bottleneck, 4, **GROUPS),
    **{f"resnext_{form}": both_sizes(PathsBlock, 4, form=form, **GROUPS) for form in "ab"},
    **{f"unit_{order}": unit_cases(order, bottleneck=False) for order in ORDERS},
    **{f"unit_bottleneck_{order}": unit_cases(order, bottleneck=True) for order in ORDERS},
    "unit_first": [same_size(partial(Unit, activated=True))],
    "inception": [Case(partial(Inception, *INCEPTION, window=3), (2, 3, 4, 4))],
    "inception_2014": [Case(partial(Inception, *INCEPTION, batch_norm=False), (2, 3, 4, 4))],
    "inception_convolution": [
        Case(partial(Convolution, 2, 3, 3, stride=2), (2, 2, 5, 5)),
        Case(partial(Convolution, 2, 3, 5, batch_norm=False), (2, 2, 4, 4)),
    ],
    "auxiliary_head": [
        Case(lambda: AuxiliaryHead(2, 3, AdaptiveAvgPool2d(4)), (2, 2, 6, 6), all_at_once=True),
        Case(
            lambda: AuxiliaryHead(2, 3, AvgPool2d(5, 3), batch_norm=False), (2, 2, 14, 14), all_at_once=True
        ),
    ],
    "mlpconv": [Case(micro_network, (2, 2, 4, 4))],
    "convnet": [Case(small_convnet, (2, 2, 6, 6))],
    "score_map": [Case(small_convnet, (2, 2, 8, 8), run=ConvNet.score_map)],
}
