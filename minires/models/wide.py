"""Wide residual networks: fewer layers, more channels.

Source: Zagoruyko and Komodakis 2016, Table 1. For depth 6N + 4 and widening factor k, with 32 x 32 images:

    layer     conv1       layer1      layer2      layer3      fc
    output    32 x 32     32 x 32     16 x 16     8 x 8       1 x 1
    units                 N           N           N
    filters   16          16k         32k         64k
"""

from functools import partial

from minires.models.blocks import blocks_per_stage
from minires.models.preact import PreActNet, Unit
from minires.options import check_sizes


class WideResNet(PreActNet):
    """WRN-depth-k: (N, in_channels, H, W) -> logits (N, classes).

    Fully pre-activated basic units. Where the size or the number of channels changes, the shortcut is a 1 x 1
    convolution: at the start of every stage. For k = 1 the first stage has none, since it goes from 16
    channels to 16. The depth 6N + 4 counts three shortcut convolutions, also for k = 1.

    depth: 6N + 4, from 10 on; k: the widening factor.
    dropout: probability of dropping between the two convolutions of a unit (0.3 in the paper for CIFAR).
    generator: a numpy.random.Generator for the weights, or a seed; a fresh, unseeded one if left out.
    Raises OptionError for another depth, and for sizes that are no positive whole numbers.
    """

    def __init__(self, depth, k, dropout=0.0, in_channels=3, classes=10, generator=None):
        check_sizes(k=k)
        n = blocks_per_stage(depth, 6, rest=4)
        unit = partial(Unit, shortcut="B", dropout=dropout)
        widths = (16 * k, 32 * k, 64 * k)
        super().__init__(unit, n, "full", widths, in_channels, classes, generator, stem=16)
