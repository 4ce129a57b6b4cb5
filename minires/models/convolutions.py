"""The two convolutions of all residual networks. Batch norm follows them and has a bias: they have none."""

from minires.nn import Conv2d


def conv3x3(in_channels, channels, stride=1, groups=1):
    """3 x 3, with padding 1, so that the size stays but for the stride."""
    return Conv2d(in_channels, channels, 3, stride=stride, padding=1, groups=groups, bias=False)


def conv1x1(in_channels, channels, stride=1):
    """1 x 1: a matrix product at every pixel, or at every stride-th."""
    return Conv2d(in_channels, channels, 1, stride=stride, bias=False)
