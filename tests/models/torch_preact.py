"""Pre-activation in PyTorch, written from the papers; only the names of the weights are minires's."""

from functools import partial

import pytest
from torch_resnets import ZeroPad, conv, stages

torch = pytest.importorskip("torch")
nn = torch.nn

# He et al. 2016, Figure 4, each unit from top to bottom: first with two convolutions, then with three.
FIGURE_4 = {
    "original": (
        "conv BN ReLU conv BN + ReLU",
        "conv BN ReLU conv BN ReLU conv BN + ReLU",
    ),
    "bn_after_addition": (
        "conv BN ReLU conv + BN ReLU",
        "conv BN ReLU conv BN ReLU conv + BN ReLU",
    ),
    "relu_before_addition": (
        "conv BN ReLU conv BN ReLU +",
        "conv BN ReLU conv BN ReLU conv BN ReLU +",
    ),
    "relu_only": (
        "ReLU conv BN ReLU conv BN +",
        "ReLU conv BN ReLU conv BN ReLU conv BN +",
    ),
    "full": (
        "BN ReLU conv BN ReLU conv +",
        "BN ReLU conv BN ReLU conv BN ReLU conv +",
    ),
}
# The layers behind the network's first convolution, its last unit, and the convolution of a projection.
OUTER_LAYERS = {
    "original": ("BN ReLU", "", "BN"),
    "bn_after_addition": ("BN ReLU", "", "BN"),
    "relu_before_addition": ("BN ReLU", "", "BN"),
    "relu_only": ("BN", "ReLU", "BN"),
    "full": ("", "BN ReLU", ""),
}
# Zagoruyko and Komodakis 2016, Figure 1 (d).
WIDE_DROPOUT = "BN ReLU conv BN ReLU dropout conv +"


def layers(words, channels, *convolutions, dropout=0.0):
    """The layers that the words name, for an input of `channels` channels."""
    convolutions, modules = iter(convolutions), []
    for word in words.split():
        if word == "conv":
            modules.append(next(convolutions))
            channels = modules[-1].out_channels
        elif word == "dropout":
            modules.append(nn.Dropout(dropout))
        else:
            modules.append(nn.BatchNorm2d(channels) if word == "BN" else nn.ReLU())
    return nn.Sequential(*modules)


class Unit(nn.Module):
    """One unit of Figure 4. Layers in front of its first convolution are in front of a projection, too."""

    def __init__(self, n_in, width, n_out, stride, figure, projection_end, shortcut, dropout=0.0):
        super().__init__()
        if n_out == width:
            convolutions = conv(n_in, width, 3, stride), conv(width, n_out, 3)
        else:
            convolutions = conv(n_in, width, 1, stride), conv(width, width, 3), conv(width, n_out, 1)
        branch, after = figure.split("+")
        before, first, rest = branch.partition("conv")
        self.before = layers(before, n_in)
        self.residual = layers(first + rest, n_in, *convolutions, dropout=dropout)
        self.after = layers(after, n_out)

        self.shares_activation = False
        if (stride, n_in) == (1, n_out):
            self.shortcut = nn.Identity()
        elif shortcut == "A":
            self.shortcut = ZeroPad(n_in, n_out, stride)
        else:
            self.shortcut = layers(f"conv {projection_end}", n_in, conv(n_in, n_out, 1, stride))
            self.shares_activation = True

    def forward(self, x):
        activated = self.before(x)
        x = activated if self.shares_activation else x
        return self.after(self.shortcut(x) + self.residual(activated))


class UnitNet(nn.Module):
    """A 3 x 3 convolution, three stages of n units, the classifier."""

    def __init__(self, n, order, channels, parts, classes):
        super().__init__()
        stem_end, net_end, _ = OUTER_LAYERS[order]
        self.stem = layers(f"conv {stem_end}", 3, conv(3, channels, 3))
        self.layer1, self.layer2, self.layer3 = stages([n] * 3, channels, parts)
        self.end = layers(net_end, parts[-1][0])
        self.fc = nn.Linear(parts[-1][0], classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return self.fc(self.end(x).mean((2, 3)))


class PreActResNet(UnitNet):
    """He et al. 2016. By the appendix, the first unit's shortcut, too, starts from the activated map."""

    def __init__(self, depth, shortcut="A", widths=(16, 32, 64), classes=10, order="full", bottleneck=False):
        unit = partial(
            Unit, figure=FIGURE_4[order][bottleneck], projection_end=OUTER_LAYERS[order][2], shortcut=shortcut
        )
        expansion = 4 if bottleneck else 1
        parts = [(expansion * width, partial(unit, width=width)) for width in widths]
        super().__init__((depth - 2) // (9 if bottleneck else 6), order, widths[0], parts, classes)
        self.layer1[0].shares_activation = True


class WideResNet(UnitNet):
    """Zagoruyko and Komodakis 2016, Table 1."""

    def __init__(self, depth, k, dropout=0.0, classes=10):
        figure = WIDE_DROPOUT if dropout else FIGURE_4["full"][0]
        unit = partial(Unit, figure=figure, projection_end="", shortcut="B", dropout=dropout)
        parts = [(n * k, partial(unit, width=n * k)) for n in (16, 32, 64)]
        super().__init__((depth - 4) // 6, "full", 16, parts, classes)
