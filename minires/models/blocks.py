"""The blocks that residual and plain networks are stacked from."""

from minires.models.shortcuts import shortcut
from minires.nn import BatchNorm2d, Conv2d, Module
from minires.nn.functional import relu


def conv3x3(in_channels, channels, stride=1):
    """A 3 x 3 convolution that keeps the size (padding 1), without a bias: batch norm follows and has one."""
    return Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)


class BasicBlock(Module):
    """y = relu(F(x) + shortcut(x)),    F: conv 3x3, BN, ReLU, conv 3x3, BN

    With option "none" there is no shortcut and the block is two plain layers, y = relu(F(x)).
    (N, in_channels, H, W) -> (N, channels, H / stride, W / stride).
    Source: He et al. 2015, equations 1 and 2, Figure 2.
    """

    def __init__(self, in_channels, channels, stride=1, option="A"):
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = BatchNorm2d(channels)
        self.downsample = shortcut(option, in_channels, channels, stride)

    def forward(self, x):
        y = relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        return relu(y)
