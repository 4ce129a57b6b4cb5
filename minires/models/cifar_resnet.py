"""The CIFAR networks of the ResNet paper and their plain twins.

Source: He et al. 2015, section 4.2. For depth 6n + 2 and 32 x 32 images:

    layer     conv1       layer1      layer2      layer3      fc
    output    32 x 32     32 x 32     16 x 16     8 x 8       1 x 1
    layers    1           2n          2n          2n          1
    filters   16          16          32          64
"""

from numbers import Integral

from minires.errors import OptionError
from minires.models.blocks import BasicBlock, conv3x3
from minires.nn import BatchNorm2d, Linear, Module, Sequential
from minires.nn.functional import global_avg_pool2d, relu
from minires.nn.init import initialize


class CifarResNet(Module):
    """A CIFAR ResNet of `depth` = 6n + 2 layers: (N, in_channels, H, W) -> logits (N, classes).

    depth: 20, 32, 44, 56, 110, 1202 in the paper; any 6n + 2 from 8 on.
    shortcut: "A" (the paper's choice here), "B", "C", or "none" for the plain net.
    widths: filters of the three stages.
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    Raises OptionError for another depth or shortcut, and for sizes that are no positive whole numbers.
    """

    def __init__(self, depth, shortcut="A", widths=(16, 32, 64), in_channels=3, classes=10, generator=None):
        check_sizes(depth, *widths, in_channels, classes)
        n, rest = divmod(depth - 2, 6)
        if rest or n < 1:
            lower = max(8, depth - (depth - 2) % 6)
            raise OptionError(
                f"depth {depth} is not 6n + 2 (8, 14, 20, ...); the nearest are {lower} and {lower + 6}"
            )
        if len(widths) != 3:
            raise OptionError(f"widths must be three numbers, one for each stage, not {widths}")
        self.conv1 = conv3x3(in_channels, widths[0])
        self.bn1 = BatchNorm2d(widths[0])
        self.layer1 = stage(n, widths[0], widths[0], 1, shortcut)
        self.layer2 = stage(n, widths[0], widths[1], 2, shortcut)
        self.layer3 = stage(n, widths[1], widths[2], 2, shortcut)
        self.fc = Linear(widths[2], classes)
        initialize(self, generator)

    def forward(self, x):
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(global_avg_pool2d(x))


def cifar_plain(depth, widths=(16, 32, 64), in_channels=3, classes=10, generator=None):
    """The plain twin of the CIFAR ResNet of this depth: the same layers and parameters, no shortcuts."""
    return CifarResNet(depth, "none", widths, in_channels, classes, generator)


def check_sizes(*sizes):
    """OptionError unless all are positive whole numbers."""
    if not all(isinstance(size, Integral) and size > 0 for size in sizes):
        raise OptionError(
            f"depth, widths, in_channels and classes must be positive whole numbers, not {sizes}"
        )


def stage(n, in_channels, channels, stride, option):
    """n blocks of one width; the first of them changes the size and the number of channels."""
    first = BasicBlock(in_channels, channels, stride, option)
    return Sequential(first, *(BasicBlock(channels, channels, 1, option) for _ in range(n - 1)))
