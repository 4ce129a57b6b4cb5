"""Residual units with batch norm and ReLU in other places, and the CIFAR networks built from them.

Source: He et al. 2016, Identity Mappings in Deep Residual Networks, Figure 4 and Table 2. A unit of two
convolutions, with its addition (+), is one of

    original               conv BN ReLU conv BN  (+)  ReLU
    bn_after_addition      conv BN ReLU conv  (+)  BN ReLU
    relu_before_addition   conv BN ReLU conv BN ReLU  (+)
    relu_only              ReLU conv BN ReLU conv BN  (+)
    full                   BN ReLU conv BN ReLU conv  (+)

In the last three, nothing but additions lies on the way along the shortcuts. Of these relu_before_addition is
still worse than the original: its F ends in a ReLU and cannot be negative, so that along the shortcuts values
can only grow. A bottleneck has a third convolution, with batch norm and ReLU in the same places.
"""

from dataclasses import dataclass
from functools import partial

from minires.models.blocks import blocks_per_stage, conv3x3
from minires.models.cifar_resnet import CifarNet
from minires.models.shortcuts import conv1x1, padded_identity
from minires.nn import BatchNorm2d, Conv2d, Dropout, Module, Plus, ReLU, Sequential, chain
from minires.nn.functional import global_avg_pool2d
from minires.options import check_choice, check_flags


@dataclass(frozen=True)
class Order:
    """Where batch norm and ReLU are: behind the network's first convolution (stem), before and behind each
    convolution of a unit, behind its last one, behind the addition (added), behind the last unit (end)."""

    stem: tuple
    before: tuple
    behind: tuple
    last: tuple
    added: tuple
    end: tuple


NONE, BN, RELU, BN_RELU = (), (BatchNorm2d,), (ReLU,), (BatchNorm2d, ReLU)

ORDERS = {
    # name                        stem     before   behind   last     added    end
    "original":             Order(BN_RELU, NONE,    BN_RELU, BN,      RELU,    NONE),
    "bn_after_addition":    Order(BN_RELU, NONE,    BN_RELU, NONE,    BN_RELU, NONE),
    "relu_before_addition": Order(BN_RELU, NONE,    BN_RELU, BN_RELU, NONE,    NONE),
    "relu_only":            Order(BN,      RELU,    BN,      BN,      NONE,    RELU),
    "full":                 Order(NONE,    BN_RELU, NONE,    NONE,    NONE,    BN_RELU),
}  # fmt: skip

# The convolutions of a unit: (window, output channels as a multiple of the unit's width)
BASIC = ((3, 1), (3, 1))
BOTTLENECK = ((1, 1), (3, 1), (1, 4))


def modules(kinds, channels):
    """New modules of these kinds, BatchNorm2d and ReLU, for a map of so many channels."""
    return [kind(channels) if kind is BatchNorm2d else kind() for kind in kinds]


class Unit(Module):
    """One residual unit: y = after(shortcut(x) + residual(a)), a = before(x).

    (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride), where out_channels is `channels`, or
    four times as many with a bottleneck.

    shortcut: "A", the identity with zeros for new channels; "B", a 1 x 1 convolution where dimensions grow,
        of a instead of x. Batch norm follows it in the orders in which batch norm follows the others.
    dropout: the probability with which the inputs of the last convolution are dropped (Wide ResNet).
    activated: whether the shortcut starts from a instead of x. A projecting shortcut always does.
    Source: He et al. 2016, equations 1, 2 and 9, and the appendix on the implementation.
    """

    def __init__(
        self,
        in_channels,
        channels,
        stride=1,
        order="full",
        shortcut="A",
        bottleneck=False,
        dropout=0.0,
        activated=False,
    ):
        check_choice("order", order, ORDERS)
        check_choice("shortcut of this network", shortcut, "AB")
        order = ORDERS[order]
        convolutions = BOTTLENECK if bottleneck else BASIC
        self.out_channels = convolutions[-1][1] * channels
        projects = shortcut == "B" and (stride != 1 or in_channels != self.out_channels)
        norm = [kind for kind in order.behind if kind is BatchNorm2d]
        self.shortcut = (
            Sequential(conv1x1(in_channels, self.out_channels, stride), *modules(norm, self.out_channels))
            if projects
            else padded_identity(in_channels, self.out_channels, stride)
        )
        self.activated = projects or activated

        layers = []
        for i, (size, times) in enumerate(convolutions):
            last, width = i == len(convolutions) - 1, times * channels
            layers += modules(order.before, in_channels)
            layers += [Dropout(dropout)] if last and dropout else []
            layers += [Conv2d(in_channels, width, size, stride, padding=size // 2, bias=False)]
            layers += modules(order.last if last else order.behind, width)
            in_channels, stride = width, 1
        start = len(order.before)
        self.before, self.residual = Sequential(*layers[:start]), Sequential(*layers[start:])
        self.after = Sequential(*modules(order.added, self.out_channels))

    def forward(self, x):
        if self.activated:  # a is read twice
            a = self.before(x)
            return chain(a, self.residual, Plus(self.shortcut(a)), self.after)
        return chain(x, self.before, self.residual, Plus(self.shortcut(x)), self.after)


class PreActNet(CifarNet):
    """The skeleton, with the order's batch norm and ReLU behind the first convolution and the last unit.

    unit: called as unit(in_channels, channels, stride, order=order). first: the same for the first unit;
        `unit` if left out. The others are as in CifarNet.
    """

    def __init__(self, unit, n, order, widths, in_channels, classes, generator, *, stem=None, first=None):
        check_choice("order", order, ORDERS)
        self.order = ORDERS[order]
        unit, first = (partial(block, order=order) for block in (unit, first or unit))
        super().__init__(unit, n, widths, in_channels, classes, generator, stem=stem, first=first)

    def add_stem(self, in_channels, channels):
        self.stem = Sequential(conv3x3(in_channels, channels), *modules(self.order.stem, channels))

    def add_end(self, channels):
        self.end = Sequential(*modules(self.order.end, channels))

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return self.fc(global_avg_pool2d(self.end(x)))


class PreActResNet(PreActNet):
    """A CIFAR ResNet with its activations in another order: (N, in_channels, H, W) -> logits (N, classes).

    depth: 6n + 2, or 9n + 2 with bottlenecks; 110, 164 and 1001 in the paper.
    order: "full" pre-activation, or another row of the table above.
    shortcut: "A" or "B"; the paper has B with bottlenecks.
    widths, generator: as in CifarResNet. Raises OptionError as CifarResNet does, and for another
    order.

    In the network's first unit the shortcut, too, starts from the activated map a.
    """

    def __init__(
        self,
        depth,
        shortcut="A",
        widths=(16, 32, 64),
        in_channels=3,
        classes=10,
        generator=None,
        *,
        order="full",
        bottleneck=False,
    ):
        check_flags(bottleneck=bottleneck)
        n = blocks_per_stage(depth, 9 if bottleneck else 6)
        unit = partial(Unit, shortcut=shortcut, bottleneck=bottleneck)
        first = partial(unit, activated=True)
        super().__init__(unit, n, order, widths, in_channels, classes, generator, first=first)
