"""VGG: nothing but 3 x 3 convolutions, deep.

Source: Simonyan and Zisserman 2014, Table 1, columns D and E. For 224 x 224 images, each group ends in a
2 x 2 max pool:

    group     1           2           3           4           5
    input     224 x 224   112 x 112   56 x 56     28 x 28     14 x 14
    VGG-16    2 x 64      2 x 128     3 x 256     3 x 512     3 x 512
    VGG-19    2 x 64      2 x 128     4 x 256     4 x 512     4 x 512

then 4096, 4096, 1000. The BN form, which is later than the paper, has batch norm behind every convolution.
"""

from minires.models.convnet import ConvNet, fully_connected
from minires.nn import BatchNorm2d, Conv2d, MaxPool2d, ReLU, Sequential
from minires.options import check_choice, check_flags, check_sizes

# depth: convolutions in each group
TABLE_1 = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


class VGG(ConvNet):
    """VGG-16 or VGG-19: (N, in_channels, H, W) -> logits (N, classes), of at least 32 x 32 pixels.

    dropout: behind the first two fully connected layers.
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    The weights' names are torchvision's. Raises OptionError for another depth, and for sizes that are no
    positive whole numbers.
    """

    smallest_input = 32

    def __init__(self, depth, batch_norm=False, in_channels=3, classes=1000, generator=None, *, dropout=0.5):
        check_choice("depth", depth, TABLE_1)
        check_flags(batch_norm=batch_norm)
        check_sizes(in_channels=in_channels, classes=classes)
        features, channels = [], in_channels
        for n, width in zip(TABLE_1[depth], WIDTHS, strict=True):
            for _ in range(n):
                features.append(Conv2d(channels, width, 3, padding=1))
                features += [BatchNorm2d(width), ReLU()] if batch_norm else [ReLU()]
                channels = width
            features.append(MaxPool2d(2))
        layers = fully_connected(512 * 7 * 7, classes, dropout)
        super().__init__(Sequential(*features), 7, layers, generator)
