"""The CIFAR networks of the ResNet paper, their plain twins, and their bottleneck relatives.

Source: He et al. 2015, section 4.2. For 32 x 32 images and depth 6n + 2, or 9n + 2 with bottlenecks:

    layer                 conv1       layer1      layer2      layer3      fc
    output                32 x 32     32 x 32     16 x 16     8 x 8       1 x 1
    layers                1           2n          2n          2n          1
    filters               16          16          32          64
    bottlenecks: layers   1           3n          3n          3n          1
    filters               16          16, 64      32, 128     64, 256
"""

from functools import partial

from minires.models.blocks import BasicBlock, Bottleneck, blocks_per_stage, check_widths, conv3x3, stages
from minires.models.shortcuts import checked_options
from minires.nn import BatchNorm2d, Linear, Module, chain
from minires.nn.functional import global_avg_pool2d, relu
from minires.nn.init import initialize
from minires.options import check_flags, check_sizes


class CifarNet(Module):
    """The skeleton: conv 3x3, three stages of n blocks, global average pooling, a classifier.

    block: called as block(in_channels, channels, stride). first: the same for the network's first block;
        `block` if left out.
    widths: channels of the three stages. stem: channels of the first convolution; widths[0] if left out.
    """

    input_size = 32

    def __init__(self, block, n, widths, in_channels, classes, generator, *, stem=None, first=None):
        check_sizes(in_channels=in_channels, classes=classes)
        check_widths(widths, 3)
        stem = stem or widths[0]
        self.add_stem(in_channels, stem)
        self.layer1, self.layer2, self.layer3 = stages(block, [n] * 3, stem, widths, first)
        self.add_end(self.layer3[-1].out_channels)
        self.fc = Linear(self.layer3[-1].out_channels, classes)
        initialize(self, generator)

    def add_stem(self, in_channels, channels):
        """The layers before the first stage."""
        self.conv1 = conv3x3(in_channels, channels)
        self.bn1 = BatchNorm2d(channels)

    def add_end(self, channels):
        """The layers between the last stage and the pooling: none here, some in preact.py."""

    def forward(self, x):
        x = chain(x, self.conv1, self.bn1, relu)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(global_avg_pool2d(x))


class CifarResNet(CifarNet):
    """A CIFAR ResNet of `depth` = 6n + 2 layers: (N, in_channels, H, W) -> logits (N, classes).

    depth: 20, 32, 44, 56, 110, 1202 in the paper; any 6n + 2 from 8 on.
    shortcut: "A" (the paper's choice here), "B", "C", "none" for the plain net, or one of the types of
        Identity Mappings. `shortcut_options` are keywords of that type, such as gate_bias=-7; shortcuts.py
        lists them.
    widths: filters of the three stages.
    bottleneck: blocks of three layers, and depth 9n + 2.
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    Raises OptionError for another depth, shortcut or option of it, and for sizes that are no positive whole
    numbers.
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
        bottleneck=False,
        **shortcut_options,
    ):
        check_flags(bottleneck=bottleneck)
        block = Bottleneck if bottleneck else BasicBlock
        n = blocks_per_stage(depth, 3 * block.layers)
        block = partial(block, shortcut=shortcut, **checked_options(shortcut, shortcut_options))
        super().__init__(block, n, widths, in_channels, classes, generator)


def cifar_plain(depth, widths=(16, 32, 64), in_channels=3, classes=10, generator=None):
    """The plain twin of the CIFAR ResNet of this depth: the same layers and parameters, no shortcuts."""
    return CifarResNet(depth, "none", widths, in_channels, classes, generator)
