"""Network in Network: each convolution is followed by two 1 x 1 convolutions, a small network at every pixel.

Source: Lin, Chen and Yan 2013; the network for CIFAR-10:

    block     window, filters of the three     pool               output
    1         5 x 5   192, 160, 96             max 3 x 3, /2      16 x 16
    2         5 x 5   192, 192, 192            average 3 x 3, /2  8 x 8
    3         3 x 3   192, 192, classes        global average     1 x 1
"""

from minires.nn import AvgPool2d, Conv2d, Dropout, GlobalAvgPool2d, MaxPool2d, ReLU, Sequential
from minires.nn.init import initialize
from minires.options import check_sizes


class NiN(Sequential):
    """(N, in_channels, H, W) -> logits (N, classes), without a fully connected layer.

    dropout: behind the first two pools. The paper's probability was not at hand; 0.5 is from memory.
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    """

    input_size = 32

    def __init__(self, in_channels=3, classes=10, generator=None, *, dropout=0.5):
        check_sizes(in_channels=in_channels, classes=classes)
        super().__init__(
            *mlpconv(5, in_channels, 192, 160, 96),
            MaxPool2d(3, stride=2, ceil_mode=True),
            Dropout(dropout),
            *mlpconv(5, 96, 192, 192, 192),
            AvgPool2d(3, stride=2, ceil_mode=True),
            Dropout(dropout),
            *mlpconv(3, 192, 192, 192, classes),
            GlobalAvgPool2d(),
        )
        initialize(self, generator)


def mlpconv(size, in_channels, *widths):
    """A convolution and two 1 x 1 convolutions, each with its ReLU: a little network for every pixel."""
    layers = []
    for kernel_size, width in zip((size, 1, 1), widths, strict=True):
        layers += [Conv2d(in_channels, width, kernel_size, padding=kernel_size // 2), ReLU()]
        in_channels = width
    return layers
