"""AlexNet, in the form of its paper (2012) and in the form of most libraries (2014).

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

"Halves" are two groups: in 2012 each of two GPUs held half of the channels, and these layers read only the
half on their own GPU. "Norm" is response normalization. Here it sums over neighbouring channels across the
border between the halves, too; the paper leaves open whether the authors' sum did. The paper's 224 pixels
give 55 only with padding, here of two pixels.
"""

import math

from minires.models.convnet import ConvNet, fully_connected
from minires.nn import Conv2d, LocalResponseNorm, MaxPool2d, ReLU, Sequential
from minires.nn.init import fan_in
from minires.options import check_flags, check_sizes

# A row for each layer: filters, window, and what else a convolution has; or "pool", or "norm".
OF_2014 = (
    (64, 11, {"stride": 4, "padding": 2}),
    "pool",
    (192, 5, {}),
    "pool",
    (384, 3, {}),
    (256, 3, {}),
    (256, 3, {}),
    "pool",
)
OF_2012 = (
    (96, 11, {"stride": 4, "padding": 2}),
    "norm",
    "pool",
    (256, 5, {"groups": 2}),
    "norm",
    "pool",
    (384, 3, {}),
    (384, 3, {"groups": 2}),
    (256, 3, {"groups": 2}),
    "pool",
)


class AlexNet(ConvNet):
    """AlexNet: (N, in_channels, H, W) -> logits (N, classes), of at least 63 x 63 pixels.

    two_towers: the network of 2012 instead of the libraries'. Its weights start as in the paper (section 5):
        N(0, 0.01^2), the biases of the second, fourth and fifth convolution and of the hidden fully connected
        layers as 1, all others as 0.
    dropout: at the two hidden fully connected layers.
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    The weights' names are torchvision's. Raises OptionError for sizes that are no positive whole numbers.
    """

    smallest_input = 63

    def __init__(self, in_channels=3, classes=1000, generator=None, *, two_towers=False, dropout=0.5):
        check_sizes(in_channels=in_channels, classes=classes)
        check_flags(two_towers=two_towers)
        features, channels = [], in_channels
        for row in OF_2012 if two_towers else OF_2014:
            if row == "pool":
                features.append(MaxPool2d(3, stride=2))
            elif row == "norm":
                # the paper's k = 2, n = 5, alpha = 1e-4, beta = 0.75; the operation's alpha is n times that
                features.append(LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
            else:
                width, size, more = row
                features += [Conv2d(channels, width, size, **{"padding": size // 2} | more), ReLU()]
                channels = width
        layers = fully_connected(256 * 6 * 6, classes, dropout, dropout_first=not two_towers)
        super().__init__(Sequential(*features), 6, layers, generator)
        if two_towers:
            self._initialize_as_in_2012()

    def _initialize_as_in_2012(self):
        weighted = [layer for layer in (*self.features, *self.classifier) if hasattr(layer, "weight")]
        for layer in weighted:
            layer.weight.data *= 0.01 / math.sqrt(
                2 / fan_in(layer.weight.shape)
            )  # instead of He's sqrt(2 / fan_in)
        for i in (1, 3, 4, 5, 6):
            weighted[i].bias.overwrite(1)
