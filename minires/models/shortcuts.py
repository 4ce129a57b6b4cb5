"""What a residual block adds to its branch: the identity, and what replaces it where dimensions grow.

Source: He et al. 2015, section 3.3: (A) zeros for the new channels, no parameters; (B) a projection where
dimensions grow; (C) a projection in every block.
"""

from minires.errors import OptionError
from minires.nn import BatchNorm2d, Conv2d, Identity, Module, Sequential
from minires.ops import pad

SHORTCUTS = ("A", "B", "C", "none")


class ZeroPadShortcut(Module):
    """Every stride-th pixel, and zeros for the new channels, half of them before the old ones, half after."""

    def __init__(self, in_channels, channels, stride):
        self.stride = stride
        self.before = (channels - in_channels) // 2
        self.after = channels - in_channels - self.before

    def forward(self, x):
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


def projection(in_channels, channels, stride):
    """W_s x in equation 2: a 1 x 1 convolution, then batch norm."""
    return Sequential(Conv2d(in_channels, channels, 1, stride=stride, bias=False), BatchNorm2d(channels))


def shortcut(option, in_channels, channels, stride):
    """The shortcut of one block under option "A", "B" or "C"; None, so a plain block, under "none"."""
    if option not in SHORTCUTS:
        raise OptionError(f"shortcut must be one of {', '.join(SHORTCUTS)}, not {option!r}")
    if option == "none":
        return None
    if option == "A" and channels < in_channels:
        raise OptionError(f"shortcut A cannot go from {in_channels} to {channels} channels; use B or C")
    grows = stride != 1 or in_channels != channels
    if option == "C" or (option == "B" and grows):
        return projection(in_channels, channels, stride)
    return ZeroPadShortcut(in_channels, channels, stride) if grows else Identity()
