"""Every block of the networks, small enough to nudge each number: the second table of gradients.py.

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
    """make(): the block; shape: that of its input; run(block, x): what is differentiated.

    cancelled: parameters of which a batch norm behind them leaves nothing. Their gradient is 0, and an error
        relative to rounding noise would mean nothing, so they are not nudged.
    together: all numbers are nudged at once, where there are too many for one by one.
    """

    make: Callable
    shape: tuple
    run: Callable = Module.__call__
    cancelled: tuple = ()
    together: bool = False


def keeps(block, expansion=1, **options):
    """The block with size and channels as they come."""
    return Case(partial(block, 2 * expansion, 2, **options), (2, 2 * expansion, 2, 3))


def grows(block, expansion=1, cancelled=(), **options):
    """The block with half the size, rounded up, and more channels."""
    channels = 3 if expansion == 1 else 2
    return Case(partial(block, 2, channels, 2, **options), (3, 2, 4, 3), cancelled=cancelled)


def in_two_sizes(block, expansion=1, **options):
    return [keeps(block, expansion, **options), grows(block, expansion, **options)]


def units(order, bottleneck):
    """A unit of Identity Mappings with either shortcut, and with dropout as in Wide ResNet."""
    unit, expansion = partial(Unit, order=order, bottleneck=bottleneck), 4 if bottleneck else 1
    cancelled = ("shortcut.1.bias",) if order == "bn_after_addition" else ()
    return [
        keeps(unit, expansion),
        grows(unit, expansion, shortcut="A"),
        grows(unit, expansion, cancelled, shortcut="B", dropout=0.4),
    ]


def evaluated(block, *sizes, **options):
    """The block in evaluation, where batch norm has given statistics and code of its own."""
    return block(*sizes, **options).eval()


def micro_network():
    """A convolution of NiN and the network behind it."""
    return Sequential(*mlpconv(3, 2, 3, 4, 3))


def small_convnet():
    """The shape of AlexNet and VGG: features averaged to 2 x 2, two fully connected layers."""
    features = Sequential(Conv2d(2, 3, 3, padding=1), ReLU(), MaxPool2d(2))
    return ConvNet(features, 2, Sequential(Linear(12, 4), ReLU(), Dropout(0.4), Linear(4, 3)), generator=None)


GROUPS = {"groups": 2, "width_per_group": 64}
INCEPTION = (3, 2, 2, 3, 2, 2, 2)  # input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection

# name: cases
BLOCKS = {
    **{f"basic_{shortcut}": in_two_sizes(BasicBlock, shortcut=shortcut) for shortcut in SHORTCUTS},
    **{f"bottleneck_{shortcut}": in_two_sizes(Bottleneck, 4, shortcut=shortcut) for shortcut in SHORTCUTS},
    "basic_evaluated": in_two_sizes(partial(evaluated, BasicBlock), shortcut="C"),
    "bottleneck_evaluated": [grows(partial(evaluated, Bottleneck), 4)],
    "bottleneck_stride_in_3x3": [grows(Bottleneck, 4, stride_in_1x1=False)],
    "bottleneck_grouped": in_two_sizes(Bottleneck, 4, **GROUPS),
    **{f"resnext_{form}": in_two_sizes(PathsBlock, 4, form=form, **GROUPS) for form in "ab"},
    **{f"unit_{order}": units(order, bottleneck=False) for order in ORDERS},
    **{f"unit_bottleneck_{order}": units(order, bottleneck=True) for order in ORDERS},
    "unit_first": [keeps(partial(Unit, activated=True))],
    "inception": [Case(partial(Inception, *INCEPTION, window=3), (2, 3, 4, 4))],
    "inception_2014": [Case(partial(Inception, *INCEPTION, batch_norm=False), (2, 3, 4, 4))],
    "inception_convolution": [
        Case(partial(Convolution, 2, 3, 3, stride=2), (2, 2, 5, 5)),
        Case(partial(Convolution, 2, 3, 5, batch_norm=False), (2, 2, 4, 4)),
    ],
    "auxiliary_head": [
        Case(lambda: AuxiliaryHead(2, 3, AdaptiveAvgPool2d(4)), (2, 2, 6, 6), together=True),
        Case(lambda: AuxiliaryHead(2, 3, AvgPool2d(5, 3), batch_norm=False), (2, 2, 14, 14), together=True),
    ],
    "mlpconv": [Case(micro_network, (2, 2, 4, 4))],
    "convnet": [Case(small_convnet, (2, 2, 6, 6))],
    "score_map": [Case(small_convnet, (2, 2, 8, 8), run=ConvNet.score_map)],
}
