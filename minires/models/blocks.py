"""The blocks of residual and plain networks, in the ResNet paper's order, and how they are stacked.

Batch norm follows every convolution. A ReLU follows every batch norm but the last; the last ReLU follows the
addition.
For other orders see preact.py.
"""

from minires.errors import OptionError
from minires.models.shortcuts import connection, conv1x1
from minires.nn import BatchNorm2d, Conv2d, Module, Plus, Sequential, chain
from minires.nn.functional import relu
from minires.options import check_flags, check_sizes


def conv3x3(in_channels, channels, stride=1, groups=1):
    """3 x 3 with padding 1: only the stride changes the size. Batch norm follows, so there is no bias."""
    return Conv2d(in_channels, channels, 3, stride=stride, padding=1, groups=groups, bias=False)


class ResidualBlock(Module):
    """y = relu(F(x) + shortcut(x)). A subclass defines residual(x, *after): F(x), sent through `after`.

    With the shortcut "none" the block is plain, y = relu(F(x)). `downsample` is the shortcut; `addition` is
    the module that joins it with F(x), None for a sum (shortcuts.py).
    Source: He et al. 2015, equations 1 and 2.
    """

    def connect(self, shortcut, in_channels, out_channels, stride, **options):
        """Give the block its shortcut. `options` are those of this shortcut type, if it has any."""
        self.out_channels = out_channels
        self.downsample, self.addition = connection(shortcut, in_channels, out_channels, stride, **options)

    def forward(self, x):
        if self.downsample is None:
            return self.residual(x, relu)
        if self.addition is None:
            return self.residual(x, Plus(self.downsample(x)), relu)
        return relu(self.addition(self.downsample(x), self.residual(x)))


class BasicBlock(ResidualBlock):
    """F: conv 3x3, BN, ReLU, conv 3x3, BN.

    (N, in_channels, H, W) -> (N, channels, H / stride, W / stride).
    Source: He et al. 2015, Figure 5, left.
    """

    layers = 2

    def __init__(self, in_channels, channels, stride=1, shortcut="A", **shortcut_options):
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = BatchNorm2d(channels)
        self.connect(shortcut, in_channels, channels, stride, **shortcut_options)

    def residual(self, x, *after):
        return chain(x, self.conv1, self.bn1, relu, self.conv2, self.bn2, *after)


class Bottleneck(ResidualBlock):
    """F: conv 1x1, BN, ReLU, conv 3x3, BN, ReLU, conv 1x1, BN; the last one has four times the channels.

    (N, in_channels, H, W) -> (N, 4 * channels, H / stride, W / stride).

    stride_in_1x1: the stride is in the first 1x1, as in the paper, or else in the 3x3, as in most libraries.
    groups, width_per_group: the 3x3 has `groups` groups of width_per_group * channels / 64 channels each, as
        in ResNeXt. By default, with one group of width 64, it has `channels` channels.
    Source: He et al. 2015, Figure 5, right; Xie et al. 2016, Figure 3 (c).
    """

    layers = 3
    expansion = 4

    def __init__(
        self,
        in_channels,
        channels,
        stride=1,
        shortcut="B",
        stride_in_1x1=True,
        groups=1,
        width_per_group=64,
        **shortcut_options,
    ):
        check_flags(stride_in_1x1=stride_in_1x1)
        width = groups * group_width(channels, width_per_group)
        stride1, stride2 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = conv1x1(in_channels, width, stride1)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride2, groups)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = conv1x1(width, self.expansion * channels)
        self.bn3 = BatchNorm2d(self.expansion * channels)
        self.connect(shortcut, in_channels, self.expansion * channels, stride, **shortcut_options)

    def residual(self, x, *after):
        inner = self.conv1, self.bn1, relu, self.conv2, self.bn2, relu
        return chain(x, *inner, self.conv3, self.bn3, *after)


def group_width(channels, width_per_group):
    """The channels of one group: `width_per_group` where a stage has 64 channels, in proportion elsewhere."""
    width = channels * width_per_group // 64
    if width < 1:
        raise OptionError(
            f"width_per_group {width_per_group} leaves no channel for a group where a block has {channels} "
            f"channels instead of 64; use at least {-(-64 // channels)}"
        )
    return width


def stage(block, n, in_channels, channels, stride, first=None):
    """n blocks of one width; only the first may change the size and the number of channels.

    block: called as block(in_channels, channels, stride); the result knows its `out_channels`.
    first: the same for the first block; `block` if left out.
    """
    first_block = (first or block)(in_channels, channels, stride)
    return Sequential(first_block, *(block(first_block.out_channels, channels, 1) for _ in range(n - 1)))


def stages(block, counts, in_channels, widths, first=None):
    """One stage for each width; the first keeps the size, each of the others halves it.

    block, first: as for a stage; `first` is for the first block of all.
    """
    stacked = []
    for i, (n, channels) in enumerate(zip(counts, widths, strict=True)):
        entry = {"stride": 1, "first": first} if i == 0 else {"stride": 2}
        stacked.append(stage(block, n, in_channels, channels, **entry))
        in_channels = stacked[-1][-1].out_channels
    return stacked


def blocks_per_stage(depth, layers, rest=2):
    """n of depth = layers * n + rest; OptionError that names the nearest depths if there is none.

    layers: weighted layers that one more block in every stage adds; rest: those outside of the blocks.
    """
    check_sizes(depth=depth)
    n, over = divmod(depth - rest, layers)
    if over or n < 1:
        lower = max(layers + rest, depth - over)
        examples = ", ".join(str(layers * n + rest) for n in (1, 2, 3))
        raise OptionError(
            f"depth {depth} is not {layers}n + {rest} ({examples}, ...); "
            f"the nearest are {lower} and {lower + layers}"
        )
    return n


def check_widths(widths, count):
    """OptionError unless `widths` are `count` positive whole numbers, the channels of the stages."""
    check_sizes(widths=widths)
    if not isinstance(widths, (tuple, list)) or len(widths) != count:
        raise OptionError(f"widths must be {count} numbers, one for each stage, not {widths!r}")
