"""The ImageNet networks of the ResNet paper, their plain twins, and later networks of the same form.

Source: He et al. 2015, Table 1. For 224 x 224 images:

    layer     output       18          34          50          101         152
    conv1     112 x 112    7 x 7, 64 filters, stride 2
    maxpool   56 x 56      3 x 3, stride 2
    layer1    56 x 56      2 basic     3 basic     3 bottle    3 bottle    3 bottle    64 filters
    layer2    28 x 28      2           4           4           4           8           128
    layer3    14 x 14      2           6           6           23          36          256
    layer4    7 x 7        2           3           3           3           3           512
    fc        1 x 1        global average pooling, 1000 classes

Names and shapes of the weights are those of torchvision, which puts the stride into the 3 x 3 of a bottleneck
(stride_in_1x1=False), where the paper has it in the first 1 x 1.
"""

from functools import partial

from minires.errors import OptionError
from minires.models.blocks import BasicBlock, Bottleneck, check_widths, stages
from minires.models.weights import TorchvisionTwin
from minires.nn import BatchNorm2d, Conv2d, Linear, MaxPool2d, chain
from minires.nn.functional import global_avg_pool2d, relu
from minires.nn.init import initialize
from minires.options import check_choice, check_flags, check_sizes

# depth: (block, blocks in each stage)
TABLE_1 = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(TorchvisionTwin):
    """An ImageNet ResNet: (N, in_channels, H, W) -> logits (N, classes).

    depth: 18, 34, 50, 101 or 152.
    shortcut: "B" (projections where dimensions grow), "A", "C", or "none" for the plain net.
    stride_in_1x1, groups, width_per_group: of the bottlenecks (blocks.py). With stride_in_1x1 left out the
        strides are the paper's, and to load weights of PyTorch gives a WeightsWarning: torchvision and timm
        have their strides in the 3 x 3.
    widths: channels of the four stages, of the 3 x 3 in bottlenecks.
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    Raises OptionError for another depth or shortcut, and for sizes that are no positive whole numbers.
    """

    input_size = 224

    def __init__(
        self,
        depth,
        shortcut="B",
        widths=(64, 128, 256, 512),
        in_channels=3,
        classes=1000,
        generator=None,
        *,
        stride_in_1x1=None,
        groups=1,
        width_per_group=64,
    ):
        check_choice("depth", depth, TABLE_1)
        check_sizes(in_channels=in_channels, classes=classes, groups=groups, width_per_group=width_per_group)
        check_widths(widths, 4)
        block, counts = TABLE_1[depth]
        if stride_in_1x1 is None:
            stride_in_1x1 = True
            if block is Bottleneck and shortcut == "B":
                self.note_on_weights = strides_of_libraries(depth)
        check_flags(stride_in_1x1=stride_in_1x1)
        if block is Bottleneck:
            block = partial(
                block, stride_in_1x1=stride_in_1x1, groups=groups, width_per_group=width_per_group
            )
        elif (groups, width_per_group) != (1, 64):
            raise OptionError(f"groups and width_per_group are for bottlenecks; ResNet-{depth} has none")
        self.conv1 = Conv2d(in_channels, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm2d(widths[0])
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(
            partial(block, shortcut=shortcut), counts, widths[0], widths
        )
        self.fc = Linear(self.layer4[-1].out_channels, classes)
        initialize(self, generator)

    def forward(self, x):
        x = self.maxpool(chain(x, self.conv1, self.bn1, relu))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(global_avg_pool2d(x))


def strides_of_libraries(depth):
    """The note on weights for a network with the paper's strides."""
    return (
        f"this ResNet-{depth} has its strides where the paper has them, in the 1 x 1. Weights of torchvision "
        f"and timm fit it, but are meant for resnet{depth}_v1_5, or another network with "
        "stride_in_1x1=False. If the weights were trained with the paper's strides, say so: "
        "stride_in_1x1=True."
    )


def imagenet_plain(depth, widths=(64, 128, 256, 512), in_channels=3, classes=1000, generator=None):
    """The plain twin of the ImageNet ResNet of this depth (18 or 34 in the paper): no shortcuts."""
    return ResNet(depth, "none", widths, in_channels, classes, generator)
