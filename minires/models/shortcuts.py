"""Shortcuts: what a residual block adds to its branch F(x), and how.

    "A"   the identity; where dimensions grow, every stride-th pixel and zeros for the new channels
    "B"   the identity; where dimensions grow, a projection: 1 x 1 convolution and batch norm
    "C"   a projection in every block
    "none"   nothing: a plain block

Source: He et al. 2015, section 3.3. The types below are those of Identity Mappings (He et al. 2016, Figure 2
and Table 1); with each of them the test error is higher than with A. x stands for A's shortcut, so their
dimensions grow as in A:

    "constant_scaling"   a x + b F(x), (a, b) = factors                                      Figure 2 (b)
    "exclusive_gating"   (1 - g(x)) x + g(x) F(x), g(x) = sigmoid(W_g x + gate_bias)         Figure 2 (c)
    "shortcut_gating"    (1 - g(x)) x + F(x)                                                 Figure 2 (d)
    "conv1x1"            a 1 x 1 convolution in every block, without C's batch norm          Figure 2 (e)
    "dropout"            dropout(x) + F(x), dropping with probability drop_rate              Figure 2 (f)

The paper leaves open which map is the input of a gate where dimensions grow, and whether batch norm follows
the 1 x 1 convolution.
"""

from inspect import signature
from numbers import Real

from minires.errors import OptionError
from minires.nn import BatchNorm2d, Conv2d, Dropout, Identity, Module, Sequential
from minires.nn.functional import pad, sigmoid
from minires.options import check_choice


def conv1x1(in_channels, channels, stride=1):
    """1 x 1: a matrix product at every pixel, or at every stride-th, without a bias."""
    return Conv2d(in_channels, channels, 1, stride=stride, bias=False)


class ZeroPadShortcut(Module):
    """Every stride-th pixel, and zeros for the new channels, half of them before the old ones, half after.

    (N, in_channels, H, W) -> (N, channels, H / stride, W / stride).
    """

    def __init__(self, in_channels, channels, stride):
        self.stride = stride
        self.before = (channels - in_channels) // 2
        self.after = channels - in_channels - self.before

    def forward(self, x):
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


def padded_identity(in_channels, channels, stride):
    """x, with fewer pixels and more channels where dimensions grow."""
    if channels < in_channels:
        raise OptionError(f"shortcut A cannot go from {in_channels} to {channels} channels; use B")
    grows = stride != 1 or in_channels != channels
    return ZeroPadShortcut(in_channels, channels, stride) if grows else Identity()


def projection(in_channels, channels, stride):
    """W_s x in equation 2, then batch norm."""
    return Sequential(conv1x1(in_channels, channels, stride), BatchNorm2d(channels))


def projection_where_dimensions_grow(in_channels, channels, stride):
    """The projection, or the identity where a block keeps size and channels."""
    if stride != 1 or in_channels != channels:
        return projection(in_channels, channels, stride)
    return Identity()


class ConstantScaling(Module):
    """a x + b F, factors = (a, b). All are (N, channels, H, W)."""

    def __init__(self, channels, factors=(0.5, 0.5)):
        try:
            self.a, self.b = (float(factor) for factor in factors)
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"factors must be two numbers, of the shortcut and of the residual, not {factors!r}"
            ) from error

    def forward(self, x, F):
        return self.a * x + self.b * F


class Gate(Conv2d):
    """g(x) = sigmoid(W_g x + b_g): a 1 x 1 convolution of all channels; b_g starts at `first_bias`."""

    def __init__(self, channels, first_bias):
        if not isinstance(first_bias, Real):
            raise OptionError(f"gate_bias must be a number, not {first_bias!r}")
        self.first_bias = float(first_bias)
        super().__init__(channels, channels, 1)

    def reset_parameters(self, generator):
        """W_g by He's initialization; b_g back to its first value."""
        super().reset_parameters(generator)
        self.bias.overwrite(self.first_bias)

    def forward(self, x):
        return sigmoid(super().forward(x))


class ExclusiveGating(Module):
    """(1 - g(x)) x + g(x) F. All are (N, channels, H, W)."""

    def __init__(self, channels, gate_bias=-6.0):
        self.gate = Gate(channels, gate_bias)

    def forward(self, x, F):
        g = self.gate(x)
        return (1 - g) * x + g * F


class ShortcutGating(Module):
    """(1 - g(x)) x + F. All are (N, channels, H, W)."""

    def __init__(self, channels, gate_bias=-6.0):
        self.gate = Gate(channels, gate_bias)

    def forward(self, x, F):
        return (1 - self.gate(x)) * x + F


class DropoutShortcut(Module):
    """dropout(x) + F. All are (N, channels, H, W)."""

    def __init__(self, channels, drop_rate=0.5):
        self.dropout = Dropout(drop_rate)

    def forward(self, x, F):
        return self.dropout(x) + F


# name: (the shortcut, the module that takes the place of the sum)
SHORTCUTS = {
    "A": (padded_identity, None),
    "B": (projection_where_dimensions_grow, None),
    "C": (projection, None),
    "none": (None, None),
    "constant_scaling": (padded_identity, ConstantScaling),
    "exclusive_gating": (padded_identity, ExclusiveGating),
    "shortcut_gating": (padded_identity, ShortcutGating),
    "conv1x1": (conv1x1, None),
    "dropout": (padded_identity, DropoutShortcut),
}


def connection(name, in_channels, channels, stride, **options):
    """(shortcut, addition) of one block: modules, or None for no shortcut and for a plain sum.

    options: of the addition. Raises OptionError as `checked_options` does.
    """
    options = checked_options(name, options)
    shortcut, addition = SHORTCUTS[name]
    return (
        shortcut and shortcut(in_channels, channels, stride),
        addition and addition(channels, **options),
    )


def checked_options(name, options):
    """The options of the shortcut type `name`, a dict, without those that are None and so take their default.

    Raises OptionError for an unknown type, and for an option that the type does not have.
    """
    check_choice("shortcut", name, SHORTCUTS)
    _, addition = SHORTCUTS[name]
    options = {option: value for option, value in options.items() if value is not None}
    known = options_of(addition)
    for option in options:
        if option not in known:
            raise OptionError(f"shortcut {name!r} takes {', '.join(known) or 'no options'}, not {option}")
    return options


def options_of(addition):
    """The names of an addition's options: its parameters without the channels."""
    return [name for name in signature(addition).parameters if name != "channels"] if addition else []


def shortcut_options():
    """The names of all shortcuts' options, each once."""
    return list(dict.fromkeys(name for _, addition in SHORTCUTS.values() for name in options_of(addition)))
