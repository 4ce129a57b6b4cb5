"""AlexNet: the network that began it, as it was in 2012 and as libraries have it.

Source: Krizhevsky, Sutskever and Hinton 2012, section 3; Krizhevsky 2014, One weird trick for parallelizing
convolutional neural networks. For 224 x 224 images:

    two towers (2012)    output          libraries (2014)    output
    conv 11 x 11, /4     96 x 55 x 55    conv 11 x 11, /4    64 x 55 x 55
    norm, pool 3 x 3, /2      27 x 27    pool 3 x 3, /2           27 x 27
    conv 5 x 5, halves  256 x 27 x 27    conv 5 x 5         192 x 27 x 27
    norm, pool                13 x 13    pool                     13 x 13
    conv 3 x 3          384 x 13 x 13    conv 3 x 3         384 x 13 x 13
    conv 3 x 3, halves  384 x 13 x 13    conv 3 x 3         256 x 13 x 13
    conv 3 x 3, halves  256 x 13 x 13    conv 3 x 3         256 x 13 x 13
    pool                256 x  6 x  6    pool               256 x  6 x  6
    4096, 4096, 1000                     4096, 4096, 1000

"Halves" are two groups: in 2012 each of two GPUs held half of the channels, and these layers saw only what
their own one held. The paper's 224 pixels do not give 55 without padding; two pixels of it do.
"""

import math

from minires.models.convnet import ConvNet, fully_connected
from minires.models.stages import check_sizes
from minires.nn import Conv2d, LocalResponseNorm, MaxPool2d, ReLU, Sequential
from minires.nn.init import fan_in


class AlexNet(ConvNet):
    """The AlexNet of the libraries: (N, in_channels, H, W) -> logits (N, classes), from 63 x 63 pixels on.

    dropout: in front of the first two fully connected layers.
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    The weights' names are torchvision's.
    """

    smallest_input = 63

    def __init__(self, in_channels=3, classes=1000, generator=None, *, dropout=0.5):
        check_sizes(in_channels=in_channels, classes=classes)
        features = Sequential(
            *convolution(in_channels, 64, 11, stride=4, padding=2),
            MaxPool2d(3, stride=2),
            *convolution(64, 192, 5),
            MaxPool2d(3, stride=2),
            *convolution(192, 384, 3),
            *convolution(384, 256, 3),
            *convolution(256, 256, 3),
            MaxPool2d(3, stride=2),
        )
        layers = fully_connected(256 * 6 * 6, classes, dropout, dropout_first=True)
        super().__init__(features, 6, layers, generator)


class TwoTowerAlexNet(ConvNet):
    """The AlexNet of 2012: (N, in_channels, H, W) -> logits (N, classes), from 63 x 63 pixels on.

    Weights start as N(0, 0.01^2), the biases of the second, fourth and fifth convolution and of the hidden
    fully connected layers as 1, all others as 0 (section 5).
    """

    smallest_input = 63

    def __init__(self, in_channels=3, classes=1000, generator=None, *, dropout=0.5):
        check_sizes(in_channels=in_channels, classes=classes)
        features = Sequential(
            *convolution(in_channels, 96, 11, stride=4, padding=2),
            neighbour_norm(),
            MaxPool2d(3, stride=2),
            *convolution(96, 256, 5, groups=2),
            neighbour_norm(),
            MaxPool2d(3, stride=2),
            *convolution(256, 384, 3),
            *convolution(384, 384, 3, groups=2),
            *convolution(384, 256, 3, groups=2),
            MaxPool2d(3, stride=2),
        )
        layers = fully_connected(256 * 6 * 6, classes, dropout)
        super().__init__(features, 6, layers, generator)

        weighted = [layer for layer in (*features, *layers) if hasattr(layer, "weight")]
        for layer in weighted:
            layer.weight.data *= 0.01 / math.sqrt(2 / fan_in(layer.weight.shape))  # from He's deviation
        for i in (1, 3, 4, 5, 6):
            weighted[i].bias.data[...] = 1


def convolution(in_channels, channels, size, stride=1, padding=None, groups=1):
    """A convolution with a bias and its ReLU; it keeps the size unless told otherwise."""
    padding = size // 2 if padding is None else padding
    return Conv2d(in_channels, channels, size, stride, padding, groups=groups), ReLU()


def neighbour_norm():
    """The paper's constants: k = 2, n = 5, alpha = 1e-4, beta = 0.75; our alpha is n times theirs."""
    return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
