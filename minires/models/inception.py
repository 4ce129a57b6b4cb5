"""GoogLeNet: Inception modules, which convolve their input with windows of several sizes side by side.

Source: Szegedy et al. 2014, Going Deeper with Convolutions, Table 1. For 224 x 224 images:

    layer           output             filters
    conv1           64 x 112 x 112     7 x 7, stride 2, then a 3 x 3 max pool, stride 2
    conv2, conv3    192 x 56 x 56      1 x 1 to 64, 3 x 3, then a pool
    inception3a..b  480 x 28 x 28      then a pool
    inception4a..e  832 x 14 x 14      then a pool
    inception5a..b  1024 x 7 x 7       global average pooling, dropout, fc

As libraries ship it, every convolution has batch norm instead of a bias, and the windows of 5 x 5 are 3 x 3:
a mistake at first, which stayed because trained weights depend on it. The shapes, biases and norms of 2014
are an option.
"""

from functools import partial

import numpy as np

from minires.engine import Tensor
from minires.errors import OptionError, ShapeError
from minires.models.weights import TorchvisionTwin
from minires.nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Identity,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    Sequential,
    chain,
)
from minires.nn.functional import global_avg_pool2d, relu
from minires.nn.init import initialize
from minires.ops import concatenate
from minires.options import check_flags, check_sizes

# module: input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
TABLE_1 = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}

SCALE_OF_TORCHVISION = (
    "this GoogLeNet takes images as they are. torchvision's own weights expect it to scale them: "
    "transform_input=true. If the weights were trained on images as they are, say so: transform_input=false."
)


class Convolution(Module):
    """A convolution, batch norm in place of its bias, ReLU. Only the stride changes the size."""

    def __init__(self, in_channels, channels, size, stride=1, batch_norm=True):
        self.conv = Conv2d(in_channels, channels, size, stride, padding=size // 2, bias=not batch_norm)
        self.bn = BatchNorm2d(channels, eps=1e-3) if batch_norm else Identity()

    def forward(self, x):
        return chain(x, self.conv, self.bn, relu)


class Inception(Module):
    """Four branches side by side, concatenated: 1x1; 1x1, 3x3; 1x1, 5x5; 3x3 max pool, 1x1.

    (N, in_channels, H, W) -> (N, n1 + n3 + n5 + pool, H, W).

    r3, r5: channels to which the 1x1 in front of the 3x3 and of the 5x5 reduces. window: the size of the 5x5.
    """

    def __init__(self, in_channels, n1, r3, n3, r5, n5, pool, window=5, batch_norm=True):
        conv = partial(Convolution, batch_norm=batch_norm)
        self.branch1 = conv(in_channels, n1, 1)
        self.branch2 = Sequential(conv(in_channels, r3, 1), conv(r3, n3, 3))
        self.branch3 = Sequential(conv(in_channels, r5, 1), conv(r5, n5, window))
        self.branch4 = Sequential(MaxPool2d(3, stride=1, padding=1), conv(in_channels, pool, 1))

    def forward(self, x):
        return concatenate([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class AuxiliaryHead(Module):
    """A second classifier half way, which brings gradients to the lower layers in training.

    (N, in_channels, 14, 14) -> logits (N, classes). pool: the average pool that reduces the maps to 4 x 4.
    """

    def __init__(self, in_channels, classes, pool, dropout=0.7, batch_norm=True):
        self.pool = pool
        self.conv = Convolution(in_channels, 128, 1, batch_norm=batch_norm)
        self.fc1 = Linear(128 * 4 * 4, 1024)
        self.fc2 = Linear(1024, classes)
        self.dropout = Dropout(dropout)

    def forward(self, x):
        H, W = x.shape[2:]
        if isinstance(self.pool, AvgPool2d) and not (14 <= min(H, W) <= max(H, W) <= 16):
            raise ShapeError(
                f"AuxiliaryHead: the pool turns 14 x 14 pixels into 4 x 4, but not {H} x {W}; train on "
                "images of 224 x 224, or with heads=False"
            )
        x = self.conv(self.pool(x)).flatten(1)
        return self.fc2(self.dropout(relu(self.fc1(x))))


class GoogLeNet(TorchvisionTwin):
    """GoogLeNet: (N, in_channels, H, W) -> logits (N, classes).

    In training mode, with heads, the result is a tuple of three logits: the network's own, those of the head
    on 4d, those of the head on 4a. The loss is the loss of the first plus 0.3 times the losses of
    the other two (section 5).

    heads: whether there are auxiliary heads.
    original: the network of 2014: biases instead of batch norm, response norms around the first convolutions,
        windows of 5 x 5, 3 x 3 windows in the last pool. Libraries and their weights have False.
    true_5x5: whether the branch named 5 x 5 has windows of that size; as `original` if left out.
    transform_input: take images normalized by ImageNet's means and deviations and scale them to -1..1, for
        which torchvision's own weights were trained. If left out, the images stay as they are, and to load
        weights of PyTorch gives a WeightsWarning.
    dropout: before the last layer, 0.4 in the paper, 0.2 in libraries. head_dropout: that of the heads.
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    Raises OptionError for sizes that are no positive whole numbers, and for flags that are not True or False.
    """

    input_size = 224

    def __init__(
        self,
        in_channels=3,
        classes=1000,
        generator=None,
        *,
        heads=True,
        original=False,
        true_5x5=None,
        transform_input=None,
        dropout=None,
        head_dropout=0.7,
    ):
        check_sizes(in_channels=in_channels, classes=classes)
        true_5x5 = original if true_5x5 is None else true_5x5
        if transform_input is None:
            transform_input = False
            if not (original or true_5x5):
                self.note_on_weights = SCALE_OF_TORCHVISION
        check_flags(heads=heads, original=original, true_5x5=true_5x5, transform_input=transform_input)
        if transform_input and in_channels != 3:
            raise OptionError(f"transform_input is for 3 channels, not {in_channels}")
        self.transform_input = transform_input
        conv = partial(Convolution, batch_norm=not original)
        window = 5 if true_5x5 else 3
        pool = partial(MaxPool2d, 3, stride=2, ceil_mode=True)
        norm = partial(LocalResponseNorm, 5) if original else Identity

        self.conv1 = conv(in_channels, 64, 7, stride=2)
        self.maxpool1, self.norm1 = pool(), norm()
        self.conv2 = conv(64, 64, 1)
        self.conv3 = conv(64, 192, 3)
        self.norm2, self.maxpool2 = norm(), pool()
        for name, row in TABLE_1.items():
            setattr(self, f"inception{name}", Inception(*row, window=window, batch_norm=not original))
        self.maxpool3 = pool()
        self.maxpool4 = pool() if original else MaxPool2d(2, stride=2, ceil_mode=True)

        self.aux1 = self.aux2 = None
        if heads:
            head_pool = partial(AvgPool2d, 5, stride=3) if original else partial(AdaptiveAvgPool2d, 4)
            self.aux1 = AuxiliaryHead(512, classes, head_pool(), head_dropout, not original)
            self.aux2 = AuxiliaryHead(528, classes, head_pool(), head_dropout, not original)
        self.dropout = Dropout((0.4 if original else 0.2) if dropout is None else dropout)
        self.fc = Linear(1024, classes)
        initialize(self, generator)

    def forward(self, x):
        with_heads = self.training and self.aux1 is not None
        x = self.maxpool1(self.conv1(to_plus_minus_one(x) if self.transform_input else x))
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(self.norm1(x)))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        head1 = self.aux1(x) if with_heads else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        head2 = self.aux2(x) if with_heads else None
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        y = self.fc(self.dropout(global_avg_pool2d(x)))
        return (y, head2, head1) if with_heads else y


def to_plus_minus_one(x):
    """Images normalized by ImageNet's statistics -> images scaled to -1..1. (N, 3, H, W) -> the same."""
    statistics = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    mean, std = (Tensor(np.array(v, x.dtype)[:, None, None]).to(x.device) for v in statistics)
    return x * (std / 0.5) + (mean - 0.5) / 0.5
