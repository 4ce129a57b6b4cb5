"""ResNeXt: residual blocks that add up the transformations of many narrow paths.

F(x) = sum over i = 1..C of T_i(x), where T_i is conv 1x1 to d channels, conv 3x3, conv 1x1 back. The number
of paths, C, is called cardinality. Three forms of the block compute the same (Xie et al. 2016, Figure 3):

    (a)   C separate paths whose results are summed
    (b)   C separate paths up to the 3x3, their results concatenated, one conv 1x1 from C d channels
    (c)   one conv 1x1 to C d channels, a convolution of C groups, one conv 1x1: a Bottleneck with groups

Batch norm follows the first two convolutions of every path. The third batch norm follows the joint result of
all paths: in form (a) their sum (footnote 6).

The CIFAR networks (section 5.3), of depth 9n + 2, for 32 x 32 images:

    layer       conv1       layer1      layer2      layer3      fc
    output      32 x 32     32 x 32     16 x 16     8 x 8       1 x 1
    filters     64          256         512         1024
    each path   -           d           2d          4d

The ImageNet networks are ResNets with groups; see registry.py.
"""

from functools import partial
from typing import ClassVar

import numpy as np

from minires.models.blocks import Bottleneck, ResidualBlock, blocks_per_stage, conv3x3, group_width
from minires.models.cifar_resnet import CifarNet
from minires.models.shortcuts import conv1x1
from minires.nn import BatchNorm2d, ReLU, Sequential, chain
from minires.ops import concatenate
from minires.options import check_choice, check_sizes


class PathsBlock(ResidualBlock):
    """A ResNeXt block in form "a" or "b": `groups` paths of width_per_group * channels / 64 channels each.

    (N, in_channels, H, W) -> (N, 4 * channels, H / stride, W / stride).
    """

    layers = 3

    def __init__(self, in_channels, channels, stride=1, shortcut="B", groups=1, width_per_group=64, form="a"):
        width, out_channels = group_width(channels, width_per_group), Bottleneck.expansion * channels
        self.paths = [
            Sequential(
                conv1x1(in_channels, width),
                BatchNorm2d(width),
                ReLU(),
                conv3x3(width, width, stride),
                BatchNorm2d(width),
                ReLU(),
            )
            for _ in range(groups)
        ]
        if form == "a":
            self.conv3 = [conv1x1(width, out_channels) for _ in range(groups)]
        else:
            self.conv3 = conv1x1(groups * width, out_channels)
        self.bn3 = BatchNorm2d(out_channels)
        self.connect(shortcut, in_channels, out_channels, stride)

    def residual(self, x, *after):
        results = [path(x) for path in self.paths]
        if isinstance(self.conv3, list):
            first, *others = (conv(y) for conv, y in zip(self.conv3, results, strict=True))
            return chain(sum(others, start=first), self.bn3, *after)
        return chain(concatenate(results, 1), self.conv3, self.bn3, *after)

    def load_bottleneck(self, block):
        """Load the weights of the same block in form (c), a Bottleneck: each path gets its channels.

        (b) and (c): a convolution of C groups is C convolutions side by side. (a) and (b):
        A_1 B_1 + A_2 B_2 = [A_1 A_2] [B_1; B_2].
        """
        state = {}
        for name, array in block.state_dict().items():
            layer, _, kind = name.partition(".")
            if layer in self.PLACE:
                for i, part in enumerate(np.split(array, len(self.paths))):
                    state[f"paths.{i}.{self.PLACE[layer]}.{kind}"] = part
            elif layer == "conv3" and isinstance(self.conv3, list):
                for i, part in enumerate(np.split(array, len(self.paths), axis=1)):
                    state[f"conv3.{i}.{kind}"] = part
            else:
                state[name] = array
        self.load_state_dict(state)

    PLACE: ClassVar = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4}  # layer of a bottleneck: index in a path


class CifarResNeXt(CifarNet):
    """ResNeXt-depth, cardinality x width d: (N, in_channels, H, W) -> logits (N, classes).

    depth: 9n + 2, 29 in the paper.
    cardinality: paths in a block. width: channels of a path in the first stage.
    form: "c", or one of the equivalent "a" and "b".
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    Raises OptionError for another depth or form, and for sizes that are no positive whole numbers.
    """

    def __init__(self, depth, cardinality, width, in_channels=3, classes=10, generator=None, *, form="c"):
        check_choice("form", form, "abc")
        check_sizes(cardinality=cardinality, width=width)
        n = blocks_per_stage(depth, 9)
        block = partial(Bottleneck, stride_in_1x1=False) if form == "c" else partial(PathsBlock, form=form)
        block = partial(block, shortcut="B", groups=cardinality, width_per_group=width)
        super().__init__(block, n, (64, 128, 256), in_channels, classes, generator)
